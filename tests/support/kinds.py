"""The kinds of project that the loop is tested with: what their config says, and what a person who knows submits."""

from dataclasses import dataclass, field
from typing import Any

from pt4al_backend.images.mask_files import Mask
from pt4al_backend.label_sets import to_text
from pt4al_backend.label_studio import label_config, outlines
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import MultilabelConfig, SegmentationConfig
from pt4al_backend.label_studio.multilabel import MultilabelReader
from tests.support.images import CLASSES, LABEL_CONFIG, arrow_ids

#: Trainings of a second or two.
TINY = {"width": 8, "epochs": 6, "pretext_epochs": 8}

LABELS = "".join(f'<Label value="{name}"/>' for name in CLASSES)


@dataclass(frozen=True)
class Kind:
    """A kind of project: ``label_config`` asks for the classes of arrows, ``params`` keep its trainings short, and what a model
    says is shown as results of the type ``shows``.
    """

    name: str
    label_config: str
    shows: str
    params: dict[str, Any] = field(default_factory=dict)

    def regions(self, label: str, number: int, config_xml: str = "") -> list[dict[str, Any]]:
        """What a person submits who sees an arrow of class ``label`` in the image with this number.

        ``config_xml`` is the labeling config, if it is no longer the kind's own.
        """
        config = label_config.parse(config_xml or self.label_config)
        if isinstance(config, SegmentationConfig):
            return outlines.regions_of(Mask(arrow_ids(number, config.labels.index(label))), config)
        if isinstance(config, MultilabelConfig):
            return MultilabelReader(config).regions(to_text([label], config.labels), None, None)
        return ClassificationReader(config).regions(label, None, None)


def _drawn(tag: str) -> str:
    return f'<View><Image name="image" value="$image"/><{tag} name="colour" toName="image">{LABELS}</{tag}></View>'


CLASSIFICATION = Kind("classification", LABEL_CONFIG, "choices", TINY)
SEVERAL = Kind("multilabel", LABEL_CONFIG.replace("<Choices ", '<Choices choice="multiple" '), "choices", TINY)
BRUSH = Kind("segmentation", _drawn("BrushLabels"), "brushlabels", {**TINY, "epochs": 20, "pretext": "rotation"})
POLYGON = Kind("polygons", _drawn("PolygonLabels"), "polygonlabels", BRUSH.params)
BITMASK = Kind("bitmasks", _drawn("BitmaskLabels"), "bitmasklabels", BRUSH.params)

#: One for each main task.
KINDS = (CLASSIFICATION, SEVERAL, BRUSH)
#: One for each tool.
TOOLS = (*KINDS, POLYGON, BITMASK)
