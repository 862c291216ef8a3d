"""Where training runs."""

import pytest
import torch

from pt4al_backend.errors import ConfigError, TrainingImpossible
from pt4al_backend.learn import devices


@pytest.fixture(params=[False, True])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    return bool(request.param)


def test_auto_chooses_a_gpu_where_there_is_one(gpu: bool) -> None:
    assert devices.choose("auto").type == ("cuda" if gpu else "cpu")
    assert devices.choose("cpu").type == "cpu"


def test_missing_gpu_is_an_error_with_a_remedy(gpu: bool) -> None:
    if gpu:
        assert devices.choose("cuda").type == "cuda"
    else:
        with pytest.raises(TrainingImpossible, match="PT4AL_DEVICE"):
            devices.choose("cuda")


@pytest.mark.usefixtures("gpu")
def test_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no device 'tpu'\. There are auto, cpu, cuda"):
        devices.choose("tpu")


def test_training_leaves_one_core_free_unless_threads_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setattr(devices, "cores", lambda: 4)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        devices.share_cores()
        assert torch.get_num_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        torch.set_num_threads(2)
        devices.share_cores()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert devices.cores() >= 1
