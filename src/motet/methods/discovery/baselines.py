"""Other ways to label an unlabelled target, as losses on the branches of CoDT: UNO, AutoNovel, MMT.

How the authors of CoDT (Liu et al., ECCV 2022) adapted them to skeletons is not established. Here they get the same
branches, base losses, start and epochs, and of their own papers what their labelling consists of.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import normalize

from motet.losses import balanced_assignment, rank_statistics_pairs

UNO_TEMPERATURE = 0.1
UNO_POWER = 2.0  # that temperature over its ε of 0.05
UNO_ITERATIONS = 3
UNO_HEADS = 4  # of K prototypes, the target classifier among them, and as many finer ones
UNO_FINER = 3  # times K
EXCHANGED = 0.5  # MMT: weight of the other teacher's soft labels
EXCHANGED_TRIPLETS = 0.8
CONSISTENCY = 50.0  # AutoNovel: weight of the consistency when its ramp has ended
RAMP = 0.5  # share of the fine-tuning in which it grows


class Heads(nn.Module):
    """Prototypes of UNO (Fini et al., ICCV 2021): known classes, several heads of new ones, several finer ones.

    Features and prototypes are compared by cosine, without bias. The first head of new classes is the branch's target
    classifier, which is handed in. A clip of the target is labelled by balanced transport within the batch, three
    iterations, from its other view; the loss of each head is one softmax over known and new classes together.

    Args:
        clusters: K.
        features: F.
        known: (C_s, F) first prototypes of the known classes, None for a branch that sees no source.
    """

    def __init__(self, clusters: int, features: int, known: Tensor | None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(clusters)
        sizes = [clusters] * (UNO_HEADS - 1) + [UNO_FINER * clusters] * UNO_HEADS
        drawn = [normalize(torch.randn(size, features, generator=generator), dim=1) for size in sizes]
        self.further = nn.ParameterList(nn.Parameter(x) for x in drawn)
        self.known = None if known is None else nn.Parameter(normalize(known.detach().clone(), dim=1))

    def _logits(self, prototypes: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C_s + K) over both kinds of classes, and the part (n, K) of the new ones."""
        unit = normalize(feature, dim=1)
        new = unit @ normalize(prototypes, dim=1).T / UNO_TEMPERATURE
        if self.known is None:
            return new, new
        return torch.cat([unit @ normalize(self.known, dim=1).T / UNO_TEMPERATURE, new], dim=1), new

    def swapped(self, first_head: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Mean over heads of the loss in which each view's batch-balanced labels are what the other is to predict.

        Args:
            first_head: (K, F) prototypes of the target classifier.
            first, second: (n, F) features of two views.
        """
        losses = []
        for prototypes in (first_head, *self.further):
            (all_a, new_a), (all_b, new_b) = (self._logits(prototypes, x) for x in (first, second))
            losses.append((self._against(all_a, new_b) + self._against(all_b, new_a)) / 2)
        # plain and finer heads count equally, as there are as many of them
        return torch.stack(losses).mean()

    @staticmethod
    def _against(logits: Tensor, other: Tensor) -> Tensor:
        soft = balanced_in_batch(other)
        return functional.cross_entropy(logits, functional.pad(soft, (logits.shape[1] - other.shape[1], 0)))

    def known_loss(self, first_head: Tensor, feature: Tensor, labels: Tensor) -> Tensor:
        """Mean over heads of the cross-entropy of labelled clips over known and new classes."""
        heads = (first_head, *self.further)
        values = [functional.cross_entropy(self._logits(p, feature)[0], labels) for p in heads]
        return torch.stack(values).mean()

    @torch.no_grad()
    def normalise(self, first_head: Tensor) -> None:
        """Bring all prototypes back to length one, in place."""
        for prototypes in (first_head, *self.parameters()):
            prototypes.copy_(normalize(prototypes, dim=1))


def balanced_in_batch(logits: Tensor) -> Tensor:
    """(n, K) soft labels of a batch, clusters of equal weight (SwAV's three iterations); constants."""
    plan = balanced_assignment(logits, power=UNO_POWER, max_iterations=UNO_ITERATIONS, tolerance=0.0, return_plan=True)
    return plan.rows()


def ranked(first: Tensor, second: Tensor, features: Tensor, k: int, progress: float) -> Tensor:
    """Pairs with the same k largest features agree across two views (AutoNovel, Han et al., ICLR 2020).

    Binary cross-entropy of p_i·p'_j on all pairs, and the mean squared difference of a clip's two predictions with a
    weight that grows as exp(-5 (1 - t)²) over the first half of the fine-tuning.

    Args:
        first, second: (n, K) logits of two views of the same clips.
        features: (n, F) of the first view; a constant.
        k: number of features that are compared.
        progress: share of the fine-tuning that is done.
    """
    marks = rank_statistics_pairs(features, k=min(k, features.shape[1])).to(first.dtype)
    p, q = torch.softmax(first, dim=1), torch.softmax(second, dim=1)
    alike = (p @ q.T).clamp(1e-6, 1 - 1e-6)
    ramp = math.exp(-5 * (1 - min(progress / RAMP, 1)) ** 2)
    return functional.binary_cross_entropy(alike, marks) + CONSISTENCY * ramp * functional.mse_loss(p, q)


def exchanged(logits: Tensor, features: Tensor, labels: Tensor, soft: Tensor, seen: Tensor) -> Tensor:
    """Labels of the clusters and those of the other network's teacher, hard and soft (MMT, Ge et al., ICLR 2020).

    Args:
        logits: (n, K) of the student.
        features: (n, F) of the student.
        labels: (n,) offline clusters.
        soft: (n, K) probabilities by the other teacher.
        seen: (n, F') features of the other teacher.
    """
    hard = functional.cross_entropy(logits, labels)
    mixed = (1 - EXCHANGED) * hard + EXCHANGED * functional.cross_entropy(logits, soft)
    far, near = hardest(features, labels)
    if far is None or near is None:
        return mixed
    mine = triplet_margin(features, far, near)
    with torch.no_grad():
        other = torch.sigmoid(triplet_margin(seen, far, near))
    ones = torch.ones_like(mine)
    hard = functional.binary_cross_entropy_with_logits(mine, ones)
    gentle = functional.binary_cross_entropy_with_logits(mine, other)
    return mixed + (1 - EXCHANGED_TRIPLETS) * hard + EXCHANGED_TRIPLETS * gentle


@torch.no_grad()
def hardest(features: Tensor, labels: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """(n,) the farthest clip of the same label and the nearest of another; None where a batch has one label only."""
    distance = torch.cdist(features, features)
    same = labels[:, None] == labels[None, :]
    if bool(same.all()):
        return None, None
    far = distance.masked_fill(~same, -1.0).argmax(dim=1)
    return far, distance.masked_fill(same, torch.inf).argmin(dim=1)


def triplet_margin(features: Tensor, far: Tensor, near: Tensor) -> Tensor:
    """(n,) distance to the negative less distance to the positive, the logit of MMT's softmax triplet."""
    # the small constant keeps the gradient finite where a clip is its own farthest positive
    positive, negative = (((features - features[i]).square().sum(dim=1) + 1e-12).sqrt() for i in (far, near))
    return negative - positive
