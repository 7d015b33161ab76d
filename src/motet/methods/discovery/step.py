"""One step of CoDT (Liu et al., ECCV 2022) up to its losses, and the other ways to label a target with it.

Order of a step: students (source and target separately through the shared branch), EMA of the teachers with the weights
that the students were run with, teachers, the contrastive loss against the bank as it was, the banks' new rows, and in
fine-tuning the pseudo-labels from the whole bank with the losses on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders import STGCN
from motet.losses import balanced_assignment, pair_consistency, pair_likelihood, rank_statistics_pairs
from motet.losses.clustering import Plan
from motet.memory import ema_update
from motet.memory.kmeans import spherical_kmeans
from motet.methods.discovery import baselines as rivals
from motet.methods.discovery.networks import Branch, Decoder, contrast, kept_statistics, make_encoder
from motet.methods.discovery.rounding import balanced_labels
from motet.methods.discovery.settings import Settings


@dataclass(frozen=True)
class Batch:
    """What a step sees; index 0 is the shared branch, 1 the target's own.

    Attributes:
        source: (B, T, P, V0, C) changed source clips; ``source_seen`` the same after masking.
        source_labels: (B,) int64, 0 … C_s − 1.
        students: the target's clips of both students before masking; ``seen`` after it.
        teachers: the target's weakly changed clips of both teachers.
        places: (B,) slots of the target's clips in the banks.
    """

    source: Tensor
    source_seen: Tensor
    source_labels: Tensor
    students: tuple[Tensor, Tensor]
    seen: tuple[Tensor, Tensor]
    teachers: tuple[Tensor, Tensor]
    places: Tensor


class Discovery(nn.Module):
    """Both branches and the state of their labelling.

    Args:
        settings: options.
        shared, own: branches B0 and B1.

    Attributes:
        scalings: warm starts of the two transport plans, None before the first.
        order: clusters from the largest wanted share to the smallest, where shares are given.
        fixed: (2, N) labels made once an epoch (SeLa, MMT), else None.
        progress: share of the fine-tuning that is done, for weights that are ramped.
        heads: of UNO, one :class:`rivals.Heads` per branch; empty for the other methods and before fine-tuning.
    """

    def __init__(self, settings: Settings, shared: Branch, own: Branch) -> None:
        super().__init__()
        self.settings = settings
        self.branches = nn.ModuleList([shared, own])
        self.scalings: list[Tensor | None] = [None, None]
        self.order: list[Tensor | None] = [None, None]
        self.fixed: Tensor | None = None
        self.progress = 0.0
        self.heads = nn.ModuleList()

    def add_classifiers(self, weights: Sequence[Tensor]) -> None:
        """Give both branches their target classifiers, (K, F) each, and a method the heads that it has beside them."""
        for branch, weight in zip(self.pair, weights, strict=True):
            branch.add_classifier(weight)
        if self.settings.method == "uno":
            for branch, weight in zip(self.pair, weights, strict=True):
                known = None if branch.source_classifier is None else branch.source_classifier.weight
                self.heads.append(rivals.Heads(len(weight), branch.features, known).to(branch.bank.device))

    def finish_step(self) -> None:
        """After the optimiser has moved the weights: prototypes of UNO return to the sphere."""
        if len(self.heads):
            for branch, heads in zip(self.pair, self.heads, strict=True):
                heads.normalise(branch.student["clusters"].weight)  # type: ignore[operator]

    def labelling(self) -> dict[str, Any]:
        """What a checkpoint holds of the labelling beside the weights and banks."""
        return {"scalings": list(self.scalings), "order": list(self.order), "fixed": self.fixed}

    def restore_labelling(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`labelling`."""
        device = self.pair[0].bank.device

        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device)

        # "prices" in checkpoints of earlier releases
        self.scalings = [moved(x) for x in state.get("scalings", state.get("prices"))]
        self.order = [moved(x) for x in state["order"]]
        self.fixed = moved(state["fixed"])

    @classmethod
    def build(
        cls,
        settings: Settings,
        shared: Skeleton,
        own: Skeleton,
        *,
        persons: tuple[int, int],
        channels: tuple[int, int],
        clips: int,
        source_classes: int,
    ) -> Discovery:
        """Fresh branches for clips of the common layout and of the target's own."""
        encoders = [make_encoder(settings, s, p, c) for s, p, c in zip((shared, own), persons, channels, strict=True)]
        width = int(encoders[0].feature_size)  # type: ignore[arg-type]
        steps = 0 if isinstance(encoders[0], STGCN) else -(-settings.frames // 4)
        decoder = Decoder(width, len(shared), channels[0], persons[0], dropout=settings.dropout, steps=steps)
        first = Branch(encoders[0], clips, source_classes=source_classes, decoder=decoder)
        return cls(settings, first, Branch(encoders[1], clips, projection=settings.dim))

    @property
    def pair(self) -> tuple[Branch, Branch]:
        """B0 and B1."""
        return self.branches[0], self.branches[1]  # type: ignore[return-value]

    @property
    def low(self) -> bool:
        """Whether encoders run in bfloat16."""
        return self.settings.precision == "bf16"

    def forward(self, batch: Batch, *, fine: bool) -> dict[str, Tensor]:
        """Weighted losses of one step; the banks hold the batch's teacher features when it returns."""
        settings, (shared, own) = self.settings, self.pair
        assert shared.source_classifier is not None
        assert shared.decoder is not None
        with kept_statistics(shared.student["encoder"], settings.target_statistics):
            feature, seen = shared.encode(batch.source_seen, low=self.low)
        losses = {
            "source": settings.weight_source
            * functional.cross_entropy(shared.source_classifier(feature), batch.source_labels)
        }
        decoded = shared.decoder.loss(seen, batch.source)
        first, seen = shared.encode(batch.seen[0], low=self.low)
        losses["decoder"] = settings.weight_decoder * (decoded + shared.decoder.loss(seen, batch.students[0]))
        features = (first, own.encode(batch.seen[1], low=self.low)[0])
        losses["contrast"] = settings.weight_contrast * self._teach(features[1], batch)
        if fine:
            losses |= self._fine(features, feature, batch)
        return losses

    def _teach(self, query: Tensor, batch: Batch) -> Tensor:
        """Move the teachers, fill the banks; the contrastive loss of B1 against its bank of before."""
        own = self.pair[1]
        with torch.no_grad():
            made = []
            for branch, clips in zip(self.pair, batch.teachers, strict=True):
                ema_update(branch.teacher, branch.student, self.settings.ema)
                made.append(branch.teach(clips, low=self.low))
            key = self._key(made[1])
        query = normalize(own.student["projection"](query), dim=1)
        loss = contrast(query, key, own.bank, batch.places, self.settings.temperature, project=self._key)
        for branch, rows in zip(self.pair, made, strict=True):
            branch.write(batch.places, rows)
        return loss

    def _key(self, features: Tensor) -> Tensor:
        """(n, D) unit rows of the teacher of B1 from its features."""
        return normalize(self.pair[1].teacher["projection"](features), dim=1)

    def _fine(self, features: tuple[Tensor, Tensor], known: Tensor, batch: Batch) -> dict[str, Tensor]:
        method = self.settings.method
        if method == "uno":
            return self._uno(features, known, batch)
        logits = [b.student["clusters"](f) for b, f in zip(self.pair, features, strict=True)]
        if method in ("codt", "ocm", "sela"):
            losses, labels = self._labelled(logits, batch)
            return losses if method != "codt" else losses | self._pairs(logits, features, labels, batch.places)
        if method == "mmt":
            return self._exchanged(logits, features, batch)
        losses = {}
        for b, (x, feature, y) in enumerate(zip(logits, features, self._second_view(batch), strict=True)):
            again = self.pair[b].student["clusters"](y)
            value = rivals.ranked(x, again, feature, self.settings.rank_features, self.progress)
            losses[f"labels/B{b}"] = self.settings.weight_labels * value
        return losses

    def _second_view(self, batch: Batch) -> list[Tensor]:
        """Students' features of the teachers' clips, for methods that compare two views."""
        return [b.encode(x, low=self.low)[0] for b, x in zip(self.pair, batch.teachers, strict=True)]

    def _uno(self, features: tuple[Tensor, Tensor], known: Tensor, batch: Batch) -> dict[str, Tensor]:
        """UNO: one softmax over known and new classes, each view labels the other; see :class:`rivals.Heads`."""
        losses = {}
        for b, (first, second) in enumerate(zip(features, self._second_view(batch), strict=True)):
            heads: rivals.Heads = self.heads[b]  # type: ignore[assignment]
            new: nn.Linear = self.pair[b].student["clusters"]  # type: ignore[assignment]
            losses[f"labels/B{b}"] = self.settings.weight_labels * heads.swapped(new.weight, first, second)
            if b == 0:
                losses["source"] = self.settings.weight_source * heads.known_loss(
                    new.weight, known, batch.source_labels
                )
        return losses

    def _labelled(self, logits: list[Tensor], batch: Batch) -> tuple[dict[str, Tensor], list[Tensor]]:
        if self.fixed is not None:
            labels = list(self.fixed[:, batch.places])
        else:
            labels = [self._labels(b, batch.places) for b in (0, 1)]
        weight = self.settings.weight_labels
        losses = {
            f"labels/B{b}": weight * functional.cross_entropy(x, y)
            for b, (x, y) in enumerate(zip(logits, labels, strict=True))
        }
        return losses, labels

    @torch.no_grad()
    def plan(self, branch: int) -> Plan:
        """Transport of the branch's bank to its clusters, from the scalings of the step before."""
        settings, of = self.settings, self.pair[branch]
        logits = of.teacher["clusters"](of.bank)
        shares = None
        if settings.shares:
            order = self.order[branch]
            if order is None:
                # the largest share to the cluster that holds most before any balancing, once and for all
                order = torch.softmax(logits, dim=1).sum(dim=0).argsort(descending=True, stable=True)
                self.order[branch] = order
            wanted = torch.tensor(sorted(settings.shares, reverse=True)).to(logits)
            shares = torch.empty_like(wanted)
            shares[order] = wanted / wanted.sum()
        before = self.scalings[branch] if settings.sinkhorn_warm else None
        # labels that last for an epoch begin far from those of the epoch before
        goes_on = before is not None and settings.method != "sela"
        found = balanced_assignment(
            logits,
            power=settings.power,
            marginals=shares,
            relaxation=settings.balance,
            warm_start=before,
            max_iterations=settings.sinkhorn_warm if goes_on else settings.sinkhorn_iterations,
            tolerance=settings.sinkhorn_tolerance,
            return_plan=True,
        )
        self.scalings[branch] = found.scalings
        return found

    def _labels(self, branch: int, places: Tensor | None = None) -> Tensor:
        found = self.plan(branch)
        if self.settings.rounding == "argmax":
            return found.labels(places)
        labels = balanced_labels(found, self._sizes(branch, found))
        return labels if places is None else labels[places]

    def _sizes(self, branch: int, found: Plan) -> list[int] | None:
        order = self.order[branch]
        if order is None:
            return None
        count = len(found.logits)
        wanted = sorted(self.settings.shares, reverse=True)
        edges = [round(count * sum(wanted[: i + 1]) / sum(wanted)) for i in range(len(wanted))]
        sizes = [b - a for a, b in zip([0, *edges[:-1]], edges, strict=True)]
        placed = [0] * len(sizes)
        for size, cluster in zip(sizes, order.tolist(), strict=True):
            placed[cluster] = size
        return placed

    def _pairs(
        self, logits: list[Tensor], features: tuple[Tensor, Tensor], labels: list[Tensor], places: Tensor
    ) -> dict[str, Tensor]:
        """CCM and its variants: what one branch puts together, the other is to find alike."""
        settings, losses = self.settings, {}
        for mine in (0, 1):
            marks = labels[1 - mine]
            if settings.pairs == "features":
                other = self.pair[1 - mine].bank[places]
                marks = rank_statistics_pairs(other, k=min(settings.rank_features, other.shape[1]))
            if settings.pairs == "cosine":
                value = pair_likelihood(self._alike(mine, features[mine]), marks[:, None] == marks[None, :])
            else:
                value = pair_consistency(logits[mine], marks)
            losses[f"pairs/B{mine}"] = settings.weight_pairs * value
        return losses

    def _alike(self, branch: int, features: Tensor) -> Tensor:
        """(n, n) cosines; those of an ST-GCN's features are not negative, others go from [-1, 1] to [0, 1]."""
        unit = normalize(features, dim=1)
        cosine = unit @ unit.T
        return cosine if isinstance(self.pair[branch].student["encoder"], STGCN) else (1 + cosine) / 2

    def _exchanged(self, logits: list[Tensor], features: tuple[Tensor, Tensor], batch: Batch) -> dict[str, Tensor]:
        """MMT: k-means labels of both branches together, and what the other branch's teacher says."""
        assert self.fixed is not None
        losses = {}
        for mine in (0, 1):
            other, labels = self.pair[1 - mine], self.fixed[mine, batch.places]
            with torch.no_grad():
                seen = other.bank[batch.places]
                soft = torch.softmax(other.teacher["clusters"](seen), dim=1)
            value = rivals.exchanged(logits[mine], features[mine], labels, soft, seen)
            losses[f"labels/B{mine}"] = self.settings.weight_labels * value
        return losses

    @torch.no_grad()
    def begin_epoch(self) -> None:
        """Make the labels that last for an epoch, for the methods that have such."""
        if self.settings.method == "sela":
            self.fixed = torch.stack([self._labels(b) for b in (0, 1)])
        elif self.settings.method == "mmt":
            together = torch.cat([normalize(b.bank, dim=1) for b in self.pair], dim=1)
            if self.fixed is None:
                raise ConfigError("the joint clusters of MMT are missing; initialise first")
            member = functional.one_hot(self.fixed[0], self.pair[0].clusters).to(together)
            found = spherical_kmeans(together, self.pair[0].clusters, start=member.T @ together, iterations=20)
            self.fixed = found.assignment.expand(2, -1).contiguous()
