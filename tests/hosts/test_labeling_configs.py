"""The labeling configs of plugin/, which people paste into Label Studio."""

import pytest

from pt4al_backend.label_studio.label_config import SegmentationConfig, parse
from tests.support.servers import REPOSITORY

LABELING = REPOSITORY / "plugin" / "labeling"


def test_classification_config_is_supported() -> None:
    config = parse((LABELING / "classification.xml").read_text())
    assert config.image_key == "image"
    assert config.labels == ("cat", "dog", "other")


@pytest.mark.parametrize("shape", ["brush", "polygon", "bitmask"])
def test_segmentation_config_is_supported(shape: str) -> None:
    config = parse((LABELING / f"segmentation-{shape}.xml").read_text())
    assert isinstance(config, SegmentationConfig)
    assert (config.shape, config.image_key) == (shape, "image")
    assert config.labels == ("road", "building", "person")
