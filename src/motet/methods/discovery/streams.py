"""An encoder of several views side by side, and what it takes over from trained weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from motet.data.skeletons import Skeleton
from motet.data.views import View
from motet.encoders import encode_together
from motet.methods.model import Model
from motet.methods.whitening import Whitening
from motet.metrics.knn import standardisation

NORM = 10.0
"""root mean square length of features that start from weights, which sets how sharp a classifier at centres is"""


class StreamEncoder(nn.Module):
    """(B, T, P, V, C) → (B, F): the features of several views, each by its encoder and a fixed linear map.

    Args:
        skeleton: layout of the clips.
        streams: names of the views (:class:`motet.data.views.View`).
        make: encoder of the layout that a view delivers.

    Attributes:
        encoders: one per stream.
        lasts: the fixed linear maps, identities unless :meth:`take` sets them.
        feature_size: F, the sum of theirs.
    """

    def __init__(self, skeleton: Skeleton, streams: Sequence[str], make: Callable[[Skeleton], nn.Module]) -> None:
        super().__init__()
        self.views = [View.parse(stream, skeleton) for stream in streams]
        self.encoders = nn.ModuleList(make(view.skeleton) for view in self.views)
        sizes = [int(encoder.feature_size) for encoder in self.encoders]  # type: ignore[arg-type]
        self.lasts = nn.ModuleList(Whitening(size) for size in sizes)
        self.feature_size = sum(sizes)

    def forward(self, clips: Tensor) -> Tensor:
        found = encode_together(list(self.encoders), [view(clips) for view in self.views])
        with torch.autocast(clips.device.type, enabled=False):
            return torch.cat([last(x.float()) for last, x in zip(self.lasts, found, strict=True)], dim=1)

    def weights_of(self, model: Model) -> dict[str, Tensor]:
        """The state that trained encoders of the same streams give; without a whitening that is of statistics too."""
        named = {f"encoders.{k}": v for k, v in model.encoders.state_dict().items()}
        known = {} if model.recipe.statistics else model.whitening
        maps = [known.get(s, Whitening(len(last.mean))) for s, last in zip(model.streams, self.lasts)]  # type: ignore[arg-type]  # noqa: B905
        return named | {f"lasts.{k}": v for k, v in nn.ModuleList(maps).state_dict().items()}

    @torch.no_grad()
    def standardise(self, clips: Sequence[Tensor]) -> None:
        """Let the features of some clips have mean 0, equal spread in all directions of the axes, and length NORM.

        Args:
            clips: batches of clips.
        """
        training = self.training
        found = torch.cat([self.eval()(batch) for batch in clips]).double()
        self.train(training)
        shift, gain = standardisation(found)
        gain = gain * NORM / self.feature_size**0.5
        sizes = [len(last.mean) for last in self.lasts]  # type: ignore[arg-type]
        for last, move, factor in zip(self.lasts, torch.split(shift, sizes), torch.split(gain, sizes), strict=True):
            assert isinstance(last, Whitening)
            matrix = last.matrix.double()
            last.mean.add_(torch.linalg.solve(matrix.T, move))
            last.matrix.copy_(matrix * factor)
