"""Built-in joint layouts, and layouts of your own from a TOML file.

>>> from motet import layouts
>>> layouts.get("kinect-v2").joints[20]
'SpineShoulder'

A layout is a TOML file; the built-in ones lie next to this module and are examples. Keys::

    name = "my-suit"                 # required
    joints = [                       # required, in storage order
      { name = "Hips", parent = "" },                          # "" or the joint's own name: a root
      { name = "Spine", parent = "Hips", canonical = "torso" },
    ]
    up = "+y"                        # +x -x +y -y +z -z; default +y; "none" for sensors
    right_handed = true              # do the x, y, z axes form a right-handed frame; default true
    kind = "body"                    # body | hand | sensor; default body
    center = "Spine"                 # joint used for centring; default: mid spine, else hips, neck, palm, root
    mirror = [["LArm", "RArm"]]      # default: joints whose canonical names differ in left_ and right_
    [parts]                          # default: head, trunk, left_arm … from the canonical names
    trunk = ["Hips", "Spine"]

``canonical`` is the joint's name in the vocabulary of :mod:`motet.data.layouts.vocabulary`, by which layouts are
converted
into each other; it is guessed from the joint's own name where it is not given.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from motet.core.errors import ConfigError
from motet.data.layouts.vocabulary import (
    canonical_names,
    center_of,
    is_hand,
    mirror_of,
    part_of,
    parts_of,
    split_side,
    vocabulary,
)
from motet.data.skeletons import Skeleton

__all__ = ["build", "canonical_names", "get", "is_hand", "kept", "load", "match", "names", "part_of", "split_side"]

T = TypeVar("T")
_KEYS = {"name", "joints", "up", "right_handed", "kind", "center", "mirror", "parts"}
_JOINT_KEYS = {"name", "parent", "canonical"}


@cache
def names() -> tuple[str, ...]:
    """Names of the built-in layouts, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def _builtin(name: str) -> Skeleton:
    text = (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
    return parse(text, f"{name}.toml")


def get(name_or_path: str | Path) -> Skeleton:
    """A built-in layout by name, or one declared in a TOML file by path.

    Raises:
        ConfigError: no such layout or file, or a declaration that is wrong; names the file and the key.
    """
    name = str(name_or_path)
    if name in names():
        return _builtin(name)
    if name.endswith(".toml"):
        return load(name)
    raise ConfigError(f"no layout {name!r}; built in are {', '.join(names())}; or give the path of a .toml file")


def load(path: str | Path) -> Skeleton:
    """Read a layout from a TOML file; see the module's documentation for the keys.

    Raises:
        ConfigError: the file cannot be read or a key is missing, unknown or of the wrong kind.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"layout {path}: the file cannot be read ({error})") from error
    layout = parse(text, str(path))
    for number, row in enumerate(tomllib.loads(text)["joints"]):
        _check_canonical(row.get("canonical"), f"layout {path}: joints[{number}].canonical")
    return layout


def _check_canonical(stated: str | None, where: str) -> None:
    """Refuse a misspelt canonical name: its joint would silently be in no body part and no mirror pair."""
    if stated is None or part_of(re.sub(r"_\d$", "", stated)) or part_of(stated):  # a second marker is ``…_2``
        return
    near = get_close_matches(stated, vocabulary(), n=3)
    remedy = f"did you mean {' or '.join(near)}?" if near else "leave it out for a joint of your own"
    raise ConfigError(f"{where} is {stated!r}, which is no canonical name; {remedy}")


def parse(text: str, origin: str) -> Skeleton:
    """A layout from TOML text; ``origin`` is named in errors."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"layout {origin}: not valid TOML ({error})") from error
    _known(data, _KEYS, origin, "key")
    for key in ("name", "joints"):
        if key not in data:
            raise ConfigError(f"layout {origin}: key {key!r} is missing")
    joints, parents, canonical = _joints(data["joints"], origin)
    up = _typed(data.get("up", "+y"), str, "up", origin)
    try:
        return build(
            _typed(data["name"], str, "name", origin),
            joints,
            parents,
            canonical=canonical,
            parts={
                part: _indices(members, joints, f"parts.{part}", origin)
                for part, members in _typed(data["parts"], dict, "parts", origin).items()
            }
            if "parts" in data
            else None,
            mirror=[_pair(pair, joints, origin) for pair in _typed(data["mirror"], list, "mirror", origin)]
            if "mirror" in data
            else None,
            center=_indices([data["center"]], joints, "center", origin)[0] if "center" in data else None,
            up=None if up == "none" else up,
            right_handed=_typed(data.get("right_handed", True), bool, "right_handed", origin),
            kind=_typed(data.get("kind", "body"), str, "kind", origin),
        )
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if origin in message else f"layout {origin}: {message}") from error


