"""Losses of GraphCL and of HaLP on it, and the encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from motet.core.errors import ConfigError, MotetWarning
from motet.engine.learner import Position
from motet.losses import graph_contrast, hallucination_loss, in_batch_nce
from motet.methods import hallucination
from motet.methods.graphs import GIN, Draw, GraphCL, HaLPGraphCL, build
from motet.methods.graphs.method import Losses
from motet.methods.graphs.network import GraphNetwork
from motet.methods.graphs.train import GraphLearner
from tests.methods.graphs.made import made


def grid(rows: int, columns: int) -> Tensor:
    i = torch.arange(1, rows + 1, dtype=torch.float64)[:, None]
    return i * torch.arange(1, columns + 1, dtype=torch.float64)


def projections(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(count, 12, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, 12, generator=generator, dtype=torch.float64)
    return first, (first + 0.3 * noise).requires_grad_()


def test_golden_value_of_the_published_loss() -> None:
    x, y = (0.5 * grid(5, 6)).cos(), (0.3 * grid(5, 6)).sin()
    assert float(graph_contrast(x, y, temperature=0.2, form="one-way")) == pytest.approx(3.959785, abs=2e-5)


def test_a_training_takes_the_published_form_unless_asked() -> None:
    a, b = (x.detach() for x in projections(5))
    asked = (graph_contrast(a, b, temperature=0.2, form=form) for form in ("one-way", "both-ways"))
    published, other = map(float, asked)
    none = torch.arange(5)
    found = [float(o.losses(a, b, Draw(0, 0, 2), none, 0).total) for o in (GraphCL(), GraphCL(loss="both-ways"))]
    assert found == [published, other]


def test_the_sound_form_is_info_nce_of_both_directions() -> None:
    first, second = projections(7)
    a, b = (torch.nn.functional.normalize(x, dim=1) for x in (first, second))
    rows = in_batch_nce(a, b, temperature=0.2), in_batch_nce(b, a, temperature=0.2)
    assert torch.allclose(graph_contrast(first, second, form="both-ways"), sum(rows) / 2)
    swapped = graph_contrast(second, first, form="both-ways")
    assert torch.allclose(graph_contrast(first, second, form="both-ways"), swapped)
    perfect = 50 * torch.eye(6)
    assert float(graph_contrast(perfect, perfect, temperature=0.01, form="both-ways")) == pytest.approx(0, abs=1e-6)
    assert float(graph_contrast(perfect, perfect, temperature=0.01, form="one-way")) < -50  # has no lower bound


@pytest.mark.parametrize("form", ["both-ways", "one-way"])
def test_one_graph_and_vanished_projections_have_finite_gradients(form: str) -> None:
    first, second = projections(1)
    loss = graph_contrast(first, second, form=form)
    loss.backward()
    assert loss.detach() == 0
    assert (second.grad == 0).all()
    zero = torch.zeros(3, 4, requires_grad=True)
    graph_contrast(zero, torch.zeros(3, 4), form=form).backward()
    assert zero.grad.isfinite().all()


def halp(count: int, seed: int = 0, **options: object) -> tuple[Losses, Tensor, Tensor]:
    first, second = projections(count, seed)
    first.requires_grad_()
    chosen = HaLPGraphCL(epochs=2, halp_start=0, **options)  # type: ignore[arg-type]
    return chosen.losses(first, second, Draw(seed, 0, 2), torch.arange(count), 0), first, second


def test_halp_adds_an_alignment_that_reaches_the_query_only() -> None:
    found, first, second = halp(64, positives=10)
    assert found.hallucination is not None
    assert found.retained is not None
    assert -1 / 0.2 <= found.hallucination.detach() <= 1 / 0.2
    assert 0.5 < float(found.retained) <= 1
    assert torch.equal(found.total, found.contrast + found.hallucination)
    found.hallucination.backward()
    assert first.grad is None
    assert second.grad.abs().sum() > 0


def test_halp_is_the_equations_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {}

    def watched(anchor: Tensor, prototypes: Tensor, chosen: Tensor, shrink: Tensor) -> object:
        kept["positives"], kept["prototypes"] = original(anchor, prototypes, chosen, shrink), prototypes
        assert (shrink >= 1e-3).all()
        assert (shrink <= 0.8).all()
        return kept["positives"]

    original = hallucination.hallucinate
    monkeypatch.setattr(hallucination, "hallucinate", watched)
    found, first, second = halp(64, positives=10)
    points, prototypes = kept["positives"].points(), kept["prototypes"]
    assert len(prototypes) == 16  # a quarter of the batch, below the 20 asked for
    key, query = (torch.nn.functional.normalize(x.detach(), dim=1) for x in (first, second))
    keep = (points @ prototypes.T).argmax(2) == (key @ prototypes.T).argmax(1)[:, None]
    expected = hallucination_loss(query, points, keep, temperature=0.2)
    assert torch.allclose(found.hallucination, expected)


def test_halp_before_its_start_or_without_weight_is_graphcl() -> None:
    first, second = projections(64)
    late = HaLPGraphCL(epochs=20)
    assert late.start(late.epochs) == 9
    for options, epoch in ((late, 8), (HaLPGraphCL(halp_weight=0.0, halp_start=0), 0)):
        found = options.losses(first, second, Draw(0, epoch, 2), torch.arange(64), 0)
        assert found.hallucination is None
        assert torch.equal(found.total, GraphCL().losses(first, second, Draw(0, epoch, 2), torch.arange(64), 0).total)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_halp_of_few_graphs(count: int) -> None:
    found, _, second = halp(count)
    assert (found.hallucination is not None) == (count >= 8)  # two prototypes need eight graphs
    found.total.backward()
    assert second.grad.isfinite().all()


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_halp_of_fewer_distinct_keys_than_prototypes(distinct: int) -> None:
    first = projections(40)[0][torch.arange(40) % distinct]
    second = projections(40, 1)[0].requires_grad_()
    options = HaLPGraphCL(epochs=2, halp_start=0)
    found = options.losses(first, second, Draw(0, 0, 2), torch.arange(40), 0)
    assert (found.hallucination is None) == (distinct == 1)
    found.total.backward()
    assert found.total.isfinite()
    assert second.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prototypes": 1}, "2 are needed"),
        ({"positives": 0}, "positives is 0"),
        ({"halp_weight": -1.0}, "halp_weight"),
        ({"halp_weight": float("nan")}, "halp_weight is nan"),
        ({"hardness": 2.0}, "hardness is 2"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"candidates": 0}, "candidates is 0"),
        ({"skip_nearest": 20}, "leaves none of 20"),
        ({"batch_size": 7}, "raise --batch-size to 8"),
        ({"skip_nearest": 3, "batch_size": 15}, "raise --batch-size to 16"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0.0}, "lr is 0"),
        ({"epochs": -1}, "epochs"),
        ({"share": 1.5}, "share is 1.5"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HaLPGraphCL(**options).validate()  # type: ignore[arg-type]


def test_positives_that_never_start_are_told() -> None:
    with pytest.warns(MotetWarning, match="epoch 6 of 5, so never"):
        HaLPGraphCL(epochs=5, halp_start=5).check_count(128)


def test_fewer_prototypes_than_asked_for_are_told() -> None:
    HaLPGraphCL().check_count(128)
    with pytest.warns(MotetWarning, match="a batch of 40 graphs gives 10 prototypes, not 20"):
        HaLPGraphCL().check_count(40)


# ------------------------------------------------------------------------------------ encoder


def dense(encoder: GIN, x: Tensor, adjacency: Tensor) -> Tensor:
    """One graph with a matrix of its edges, written from the equation."""
    sums = []
    for update, norm in zip(encoder.updates, encoder.norms, strict=True):
        h = update(x + adjacency @ x).relu()
        x = (h - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        sums.append(x.sum(dim=0))
    return torch.cat(sums)


def test_encoder_is_the_equation_of_each_graph() -> None:
    graphs = made(6)
    torch.manual_seed(0)
    encoder = GIN(3, hidden=8, layers=3)
    assert encoder.feature_size == 24
    with torch.no_grad():
        encoder(graphs.batch(torch.arange(6)))  # statistics that are not 0 and 1
        encoder.eval()
        together = encoder(graphs.batch(torch.arange(6)))
        for i in range(6):
            one = graphs.batch(torch.tensor([i]))
            adjacency = torch.zeros(len(one.x), len(one.x))
            adjacency[one.edges[1], one.edges[0]] = 1
            assert torch.allclose(together[i], dense(encoder, one.x, adjacency), atol=1e-4)


def test_encoder_does_not_see_the_order_of_nodes() -> None:
    graphs = made(2)
    encoder = GIN(3).eval()
    batch = graphs.batch(torch.tensor([0]))
    order = torch.randperm(len(batch.x), generator=torch.Generator().manual_seed(0))
    edges = order.argsort()[batch.edges].numpy()
    kinds = batch.x.argmax(1)[order].numpy()
    other = build("other", np.zeros(len(kinds), np.int64), edges.T, np.array([0]), kinds).batch(torch.tensor([0]))
    assert torch.allclose(encoder(batch), encoder(other), atol=1e-5)


def test_a_single_node_can_be_trained_on() -> None:
    graphs = build("dot", np.array([0]), np.zeros((0, 2), np.int64), np.array([0]))
    network = GraphNetwork(1)
    projected = network(graphs.batch(torch.tensor([0])))
    projected.sum().backward()
    assert projected.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_weights_start_as_published() -> None:
    network = GraphNetwork(7)
    for linear in (m for m in network.modules() if isinstance(m, torch.nn.Linear)):
        bound = (6 / (linear.in_features + linear.out_features)) ** 0.5
        assert linear.weight.abs().max() <= bound
        assert linear.weight.abs().max() > 0.8 * bound
        assert (linear.bias == 0).all()
    assert sum(p.numel() for p in network.encoder.parameters()) == 7 * 32 + 5 * 32 * 32 + 6 * 32 + 6 * 32


def test_every_epoch_has_another_order_of_all_graphs() -> None:
    def orders(**options: bool) -> list[list[int]]:
        learner = GraphLearner(made(16), GraphCL(batch_size=4, epochs=2, **options), (3,), torch.device("cpu"))
        (stage,) = learner.stages
        steps = [[learner.batch(Position(stage, e, s)).ids for s in range(stage.steps)] for e in range(2)]
        return [torch.cat(ids).tolist() for ids in steps]

    first, second = orders()
    assert first != second
    assert sorted(first) == sorted(second) == list(range(16))
    assert len(set(map(tuple, orders(reshuffle=False)))) == 1
