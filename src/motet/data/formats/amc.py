"""ASF and AMC (Acclaim): a skeleton file for each person, a motion file for each clip, as in HDM05 and CMU's database.

Forward kinematics: a bone with axes ``C``, direction ``d`` and length ``l`` turns by ``M``, so that its rotation is
``R = R_parent C M C⁻¹`` and its end lies at ``p = p_parent + R d l``. Rotations are listed in the order in which they
are applied (``XYZ``: about x first), so that ``M = M_z M_y M_x`` for column vectors. The joints are the root and the
end of every bone. Lengths are in the file's own unit: ``length 0.45`` means that 0.45 of a unit is an inch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats._files import bare, files_in, find_files, read_text, stem_of
from motet.data.formats._names import NamePattern
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

Float = npt.NDArray[np.float64]

INCH = 0.0254
ROOT = "root"
_ROTATIONS = {"rx": 0, "ry": 1, "rz": 2}
_TRANSLATIONS = {"tx": 0, "ty": 1, "tz": 2}


@dataclass(frozen=True)
class Options:
    """Options of the ``amc`` format.

    Attributes:
        asf: the skeleton file of every clip; by default the ``.asf`` in the same folder (or one above) whose name
            begins the clip's.
        fps: frames per second of the recordings; AMC does not say, 120 is usual.
        every: keep every so many-th frame.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    asf: Path | None = None
    fps: float = 120.0
    every: int = 1
    pattern: str | None = None
    licence: str = "unknown"


@dataclass
class Bone:
    """One bone: its end is a joint.

    Attributes:
        offset: (3,) direction times length, in the file's unit and the world's axes.
        axes: (3, 3) C.
        dof: channels in the order of the motion file, ``rx``, ``ty`` …
        parent: index of the bone that it hangs on; the root is bone 0 and has -1.
    """

    name: str
    offset: Float
    axes: Float
    dof: tuple[str, ...] = ()
    parent: int = -1


@dataclass
class Body:
    """A skeleton file: the root first, every other bone after its parent.

    Attributes:
        unit: metres of one unit of length.
        radians: whether angles are in radians.
    """

    bones: list[Bone] = field(default_factory=list)
    unit: float = 1.0
    radians: bool = False

    @property
    def joints(self) -> tuple[str, ...]:
        return tuple(b.name for b in self.bones)

    @property
    def parents(self) -> tuple[int, ...]:
        return tuple(b.parent for b in self.bones)


def rotation(order: str, angles: Float) -> Float:
    """(…, 3, 3) rotations about the axes of ``order`` ("xyz"), the first applied first.

    Args:
        angles: (…, n) radians, one for each axis of ``order``.
    """
    out = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    for position, axis in enumerate("xyz".index(a) for a in order):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        cos, sin = np.cos(angles[..., position]), np.sin(angles[..., position])
        turn = np.zeros((*angles.shape[:-1], 3, 3))
        turn[..., axis, axis] = 1
        turn[..., i, i], turn[..., i, j] = cos, -sin
        turn[..., j, i], turn[..., j, j] = sin, cos
        out = turn @ out
    return out


