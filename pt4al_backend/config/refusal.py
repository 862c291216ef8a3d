"""What a setting that is not allowed is answered with."""

import os
from collections.abc import Container, Mapping
from typing import Any

from pydantic import ValidationError

from pt4al_backend.errors import LONGEST_VALUE, ConfigError, shortened

PREFIX = "PT4AL_"  # of variables of the environment
IN_ENVIRONMENT = "Change it in the environment."


def refusal(error: ValidationError, where: str, given: Container[str] = ()) -> ConfigError:
    """The values that were refused, each with its key and what is allowed; ``where`` says where the user changes it.

    A key that is not ``given`` came from the environment, and is named as the variable there. Secrets are not quoted.
    """
    lines = []
    for problem in error.errors(include_url=False):
        key = shortened(".".join(str(part) for part in problem["loc"]), LONGEST_VALUE)
        if key and key not in given:
            key = _variable(key)
        reason = reason_of(problem)
        if not key:
            lines.append(f"{reason}.")
        else:
            secret = any(word in key.lower() for word in ("key", "pass", "url"))
            shown = "the value given" if secret else shortened(repr(problem["input"]), LONGEST_VALUE)
            lines.append(f"Setting {key!r}: {shown} is not allowed. {reason}.")
    return ConfigError(" ".join(lines), where)


def reason_of(problem: Mapping[str, Any]) -> str:
    """What pydantic says of one value."""
    return str(problem["msg"]).removeprefix("Value error, ")


def _variable(field: str) -> str:
    """The variable that sets a field, as the user spelt it; an alias is a whole name already."""
    name = field if field.isupper() else PREFIX + field.upper()
    return next((each for each in os.environ if each.upper() == name), name)
