from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError, MotetNote, MotetWarning
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset, mediapipe

SHARES = np.random.default_rng(0).uniform(0.1, 0.9, (5, 33, 3)).round(4)
SEEN = np.random.default_rng(1).uniform(0.2, 1, (5, 33)).round(4)


def marks(t: int, *, z: bool = True, joints: int = 33, scale: float = 1.0) -> list[dict[str, float]]:
    return [
        {"x": p[0] * scale, "y": p[1] * scale, **({"z": p[2]} if z else {}), "visibility": s}
        for p, s in zip(SHARES[t, :joints].tolist(), SEEN[t, :joints].tolist(), strict=True)
    ]


def load(folder: Path, content: Any, name: str = "a.json", **options: Any) -> MotionArchive:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_text(json.dumps(content))
    return import_dataset("mediapipe", folder / "in", folder / "out", progress=False, overwrite=True, **options)


def hands(t: int) -> dict[str, list[dict[str, float]]]:
    """The left hand in the left half of the picture, the right one 0.5 to its right."""
    left = [{"x": x / 3, "y": y, "z": z} for x, y, z in SHARES[t, :21].tolist()]
    return {"left": left, "right": [{**m, "x": m["x"] + 0.5} for m in left]}


def world(t: int) -> dict[str, list[dict[str, float]]]:
    return {side: [{a: v / 9 for a, v in m.items()} for m in marks] for side, marks in hands(t).items()}


HAND_NAMES = layouts.get("hand-21").joints
HANDS: dict[str, Any] = {  # as (frame, order of the hands) -> an entry
    "tasks": lambda t, order: {
        "hand_landmarks": [hands(t)[s] for s in order],
        "hand_world_landmarks": [world(t)[s] for s in order],
        "handedness": [[{"category_name": s.capitalize(), "score": 0.9}] for s in order],
    },
    "javascript": lambda t, order: {
        "landmarks": [hands(t)[s] for s in order],
        "worldLandmarks": [world(t)[s] for s in order],
        "handednesses": [[{"categoryName": s.capitalize()}] for s in order],
    },
    "solutions": lambda t, order: {
        "multi_hand_landmarks": [{"landmark": hands(t)[s]} for s in order],
        "multi_hand_world_landmarks": [{"landmark": world(t)[s]} for s in order],
        "multi_handedness": [{"classification": [{"label": s.capitalize()}]} for s in order],
    },
    "tensorflow": lambda t, order: [
        {"keypoints": hands(t)[s], "keypoints3D": world(t)[s], "handedness": s.capitalize()} for s in order
    ],
    "objects": lambda t, order: {"hands": [{"hand": s, "landmarks": hands(t)[s]} for s in order]},
    "holistic": lambda t, order: {f"{s}_hand_landmarks": hands(t)[s] for s in order},
    "sides": lambda t, order: {s.capitalize(): [[m["x"], m["y"], m["z"]] for m in hands(t)[s]] for s in order},
    "named": lambda t, order: {s.capitalize(): dict(zip(HAND_NAMES, hands(t)[s], strict=True)) for s in order},
}
ORDERS = (("left", "right"), ("right", "left"), ("right",), ("right", "left"), ("left", "right"))


def points(side: str, of: Any = hands) -> Any:
    return np.array([[[m["x"], m["y"], m["z"]] for m in of(t)[side]] for t in range(5)])


@pytest.mark.parametrize("form", HANDS)
def test_hands_are_read_by_their_side(tmp_path: Path, form: str) -> None:
    frames = [HANDS[form](t, order) for t, order in enumerate(ORDERS)]
    for side in ("left", "right"):
        archive = load(tmp_path, frames, side=side)
        seen = np.array([side in order for order in ORDERS])
        np.testing.assert_allclose(archive.clip(0)[:, 0], points(side) * seen[:, None, None], rtol=1e-6)
    both = load(tmp_path, frames, persons=2).clip(0)
    np.testing.assert_allclose(both[:2], np.stack([points("left"), points("right")], axis=1)[:2], rtol=1e-6)
    assert not both[2, 0].any(), "the left hand is the first also where it is not seen"
    with pytest.warns(MotetNote, match="1 file of 1 .* more hands at a time than are kept .*--side left or right"):
        assert load(tmp_path, frames).persons == 1


