"""The adapter runs in a real process against stand-ins of OpenCV and the estimators that replay what MediaPipe 0.10.21
gave for eight frames of NASA's portrait of Eileen Collins (public domain), ``recorded/mediapipe_pose.json``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.core.errors import ConfigError, DataError
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset

RECORDED = Path(__file__).parent / "recorded" / "mediapipe_pose.json"
FRAMES = json.loads(RECORDED.read_text())
IMAGE = np.array([f["image"] for f in FRAMES])  # (8, 33, 3): shares of the picture, visibility
WORLD = np.array([f["world"] for f in FRAMES])
WIDTH, HEIGHT, RATE = 640, 480, 25.0

# a video is a text file: its frame rate and number of frames; every picture holds its number
CV2 = f"""
import numpy as np
CAP_PROP_FPS = 5
class VideoCapture:
    def __init__(self, path):
        words = open(path).read().split()
        self.ok = len(words) == 2
        self.rate, self.left = (float(words[0]), int(words[1])) if self.ok else (0, 0)
        self.number = 0
    def isOpened(self): return self.ok
    def get(self, what): return self.rate
    def release(self): pass
    def read(self):
        if self.number == self.left: return False, None
        self.number += 1
        return True, np.full(({HEIGHT}, {WIDTH}, 3), self.number - 1, np.uint8)
"""
SOLUTIONS = """
import json
from types import SimpleNamespace as N
frames = json.load(open({path!r}))
class Pose:
    def __init__(self, static_image_mode, model_complexity): assert not static_image_mode
    def process(self, picture):
        number = int(picture[0, 0, 0])
        if number >= len(frames): return N(pose_landmarks=None, pose_world_landmarks=None)
        image = [N(x=x, y=y, z=0.0, visibility=v) for x, y, v in frames[number]["image"]]
        world = [N(x=x, y=y, z=z, visibility=1.0) for x, y, z in frames[number]["world"]]
        return N(pose_landmarks=N(landmark=image), pose_world_landmarks=N(landmark=world))
solutions = N(pose=N(Pose=Pose))
"""
TASKS = """
import json
from types import SimpleNamespace as N
frames = json.load(open({path!r}))
class Landmarker:
    @classmethod
    def create_from_options(cls, options):
        assert options.running_mode == "video" and open(options.base_options.model_asset_path).read() == "weights"
        found = cls(); found.persons = options.num_poses
        return found
    def detect_for_video(self, image, time):
        row = frames[int(image.data[0, 0, 0])]
        assert isinstance(time, int)
        # people change places from frame to frame
        shifts = [0.0, 0.5][: self.persons][:: -1 if time % 80 else 1]
        return N(
            pose_landmarks=[[N(x=x + s, y=y, z=0.0, visibility=v) for x, y, v in row["image"]] for s in shifts],
            pose_world_landmarks=[[N(x=x, y=y, z=z) for x, y, z in row["world"]] for s in shifts],
        )
def options(**given): return N(**given)
tasks = N(BaseOptions=options, vision=N(
    PoseLandmarker=Landmarker, PoseLandmarkerOptions=options, RunningMode=N(VIDEO="video")))
ImageFormat = N(SRGB=1)
def Image(image_format, data): return N(data=data)
"""
RTMLIB = """
import json
import numpy as np
frames = json.load(open({path!r}))
class Body:
    def __init__(self, mode, backend, device): pass
    def __call__(self, picture):
        points = np.array(frames[int(picture[0, 0, 0])]["image"])[:17]
        nobody = np.column_stack([points[:, :2], np.full(17, 0.01)])  # the whole picture taken for a person
        people = np.stack([points, nobody])
        return people[..., :2] * [640, 480], people[..., 2]
