"""The weights that read bodies and hands in pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import motet
from motet import cli
from motet.core.errors import ConfigError, MotetNote
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.simulate import simulate
from motet.methods.discovery.run import _default, run
from motet.methods.discovery.warm_start import refining
from motet.methods.model import Model
from motet.methods.pretrain import pretrain, start_of
from motet.use.encoded import fitting_weights

Floats = npt.NDArray[np.floating[Any]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """Of another layout than that of the training; people, repetitions and errors that took no part in it."""
    options: dict[str, Any] = {"clips": 48, "actions": 8, "actors": 6, "seed": 5, "sensor": "picture"}
    return simulate(tmp_path_factory.mktemp("picture") / "pictures", progress=False, **options)


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """Of another layout, people and gestures' repetitions that took no part in a training."""
    options: dict[str, Any] = {"clips": 96, "actions": 8, "actors": 10, "seed": 5, "layout": "hand-22"}
    path = tmp_path_factory.mktemp("picture") / "hands"
    return simulate(path, hands=True, sensor="picture", progress=False, **options)


@pytest.fixture(scope="module")
def features(pictures: MotionArchive) -> Floats:
    return motet.load("picture").transform(pictures)


def redrawn(archive: MotionArchive, path: Path, change: Callable[[Floats], Floats], **facts: Any) -> MotionArchive:
    """The same clips, points of (..., 2) pixels changed where they were seen."""
    options: dict[str, Any] = {"skeleton": archive.skeleton, "units": "px", "channels": ("x", "y")} | facts
    with ArchiveWriter(path, fps=archive.fps, class_names=archive.class_names, **options) as writer:
        for index, row in enumerate(archive.clips.iter_rows(named=True)):
            clip = archive.clip(index)
            made = change(clip) * clip.any(axis=-1, keepdims=True)
            writer.add(made.astype(np.float32), name=row["name"], label=row["label"], subject=row["subject"])
    return MotionArchive.open(path)


def typical(features: Floats) -> float:
    """Distance between the features of two clips."""
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    return float(np.median(apart[apart > 0]))


def test_any_size_and_place(pictures: MotionArchive, features: Floats, tmp_path: Path) -> None:
    assert features.shape == (48, 3 * 5 * 96)
    moved = redrawn(pictures, tmp_path / "moved", lambda x: x * 0.31 + np.array([77, -1200]), units="frame widths")
    model = motet.load("picture")
    np.testing.assert_allclose(model.transform(moved), features, atol=2e-3 * np.abs(features).max())
    # where y points up the picture is not turned over
    upward = replace(pictures.skeleton, up="+y")
    turned = redrawn(pictures, tmp_path / "up", lambda x: x * np.array([1, -1]), skeleton=upward)
    np.testing.assert_allclose(model.transform(turned), features, atol=2e-3 * np.abs(features).max())
    # right and left are told apart
    mirrored = redrawn(pictures, tmp_path / "mirrored", lambda x: x * np.array([-1, 1]))
    assert np.median(np.linalg.norm(model.transform(mirrored) - features, axis=1)) > typical(features) / 2


def test_joints_of_pose_estimators(pictures: MotionArchive, features: Floats, tmp_path: Path) -> None:
    """Neck, hips and head are made of those of COCO."""
    theirs, coco = pictures.skeleton, layouts.get("coco-17")
    known = [theirs.index(n if n in theirs.canonical else "head") for n in coco.canonical]
    with ArchiveWriter(tmp_path / "coco", skeleton=coco, units="px", channels=("x", "y"), fps=30.0) as writer:
        for index, name in enumerate(pictures.clips["name"]):
            writer.add(pictures.clip(index)[:, :, known], name=name)
    moved = np.linalg.norm(motet.load("picture").transform(tmp_path / "coco") - features, axis=1)
    assert np.median(moved) < typical(features) / 3


def test_actions_are_told_apart(pictures: MotionArchive, features: Floats) -> None:
    """Seen by three cameras, by other actors than those of the training and without a label."""
    labels, side = pictures.labels, pictures.clips["subject"].to_numpy() % 2 == 0
    score = motet.evaluate.knn_accuracy(features[side], labels[side], features[~side], labels[~side])
    assert score >= 0.75


