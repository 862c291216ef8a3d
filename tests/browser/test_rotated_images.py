"""What Label Studio's editor stores of regions that were drawn while the image was rotated on the screen."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_studio.label_config import SegmentationConfig, parse
from pt4al_backend.label_studio.outlines import mask_of
from tests.support.backend import SECONDS
from tests.support.images import save
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.label_studio]

CLASSES = '<Label value="a"/><Label value="b"/>'
#: Corners of what is drawn, as shares of the picture on the screen.
CORNERS = [(0.4, 0.1), (0.6, 0.1), (0.6, 0.3), (0.4, 0.3)]
BREATH = 300  # milliseconds that the editor takes to follow the mouse
SHOWN = """() => {
    const shown = [...document.querySelectorAll('img[alt=image]')].pop().getBoundingClientRect()
    return [shown.x, shown.y, shown.width, shown.height]
}"""


def unrotated(x: float, y: float, turns: int) -> tuple[float, float]:
    """Where a point of the picture on the screen, turned clockwise, is in the image."""
    for _ in range(turns):
        x, y = y, 1 - x
    return x, y


def draw(page: Page, tool: str) -> None:
    left, top, width, height = page.evaluate(SHOWN)
    corners = [(left + x * width, top + y * height) for x, y in CORNERS]
    if tool == "Polygon":
        for x, y in [*corners, corners[0]]:
            page.mouse.click(x, y)
            page.wait_for_timeout(BREATH)
        return
    page.mouse.move(*corners[0])
    page.wait_for_timeout(BREATH)
    page.mouse.down()
    page.wait_for_timeout(BREATH)
    page.mouse.move(*corners[2], steps=10)
    page.wait_for_timeout(BREATH)
    page.mouse.up()
    page.wait_for_timeout(BREATH)


@pytest.mark.parametrize(("tool", "turns"), [("Polygon", 1), ("Brush", 3), ("Bitmask", 1), ("Rectangle", 2)])
def test_region_on_a_rotated_image_is_read_where_it_was_drawn(
    tool: str, turns: int, signed_in_page: Page, label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    tags = [f'<{tool}Labels name="mask" toName="image">{CLASSES}</{tool}Labels>']
    if tool == "Rectangle":
        tags.append(f'<PolygonLabels name="outline" toName="image">{CLASSES}</PolygonLabels>')
    xml = f'<View><Image name="image" value="$image" rotateControl="true"/>{"".join(tags)}</View>'
    config = parse(xml)
    assert isinstance(config, SegmentationConfig)
    project = lead.create_project(f"{tool} on a rotated image", xml)
    picture = np.indices((40, 60)).sum(axis=0).astype(np.uint8)
    (task,) = lead.upload_images(project, save(tmp_path, [Image.fromarray(picture).resize((300, 200))]))

    page = signed_in_page
    page.set_viewport_size({"width": 1600, "height": 1200})
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task}")
    expect(page.locator("img[alt=image]").last).to_be_visible()
    page.wait_for_timeout(5 * BREATH)
    for _ in range(turns):
        page.get_by_label("rotate-right").click()
        page.wait_for_timeout(BREATH)
    page.locator(".lsf-label").first.click()
    page.wait_for_timeout(BREATH)
    draw(page, tool)
    page.screenshot(path=tmp_path / "drawn.png")
    page.get_by_label("Submit current annotation").click()
    wait_until(lambda: lead.task(task)["annotations"], SECONDS, "the annotation is submitted")
    (annotation,) = lead.task(task)["annotations"]
    assert {region["image_rotation"] for region in annotation["result"]} == {90 * turns}

    ids = mask_of(annotation, config, max_pixels=100_000).ids
    assert ids.shape == (200, 300)
    x, y = unrotated(0.5, 0.2, turns)
    assert ids[int(y * 200), int(x * 300)] == 0
    rows, columns = np.nonzero(ids == 0)
    (x0, y0), (x1, y1) = unrotated(*CORNERS[0], turns), unrotated(*CORNERS[2], turns)
    reach = 0.12  # of a brush beyond its stroke
    assert min(x0, x1) - reach < columns.min() / 300 < columns.max() / 300 < max(x0, x1) + reach
    assert min(y0, y1) - reach < rows.min() / 200 < rows.max() / 200 < max(y0, y1) + reach
