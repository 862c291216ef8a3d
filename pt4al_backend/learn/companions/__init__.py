"""Companions, one file each: what is trained beside the main task's model, or after it, for a strategy that asks for more.

The registry names classes without importing them, as those of the main tasks and of the pretext tasks do.
"""

from typing import TYPE_CHECKING, cast

from pt4al_backend.config.registry import imported

if TYPE_CHECKING:
    from pt4al_backend.learn.companions.base import Companion

#: Name of each companion -> "module:class". "" is what a strategy has that needs none.
COMPANIONS: dict[str, str] = {
    "": "pt4al_backend.learn.companions.base:Companion",
    "learning_loss": "pt4al_backend.learn.companions.learning_loss:LearningLoss",
    "learning_loss_detached": "pt4al_backend.learn.companions.learning_loss:LearningLossDetached",
    "normalised_confidence": "pt4al_backend.learn.companions.normalised_confidence:NormalisedConfidence",
    "pal": "pt4al_backend.learn.companions.pal:Pal",
    "ta_vaal": "pt4al_backend.learn.companions.ta_vaal:TaVaal",
    "vaal": "pt4al_backend.learn.companions.vaal:Vaal",
}


def load(name: str) -> "type[Companion]":
    """Imports a companion's class, and torch with it.

    Raises:
        KeyError: no such companion.
    """
    return cast("type[Companion]", imported(COMPANIONS[name]))
