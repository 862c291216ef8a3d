"""A round's picks in the order served, rearranged because people want it: new rows with new places and scores."""

from collections.abc import Container, Sequence

import numpy as np

from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.query.draws import interleave, queue_scores
from pt4al_backend.query.plan import ROOM
from pt4al_backend.state.schema import Pick


def led_by(chosen: Sequence[Pick], picks: Sequence[Pick]) -> list[Pick]:
    """The line that begins with the ``chosen`` ones, in their order.

    A control pick that is chosen stays one: to leave out of the measure what people are curious about would bias it.
    """
    there = {pick.task_id: pick for pick in picks}
    first = [_led(pick, there.get(pick.task_id)) for pick in chosen]
    tasks = {pick.task_id for pick in first}
    return _in_order([*first, *(pick for pick in picks if pick.task_id not in tasks)])


def _led(chosen: Pick, known: Pick | None) -> Pick:
    if known is None:
        return _copy(chosen, score=0.0)
    return _copy(known, score=0.0, kind=PickKind.CONTROL if PickKind.CONTROL in (known.kind, chosen.kind) else PickKind.PERSON)


def mixed_with(controls: Sequence[Pick], picks: Sequence[Pick], answered: Container[int]) -> list[Pick]:
    """The line with more control picks, mixed evenly into what is left of its query. A pick of the same task gives way.

    What people chose keeps its place, and measures the model from now on.
    """
    drawn = {pick.task_id for pick in controls}
    chosen = {pick.task_id for pick in picks if pick.kind == PickKind.PERSON} & drawn
    controls = [pick for pick in controls if pick.task_id not in chosen]
    tasks = drawn - chosen
    picks = [_copy(pick, kind=PickKind.CONTROL) if pick.task_id in chosen else pick for pick in picks]
    rest = [pick for pick in picks if pick.task_id not in tasks]
    end = next((place for place, pick in enumerate(rest) if pick.kind == PickKind.RESERVE), len(rest))
    people = chosen | {pick.task_id for pick in rest if pick.kind == PickKind.PERSON}
    led = 1 + max((place for place in range(end) if rest[place].task_id in people), default=-1)
    start = next((place for place in range(led, end) if rest[place].task_id not in answered), end)
    places = interleave(end - start, len(controls))
    more, left = iter(controls), iter(rest[start:end])
    mixed = [next(more) if is_control else next(left) for is_control in places]
    line = [*rest[:start], *mixed, *rest[end:]]
    for place in range(len(line) - 1, -1, -1):  # a control pick takes the score of the pick behind it
        if line[place].task_id in tasks:
            line[place] = _copy(line[place], score=line[place + 1].score if place + 1 < len(line) else 1.0)
    return _in_order(line)


def _in_order(line: Sequence[Pick]) -> list[Pick]:
    scores = queue_scores(np.minimum([pick.score for pick in line], 1.0 - ROOM)) if line else np.empty(0)
    return [_copy(pick, position=place, score=float(score)) for place, (pick, score) in enumerate(zip(line, scores, strict=True))]


def _copy(pick: Pick, **changes: object) -> Pick:
    return Pick(**{**{column.name: getattr(pick, column.name) for column in Pick.__table__.columns}, **changes})
