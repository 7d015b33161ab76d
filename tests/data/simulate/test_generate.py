from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import MotionArchive
from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.convert import convert
from motet.data.simulate import simulate
from motet.data.simulate.actions import PAIRS, SOLO
from motet.data.simulate.cameras import NEAREST
from motet.data.simulate.draws import generator
from motet.data.simulate.generate import action_classes, cell
from motet.data.simulate.options import LICENCE


def make(path: Path, **options: Any) -> MotionArchive:
    return simulate(path, progress=False, **{"clips": 48, "actions": 24, "actors": 4, **options})


def test_an_archive_says_that_it_is_simulated(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", seed=5)
    assert archive.simulated
    assert archive.licence == LICENCE
    assert archive.source["simulated"] is True
    assert archive.source["seed"] == 5
    assert archive.source["actors"] == 4
    assert all(name.startswith("sim-") for name in archive.clips["name"])
    assert archive.skeleton == layouts.get("kinect-v2")
    assert (archive.units, archive.fps, archive.persons) == ("m", 30.0, 1)
    assert len(archive.class_names) == len(set(archive.class_names)) == 24
    archive.verify()


def test_columns_follow_the_design(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", clips=240)
    clips = archive.clips
    assert np.array_equal(archive.labels, np.arange(240) % 24)
    assert sorted(set(clips["subject"])) == [1, 2, 3, 4]
    assert sorted(set(clips["camera"])) == [1, 2, 3]
    assert sorted(set(clips["repetition"])) == [1, 2, 3]
    assert clips["setup"].is_between(1, 8).all()
    assert archive.lengths.min() >= 40
    assert archive.lengths.max() <= 150
    assert len(set(archive.lengths)) > 30
    # no camera sees one action, actor or repetition only
    for label in range(24):
        assert len(set(clips["camera"].to_numpy()[archive.labels == label])) == 3


def test_chunks_do_not_show(tmp_path: Path) -> None:
    options = {"clips": 60, "persons": 2, "imu": True, "second_layout": "nite-15", "actions": 12}
    one = make(tmp_path / "one", chunk=7, **options)
    other = make(tmp_path / "other", chunk=256, **options)
    assert one.hash == other.hash
    for suffix in ("nite-15", "imu"):
        hashes = {MotionArchive.open(tmp_path / f"{n}-{suffix}").hash for n in ("one", "other")}
        assert len(hashes) == 1


def test_more_clips_keep_the_first_ones_and_seeds_differ(tmp_path: Path) -> None:
    short, long = make(tmp_path / "short", clips=30), make(tmp_path / "long", clips=48)
    assert short.clips["sha256"].to_list() == long.clips["sha256"].to_list()[:30]
    assert make(tmp_path / "seed", clips=30, seed=1).hash != short.hash
    assert len(set(long.clips["sha256"])) == 48


def test_repetitions_differ(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", clips=4, actions=1, actors=1, sensor="optical")
    shapes = [archive.clip(i) for i in range(4)]
    assert len({len(c) for c in shapes}) > 1


def test_optical_archives_have_a_floor_and_no_cameras(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", sensor="optical")
    assert archive.clips["camera"].null_count() == len(archive)
    feet = [archive.skeleton.index(n) for n in ("FootLeft", "FootRight")]
    for label, name in enumerate(archive.class_names):
        lowest = archive.clip(label)[:, 0][:, feet, 1].min(axis=1)
        assert lowest.min() > 0.01
        if "jump" not in name:
            assert lowest.max() < 0.03, name


def test_depth_archives_are_in_front_of_the_camera(tmp_path: Path) -> None:
    archive = make(tmp_path / "a")
    head = archive.skeleton.index("Head")
    for i, clip in enumerate(archive):
        seen = clip[clip.any(axis=(1, 2, 3))]
        assert seen[..., 2].min() > 0.5, archive.clips["name"][i]
        assert seen[..., 2].max() < 7
        assert seen[0, 0, head, 1] > seen[0, 0, 15, 1] + 0.9


def test_pictures_hold_pixels(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", sensor="picture", layout="shared-15", second_layout="nite-15", imu=True)
    other, worn = (MotionArchive.open(tmp_path / f"a-{name}") for name in ("nite-15", "imu"))
    for seen in (archive, other):
        assert (seen.units, seen.channels, seen.skeleton.up) == ("px", ("x", "y"), "-y")
    assert (worn.channels, worn.units) == (("x", "y", "z"), "m/s^2, rad/s")
    assert set(archive.clips["camera"]) == {1, 2, 3}
    head, ankle, whole = archive.skeleton.index("head"), archive.skeleton.index("left_ankle"), 0
    neck = other.skeleton.index("neck")
    for clip, again in zip(archive, other, strict=True):
        there = clip[:, 0, ankle].any(-1) & again[:, 0, neck].any(-1)
        if not there.any():  # a film of the upper body
            continue
        tall = (clip[there, 0, ankle] - clip[there, 0, head])[0, 1]
        assert 150 < tall < 1300  # y points down
        whole += 1
        assert 0 < np.abs(clip[there, 0, 1] - again[there, 0, neck]).mean() < tall / 5
    assert 0.3 * len(archive) < whole < len(archive)


def test_films_see_more_of_the_side_than_depth_cameras_and_nobody_is_too_near(tmp_path: Path) -> None:
    """Shoulders look narrow from the side; within arm's length of the lens a body would fill more than the picture."""
    narrow, tall = {}, 0.0
    for sensor in ("depth", "picture"):
        archive = make(tmp_path / sensor, sensor=sensor, clips=240, layout="shared-15")
        left, right, head, ankle = (
            archive.skeleton.index(n) for n in ("left_shoulder", "right_shoulder", "head", "left_ankle")
        )
        ratios = []
        for clip in archive:
            first = clip[0, 0, :, :2]
            height = abs(first[head, 1] - first[ankle, 1])
            ratios.append(abs(first[left, 0] - first[right, 0]) / height)
            tall = max(tall, height if sensor == "picture" else 0)
        narrow[sensor] = np.mean(np.array(ratios) < 0.07)
    assert narrow["picture"] > narrow["depth"] + 0.03
    assert tall < 1.3 * 1280 * 2 / NEAREST


def test_second_layouts_see_the_same_performance(tmp_path: Path) -> None:
    first = make(tmp_path / "a", sensor="optical", second_layout="nite-15")
    second = MotionArchive.open(tmp_path / "a-nite-15")
    assert second.simulated
    assert second.clips["name"].to_list() == first.clips["name"].to_list()
    assert second.skeleton.name == "nite-15"
    for i in (0, 7, 23):
        wanted = convert(first.clip(i), first.skeleton, second.skeleton)
        error = np.linalg.norm(second.clip(i) - wanted, axis=-1)
        assert 0 < error.max() < 0.004


def test_inertial_archives_fit_the_performance(tmp_path: Path) -> None:
    body = make(tmp_path / "a", imu=True)
    inertial = MotionArchive.open(tmp_path / "a-imu")
    assert inertial.simulated
    assert inertial.skeleton.kind == "sensor"
    assert inertial.skeleton.joints == (
        "wrist_accelerometer",
        "wrist_gyroscope",
        "hip_accelerometer",
        "hip_gyroscope",
    )
    assert inertial.clips["name"].to_list() == body.clips["name"].to_list()
    assert np.array_equal(inertial.lengths, body.lengths)
    at = body.class_names.index
    drink, jump = inertial.clip(at("drink"))[:, 0], inertial.clip(at("jump"))[:, 0]
    assert abs(np.median(np.linalg.norm(drink[:, 0], axis=1)) - 9.81) < 0.5
    assert np.median(drink[:, 2, 1]) > 9
    # in flight the hip weighs nothing, at take-off much
    assert np.linalg.norm(jump[:, 2], axis=1).min() < 4
    assert np.linalg.norm(jump[:, 2], axis=1).max() > 14
    assert np.abs(np.concatenate([c[:, 0, 0] for c in inertial])).max() < 400


def test_two_people_meet_in_the_interactions_only(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", persons=2, clips=72, sensor="optical")
    interactions = [p.name for p in PAIRS]
    assert archive.class_names[-4:] == interactions[:4]
    base = archive.skeleton.index("SpineBase")
    for i, clip in enumerate(archive):
        together = archive.class_names[archive.labels[i]] in interactions
        assert archive.clips["persons"][i] == (2 if together else 1)
        if together:
            apart = np.linalg.norm((clip[0, 0, base] - clip[0, 1, base])[[0, 2]])
            assert 0.5 < apart < 1.8


def test_actions_can_be_told_apart_across_actors_but_not_all(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", clips=480, actors=10)
    features = []
    for clip in archive:
        x = clip[clip.any(axis=(1, 2, 3)), 0]
        x = x - x[:1, 1:2]
        features.append(x[np.linspace(0, len(x) - 1, 16).astype(int)].ravel())
    x, y = np.stack(features), archive.labels
    train = archive.clips["subject"].to_numpy() % 2 == 1
    centroids = np.stack([x[train & (y == k)].mean(axis=0) for k in range(24)])
    found = ((x[~train, None] - centroids[None]) ** 2).sum(axis=-1).argmin(axis=1)
    accuracy = (found == y[~train]).mean()
    assert 0.5 < accuracy < 0.95


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"clips": 0}, "clips"),
        ({"actors": 0}, "actors"),
        ({"actions": 0}, "actions"),
        ({"invented": -1}, "invented"),
        ({"actions": len(SOLO) + 1}, "actions"),
        ({"sensor": "radar"}, "radar"),
        ({"persons": 3}, "persons"),
        ({"fps": 0}, "fps"),
        ({"seed": -1}, "seed"),
        ({"chunk": 0}, "chunk"),
        ({"dtype": "float64"}, "float64"),
        ({"layout": "centaur"}, "centaur"),
        ({"second_layout": "hand-21"}, "hand-21"),
        ({"second_layout": "kinect-v2"}, "second_layout"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        make(tmp_path / "a", **options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked_and_nothing_is_left_behind(tmp_path: Path) -> None:
    first = make(tmp_path / "a", clips=5)
    (tmp_path / "b-imu").mkdir()
    with pytest.raises(ConfigError, match="exists"):
        make(tmp_path / "a", clips=6)
    with pytest.raises(ConfigError, match="exists"):
        make(tmp_path / "b", clips=6, imu=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b-imu"]
    assert MotionArchive.open(tmp_path / "a").hash == first.hash
    assert len(make(tmp_path / "a", clips=6, overwrite=True)) == 6


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from motet.data.simulate import generate

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "sense", fail)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "a", imu=True, second_layout="shared-15")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("purpose", ["sensor", "performance", "camera", "actor", "invented", "inertial"])
def test_every_clip_draws_for_itself(purpose: str) -> None:
    drawn = {generator(seed, purpose, index).random() for seed in range(3) for index in range(20)}
    assert len(drawn) == 60


def test_sensor_errors_differ_from_clip_to_clip(tmp_path: Path) -> None:
    """Two layouts of one performance: what remains is the error, and no clip has another's."""
    one = make(tmp_path / "a", clips=6, actions=1, actors=6, sensor="optical", second_layout="shared-15")
    other = MotionArchive.open(tmp_path / "a-shared-15")
    errors = [
        (convert(one.clip(i), one.skeleton, other.skeleton) - other.clip(i))[:30, 0, 3:].ravel() for i in range(6)
    ]
    assert np.abs(np.corrcoef(errors) - np.eye(6)).max() < 0.3


def test_invented_actions_follow_the_written_ones(tmp_path: Path) -> None:
    plain, more = make(tmp_path / "plain", clips=2, actions=2), make(tmp_path / "more", clips=8, actions=2, invented=2)
    assert more.class_names == [*plain.class_names, "invented 1", "invented 2"]
    assert more.labels.tolist() == [0, 1, 2, 3] * 2
    assert more.source["invented"] == 2
    assert more.clips["sha256"].to_list()[:2] == plain.clips["sha256"].to_list()


def test_classes_and_design() -> None:
    assert len(SOLO) >= 24
    assert len(action_classes(24, 1)[0]) == 24
    assert tuple(map(len, action_classes(24, 2))) == (20, 4)
    assert tuple(map(len, action_classes(len(SOLO) + len(PAIRS), 2))) == (len(SOLO), len(PAIRS))
    places = [cell(i, 24, 10) for i in range(24 * 10 * 6)]
    assert len({p.name for p in places}) == len(places)
    assert {(p.label, p.actor, p.camera) for p in places} == {
        (a, s, c) for a in range(24) for s in range(10) for c in (1, 2, 3)
    }


def test_half_precision_and_other_rates(tmp_path: Path) -> None:
    archive = make(tmp_path / "a", clips=10, dtype="float16", fps=60)
    assert archive.frames.dtype == np.float16
    assert archive.fps == 60
    assert archive.lengths.min() >= 80
