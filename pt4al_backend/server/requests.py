"""Label Studio's requests, as far as the backend reads them.

Pydantic parses a body outside of Python's objects, and makes objects only of what is declared here: 10 MB of a webhook
hold the interpreter, and with it the event loop, for 20 ms instead of 110.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, Strict, ValidationError, WithJsonSchema, field_validator

from pt4al_backend.aliases import Json
from pt4al_backend.errors import BadRequest, UnknownProject

START_TRAINING = "START_TRAINING"

#: Every event that Label Studio 1.23 sends to a project's webhook, and the deletion as label-studio-ml spells it.
EVENTS = (
    START_TRAINING,
    "TASKS_CREATED",
    "TASKS_DELETED",
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATION_DELETED",
    "ANNOTATIONS_DELETED",
    "PROJECT_UPDATED",
    "LABEL_LINK_CREATED",
    "LABEL_LINK_UPDATED",
    "LABEL_LINK_DELETED",
)

LARGEST_ID = 2**63 - 1
MOST_SHOWN = 200  # tasks of a tab, a condition each: Label Studio makes two queries for every one, and fails at a thousand
MOST_CHOSEN = 1_000  # tasks of one request: Label Studio is sent all that it serves of a round again
MOST_CONTROL_PICKS = 10_000
PROBLEMS_SHOWN = 3


def project_number(reference: object) -> int:
    """The project's id in what Label Studio calls it: 3, "3", or "3.1795241480" with the second of its creation.

    Raises:
        BadRequest: it is none of them.
    """
    head = reference.partition(".")[0] if isinstance(reference, str) else reference
    if isinstance(head, str) and head.isascii() and head.isdigit() and len(head) <= len(str(LARGEST_ID)):
        head = int(head)
    if isinstance(head, int) and not isinstance(head, bool) and 0 < head <= LARGEST_ID:
        return head
    raise BadRequest(f"{str(reference)[:40]!r} is not a project's id.", 'Send its number, or "number.created".')


def addressed_project(reference: str) -> int:
    """The id of the project that an address of ours names.

    Raises:
        UnknownProject: it is no project's id at all.
    """
    try:
        return project_number(reference)
    except BadRequest:
        raise UnknownProject(reference) from None


def _named_number(reference: object) -> int:
    return project_number(reference.get("id") if isinstance(reference, dict) else reference)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("contains characters that cannot be printed")
    return text


Id = Annotated[int, Strict(), Field(gt=0, le=LARGEST_ID)]
RoundNumber = Annotated[int, Strict(), Field(gt=0, le=2**31 - 1)]
Text = Annotated[str, Strict()]
_NAME: Json = {"anyOf": [{"type": "integer"}, {"type": "string"}], "description": 'Its id, or "id.created".'}
#: A project by its id, or by "id.created".
ProjectName = Annotated[int, BeforeValidator(project_number), WithJsonSchema(_NAME)]
#: The same, or an object with an id.
ProjectNameOrObject = Annotated[
    int, BeforeValidator(_named_number), WithJsonSchema({"anyOf": [*_NAME["anyOf"], {"type": "object"}]})
]


class Body(BaseModel):
    """A request's body. Errors name the keys and never quote the values, which may be secrets."""

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Reads the text of a body.

        Raises:
            BadRequest: it is no JSON, or a key is missing or has a value that is not allowed.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _bad_request(error) from None

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Self:
        """Checks a body that a host has read already.

        Raises:
            BadRequest: a key is missing or has a value that is not allowed.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise _bad_request(error) from None


def _bad_request(error: ValidationError) -> BadRequest:
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:PROBLEMS_SHOWN]
    wrong = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg'].removeprefix('Value error, ')}" for each in problems]
    return BadRequest(f"Invalid request body: {'; '.join(wrong)}.", "Send JSON as /openapi.json describes.")


class SetupRequest(Body):
    """Label Studio introduces a project, or sends what changed.

    None stands for a key that was left out: what is stored stays. A null in the body clears the value, as "" or {} does.
    """

    project: ProjectName
    label_config: Text = Field(alias="schema")
    hostname: Annotated[Text, Field(max_length=2000)] | None = None
    access_token: Annotated[Text, Field(max_length=5000)] | None = None
    extra_params: Json | Text | None = None

    @field_validator("hostname", "access_token")
    @classmethod
    def _line(cls, text: str | None) -> str:
        return _printable(text or "")

    @field_validator("extra_params")
    @classmethod
    def _given(cls, params: Json | str | None) -> Json | str:
        return params or {}


class Task(BaseModel):
    """What of a task is needed to answer for it."""

    id: Id
    data: Json = {}


class PredictRequest(Body):
    """Label Studio wants predictions for these tasks."""

    project: ProjectName
    tasks: list[Task]


class EventProject(BaseModel):
    """The project that something happened in."""

    id: Id


class WebhookEvent(Body):
    """Something happened in a project."""

    action: Text
    project: EventProject


class TrainRequest(Body):
    """Start Training, for one project."""

    project: ProjectNameOrObject


class VersionsRequest(Body):
    """The model versions of one project are wanted."""

    project: ProjectNameOrObject


class CloseRoundRequest(Body):
    """A round is to be closed; nothing happens if it is not the open one any more."""

    round: RoundNumber


class ControlPicksRequest(Body):
    """A round is to have this many control picks at least."""

    round: RoundNumber
    total: Annotated[int, Strict(), Field(gt=0, le=MOST_CONTROL_PICKS)]


class LabelNextRequest(Body):
    """Tasks that are to be served before all others, in this order."""

    tasks: Annotated[list[Id], Field(min_length=1, max_length=MOST_CHOSEN)]


class WithdrawRequest(Body):
    """People's choices that are to be withdrawn: those of these tasks, or all."""

    tasks: Annotated[list[Id], Field(min_length=1, max_length=MOST_CHOSEN)] | None = None


class ShowRequest(Body):
    """Tasks that are to be shown in Label Studio."""

    tasks: Annotated[list[Id], Field(min_length=1, max_length=MOST_SHOWN)]


class SettingsRequest(Body):
    """Settings are to change, by name; null takes one out of the extra params. ``read`` says what they were read with."""

    read: Annotated[Text, Field(max_length=64)]
    changes: Annotated[dict[str, Text | None], Field(min_length=1, max_length=200)]


#: Every body that a route reads.
BODIES: tuple[type[Body], ...] = (
    SetupRequest,
    PredictRequest,
    WebhookEvent,
    TrainRequest,
    VersionsRequest,
    CloseRoundRequest,
    ControlPicksRequest,
    LabelNextRequest,
    WithdrawRequest,
    ShowRequest,
    SettingsRequest,
)
