"""The graph network of CoreGCN and UncertainGCN."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pt4al_backend.query.strategies import gcn
from pt4al_backend.query.strategies.gcn import HIDDEN, Graph, Parameters, gradient, graph_of, train
from pt4al_backend.query.strategies.request import ModelOutput

pytestmark = pytest.mark.training


def drawn(n: int, labelled: int, seed: int = 0) -> Graph:
    features = np.random.default_rng(seed).exponential(size=(n, 3)).astype(np.float32)
    return graph_of(ModelOutput(np.arange(n - labelled), {}, features[labelled:], features[:labelled]))


@pytest.mark.parametrize("labelled", [0, 3, 8])
def test_the_gradient_is_that_of_the_published_loss(labelled: int) -> None:
    graph = drawn(8, labelled)
    rng = np.random.default_rng(1)
    flat = rng.normal(size=3 * HIDDEN + 2 * HIDDEN + 1).astype(np.float32)
    kept = rng.integers(0, 2, (8, HIDDEN)).astype(np.float32)
    smooth = graph.joined @ graph.features
    found = gradient(Parameters.views(flat), graph, smooth, kept)

    weights = torch.tensor(flat, dtype=torch.float64, requires_grad=True)
    first, bias, out, out_bias = weights.split([3 * HIDDEN, HIDDEN, HIDDEN, 1])
    joined = torch.tensor(graph.joined.toarray()).double()
    hidden = F.relu(joined @ torch.tensor(graph.features).double() @ first.view(3, HIDDEN) + bias) * torch.tensor(kept)
    s = torch.sigmoid(joined @ hidden @ out + out_bias)
    known, others = -s[:labelled].log().mean(), -(1 - s[labelled:]).log().mean()
    torch.nan_to_num(known).add(1.2 * torch.nan_to_num(others)).backward()
    assert found == pytest.approx(np.nan_to_num(weights.grad.numpy()), rel=1e-3, abs=1e-4)


def test_a_graph_of_few_nodes_is_the_published_one() -> None:
    """With no more than ten other nodes the nearest ten are all of them."""
    graph = drawn(9, 4)
    similarity = graph.features @ graph.features.T
    np.fill_diagonal(similarity, 0)
    expected = similarity / similarity.sum(0) + np.eye(9)
    assert graph.joined.toarray() == pytest.approx(expected, abs=1e-5)


def test_a_graph_of_many_nodes_stays_sparse_and_symmetric_in_who_is_joined() -> None:
    graph = drawn(200, 20)
    joined = graph.joined.toarray() > 0
    assert (joined == joined.T).all()
    assert joined.sum(1).min() >= 1 + gcn.NEIGHBOURS
    assert graph.joined.nnz <= 200 * (1 + 2 * gcn.NEIGHBOURS)


def test_nodes_without_features_are_joined_with_themselves_alone() -> None:
    graph = graph_of(ModelOutput(np.arange(2), {}, np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32)))
    assert graph.joined.toarray().tolist() == np.eye(3).tolist()


def test_the_network_learns_where_labels_are() -> None:
    rng = np.random.default_rng(0)
    features = (np.eye(2).repeat(20, 0) + 0.05 * rng.random((40, 2))).astype(np.float32)
    labelled = features[:15]  # of the first kind
    _, found = train(graph_of(ModelOutput(np.arange(25), {}, features[15:], labelled)), rng)
    assert found[15:20].min() > found[20:].max()
