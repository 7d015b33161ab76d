# ruff: noqa: B905  (zip without strict, because an older interpreter than motet's may run this)
"""Runs a pose estimator on one video; a program of its own, because estimators pin versions that motet does not.

``ESTIMATOR VIDEO OUT.npz [--model FILE] [--persons P]`` writes ``points`` (T, P, V, 2) in pixels,
``scores`` (T, P, V), ``world`` (T, P, V, 3) in metres where the estimator gives it, and ``fps``; nobody is zero.
``ESTIMATOR --check`` prints which estimator it would be. Nothing of motet is imported here: the
interpreter (3.9 or newer) needs the estimator, OpenCV and NumPy only. To add an estimator, add a function to
``ESTIMATORS``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from motet.core.text import counted

Person = tuple[Any, Any, Any]
"""(V, 2) pixels, (V,) confidence, (V, 3) metres or None."""
Estimate = Callable[[Any, float], list[Person]]
"""From a picture (H, W, 3; blue, green, red) and its time in milliseconds to the people in it."""


UNSURE = 0.2  # mean confidence below which RTMPose has looked at something that is nobody


def stop(message: str) -> NoReturn:
    """End with an error that the caller finds among whatever the estimator says on stderr."""
    sys.exit(f"error: {message}")


def _mediapipe(model: str | None, persons: int) -> Estimate:
    """MediaPipe Pose: the model file given (any version), else the weights inside the wheel (0.10.21 and before)."""
    import mediapipe as mp
    import numpy as np

    def people(picture: Any, image: Any, world: Any) -> list[Person]:
        size = picture.shape[1::-1]
        found = []
        for landmarks, metres in zip(image, world):
            points = np.array([[p.x * size[0], p.y * size[1]] for p in landmarks])
            scores = np.array([p.visibility for p in landmarks])
            found.append((points, scores, np.array([[p.x, p.y, p.z] for p in metres])))
        return found

    if model is not None:
        vision = mp.tasks.vision
        landmarker = vision.PoseLandmarker.create_from_options(
            vision.PoseLandmarkerOptions(
                base_options=mp.tasks.BaseOptions(model_asset_path=model),
                running_mode=vision.RunningMode.VIDEO,
                num_poses=persons,
            )
        )

        def by_task(picture: Any, time: float) -> list[Person]:
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture[..., ::-1]))
            found = landmarker.detect_for_video(image, int(time))
            return people(picture, found.pose_landmarks, found.pose_world_landmarks)

        return by_task
    if not hasattr(mp, "solutions"):
        stop("this version of mediapipe ships no weights: give a .task file with --model, or use version 0.10.21")
    pose = mp.solutions.pose.Pose(static_image_mode=False, model_complexity=1)

    def by_solution(picture: Any, time: float) -> list[Person]:
        found = pose.process(np.ascontiguousarray(picture[..., ::-1]))
        if found.pose_landmarks is None:
            return []
        return people(picture, [found.pose_landmarks.landmark], [found.pose_world_landmarks.landmark])

    return by_solution


def _rtmlib(model: str | None, persons: int) -> Estimate:
    """RTMPose through rtmlib: 17 COCO points; rtmlib fetches its weights on first use."""
    import numpy as np
    import rtmlib

    if model is not None:
        stop("rtmlib brings its own weights; a model file is for mediapipe")
    body = rtmlib.Body(mode="balanced", backend="onnxruntime", device="cpu")

    def estimate(picture: Any, time: float) -> list[Person]:
        # where nobody is found, rtmlib takes the whole picture for a person
        points, scores = body(picture)
        found = [(np.asarray(p), np.asarray(s).clip(0, 1), None) for p, s in zip(points, scores)]
        return [person for person in found if person[1].mean() >= UNSURE]

    return estimate


ESTIMATORS: dict[str, Callable[[str | None, int], Estimate]] = {"mediapipe": _mediapipe, "rtmlib": _rtmlib}


def choose(name: str) -> str:
    """The estimator of that name, or for ``auto`` the first that is installed; exits if there is none."""
    wanted = list(ESTIMATORS) if name == "auto" else [name]
    for found in wanted:
        if importlib.util.find_spec(found) is not None and importlib.util.find_spec("cv2") is not None:
            return found
    stop(f"no {' or '.join(wanted)} with OpenCV is installed for {sys.executable}")


def run(video: str, out: str, estimate: Estimate) -> None:
    """Estimate every frame and write the result."""
    import cv2
    import numpy as np

    capture = cv2.VideoCapture(video)
    fps = capture.get(cv2.CAP_PROP_FPS)
    if not capture.isOpened() or not fps > 0:
        stop("OpenCV cannot read it as a video")
    frames: list[list[Person]] = []
    while True:
        there, picture = capture.read()
        if not there:
            break
        frames.append(estimate(picture, 1000 * len(frames) / fps))
    capture.release()
    first = next((person for people in frames for person in people), None)
    if first is None:
        stop(f"nobody is seen in its {counted(len(frames), 'frame')}")
    slots, joints = max(map(len, frames)), len(first[0])
    arrays: dict[str, Any] = {
        "fps": np.float64(fps),
        "points": np.zeros((len(frames), slots, joints, 2), np.float32),
        "scores": np.zeros((len(frames), slots, joints), np.float32),
    }
    if first[2] is not None:
        arrays["world"] = np.zeros((len(frames), slots, joints, 3), np.float32)
    for time, people in enumerate(frames):
        for slot, parts in enumerate(people):
            for name, values in zip(("points", "scores", "world"), parts):
                if values is not None:
                    arrays[name][time, slot] = values
    np.savez(out, **arrays)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("estimator")
    parser.add_argument("video", nargs="?")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--persons", type=int, default=1)
    given = parser.parse_args()
    name = choose(given.estimator)
    if given.check:
        print(name)
        return
    run(given.video, given.out, ESTIMATORS[name](given.model, given.persons))


if __name__ == "__main__":
    main()
