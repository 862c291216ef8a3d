"""Downloads of weights, within a time limit: many backends have no access to the internet."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

from pt4al_backend import artefacts

#: Seconds until an answer must have begun, and until the whole file (14 to 171 MB) must have come.
ANSWER_SECONDS = 3.0
DOWNLOAD_SECONDS = 120.0
TICK_SECONDS = 0.5


def fetch(url: str, target: Path, on_tick: Callable[[], None] = lambda: None) -> str:
    """Downloads a file; returns why not, "" if it came. An error that ``on_tick`` raises, about twice a second, gives it up.

    In a thread of its own: looking up a name has no time limit that a caller can set.
    """
    answered, given_up, failure = threading.Event(), threading.Event(), list[str]()
    thread = threading.Thread(target=_download, args=(url, target, answered, given_up, failure), daemon=True)
    start = time.monotonic()
    thread.start()
    try:
        while thread.is_alive() and time.monotonic() - start < (DOWNLOAD_SECONDS if answered.is_set() else ANSWER_SECONDS):
            on_tick()
            thread.join(TICK_SECONDS)
    finally:
        given_up.set()
    if failure:
        return failure[0]
    return "" if target.is_file() else "no answer in time"


def is_intact(file: Path, url: str) -> bool:
    """Whether a file's SHA-256 begins as the end of its address says, as torchvision's do and many of timm's; True of others."""
    start = re.search(r"-([0-9a-f]{8})\.\w+$", url)
    return start is None or artefacts.digest(file).startswith(start[1])


def _download(url: str, target: Path, answered: threading.Event, given_up: threading.Event, failure: list[str]) -> None:
    def pieces(response: requests.Response) -> Iterator[bytes]:
        for piece in response.iter_content(1 << 20):
            if given_up.is_set():
                raise TimeoutError
            yield piece

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with requests.get(url, stream=True, timeout=(ANSWER_SECONDS, ANSWER_SECONDS)) as response:
            response.raise_for_status()
            answered.set()
            artefacts.atomic_write(target, pieces(response))
    except (requests.RequestException, OSError) as error:
        failure.append(type(error).__name__)
    finally:
        answered.set()
