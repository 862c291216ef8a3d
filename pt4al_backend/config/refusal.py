"""What a setting that is not allowed is answered with."""

from pydantic import ValidationError

from pt4al_backend.errors import LONGEST_VALUE, ConfigError, shortened


def refusal(error: ValidationError, where: str, prefix: str = "") -> ConfigError:
    """The values that were refused, each with its key and what is allowed; ``where`` says where the user changes it.

    ``prefix`` stands before the upper-case names of fields, as in the environment. Secrets are not quoted.
    """
    lines = []
    for problem in error.errors(include_url=False):
        key = shortened(".".join(str(part) for part in problem["loc"]), LONGEST_VALUE)
        if key.islower():  # an alias of the environment is upper case already
            key = prefix + key.upper() if prefix else key
        reason = problem["msg"].removeprefix("Value error, ")
        if not key:
            lines.append(f"{reason}.")
        else:
            secret = any(word in key.lower() for word in ("key", "pass", "url"))
            shown = "the value given" if secret else shortened(repr(problem["input"]), LONGEST_VALUE)
            lines.append(f"Setting {key!r}: {shown} is not allowed. {reason}.")
    return ConfigError(" ".join(lines), where)
