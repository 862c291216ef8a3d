"""Pools that grow, run out, are too small, or get another class or field: what the engine makes of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.state.schema import Project
from tests.support.here import RestartingHere
from tests.support.images import LABEL_CONFIG, flat
from tests.support.loop import Loop
from tests.support.servers import LabelStudioServer

pytestmark = pytest.mark.label_studio

FOUR_CLASSES = LABEL_CONFIG.replace("</Choices>", '<Choice value="black"/></Choices>')


@pytest.fixture(scope="module")
def make(label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Loop]:
    def make(name: str, **options: Any) -> Loop:
        return Loop(label_studio, lead, tmp_path_factory.mktemp(name), runner=RestartingHere(), **options)

    return make


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
        seen = Growth(loop, [loop.reconcile().learner])
        few_images_come_late(seen)
        a_training_fails(seen)
        many_images_come_late(seen)
        a_class_is_added(seen)
        yield seen


def few_images_come_late(seen: Growth) -> None:
    loop = seen.loop
    seen.few = loop.add(3)
    seen.learners.append(loop.reconcile().learner)
    tasks = loop.store.tasks(loop.id)
    seen.batches_of_few = tasks.batches[np.isin(tasks.ids, seen.few)].tolist()
    seen.picks_with_few = loop.order()


class FailingRunner:
    """Every job is impossible; counts how often one was tried."""

    def __init__(self) -> None:
        self.tries = 0

    def run(self, *_: object) -> Path:
        self.tries += 1
        raise TrainingImpossible("The loss became nan in epoch 2 of 6.", "Set learning_rate to less.")


def a_training_fails(seen: Growth) -> None:
    loop, runner = seen.loop, FailingRunner()
    loop.annotate_all(loop.order("query"))
    working, loop.engine = loop.engine, Worker(loop.settings, loop.store, runner)
    for train in (False, False, True, False):
        seen.failed = loop.reconcile(train=train)
        seen.tries.append(runner.tries)
    loop.connect(learning_rate=0.05)
    loop.reconcile()
    seen.tries.append(runner.tries)
    loop.engine = working
    seen.rounds.append(loop.project.round)


def many_images_come_late(seen: Growth) -> None:
    loop = seen.loop
    seen.many = loop.add(9)
    after = loop.reconcile(train=True)
    seen.learners.append(after.learner)
    seen.models.append(loop.settings.data_dir / after.model)
    seen.rounds.append(after.round)


def a_class_is_added(seen: Growth) -> None:
    loop = seen.loop
    loop.client.update_project(loop.id, label_config=FOUR_CLASSES)
    loop.connect(FOUR_CLASSES)
    loop.reconcile()
    first, *rest = loop.order("query")
    loop.annotate(first, "black")
    loop.annotate_all(rest)
    after = loop.reconcile()
    seen.models.append(loop.settings.data_dir / after.model)
    seen.rounds.append(after.round)


def test_few_late_images_are_scored_by_the_stored_learner_for_later_batches(growth: Growth) -> None:
    assert growth.learners[1] == growth.learners[0]
    assert set(growth.batches_of_few) <= {2, 3}
    assert not set(growth.few) & set(growth.picks_with_few)


def test_failed_training_is_shown_and_repeated_on_the_button_or_other_settings(growth: Growth) -> None:
    assert growth.failed is not None
    assert growth.failed.error == "The loss became nan in epoch 2 of 6."
    assert growth.failed.remedy == "Set learning_rate to less."
    assert growth.tries == [1, 1, 2, 2, 3]
    assert growth.rounds == [1, 2, 3]
    assert growth.loop.project.error == ""


def test_pool_grown_by_over_a_fifth_gets_a_new_learner_after_the_round(growth: Growth) -> None:
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
    assert after["init"] == "pretext"  # each round starts from the learner, with a head of as many classes as there are now
    assert after["train_size"] == 12


def test_the_paper_asks_for_even_intervals_of_the_hardest_batch_and_nothing_else(make: Callable[..., Loop]) -> None:
    with make("paper", params={"preset": "paper", "rounds": 4, "query_size": 5, "epochs": 2}) as loop:
        loop.add(40)
        loop.reconcile()
        tasks = loop.store.tasks(loop.id)
        hardest = tasks.ids[np.argsort(-tasks.losses)][:10]
        assert loop.project.quality.meaningful
        assert loop.order() == loop.order("query") == hardest[::2].tolist()
        assert loop.versions() == {loop.served(): 5}
        assert loop.work(5, [loop.lead]) == loop.order()


@pytest.fixture(scope="module")
def small(make: Callable[..., Loop]) -> Iterator[tuple[Loop, list[Project]]]:
    """From no task to none left, and on."""
    params = {"rounds": 5, "query_size": 4, "control_share": 0, "reserve_size": 0, "pretext_epochs": 1}
    with make("small", params=params) as loop:
        stages = [loop.reconcile()]
        loop.add(10, flat)
        stages.append(loop.reconcile())
        for _ in range(3):
            loop.annotate_all(loop.order("query"), "red")  # one class: nothing is trained
            stages.append(loop.reconcile())
        stages.append(loop.reconcile())
        loop.add(4, flat)
        stages.append(loop.reconcile())
        yield loop, stages


def test_an_empty_project_waits_for_tasks(small: tuple[Loop, list[Project]]) -> None:
    empty = small[1][0]
    assert (empty.phase, empty.error, empty.round, empty.served_version) == ("waiting for tasks", "", 0, "")


def test_a_pool_too_small_for_the_settings_gets_fewer_rounds_and_says_so(small: tuple[Loop, list[Project]]) -> None:
    first = small[1][1]
    assert first.notices["schedule"].startswith("10 usable images are too few for 5 rounds of 4: there will be 2 of 4.")


def test_exhausted_pool_is_reported_and_a_later_import_revives_it(small: tuple[Loop, list[Project]]) -> None:
    loop, stages = small
    assert [stage.phase for stage in stages[1:4]] == ["labelling"] * 3
    assert [stage.round for stage in stages[1:4]] == [1, 2, 3]
    assert (stages[4].phase, stages[4].round) == ("exhausted", 4)
    assert (stages[5].phase, stages[5].round, stages[5].error) == ("exhausted", 4, "")
    assert (stages[6].phase, stages[6].round) == ("labelling", 4)
    assert len(loop.order("query")) == 4
    assert loop.next() == loop.order()[0]


def test_another_image_field_in_the_config_applies_to_untouched_tasks(make: Callable[..., Loop]) -> None:
    """Also where the web process was told first: /setup comes with every look at the project's settings."""
    with make("field") as loop:
        loop.lead.import_tasks(loop.id, [{"data": {"image": "", "picture": f"/data/upload/{i}.png"}} for i in range(3)])
        loop.reconcile()
        assert loop.store.counts(loop.id)["aside"] == 3
        corrected = LABEL_CONFIG.replace("$image", "$picture")
        loop.client.update_project(loop.id, label_config=corrected)
        loop.connect(corrected)
        loop.reconcile()
        images = loop.store.task_images(loop.id, loop.store.task_ids(loop.id).tolist())
        assert set(images.values()) == {f"/data/upload/{i}.png" for i in range(3)}


