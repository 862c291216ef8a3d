"""What trains and what measures a model, and what is left when its files are gone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.query import Rounds, last_output
from pt4al_backend.engine.train import Trainer
from pt4al_backend.jobs.folder import job_of
from pt4al_backend.jobs.runner import ChildRunner, Runner
from pt4al_backend.jobs.spec import JobSpec
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.query.confidence import SAMPLERS
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.paths import pixel_path
from pt4al_backend.state.schema import AnswerKind, Pick, PickKind, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.images import CLASSES, LABEL_CONFIG
from tests.support.pools import SIZE, arrows


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    """Ten tasks with images, of which the first is a control pick."""
    opened = Store.open(settings)
    opened.connect(1, **dict.fromkeys(("image_height", "image_width", "stored_height", "stored_width"), SIZE))
    opened.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(1, 11)])
    opened.set_tasks(1, {"id": list(range(1, 11)), "row": list(range(10))})
    pick = Pick(project_id=1, round=1, task_id=1, position=0, kind=PickKind.CONTROL, score=0.5)
    opened.turn_round(1, Round(project_id=1, number=1, state=RoundState.OPEN), [pick])
    yield opened
    opened.close()


class Cut(BaseException):
    """Ends a job as a kill would."""

    def __init__(self, job: JobSpec | None) -> None:
        super().__init__()
        assert job is not None
        self.job = job


class CutShort:
    """Runs no job further than its folder."""

    def run(self, folder: Path, *_: object) -> Path:
        raise Cut(job_of(folder))


class Ranks:
    """Ranks each pool by these losses, without training anything."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = losses

    def run(self, folder: Path, *_: object) -> Path:
        with artefacts.writing(folder / "result", quality={"meaningful": True}) as draft:
            np.save(draft / "losses.npy", np.array(self.losses))
        return folder / "result"


def trainer(
    store: Store, settings: ServerSettings, config: str = LABEL_CONFIG, runner: Runner | None = None, **params: Any
) -> Trainer:
    project = store.project(1)
    assert project is not None
    reader = ClassificationReader(parse(config))
    return Trainer(store, settings, project, ProjectSettings(**params), reader, runner or CutShort())


def output(store: Store, settings: ServerSettings, **params: Any) -> StoredOutput:
    project = store.project(1)
    assert project is not None
    return last_output(settings, project, ProjectSettings(**params))


def digest(store: Store, settings: ServerSettings, config: str = LABEL_CONFIG, **params: Any) -> str:
    one = trainer(store, settings, config, **params)
    return one.digest(one.take_labels())


def answer(store: Store, task: int, label: str, kind: AnswerKind = AnswerKind.LABEL, **given: Any) -> None:
    store.put_answers(1, {task: StoredAnswer(kind, label, **given)})


def test_labels_are_split_into_what_trains_and_what_measures(store: Store, settings: ServerSettings) -> None:
    answer(store, 1, "red")
    answer(store, 2, "green")
    answer(store, 3, "", AnswerKind.SKIP)
    answer(store, 4, "blue", note="1 of 2 annotations is left out, the others count. Submitted with several choices.")
    answer(store, 5, "purple")  # no class of the config (any more)
    answer(store, 6, "red")
    store.set_tasks(1, {"id": [6], "problem": ["not an image"]})
    labels = trainer(store, settings).take_labels()
    assert (labels.train, labels.control) == ({2: "green", 4: "blue"}, {1: "red"})
    counts = store.counts(1)
    assert (counts["labelled"], counts["skipped"], counts["aside"]) == (4, 1, 2)  # 5 has no label that can be learned
    assert [task for task, _ in store.set_aside(1)[1]] == [4, 5, 6]


def test_accepted_predictions_train_unless_the_settings_say_no(store: Store, settings: ServerSettings) -> None:
    answer(store, 2, "green", accepted=True)
    assert trainer(store, settings).take_labels().train == {2: "green"}
    assert trainer(store, settings, train_on_accepted=False).take_labels().train == {}


