"""Spatial normalisation of whole batches of clips: null frames, centring, rotation.

All functions are vectorised over clips, take any floating dtype on any device, and leave their input alone. Zero means
absent: a person that is not there and a joint that was not tracked stay zero, but for the holes that the methods of
the shipped weights bridge (:func:`bridge_holes`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data.heading import check_heading, ground, lines
from motet.data.inertial import kind_of
from motet.data.skeletons import Skeleton
from motet.data.worn import BRIDGE, MIRRORS

EGOCENTRIC: Final = "egocentric"
"""turns animals, which point in all directions, to their own heading"""
ANIMAL: Final = "animal"
"""the same, and brings them to one size"""
METHODS = ("cmd", "crossclr", "yaw", "body", EGOCENTRIC, ANIMAL, "center", "first-frame", "sized", "hand", "none")
SENSED = (BRIDGE, *MIRRORS)
"""methods of sensors"""
SIZED = {"yaw": "body", EGOCENTRIC: ANIMAL, "first-frame": "sized"}
"""methods, and those that bridge holes and remove size besides"""
WHOLE = (*SIZED.values(), "hand")
"""methods that measure size on a whole clip"""

# Landmarks by canonical joint name, the first that a layout can give; several names mean their mean.
_LANDMARKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "base of the spine": (("mid_hip",), ("left_hip", "right_hip"), ("left_pelvis_back", "right_pelvis_back")),
    "middle of the spine": (("torso",), ("spine_t10",), ("neck",), ("left_shoulder", "right_shoulder")),
    "top of the spine": (("neck",), ("left_shoulder", "right_shoulder")),
    "left shoulder": (("left_shoulder",),),
    "right shoulder": (("right_shoulder",),),
}
BONE = 0.25
"""length of a mean bone after "body": about that of an adult in metres"""
_SMALLEST = 1e-6  # below this the released normalisation takes a rotation for none


def landmark(skeleton: Skeleton, name: str) -> tuple[int, ...]:
    """Joints whose mean is the landmark, see ``_LANDMARKS``.

    Raises:
        ConfigError: the layout has no joints that give it.
    """
    known = set(skeleton.joints) | set(skeleton.canonical)
    for joints in _LANDMARKS[name]:
        if known.issuperset(joints):
            return tuple(skeleton.index(joint) for joint in joints)
    wanted = " or ".join("+".join(joints) for joints in _LANDMARKS[name])
    own = "'hand', " if skeleton.kind == "hand" else ""
    raise ConfigError(
        f"skeleton {skeleton.name!r} has no {name} (a joint of the canonical name {wanted}); "
        f"choose preprocess {own}'first-frame', 'center' or 'none'"
    )


def check_method(method: str, skeleton: Skeleton, channels: int) -> None:
    """Raise ConfigError unless clips of this layout with C = ``channels`` coordinates can be preprocessed so."""
    if method not in (*METHODS, *SENSED):
        raise ConfigError(f"preprocess {method!r} is none of {', '.join((*METHODS, *SENSED))}")
    if method == "none":
        return
    if method in SENSED:
        if skeleton.kind != "sensor" or (channels != 3 and method in MIRRORS):
            of = "sensors" if method == BRIDGE else "sensors of three axes"
            raise ConfigError(f"preprocess {method!r} is for {of}, not {skeleton.name!r}")
        return
    if skeleton.kind == "sensor":
        raise ConfigError(
            f"preprocess {method!r} moves a body, but {skeleton.name!r} is a sensor; choose {', '.join(SENSED)} or none"
        )
    if method in ("center", "first-frame", "sized"):
        return
    if method in ("body", "hand") and not skeleton.bones:
        raise ConfigError(f"preprocess {method!r} measures bones, but {skeleton.name!r} has none; choose 'sized'")
    if method == "hand":
        return
    if method in (EGOCENTRIC, ANIMAL):
        check_heading(skeleton, channels)
        return
    if channels != 3:
        raise ConfigError(
            f"preprocess {method!r} rotates in space, but the clips have {counted(channels, 'coordinate')}; "
            "choose 'first-frame', 'center' or 'none'"
        )
    landmark(skeleton, "left shoulder")
    landmark(skeleton, "right shoulder")
    if method == "cmd":
        landmark(skeleton, "base of the spine")
        landmark(skeleton, "middle of the spine")
    elif skeleton.up is None:
        raise ConfigError(f"preprocess {method!r} turns about the vertical, but {skeleton.name!r} declares no up axis")
    if method == "crossclr":
        landmark(skeleton, "top of the spine")


def oriented(skeleton: Skeleton, method: str) -> Skeleton:
    """The layout of clips after preprocessing: "cmd" stands the spine on +z, whatever was up before."""
    return replace(skeleton, up="+z") if method == "cmd" else skeleton


def lateral_axis(skeleton: Skeleton) -> int:
    """Index of the axis that left-to-right lines are turned to: x, or y where x points up."""
    return 1 if skeleton.up is not None and skeleton.up[1] == "x" else 0


def preprocess(frames: Tensor, lengths: Tensor, skeleton: Skeleton, method: str) -> Tensor:
    """Normalise a batch of padded clips.

    ============== ======================================================================================
    "cmd"          the released CMD / 2s-AGCN path: :func:`fill_null_frames`; the centre joint of person 0
                   subtracted in every frame; one rotation by frame 0 that takes the spine to +z, then one
                   that takes the shoulder line to +x (CMD, Mao et al., ECCV 2022, released preprocessing)
    "crossclr"     the CrosSCLR / AimCLR path: the top of the spine of each person subtracted in every
                   frame, each frame of each person turned about the vertical until the shoulders are
                   parallel to x
    "yaw"          the centre joint of person 0 in his first frame subtracted; one turn about the vertical that
                   takes his shoulders (and hips) in that frame to +x: keeps path and posture, removes the
                   camera's direction
    "body"         as "yaw", then person 0's mean bone made :data:`BONE` long: removes his size and the unit too
    "sized"        as "first-frame", then the same size; of layouts without bones the mean distance of joints from
                   their middle is made half of a metre
    "hand"         the same, in the weights of that name
    "egocentric"   of animals, in a picture from above or in space: the centre joint of person 0 in his first frame
                   subtracted; one turn, in the picture or about the vertical, that takes the line from his tail to his
                   head in that frame to the lateral axis, +x
    "animal"       the same, then the size of "sized"
    "center"       the centre joint of person 0 subtracted in every frame
    "first-frame"  the centre joint of person 0 in his first frame subtracted
    "bridge"       of sensors: lost samples put on the line between those around, at the ends as the nearest
    "mirror…"      the same; which sensors were worn on the left is known where clips are read
                   (:class:`motet.data.loader.ClipStore`), and they are mirrored there
    "none"         nothing
    ============== ======================================================================================

    Args:
        frames: (B, T, P, V, C), zero from each clip's length on.
        lengths: (B,) frames per clip, at most T.
        skeleton: layout of the V joints.
        method: one of the above.

    Returns:
        (B, T, P, V, C) of the same dtype; frames past a clip's length are zero.

    Raises:
        ConfigError: the method does not exist or cannot be applied to this layout or number of coordinates.
    """
    check_method(method, skeleton, frames.shape[-1])
    if method == "none":
        return frames.clone()
    if method in SENSED:
        return bridge_holes(frames.clone(), lengths, present_readings(frames, skeleton))
    if method == "cmd":
        return _cmd(fill_null_frames(frames, lengths), skeleton)
    if method == "crossclr":
        return _crossclr(frames, skeleton)
    if method == "center":
        return _subtract(frames, _held_center(frames, skeleton))
    whole = bridge_holes(frames, lengths) if method in (*WHOLE, EGOCENTRIC) else frames
    start = _first_present(whole)  # joints that the first frame does not show are where they are seen next
    origin = _origin(start, skeleton) if method in (*WHOLE, EGOCENTRIC) else start[:, skeleton.center]
    made = _subtract(frames if method == EGOCENTRIC else whole, origin[:, None, None, None])
    if method in (EGOCENTRIC, ANIMAL):
        made = _turn(made, _heading(start, skeleton))
    elif method in ("yaw", "body"):
        made = _turn(made, _facing(start, skeleton))
    return made * _to_size(frames, skeleton).to(frames.dtype) if method in WHOLE else made


def present_joints(frames: Tensor) -> Tensor:
    """(…, V, C) -> (…, V) bool: which joints were recorded, i.e. are not exactly zero."""
    present = frames[..., 0] != 0
    for channel in range(1, frames.shape[-1]):
        present |= frames[..., channel] != 0
    return present


def present_readings(frames: Tensor, skeleton: Skeleton) -> Tensor:
    """(…, T, P, V, C) -> (…, T, P, V) bool: which nodes of sensors recorded.

    An acceleration of zero is lost, as gravity is in it. Any other reading of zero is lost where the whole sample is
    zero, and none is where no accelerometer recorded: at rest a gyroscope may read zero.
    """
    there = present_joints(frames)
    force = torch.tensor([kind_of(name) == "acc" for name in skeleton.joints], device=frames.device)
    alone = ~(there & force).any(-1, keepdim=True).any(-3, keepdim=True)
    return torch.where(force, there, there.any(-1, keepdim=True)) | alone


def fill_null_frames(frames: Tensor, lengths: Tensor) -> Tensor:
    """Replace a person's empty frames as CMD's release does (the "null frame" step of 2s-AGCN).

    A person who is absent in frame 0 has all his frames moved to the front (so he may shift in time relative to the
    other person); then the frames after his last one are filled, up to the clip's length, by repeating what is there
    cyclically. Other empty frames between are left empty. A frame counts as empty when all its coordinates are zero.

    Args:
        frames: (B, T, P, V, C), zero from each clip's length on.
        lengths: (B,) int64.

    Returns:
        (B, T, P, V, C); ``frames`` itself when there is nothing to fill.
    """
    time = torch.arange(frames.shape[1], device=frames.device)
    present = present_joints(frames).any(-1).transpose(1, 2)  # (B, P, T)
    late = ~present[..., :1] & present.any(-1, keepdim=True)
    # frames to repeat: all present ones where they are moved, otherwise everything up to the last present one
    last = torch.where(present, time + 1, 0).amax(-1)
    period = torch.where(late[..., 0], present.sum(-1), last)
    clips, persons = ((period > 0) & (late[..., 0] | (period < lengths[:, None]))).nonzero(as_tuple=True)
    if len(clips) == 0:
        return frames
    first = torch.where(late, present, True)[clips, persons].logical_not().to(torch.uint8)
    order = first.argsort(dim=1, stable=True)
    source = order.gather(1, time % period[clips, persons, None])
    filled = frames[clips[:, None], source, persons[:, None]]
    filled *= (time < lengths[clips, None])[..., None, None]
    out = frames.clone()
    out[clips, :, persons] = filled
    return out


def bridge_holes(frames: Tensor, lengths: Tensor, there: Tensor | None = None) -> Tensor:
    """Put joints where they were not seen: on the line between the sightings around, at the ends as the nearest.

    Args:
        frames: (B, T, P, V, C), zero from each clip's length on.
        lengths: (B,) int64.
        there: (B, T, P, V) bool, which joints were seen; by default those that are not exactly zero.

    Returns:
        (B, T, P, V, C); ``frames`` itself when there is nothing to bridge. A joint that a clip never shows stays zero.
    """
    there = present_joints(frames) if there is None else there
    inside = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
    there = there & inside[:, :, None, None]
    holes = ~there & inside[:, :, None, None] & there.any(1, keepdim=True)
    clips = holes.flatten(1).any(1).nonzero()[:, 0]
    if len(clips) == 0:
        return frames
    seen, rows = there[clips], frames[clips]
    time = torch.arange(frames.shape[1], device=frames.device)[:, None, None].expand_as(seen)
    last = frames.shape[1] - 1
    before = torch.where(seen, time, -1).cummax(1).values
    after = torch.where(seen, time, last + 1).flip(1).cummin(1).values.flip(1)
    start = torch.where(before < 0, after, before).clamp_max(last)
    end = torch.where(after > last, before, after).clamp_min(0)
    a, b = (rows.gather(1, at[..., None].expand_as(rows)) for at in (start, end))
    share = (time - start).to(rows.dtype) / (end - start).clamp_min(1)
    out = frames.clone()
    out[clips] = torch.where(holes[clips][..., None], a + (b - a) * share[..., None], rows)
    return out


def rotation_between(source: Tensor, target: Tensor) -> Tensor:
    """Smallest rotation R with R·source parallel to target (Rodrigues), column vectors.

    Identity where the two are parallel, anti-parallel or one is zero, as in 2s-AGCN's released code.

    Args:
        source: (…, 3).
        target: (3,) unit vector.

    Returns:
        (…, 3, 3) in float64.
    """
    source = source.double()
    target = target.to(source).expand_as(source)
    axis = torch.linalg.cross(source, target)
    norm = source.norm(dim=-1)
    sine = axis.norm(dim=-1) / norm.clamp_min(1e-300)
    cosine = (source * target).sum(-1) / norm.clamp_min(1e-300)
    none = (axis.abs().sum(-1) < _SMALLEST) | ((sine < _SMALLEST) & (cosine > 0))
    x, y, z = (axis / axis.norm(dim=-1, keepdim=True).clamp_min(1e-300)).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).view(*source.shape, 3)
    identity = torch.eye(3, dtype=source.dtype, device=source.device)
    rotation = identity + sine[..., None, None] * cross + (1 - cosine)[..., None, None] * (cross @ cross)
    return torch.where(none[..., None, None], identity, rotation)


def _mean(points: Tensor, joints: tuple[int, ...]) -> Tensor:
    return points[..., list(joints), :].mean(-2)


def _subtract(frames: Tensor, origin: Tensor) -> Tensor:
    """Subtract from recorded joints only; the others stay zero."""
    return (frames - origin).mul_(present_joints(frames)[..., None])


def _cmd(frames: Tensor, skeleton: Skeleton) -> Tensor:
    centred = _subtract(frames, frames[:, :, :1, skeleton.center, None])
    start = centred[:, 0, 0].double()
    spine = _mean(start, landmark(skeleton, "middle of the spine")) - _mean(
        start, landmark(skeleton, "base of the spine")
    )
    upright = rotation_between(spine, torch.tensor([0.0, 0.0, 1.0]))
    across = _mean(start, landmark(skeleton, "right shoulder")) - _mean(start, landmark(skeleton, "left shoulder"))
    facing = rotation_between((upright @ across[..., None])[..., 0], torch.tensor([1.0, 0.0, 0.0]))
    return _turn(centred, facing @ upright)


def _crossclr(frames: Tensor, skeleton: Skeleton) -> Tensor:
    top = _mean(frames, landmark(skeleton, "top of the spine"))
    centred = _subtract(frames, top[..., None, :])
    line = _mean(centred, landmark(skeleton, "right shoulder")) - _mean(centred, landmark(skeleton, "left shoulder"))
    rotation = _about_up(line, skeleton).to(frames.dtype)  # (B, T, P, 3, 3)
    return centred @ rotation.transpose(-1, -2)


def _first_present(frames: Tensor) -> Tensor:
    """(B, V, C): person 0 in the first frame that shows him."""
    first = present_joints(frames[:, :, 0]).any(-1).to(torch.uint8).argmax(1)
    return frames[torch.arange(len(frames), device=frames.device), first, 0]


def _origin(start: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, C): the centre joint of postures (B, V, C), or the middle of what is seen where it is not, as of films that
    show no hips; unless bodies lie around the origin, as then all is relative to a centre that is not stored."""
    seen, centre = present_joints(start)[..., None], start[:, skeleton.center]
    middle = (start * seen).sum(1) / seen.sum(1).clamp_min(1)
    high, low = (torch.where(seen, start, end) for end in (-torch.inf, torch.inf))
    extent = (high.amax(1) - low.amin(1)).amax(1)
    away = ~seen[:, skeleton.center, 0] & (torch.linalg.vector_norm(middle, dim=1) > extent)
    return torch.where(away[:, None], middle, centre)


