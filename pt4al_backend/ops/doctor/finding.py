"""What a check of ``pt4al doctor`` finds, and the time limit that each has."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, TypeVar

from pt4al_backend.errors import PT4ALError

LIMIT_SECONDS = 30.0  # of one check

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to change unless all is well."""

    level: Literal["ok", "warn", "fail"]
    topic: str
    text: str
    remedy: str = ""


def attempt(topic: str, work: Callable[[], T]) -> T | Finding:
    """Does some work within the time limit; what goes wrong becomes a finding.

    Messages of other errors than our own are left out: a library may quote a URL with its password.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    # a thread that is left behind when the time is over must not keep the process from ending
    threading.Thread(target=run, daemon=True).start()
    try:
        return done.result(LIMIT_SECONDS)
    except PT4ALError as error:
        return Finding("fail", topic, error.message, error.remedy)
    except TimeoutError:
        return Finding(
            "fail", topic, f"No answer within {LIMIT_SECONDS:g} s.", "Check that it runs and can be reached from here."
        )
    except Exception as error:
        return Finding("fail", topic, f"The check failed ({type(error).__name__}).", "Please report this.")
