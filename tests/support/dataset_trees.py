"""The own folder of every data set, with a handful of images: those of class number k are of the shade ``shade(k)``."""

import hashlib
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pt4al_backend.datasets import digits, drawn_shapes, imbalanced
from pt4al_backend.images.mask_files import Mask
from tests.support.images import encoded

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
POOL, TEST = 6, 2  # images of each of CIFAR-10's classes


def shade(number: int) -> int:
    """The grey of a class."""
    return 20 * number + 10


def picture(number: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, (shade(number),) * 3)


def photos(folder: Path, number: int, count: int, name: str = "{}.png") -> None:
    """Writes images of a class."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture(number).save(folder / name.format(i))


def drawings(folder: Path, names: Sequence[str], numbers: tuple[int, int]) -> None:
    """Writes masks whose upper and lower halves are of the two numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        ids = np.full((8, 8), numbers[0], np.uint8)
        ids[4:] = numbers[1]
        Image.fromarray(ids).save(folder / name)


def folder(root: Path, patch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("cat", "dog")):
        photos(root / name, number, 8)


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Torchvision's files, with the MD5 sums of these."""
    from torchvision.datasets import CIFAR10 as TORCHVISION

    root.mkdir(parents=True, exist_ok=True)

    def put(name: str, content: object) -> str:
        (root / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((root / name).read_bytes()).hexdigest()

    def batch(name: str, count: int) -> tuple[str, str]:
        labels = list(range(10)) * count
        return name, put(name, {"data": np.array([np.full(3072, shade(k)) for k in labels], np.uint8), "labels": labels})

    patch.setattr(TORCHVISION, "train_list", [batch(f"data_batch_{number}", POOL // 2) for number in (1, 2)])
    patch.setattr(TORCHVISION, "test_list", [batch("test_batch", TEST)])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": put("batches.meta", {"label_names": list(CIFAR10)})}
    patch.setattr(TORCHVISION, "meta", meta)


def _marked(number: int, place: int) -> Image.Image:
    """A picture of a class that differs from its others by where a lighter square is."""
    image = picture(number, (32, 32))
    left, top = 8 * (place % 4), 8 * (place // 4)
    image.paste((shade(number) + 16,) * 3, (left, top, left + 8, top + 8))
    return image


def pack(path: Path, **changes: object) -> None:
    """The packed copy, with other arrays in place of some."""
    labels = np.repeat(np.arange(10, dtype=np.uint8), POOL + TEST)
    files = [encoded(_marked(number, place), "JPEG") for number in range(10) for place in range(POOL + TEST)]
    header = files[0][: files[0].index(b"\xff\xda")]
    assert all(each.startswith(header) and each.endswith(b"\xff\xd9") for each in files)
    scans = [each[len(header) : -2] for each in files]
    arrays = {
        "header": np.frombuffer(header, np.uint8),
        "data": np.frombuffer(b"".join(scans), np.uint8),
        "length": np.array([len(each) for each in scans], np.uint16),
        "label": labels,
        "split": np.tile(np.repeat(np.array([0, 1], np.uint8), (POOL, TEST)), 10),
        "stem": np.tile(np.arange(POOL + TEST, dtype=np.uint16), 10),
        "classes": np.array(CIFAR10),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{**arrays, **changes})  # type: ignore[arg-type]


def cifar10_jpeg(root: Path, patch: pytest.MonkeyPatch) -> None:
    pack(root / "cifar10.npz")


def few(tree: Callable[[Path, pytest.MonkeyPatch], None]) -> Callable[[Path, pytest.MonkeyPatch], None]:
    """The same files; fewer images of each class are kept."""

    def plant(root: Path, patch: pytest.MonkeyPatch) -> None:
        tree(root, patch)
        patch.setattr(imbalanced, "COUNTS", dict(zip(CIFAR10, (1, 1, 2, 2, 3, 3, 4, 4, 5, 5), strict=True)))

    return plant


def caltech101(root: Path, patch: pytest.MonkeyPatch) -> None:
    for number, (name, count) in enumerate({"BACKGROUND_Google": 20, "anchor": 10, "ant": 10}.items()):
        photos(root / name, number, count, "image_{:04}.jpg")
    (root / "BACKGROUND_Google" / "tmp").touch()  # as in the archive


def imagenet67(root: Path, patch: pytest.MonkeyPatch) -> None:
    for side, count in (("train", 5), ("val", 2)):
        for number, wordnet in enumerate(("n02085620", "n01440764", "n02085782", "n01443537")):
            photos(root / side / wordnet, number % 2, count, f"{wordnet}_{{}}.JPEG")
    lines = "# ours\nn02085620 dog\n\nn01440764\tfish\nn02085782 dog\nn01443537 fish\n"
    (root / "superclasses.txt").write_text(lines)


def cityscapes_(root: Path, patch: pytest.MonkeyPatch) -> None:
    for side, city, count in (("train", "aachen", 8), ("val", "lindau", 4)):
        names = [f"{city}_{i:06}_000019" for i in range(count)]
        photos(root / "leftImg8bit" / side / city, 1, count, f"{city}_{{:06}}_000019_leftImg8bit.png")
        masks = root / "gtFine" / side / city
        drawings(masks, [f"{name}_gtFine_labelIds.png" for name in names], (23, 7))
        drawings(masks, [f"{name}_gtFine_instanceIds.png" for name in names], (1, 2))


def camvid(root: Path, patch: pytest.MonkeyPatch) -> None:
    for side, count in (("train", 8), ("test", 4), ("val", 3)):
        photos(root / side, 1, count, "{}.webp")
        drawings(root / f"{side}annot", [f"{i}.png" for i in range(count)], (0, 11))


def shapes(root: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(drawn_shapes, "POOL", 60)
    patch.setattr(drawn_shapes, "TEST", 20)


def digits_(_root: Path, patch: pytest.MonkeyPatch) -> None:
    pictures = [(_marked(number, place), name) for number, name in enumerate(digits.CLASSES) for place in range(POOL + TEST)]
    patch.setattr(digits, "scans", lambda: iter(pictures))
    patch.setattr(digits, "TEST", 10 * TEST)


TREES: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "folder": folder,
    "cifar10": cifar10,
    "cifar10-jpeg": cifar10_jpeg,
    "imbalanced-cifar10": few(cifar10),
    "imbalanced-cifar10-jpeg": few(cifar10_jpeg),
    "caltech101": caltech101,
    "digits": digits_,
    "imagenet67": imagenet67,
    "cityscapes": cityscapes_,
    "camvid": camvid,
    "shapes": shapes,
}

#: Classes of the images by their shade, where they are not CIFAR-10's.
SHADES = {
    "folder": ("cat", "dog"),
    "caltech101": ("BACKGROUND_Google", "anchor", "ant"),
    "digits": digits.CLASSES,
    "imagenet67": ("dog", "fish"),
}

#: Names of the classes in the upper and lower half of a mask; none is void.
HALVES = {"cityscapes": ("sky", "road"), "camvid": ("sky", None)}


def halves(mask: Mask, classes: Sequence[str]) -> tuple[str | None, str | None]:
    """What a mask shows above and below."""
    upper, lower = ({*part.flatten().tolist()} for part in np.split(mask.ids, 2))
    (above,), (below,) = upper, lower
    return tuple(classes[number] if number < len(classes) else None for number in (above, below))  # type: ignore[return-value]
