"""A trained model as one graph of ONNX, normalisation, encoder and head among it: ``python -m … RESULT TARGET`` writes one.

A process of its own: torch's exporter takes seconds and hundreds of megabytes, and its libraries are an extra.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pt4al_backend import artefacts
from pt4al_backend.learn.saved import SavedModel, load_model
from pt4al_backend.learn.tasks.whole_image import WholeImage

#: Images of the example that the graph is traced with; the graph takes any number.
EXAMPLE = 2
MOST = 4_096


class _Graph(nn.Module):
    """Frames uint8 [n, height, width, 3] to posteriors: [n, C] of whole images, [n, C, height, width] of pixels."""

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.model, self._task = saved.task.model, saved.task

    def forward(self, frames: Tensor) -> Tensor:
        images = frames.permute(0, 3, 1, 2)
        if isinstance(self._task, WholeImage):
            return self._task.predict(images)[0]
        logits: Tensor = self.model(images)
        return logits.float().softmax(1)


def export(result: Path, target: Path) -> None:
    """Writes the model of an artefact of ``learn`` into a file.

    The graph's input ``frames`` is uint8 [n, height, width, 3], RGB; its output ``posteriors``. The file says what its classes
    are, and how an image becomes a frame.

    Raises:
        StoreCorrupt: the artefact is damaged.
    """
    import onnx

    saved = load_model(result)
    graph = _Graph(saved).eval()
    example = torch.zeros((EXAMPLE, *saved.shape, 3), dtype=torch.uint8)
    count = torch.export.Dim("n", min=1, max=MOST)
    program: Any = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        verbose=False,
        input_names=["frames"],
        output_names=["posteriors"],
        dynamic_shapes=({0: count},),
    )
    model = program.model_proto
    facts = {"task": saved.task.name, "classes": list(saved.task.classes), "frame": _frame(saved)}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in facts.items()})
    onnx.checker.check_model(model)
    artefacts.atomic_write(target, model.SerializeToString())


def _frame(saved: SavedModel) -> str:
    """How an image becomes a frame, in words."""
    (height, width), (stored_height, stored_width) = saved.shape, saved.stored
    if not isinstance(saved.task, WholeImage):
        return f"scaled until it fits into {width} x {height}, at the top left; the rest mirrors it"
    words = f"scaled, bilinear with antialiasing, until it fills {stored_width} x {stored_height}, whose centre it is"
    return words if saved.shape == saved.stored else f"{words}; of that the centre of {width} x {height}"


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
