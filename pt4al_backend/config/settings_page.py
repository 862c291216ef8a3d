"""``python -m pt4al_backend.config.settings_page``: prints docs/settings.md, from the fields that declare the settings.

The tests compare what it prints with the file, so that the page cannot go stale. ``make docs`` writes the file.
"""

import sys
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from pt4al_backend.config import Affects, ProjectSettings, ServerSettings
from pt4al_backend.config.catalog import NEED_IMAGE_POSTERIORS
from pt4al_backend.config.project import VOCABULARY


def _listed(names: Iterable[str]) -> str:
    """The names in a sentence, in alphabetical order."""
    *first, last = (f"`{name}`" for name in sorted(names))
    return f"{', '.join(first)} and {last}" if first else last


HEAD = """\
# Settings

The server's settings come from the environment. A project's settings come from the *Extra params* of its connection in
Label Studio, for example `{"query_size": 100, "rounds": 8}`. What is not given there comes from the environment
(`PT4AL_QUERY_SIZE=100`), or else is the default.

A secret belongs in the environment, never in the extra params. An unknown key in the extra params, or a value that is
not allowed, is refused; the message says what is allowed. The status page shows the settings in force.

A misspelt environment variable has no effect. Every command warns of it and names the nearest right one. An empty
variable counts as not set.
"""

SERVER = """\
## The server

A change takes effect when the backend is restarted.
"""

PROJECT = f"""\
## A project

Where a setting is `empty`, the backend chooses. `{{"preset": "paper"}}` sets what the paper says; a key given beside it
wins. The values {_listed(NEED_IMAGE_POSTERIORS)} are for a single choice only.
"""

#: When a change takes effect, by the strongest thing that a setting affects: the first that it declares, from above.
EFFECTS = {
    Affects.IMAGES: "at once: images are fetched, ranked and learned again",
    Affects.RANKING: "after this round: the pool is ranked again",
    Affects.MODEL: "at once if a training is running, which restarts; else with the next one",
    Affects.CANDIDATES: "at once if a training is running, which restarts; else with the next one",
    Affects.LEARNER: "when the pretext learner is next trained: when the pool has grown by 20 %",
    Affects.QUEUE: "at once: the queue that is served is published again",
    Affects.POOL: "with the next look at the project, within seconds",
    Affects.QUERY: "with the next query or training; a running training is not disturbed",
    None: "as it does for the settings that it sets",
}

NAMES = {int: "a whole number", float: "a number", bool: "`true` or `false`"}


def members(annotation: Any) -> Iterator[Any]:
    """The types of a union, or the type itself."""
    yield from (get_args(annotation) if get_origin(annotation) not in (None, Literal) else (annotation,))


def _range(field: FieldInfo) -> str:
    """The bounds of a number, "" if it has none."""
    lower = next((f"{each.ge:g}" for each in field.metadata if isinstance(each, Ge)), "")
    above = next((f"more than {each.gt:g}" for each in field.metadata if isinstance(each, Gt)), "")
    upper = next((_whole(each.le) for each in field.metadata if isinstance(each, Le)), "")
    below = next((f"less than {each.lt:g}" for each in field.metadata if isinstance(each, Lt)), "")
    if lower and upper:
        return f"{lower} to {upper}"
    return ", ".join(filter(None, (above, lower and f"at least {lower}", upper and f"at most {upper}", below)))


def _whole(number: Any) -> str:
    return "2^63 - 1" if number == 2**63 - 1 else f"{number:,}" if isinstance(number, int) else f"{number:g}"


def allowed(name: str, field: FieldInfo) -> str:
    """The values that a setting takes, with code in backticks."""
    types = list(members(field.annotation))
    words = [f"`{value}`" for value in VOCABULARY.get(name, ())]
    if name == "first_query":
        words.append("`batch:N`")
    for member in types:
        if get_origin(member) is Literal:
            words += [f"`{value}`" for value in get_args(member)]
        elif member in NAMES:
            words.append(_range(field) or NAMES[member])
    return ", ".join(["empty", *words] if words and NoneType in types else words)


def _default(field: FieldInfo) -> str:
    if field.default in (None, ""):
        return "empty"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _rows(fields: Iterable[tuple[str, str, FieldInfo]]) -> Iterator[str]:
    yield "| Setting | Default | Allowed | Meaning |"
    yield "| --- | --- | --- | --- |"
    for shown, name, field in fields:
        yield f"| `{shown}` | {_default(field)} | {allowed(name, field)} | {field.description} |"


def page() -> str:
    """docs/settings.md."""
    server = ((field.alias or f"PT4AL_{name.upper()}", name, field) for name, field in ServerSettings.model_fields.items())
    project = ((name, name, field) for name, field in ProjectSettings.model_fields.items())
    parts = (HEAD, SERVER, _table(_rows(server)), PROJECT, _table(_rows(project)), _table(_effects()))
    return "\n".join(parts)


def _effects() -> Iterator[str]:
    yield "## What takes effect when\n"
    yield "| Settings | A change takes effect |"
    yield "| --- | --- |"
    for effect in dict.fromkeys(EFFECTS.values()):
        names = (f"`{name}`" for name, field in ProjectSettings.model_fields.items() if effect_of(field) == effect)
        yield f"| {', '.join(names)} | {effect} |"


def effect_of(field: FieldInfo) -> str:
    """When a change of a project's setting takes effect."""
    return next(effect for affected, effect in EFFECTS.items() if affected is None or affected in field.metadata)


def _table(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
