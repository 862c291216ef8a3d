"""Where a project's artefacts lie below the data folder."""

from pathlib import Path

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.schema import Project


def project_dir(settings: ServerSettings, project_id: int) -> Path:
    """Folder of a project's artefacts."""
    return project_below(settings.data_dir, project_id)


def project_below(data_dir: Path, project_id: int) -> Path:
    """The same, below a data folder."""
    return data_dir / "projects" / str(project_id)


def insights_lease(settings: ServerSettings, project_id: int) -> Path:
    """The file that is locked by who computes what a project's pages show."""
    return settings.data_dir / "leases" / f"insights-{project_id}"


def map_lease(settings: ServerSettings, project_id: int) -> Path:
    """The file that is locked by who lays a project's map out."""
    return settings.data_dir / "leases" / f"map-{project_id}"


def comparison_lease(settings: ServerSettings, project_id: int) -> Path:
    """The file that is locked by who compares what could be served."""
    return settings.data_dir / "leases" / f"comparison-{project_id}"


#: Those of all that writes among a project's artefacts beside the looks.
BACKGROUND_LEASES = (insights_lease, map_lease, comparison_lease)


def refill_lease(settings: ServerSettings, project_id: int) -> Path:
    """The file that is locked by who refills a project."""
    return settings.data_dir / "leases" / f"refill-{project_id}"


def rest_dir(settings: ServerSettings, project_id: int) -> Path:
    """Folder of the ranked rest that a project is refilled from."""
    return project_dir(settings, project_id) / "rest"


def mask_dir(settings: ServerSettings, project_id: int) -> Path:
    """Folder of the masks that a project's annotators drew."""
    return project_dir(settings, project_id) / "masks"


def frames_path(settings: ServerSettings, project: Project) -> Path:
    """The frame file of a project's stored shape. On the disk it keeps its old name, as folders of earlier versions have it."""
    return project_dir(settings, project.id) / f"pixels-{project.stored_height}x{project.stored_width}.u8"