def test_what_a_model_would_learn_anew_has_another_digest(store: Store, settings: ServerSettings) -> None:
    answer(store, 2, "green")
    digests = {digest(store, settings) for _ in range(2)}
    assert len(digests) == 1
    answer(store, 1, "red")  # a control pick changes nothing that is learned
    digests.add(digest(store, settings))
    assert len(digests) == 1
    digests.add(digest(store, settings, epochs=3))
    more = LABEL_CONFIG.replace("</Choices>", '<Choice value="black"/></Choices>')
    digests.add(digest(store, settings, more))
    answer(store, 2, "blue")
    digests.add(digest(store, settings))
    assert len(digests) == 4


def test_a_model_whose_files_are_gone_has_scored_nothing(store: Store, settings: ServerSettings) -> None:
    folder = settings.data_dir / "projects" / "1" / "learn-1"
    with artefacts.writing(folder / "result", classes=["red", "green"]) as draft:
        said = {name: np.array([0.75]) for name in SAMPLERS}
        np.savez(draft / "candidates.npz", labels=np.array(["green"]), **said)
    np.save(folder / "candidate_ids.npy", np.array([7], np.int64))
    store.change(1, model="projects/1/learn-1/result")
    found = output(store, settings)
    assert (found.ids.tolist(), found.labels.tolist(), found.confidences["margin"].tolist()) == ([7], ["green"], [0.75])
    for damage in (b"", b"damaged", (folder / "result" / "candidates.npz").read_bytes()[:-40]):
        (folder / "result" / "candidates.npz").write_bytes(damage)
        assert not len(output(store, settings).ids)
    shutil.rmtree(folder)
    assert not len(output(store, settings).ids)


def test_what_was_kept_for_a_strategy_goes_to_it_with_the_scores(store: Store, settings: ServerSettings) -> None:
    folder = settings.data_dir / "projects" / "1" / "learn-1"
    kept = {"features": np.ones((2, 3)), "labelled": np.zeros((4, 3)), "posteriors": np.full((2, 2), 0.5)}
    with artefacts.writing(folder / "result") as draft:
        np.savez(draft / "candidates.npz", labels=np.array(["", ""]), **{name: np.full(2, 0.5) for name in SAMPLERS})
        for name, rows in kept.items():
            np.save(draft / f"{name}.npy", rows.astype(np.float16))
    np.save(folder / "candidate_ids.npy", np.array([7, 8], np.int64))
    store.change(1, model="projects/1/learn-1/result")
    found = output(store, settings)
    for name, rows in kept.items():
        np.testing.assert_array_equal(getattr(found, name), rows)


def test_before_there_is_a_model_the_pretext_learner_speaks_to_a_strategy_that_starts_with_it(
    store: Store, settings: ServerSettings
) -> None:
    folder = settings.data_dir / "projects" / "1" / "rank-1"
    with artefacts.writing(folder / "result") as draft:
        np.save(draft / "features.npy", np.ones((2, 3), np.float16))
    np.save(folder / "ids.npy", np.array([7, 8], np.int64))
    assert not len(output(store, settings, strategy="typiclust").ids)  # nothing is ranked
    store.change(1, learner="projects/1/rank-1/result")
    found = output(store, settings, strategy="typiclust")
    assert found.features is not None
    assert (found.ids.tolist(), found.features.tolist(), found.confidences) == ([7, 8], [[1, 1, 1]] * 2, {})
    assert not len(output(store, settings, strategy="core_set").ids)
    (folder / "result" / "features.npy").write_bytes(b"damaged")
    assert not len(output(store, settings, strategy="typiclust").ids)
    (folder / "result" / "features.npy").unlink()  # it was ranked for another strategy
    assert not len(output(store, settings, strategy="typiclust").ids)


def learner(store: Store, settings: ServerSettings, number: int = 1, **said: Any) -> Path:
    """A pretext learner that the project has; its folder."""
    folder = settings.data_dir / "projects" / "1" / f"rank-{number}"
    with artefacts.writing(folder / "result", settings=ProjectSettings(**said).model_dump(mode="json")):
        pass
    store.change(1, learner=f"projects/1/rank-{number}/result", learner_pool=10)
    return folder


def training(store: Store, settings: ServerSettings, **params: Any) -> Any:
    """Begins or resumes this round's training; its job."""
    with pytest.raises(Cut) as cut:
        trainer(store, settings, **params).train(lambda: np.arange(7, 11), lambda _: None, lambda: None)
    return cut.value.job


