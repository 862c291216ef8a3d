"""Where a project's artefacts lie below the data folder."""

from pathlib import Path

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.schema import Forgotten, Project


def project_dir(settings: ServerSettings, project: Project | Forgotten) -> Path:
    """Folder of a project's artefacts, of one connection alone: what hosts have of an earlier one is never taken for it."""
    return project_below(settings.data_dir, project)


def project_below(data_dir: Path, project: Project | Forgotten) -> Path:
    """The same, below a data folder."""
    return data_dir / project_name(project)


def project_name(project: Project | Forgotten) -> str:
    """The same, below any data folder and in the artefact store."""
    number = project.id if isinstance(project, Project) else project.project_id
    return f"projects/{number}-{project.identity}" if project.identity else f"projects/{number}"


def rows_in_store(project: Project) -> str:
    """Below which name the artefact store has a project's frames and features."""
    return f"{project_name(project)}/rows"


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


def rest_dir(settings: ServerSettings, project: Project) -> Path:
    """Folder of the ranked rest that a project is refilled from."""
    return project_dir(settings, project) / "rest"


def mask_dir(settings: ServerSettings, project: Project) -> Path:
    """Folder of the masks that a project's annotators drew."""
    return project_dir(settings, project) / "masks"


def frames_path(settings: ServerSettings, project: Project) -> Path:
    """The frame file of a project's stored shape. On the disk it keeps its old name, as folders of earlier versions have it."""
    return project_dir(settings, project) / f"pixels-{project.stored_height}x{project.stored_width}.u8"
