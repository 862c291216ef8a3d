"""Pretext tasks, one file each: what ranks the pool before anyone has labelled anything.

The registry names classes without importing them, so that a process that only checks a setting stays free of torch.
"""

from typing import TYPE_CHECKING, cast

from pt4al_backend.config.registry import imported

if TYPE_CHECKING:
    from pt4al_backend.learn.pretext.base import Pretext

#: Name of each pretext task -> "module:class".
PRETEXTS: dict[str, str] = {
    "colorization": "pt4al_backend.learn.pretext.colorization:Colorization",
    "colorization_classes": "pt4al_backend.learn.pretext.colorization_classes:ColorizationClasses",
    "jigsaw": "pt4al_backend.learn.pretext.jigsaw:Jigsaw",
    "rotation": "pt4al_backend.learn.pretext.rotation:Rotation",
    "simsiam": "pt4al_backend.learn.pretext.simsiam:SimSiam",
}


def load(name: str) -> "type[Pretext]":
    """Imports a pretext task's class, and torch with it.

    Raises:
        KeyError: no such pretext task.
    """
    return cast("type[Pretext]", imported(PRETEXTS[name]))
