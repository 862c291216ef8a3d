"""Predictions of segmentation projects, as Label Studio's editor shows them, and as it stores what a person submits of them."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.images.mask_files import UNLABELLED, Mask, MaskFiles
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.label_config import SegmentationConfig, parse
from pt4al_backend.label_studio.outlines import mask_of, regions_of
from pt4al_backend.label_studio.segmentation import SegmentationReader
from tests.support.backend import SECONDS
from tests.support.images import save
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.label_studio]

LABELS = '<Label value="The road" alias="road"/><Label value="car" background="#ff0000"/>'


def scene() -> NDArray[np.uint8]:
    """A disc of one class in a ring of the other, and a bar."""
    rows, columns = np.mgrid[:150, :250] + 0.5
    from_centre = np.hypot(columns - 75, rows - 75)
    ids = np.full((150, 250), UNLABELLED, dtype=np.uint8)
    ids[from_centre < 60] = 0
    ids[from_centre < 30] = 1
    ids[20:50, 160:240] = 1
    return ids


@pytest.mark.parametrize("tool", ["Brush", "Polygon", "Bitmask"])
@pytest.mark.parametrize("together", [True, False], ids=["with labels", "beside labels"])
def test_a_predicted_mask_is_shown_and_read_back(
    tool: str, together: bool, signed_in_page: Page, label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    tags = f'<{tool} name="tool" toName="image"/><Labels name="mask" toName="image">{LABELS}</Labels>'
    if together:
        tags = f'<{tool}Labels name="mask" toName="image">{LABELS}</{tool}Labels>'
    xml = f'<View><Image name="image" value="$image" smoothing="false"/>{tags}</View>'
    config = parse(xml)
    assert isinstance(config, SegmentationConfig)
    project = lead.create_project(f"{tool} in a browser", xml)
    (task,) = lead.upload_images(project, save(tmp_path, [Image.fromarray(scene() // 2)]))
    regions = regions_of(Mask(scene(), {0: 0.75, 1: 0.25}), config)
    client = LabelStudio(label_studio.url, label_studio.token)
    assert client.import_predictions(project, [{"task": task, "result": regions, "model_version": "v", "score": 0.5}]) == 1
    client.update_project(project, model_version="v")

    page = signed_in_page
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task}")
    parts = ["The road", "car", "car"] if tool == "Polygon" else ["The road", "car"]
    listed = [re.compile(rf"{part}\s+{'0.75' if part == 'The road' else '0.25'}") for part in parts]
    expect(page.locator(".lsf-outliner-item")).to_have_text(listed, use_inner_text=True)
    page.get_by_label("Submit current annotation").click()
    expect(page.get_by_label("submit", exact=True)).to_have_text("Update")
    page.screenshot(path=tmp_path / "submitted.png")
    (annotation,) = lead.task(task)["annotations"]
    drawings = SegmentationReader(config, MaskFiles(tmp_path / "drawn"), lambda: MaskFiles(tmp_path), 100_000)
    assert drawings.answer_of([annotation], client.prediction).accepted
    mask = mask_of(annotation, config, max_pixels=100_000).ids
    if tool == "Polygon":
        assert (mask == scene()).mean() > 0.99
    else:
        np.testing.assert_array_equal(mask, scene())

    page.locator(".lsf-outliner-item").last.click()
    page.keyboard.press("Backspace")
    expect(page.locator(".lsf-outliner-item")).to_have_count(len(parts) - 1)
    page.get_by_label("submit", exact=True).click()
    changed = lambda: lead.task(task)["annotations"][0]  # noqa: E731
    wait_until(lambda: len(changed()["result"]) < len(annotation["result"]), SECONDS, "the correction is submitted")
    assert {region["origin"] for region in changed()["result"]} == {"prediction"}
    assert not drawings.answer_of([changed()], client.prediction).accepted
