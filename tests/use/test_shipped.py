"""Weights that come with the package, and features without any."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import motet
from motet import cli
from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.simulate import simulate
from motet.encoders import TCN
from motet.methods import rocket
from motet.methods.frames import _between


@pytest.fixture(scope="module")
def kinect(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    path = tmp_path_factory.mktemp("shipped") / "kinect"
    return simulate(path, clips=24, actions=4, actors=6, sensor="optical", seed=5, progress=False)


def copied(archive: MotionArchive, path: Path, scale: float = 1.0, turn: float = 0.0) -> MotionArchive:
    """The same clips larger, and seen from elsewhere."""
    sine, cosine = np.sin(turn), np.cos(turn)
    matrix = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    with ArchiveWriter(
        path,
        skeleton=archive.skeleton,
        persons=1,
        fps=archive.fps,
        units="mm",
        class_names=archive.class_names,
        source={"format": "test"},
        licence="none",
    ) as writer:
        for index, row in enumerate(archive.clips.iter_rows(named=True)):
            writer.add(
                (archive.clip(index) @ matrix.T * scale).astype(np.float32), name=row["name"], label=row["label"]
            )
    return MotionArchive.open(path)


def test_body_reads_any_layout_size_and_heading(kinect: MotionArchive, tmp_path: Path) -> None:
    model = motet.load("body")
    features = model.transform(kinect)
    assert features.shape == (24, 3 * 5 * 96)
    assert all(isinstance(encoder, TCN) for encoder in model.encoders)
    moved = copied(kinect, tmp_path / "moved", scale=1300.0, turn=0.8)
    np.testing.assert_allclose(model.transform(moved), features, atol=2e-3 * np.abs(features).max())
    # rows are those of the archive, whatever part is asked for
    store = model.store(kinect, np.array([7, 3]))
    part = torch.cat(list(model.encode(store, torch.tensor([7, 3])).values()), dim=1)
    np.testing.assert_allclose(part.numpy(), features[[7, 3]], atol=1e-5)


def test_body_tells_actions_apart(kinect: MotionArchive) -> None:
    """Actors that took no part in the training, and no label: most neighbours do the same."""
    labels, people = kinect.labels, kinect.clips["subject"].to_numpy()
    features = motet.load("body").transform(kinect)
    side = people % 2 == 0
    score = motet.evaluate.knn_accuracy(features[side], labels[side], features[~side], labels[~side])
    assert score >= 0.9


def test_body_refuses_what_has_no_body(tmp_path: Path) -> None:
    with ArchiveWriter(
        tmp_path / "watch",
        skeleton=layouts.get("imu-2"),
        persons=1,
        fps=50,
        units="m/s^2, rad/s",
        class_names=["a"],
        source={"format": "test"},
        licence="none",
    ) as writer:
        writer.add(np.zeros((9, 1, 2, 3), np.float32), name="one", label=0)
    with pytest.raises(ConfigError, match=r"holds imu-2 with 3 coordinates .*the model reads shared-15"):
        motet.load("body").transform(MotionArchive.open(tmp_path / "watch"))


def test_random_convolutions_without_a_training(kinect: MotionArchive) -> None:
    model = motet.load("rocket")
    features = model.transform(kinect)
    assert features.shape == (24, 3 * rocket.KERNELS)
    assert ((features >= 0) & (features <= 1)).all()
    np.testing.assert_array_equal(features, motet.load("rocket").transform(kinect))
    # thresholds stay those of the first recordings
    before = [e.threshold.clone() for e in model.model.encoders]
    assert model.frames(kinect, 0).shape == (int(kinect.lengths[0]), 3 * rocket.KERNELS)
    assert all(torch.equal(a, e.threshold) for a, e in zip(before, model.model.encoders, strict=True))


def test_frames_follow_the_recording(kinect: MotionArchive) -> None:
    model = motet.load("body")
    frames = model.frames(kinect, 2, seconds=1.0)
    assert frames.shape == (int(kinect.lengths[2]), 1440)
    assert np.isfinite(frames).all()
    assert np.abs(np.diff(frames, axis=0)).max() > 0
    # a window as long as the clip says the same of every frame
    whole = model.frames(kinect, 2, seconds=1000.0)
    np.testing.assert_array_equal(whole, np.repeat(whole[:1], len(whole), axis=0))
    with pytest.raises(ConfigError, match="has no recording 99; it has 24"):
        model.frames(kinect, 99)
    with pytest.raises(ConfigError, match="must have a length"):
        model.frames(kinect, 0, seconds=0)


def test_between_windows() -> None:
    features, centres = torch.tensor([[0.0], [2.0], [6.0]]), torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64)
    found = _between(features, centres, 8)[:, 0].tolist()
    assert found == [0.0, 0.0, 1.0, 2.0, 4.0, 6.0, 6.0, 6.0]
    assert _between(features[:1], centres[:1], 3)[:, 0].tolist() == [0.0] * 3


def test_embed_by_name(kinect: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, width in (("body", 1440), ("rocket", 3 * rocket.KERNELS)):
        out = tmp_path / f"{name}.npz"
        assert cli.main(["embed", name, str(kinect.path), "--out", str(out)]) == 0
        with np.load(out) as table:
            assert table["features"].shape == (24, width)
            np.testing.assert_allclose(
                table["features"],
                motet.load(name).transform(kinect),
                atol=1e-5 * max(1, np.abs(table["features"]).max()),
            )
        assert f"24 clips × {width} features" in capsys.readouterr().out


def test_weights_from_nothing(tmp_path: Path) -> None:
    words = ["weights", "train", "body", "--out", str(tmp_path), "--clips", "40", "--actors", "4", "--steps", "2"]
    assert cli.main([*words, "--quiet"]) == 0
    model = motet.load(tmp_path / "weights")
    config = json.loads((tmp_path / "weights" / "config.json").read_text())
    assert config["data"]["simulated"] is True
    assert (model.skeleton.name, model.recipe.preprocess, model.recipe.epochs) == ("shared-15", "body", 2)
    assert cli.main([*words, "--quiet"]) == 0  # nothing is done again
    assert cli.main(["weights", "train", "soul", "--out", str(tmp_path / "x"), "--quiet"]) == 2