def _held_center(frames: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, T, 1, 1, C): centre of person 0; where he is absent the one before (or the first), so nobody jumps."""
    center = frames[:, :, 0, skeleton.center]
    seen = present_joints(center[..., None, :])[..., 0]
    time = torch.arange(frames.shape[1], device=frames.device)
    held = torch.where(seen, time, -1).cummax(1).values
    held = torch.where(held < 0, seen.to(torch.uint8).argmax(1)[:, None], held)
    return center.gather(1, held[..., None].expand_as(center))[:, :, None, None]


def _to_size(frames: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, 1, 1, 1, 1): what makes the bones of person 0 :data:`BONE` long, on average over bones and frames; without
    bones, joints twice as far from their middle."""
    person = frames[:, :, 0]
    there = present_joints(person)
    if skeleton.bones:
        child, parent = (torch.tensor(side, device=frames.device) for side in zip(*skeleton.bones, strict=True))
        both, wanted = there[..., child] & there[..., parent], BONE
        ways = person[..., child, :] - person[..., parent, :]
    else:
        middle = person.sum(-2, keepdim=True) / there.sum(-1).clamp_min(1)[..., None, None]
        both, wanted, ways = there, 2 * BONE, person - middle
    lengths = torch.linalg.vector_norm(ways, dim=-1) * both
    mean = lengths.double().sum((1, 2)) / both.sum((1, 2)).clamp_min(1)
    return torch.where(mean > 0, wanted / mean.where(mean > 0, 1), 1.0)[:, None, None, None, None]


