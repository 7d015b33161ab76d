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
from motet.data.formats import import_dataset, openpose

RNG = np.random.default_rng(0)


def body(joints: int, x: float, t: float = 0.0) -> np.ndarray:
    """(joints, 3): pixels and confidence of somebody who walks."""
    shape = np.random.default_rng(joints).uniform(0, 200, (joints, 2))
    return np.column_stack([shape + np.array([x + 3 * t, 50]), np.full(joints, 0.75)]).round(3)


def flat(points: np.ndarray) -> list[float]:
    return list(points.ravel().tolist())


def put(folder: Path, content: Any, name: str) -> None:
    path = folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def load(folder: Path, **options: Any) -> MotionArchive:
    return import_dataset("openpose", folder / "in", folder / "out", progress=False, overwrite=True, **options)


def openpose_frame(*people: np.ndarray, ids: list[int] | None = None) -> dict[str, Any]:
    rows = [{"person_id": [-1 if ids is None else ids[i]], "pose_keypoints_2d": flat(p)} for i, p in enumerate(people)]
    return {"version": 1.3, "people": rows}


@pytest.mark.parametrize(("joints", "layout"), [(25, "openpose-25"), (18, "openpose-18")])
def test_openpose_writes_a_file_a_frame(tmp_path: Path, joints: int, layout: str) -> None:
    for t in range(12):  # frame 10 comes after 9, people change places in the file
        people = [body(joints, 0, t), body(joints, 600, t)]
        put(tmp_path, openpose_frame(*people[:: -1 if t % 3 else 1]), f"walk/cam1_{t:012d}_keypoints.json")
    put(tmp_path, openpose_frame(body(joints, 0)), "jump/000000000000_keypoints.json")
    archive = load(tmp_path, pattern="(?P<label>[a-z]+)", fps=25.0)
    assert (archive.skeleton.name, archive.units, archive.channels) == (layout, "px", ("x", "y"))
    assert archive.clips["name"].to_list() == ["jump", "walk/cam1"]
    assert (archive.class_names, archive.labels.tolist()) == (["jump", "walk"], [0, 1])
    clip = archive.clip(1)
    assert clip.shape == (12, 2, joints, 2)
    for slot in range(2):
        start = clip[0, slot, 0, 0]
        x = 0 if abs(start - body(joints, 0)[0, 0]) < 1 else 600
        np.testing.assert_allclose(clip[:, slot], [body(joints, x, t)[:, :2] for t in range(12)], rtol=1e-5)
    assert archive.clips["people"].to_list() == [1, 2]


def test_absent_joints_and_given_identities(tmp_path: Path) -> None:
    hidden = body(25, 0)
    hidden[4] = 0
    guessed = body(25, 600)
    guessed[7, 2] = 0  # coordinates without confidence are no joint
    for t in range(4):
        put(tmp_path, openpose_frame(hidden, guessed, ids=[t % 2, 1 - t % 2]), f"a_{t}_keypoints.json")
    archive = load(tmp_path)
    clip, confidence = archive.clip(0), archive.clip_confidence(0)
    assert confidence is not None
    frames = clip[:, 0]  # identities alternate between the two places
    assert np.abs(np.diff(frames[:, 0, 0])).min() > 500
    assert not clip[:, :, 4].any(axis=-1).all()
    for t in range(4):
        absent = {(int(p), int(j)) for p, j in np.argwhere(~clip[t].any(axis=-1))}
        assert {j for _, j in absent} == {4, 7}
        assert all(confidence[t, p, j] == 0 for p, j in absent)