@pytest.mark.parametrize("form", ["tasks", "javascript", "solutions", "tensorflow"])
def test_world_landmarks_of_hands(tmp_path: Path, form: str) -> None:
    frames = [HANDS[form](t, order) for t, order in enumerate(ORDERS)]
    archive = load(tmp_path, frames, landmarks="world", side="right")
    np.testing.assert_allclose(archive.clip(0)[:, 0], points("right", world), rtol=1e-6)
    assert archive.units == "m"


def test_hands_next_to_a_body(tmp_path: Path) -> None:
    frames = [HANDS["holistic"](t, order) | {"pose_landmarks": marks(t)} for t, order in enumerate(ORDERS)]
    assert load(tmp_path, frames).skeleton.name == "mediapipe-33"
    np.testing.assert_allclose(load(tmp_path, frames, side="right").clip(0)[:, 0], points("right"), rtol=1e-6)


def test_a_hand_that_no_file_tells_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no frame says that a hand is the left one"):
        load(tmp_path, [hands(t)["left"] for t in range(5)], side="left")


@pytest.mark.parametrize("axes", ["xy", "xyz"])
def test_landmarks_as_one_list_of_numbers(tmp_path: Path, axes: str) -> None:
    frames = [[m[a] for m in hands(t)["left"] for a in axes] for t in range(5)]
    np.testing.assert_allclose(load(tmp_path, frames).clip(0)[:, 0], points("left")[..., : len(axes)], rtol=1e-6)
    by_name = [dict(zip(HAND_NAMES, hands(t)["left"], strict=True)) for t in range(5)]
    np.testing.assert_allclose(load(tmp_path, by_name).clip(0)[:, 0], points("left"), rtol=1e-6)


FORMS: dict[str, Any] = {
    "keypoints": [{"keypoints": marks(t)} for t in range(5)],
    "landmarks": {"fps": 30, "frames": [{"frame": t, "pose_landmarks": marks(t)} for t in range(5)]},
    "lists": [[[*p, s] for p, s in zip(SHARES[t].tolist(), SEEN[t].tolist(), strict=True)] for t in range(5)],
    "persons": [{"pose_landmarks": [marks(t)]} for t in range(5)],
    "bare": [marks(t) for t in range(5)],
    "poses": [{"poses": [{"keypoints": marks(t)}]} for t in range(5)],
    "landmark key": [{"frame": t, "pose_landmarks": {"landmark": marks(t)}} for t in range(5)],
    "by number": {str(t): {"pose_landmarks": marks(t)} for t in range(5)},
    "by name": [{"landmarks": dict(zip(layouts.get("mediapipe-33").joints, marks(t), strict=True))} for t in range(5)],
    "list of poses": [[{"keypoints": marks(t), "score": 1}] for t in range(5)],
}


@pytest.mark.parametrize(("key", "scale"), [("timestamp", 1.0), ("timestamp_ms", 1e3), ("t", 1e6)])
def test_stamps_give_the_rate_and_what_is_missing(tmp_path: Path, key: str, scale: float) -> None:
    frames = [{key: round(t / 25 * scale, 6), "landmarks": marks(i)} for i, t in enumerate([0, 1, 2, 6, 7])]
    with contextlib.nullcontext() if key != "t" else pytest.warns(MotetNote, match="seconds"):
        archive = load(tmp_path, frames)
    assert (archive.fps, archive.lengths.tolist()) == (25.0, [8])
    assert archive.clip(0).any(axis=(1, 2, 3)).nonzero()[0].tolist() == [0, 1, 2, 6, 7]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_landmarks_without_a_place_are_absent(tmp_path: Path, value: float | None) -> None:
    frames = [{"landmarks": marks(t)} for t in range(3)]
    frames[1]["landmarks"][4] |= {"x": value, "y": value, "z": value}  # type: ignore[dict-item]
    archive = load(tmp_path, frames)
    assert np.argwhere(~archive.clip(0)[:, 0].any(axis=-1)).tolist() == [[1, 4]]
    assert archive.clip_confidence(0)[1, 0, 4] == 0


