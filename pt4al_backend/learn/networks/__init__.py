"""Networks: a form describes one, ``build`` makes it."""

from collections.abc import Mapping
from typing import Any

from pt4al_backend.learn.networks.body import (
    IMAGENET,
    LEAST_SIDE_FROZEN,
    MEAN,
    STD,
    Body,
    EncoderForm,
    Form,
    ResNetForm,
    TimmForm,
    pooled,
)
from pt4al_backend.learn.networks.resnet import Classifier, ResNet18
from pt4al_backend.learn.networks.segmenter import Encoder, Segmenter
from pt4al_backend.learn.networks.timm_encoder import TimmEncoder

__all__ = [
    "IMAGENET",
    "LEAST_SIDE_FROZEN",
    "MEAN",
    "STD",
    "Body",
    "Classifier",
    "Encoder",
    "EncoderForm",
    "Form",
    "ResNet18",
    "ResNetForm",
    "Segmenter",
    "TimmEncoder",
    "TimmForm",
    "build",
    "form_of",
    "pooled",
]


def form_of(network: Mapping[str, Any]) -> Form:
    """The form that ``dataclasses.asdict`` wrote into a manifest.

    Raises:
        KeyError, TypeError: it describes no form.
    """
    kinds: dict[str, type[Form]] = {"resnet18": ResNetForm, "encoder": EncoderForm, "timm": TimmForm}
    return kinds[network["kind"]](**network)


def build(form: Form) -> Body:
    """A body of a form, with fresh weights."""
    if isinstance(form, TimmForm):
        return TimmEncoder(form)
    return Encoder(form) if isinstance(form, EncoderForm) else ResNet18(form)
