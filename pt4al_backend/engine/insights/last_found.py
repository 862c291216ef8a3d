"""When what the pages show was found last, for those who want to read it again."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from pt4al_backend.artefacts import MANIFEST
from pt4al_backend.engine.insights import map_layout, nearest, pool_estimate, quality_file
from pt4al_backend.jobs.layout import newest


class Found(BaseModel):
    """When the worker found what the pages show, seconds since 1970; null: not yet."""

    model_config = ConfigDict(frozen=True)

    neighbours: float | None = Field(default=None, description="the nearest labelled images of the queue")
    quality: float | None = None
    pool_estimate: float | None = None
    map: float | None = None
    map_share: float | None = Field(default=None, description="of the map being drawn, how much is, 0 to 1; null: none is")

    @classmethod
    def below(cls, project: Path) -> Self:
        """What there is below a project's folder. It costs a few looks at the file system."""
        return cls(
            neighbours=_made_at(project / nearest.FOLDER),
            quality=_made_at(project / quality_file.FOLDER),
            pool_estimate=_made_at(project / pool_estimate.FOLDER),
            map=_made_at(newest(project)),
            map_share=map_layout.share_drawn(project),
        )


def _made_at(result: Path | None) -> float | None:
    """When an artefact was written; None if there is none."""
    try:
        return None if result is None else (result / MANIFEST).stat().st_mtime
    except FileNotFoundError:  # or it is just being replaced
        return None
