"""Contrastive losses: against a queue of past keys (InfoNCE, MCL, CrosSCLR) and within a batch (SimCLR, GraphCL).

Rows are unit vectors: queries and keys ``(B, D)``, queues ``(K, D)``. With a queue, gradients reach queries only. Where
clips lack streams, ``present`` says which clips have a stream and ``held`` which slots of its queue do; a term is then
that of the clips and slots that have all streams it compares, and 0 where there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, normalize

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


Masks = Mapping[str, Tensor]
"""stream → bool, of clips or of slots; streams that nothing lacks are left out."""


def of_all(streams: Iterable[str], masks: Masks | None) -> Tensor | None:
    """What has all of some streams, bool; None where there is nothing that lacks one."""
    some = [masks[s] for s in streams if s in masks] if masks else []
    return torch.stack(some).all(dim=0) if some else None


def empty(*masks: Tensor | None) -> bool:
    """Whether a mask leaves nothing."""
    return any(mask is not None and not bool(mask.any()) for mask in masks)


def where(rows: Tensor, mask: Tensor | None) -> Tensor:
    """The rows of a mask; all without one."""
    return rows if mask is None else rows[mask]


def logits(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """(B, 1 + K) similarities of a query with its key, then with the queue, divided by the temperature.

    Raises:
        ConfigError: not one key for each query, or a temperature that is not positive.
    """
    if query.shape != key.shape:
        raise ConfigError(f"queries are {tuple(query.shape)} and keys {tuple(key.shape)}; every query has its own key")
    if not temperature > 0:
        raise ConfigError(f"temperature is {temperature}; it must be above 0")
    positive = (query * key.detach()).sum(dim=1, keepdim=True)
    return torch.cat([positive, query @ queue.detach().T], dim=1) / temperature


@at_least_float32
def info_nce(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    *,
    temperature: float = 0.07,
    present: Tensor | None = None,
    held: Tensor | None = None,
    left_out: Tensor | None = None,
) -> Tensor:
    """InfoNCE with one positive and the queue as negatives (MoCo, He et al., CVPR 2020, Eq. 1, arXiv:1911.05722).

    Args:
        query: (B, D) unit rows; carries the gradient.
        key: (B, D) unit rows, the positives; treated as constants.
        queue: (K, D) unit rows, the negatives; treated as constants.
        temperature: divisor of the cosine similarities.
        present: (B,) bool, the clips that count; all by default.
        held: (K,) bool, the slots that count; all by default.
        left_out: (B, K) bool, slots that are no negatives of a query, such as older keys of its own clip.

    Returns:
        Scalar: mean over the batch of ``-log(exp(q·k/τ) / (exp(q·k/τ) + Σ_j exp(q·Q_j/τ)))``; 0 if nothing counts.

    Raises:
        ConfigError: not one key for each query, or a temperature that is not positive.
    """
    if empty(present, held):
        return query.new_zeros(())
    scores = logits(where(query, present), where(key, present), where(queue, held), temperature)
    if left_out is not None:
        own = where(where(left_out, present).T, held).T
        scores = torch.cat([scores[:, :1], scores[:, 1:].masked_fill(own, -torch.inf)], dim=1)
    return -log_softmax(scores, dim=1)[:, 0].mean()


@at_least_float32
def in_batch_nce(query: Tensor, key: Tensor, *, temperature: float = 0.07) -> Tensor:
    """InfoNCE with the other keys of the batch as negatives: one direction of NT-Xent, whose negatives are of the other
    view only (SimCLR, Chen et al., ICML 2020, Eq. 1, arXiv:2002.05709).

    Args:
        query, key: (B, D) unit rows; gradient reaches both.
        temperature: divisor of the similarities.
    """
    return cross_entropy(query @ key.T / temperature, torch.arange(len(query), device=query.device))


@at_least_float32
def graph_contrast(first: Tensor, second: Tensor, *, temperature: float = 0.2, form: str = "one-way") -> Tensor:
    """Contrast of two views of the graphs of a batch; the negatives are the other graphs of the batch.

    ============= ===================================================================================================
    "one-way"     Eq. 3 of GraphCL (You et al., NeurIPS 2020, arXiv:2010.13902) and its code: from the first view to
                  the second only, the positive missing in the denominator
    "both-ways"   :func:`in_batch_nce` averaged over both directions; the positive is among its alternatives, so that
                  the loss is bounded by 0 and its gradient vanishes where all is well
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
    scores = a @ b.T / temperature
    own = torch.eye(len(a), dtype=torch.bool, device=a.device)
    return (scores.masked_fill(own, -torch.inf).logsumexp(dim=1) - scores.diagonal()).mean()