def test_gestures_are_told_apart(hands: MotionArchive, tmp_path: Path) -> None:
    """By other people than those of the training, of any size and place, in any layout of a hand."""
    labels, side, model = hands.labels, hands.clips["subject"].to_numpy() % 2 == 0, motet.load("hand-picture")
    features = model.transform(hands)
    assert features.shape == (96, 3 * 5 * 96)
    moved = redrawn(hands, tmp_path / "moved", lambda x: x * 2.3 + np.array([77, -1200]), units="frame widths")
    np.testing.assert_allclose(model.transform(moved), features, atol=2e-3 * np.abs(features).max())
    score = motet.evaluate.knn_accuracy(features[side], labels[side], features[~side], labels[~side])
    assert score >= 0.7


def test_what_starts_from_pictures_of_hands(hands: MotionArchive, tmp_path: Path) -> None:
    with pytest.warns(MotetNote, match="starts from the weights hand-picture"):
        found = start_of("cmd", [hands], None, {"companions": ()})
    assert found is not None
    made = pretrain("cmd", hands, tmp_path / "run", start=found.name, steps=1, batch_size=8, progress=False)
    assert (made.recipe.preprocess, made.recipe.whiten_by, made.recipe.augment.rotate) == ("sized", "actor", 0.0)
    assert (_default((hands, hands), 96, False, {}), refining("hand-picture")) == ("hand-picture", "hand-picture")
    said = r"holds hand-22 with 2 coordinates .*reads hand-21 with 3; hand-picture reads hands in pictures; rocket"
    with pytest.raises(ConfigError, match=said):
        motet.load("hand").transform(hands)


def test_what_reads_recordings_is_named(pictures: MotionArchive, tmp_path: Path) -> None:
    said = r"holds kinect-v2 with 2 coordinates .*reads shared-15 with 3; picture reads bodies in pictures; rocket"
    with pytest.raises(ConfigError, match=said):
        motet.load("body").transform(pictures)
    space = simulate(tmp_path / "space", clips=4, actions=2, actors=2, progress=False)
    said = r"with 3 coordinates .*reads shared-15 with 2; body reads bodies in 3D; `motet data select .* --without z`"
    with pytest.raises(ConfigError, match=said):
        motet.load("picture").transform(space)


def test_a_training_starts_from_it(pictures: MotionArchive, tmp_path: Path) -> None:
    with pytest.warns(MotetNote, match="starts from the weights picture"):
        found = start_of("cmd", [pictures], None, {"companions": ()})
    assert found is not None
    assert (found.name, fitting_weights(pictures)) == ("picture", ["picture"])
    made = pretrain("cmd", pictures, tmp_path / "run", start=found.name, steps=1, batch_size=8, progress=False)
    assert (made.recipe.preprocess, made.recipe.whiten_by, made.recipe.augment.rotate) == ("sized", "actor", 0.0)
    assert motet.load(made.path).transform(pictures).shape == (48, 1440)


