"""Augmentation of whole batches on their device; every draw is keyed (:mod:`motet.core.rng`).

All spatial transforms are linear maps of a joint's coordinates, one for all frames and persons of a clip. So they are
composed into one matrix per clip and joint first, and the clips are touched once. Zero (an absent person or joint) is
mapped to zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Fraction, NotNegative, Options
from motet.core.rng import CounterRNG
from motet.core.text import counted
from motet.data.preprocess import lateral_axis, present_joints
from motet.data.skeletons import Skeleton

_CACHED = 1 << 18  # numbers that stay in a core's cache while the passes of apply_maps go over them


@dataclass(frozen=True)
class Augment(Options):
    """What is drawn for each view of a clip; the defaults are the published ones of CMD (Mao et al., ECCV 2022).

    Attributes:
        crop_minimum: the temporal crop keeps a share U(crop_minimum, 1) of the clip
        (:func:`motet.data.loader.random_crop`).
        crop_frames: crops are no shorter than this many frames, so clips up to this length are never cropped; None is
            the number of frames that the encoder sees, as published. Small sets of short clips want a lower one.
        corruption: probability of joint corruption; otherwise the clip is sheared (exactly one of the two).
        joints: share of the joints that a corruption hits, the same in all frames and persons (15 of 25).
        linear: probability that hit joints are mapped by one random matrix, entries U(−1, 1); otherwise zeroed.
        shear: amplitude of the six off-diagonal entries U(−shear, shear) of the shear matrix.
        mask: share of the joints that are zeroed in every clip.
        rotate: degrees; turned by U(−rotate, rotate) about the vertical; for sensors about a random axis, one for
            all nodes (as if the device were worn another way).
        scale: sizes are multiplied by U(1 − scale, 1 + scale).
        mirror: probability of a left-right reflection: mirror pairs of joints swap and the lateral axis is negated.
            Keeps the label only where left and right hands mean the same class.
        noise: standard deviation of Gaussian noise on every coordinate, relative to the clip's root mean square
            coordinate, so it does not depend on the unit.
        speed: uneven tempo; at most the share of the clip by which a moment is played too early or too late, drawn
            U(−speed, speed), largest mid-clip. Below 1/π, so that time never runs backwards.
        bones: another build: the length of every bone is multiplied by U(1 − bones, 1 + bones), the same on both
            sides of the body and in all frames; layouts without bones keep theirs.
    """

    crop_minimum: Fraction = 0.1
    crop_frames: Count | None = None
    corruption: Fraction = 0.5
    joints: Fraction = 0.6
    linear: Fraction = 0.5
    shear: NotNegative = 1.0
    mask: Fraction = 0.0
    rotate: Annotated[float, Bounds(least=0, most=180)] = 0.0
    scale: Fraction = 0.0
    mirror: Fraction = 0.0
    noise: NotNegative = 0.0
    speed: Annotated[float, Bounds(least=0, most=1 / math.pi)] = 0.0
    bones: Fraction = 0.0

    @classmethod
    def published(cls) -> Augment:
        """CMD's distributions, made for tens of thousands of clips."""
        return cls()

    @classmethod
    def mild(cls) -> Augment:
        """For hundreds or thousands of clips, where the published distributions drown the signal."""
        return cls(crop_minimum=0.5, crop_frames=8, corruption=0.0, shear=0.3, scale=0.2, noise=0.02)

    @classmethod
    def varied(cls) -> Augment:
        """As :meth:`mild`, with uneven tempo, heading and build: what differs from person to person."""
        return replace(cls.mild(), speed=0.12, rotate=17.0, bones=0.2)

    @classmethod
    def none(cls) -> Augment:
        """Nothing but the resize to the encoder's number of frames."""
        return cls(crop_minimum=1.0, corruption=0.0, shear=0.0)


