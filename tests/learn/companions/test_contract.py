"""What every companion promises, and what each of them is for."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import COMPANIONS, MAIN_TASKS, STRATEGIES
from pt4al_backend.jobs.learn import learn
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.learn import networks
from pt4al_backend.learn.companions.base import Companion
from pt4al_backend.learn.companions.vaal import Autoencoder
from pt4al_backend.learn.networks import ResNetForm
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.progress import Progress
from pt4al_backend.query.strategies import Strategy
from tests.support.images import CLASSES, arrow
from tests.support.pools import ARROWS, SCENES, SHAPE, TAGGED, Pool, job, labelled, stored

pytestmark = pytest.mark.slow

ALL = sorted(set(COMPANIONS) - {""})
#: Two ask for the one class of each image, which other main tasks have none of.
OF_CLASSES = {"normalised_confidence", "pal"}
FITTING = [(name, ARROWS) for name in ALL] + [(name, pool) for pool in (TAGGED, SCENES) for name in ALL if name not in OF_CLASSES]

Trained = tuple[dict[str, NDArray[Any]], list[Progress]]


def trained(
    folder: Path,
    name: str,
    store: Path,
    rows: NDArray[np.int64],
    pool: Pool = ARROWS,
    query_size: int = 6,
    train_size: int = 12,
    **settings: Any,
) -> Trained:
    """What a training says of candidates once it has learned the first images of the store, and what it reported."""
    train = np.arange(train_size)
    arrays = {"train": labelled(store, train, pool), "control": labelled(store, train[:0], pool), "candidates": rows}
    given = {"companion_steps": 2, **settings}
    folder = job(folder, JobKind.LEARN, store, arrays, pool, companion=name, query_size=query_size, settings=given)
    reported: list[Progress] = []
    learn(NetworkJob.read(folder), reported.append)
    with np.load(folder / "result" / "candidates.npz") as found:
        return dict(found), reported


@pytest.mark.parametrize(("name", "pool"), FITTING, ids=lambda each: each.task if isinstance(each, Pool) else each)
def test_companion_gives_each_candidate_a_confidence_that_a_seed_repeats(tmp_path: Path, name: str, pool: Pool) -> None:
    store, rows = pool.store(tmp_path / "pixels", 32), np.arange(12, 32)
    first, again = (trained(tmp_path / f"job-{k}", name, store, rows, pool)[0][name] for k in range(2))
    assert first.shape == rows.shape
    assert np.all((first >= 0) & (first <= 1))
    assert len(np.unique(first)) > 1
    assert np.array_equal(first, again)


@pytest.mark.parametrize("name", ALL)
def test_companion_without_candidates_gives_no_confidences(tmp_path: Path, name: str) -> None:
    found, _ = trained(tmp_path / "job", name, ARROWS.store(tmp_path / "pixels", 12), np.empty(0, np.int64))
    assert found[name].shape == (0,)


def test_companion_belongs_to_the_strategy_or_sampler_of_its_name() -> None:
    strategies = {
        name
        for name in STRATEGIES
        if STRATEGIES.load(name, Strategy)(name, batches=2, first_query="random", sampler="margin").companion == name
    }
    sampler = STRATEGIES.load("pt4al", Strategy)(
        "pt4al", batches=2, first_query="random", sampler="normalised_confidence"
    ).companion
    assert {*strategies, sampler} == set(ALL)


def test_normalised_logits_bound_the_highest_confidence(tmp_path: Path) -> None:
    """Normalised logits differ by the square root of 2 at most, so that no posterior of C classes comes near 1."""
    store, rows = ARROWS.store(tmp_path / "pixels", 32), np.arange(12, 32)
    found, _ = trained(tmp_path / "job", "normalised_confidence", store, rows, epochs=20)
    highest = np.exp(2**0.5) / (np.exp(2**0.5) + len(CLASSES) - 1)
    assert found["normalised_confidence"].max() < highest < found["least_confidence"].max()


@pytest.mark.parametrize("name", ["vaal", "ta_vaal"])
def test_out_of_memory_makes_minibatches_smaller(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Autoencoder.forward

    def short(coder: Autoencoder, images: Tensor, extra: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if len(images) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(coder, images, extra)

    monkeypatch.setattr(Autoencoder, "forward", short)
    found, reported = trained(tmp_path / "job", name, ARROWS.store(tmp_path / "pixels", 20), np.arange(12, 20))
    assert np.all(np.isfinite(found[name]))
    notes = [each.note for each in reported if each.phase == "companion" and each.note]
    assert [note.split()[-2] for note in notes] == ["16", "8"]


def test_companions_time_is_reported_by_itself(tmp_path: Path) -> None:
    _, reported = trained(tmp_path / "job", "vaal", ARROWS.store(tmp_path / "pixels", 20), np.arange(12, 20))
    assert [(each.done, each.total) for each in reported if each.phase == "companion"] == [(1, 2), (2, 2)]
    assert artefacts.manifest(tmp_path / "job" / "result")["seconds"]["companion"] > 0


@pytest.mark.parametrize(("name", "same"), [("learning_loss_detached", True), ("learning_loss", False)])
def test_only_a_detached_loss_module_leaves_the_model_unchanged(tmp_path: Path, name: str, same: bool) -> None:
    store, rows = ARROWS.store(tmp_path / "pixels", 32), np.arange(12, 32)
    alone, beside = (trained(tmp_path / f"job-{each}", each, store, rows)[0]["margin"] for each in ("", name))
    assert np.array_equal(alone, beside) == same


@pytest.mark.parametrize(
    ("name", "done", "reached"),
    [
        ("learning_loss", 0.0, True),
        ("learning_loss", 0.59, True),
        ("learning_loss", 0.61, False),
        ("learning_loss_detached", 0.0, False),
        ("ta_vaal", 0.59, True),
        ("ta_vaal", 0.61, False),
    ],
)
def test_loss_module_shapes_the_body_for_its_share_of_the_training(name: str, done: float, reached: bool) -> None:
    torch.manual_seed(0)
    task = MAIN_TASKS.load("classification", MainTask)(networks.build(ResNetForm.of(SHAPE, 8)), CLASSES, SHAPE, ProjectSettings())
    images = torch.randint(0, 256, (8, 3, *SHAPE), dtype=torch.uint8)
    beside = COMPANIONS.load(name, Companion)(task).trainable()
    beside.done = done
    gradients = []
    for each in (task, beside):
        each.model.zero_grad()
        each.loss((images, torch.arange(8) % len(CLASSES)), np.random.default_rng(0)).backward()
        gradients.append(torch.cat([weights.grad.ravel() for weights in task.body.parameters()]))
    assert torch.equal(*gradients) != reached


@pytest.mark.parametrize(("name", "steps"), [("vaal", 2), ("ta_vaal", 1)])
def test_autoencoder_takes_the_published_steps_per_discriminator_step(tmp_path: Path, name: str, steps: int) -> None:
    taken: Counter[int] = Counter()

    def count(optimizer: Optimizer, *_: Any) -> None:
        if isinstance(optimizer, torch.optim.Adam):
            taken[id(optimizer)] += 1

    with register_optimizer_step_pre_hook(count):
        trained(tmp_path / "job", name, ARROWS.store(tmp_path / "pixels", 20), np.arange(12, 20), companion_steps=3)
    assert sorted(taken.values()) == [3, 3 * steps]


def frozen(part: str) -> RemovableHandle:
    """Stops either part of VAAL from learning, the "autoencoder" or the "discriminator", until the handle is left."""

    def stop(optimizer: Optimizer, *_: Any) -> None:
        learned = optimizer.param_groups[0]["params"]
        owner = "discriminator" if len(learned[-1]) == 1 else "autoencoder"  # the discriminator ends in one number
        if isinstance(optimizer, torch.optim.Adam) and owner == part:
            for each in learned:
                each.grad = None

    return register_optimizer_step_pre_hook(stop)


def test_autoencoder_makes_images_look_labelled_to_the_discriminator(tmp_path: Path) -> None:
    """Those of both kinds, to one that learns nothing itself. By TA-VAAL, as VAAL's codes say next to nothing so soon."""
    store, rows = ARROWS.store(tmp_path / "pixels", 32), np.arange(32)
    with frozen("discriminator"):
        found, _ = trained(tmp_path / "job", "ta_vaal", store, rows, companion_steps=40)
    assert found["ta_vaal"].mean() > 0.75


