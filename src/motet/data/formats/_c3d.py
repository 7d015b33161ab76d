"""The C3D file format: header, parameters, points and rotations, as https://www.c3d.org/docs/C3D_User_Guide.pdf has it.

Only what positions need is asked of a file: analog channels are stepped over, and parameters that are damaged, listed
twice or foreign cannot stop its markers from being read. Intel, DEC and MIPS numbers are read.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError, MotetWarning
from motet.core.text import counted
from motet.data.formats._files import read_bytes
from motet.data.formats._layout import check_joints

BLOCK = 512
ROTATION_WORDS = 17  # a 4 × 4 matrix by columns, and how sure it is
_ORDERS = {84: "<", 85: "dec", 86: ">"}
_SIZES = {-1: 1, 1: 1, 2: 2, 4: 4}
_AXIS = re.compile(r"([+-]?)([XYZ])")


@dataclass(frozen=True)
class Parameter:
    """One parameter: ``values`` is an array of numbers in the file's order, or a list of texts."""

    values: Any

    @property
    def texts(self) -> list[str]:
        return self.values if isinstance(self.values, list) else []

    @property
    def number(self) -> float | None:
        if isinstance(self.values, list) or not self.values.size:
            return None
        return float(self.values.ravel()[0])


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        labels: of the points; empty for those without one.
        points: (T, points, 3) in the file's unit; lost = zero.
        rotations: labels and (T', rotations, 4, 4) transforms, where the file has them; NaN where unsure.
        fps: frames per second, and of the rotations.
        parameters: by ``GROUP:NAME``.
        analog: number of analog channels.
    """

    labels: tuple[str, ...]
    points: npt.NDArray[np.float64]
    rotations: tuple[tuple[str, ...], npt.NDArray[np.float64]]
    fps: float
    rotation_fps: float
    parameters: Mapping[str, Parameter]
    analog: int

    def text(self, name: str) -> str:
        """The one text that a parameter repeats; empty if there is none."""
        found = self.parameters.get(name)
        distinct = dict.fromkeys(t for t in (found.texts if found else []) if t)
        return next(iter(distinct)) if len(distinct) == 1 else ", ".join(distinct)

    @property
    def up(self) -> str | None:
        """The axis that points up on the screen (``POINT:Y_SCREEN``), None if the file does not say."""
        found = _AXIS.fullmatch(self.text("POINT:Y_SCREEN").upper().replace(" ", ""))
        return f"{found[1] or '+'}{found[2].lower()}" if found else None


def read_c3d(path: Path) -> Content:
    """Read a file.

    Raises:
        DataError: not a C3D file, or one whose frames cannot be found.
    """
    data = read_bytes(path)
    if len(data) < 2 * BLOCK or data[1] != 0x50:
        raise DataError(f"{path} is no C3D file (its second byte is not 0x50, or it is cut off)")
    start = (data[0] - 1) * BLOCK
    if not 0 < start < len(data) - 4:
        raise DataError(f"{path}: its parameters lie outside of the file")
    order = _ORDERS.get(data[start + 3], "<")
    parameters = _parameters(data, start, order)
    points, analog, first, last = _numbers(data[2:10], "u2", order).tolist()
    scale, rate = (float(_numbers(data[at : at + 4], "f4", order)[0]) for at in (12, 20))
    block = int(_numbers(data[16:18], "u2", order)[0])
    fps = _number(parameters, "POINT:RATE") or rate
    check_joints(points // 4, path)  # Vicon files may have thousands of unlabelled points
    labels = _listed(parameters, "POINT:LABELS")[:points]
    labels += [""] * (points - len(labels))
    declared = _declared_frames(parameters, first, last)
    at = (block - 1) * BLOCK if block else int(_number(parameters, "POINT:DATA_START") or 0) * BLOCK - BLOCK
    found = _points(data, at, (points, analog), scale, order, declared, path) if points else np.zeros((0, 0, 3))
    rotations, ratio = _rotations(data, parameters, order, declared, path)
    if not 0 < fps < 1e5 and (points or rotations[0]):
        raise DataError(f"{path}: {fps:g} frames per second are not plausible")
    return Content(tuple(labels), found, rotations, fps, fps * ratio, parameters, analog)


def _numbers(data: bytes, kind: str, order: str) -> npt.NDArray[Any]:
    """Numbers in the byte order of a processor; DEC's floats have swapped words and four times the value."""
    if order != "dec":
        return np.frombuffer(data, np.dtype(order + kind))
    if kind != "f4":
        return np.frombuffer(data, np.dtype("<" + kind))
    words = np.frombuffer(data, "<u2").reshape(-1, 2)[:, ::-1]
    with np.errstate(all="ignore"):
        return np.frombuffer(np.ascontiguousarray(words).tobytes(), "<f4") / np.float32(4)


def _parameters(data: bytes, start: int, order: str) -> dict[str, Parameter]:
    """Every parameter that can be read, the first of each name; reading ends where the chain does."""
    groups: dict[int, str] = {}
    found: list[tuple[int, str, Parameter]] = []
    at = start + 4
    while at + 4 <= len(data):
        length, owner = struct.unpack_from("bb", data, at)
        length = abs(length)
        name = data[at + 2 : at + 2 + length].decode("latin-1").strip().upper()
        where = at + 2 + length
        if not length or where + 2 > len(data):
            break
        step = int(_numbers(data[where : where + 2], "u2", order)[0])
        if owner < 0:
            groups.setdefault(-owner, name)
        else:
            parameter = _parameter(data, where + 2, order)
            if parameter is not None:
                found.append((owner, name, parameter))
        if step < 2:
            break
        at = where + step
    named: dict[str, Parameter] = {}
    for owner, name, parameter in found:
        named.setdefault(f"{groups.get(owner, owner)}:{name}", parameter)
    return named


def _parameter(data: bytes, at: int, order: str) -> Parameter | None:
    if at + 2 > len(data):
        return None
    kind, count = struct.unpack_from("bB", data, at)
    size = _SIZES.get(kind)
    if size is None or at + 2 + count > len(data):
        return None
    shape = list(data[at + 2 : at + 2 + count])
    total = int(np.prod(shape, dtype=np.int64)) if shape else 1
    raw = data[at + 2 + count : at + 2 + count + total * size]
    if len(raw) != total * size or count > 7:
        return None
    if kind == -1:
        width = shape[0] if shape else 1
        cells = [raw[i : i + width] for i in range(0, len(raw), width)] if width else []
        return Parameter([c.decode("utf-8", "replace").replace("\0", " ").strip() for c in cells])
    return Parameter(_numbers(raw, {1: "u1", 2: "u2", 4: "f4"}[kind], order))


def _number(parameters: Mapping[str, Parameter], name: str) -> float | None:
    found = parameters.get(name)
    return found.number if found is not None else None


def _listed(parameters: Mapping[str, Parameter], name: str) -> list[str]:
    """Texts of ``LABELS``, ``LABELS2`` and so on."""
    texts: list[str] = []
    for number in range(1, 1000):
        found = parameters.get(name if number == 1 else f"{name}{number}")
        if found is None:
            break
        texts += found.texts
    return texts


def _declared_frames(parameters: Mapping[str, Parameter], first: int, last: int) -> int:
    """Number of frames: of the trial (32 bits), the points, or the header (16 bits)."""
    ends = [parameters.get(f"TRIAL:ACTUAL_{end}_FIELD") for end in ("START", "END")]
    low, high = (
        int(p.values.ravel()[0]) + 65536 * int(p.values.ravel()[1])
        if p is not None and not isinstance(p.values, list) and p.values.size == 2 and np.isfinite(p.values).all()
        else 0
        for p in ends
    )
    whole = _number(parameters, "POINT:LONG_FRAMES") or _number(parameters, "POINT:FRAMES") or 0
    header = last - first + 1 if last >= first else 0
    counted = high - low + 1 if high >= low > 0 else 0
    return int(max(counted, header, whole if np.isfinite(whole) else 0)) if whole != 65535 else max(counted, header)


def _points(
    data: bytes, at: int, counts: tuple[int, int], scale: float, order: str, declared: int, path: Path
) -> npt.NDArray[np.float64]:
    points, analog = counts
    kind, size = ("f4", 4) if scale < 0 else ("i2", 2)
    stride = (4 * points + analog) * size
    available = max(0, len(data) - at) // stride if at >= BLOCK else 0
    frames = min(declared, available) if declared else available
    if frames < 1:
        raise DataError(
            f"{path}: none of its {counted(declared, 'frame')} of {points} points is in the file (is it cut off?)"
        )
    if frames < declared and declared != 65535:
        warnings.warn(
            f"{path}: it declares {counted(declared, 'frame')} and holds {frames}, which are read",
            MotetWarning,
            stacklevel=4,
        )
    values = _numbers(data[at : at + frames * stride], kind, order).reshape(frames, -1)[:, : 4 * points]
    values = values.reshape(frames, points, 4)
    with np.errstate(all="ignore"):
        out = values[..., :3].astype(np.float64) * (1 if scale < 0 else scale)
        out[(values[..., 3] < 0) | ~np.isfinite(out).all(axis=-1) | (np.abs(out) > 1e12).any(axis=-1)] = 0
    return out


def _rotations(
    data: bytes, parameters: Mapping[str, Parameter], order: str, declared: int, path: Path
) -> tuple[tuple[tuple[str, ...], npt.NDArray[np.float64]], float]:
    """Labels and transforms of the group ROTATION, and their number for each frame of points."""
    used, start = (int(_number(parameters, f"ROTATION:{n}") or 0) for n in ("USED", "DATA_START"))
    ratio = _number(parameters, "ROTATION:RATIO") or 1.0
    labels = _listed(parameters, "ROTATION:LABELS")[:used]
    nothing: tuple[tuple[str, ...], npt.NDArray[np.float64]] = ((), np.zeros((0, 0, 4, 4)))
    if used < 1 or start < 2 or len(labels) < used or not 0 < ratio < 1000:
        return nothing, 1.0
    check_joints(used, path)
    at = (start - 1) * BLOCK
    stride = used * ROTATION_WORDS * 4
    frames = min(max(0, len(data) - at) // stride, int(declared * ratio) or 2**31)
    if frames < 1:
        return nothing, 1.0
    words = _numbers(data[at : at + frames * stride], "f4", order).reshape(frames, used, ROTATION_WORDS)
    out = words[..., :16].reshape(frames, used, 4, 4).swapaxes(2, 3).astype(np.float64)
    out[words[..., 16] < 0] = np.nan
    return (tuple(labels), out), ratio
