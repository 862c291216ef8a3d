"""The demo from start to end, as far as it goes without a Label Studio."""

from pathlib import Path

import pytest

from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.demo.project import KINDS
from pt4al_backend.demo.show import run
from pt4al_backend.errors import ConfigError
from tests.support.folders import save, save_masks


def test_every_main_task_has_a_demo() -> None:
    assert set(KINDS) == set(MAIN_TASKS)


def test_unusable_images_are_refused_before_anything_starts(tmp_path: Path) -> None:
    save(tmp_path / "images", 4)
    save_masks(tmp_path / "masks", 4)
    for images, masks in (("images", None), (None, "masks"), ("masks", "images")):
        with pytest.raises(ConfigError) as refused:
            run(
                task="segmentation",
                folder=tmp_path / "demo",
                rounds=1,
                images=tmp_path / images if images else None,
                masks=tmp_path / masks if masks else None,
                label_studio=Path("no-such-command"),
                stay=False,
            )
        assert "no-such-command" not in refused.value.message
        assert "--masks" in f"{refused.value}"
