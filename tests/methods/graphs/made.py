"""Generated graphs: rings and stars with tails, distinguished by their structure and a little by their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motet.methods.graphs import Graphs, build


def arrays(count: int = 40, seed: int = 0) -> tuple[list[int], list[tuple[int, int]], list[int], list[int]]:
    """Graph of each node, edges in one direction, label of each graph, label of each node."""
    random = np.random.default_rng(seed)
    graph, edges, labels, kinds = [], [], [], []
    for i in range(count):
        size, first, label = int(random.integers(8, 20)), len(graph), i % 2
        for node in range(1, size):
            edges.append((first + node, first + (node - 1 if label else 0)))
        if label:
            edges.append((first, first + size - 1))
        graph += [i] * size
        kinds += random.integers(0, 3, size).tolist()
        labels.append(label)
    return graph, edges, labels, kinds


def made(count: int = 40, seed: int = 0) -> Graphs:
    graph, edges, labels, kinds = arrays(count, seed)
    both = np.array(edges + [(b, a) for a, b in edges])
    return build("made", np.array(graph), both, np.array(labels), np.array(kinds))


def write_tu(folder: Path, count: int = 40, seed: int = 0, name: str = "MADE") -> Path:
    """The text files of a TU set; labels of graphs are −1 and 1."""
    graph, edges, labels, kinds = arrays(count, seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{a + 1}, {b + 1}\n{b + 1}, {a + 1}" for a, b in edges]
    (folder / f"{name}_A.txt").write_text("\n".join(lines) + "\n")
    for part, values in (
        ("graph_indicator", [g + 1 for g in graph]),
        ("graph_labels", [2 * y - 1 for y in labels]),
        ("node_labels", [k + 4 for k in kinds]),
    ):
        (folder / f"{name}_{part}.txt").write_text("\n".join(map(str, values)) + "\n")
    return folder
