"""Reading of TU graph sets, and batches of them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from motet.core.errors import DataError, MotetWarning
from motet.methods.graphs import build, read_tu
from tests.methods.graphs.made import made, write_tu


def test_what_is_written_is_read(tmp_path: Path) -> None:
    read, original = read_tu(write_tu(tmp_path / "any name")), made()
    assert read.name == "MADE"
    assert read.class_names == ("-1", "1")
    assert read.node_labels == 3
    for part in ("node_label", "edges", "offsets", "labels"):
        assert torch.equal(getattr(read, part), getattr(original, part)), part


def test_batch_holds_the_graphs_that_were_asked_for() -> None:
    graphs = made()
    batch = graphs.batch(torch.tensor([5, 2, 9]))
    assert batch.sizes.tolist() == graphs.offsets.diff()[[5, 2, 9]].tolist()
    assert torch.equal(batch.x.argmax(dim=1), graphs.node_label[batch.nodes])
    # each edge is that of the set, named by the numbers of its nodes
    there = set(map(tuple, graphs.edges.T.tolist()))
    named = batch.nodes[batch.edges].T.tolist()
    assert {tuple(e) for e in named} == {e for e in there if int(graphs.graph[e[0]]) in (5, 2, 9)}
    forward = batch.edges[0] < batch.edges[1]
    assert torch.equal(batch.pairs[forward].sort().values, batch.pairs[~forward].sort().values)
    assert len(batch.pairs.unique()) == forward.sum()


def test_select_keeps_order_and_content() -> None:
    graphs = made()
    some = graphs.batch(torch.arange(10)).select(torch.arange(10) % 3 == 0)
    direct = graphs.batch(torch.tensor([0, 3, 6, 9]))
    for part in ("x", "edges", "graph", "ids", "nodes", "pairs"):
        assert torch.equal(getattr(some, part), getattr(direct, part)), part


def test_loops_and_repeated_edges_are_dropped_and_one_direction_is_told() -> None:
    edges = np.array([(0, 1), (1, 0), (0, 1), (2, 2)])
    graphs = build("g", np.array([0, 0, 0]), edges, np.array([7]))
    assert graphs.edges.tolist() == [[0, 1], [1, 0]]
    assert graphs.node_labels == 1
    with pytest.warns(MotetWarning, match="one direction only"):
        one = build("g", np.array([0, 0, 0]), np.array([(0, 1)]), np.array([7]))
    assert torch.equal(one.edges, graphs.edges)


def test_graphs_without_edges_are_read(tmp_path: Path) -> None:
    (write_tu(tmp_path) / "MADE_A.txt").write_text("")
    graphs = read_tu(tmp_path)
    assert graphs.edges.shape == (2, 0)
    assert len(graphs.batch(torch.arange(4)).pairs) == 0
    assert (graphs.counts()[:, -1] == 0).all()


def test_counts_are_label_counts_size_and_edges() -> None:
    graphs = build("g", np.array([0, 0, 1]), np.array([(0, 1), (1, 0)]), np.array([0, 1]), np.array([5, 3, 5]))
    assert graphs.counts().tolist() == [[1, 1, 2, 1], [0, 1, 1, 0]]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("A", lambda t: t + "1, 99999\n", "node 99999 does not exist"),
        ("A", lambda t: t + "1, x\n", r"MADE_A.txt: not whole numbers, line \d+: '1, x'"),
        ("A", lambda t: t + "1\n", r"line \d+ has 1 of them, others 2"),
        ("A", lambda t: t.replace(",", " 1,"), "not whole numbers"),
        ("A", lambda t: t.replace(", ", ",1,"), "3 numbers a line where 2 belong"),
        ("A", lambda t: t + "1, 400\n", "leads from graph 1 to graph"),
        ("A", None, "must hold one DS_A.txt"),
        ("graph_labels", None, "MADE_graph_labels.txt is missing"),
        ("graph_labels", lambda t: t + "1\n", "graph 41 has no node"),
        ("graph_labels", lambda t: t[3:], "39 graph labels, but the nodes belong to 40 graphs"),
        ("graph_labels", lambda t: "", "there is no graph in it"),
        ("graph_indicator", lambda t: "2\n" + t, "node 1 is in graph 2"),
        ("graph_indicator", lambda t: t + "1\n", "nodes must follow the order"),
        ("node_labels", lambda t: t + "1\n", r"\d+ node labels for \d+ nodes"),
        ("node_labels", lambda t: t + "1.5\n", "line .*1.5"),
    ],
)
def test_a_damaged_set_is_told_by_file_and_line(tmp_path: Path, part: str, change: object, message: str) -> None:
    path = write_tu(tmp_path) / f"MADE_{part}.txt"
    if callable(change):
        path.write_text(change(path.read_text()))
    else:
        path.unlink()
    with pytest.raises(DataError, match=message):
        read_tu(tmp_path)


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_tu(tmp_path / "nothing")
    (tmp_path / "MADE.zip").write_bytes(b"")
    with pytest.raises(DataError, match="unpack"):
        read_tu(tmp_path / "MADE.zip")


@pytest.mark.real_data
def test_mutag_is_what_its_description_says(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "graphs" / "MUTAG.tar.xz") as file:
        file.extractall(tmp_path, filter="data")
    graphs = read_tu(tmp_path / "MUTAG")
    assert (len(graphs), graphs.node_labels, len(graphs.node_label)) == (188, 7, 3371)
    assert graphs.edges.shape[1] == 7442
    assert torch.bincount(graphs.labels).tolist() == [63, 125]
