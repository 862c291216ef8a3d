"""The label stream: what annotators are served, from the first minute on, while models train, and after each round."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.worker import Worker
from pt4al_backend.state.schema import PublicationState
from tests.support.image_server import Handler, Server, reply
from tests.support.images import arrow, encoded
from tests.support.kinds import TOOLS
from tests.support.loop import SECONDS, Loop
from tests.support.servers import LabelStudioServer, wait_until
from tests.support.stub_server import Reply, Request, stub_server

pytestmark = pytest.mark.label_studio

TASKS, QUERY, CONTROLS, RESERVE = 60, 8, 2, 6
#: The confidence that a pick keeps is that of the least_confidence sampler, so that the order can be told by it.
PARAMS = {
    "rounds": 4,
    "query_size": QUERY,
    "control_share": CONTROLS / QUERY,
    "reserve_size": RESERVE,
    "sampler": "least_confidence",
}


@dataclass
class Story:
    """What was seen of one project, from the first minute to its second round."""

    loop: Loop
    fetched_at_first: int = -1
    first_order: list[int] = field(default_factory=list)
    first_kinds: list[str] = field(default_factory=list)
    first_served: list[int] = field(default_factory=list)
    while_ranking: list[int] = field(default_factory=list)
    ranking_order: list[int] = field(default_factory=list)
    controls: list[int] = field(default_factory=list)
    query_order: list[int] = field(default_factory=list)
    query_served: list[int] = field(default_factory=list)
    held: int = 0
    while_training: list[int] = field(default_factory=list)
    training_order: list[int] = field(default_factory=list)
    after_swap: int = 0
    second_order: list[int] = field(default_factory=list)
    second_served: list[int] = field(default_factory=list)
    others_wait: bool = False
    others_go_on: int = 0
    shown: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def second(label_studio: LabelStudioServer) -> Annotator:
    annotator = Annotator(label_studio.url, "queue@example.com", "a-long-password-2")
    annotator.sign_up()
    return annotator


@pytest.fixture(scope="module")
def images() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module", params=TOOLS, ids=lambda kind: kind.name)
def story(
    request: pytest.FixtureRequest,
    label_studio: LabelStudioServer,
    lead: Annotator,
    second: Annotator,
    images: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp(f"stream-{request.param.name}")
    with Loop(label_studio, lead, folder, PARAMS, kind=request.param, image_hosts="127.0.0.1") as loop:
        story = Story(loop)
        may_fetch = Event()
        urls = serve_arrows(images, may_fetch)
        ids = lead.import_tasks(loop.id, [{"data": {"image": url}} for url in urls])
        loop.numbers = {task_id: number for number, task_id in enumerate(ids)}
        with loop.reconciling():
            label_before_any_image_is_there(story)
            may_fetch.set()
            with loop.held("rank-1"):
                label_while_the_pool_is_ranked(story)
        label_the_first_query(story, second)
        with loop.reconciling(), loop.held("learn-1"):
            label_while_the_model_trains(story)
        label_the_second_query(story, second)
        keep_one_task_for_long(story, second)
        yield story


def serve_arrows(images: Server, may_fetch: Event) -> list[str]:
    def patiently(body: bytes) -> Callable[[Handler], None]:
        def answer(handler: Handler) -> None:
            may_fetch.wait(SECONDS)
            reply(body)(handler)

        return answer

    for number in range(TASKS):
        images.answers[f"/{number}.png"] = patiently(encoded(arrow(number)))
    return [f"{images.url}/{number}.png" for number in range(TASKS)]


def label_before_any_image_is_there(story: Story) -> None:
    loop = story.loop
    wait_until(lambda: loop.project.served_version, SECONDS, "the first queue is served")
    story.first_order, story.first_kinds = loop.order(), [pick.kind for pick in loop.picks()]
    for task_id in story.first_order[:CONTROLS]:
        story.shown[task_id] = loop.lead.task(task_id)["predictions"]
    story.first_served = loop.work(CONTROLS, [loop.lead])
    story.fetched_at_first = loop.store.counts(loop.id)["fetched"]


def label_while_the_pool_is_ranked(story: Story) -> None:
    """Labels all but a few of the reserve, so that it must be lengthened; then a few of what was added."""
    loop = story.loop
    story.while_ranking = loop.work(RESERVE, [loop.lead])
    lengthened(loop, CONTROLS + RESERVE)
    story.while_ranking += loop.work(2, [loop.lead])
    story.ranking_order = loop.order("reserve")


def lengthened(loop: Loop, length: int) -> None:
    Worker(loop.settings, loop.store).handle_request(loop.id)  # as another thread of the worker would, told by the webhook
    wait_until(lambda: len(loop.picks()) > length, SECONDS, "the queue is lengthened")
    live = lambda: loop.store.publications(loop.id, PublicationState.LIVE)[0].picks  # noqa: E731
    wait_until(lambda: live() == len(loop.picks()), SECONDS, "Label Studio has it")


def label_the_first_query(story: Story, second: Annotator) -> None:
    loop = story.loop
    story.controls = loop.order("control")
    story.query_order = loop.order("query")
    story.query_served = loop.work(len(story.query_order), [loop.lead, second])
    story.held = loop.next(second)  # opened, and not answered before the next round


def label_while_the_model_trains(story: Story) -> None:
    loop = story.loop
    story.while_training = loop.work(RESERVE - 2, [loop.lead])
    lengthened(loop, QUERY + RESERVE)
    story.while_training += loop.work(3, [loop.lead])
    story.training_order = [task_id for task_id in loop.order("reserve") if task_id != story.held]


def label_the_second_query(story: Story, second: Annotator) -> None:
    loop = story.loop
    story.second_order = [task_id for task_id in loop.order("control", "query") if task_id != story.held]
    for pick in loop.picks():
        predictions = loop.lead.task(pick.task_id)["predictions"]
        story.shown[pick.task_id] = [shown for shown in predictions if shown["model_version"] == loop.project.served_version]
    story.after_swap = loop.next(second)
    loop.annotate(story.after_swap, by=second)
    story.second_served = loop.work(4, [second, loop.lead])


def keep_one_task_for_long(story: Story, second: Annotator) -> None:
    loop = story.loop
    loop.reconcile()
    loop.next(second)
    left = loop.store.unanswered_picks(loop.id, loop.project.round) - 1
    loop.work(left, [loop.lead])
    story.others_wait = loop.lead.next_task(loop.id) is None
    loop.reconcile()
    story.others_go_on = loop.next()


def test_control_picks_are_served_before_any_image_is_fetched(story: Story) -> None:
    assert story.fetched_at_first == 0
    assert story.first_kinds == ["control"] * CONTROLS + ["reserve"] * RESERVE
    assert story.first_served == story.first_order[:CONTROLS]


def test_the_stream_runs_on_while_the_pool_is_ranked(story: Story) -> None:
    assert len(story.while_ranking) == RESERVE + 2
    assert story.while_ranking == story.ranking_order[: RESERVE + 2]


def test_the_first_query_keeps_the_control_picks_and_asks_for_nothing_answered(story: Story) -> None:
    assert story.controls == story.first_order[:CONTROLS]
    assert len(story.query_order) == QUERY - CONTROLS
    assert not set(story.query_order) & set(story.while_ranking)


def test_two_annotators_are_served_the_query_in_its_order_and_nothing_twice(story: Story) -> None:
    assert story.query_served == story.query_order


def test_the_reserve_is_served_and_lengthened_while_the_model_trains(story: Story) -> None:
    assert len(story.while_training) == RESERVE + 1
    assert story.while_training == story.training_order[: RESERVE + 1]


def test_a_task_in_an_annotators_hands_stays_theirs_after_the_swap(story: Story) -> None:
    assert story.after_swap == story.held


def test_after_the_round_the_stream_follows_the_new_order(story: Story) -> None:
    assert story.second_served == story.second_order[:4]
    assert not set(story.second_order) & {*story.query_order, *story.while_ranking, *story.while_training}


def test_the_new_order_is_that_of_the_new_models_confidence_in_the_rounds_batch(story: Story) -> None:
    loop = story.loop
    query = loop.picks("query")
    confidences = [pick.confidence for pick in query]
    assert None not in confidences
    batches = dict(zip(loop.store.tasks(loop.id).ids, loop.store.tasks(loop.id).batches, strict=True))
    assert loop.round.batch == PARAMS["rounds"]  # the easiest comes after the hardest
    in_batch = [pick.confidence for pick in query if batches[pick.task_id] == loop.round.batch]
    assert len(in_batch) > 1
    assert in_batch == sorted(in_batch)


def test_one_who_keeps_a_task_of_the_query_does_not_stop_the_others(story: Story) -> None:
    assert story.others_wait  # what Label Studio does when all that is left of a queue is in others' hands
    assert story.others_go_on in story.loop.order("reserve")


def test_control_picks_show_nothing_and_the_query_shows_the_models_answer(story: Story) -> None:
    loop = story.loop
    for task_id in [*story.controls, *loop.order("control")]:
        assert all(shown["result"] == [] for shown in story.shown[task_id])
    for pick in loop.picks("query"):
        (shown,) = story.shown[pick.task_id]
        regions = loop.labelling().regions(pick.label, pick.confidence, (32, 32))
        assert [(region["type"], region["value"]) for region in shown["result"]] == [(r["type"], r["value"]) for r in regions]
        assert shown["score"] == pytest.approx(pick.score)


def test_the_models_answer_is_shown_with_the_projects_own_tool(story: Story) -> None:
    results = [region for pick in story.loop.picks("query") for shown in story.shown[pick.task_id] for region in shown["result"]]
    assert {region["type"] for region in results} == {story.loop.kind.shows}


def test_control_picks_measure_the_model_and_never_train_it(story: Story) -> None:
    loop = story.loop
    first = loop.store.round(loop.id, 1)
    assert first is not None
    answered = CONTROLS + len(story.while_ranking) + len(story.query_served)
    assert first.labels == answered - CONTROLS
    assert first.control.total == CONTROLS
    assert first.control.low <= first.control.value <= first.control.high
    # every task has a row of its own in the job of the training: none of the control picks' is among them
    tasks = loop.store.tasks(loop.id)
    job = loop.settings.data_dir / first.model
    with np.load(job.parent / "train.npz") as trained:
        assert not set(tasks.rows[np.isin(tasks.ids, story.controls)]) & set(trained["rows"].tolist())
    assert artefacts.manifest(job)["train_size"] == first.labels


def test_asking_again_changes_nothing(story: Story) -> None:
    loop = story.loop
    loop.reconcile()

    def everything() -> tuple[Any, ...]:
        picks = [(pick.task_id, pick.position, pick.score) for pick in loop.picks()]
        publications = [(p.version, p.state, p.picks) for p in loop.store.publications(loop.id, *PublicationState)]
        return picks, publications, loop.versions(), loop.served(), loop.store.counts(loop.id), loop.project.round

    before = everything()
    backend = Reply(200, {"status": "UP", "model_class": "Stub", "model_version": loop.served()})
    with stub_server(lambda _: backend) as (url, seen):
        loop.lead.connect_backend(loop.id, url, title="Backend")
        loop.client.update_project(loop.id, model_version="Backend")  # as Settings > Model offers: served at random
        loop.reconcile()
        assert loop.served() == loop.project.served_version
        repaired = events(seen)
        assert repaired == ["PROJECT_UPDATED"] * 2  # the webhook reports every change of a project
        loop.reconcile()
        Worker(loop.settings, loop.store).handle_request(loop.id)
        assert events(seen) == repaired
    assert everything() == before


def events(seen: list[Request]) -> list[str]:
    return [request.json["action"] for request in seen if request.path == "/webhook"]
