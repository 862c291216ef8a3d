"""Memory of the backend's processes, which must not grow with the pool: images are streamed."""

from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench

MB = 1e6
GROWTH = 1.1  # what counts as flat when the pool grows tenfold


def measure(bench: Workbench) -> list[Line]:
    """The peak memory of each process over a project's life, with the large pool and with the small one."""
    large, small = bench.large, bench.small
    much, little = large.memory, small.memory
    lines = []
    for role in sorted(much):
        note = f"{little[role] / MB:.0f} MB at {small.tasks:,}"
        bound = GROWTH if role == "worker" else None
        lines.append(Line(f"peak memory of the {role} at {large.tasks:,} tasks", much[role] / MB, "MB", note=note))
        lines.append(Line(f"— as a multiple of that at {small.tasks:,} tasks", much[role] / little[role], "", bound))
    return lines
