"""GraphCL (You et al., NeurIPS 2020), and HaLP (Shah et al., CVPR 2023) on it: losses of one step."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError, MotetWarning
from motet.losses._precision import at_least_float32
from motet.losses.generation import alignment_loss, candidates, hallucinate, retained
from motet.memory.kmeans import spherical_kmeans
from motet.methods.graphs.augment import Draw, ViewOptions
from motet.methods.halp import in_batch_nce

GRAPHS_PER_PROTOTYPE = 4  # of a batch, so that a prototype is a cluster and not a graph
_LEAST_SHRINK = 1e-3  # exactly on the boundary the filter would be decided by rounding


@at_least_float32
def graph_contrast(first: Tensor, second: Tensor, *, temperature: float = 0.2, form: str = "both-ways") -> Tensor:
    """Contrast of two views of the graphs of a batch; the negatives are the other graphs of the batch.

    ============= ===================================================================================================
    "both-ways"   InfoNCE over the rows of the cosines, averaged over both directions; the positive is among its
                  alternatives, so that the loss is bounded by 0 and its gradient vanishes where all is well
    "one-way"     GraphCL's Eq. 3 and released code: from the first view to the second only, the positive missing in
                  the denominator
    ============= ===================================================================================================

    Args:
        first, second: (B, D) projections of two views, any length.
        temperature: divisor of the cosines.
        form: one of the above.

    Returns:
        Scalar. One graph alone has nothing to be contrasted with: 0, with zero gradient.
    """
    a, b = normalize(first, dim=1), normalize(second, dim=1)
    if len(a) < 2:
        return 0 * (a * b).sum()
    if form == "both-ways":
        return (in_batch_nce(a, b, temperature=temperature) + in_batch_nce(b, a, temperature=temperature)) / 2
    logits = a @ b.T / temperature
    own = torch.eye(len(a), dtype=torch.bool, device=a.device)
    return (logits.masked_fill(own, -torch.inf).logsumexp(dim=1) - logits.diagonal()).mean()


@dataclass(frozen=True)
class GraphCL(ViewOptions):
    """Options of GraphCL; sizes and rates are those of the released experiments on TU graphs."""

    title: ClassVar[str] = "GraphCL"

    loss: Literal["both-ways", "one-way"] = "both-ways"
    """both-ways: InfoNCE, averaged over both directions; one-way: from the first view to the second, the positive
    missing in the denominator, as released."""
    temperature: float = 0.2
    hidden: int = 32
    layers: int = 3
    lr: float = 0.01
    """rate of Adam."""
    batch_size: int = 128
    epochs: int = 20
    reshuffle: bool = True
    """batches are drawn anew in each epoch; the released code draws them once."""

    def validate(self) -> None:
        super().validate()
        for name in ("hidden", "layers", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be 1 or more")
        if self.epochs < 0:
            raise ConfigError(f"epochs is {self.epochs}, it must not be negative")
        for name in ("lr", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be finite and greater than 0")

    def tell(self, graphs: int) -> None:
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
            loss="one-way",
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
class HaLPGraphCL(GraphCL):
    """Options of HaLP on GraphCL. The paper gives results only (Table 8 of its supplement); the rest is chosen here."""

    title: ClassVar[str] = "HaLP on GraphCL"

    halp_weight: float = 1.0
    """weight μ of the hallucinated positives."""
    halp_start: int | None = None
    """first epoch with hallucinated positives, counted from 0; by default after 4/9 of the epochs (200 of 450)."""
    prototypes: int = 20
    """prototypes N; at most a quarter of the batch."""
    positives: int = 100
    """hallucinated positives G per graph."""
    hardness: float = 0.8
    """λ: walks cover a share 1 − u of the way to the limit, u ~ U(0, λ)."""
    skip_nearest: int = 1
    """nearest prototypes that a positive never walks to."""
    candidates: int | None = None
    """nearest of the others to choose from; by default all of them."""
    filter: Literal["rank", "variant-1", "variant-2", "none"] = "rank"
    """positives that count: rank, those whose nearest prototype is their graph's; variant-1 and variant-2 of HaLP's
    supplement; none, all."""
    fit_iterations: int = 20
    """iterations of the spherical k-means."""

    def validate(self) -> None:
        super().validate()
        for name in ("positives", "skip_nearest", "fit_iterations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be 1 or more")
        for name in ("halp_weight", "halp_start"):
            if not 0 <= (getattr(self, name) or 0) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be finite and not negative")
        if self.prototypes < 2:
            raise ConfigError(f"prototypes is {self.prototypes}; a positive walks to another, so 2 are needed")
        if self.candidates is not None and self.candidates < 1:
            raise ConfigError(f"candidates is {self.candidates}, it must be 1 or more")
        if not 0 <= self.hardness <= 1:
            raise ConfigError(f"hardness is {self.hardness}, it must lie in [0, 1]")
        if self.skip_nearest >= self.prototypes:
            raise ConfigError(f"skip_nearest is {self.skip_nearest}: that leaves none of {self.prototypes} prototypes")
        if self.halp_weight and self.batch_size // GRAPHS_PER_PROTOTYPE <= self.skip_nearest:
            raise ConfigError(
                f"batch_size is {self.batch_size}: with {GRAPHS_PER_PROTOTYPE} graphs to a prototype and skip_nearest "
                f"{self.skip_nearest} there is none to walk to; raise --batch-size to "
                f"{GRAPHS_PER_PROTOTYPE * (self.skip_nearest + 1)} or more"
            )

    def tell(self, graphs: int) -> None:
        if not self.halp_weight:
            return
        if self.start >= self.epochs > 0:
            warnings.warn(
                f"positives start in epoch {self.start + 1} of {self.epochs}, so never; lower --halp-start",
                MotetWarning,
                stacklevel=3,
            )
        batch = min(self.batch_size, graphs)
        if batch // GRAPHS_PER_PROTOTYPE < self.prototypes:
            warnings.warn(
                f"a batch of {batch} graphs gives {batch // GRAPHS_PER_PROTOTYPE} prototypes, not {self.prototypes}: "
                f"each needs {GRAPHS_PER_PROTOTYPE} graphs; lower --prototypes or raise --batch-size",
                MotetWarning,
                stacklevel=3,
            )

    @property
    def start(self) -> int:
        """First epoch with hallucinated positives."""
        return round(200 / 450 * self.epochs) if self.halp_start is None else self.halp_start

    def losses(self, first: Tensor, second: Tensor, draw: Draw, ids: Tensor, step: int) -> Losses:
        found = super().losses(first, second, draw, ids, step)
        if not self.halp_weight or draw.epoch < self.start:
            return found
        return replace(found, **self._hallucination(first, second, draw, ids, step), weight=self.halp_weight)

    @at_least_float32
    def _hallucination(self, first: Tensor, second: Tensor, draw: Draw, ids: Tensor, step: int) -> dict[str, Tensor]:
        """The term and the share retained; nothing for a batch that has no two prototypes to walk between."""
        query, key = normalize(second, dim=1), normalize(first, dim=1).detach()
        count = min(self.prototypes, len(key) // GRAPHS_PER_PROTOTYPE)
        if count < 2 or bool((key == key[:1]).all()):
            return {}
        prototypes = spherical_kmeans(key, count, iterations=self.fit_iterations, seed=_mixed(draw.seed, step)).centres
        choice = candidates(key, prototypes, skip=self.skip_nearest, most=self.candidates)
        if not choice.shape[1]:
            return {}
        keyed = draw.keyed(ids)
        shrink = keyed.uniform("walk", self.positives).to(key.dtype).mul_(self.hardness).clamp_min_(_LEAST_SHRINK)
        pick = (keyed.uniform("prototype", self.positives) * choice.shape[1]).long()
        positives = hallucinate(key, prototypes, choice.gather(1, pick), shrink)
        keep = retained(positives, prototypes, query, rule=self.filter)
        value = alignment_loss(query, positives, keep, temperature=self.temperature)
        return {"hallucination": value, "retained": keep.to(value.dtype).mean()}


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
