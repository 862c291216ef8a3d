"""Answers images by the model beside this file. It needs pt4al-backend, and nothing else that is not installed with it.

    python predict.py IMAGE... [--masks FOLDER]

prints a line of JSON for each image: its file, and the model's answer with its confidence from 0 to 1, or why it cannot be read.
Where the answer is a mask, a PNG with the number of each pixel's class is written into the folder, "masks" by default. It has the
image's place on the command line and its name, as images of several folders may have the same name.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frames import KEEP, restore_ids
from pt4al_backend.images.mask_files import Mask
from pt4al_backend.label_sets import LabelSet
from pt4al_backend.learn.predictor import Predictor

MODEL = Path(__file__).resolve().parent / "model"
MOST_PIXELS = 200_000_000


def answers(images: list[Path], masks: Path) -> Iterator[dict[str, Any]]:
    """What the model says of each image."""
    model = Predictor.load(MODEL)
    for number, path in enumerate(images, 1):
        try:
            image, size, _ = decode(path.read_bytes(), MOST_PIXELS, max(model.stored))
        except (OSError, ImageUnreadable) as error:
            yield {"image": str(path), "problem": str(error)}
            continue
        (answer,), (confidence,) = model.predict(KEEP[model.task](image, model.stored)[None])
        said: dict[str, Any] = {"image": str(path), "confidence": round(float(confidence), 4)}
        if isinstance(answer, Mask):
            masks.mkdir(parents=True, exist_ok=True)
            file = masks / f"{number}-{path.stem}.png"
            Image.fromarray(restore_ids(answer.ids, size)).save(file)
            yield {**said, "mask": str(file), "classes": model.classes}
        else:
            yield {**said, "answer": list(answer.names) if isinstance(answer, LabelSet) else answer}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Answers images by the model beside this file.")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--masks", type=Path, default=Path("masks"), help="folder for answers that are masks")
    given = parser.parse_args()
    for each in answers(given.images, given.masks):
        print(json.dumps(each))  # noqa: T201 - what it is for; in ASCII, which every console can show


if __name__ == "__main__":
    main()