def _facing(start: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, 3, 3) turn about the vertical by the left-to-right line of one posture (B, V, 3): shoulders and hips, each
    where both sides are seen."""
    pairs = [tuple(landmark(skeleton, f"{side} shoulder")[0] for side in ("left", "right"))]
    if {"left_hip", "right_hip"} <= set(skeleton.canonical):
        pairs.append((skeleton.index("left_hip"), skeleton.index("right_hip")))
    there = present_joints(start)
    lines = [(start[:, right] - start[:, left]) * (there[:, left] & there[:, right])[:, None] for left, right in pairs]
    return _about_up(sum(lines[1:], lines[0]), skeleton)


def _heading(start: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, C, C) turn that takes the heading of one posture (B, V, C) to the first axis of the ground, that is +x, or +y
    where x points up; none where it has no heading."""
    line = lines(start.double(), skeleton)
    x, y = (line / line.norm(dim=-1, keepdim=True).clamp_min(1e-300)).unbind(-1)
    x = torch.where((x == 0) & (y == 0), 1.0, x)
    first, second = ground(skeleton, start.shape[-1])
    turn = torch.eye(start.shape[-1], dtype=torch.float64, device=start.device).repeat(len(start), 1, 1)
    turn[:, first, first], turn[:, first, second] = x, y
    turn[:, second, first], turn[:, second, second] = -y, x
    return turn


def _about_up(line: Tensor, skeleton: Skeleton) -> Tensor:
    """(…, 3, 3) float64 rotation about the up axis that brings the horizontal part of ``line`` to the lateral axis."""
    assert skeleton.up is not None
    up, lateral = "xyz".index(skeleton.up[1]), lateral_axis(skeleton)
    other = 3 - up - lateral
    a, b = line[..., lateral].double(), line[..., other].double()
    radius = torch.hypot(a, b)
    level = radius > _SMALLEST
    cosine = torch.where(level, a / radius.clamp_min(1e-300), 1.0)
    sine = torch.where(level, b / radius.clamp_min(1e-300), 0.0)
    rotation = torch.zeros(*line.shape[:-1], 3, 3, dtype=torch.float64, device=line.device)
    rotation[..., up, up] = 1.0
    rotation[..., lateral, lateral] = rotation[..., other, other] = cosine
    rotation[..., lateral, other], rotation[..., other, lateral] = sine, -sine
    return rotation


def _turn(frames: Tensor, rotation: Tensor) -> Tensor:
    """Apply one rotation (B, C, C) to every point of a clip."""
    points = frames.flatten(1, 3) @ rotation.to(frames.dtype).transpose(1, 2)
    return points.view(frames.shape)