def test_alphapose_and_coco_results(tmp_path: Path) -> None:
    rows = [
        {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": flat(body(17, x, t)), "score": 2.9, "idx": [[who]]}
        for t in (10, 9, 2)
        for who, x in ((1, 0), (2, 500))
    ]
    put(tmp_path, rows, "alphapose-results.json")
    halpe = [{"image_id": t, "category_id": 1, "keypoints": flat(body(17, 0, t)), "score": 0.9} for t in range(3)]
    put(tmp_path, halpe, "results.json")
    archive = load(tmp_path)
    assert archive.skeleton.name == "coco-17"
    assert archive.clips.select("name", "length", "people").rows() == [("alphapose-results", 9, 2), ("results", 3, 1)]
    np.testing.assert_allclose(archive.clip(0)[[0, 7, 8], 0], [body(17, 0, t)[:, :2] for t in (2, 9, 10)], rtol=1e-5)
    np.testing.assert_allclose(archive.clip(1)[:, 0], [body(17, 0, t)[:, :2] for t in range(3)], rtol=1e-5)


def test_pictures_of_several_folders_are_several_clips(tmp_path: Path) -> None:
    rows = [{"image_id": f"{v}/{t}.jpg", "keypoints": flat(body(26, 0, t)), "score": 1} for v in "ba" for t in range(2)]
    put(tmp_path, rows, "all.json")
    archive = load(tmp_path)
    assert (archive.clips["name"].to_list(), archive.skeleton.name) == (["all/b", "all/a"], "halpe-26")


def test_alphapose_in_the_manner_of_openpose_and_cmu(tmp_path: Path) -> None:
    put(tmp_path, {f"{t}.jpg": openpose_frame(body(18, 0, t)) for t in range(3)}, "open.json")
    put(tmp_path, {f"{t}.jpg": {"bodies": [{"joints": flat(body(18, 0, t))}]} for t in range(3)}, "cmu.json")
    archive = load(tmp_path)
    np.testing.assert_array_equal(archive.clip(0), archive.clip(1))
    np.testing.assert_allclose(archive.clip(0)[:, 0], [body(18, 0, t)[:, :2] for t in range(3)], rtol=1e-5)


def test_coco_annotations(tmp_path: Path) -> None:
    seen = body(17, 0)
    seen[:, 2] = 2
    seen[3] = (10, 10, 1)  # hidden but annotated
    seen[5] = 0
    images = [{"id": i, "file_name": f"video/{i:03d}.jpg"} for i in (7, 8, 9)]
    rows = [{"id": i, "image_id": i, "track_id": 3, "category_id": 1, "keypoints": flat(seen)} for i in (7, 9)]
    rows.append({"id": 5, "image_id": 8, "category_id": 1, "keypoints": []})
    put(tmp_path, {"images": images, "annotations": rows, "categories": []}, "person.json")
    archive = load(tmp_path)
    clip, confidence = archive.clip(0), archive.clip_confidence(0)
    assert confidence is not None
    assert archive.clips.select("name", "length").rows() == [("person/video", 3)]
    np.testing.assert_allclose(clip[0, 0], seen[:, :2] * (np.arange(17) != 5)[:, None], rtol=1e-6)
    assert confidence[0, 0, [0, 3, 5]].tolist() == [1, 0.5, 0]
    assert not clip[1].any()


def test_three_people_are_kept(tmp_path: Path) -> None:
    for t in range(5):
        put(tmp_path, openpose_frame(*(body(25, x, t) for x in (0, 500, 1000))), f"a_{t}_keypoints.json")
    archive = load(tmp_path, persons=3)
    starts = sorted(archive.clip(0)[0, :, 0, 0].tolist())
    np.testing.assert_allclose(starts, [body(25, x)[0, 0] for x in (0, 500, 1000)], rtol=1e-5)
    assert load(tmp_path).clips["people"].to_list() == [3]


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    put(tmp_path, openpose_frame(body(3, 0)), "a_0_keypoints.json")
    with pytest.raises(DataError, match="3 points a person; known are 17"):
        load(tmp_path)
    toml = tmp_path / "own.toml"
    rows = ", ".join(f'{{ name = "j{i}", parent = "" }}' for i in range(3))
    toml.write_text(f'name = "own"\nup = "-y"\njoints = [{rows}]\n')
    assert load(tmp_path, skeleton=str(toml)).skeleton.joints == ("j0", "j1", "j2")
    with pytest.raises(DataError, match="layout 'coco-17' has 17"):
        load(tmp_path, skeleton="coco-17")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a_0_keypoints.json", {"bodies": []}, "an object with 'people'"),
        ("a_0_keypoints.json", {"people": [{"pose": []}]}, "without pose_keypoints_2d"),
        ("a_0_keypoints.json", {"people": [{"pose_keypoints_2d": [1, 2]}]}, "a list of 2 numbers holds no points"),
        ("a_0_keypoints.json", {"people": {}}, "the people are no list"),
        ("a_0_keypoints.json", {"people": []}, "nobody is seen"),
        ("r.json", [{"keypoints": []}], "entry 0: no image_id"),
        ("r.json", [{"image_id": 1, "keypoints": ["a"] * 51}], "entry 0: no list of numbers"),
        ("r.json", {"x": 1}, "neither people nor bodies"),
        ("r.json", {"annotations": [], "images": 3}, "without a list of images"),
        ("r.json", {"annotations": [{"image_id": 4}], "images": []}, "'4' is none of the images"),
        ("r.json", 3, "nobody is seen"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: Any, said: str) -> None:
    put(tmp_path, content, name)
    with pytest.raises(DataError, match=said):
        load(tmp_path)


def test_a_layout_for_halpe() -> None:
    skeleton = layouts.get("halpe-26")
    assert skeleton.joints[:17] == layouts.get("coco-17").joints
    assert skeleton.canonical[17:20] == ("head_top", "neck", "mid_hip")


SAMPLES = [
    json.dumps([{"image_id": "v/1.jpg", "keypoints": flat(body(17, 0)), "idx": 1}]),
    json.dumps({"1.jpg": openpose_frame(body(18, 0))}),
    json.dumps({"images": [{"id": 1}], "annotations": [{"image_id": 1, "keypoints": flat(body(17, 0))}]}),
]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), sample=st.sampled_from(SAMPLES))
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject, sample: str) -> None:
    raw = bytearray(sample.encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"[", b"]", b"null", b'"1"', b"{}", b"1e999", b"true", b",", b"[[]]"])
    )
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        openpose.read_clips(path)


