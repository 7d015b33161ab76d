"""The momentum encoder: a copy of a network that follows the online weights slowly (MoCo, He et al., CVPR 2020)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def momentum_encoder(module: ModuleType) -> ModuleType:
    """A deep copy without gradients, in train mode.

    Train mode is CMD's choice (Mao et al., ECCV 2022, released code): its batch norms use batch statistics and keep
    running statistics of their own.
    """
    made = copy.deepcopy(module).requires_grad_(False)
    for parameter in made.parameters():
        parameter.grad = None
    return made.train()


make_twin = momentum_encoder
"""its earlier name"""


@torch.no_grad()
def ema_update(follower: nn.Module, online: nn.Module, momentum: float) -> None:
    """follower ← momentum · follower + (1 − momentum) · online, parameters only, never buffers.

    Args:
        follower: what :func:`momentum_encoder` returned for ``online``; changed in place.
        online: the network that is trained.
        momentum: in [0, 1]; 0 copies, 1 leaves the follower as it is.

    Raises:
        ConfigError: the momentum is outside [0, 1], or the two networks do not have equal parameters.
    """
    if not 0.0 <= momentum <= 1.0:
        raise ConfigError(f"option momentum must lie in [0, 1], not {momentum}")
    targets: list[Tensor] = list(follower.parameters())
    sources: list[Tensor] = list(online.parameters())
    if [t.shape for t in targets] != [s.shape for s in sources]:
        raise ConfigError("the two networks differ in their parameters; make the follower with momentum_encoder")
    if targets:
        torch._foreach_lerp_(targets, sources, 1.0 - momentum)
