"""A round that people close early although no model can be trained."""

from pathlib import Path

from pt4al_backend.bench.numbers.looking import CONFIG, CONTROL, PROJECT, fill
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

TASKS = 50


class Runner:
    """Does no job, and says why."""

    def run(self, *_: object) -> Path:
        raise TrainingImpossible("There is too little memory.", "Lower image_size.")


def test_round_that_cannot_be_trained_goes_on_and_says_how_to_get_out(tmp_path: Path) -> None:
    with StubStudio({PROJECT: StubProject(CONFIG, CONTROL, TASKS)}) as studio:
        settings = ServerSettings(
            LABEL_STUDIO_URL=studio.url, LABEL_STUDIO_API_KEY="0" * 40, data_dir=tmp_path, device="cpu", pretrained="off"
        )
        waiting = fill(settings, TASKS)
        store = Store.open(settings)
        worker = Worker(settings, store, Runner())

        def look() -> Project:
            worker.handle_request(PROJECT)
            project = store.project(PROJECT)
            assert project is not None
            return project

        try:
            store.put_answers(PROJECT, {waiting[0]: StoredAnswer(AnswerKind.LABEL, "odd", stamp="read")})
            look()
            store.change(PROJECT, round_to_close=1)
            failed = look()
            assert "too little memory" in failed.error
            assert (failed.round, failed.round_to_close) == (1, 0)
            for words in ("too little memory", "Lower image_size", "Round 1 was not closed", "close it again"):
                assert words in failed.notices["close"]
            after = look()
            assert (after.error, after.notices["close"]) == ("", failed.notices["close"])
        finally:
            store.close()
