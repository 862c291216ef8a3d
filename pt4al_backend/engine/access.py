"""What reaches a project's Label Studio: a client, a fetcher of its images, a reader of its labels."""

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import AuthError
from pt4al_backend.images.fetch import Fetcher
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.label_studio.annotations import LabelReader, image_of
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.label_config import LabelConfig, MultilabelConfig, SegmentationConfig
from pt4al_backend.label_studio.multilabel import MultilabelReader
from pt4al_backend.label_studio.registration import Identity, Registration
from pt4al_backend.label_studio.segmentation import SegmentationReader
from pt4al_backend.state.paths import mask_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

#: Where a model's artefact keeps the masks that it predicted.
PREDICTED = "masks"


def client_for(settings: ServerSettings, project: Project) -> LabelStudio:
    """A client for the Label Studio of ``project``.

    The admin's address and token win as a pair: ``ServerSettings`` refuses a token without an address, so that the admin's token
    never goes to a host that /setup named. Otherwise the pair that one /setup brought is used (see ``Backend.connect``). If the
    admin gave an address alone, the token of that pair goes there and nowhere else.

    Raises:
        AuthError: no address or no token is known.
        LabelStudioError: the address cannot be one.
    """
    url = settings.label_studio_url or project.hostname
    token = settings.label_studio_api_key or project.access_token
    missing = [name for name, value in (("address", url), ("token", token)) if not value]
    if missing:
        raise AuthError(
            f"No {' and no '.join(missing)} of Label Studio is known for project {project.id}.",
            "Set LABEL_STUDIO_URL to Label Studio's address and LABEL_STUDIO_API_KEY to the personal access token of an admin.",
        )
    return LabelStudio(url, token)


def registration_for(settings: ServerSettings, store: Store, client: LabelStudio, project_id: int) -> Registration:
    """This backend as the project's Label Studio knows it."""
    instance = store.instance()
    return Registration(settings, Identity(instance.id, instance.webhook_secret), client, project_id)


def fetcher_for(settings: ServerSettings, project: Project, config: LabelConfig | None = None) -> Fetcher:
    """What fetches the images of ``project``: with Label Studio's token from Label Studio, by whichever of its names.

    ``config`` finds images that stand in the task itself, of which the state has a digest; None: references come in full.

    Raises:
        AuthError, LabelStudioError: as ``client_for``.
    """
    client = client_for(settings, project)

    def find(task_id: int) -> str | None:
        return image_of(client.task_data(project.id, task_id), config) if config else None

    return Fetcher(settings, client.url, client.authorization, [project.hostname] if project.hostname else [], find)


def label_reader_for(settings: ServerSettings, project: Project, config: LabelConfig) -> LabelReader:
    """How the labels of ``project`` are read and shown; its labeling config decides."""
    if isinstance(config, SegmentationConfig):

        def predicted() -> MaskFiles:
            return MaskFiles(settings.data_dir / project.model / PREDICTED)

        return SegmentationReader(config, MaskFiles(mask_dir(settings, project)), predicted, settings.image_max_pixels)
    return MultilabelReader(config) if isinstance(config, MultilabelConfig) else ClassificationReader(config)