@pytest.mark.parametrize("name", ["{:03d}.json", "cam_{:06d}.json", "v-{}_keypoints.json"])
def test_the_content_tells_the_form_and_numbers_the_place(tmp_path: Path, name: str) -> None:
    for t in (0, 1, 2, 10):
        put(tmp_path, openpose_frame(body(25, 0, t)), f"run/{name.format(t)}")
    archive = load(tmp_path)
    assert archive.lengths.tolist() == [11]
    np.testing.assert_allclose(archive.clip(0)[[0, 1, 2, 10], 0], [body(25, 0, t)[:, :2] for t in (0, 1, 2, 10)])
    assert not archive.clip(0)[3:10].any()


def test_hands_without_a_body_are_nobody(tmp_path: Path) -> None:
    for t in range(3):
        put(tmp_path, openpose_frame(body(25, 0, t) if t != 1 else np.zeros((0, 3))), f"a_{t:012d}_keypoints.json")
    np.testing.assert_array_equal(load(tmp_path).clip(0).any(axis=(1, 2, 3)), [True, False, True])


def test_an_identity_that_changes_goes_on_where_it_ended(tmp_path: Path) -> None:
    for t in range(8):
        far = [body(25, 2000, t)] if t > 3 else []  # somebody else comes in elsewhere
        put(tmp_path, openpose_frame(body(25, 0, t), *far, ids=[1 if t < 4 else 9, 5]), f"a_{t:012d}_keypoints.json")
    with pytest.warns(MotetNote, match="1 identity begins where another ended"):
        archive = load(tmp_path)
    assert archive.clips["people"].to_list() == [2]
    np.testing.assert_allclose(archive.clip(0)[:, 0], [body(25, 0, t)[:, :2] for t in range(8)], rtol=1e-5)
    assert load(tmp_path, identities="given").clips["people"].to_list() == [3]


SIDES = ("left", "right")


def whole(t: float) -> np.ndarray:
    """(133, 3) of somebody with hands whose points are all different."""
    return body(133, 0, t)


def apart(t: int) -> dict[str, Any]:
    """The same as OpenPose writes it."""
    hands = {f"hand_{side}_keypoints_2d": flat(whole(t)[openpose.HANDS[side]]) for side in SIDES}
    return {"people": [{"person_id": [-1], "pose_keypoints_2d": flat(body(25, 0, t)), **hands}]}


def write_hands(folder: Path, form: str) -> None:
    if form == "openpose":
        for t in range(4):
            put(folder, apart(t), f"wave_{t:012d}_keypoints.json")
    elif form == "mmpose":
        people = [{"keypoints": whole(t)[:, :2].tolist(), "keypoint_scores": [0.75] * 133} for t in range(4)]
        frames = [{"frame_id": t, "instances": [person]} for t, person in enumerate(people)]
        put(folder, {"meta_info": {}, "instance_info": frames}, "wave.json")
    else:
        names, ends = ("keypoints", *openpose._WHOLE), np.cumsum([17, 6, 68, 21])
        rows = [
            {"image_id": t, **{n: flat(p) for n, p in zip(names, np.split(whole(t), ends), strict=True)}}
            for t in range(4)
        ]
        put(folder, {"images": [{"id": t} for t in range(4)], "annotations": rows}, "wave.json")