def check_options(options: Augment, skeleton: Skeleton, channels: int) -> None:
    """Raise ConfigError where an option makes no sense for a layout with C = ``channels`` coordinates."""
    if options.rotate and channels % 3 != 0:
        raise ConfigError(f"augment.rotate needs coordinates x, y, z, but the clips have {channels}; set it to 0")
    if options.rotate and skeleton.up is not None and channels != 3:
        raise ConfigError(f"augment.rotate turns a body in space, but the clips have {counted(channels, 'coordinate')}")
    if options.mirror and not skeleton.mirror:
        raise ConfigError(f"augment.mirror needs mirror pairs, but {skeleton.name!r} declares none; set it to 0")


def augment(x: Tensor, keyed: CounterRNG, options: Augment, skeleton: Skeleton) -> Tensor:
    """Transform a batch of windows as ``options`` say; the temporal crop has been done by the loader.

    Args:
        x: (B, T, P, V, C) float, not changed.
        keyed: draws for the B clips and this view, on the device of ``x``.
        options: what to draw.
        skeleton: layout of ``x`` in the orientation it has after preprocessing (``ClipStore.skeleton``).

    Returns:
        (B, T, P, V, C) of the same dtype.

    Raises:
        ConfigError: an option that does not fit the layout.
    """
    check_options(options, skeleton, x.shape[-1])
    if options.speed:
        x = _change_tempo(x, keyed.uniform("speed", low=-options.speed, high=options.speed))
    if options.bones and skeleton.bones:
        x = _stretch_bones(x, keyed, options.bones, skeleton)
    if options.mirror:
        x = _swap_sides(x, _mirrored(keyed, options), skeleton)
    out = apply_maps(x, joint_maps(keyed, options, skeleton, x.shape[-1]).to(x.dtype))
    return _add_noise(out, keyed, options.noise) if options.noise else out


def joint_maps(keyed: CounterRNG, options: Augment, skeleton: Skeleton, channels: int) -> Tensor:
    """(B, V, C, C) float32: the matrix that maps each joint's coordinates (column vectors), all options composed."""
    joints = len(skeleton)
    hit_map, other_map = _distortions(keyed, options, channels)
    hit = keyed.choice("corrupted joints", joints, round(options.joints * joints))
    if options.mirror or options.scale or options.rotate:
        common = _similarity(keyed, options, skeleton, channels)
        hit_map, other_map = hit_map @ common, other_map @ common
    kind = hit.long()
    if options.mask:
        kind = kind.masked_fill_(keyed.choice("mask", joints, round(options.mask * joints)), 2)
    return per_joint(kind, other_map, hit_map, torch.zeros_like(hit_map))


def per_joint(kind: Tensor, *matrices: Tensor) -> Tensor:
    """Which of its clip's few matrices each joint takes: (B, V) int64 and matrices (B, C, C) -> (B, V, C, C)."""
    batch, joints = kind.shape
    table = torch.stack(matrices, dim=1).flatten(0, 1).flatten(1)
    first = len(matrices) * torch.arange(batch, device=kind.device)[:, None]
    return table.index_select(0, (kind + first).view(-1)).view(batch, joints, *matrices[0].shape[1:])


def shear_matrix(entries: Tensor) -> Tensor:
    """(B, C·(C−1)) off-diagonal entries, row by row -> (B, C, C) with a unit diagonal; x becomes S x."""
    size = math.isqrt(entries.shape[1]) + 1
    # between two ones of the diagonal, read row by row, lie C entries
    ones = entries.new_ones(len(entries), size - 1, 1)
    body = torch.cat([ones, entries.view(len(entries), size - 1, size)], dim=2).flatten(1)
    return torch.cat([body, entries.new_ones(len(entries), 1)], dim=1).view(-1, size, size)


