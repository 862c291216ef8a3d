"""The same picture in many tasks of a real Label Studio: annotators are asked about it once."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.state.schema import RoundState
from tests.support.here import RestartingHere
from tests.support.images import arrow
from tests.support.loop import Loop
from tests.support.servers import LabelStudioServer

pytestmark = pytest.mark.label_studio

TASKS, QUERY = 48, 12


def half_one_picture(number: int) -> int:
    return number if number % 2 else 0


def imported_twice(number: int) -> int:
    return number % (TASKS // 2)


@pytest.fixture(params=[half_one_picture, imported_twice])
def pictures(
    request: pytest.FixtureRequest, label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> Iterator[tuple[Loop, Callable[[int], int]]]:
    """A project, and which picture a task of it shows."""
    shows: Callable[[int], int] = request.param
    params: dict[str, Any] = {"rounds": 2, "query_size": QUERY, "control_share": 0.25, "reserve_size": 4}

    def draw(number: int) -> Image.Image:
        return arrow(shows(number))

    with Loop(label_studio, lead, tmp_path / shows.__name__, params, runner=RestartingHere()) as loop:
        loop.add(TASKS, draw)
        yield loop, lambda task_id: shows(loop.numbers[task_id])


def test_annotators_are_asked_once_about_each_picture(pictures: tuple[Loop, Callable[[int], int]], lead: Annotator) -> None:
    loop, shows = pictures
    loop.reconcile()
    assert loop.round.state == RoundState.OPEN
    served = loop.work(QUERY, [lead])
    assert set(served) == set(loop.order("query", "control"))
    loop.reconcile()
    assert loop.round.number == 2
    served += loop.work(QUERY, [lead])
    repeated = {picture: times for picture, times in Counter(map(shows, served)).items() if times > 1}
    assert not repeated
    labels = loop.labels()
    assert not {shows(i) for i in labels.train} & {shows(i) for i in labels.control}
