"""Files of a live project that are cut, deleted or overwritten: it makes them again, and labelling continues."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.state.paths import frames_path, project_dir
from tests.support.kinds import BRUSH
from tests.support.loop import Loop
from tests.support.servers import LabelStudioServer

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(600)]

PARAMS = {"rounds": 8, "query_size": 3, "control_share": 0, "reserve_size": 3, "pretext_epochs": 1, "epochs": 1, "width": 8}


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 1)


def overwrite(path: Path) -> None:
    path.write_bytes(b"\x5a" * path.stat().st_size)


def delete(path: Path) -> None:
    path.unlink()


HARMS: tuple[Callable[[Path], None], ...] = (cut, delete, overwrite)


@pytest.fixture(scope="module")
def loop(label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with Loop(label_studio, lead, tmp_path_factory.mktemp("damage"), PARAMS) as loop:
        loop.add(60)
        loop.reconcile()
        yield loop


def next_round(loop: Loop) -> None:
    """Answers the open round; fails unless the next one opens with a model of all labels, on whole files."""
    number = loop.project.round
    loop.annotate_all(loop.order("query"))
    project = loop.reconcile()
    assert (project.phase, project.error, project.round) == ("labelling", "", number + 1)
    assert {"frames", "learner", "model"}.isdisjoint(project.notices)
    result = loop.settings.data_dir / project.model
    assert artefacts.manifest(result)["train_size"] == len(loop.labels().train)
    assert artefacts.manifest(result)["init"] == "pretext"
    assert loop.versions()[loop.served()] == len(loop.picks())
    assert len(loop.store.tasks(loop.id).where(loop.store.tasks(loop.id).rows >= 0)) == 60


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_frame_file_is_fetched_again_and_labelling_continues(loop: Loop, harm: Callable[[Path], None]) -> None:
    next_round(loop)
    harm(frames_path(loop.settings, loop.project))
    next_round(loop)


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_learner_is_trained_again_before_the_next_model(loop: Loop, harm: Callable[[Path], None]) -> None:
    before = loop.project.learner
    harm(loop.settings.data_dir / before / artefacts.WEIGHTS)
    notices = loop.reconcile().notices
    assert "pretext learner is missing or damaged. It is trained again before the next model" in notices["learner"]
    next_round(loop)
    assert loop.project.learner != before


def test_deleted_model_is_trained_again_at_the_press_of_the_button(loop: Loop) -> None:
    next_round(loop)
    shutil.rmtree(loop.settings.data_dir / loop.project.model)
    assert "Start Training does it now" in loop.reconcile().notices["model"]
    project = loop.reconcile(train=True)
    assert artefacts.is_complete(loop.settings.data_dir / project.model)
    assert {"button", "model"}.isdisjoint(project.notices)


def test_project_folder_that_was_deleted_is_made_again(loop: Loop) -> None:
    shutil.rmtree(project_dir(loop.settings, loop.project))
    loop.reconcile()
    next_round(loop)


def test_damaged_mask_is_drawn_again(label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path) -> None:
    params = {**PARAMS, "query_size": 6}
    with Loop(label_studio, lead, tmp_path, params, kind=BRUSH) as loop:
        loop.add(24)
        loop.reconcile()
        loop.annotate_all(loop.order("query")[:5])
        loop.reconcile()
        masks = sorted((project_dir(loop.settings, loop.project) / "masks").glob("*.png"))
        content = {path: path.read_bytes() for path in masks}
        for path in masks:
            data = bytearray(content[path])
            data[40:-12] = b"\x5a" * len(data[40:-12])
            path.write_bytes(data)
        loop.annotate_all(loop.order("query")[5:])
        project = loop.reconcile()
        assert "training tried again" in project.remedy
        loop.reconcile()
        assert {path: path.read_bytes() for path in masks} == content
        assert loop.reconcile(train=True).round == 2
        assert np.isfinite(loop.store.tasks(loop.id).losses).all()
