"""ImageNet weights: used if they are cached or quickly downloaded, never waited for."""

import hashlib
import http.server
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from pt4al_backend.config.catalog import SEGMENTER_ENCODERS
from pt4al_backend.learn.networks import EncoderForm, build
from pt4al_backend.learn.weights import download
from pt4al_backend.learn.weights import imagenet as imagenet_files


def archive() -> bytes:
    file = io.BytesIO()
    torch.save({"conv1.weight": torch.ones(3)}, file)
    return file.getvalue()


CONTENT = archive()
ADDRESSES = dict(imagenet_files.URLS)
NAME = f"resnet18-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torchvision's, and a small file in the place of its weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(imagenet_files.URLS, "resnet18", f"http://nowhere.invalid/{NAME}")
    return tmp_path / "hub" / "checkpoints" / NAME


def imagenet(note: Callable[[str], None], mode: str = "auto", url: str = "") -> dict[str, Tensor] | None:
    """The weights from ``url``."""
    if url:
        imagenet_files.URLS["resnet18"] = url
    return imagenet_files.load("resnet18", mode, note)


@contextmanager
def serving(content: bytes, answer: threading.Event | None = None) -> Iterator[str]:
    """A server of the weights, which answers once ``answer`` is set."""

    class Weights(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if answer is not None:
                answer.wait(60)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Weights)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{NAME}"
    finally:
        if answer is not None:
            answer.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_cached_weights_are_used_without_a_request(home: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_bytes(CONTENT)
    notes: list[str] = []
    weights = imagenet(notes.append)
    assert weights is not None
    assert weights["conv1.weight"].tolist() == [1, 1, 1]
    assert imagenet_files.is_cached("resnet18")
    assert notes == []


def test_weights_are_downloaded_once_and_kept(home: Path) -> None:
    with serving(CONTENT) as url:
        assert imagenet(pytest.fail, url=url) is not None
    assert imagenet(pytest.fail, url=url) is not None
    assert [file.name for file in home.parent.iterdir()] == [NAME]


def test_weights_with_a_wrong_checksum_are_not_used() -> None:
    notes: list[str] = []
    with serving(b"something else") as url:
        assert imagenet(notes.append, url=url) is None
    assert "damaged" in notes[0]


def test_download_gives_up_on_a_server_that_never_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.2)
    notes: list[str] = []
    with serving(CONTENT, answer=threading.Event()) as url:
        assert imagenet(notes.append, url=url) is None
    assert str(home.parent) in notes[0]
    assert NAME in notes[0]


def test_unreachable_server_is_a_note_with_a_remedy(home: Path) -> None:
    with serving(CONTENT) as url:
        pass
    notes: list[str] = []
    assert imagenet(notes.append, url=url) is None
    assert "ConnectionError" in notes[0]
    assert not imagenet_files.is_cached("resnet18")


def test_pretrained_off_sends_no_request(home: Path) -> None:
    notes: list[str] = []
    with serving(CONTENT) as url:
        assert imagenet(notes.append, "off", url) is None
    assert "PT4AL_PRETRAINED=off" in notes[0]
    assert not home.exists()


@pytest.mark.parametrize("network", sorted(set(imagenet_files.URLS) - {"resnet50", "resnet101"}))
def test_torchvisions_weights_fit_the_encoder_of_their_name(network: str) -> None:
    reference = torchvision.models.get_model(network, weights=None).eval()
    body = build(EncoderForm(network, "deeplabv3plus"))
    body.load_imagenet(reference.state_dict())
    first = next(reference.parameters())
    assert any(torch.equal(first, parameter) for parameter in body.parameters())


def test_addresses_are_torchvisions() -> None:
    for network, url in ADDRESSES.items():
        assert url == torchvision.models.get_model_weights(network).IMAGENET1K_V1.url


def test_every_encoder_of_the_settings_has_an_address() -> None:
    assert set(SEGMENTER_ENCODERS) == set(imagenet_files.URLS)
    assert len(set(map(imagenet_files.path, imagenet_files.URLS))) == len(imagenet_files.URLS)
