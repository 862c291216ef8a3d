"""What a check of ``pt4al doctor`` finds, and the time limit that each has."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, TypeVar

from pt4al_backend.errors import PT4ALError

LIMIT_SECONDS = 30.0  # of one check
ANSWER_SECONDS = (3.05, 5.0)  # to connect, and to wait for one answer

Level = Literal["ok", "warn", "fail"]
C = TypeVar("C")

#: A check returns what it found to be well, "" if that is not worth a line.
#: It raises `CheckFailed`, `CheckWarns`, or one of the project's own errors.
Check = Callable[[C], str]


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to change unless all is well."""

    level: Level
    topic: str
    text: str
    remedy: str = ""


class CheckFailed(Exception):
    """Something keeps the loop from running; ``remedy`` says what to change."""

    level: Level = "fail"

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.remedy = remedy


class CheckWarns(CheckFailed):
    """Something may be as it should be, or may stand in the way later."""

    level = "warn"


def run(topic: str, check: Check[C], context: C) -> Finding:
    """Makes one check within the time limit; what goes wrong becomes a finding.

    Messages of other errors than our own are left out: a library may quote a URL with its password.
    """
    done: Future[str] = Future()

    def work() -> None:
        try:
            done.set_result(check(context))
        except BaseException as error:
            done.set_exception(error)

    # a thread that is left behind when the time is over must not keep the process from ending
    threading.Thread(target=work, daemon=True).start()
    try:
        return Finding("ok", topic, done.result(LIMIT_SECONDS))
    except CheckFailed as found:
        return Finding(found.level, topic, found.text, found.remedy)
    except PT4ALError as error:
        return Finding("fail", topic, error.message, error.remedy)
    except TimeoutError:
        return Finding(
            "fail", topic, f"No answer within {LIMIT_SECONDS:g} s.", "Check that it runs and can be reached from here."
        )
    except Exception as error:
        where = f"{check.__module__.removeprefix('pt4al_backend.')}.{check.__name__}"
        return Finding("fail", topic, f"The check itself failed ({type(error).__name__} in {where}).", "Please report this line.")


def run_each(topic: str, checks: Iterable[Check[C]], context: C) -> Iterator[Finding]:
    """Makes checks one after the other, whatever the others find; leaves out what is well and not worth a line."""
    for check in checks:
        finding = run(topic, check, context)
        if finding.text or finding.level != "ok":
            yield finding
