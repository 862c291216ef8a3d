"""A project whose truth is known, written straight into a state, and the real web app that shows it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import uvicorn
from numpy.typing import NDArray

from pt4al_backend.config import ServerSettings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.frozen.feature_file import FeatureFile, path_beside
from pt4al_backend.learn.labels.intervals import share
from pt4al_backend.measures import ClassMeasured, Control
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.server.app import create_app
from pt4al_backend.server.connection_limits import Connection
from pt4al_backend.state.annotations import Annotated
from pt4al_backend.state.paths import frames_path
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind, Pick, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.images import CLASSES, LABEL_CONFIG, arrow, class_of
from tests.support.web_client import RecordingQueue

PROJECT = 7
TITLE = "Arrows"
SIDE = 32
ENCODER = "filled"
DIGEST = "0" * 64
FEATURES = 8
BATCHES = 2
#: Control picks of the closed rounds, and how many of them the round's model had right.
CONTROLS = ((10, 5), (20, 14), (30, 24))
#: Labels that trained the model of each closed round.
LABELS = (20, 40, 60)
OPENED = 1_800_000_000.0
ROUND_SECONDS = 3_600.0


#: Who labelled the tasks with odd and with even numbers.
ANNOTATORS = (4, 5)
QUARTER_SECONDS = 900


def fill(store: Store, settings: ServerSettings, count: int = 120) -> None:
    """A project of ``count`` arrows: task t shows ``arrow(t)``, whose class is ``class_of(t)``.

    Three rounds are closed, and their tasks labelled with the truth, task 1 first: every third of them was a control pick. The
    fourth round is open: a query of six tasks, of which two are control picks and one is answered, and a reserve of three.

    Annotators took turns. They labelled 30 tasks in a quarter of an hour three days ago, 30 in the next, and 31 in this one.
    """
    frame, ids = (SIDE, SIDE), range(1, count + 1)
    store.connect(
        PROJECT, title=TITLE, label_config=LABEL_CONFIG, config_read=LABEL_CONFIG, control_read="colour", task="classification"
    )
    store.change(
        PROJECT,
        hostname="http://label-studio.example:8080",
        image_height=SIDE,
        image_width=SIDE,
        stored_height=SIDE,
        stored_width=SIDE,
    )
    store.change(PROJECT, encoder=ENCODER, learner="rank-1", learner_pool=count, next_row=count, phase="labelling")
    project = store.project(PROJECT)
    assert project is not None
    rows = np.arange(count)
    with FrameFile(frames_path(settings, project), frame) as frames:
        for row, number in enumerate(ids):
            frames.write(row, np.asarray(arrow(number, SIDE)))
        with FeatureFile(path_beside(frames.path, ENCODER, DIGEST, frame, "upright"), 1, FEATURES) as file:
            file.write(rows, features_of(ids)[:, None], frames)
    tasks = [
        {
            "id": number,
            "image": f"/data/upload/7/{number}.png",
            "row": row,
            "width": 2 * SIDE,
            "height": 2 * SIDE,
            "loss": 1 - row / count,
            "batch": 1 + row * BATCHES // count,
        }
        for row, number in enumerate(ids)
    ]
    store.put_tasks(PROJECT, tasks)
    store.put_digests(PROJECT, {number: f"{number:032x}" for number in ids})
    _add_rounds(store)


def features_of(ids: range) -> NDArray[np.float16]:
    """Features float16 [m, 8] of these tasks: their classes lie far apart."""
    centres = 4 * np.eye(len(CLASSES), FEATURES)
    noise = np.array([np.random.default_rng(number).normal(0, 0.5, FEATURES) for number in ids])
    return (centres[[number % len(CLASSES) for number in ids]] + noise).astype(np.float16)


def _add_rounds(store: Store) -> None:
    first = 1
    closed: ClosedRound | None = None
    for number, ((total, right), labels) in enumerate(zip(CONTROLS, LABELS, strict=True), 1):
        picked = range(first, first + 30)
        _open(store, number, picked, controls=range(first, first + 30, 3), closed=closed)
        store.put_answers(PROJECT, {task: StoredAnswer(AnswerKind.LABEL, class_of(task), False, "", "") for task in picked})
        measured = share(np.arange(total) < right)  # by every third task, whose class is the same
        classes = {class_of(first): ClassMeasured(**measured, picks=total)}
        control = Control(metric="accuracy", total=total, **measured, classes=classes)
        closed = ClosedRound(labels=labels, model=f"learn-{number}", control=control)
        first += 30
    _open(
        store,
        len(CONTROLS) + 1,
        range(first, first + 9),
        controls=range(first, first + 2),
        reserve=range(first + 6, first + 9),
        closed=closed,
    )
    store.put_answers(PROJECT, {first: StoredAnswer(AnswerKind.LABEL, class_of(first), False, "", "")})
    quarter = int(time.time()) // QUARTER_SECONDS * QUARTER_SECONDS
    at = [quarter - 3 * 86_400, quarter - 3 * 86_400 + QUARTER_SECONDS, quarter, quarter]
    made = {task: [Annotated(task, ANNOTATORS[1 - task % 2], at[(task - 1) // 30], False)] for task in range(1, first + 1)}
    store.put_annotations(PROJECT, made)


def _open(
    store: Store, number: int, picked: range, controls: range, reserve: range = range(0), closed: ClosedRound | None = None
) -> None:
    opened_at = OPENED + ROUND_SECONDS * number
    opened = Round(project_id=PROJECT, number=number, state=RoundState.OPEN, batch=1 + number % BATCHES, opened_at=opened_at)
    picks = [
        Pick(
            project_id=PROJECT,
            round=number,
            task_id=task,
            position=position,
            kind=PickKind.CONTROL if task in controls else PickKind.RESERVE if task in reserve else PickKind.QUERY,
            score=position / 100,
            label=class_of(task) if closed else "",
            confidence=0.5 + position / 100 if closed else None,
        )
        for position, task in enumerate(picked)
    ]
    store.open_round(PROJECT, opened, picks, closed=closed)


@contextmanager
def served(store: Store, settings: ServerSettings) -> Iterator[str]:
    """The address of the real web app on this state. Requests that come before it is up wait."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(create_app(settings, store, RecordingQueue()), http=Connection, log_level="warning")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
