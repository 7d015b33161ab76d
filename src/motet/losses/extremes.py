"""Losses of AimCLR (Guo et al., AAAI 2022, arXiv:2112.03590): distributions, not points; neighbours as positives.

Rows are unit vectors: queries and keys ``(B, D)``, queue ``(K, D)``. Keys and queue are constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from motet.losses._precision import at_least_float32
from motet.losses.contrast import check_top_k, logits


@at_least_float32
def distributional_divergence(
    extreme: Tensor, query: Tensor, key: Tensor, queue: Tensor, *, temperature: float = 0.07
) -> Tensor:
    """D3M of AimCLR (arXiv:2112.03590): the extreme query is to be as similar to key and queue as the normal query is.

    Args:
        extreme: (B, D) query of an extreme view; carries the gradient.
        query: (B, D) query of the normal view; constant.
        key: (B, D) key of the normal view.
        queue: (K, D).
        temperature: of both distributions over the 1 + K candidates.

    Returns:
        Scalar: mean over the batch of the cross entropy −Σ p_query log p_extreme.
    """
    target = softmax(logits(query.detach(), key, queue, temperature), dim=1)
    return -(target * log_softmax(logits(extreme, key, queue, temperature), dim=1)).sum(dim=1).mean()


@at_least_float32
def neighbour_mining(
    query: Tensor,
    further: Sequence[Tensor],
    key: Tensor,
    queue: Tensor,
    *,
    temperature: float = 0.07,
    top_k: int = 1,
) -> Tensor:
    """NNM of AimCLR (arXiv:2112.03590): key and queue neighbours of normal and extreme queries are positives.

    Args:
        query: (B, D) normal query; carries the gradient.
        further: (B, D) queries of extreme views, which mine too; constants.
        key: (B, D).
        queue: (K, D).
        temperature: divisor of the similarities.
        top_k: neighbours that each query mines.

    Returns:
        Scalar: mean over the batch of −log p averaged over a clip's distinct positives.

    Raises:
        ConfigError: ``top_k`` is not in 1 … K.
    """
    check_top_k(top_k, len(queue))
    scores = logits(query, key, queue, temperature)
    positive = torch.zeros_like(scores, dtype=torch.bool)
    positive[:, 0] = True
    for miner in (query, *further):
        mined = (miner.detach() @ queue.detach().T).topk(top_k, dim=1).indices
        positive.scatter_(1, mined + 1, True)
    log_probability = log_softmax(scores, dim=1)
    return -((log_probability * positive).sum(dim=1) / positive.sum(dim=1)).mean()
