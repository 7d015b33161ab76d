"""Trained encoders as candidates of a classifier: what they see, how they travel, how they are tuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import motet
from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.engine.options import Encoder
from motet.engine.run import Run
from motet.methods import recipes
from motet.methods.learner import create_run
from motet.methods.model import Model
from motet.use.classifiers import Linear
from motet.use.encoded import Encoded, encoded, tuned
from motet.use.fit import _name, fit
from motet.use.predictor import load_predictor
from motet.use.signals import Layout
from tests.use.made import recordings as worn

FPS = 10.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """Four people who wave a hand or bow, half a minute in all."""
    random, layout = np.random.default_rng(0), layouts.get("kinect-v2")
    pose = random.normal(0, 0.3, (25, 3)) + np.array([0, 0, 3.0])
    head, hand = layout.index("head"), layout.index("right_hand")
    with ArchiveWriter(tmp_path_factory.mktemp("made") / "a.motet", skeleton=layout, fps=FPS) as writer:
        for person in range(4):
            frames = np.repeat(pose[None], 80, axis=0) + random.normal(0, 0.01, (80, 25, 3))
            swing = np.sin(np.arange(40) * 2)[:, None]
            frames[:40, hand] += 0.5 * swing
            frames[40:, head] -= 0.5 * np.abs(swing)
            writer.add(frames, name=f"r{person}", subject=person, tracks={"activity": ["wave"] * 40 + ["bow"] * 40})
    return MotionArchive.open(writer.destination)


@pytest.fixture(scope="module")
def run(archive: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> Run:
    small = replace(recipes.get("moco/small-gru"), encoder=Encoder(hidden=6, layers=1), frames=8)
    run = create_run(tmp_path_factory.mktemp("runs") / "mine", small, archive, {"split": "all"})
    Model.fresh(small, archive).save(run.path / "model.safetensors")
    return run


def test_weights_and_runs_are_candidates_that_travel_with_the_model(
    archive: MotionArchive, run: Run, tmp_path: Path
) -> None:
    candidates = ("body+linear", "mine+linear")  # the second one by itself: each path is one more candidate
    model = fit(archive, tmp_path / "m", candidates=candidates[:1], features=[str(run.path)], folds=2, progress=False)
    assert [c["name"] for c in model.config["candidates"]] == [*candidates, model.config["candidates"][2]["name"]]
    assert model.config["expected"]["accuracy"] > 0.8
    (run.path / "model.safetensors").rename(run.path / "away")
    again = load_predictor(tmp_path / "m")
    (run.path / "away").rename(run.path / "model.safetensors")
    for a, b in zip(model.probabilities(archive.clip(1)), again.probabilities(archive.clip(1)), strict=True):
        assert np.array_equal(a, b)
    assert motet.predict(again, archive)["label"].unique().len() >= 2


def test_a_moment_is_seen_the_same_in_a_part_and_in_the_whole(archive: MotionArchive) -> None:
    """Otherwise long recordings and live ones would be classified by other features than those learnt from."""
    dense, layout, frames = encoded("body", archive), Layout.of(archive), archive.clip(0)
    whole, part = dense(frames, layout), dense(frames[20:60], layout)
    margin = int(np.ceil(dense.reach * FPS))
    assert np.allclose(whole[20 + margin : 60 - margin], part[margin:-margin], atol=1e-4)
    assert not np.allclose(whole[20], part[0], atol=1e-2)


def test_features_are_those_of_the_encoder(archive: MotionArchive) -> None:
    """Windows of the model itself begin at every second frame here, and frames lie between their centres."""
    dense, frames = encoded("body", archive)(archive.clip(0), Layout.of(archive)), motet.load("body").frames(archive, 0)
    even = np.arange(20, 60, 2)
    assert np.allclose(0.75 * dense[even] + 0.25 * dense[even + 2], frames[even], atol=1e-3)


@pytest.mark.parametrize(("fps", "overlap"), [(50.0, (5, 16)), (100.0, None), (30.0, (5, 16))])
def test_what_windows_share_is_computed_once_and_changes_nothing(fps: float, overlap: tuple[int, int] | None) -> None:
    """At 100 a second windows do not lie evenly, as their middles are between two frames."""
    layout = Layout(layouts.get("imu-2"), 1, 3, fps)
    dense = Encoded("wrist", motet.load("wrist"), "m/s^2, rad/s")  # type: ignore[arg-type]
    frames = np.random.default_rng(0).normal(0, 3, (round(49 * fps), 1, 2, 3)).astype(np.float32)
    at = layout.centres(len(frames))
    assert dense.overlap(fps, at[:480]) == overlap
    assert dense.overlap(fps, at[-480:]) == overlap
    assert dense.overlap(fps, at[:479]) is None
    clip = dense.adapted(frames, layout)
    alone = np.concatenate(dense.model.features(dense.windows(clip, fps, at)), axis=1)
    np.testing.assert_allclose(dense(frames, layout), alone, rtol=1e-4, atol=1e-4)


def test_encoders_are_folded_once_for_all_recordings(archive: MotionArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    made, folded = [], Model.folded
    monkeypatch.setattr(Model, "folded", lambda model: made.append(model) or folded(model))
    dense, layout = encoded("body", archive), Layout.of(archive)
    assert not np.array_equal(dense(archive.clip(0), layout), dense(archive.clip(1), layout))
    assert len(made) == 1


def test_tuning_lowers_the_error_and_leaves_the_start_alone(archive: MotionArchive, run: Run) -> None:
    layout, start = Layout.of(archive), encoded(str(run.path), archive, "mine")
    before = {k: v.copy() for k, v in start.arrays().items()}
    frames, labels = [archive.clip(i) for i in range(4)], [np.repeat([0, 1, 0, 1], 20)] * 4
    features = [start(f, layout) for f in frames]
    made, head = tuned(start, frames, labels, 2, layout, features=features, steps=60)
    assert all(np.array_equal(before[k], v) for k, v in start.arrays().items())
    frozen = Linear.fit(np.concatenate(features), np.concatenate(labels), 2)

    def loss(probabilities: np.ndarray) -> float:
        return float(-np.log(probabilities[np.arange(320), np.concatenate(labels)]).mean())

    assert loss(head(np.concatenate([made(f, layout) for f in frames]))) < loss(frozen(np.concatenate(features)))


def test_moments_of_a_sensor_are_seen_by_accelerations_and_by_turns(tmp_path: Path) -> None:
    """Two of the four streams of ``wrist``, each as it is there."""
    archive, whole = worn(tmp_path / "worn"), motet.load("wrist")
    assert isinstance(whole, Model)
    dense = encoded("wrist", archive)
    assert dense.model.streams == ("joint[acceleration]", "joint[angular_rate]")
    clips = torch.randn(3, 64, 1, 2, 3)
    for mine, theirs in zip(dense.model.features(clips), whole.features(clips)[2:], strict=True):
        torch.testing.assert_close(mine, theirs)
    again = Encoded.of(dense.describe(), dense.arrays())
    torch.testing.assert_close(torch.cat(again.model.features(clips), 1), torch.cat(dense.model.features(clips), 1))


def test_a_run_that_is_called_like_weights_has_streams_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = worn(tmp_path / "worn", people=2, each=1)
    small = replace(recipes.get("moco/small-gru"), encoder=Encoder(hidden=6, layers=1), frames=8, streams=("joint",))
    own = create_run(tmp_path / "wrist", replace(small, preprocess="none"), archive, {"split": "all"})
    Model.fresh(own.recipe, archive).save(own.path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    assert encoded("wrist", archive).model.streams == ("joint",)


def test_names_of_own_features() -> None:
    assert [_name(path) for path in ("runs/mine", "mine/weights", "body/weights")] == ["mine", "mine", "body-weights"]


def test_weights_of_another_kind_are_no_candidates(archive: MotionArchive, run: Run, tmp_path: Path) -> None:
    sensors = worn(tmp_path / "s.motet", people=2, each=1)
    with pytest.raises(ConfigError, match="the model reads"):
        fit(sensors, tmp_path / "m", candidates=("body+linear",), folds=2, progress=False)
    with pytest.raises(ConfigError, match=r"no candidate 'mine\+linear'; choose from raw\+linear"):
        fit(archive, tmp_path / "m", candidates=("mine+linear",), progress=False)
    with pytest.raises(ConfigError, match="the name 'raw' is taken"):
        fit(archive, tmp_path / "m", features=[str(tmp_path / "raw")], progress=False)
    assert not (tmp_path / "m").exists()
