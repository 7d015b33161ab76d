"""GraphCL (You et al., NeurIPS 2020, arXiv:2010.13902), and HaLP (Shah et al., CVPR 2023, arXiv:2304.00387) on it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError, MotetWarning
from motet.core.options import Count, Layers, Natural
from motet.core.text import counted
from motet.losses import graph_contrast
from motet.memory.kmeans import spherical_kmeans
from motet.methods.graphs.augment import Draw, ViewOptions
from motet.methods.hallucination import Hallucination

GRAPHS_PER_PROTOTYPE = 4  # of a batch, so that a prototype is a cluster and not a graph


@dataclass(frozen=True)
class GraphCL(ViewOptions):
    """Options of GraphCL; sizes and rates are those of the released experiments on TU graphs."""

    title: ClassVar[str] = "GraphCL"

    loss: Literal["one-way", "both-ways"] = "one-way"
    """one-way: from the first view to the second, the positive missing in the denominator, as in the paper; both-ways:
    InfoNCE, averaged over both directions."""
    temperature: float = 0.2
    hidden: Count = 32
    layers: Layers = 3
    lr: float = 0.01
    """rate of Adam."""
    batch_size: Count = 128
    epochs: Natural = 20
    reshuffle: bool = True
    """batches are drawn again in each epoch; the released code draws them once."""

    def validate(self) -> None:
        super().validate()
        for name in ("lr", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be finite and greater than 0")

    def check_count(self, graphs: int) -> None:
        """Warn of options that have no effect, or less, on a set of so many graphs."""

    def released(self) -> Self:
        """All that the released code does otherwise than the paper says or than is sound."""
        return replace(
            self,
            add_edges=False,
            whole_edges=False,
            subgraph_reach="neighbours",
            mask_with="noise",
            first_view="whole",
            keep_isolated=False,
            self_loops=True,
            reshuffle=False,
        )

    def losses(self, first: Tensor, second: Tensor, draw: Draw, ids: Tensor, step: int) -> Losses:
        """Terms of a step.

        Args:
            first, second: (B, D) projections of both views.
            draw: seed and epoch of the step.
            ids: (B,) numbers of the graphs.
            step: steps before this one.
        """
        return Losses(graph_contrast(first, second, temperature=self.temperature, form=self.loss))


@dataclass(frozen=True)
class HaLPGraphCL(Hallucination, GraphCL):
    """Options of HaLP on GraphCL. The paper gives results only (Table 8 of its supplement); the rest is chosen here."""

    title: ClassVar[str] = "HaLP on GraphCL"

    def validate(self) -> None:
        super().validate()
        self.check_hallucination()
        if self.halp_weight and self.batch_size // GRAPHS_PER_PROTOTYPE <= self.skip_nearest:
            raise ConfigError(
                f"batch_size is {self.batch_size}: with {counted(GRAPHS_PER_PROTOTYPE, 'graph')} to a prototype and "
                f"skip_nearest {self.skip_nearest} there is none to walk to; raise --batch-size to "
                f"{GRAPHS_PER_PROTOTYPE * (self.skip_nearest + 1)} or more"
            )

    def check_count(self, graphs: int) -> None:
        if not self.halp_weight:
            return
        start = self.start(self.epochs)
        if start >= self.epochs > 0:
            warnings.warn(
                f"positives start in epoch {start + 1} of {self.epochs}, so never; lower --halp-start",
                MotetWarning,
                stacklevel=3,
            )
        batch = min(self.batch_size, graphs)
        if batch // GRAPHS_PER_PROTOTYPE < self.prototypes:
            warnings.warn(
                f"a batch of {counted(batch, 'graph')} gives {counted(batch // GRAPHS_PER_PROTOTYPE, 'prototype')}, "
                f"not {self.prototypes}: each needs {counted(GRAPHS_PER_PROTOTYPE, 'graph')}; lower --prototypes or "
                f"raise --batch-size",
                MotetWarning,
                stacklevel=3,
            )

    def losses(self, first: Tensor, second: Tensor, draw: Draw, ids: Tensor, step: int) -> Losses:
        found = super().losses(first, second, draw, ids, step)
        if not self.halp_weight or draw.epoch < self.start(self.epochs):
            return found
        return replace(found, **self._hallucination(first, second, draw, ids, step), weight=self.halp_weight)

    def _hallucination(self, first: Tensor, second: Tensor, draw: Draw, ids: Tensor, step: int) -> dict[str, Tensor]:
        """The term and the share retained; nothing for a batch that has no two prototypes to walk between."""
        query, key = normalize(second, dim=1), normalize(first, dim=1).detach()
        count = min(self.prototypes, len(key) // GRAPHS_PER_PROTOTYPE)
        if count < 2 or bool((key == key[:1]).all()):
            return {}
        prototypes = spherical_kmeans(key, count, iterations=self.fit_iterations, seed=_mixed(draw.seed, step)).centres
        keyed, size = draw.keyed(ids), self.positives
        found = self.hallucinated(
            query,
            key,
            prototypes,
            lambda choices: (keyed.uniform("prototype", size) * choices).long(),
            lambda dtype: keyed.uniform("walk", size).to(dtype),
            temperature=self.temperature,
        )
        if found is None:
            return {}
        return {"hallucination": found.loss, "retained": found.keep.to(found.loss.dtype).mean()}


@dataclass(frozen=True)
class Losses:
    """Scalars of a step.

    Attributes:
        contrast: of GraphCL.
        hallucination: of HaLP; None where there is none.
        retained: share of the hallucinated positives that count.
        weight: of ``hallucination``.
    """

    contrast: Tensor
    hallucination: Tensor | None = None
    retained: Tensor | None = None
    weight: float = 0.0

    @property
    def total(self) -> Tensor:
        return self.contrast if self.hallucination is None else self.contrast + self.weight * self.hallucination


def _mixed(seed: int, step: int) -> int:
    """One seed of two numbers, different for all that occur."""
    return seed * 1_000_003 + step


METHODS: dict[str, GraphCL] = {"graphcl": GraphCL(), "halp-graphcl": HaLPGraphCL()}
