"""Neighbouring-similarity distillation between streams (CMD, Mao et al., ECCV 2022, Sec. 3, arXiv:2208.12448).

The equation numbers of its main text have not been checked; the equations follow its released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32
from motet.losses.contrast import Masks, check_top_k, empty, of_all, same_streams, where


def _divergence(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """KL(teacher‖student) of two rows of logits, summed over columns, averaged over the batch; teacher constant."""
    teacher = log_softmax(teacher_logits.detach(), dim=1)
    return (teacher.exp() * (teacher - log_softmax(student_logits, dim=1))).sum(dim=1).mean()


def _number(top_k: int | None, slots: int, masked: bool) -> int:
    """How many anchors there are: half of the slots by default, and of masked slots no more than there are."""
    if top_k is None:
        return min(slots, max(2, slots // 2))
    return min(top_k, slots) if masked else top_k


def _nearest(teacher: Tensor, queue: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Similarities of the teacher's nearest slots, and the slots, both (B, N)."""
    found = (teacher.detach() @ queue.detach().T).topk(top_k, dim=1)
    return found.values, found.indices


@at_least_float32
def neighbour_distillation(
    student: Tensor,
    student_queue: Tensor,
    teacher: Tensor,
    teacher_queue: Tensor,
    *,
    top_k: int | None,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.05,
    present: Tensor | None = None,
    held: Tensor | None = None,
    nearest: tuple[Tensor, Tensor] | None = None,
    similarity: Tensor | None = None,
) -> Tensor:
    """One direction of CMD: the student reproduces the teacher's similarities to the teacher's nearest neighbours.

    The ``top_k`` slots of the teacher's queue that lie nearest to the teacher's key are the anchors. The teacher's
    distribution is the softmax of its similarities to them, the student's that of its query's similarities to the
    same slots of its own queue (CMD, Mao et al., ECCV 2022, arXiv:2208.12448).

    Args:
        student: (B, D) query embeddings of the student stream, unit rows; carries the gradient.
        student_queue: (K, D) queue of the student stream.
        teacher: (B, D') key embeddings of the teacher stream; constants.
        teacher_queue: (K, D') queue of the teacher stream, slot-aligned with ``student_queue``.
        top_k: number N of anchors; None is half of the slots, as released. N = 1 gives exactly 0 (a softmax over one
            element).
        student_temperature: τ_s.
        teacher_temperature: τ_t, the sharper one.
        present, held: (B,) and (K,) bool, the clips and slots that count; then N is at most the slots that do.
        nearest: similarities and slots of the teacher's anchors, both (B, N), where they are known already.
        similarity: (B, K) of the student with its queue, where it is known already.

    Returns:
        Scalar ``(1/B) Σ_n Σ_i p_t (log p_t − log p_s)``; 0 if nothing counts.

    Raises:
        ConfigError: ``top_k`` is not in 1..K, or queues or batches of two sizes.
    """
    for what, mine, other in (("clips", student, teacher), ("slots", student_queue, teacher_queue)):
        if len(mine) != len(other):
            raise ConfigError(f"the student has {len(mine)} {what} and the teacher {len(other)}; they must be the same")
    if empty(present, held):
        return student.new_zeros(())
    if nearest is None:
        queue = where(teacher_queue, held)
        count = _number(top_k, len(queue), held is not None)
        check_top_k(count, len(queue))
        nearest = _nearest(where(teacher, present), queue, count)
    if similarity is None:
        similarity = where(student, present) @ where(student_queue, held).detach().T
    near, slots = nearest
    return _divergence(near / teacher_temperature, similarity.gather(1, slots) / student_temperature)


@at_least_float32
def mutual_distillation(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    top_k: int | None,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.05,
    present: Masks | None = None,
    held: Masks | None = None,
) -> Tensor:
    """CMD loss: :func:`neighbour_distillation` summed over all ordered pairs (teacher, student) of streams.

    Teachers speak with their keys (momentum encoder, second view), students with their queries (first view)
    (CMD, Mao et al., ECCV 2022, arXiv:2208.12448).

    Args:
        queries, keys: stream name → (B, D) unit rows.
        queues: stream name → (K, D) unit rows, slot-aligned across streams.
        top_k, student_temperature, teacher_temperature: as in :func:`neighbour_distillation`.
        present, held: stream → (B,) and (K,) bool, where clips lack streams: a pair counts what has both.

    Returns:
        Scalar, the plain sum over |A|(|A|−1) pairs (no average, no τ² factor).

    Raises:
        ConfigError: fewer than two streams, or ``top_k`` not in 1..K.
    """
    names = same_streams(queries, keys, queues)
    whole = [a for a in names if a not in (present or {})]
    known: dict[str, tuple[Tensor, Tensor]] = {}
    similarity: dict[str, Tensor] = {}
    if len(whole) > 1:  # what several pairs have in common is computed once
        count = _number(top_k, len(queues[names[0]]), masked=False)
        check_top_k(count, len(queues[names[0]]))
        known = {a: _nearest(keys[a], queues[a], count) for a in whole}
        similarity = {b: queries[b] @ queues[b].detach().T for b in whole}

    def pair(a: str, b: str) -> Tensor:
        rows, slots = of_all((a, b), present), of_all((a, b), held)
        return neighbour_distillation(
            queries[b],
            queues[b],
            keys[a],
            queues[a],
            top_k=top_k,
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
            present=rows,
            held=slots,
            nearest=known.get(a) if rows is None else None,
            similarity=similarity.get(b) if rows is None else None,
        )

    return torch.stack([pair(a, b) for a, b in permutations(names, 2)]).sum()


@at_least_float32
def consensus_distillation(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    top_k: int | None,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.05,
    present: Masks | None = None,
    held: Masks | None = None,
) -> Tensor:
    """Mutual distillation whose cost grows linearly with the number of streams: a variant of CMD (arXiv:2208.12448).

    Every stream is taught once, by the mean of the other streams' similarity distributions over the queue (the
    leave-one-out consensus), restricted to the ``top_k`` slots that the consensus holds nearest. The term is scaled by
    |A| − 1: the gradient of ``Σ_a KL(p_a‖p_s)`` is that of ``(|A|−1)·KL(mean_a p_a‖p_s)``, so with N = K this loss has
    exactly the gradient of :func:`mutual_distillation`, and with two streams and any N it is the same loss.

    Args, returns, raises: as :func:`mutual_distillation`; with masks, what has all streams counts.
    """
    names = same_streams(queries, keys, queues)
    rows, kept = of_all(names, present), of_all(names, held)
    if empty(rows, kept):
        return queries[names[0]].new_zeros(())
    queries, keys = ({a: where(of[a], rows) for a in names} for of in (queries, keys))
    queues = {a: where(queues[a], kept) for a in names}
    count = _number(top_k, len(queues[names[0]]), kept is not None)
    check_top_k(count, len(queues[names[0]]))
    opinion = {a: softmax((keys[a].detach() @ queues[a].detach().T) / teacher_temperature, dim=1) for a in names}
    together = torch.stack(list(opinion.values())).sum(dim=0)
    others = len(names) - 1
    terms = []
    for b in names:
        # a difference of sums may round below zero where only b itself sees a neighbour
        consensus, slots = ((together - opinion[b]).clamp_min(0) / others).topk(count, dim=1)
        similarity = (queries[b] @ queues[b].detach().T).gather(1, slots)
        floor = torch.finfo(consensus.dtype).tiny
        terms.append(others * _divergence(consensus.clamp_min(floor).log(), similarity / student_temperature))
    return torch.stack(terms).sum()