def ranking(store: Store, settings: ServerSettings, *, from_scratch: bool = False, **params: Any) -> Any:
    """Begins or resumes the training of a pretext learner; its job."""
    rounds = Rounds(store, store.project(1), ProjectSettings(**params))  # type: ignore[arg-type]
    with pytest.raises(Cut) as cut:
        trainer(store, settings, **params).rank(rounds, lambda _: None, lambda: None, from_scratch=from_scratch)
    return cut.value.job


@pytest.mark.parametrize(("batch_order", "expected"), [("hard_first", [3, 5]), ("easy_first", [1, 3]), ("interleaved", [2, 4])])
def test_late_images_wait_for_batches_to_come(
    store: Store, settings: ServerSettings, batch_order: str, expected: list[int]
) -> None:
    """Round 2 of 5 is open; of two late images one is the hardest of all, and one the easiest."""
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in (11, 12)])
    store.set_tasks(1, {"id": [11, 12], "row": [10, 11]})
    store.set_tasks(1, {"id": range(1, 11), "loss": np.linspace(9, 1, 10), "batch": np.arange(1, 6).repeat(2)})
    learner = settings.data_dir / "projects" / "1" / "rank-1" / "result"
    with artefacts.writing(learner):
        pass
    store.change(1, round=2, learner="projects/1/rank-1/result", learner_pool=10)

    one = trainer(store, settings, runner=Ranks([99.0, 0.0]), batch_order=batch_order)
    one.rank(Rounds(store, store.project(1), ProjectSettings()), lambda _: None, lambda: None)  # type: ignore[arg-type]
    assert store.tasks(1).batches[-2:].tolist() == expected


def test_jobs_ask_for_what_the_strategy_needs(store: Store, settings: ServerSettings) -> None:
    wanted = {}
    for strategy in ("pt4al", "core_set", "typiclust", "badge"):
        for kind, begin in (("rank", ranking), ("learn", training)):
            shutil.rmtree(settings.data_dir / "projects", ignore_errors=True)
            wanted[strategy, kind] = begin(store, settings, strategy=strategy).wants
    assert wanted == {
        ("pt4al", "rank"): (),
        ("pt4al", "learn"): (),
        ("core_set", "rank"): (),
        ("core_set", "learn"): ("features",),
        ("typiclust", "rank"): ("features",),
        ("typiclust", "learn"): ("features",),
        ("badge", "rank"): (),
        ("badge", "learn"): ("features", "posteriors"),
    }


def test_a_pool_has_outgrown_its_learner_when_it_is_a_fifth_larger(store: Store, settings: ServerSettings) -> None:
    assert not trainer(store, settings).outgrown()  # there is none yet
    store.change(1, learner="projects/1/rank-1/result", learner_pool=9)
    assert not trainer(store, settings).outgrown()
    store.change(1, learner_pool=8)
    assert trainer(store, settings).outgrown()


def test_settings_that_ask_for_another_learner_get_it(store: Store, settings: ServerSettings) -> None:
    learner(store, settings, encoder="resnet18")
    assert not trainer(store, settings, encoder="resnet18", epochs=3).outgrown()
    assert trainer(store, settings, encoder="resnet34").outgrown()
    assert trainer(store, settings, encoder="resnet18", pretext="jigsaw").outgrown()


def test_a_training_that_was_cut_short_ends_before_the_learner_is_trained_anew(store: Store, settings: ServerSettings) -> None:
    learner(store, settings)
    training(store, settings)
    store.change(1, learner_pool=5)
    assert not trainer(store, settings).outgrown()
    store.change(1, round=2)
    assert trainer(store, settings).outgrown()


def test_other_settings_get_another_learner_before_the_training_that_they_begin_anew(
    store: Store, settings: ServerSettings
) -> None:
    learner(store, settings)
    training(store, settings)
    assert trainer(store, settings, pretext="jigsaw").outgrown()


