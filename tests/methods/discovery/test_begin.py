"""Where the clusters of a discovery begin: in few components of the features, at the sizes that the method wants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from motet.memory.kmeans import spherical_kmeans
from motet.methods.discovery.clusters import means, principal
from motet.methods.discovery.methods import codt
from motet.methods.discovery.methods.ocm import Transported
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


def test_the_published_start_is_as_it_was() -> None:
    for name in ("paper", "small"):
        settings = SETTINGS[name]
        assert isinstance(settings.method, codt.Options)
        assert (settings.kmeans_restarts, settings.kmeans_components, settings.method.start_rounds) == (10, 0, 0)
