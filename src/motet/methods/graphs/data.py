"""Graphs with node labels, from the text files of TUDataset (Morris et al., GRL+ workshop at ICML 2020).

A set ``DS`` is a folder with ``DS_A.txt`` (an edge a line, "node, node", nodes counted from 1 over all graphs),
``DS_graph_indicator.txt`` (the graph of each node), ``DS_graph_labels.txt`` and, for most sets, ``DS_node_labels.txt``.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motet.core.errors import DataError, MotetWarning
from motet.core.places import described, mistaken
from motet.core.text import counted

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some graphs side by side, as one graph without edges between them.

    Every node and every undirected edge has a number in its set, by which random draws are keyed: what is drawn for a
    graph does not depend on the others of its batch.

    Attributes:
        x: (n, F) float32 node features.
        edges: (2, E) int64, rows of ``x``; a message goes from the first to the second.
        graph: (n,) int64 in [0, B), the graph of each node.
        ids: (B,) int64, numbers of the graphs in their set.
        nodes: (n,) int64, numbers of the nodes in their set.
        pairs: (E,) int64, number of the undirected edge in its set, the same for both directions; −1 for an edge that
            the set does not have.
    """

    x: Tensor
    edges: Tensor
    graph: Tensor
    ids: Tensor
    nodes: Tensor
    pairs: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def sizes(self) -> Tensor:
        """(B,) int64, nodes of each graph."""
        return torch.bincount(self.graph, minlength=len(self))

    def keep(self, nodes: Tensor, edges: Tensor | None = None) -> Batch:
        """The same graphs with some nodes, the edges between these and of those some.

        Args:
            nodes: (n,) bool.
            edges: (E,) bool; None keeps every edge whose ends are kept.
        """
        kept = nodes[self.edges].all(dim=0)
        kept = kept if edges is None else kept & edges
        row = nodes.cumsum(0) - 1
        return Batch(
            self.x[nodes], row[self.edges[:, kept]], self.graph[nodes], self.ids, self.nodes[nodes], self.pairs[kept]
        )

    def select(self, graphs: Tensor) -> Batch:
        """Only the graphs that are marked, (B,) bool, in their order."""
        inside = self.keep(graphs[self.graph])
        number = graphs.cumsum(0) - 1
        return Batch(inside.x, inside.edges, number[inside.graph], self.ids[graphs], inside.nodes, inside.pairs)

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        parts = (self.x, self.edges, self.graph, self.ids, self.nodes, self.pairs)
        return Batch(*(part.to(device) for part in parts))