def test_entries_of_one_frame_are_people(tmp_path: Path) -> None:
    two = [{"frame": t, "landmarks": marks(t, scale=s)} for t in range(5) for s in (1.0, 3.0)]
    archive = load(tmp_path, two, persons=2)
    assert (archive.lengths.tolist(), archive.clip(0).any(axis=(2, 3)).all()) == ([5], True)


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_in_which_people_save_landmarks(tmp_path: Path, form: str) -> None:
    archive = load(tmp_path, FORMS[form])
    np.testing.assert_allclose(archive.clip(0)[:, 0], SHARES, rtol=1e-6)
    np.testing.assert_allclose(archive.clip_confidence(0)[:, 0], SEEN, rtol=1e-6)  # type: ignore[index]
    assert (archive.skeleton.name, archive.units) == ("mediapipe-33", "shares of the picture")
    assert archive.clips["coordinates"][0] == "shares of the picture"


def test_the_size_of_the_picture_makes_pixels(tmp_path: Path) -> None:
    archive = load(tmp_path, FORMS["bare"], width=640, height=480, fps=25.0)
    np.testing.assert_allclose(archive.clip(0)[:, 0], SHARES * (640, 480, 640), rtol=1e-6)
    assert (archive.units, archive.fps) == ("px", 25.0)


def test_world_landmarks_alone_are_metres(tmp_path: Path) -> None:
    content = [{"pose_landmarks": marks(t), "pose_world_landmarks": marks(t, scale=-1)} for t in range(5)]
    archive = load(tmp_path, content, landmarks="world")
    assert archive.units == "m"
    np.testing.assert_allclose(archive.clip(0)[:, 0], SHARES * (-1, -1, 1), rtol=1e-6)
    assert load(tmp_path, content).units == "shares of the picture"


