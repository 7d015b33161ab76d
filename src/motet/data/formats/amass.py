"""AMASS: poses of the SMPL family (``.npz``), one file a clip; and the joint positions of HumanML3D (``.npy``).

``poses`` (T, 156, 165 or 72) are rotations of joints about axes, ``trans`` (T, 3) metres, ``mocap_framerate``. Where
the joints of a person lie in rest depends on ``betas`` through a body model, which may not be passed on: a rest
skeleton of usual proportions and 1.7 m stands in for it, so that poses are right and lengths of bones are not the
person's own. Files ``.npy`` of (T, 22, 3), as HumanML3D has them, hold positions themselves.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError, MotetNote
from motet.data import layouts
from motet.data.formats._compact import load_arrays
from motet.data.formats._files import bare, read_bytes
from motet.data.formats._points import PointFormat, PointOptions, Recording

Array = npt.NDArray[np.float64]
BODY = 24
HUMANML = 22
HUMANML_FPS = 20.0
# metres from its parent in rest: x to the left, y up, z forward; arms to the sides
REST = {
    "left_hip": (0.08, -0.08, 0),
    "right_hip": (-0.08, -0.08, 0),
    "spine1": (0, 0.11, -0.02),
    "left_knee": (0.02, -0.38, 0),
    "right_knee": (-0.02, -0.38, 0),
    "spine2": (0, 0.13, 0),
    "left_ankle": (-0.01, -0.4, -0.03),
    "right_ankle": (0.01, -0.4, -0.03),
    "spine3": (0, 0.05, 0),
    "left_foot": (0.03, -0.05, 0.12),
    "right_foot": (-0.03, -0.05, 0.12),
    "neck": (0, 0.21, -0.02),
    "left_collar": (0.08, 0.12, -0.01),
    "right_collar": (-0.08, 0.12, -0.01),
    "head": (0, 0.09, 0.05),
    "left_shoulder": (0.1, 0.03, 0),
    "right_shoulder": (-0.1, 0.03, 0),
    "left_elbow": (0.26, 0, 0),
    "right_elbow": (-0.26, 0, 0),
    "left_wrist": (0.25, 0, 0),
    "right_wrist": (-0.25, 0, 0),
    "left_hand": (0.08, 0, 0),
    "right_hand": (-0.08, 0, 0),
}


@dataclass(frozen=True)
class Options(PointOptions):
    """Options of the ``amass`` format."""


def rotations(vectors: Array) -> Array:
    """(…, 3, 3) rotations about axes by their lengths in radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors / np.maximum(angle[..., 0], 1e-12), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    turned: Array = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turned


def _body() -> tuple[tuple[str, ...], tuple[int, ...], Array]:
    layout = layouts.get("smpl-24")
    rest = np.array([REST.get(name.lower(), (0.0, 0.0, 0.0)) for name in layout.joints])
    return layout.joints, layout.parents, rest


def joint_positions(poses: Array, trans: Array) -> Array:
    """(T, 24, 3) metres of the rest skeleton posed.

    Args:
        poses: (T, 24, 3) rotations of each joint against its parent, the root's against the world.
        trans: (T, 3) where the root is moved to.
    """
    _, parents, rest = _body()
    local = rotations(poses)
    turns, places = np.empty_like(local), np.empty_like(poses)
    for joint, parent in enumerate(parents):
        if parent < 0:
            turns[:, joint], places[:, joint] = local[:, joint], trans
        else:
            turns[:, joint] = turns[:, parent] @ local[:, joint]
            places[:, joint] = places[:, parent] + turns[:, parent] @ rest[joint]
    return places


def _posed(path: Path) -> Recording:
    arrays = load_arrays(path)
    poses, trans = arrays.get("poses"), arrays.get("trans")
    if poses is None or poses.ndim != 2 or poses.shape[1] < 66 or poses.dtype.kind != "f" or not len(poses):
        raise DataError(f"{path}: it has no 'poses' (frames, 66 or more numbers), so it is no file of AMASS")
    if trans is None or trans.shape != (len(poses), 3) or trans.dtype.kind != "f":
        raise DataError(f"{path}: it has no 'trans' ({len(poses)}, 3)")
    rate = next((arrays[n] for n in ("mocap_framerate", "mocap_frame_rate", "fps") if n in arrays), None)
    fps = float(rate.ravel()[0]) if rate is not None and rate.dtype.kind in "fiu" and rate.size == 1 else None
    turns = np.zeros((len(poses), BODY, 3))
    turns[:, :22] = poses[:, :66].reshape(-1, 22, 3)  # hands follow their wrists
    if poses.shape[1] == 3 * BODY:
        turns[:, 22:] = poses[:, 66:].reshape(-1, 2, 3)
    if not (np.isfinite(turns).all() and np.isfinite(trans).all()):
        raise DataError(f"{path}: a rotation or place is NaN or infinite")
    warnings.warn(
        f"{path}: positions of joints need a body model; a rest skeleton of usual proportions stands in for it, so "
        "poses are right and lengths of bones are not the person's own",
        MotetNote,
        stacklevel=5,
    )
    joints, parents, _ = _body()
    points = joint_positions(turns, trans.astype(np.float64))
    gender = arrays.get("gender")
    said = str(gender) if gender is not None and gender.dtype.kind == "U" and gender.ndim == 0 else None
    return Recording(joints, points[:, None], fps=fps, parents=parents, up="+z", columns={"gender": said})


def _positions(path: Path) -> Recording:
    try:
        found = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    except Exception as error:  # numpy lets all sorts of errors out on damaged files
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no array of NumPy ({error!s:.80})") from error
    if not isinstance(found, np.ndarray) or found.ndim != 3 or found.shape[1:] != (HUMANML, 3):
        shape = getattr(found, "shape", "?")
        hint = (
            "; features of 263 numbers are no positions: give the folder new_joints" if 263 in found.shape[-1:] else ""
        )
        raise DataError(f"{path}: an array of shape {shape} instead of (frames, {HUMANML}, 3){hint}")
    joints, parents, _ = _body()
    points = found.astype(np.float64)[:, None]
    return Recording(joints[:HUMANML], points, fps=HUMANML_FPS, parents=parents[:HUMANML], up="+y")


def _read(path: Path, options: Options) -> list[Recording]:
    return [_positions(path) if bare(path).suffix.lower() == ".npy" else _posed(path)]


FORMAT = PointFormat(
    files=r"(?!shape\.npz).+\.(npz|npy)",
    what="files of AMASS (*.npz) or HumanML3D (*.npy)",
    read=_read,
    prefix="smpl",
).format("AMASS poses (.npz) and HumanML3D positions (.npy)", Options)
