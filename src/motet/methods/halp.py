"""HaLP: hallucinated positives (Shah et al., CVPR 2023, arXiv:2304.00387), as further terms of a contrastive method.

Per stream: prototypes of the recent keys; walks from each key towards prototypes that are not its nearest, no further
than its nearest stays the nearest; a filter; the query is drawn to what is left. Nothing else of the method changes, so
:class:`HaLP` placed before another method's options adds its terms to that method's: :class:`HaLPCMD` is one line of
inheritance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from motet.core.distributed import own_rows
from motet.core.errors import ConfigError, MotetWarning
from motet.core.text import counted
from motet.losses import in_batch_nce
from motet.losses.hallucination import Positives
from motet.memory import Prototypes
from motet.memory.kmeans import spherical_kmeans
from motet.methods.cmd import CMD
from motet.methods.contrastive import Contrastive, StepOutput, Term
from motet.methods.hallucination import Hallucination


@dataclass(frozen=True)
class HaLP(Hallucination, Contrastive):
    """Options of HaLP; the defaults are the paper's on NTU RGB+D 60."""

    title: ClassVar[str] = "HaLP"
    meaning: ClassVar[str] = "As MoCo, and every recording is also drawn to invented neighbours of its own group."
    needs_queue: ClassVar[bool] = False
    """whether the method next to HaLP reads the queue, so that there must be one."""
    allows_gaps: ClassVar[bool] = False

    halp_ramp: int = 0
    """epochs over which the weight rises from halp_start."""
    halp_wait: int = 0
    """keys that must have come in since halp_start before the first fit of the prototypes."""
    recent: int = 256
    """newest keys of the queue that are clustered; all, if the queue is shorter."""
    refresh: int = 5
    """steps between refreshes of the prototypes."""
    warm_start: bool = False
    """a refresh continues from the prototypes it replaces; by default it starts afresh, as released."""
    prototypes_from: Literal["queue", "batch", "keys"] = "queue"
    """queue: as published; batch: no queue and no momentum encoder, the batch's keys are clustered and are the
    negatives; keys: the same, every key is a prototype itself."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        start = self.start(epochs)
        if self.halp_weight and start >= epochs > 0:
            warnings.warn(
                f"hallucinated positives start in epoch {start + 1} of {epochs}, so never; lower --halp-start",
                MotetWarning,
                stacklevel=2,
            )

        def term(stream: str) -> Term:
            loss = self._loss_of(stream)
            return Term(f"hallucination/{stream}", loss, weight=self.halp_weight, start=start, ramp=self.halp_ramp)

        return [*super().terms(streams, epochs), *map(term, streams)]

    def with_queue(self, size: int) -> Self:
        wait = 2 * size + 1 if self.halp_wait == 2 * self.queue_size + 1 else self.halp_wait
        return replace(self, queue_size=size, halp_wait=wait)

    def check_schedule(self, steps: int, epochs: int, batch_size: int) -> None:
        start, recent = self.start(epochs), min(self.recent, self.queue_size)
        if self.prototypes_from == "batch" and self.halp_weight and batch_size // 2 < self.prototypes:
            warnings.warn(
                f"a batch of {batch_size} gives {counted(max(1, batch_size // 2), 'prototype')}, not "
                f"{self.prototypes}: each needs two clips; lower --prototypes or raise --batch-size",
                MotetWarning,
                stacklevel=2,
            )
        if self.prototypes_from == "queue" and self.halp_weight and recent < self.prototypes:
            warnings.warn(
                f"{recent} recent keys give {counted(recent, 'prototype')}, not {self.prototypes}, each of one key; "
                f"lower --prototypes, or raise --recent or --queue-size",
                MotetWarning,
                stacklevel=2,
            )
        if self.prototypes_from != "queue" or not self.halp_weight or steps < 1 or start >= epochs:
            return  # a start after the last epoch has its own warning
        # keys that have come in before the last step: since the start, and in all
        since, total = ((epochs - first) * steps - 1 for first in (start, 0))
        if since * batch_size >= self.halp_wait and total * batch_size >= recent:
            return
        if since * batch_size < self.halp_wait:
            reason = f"{counted(self.halp_wait, 'key')} from epoch {start + 1} on, but {since * batch_size} come in"
            remedy = "lower --halp-wait or --halp-start"
        else:
            reason, remedy = (
                f"{counted(recent, 'key')}, but {total * batch_size} come in",
                "lower --recent and --prototypes",
            )
        warnings.warn(
            f"hallucinated positives wait for {reason}, so there are none in this run; {remedy}, or raise --epochs",
            MotetWarning,
            stacklevel=2,
        )

    def contrast_terms(self, streams: Sequence[str], stop: int | None = None) -> list[Term]:
        if not self.shares_encoder():
            return super().contrast_terms(streams, stop)

        def within(stream: str) -> Callable[[StepOutput], Tensor]:
            return lambda out: in_batch_nce(out.queries[stream], out.keys[stream], temperature=self.temperature)

        return [Term(f"contrast/{s}", within(s), stop=stop) for s in streams]

    def shares_encoder(self) -> bool:
        return self.prototypes_from != "queue"

    def prototypes_of(self, streams: Sequence[str], epochs: int) -> Prototypes | None:
        if self.prototypes_from != "queue" or not self.halp_weight:
            return None
        recent = min(self.recent, self.queue_size)
        return Prototypes(
            streams,
            min(self.prototypes, recent),
            self.dim,
            recent=recent,
            refresh=self.refresh,
            start=self.start(epochs),
            wait=self.halp_wait,
            iterations=self.fit_iterations,
            warm=self.warm_start,
            seed=torch.initial_seed(),
        )

    def _loss_of(self, stream: str) -> Callable[[StepOutput], Tensor]:
        def term(out: StepOutput) -> Tensor:
            query, key = out.queries[stream], out.keys[stream].detach()
            prototypes = self._prototypes(out, stream)
            if prototypes is None:
                return query.new_zeros(())
            rows, size, device = len(key), self.positives, key.device
            found = self.hallucinated(
                query,
                key,
                prototypes,
                lambda choices: own_rows(lambda n: torch.randint(choices, (n, size), device=device), rows),
                lambda dtype: own_rows(lambda n: torch.rand(n, size, dtype=dtype, device=device), rows),
                temperature=self.temperature,
            )
            if found is None:
                return query.new_zeros(())
            seen = analysis(query, key, out.queues[stream], prototypes, found.positives, found.keep)
            out.observed.update({f"hallucination/{stream}/{name}": number for name, number in seen.items()})
            return found.loss

        return term

    def _prototypes(self, out: StepOutput, stream: str) -> Tensor | None:
        """Prototypes of this step, None before there are any."""
        key = out.keys[stream].detach()
        if self.prototypes_from == "queue":
            return out.prototypes.get(stream)
        if self.prototypes_from == "keys":
            return key
        count = max(1, min(self.prototypes, len(key) // 2))
        # a batch has no counter of its own; the generator that a checkpoint holds gives each step another start
        seed = int(torch.randint(2**62, ()))
        return spherical_kmeans(key, count, iterations=self.fit_iterations, seed=seed).centres

    def validate(self, streams: Sequence[str]) -> None:
        super().validate(streams)
        self.check_hallucination()
        if self.prototypes_from == "queue" and self.recent < self.prototypes:
            raise ConfigError(
                f"prototypes is {self.prototypes} but only {counted(self.recent, 'key')} are clustered; raise --recent"
            )
        if self.refresh < 1:
            raise ConfigError(f"refresh is {self.refresh}, it must be 1 or more")
        for name in ("halp_ramp", "halp_wait"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be finite and not negative")
        if self.shares_encoder():
            self._validate_without_queue()

    def _validate_without_queue(self) -> None:
        if self.needs_queue:
            raise ConfigError(
                f"prototypes_from {self.prototypes_from} has no queue, but {self.title} needs one; use the recipe halp"
            )
        for name, remedy in (("warm_start", "--no-warm-start"), ("halp_wait", "--halp-wait 0 (--as-released sets it)")):
            if getattr(self, name):
                raise ConfigError(
                    f"{name} needs prototypes_from queue: a batch's prototypes are not kept; give {remedy}"
                )

    def released(self, split: str | None) -> Self:
        """Refresh every 10 steps, 20 nearest candidates, N = 20, first fit after 2K + 1 keys; on NTU RGB+D μ = 2.

        The positives start in epoch 201 on NTU RGB+D and 501 on PKU-MMD, counted from 0.
        """
        base = super().released(split)
        weight = 2.0 if split is not None and split.startswith("ntu") else self.halp_weight
        starts = {"ntu": 201, "pku": 501}  # training resumes from the checkpoint of epoch 200, or 500
        start = starts.get((split or "")[:3], self.halp_start)
        return replace(
            base,
            refresh=10,
            candidates=20,
            prototypes=20,
            halp_weight=weight,
            halp_start=start,
            halp_wait=2 * self.queue_size + 1,
        )


@dataclass(frozen=True)
class HaLPCMD(HaLP, CMD):
    """Options of HaLP on CMD: streams teach each other, positives are hallucinated within each (HaLP+CMD)."""

    title: ClassVar[str] = "HaLP+CMD"
    meaning: ClassVar[str] = "As CMD, and every recording is also drawn to invented neighbours of its own group."
    needs_queue: ClassVar[bool] = True


@torch.no_grad()
def analysis(
    query: Tensor, key: Tensor, queue: Tensor, prototypes: Tensor, positives: Positives, keep: Tensor
) -> dict[str, Tensor]:
    """What HaLP's supplement looks at in B.6: mean cosines of real and hallucinated positives, and the share retained.

    Args:
        query, key: (B, D) unit rows.
        queue: (K, D) unit rows.
        prototypes: (N, D) unit rows.
        positives, keep: from :func:`motet.losses.hallucinate` and :func:`motet.losses.retained`.

    Returns:
        ``retained``; ``query_real``, ``query_hallucinated``, ``queue_real``, ``queue_hallucinated``: with the clip's
        own query and with all of the queue, hallucinated ones being those retained; ``prototype_good``,
        ``prototype_bad``: of retained and of rejected positives with their clip's prototype. Not a number where there
        are none.
    """
    good, bad = keep.to(query.dtype), (~keep).to(query.dtype)
    center = queue.mean(dim=0)
    nearest = prototypes[(key @ prototypes.T).argmax(dim=1)]
    to_query, to_prototype = positives.inner(query), positives.inner(nearest)
    to_queue = positives.inner(center.expand_as(query))
    counts = good.sum(), bad.sum()
    return {
        "retained": good.mean(),
        "query_real": (query * key).sum(dim=1).mean(),
        "query_hallucinated": (good * to_query).sum() / counts[0],
        "queue_real": (key @ center).mean(),
        "queue_hallucinated": (good * to_queue).sum() / counts[0],
        "prototype_good": (good * to_prototype).sum() / counts[0],
        "prototype_bad": (bad * to_prototype).sum() / counts[1],
    }
