"""Checkpoints: what cannot be used is skipped, and no disk fault loses the one before."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pt4al_backend.learn.checkpoint import Checkpoint, TrainingState
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.progress import Progress
from tests.support import disks
from tests.support.objectives import Points, Sum

pytestmark = pytest.mark.training

CPU = torch.device("cpu")


def recipe(epochs: int = 6, size: int = 8, rate: float = 0.05) -> Recipe:
    return Recipe(epochs=epochs, minibatch_size=size, learning_rate=rate, warmup=0.1)


def checkpoint(tmp_path: Path, fingerprint: str = "this") -> Checkpoint:
    return Checkpoint(tmp_path / "checkpoint.pt", fingerprint, share=1e9)  # epochs this short would not all be kept


@pytest.mark.parametrize("damage", ["truncated", "empty", "other work", "not an archive"])
def test_unusable_checkpoint_is_skipped_with_a_note(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    Training(Sum(), Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-200], "empty": b"", "not an archive": b"hello"}.get(damage, content))
    reported: list[Progress] = []
    fingerprint = "another" if damage == "other work" else "this"
    Training(
        Sum(), Points(40), recipe(epochs=2), device=CPU, checkpoint=checkpoint(tmp_path, fingerprint), report=reported.append
    ).run()
    assert reported[0].note.startswith("Starting from the first epoch")
    assert reported[-1].epoch == 2


def test_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
            return Path.touch, (marker,)

    torch.save({"fingerprint": "this", "epoch": Evil()}, tmp_path / "checkpoint.pt")
    Training(Sum(), Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    assert not marker.exists()


def test_checkpoint_on_a_full_disk_is_an_error_and_keeps_the_one_before(small_disk: Path) -> None:
    saved = checkpoint(small_disk)
    state: TrainingState = {"epoch": 1, "size": 8, "seconds": 0.5, "model": {"weight": torch.zeros(2**18)}, "optimizer": {}}
    saved.save(state)
    disks.fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        saved.save({**state, "epoch": 2})
    found = saved.load(CPU)
    assert found is not None
    assert found["epoch"] == 1
    assert sorted(path.name for path in small_disk.iterdir()) == ["checkpoint.pt", "filler"]
