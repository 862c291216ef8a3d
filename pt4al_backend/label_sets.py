"""Sets of classes, the labels of multi-label classification: their one text, and a model's answer.

The text is a JSON list of the classes' names in the order of the labeling config, ``[]`` for none of them. So any name
survives, equal sets have equal texts, and "" stays free for no label at all.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A class belongs to a model's answer if its posterior is above it: it is then likelier there than not. No data are needed to
#: choose it, and none are spent on it.
THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class LabelSet:
    """A model's answer for one image: the classes above the threshold in their order, and the posteriors float32 [C] of all."""

    names: tuple[str, ...]
    posteriors: NDArray[np.float32]

    @property
    def text(self) -> str:
        """What the state keeps of it."""
        return to_text(self.names, self.names)


def to_text(chosen: Collection[str], classes: Sequence[str]) -> str:
    """The text of the ``chosen`` ones of ``classes``."""
    held = frozenset(chosen)
    return json.dumps([name for name in classes if name in held], ensure_ascii=False)


def from_text(text: str) -> tuple[str, ...]:
    """The classes of a set.

    Raises:
        ValueError: the text is none that ``to_text`` makes.
    """
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{text!r} is no list of classes")
    return tuple(found)
