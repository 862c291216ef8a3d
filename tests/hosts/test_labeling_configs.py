"""The labeling configs of plugin/, which people paste into Label Studio."""

import pytest

from pt4al_backend.label_studio.label_config import MultilabelConfig, SegmentationConfig, parse
from tests.support.servers import REPOSITORY

LABELING = REPOSITORY / "plugin" / "labeling"


def test_classification_config_is_supported() -> None:
    config = parse((LABELING / "classification.xml").read_text())
    assert config.image_key == "image"
    assert config.labels == ("cat", "dog", "other")


def test_multilabel_config_is_supported() -> None:
    config = parse((LABELING / "multilabel.xml").read_text())
    assert isinstance(config, MultilabelConfig)
    assert (config.image_key, config.labels) == ("image", ("cat", "dog", "person"))


@pytest.mark.parametrize("shape", ["brush", "polygon", "bitmask"])
def test_segmentation_config_is_supported(shape: str) -> None:
    config = parse((LABELING / f"segmentation-{shape}.xml").read_text())
    assert isinstance(config, SegmentationConfig)
    assert (config.shape, config.image_key) == (shape, "image")
    assert config.labels == ("road", "building", "person")