def test_labels_that_a_project_brings_train_before_round_1_is_queried(make: Callable[..., Loop]) -> None:
    params = {"rounds": 2, "query_size": 6, "control_share": 0, "reserve_size": 4, "sampler": "least_confidence"}
    with make("brought", params=params) as loop:
        brought = loop.add(30)[:10]
        loop.annotate_all(brought)
        loop.reconcile()
        assert loop.round.number == 1
        assert not set(loop.order()) & set(brought)
        assert None not in [pick.confidence for pick in loop.picks("query")]
        assert loop.project.model
        before = loop.store.round(loop.id, 0)
        assert before is not None
        assert (before.state, before.labels, before.model) == ("closed", len(brought), loop.project.model)
        loop.annotate_all(loop.order("query"))
        assert loop.reconcile().round == 2
        after = loop.store.round(loop.id, 1)
        assert after is not None
        assert after.labels == len(brought) + 6


def test_brought_labels_of_one_class_leave_round_1_to_the_ranking(make: Callable[..., Loop]) -> None:
    with make("one class", params={"rounds": 2, "query_size": 6, "control_share": 0, "reserve_size": 4}) as loop:
        loop.annotate_all(loop.add(24)[:4], "red")
        loop.reconcile()
        assert (loop.project.round, loop.project.model, loop.project.error) == (1, "", "")
        assert loop.order("query")
