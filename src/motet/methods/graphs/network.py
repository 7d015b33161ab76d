"""The encoder of GraphCL: a graph isomorphism network (Xu et al., ICLR 2019), its layers summed over the nodes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from motet.methods.graphs.data import Batch


class _NodeNorm(nn.BatchNorm1d):
    """Batch normalisation over nodes; a single node has no variance and is normalised by what was seen before."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) < 2:
            return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def _mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear maps with ReLU between them; Xavier-uniform weights, no offset at the start."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


class GIN(nn.Module):
    """Layers h ← BatchNorm(ReLU(MLP(h + Σ over neighbours of h))); a graph is the sums of all layers over its nodes.

    Args:
        in_features: F.
        hidden: width of a layer.
        layers: how many.

    Attributes:
        feature_size: layers × hidden.
    """

    def __init__(self, in_features: int, hidden: int = 32, layers: int = 3) -> None:
        super().__init__()
        widths = [in_features, *[hidden] * layers]
        self.updates = nn.ModuleList(_mlp((a, hidden, b)) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(_NodeNorm(hidden) for _ in range(layers))
        self.feature_size = layers * hidden

    def forward(self, batch: Batch) -> Tensor:
        """(B, feature_size); a graph without nodes is 0."""
        h, sums = batch.x, []
        source, target = batch.edges
        for update, norm in zip(self.updates, self.norms, strict=True):
            h = norm(update(h.index_add(0, target, h.index_select(0, source))).relu())
            graphs = batch.ids.shape[0]  # not len(): an exported graph takes any number
            sums.append(h.new_zeros(graphs, h.shape[1]).index_add(0, batch.graph, h))
        return torch.cat(sums, dim=1)


class GraphNetwork(nn.Module):
    """Encoder, and the projection that only training has.

    Args:
        in_features: number of node labels.
        hidden, layers: see :class:`GIN`.
    """

    def __init__(self, in_features: int, hidden: int = 32, layers: int = 3) -> None:
        super().__init__()
        self.encoder = GIN(in_features, hidden, layers)
        size = self.encoder.feature_size
        self.projection = _mlp((size, size, size))

    def forward(self, batch: Batch) -> Tensor:
        """(B, feature_size), projected; not normalised."""
        projected: Tensor = self.projection(self.encoder(batch))
        return projected
