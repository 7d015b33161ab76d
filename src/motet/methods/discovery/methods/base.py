"""What a way to label the target looks like: options, and the state that its labels need in fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from motet.core.options import Options
from motet.memory.kmeans import Clustering, spherical_kmeans

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings


@dataclass(frozen=True)
class Batch:
    """What a step sees; index 0 is the shared branch, 1 the target's own. Of several processes each has its part of
    the clips, and labels and places of all.

    Attributes:
        source: (B, T, P, V0, C) augmented source clips; ``source_seen`` the same after masking.
        source_labels: (B,) int64, 0 … C_s − 1.
        students: the target's clips of both students before masking; ``seen`` after it.
        teachers: the target's weakly augmented clips of both teachers.
        places: (B,) slots of the target's clips in the banks.
        source_again: a second view of the source, for methods that ask for one.
    """

    source: Tensor
    source_seen: Tensor
    source_labels: Tensor
    students: tuple[Tensor, Tensor]
    seen: tuple[Tensor, Tensor]
    teachers: tuple[Tensor, Tensor]
    places: Tensor
    source_again: Tensor | None = None

    @property
    def rows(self) -> int:
        """B of the target, over all processes."""
        return len(self.places)

    @property
    def source_rows(self) -> int:
        """B of the source, over all processes."""
        return len(self.source_labels)


@dataclass(frozen=True)
class Step:
    """What the base losses have made of a batch; features are of the clips of all processes.

    Attributes:
        batch: the clips.
        features: (B, F0) and (B, F1) of the target by both students, with gradient.
        source: (B, F0) of the source by the shared student, with gradient.
        source_again: the same of the second view of the source, where the method asks for one.
        progress: share of the fine-tuning that is done.
    """

    batch: Batch
    features: tuple[Tensor, Tensor]
    source: Tensor
    source_again: Tensor | None
    progress: float


class Labelling(nn.Module):
    """The fine-tuning losses of a method, and what they keep between steps.

    Parameters of the module train next to the branches from the start of fine-tuning on.

    Args:
        options: of the method.
        settings: all options of the discovery.
        pair: branches B0 and B1; not submodules.
    """

    def __init__(self, options: Any, settings: Settings, pair: tuple[Branch, Branch]) -> None:
        super().__init__()
        self.options, self.settings, self.pair = options, settings, pair

    @property
    def says(self) -> str:
        """One line about the clusters that it begins with, if there is something to say."""
        return ""

    def clusterings(self, pair: Sequence[Tensor], clusters: int, **options: Any) -> list[Clustering]:
        """Clusters of both branches' clean features, (N, F) each, at whose centres the target classifiers start."""
        return [spherical_kmeans(x, clusters, **options) for x in pair]

    def begin(self) -> None:
        """Called once, when the target classifiers exist: add heads."""

    def begin_epoch(self) -> None:
        """Before the first step of an epoch of fine-tuning: labels that last for the epoch."""

    def terms(self, step: Step) -> Mapping[str, Tensor]:
        """Weighted losses of a step; a name of a base loss replaces it.

        The banks hold the batch's teacher features already.
        """
        raise NotImplementedError

    def after_step(self) -> None:
        """When the optimiser has moved the weights."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds next to parameters and buffers."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""

    def moved(self, value: Tensor | None) -> Tensor | None:
        """A stored tensor on the device of the branches."""
        return None if value is None else value.to(self.pair[0].bank.device)

    def logits(self, features: Sequence[Tensor]) -> list[Tensor]:
        """(n, K) of both students' target classifiers."""
        return [b.student["clusters"](x) for b, x in zip(self.pair, features, strict=True)]

    def second_view(self, batch: Batch) -> list[Tensor]:
        """Students' features of the teachers' clips, for methods that compare two views."""
        low = self.settings.precision == "bf16"
        return [b.encode(x, batch.rows, low=low)[0] for b, x in zip(self.pair, batch.teachers, strict=True)]


@dataclass(frozen=True)
class Method(Options):
    """Options of a method; each method's module calls its own subclass ``Options``."""

    summary: ClassVar[str]
    """what the method does, for the help."""
    trains: ClassVar[bool] = True
    """whether there is a fine-tuning at all."""
    source_views: ClassVar[int] = 1
    """views of the source in fine-tuning, 1 or 2."""

    @property
    def name(self) -> str:
        """Name of the method, that of its module."""
        return type(self).__module__.rsplit(".", 1)[1]

    def released(self) -> Self:
        """The released code's values where these depart from the paper's."""
        return self

    def check(self, clusters: int | None) -> None:
        """Compare the options with the number of clusters; raises ConfigError."""

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> Labelling:
        """The losses of the fine-tuning."""
        raise NotImplementedError


@torch.no_grad()
def one_hot(labels: Tensor, clusters: int, like: Tensor) -> Tensor:
    """(n, K) membership in the type of ``like``."""
    return torch.nn.functional.one_hot(labels, clusters).to(like)
