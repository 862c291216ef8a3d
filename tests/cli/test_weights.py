"""``pt4al weights``: where weights of encoders are, and copies of them for another machine."""

from pathlib import Path
from typing import Any

import pytest

from pt4al_backend.config.catalog import ENCODERS
from tests.support import encoders

ENCODER = ENCODERS[0]


def test_list_says_of_each_encoder_its_licence_and_where_its_weights_are(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{ENCODER}.safetensors").touch()
    monkeypatch.setenv("PT4AL_WEIGHTS_DIR", str(tmp_path))
    first, *others = run("weights", "list").output.splitlines()
    assert first == f"{ENCODER}: apache-2.0, in {tmp_path / ENCODER}.safetensors (PT4AL_WEIGHTS_DIR)"
    assert [line.partition(":")[0] for line in others] == list(ENCODERS[1:])


def test_list_shows_the_others_where_one_is_unknown(run: Any) -> None:
    result = run("weights", "list", "tf_eficientnet_lite0.in1k", ENCODER)
    assert result.exit_code == 1
    assert result.output.startswith(f"{ENCODER}: apache-2.0")
    assert "'tf_eficientnet_lite0.in1k'" in result.stderr


def test_fetch_into_a_file_is_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("weights", "fetch", ENCODER, "--to", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "Name a folder with --to." in result.stderr


def test_fetch_by_an_architecture_names_the_file_by_its_weights(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    encoders.weights_dir(tmp_path / "hub" / "checkpoints")
    assert run("weights", "fetch", encoders.ENCODER.partition(".")[0], "--to", str(tmp_path / "weights")).exit_code == 0
    assert [file.name for file in (tmp_path / "weights").iterdir()] == [f"{encoders.ENCODER}.safetensors"]


def test_fetch_of_an_encoder_that_nobody_knows_names_the_nearest(run: Any, tmp_path: Path) -> None:
    result = run("weights", "fetch", "tf_eficientnet_lite0.in1k", "--to", str(tmp_path / "weights"))
    assert result.exit_code == 1
    assert repr(ENCODER) in result.stderr
    assert not (tmp_path / "weights").exists()


def test_list_of_a_named_encoder_says_whether_its_licence_forbids_commercial_use(run: Any) -> None:
    (line,) = run("weights", "list", "convnextv2_atto.fcmae").output.splitlines()
    assert line.startswith("convnextv2_atto.fcmae: cc-by-nc-4.0, which forbids commercial use, ")
