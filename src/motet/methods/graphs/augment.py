"""Augmentations of graphs (GraphCL, You et al., NeurIPS 2020, Sec. 3.1), of a whole batch at once.

Each takes a batch and returns one of the same graphs. Draws are keyed by the numbers of nodes and edges in their set
(:mod:`motet.core.rng`), so a graph's view depends on the seed, the epoch and the view alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.options import Options
from motet.core.rng import CounterRNG
from motet.methods.graphs.data import Batch

# ids of edges that a set does not have: drawn ones share one, a loop has that of its node
_ADDED, _FIRST_LOOP = -1, -2


@dataclass(frozen=True)
class Draw:
    """Which draw: seed of the run, epoch, view."""

    seed: int
    epoch: int
    view: int = 0

    def keyed(self, ids: Tensor) -> CounterRNG:
        """Random numbers for things with these numbers."""
        return CounterRNG(self.seed, self.epoch, ids, self.view)


@dataclass(frozen=True)
class ViewOptions(Options):
    """How views of graphs are made; the defaults are the paper's method at the released strengths."""

    augmentations: tuple[str, ...] = ("node-drop", "subgraph")
    """one of these is drawn for each graph and view: node-drop, edge-perturb, attribute-mask, subgraph."""
    share: float = 0.1
    """share of the nodes dropped or masked, or of the edges perturbed."""
    subgraph_share: float = 0.2
    """share of the nodes that a subgraph has, next to its first."""
    add_edges: bool = True
    """edge-perturb puts a new edge in place of each that it removes; the released code only removes."""
    whole_edges: bool = True
    """edge-perturb removes both directions of an edge; the released code removes single directions."""
    subgraph_reach: Literal["connected", "neighbours"] = "connected"
    """connected: a subgraph grows by neighbours of all its nodes; neighbours: of its first node only, as released."""
    mask_with: Literal["mean", "noise"] = "mean"
    """masked features become the mean of their graph; noise: N(0.5, 0.5), as released."""
    first_view: Literal["augmented", "whole"] = "augmented"
    """what the first view is; the released code contrasts the whole graph with one augmentation."""
    keep_isolated: bool = True
    """nodes that lost their last edge stay; the released code drops them."""
    self_loops: bool = False
    """each node before the last that has an edge gets one to itself before augmentation, as released."""

    def validate(self) -> None:
        """Raise ConfigError where options do not fit."""
        unknown = [name for name in self.augmentations if name not in AUGMENTATIONS]
        if unknown or not self.augmentations:
            raise ConfigError(f"augmentations {unknown or '()'}: choose from {', '.join(AUGMENTATIONS)}")
        for name in ("share", "subgraph_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must lie in [0, 1)")


def node_drop(batch: Batch, draw: Draw, options: ViewOptions) -> Batch:
    """Without a share of the nodes of each graph, rounded down, and their edges."""
    dropped = _chosen(draw.keyed(batch.nodes), "node-drop", batch.graph, (options.share * batch.sizes).long())
    return batch.keep(~dropped)


def edge_perturb(batch: Batch, draw: Draw, options: ViewOptions) -> Batch:
    """Without a share of the edges of each graph, rounded down; with as many new ones between random nodes.

    A new edge that there is already, or that is drawn twice, is not added.
    """
    if not batch.edges.shape[1]:
        return batch
    forward = batch.edges[0] <= batch.edges[1]
    of = batch.graph[batch.edges[0]]
    if options.whole_edges:
        # both directions have the number of their edge, so they draw the same and go together
        units, position = torch.unique(batch.pairs, return_inverse=True)
        graph = of.new_empty(len(units)).scatter_(0, position, of)
    else:
        units, position, graph = 2 * batch.pairs + forward, torch.arange(len(of), device=of.device), of
    counts = torch.bincount(graph, minlength=len(batch))
    removed = _chosen(draw.keyed(units), "edge-perturb", graph, (options.share * counts).long())
    everything = torch.ones_like(batch.graph, dtype=torch.bool)
    left = batch.keep(everything, ~removed[position])
    if not options.add_edges:
        return left
    new = _new_edges(batch, draw.keyed(units[removed]), graph[removed])
    pairs = new.new_full((2 * new.shape[1],), _ADDED)
    edges = torch.cat([left.edges, new, new.flip(0)], dim=1)
    return Batch(left.x, edges, left.graph, left.ids, left.nodes, torch.cat([left.pairs, pairs]))