def test_a_discovery_starts_from_it(
    pictures: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = simulate(
        tmp_path / "other", clips=24, actions=4, actors=4, sensor="picture", layout="shared-15", progress=False
    )
    words = ["--source", str(pictures.path), "--target", str(other.path), "--clusters", "4", "--finetune-epochs", "1"]
    assert cli.main(["discover", *words, "--out", str(tmp_path / "found"), "--quiet"]) == 0
    config = json.loads((tmp_path / "found" / "config.json").read_text())
    assert (config["settings"]["name"], config["settings"]["start"]) == ("picture", "picture")
    rows = json.loads((tmp_path / "found" / "result.json").read_text())["baselines"]
    assert "the weights picture" in {row["features"] for row in rows}


@pytest.mark.filterwarnings("ignore:.*holds the clips of the source")
def test_a_discovery_by_scores_starts_from_nothing(pictures: MotionArchive, tmp_path: Path) -> None:
    """The weights read positions alone."""
    with ArchiveWriter(
        tmp_path / "scored", skeleton=pictures.skeleton, units="px", channels=("x", "y"), fps=30.0, confidence=True
    ) as writer:
        for index, row in enumerate(pictures.clips.iter_rows(named=True)):
            clip = pictures.clip(index)
            writer.add(clip, confidence=clip.any(axis=-1).astype(np.float32), name=row["name"], label=row["label"])
    scored = MotionArchive.open(tmp_path / "scored")
    assert _default((scored, scored), 48, False, {}) == "picture"
    assert _default((scored, scored), 48, False, {"score": True}) == "small"
    with pytest.raises(ConfigError, match="picture reads positions alone; leave --score out, or choose --recipe small"):
        run(scored, scored, recipe="picture", score=True, clusters=2, progress=False)


def test_what_a_start_refines(pictures: MotionArchive, tmp_path: Path) -> None:
    pretrain("cmd", pictures, tmp_path / "run", start="none", epochs=0, width=4, progress=False)
    pretrain("cmd", pictures, tmp_path / "kept", start="none", epochs=0, preprocess="first-frame", progress=False)
    assert [refining(str(tmp_path / name)) for name in ("run", "kept")] == ["picture", "body"]


def test_a_score_is_not_turned(pictures: MotionArchive, tmp_path: Path) -> None:
    def scored(name: str, **changes: Any) -> MotionArchive:
        skeleton = replace(pictures.skeleton, **changes)
        facts: dict[str, Any] = {"skeleton": skeleton, "channels": ("x", "y", "score")}
        with ArchiveWriter(tmp_path / name, units="px", fps=30.0, **facts) as writer:
            for index, row in enumerate(pictures.clips["name"][:12]):
                clip = pictures.clip(index)
                made = np.concatenate([clip, clip.any(axis=-1, keepdims=True)], axis=-1)
                writer.add(made.astype(np.float32), name=row, label=index % 2, subject=index)
        return MotionArchive.open(tmp_path / name)

    model = pretrain("cmd", scored("own"), tmp_path / "run", epochs=0, width=4, progress=False).model()
    assert isinstance(model, Model)
    assert model.recipe.preprocess == "sized"
    model.check(scored("unknown", up=None))
    with pytest.raises(ConfigError, match="reads kinect-v2 with 3; picture reads bodies in pictures; `motet data"):
        model.check(scored("upward", up="+y"))
    with pytest.raises(ConfigError, match=r"reads shared-15 with 2; `motet data select .* --without score` leaves"):
        motet.load("picture").transform(tmp_path / "own")
    with pytest.raises(ConfigError, match=r"\(x, y, score\), .* with 3; picture reads bodies in pictures; `motet data"):
        motet.load("body").transform(tmp_path / "own")


def test_pictures_in_several_units_train_together(pictures: MotionArchive, tmp_path: Path) -> None:
    """Sizes are measured, so pixels and shares of the frame meet; where sizes are kept they do not."""
    shares = redrawn(pictures, tmp_path / "shares", lambda x: x / 1280, units="frame widths")
    nite = layouts.get("nite-15")
    other = simulate(tmp_path / "nite", clips=24, actions=4, sensor="picture", layout=nite.name, progress=False)
    short: dict[str, Any] = {"epochs": 1, "batch_size": 8, "progress": False}
    made = pretrain("cmd", [shares, pictures, other], tmp_path / "run", **short, start="picture")
    features = motet.load(made.path).transform
    np.testing.assert_allclose(features(shares), features(pictures), atol=2e-3 * np.abs(features(pictures)).max())
    made = pretrain("cmd", [shares, other], tmp_path / "fresh", **short, start="none", width=4)
    assert made.recipe.preprocess == "sized"
    said = "the unit of .*shares is frame widths, that of .*nite px, and the one cannot be made the other"
    with pytest.raises(ConfigError, match=said):
        pretrain("cmd", [shares, other], tmp_path / "no", **short, start="none", preprocess="first-frame")
    assert not (tmp_path / "no").exists()
