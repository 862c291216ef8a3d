"""Initial weights that are not available: ImageNet's fit some networks only, and are not on every machine.

Checked before anything is trained: an arm that is to start from them would end a comparison halfway.
"""

from collections.abc import Sequence

from pt4al_backend.bench.arms import Arm
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import server_settings
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.images.frames import SMALL
from pt4al_backend.learn import devices
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.weights import imagenet


def missing(arms: Sequence[Arm], truth: Truth, device: str) -> dict[str, list[Arm]]:
    """The arms that are to start from ImageNet's weights and cannot, by the reason; each network's are looked for once."""
    by_network: dict[str | None, list[Arm]] = {}
    for arm in arms:
        options = arm.options(**truth.params)
        if options.init == "imagenet" and not options.pretrained_encoder:
            form = MAIN_TASKS.load(truth.task, MainTask).form(truth.shape, options, devices.choose(device))
            by_network.setdefault(form.imagenet, []).append(arm)
    found: dict[str, list[Arm]] = {}
    for network, those in by_network.items():
        if reason := _problem(network, truth):
            found.setdefault(reason, []).extend(those)
    return found


def _problem(network: str | None, truth: Truth) -> str:
    if network is None:
        height, width = truth.shape
        fit = "ImageNet's weights fit networks of width 64 (the setting 'width', 16 on a CPU unless set)"
        return f"{fit} on images above {SMALL} pixels; here images have {height} x {width}."
    notes: list[str] = []
    weights = imagenet.load(network, server_settings().pretrained, notes.append)
    return " ".join(notes) if weights is None else ""