@pytest.mark.parametrize("name", ["learning_loss", "learning_loss_detached"])
def test_loss_module_learns_what_the_model_gets_wrong(tmp_path: Path, name: str) -> None:
    """One grey picture has every class in turn, which no model can learn, however long; arrows are labelled by their colour."""
    grey = np.full((*SHAPE, 3), 120, np.uint8)
    images = [grey if k % 2 else np.asarray(arrow(k, SHAPE[0])) for k in range(36)]
    store, rows = stored(tmp_path / "pixels", SHAPE, images), np.arange(24, 36)
    found, _ = trained(tmp_path / "job", name, store, rows, train_size=24, epochs=40, learning_rate=0.01)
    assert (rows[np.argsort(found[name])][:6] % 2).all()


def test_discriminator_finds_a_kind_without_labels(tmp_path: Path) -> None:
    """The other candidates are the labelled images themselves, which no discriminator can tell from the labelled ones.

    By codes that stay as they are: an autoencoder that learns as well hides the kind again.
    """
    chequers = (np.indices(SHAPE).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    images = [*(np.asarray(arrow(k, SHAPE[0])) for k in range(12)), *[chequers] * 12]
    store, rows = stored(tmp_path / "pixels", SHAPE, images), np.arange(24)
    with frozen("autoencoder"):
        found, _ = trained(tmp_path / "job", "ta_vaal", store, rows, companion_steps=20)
    known, strange = found["ta_vaal"][:12].mean(), found["ta_vaal"][12:].mean()
    assert strange < known / 2


def test_pal_queries_images_without_an_upright_sense(tmp_path: Path) -> None:
    """All of one grey: their four views are the same, and as they have every class in turn nothing says their class either."""
    grey = np.full((*SHAPE, 3), 120, np.uint8)
    flat = {*range(18, 24), *range(36, 48)}
    images = [grey if k in flat else np.asarray(arrow(k, SHAPE[0])) for k in range(48)]
    store, rows = stored(tmp_path / "pixels", SHAPE, images), np.arange(24, 48)
    found, _ = trained(tmp_path / "job", "pal", store, rows, train_size=24, epochs=60)
    assert set(rows[np.argsort(found["pal"])][:6].tolist()) <= flat


def test_pal_turns_to_another_kind_once_it_has_learned_from_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query of one has no second part. Sixty epochs teach the network which way up the two images of the first are."""
    monkeypatch.setattr("pt4al_backend.learn.companions.pal.TUNING_EPOCHS", 60)
    rng = np.random.default_rng(0)
    kinds = np.full((2, *SHAPE, 3), 128, np.uint8)
    kinds[0, :, :5], kinds[0, :3] = (255, 16, 255), (16, 255, 16)
    kinds[1, 6:, :3], kinds[1, :6, :6] = 16, 255
    images = [np.asarray(arrow(k, SHAPE[0])) for k in range(12)]
    images += [kinds[k % 2] - rng.integers(0, 16, (*SHAPE, 3), dtype=np.uint8) for k in range(12, 32)]
    store, rows = stored(tmp_path / "pixels", SHAPE, images), np.arange(12, 32)
    alone, parts = (
        rows[np.argsort(trained(tmp_path / f"job-{size}", "pal", store, rows, query_size=size)[0]["pal"])].tolist()
        for size in (1, 6)
    )
    assert len({k % 2 for k in alone[:6]}) == 1
    assert parts[:2] == alone[:2]
    assert len({k % 2 for k in parts[:4]}) == 2
