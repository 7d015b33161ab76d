"""Neighbouring-similarity distillation between streams (CMD, Mao et al., ECCV 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from motet.losses._precision import at_least_float32
from motet.losses.contrast import check_top_k, same_streams


def _divergence(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """KL(teacher‖student) of two rows of logits, summed over columns, averaged over the batch; teacher constant."""
    teacher = log_softmax(teacher_logits.detach(), dim=1)
    return (teacher.exp() * (teacher - log_softmax(student_logits, dim=1))).sum(dim=1).mean()


@at_least_float32
def neighbour_distillation(
    student: Tensor,
    student_queue: Tensor,
    teacher: Tensor,
    teacher_queue: Tensor,
    *,
    top_k: int,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.05,
) -> Tensor:
    """One direction of CMD: the student reproduces the teacher's similarities to the teacher's nearest neighbours.

    The ``top_k`` slots of the teacher's queue that lie nearest to the teacher's key are the anchors. The teacher's
    distribution is the softmax of its similarities to them, the student's that of its query's similarities to the
    same slots of its own queue.

    Args:
        student: (B, D) query embeddings of the student stream, unit rows; carries the gradient.
        student_queue: (K, D) queue of the student stream.
        teacher: (B, D') key embeddings of the teacher stream; constants.
        teacher_queue: (K, D') queue of the teacher stream, slot-aligned with ``student_queue``.
        top_k: number N of anchors. N = 1 gives exactly 0 (a softmax over one element).
        student_temperature: τ_s.
        teacher_temperature: τ_t, the sharper one.

    Returns:
        Scalar ``(1/B) Σ_n Σ_i p_t (log p_t − log p_s)``.

    Raises:
        ConfigError: ``top_k`` is not in 1..K.
    """
    check_top_k(top_k, len(teacher_queue))
    near, slots = (teacher.detach() @ teacher_queue.detach().T).topk(top_k, dim=1)
    similarity = student @ student_queue.detach().T
    return _divergence(near / teacher_temperature, similarity.gather(1, slots) / student_temperature)


@at_least_float32
def mutual_distillation(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    top_k: int,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.05,
) -> Tensor:
    """CMD loss: :func:`neighbour_distillation` summed over all ordered pairs (teacher, student) of streams.

    Teachers speak with their keys (momentum encoder, second view), students with their queries (first view).

    Args:
        queries, keys: stream name → (B, D) unit rows.
        queues: stream name → (K, D) unit rows, slot-aligned across streams.
        top_k, student_temperature, teacher_temperature: as in :func:`neighbour_distillation`.

    Returns:
        Scalar, the plain sum over |A|(|A|−1) pairs (no average, no τ² factor).

    Raises:
        ConfigError: fewer than two streams, or ``top_k`` not in 1..K.
    """
    names = same_streams(queries, keys, queues)
    check_top_k(top_k, len(queues[names[0]]))
    near = {a: (keys[a].detach() @ queues[a].detach().T).topk(top_k, dim=1) for a in names}
    similarity = {b: queries[b] @ queues[b].detach().T for b in names}
    pairs = [
        _divergence(
            near[a].values / teacher_temperature, similarity[b].gather(1, near[a].indices) / student_temperature
        )
        for a in names
        for b in names
        if a != b
    ]
    return torch.stack(pairs).sum()


@at_least_float32
def consensus_distillation(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    top_k: int,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.05,
) -> Tensor:
    """Mutual distillation whose cost grows linearly with the number of streams.

    Every stream is taught once, by the mean of the other streams' similarity distributions over the queue (the
    leave-one-out consensus), restricted to the ``top_k`` slots that the consensus holds nearest. The term is scaled by
    |A| − 1: the gradient of ``Σ_a KL(p_a‖p_s)`` is that of ``(|A|−1)·KL(mean_a p_a‖p_s)``, so with N = K this loss has
    exactly the gradient of :func:`mutual_distillation`, and with two streams and any N it is the same loss.

    Args, returns, raises: as :func:`mutual_distillation`.
    """
    names = same_streams(queries, keys, queues)
    check_top_k(top_k, len(queues[names[0]]))
    opinion = {a: softmax((keys[a].detach() @ queues[a].detach().T) / teacher_temperature, dim=1) for a in names}
    together = torch.stack(list(opinion.values())).sum(dim=0)
    others = len(names) - 1
    terms = []
    for b in names:
        # a difference of sums may round below zero where only b itself sees a neighbour
        consensus, slots = ((together - opinion[b]).clamp_min(0) / others).topk(top_k, dim=1)
        similarity = (queries[b] @ queues[b].detach().T).gather(1, slots)
        floor = torch.finfo(consensus.dtype).tiny
        terms.append(others * _divergence(consensus.clamp_min(floor).log(), similarity / student_temperature))
    return torch.stack(terms).sum()
