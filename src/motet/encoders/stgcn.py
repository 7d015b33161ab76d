"""ST-GCN (Yan et al., AAAI 2018) at the width used by CrosSCLR (Li et al., CVPR 2021), AimCLR and CoDT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders.clips import stretched
from motet.encoders.graph import spatial_partitions

if TYPE_CHECKING:
    from typing import Self

PARTITIONS = 3


class STGCN(nn.Module):
    """Spatial-temporal graph network: input norm, ten blocks, means over joints and frames, then over persons.

    Widths are w ×4, 2w ×3, 4w ×2 and ``feature_size`` for the last block; blocks 5 and 8 halve the frame rate.
    Every person slot passes the same network, absent ones included, as in the published code. Convolutions start
    N(0, 0.02²), norm weights N(1, 0.02²), all biases 0.

    Args:
        skeleton: its bones are the graph; sensor nodes without bones are joined in time only.
        in_channels: C.
        width: w, channels of the first block.
        feature_size: channels of the last block.
        dropout: after each block's temporal convolution, in all blocks but the first.
        temporal_kernel: frames seen by a block's temporal convolution, odd.
        center: index of the graph's centre joint; None for the middle of the graph (Kinect v2: 20, as published).

    Attributes:
        feature_size, token_size: see above.
        non_negative: features are means of rectified values.
    """

    adjacency: Tensor
    non_negative = True

    def __init__(
        self,
        skeleton: Skeleton,
        in_channels: int = 3,
        *,
        width: int = 16,
        feature_size: int = 256,
        dropout: float = 0.5,
        temporal_kernel: int = 9,
        center: int | None = None,
    ) -> None:
        super().__init__()
        sizes = (("in_channels", in_channels), ("width", width), ("feature_size", feature_size))
        for name, value in sizes:
            if value < 1:
                raise ConfigError(f"ST-GCN option {name} must be at least 1, not {value}")
        if temporal_kernel < 1 or temporal_kernel % 2 == 0:
            raise ConfigError(f"ST-GCN option temporal_kernel must be odd and positive, not {temporal_kernel}")
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"ST-GCN option dropout must lie in [0, 1), not {dropout}")
        self.nodes, self.in_channels, self.feature_size = len(skeleton), in_channels, feature_size
        self.token_size = feature_size
        self.register_buffer("adjacency", spatial_partitions(skeleton, center), persistent=False)
        self.norm = nn.BatchNorm1d(self.nodes * in_channels)
        widths = [width] * 4 + [2 * width] * 3 + [4 * width] * 2 + [feature_size]
        self.blocks = nn.ModuleList(
            _Block(
                before,
                after,
                self.nodes,
                stride=2 if index in (4, 7) else 1,
                kernel=temporal_kernel,
                dropout=dropout if index else 0.0,
                residual=index > 0,
            )
            for index, (before, after) in enumerate(zip([in_channels, *widths], widths, strict=False))
        )
        self.apply(_initialise)

    @classmethod
    def of(cls, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> Self:
        """The encoder for clips of ``channels`` and any number of ``persons``; options as of the class."""
        return cls(skeleton, channels, **options)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, feature_size)."""
        return self.forward_map(x).mean(dim=(1, 3))

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, feature_size): the mean over persons and joints, each for about four frames."""
        return stretched(self.forward_map(x).mean(dim=1).transpose(1, 2), x.shape[1])

    def forward_map(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, P, feature_size, T'): the last block's output averaged over joints only.

        T' = ⌈⌈T/2⌉/2⌉. :meth:`forward` is its mean over frames and persons.
        """
        nodes = self.forward_nodes(x)
        found = nodes.mean(dim=2).transpose(1, 2)
        return found.reshape(len(x), x.shape[2], *found.shape[1:])

    def forward_nodes(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B·P, T', V, feature_size): the last block's output, persons of a clip in a row."""
        if x.dim() != 5 or x.shape[3:] != (self.nodes, self.in_channels):
            raise ConfigError(
                "this encoder reads clips of (batch, frames, persons, nodes, channels) with the last two "
                f"{(self.nodes, self.in_channels)}, not {tuple(x.shape)}"
            )
        batch, time, persons = x.shape[:3]
        rows = x.transpose(1, 2).flatten(3).flatten(0, 2)
        features: Tensor = self.norm(rows).view(batch * persons, time, self.nodes, self.in_channels)
        for block in self.blocks:
            features = block(features, self.adjacency)
        return features


class _Block(nn.Module):
    """Graph convolution, temporal convolution, residual; (N, T, V, C) → (N, T', V, C'), channels last throughout."""

    def __init__(
        self, before: int, after: int, nodes: int, *, stride: int, kernel: int, dropout: float, residual: bool
    ) -> None:
        super().__init__()
        self.edge_importance = nn.Parameter(torch.ones(PARTITIONS, nodes, nodes))
        self.spatial = nn.Conv2d(before, PARTITIONS * after, 1)
        self.spatial_norm = nn.BatchNorm2d(after)
        self.temporal = nn.Conv2d(after, after, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.temporal_norm = nn.BatchNorm2d(after)
        self.dropout = nn.Dropout(dropout)
        self.residual = residual
        self.shortcut: nn.Module = nn.Identity()
        if residual and (before != after or stride != 1):
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, (stride, 1)), nn.BatchNorm2d(after))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        mixed = self._mix_joints(x, adjacency * self.edge_importance)
        # permuted views of contiguous (N, T, V, C) data are channels-last images: no copies between the layers
        inner = functional.relu(self.spatial_norm(mixed.permute(0, 3, 1, 2)))
        out: Tensor = self.dropout(self.temporal_norm(self.temporal(inner)))
        if self.residual:
            out = out + self._shortcut(x)
        return functional.relu(out).permute(0, 2, 3, 1)

    def _shortcut(self, x: Tensor) -> Tensor:
        """(N, T, V, C) → (N, C', T', V). The 1x1 convolution is written as a product.

        torch's strided 1x1 convolution of narrow channels-last images on a CPU writes outside its memory.
        """
        if isinstance(self.shortcut, nn.Identity):
            return x.permute(0, 3, 1, 2)
        convolution, norm = self.shortcut[0], self.shortcut[1]  # type: ignore[index]
        weight, bias = convolution.weight.flatten(1), convolution.bias
        found: Tensor = norm(functional.linear(x[:, :: self.temporal.stride[0]], weight, bias).permute(0, 3, 1, 2))
        return found

    def _mix_joints(self, x: Tensor, edges: Tensor) -> Tensor:
        """Σ_k (W_k x + b_k) A_k, the joints first and the channels after.

        The published order is the other way round; the sum is the same, and fewer channels travel along the edges.
        """
        count, time, nodes, before = x.shape
        after = self.spatial.out_channels // PARTITIONS
        targets_first = edges.permute(2, 0, 1).reshape(nodes * PARTITIONS, nodes)
        gathered = torch.matmul(targets_first, x.reshape(count * time, nodes, before))
        weight = self.spatial.weight.view(PARTITIONS, after, before).transpose(0, 1).reshape(after, -1)
        mixed = functional.linear(gathered.view(-1, PARTITIONS * before), weight)
        assert self.spatial.bias is not None
        bias = edges.sum(1).t() @ self.spatial.bias.view(PARTITIONS, after)
        return mixed.view(count, time, nodes, after) + bias


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    assert module.bias is not None
    nn.init.zeros_(module.bias)


ENCODERS = {"stgcn": STGCN}
