"""CIFAR-10 as its author packed it, read by torchvision, which checks the files' MD5 sums before it unpickles them.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from pathlib import Path

from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.loader import Published
from pt4al_backend.errors import ConfigError


class Cifar10(Published):
    """The ids of examples are their numbers in the files, as other software counts them."""

    about = "CIFAR-10: 50,000 images for the pool, 10,000 for the test, 32 x 32, 10 classes"
    origin = "Download https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz (163 MB) and unpack it."
    home = "cifar-10-batches-py"
    layout = ("batches.meta, data_batch_1 … data_batch_5, test_batch",)
    needs = ("batches.meta",)

    def _read(self, folder: Path) -> Dataset:
        from torchvision.datasets import CIFAR10  # imports torch

        files = type("Files", (CIFAR10,), {"base_folder": ""})  # whatever the folder is called
        sides = {}
        for side in ("train", "test"):
            try:
                found = files(folder, train=side == "train", download=False)
            except RuntimeError as error:
                raise ConfigError(f"The files in {folder} are incomplete, or not those of CIFAR-10.", self.remedy) from error
            names = [found.classes[label] for label in found.targets]
            examples = zip(found.data, names, strict=True)
            sides[side] = [Example(f"{side}/{number:05}", image, name) for number, (image, name) in enumerate(examples)]
        return Dataset(self.main, tuple(found.classes), "CIFAR-10", sides["train"], sides["test"])