@at_least_float32
def mutual_contrast(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    temperature: float = 0.07,
    present: Masks | None = None,
    held: Masks | None = None,
) -> Tensor:
    """Mutual contrast between streams (MCL): the query of each stream against the key and queue of every other.

    The supplement of CMD (Mao et al., ECCV 2022, arXiv:2208.12448) names this baseline without a formula; this is the
    reading that follows the inter-representation contrast of ISC (Thoker et al., ACM MM 2021, arXiv:2108.03656): the
    sum over ordered pairs a ≠ b of :func:`info_nce` with query z^a, positive k^b and negatives Q^b.

    Args:
        queries, keys: stream name → (B, D) unit rows.
        queues: stream name → (K, D) unit rows.
        temperature: divisor of the similarities.
        present, held: stream → (B,) and (K,) bool, where clips lack streams: a pair is contrasted on what has both.

    Returns:
        Scalar, the plain sum over the |A|(|A|−1) ordered pairs.
    """

    def pair(a: str, b: str) -> Tensor:
        masks = {"present": of_all((a, b), present), "held": of_all((a, b), held)}
        return info_nce(queries[a], keys[b], queues[b], temperature=temperature, **masks)

    return torch.stack([pair(a, b) for a, b in permutations(same_streams(queries, keys, queues), 2)]).sum()


@at_least_float32
def cross_positive_mining(
    queries: Mapping[str, Tensor],
    keys: Mapping[str, Tensor],
    queues: Mapping[str, Tensor],
    *,
    temperature: float = 0.07,
    top_k: int = 1,
    context: bool = True,
    present: Masks | None = None,
    held: Masks | None = None,
) -> Tensor:
    """Second stage of CrosSCLR (Li et al., CVPR 2021, arXiv:2104.14540): positives that the other streams mined.

    For stream a mined by b, logits are ``[z^a·k^a | z^a·Q^a | (z^a·Q^a)⊙(z^b·Q^b)] / τ`` (the last block with
    ``context``); positives are the key and the ``top_k`` slots that lie nearest to the query of b in b's own queue,
    in both blocks. Losses are averaged over the positives, over the partners b and over the batch, and summed over a.

    Args:
        queries, keys: stream name → (B, D) unit rows.
        queues: stream name → (K, D) unit rows, slot-aligned: slot j of every queue holds the same sample.
        temperature: divisor of the similarities.
        top_k: mined positives per partner.
        context: whether to add the products of similarities as further logits.
        present, held: stream → (B,) and (K,) bool, where clips lack streams: what has all streams counts, and no more
            than all of its slots are mined.

    Returns:
        Scalar. Gradients reach the queries of both partners.

    Raises:
        ConfigError: ``top_k`` is not in 1..K, or fewer than two streams.
    """
    names = same_streams(queries, keys, queues)
    check_top_k(top_k, len(queues[names[0]]))
    rows, kept = of_all(names, present), of_all(names, held)
    if empty(rows, kept):
        return queries[names[0]].new_zeros(())
    query, key, queue = (
        {a: where(of[a], m) for a in names} for of, m in ((queries, rows), (keys, rows), (queues, kept))
    )
    positive = {a: (query[a] * key[a].detach()).sum(dim=1, keepdim=True) for a in names}
    negative = {a: query[a] @ queue[a].detach().T for a in names}
    slots = len(queue[names[0]])
    top_k = min(top_k, slots)
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