def build(
    name: str,
    joints: Sequence[str],
    parents: Sequence[int],
    *,
    canonical: Sequence[str] | None = None,
    parts: Mapping[str, Sequence[int]] | None = None,
    mirror: Sequence[tuple[int, int]] | None = None,
    center: int | None = None,
    up: str | None = "+y",
    right_handed: bool = True,
    kind: str = "body",
) -> Skeleton:
    """A skeleton from joint names and parents; whatever is not given is read from the names.

    Raises:
        ConfigError: as :class:`motet.data.skeletons.Skeleton`.
    """
    if canonical is None:
        canonical = tuple(joints) if kind == "sensor" else canonical_names(joints)
    return Skeleton(
        name=name,
        joints=tuple(joints),
        parents=tuple(parents),
        parts=parts_of(canonical) if parts is None else {k: tuple(v) for k, v in parts.items()},
        mirror=mirror_of(canonical) if mirror is None else tuple(mirror),
        center=center_of(canonical, parents) if center is None else center,
        up=up,
        right_handed=right_handed,
        kind=kind,
        canonical=tuple(canonical),
    )


def kept(skeleton: Skeleton, joints: Sequence[int]) -> Skeleton:
    """A layout with some of its joints, or all, in this order; bones lead to the nearest joint above that stays."""
    if list(joints) == list(range(len(skeleton))):
        return skeleton
    now = {old: new for new, old in enumerate(joints)}

    def above(joint: int) -> int:
        parent = skeleton.parents[joint]
        while parent not in (-1, joint) and parent not in now:
            joint, parent = parent, skeleton.parents[parent]
        return now.get(parent, -1)

    canonical, parents = [skeleton.canonical[j] for j in joints], [above(j) for j in joints]
    parts = {name: tuple(now[j] for j in part if j in now) for name, part in skeleton.parts.items()}
    return replace(
        skeleton,
        name=f"{skeleton.name}-{len(joints)}",
        joints=tuple(skeleton.joints[j] for j in joints),
        parents=tuple(parents),
        parts={name: part for name, part in parts.items() if part},
        mirror=tuple((now[a], now[b]) for a, b in skeleton.mirror if a in now and b in now),
        center=now.get(skeleton.center, center_of(canonical, parents)),
        canonical=tuple(canonical),
    )


def match(joints: Sequence[str]) -> Skeleton | None:
    """The built-in layout with exactly these joint names in this order, if there is one."""
    return next((s for s in map(_builtin, names()) if s.joints == tuple(joints)), None)


def _known(data: Mapping[str, Any], keys: set[str], origin: str, what: str) -> None:
    unknown = sorted(set(data) - keys)
    if unknown:
        raise ConfigError(f"layout {origin}: unknown {what} {unknown[0]!r}; known are {', '.join(sorted(keys))}")


def _typed(value: Any, kind: type[T], key: str, origin: str) -> T:
    if not isinstance(value, kind):
        raise ConfigError(f"layout {origin}: key {key!r} must be a {kind.__name__}, not {value!r}")
    return value


def _joints(rows: Any, origin: str) -> tuple[list[str], list[int], list[str]]:
    named: list[str] = []
    for number, row in enumerate(_typed(rows, list, "joints", origin)):
        _known(_typed(row, dict, f"joints[{number}]", origin), _JOINT_KEYS, origin, f"key of joints[{number}]")
        for key in ("name", "parent"):
            if key not in row:
                raise ConfigError(f"layout {origin}: joints[{number}] has no {key!r}")
        for key, value in row.items():
            _typed(value, str, f"joints[{number}].{key}", origin)
        named.append(row["name"])
    for number, row in enumerate(rows):
        if row["parent"] and row["parent"] not in named:
            raise ConfigError(f"layout {origin}: joints[{number}].parent names no joint: {row['parent']!r}")
    parents = [named.index(row["parent"]) if row["parent"] else -1 for row in rows]
    # a declared name takes part in the guess, so that no other joint is given it
    canonical = canonical_names([row.get("canonical", row["name"]) for row in rows])
    return named, parents, [row.get("canonical", guess) for row, guess in zip(rows, canonical, strict=True)]


def _indices(members: Any, joints: Sequence[str], key: str, origin: str) -> tuple[int, ...]:
    for member in _typed(members, list, key, origin):
        if member not in joints:
            raise ConfigError(f"layout {origin}: key {key!r} names no joint: {member!r}")
    return tuple(joints.index(m) for m in members)


def _pair(pair: Any, joints: Sequence[str], origin: str) -> tuple[int, int]:
    indices = _indices(pair, joints, "mirror", origin)
    if len(indices) != 2:
        raise ConfigError(f"layout {origin}: key 'mirror' must list pairs of joints, not {pair!r}")
    return indices[0], indices[1]
