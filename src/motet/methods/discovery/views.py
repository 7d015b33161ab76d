"""Augmentation of CoDT (Liu et al., ECCV 2022): shift in time, shear, and parts of the body that are masked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from motet.core.rng import CounterRNG
from motet.data.augment import Augment, augment
from motet.data.extreme import padded_crop
from motet.data.loader import ClipStore
from motet.data.skeletons import Skeleton


@dataclass(frozen=True)
class Strength:
    """How much a view is changed.

    Attributes:
        shear: β, amplitude of the shear's six entries.
        padding: 1/γ, share of the clip that is mirrored at each end before a window is drawn.
        mask: probability that one body part of one frame is zeroed.
        scale: sizes are multiplied by U(1 − scale, 1 + scale).
        noise: standard deviation of noise, relative to the clip's root mean square.
    """

    shear: float
    padding: float
    mask: float = 0.0
    scale: float = 0.0
    noise: float = 0.0


def whole_clips(store: ClipStore, ids: Tensor, frames: int) -> Tensor:
    """(B, frames, P, V, C): the clips as they are, resized."""
    return store.windows(ids, torch.zeros_like(ids), store.lengths_of(ids).cpu(), frames)


def changed(
    clips: Tensor, keyed: CounterRNG, strength: Strength, skeleton: Skeleton, coordinates: int | None = None
) -> Tensor:
    """(B, T, P, V, C) shifted, sheared, scaled, with noise; the mask comes after, see :func:`mask_parts`.

    Of C channels the first ``coordinates`` are sheared, scaled and noisy, by default all.
    """
    options = Augment(
        crop_minimum=1.0, corruption=0.0, shear=strength.shear, scale=strength.scale, noise=strength.noise
    )
    shifted = padded_crop(clips, keyed, strength.padding)
    if coordinates in (None, shifted.shape[-1]):
        return augment(shifted, keyed, options, skeleton)
    return torch.cat([augment(shifted[..., :coordinates], keyed, options, skeleton), shifted[..., coordinates:]], -1)


def masked_parts(skeleton: Skeleton) -> list[tuple[int, ...]]:
    """Joints that are masked together: arms, legs, and head with trunk (CoDT's five parts), or what is declared."""
    middle = tuple(joint for name in ("trunk", "head") for joint in skeleton.parts.get(name, ()))
    others = [joints for name, joints in skeleton.parts.items() if name not in ("trunk", "head")]
    parts = [*([middle] if middle else []), *others]
    return parts or [(joint,) for joint in range(len(skeleton))]


def mask_parts(clips: Tensor, keyed: CounterRNG, probability: float, skeleton: Skeleton) -> Tensor:
    """Zero body parts, drawn for each clip, frame, part and person; a new tensor.

    Args:
        clips: (B, T, P, V, C).
        keyed: draws for the B clips and this view.
        probability: that a part is zeroed; 0 gives the clips themselves.
        skeleton: its ``parts``, head and trunk together as published; each joint where it declares none. A joint of
            two parts stays if both stay.
    """
    if probability == 0:
        return clips
    parts = masked_parts(skeleton)
    batch, time, persons = clips.shape[:3]
    keep = keyed.uniform("part mask", time, persons, len(parts)) >= probability
    # how many of its parts a joint loses
    member = torch.zeros(len(parts), len(skeleton), device=clips.device)
    for row, part in enumerate(parts):
        member[row, list(part)] = 1.0
    lost = (~keep).float().view(batch, time, persons, -1) @ member
    return clips * (lost == 0).to(clips.dtype)[..., None]
