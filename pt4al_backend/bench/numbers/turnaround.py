"""From the last label of a round to the new order in Label Studio, and who takes the time."""

from pt4al_backend.bench.numbers.life import Turn
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench

BOUND_SECONDS = 2.0

NOTICE, SYNC, PREPARE, PLAN, PATCH = (
    "webhook, queue: until a worker looks",
    "sync with Label Studio",
    "labels and candidates gathered, job written",
    "query planned and stored",
    "order switched in Label Studio (PATCH)",
)
START, FILES, TRAIN, SCORE, IMPORT = (
    "training child: start of Python and torch",
    "training child: loading and saving",
    "training child: training",
    "training child: scoring",
    "Label Studio's import of the predictions",
)
ORDER = (NOTICE, SYNC, PREPARE, START, FILES, TRAIN, SCORE, PLAN, IMPORT, PATCH)


def measure(bench: Workbench) -> list[Line]:
    """The whole, its parts in their order, and what is left beyond training, scoring and Label Studio's import."""
    turn = bench.large.turn
    own, others = own_parts(turn), other_parts(turn)
    where = f"at {bench.large.tasks:,} tasks"
    parts = {**own, **others}
    lines = [Line(f"turnaround {where}: last label to new order", turn.live - turn.labelled, "s")]
    lines += [Line(f"— {name}", parts[name], "s") for name in ORDER]
    beyond = "turnaround beyond training, scoring and Label Studio's import"
    return [*lines, Line(f"{beyond}, {where}", sum(own.values()), "s", BOUND_SECONDS)]


def own_parts(turn: Turn) -> dict[str, float]:
    """Seconds that count against the bound; Label Studio's answers to everything but the import are among them."""
    return {
        NOTICE: turn.noticed - turn.labelled,
        SYNC: turn.synced - turn.noticed,
        PREPARE: turn.prepared - turn.synced,
        PLAN: turn.requested - turn.trained,
        PATCH: turn.live - turn.imported,
    }


def other_parts(turn: Turn) -> dict[str, float]:
    """Seconds of training, scoring and of Label Studio's import; the child's start is training's."""
    train, score = turn.seconds["train"], turn.seconds["score"]
    return {
        START: turn.started - turn.prepared,
        FILES: turn.trained - turn.started - train - score,
        TRAIN: train,
        SCORE: score,
        IMPORT: turn.imported - turn.requested,
    }