def apply_maps(x: Tensor, maps: Tensor) -> Tensor:
    """y[b, t, p, v] = maps[b, v] x[b, t, p, v].

    Written as 2C − 1 products of whole rows of P·V·C numbers with their own shifts, one per diagonal of the small
    matrices: on a CPU five times faster than a product of many 3 × 3 matrices (benchmarks/bench_feeder.py).

    Args:
        x: (B, T, P, V, C).
        maps: (B, V, C, C).

    Returns:
        (B, T, P, V, C), a new tensor.
    """
    batch, time, persons, joints, channels = x.shape
    width = persons * joints * channels
    rows = x.reshape(batch, time, width)
    out = torch.empty_like(rows)
    diagonals = {shift: _diagonal(maps, shift, persons) for shift in range(1 - channels, channels)}
    # on a CPU a few clips at a time, so that all passes but the first find them in the cache
    some = max(1, _CACHED // (time * width)) if x.device.type == "cpu" else batch
    for start in range(0, batch, some):
        part = slice(start, start + some)
        torch.mul(rows[part], diagonals[0][part], out=out[part])
        for shift in range(1, channels):
            out[part, :, :-shift].addcmul_(rows[part, :, shift:], diagonals[shift][part, :, :-shift])
            out[part, :, shift:].addcmul_(rows[part, :, :-shift], diagonals[-shift][part, :, shift:])
    return out.view(x.shape)


def _diagonal(maps: Tensor, shift: int, persons: int) -> Tensor:
    """(B, 1, P·V·C): element c of a joint holds maps[c, c + shift], zero where there is no such column."""
    batch, joints, channels, _ = maps.shape
    row = maps.new_zeros(batch, persons, joints, channels)
    first, last = max(0, -shift), min(channels, channels - shift)
    row[..., first:last] = maps.diagonal(shift, -2, -1)[:, None]
    return row.view(batch, 1, -1)


def _distortions(keyed: CounterRNG, options: Augment, channels: int) -> tuple[Tensor, Tensor]:
    """The matrices (B, C, C) of a clip's hit and other joints: Wᵀ or 0 and identity, or the shear for both."""
    off_diagonal = channels * (channels - 1)
    drawn = keyed.uniform("distortion", off_diagonal + channels * channels + 2, low=-1.0)
    shear, matrix, decisions = torch.split(drawn, [off_diagonal, channels * channels, 2], dim=1)
    corrupt = decisions[:, 0, None, None] < 2 * options.corruption - 1
    linear = decisions[:, 1, None, None] < 2 * options.linear - 1
    sheared = shear_matrix(shear * options.shear)
    transposed = matrix.reshape(-1, channels, channels).transpose(1, 2) * linear
    identity = torch.eye(channels, device=drawn.device)
    return torch.where(corrupt, transposed, sheared), torch.where(corrupt, identity, sheared)


def _similarity(keyed: CounterRNG, options: Augment, skeleton: Skeleton, channels: int) -> Tensor:
    """(B, C, C): reflection, then scale, then rotation of the whole body."""
    device = keyed.ids.device
    out = torch.eye(channels, device=device).expand(len(keyed.ids), channels, channels)
    if options.mirror:
        negate = torch.ones(channels, device=device)
        negate[lateral_axis(skeleton)] = -1.0
        out = torch.where(_mirrored(keyed, options)[:, None, None], out * negate, out)
    if options.scale:
        out = out * keyed.uniform("scale", 1, 1, low=1 - options.scale, high=1 + options.scale)
    return _rotation(keyed, options.rotate, skeleton, channels) @ out if options.rotate else out


def _mirrored(keyed: CounterRNG, options: Augment) -> Tensor:
    return keyed.uniform("mirror") < options.mirror


def _swap_sides(x: Tensor, mirrored: Tensor, skeleton: Skeleton) -> Tensor:
    order = list(range(len(skeleton)))
    for left, right in skeleton.mirror:
        order[left], order[right] = right, left
    swapped = x.index_select(3, torch.tensor(order, device=x.device))
    return torch.where(mirrored[:, None, None, None, None], swapped, x)


def _rotation(keyed: CounterRNG, degrees: float, skeleton: Skeleton, channels: int) -> Tensor:
    """(B, C, C) rotation about the up axis, or about a random axis for each triple of a sensor's channels together."""
    angle = keyed.uniform("rotate", low=-math.radians(degrees), high=math.radians(degrees))
    if skeleton.up is None:
        axis = torch.nn.functional.normalize(keyed.normal("axis", 3), dim=1)
    else:
        axis = torch.zeros(len(angle), 3, device=angle.device)
        axis[:, "xyz".index(skeleton.up[1])] = 1.0
    x, y, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    sine, cosine = torch.sin(angle)[:, None, None], torch.cos(angle)[:, None, None]
    rotation = torch.eye(3, device=angle.device) + sine * cross + (1 - cosine) * (cross @ cross)
    blocks = torch.eye(channels // 3, device=angle.device)
    return torch.einsum("ij,bkl->bikjl", blocks, rotation).reshape(-1, channels, channels)


def _change_tempo(x: Tensor, amount: Tensor) -> Tensor:
    """Play frame t of (B, T, …) at u + amount·sin(πu), u = t / (T − 1) of the clip; its ends stay where they are."""
    batch, time = x.shape[:2]
    if time < 2:
        return x
    moment = torch.linspace(0, 1, time, device=x.device, dtype=torch.float64)
    moment = (moment + amount.double()[:, None] * torch.sin(math.pi * moment)).clamp_(0, 1) * (time - 1)
    early = moment.floor().clamp_(max=time - 2)
    weight = (moment - early).to(x.dtype)[..., None]
    rows = (early.long() + time * torch.arange(batch, device=x.device)[:, None]).view(-1)
    flat = x.reshape(batch * time, -1)
    mixed = flat.index_select(0, rows).lerp_(flat.index_select(0, rows + 1), weight.view(-1, 1))
    return mixed.view(x.shape)


def _stretch_bones(x: Tensor, keyed: CounterRNG, amount: float, skeleton: Skeleton) -> Tensor:
    """Each joint moves by what the bones between it and its root have grown; what is absent (zero) stays so.

    A bone whose ends are not both there is left as it is.
    """
    factor = keyed.uniform("bones", len(skeleton), low=-amount, high=amount)
    for left, right in skeleton.mirror:
        factor[:, right] = factor[:, left]
    parents = torch.as_tensor(skeleton.parent_index, device=x.device)
    there = present_joints(x)
    both = there & there.index_select(3, parents)
    grown = (x - x.index_select(3, parents)) * (factor.to(x.dtype)[:, None, None] * both)[..., None]
    paths = torch.from_numpy(_paths(skeleton.parents)).to(grown)
    # moved[…, v, :] = sum of the growth of the bones on the path to v
    moved = torch.einsum("vu,btpuc->btpvc", paths, grown)
    return x + moved * there[..., None]


@cache
def _paths(parents: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """(V, V): 1 where the bone of the second joint lies on the way from the first to its root."""
    paths = np.zeros((len(parents), len(parents)), dtype=np.float32)
    for joint in range(len(parents)):
        above = joint
        while parents[above] not in (-1, above):
            paths[joint, above] = 1.0
            above = parents[above]
    return paths


def _add_noise(x: Tensor, keyed: CounterRNG, amount: float) -> Tensor:
    """Noise on what was recorded; a coordinate that is exactly zero (masked, absent) stays so."""
    absent = x == 0
    recorded = (absent[0].numel() - absent.flatten(1).sum(1)).clamp_min(1)
    spread = torch.linalg.vector_norm(x.flatten(1).float(), dim=1) * recorded.rsqrt() * amount
    noise = keyed.normal("noise", *x.shape[1:]).mul_(spread.view(-1, 1, 1, 1, 1)).masked_fill_(absent, 0.0)
    return x + noise.to(x.dtype)
