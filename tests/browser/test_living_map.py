"""What a lead does on the pages of a living project: the lasso changes what an annotator is served, and faults are found."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests
from PIL import Image
from playwright.sync_api import Page, expect

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_studio.client import LabelStudio
from tests.support.backend import SECONDS, Backend
from tests.support.encoders import ENCODER, weights_dir
from tests.support.images import LABEL_CONFIG, arrow, class_of, save
from tests.support.kinds import CLASSIFICATION
from tests.support.map_page import lasso, open_map, pixel
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.label_studio, pytest.mark.timeout(600)]

PARAMS = {"encoder": ENCODER, "strategy": "herding", "rounds": 2, "query_size": 6, "reserve_size": 4, "control_share": 0.34}
ARROWS = 24
#: The number of the image that the last one is nearly the same as.
TWIN = 3


class Living(NamedTuple):
    """A project with an open round: ``tasks`` in the order of their images."""

    backend: Backend
    client: LabelStudio
    project: int
    tasks: list[int]

    def order(self) -> list[int]:
        """Tasks in the order in which Label Studio serves them."""
        version = self.client.project(self.project)["model_version"]
        found = self.client.request("GET", "/api/predictions/", params={"project": self.project})
        served = [each for each in found if each["model_version"] == version]
        return [each["task"] for each in sorted(served, key=lambda each: each["score"])]


def nearly(image: Image.Image) -> Image.Image:
    """The same picture in one shade for two."""
    return image.point(lambda value: value & ~1)


@pytest.fixture(scope="module")
def living(label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    folder = tmp_path_factory.mktemp("living")
    project = lead.create_project("Lived with", LABEL_CONFIG)
    images = [arrow(number) for number in range(ARROWS)]
    tasks = lead.upload_images(project, save(folder / "images", [*images, nearly(images[TWIN])]))
    weights = str(weights_dir(folder / "weights"))
    with Backend(folder, label_studio, PT4AL_POLL_SECONDS="3600", PT4AL_WEIGHTS_DIR=weights) as backend:
        backend.both.start()
        lead.connect_backend(project, backend.url, extra_params=PARAMS)
        backend.wait_for(project, phase="labelling", round=1, labels_missing=6)
        yield Living(backend, LabelStudio(label_studio.url, label_studio.token), project, tasks)


def test_next_task_that_the_label_stream_serves_is_one_that_the_lasso_took(
    signed_in_page: Page, label_studio: LabelStudioServer, living: Living
) -> None:
    url = f"{living.backend.url}/api/projects/{living.project}/map"
    wait_until(lambda: requests.get(url, timeout=30).json()["state"] == "drawn", SECONDS, "the map is drawn")
    before = living.order()
    stream = signed_in_page
    page = stream.context.new_page()
    open_map(page, living.backend.url, living.project)
    x, y = pixel(page, before[0])

    def distance(task: int) -> float:
        left, top = pixel(page, task)
        return (left - x) ** 2 + (top - y) ** 2

    lasso(page, [max(set(living.tasks) - set(before), key=distance)])
    expect(page.locator("#chosen")).to_be_visible()
    chosen = {int(text.removeprefix("Task ")) for text in page.locator("#tiles li :is(a, span)").all_text_contents()}
    assert chosen
    assert before[0] not in chosen
    page.get_by_role("button", name="Label these next").click()
    page.get_by_role("dialog").get_by_role("button", name="Label these next").click()
    expect(page.locator("#done")).to_contain_text("served next")
    wait_until(lambda: set(living.order()[: len(chosen)]) == chosen, SECONDS, "the chosen ones are served first")
    stream.bring_to_front()
    stream.goto(f"{label_studio.url}/projects/{living.project}/data")
    stream.locator("button", has_text="Label All Tasks").click()
    current = stream.locator(".lsf-current-task__task-id")
    expect(current).to_have_text(re.compile(rf"^({'|'.join(map(str, chosen))})\s"), use_inner_text=True)


def test_planted_near_duplicate_with_a_wrong_label_is_found(browser_page: Page, lead: Annotator, living: Living) -> None:
    right, wrong = living.tasks[TWIN], living.tasks[ARROWS]
    # the pair first: rounds close, and quality is computed, as soon as a query is answered
    lead.annotate(wrong, CLASSIFICATION.regions(class_of(TWIN + 1), wrong))
    for number in (TWIN, *range(TWIN), *range(TWIN + 1, 18)):
        lead.annotate(living.tasks[number], CLASSIFICATION.regions(class_of(number), living.tasks[number]))
    assert living.backend.post(f"/api/projects/{living.project}/close-round", json={"round": 1}).ok
    quality = f"{living.backend.url}/api/projects/{living.project}/quality"

    def contradicting() -> int:
        return int(requests.get(quality, timeout=30).json()["duplicates"]["contradicting"])

    wait_until(contradicting, SECONDS, "labels that contradict each other are found")
    browser_page.goto(f"{living.backend.url}/projects/{living.project}/quality")
    expect(browser_page.get_by_text("labels contradict each other", exact=True)).to_be_visible()
    for task in (right, wrong):
        expect(browser_page.locator("body")).to_contain_text(f"Task {task}")
