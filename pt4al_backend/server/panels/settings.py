"""Settings: what each of a project's settings does, what is in force and where that comes from, and a form that changes them."""

import os
from collections.abc import Mapping
from enum import StrEnum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.project import PAPER, VOCABULARY
from pt4al_backend.config.refusal import PREFIX
from pt4al_backend.config.settings_page import allowed, effect_of, members
from pt4al_backend.engine import extra_params
from pt4al_backend.engine.actions import Actions
from pt4al_backend.engine.extra_params import SettingsRefused
from pt4al_backend.server.actions import Done, acting
from pt4al_backend.server.error_answer import ErrorAnswer
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.protocol import answer
from pt4al_backend.server.rendering import panel
from pt4al_backend.server.requests import SettingsRequest
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.status import ProjectStatus
from pt4al_backend.state.schema import ActionKind, Project


class Origin(StrEnum):
    """Where a value comes from: the first of these that names the setting."""

    EXTRA_PARAMS = "extra params"
    ENVIRONMENT = "environment"
    PRESET = "preset"
    BACKEND = "backend"  # nothing does, and the backend chooses
    DEFAULT = "default"


class Kind(StrEnum):
    """What is entered."""

    CHOICE = "choice"
    WHOLE = "whole number"
    NUMBER = "number"
    TEXT = "text"


class Setting(BaseModel):
    """One setting of a project."""

    name: str
    description: str
    takes_effect: str = Field(description="when a change of it does")
    allowed: str
    kind: Kind
    choices: list[str] = Field(description="values that it takes; with `kind` text there are others as well")
    low: float | None
    high: float | None
    default: str | None
    given: str | None = Field(description="the value in the extra params; null if they do not name it")
    in_force: str | None = Field(description="null: the backend chooses when it needs one")
    origin: Origin


class Settings(BaseModel):
    """The settings of a project."""

    read: str = Field(description="what a change of these has to name, so that it replaces nobody else's")
    settings: list[Setting]


class SettingsAnswer(Done):
    """The settings are changed in Label Studio."""

    read: str


class RefusedSettings(ErrorAnswer):
    """Some values are not allowed; nothing was changed."""

    fields: dict[str, str] = Field(description='why, by settings; under "" what concerns several')


router = APIRouter(tags=["Pages"])
_CHANGE = documented(SettingsRequest, not_found=True, busy=True)
_CHANGE["responses"] |= {400: {"model": RefusedSettings}, 502: {"model": ErrorAnswer}}


@router.get("/api/projects/{project}/settings", **documented(not_found=True))
def settings(project: str, services: Served) -> Settings:
    """Every setting of a project, with its explanation, the value in force and where that comes from."""
    return _read(services.project(project), services.statuses.find(project))


@router.post("/api/projects/{project}/settings", response_model=SettingsAnswer, tags=["Actions"], **_CHANGE)
async def change(project: str, request: Request, services: Served) -> Any:
    """Changes settings in the extra params of the project's connection in Label Studio: all of them, or none."""

    def write(received: SettingsRequest) -> Any:
        try:
            return _write(services, acting(project, request, services), received)
        except SettingsRefused as error:
            refused = RefusedSettings(error=error.message, remedy=error.remedy, fields=error.fields)
            return JSONResponse(refused.model_dump(), error.status)

    return await answer(request, services, SettingsRequest, write)


@router.get("/projects/{project}/settings", include_in_schema=False)
def page(project: str, services: Served) -> Response:
    """The settings for people."""
    status = services.statuses.find(project)
    return panel("settings", "settings.html", status, found=_read(services.project(project), status))


def _write(services: Services, wanted: Actions, received: SettingsRequest) -> SettingsAnswer:
    params = extra_params.write(services.backend.settings, services.store, wanted.project, received.read, received.changes)
    words = [f"{name}: {_text(params[name]) if name in params else 'not given'}" for name in received.changes]
    wanted.note_done(ActionKind.CHANGE_SETTINGS, ", ".join(words))
    services.statuses.expire(wanted.id)
    return SettingsAnswer(
        project=wanted.id,
        message="The settings are changed, here and in Label Studio.",
        read=extra_params.version_of(params),
    )


def _read(project: Project, status: ProjectStatus) -> Settings:
    in_force = {**status.settings, **_chosen(project, status)}
    fields = ProjectSettings.model_fields
    return Settings(
        read=extra_params.version_of(project.params),
        settings=[_setting(name, field, project.params, in_force) for name, field in fields.items()],
    )


def _chosen(project: Project, status: ProjectStatus) -> dict[str, Any]:
    """What the backend has chosen where the settings leave it open."""
    found: dict[str, Any] = {"query_size": status.query_size or None, "reserve_size": status.reserve_size or None}
    if project.image_shape:
        found["image_size"] = max(project.image_shape)
    return {name: value for name, value in found.items() if status.settings.get(name) is None and value is not None}


def _setting(name: str, field: FieldInfo, params: Mapping[str, Any], in_force: Mapping[str, Any]) -> Setting:
    kind, choices = _kind(name, field)
    return Setting(
        name=name,
        description=field.description or "",
        takes_effect=effect_of(field),
        allowed=allowed(name, field),
        kind=kind,
        choices=choices,
        low=_bound(field, Ge, "ge", Gt, "gt"),
        high=_bound(field, Le, "le", Lt, "lt"),
        default=_text(field.default),
        given=_text(params.get(name)) if name in params else None,
        in_force=_text(in_force.get(name)),
        origin=_origin(name, field, params, in_force),
    )


def _bound(field: FieldInfo, closed: type, closed_name: str, open_: type, open_name: str) -> float | None:
    """A bound of a number, whether it is allowed itself or not."""
    found = [getattr(each, closed_name) for each in field.metadata if isinstance(each, closed)]
    found += [getattr(each, open_name) for each in field.metadata if isinstance(each, open_)]
    return float(found[0]) if found else None


def _kind(name: str, field: FieldInfo) -> tuple[Kind, list[str]]:
    choices = list(VOCABULARY.get(name, ()))
    types = [each for each in members(field.annotation) if each is not NoneType]
    for each in types:
        if get_origin(each) is Literal:
            choices += get_args(each)
    if name == "first_query":  # takes batch:N as well
        return Kind.TEXT, choices
    if bool in types:
        return Kind.CHOICE, ["true", "false"]
    if choices:
        return Kind.CHOICE, choices
    return (Kind.WHOLE if int in types else Kind.NUMBER if float in types else Kind.TEXT), []


def _origin(name: str, field: FieldInfo, params: Mapping[str, Any], in_force: Mapping[str, Any]) -> Origin:
    if name in params:
        return Origin.EXTRA_PARAMS
    if any(key.upper() == f"{PREFIX}{name.upper()}" and value for key, value in os.environ.items()):
        return Origin.ENVIRONMENT
    if in_force.get("preset") == "paper" and name in PAPER:
        return Origin.PRESET
    return Origin.BACKEND if field.default in (None, "") else Origin.DEFAULT


def _text(value: Any) -> str | None:
    """A value as the form holds it."""
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
