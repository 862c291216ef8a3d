"""Weights of pretrained encoders: looked for on this machine first (see ``search``), then downloaded within a time limit.

Files are safetensors, or archives of torch that are read as numbers alone: a file with code in it is refused.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pt4al_backend import artefacts
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.learn.networks import TimmEncoder, TimmForm
from pt4al_backend.learn.networks.timm_encoder import facts_of, licence_of
from pt4al_backend.learn.weights.download import fetch, is_intact
from pt4al_backend.learn.weights.encoder_weights import EncoderWeights
from pt4al_backend.learn.weights.search import Weights, hub_address, kept_at, own_name, search


def found(encoder: str, folder: Path | None) -> Weights | None:
    """Weights of an encoder on this machine; None if there are none.

    Raises:
        ConfigError: timm knows no such encoder.
    """
    facts = facts_of(encoder)
    return search(_name(facts), folder, asked=encoder, url=facts.url or "", hub_id=facts.hf_hub_id or "")


def _address(facts: Any) -> str:
    return str(facts.url or hub_address(facts.hf_hub_id))


def _name(facts: Any) -> str:
    return f"{facts.architecture}.{facts.tag}" if facts.tag else str(facts.architecture)


def _target(facts: Any, folder: Path | None) -> Path:
    """Where a download goes: into the folder by the encoder's name, or where torch keeps such files."""
    own = f"{_name(facts)}{Path(_address(facts)).suffix}"
    if folder is not None:
        return folder / own
    return kept_at(facts.url or own)


def obtain(encoder: str, folder: Path | None, mode: str, note: Callable[[str], None]) -> Weights:
    """Weights of an encoder, downloaded if there are none on this machine; ``mode`` "off" downloads nothing.

    Raises:
        ConfigError: timm knows no such encoder.
        TrainingImpossible: there are none, and the remedy says where to get them and where to put them.
    """
    weights = found(encoder, folder)
    if weights is not None:
        return weights
    facts = facts_of(encoder)
    url, target = _address(facts), _target(facts, folder)
    problem = "PT4AL_PRETRAINED is off"
    if mode != "off":
        note(f"Downloading the weights of {encoder} (licence {licence_of(encoder)}).")
        problem = fetch(url, target)
        if not problem and not is_intact(target, url):
            target.unlink()
            problem = "the file that came is damaged"
    if problem:
        raise TrainingImpossible(
            f"There are no weights of the encoder {encoder!r}: {problem}.",
            f"Download {url} and name PT4AL_WEIGHTS_DIR the folder that holds it as {_target(facts, Path()).name}; "
            "or set encoder in the extra params to resnet18, which needs none.",
        )
    return Weights(target, "a download")


def load(encoder: TimmEncoder, weights: Weights) -> None:
    """Gives an encoder its weights.

    Raises:
        TrainingImpossible: the file is damaged, holds something else, or weights of another network.
    """
    try:
        given = _read(weights.file)
        encoder.load_imagenet(_renamed(given, encoder.net.state_dict()) if weights.renamed else given)
        if not all(value.isfinite().all() for value in encoder.net.state_dict().values()):
            raise ValueError("some are no finite numbers")
    except Exception as error:  # a damaged archive surfaces as any of a dozen types
        raise TrainingImpossible(
            f"The file {weights.file.name} of {weights.source} holds no weights of {encoder.form.encoder!r} "
            f"({type(error).__name__}).",
            f"Delete {weights.file}, or put the right one in its place.",
        ) from error


def give(encoder: TimmEncoder, folder: Path | None, mode: str, note: Callable[[str], None]) -> EncoderWeights:
    """Gives an encoder the weights that ``obtain`` finds; returns what is kept of them.

    Raises:
        TrainingImpossible: there are none, or the file holds others.
    """
    name = encoder.form.encoder
    weights = obtain(name, folder, mode, note)
    load(encoder, weights)
    licence, digest = licence_of(name), weights.digest
    note(f"The encoder is {name} (licence {licence}), with weights from {weights.source}, SHA-256 {digest[:8]}….")
    return EncoderWeights(
        encoder=name,
        source=weights.source,
        file=weights.file.name,
        sha256=digest,
        licence=licence,
        features=encoder.features,
    )


def keep(encoder: str, folder: Path, note: Callable[[str], None]) -> Weights:
    """Writes weights of an encoder into a folder under its name, wherever on this machine or elsewhere they are.

    Raises:
        ConfigError: timm knows no such encoder.
        TrainingImpossible: there are no weights, or they are damaged.
    """
    from safetensors.torch import save

    network = TimmEncoder(TimmForm(encoder))
    load(network, obtain(encoder, None, "auto", note))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / own_name(_name(facts_of(encoder)))
    artefacts.atomic_write(file, save({name: value.contiguous() for name, value in network.net.state_dict().items()}))
    return Weights(file, "PT4AL_WEIGHTS_DIR")


def _read(file: Path) -> Mapping[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    given: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    inner = given.get("state_dict")
    return inner if isinstance(inner, Mapping) else given


def _renamed(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of ``own``, which they follow in order; what comes behind is the classification layer's.

    Raises:
        ValueError: another number of weights, or another shape.
    """
    names = [name for name in own if not name.endswith("num_batches_tracked")]
    values = [value for name, value in given.items() if not name.endswith("num_batches_tracked")][: len(names)]
    renamed = dict(zip(names, values, strict=True))
    if wrong := [name for name, value in renamed.items() if value.shape != own[name].shape]:
        raise ValueError(f"{wrong[0]} has another shape")
    return renamed