def test_learner_stays_for_as_long_as_a_job_names_it(store: Store, settings: ServerSettings) -> None:
    first = learner(store, settings)
    assert training(store, settings).learner == first / "result"
    one = trainer(store, settings, runner=Ranks(np.linspace(1, 2, 10).tolist()))
    one.rank(Rounds(store, store.project(1), ProjectSettings()), lambda _: None, lambda: None, from_scratch=True)  # type: ignore[arg-type]
    assert (first / "result").is_dir()
    shutil.rmtree(first.parent / "learn-1")
    one.forget_old_models()
    assert sorted(path.name for path in first.parent.glob("rank-*")) == ["rank-2"]


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({}, False),
        ({"show_predictions": False, "query_size": 2, "pretext_epochs": 3}, False),
        ({"strategy": "learning_loss", "companion_steps": 4}, True),
        ({"sampler": "k_center"}, True),
        ({"epochs": 3}, True),
        ({"pretext": "jigsaw"}, True),
    ],
)
def test_a_training_goes_on_under_new_labels_and_begins_anew_under_other_settings(
    store: Store, settings: ServerSettings, changed: dict[str, Any], anew: bool
) -> None:
    answer(store, 2, "green")
    first = training(store, settings)
    answer(store, 3, "red")
    again = training(store, settings, **changed)
    assert (again.digest != first.digest, again != first) == (anew, anew)


def test_a_class_that_was_added_begins_a_training_anew(store: Store, settings: ServerSettings) -> None:
    more = LABEL_CONFIG.replace("</Choices>", '<Choice value="black"/></Choices>')
    assert training(store, settings).classes == ("red", "green", "blue")
    assert training(store, settings, config=more).classes == ("red", "green", "blue", "black")


@pytest.mark.parametrize(
    ("changed", "anew"),
    [({"strategy": "core_set", "epochs": 3}, False), ({"pretext": "jigsaw"}, True), ({"learning_rate": 0.01}, True)],
)
def test_a_ranking_begins_anew_under_settings_that_decide_it(
    store: Store, settings: ServerSettings, changed: dict[str, Any], anew: bool
) -> None:
    first = ranking(store, settings)
    assert (ranking(store, settings, **changed) != first) == anew


def test_a_pretext_that_was_taken_back_is_trained_no_further(store: Store, settings: ServerSettings) -> None:
    first = learner(store, settings)
    ranking(store, settings, from_scratch=True, pretext="jigsaw")
    assert ranking(store, settings).learner == first / "result"  # scores late images with the learner that there is
    assert not (first.parent / "rank-2").exists()


@pytest.mark.slow
def test_a_strategy_that_is_set_midway_asks_without_a_model_until_one_has_said_what_it_needs(
    store: Store, settings: ServerSettings
) -> None:
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(11, 41)])
    ids = np.arange(1, 41)
    store.set_tasks(1, {"id": ids, "row": ids - 1, "loss": np.linspace(9, 1, 40), "batch": np.arange(1, 5).repeat(10)})
    store.change(1, quality={"meaningful": True})
    arrows(pixel_path(settings, store.project(1)), 40)  # type: ignore[arg-type]
    given: dict[str, Any] = {"rounds": 4, "query_size": 4, "control_share": 0, "epochs": 2, "width": 8, "first_query": "top_k"}

    def turn(trained_for: str, asking: str) -> tuple[list[Pick], StoredOutput]:
        """Answers what is asked, trains for a strategy and lets one ask."""
        project = store.project(1)
        assert project is not None
        for pick in store.picks(1, project.round):
            answer(store, pick.task_id, CLASSES[(pick.task_id - 1) % len(CLASSES)])
        before = Rounds(store, project, ProjectSettings(strategy=trained_for, **given))
        one = trainer(store, settings, runner=ChildRunner(), strategy=trained_for, **given)
        scored, closed = one.train(lambda: before.candidates(project.round + 1), lambda _: None, lambda: None)
        Rounds(store, project, ProjectSettings(strategy=asking, **given)).open_next(scored, closed)
        return [pick for pick in store.picks(1, project.round) if pick.kind == "query"], scored

    for task in (2, 3):
        answer(store, task, CLASSES[(task - 1) % len(CLASSES)])
    asked, _ = turn("pt4al", "learning_loss")
    assert [pick.task_id for pick in asked] == [4, 5, 6, 7]  # the highest losses, as first_query says
    asked, scored = turn("learning_loss", "learning_loss")
    doubts = scored.confidences["learning_loss"]
    assert [pick.task_id for pick in asked] == scored.ids[np.argsort(doubts)[:4]].tolist()
    assert {pick.label for pick in asked} <= set(CLASSES)