"""


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that the estimator's process imports; cv2 is there, the test adds an estimator."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "cv2.py").write_text(CV2)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def load(folder: Path, frames: int = 8, text: str | None = None, **options: Any) -> MotionArchive:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "wave_s3.mp4").write_text(f"{RATE} {frames}" if text is None else text)
    return import_dataset("video", folder / "in", folder / "out", progress=False, overwrite=True, **options)


def test_mediapipe_in_the_picture_and_in_the_world(tmp_path: Path, stand_ins: Path) -> None:
    (stand_ins / "mediapipe.py").write_text(SOLUTIONS.format(path=str(RECORDED)))
    archive = load(tmp_path, fps=RATE, pattern=r"(?P<label>[a-z]+)_s(?P<subject>\d)")
    assert (archive.skeleton.name, archive.units, archive.channels, archive.fps) == (
        "mediapipe-33",
        "px",
        ("x", "y"),
        RATE,
    )
    np.testing.assert_allclose(archive.clip(0)[:, 0], IMAGE[..., :2] * (WIDTH, HEIGHT), rtol=1e-5)
    confidence = archive.clip_confidence(0)
    assert confidence is not None
    np.testing.assert_allclose(confidence[:, 0], IMAGE[..., 2], rtol=1e-5)
    assert archive.clips.select("label", "subject", "people", "video_fps").row(0) == (0, 3, 1, RATE)
    assert archive.source["estimator"] == "mediapipe"
    # the portrait looks at the camera: the left shoulder is to the right in the picture, the nose above
    joints = archive.skeleton.index
    assert (
        archive.clip(0)[:, 0, joints("left_shoulder"), 0] > archive.clip(0)[:, 0, joints("right_shoulder"), 0]
    ).all()
    assert (archive.clip(0)[:, 0, joints("nose"), 1] < archive.clip(0)[:, 0, joints("left_shoulder"), 1]).all()
    world = load(tmp_path, fps=RATE, joints="world")
    assert (world.units, world.channels) == ("m", ("x", "y", "z"))
    np.testing.assert_allclose(world.clip(0)[:, 0], WORLD, rtol=1e-5)


def test_frames_without_anybody_stay_and_the_rate_is_brought_to_what_is_wanted(tmp_path: Path, stand_ins: Path) -> None:
    (stand_ins / "mediapipe.py").write_text(SOLUTIONS.format(path=str(RECORDED)))
    archive = load(tmp_path, frames=10, fps=RATE / 2)
    assert len(archive.clip(0)) == 5
    np.testing.assert_allclose(archive.clip(0)[:4, 0], IMAGE[::2, :, :2] * (WIDTH, HEIGHT), rtol=1e-5)
    assert not archive.clip(0)[4].any()
    with pytest.raises(DataError, match=r"wave_s3\.mp4: nobody is seen in its 0 frames"):
        load(tmp_path, frames=0)


def test_versions_without_weights_take_a_model_and_give_several_people(tmp_path: Path, stand_ins: Path) -> None:
    (stand_ins / "mediapipe.py").write_text(TASKS.format(path=str(RECORDED)))
    with pytest.raises(DataError, match=r"ships no weights: give a \.task file"):
        load(tmp_path)
    model = tmp_path / "pose.task"
    model.write_text("weights")
    archive = load(tmp_path, fps=RATE, model=model, persons=2)
    nose = archive.clip(0)[:, :, 0, 0]
    np.testing.assert_allclose(np.sort(nose, axis=1), IMAGE[:, :1, 0] * WIDTH + [0, WIDTH / 2], rtol=1e-4)
    assert (np.abs(np.diff(nose, axis=0)) < 20).all()  # each keeps the slot
    with pytest.raises(ConfigError, match="is no file"):
        load(tmp_path, model=tmp_path / "absent.task")


def test_rtmlib(tmp_path: Path, stand_ins: Path) -> None:
    (stand_ins / "rtmlib.py").write_text(RTMLIB.format(path=str(RECORDED)))
    archive = load(tmp_path, fps=RATE, persons=2)
    assert (archive.skeleton.name, archive.source["estimator"]) == ("coco-17", "rtmlib")
    np.testing.assert_allclose(archive.clip(0)[:, 0], IMAGE[:, :17, :2] * (WIDTH, HEIGHT), rtol=1e-5)
    assert archive.clips["people"][0] == 1  # whom the estimator is not sure of is nobody
    with pytest.raises(ConfigError, match="joints=world needs mediapipe"):
        load(tmp_path, joints="world")
    (tmp_path / "own").touch()
    with pytest.raises(DataError, match="a model file is for mediapipe"):
        load(tmp_path, model=tmp_path / "own")


def test_what_is_missing_is_said_with_its_remedy(tmp_path: Path, stand_ins: Path) -> None:
    installed = {n for n in ("mediapipe", "rtmlib") if _has(n)}
    if not installed:
        with pytest.raises(ConfigError, match=r"no mediapipe or rtmlib .*pip install mediapipe==0\.10\.21"):
            load(tmp_path)
    if "rtmlib" not in installed:
        with pytest.raises(ConfigError, match=r"no rtmlib .*; pip install '\.\[video\]' in the folder of motet"):
            load(tmp_path, estimator="rtmlib")
    with pytest.raises(ConfigError, match=r"option python: .* cannot be run"):
        load(tmp_path, python=tmp_path / "absent")
    (stand_ins / "mediapipe.py").write_text(SOLUTIONS.format(path=str(RECORDED)))
    with pytest.raises(DataError, match=r"wave_s3\.mp4: OpenCV cannot read it as a video"):
        load(tmp_path, text="junk")
    assert not (tmp_path / "out").exists()
    (stand_ins / "mediapipe.py").write_text("raise RuntimeError('the graph broke')")
    with pytest.raises(DataError, match=r"wave_s3\.mp4: RuntimeError: the graph broke"):
        load(tmp_path)


def _has(name: str) -> bool:
    words = [sys.executable, "-c", f"import importlib.util as u; raise SystemExit(u.find_spec({name!r}) is None)"]
    return subprocess.run(words, env={**os.environ, "PYTHONPATH": ""}).returncode == 0


@pytest.mark.skipif("MOTET_POSE_PYTHON" not in os.environ, reason="names an interpreter with mediapipe 0.10.21")
def test_the_real_estimator(tmp_path: Path) -> None:
    """On a film that its OpenCV makes of scikit-image's portrait; the recorded frames are its first."""
    python = os.environ["MOTET_POSE_PYTHON"]
    film = """
import cv2, numpy as np, skimage.data, sys
picture = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
film = cv2.VideoWriter(sys.argv[1], cv2.VideoWriter_fourcc(*"mp4v"), 25, (640, 480))
for t in range(8):
    scale = 0.8 + 0.004 * t
    film.write(cv2.warpAffine(picture, np.float32([[scale, 0, 60 + 2 * t], [0, scale, 20]]), (640, 480)))
film.release()
"""
    (tmp_path / "in").mkdir()
    subprocess.run([python, "-c", film, str(tmp_path / "in" / "a.mp4")], check=True, capture_output=True)
    archive = import_dataset("video", tmp_path / "in", tmp_path / "out", progress=False, python=Path(python), fps=RATE)
    sure = IMAGE[..., 2] > 0.9
    np.testing.assert_allclose(archive.clip(0)[:, 0][sure], (IMAGE[..., :2] * (WIDTH, HEIGHT))[sure], atol=2.0)
