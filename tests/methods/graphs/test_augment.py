"""Views of graphs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.methods.graphs import AUGMENTATIONS, Batch, Draw, ViewOptions, augment, build
from motet.methods.graphs.augment import with_loops
from tests.methods.graphs.made import made

GRAPHS = made()
BATCH = GRAPHS.batch(torch.arange(40))


def edges_of(batch: Batch) -> set[tuple[int, int]]:
    return {(a, b) for a, b in batch.nodes[batch.edges].T.tolist()}


def view(name: str, draw: Draw | None = None, batch: Batch = BATCH, **options: object) -> Batch:
    return augment(batch, draw or Draw(0, 0), ViewOptions(augmentations=(name,), **options))  # type: ignore[arg-type]


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Batch))


def test_node_drop_takes_a_share_of_every_graph_and_leaves_the_rest_as_it_was() -> None:
    found = view("node-drop", share=0.3)
    assert torch.equal(found.sizes, BATCH.sizes - (0.3 * BATCH.sizes).long())
    left = set(found.nodes.tolist())
    assert edges_of(found) == {(a, b) for a, b in edges_of(BATCH) if a in left and b in left}
    assert torch.equal(found.x.argmax(1), GRAPHS.node_label[found.nodes])


def test_edge_perturb_replaces_edges_in_both_directions() -> None:
    only_removed = view("edge-perturb", share=0.25, add_edges=False)
    before = torch.bincount(BATCH.graph[BATCH.edges[0]]) // 2
    after = torch.bincount(only_removed.graph[only_removed.edges[0]]) // 2
    assert torch.equal(after, before - (0.25 * before).long())
    assert edges_of(only_removed) < edges_of(BATCH)
    assert {(b, a) for a, b in edges_of(only_removed)} == edges_of(only_removed)
    replaced = view("edge-perturb", share=0.25)
    new = edges_of(replaced) - edges_of(only_removed)
    assert new
    assert not new & edges_of(BATCH)
    assert {(b, a) for a, b in new} == new
    assert all(a != b and GRAPHS.graph[a] == GRAPHS.graph[b] for a, b in new)
    assert len(edges_of(replaced)) == replaced.edges.shape[1]
    assert len(new) > 0.5 * len(edges_of(BATCH) - edges_of(only_removed))
    assert torch.equal(replaced.sizes, BATCH.sizes)


def test_released_edge_perturb_removes_single_directions() -> None:
    found = view("edge-perturb", share=0.25, add_edges=False, whole_edges=False)
    assert {(b, a) for a, b in edges_of(found)} != edges_of(found)
    before = torch.bincount(BATCH.graph[BATCH.edges[0]])
    assert torch.equal(torch.bincount(found.graph[found.edges[0]]), before - (0.25 * before).long())


@pytest.mark.parametrize("how", ["mean", "noise"])
def test_attribute_mask_changes_features_only(how: str) -> None:
    found = view("attribute-mask", share=0.3, mask_with=how)
    changed = (found.x != BATCH.x).any(dim=1)
    assert torch.equal(torch.bincount(found.graph[changed], minlength=40), (0.3 * BATCH.sizes).long())
    assert torch.equal(found.edges, BATCH.edges)
    if how == "mean":
        node = int(changed.nonzero()[0])
        own = BATCH.graph == BATCH.graph[node]
        assert torch.allclose(found.x[node], BATCH.x[own].mean(dim=0))
    else:
        values = found.x[changed]
        assert abs(float(values.mean()) - 0.5) < 0.1
        assert abs(float(values.std()) - 0.5) < 0.1


def reached(batch: Batch) -> Tensor:
    """Nodes of each graph that can be reached from its first one."""
    mark = torch.zeros(len(batch.graph), dtype=torch.bool)
    for g in range(len(batch)):
        mark[(batch.graph == g).nonzero()[0]] = True
    for _ in range(len(batch.graph)):
        before = mark.clone()
        mark[batch.edges[1][mark[batch.edges[0]]]] = True
        if torch.equal(mark, before):
            break
    return torch.bincount(batch.graph[mark], minlength=len(batch))


def test_subgraph_is_connected_and_has_its_size() -> None:
    found = view("subgraph", subgraph_share=0.5)
    assert torch.equal(found.sizes, (0.5 * BATCH.sizes).long() + 1)
    assert torch.equal(reached(found), found.sizes)


def test_released_subgraph_reaches_neighbours_of_one_node_only() -> None:
    found = view("subgraph", subgraph_share=0.5, subgraph_reach="neighbours")
    rings = GRAPHS.labels[found.ids] == 1
    assert (found.sizes[rings] == 3).all()  # a node of a ring has two neighbours


def test_subgraph_grows_by_any_neighbour_with_equal_probability() -> None:
    # 1500 paths 0-1-2-3-4 of which 3 nodes are kept: from 2, each step goes left or right with probability one half
    first = 5 * np.arange(1500)
    path = np.concatenate([np.stack([first + i, first + i + 1], axis=1) for i in range(4)])
    graph = np.arange(7500) // 5
    graphs = build("paths", graph, np.concatenate([path, path[:, ::-1]]), np.arange(1500) % 2)
    found = view("subgraph", batch=graphs.batch(torch.arange(1500)), subgraph_share=0.4)
    nodes = (found.nodes % 5).view(1500, 3)
    assert (nodes.diff(dim=1) == 1).all()
    seen = torch.bincount(nodes[:, 0], minlength=5)
    # starts 0 … 4 equally likely; from 1: 0.5 left first, then 2 for sure, or 2 and then 0 or 3; 2: 1/4, 1/2, 1/4
    expected = 1500 * torch.tensor([1 + 0.75 + 0.25, 0.25 + 0.5 + 0.25, 0.25 + 0.75 + 1, 0, 0]) / 5
    assert (seen - expected).abs().max() < 4 * (1500 * 0.24) ** 0.5


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_view_does_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    for draw in (Draw(3, 1, 0), Draw(3, 1, 1)):
        together = view(name, draw, share=0.3).select(torch.arange(40) % 4 == 1)
        alone = view(name, draw, GRAPHS.batch(torch.arange(1, 40, 4)), share=0.3)
        assert same(together, alone)
    assert not same(view(name, Draw(3, 1, 0), share=0.3), view(name, Draw(3, 1, 1), share=0.3))
    assert not same(view(name, Draw(3, 1, 0), share=0.3), view(name, Draw(3, 2, 0), share=0.3))


def test_each_graph_gets_one_of_the_named_augmentations() -> None:
    found = augment(BATCH, Draw(0, 0), ViewOptions(augmentations=("attribute-mask", "subgraph")))
    assert torch.equal(found.ids, BATCH.ids)
    small = found.sizes == (0.2 * BATCH.sizes).long() + 1
    assert 8 < small.sum() < 32
    assert torch.equal(found.sizes[~small], BATCH.sizes[~small])
    assert torch.equal(GRAPHS.graph[found.nodes], found.ids[found.graph])


def test_released_views_have_no_isolated_nodes_and_no_loops() -> None:
    looped = with_loops(BATCH)
    assert looped.edges.shape[1] == BATCH.edges.shape[1] + len(BATCH.graph) - 40  # all but the last of each graph
    options = ViewOptions(augmentations=("node-drop",), share=0.4, keep_isolated=False, self_loops=True)
    found = augment(looped, Draw(0, 0), options)
    assert (found.edges[0] != found.edges[1]).all()
    degree = torch.bincount(found.edges[0], minlength=len(found.graph))
    bare = (degree == 0).nonzero()[:, 0]
    # only where a star lost its centre, and with it every edge
    edges = torch.bincount(found.graph[found.edges[0]], minlength=40)
    assert (edges[found.graph[bare]] == 0).all()
    assert (found.sizes > 0).all()


def test_released_loops_miss_the_last_node_with_an_edge_and_all_after_it() -> None:
    """Loops are those of 0 … (largest node of an edge) − 1, counted in each graph."""
    edges = np.array([(0, 2), (2, 0), (5, 6), (6, 5)])
    graphs = build("g", np.array([0, 0, 0, 0, 1, 2, 2]), edges, np.array([0, 1, 0]))
    assert with_loops(graphs.batch(torch.arange(3))).edges[:, 4:].tolist() == [[0, 1, 5], [0, 1, 5]]


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_graphs_without_edges_and_single_nodes_have_views(name: str, released: bool) -> None:
    graphs = build("bare", np.array([0, 1, 1, 1]), np.zeros((0, 2), np.int64), np.array([0, 1]))
    batch = graphs.batch(torch.arange(2))
    how = {"self_loops": released, "keep_isolated": not released, "whole_edges": not released}
    found = view(name, batch=with_loops(batch) if released else batch, **how)
    assert (found.sizes > 0).all()
    assert found.edges.shape[1] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentations": ("fly",)}, "fly.*node-drop, edge-perturb"),
        ({"augmentations": ()}, "choose from"),
        ({"share": 1.0}, "share is 1"),
        ({"subgraph_share": -0.1}, "subgraph_share"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ViewOptions(**options).validate()  # type: ignore[arg-type]
