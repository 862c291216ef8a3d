"""Errors that everybody can read name no folder of the machine, and no address of its network."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.redaction import Redaction
from pt4al_backend.state.store import Store
from tests.support.bodies import event, setup
from tests.support.rounds import PROJECT
from tests.support.web_client import Client

LABEL_STUDIO = "http://label-studio.inside.example:8080"
DATABASE = 'connection to server at "10.11.12.13", port 5432 failed: Connection refused'


def test_status_hides_folders_and_addresses_of_errors(
    connect_client: Callable[..., Client], store: Store, settings: ServerSettings
) -> None:
    client = connect_client(label_studio_url=LABEL_STUDIO)
    folder = settings.data_dir / "projects" / "3" / "learn-1"
    store.connect(PROJECT, hostname="http://named.example", error=f"{folder} is damaged; {LABEL_STUDIO}/api gives 500.")
    store.change(
        PROJECT, remedy=f"Delete {folder}.", notices={"images": f"http://named.example is away; see {settings.data_dir}."}
    )
    for answer in (client.get("/api/projects/3"), client.page("/projects/3"), client.page("/projects/3/status")):
        assert "PT4AL_DATA_DIR/projects/3/learn-1 is damaged" in answer.text
        assert "LABEL_STUDIO_URL/api" in answer.text
        for hidden in (str(settings.data_dir), "inside.example", "named.example"):
            assert hidden not in answer.text


def test_database_that_is_away_is_named_without_its_address(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: int) -> None:
        raise OperationalError("SELECT …", {}, ConnectionError(DATABASE))

    monkeypatch.setattr(store, "project", away)
    for answer in (client.post("/webhook", json=event()), client.post("/setup", json=setup()), client.page("/projects/3")):
        assert answer.status_code == 503
        assert "10.11.12.13" not in answer.text
        assert "PT4AL_DATABASE_URL" in answer.text
    assert "10.11.12.13" in caplog.text


def test_paths_of_label_studio_stay_where_the_data_folder_is_named_alike() -> None:
    hide = Redaction(ServerSettings(data_dir=Path("/data"))).hide
    for kept in (
        "/data/upload/7/a.png is gone.",
        "http://a.example/data/projects",
        "/data/local-files/?d=x",
        "/database",
        "x/data",
    ):
        assert hide(kept) == kept
    assert hide("/data is full; /data/projects/3 is damaged") == "PT4AL_DATA_DIR is full; PT4AL_DATA_DIR/projects/3 is damaged"