def test_landmarks_of_the_other_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.json holds no world landmarks; use --landmarks image"):
        load(tmp_path, FORMS["keypoints"], landmarks="world")
    with pytest.raises(DataError, match=r"a\.json holds no landmarks in the picture; use --landmarks world"):
        load(tmp_path, [{"pose_world_landmarks": marks(t)} for t in range(5)])


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    whole = json.dumps(FORMS["keypoints"], indent=1)
    for cut in (len(whole) // 2, whole.rindex('"x"') + 2):
        path.write_text(whole[:cut])
        with pytest.raises(DataError, match="is the file cut off"):
            mediapipe.read_frames(path, "image")
    path.write_text(whole.replace(":", ";", 1))
    with pytest.raises(DataError, match="no JSON") as caught:
        mediapipe.read_frames(path, "image")
    assert "cut off" not in str(caught.value)


def test_frames_in_which_nobody_was_seen(tmp_path: Path) -> None:
    empty: tuple[Any, ...] = (None, {}, [], {"keypoints": []})
    archive = load(tmp_path, [*empty, *FORMS["keypoints"]])
    assert archive.clip(0).shape[0] == 9
    assert not archive.clip(0)[:4].any()
    with pytest.raises(DataError, match=r"a\.json: nobody was seen"):
        load(tmp_path, list(empty))


def test_two_people(tmp_path: Path) -> None:
    content = [{"pose_landmarks": [marks(0), marks(1, scale=0.5)]} for _ in range(4)]
    archive = load(tmp_path, content, persons=2)
    np.testing.assert_allclose(
        np.sort(archive.clip(0)[..., 0, 0].mean(axis=0)), np.sort([SHARES[0, 0, 0], SHARES[1, 0, 0] / 2]), rtol=1e-5
    )
    assert archive.clips["people"][0] == 2


def test_files_of_different_estimators_share_joints_and_coordinates(tmp_path: Path) -> None:
    load(tmp_path, FORMS["keypoints"], "b.json")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        archive = load(tmp_path, [{"keypoints": marks(t, z=False, joints=17, scale=1000)} for t in range(5)])
    units, joints = sorted(caught, key=lambda w: issubclass(w.category, MotetNote))
    assert "1 of 2 files hold shares of the picture, the others pixels" in str(units.message)
    assert "--width and --height" in str(units.message)
    assert issubclass(joints.category, MotetNote)
    assert "17 landmarks (1 file) and 33 landmarks (1 file)" in str(joints.message)
    assert "the 17 joints of coco-17 with x, y" in str(joints.message)
    assert (archive.skeleton.name, archive.channels) == ("coco-17", ("x", "y"))
    assert archive.clips["coordinates"].to_list() == ["px", "shares of the picture"]
    assert archive.units == "px, or shares of the picture"
    wrist = mediapipe.layouts.get("mediapipe-33").index("left_wrist")
    np.testing.assert_allclose(archive.clip(1)[:, 0, 9], SHARES[:, wrist, :2], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "neither a list of frames"),
        ([], "neither a list of frames"),
        ([{"joints": []}], r"frame 0: an object without keypoints, landmarks"),
        ([{"keypoints": [{"x": 1}]}], "frame 0: landmarks without x and y"),
        ([{"keypoints": [{"x": 1, "y": "b"}]}], "frame 0: no list of numbers"),
        ([{"keypoints": ["x"]}], "frame 0, landmark 0"),
        ([marks(0), marks(1)[:30]], "30 landmarks of 3 coordinates and 33 landmarks"),
        ([marks(0)[:5]], "5 landmarks; layouts are known for 33, 21, 17"),
        ([[[1, 2, 3, float("inf")]] * 33], "infinite"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path, content)
    assert "a.json" in str(caught.value)


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    for options, said in (({"width": 640}, "both or neither"), ({"persons": 0}, "persons")):
        with pytest.raises(ConfigError, match=said):
            load(tmp_path, FORMS["bare"], **options)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(sorted(FORMS)))
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject, form: str) -> None:
    raw = bytearray(json.dumps(FORMS[form] if isinstance(FORMS[form], dict) else FORMS[form][:2]).encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"[", b"]", b"null", b'"1"', b"{}", b"1e999", b"true", b",", b"[[]]"])
    )
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        mediapipe.read_frames(path, "image")


@pytest.mark.real_data
def test_recordings(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "raw" / "mediapipe_pushfit"
    with pytest.warns(MotetWarning) as told:
        archive = import_dataset("mediapipe", source, tmp_path / "out", progress=False, pattern=r"(?P<label>[a-z]+)\d+")
    units, joints = (str(w.message) for w in told)
    assert "1 of 6 files hold shares of the picture, the others pixels" in units
    assert "what all share is kept: the 17 joints of coco-17 with x, y" in joints
    assert (len(archive), archive.class_names, archive.skeleton.name) == (6, ["correct", "wrong"], "coco-17")
    for i, row in enumerate(archive.clips.iter_rows(named=True)):
        content = json.loads((source / row["source"]).read_text())
        nose = [[f["keypoints"][0]["x"], f["keypoints"][0]["y"]] for f in content]
        np.testing.assert_allclose(archive.clip(i)[:, 0, 0], nose, rtol=1e-5)
    whole = import_dataset("mediapipe", source / "wrong24.json", tmp_path / "one", progress=False)
    assert (whole.skeleton.name, whole.channels, whole.persons) == ("mediapipe-33", ("x", "y", "z"), 1)


def test_json_lines_and_frames_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = [json.dumps({"frame": n, "landmarks": marks(t)}) for t, n in enumerate((0, 1, 2, 7, 8))]
    (tmp_path / "in" / "a.JSONL").write_text("\n".join(rows))
    archive = import_dataset("mediapipe", tmp_path / "in", tmp_path / "out", progress=False)
    np.testing.assert_allclose(archive.clip(0)[[0, 1, 2, 7, 8], 0], SHARES, rtol=1e-6)
    assert (archive.lengths.tolist(), archive.clip(0)[3:7].any()) == ([9], False)
