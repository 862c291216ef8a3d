"""The main job as a person does it: connect the backend, press Label All Tasks, be served the published query."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_studio.client import LabelStudio
from tests.support.backend import Backend
from tests.support.images import LABEL_CONFIG, arrow, class_of, save
from tests.support.servers import LabelStudioServer

pytestmark = [pytest.mark.browser, pytest.mark.label_studio]

PARAMS = {"rounds": 2, "query_size": 4, "control_share": 0.25, "pretext_epochs": 2, "epochs": 2, "width": 8}


def connect(page: Page, backend: Backend, params: str) -> None:
    page.locator("button", has_text="Connect Model").click()
    page.locator("input[name=title]").fill("PT4AL")
    page.locator("input[name=url]").fill(backend.url)
    page.locator("textarea[name=extra_params]").fill(params)
    page.locator("button", has_text="Validate and Save").click()


def published(client: LabelStudio, project: int) -> list[int]:
    """Tasks in the order that Label Studio is to serve them in."""
    version = client.project(project)["model_version"]
    predictions = client.request("GET", "/api/predictions/", params={"project": project})
    return [each["task"] for each in sorted(predictions, key=lambda each: each["score"]) if each["model_version"] == version]


def fact(page: Page, name: str) -> str:
    """What the status page says under a heading."""
    return page.locator("dl.facts > div", has=page.locator("dt", has_text=re.compile(f"^{name}$"))).locator("dd").inner_text()


def test_label_all_tasks_serves_the_published_query(
    signed_in_page: Page, label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    client = LabelStudio(label_studio.url, label_studio.token)
    project = lead.create_project("Arrows in a browser", LABEL_CONFIG)
    lead.upload_images(project, save(tmp_path / "images", [arrow(number) for number in range(24)]))
    page = signed_in_page
    with Backend(tmp_path / "backend", label_studio, PT4AL_POLL_SECONDS="3600") as backend:
        backend.start_apart()
        page.goto(f"{label_studio.url}/projects/{project}/settings/ml")
        connect(page, backend, json.dumps({**PARAMS, "query-size": 4}))
        page.get_by_text("Unknown+setting+'query-size'").first.wait_for()  # Label Studio may say it in two places
        page.screenshot(path=tmp_path / "1-refused.png")
        page.goto(f"{label_studio.url}/projects/{project}/settings/ml")
        connect(page, backend, json.dumps(PARAMS))
        page.get_by_text("Connected", exact=True).wait_for()
        page.screenshot(path=tmp_path / "2-connected.png")

        backend.wait_for(project, phase="labelling", labels_missing=4)
        status = page.context.new_page()
        status.goto(f"{backend.url}/projects/{project}")
        expect(status.get_by_text("Waiting for labels")).to_be_visible()
        assert fact(status, "Labels in this round").startswith("0 of 4")
        order = published(client, project)
        assert len(order) == 8

        page.bring_to_front()
        page.goto(f"{label_studio.url}/projects/{project}/data")
        page.locator("button", has_text="Label All Tasks").click()
        for task in order[:4]:
            expect(page.locator(".lsf-current-task__task-id")).to_have_text(re.compile(rf"^{task}\s"), use_inner_text=True)
            if task == order[1]:
                page.screenshot(path=tmp_path / "3-labelling.png")
            page.locator(f"input[name={class_of(task)}]").check()
            page.get_by_label("Submit current annotation").click()
            if task == order[2]:
                status.bring_to_front()
                expect(status.locator("dl.facts").first).to_contain_text("3 of 4")
                status.screenshot(path=tmp_path / "4-status.png")
                page.bring_to_front()

        status.bring_to_front()
        expect(status.locator("dl.facts").first).to_contain_text(re.compile(r"Round\s*2"))
        expect(status.locator("dl.facts").first).to_contain_text("0 of 4")
        status.screenshot(path=tmp_path / "5-next-round.png")
        assert published(client, project) != order
