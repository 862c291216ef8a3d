"""What the registries of tasks, pretext tasks, companions and data sets share: they name classes without importing them.

A process that only looks a name up then stays free of what the class needs, such as torch.
"""

import importlib
from typing import Any


def imported(where: str) -> Any:
    """What "module:name" stands for."""
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)
