"""What trains and what measures a model, and what is left when its files are gone."""

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.label_studio.choices import Choices
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.sampling import SAMPLERS
from pt4al_backend.schema import Pick, Round
from pt4al_backend.settings import ProjectSettings, Settings
from pt4al_backend.store import Store
from pt4al_backend.trainer import Trainer
from tests.images import LABEL_CONFIG


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Ten tasks with images, of which the first is a control pick."""
    opened = Store.open(settings)
    opened.connect(1)
    opened.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(1, 11)])
    opened.set_tasks(1, {"id": list(range(1, 11)), "row": list(range(10))})
    pick = Pick(project_id=1, round=1, task_id=1, position=0, kind="control", score=0.5)
    opened.turn_round(1, Round(project_id=1, number=1, state="open"), [pick])
    yield opened
    opened.close()


def trainer(store: Store, settings: Settings, config: str = LABEL_CONFIG, **params: Any) -> Trainer:
    project = store.project(1)
    assert project is not None
    return Trainer(store, settings, project, ProjectSettings(**params), Choices(parse(config)))


def answer(store: Store, task: int, label: str, **given: Any) -> None:
    store.put_answers(1, [{"id": task, "answer": "label", "label": label, "accepted": False, "note": "", **given}])


def test_labels_are_split_into_what_trains_and_what_measures(store: Store, settings: Settings) -> None:
    answer(store, 1, "red")
    answer(store, 2, "green")
    answer(store, 3, "", answer="skip")
    answer(store, 4, "blue", note="Submitted with several choices.")
    answer(store, 5, "purple")  # no class of the config (any more)
    answer(store, 6, "red")
    store.set_tasks(1, {"id": [6], "problem": ["not an image"]})
    labels = trainer(store, settings).labels()
    assert (labels.train, labels.control) == ({2: "green"}, {1: "red"})


def test_accepted_predictions_train_unless_the_settings_say_no(store: Store, settings: Settings) -> None:
    answer(store, 2, "green", accepted=True)
    assert trainer(store, settings).labels().train == {2: "green"}
    assert trainer(store, settings, train_on_accepted=False).labels().train == {}


def test_what_a_model_would_learn_anew_has_another_digest(store: Store, settings: Settings) -> None:
    answer(store, 2, "green")
    digests = {trainer(store, settings).labels().digest for _ in range(2)}
    assert len(digests) == 1
    answer(store, 1, "red")  # a control pick changes nothing that is learned
    digests.add(trainer(store, settings).labels().digest)
    assert len(digests) == 1
    digests.add(trainer(store, settings, epochs=3).labels().digest)
    more = LABEL_CONFIG.replace("</Choices>", '<Choice value="black"/></Choices>')
    digests.add(trainer(store, settings, more).labels().digest)
    answer(store, 2, "blue")
    digests.add(trainer(store, settings).labels().digest)
    assert len(digests) == 4


def test_a_model_whose_files_are_gone_has_scored_nothing(store: Store, settings: Settings) -> None:
    folder = settings.data_dir / "projects" / "1" / "learn-1"
    with artefacts.writing(folder / "result", classes=["red", "green"]) as draft:
        said = {name: np.array([0.75]) for name in SAMPLERS}
        np.savez(draft / "candidates.npz", labels=np.array(["green"]), **said)
    np.save(folder / "candidate_ids.npy", np.array([7], np.int64))
    store.update(1, model="projects/1/learn-1/result")
    found = trainer(store, settings).scored()
    assert (found.ids.tolist(), found.labels.tolist(), found.confidences["margin"].tolist()) == ([7], ["green"], [0.75])
    for damage in (b"damaged", (folder / "result" / "candidates.npz").read_bytes()[:-40]):
        (folder / "result" / "candidates.npz").write_bytes(damage)
        assert not len(trainer(store, settings).scored().ids)
    shutil.rmtree(folder)
    assert not len(trainer(store, settings).scored().ids)


def test_a_pool_has_outgrown_its_learner_when_it_is_a_fifth_larger(store: Store, settings: Settings) -> None:
    assert not trainer(store, settings).outgrown()  # there is none yet
    store.update(1, learner="projects/1/rank-1/result", learner_pool=9)
    assert not trainer(store, settings).outgrown()
    store.update(1, learner_pool=8)
    assert trainer(store, settings).outgrown()
