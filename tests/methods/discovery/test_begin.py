"""Where the clusters of a discovery begin: in few components of the features, at the sizes that the method wants."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from motet.memory.kmeans import spherical_kmeans
from motet.methods.discovery.clusters import means, principal
from motet.methods.discovery.methods import codt
from motet.methods.discovery.methods.ocm import Transported, scatter
from motet.methods.discovery.settings import SETTINGS, Settings


def test_principal_components() -> None:
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 5, 2, 9, 0.1, 3]) + 4
    _, _, axes = np.linalg.svd(x.numpy() - x.numpy().mean(axis=0), full_matrices=False)
    wanted = (x.numpy() - x.numpy().mean(axis=0)) @ axes[:3].T
    found = principal(x, 3).numpy()[:, ::-1]  # up to signs
    assert np.allclose(abs(found), abs(wanted), atol=1e-4)
    for count in (0, 6, 9):
        assert principal(x, count) is x


def test_mean_directions() -> None:
    x = torch.tensor([[2.0, 0.0], [0.0, 5.0], [3.0, 0.0]])
    found = means(x, torch.tensor([1, 1, 2]), 4)
    assert torch.allclose(found, torch.tensor([[0, 0], [0.5**0.5, 0.5**0.5], [1, 0], [0, 0]]))


@pytest.mark.parametrize(("rounds", "shares"), [(0, ()), (20, ()), (20, (0.5, 0.25, 0.25))])
def test_clusters_begin_at_the_wanted_sizes(rounds: int, shares: tuple[float, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    centres = torch.tensor([[1.0, 0.0, 0.2], [1.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
    x = centres.repeat_interleave(torch.tensor([40, 12, 8]), dim=0) + 0.25 * torch.randn(60, 3, generator=generator)
    options = codt.Options(start_rounds=rounds, shares=shares)
    labelling = Transported(options, Settings(method=options, clusters=3), ())  # type: ignore[arg-type]
    made = labelling.clusterings([x, x], 3, restarts=5)
    plain = spherical_kmeans(x, 3, restarts=5)
    sizes = torch.bincount(made[0].assignment, minlength=3).sort().values.tolist()
    assert torch.equal(made[0].assignment, made[1].assignment)
    if not rounds:
        assert torch.equal(made[0].assignment, plain.assignment)
        assert torch.equal(made[0].centres, plain.centres)
        return
    wanted = sorted(60 * s for s in shares or (1 / 3,) * 3)
    before = torch.bincount(plain.assignment, minlength=3).sort().values.tolist()
    apart = [max(abs(a - b) for a, b in zip(found, wanted, strict=True)) for found in (sizes, before)]
    assert apart[0] <= 3 < apart[1]
    assert torch.allclose(made[0].centres, means(normalize(x, dim=1), made[0].assignment, 3))
    assert labelling.scalings == [None, None]  # the first step's transport starts from nothing


@pytest.mark.parametrize("few", [12, 40])
def test_sizes_are_those_of_k_means_where_equal_ones_cost_too_much(few: int) -> None:
    generator = torch.Generator().manual_seed(1)
    axes = torch.eye(3).repeat_interleave(torch.tensor([40, few, 40]), dim=0)
    x = axes + 0.15 * torch.randn(len(axes), 3, generator=generator)
    options = codt.Options(start_rounds=20, equal_cost=0.05)
    labelling = Transported(options, Settings(method=options, clusters=3), ())  # type: ignore[arg-type]
    made = labelling.clusterings([x, x], 3, restarts=5)[1]
    equal = Transported(replace(options, equal_cost=0.0), labelling.settings, ())  # type: ignore[arg-type]
    plain = spherical_kmeans(x, 3, restarts=5)
    logits = 10 * normalize(x, dim=1) @ plain.centres.T
    sizes = labelling.transport(1, logits).labels().bincount(minlength=3)
    if few == 40:
        assert labelling.found == [None, None]
        assert labelling.says.startswith("B0 and B1 begin with clusters of equal size")
        assert equal.says == ""
        assert torch.equal(made.assignment, equal.clusterings([x, x], 3, restarts=5)[1].assignment)
        return
    assert torch.equal(made.assignment, plain.assignment)
    assert abs(sizes - plain.assignment.bincount()).max() <= 3
    assert abs(equal.transport(1, logits).labels().bincount() - plain.assignment.bincount()).max() > 10
    said = "classes differ in size, or similar ones are one cluster: B0 and B1 keep the sizes of k-means"
    assert labelling.says.startswith(said)
    again = Transported(options, labelling.settings, ())  # type: ignore[arg-type]
    again.pair = (SimpleNamespace(bank=x), SimpleNamespace(bank=x))  # type: ignore[assignment]
    again.restore(labelling.state())
    assert again.says == labelling.says  # a run that was interrupted says it too
    again.found[0] = None
    assert "one cluster: B1 keeps the sizes" in again.says
    assert torch.equal(again.transport(1, logits).labels(), labelling.transport(1, logits).labels())


def test_scatter_of_clusters() -> None:
    unit = normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), dim=1)
    found = spherical_kmeans(unit, 1)
    centre = np.array([2.0, 1.0]) / 5**0.5
    assert scatter(unit, found) == pytest.approx(np.mean([1 - centre[0], 1 - centre[1], 1 - centre[0]]))


def test_the_published_start_is_as_it_was() -> None:
    for name in ("paper", "small"):
        settings = SETTINGS[name]
        assert isinstance(settings.method, codt.Options)
        assert (settings.kmeans_restarts, settings.kmeans_components, settings.method.start_rounds) == (10, 0, 0)
