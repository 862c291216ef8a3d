"""What people read for what the state keeps of a project: words for labels, and addresses of tasks in Label Studio."""

from urllib.parse import urlsplit

from pt4al_backend.config.catalog import TaskName
from pt4al_backend.engine.labeling_config import in_force
from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.label_sets import from_text
from pt4al_backend.label_studio.label_config import ClassificationConfig
from pt4al_backend.state.schema import Project


class LabelWords:
    """What people read for the labels of a project's main task."""

    def __init__(self, project: Project) -> None:
        self._shown: dict[str, str] = {}
        try:
            config = in_force(project)
            self._task = str(config.task)
            if isinstance(config, ClassificationConfig):
                self._shown = dict(zip(config.labels, config.shown, strict=True))
        except LabelConfigUnsupported:  # the engine reports it
            self._task = str(project.task)

    @property
    def has_classes(self) -> bool:
        """Whether a label is a class, or some."""
        return self._task != TaskName.SEGMENTATION

    def of(self, label: str) -> str | None:
        """The words for one label; None for no label."""
        if not label:
            return None
        if not self.has_classes:
            return "a mask"
        if self._task != TaskName.MULTILABEL:
            return self.of_class(label)
        try:
            return ", ".join(map(self.of_class, from_text(label))) or "none of the classes"
        except ValueError:  # of a config that was changed
            return label

    def of_class(self, name: str) -> str:
        """What annotators read for a class: a choice's value, which may differ from what annotations hold."""
        return self._shown.get(name, name)


def project_address(project: Project) -> str | None:
    """Where people's browsers find a project in Label Studio, by the name that it gave itself; None if that is none."""
    try:
        parts = urlsplit(project.hostname)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    return f"{project.hostname.rstrip('/')}/projects/{project.id}/data"


def task_address(project: Project, task: int) -> str | None:
    """The same for a task."""
    found = project_address(project)
    return None if found is None else f"{found}?task={task}"
