"""Seconds from a round's picks to the new order in Label Studio where every prediction is a drawing."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.engine.access import PREDICTED, label_reader_for
from pt4al_backend.engine.publish import ServedQueue
from pt4al_backend.images.mask_files import Mask, MaskFiles
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import Pick
from pt4al_backend.state.store import Store

COUNTS = (100, 1_000)
SIZE = (480, 360)  # of the images, width and height
SHAPE = (96, 128)  # of the masks that the model left
CLASSES = 6
MODEL = "model"
CONFIG = (
    '<View><Image name="image" value="$image"/><BrushLabels name="label" toName="image">'
    + "".join(f'<Label value="class {k}"/>' for k in range(CLASSES))
    + "</BrushLabels></View>"
)


def measure(bench: Workbench) -> list[Line]:
    """Masks of six classes whose borders wander as a model's do, as brush regions."""
    lines = []
    for count in COUNTS:
        whole, drawing, size = _publish(bench, bench.folder / f"publishing-{count}", count)
        note = f"{drawing:.1f} s of it to draw {size / 1e6:.1f} MB of regions, n = 1"
        what = f"publishing {count:,} masks of {SIZE[0]} x {SIZE[1]} pixels, {CLASSES} classes"
        lines.append(Line(what, whole, "s", note=note))
    return lines


def _publish(bench: Workbench, folder: Path, count: int) -> tuple[float, float, int]:
    """Seconds in all, seconds of making the regions, and how long they are as JSON."""
    project = bench.site.lead.create_project(f"Masks {count}", CONFIG)
    ids = bench.site.lead.import_tasks(project, [{"data": {"image": f"/{k}.png"}} for k in range(count)])
    settings = server_settings(data_dir=folder)
    store = Store.open(settings)
    try:
        picks = _state(store, settings, project, ids)
        row = store.project(project)
        assert row is not None  # noqa: S101 - just made
        labelling = label_reader_for(settings, row, parse(CONFIG))
        began = time.perf_counter()
        size = sum(len(str(labelling.regions(pick.label, pick.confidence, SIZE))) for pick in picks)
        drawing = time.perf_counter() - began
        queue = ServedQueue(store, bench.site.client, row, labelling, show_predictions=True)
        began = time.perf_counter()
        queue.publish(1, picks)
        return time.perf_counter() - began, drawing, size
    finally:
        store.close()


def _state(store: Store, settings: ServerSettings, project: int, ids: list[int]) -> list[Pick]:
    """Tasks with images of one size, and picks of all of them."""
    store.connect(project, label_config=CONFIG)
    store.change(project, model=MODEL)
    store.put_tasks(project, [{"id": i, "image": f"{i}.png", "problem": ""} for i in ids])
    store.set_tasks(project, {"id": ids, "width": [SIZE[0]] * len(ids), "height": [SIZE[1]] * len(ids)})
    masks = MaskFiles(settings.data_dir / MODEL / PREDICTED)
    scores = {k: 0.5 for k in range(CLASSES)}
    classes = tuple(f"class {k}" for k in range(CLASSES))
    names = [masks.put(Mask(_mask(number), scores, classes)) for number in range(len(ids))]
    places = enumerate(zip(ids, names, strict=True))
    same = {"project_id": project, "round": 1, "kind": PickKind.QUERY, "confidence": 0.5}
    return [Pick(**same, task_id=i, position=place, score=place / len(ids), label=name) for place, (i, name) in places]


def _mask(number: int) -> NDArray[np.uint8]:
    """Bands of classes with wandering borders."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wander = sum(rng.uniform(1, 6) * np.sin(columns / rng.uniform(3, 20) + rng.uniform(0, 6)) for _ in range(4))
    bands: NDArray[np.uint8] = np.clip((rows + wander) / SHAPE[0] * CLASSES, 0, CLASSES - 1).astype(np.uint8)
    return bands
