"""Several choices in Label Studio's editor: what is predicted is ticked, and what a person submits is read as it was."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_sets import from_text, to_text
from pt4al_backend.label_studio.annotations import prediction
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.label_studio.multilabel import MultilabelReader
from tests.support.backend import SECONDS
from tests.support.images import arrow, save
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.label_studio]

ODD = "left, [right] & up"
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="shown" toName="image" choice="multiple">'
    '<Choice value="red"/><Choice value="The colour green" alias="green"/><Choice value="blue"/>'
    '<Choice value="left, [right] &amp; up"/></Choices></View>'
)


def ticked(page: Page, name: str) -> Locator:
    return page.locator(f'input[name="{name}"]')


def test_predicted_choices_are_ticked_corrected_and_read_back(
    signed_in_page: Page, label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    reader = MultilabelReader(parse(CONFIG))
    classes = reader.config.labels
    assert classes == ("red", "green", "blue", ODD)
    project = lead.create_project("Several choices in a browser", CONFIG)
    (task,) = lead.upload_images(project, save(tmp_path / "images", [arrow(0)]))
    client = LabelStudio(label_studio.url, label_studio.token)
    predicted = to_text(["green", ODD], classes)
    assert client.import_predictions(project, [prediction(task, reader.regions(predicted, 0.75, None), 0.1, "v")]) == 1
    client.update_project(project, model_version="v")

    page = signed_in_page
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task}")
    expect(page.get_by_text("The colour green")).to_be_visible()
    page.screenshot(path=tmp_path / "predicted.png")
    for name, is_ticked in (("red", False), ("The colour green", True), ("blue", False), (ODD, True)):
        expect(ticked(page, name)).to_be_checked(checked=is_ticked)
    page.get_by_label("Submit current annotation").click()
    expect(page.get_by_label("submit", exact=True)).to_have_text("Update")
    (annotation,) = lead.task(task)["annotations"]
    answer = reader.answer_of([annotation], client.prediction)
    assert (answer.label, answer.accepted) == (predicted, True)

    ticked(page, "red").check()
    ticked(page, ODD).uncheck()
    page.get_by_label("submit", exact=True).click()
    changed = lambda: reader.answer_of(lead.task(task)["annotations"], client.prediction)  # noqa: E731
    wait_until(lambda: changed().label != predicted, SECONDS, "the correction is submitted")
    assert from_text(str(changed().label)) == ("red", "green")
    assert not changed().accepted


@pytest.mark.parametrize("predicted", ["[]", ""], ids=["where that was predicted", "without a prediction"])
def test_submitting_nothing_says_that_none_of_the_classes_is_there(
    signed_in_page: Page, label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path, predicted: str
) -> None:
    reader = MultilabelReader(parse(CONFIG))
    project = lead.create_project("No choice in a browser", CONFIG)
    (task,) = lead.upload_images(project, save(tmp_path / "images", [arrow(0)]))
    client = LabelStudio(label_studio.url, label_studio.token)
    assert client.import_predictions(project, [prediction(task, reader.regions(predicted, 0.75, None), 0.2, "v")]) == 1
    client.update_project(project, model_version="v")

    page = signed_in_page
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task}")
    for name in ("red", "The colour green", "blue", ODD):
        expect(ticked(page, name)).not_to_be_checked()
    page.get_by_label("Submit current annotation").click()
    expect(page.get_by_label("submit", exact=True)).to_have_text("Update")
    page.screenshot(path=tmp_path / "submitted.png")
    (annotation,) = lead.task(task)["annotations"]
    assert not annotation["was_cancelled"]
    answer = reader.answer_of([annotation], client.prediction)
    assert (answer.kind, answer.label, answer.accepted) == ("label", "[]", bool(predicted))
