"""The public equations are what training runs: one step of every contrastive and graph method calls its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from motet import losses
from motet.data.archive import MotionArchive
from motet.methods import recipes
from motet.methods.graphs import GraphCL, HaLPGraphCL, train
from tests.methods.graphs.made import made
from tests.methods.test_pretrain import tiny

HALP = {"candidates", "hallucinate", "hallucination_loss", "rank_filter", "rank_limit", "retained", "slerp"}
SOON: dict[str, Any] = {"prototypes": 4, "recent": 8, "positives": 5, "refresh": 1, "halp_start": 0}
MINING: dict[str, Any] = {"cross_start": 0}
TRAINED: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "moco": ("moco", {}, {"info_nce"}),
    "mcl": ("mcl", {}, {"info_nce", "mutual_contrast"}),
    "crossclr": ("crossclr", MINING, {"cross_positive_mining"}),
    "cmd": ("cmd", {}, {"info_nce", "mutual_distillation", "neighbour_distillation"}),
    "cmd with a consensus": ("cmd", {"teachers": "consensus"}, {"info_nce", "consensus_distillation"}),
    "halp": ("halp", SOON, {"info_nce"} | HALP),
    "halp without a queue": ("halp", {**SOON, "prototypes_from": "batch"}, {"in_batch_nce"} | HALP),
    "halp-cmd": ("halp-cmd", SOON, {"info_nce", "mutual_distillation", "neighbour_distillation"} | HALP),
    "aimclr": ("aimclr", {"mine_start": 1}, {"distributional_divergence", "info_nce"}),
    "halp-aimclr": ("halp-aimclr", SOON, {"neighbour_mining", "distributional_divergence"} | HALP),
}
GRAPHS: dict[str, tuple[GraphCL, set[str]]] = {
    "graphcl": (GraphCL(loss="one-way"), {"graph_contrast"}),
    "graphcl both ways": (GraphCL(loss="both-ways"), {"graph_contrast", "in_batch_nce"}),
    "halp-graphcl": (HaLPGraphCL(loss="one-way", prototypes=4, positives=5, halp_start=0), {"graph_contrast"} | HALP),
}
OTHERS = {  # of discovery and distillation, which have their own test
    "adversarial_critic",
    "adversarial_student",
    "balanced_assignment",
    "class_contrast",
    "jensen_shannon",
    "pair_consistency",
    "pair_likelihood",
    "rank_statistics_pairs",
}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the public equations that have been called, wherever a module of the package holds them."""
    seen: set[str] = set()

    def spy(name: str, equation: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            seen.add(name)
            return equation(*args, **options)

        return call

    recipes.names()  # loads every method
    modules = [m for n, m in sorted(sys.modules.items()) if n.split(".")[0] == "motet" and m is not None]
    for name in losses.__all__:
        equation = getattr(losses, name)
        counted = spy(name, equation)
        for module in modules:
            if vars(module).get(name) is equation:
                monkeypatch.setattr(module, name, counted)
    return seen


@pytest.mark.parametrize("case", TRAINED)
def test_pretraining_calls_the_equations(
    case: str, called: set[str], small_archive: MotionArchive, tmp_path: Path
) -> None:
    recipe, options, equations = TRAINED[case]
    tiny(recipe, small_archive, tmp_path / "run", **options, epochs=1, frames=12)
    assert called == equations


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs_call_the_equations(case: str, called: set[str]) -> None:
    options, equations = GRAPHS[case]
    train(made(32), type(options)(**{**vars(options), "epochs": 1, "batch_size": 32}))
    assert called == equations


def test_every_public_equation_is_trained_by_something() -> None:
    trained = set().union(*(found for *_, found in [*TRAINED.values(), *GRAPHS.values()]))
    assert trained | OTHERS == set(losses.__all__)


def test_equations_name_their_source_and_the_reference_lists_them() -> None:
    listed = (Path(__file__).parents[2] / "docs" / "api" / "methods.md").read_text(encoding="utf-8")
    for name in set(losses.__all__) - OTHERS:
        words = f"{getattr(losses, name).__doc__} {sys.modules[getattr(losses, name).__module__].__doc__}"
        assert "arXiv:" in words or "doi:" in words, name
    for name in losses.__all__:
        assert f"        - {name}\n" in listed, name


@pytest.mark.parametrize("name", losses.__all__)
def test_every_equation_names_its_source(name: str) -> None:
    words = str(getattr(losses, name).__doc__)
    assert any(link in words for link in ("arXiv:", "https://arxiv.org", "doi.org", "doi:"))
