"""Act: what people can do to a project, and the log of what they did. ``server.actions`` has the routes that do it."""

from fastapi import APIRouter
from fastapi.responses import Response

from pt4al_backend.server.actions import actions
from pt4al_backend.server.rendering import panel
from pt4al_backend.server.requests import MOST_CHOSEN
from pt4al_backend.server.services import Served
from pt4al_backend.state.schema import ActionKind, RoundState

#: Tasks that people chose of which the page gives the numbers.
CHOICES_SHOWN = 20

#: What the log says of each action.
WORDS = {
    ActionKind.TRAIN: "requested a training",
    ActionKind.PAUSE: "paused the project",
    ActionKind.RESUME: "resumed the project",
    ActionKind.CLOSE_ROUND: "closed a round",
    ActionKind.ADD_CONTROL_PICKS: "added control picks",
    ActionKind.LABEL_NEXT: "chose tasks to be labelled next",
    ActionKind.WITHDRAW_CHOICES: "withdrew choices",
    ActionKind.PUT_BACK: "put back what Label Studio had before",
    ActionKind.CHANGE_SETTINGS: "changed settings",
    ActionKind.SHOW_TASKS: "showed tasks in Label Studio",
}

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project}/act")
def act(project: str, services: Served) -> Response:
    """What can be done, and what was."""
    row = services.project(project)
    current = services.store.round(row.id, row.round)
    return panel(
        "act",
        "act.html",
        services.statuses.find(project),
        round_is_open=current is not None and current.state == RoundState.OPEN,
        choices=services.store.choices(row.id).tolist(),
        choices_shown=CHOICES_SHOWN,
        replaced=bool(row.chosen_before),
        log=actions(project, services),
        words=WORDS,
        most=MOST_CHOSEN,
    )
