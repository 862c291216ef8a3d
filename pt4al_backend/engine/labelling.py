"""Which labelling a project has: its labeling config says it."""

from pt4al_backend.config import ServerSettings
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import LabelConfig, SegmentationConfig
from pt4al_backend.label_studio.segmentation import SegmentationReader
from pt4al_backend.state.paths import mask_dir
from pt4al_backend.state.schema import Project

#: Where a model's artefact keeps the masks that it predicted.
PREDICTED = "masks"


def label_reader_for(settings: ServerSettings, project: Project, config: LabelConfig) -> LabelReader:
    """How the labels of ``project`` are read and shown."""
    if isinstance(config, SegmentationConfig):

        def predicted() -> MaskFiles:
            return MaskFiles(settings.data_dir / project.model / PREDICTED)

        return SegmentationReader(config, MaskFiles(mask_dir(settings, project.id)), predicted, settings.image_max_pixels)
    return ClassificationReader(config)
