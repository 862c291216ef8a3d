"""Which labelling a project has: its labeling config says it."""

from pt4al_backend.config import Settings
from pt4al_backend.engine.intake import mask_dir
from pt4al_backend.images.mask_files import Masks
from pt4al_backend.label_studio.annotations import Labelling
from pt4al_backend.label_studio.classification import Choices
from pt4al_backend.label_studio.label_config import LabelConfig, SegmentationConfig
from pt4al_backend.label_studio.segmentation import Drawings
from pt4al_backend.state.schema import Project

#: Where a model's artefact keeps the masks that it predicted.
PREDICTED = "masks"


def labelling_for(settings: Settings, project: Project, config: LabelConfig) -> Labelling:
    """How the labels of ``project`` are read and shown."""
    if isinstance(config, SegmentationConfig):

        def predicted() -> Masks:
            return Masks(settings.data_dir / project.model / PREDICTED)

        return Drawings(config, Masks(mask_dir(settings, project.id)), predicted, settings.image_max_pixels)
    return Choices(config)
