"""Where people and programs read the pool estimate: page, report, API and terminal."""

from collections.abc import Callable

import pytest
from markupsafe import escape

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights.pool_estimate import FULL, NETWORK, NO_HELP
from pt4al_backend.jobs.results import CANDIDATES
from pt4al_backend.learn.frozen.heads import LinearHead
from pt4al_backend.measures import FullModel
from pt4al_backend.ops.overview import overview
from pt4al_backend.ops.terminal import out
from pt4al_backend.server.panels.overview import Overviews
from pt4al_backend.server.status import Statuses
from pt4al_backend.state.store import Store
from tests.support.estimated import fill_estimated, head
from tests.support.filled import PROJECT
from tests.support.web_client import Client

READ = "confidence on the whole pool, which they correct"


def test_estimate_is_beside_the_control_picks_wherever_they_are_read(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    fill_estimated(store, settings, head())
    found = client.get(f"/api/projects/{PROJECT}").json()
    estimate = found["pool_estimate"]
    assert estimate["low"] < estimate["value"] < estimate["high"]
    assert estimate["picks"] < estimate["worth"]
    assert found["control"]["value"] == pytest.approx(24 / 30)
    for page in ("", "/report"):
        text = client.page(f"/projects/{PROJECT}{page}").text
        assert READ in text
        for bound in ("value", "low", "high"):
            assert f"{100 * estimate[bound]:.1f}" in text
    status = Statuses(store, data_dir=settings.data_dir).of(PROJECT)
    assert status is not None
    with out.capture() as shown:
        out.print(overview([(status, Overviews(store).of(status))]))
    said = " ".join(shown.get().split())
    assert READ in said
    assert f"{estimate['value']:.1%}" in said


@pytest.mark.parametrize(("made", "why"), [(lambda: None, NETWORK), (lambda: head(100.0), NO_HELP)], ids=["network", "sure"])
def test_page_says_why_there_is_no_estimate(
    client: Client, store: Store, settings: ServerSettings, made: Callable[[], LinearHead | None], why: str
) -> None:
    fill_estimated(store, settings, made())
    found = client.get(f"/api/projects/{PROJECT}").json()
    assert (found["pool_estimate"], found["pool_estimate_missing"]) == (None, why)
    assert f"no pool estimate beside the control picks. {escape(why)}" in client.page(f"/projects/{PROJECT}").text
    for page in ("", "/report"):
        assert READ not in client.page(f"/projects/{PROJECT}{page}").text


def test_estimate_of_the_head_is_not_shown_for_a_served_model_whose_encoder_is_trained(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    fill_estimated(store, settings, head())
    model = settings.data_dir / "projects" / str(PROJECT) / "full-1" / "result"
    with artefacts.writing(model) as folder:
        for name in (artefacts.WEIGHTS, CANDIDATES):
            (folder / name).write_bytes(b"a model")
    store.change(PROJECT, full_model=FullModel(model=str(model.relative_to(settings.data_dir)), labels=61))
    found = client.get(f"/api/projects/{PROJECT}").json()
    assert (found["served"]["kind"], found["pool_estimate"], found["pool_estimate_missing"]) == ("full", None, FULL)
    assert FULL in client.page(f"/projects/{PROJECT}").text
