"""The public equations are what training runs, in every method that needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

import pytest
import torch

from motet import losses
from motet.methods.discovery import methods
from tests.methods.discovery.published import published_case

# method, its options, the equations that a step of fine-tuning must call, and how often
NEEDED: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("codt", {}, {"balanced_assignment": 2, "pair_consistency": 2}),
    ("codt", {"pairs": "features"}, {"balanced_assignment": 2, "rank_statistics_pairs": 2, "pair_consistency": 2}),
    ("codt", {"pairs": "cosine"}, {"balanced_assignment": 2, "pair_likelihood": 2}),
    ("ocm", {}, {"balanced_assignment": 2}),
    ("sela", {}, {"balanced_assignment": 2}),
    ("uno", {}, {"balanced_assignment": 2 * 8 * 2}),  # both views of eight heads on two branches
    ("autonovel", {}, {"rank_statistics_pairs": 2}),
    ("mmt", {}, {}),
    ("simgcd", {}, {}),
]


def _code(function: Callable[..., Any]) -> CodeType:
    """The code of a function below its decorators."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function.__code__


@contextmanager
def counted(names: list[str]) -> Iterator[dict[str, int]]:
    """How often public functions of :mod:`motet.losses` run, by whatever name they were imported."""
    codes = {_code(getattr(losses, name)): name for name in names}
    found = dict.fromkeys(names, 0)

    def seen(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in codes:
            found[codes[frame.f_code]] += 1

    sys.setprofile(seen)
    try:
        yield found
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(("method", "options", "needed"), NEEDED)
def test_a_step_runs_the_public_equations(method: str, options: dict[str, Any], needed: dict[str, int]) -> None:
    discovery, batch = published_case(method=method, **options)
    batch = replace(batch, source_again=batch.source + 0.01)
    if method == "mmt":
        discovery.labelling.fixed = torch.arange(12).remainder(4).expand(2, -1)
    with counted(list(needed)) as found:
        discovery.labelling.begin_epoch()
        sum(discovery(batch, fine=True).values(), torch.zeros(())).backward()
    assert found == needed


def test_every_method_is_looked_at() -> None:
    assert {method for method, _, _ in NEEDED} | {"bm"} == set(methods.names())
