"""Joint layouts as data: names, parents, parts, mirror pairs, axes.

A :class:`Skeleton` says everything the rest of the library needs to know about a layout; bones, body-part
streams and the graph of an ST-GCN are read from it, so a new layout needs no source edit (a TOML file will do,
:func:`load_skeleton`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from motet.core.errors import ConfigError
from motet.core.text import counted

AXES = ("+x", "-x", "+y", "-y", "+z", "-z")
SCORE = "score"
"""the channel, last where there is one, that holds how sure a pose estimator was of a joint; nothing moves it"""


def coordinates(channels: Sequence[str]) -> int:
    """How many of the channels are coordinates: all but the score."""
    return len(channels) - (channels[-1] == SCORE)


@dataclass(frozen=True)
class Skeleton:
    """A joint layout, or the nodes of a sensor set.

    Attributes:
        name: identifier of the layout, e.g. ``"kinect-v2"``.
        joints: joint (or sensor node) names, in storage order; V = ``len(joints)``.
        parents: index of each joint's parent, -1 for a root. Bone of a joint = joint − parent.
        parts: named groups of joint indices (``"left_arm"``, ``"trunk"`` …).
        mirror: pairs ``(left, right)`` of joint indices that swap under a left-right reflection.
        center: joint that stands for the body's position (centring); usually the mid spine.
        up: the axis that points up, one of ``+x -x +y -y +z -z``; None for sensors.
        right_handed: whether the stored x, y, z axes form a right-handed frame.
        kind: ``"body"``, ``"hand"`` or ``"sensor"`` (a sensor's nodes have no bones).
        canonical: canonical name of each joint (``"left_elbow"`` …), the key by which layouts are converted
            into each other; defaults to the joint's own name.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    mirror: tuple[tuple[int, int], ...] = ()
    center: int = 0
    up: str | None = "+y"
    right_handed: bool = True
    kind: str = "body"
    canonical: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.joints)
        if count == 0:
            raise ConfigError(f"skeleton {self.name!r} declares no joints")
        if len(set(self.joints)) != count:
            twice = sorted({j for j in self.joints if self.joints.count(j) > 1})
            raise ConfigError(f"skeleton {self.name!r} names {', '.join(twice)} more than once")
        if len(self.parents) != count:
            raise ConfigError(
                f"skeleton {self.name!r} has {counted(count, 'joint')} but {counted(len(self.parents), 'parent')}"
            )
        for joint, parent in enumerate(self.parents):
            if not -1 <= parent < count:
                raise ConfigError(f"skeleton {self.name!r}: parent {parent} of {self.joints[joint]!r} is no joint")
        for joint in range(count):
            seen = {joint}
            above = self.parents[joint]
            while above != -1 and above != joint:
                if above in seen:
                    raise ConfigError(f"skeleton {self.name!r}: the parents of {self.joints[joint]!r} form a loop")
                seen.add(above)
                if self.parents[above] == above:
                    break
                above = self.parents[above]
        indices = [i for part in self.parts.values() for i in part]
        indices += [i for pair in self.mirror for i in pair] + [self.center]
        for index in indices:
            if not 0 <= index < count:
                raise ConfigError(f"skeleton {self.name!r}: joint index {index} is outside 0..{count - 1}")
        if self.up is not None and self.up not in AXES:
            raise ConfigError(f"skeleton {self.name!r}: up axis {self.up!r} is none of {' '.join(AXES)}")
        if self.kind not in ("body", "hand", "sensor"):
            raise ConfigError(f"skeleton {self.name!r}: kind {self.kind!r} is none of body, hand, sensor")
        if not self.canonical:
            object.__setattr__(self, "canonical", self.joints)
        elif len(self.canonical) != count:
            raise ConfigError(
                f"skeleton {self.name!r} has {counted(count, 'joint')} but {len(self.canonical)} canonical names"
            )

    def __len__(self) -> int:
        return len(self.joints)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) of every joint that has a parent other than itself."""
        return tuple((j, p) for j, p in enumerate(self.parents) if p not in (-1, j))

    @cached_property
    def parent_index(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """(V,) parents with a root standing for its own parent, so that its bone is the zero vector."""
        return np.array([j if p == -1 else p for j, p in enumerate(self.parents)], dtype=np.int64)

    @property
    def handedness(self) -> str:
        """``right-handed`` or ``left-handed``, of the stored axes."""
        return "right-handed" if self.right_handed else "left-handed"

    def index(self, joint: str) -> int:
        """Index of a joint by its own or its canonical name."""
        for names in (self.joints, self.canonical):
            if joint in names:
                return names.index(joint)
        raise ConfigError(f"skeleton {self.name!r} has no joint {joint!r}; it has {', '.join(self.joints)}")

    def select(self, names: Sequence[str]) -> tuple[int, ...]:
        """Joint indices of the given parts and joints, in storage order."""
        chosen: set[int] = set()
        for name in names:
            chosen.update(self.parts[name] if name in self.parts else (self.index(name),))
        return tuple(sorted(chosen))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :meth:`from_dict` is its inverse."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "parents": list(self.parents),
            "parts": {k: list(v) for k, v in self.parts.items()},
            "mirror": [list(p) for p in self.mirror],
            "center": self.center,
            "up": self.up,
            "right_handed": self.right_handed,
            "kind": self.kind,
            "canonical": list(self.canonical),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Skeleton:
        """Build a skeleton from plain data, as in ``archive.json``."""
        try:
            return cls(
                name=str(data["name"]),
                joints=tuple(str(j) for j in data["joints"]),
                parents=tuple(int(p) for p in data["parents"]),
                parts={str(k): tuple(int(i) for i in v) for k, v in data.get("parts", {}).items()},
                mirror=tuple((int(a), int(b)) for a, b in data.get("mirror", ())),
                center=int(data.get("center", 0)),
                up=data.get("up", "+y"),
                right_handed=bool(data.get("right_handed", True)),
                kind=str(data.get("kind", "body")),
                canonical=tuple(str(c) for c in data.get("canonical", ())),
            )
        except ConfigError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ConfigError(f"a skeleton declaration is malformed: {error!r}") from error
