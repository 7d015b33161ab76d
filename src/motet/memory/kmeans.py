"""Spherical k-means: clusters of directions (Dhillon & Modha, Machine Learning 2001), without the CPU in between.

Everything is a product of small matrices, so several problems run side by side and nothing waits for a device: with a
fixed number of iterations no value has to come back to the CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.core.text import counted
from motet.losses._precision import at_least_float32


class Clustering(NamedTuple):
    """Clusters of unit vectors.

    Attributes:
        centres: (…, K, D) unit rows.
        assignment: (…, n) int64, the most similar centre of each vector.
        inertia: (…) float64, sum of the squared angles (radians) between the vectors and their centres.
    """

    centres: Tensor
    assignment: Tensor
    inertia: Tensor


@torch.no_grad()
@at_least_float32
def spherical_kmeans(
    x: Tensor, k: int, *, iterations: int = 20, restarts: int = 1, seed: int = 0, start: Tensor | None = None
) -> Clustering:
    """Centres that maximise the sum of the cosines between vectors and their nearest centres.

    A start draws one vector after the other with probability proportional to 1 − (largest cosine so far), the
    k-means++ of the sphere (Arthur & Vassilvitskii, SODA 2007; half the squared chord is 1 − cos). Each iteration
    assigns every vector to the centre of largest cosine and moves each centre to the normalised mean of its members. A
    centre without members moves to the vector that is worst represented, the next one to the second worst, and so on.

    Args:
        x: (…, n, D); normalised here. Leading dimensions are separate problems, solved together.
        k: number of centres, 1 … n. With fewer distinct vectors than centres some centres coincide.
        iterations: updates of the centres; on a CPU it stops early once nothing changes, with the same result.
        restarts: independent starts, of which the smallest inertia is kept, problem by problem.
        seed: key of the starts; the same numbers on every device.
        start: (…, k, D) first centres in place of a drawn start (a warm start); then there is one start only.

    Returns:
        The :class:`Clustering`; constants.

    Raises:
        ConfigError: k outside 1 … n, no restart, or a start of another shape.
    """
    if x.dim() < 2 or not 1 <= k <= x.shape[-2]:
        raise ConfigError(
            f"{counted(k, 'cluster')} of vectors {tuple(x.shape)}; their number must lie in 1 … (the number of rows)"
        )
    if restarts < 1 or iterations < 0:
        raise ConfigError(f"restarts is {restarts} and iterations is {iterations}; at least 1 and 0 are needed")
    if start is not None and start.shape != (*x.shape[:-2], k, x.shape[-1]):
        raise ConfigError(
            f"a start of shape {tuple(start.shape)} for {counted(k, 'centre')} of vectors {tuple(x.shape)}"
        )
    rows = normalize(x, dim=-1).reshape(-1, *x.shape[-2:])
    best: Clustering | None = None
    for number in range(restarts if start is None else 1):
        if start is None:
            centres = _plus_plus(rows, k, seed, number)
        else:
            centres = normalize(start, dim=-1).reshape(-1, *start.shape[-2:]).to(rows.dtype)
        found = _iterate(rows, centres, iterations)
        best = found if best is None else _better(best, found)
    assert best is not None
    lead = x.shape[:-2]
    shape = (*lead, k, x.shape[-1]), (*lead, x.shape[-2]), lead
    return Clustering(*(value.reshape(s) for value, s in zip(best, shape, strict=True)))


def _plus_plus(rows: Tensor, k: int, seed: int, number: int) -> Tensor:
    """(L, n, D) → (L, k, D) starting centres.

    A row is drawn by an exponential race, argmax of weight / Exp(1): unlike a search in cumulated weights it is
    one parallel reduction, deterministic on a GPU too.
    """
    problems, count, width = rows.shape
    device = rows.device
    keyed = CounterRNG(seed, number, torch.arange(problems, device=device), 0)
    speed = keyed.uniform("k-means++", k, count).to(rows.dtype)
    speed = -1 / torch.log1p(-speed).clamp_max(-torch.finfo(rows.dtype).tiny)
    flat, first = rows.reshape(-1, width), count * torch.arange(problems, device=device)
    centres: list[Tensor] = []
    nearest: Tensor | None = None  # largest cosine so far
    for race in speed.unbind(1):
        weighted = race if nearest is None else race * (1 - nearest)
        centres.append(flat.index_select(0, weighted.argmax(dim=1) + first))
        cosine = torch.bmm(rows, centres[-1].unsqueeze(2)).squeeze(2)
        nearest = cosine if nearest is None else torch.maximum(nearest, cosine)
    return torch.stack(centres, dim=1)


def _iterate(rows: Tensor, centres: Tensor, iterations: int) -> Clustering:
    on_cpu = rows.device.type == "cpu"
    before: Tensor | None = None
    for _ in range(iterations):
        cosine, assignment = torch.bmm(rows, centres.transpose(1, 2)).max(dim=2)
        if on_cpu and before is not None and torch.equal(assignment, before):
            break
        members = assignment.unsqueeze(1) == torch.arange(centres.shape[1], device=rows.device)[:, None]
        empty = ~members.any(dim=2)
        # a fixed point only if no centre has been put elsewhere
        before = None if on_cpu and bool(empty.any()) else assignment
        centres = _repaired(_means(rows, members, centres), empty, rows, cosine)
    cosine, assignment = torch.bmm(rows, centres.transpose(1, 2)).max(dim=2)
    angle = cosine.double().clamp(-1, 1).acos()
    return Clustering(centres, assignment, angle.square().sum(dim=1))


def _means(rows: Tensor, members: Tensor, centres: Tensor) -> Tensor:
    """Normalised sums of the members; a sum of opposites has no direction and leaves its centre where it was."""
    sums = torch.bmm(members.to(rows.dtype), rows)  # a product, not atomic additions: the same bits every time
    length = torch.linalg.vector_norm(sums, dim=2, keepdim=True)
    tiny = torch.finfo(rows.dtype).eps
    return torch.where(length > tiny, sums / length.clamp_min(tiny), centres)


def _repaired(centres: Tensor, empty: Tensor, rows: Tensor, cosine: Tensor) -> Tensor:
    """The i-th empty cluster takes the i-th worst represented vector."""
    if rows.device.type == "cpu" and not bool(empty.any()):
        return centres
    worst = cosine.topk(centres.shape[1], dim=1, largest=False).indices
    taken = worst.gather(1, (empty.cumsum(dim=1) - 1).clamp_min(0))
    return torch.where(empty.unsqueeze(2), rows.gather(1, taken.unsqueeze(2).expand_as(centres)), centres)


def _better(a: Clustering, b: Clustering) -> Clustering:
    """Problem by problem the one of smaller inertia, the first at a tie."""
    choose = b.inertia < a.inertia
    return Clustering(*(torch.where(choose.view(-1, *[1] * (x.dim() - 1)), y, x) for x, y in zip(a, b, strict=True)))
