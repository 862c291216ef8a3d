"""A graph network that learns which images are labelled (Caramalau, Bhattarai and Kim, CVPR 2021, "Sequential GCN").

Nodes are images, joined where their features are alike. Two graph convolutions (to 128, ReLU, dropout 0.3, to 1) give each node
the probability s that it is labelled. The loss is -mean log s over the labelled nodes - 1.2 mean log(1 - s) over the candidates;
Adam, 1e-3, weight decay 5e-4, 200 steps on the whole graph. Deviations from the published code:

* a node is joined with its 10 nearest neighbours (and those whose neighbour it is), where it is joined with all: the
  similarities of n images are a sparse matrix, and memory grows with n;
* candidates that get a label before the next model is trained do not change the order.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn.companions.base import Companion, CompanionInput, confidences_by_rank
from pt4al_backend.learn.networks import pooled
from pt4al_backend.neighbour_index import NeighbourIndex
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, silent
from pt4al_backend.query.strategies.core_set import k_center

NEIGHBOURS = 10
HIDDEN = 128
DROPOUT = 0.3
UNLABELLED_WEIGHT = 1.2
STEPS = 200
RATE, DECAY = 1e-3, 5e-4
MARGIN = 0.1


def adjacency(features: Tensor) -> Tensor:
    """Sparse float32[n, n] of ``features`` float32[n, d] of unit length or zero: cosines of neighbours, columns summing to one.

    And each node is joined with itself by 1.
    """
    rows, n = features.cpu().numpy(), len(features)
    distances, places = NeighbourIndex(rows).others(np.arange(n), min(NEIGHBOURS, n - 1))
    near = coo_array((distances.ravel(), (np.arange(n).repeat(places.shape[1]), places.ravel())), (n, n))
    lengths = np.einsum("nd,nd->n", rows, rows)
    near.data = np.maximum((lengths[near.row] + lengths[near.col] - near.data**2) / 2, 0)
    pairs = near.maximum(near.T).tocoo()  # without those whose cosine is 0
    shares = pairs.data / np.bincount(pairs.col, pairs.data, n)[pairs.col]
    indices = np.concatenate([[pairs.row, pairs.col], np.arange(n)[None].repeat(2, 0)], 1)
    values = np.concatenate([shares, np.ones(n)]).astype(np.float32)
    return torch.sparse_coo_tensor(
        torch.from_numpy(indices.astype(np.int64)), torch.from_numpy(values), (n, n), check_invariants=True
    ).coalesce()


class GraphNetwork(nn.Module):
    """Two graph convolutions: ``smooth`` float32[n, d], the adjacency times the features, to hidden features and logits.

    float32[n, 128] and [n].
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(columns, HIDDEN), nn.Linear(HIDDEN, 1)
        for layer in (self.first, self.last):  # as published
            for weights in layer.parameters():
                nn.init.uniform_(weights, -(layer.out_features**-0.5), layer.out_features**-0.5)

    def forward(self, smooth: Tensor, joined: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.dropout(F.relu(self.first(smooth)), DROPOUT, self.training)
        return hidden, (joined @ (hidden @ self.last.weight.T))[:, 0] + self.last.bias


def train(features: Tensor, labelled: int, report: Report = silent) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Trains the network on nodes of which the first ``labelled`` are labelled, one at least, and some are not.

    ``features`` float32[n, d] are of unit length or zero, on the device to train on. Returns the hidden features float32[n, 128],
    without dropout, and s float64[n].
    """
    joined = adjacency(features).to(features.device)
    smooth = joined @ features  # the first convolution's sums over neighbours never change
    network = GraphNetwork(features.shape[1]).to(features.device)
    optimiser = torch.optim.Adam(network.parameters(), RATE, weight_decay=DECAY)
    for step in range(1, STEPS + 1):
        _, logits = network(smooth, joined)
        loss = F.softplus(-logits[:labelled]).mean() + UNLABELLED_WEIGHT * F.softplus(logits[labelled:]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        report(Progress(Phase.COMPANION, 1, 1, step, STEPS))
    network.eval()
    with torch.inference_mode():
        hidden, logits = network(smooth, joined)
    return hidden.cpu().numpy(), logits.double().sigmoid().cpu().numpy()


class _Graph(Companion):
    """Trains the network on the labelled images and the candidates, by the features of the main task's model."""

    def _trained(self, inputs: CompanionInput) -> tuple[NDArray[np.float32], NDArray[np.float64], int]:
        """Hidden features and s of the nodes, and how many of them, the first, are labelled."""

        def predict(images: Tensor) -> tuple[Tensor, ...]:
            return (pooled(self.task.maps(images)[-1]).double(),)

        sets = (replace(inputs, candidates=inputs.labelled), inputs)
        parts = [each.score_candidates(self.task.model, predict, self.task.minibatch_limit(inputs.device)) for each in sets]
        features = F.normalize(torch.from_numpy(np.concatenate(parts))).float().to(inputs.device)
        hidden, found = train(features, len(parts[0]), inputs.report)
        return hidden, found, len(parts[0])


class CoreGCN(_Graph):
    """Confidence is the rank in which k-center on the hidden features chooses the candidates.

    The labelled nodes are centres from the start. Not as in the code of TA-VAAL, whose CoreGCN covers the model's own features:
    that is Core-Set.
    """

    def confidences(self, inputs: CompanionInput) -> NDArray[np.float64]:
        hidden, _, labelled = self._trained(inputs)
        return confidences_by_rank(k_center(hidden[labelled:], hidden[:labelled], len(hidden) - labelled))


class UncertainGCN(_Graph):
    """Confidence is |s - 0.1|, the distance of the probability of being labelled from the published margin."""

    def confidences(self, inputs: CompanionInput) -> NDArray[np.float64]:
        _, found, labelled = self._trained(inputs)
        return np.abs(found[labelled:] - MARGIN)
