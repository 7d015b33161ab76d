"""Hallucinated positives of HaLP, from keys to gradient: factored (as trained) and gathered against repeated.

    python -m benchmarks.bench_hallucination [--rounds 15] [--batch 64] [--positives 100] [--prototypes 20]

One thread, alternated rounds, medians of CPU milliseconds of one step: choose prototypes, walk, filter, loss, backward
to the query. *Repeated* copies the prototypes for every positive, *gathered* makes each positive once, *factored* keeps
them as sums of anchor and tangent and is what the method runs. All draw the same prototypes and fractions; masks,
losses and gradients must agree. The floor is reading the tangents, B·N·D numbers, and the B·G·N similarities of
positives and prototypes that the filter compares, once each.
"""

from __future__ import annotations

import argparse
import json

import torch
from benchmarks.bench_feeder import medians
from torch import Tensor
from torch.nn.functional import normalize

from motet.losses import candidates, hallucinate, hallucination_loss, rank_filter, rank_limit, retained, slerp

Outcome = tuple[Tensor, Tensor, Tensor]


def factored(query: Tensor, key: Tensor, prototypes: Tensor, picks: Tensor, shrink: Tensor) -> Outcome:
    """As :class:`motet.methods.halp.HaLP` does it."""
    positives = hallucinate(key, prototypes, candidates(key, prototypes).gather(1, picks), shrink)
    keep = retained(positives, prototypes, query)
    query = query.detach().requires_grad_()
    loss = hallucination_loss(query, positives, keep)
    return loss.detach(), torch.autograd.grad(loss, query)[0], keep


def gathered(query: Tensor, key: Tensor, prototypes: Tensor, picks: Tensor, shrink: Tensor) -> Outcome:
    """Loss, gradient and mask; limits are found once per anchor and prototype."""
    order = (key @ prototypes.T).argsort(dim=1)
    chosen = order[:, :-1].gather(1, picks)
    limits = rank_limit(key[:, None], prototypes[order[:, -1]][:, None], prototypes[None])
    positives = slerp(key[:, None], prototypes[chosen], (1 - shrink) * limits.gather(1, chosen))
    keep = rank_filter(positives, key, prototypes)
    query = query.detach().requires_grad_()
    loss = hallucination_loss(query, positives, keep)
    return loss.detach(), torch.autograd.grad(loss, query)[0], keep


def repeated(query: Tensor, key: Tensor, prototypes: Tensor, picks: Tensor, shrink: Tensor) -> Outcome:
    """The same by the formulas of the paper, every positive with its own copy of the key and of all prototypes."""
    batch, count = picks.shape
    anchor = key.repeat_interleave(count, dim=0)
    copies = prototypes.repeat(batch * count, 1, 1)
    similarity = torch.einsum("nd,nkd->nk", anchor, copies)
    order = similarity.argsort(dim=1)
    row = torch.arange(batch * count)
    best, chosen = order[:, -1], order[row, picks.flatten()]
    near, far = copies[row, best], copies[row, chosen]
    a, b, c = similarity[row, best], similarity[row, chosen], (near * far).sum(1)
    angle = torch.arccos(b.clamp(-1 + 1e-7, 1 - 1e-7))
    limit = torch.atan2((a - b) * angle.sin(), (1 - c) + (a - b) * angle.cos()) / angle
    t = (1 - shrink.flatten()) * limit
    points = ((1 - t) * angle).sin()[:, None] * anchor + (t * angle).sin()[:, None] * far
    points = normalize(points / angle.sin()[:, None], dim=1)
    keep = torch.einsum("nd,nkd->nk", points, prototypes.repeat(batch * count, 1, 1)).argmax(1) == best
    query = query.detach().requires_grad_()
    logits = (query.repeat_interleave(count, dim=0) * points).sum(1) / 0.07
    loss = -torch.log(torch.exp(logits))[keep].mean()
    return loss.detach(), torch.autograd.grad(loss, query)[0], keep.view(batch, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"rounds": 15, "batch": 64, "positives": 100, "prototypes": 20, "width": 128}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = (given.batch, given.width)
    query, key = (normalize(torch.randn(*shape, generator=generator), dim=1) for _ in range(2))
    prototypes = normalize(torch.randn(given.prototypes, given.width, generator=generator), dim=1)
    picks = torch.randint(0, given.prototypes - 1, (given.batch, given.positives), generator=generator)
    # away from 0, where a positive lies on the boundary and rounding decides whether it is kept
    shrink = 0.01 + 0.79 * torch.rand(given.batch, given.positives, generator=generator)
    step = (query, key, prototypes, picks, shrink)
    theirs = repeated(*step)
    for ours in (gathered(*step), factored(*step)):
        assert torch.equal(ours[2], theirs[2]), "the forms keep different positives"
        torch.testing.assert_close(ours[:2], theirs[:2], rtol=1e-4, atol=1e-6)
    tangents = torch.randn(given.batch, given.prototypes, given.width)
    similarities = torch.randn(given.batch, given.positives, given.prototypes)
    result = medians(
        {
            "repeated": lambda _: repeated(*step),
            "gathered": lambda _: gathered(*step),
            "factored": lambda _: factored(*step),
            "floor": lambda _: (tangents.sum(), similarities.sum()),
        },
        given.rounds,
    )
    report: dict[str, float] = {f"{name}_ms": round(value, 3) for name, value in result.items()}
    report |= {
        "ratio": round(result["repeated"] / result["factored"], 1),
        "ratio_of_gathered": round(result["repeated"] / result["gathered"], 1),
        "share_of_floor": round(result["floor"] / result["factored"], 3),
        "retained": round(float(ours[2].double().mean()), 3),
        "rounds": given.rounds,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
