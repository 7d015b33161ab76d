"""Own video: a pose estimator turns every frame into joints with confidence.

The estimator runs in a process of its own (:mod:`motet.data.formats._estimate`), with the interpreter that ``python``
names:
MediaPipe's and RTMPose's packages pin versions of NumPy and OpenCV that need not be motet's. Joints in the picture
stay pixels; ``world`` gives metres around the hips where the estimator does (MediaPipe).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _estimate
from motet.data.formats._compact import Arrays, load_arrays
from motet.data.formats._files import find_files
from motet.data.formats._names import NamePattern
from motet.data.formats._people import Sighting, follow
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of

LAYOUTS = {"mediapipe": "mediapipe-33", "rtmlib": "coco-17"}
_INSTALL = {
    "mediapipe": "python -m venv pose && pose/bin/pip install mediapipe==0.10.21, then --python pose/bin/python",
    "rtmlib": "pip install '.[video]' in the folder of motet",
}
_PATTERN = r"(?i).+\.(mp4|m4v|mov|avi|mkv|webm|mpg|mpeg|wmv)"


@dataclass(frozen=True)
class Options:
    """Options of the ``video`` format.

    Attributes:
        estimator: ``mediapipe`` (33 joints), ``rtmlib`` (RTMPose, 17 joints), or whichever is installed.
        python: interpreter that has the estimator, if it is not this one.
        model: weights for MediaPipe (a ``.task`` file), which versions after 0.10.21 need and several persons do.
        joints: in the picture (pixels), or around the hips in metres (``world``, MediaPipe).
        persons: people kept of a clip, those seen best.
        fps: frames per second of the clips; of each moment the frame that is nearest in time is taken.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    estimator: Literal["auto", "mediapipe", "rtmlib"] = "auto"
    python: Path | None = None
    model: Path | None = None
    joints: Literal["image", "world"] = "image"
    persons: int = 1
    fps: float = 30.0
    pattern: str | None = None
    licence: str = "unknown"


def _call(options: Options, *words: str) -> str:
    """Output of the estimator's program.

    Raises:
        ConfigError: there is no such interpreter.
        DataError: the program ended with an error; the last line that it said.
    """
    wanted = str(options.python or sys.executable)
    python = str(Path(shutil.which(wanted) or wanted).absolute())  # links stay: they make a virtual environment
    try:
        # read from stdin, so that its neighbours here (csv, watch …) do not hide modules of that name
        done = subprocess.run(
            [python, "-", *words],
            input=Path(_estimate.__file__).read_text(encoding="utf-8"),
            cwd=tempfile.gettempdir(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise ConfigError(f"option python: {options.python} cannot be run ({error.strerror})") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        own = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        said = own or lines or [f"the estimator ended with exit status {done.returncode}"]
        raise DataError(said[-1][:300])
    return done.stdout.strip()


def _estimator(options: Options) -> str:
    try:
        name = _call(options, options.estimator, "--check")
    except DataError as error:
        ways = "; or ".join(_INSTALL[n] for n in LAYOUTS if options.estimator in ("auto", n))
        raise ConfigError(f"{error}; {ways}") from error
    if name not in LAYOUTS:
        raise ConfigError(f"option python: {options.python} is no Python interpreter")
    if options.joints == "world" and name != "mediapipe":
        raise ConfigError(f"{name} gives joints in the picture only; joints=world needs mediapipe")
    return name


def discover(source: Path, options: Options) -> Plan:
    if options.persons < 1 or not 0 < options.fps <= 1000:
        raise ConfigError("option persons must be at least 1 and fps positive")
    if options.model is not None and not options.model.is_file():
        raise ConfigError(f"option model: {options.model} is no file")
    units = units_of(find_files(source, _PATTERN, what="videos (mp4, mov, avi, mkv, webm …)"), source)
    names = NamePattern(options.pattern, [u.name for u in units])
    name = _estimator(options)
    world = options.joints == "world"
    return Plan(
        units=[Unit(u.name, u.path, {"estimator": name, "columns": names.columns(u.name)}) for u in units],
        skeleton=layouts.get(LAYOUTS[name]),
        persons=options.persons,
        fps=options.fps,
        measure="m" if world else "px",
        channels=("x", "y", "z") if world else ("x", "y"),
        class_names=tuple(names.class_names),
        licence=options.licence,
        confidence=True,
        facts={"split": "odd-even", "estimator": name},
    )


def estimate(video: Path, name: str, options: Options) -> Arrays:
    """``points`` (T, P, V, 2), ``scores`` (T, P, V), perhaps ``world`` (T, P, V, 3), and ``fps`` of one video.

    Raises:
        DataError: no video, nobody in it, or the estimator failed; names the video.
    """
    with tempfile.TemporaryDirectory(prefix="motet-video-") as folder:
        out = Path(folder) / "joints.npz"
        model = () if options.model is None else ("--model", str(options.model.absolute()))
        try:
            _call(options, name, str(video.absolute()), str(out), "--persons", str(options.persons), *model)
        except DataError as error:
            raise DataError(f"{video}: {error}") from error
        return load_arrays(out)


def read(unit: Unit, options: Options) -> list[RawClip]:
    name = unit.detail["estimator"]
    found = estimate(unit.path, name, options)
    points = found["world" if options.joints == "world" else "points"]
    scores, rate = found["scores"], float(found["fps"])
    joints = len(layouts.get(LAYOUTS[name]))
    if points.shape[2] != joints:
        raise DataError(f"{unit.path}: {name} gave {counted(points.shape[2], 'joint')} where {joints} are due")
    moments = np.arange(max(1, round(len(points) / rate * options.fps))) / options.fps
    nearest = np.minimum(np.round(moments * rate).astype(np.int64), len(points) - 1)
    frames = [[Sighting(p, s) for p, s in zip(points[t], scores[t], strict=True) if s.any()] for t in nearest.tolist()]
    people = follow(frames, joints, points.shape[3], options.persons)
    columns = {**unit.detail["columns"], "people": people.tracks, "video_fps": rate}
    return [RawClip(unit.name.rsplit(".", 1)[0], people.frames, people.confidence, columns)]


FORMAT = Format(
    description="own videos (.mp4, .mov, .avi …), through a pose estimator (MediaPipe or RTMPose)",
    options=Options,
    discover=discover,
    read=read,
)
