"""Arms of a comparison: a project's settings, and beside them what only an experiment does."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings, project_settings
from pt4al_backend.config.catalog import PRETEXTS
from pt4al_backend.errors import ConfigError
from pt4al_backend.query.ranking import rank, split

Losses = NDArray[np.float64]


def _as_text(losses: Losses, _rounds: int, _rng: np.random.Generator) -> Losses:
    text = [repr(value) for value in losses.tolist()]
    order = sorted(range(len(text)), key=lambda i: text[i], reverse=True)
    found = np.empty(len(losses))
    found[order] = np.arange(len(losses), 0, -1)
    return found


def _batches_alone(losses: Losses, rounds: int, rng: np.random.Generator) -> Losses:
    found = np.empty(len(losses))
    found[rank(losses, np.arange(len(losses)))] = -split(len(losses), rounds)
    return found + rng.random(len(losses)) / 2


#: What an arm may do to the pretext losses float64[n] before they are ranked; NaN stands for no ranking at all.
ORDERS: dict[str, Callable[[Losses, int, np.random.Generator], Losses]] = {
    "loss": lambda losses, _rounds, _rng: losses,
    "text": _as_text,
    "reversed": lambda losses, _rounds, _rng: -losses,
    "batches": _batches_alone,
    "none": lambda losses, _rounds, _rng: np.full(len(losses), np.nan),
}


@dataclass(frozen=True)
class Arm:
    """One way of querying, with the settings that set it apart.

    Attributes:
        name: of its folder and its rows in tables.
        settings: as a project's extra params.
        order: how losses are ranked. ``loss`` is the paper's; ``text`` sorts them as text, as the published code does;
            ``reversed`` the lowest first; ``batches`` at random within each batch; ``none`` at random.
        blind: every query is made as if there were no model.
        best_epoch: trainings end with the epoch that is best on the test images, as in the published code.
        weights: pretext task that trainings start from, where it is not the one that ranks.
    """

    name: str
    settings: Json = field(default_factory=dict)
    order: str = "loss"
    blind: bool = False
    best_epoch: bool = False
    weights: str = ""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name.startswith(".") or not self.name.isprintable():
            raise ConfigError(f"An arm cannot be named {self.name!r}.", "Give it a name that can be a folder's and a table's.")
        if len(self.name.encode()) > LONGEST:
            what = f"The name of an arm is too long, {self.name[:20]!r}…"
            raise ConfigError(what, f"Give it at most {LONGEST} letters, or fewer that are not Latin.")
        for name, kind in _VARIATIONS.items():
            if not isinstance(value := getattr(self, name), kind):
                what = "true or false" if kind is bool else "text"
                raise ConfigError(f"Arm {self.name!r}: {name!r} is {value!r}, which is not {what}.", _EXAMPLE)
        if "seed" in self.settings:
            raise ConfigError(f"Arm {self.name!r}: the setting 'seed' is not an arm's.", SEEDS)
        if own := sorted(self.settings.keys() & {"control_share", "reserve_size"}):
            what = f"Arm {self.name!r}: the setting {own[0]!r} has no use here."
            raise ConfigError(what, "Leave it out: all test images are control picks, and an oracle needs no reserve.")
        if self.order not in ORDERS:
            raise ConfigError(f"Arm {self.name!r}: there is no order {self.order!r}.", f"There are {', '.join(sorted(ORDERS))}.")
        if self.weights and self.weights not in PRETEXTS:
            what = f"Arm {self.name!r}: there are no weights of {self.weights!r}, which is no pretext task."
            raise ConfigError(what, f"There are {', '.join(sorted(PRETEXTS))}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``NAME={"setting": value, …}``; keys that are attributes of an arm are not settings.

        Raises:
            ConfigError: it cannot be read.
        """
        name, _, params = text.partition("=")
        try:
            given = json.loads(params or "{}")
        except ValueError as error:
            raise ConfigError(f"The settings of arm {name!r} are not JSON ({error}).", _EXAMPLE) from error
        if not isinstance(given, dict):
            raise ConfigError(f"The settings of arm {name!r} are no object.", _EXAMPLE)
        variations = {key: given.pop(key) for key in _VARIATIONS.keys() & given.keys()}
        return cls(name, given, **variations)

    def with_settings(self, common: Mapping[str, Any]) -> Self:
        """The same with settings that all arms have; its own win."""
        return dataclasses.replace(self, settings={**common, **self.settings})

    def options(self, **more: Any) -> ProjectSettings:
        """Its settings as a project's, checked; ``more`` are those of the data set, which yield to it, and the seed.

        Raises:
            ConfigError: an unknown setting, a value that is not allowed, or weights that are not to be started from.
        """
        found = project_settings({**more, **self.settings}, WHERE)
        if self.weights and found.init not in ("auto", "pretext"):
            what = f"Arm {self.name!r}: it names weights of {self.weights!r}, and its trainings start from init={found.init}."
            raise ConfigError(what, "Set init to pretext, or leave out weights.")
        return found

    def variations(self) -> Json:
        """What it does that the live engine does not; only what differs from the default."""
        default = Arm(self.name)
        own = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "settings"}
        return {key: value for key, value in own.items() if value != getattr(default, key)}


#: What an arm does beside its settings, and the kind of value that says it.
_VARIATIONS = {"order": str, "blind": bool, "best_epoch": bool, "weights": str}
#: Bytes of a name: as much as a table or a figure has room for.
LONGEST = 50
#: Where the benchmark's user changes a setting.
WHERE = "Change it in --settings, in --arm of `pt4al bench run`, or in the environment (PT4AL_…)."
SEEDS = "All arms are run with the seeds that --seeds and --first-seed say."
_EXAMPLE = 'Write --arm \'margin={"strategy": "margin"}\'.'


def image_size(arms: Sequence[Arm]) -> int | None:
    """The size that images are decoded to, once for all arms.

    Raises:
        ConfigError: the arms differ in it, or a setting is not allowed.
    """
    sizes = {arm.options().image_size for arm in arms}
    if len(sizes) > 1:
        what = f"The arms differ in image_size ({', '.join(map(str, sorted(sizes, key=str)))}), and share one set of images."
        raise ConfigError(what, "Set it in --settings, for all of them, or compare sizes in output folders of their own.")
    return sizes.pop()