@dataclass(frozen=True, eq=False)
class Graphs:
    """A set of undirected graphs.

    Attributes:
        name: name of the set.
        node_label: (n,) int64 in [0, node_labels), nodes of a graph in one piece; all 0 where the set has no labels.
        node_labels: how many there are.
        edges: (2, E) int64 rows of ``node_label``, both directions of every edge, in the order of the graphs; no loops
            and no edge twice.
        offsets: (N + 1,) int64: graph i has the nodes ``offsets[i]`` … ``offsets[i + 1] − 1``.
        labels: (N,) int64 in [0, classes), of the graphs.
        class_names: the labels as the set writes them.
    """

    name: str
    node_label: Tensor
    node_labels: int
    edges: Tensor
    offsets: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def hash(self) -> str:
        """Digest of all content."""
        digest = hashlib.sha256(repr((self.node_labels, self.class_names)).encode())
        for part in (self.node_label, self.edges, self.offsets, self.labels):
            digest.update(part.numpy().tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def graph(self) -> Tensor:
        """(n,) int64, the graph of each node."""
        return torch.repeat_interleave(torch.arange(len(self)), self.offsets.diff())

    @cached_property
    def _edge_offsets(self) -> Tensor:
        counts = torch.bincount(self.graph[self.edges[0]], minlength=len(self))
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @cached_property
    def _pairs(self) -> Tensor:
        """(E,) int64: number of the undirected edge of each direction."""
        low, high = self.edges.amin(dim=0), self.edges.amax(dim=0)
        number: Tensor = torch.unique(low * len(self.node_label) + high, return_inverse=True)[1]
        return number

    def batch(self, ids: Tensor) -> Batch:
        """Some of the graphs, (B,) int64, with one-hot node labels as features."""
        nodes, graph = _pieces(self.offsets, ids)
        edges, of = _pieces(self._edge_offsets, ids)
        # a node's row in the batch: its number minus the first of its graph, plus the first row of the graph
        first = torch.cat([ids.new_zeros(1), (self.offsets[ids + 1] - self.offsets[ids]).cumsum(0)[:-1]])
        shift = first - self.offsets[ids]
        x = torch.nn.functional.one_hot(self.node_label[nodes], self.node_labels).float()
        return Batch(x, self.edges[:, edges] + shift[of], graph, ids, nodes, self._pairs[edges])

    def counts(self) -> Tensor:
        """(N, node_labels + 2) float32: nodes of each label, all nodes, edges; a graph without its structure."""
        flat = torch.bincount(self.graph * self.node_labels + self.node_label, minlength=len(self) * self.node_labels)
        labels = flat.view(len(self), self.node_labels)
        edges = self._edge_offsets.diff() // 2
        return torch.cat([labels, self.offsets.diff()[:, None], edges[:, None]], dim=1).float()


def _pieces(offsets: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Rows offsets[i] … offsets[i + 1] − 1 of every i of ids, and the position in ids that each belongs to."""
    lengths = offsets[ids + 1] - offsets[ids]
    of = torch.repeat_interleave(torch.arange(len(ids)), lengths)
    before = lengths.cumsum(0) - lengths
    return torch.arange(len(of)) - before[of] + offsets[ids][of], of


def build(
    name: str, graph: Ints, edges: Ints, labels: Ints | list[str], node_label: Ints | None = None, *, where: str = ""
) -> Graphs:
    """A set from arrays.

    Args:
        name: its name.
        graph: (n,) the graph of each node, 0, 0, …, 1, …: not falling.
        edges: (E, 2) nodes, counted from 0; one direction or both. Loops and repetitions are dropped.
        labels: class of each graph, any values.
        node_label: (n,) any integers; None for a set without.
        where: what errors name; by default the name.

    Raises:
        DataError: edges between graphs or to nodes that do not exist, lengths that differ, no graph.
    """
    where = where or name
    names, classes = np.unique(np.asarray(labels), return_inverse=True)
    _check(where, graph, edges, len(classes), node_label)
    if len(edges) and not _both_ways(edges, len(graph)):
        warnings.warn(
            f"{where}: some edges have one direction only; graphs are taken as undirected", MotetWarning, stacklevel=2
        )
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[both[:, 0] != both[:, 1]]
    key = np.unique(both[:, 0] * len(graph) + both[:, 1])  # sorted by first node, so by graph
    kinds, number = (
        (np.zeros(1), np.zeros_like(graph)) if node_label is None else np.unique(node_label, return_inverse=True)
    )
    sizes = np.bincount(graph, minlength=len(classes))
    return Graphs(
        name=name,
        node_label=torch.from_numpy(number.astype(np.int64)),
        node_labels=len(kinds),
        edges=torch.from_numpy(np.stack([key // len(graph), key % len(graph)]).astype(np.int64)),
        offsets=torch.from_numpy(np.concatenate([[0], sizes.cumsum()]).astype(np.int64)),
        labels=torch.from_numpy(classes.astype(np.int64)),
        class_names=tuple(str(n) for n in names),
    )


def _both_ways(edges: Ints, nodes: int) -> bool:
    there, back = edges[:, 0] * nodes + edges[:, 1], edges[:, 1] * nodes + edges[:, 0]
    return bool(np.isin(there, back).all())


def _check(where: str, graph: Ints, edges: Ints, labels: int, node_label: Ints | None) -> None:
    if not labels or not len(graph):
        raise DataError(f"{where}: there is no graph in it")
    if (np.diff(graph) < 0).any() or graph[0] != 0:
        node = 0 if graph[0] != 0 else int(np.argmax(np.diff(graph) < 0)) + 1
        raise DataError(
            f"{where}: node {node + 1} is in graph {graph[node] + 1}; nodes must follow the order of their graphs"
        )
    missing = np.setdiff1d(np.arange(labels), graph)
    if len(missing):
        raise DataError(f"{where}: graph {missing[0] + 1} has no node; remove its label")
    if graph[-1] + 1 != labels:
        raise DataError(f"{where}: {labels} graph labels, but the nodes belong to {counted(graph[-1] + 1, 'graph')}")
    if node_label is not None and len(node_label) != len(graph):
        raise DataError(f"{where}: {len(node_label)} node labels for {counted(len(graph), 'node')}")
    outside = ((edges < 0) | (edges >= len(graph))).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        node = next(int(node) for node in edges[row] if not 0 <= node < len(graph))
        raise DataError(f"{where}: edge {row + 1}: node {node + 1} does not exist, there are {len(graph)}")
    across = graph[edges[:, 0]] != graph[edges[:, 1]]
    if across.any():
        row = int(across.argmax())
        a, b = graph[edges[row]] + 1
        raise DataError(f"{where}: edge {row + 1} leads from graph {a} to graph {b}; does the indicator fit?")


def read_tu(folder: str | Path) -> Graphs:
    """Read a set of TUDataset from its folder of text files.

    Node labels become one-hot features, as GraphCL has them (node attributes and edge labels are not read); a set
    without node labels has the same feature 1 everywhere. Labels of graphs may be any integers.

    Args:
        folder: holds ``DS_A.txt`` and its companions; DS need not be the folder's name.

    Raises:
        DataError: a file is missing, is not numbers, or does not fit the others; the message names file and line.
    """
    folder = Path(folder)
    if folder.is_file() and not described(folder)[0]:
        raise DataError(f"{folder} is a file, not a folder of a TU graph set; unpack it first")
    if described(folder)[0] or not folder.is_dir():
        raise DataError(mistaken(folder, "graphs"))
    found = sorted(folder.glob("*_A.txt"))
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise DataError(f"{folder} must hold one DS_A.txt, the edges of a TU graph set; there is {names}")
    name = found[0].name.removesuffix("_A.txt")
    graph = _read(folder / f"{name}_graph_indicator.txt", 1)[:, 0] - 1
    labels = _read(folder / f"{name}_graph_labels.txt", 1)[:, 0]
    edges = _read(found[0], 2) - 1
    path = folder / f"{name}_node_labels.txt"
    node_label = _read(path, None)[:, 0] if path.exists() else None
    return build(name, graph, edges, labels, node_label, where=str(folder / name))


def _read(path: Path, columns: int | None) -> Ints:
    """Whole numbers of a text file, (lines, columns)."""
    if not path.exists():
        raise DataError(f"{path} is missing; a TU graph set needs it")
    if not path.read_bytes().strip():
        return np.zeros((0, columns or 1), dtype=np.int64)  # graphs without edges
    try:
        rows: Ints = np.loadtxt(path, dtype=np.int64, delimiter=",", ndmin=2, comments=None)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not whole numbers, {_first_bad(path)}") from error
    if columns is not None and rows.shape[1] != columns:
        raise DataError(f"{path}: {rows.shape[1]} numbers a line where {columns} belong")
    return rows


def _first_bad(path: Path) -> str:
    width = None
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.split(",")
        if not line.strip():
            continue
        try:
            [int(word) for word in words]
        except ValueError:
            return f"line {number}: {line[:60]!r}"
        width = width or len(words)
        if len(words) != width:
            return f"line {number} has {len(words)} of them, others {width}"
    return "a number is too large"
