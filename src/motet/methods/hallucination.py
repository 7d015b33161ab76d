"""Hallucinated positives (HaLP, Shah et al., CVPR 2023, arXiv:2304.00387) as options that any method can inherit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from motet.core.distributed import mean_over_ranks, world_size
from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.losses import candidates, hallucinate, hallucination_loss, retained
from motet.losses._precision import at_least_float32
from motet.losses.hallucination import Positives

_LEAST_SHRINK = 1e-3  # exactly on the boundary the filter would be decided by rounding


class Hallucinated(NamedTuple):
    """One step's term.

    Attributes:
        loss: scalar, without its weight.
        positives: that were made.
        keep: (B, G) bool, those that count.
    """

    loss: Tensor
    positives: Positives
    keep: Tensor


@dataclass(frozen=True)
class Hallucination:
    """Options of hallucinated positives; the defaults are the paper's on NTU RGB+D 60."""

    start_share: ClassVar[float] = 200 / 450
    """share of a run before the term starts, unless halp_start says otherwise."""

    halp_weight: float = 1.0
    """weight μ of the hallucinated positives."""
    halp_start: int | None = None
    """first epoch with hallucinated positives, counted from 0; by default after 4/9 of the epochs (200 of 450)."""
    prototypes: int = 20
    """prototypes N; as many as the keys to cluster allow, if these are fewer."""
    positives: int = 100
    """hallucinated positives G per clip or graph."""
    skip_nearest: int = 1
    """nearest prototypes that a positive never walks to."""
    candidates: int | None = None
    """nearest of the others to choose from; by default all of them (the released code takes 20)."""
    hardness: float = 0.8
    """λ: walks cover a share 1 − u of the way to the limit, u ~ U(0, λ); 0 always goes to the limit."""
    halt: float | None = None
    """stop exactly this fraction of the way short of the limit, nothing drawn (the released code's λ = 1000: 0.01)."""
    filter: Literal["rank", "variant-1", "variant-2", "none"] = "rank"
    """positives that count: rank, those whose nearest prototype is their anchor's; variant-1 and variant-2 of the
    supplement; none, all."""
    fit_iterations: int = 20
    """iterations of the spherical k-means."""

    def start(self, epochs: int) -> int:
        """First epoch with hallucinated positives."""
        return round(self.start_share * epochs) if self.halp_start is None else self.halp_start

    @at_least_float32
    def hallucinated(
        self,
        query: Tensor,
        key: Tensor,
        prototypes: Tensor,
        pick: Callable[[int], Tensor],
        share: Callable[[torch.dtype], Tensor],
        *,
        temperature: float,
    ) -> Hallucinated | None:
        """The term L_HaLP of a batch; None with a single prototype, where there is nowhere to walk to.

        Args:
            query: (B, D) unit rows; carries the gradient.
            key: (B, D) unit rows, the anchors; constants.
            prototypes: (N, D) unit rows.
            pick: draws (B, G) int64 below the number of candidates that it is given.
            share: draws (B, G) uniform numbers in [0, 1) of a dtype.
            temperature: τ.
        """
        choice = candidates(key, prototypes, skip=self.skip_nearest, most=self.candidates)
        if choice.shape[1] == 0:
            return None
        chosen = choice.gather(1, pick(choice.shape[1]))
        if self.halt is not None:
            positives = hallucinate(key, prototypes, chosen, 0.0, margin=self.halt)
        else:
            shrink = (share(key.dtype) * self.hardness).clamp_min_(_LEAST_SHRINK)
            positives = hallucinate(key, prototypes, chosen, shrink)
        keep = retained(positives, prototypes, query, rule=self.filter)
        value = hallucination_loss(query, positives, keep, temperature=temperature, kept=_kept(keep, query))
        return Hallucinated(value, positives, keep)

    def check_hallucination(self) -> None:
        """Refuse options that cannot work.

        Raises:
            ConfigError: names the option and the remedy.
        """
        if self.prototypes < 2:
            raise ConfigError(
                f"prototypes is {self.prototypes}; a positive walks to another prototype, so 2 are needed"
            )
        for name in ("positives", "fit_iterations", "skip_nearest"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be 1 or more")
        for name in ("halp_weight", "halp_start"):
            if not 0 <= (getattr(self, name) or 0) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be finite and not negative")
        if self.candidates is not None and self.candidates < 1:
            raise ConfigError(f"candidates is {self.candidates}, it must be 1 or more")
        if self.skip_nearest >= self.prototypes:
            raise ConfigError(
                f"skip_nearest is {self.skip_nearest}: that leaves none of {counted(self.prototypes, 'prototype')}"
            )
        if not 0 <= self.hardness <= 1:
            raise ConfigError(f"hardness is {self.hardness}, it must lie in [0, 1]; for λ = 1000 give --halt 0.01")
        if self.halt is None:
            return
        if not 0 <= self.halt <= 1:
            raise ConfigError(f"halt is {self.halt}, it must lie in [0, 1]")
        if self.hardness != type(self).hardness:
            raise ConfigError(
                f"halt {self.halt} stops every walk at the same place, so hardness {self.hardness} would have no "
                "effect; leave one of them out"
            )


def _kept(keep: Tensor, like: Tensor) -> Tensor | None:
    """How many positives count, as a mean over the processes that share the batch; None where there is one process."""
    if world_size() == 1:
        return None
    return mean_over_ranks(keep.sum().to(like.dtype)).clamp_min(1 / world_size())
