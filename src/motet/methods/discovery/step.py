"""One step of CoDT (Liu and Wang, ECCV 2022, https://arxiv.org/abs/2207.09767) up to its losses.

Order of a step: students (source and target separately through the shared branch), EMA of the teachers with the weights
that the students were run with, teachers, the contrastive loss against the bank as it was, the banks' new rows, and in
fine-tuning the method's losses (:mod:`motet.methods.discovery.methods`), of CoDT those on labels from the whole bank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import normalize

from motet.core.distributed import own_share
from motet.data.skeletons import Skeleton
from motet.memory import ema_update
from motet.methods.discovery.methods.base import Batch, Step
from motet.methods.discovery.networks import Branch, Decoder, contrast, kept_statistics, make_encoder
from motet.methods.discovery.settings import Settings


class Discovery(nn.Module):
    """Both branches and the state of their labelling.

    Args:
        settings: options.
        shared, own: branches B0 and B1.

    Attributes:
        labelling: the method's losses in fine-tuning, and what they keep.
        progress: share of the fine-tuning that is done.
    """

    def __init__(self, settings: Settings, shared: Branch, own: Branch) -> None:
        super().__init__()
        self.settings = settings
        self.branches = nn.ModuleList([shared, own])
        self.labelling = settings.method.labelling(settings, self.pair)
        self.progress = 0.0

    def add_classifiers(self, weights: Sequence[Tensor]) -> None:
        """Give both branches their target classifiers, (K, F) each, and the method the heads that it adds to them."""
        for branch, weight in zip(self.pair, weights, strict=True):
            branch.add_classifier(weight)
        self.labelling.begin()

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
        steps = 0 if hasattr(encoders[0], "forward_map") else -(-settings.frames // 4)
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
            feature, seen = shared.encode(batch.source_seen, batch.source_rows, low=self.low)
        losses = {
            "source": settings.weight_source
            * functional.cross_entropy(shared.source_classifier(feature), batch.source_labels)
        }
        decoded = _of_all(shared.decoder.loss(seen, batch.source), batch.source, batch.source_rows)
        first, seen = shared.encode(batch.seen[0], batch.rows, low=self.low)
        decoded = decoded + _of_all(shared.decoder.loss(seen, batch.students[0]), batch.students[0], batch.rows)
        losses["decoder"] = settings.weight_decoder * decoded
        features = (first, own.encode(batch.seen[1], batch.rows, low=self.low)[0])
        losses["contrast"] = settings.weight_contrast * self._teach(features[1], batch)
        if fine:
            again = None
            if batch.source_again is not None:
                with kept_statistics(shared.student["encoder"], settings.target_statistics):
                    again = shared.encode(batch.source_again, batch.source_rows, low=self.low)[0]
            losses |= self.labelling.terms(Step(batch, features, feature, again, self.progress))
        return losses

    def _teach(self, query: Tensor, batch: Batch) -> Tensor:
        """Move the teachers, fill the banks; the contrastive loss of B1 against its bank of before."""
        own = self.pair[1]
        with torch.no_grad():
            made = []
            for branch, clips in zip(self.pair, batch.teachers, strict=True):
                ema_update(branch.teacher, branch.student, self.settings.ema)
                made.append(branch.teach(clips, batch.rows, low=self.low))
            key = self._key(made[1])
        query = normalize(own.student["projection"](query), dim=1)
        loss = contrast(query, key, own.bank, batch.places, self.settings.temperature, project=self._key)
        for branch, rows in zip(self.pair, made, strict=True):
            branch.write(batch.places, rows)
        return loss

    def _key(self, features: Tensor) -> Tensor:
        """(n, D) unit rows of the teacher of B1 from its features."""
        return normalize(self.pair[1].teacher["projection"](features), dim=1)


def _of_all(mean: Tensor, clips: Tensor, rows: int) -> Tensor:
    """A mean over this process's clips, as its share of the mean over all."""
    return mean * own_share(len(clips), rows)
