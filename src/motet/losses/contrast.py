"""Contrastive losses against a queue of past keys: InfoNCE, mutual contrast (MCL), cross-view positive mining.

Rows are unit vectors: queries and keys ``(B, D)``, queues ``(K, D)``. Gradients reach queries only.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32


def same_streams(*groups: Mapping[str, Tensor]) -> list[str]:
    """Names shared by all groups, in the order of the first.

    Raises:
        ConfigError: the groups name different streams, or there are fewer than two.
    """
    names = list(groups[0])
    for group in groups[1:]:
        if set(group) != set(names):
            raise ConfigError(f"streams differ: {sorted(names)} and {sorted(group)}")
    if len(names) < 2:
        raise ConfigError(f"a cross-stream loss needs two streams or more, got {names}")
    return names


@at_least_float32
def info_nce(query: Tensor, key: Tensor, queue: Tensor, *, temperature: float = 0.07) -> Tensor:
    """InfoNCE with one positive and the queue as negatives (MoCo, He et al. 2020, Eq. 1).

    Args:
        query: (B, D) unit rows; carries the gradient.
        key: (B, D) unit rows, the positives; treated as constants.
        queue: (K, D) unit rows, the negatives; treated as constants.
        temperature: divisor of the cosine similarities.

    Returns:
        Scalar: mean over the batch of ``-log(exp(q·k/τ) / (exp(q·k/τ) + Σ_j exp(q·Q_j/τ)))``.
    """
    positive = (query * key.detach()).sum(dim=1, keepdim=True)
    negative = query @ queue.detach().T
    logits = torch.cat([positive, negative], dim=1) / temperature
    return -log_softmax(logits, dim=1)[:, 0].mean()


@at_least_float32
def mutual_contrast(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    temperature: float = 0.07,
) -> Tensor:
    """Mutual contrast between streams (MCL): the query of each stream against the key and queue of every other.

    The supplement of CMD (Mao et al., ECCV 2022) names this rival without a formula; this is the reading that
    follows the inter-representation contrast of ISC (Thoker et al., 2021): the sum over ordered pairs a ≠ b of
    InfoNCE with query z^a, positive k^b and negatives Q^b.

    Args:
        queries, keys: stream name → (B, D) unit rows.
        queues: stream name → (K, D) unit rows.
        temperature: divisor of the similarities.

    Returns:
        Scalar, the plain sum over the |A|(|A|−1) ordered pairs.
    """
    names = same_streams(queries, keys, queues)
    pairs = [info_nce(queries[a], keys[b], queues[b], temperature=temperature) for a, b in permutations(names, 2)]
    return torch.stack(pairs).sum()


@at_least_float32
def cross_positive_mining(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    temperature: float = 0.07,
    top_k: int = 1,
    context: bool = True,
) -> Tensor:
    """Second stage of CrosSCLR (Li et al., CVPR 2021): each stream takes positives that the others mined.

    For stream a mined by b, logits are ``[z^a·k^a | z^a·Q^a | (z^a·Q^a)⊙(z^b·Q^b)] / τ`` (the last block with
    ``context``); positives are the key and the ``top_k`` slots that lie nearest to the query of b in b's own queue,
    in both blocks. Losses are averaged over the positives, over the partners b and over the batch, and summed over a.

    Args:
        queries, keys: stream name → (B, D) unit rows.
        queues: stream name → (K, D) unit rows, slot-aligned: slot j of every queue holds the same sample.
        temperature: divisor of the similarities.
        top_k: mined positives per partner.
        context: whether to add the products of similarities as further logits.

    Returns:
        Scalar. Gradients reach the queries of both partners.

    Raises:
        ConfigError: ``top_k`` is not in 1..K, or fewer than two streams.
    """
    names = same_streams(queries, keys, queues)
    positive = {a: (queries[a] * keys[a].detach()).sum(dim=1, keepdim=True) for a in names}
    negative = {a: queries[a] @ queues[a].detach().T for a in names}
    slots = next(iter(negative.values())).shape[1]
    check_top_k(top_k, slots)
    mined = {b: negative[b].detach().topk(top_k, dim=1).indices for b in names}

    def pair(a: str, b: str) -> Tensor:
        blocks = [positive[a], negative[a]]
        chosen = [torch.zeros_like(mined[b][:, :1]), mined[b] + 1]
        if context:
            blocks.append(negative[a] * negative[b])
            chosen.append(mined[b] + 1 + slots)
        log_probability = log_softmax(torch.cat(blocks, dim=1) / temperature, dim=1)
        return -log_probability.gather(1, torch.cat(chosen, dim=1)).mean()

    return torch.stack([pair(a, b) for a, b in permutations(names, 2)]).sum() / (len(names) - 1)


def check_top_k(top_k: int, slots: int) -> None:
    """Refuse a number of neighbours that the queue cannot give."""
    if not 1 <= top_k <= slots:
        raise ConfigError(f"top_k is {top_k}, but it must lie in 1..{slots}, the number of slots of the queue")