def _new_edges(batch: Batch, keyed: CounterRNG, graph: Tensor) -> Tensor:
    """(2, m) edges that the batch does not have, at most one for each entry of ``graph``."""
    sizes = batch.sizes
    possible = sizes[graph] > 1  # a loop may be all that a graph has
    first, size = (sizes.cumsum(0) - sizes)[graph], sizes[graph]
    a = keyed.integers("from", size)
    b = (a + 1 + keyed.integers("to", (size - 1).clamp_min(1))) % size
    low, high = first + torch.minimum(a, b), first + torch.maximum(a, b)
    total = len(batch.graph)
    drawn = torch.unique((low * total + high)[possible])
    drawn = drawn[~torch.isin(drawn, batch.edges[0] * total + batch.edges[1])]
    return torch.stack([drawn // total, drawn % total])


def attribute_mask(batch: Batch, draw: Draw, options: ViewOptions) -> Batch:
    """The features of a share of the nodes, rounded down, replaced; without effect where all nodes are similar."""
    masked = _chosen(draw.keyed(batch.nodes), "attribute-mask", batch.graph, (options.share * batch.sizes).long())
    if options.mask_with == "noise":
        values = 0.5 + 0.5 * draw.keyed(batch.nodes[masked]).normal("noise", batch.x.shape[1])
    else:
        sums = batch.x.new_zeros(len(batch), batch.x.shape[1]).index_add_(0, batch.graph, batch.x)
        values = (sums / batch.sizes.clamp_min(1)[:, None])[batch.graph[masked]]
    x = batch.x.clone()
    x[masked] = values
    return Batch(x, batch.edges, batch.graph, batch.ids, batch.nodes, batch.pairs)


def subgraph(batch: Batch, draw: Draw, options: ViewOptions) -> Batch:
    """A random node and what has grown from it by random neighbours, up to a share of the nodes, rounded down, plus 1.

    Every node waits for a time drawn from Exp(1), from the moment that a neighbour belongs to the subgraph. As this
    time has no memory, the next to join is any of the neighbours with equal probability, so the order of growth is
    that of shortest paths: one call for the batch instead of a loop over nodes.
    """
    keyed = draw.keyed(batch.nodes)
    start = _chosen(keyed, "start", batch.graph, torch.ones_like(batch.sizes))
    edges = batch.edges
    if options.subgraph_reach == "neighbours":
        edges = edges[:, start[edges[0]]]
    wait = (-torch.log1p(-keyed.uniform("growth", 1)[:, 0].double())).clamp_min(1e-9)
    source, target = edges.cpu().numpy()
    total = len(batch.graph)
    paths = csr_matrix((wait.cpu().numpy()[target], (source, target)), shape=(total, total))
    # graphs have no edges between them: the nearest start is that of the own graph
    time = dijkstra(paths, indices=np.flatnonzero(start.cpu().numpy()), min_only=True)
    joined = torch.from_numpy(time).to(batch.graph.device)
    size = (options.subgraph_share * batch.sizes).long() + 1
    return batch.keep((_rank(joined, batch.graph) < size[batch.graph]) & joined.isfinite())


AUGMENTATIONS: dict[str, Callable[[Batch, Draw, ViewOptions], Batch]] = {
    "node-drop": node_drop,
    "edge-perturb": edge_perturb,
    "attribute-mask": attribute_mask,
    "subgraph": subgraph,
}


def augment(batch: Batch, draw: Draw, options: ViewOptions) -> Batch:
    """One view: of each graph one of ``options.augmentations``, each equally likely.

    Args:
        batch: whole graphs, or none; :func:`with_loops` of these, if loops are wanted.
        draw: which view.
        options: which augmentations, and how.

    Returns:
        The same graphs. None is without a node: one that lost all its edges keeps its nodes in any case.
    """
    if not len(batch):
        return batch
    many = len(options.augmentations)
    which = draw.keyed(batch.ids).integers("augmentation", torch.full_like(batch.ids, many))
    parts, rows = [], []
    for number, name in enumerate(options.augmentations):
        graphs = which == number
        if graphs.any():
            parts.append(AUGMENTATIONS[name](batch.select(graphs), draw, options))
            rows.append(graphs.nonzero()[:, 0])
    view = _merge(parts, rows)
    if options.self_loops:
        everything = torch.ones_like(view.graph, dtype=torch.bool)
        view = view.keep(everything, view.edges[0] != view.edges[1])
    return view if options.keep_isolated else _connected(view)


def with_loops(batch: Batch) -> Batch:
    """With an edge to itself for each node before the last one of its graph that has an edge.

    GraphCL's released code counts up to the largest number that the edges name, without that number: in a graph
    whose last node has an edge every node but the last one gets a loop.
    """
    rows = torch.arange(len(batch.graph), device=batch.graph.device)
    ends = batch.edges.amax(dim=0)
    last = rows.new_full((len(batch),), -1).scatter_reduce_(0, batch.graph[ends], ends, "amax")
    loops = rows[rows < last[batch.graph]]
    edges = torch.cat([batch.edges, loops.expand(2, -1)], dim=1)
    pairs = torch.cat([batch.pairs, _FIRST_LOOP - batch.nodes[loops]])
    return Batch(batch.x, edges, batch.graph, batch.ids, batch.nodes, pairs)


def _connected(batch: Batch) -> Batch:
    """Without the nodes that have no edge; graphs without any edge stay."""
    touched = torch.zeros_like(batch.graph, dtype=torch.bool)
    touched[batch.edges.flatten()] = True
    alive = torch.zeros(len(batch), dtype=torch.bool, device=touched.device)
    alive[batch.graph[touched]] = True
    return batch.keep(touched | ~alive[batch.graph])


def _merge(parts: Sequence[Batch], rows: Sequence[Tensor]) -> Batch:
    """Batches side by side; graph i of a part becomes graph ``rows[part][i]``."""
    edges, first = [], 0
    for part in parts:
        edges.append(part.edges + first)
        first += len(part.graph)
    return Batch(
        torch.cat([p.x for p in parts]),
        torch.cat(edges, dim=1),
        torch.cat([r[p.graph] for p, r in zip(parts, rows, strict=True)]),
        torch.cat([p.ids for p in parts])[torch.cat(list(rows)).argsort()],
        torch.cat([p.nodes for p in parts]),
        torch.cat([p.pairs for p in parts]),
    )


def _chosen(keyed: CounterRNG, name: str, graph: Tensor, counts: Tensor) -> Tensor:
    """bool, ``counts[g]`` of the things of each graph g, every subset equally likely."""
    return _rank(keyed.words(name, 1)[:, 0], graph) < counts[graph]


def _rank(values: Tensor, graph: Tensor) -> Tensor:
    """0 for the smallest value of each graph, 1 for the next …"""
    order = values.argsort(stable=True)
    order = order[graph[order].argsort(stable=True)]
    counts = torch.bincount(graph)
    place = torch.arange(len(graph), device=graph.device)
    rank = torch.empty_like(place)
    rank[order] = place - (counts.cumsum(0) - counts)[graph[order]]
    return rank
