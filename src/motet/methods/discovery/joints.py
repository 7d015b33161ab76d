"""What two archives have in common: joints, axes, coordinates, unit, number of persons.

Bodies of different layouts meet on the fifteen joints that Kinect and video pose share (CoDT, Liu et al., ECCV 2022),
equal layouts on all their joints, hands and sensors on the joints that both have by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.core.units import METRES
from motet.data import layouts
from motet.data.adapt import same_layout
from motet.data.archive import MotionArchive
from motet.data.convert import convert, estimate_handedness, recipe, shared_joints
from motet.data.inertial import LAYOUT, Inertial, units_of
from motet.data.skeletons import SCORE, Skeleton, coordinates

Float = npt.NDArray[np.floating[Any]]
_PROBED_CLIPS, _PROBED_FRAMES = 40, 50  # enough frames of enough people to see left from right


def common_skeleton(source: Skeleton, target: Skeleton) -> Skeleton:
    """The layout on which both can be shown.

    Equal canonical names: the target's layout itself. Bodies: those of the fifteen shared joints that both have or can
    derive (:func:`motet.data.convert.recipe`). Anything else: the joints that both have themselves.

    Raises:
        ConfigError: a body and a sensor, or no common joint; says what each has.
    """
    if source.canonical == target.canonical and source.kind == target.kind:
        return target
    if source.kind != target.kind:
        raise ConfigError(
            f"{source.name!r} is a {source.kind} and {target.name!r} a {target.kind}: they share no joints; "
            "choose a source of the same kind"
        )
    if target.kind == "body":
        base = layouts.get("shared-15")
        names = [n for n in base.canonical if recipe(n, source) is not None and recipe(n, target) is not None]
    else:
        base, names = target, shared_joints(target, source)
    if not names:
        worn = "; accelerometers and gyroscopes of any names meet by --start wrist" if target.kind == "sensor" else ""
        raise ConfigError(
            f"{source.name!r} and {target.name!r} share no joint: the source has {', '.join(source.canonical)}, the "
            f"target {', '.join(target.canonical)}; give their joints canonical names (see the page on layouts){worn}"
        )
    return _restricted(base, names)


def _restricted(base: Skeleton, names: list[str]) -> Skeleton:
    """A layout with some of its joints; the parent of a joint is its nearest ancestor that stays."""
    keep = [i for i, name in enumerate(base.canonical) if name in names]
    if len(keep) == len(base):
        return base
    place = {joint: i for i, joint in enumerate(keep)}
    parents = []
    for joint in keep:
        above = base.parents[joint]
        while above not in place and above != -1:
            above = base.parents[above] if base.parents[above] != above else -1
        parents.append(place.get(above, -1))
    center = base.center
    while center not in place and center != -1:
        center = base.parents[center]
    return Skeleton(
        name=f"{base.name} ({counted(len(keep), 'joint')})",
        joints=tuple(base.joints[i] for i in keep),
        parents=tuple(parents),
        parts={k: kept for k, v in base.parts.items() if (kept := tuple(place[i] for i in v if i in place))},
        mirror=tuple((place[a], place[b]) for a, b in base.mirror if a in place and b in place),
        center=place.get(center, 0),
        up=base.up,
        right_handed=base.right_handed,
        kind=base.kind,
        canonical=tuple(base.canonical[i] for i in keep),
    )


def check_axes(archive: MotionArchive) -> None:
    """Compare the declared handedness with what the bodies show: their toes point forward, left is up × forward.

    Raises:
        DataError: the recordings are mirrored against the declaration; names the archive and the remedy.
    """
    if len(archive.channels) != 3 or archive.skeleton.kind != "body":
        return
    some = np.unique(np.linspace(0, len(archive) - 1, _PROBED_CLIPS).astype(int))
    frames = np.concatenate([archive.clip(i)[:_PROBED_FRAMES, 0] for i in some])
    seen = estimate_handedness(frames, archive.skeleton)
    if seen is not None and seen != archive.skeleton.right_handed:
        stated, shown = ("right", "left") if archive.skeleton.right_handed else ("left", "right")
        raise DataError(
            f"{archive.path}: its axes are mirrored. {archive.skeleton.name!r} declares a {stated}-handed frame, the "
            f"bodies show a {shown}-handed one, so left and right would be swapped against the other archive; import "
            f"it again with a layout that says right_handed = {str(not archive.skeleton.right_handed).lower()}"
        )


def scored(archive: MotionArchive) -> bool:
    """Whether clips are positions in an image with confidences."""
    return len(archive.channels) == 2 and archive.confidence is not None


@dataclass(frozen=True)
class CommonLayout:
    """How clips of both archives are brought to one form.

    Attributes:
        skeleton: common layout.
        channels: coordinates of the common form, ``("x", "y")`` where one side has no depth.
        persons: person slots, the larger number of both.
        scale: "metres" where both units are known lengths, else "body": a clip is divided by the median distance
            between its neck and its hips.
    """

    skeleton: Skeleton
    channels: tuple[str, ...]
    persons: int
    scale: str

    @classmethod
    def of(cls, source: MotionArchive, target: MotionArchive, *, score: bool = False) -> CommonLayout:
        """Find the common form.

        Args:
            source, target: the archives.
            score: the confidence of each joint is a further channel.

        Raises:
            ConfigError: no common joint, coordinates that have nothing in common, or no confidences.
            DataError: an archive whose axes are mirrored against its declaration.
        """
        skeleton = common_skeleton(source.skeleton, target.skeleton)
        for archive in (source, target):
            check_axes(archive)
        counts = {len(source.channels), len(target.channels)}
        if len(counts) > 1 and (counts != {2, 3} or target.skeleton.kind == "sensor"):
            raise ConfigError(
                f"the source has coordinates {', '.join(source.channels)} and the target {', '.join(target.channels)}; "
                "only positions in space and in an image have something in common"
            )
        channels = ("x", "y") if counts == {2, 3} else target.channels
        if len(channels) == 2 and skeleton.up is not None and skeleton.up[1] == "z":
            raise ConfigError(f"{skeleton.name!r} stands on z, which images do not have; declare another up axis")
        if score:
            channels = (*channels, SCORE)
            for archive in (source, target):
                if not scored(archive):
                    raise ConfigError(
                        f"{archive.path} has no positions in an image with confidences, which --score adds; choose "
                        "--no-score"
                    )
        units = {source.units, target.units}
        known = units <= set(METRES) or len(units) == 1 or skeleton.kind != "body"
        return cls(skeleton, channels, max(source.persons, target.persons), "metres" if known else "body")

    @classmethod
    def own(cls, target: MotionArchive, *, score: bool) -> CommonLayout:
        """The target's own form."""
        return cls(target.skeleton, (*target.channels, *([SCORE] if score else [])), target.persons, "metres")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :meth:`from_dict` is its inverse."""
        return {
            "skeleton": self.skeleton.to_dict(),
            "channels": list(self.channels),
            "persons": self.persons,
            "scale": self.scale,
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> CommonLayout:
        """Inverse of :meth:`to_dict`."""
        layout, channels = Skeleton.from_dict(form["skeleton"]), tuple(form["channels"])
        return cls(layout, channels, int(form["persons"]), str(form["scale"]))


class Retargeted(MotionArchive):
    """An archive seen in the common form; a clip is converted when it is read and nothing is copied.

    Args:
        archive: the recordings.
        layout: the form.
        unit: what its scale "metres" really is, for a form in an archive's own unit.
    """

    def __init__(self, archive: MotionArchive, layout: CommonLayout, unit: str = "m") -> None:
        self.__dict__.update(archive.__dict__)
        self.original, self.layout = archive, layout
        self.skeleton, self.channels = layout.skeleton, layout.channels
        self.persons, self.confidence = layout.persons, None
        # other data than the archive's, also for a cache that knows data by this digest
        self.hash = hashlib.sha256(f"{archive.hash} {layout} {unit}".encode()).hexdigest()
        known = layout.scale == "metres" and archive.units != unit
        self._reads = _inertial(archive, layout.skeleton)
        self._factor = METRES.get(archive.units, 1.0) / METRES.get(unit, 1.0) if known else 1.0

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Frames of each clip in the common form, which of sensors has a rate of its own."""
        found = super().lengths
        return found if self._reads is None else np.array([self._reads.length(int(n)) for n in found])

    def verified(self, index: int) -> Float:
        """(T, P, V, C) of a clip in the common form, after its bytes were compared with their digest."""
        return self._converted(self.original.verified(index), index)

    def clip(self, index: int | str) -> npt.NDArray[np.float32]:
        """(T, P, V, C) float32 of a clip in the common form."""
        index = self.row(index)
        return self._converted(self.original.clip(index), index).astype(np.float32, copy=False)

    def _converted(self, frames: Float, index: int) -> Float:
        given, form = self.original.skeleton, self.layout.skeleton
        frames = frames.astype(np.float32, copy=False)
        if self._reads is not None:
            return self._reads(frames)
        if given.canonical != form.canonical or (given.up, given.right_handed) != (form.up, form.right_handed):
            # what a flat picture cannot express is left to convert, which says so
            frames = convert(frames, given, form)
        count = coordinates(self.channels)
        out = np.zeros((len(frames), self.persons, len(form), count), dtype=np.float32)
        frames = frames[:, : self.persons, :, :count]
        out[:, : frames.shape[1]] = frames * np.float32(self._factor)
        out = out / _size(out, form) if self.layout.scale == "body" else out
        if count == len(self.channels):
            return out
        scores = np.zeros((*out.shape[:3], 1), dtype=np.float32)
        found = self._scores(index)[:, : self.persons]
        scores[:, : found.shape[1], :, 0] = found
        return np.concatenate([out, scores * out.any(axis=-1, keepdims=True)], axis=-1)

    def _scores(self, index: int) -> Float:
        """(T, P, V) confidences of a clip in the common layout; of a joint that is made of several their mean."""
        given, form = self.original.skeleton, self.layout.skeleton
        scores = self.original.clip_confidence(index)
        assert scores is not None
        if given.canonical == form.canonical:
            return scores
        return np.abs(convert(np.repeat(scores[..., None], 2, axis=-1), given, form)[..., 0])


def _inertial(archive: MotionArchive, form: Skeleton) -> Inertial | None:
    """What brings the readings of an archive to the form of weights, where they are in another one."""
    if form.name != LAYOUT or same_layout(archive.skeleton, form):
        return None
    return Inertial.of(archive.skeleton, units_of(archive), archive.fps)


def _size(frames: Float, skeleton: Skeleton) -> np.float32:
    """Median distance between neck and hips of the first person, 1 where it cannot be measured."""
    ends = recipe("neck", skeleton), recipe("mid_hip", skeleton)
    if ends[0] is None or ends[1] is None:
        return np.float32(1)
    neck, hips = (frames[:, 0, list(e)] for e in ends if e is not None)
    there = neck.any(axis=(1, 2)) & hips.any(axis=(1, 2))
    lengths = np.linalg.norm(neck.mean(axis=1) - hips.mean(axis=1), axis=1)[there]
    middle = float(np.median(lengths)) if len(lengths) else 0.0
    return np.float32(middle if middle > 0 else 1.0)
