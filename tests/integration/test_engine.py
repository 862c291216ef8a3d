"""The round engine against a real Label Studio: broken images, refused tokens, unusable configs, kills between two steps."""

import base64
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.worker import Worker
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import Project, PublicationState
from pt4al_backend.state.store import Store
from tests.support.here import RestartingHere
from tests.support.images import LABEL_CONFIG, arrow, encoded, flat, header_bomb, save_files
from tests.support.loop import SECONDS, Loop
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = pytest.mark.label_studio

CHOICES_OF_REGIONS = LABEL_CONFIG.replace("<Choices ", '<Choices perRegion="true" ')


@dataclass
class Broken:
    """Tasks by what is wrong with their image."""

    missing: int
    cut_off: int
    text: int
    dot: int
    bomb: int
    no_image: int

    @property
    def all(self) -> set[int]:
        return set(vars(self).values())


@pytest.fixture(scope="module")
def plain(label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Images that mean nothing to the pretext, some of them broken; all answers are of one class, so nothing is trained."""
    params = {"rounds": 12, "query_size": 3, "control_share": 0, "reserve_size": 3, "pretext_epochs": 1}
    with Loop(label_studio, lead, tmp_path_factory.mktemp("plain"), params, runner=RestartingHere()) as loop:
        loop.add(80, flat)
        odd = save_files(loop.folder / "odd", [("cmyk.jpg", cmyk()), ("deep.png", sixteen_bits())])
        loop.numbers |= dict.fromkeys(loop.lead.upload_images(loop.id, odd), 0)
        inline = f"data:image/png;base64,{base64.b64encode(encoded(flat(0))).decode()}"
        loop.numbers |= dict.fromkeys(loop.lead.import_tasks(loop.id, [{"data": {"image": inline}}]), 0)
        yield loop


@pytest.fixture(scope="module")
def broken(plain: Loop) -> Broken:
    files = [
        ("cut.png", encoded(arrow(0))[:20]),
        ("text.png", b"hello"),
        ("dot.png", encoded(flat(0, 1))),
        ("bomb.png", header_bomb()),
    ]
    cut_off, text, dot, bomb = plain.lead.upload_images(plain.id, save_files(plain.folder / "broken", files))
    gone = {"data": {"image": f"/data/upload/{plain.id}/gone.png"}}
    missing, no_image = plain.lead.import_tasks(plain.id, [gone, {"data": {"image": ""}}])
    plain.reconcile()
    return Broken(missing, cut_off, text, dot, bomb, no_image)


def cmyk() -> bytes:
    file = BytesIO()
    Image.new("CMYK", (32, 32), (20, 40, 60, 10)).save(file, "JPEG")
    return file.getvalue()


def sixteen_bits() -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((32, 32), 40_000, np.uint16)).save(file, "PNG")
    return file.getvalue()


def close_round(loop: Loop) -> Project:
    """Answers what is left of the query, all alike."""
    answered = loop.store.answers(loop.id)
    loop.annotate_all([task_id for task_id in loop.order("query") if task_id not in answered], "red")
    return loop.reconcile()


def fresh_round(loop: Loop) -> Project:
    """A round of which nothing is answered yet."""
    loop.reconcile()
    return close_round(loop) if set(loop.order()) & loop.store.answers(loop.id).keys() else loop.project


def test_broken_images_are_set_aside_with_a_reason_and_the_rest_continues(plain: Loop, broken: Broken) -> None:
    total, aside = plain.store.set_aside(plain.id)
    reasons = dict(aside)
    assert reasons.keys() == broken.all
    assert total == len(reasons)
    assert "gone.png could not be fetched" in reasons[broken.missing]
    assert "damaged or ends too early" in reasons[broken.cut_off]
    assert "not an image that can be read" in reasons[broken.text]
    assert "only 1 x 1 pixels" in reasons[broken.dot]
    assert "PT4AL_IMAGE_MAX_PIXELS" in reasons[broken.bomb]
    assert "no image in the field 'image'" in reasons[broken.no_image]
    counts = plain.store.counts(plain.id)
    assert counts["scored"] == counts["fetched"] == counts["tasks"] - len(reasons) == 83
    assert plain.project.phase == "labelling"
    assert plain.project.error == ""
    assert not broken.all & set(plain.order())


def test_meaningless_pretext_is_reported_and_replaced_by_a_uniform_order(plain: Loop, broken: Broken) -> None:
    assert "no upright sense" in plain.project.notices["pretext"]
    losses = dict(zip(plain.store.tasks(plain.id).ids.tolist(), plain.store.tasks(plain.id).losses.tolist(), strict=True))
    order = [losses[task_id] for task_id in plain.order()]
    assert order != sorted(order, reverse=True)


def test_round_continues_without_a_model_when_labels_are_of_one_class(plain: Loop, broken: Broken) -> None:
    before = plain.project.round
    after = close_round(plain)
    assert after.round == before + 1
    assert after.model == ""
    assert "labels of two classes or more" in after.notices["classes"]
    assert len(plain.order("query")) == 3
    assert plain.next() == plain.order()[0]
    plain.annotate(plain.order()[0], "red")


def test_start_training_with_labels_of_one_class_leaves_the_round_open(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.order()
    plain.annotate(before[0], "red")
    after = plain.reconcile(train=True)
    assert "labels of two classes or more" in after.notices["button"]
    assert plain.order() == before


def test_a_deleted_task_keeps_no_round_open(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.project.round
    first, *rest = plain.order("query")
    plain.lead.delete_task(first)
    plain.annotate_all(rest, "red")
    assert plain.reconcile().round == before + 1
    assert first not in plain.store.task_ids(plain.id)
    assert plain.project.error == ""


def test_many_requests_at_once_open_one_round(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.project.round
    versions = plain.versions()
    plain.annotate_all(plain.order("query"), "red")
    engines = [Worker(plain.settings, plain.store) for _ in range(2)]
    threads = [threading.Thread(target=engine.handle_request, args=(plain.id,)) for engine in engines for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plain.project.round == before + 1
    assert len(plain.versions()) == len(versions) + 1
    assert plain.versions()[plain.served()] == len(plain.picks())


def test_deleted_queue_is_sent_again(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    deleted, order = plain.served(), plain.order()
    plain.client.delete_model_version(plain.id, deleted)
    plain.reconcile()
    assert plain.served() == plain.project.served_version != deleted
    assert plain.versions()[plain.served()] == len(order)
    assert plain.next() == order[0]
    assert plain.order() == order
    plain.annotate(order[0], "red")


def test_wrong_token_is_reported_without_showing_it_and_the_right_one_resumes(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before = plain.project.round
    wrong = "f" * 40
    plain.annotate_all(plain.order("query"), "red")
    Worker(plain.settings.model_copy(update={"label_studio_api_key": wrong}), plain.store).handle_request(plain.id)
    refused = plain.project
    assert refused.phase == "blocked"
    assert "refuses the legacy token" in refused.error
    assert "LABEL_STUDIO_API_KEY" in refused.remedy
    assert wrong not in refused.error + refused.remedy
    assert refused.round == before
    resumed = plain.reconcile()
    assert (resumed.error, resumed.remedy, resumed.phase) == ("", "", "labelling")
    assert resumed.round == before + 1


def test_config_that_cannot_be_learned_is_reported_and_changes_nothing(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    before, served = plain.order(), plain.served()
    plain.annotate_all(before[:2], "red")
    plain.client.update_project(plain.id, label_config=CHOICES_OF_REGIONS)
    stopped = plain.reconcile()
    assert "belong to each region" in stopped.error
    assert "without perRegion" in stopped.remedy
    assert (plain.order(), plain.served()) == (before, served)
    plain.client.update_project(plain.id, label_config=LABEL_CONFIG)
    assert plain.reconcile().error == ""
    assert plain.order() == before
    assert close_round(plain).round == stopped.round + 1


def test_config_that_drops_labels_waits_and_the_stream_is_served_meanwhile(plain: Loop, broken: Broken) -> None:
    fresh_round(plain)
    close_round(plain)
    labelled = plain.store.counts(plain.id)["labelled"]
    assert labelled
    plain.client.update_project(plain.id, label_config=LABEL_CONFIG.replace('value="red"', 'value="crimson"'))
    project = plain.reconcile()
    assert "'red'" in project.notices["config"]
    assert (project.error, plain.store.counts(plain.id)["labelled"]) == ("", labelled)
    assert project.served_version
    plain.client.update_project(plain.id, label_config=LABEL_CONFIG.replace('value="red"', 'value="crimson" alias="red"'))
    project = plain.reconcile()
    assert "config" not in project.notices
    assert plain.store.counts(plain.id)["labelled"] == labelled
    plain.client.update_project(plain.id, label_config=LABEL_CONFIG)
    plain.reconcile()


class Killed(BaseException):
    """Ends the engine where it stands, as kill -9 would."""


def killed_before(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    def instead(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(owner, name, instead)


def killed_after(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    done = getattr(owner, name)

    def instead(*given: Any, **named: Any) -> None:
        done(*given, **named)
        raise Killed

    monkeypatch.setattr(owner, name, instead)


@pytest.mark.parametrize(
    ("cut", "owner", "name"),
    [
        (killed_after, Store, "open_round"),
        (killed_after, Store, "announce"),
        (killed_after, LabelStudio, "import_predictions"),
        (killed_before, Store, "go_live"),
        (killed_after, Store, "go_live"),
    ],
)
def test_a_kill_between_two_steps_publishes_nothing_twice(
    plain: Loop, broken: Broken, cut: Callable[..., None], owner: type, name: str
) -> None:
    fresh_round(plain)
    number, versions = plain.project.round, plain.versions()
    plain.annotate_all(plain.order("query"), "red")
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, owner, name)
        with pytest.raises(Killed):
            plain.reconcile()
    plain.reconcile()
    assert plain.project.round == number + 1
    (added,) = plain.versions().keys() - versions.keys()
    assert plain.versions()[added] == len(plain.picks())
    assert plain.served() == plain.project.served_version == added
    assert plain.next() == plain.order()[0]
    assert plain.store.publications(plain.id, PublicationState.SENDING) == []
    plain.annotate(plain.order()[0], "red")


def test_a_setting_that_is_taken_back_ends_the_training_that_it_began(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """These epochs would take a day."""
    params = {"rounds": 2, "query_size": 6, "control_share": 0, "reserve_size": 0, "pretext_epochs": 1, "epochs": 10_000}
    with Loop(label_studio, lead, tmp_path / "mistaken", params) as loop, caplog.at_level(logging.INFO):
        loop.add(24)
        loop.reconcile()
        loop.annotate_all(loop.order("query"))
        with loop.reconciling():
            checkpoint = project_dir(loop.settings, loop.project) / "learn-1" / "checkpoint.pt"
            wait_until(checkpoint.exists, SECONDS, "the training has a checkpoint")
            loop.connect(show_predictions=False)  # decides nothing of what is learned
            wait_until(lambda: "Resuming after" in loop.project.notices.get("training", ""), SECONDS, "the training is resumed")
            loop.connect(epochs=2)
        assert loop.project.round == 2
        assert loop.project.error == ""
        assert loop.project.notices.keys() <= {"pretext", "schedule", "weights"}  # nothing is left of what was said meanwhile
        logged = [record.getMessage() for record in caplog.records if record.name.startswith("pt4al_backend.engine")]
        for what in ("24 images are ranked", "settings have changed", "a model has learned 6 labels", "6 tasks are served"):
            assert any(what in line for line in logged), what
