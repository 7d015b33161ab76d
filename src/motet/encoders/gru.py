"""The causal GRU of CMD and the skeleton encoder built on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data.skeletons import Skeleton
from motet.encoders import recurrence
from motet.encoders.clips import check_clips

if TYPE_CHECKING:
    from typing import Self

MODES = ("causal", "bidirectional")


class CausalGRU(nn.Module):
    """GRU encoder of CMD (Mao et al., ECCV 2022): two stacks of GRUs that both run forward in time.

    The released code calls a bidirectional ``nn.GRU`` once per frame and carries the state, so the "reverse" cells
    also see the past only; layer l at time t reads the outputs of both cells of layer l−1 at time t. ``mode="causal"``
    is that function, computed layer by layer. ``mode="bidirectional"`` is what ``nn.GRU`` computes on the whole
    sequence (its reverse half of the last step has seen one frame).

    Parameters are named and ordered as those of ``nn.GRU(bidirectional=True)``, so its checkpoints fit.

    Args:
        in_features: F, features per frame.
        hidden: H, units per direction.
        layers: stacked layers.
        mode: ``"causal"`` or ``"bidirectional"``.

    Attributes:
        feature_size: 2H.
    """

    def __init__(self, in_features: int, hidden: int = 1024, layers: int = 3, mode: str = "causal") -> None:
        super().__init__()
        if mode not in MODES:
            raise ConfigError(f"GRU mode {mode!r} is none of {', '.join(MODES)}")
        for name, value in (("in_features", in_features), ("hidden", hidden), ("layers", layers)):
            if value < 1:
                raise ConfigError(f"GRU option {name} must be at least 1, not {value}")
        self.in_features, self.hidden, self.layers, self.mode = in_features, hidden, layers, mode
        self.feature_size = 2 * hidden
        for layer in range(layers):
            width = in_features if layer == 0 else 2 * hidden
            for suffix in (f"_l{layer}", f"_l{layer}_reverse"):
                self.register_parameter(f"weight_ih{suffix}", nn.Parameter(torch.empty(3 * hidden, width)))
                self.register_parameter(f"weight_hh{suffix}", nn.Parameter(torch.empty(3 * hidden, hidden)))
                self.register_parameter(f"bias_ih{suffix}", nn.Parameter(torch.empty(3 * hidden)))
                self.register_parameter(f"bias_hh{suffix}", nn.Parameter(torch.empty(3 * hidden)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """PyTorch's own initialisation of a GRU: uniform in ±1/√H."""
        bound = 1.0 / math.sqrt(self.hidden)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound)

    def extra_repr(self) -> str:
        return f"{self.in_features}, hidden={self.hidden}, layers={self.layers}, mode={self.mode!r}"

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F) → (B, 2H): the last layer's output at the last frame."""
        self._check(x)
        if self._by_library():
            return self.sequence(x)[:, -1]
        return run_together([self], [x], sequence=False)[0]

    def sequence(self, x: Tensor) -> Tensor:
        """(B, T, F) → (B, T, 2H): the last layer's output at every frame."""
        self._check(x)
        if self.mode == "bidirectional":
            return self._bidirectional(x)
        if self._by_library():
            return self.sequence_by_library(x)
        return run_together([self], [x], sequence=True)[0]

    def sequence_by_library(self, x: Tensor) -> Tensor:
        """:meth:`sequence` of the causal mode from PyTorch's own GRU calls, two per layer.

        Serves exporters, which know the library's operators only, and comparison on devices with a fused kernel.
        """
        train = self._differentiable()
        for layer in range(self.layers):
            start = x.new_zeros((1, x.shape[0], self.hidden))
            halves = [
                torch._VF.gru(x, start, self._cell(layer, d), True, 1, 0.0, train, False, True)[0] for d in range(2)
            ]
            x = torch.cat(halves, dim=2)
        return x

    def initial_state(self, batch: int) -> Tensor:
        """The zero state (2 · layers, batch, H) of :meth:`step`."""
        return next(self.parameters()).new_zeros((2 * self.layers, batch, self.hidden))

    def step(self, frame: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One frame of a live stream.

        Args:
            frame: (B, F).
            state: (2 · layers, B, H), what the previous call returned or :meth:`initial_state`.

        Returns:
            (B, 2H) output, equal to :meth:`sequence` at this frame, and the next state.

        Raises:
            ConfigError: in the bidirectional mode, which has to see the future.
        """
        if self.mode != "causal":
            raise ConfigError("a bidirectional GRU cannot run frame by frame; use mode='causal'")
        states: list[Tensor] = []
        for layer in range(self.layers):
            for direction in range(2):
                before = state[2 * layer + direction]
                states.append(torch.gru_cell(frame, before, *self._cell(layer, direction)))
            frame = torch.cat(states[-2:], dim=1)
        return frame, torch.stack(states)

    def _cell(self, layer: int, direction: int) -> list[Tensor]:
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        return [getattr(self, name + suffix) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def _bidirectional(self, x: Tensor) -> Tensor:
        start = self.initial_state(x.shape[0]).to(x.dtype)
        weights: list[Tensor] = list(self.parameters())
        train = self._differentiable()
        output: Tensor = torch._VF.gru(x, start, weights, True, self.layers, 0.0, train, True, True)[0]
        return output

    def _differentiable(self) -> bool:
        """What the library knows of training: cuDNN keeps what a backward pass needs only then.

        Nothing is dropped between layers, so the output is the same, and gradients exist in evaluation mode too.
        """
        return self.training or torch.is_grad_enabled()

    def _by_library(self) -> bool:
        return (
            self.mode == "bidirectional" or torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
        )

    def _check(self, x: Tensor) -> None:
        if x.dim() != 3 or x.shape[2] != self.in_features:
            raise ConfigError(f"this GRU reads (batch, frames, {self.in_features}) features, not {tuple(x.shape)}")
        if x.shape[1] == 0:
            raise ConfigError("a GRU needs at least one frame; the batch has none")


class SkeletonGRU(nn.Module):
    """CMD's encoder of skeleton clips: batch norm of every coordinate, then :class:`CausalGRU`.

    A frame's features lie joint-major, then channel, then person: ``f = v·(C·P) + c·P + p``. GRU matrices start
    Xavier-uniform, biases as PyTorch's (CMD, Mao et al., ECCV 2022, released code).

    Args:
        nodes: V, joints or sensor nodes.
        persons: P.
        channels: C.
        hidden: H, units per direction.
        layers: stacked GRU layers.
        mode: see :class:`CausalGRU`.

    Attributes:
        feature_size, token_size: 2H.
    """

    def __init__(
        self, nodes: int, persons: int, channels: int, hidden: int = 1024, layers: int = 3, mode: str = "causal"
    ) -> None:
        super().__init__()
        for name, value in (("nodes", nodes), ("persons", persons), ("channels", channels)):
            if value < 1:
                raise ConfigError(f"encoder option {name} must be at least 1, not {value}")
        self.nodes, self.persons, self.channels = nodes, persons, channels
        self.norm = nn.BatchNorm1d(nodes * persons * channels)
        self.gru = CausalGRU(nodes * persons * channels, hidden, layers, mode)
        self.feature_size = self.token_size = self.gru.feature_size
        for parameter in self.gru.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)

    @classmethod
    def of(cls, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> Self:
        """The encoder for clips of ``persons`` and ``channels``; options as of the class."""
        return cls(len(skeleton), persons, channels, **options)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, 2H)."""
        feature: Tensor = self.gru(self.normalise(x))
        return feature

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, 2H): the output at every frame."""
        return self.gru.sequence(self.normalise(x))

    @property
    def causal(self) -> bool:
        """Whether it can run frame by frame."""
        return self.gru.mode == "causal"

    def start(self, batch: int) -> Tensor:
        """The state of :meth:`step` before the first frame."""
        return self.gru.initial_state(batch)

    def step(self, frame: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, V, C), and the state before → (B, 2H) of the clip up to this frame, and the next state."""
        return self.gru.step(self.normalise(frame[:, None])[:, 0], state)

    def normalise(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, V·C·P), each feature normalised over the batch and all frames."""
        check_clips(x, self.persons, self.nodes, self.channels)
        batch, time = x.shape[:2]
        # frames first: the recurrence reads time-major rows, and the norm does not care about the rows' order
        rows = x.permute(1, 0, 3, 4, 2).reshape(time * batch, -1)
        normalised: Tensor = self.norm(rows)
        return normalised.view(time, batch, -1).transpose(0, 1)


def run_together(grus: Sequence[CausalGRU], inputs: Sequence[Tensor], *, sequence: bool) -> list[Tensor]:
    """Run causal GRUs of equal shape in one grouped recurrence.

    Args:
        grus: encoders of equal ``hidden`` and ``layers``, in the causal mode.
        inputs: one (B, T, F) tensor per encoder, of equal B and T.
        sequence: whether to return every frame.

    Returns:
        Per encoder (B, 2H), or (B, T, 2H) for ``sequence``, in the parameters' dtype.
    """
    parameters = [p for gru in grus for p in gru.parameters()]
    plan = recurrence.Plan(
        stacks=len(grus),
        layers=grus[0].layers,
        hidden=grus[0].hidden,
        compute=_compute_dtype(parameters[0]),
        sequence=sequence,
    )
    result = recurrence.run(plan, [x.transpose(0, 1) for x in inputs], parameters)
    pairs = result.view(len(grus), 2, *result.shape[1:]).movedim(1, -2)
    outputs = pairs.flatten(-2).unbind(0)
    return [o.transpose(0, 1) for o in outputs] if sequence else list(outputs)


def _compute_dtype(parameter: Tensor) -> torch.dtype:
    """Autocast's dtype where it is on; like autocast, float64 stays as it is."""
    device = parameter.device.type
    if parameter.dtype == torch.float32 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return parameter.dtype


