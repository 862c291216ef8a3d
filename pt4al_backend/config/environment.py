"""Variables of the environment that look like settings and are none: misspelt ones would have no effect without a word."""

import os
from collections.abc import Mapping
from difflib import get_close_matches

from pt4al_backend.config.project import ProjectSettings
from pt4al_backend.config.refusal import PREFIX
from pt4al_backend.config.server import ServerSettings

LABEL_STUDIO = "LABEL_STUDIO_"
FAMILIES = (LABEL_STUDIO, "BASIC_AUTH_")  # beginnings of settings that have no prefix
ALIKE = 0.65  # of what follows the beginning
NEARLY = 0.9  # in Label Studio's family, which has a hundred more variables
SHOWN = 20  # variables that are named
LONGEST = 100  # characters of a name that are shown


def known_variables() -> list[str]:
    """Every variable that is a setting, in the order of the settings."""
    server = [field.alias or f"{PREFIX}{name.upper()}" for name, field in ServerSettings.model_fields.items()]
    return server + [f"{PREFIX}{name.upper()}" for name in ProjectSettings.model_fields]


def misspelt(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that is no setting and was meant as one, with the nearest right name.

    Whether a name is in upper or lower case makes no difference, and empty variables count as not set. Variables that begin
    as Label Studio's do are its own, unless they are nearly the name of a setting.
    """
    known = known_variables()
    found = []
    for name, value in sorted((os.environ if environment is None else environment).items()):
        upper = name.upper()
        if upper in known or not value:
            continue
        beginning = next((each for each in (PREFIX, *FAMILIES) if upper.startswith(each)), "")
        near = _nearest(upper[:LONGEST], known)
        if beginning and (near or beginning != LABEL_STUDIO):
            remedy = f"Did you mean {near}?" if near else "docs/settings.md lists the settings."
            found.append(f"{name[:LONGEST]} is no setting and has no effect. {remedy}")
    return found[:SHOWN] + ([f"… and {len(found) - SHOWN} more."] if len(found) > SHOWN else [])


def _nearest(name: str, known: list[str]) -> str:
    """The setting of the same family that is spelt most alike, "" for none."""
    family, rest = _parted(name)
    names = {ending: each for each in known for of, ending in [_parted(each)] if of == family}
    near = get_close_matches(rest, names, n=1, cutoff=NEARLY if family == LABEL_STUDIO else ALIKE)
    return names[near[0]] if near else ""


def _parted(name: str) -> tuple[str, str]:
    """Family and rest of a name: the beginning that many settings share makes none of them alike."""
    rest = name.removeprefix(PREFIX)
    family = next((each for each in FAMILIES if rest.startswith(each)), "")
    return family, rest.removeprefix(family)
