"""``pt4al doctor``: every fault gets its line with the remedy, none hides the others, and no secret is shown."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pt4al_backend import artefacts
from pt4al_backend.cli import app
from pt4al_backend.config import ServerSettings
from pt4al_backend.config.catalog import NO_ENCODER
from pt4al_backend.demo.servers import free_port
from pt4al_backend.label_studio.registration import SAMPLING
from pt4al_backend.learn.weights import imagenet
from pt4al_backend.ops import doctor
from pt4al_backend.ops.doctor import finding as findings
from pt4al_backend.ops.doctor import machine
from pt4al_backend.ops.doctor.finding import Finding
from pt4al_backend.state.store import Store
from tests.support.encoders import ENCODER, weights_dir
from tests.support.image_server import Answer, Server, reply

TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONFIG = """<View><Image name="image" value="$image"/><Choices name="label" toName="image">
<Choice value="cat"/><Choice value="dog"/></Choices></View>"""

BRUSH = """<View><Image name="image" value="$image"/><BrushLabels name="mask" toName="image">
<Label value="cat"/><Label value="dog"/></BrushLabels></View>"""


def answer(body: Any, status: int = 200) -> Answer:
    return reply(json.dumps(body).encode(), status, Content_Type="application/json")


def picture() -> bytes:
    file = BytesIO()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


class World:
    """A Label Studio with project 7, which a backend at the same address serves; all is well until a test changes it."""

    def __init__(self, settings: ServerSettings) -> None:
        self.server = Server()
        self.url = self.server.url
        self.settings = settings.model_copy(update={"label_studio_url": self.url, "label_studio_api_key": TOKEN})
        self.project = {"title": "Kittens", "label_config": CONFIG, "sampling": SAMPLING, "model_version": "pt4al-7-1"}
        self.backend = {"url": self.url, "state": "CO", "readable_state": "Connected", "basic_auth_user": ""}
        self.hook = {"id": 1, "url": f"{self.url}/webhook", "is_active": True, "send_payload": True, "headers": {}}
        self.task = {"id": 1, "data": {"image": "/data/upload/7/a.png"}, "annotations": []}
        self.server.answers["/data/upload/7/a.png"] = reply(picture())
        self.server.answers["/api/version"] = answer({"release": "1.23.2"})
        self.server.answers["/api/current-user/whoami"] = answer({"id": 1, "email": "lead@example.com"})
        self.store = Store.open(settings)
        self.store.connect(7, title="Kittens", served_version="pt4al-7-1")
        self.server.answers["/health"] = answer({"status": "UP", "instance": self.store.instance().id})

    def findings(self, project_id: int | None = None) -> list[Finding]:
        for path, body in {
            "/api/projects/7/": self.project,
            "/api/tasks": {"tasks": [self.task]},
            "/api/ml/": [self.backend],
            "/api/webhooks/": [self.hook],
        }.items():
            self.server.answers.setdefault(path, answer(body))
        return list(doctor.examine(self.settings, project_id))


@pytest.fixture
def world(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(machine, "WORKER_SECONDS", 0.2)
    made = World(settings)
    yield made
    made.server.close()


def faults(found: list[Finding], topic: str = "Project 7") -> str:
    """All that is not well about a topic, in one text."""
    return "\n".join(f"{each.text} {each.remedy}" for each in found if each.topic == topic and each.level != "ok")


def test_working_project_lacks_only_the_worker(world: World) -> None:
    found = world.findings()
    assert [each.topic for each in found if each.level != "ok"] == ["Worker"]
    assert "pt4al worker" in faults(found, "Worker")
    shown = "\n".join(each.text for each in found)
    for part in ("1.23.2", "legacy token of lead@example.com", "30 x 20", SAMPLING, "pt4al-7-1", f"{world.url}/webhook", "cpu"):
        assert part in shown


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runner": "ray", "ray_address": "127.0.0.1:1"}, ["PT4AL_RUNNER=local"]),  # not installed, or nobody there
        ({"launcher": "no-such-scheduler --gpus 1"}, ["'no-such-scheduler'", "unset PT4AL_LAUNCHER"]),
    ],
)
def test_runner_that_cannot_be_used_says_what_to_change(world: World, changes: dict[str, str], words: list[str]) -> None:
    world.settings = world.settings.model_copy(update=changes)
    shown = faults(world.findings(), "Runner")
    assert all(word in shown for word in words)


def test_wrong_sampling_says_where_to_set_it(world: World) -> None:
    world.project["sampling"] = "Sequential sampling"
    assert SAMPLING in faults(world.findings())


def test_unpublished_version_says_where_to_choose_another(world: World) -> None:
    world.project["model_version"] = "another-model"
    assert "'another-model'" in faults(world.findings())
    assert "Settings > Predictions" in faults(world.findings())


def test_missing_webhook_at_a_private_address_names_the_switches(world: World) -> None:
    world.hook["url"] = "http://elsewhere.example/webhook"
    shown = faults(world.findings())
    for switch in ("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED", "USE_DEFAULT_BANNED_SUBNETS"):
        assert switch in shown


def test_missing_webhook_at_a_name_without_dot_asks_for_one(world: World) -> None:
    world.hook["url"] = "http://elsewhere.example/webhook"
    world.backend["url"] = "http://pt4al-web:9090"
    assert "without a dot (pt4al-web)" in faults(world.findings())


def test_webhook_without_its_secret_fails_beside_basic_auth(world: World) -> None:
    world.settings = world.settings.model_copy(update={"basic_auth_user": "pt4al", "basic_auth_pass": "a-secret-word"})
    world.backend["basic_auth_user"] = "pt4al"
    assert "does not carry the secret" in faults(world.findings())
    del world.server.answers["/api/webhooks/"]
    world.hook["headers"] = {"X-PT4AL-Webhook": world.store.instance().webhook_secret}
    assert faults(world.findings()) == ""


def test_connection_without_the_user_name_says_where_to_enter_it(world: World) -> None:
    world.settings = world.settings.model_copy(update={"basic_auth_user": "pt4al", "basic_auth_pass": "a-secret-word"})
    assert "Settings > Model > Edit" in faults(world.findings())


def test_another_backend_of_the_project_does_not_count_as_this_one(world: World) -> None:
    world.server.answers["/health"] = answer({"status": "UP", "instance": "0" * 32})
    found = [each for each in world.findings() if "another one" in each.text]
    assert [each.level for each in found] == ["warn"]


def test_missing_connection_says_where_to_make_one(world: World) -> None:
    world.server.answers["/api/ml/"] = answer([])
    assert "Settings > Model" in faults(world.findings())


def test_backend_that_label_studio_cannot_use_fails(world: World) -> None:
    world.backend |= {"state": "DI", "readable_state": "Disconnected"}
    assert "Disconnected" in faults(world.findings())


def test_backend_out_of_reach_from_here_only_warns(world: World) -> None:
    world.backend["url"] = f"http://127.0.0.1:{free_port()}"
    world.hook["url"] = f"{world.backend['url']}/webhook"
    levels = {each.level for each in world.findings() if each.topic == "Project 7"}
    assert levels == {"ok", "warn"}


def test_unreadable_image_is_shown_with_its_reason(world: World) -> None:
    world.server.answers["/data/upload/7/a.png"] = reply(b"<html>sign in</html>")
    assert "web page" in faults(world.findings())


def test_unusable_labeling_config_and_params_are_shown(world: World) -> None:
    world.project["label_config"] = "<View><Text name='t' value='$t'/></View>"
    world.store.connect(7, params={"round": 3})
    shown = faults(world.findings())
    assert "no image" in shown
    assert "'round'" in shown


def test_refused_token_is_reported_without_showing_it(world: World) -> None:
    world.server.answers["/api/current-user/whoami"] = answer({"detail": f"Invalid token {TOKEN}."}, 401)
    found = world.findings()
    assert "personal access token" in faults(found, "Token")
    assert TOKEN not in repr(found)


def test_label_studio_that_is_down_leaves_the_other_checks(world: World) -> None:
    world.server.close()
    found = world.findings()
    assert "LABEL_STUDIO_URL" in faults(found, "Label Studio")
    assert {each.topic for each in found} >= {"Data folder", "State", "Device", "ImageNet weights", "Project 7"}


def test_address_without_http_is_reported(world: World) -> None:
    world.settings = world.settings.model_copy(update={"label_studio_url": "127.0.0.1:8080"})
    shown = faults(world.findings(), "Label Studio")
    assert "needs http:// or https://" in shown
    assert "LABEL_STUDIO_URL" in shown


def test_label_studio_that_never_answers_delays_no_other_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = world.findings()
    monkeypatch.setattr(findings, "LIMIT_SECONDS", 0.5)
    for path in ("/api/current-user/whoami", "/api/tasks", "/api/ml/"):
        world.server.answers[path] = world.server.drip(b"")
    slow = [each for each in doctor.examine(world.settings) if "No answer within" in each.text]
    assert [each.topic for each in slow if each.topic not in ("Device", "Worker")] == ["Token", "Project 7", "Project 7"]
    assert found


def test_fault_of_a_check_itself_names_the_check_and_hides_the_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def served(_: object) -> str:
        raise KeyError("https://user:a-secret-word@example.com")

    monkeypatch.setattr(doctor, "LABEL_STUDIO_CHECKS", (served,))
    found = world.findings()
    assert "KeyError" in faults(found)
    assert "served" in faults(found)
    assert "a-secret-word" not in repr(found)


def test_project_that_never_connected_is_named(world: World) -> None:
    assert "not connected" in faults(world.findings(9), "Project 9")
    assert faults(world.findings(9), "Project 7") == ""


def test_project_that_was_let_go_is_no_failure(world: World) -> None:
    world.store.change(7, let_go_at=1.0, error="An old error.")
    found = [each for each in world.findings() if each.topic == "Project 7"]
    assert [each.level for each in found] == ["warn"]
    assert "pt4al forget 7" in found[0].remedy


def test_last_error_comes_with_its_remedy(world: World) -> None:
    world.store.connect(7, error="Label Studio refuses the token.", remedy="Set another.")
    assert "The last error: Label Studio refuses the token. Set another." in faults(world.findings())


@pytest.fixture
def run(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    monkeypatch.setenv("PT4AL_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("PT4AL_DEVICE", "cpu")
    return lambda: CliRunner().invoke(app, ["doctor"])


def test_command_prints_a_line_for_each_check_and_fails_if_one_does(
    run: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, settings: ServerSettings
) -> None:
    monkeypatch.setenv("PT4AL_PRETRAINED", "off")
    fine = run()
    assert fine.exit_code == 0, fine.output
    assert all(line.startswith(("OK", "WARN")) for line in fine.output.strip().splitlines())
    Store.open(settings).connect(7, title="Kittens")
    monkeypatch.setattr(machine, "WORKER_SECONDS", 0.2)
    failed = run()
    assert failed.exit_code == 1
    assert any(line.startswith("FAIL") and "pt4al worker" in line for line in failed.output.splitlines())


@pytest.mark.parametrize(
    ("config", "params", "wanted"),
    [
        (BRUSH, {}, "resnet18"),
        (BRUSH, {"encoder": "resnet50"}, "resnet50"),
        (CONFIG, {"width": 64}, "resnet18"),
        (CONFIG, {}, ""),
        (CONFIG, {"width": 64, "init": "fresh"}, ""),
        (BRUSH, {"encoder": ENCODER}, ""),
    ],
    ids=["segmenter", "named", "wide classifier", "small classifier", "fresh weights", "pretrained encoder"],
)
def test_torchvision_weights_that_cannot_be_downloaded_are_named_if_a_project_wants_them(
    world: World, monkeypatch: pytest.MonkeyPatch, config: str, params: dict[str, Any], wanted: str
) -> None:
    monkeypatch.setattr(imagenet, "is_cached", lambda _: False)
    monkeypatch.setattr(imagenet, "URLS", {name: f"{world.url}/{name}-01234567.pth" for name in ("resnet18", "resnet50")})
    world.settings = world.settings.model_copy(update={"pretrained": "auto", "device": "cpu"})
    world.store.connect(7, params=params, label_config=config)
    shown = faults(world.findings(), "ImageNet weights")
    assert (f"/{wanted}-01234567.pth" in shown) if wanted else not shown


def test_weights_are_those_that_the_projects_want(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["resnet34", "mobilenet_v2"]
    monkeypatch.setattr(imagenet, "is_cached", lambda _: False)
    monkeypatch.setattr(imagenet, "URLS", {name: f"{world.url}/{name}-01234567.pth" for name in wanted})
    world.settings = world.settings.model_copy(update={"pretrained": "auto", "device": "cpu"})
    world.store.connect(7, params={"encoder": "resnet34"}, label_config=BRUSH)
    world.store.connect(8, params={"encoder": "mobilenet_v2"}, label_config=BRUSH)
    world.store.connect(9, params={"encoder": "resnet101"}, label_config=CONFIG)  # a classification has no encoder
    shown = faults(world.findings(), "ImageNet weights")
    assert all(f"/{name}-01234567.pth" in shown for name in wanted)
    assert "mobilenet_v2" not in faults(world.findings(7), "ImageNet weights")


def test_pretrained_encoder_is_shown_with_its_weights_or_with_how_to_get_them(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    world.store.connect(7, params={"encoder": ENCODER}, label_config=CONFIG)
    world.settings = world.settings.model_copy(update={"weights_dir": tmp_path / "weights"})
    assert f"pt4al weights fetch {ENCODER} --to DIR" in faults(world.findings())
    weights_dir(tmp_path / "weights")
    assert faults(world.findings()) == ""
    said = next(finding.text for finding in world.findings() if f"{ENCODER}.safetensors" in finding.text)
    assert "licence apache-2.0" in said
    assert f"SHA-256 {artefacts.digest(tmp_path / 'weights' / f'{ENCODER}.safetensors')}" in said


def test_encoder_that_the_project_chose_is_shown_and_one_that_was_not_found_is_missed(world: World, tmp_path: Path) -> None:
    world.settings = world.settings.model_copy(update={"weights_dir": weights_dir(tmp_path / "weights")})
    world.store.connect(7, params={"encoder": "auto"}, label_config=CONFIG)
    world.store.change(7, encoder=ENCODER)
    assert any(f"{ENCODER}.safetensors" in finding.text for finding in world.findings())
    world.store.change(7, encoder=NO_ENCODER, notices={"no encoder": "There are no weights of a pretrained encoder."})
    assert "There are no weights of a pretrained encoder." in faults(world.findings())


def test_strategy_that_does_not_fit_the_labeling_config_fails(world: World) -> None:
    world.store.connect(7, params={"strategy": "badge"}, label_config=CONFIG)
    assert faults(world.findings()) == ""
    world.store.connect(7, params={"strategy": "badge"}, label_config=BRUSH)
    assert "'badge' needs posteriors of images that sum to one; segmentation has posteriors of pixels" in faults(world.findings())


def test_extra_params_that_are_not_allowed_are_one_failure(world: World) -> None:
    world.store.connect(7, params={"rounds": "many"})
    assert faults(world.findings()).count("'many' is not allowed") == 1