@pytest.mark.parametrize("form", ["openpose", "mmpose", "coco"])
def test_a_hand_is_read_by_its_side(tmp_path: Path, form: str) -> None:
    write_hands(tmp_path, form)
    for side, part in zip(SIDES, (slice(91, 112), slice(112, 133)), strict=True):
        archive = load(tmp_path, side=side)
        assert (archive.skeleton.name, archive.persons, archive.units) == ("hand-21", 1, "px")
        np.testing.assert_allclose(archive.clip(0)[:, 0], [whole(t)[part, :2] for t in range(4)], rtol=1e-5)
    assert load(tmp_path, side="left", persons=2).persons == 2
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert load(tmp_path).skeleton.kind == "body"
    assert [str(w.message) for w in seen if "hands" in str(w.message)] == (
        [f"{tmp_path / 'in'} holds hands, too, which are left out; --side left or right reads one in place of the body"]
        * (form == "openpose")
    )


def test_files_of_hands_alone_are_read_in_their_layout(tmp_path: Path) -> None:
    hand = np.stack([whole(t)[91:112, :2] for t in range(8)])
    mmpose(tmp_path, hand, np.ones(hand.shape[:2]))
    with pytest.raises(DataError, match=r"21 points a person; .* name a layout with --skeleton \(hand-21 if they are"):
        load(tmp_path)
    archive = load(tmp_path, skeleton="hand-21")
    assert (archive.skeleton.name, archive.skeleton.kind, archive.channels) == ("hand-21", "hand", ("x", "y"))
    np.testing.assert_allclose(archive.clip(0)[:, 0], hand, rtol=1e-6)


def test_hands_of_whole_bodies_are_in_the_order_of_the_layout_of_a_hand() -> None:
    joints = layouts.get("wholebody-133").canonical
    for side in SIDES:
        fingers = [name.removeprefix(f"{side}_") for name in joints[openpose.HANDS[side]]]
        assert fingers[1:] == list(layouts.get("hand-21").canonical[1:])
        assert fingers[0] == "hand_root"


def test_what_has_no_hand_is_said(tmp_path: Path) -> None:
    put(tmp_path, openpose_frame(body(25, 0)), "a_0_keypoints.json")
    with pytest.raises(DataError, match="25 points a person and no hands; import it without --side"):
        load(tmp_path, side="left")
    with pytest.raises(ConfigError, match="a hand is read as hand-21"):
        load(tmp_path, side="left", skeleton="coco-17")
    put(tmp_path, {"people": [{**apart(0)["people"][0], "hand_right_keypoints_2d": [0] * 63}]}, "a_0_keypoints.json")
    with pytest.raises(DataError, match="no right hand is seen in any file"):
        load(tmp_path, side="right")


def mmpose(folder: Path, keypoints: Any, scores: Any = None) -> None:
    """A file of MMPose with a person of (T, V, 2 or 3) points, and (T, V) scores if they stand apart."""
    people = [{"keypoints": points} for points in np.asarray(keypoints).tolist()]
    if scores is not None:
        people = [{**p, "keypoint_scores": s} for p, s in zip(people, np.asarray(scores).tolist(), strict=True)]
    frames = [{"frame_id": t, "instances": [person]} for t, person in enumerate(people)]
    put(folder, {"meta_info": {}, "instance_info": frames}, "wave.json")


def deep(joints: int, scale: float) -> np.ndarray:
    """(4, joints, 3) of somebody who waves in space."""
    rng = np.random.default_rng(joints)
    return scale * (rng.uniform(-1, 1, (joints, 3)) + np.arange(4)[:, None, None] / 50)


@pytest.mark.parametrize("form", ["metres above the ground", "steps", "metres of depth"])
def test_a_third_coordinate_is_not_dropped_without_a_word(tmp_path: Path, form: str) -> None:
    points = deep(17, 1.0 if form == "metres above the ground" else 150.0)
    points[..., 2] = {"metres of depth": points[..., 2] / 150, "steps": points[..., 2]}.get(form, abs(points[..., 2]))
    mmpose(tmp_path, points, np.full((4, 17), 0.5))
    with pytest.warns(MotetWarning, match="wave.json: its points have three coordinates, of which .* npz or csv$"):
        assert load(tmp_path).channels == ("x", "y")
    mmpose(tmp_path, deep(133, 1.0), np.full((4, 133), 0.5))
    with pytest.warns(MotetWarning, match="one hand with --side left or right"):
        assert load(tmp_path).channels == ("x", "y")


