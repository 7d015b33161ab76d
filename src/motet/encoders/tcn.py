"""A small dilated convolution over time, pooled over time and levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders.clips import LIMIT, check_clips, check_sizes, frame_rows

if TYPE_CHECKING:
    from typing import Self


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
        check_clips(x, self.persons, self.nodes, self.in_channels)
        rows = frame_rows(x)
        normalised = self.norm(rows.flatten(0, 1)).view(rows.shape).clamp(-LIMIT, LIMIT)
        # (B, channels, 1, T) views of contiguous (B, T, channels) data: images whose channels lie last, which is how
        # convolutions and norms are fastest, and no copies between the layers
        levels = [functional.relu(self.stem(normalised.transpose(1, 2)[:, :, None]))]
        for block in self.blocks:
            levels.append(block(levels[-1]))
        return levels[1][:, :, 0], levels[-1][:, :, 0]

    def _newest(self, level: int, seen: Tensor) -> Tensor:
        """The newest frame of a level from the frames of the one below that it reads."""
        if level == 0:
            return functional.relu(self.stem.last(seen))
        block = self.blocks[level - 1]
        assert isinstance(block, _Block)
        return block.last(seen)

    def start(self, batch: int) -> State:
        """The state of :meth:`step` before the first frame."""
        like = self.stem.weight
        memories = [self.stem, *(block.wide for block in self.blocks)]
        inputs = tuple(like.new_zeros(batch, c.in_channels, 1, c.reach) for c in memories)  # type: ignore[union-attr,arg-type]
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
            now = self._newest(index, seen)
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

    def last(self, seen: Tensor) -> Tensor:
        """(B, channels, 1, reach + 1) → (B, channels', 1, 1): the frame that has seen all of them."""
        return functional.conv2d(seen, self.weight, self.bias, dilation=self.dilation)


class _Block(nn.Module):
    """ReLU of the input plus dilated convolution, norm, ReLU, 1×1 convolution, norm; (B, width, 1, T) → the same."""

    def __init__(self, width: int, kernel: int, dilation: int, *, causal: bool) -> None:
        super().__init__()
        self.wide = Convolution(width, width, kernel, dilation, causal=causal)
        self.wide_norm = nn.BatchNorm2d(width)
        self.narrow = nn.Conv2d(width, width, 1)
        self.narrow_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self._rest(self.wide(x), x)

    def last(self, seen: Tensor) -> Tensor:
        """The newest frame of the output, (B, width, 1, 1), from the frames that it reads."""
        return self._rest(self.wide.last(seen), seen[..., -1:])

    def _rest(self, found: Tensor, x: Tensor) -> Tensor:
        inner = functional.relu(self.wide_norm(found))
        return functional.relu(x + self.narrow_norm(self.narrow(inner)))


ENCODERS = {"tcn": TCN}