def encode_together(encoders: Sequence[nn.Module], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Features of several streams, each by its own encoder.

    Causal GRU encoders of equal hidden size and depth whose inputs agree in batch and frames share one grouped
    recurrence (their input widths may differ); all others run by themselves. Values and gradients are those of the
    separate calls.

    Args:
        encoders: one per stream.
        inputs: one batch of clips per stream, in the layout the stream's encoder reads.

    Returns:
        One (B, feature_size) tensor per stream, in the given order.
    """
    if len(encoders) != len(inputs):
        raise ConfigError(
            f"{counted(len(encoders), 'encoder')} were given {counted(len(inputs), 'input')}; each needs its own"
        )
    results: list[Tensor | None] = [None] * len(encoders)
    groups: dict[object, list[tuple[int, CausalGRU, Tensor]]] = {}
    for index, (encoder, x) in enumerate(zip(encoders, inputs, strict=True)):
        gru = encoder.gru if isinstance(encoder, SkeletonGRU) else encoder
        if not isinstance(gru, CausalGRU) or gru._by_library():
            results[index] = encoder(x)
            continue
        features = encoder.normalise(x) if isinstance(encoder, SkeletonGRU) else x
        gru._check(features)
        first = next(gru.parameters())
        key = (gru.hidden, gru.layers, features.shape[:2], first.dtype, first.device)
        groups.setdefault(key, []).append((index, gru, features))
    for members in groups.values():
        features_of = run_together([m[1] for m in members], [m[2] for m in members], sequence=False)
        for (index, _, _), feature in zip(members, features_of, strict=True):
            results[index] = feature
    return [r for r in results if r is not None]


ENCODERS = {"gru": SkeletonGRU}
