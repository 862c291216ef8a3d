"""The graph network of CoreGCN and UncertainGCN."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pt4al_backend.jobs.learn import learn
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.learn.companions.graph import NEIGHBOURS, adjacency, train
from pt4al_backend.query.strategies.core_set import k_center
from tests.support.images import arrow
from tests.support.pools import SHAPE, job, labelled, stored

pytestmark = pytest.mark.training


def drawn(n: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.rand((n, 3), generator=torch.Generator().manual_seed(seed)))


def test_graph_of_few_nodes_is_the_published_one() -> None:
    """With no more than ten other nodes the nearest ten are all of them."""
    features = drawn(9)
    similarity = (features @ features.T).fill_diagonal_(0)
    expected = similarity / similarity.sum(0) + torch.eye(9)
    assert adjacency(features).to_dense().numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_graph_of_many_nodes_is_sparse_and_joins_both_ways() -> None:
    graph = adjacency(drawn(200))
    joined = graph.to_dense() > 0
    assert (joined == joined.T).all()
    assert joined.sum(1).min() >= 1 + NEIGHBOURS
    assert graph.values().numel() <= 200 * (1 + 2 * NEIGHBOURS)


def test_nodes_without_features_are_joined_with_themselves_alone() -> None:
    assert torch.equal(adjacency(torch.zeros(3, 4)).to_dense(), torch.eye(3))


def test_network_tells_the_labelled_kind_from_the_other() -> None:
    """Two kinds that share no neighbour: the network knows a node by its kind alone."""
    torch.manual_seed(0)
    features = torch.eye(2).repeat_interleave(20, 0)
    hidden, found = train(features, 15)  # of the first kind
    assert found[15:20].min() > found[20:].max()
    assert k_center(hidden[15:], hidden[:15], 1)[0] >= 5  # what CoreGCN takes first is of the other kind


@pytest.mark.slow
@pytest.mark.parametrize("name", ["core_gcn", "uncertain_gcn"])
def test_candidates_unlike_the_labelled_come_first(tmp_path: Path, name: str) -> None:
    """The other candidates are the labelled images themselves."""
    chequers = (np.indices(SHAPE).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    store = stored(tmp_path / "pixels", SHAPE, [*(np.asarray(arrow(k, SHAPE[0])) for k in range(12)), *[chequers] * 12])
    rows = np.arange(12)
    arrays = {"train": labelled(store, rows), "control": labelled(store, rows[:0]), "candidates": np.arange(24)}
    learn(NetworkJob.read(job(tmp_path / "job", JobKind.LEARN, store, arrays, companion=name, query_size=6)), lambda _: None)
    with np.load(tmp_path / "job" / "result" / "candidates.npz") as output:
        order = np.argsort(output[name], kind="stable")
    assert order[0] >= 12
