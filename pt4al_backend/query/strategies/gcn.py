"""A graph network that tells labelled images from others (Caramalau, Bhattarai and Kim, CVPR 2021, "Sequential GCN").

Nodes are images, joined where they look alike to the model; two graph convolutions (to 128, ReLU, dropout 0.3, to 1) give
each the probability that it is labelled. The loss is -mean log s over the labelled nodes - 1.2 mean log(1 - s) over the
others; Adam, 1e-3, weight decay 5e-4, 200 steps on the whole graph. Deviations from the published code:

* a node is joined with its 10 nearest neighbours (and those whose neighbour it is), where it is joined with all: the
  similarities of n images are a sparse matrix, and memory grows with n;
* the gradient is written out below: a network so small is no reason to have torch in the worker.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.companionship import subset
from pt4al_backend.query.strategies.covering import Covering
from pt4al_backend.query.strategies.distances import Features, neighbours, of_length_one, squares
from pt4al_backend.query.strategies.request import ModelOutput, Pool

if TYPE_CHECKING:
    from scipy import sparse

NEIGHBOURS = 10
HIDDEN = 128
DROPOUT = 0.3
UNLABELLED_WEIGHT = 1.2
STEPS = 200
RATE, DECAY = 1e-3, 5e-4


class GraphCovering(Covering):
    """Picks from a uniform draw of the pool, one for each seed and round, by a graph of it and of what was asked before."""

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """A uniform draw of the pool, one for each seed and round."""
        return subset(pool, round, k, self.seed)


class Parameters(NamedTuple):
    """Weights and biases of the two convolutions: float32 [d, HIDDEN], [HIDDEN], [HIDDEN], [1]."""

    weights: Features
    bias: NDArray[np.float32]
    out: NDArray[np.float32]
    out_bias: NDArray[np.float32]

    @classmethod
    def views(cls, flat: NDArray[np.float32]) -> "Parameters":
        """Of a vector that holds them one after the other."""
        weights, bias, out, out_bias = np.split(flat, [-2 * HIDDEN - 1, -HIDDEN - 1, -1])
        return cls(weights.reshape(-1, HIDDEN), bias, out, out_bias)


class Graph(NamedTuple):
    """``features`` float32[n, d] of unit length or zero, ``joined`` sparse float32[n, n]; the first ``labelled`` nodes are."""

    features: Features
    joined: "sparse.csr_array"
    labelled: int


def graph_of(said: ModelOutput) -> Graph:
    """Labelled images and candidates, joined by their cosine; columns sum to one, and each node is joined with itself by 1."""
    from scipy import sparse  # 25 MB, which processes that only look strategies up need not carry

    features, labelled = said.needed_features()
    nodes = of_length_one(np.concatenate([labelled, features]))
    index, distance = neighbours(nodes, NEIGHBOURS)
    lengths = squares(nodes)
    cosine = np.maximum((lengths[:, None] + lengths[index] - distance) / 2, 0)
    n = len(nodes)
    near = sparse.csr_array((cosine.ravel(), (np.repeat(np.arange(n), index.shape[1]), index.ravel())), shape=(n, n))
    near = near.maximum(near.T)
    sums = near.sum(0)
    shares = np.divide(1, sums, out=np.zeros(n, np.float32), where=sums > 0)
    return Graph(nodes, (near.multiply(shares) + sparse.eye_array(n, dtype=np.float32)).tocsr(), len(labelled))


def train(graph: Graph, rng: np.random.Generator) -> tuple[Features, NDArray[np.float32]]:
    """Trains the network; returns the hidden features float32[n, HIDDEN] of the nodes, and s float32[n]."""
    smooth = graph.joined @ graph.features  # the first convolution's sums over neighbours never change
    flat = _fresh(smooth.shape[1], rng)
    parameters = Parameters.views(flat)
    mean, square = np.zeros_like(flat), np.zeros_like(flat)
    for step in range(1, STEPS + 1):
        kept = (rng.random((len(smooth), HIDDEN), dtype=np.float32) >= DROPOUT) * np.float32(1 / (1 - DROPOUT))
        slope = gradient(parameters, graph, smooth, kept) + DECAY * flat
        mean += 0.1 * (slope - mean)
        square += 0.001 * (slope**2 - square)
        rate = RATE * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        flat -= rate * mean / (np.sqrt(square) + 1e-8)
    hidden, found = _forward(parameters, graph, smooth, np.ones_like(smooth[:, :1]))
    return hidden, found


def gradient(parameters: Parameters, graph: Graph, smooth: Features, kept: Features) -> NDArray[np.float32]:
    """Of the loss by the parameters, in one vector; ``kept`` float32[n, HIDDEN] is 0 where dropout strikes."""
    hidden, found = _forward(parameters, graph, smooth, kept)
    labelled, others = np.split(found, [graph.labelled])
    by_logit = np.concatenate(
        [(labelled - 1) / max(len(labelled), 1), UNLABELLED_WEIGHT * others / max(len(others), 1)], dtype=np.float32
    )
    back = graph.joined.T @ by_logit
    by_first = np.outer(back, parameters.out) * kept * (hidden > 0)
    parts = [(smooth.T @ by_first).ravel(), by_first.sum(0), hidden.T @ back, by_logit.sum(keepdims=True)]
    return np.concatenate(parts, dtype=np.float32)


def _forward(parameters: Parameters, graph: Graph, smooth: Features, kept: Features) -> tuple[Features, NDArray[np.float32]]:
    hidden = np.maximum(smooth @ parameters.weights + parameters.bias, 0) * kept
    logits = graph.joined @ (hidden @ parameters.out) + parameters.out_bias
    return hidden, 0.5 + 0.5 * np.tanh(0.5 * logits)


def _fresh(columns: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Uniform within 1 / √(outputs) of zero, as published."""
    first, second = rng.uniform(-1, 1, (columns + 1) * HIDDEN), rng.uniform(-1, 1, HIDDEN + 1)
    return np.concatenate([first / math.sqrt(HIDDEN), second], dtype=np.float32)
