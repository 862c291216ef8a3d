"""The round engine against a real Label Studio: what it makes of imports, faults and crashes."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pt4al_backend import artefacts, children
from pt4al_backend.engine import Engine
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.label_studio.annotator import Annotator
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.schema import Project
from pt4al_backend.store import Store
from tests.images import LABEL_CONFIG, arrow, encoded, flat, header_bomb, save_files
from tests.integration.loop import Loop
from tests.servers import LabelStudioServer

pytestmark = pytest.mark.label_studio

TWO_CHOICES_AND_MORE = LABEL_CONFIG.replace("<Choices ", '<Choices choice="multiple" ')
FOUR_CLASSES = LABEL_CONFIG.replace("</Choices>", '<Choice value="black"/></Choices>')


@pytest.fixture(scope="module")
def make(label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Loop]:
    def make(name: str, **options: Any) -> Loop:
        return Loop(label_studio, lead, tmp_path_factory.mktemp(name), **options)

    return make


# a project whose images mean nothing to the pretext, some of them broken; all answers are one class, so nothing is trained


@dataclass
class Broken:
    """Tasks by what is wrong with their image."""

    missing: int
    cut_off: int
    text: int
    dot: int
    bomb: int
    no_image: int

    @property
    def all(self) -> set[int]:
        return set(vars(self).values())


@pytest.fixture(scope="module")
def plain(make: Callable[..., Loop]) -> Iterator[Loop]:
    params = {"rounds": 12, "query_size": 3, "control_share": 0, "reserve_size": 3, "pretext_epochs": 1}
    with make("plain", params=params) as loop:
        loop.add(80, flat)
        odd = save_files(loop.folder / "odd", [("cmyk.jpg", cmyk()), ("deep.png", sixteen_bits())])
        loop.truth |= dict.fromkeys(loop.lead.upload_images(loop.id, odd), "red")
        yield loop


@pytest.fixture(scope="module")
def broken(plain: Loop) -> Broken:
    files = [
        ("cut.png", encoded(arrow(0))[:200]),
        ("text.png", b"hello"),
        ("dot.png", encoded(flat(0, 1))),
        ("bomb.png", header_bomb()),
    ]
    cut_off, text, dot, bomb = plain.lead.upload_images(plain.id, save_files(plain.folder / "broken", files))
    gone = {"data": {"image": f"/data/upload/{plain.id}/gone.png"}}
    missing, no_image = plain.lead.import_tasks(plain.id, [gone, {"data": {"image": ""}}])
    plain.ask()
    return Broken(missing, cut_off, text, dot, bomb, no_image)


def cmyk() -> bytes:
    file = BytesIO()
    Image.new("CMYK", (32, 32), (20, 40, 60, 10)).save(file, "JPEG")
    return file.getvalue()


def sixteen_bits() -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((32, 32), 40_000, np.uint16)).save(file, "PNG")
    return file.getvalue()


def close_round(loop: Loop) -> Project:
    """Answers what is left of the query, all alike."""
    answered = loop.store.answers(loop.id)
    loop.annotate_all([task_id for task_id in loop.order("query") if task_id not in answered], "red")
    return loop.ask()


def fresh_round(loop: Loop) -> Project:
    """A round of which nothing is answered yet."""
    loop.ask()
    return close_round(loop) if set(loop.order()) & loop.store.answers(loop.id).keys() else loop.project


def test_broken_images_are_set_aside_with_a_reason_while_the_rest_goes_on(plain: Loop, broken: Broken) -> None:
    total, aside = plain.store.set_aside(plain.id)
    reasons = dict(aside)
    assert reasons.keys() == broken.all
    assert total == len(reasons)
    assert "gone.png could not be fetched" in reasons[broken.missing]
    assert "damaged or ends too early" in reasons[broken.cut_off]
    assert "not an image that can be read" in reasons[broken.text]
    assert "only 1 x 1 pixels" in reasons[broken.dot]
    assert "PT4AL_IMAGE_MAX_PIXELS" in reasons[broken.bomb]
    assert "no image in the field 'image'" in reasons[broken.no_image]
    counts = plain.store.counts(plain.id)
    assert counts["scored"] == counts["fetched"] == counts["tasks"] - len(reasons) == 82
    assert plain.project.phase == "labelling"
    assert plain.project.error == ""
    assert not broken.all & set(plain.order())


def test_a_pretext_that_means_nothing_here_is_said_and_replaced_by_a_uniform_order(plain: Loop, broken: Broken) -> None:
    assert "no upright sense" in plain.project.notices["pretext"]
    losses = dict(zip(plain.store.tasks(plain.id).ids.tolist(), plain.store.tasks(plain.id).losses.tolist(), strict=True))
    order = [losses[task_id] for task_id in plain.order()]
    assert order != sorted(order, reverse=True)


def test_with_labels_of_one_class_the_round_goes_on_without_a_model(plain: Loop, broken: Broken) -> None:
    before = plain.project.round
    after = close_round(plain)
    assert after.round == before + 1
    assert after.model == ""
    assert "fewer than two classes" in after.notices["classes"]
    assert len(plain.order("query")) == 3
    assert plain.next() == plain.order()[0]
    plain.annotate(plain.order()[0], "red")


def test_start_training_with_labels_of_one_class_leaves_the_round_open(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.order()
    plain.annotate(before[0], "red")
    after = plain.ask(train=True)
    assert "labels of two classes or more" in after.notices["button"]
    assert plain.order() == before


def test_a_deleted_task_keeps_no_round_open(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.project.round
    first, *rest = plain.order("query")
    plain.lead.delete_task(first)
    plain.annotate_all(rest, "red")
    assert plain.ask().round == before + 1
    assert first not in plain.store.task_images(plain.id)
    assert plain.project.error == ""


def test_many_requests_at_once_open_one_round(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.project.round
    versions = plain.versions()
    plain.annotate_all(plain.order("query"), "red")
    engines = [Engine(plain.settings, plain.store) for _ in range(2)]
    threads = [threading.Thread(target=engine.asked, args=(plain.id,)) for engine in engines for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plain.project.round == before + 1
    assert len(plain.versions()) == len(versions) + 1
    assert plain.versions()[plain.served()] == len(plain.picks())


def test_a_queue_that_somebody_deleted_is_sent_anew(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    deleted, order = plain.served(), plain.order()
    plain.client.delete_model_version(plain.id, deleted)
    plain.ask()
    assert plain.served() == plain.project.served_version != deleted
    assert plain.versions()[plain.served()] == len(order)
    assert plain.next() == order[0]
    assert plain.order() == order
    plain.annotate(order[0], "red")


def test_a_wrong_token_is_said_without_telling_it_and_the_right_one_resumes(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.project.round
    wrong = "f" * 40
    plain.annotate_all(plain.order("query"), "red")
    Engine(plain.settings.model_copy(update={"label_studio_api_key": wrong}), plain.store).asked(plain.id)
    refused = plain.project
    assert refused.phase == "blocked"
    assert "refuses the legacy token" in refused.error
    assert "LABEL_STUDIO_API_KEY" in refused.remedy
    assert wrong not in refused.error + refused.remedy
    assert refused.round == before
    resumed = plain.ask()
    assert (resumed.error, resumed.remedy, resumed.phase) == ("", "", "labelling")
    assert resumed.round == before + 1


def test_a_config_that_cannot_be_learned_is_said_and_leaves_everything_as_it_was(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before, served = plain.order(), plain.served()
    plain.annotate_all(before[:2], "red")
    plain.client.update_project(plain.id, label_config=TWO_CHOICES_AND_MORE)
    stopped = plain.ask()
    assert "lets annotators pick several choices" in stopped.error
    assert 'choice="single"' in stopped.remedy
    assert (plain.order(), plain.served()) == (before, served)
    plain.client.update_project(plain.id, label_config=LABEL_CONFIG)
    assert plain.ask().error == ""
    assert plain.order() == before
    assert close_round(plain).round == stopped.round + 1


class Killed(BaseException):
    """Ends the engine where it stands, as kill -9 would."""


def killed_before(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    def instead(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(owner, name, instead)


def killed_after(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    done = getattr(owner, name)

    def instead(*given: Any, **named: Any) -> None:
        done(*given, **named)
        raise Killed

    monkeypatch.setattr(owner, name, instead)


@pytest.mark.parametrize(
    ("cut", "owner", "name"),
    [
        (killed_after, Store, "turn_round"),
        (killed_after, Store, "announce"),
        (killed_after, LabelStudio, "import_predictions"),
        (killed_before, Store, "go_live"),
        (killed_after, Store, "go_live"),
    ],
)
def test_a_kill_between_two_steps_publishes_nothing_twice(
    plain: Loop, broken: Broken, cut: Callable[..., None], owner: type, name: str
) -> None:
    fresh_round(plain)
    number, versions = plain.project.round, plain.versions()
    plain.annotate_all(plain.order("query"), "red")
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, owner, name)
        with pytest.raises(Killed):
            plain.ask()
    plain.ask()
    assert plain.project.round == number + 1
    (added,) = plain.versions().keys() - versions.keys()
    assert plain.versions()[added] == len(plain.picks())
    assert plain.served() == plain.project.served_version == added
    assert plain.next() == plain.order()[0]
    assert plain.store.publications(plain.id, "sending") == []
    plain.annotate(plain.order()[0], "red")


# a project that grows, fails, and gets a class more


@dataclass
class Growth:
    """What was seen of a project into which images and classes came late."""

    loop: Loop
    learners: list[str] = field(default_factory=list)
    few: list[int] = field(default_factory=list)
    batches_of_few: list[int] = field(default_factory=list)
    picks_with_few: list[int] = field(default_factory=list)
    failed: Project | None = None
    tries: list[int] = field(default_factory=list)
    many: list[int] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def growth(make: Callable[..., Loop]) -> Iterator[Growth]:
    with make("growth", params={"rounds": 3, "query_size": 6, "control_share": 0, "reserve_size": 4}) as loop:
        loop.add(24)
        seen = Growth(loop, [loop.ask().learner])
        few_images_come_late(seen)
        a_training_fails(seen)
        many_images_come_late(seen)
        a_class_is_added(seen)
        yield seen


def few_images_come_late(seen: Growth) -> None:
    loop = seen.loop
    seen.few = loop.add(3)
    seen.learners.append(loop.ask().learner)
    tasks = loop.store.tasks(loop.id)
    seen.batches_of_few = tasks.batches[np.isin(tasks.ids, seen.few)].tolist()
    seen.picks_with_few = loop.order()


def a_training_fails(seen: Growth) -> None:
    loop, tries = seen.loop, 0

    def fail(*_: Any) -> Path:
        nonlocal tries
        tries += 1
        raise TrainingImpossible("The loss became nan in epoch 2 of 6.", "Set learning_rate to less.")

    loop.annotate_all(loop.order("query"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "run", fail)
        for train in (False, False, True, False):
            seen.failed = loop.ask(train=train)
            seen.tries.append(tries)
    seen.rounds.append(loop.project.round)


def many_images_come_late(seen: Growth) -> None:
    loop = seen.loop
    seen.many = loop.add(9)
    after = loop.ask(train=True)
    seen.learners.append(after.learner)
    seen.models.append(loop.settings.data_dir / after.model)
    seen.rounds.append(after.round)


def a_class_is_added(seen: Growth) -> None:
    loop = seen.loop
    loop.client.update_project(loop.id, label_config=FOUR_CLASSES)
    loop.connect(FOUR_CLASSES)
    loop.ask()
    first, *rest = loop.order("query")
    loop.annotate(first, "black")
    loop.annotate_all(rest)
    after = loop.ask()
    seen.models.append(loop.settings.data_dir / after.model)
    seen.rounds.append(after.round)


def test_a_few_late_images_are_scored_by_the_stored_learner_and_wait_for_batches_to_come(growth: Growth) -> None:
    assert growth.learners[1] == growth.learners[0]
    assert set(growth.batches_of_few) <= {2, 3}
    assert not set(growth.few) & set(growth.picks_with_few)


def test_a_failed_training_is_said_and_tried_again_when_someone_presses_the_button(growth: Growth) -> None:
    assert growth.failed is not None
    assert growth.failed.error == "The loss became nan in epoch 2 of 6."
    assert growth.failed.remedy == "Set learning_rate to less."
    assert growth.tries == [1, 1, 2, 2]
    assert growth.rounds == [1, 2, 3]
    assert growth.loop.project.error == ""


def test_a_pool_that_grew_by_more_than_a_fifth_is_ranked_by_a_new_learner_at_the_round_boundary(growth: Growth) -> None:
    assert growth.learners[2] != growth.learners[0]
    loop = growth.loop
    assert loop.project.learner_pool == 36
    tasks = loop.store.tasks(loop.id)
    assert set(tasks.batches[np.isin(tasks.ids, growth.many)].tolist()) <= {1, 2, 3}
    assert np.isfinite(tasks.losses).all()


def test_an_added_class_is_in_the_next_model(growth: Growth) -> None:
    before, after = (artefacts.manifest(model) for model in growth.models)
    assert before["classes"] == ["red", "green", "blue"]
    assert after["classes"] == ["red", "green", "blue", "black"]
    assert after["init"] == "pretext"  # each round starts anew, with a head of as many classes as there are now
    assert after["train_size"] == 12


# small projects


def test_the_paper_asks_for_even_intervals_of_the_hardest_batch_and_nothing_else(make: Callable[..., Loop]) -> None:
    with make("paper", params={"preset": "paper", "rounds": 4, "query_size": 5, "epochs": 2}) as loop:
        loop.add(40)
        loop.ask()
        tasks = loop.store.tasks(loop.id)
        hardest = tasks.ids[np.argsort(-tasks.losses)][:10]
        assert loop.project.quality["meaningful"]
        assert loop.order() == loop.order("query") == hardest[::2].tolist()
        assert loop.versions() == {loop.served(): 5}
        assert loop.work(5, [loop.lead]) == loop.order()


@pytest.fixture(scope="module")
def small(make: Callable[..., Loop]) -> Iterator[tuple[Loop, list[Project]]]:
    """From no task to none left, and on."""
    params = {"rounds": 5, "query_size": 4, "control_share": 0, "reserve_size": 0, "pretext_epochs": 1}
    with make("small", params=params) as loop:
        stages = [loop.ask()]
        loop.add(10, flat)
        stages.append(loop.ask())
        for _ in range(3):
            stages.append(close_round(loop))
        stages.append(loop.ask())
        loop.add(4, flat)
        stages.append(loop.ask())
        yield loop, stages


def test_an_empty_project_waits_for_tasks(small: tuple[Loop, list[Project]]) -> None:
    empty = small[1][0]
    assert (empty.phase, empty.error, empty.round, empty.served_version) == ("waiting for tasks", "", 0, "")


def test_a_pool_too_small_for_the_settings_gets_fewer_rounds_and_says_so(small: tuple[Loop, list[Project]]) -> None:
    first = small[1][1]
    assert first.notices["schedule"].startswith("10 usable images are too few for 5 rounds of 4: there will be 2 of 4.")


def test_an_exhausted_pool_is_said_and_a_later_import_revives_it(small: tuple[Loop, list[Project]]) -> None:
    loop, stages = small
    assert [stage.phase for stage in stages[1:4]] == ["labelling"] * 3
    assert [stage.round for stage in stages[1:4]] == [1, 2, 3]
    assert (stages[4].phase, stages[4].round) == ("exhausted", 4)
    assert (stages[5].phase, stages[5].round, stages[5].error) == ("exhausted", 4, "")
    assert (stages[6].phase, stages[6].round) == ("labelling", 4)
    assert len(loop.order("query")) == 4
    assert loop.next() == loop.order()[0]


def test_another_image_field_in_the_config_is_heeded_for_tasks_that_nobody_touched(make: Callable[..., Loop]) -> None:
    """Also where the web process was told first: /setup comes with every look at the project's settings."""
    with make("field") as loop:
        loop.lead.import_tasks(loop.id, [{"data": {"image": "", "picture": f"/data/upload/{i}.png"}} for i in range(3)])
        loop.ask()
        assert loop.store.counts(loop.id)["aside"] == 3
        corrected = LABEL_CONFIG.replace("$image", "$picture")
        loop.client.update_project(loop.id, label_config=corrected)
        loop.connect(corrected)
        loop.ask()
        assert set(loop.store.task_images(loop.id).values()) == {f"/data/upload/{i}.png" for i in range(3)}
