"""A small dilated convolution over time, pooled over time and levels."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders.clips import LIMIT, check_clips, check_sizes, frame_rows

if TYPE_CHECKING:
    from typing import Self

EDGE = 2
"""frames at the ends of a window that may differ from those of the next window: the window's own ends, and motion"""

_LINES = 16
"""clips from which on torch leaves small convolutions to oneDNN"""


@dataclass(frozen=True)
class State:
    """What :meth:`TCN.step` has to remember of the frames before.

    Attributes:
        inputs: of each convolution the frames that it still reads, (B, channels, 1, (kernel − 1) · dilation).
        sums: (B, t, width), running sums of the last level, for its halves.
        total, highest: (B, 2 · width), sum and maximum over time of the last and the second level.
    """

    inputs: tuple[Tensor, ...]
    sums: Tensor
    total: Tensor
    highest: Tensor


class TCN(nn.Module):
    """Temporal convolution of skeleton clips (after Bai, Kolter and Koltun, 2018, with batch norms).

    The coordinates of a frame, flattened, pass a batch norm and are cut to ±8. A convolution over time makes
    ``width`` channels of them; ``layers`` residual blocks follow (convolution with dilation 1, 2, 4 …; batch norm;
    ReLU; 1×1 convolution; batch norm). The feature is, side by side, mean and maximum over time of the last level,
    the same of the second level, and the mean of the second half of the clip less that of the first.

    Args:
        skeleton: nodes.
        in_channels: C.
        persons: P.
        width: channels of every level.
        layers: residual blocks.
        kernel: frames that a convolution reads, odd.
        causal: let a frame see the past only, so that :meth:`step` can run on a live stream.

    Attributes:
        feature_size: 5 · width.
        token_size: 2 · width.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        in_channels: int = 3,
        persons: int = 1,
        *,
        width: int = 64,
        layers: int = 3,
        kernel: int = 5,
        causal: bool = False,
    ) -> None:
        super().__init__()
        check_sizes("TCN", in_channels=in_channels, persons=persons, width=width, layers=layers)
        if kernel < 1 or kernel % 2 == 0:
            raise ConfigError(f"TCN option kernel must be odd and positive, not {kernel}")
        self.nodes, self.in_channels, self.persons, self.width = len(skeleton), in_channels, persons, width
        self.feature_size, self.token_size = 5 * width, 2 * width
        rows = len(skeleton) * in_channels * persons
        self.norm = nn.BatchNorm1d(rows)
        self.stem = Convolution(rows, width, kernel, 1, causal=causal)
        self.blocks = nn.ModuleList(_Block(width, kernel, 1 << i, causal=causal) for i in range(layers))
        self.causal = causal

    @classmethod
    def of(cls, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> Self:
        """The encoder for clips of ``persons`` and ``channels``; options as of the class."""
        return cls(skeleton, channels, persons, **options)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, feature_size)."""
        second, last = self._levels(x)
        frames = last.shape[2]
        half = max(1, frames // 2)
        turn = last[:, :, frames // 2 :].mean(dim=2) - last[:, :, :half].mean(dim=2)
        return torch.cat([last.mean(dim=2), last.amax(dim=2), second.mean(dim=2), second.amax(dim=2), turn], dim=1)

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, token_size): the last and the second level at every frame."""
        second, last = self._levels(x)
        return torch.cat([last, second], dim=1).transpose(1, 2)

    def _levels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width, T) of the second and of the last level."""
        # (B, channels, 1, T) views of contiguous (B, T, channels) data: images whose channels lie last, which is how
        # convolutions and norms are fastest, and no copies between the layers
        now = self._normalised(x).transpose(1, 2)[:, :, None]
        levels = []
        for level in range(len(self.blocks) + 1):
            now = self._level(level, now)
            levels.append(now[:, :, 0])
        return levels[1], levels[-1]

    def _normalised(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, V·C·P)."""
        check_clips(x, self.persons, self.nodes, self.in_channels)
        rows = frame_rows(x)
        made: Tensor = self.norm(rows.flatten(0, 1)).view(rows.shape).clamp(-LIMIT, LIMIT)
        return made

    def _level(self, level: int, below: Tensor) -> Tensor:
        """A level from the one below it, (B, channels, 1, T) → (B, width, 1, T)."""
        made: Tensor = self.blocks[level - 1](below) if level else functional.relu_(self.stem(below))
        return made

    def folded(self) -> Self:
        """A copy for evaluation whose norms are part of the convolutions: faster, and equal up to rounding."""
        made = copy.deepcopy(self).eval()
        for block in made.blocks:
            block.fold()  # type: ignore[operator]
        return made

    def shares(self, frames: int, shift: int) -> bool:
        """Whether :meth:`overlapping` can do windows of so many frames that come again ``shift`` frames later."""
        reach = sum(c.reach for c in self._convolutions()) // 2
        return not self.causal and shift <= frames and frames > 2 * (EDGE + reach)

    def overlapping(self, x: Tensor, every: int, shift: int) -> Tensor:
        """:meth:`forward` of windows of a recording, for evaluation: what they share is computed once.

        A frame of a level depends on the window only near its ends. So each level is computed along whole lines of
        frames, ``every`` of them, and near the ends of each window once more.

        Args:
            x: (B, T, P, V, C), B a multiple of ``every``; but for the :data:`EDGE` frames at either end, window
                k + ``every`` is window k, ``shift`` frames later.
            every, shift: see there; :meth:`shares` says whether T allows it.
        """
        pieces = math.gcd(len(x) // every, -(-_LINES // every))
        rows = self._normalised(x)  # then (lines, n, T, channels)
        rows = rows.view(pieces, -1, every, *rows.shape[1:]).transpose(1, 2).flatten(0, 1)
        frames, middle = rows.shape[2], (rows.shape[2] - shift) // 2
        centre = rows[:, :, middle : middle + shift].flatten(1, 2)
        line = torch.cat([rows[:, 0, :middle], centre, rows[:, -1, middle + shift :]], dim=1)
        ends = torch.stack([rows[:, :, :EDGE], rows[:, :, -EDGE:]])  # (2, lines, n, …, channels)
        pooled = []
        for level, convolution in enumerate(self._convolutions()):
            own, half = ends.shape[3], convolution.reach // 2
            seen = ends.new_empty(*ends.shape[:3], own + 3 * half, ends.shape[4])
            around = line.unfold(1, frames, shift).transpose(2, 3)  # (lines, n, T, channels), a view
            seen[0, :, :, :half] = seen[1, :, :, 2 * half + own :] = 0
            seen[0, :, :, half : half + own], seen[1, :, :, 2 * half : 2 * half + own] = ends
            seen[0, :, :, half + own :] = around[:, :, own : own + 2 * half]
            seen[1, :, :, : 2 * half] = around[:, :, frames - own - 2 * half : frames - own]
            made = self._within(level, seen.flatten(0, 2).transpose(1, 2)[:, :, None])
            ends = made[:, :, 0].transpose(1, 2).view(*ends.shape[:3], own + half, self.width)
            line = self._level(level, line.transpose(1, 2)[:, :, None])[:, :, 0].transpose(1, 2)
            if level in (1, len(self.blocks)):
                pooled.append(_pooled(line.unfold(1, frames, shift).transpose(2, 3), ends))
        (first, rest, second), (early, late, last) = pooled[0], pooled[-1]
        turn = late / (frames - frames // 2) - early / (frames // 2)
        found = torch.cat([(early + late) / frames, last, (first + rest) / frames, second, turn], dim=2)
        return found.view(pieces, every, -1, self.feature_size).transpose(1, 2).flatten(0, 2)

    def _convolutions(self) -> list[Convolution]:
        """Those along time, one a level."""
        return [self.stem, *(block.wide for block in self.blocks)]  # type: ignore[list-item]

    def _within(self, level: int, seen: Tensor) -> Tensor:
        """:meth:`_level` without frames that would read beyond ``seen``: T less the reach of the level."""
        if level == 0:
            return functional.relu_(self.stem.within(seen))
        block = self.blocks[level - 1]
        assert isinstance(block, _Block)
        return block.within(seen)

    def start(self, batch: int) -> State:
        """The state of :meth:`step` before the first frame."""
        like = self.stem.weight
        inputs = tuple(like.new_zeros(batch, c.in_channels, 1, c.reach) for c in self._convolutions())
        pooled = like.new_zeros(batch, 2 * self.width)
        return State(inputs, like.new_zeros(batch, 0, self.width), pooled, torch.full_like(pooled, -torch.inf))

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """One frame of a live stream; for evaluation mode.

        Args:
            frame: (B, P, V, C).
            state: what the call before returned, or :meth:`start`.

        Returns:
            (B, feature_size), equal to :meth:`forward` of the clip up to this frame, and the next state.

        Raises:
            ConfigError: the encoder is not causal.
        """
        if not self.causal:
            raise ConfigError("this TCN sees the future and cannot run frame by frame; train one with --causal")
        now = self.norm(frame_rows(frame[:, None])[:, 0]).clamp(-LIMIT, LIMIT)[:, :, None, None]
        inputs, levels = [], []
        for index, memory in enumerate(state.inputs):
            seen = torch.cat([memory, now], dim=3)
            inputs.append(seen[..., 1:])
            now = self._within(index, seen)
            levels.append(now[:, :, 0, 0])
        last, second = levels[-1], levels[1]
        before = state.sums[:, -1] if state.sums.shape[1] else torch.zeros_like(last)
        sums = torch.cat([state.sums, (before + last)[:, None]], dim=1)
        both = torch.cat([last, second], dim=1)
        total, highest = state.total + both, torch.maximum(state.highest, both)
        frames, width = sums.shape[1], self.width
        half = max(1, frames // 2)
        late = sums[:, -1] - (sums[:, frames // 2 - 1] if frames > 1 else 0)
        turn = late / (frames - frames // 2) - sums[:, half - 1] / half
        mean = total / frames
        feature = torch.cat([mean[:, :width], highest[:, :width], mean[:, width:], highest[:, width:], turn], dim=1)
        return feature, State(tuple(inputs), sums, total, highest)


class Convolution(nn.Conv2d):
    """A convolution over time that keeps the number of frames: zeros around, or before where it is causal.

    (B, channels, 1, T) → (B, channels', 1, T).
    """

    def __init__(self, before: int, after: int, kernel: int, dilation: int, *, causal: bool) -> None:
        reach = (kernel - 1) * dilation
        super().__init__(before, after, (1, kernel), dilation=dilation, padding=(0, 0 if causal else reach // 2))
        self.reach, self.causal = reach, causal

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (self.reach, 0)) if self.causal else x)

    def within(self, seen: Tensor) -> Tensor:
        """(B, channels, 1, reach + T) → (B, channels', 1, T): frames that read none beyond them."""
        return functional.conv2d(seen, self.weight, self.bias, dilation=self.dilation)


class _Block(nn.Module):
    """ReLU of the input plus dilated convolution, norm, ReLU, 1×1 convolution, norm; (B, width, 1, T) → the same."""

    def __init__(self, width: int, kernel: int, dilation: int, *, causal: bool) -> None:
        super().__init__()
        self.wide = Convolution(width, width, kernel, dilation, causal=causal)
        self.wide_norm: nn.Module = nn.BatchNorm2d(width)
        self.narrow = nn.Conv2d(width, width, 1)
        self.narrow_norm: nn.Module = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self._rest(self.wide(x), x)

    def within(self, seen: Tensor) -> Tensor:
        """(B, width, 1, reach + T) → (B, width, 1, T): frames that read none beyond them."""
        reach = self.wide.reach
        after = 0 if self.wide.causal else reach // 2
        return self._rest(self.wide.within(seen), seen[..., reach - after : seen.shape[3] - after])

    def _rest(self, found: Tensor, x: Tensor) -> Tensor:
        inner = functional.relu_(self.wide_norm(found))
        return functional.relu_(self.narrow_norm(self.narrow(inner)).add_(x))

    def fold(self) -> None:
        """Make the norms part of the convolutions, in evaluation mode."""
        assert isinstance(self.wide_norm, nn.BatchNorm2d)
        assert isinstance(self.narrow_norm, nn.BatchNorm2d)
        self.wide, self.wide_norm = fuse_conv_bn_eval(self.wide, self.wide_norm), nn.Identity()
        self.narrow, self.narrow_norm = fuse_conv_bn_eval(self.narrow, self.narrow_norm), nn.Identity()


def _pooled(around: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over both halves of windows, and maxima.

    Args:
        around: (lines, n, T, width), right but for the ends.
        ends: (2, lines, n, own, width).
    """
    frames, own = around.shape[2], ends.shape[3]
    inner, half = around[:, :, own : frames - own], frames // 2 - own
    early, late = inner[:, :, :half].sum(dim=2), inner[:, :, half:].sum(dim=2)
    highest = torch.maximum(inner.amax(dim=2), ends.amax(dim=3).amax(dim=0))
    return early + ends[0].sum(dim=2), late + ends[1].sum(dim=2), highest


ENCODERS = {"tcn": TCN}