class _Asf:
    """Collects a skeleton file line by line."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0
        self.body = Body()
        self.children: list[tuple[str, str, int]] = []
        self.root: dict[str, list[str]] = {}
        self.bones: dict[str, dict[str, list[str]]] = {}

    def fail(self, what: str) -> DataError:
        return DataError(f"{self.path}, line {self.number}: {what}")

    def floats(self, words: Sequence[str], count: int) -> Float:
        try:
            values = np.array([float(w) for w in words[:count]])
        except ValueError as error:
            raise self.fail(f"{error!s:.60}") from error
        if len(values) != count or not np.isfinite(values).all():
            raise self.fail(f"{count} finite numbers are due")
        return values

    def read(self, text: str) -> Body:
        section = ""
        block: dict[str, list[str]] | None = None
        for self.number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0].startswith(":"):
                section, block = words[0][1:].lower(), None
                continue
            key = words[0].lower()
            if section == "units" and key == "length":
                unit = self.floats(words[1:], 1)[0]
                if not 1e-6 < unit < 1e6:
                    raise self.fail(f"a unit of length of {unit:g} is not plausible")
                self.body.unit = INCH / unit
            elif section == "units" and key == "angle":
                self.body.radians = words[1:2] == ["rad"]
            elif section == "root":
                self.root[key] = words[1:]
            elif section == "bonedata":
                block = {} if key == "begin" else block
                if block is None:
                    raise self.fail("a bone begins with 'begin'")
                if key == "end":
                    self._bone(block)
                    block = None
                elif key != "begin":
                    block.setdefault(key, words[1:])
            elif section == "hierarchy" and key not in ("begin", "end"):
                self.children += [(words[0], child, self.number) for child in words[1:]]
        return self._joined()

    def _axes(self, words: Sequence[str]) -> Float:
        angles, order = self.floats(words, 3), "".join(words[3:]).lower() or "xyz"
        if sorted(order) != ["x", "y", "z"]:
            raise self.fail(f"{order!r} is no order of axes")
        return rotation(order, angles if self.body.radians else np.radians(angles))

    def _bone(self, block: Mapping[str, Sequence[str]]) -> None:
        name = (block.get("name") or [""])[0]
        if not name or name in self.bones or name == ROOT:
            raise self.fail(f"the bone that ends here has no name, or one that is taken ({name!r})")
        missing = [k for k in ("direction", "length", "axis") if k not in block]
        if missing:
            raise self.fail(f"bone {name} has no {missing[0]}")
        direction, length = self.floats(block["direction"], 3), self.floats(block["length"], 1)[0]
        dof = tuple(d.lower() for d in block.get("dof", ()))
        unknown = [d for d in dof if d not in {*_ROTATIONS, *_TRANSLATIONS, "l"}]
        if unknown or len(set(dof)) < len(dof):
            raise self.fail(f"bone {name}: {' '.join(dof)} are no degrees of freedom")
        size = np.linalg.norm(direction)
        if length < 0 or (length > 0 and not size > 0):
            raise self.fail(f"bone {name} has no direction or a negative length")
        self.bones[name] = {"dof": list(dof)}
        self.body.bones.append(Bone(name, direction / (size or 1) * length, self._axes(block["axis"]), dof))

    def _joined(self) -> Body:
        """Bones in an order in which parents come first."""
        self.number += 1
        bones = {bone.name: bone for bone in self.body.bones}
        order = [w.lower() for w in self.root.get("order", ["TX", "TY", "TZ", "RX", "RY", "RZ"])]
        if sorted(order) != sorted([*_ROTATIONS, *_TRANSLATIONS]):
            raise self.fail(f"the root's order {' '.join(order)} is not TX TY TZ RX RY RZ in some order")
        axes = "".join(self.root.get("axis", ["xyz"]))
        orientation = self.root.get("orientation") or ["0", "0", "0"]
        position = self.floats(self.root.get("position") or ["0", "0", "0"], 3)
        bones[ROOT] = Bone(ROOT, position, self._axes([*orientation[:3], axes]), tuple(order))
        parents: dict[str, str] = {}
        for parent, child, number in self.children:
            self.number = number
            if parent not in bones or child not in bones or child in parents or child == ROOT:
                raise self.fail(f"{parent} cannot carry {child}: one of them is unknown, or {child} hangs on another")
            parents[child] = parent
        placed: list[Bone] = [bones.pop(ROOT)]
        index = {ROOT: 0}
        count = 0
        while count < len(placed):  # the order of the file, wherever it puts parents first
            count = len(placed)
            for bone in list(bones.values()):
                if parents.get(bone.name) in index:
                    bone.parent = index[parents[bone.name]]
                    index[bone.name] = len(placed)
                    placed.append(bones.pop(bone.name))
        if bones:
            raise self.fail(f"bone {next(iter(bones))} hangs on nothing in the hierarchy")
        if len(placed) == 1:
            raise self.fail("it declares no bones")
        self.body.bones = placed
        return self.body


def read_asf(path: Path) -> Body:
    """A skeleton file.

    Raises:
        DataError: names the line that is not as it should be.
    """
    return _Asf(path).read(read_text(path))


def read_amc(path: Path, body: Body) -> tuple[Float, bool]:
    """(frames, channels of all bones in the order of the body), and whether angles are in degrees.

    Raises:
        DataError: an unknown bone, one with another number of values, or a frame without one of the bones; names
            the line or frame.
    """
    widths = {bone.name: len(bone.dof) for bone in body.bones}
    starts = dict(zip(widths, np.cumsum([0, *widths.values()]).tolist(), strict=False))
    degrees, rows = not body.radians, []
    row: Float | None = None
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            degrees = {":degrees": True, ":radians": False}.get(words[0].lower(), degrees)
        elif len(words) == 1 and words[0].isdecimal():
            row = np.full(sum(widths.values()), np.nan)
            rows.append(row)
        else:
            width = widths.get(words[0])
            if row is None or width is None or len(words) != width + 1:
                due = (
                    "no bone of the skeleton"
                    if width is None
                    else f"expected {counted(width, 'value')} after a frame's number"
                )
                raise DataError(f"{path}, line {number}: {' '.join(words)[:40]!r}: {due}")
            try:
                row[starts[words[0]] : starts[words[0]] + width] = [float(w) for w in words[1:]]
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
    if not rows:
        raise DataError(f"{path}: it has no frames")
    motion = np.stack(rows)
    finite = np.isfinite(motion)
    if not finite.all():
        frame = int(np.argmin(finite.all(axis=1)))
        bone = next(n for n in widths if not finite[frame, starts[n] : starts[n] + widths[n]].all())
        raise DataError(f"{path}, frame {frame}: bone {bone} is missing, or one of its values is not finite")
    return motion, degrees


def joint_positions(body: Body, motion: Float, *, degrees: bool) -> Float:
    """(frames, joints, 3) metres, by the equations above."""
    out = np.zeros((len(motion), len(body.bones), 3))
    turns = np.zeros((len(motion), len(body.bones), 3, 3))
    channel = 0
    for index, bone in enumerate(body.bones):
        values = dict(zip(bone.dof, motion[:, channel : channel + len(bone.dof)].T, strict=True))
        channel += len(bone.dof)
        turned = [d for d in bone.dof if d in _ROTATIONS]
        angles = np.stack([values[d] for d in turned], axis=-1) if turned else np.zeros((len(motion), 0))
        move = rotation("".join(d[1] for d in turned), np.radians(angles) if degrees else angles)
        local = bone.axes @ move @ bone.axes.T
        moved = np.stack([values.get(t, np.zeros(len(motion))) for t in _TRANSLATIONS], axis=-1)
        if bone.parent < 0:
            turns[:, index] = local
            out[:, index] = bone.offset + moved
            continue
        turns[:, index] = turns[:, bone.parent] @ local
        length = np.linalg.norm(bone.offset)
        stretch = 1 + values.get("l", np.zeros(len(motion))) / length if length else np.ones(len(motion))
        offset = bone.offset * stretch[:, None] + moved
        out[:, index] = out[:, bone.parent] + np.einsum("tij,tj->ti", turns[:, index], offset)
    return out * body.unit


def _asf_of(path: Path, source: Path, options: Options) -> Path:
    """The skeleton file of a motion file."""
    if options.asf is not None:
        return options.asf
    top = source if source.is_dir() else source.parent
    for folder in _above(path.parent, top):
        found = [p for p in files_in(folder) if bare(p).suffix.lower() == ".asf"]
        fitting = [p for p in found if path.name.lower().startswith(bare(p).stem.lower())]
        if fitting:
            return max(fitting, key=lambda p: len(bare(p).stem))
        if len(found) == 1:
            return found[0]
    raise DataError(f"{path}: no .asf file whose name begins the clip's lies next to it; name one with --asf")


def _above(folder: Path, top: Path) -> Iterator[Path]:
    yield folder
    for parent in folder.parents:
        if parent == top or top in parent.parents:
            yield parent


def skeleton_of(body: Body) -> Skeleton:
    """The built-in layout with these bones, or one made of them; y points up and the axes are right-handed."""
    known = layouts.get("acclaim-31")
    if (body.joints, body.parents) == (known.joints, known.parents):
        return known
    if sorted(body.joints) == sorted(known.joints):  # listed in another order
        names = dict(zip(known.joints, known.canonical, strict=True))
        return layouts.build("acclaim", body.joints, body.parents, canonical=[names[j] for j in body.joints])
    return layouts.build("acclaim", body.joints, body.parents)


def discover(source: Path, options: Options) -> Plan:
    if not 0 < options.fps <= 100_000 or options.every < 1:
        raise ConfigError("option fps must be positive and every at least 1")
    units = units_of(find_files(source, r"(?i).+\.amc", what="motion files (*.amc)"), source)
    names = NamePattern(options.pattern, [u.name for u in units])
    planned, bodies = [], {}
    for unit in units:
        asf = _asf_of(unit.path, source, options)
        if asf not in bodies:
            bodies[asf] = read_asf(asf)
        planned.append(dataclasses.replace(unit, detail={"asf": asf, "columns": names.columns(unit.name)}))
    first, *others = bodies
    for other in others:
        if (bodies[other].joints, bodies[other].parents) != (bodies[first].joints, bodies[first].parents):
            raise DataError(f"{other} has other bones than {first}; import them apart")
    return Plan(
        units=planned,
        skeleton=skeleton_of(bodies[first]),
        fps=options.fps / options.every,
        class_names=tuple(names.class_names),
        licence=options.licence,
        facts={"split": "odd-even", "skeletons": len(bodies)},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    body = read_asf(unit.detail["asf"])
    motion, degrees = read_amc(unit.path, body)
    frames = joint_positions(body, motion[:: options.every], degrees=degrees)
    columns: dict[str, Column] = {**unit.detail["columns"], "skeleton_file": bare(unit.detail["asf"]).stem}
    return [RawClip(stem_of(unit.name), frames, columns=columns)]


FORMAT = Format(description="ASF/AMC motion capture (HDM05, CMU)", options=Options, discover=discover, read=read)