@pytest.mark.parametrize("third", ["scores", "visible", "other scores", "nothing"])
@pytest.mark.parametrize("joints", [17, 133])
def test_a_third_number_that_is_no_coordinate_is_left_out(tmp_path: Path, third: str, joints: int) -> None:
    rng = np.random.default_rng(0)
    flat = np.stack([body(joints, 0, t)[:, :2] for t in range(4)])
    scores = rng.uniform(0.3, 1, (4, joints))
    numbers = {"scores": scores, "visible": rng.integers(0, 3, scores.shape), "nothing": np.zeros_like(scores)}
    points = np.concatenate([flat, numbers.get(third, rng.uniform(0, 1, scores.shape))[..., None]], axis=-1)
    mmpose(tmp_path, points, scores)
    archive = load(tmp_path)
    np.testing.assert_allclose(archive.clip(0)[:, 0], flat, rtol=1e-6)
    if joints == 133:
        archive = load(tmp_path, side="left")
        assert (archive.channels, archive.units) == (("x", "y"), "px")
    mmpose(tmp_path, points)  # without scores of its own it may be anything
    np.testing.assert_allclose(load(tmp_path).clip(0)[:, 0], flat, rtol=1e-6)


def write_hands_in_space(folder: Path, form: str) -> dict[str, np.ndarray]:
    """(4, 21, 3) of each side; of OpenPose the second joint is lost in frame 2, and all hands in frame 1."""
    points = deep(133, 2.0)
    hands = {side: points[:, openpose.HANDS[side]].copy() for side in SIDES}
    if form == "mmpose":
        mmpose(folder, points, np.full((4, 133), 0.5))
        return hands
    for t in range(4):
        frame = apart(t)
        for side, hand in hands.items():
            there = np.ones(21)
            there[1] = t != 2
            hand[t] *= there[:, None] * (t != 1)
            rows = [] if t == 1 else flat(np.column_stack([hand[t], there]))
            frame["people"][0][f"hand_{side}_keypoints_3d"] = rows
        put(folder, frame, f"wave_{t:012d}_keypoints.json")
    return hands


@pytest.mark.parametrize("form", ["openpose", "mmpose"])
def test_a_hand_in_space_is_read_by_its_side(tmp_path: Path, form: str) -> None:
    hands = write_hands_in_space(tmp_path, form)
    for side in SIDES:
        archive = load(tmp_path, side=side)
        assert (archive.skeleton.name, archive.channels, archive.units) == ("hand-21", ("x", "y", "z"), "as recorded")
        assert archive.skeleton.up == ("-y" if form == "openpose" else "+z")
        np.testing.assert_allclose(archive.clip(0)[:, 0], hands[side], rtol=1e-5)
        certain = archive.clip_confidence(0)
        assert certain is not None
        np.testing.assert_array_equal(certain > 0, archive.clip(0).any(axis=-1))
    assert load(tmp_path, side="left", unit="mm").units == "mm"
    with pytest.raises(ConfigError, match="option unit is 'furlong'"):
        load(tmp_path, side="left", unit="furlong")


def test_files_with_hands_in_the_picture_alone_are_no_files_of_hands_in_space(tmp_path: Path) -> None:
    write_hands_in_space(tmp_path, "openpose")
    put(tmp_path, apart(0), "z_0_keypoints.json")
    with pytest.raises(DataError, match=r"z_0_keypoints.json: no left hand in space is seen in it"):
        load(tmp_path, side="left")
    put(tmp_path, apart(0), "a_0_keypoints.json")  # which goes before
    assert load(tmp_path, side="left").channels == ("x", "y")


def test_a_unit_of_pixels_is_refused(tmp_path: Path) -> None:
    put(tmp_path, openpose_frame(body(25, 0)), "a_0_keypoints.json")
    with pytest.raises(ConfigError, match=r"option unit is of a hand in space .* in px$"):
        load(tmp_path, unit="mm")


def test_hands_that_openpose_did_not_look_for_are_not_noted(tmp_path: Path) -> None:
    nothing = {f"hand_{side}_keypoints_{n}d": [] for side in SIDES for n in (2, 3)}
    put(tmp_path, {"people": [{**openpose_frame(body(25, 0))["people"][0], **nothing}]}, "a_0_keypoints.json")
    load(tmp_path)
    with pytest.raises(DataError, match="no left hand is seen in any file"):
        load(tmp_path, side="left")
