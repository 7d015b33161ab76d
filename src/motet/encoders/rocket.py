"""Random convolutions as features: nothing is trained.

After ROCKET (Dempster, Petitjean and Webb, DMKD 2020) and MiniRocket (Dempster, Schmidt and Webb, KDD 2021): kernels of
nine weights, three of them 2 and six −1, at dilations drawn on a logarithmic scale, each over a few coordinates; the
feature is the share of frames at which a kernel's output exceeds a threshold taken from the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.errors import ConfigError
from motet.data.loader import ClipStore, center_crop
from motet.data.skeletons import Skeleton
from motet.data.views import View
from motet.encoders.clips import check_clips, check_sizes, frame_rows

if TYPE_CHECKING:
    from typing import Self

LENGTH = 9
"""weights of a kernel."""
PATTERNS = tuple(combinations(range(LENGTH), 3))
"""where the three large weights of a kernel are: the 84 kernels of MiniRocket."""
SPAN = 32
"""frames that the longest dilation spans."""
FRAMES = 64
"""frames that clips are resized to, whatever an encoder sees: so that dilations differ."""
_COORDINATES = 9  # most coordinates that a kernel reads
_BATCH = 64  # clips at a time, so that the outputs of all kernels fit in a cache


class Rocket(nn.Module):
    """Share of frames at which random convolutions exceed their thresholds.

    Thresholds start at 0 and are set by :meth:`fit`: of each kernel
    one quantile of its outputs, the quantiles spread evenly over the kernels.

    Args:
        skeleton: nodes.
        in_channels: C.
        persons: P.
        kernels: number of kernels.
        seed: of the draws; by default they follow torch's generator.

    Attributes:
        feature_size: number of kernels.
        token_size: the same.
    """

    learns: ClassVar[bool] = False
    weight: Tensor
    threshold: Tensor
    fitted: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        in_channels: int = 3,
        persons: int = 1,
        *,
        kernels: int = 1000,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes("rocket", in_channels=in_channels, persons=persons, kernels=kernels)
        self.nodes, self.in_channels, self.persons = len(skeleton), in_channels, persons
        self.feature_size = self.token_size = kernels
        rows = len(skeleton) * in_channels * persons
        seed = int(torch.randint(2**31, ())) if seed is None else seed
        generator = torch.Generator().manual_seed(seed)
        longest = math.log2((SPAN - 1) / (LENGTH - 1))
        drawn = 2 ** (torch.rand(kernels, generator=generator, dtype=torch.float64) * max(0.0, longest))
        dilation = drawn.long().sort().values
        most = math.log2(min(rows, _COORDINATES) + 1)
        counts = (2 ** (torch.rand(kernels, generator=generator, dtype=torch.float64) * most)).long()
        chosen = [torch.randperm(rows, generator=generator)[:count] for count in counts.tolist()]
        patterns = torch.full((len(PATTERNS), LENGTH), -1.0).scatter_(1, torch.tensor(PATTERNS), 2.0)
        kernel = torch.arange(kernels).repeat_interleave(counts.clamp_max(rows))
        weight = torch.zeros(kernels, rows, LENGTH)
        weight[kernel, torch.cat(chosen)] = patterns[kernel % len(PATTERNS)]
        order = torch.randperm(kernels, generator=generator)  # patterns and dilations do not go together
        self.dilations = [(int(d), int((dilation == d).sum())) for d in sorted(set(dilation.tolist()))]
        self.register_buffer("weight", weight[order])
        self.register_buffer("threshold", torch.zeros(kernels))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @classmethod
    def of(cls, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> Self:
        """The encoder for clips of ``persons`` and ``channels``; options as of the class."""
        return cls(skeleton, channels, persons, **options)

    @torch.no_grad()
    def fit(self, clips: Tensor) -> None:
        """Take the thresholds from (B, T, P, V, C) clips."""
        parts = [self._outputs(part).transpose(0, 1).flatten(1) for part in torch.split(clips, _BATCH)]
        outputs = torch.cat(parts, dim=1)
        # the fractional parts of multiples of the golden ratio cover [0, 1] evenly, as MiniRocket draws them
        golden = (1 + math.sqrt(5)) / 2
        quantile = (torch.arange(1, len(outputs) + 1, dtype=torch.float64) * golden % 1).to(outputs)
        ordered = outputs.sort(dim=1).values
        # between two outputs, so that rounding decides nothing
        place = (quantile * (ordered.shape[1] - 1)).long()[:, None]
        following = (place + 1).clamp_max(ordered.shape[1] - 1)
        self.threshold.copy_((ordered.gather(1, place) + ordered.gather(1, following))[:, 0] / 2)
        self.fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, kernels)."""
        if torch.compiler.is_compiling():
            return self._shares(x)
        # made before the outputs of kernels, between which small results would keep freed memory from being used again
        made = x.new_empty(len(x), self.feature_size)
        for part, own in zip(torch.split(x, _BATCH), torch.split(made, _BATCH), strict=True):
            own.copy_(self._shares(part))
        return made

    def _shares(self, x: Tensor) -> Tensor:
        """(B, kernels) of the clips of one batch."""
        return (self._outputs(x) > self._threshold()).to(x.dtype).mean(dim=2)

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, kernels): the share of the nine frames around each."""
        above = (self._outputs(x) > self._threshold()).to(x.dtype)
        window = min(LENGTH, 2 * above.shape[2] - 1)
        near = functional.avg_pool1d(above, window, 1, window // 2, count_include_pad=False)
        return near.transpose(1, 2)

    def _threshold(self) -> Tensor:
        if not torch.compiler.is_compiling() and not bool(self.fitted):
            raise ConfigError("these random convolutions have no thresholds yet; fit them on clips first")
        return self.threshold[:, None]

    def _outputs(self, x: Tensor) -> Tensor:
        """(B, kernels, T): what every kernel gives at every frame, zeros around the clip."""
        check_clips(x, self.persons, self.nodes, self.in_channels)
        rows = frame_rows(x).transpose(1, 2).contiguous()
        found, at = [], 0
        for dilation, count in self.dilations:
            weight = self.weight[at : at + count].to(rows)
            found.append(functional.conv1d(rows, weight, padding=dilation * (LENGTH // 2), dilation=dilation))
            at += count
        return torch.cat(found, dim=1)


def fit_thresholds(
    encoders: Iterable[nn.Module], views: Iterable[View], store: ClipStore, ids: Tensor, frames: int, most: int = 64
) -> None:
    """Set the thresholds of the random convolutions of some views by some of the clips, evenly spread.

    Args:
        encoders, views: one of each per stream.
        store: the clips.
        ids: (n,) those that may be used.
        frames: that a clip is resized to.
        most: clips that are used.
    """
    chosen = ids[torch.linspace(0, len(ids) - 1, min(most, len(ids))).round().long()].to(store.device)
    clips = store.windows(chosen, *center_crop(store.lengths_of(chosen)), frames)
    for encoder, view in zip(encoders, views, strict=True):
        assert isinstance(encoder, Rocket)
        encoder.fit(view(clips))


ENCODERS = {"rocket": Rocket}
