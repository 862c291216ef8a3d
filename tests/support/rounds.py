"""A project in the middle of its work, written straight into the state."""

from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import Pick, Publication, PublicationState, Round, RoundState
from pt4al_backend.state.store import Store
from tests.support.bodies import CONFIG

PROJECT = 3
VERSION = "pt4al-r1-20261121-061208"


def add_tasks(store: Store, *ids: int) -> None:
    """Puts tasks into the pool."""
    store.put_tasks(PROJECT, [{"id": i, "image": f"/data/upload/3/{i}.png", "problem": ""} for i in ids])


def pick(
    task_id: int, kind: str = PickKind.QUERY, label: str = "", confidence: float | None = None, round_number: int = 1
) -> Pick:
    """One pick; its score tells its task."""
    return Pick(
        project_id=PROJECT,
        round=round_number,
        task_id=task_id,
        position=task_id,
        kind=PickKind(kind),
        score=task_id / 1000,
        label=label,
        confidence=confidence,
    )


def open_round(store: Store, *picks: Pick, number: int = 1, closed: ClosedRound | None = None) -> None:
    """Opens a round with these picks, served as `VERSION`."""
    if store.project(PROJECT) is None:
        store.connect(PROJECT, label_config=CONFIG)
    opened = Round(project_id=PROJECT, number=number, state=RoundState.OPEN, batch=number, opened_at=1_800_000_000.0)
    store.open_round(PROJECT, opened, picks, closed=closed)
    if number == 1:
        store.announce(
            Publication(
                project_id=PROJECT,
                version=VERSION,
                round=1,
                state=PublicationState.SENDING,
                digest="d",
                answered_by="",
                picks=len(picks),
                at=1.0,
            )
        )
        store.go_live(PROJECT, VERSION)
