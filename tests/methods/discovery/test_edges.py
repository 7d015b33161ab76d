"""What is evaluated and how; sets and recordings at the edge of what a discovery can take."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.engine.learner import Position
from motet.evaluate import cluster_scores
from motet.memory.kmeans import spherical_kmeans
from motet.methods import discovery as discover
from motet.methods.discovery.clusters import estimate, features
from motet.methods.discovery.data import Clips, sides
from motet.methods.discovery.scores import branch_scores
from motet.methods.discovery.settings import SETTINGS
from motet.methods.discovery.train import Discovering
from motet.methods.discovery.views import whole_clips
from motet.report import write
from tests.conftest import stick, write_clips

TINY: dict[str, Any] = {
    "encoder": "gru",
    "hidden": 4,
    "layers": 1,
    "epochs": 1,
    "finetune_epochs": 1,
    "frames": 8,
    "dim": 4,
    "batch_size": 8,
    "kmeans_restarts": 1,
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[MotionArchive, MotionArchive]:
    folder = tmp_path_factory.mktemp("sets")
    return write_clips(folder / "source", 32, 4, 2, seed=1), write_clips(folder / "target", 48, 3, 4, seed=2)


def made(
    path: Path, clips: int, skeleton: Skeleton | None = None, *, value: float | None = None, **options: Any
) -> MotionArchive:
    """Clips of noise, or of one value."""
    skeleton, random = skeleton or stick(), np.random.default_rng(0)
    shape = (9, options.get("persons", 1), len(skeleton), len(options.get("channels", "xyz")))
    with ArchiveWriter(path, skeleton=skeleton, **options) as writer:
        for i in range(clips):
            frames = random.normal(size=shape) if value is None else np.full(shape, value)
            writer.add(frames, name=f"{path.name} {i}", subject=i % 2 + 1, label=i % 3)
    return MotionArchive.open(path)


def trainer(sets: tuple[MotionArchive, MotionArchive], **options: Any) -> Discovering:
    settings = SETTINGS["small"].with_options({**TINY, "clusters": 3, **options})
    made = Discovering(settings, Clips(*sets, sides(*sets), "first-frame", "cpu"))
    made.begin_stage(made.stages[0])
    return made


@pytest.mark.parametrize("options", [{}, {"encoder": "stgcn", "width": 2, "feature_size": 8}])
def test_students_are_judged_on_clean_clips(sets: tuple[MotionArchive, MotionArchive], options: dict[str, Any]) -> None:
    run = trainer(sets, mask=0.5, mask_always=0.5, dropout=0.5, **options)
    run.switch()
    run.discovery.train()
    seen: dict[str, list[tuple[Tensor, bool]]] = {}
    for number, branch in enumerate(run.discovery.pair):
        for side in ("student", "teacher"):
            encoder: nn.Module = getattr(branch, side)["encoder"]

            def note(module: nn.Module, inputs: tuple[Tensor], key: str = f"{side} {number}") -> None:
                seen.setdefault(key, []).append((inputs[0], module.training))

            encoder.register_forward_pre_hook(note)
    clips = run.clips
    first = branch_scores(run.discovery, clips.target, clips.scored, clips.scored_labels, 3)
    assert sorted(seen) == ["student 0", "student 1"]
    for number, store in enumerate(clips.target):
        ((inputs, training),) = seen[f"student {number}"]
        assert torch.equal(inputs, whole_clips(store, clips.scored, run.settings.frames))
        assert not training
    assert run.discovery.pair[0].student["encoder"].training  # as it was found
    # nothing is drawn and nothing is moved
    assert branch_scores(run.discovery, clips.target, clips.scored, clips.scored_labels, 3) == first


def test_k_means_rows_are_means_over_ten_starts(
    sets: tuple[MotionArchive, MotionArchive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motet.methods.discovery.scores.RESTARTS", 10)
    run = trainer(sets)
    clips = run.clips
    rows = branch_scores(run.discovery, clips.target, clips.scored, clips.scored_labels, 3, seed=4)
    assert [(r["branch"], r["restarts"]) for r in rows] == [("B0", 10), ("B1", 10), ("B0+B1", 10)]
    labels = clips.scored_labels.numpy()
    for row, x in zip(rows, features(run.discovery, clips.target, clips.scored), strict=False):
        starts = [spherical_kmeans(x, 3, iterations=100, seed=40 + i).assignment for i in range(10)]
        scores = [cluster_scores(labels, assignment) for assignment in starts]
        for metric in ("purity", "hungarian_accuracy", "nmi", "ari"):
            assert row[metric] == pytest.approx(fmean(s[metric] for s in scores))


def test_augmentation_differs_between_epochs_and_views_and_not_by_batch(
    sets: tuple[MotionArchive, MotionArchive],
) -> None:
    run = trainer(sets, epochs=3)
    ids = run.clips.train[:8]
    stage = run.stages[0]
    first = run.batch_of(ids, Position(stage, 0)).batch
    turned = run.batch_of(ids.flip(0), Position(stage, 0)).batch
    second = run.batch_of(ids, Position(stage, 1)).batch
    for b in (0, 1):
        assert torch.equal(first.students[b], turned.students[b].flip(0))
        views = [first.students[b], first.teachers[b], second.students[b], second.teachers[b]]
        assert all(not torch.equal(views[i], views[j]) for i in range(4) for j in range(i))


def test_released_behaviour(sets: tuple[MotionArchive, MotionArchive]) -> None:
    settings = discover.as_released(SETTINGS["paper"])
    assert (settings.mask, settings.mask_always, settings.strong_shear, settings.strong_padding) == (
        0.1,
        0.1,
        0.5,
        1 / 6,
    )
    run = trainer(sets, **{n: getattr(settings, n) for n in ("mask", "mask_always", "initialise")}, epochs=1)
    for epoch in (0, 1):  # both stages, the source too
        run.fine = epoch == 1
        batch = run.batch_of(run.clips.train[:8], Position(run.stages[epoch], epoch)).batch
        assert not torch.equal(batch.source, batch.source_seen)
        assert not torch.equal(batch.students[0], batch.seen[0])
    run.switch()
    weight = run.discovery.pair[0].student["clusters"].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.6)  # not the centres of k-means


def test_as_many_clusters_as_clips(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match="24 clusters of 24 training clips"):
        result = discover.run(*sets, tmp_path / "run", clusters=24, progress=False, **TINY)
    sizes = [c["size"] for c in result["clusters"]["B1"]]
    assert len(sizes) == 24
    assert sum(sizes) == 48
    empty = sizes.index(0)  # far more clusters than what there is to find
    told = result["clusters"]["B1"][empty]
    assert (told["typical"], told["neighbours"], told["resembles"]) == ([], [], [])
    near = {n["cluster"] for c in result["clusters"]["B1"] for n in c["neighbours"]}
    assert empty not in near
    found = discover.load(tmp_path / "run").label(sets[1])
    assert found["B1_similarity"].is_finite().all()
    assert "No clip fell into it" in write(tmp_path / "run", tmp_path / "page.html").read_text()


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """K-means of clips that are all the same never settles, because some cluster is always empty."""
    for name, value in (("scores.ITERATIONS", 3), ("clusters.ITERATIONS", 3)):
        monkeypatch.setattr(f"motet.methods.discovery.{name}", value)


@pytest.mark.usefixtures("briefly")
@pytest.mark.parametrize("method", discover.METHODS)
def test_clips_that_are_all_the_same(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, method: str) -> None:
    target = made(tmp_path / "same", 20, value=1.0)
    result = discover.run(sets[0], target, clusters=3, method=method, progress=False, **TINY)
    assert sum(c["size"] for c in result["clusters"]["B0"]) == 20
    assert all(np.isfinite([row["nmi"], row["purity"]]).all() for row in result["rows"])


@pytest.mark.parametrize("x", [torch.ones(20, 5), torch.zeros(20, 5)])
def test_an_estimate_says_when_there_is_nothing_to_tell_apart(x: Tensor) -> None:
    found = estimate(x)
    assert "only 1 can be distinguished" in found["says"]
    assert {c["distinct"] for c in found["evidence"]} == {1}


def test_an_estimate_of_many_rows_looks_at_some(monkeypatch: pytest.MonkeyPatch) -> None:
    centres = torch.eye(4, 16).repeat(50, 1)
    x = centres + 0.02 * torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(discover.clusters, "_MOST", 60)
    assert estimate(x, most=8)["clusters"] == 4


@pytest.mark.parametrize("clips", [1, 2])
def test_a_target_of_one_clip(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, clips: int, capsys: pytest.CaptureFixture[str]
) -> None:
    target = made(tmp_path / "few", clips)
    paths = ["--source", str(sets[0].path), "--target", str(target.path), "--out", str(tmp_path / "run")]
    assert main(["discover", *paths, "--clusters", "2", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "too few" in said
    assert ("its 2 clips train by the split" in said) == (clips == 2)
    assert not (tmp_path / "run").exists()


def test_a_target_of_two_training_clips(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match="2 clusters of 2 training clips"):
        result = discover.run(sets[0], made(tmp_path / "four", 4), clusters=2, progress=False, **TINY)
    assert sum(c["size"] for c in result["clusters"]["B1"]) == 4


def test_a_batch_larger_than_the_sets(sets: tuple[MotionArchive, MotionArchive]) -> None:
    result = discover.run(*sets, clusters=2, progress=False, **{**TINY, "batch_size": 1000})
    assert len(result["rows"]) == 5


@pytest.mark.parametrize("turned", [False, True])
def test_space_and_image_run_together(tmp_path: Path, turned: bool) -> None:
    space = made(tmp_path / "space", 12, layouts.get("kinect-v2"))
    image = made(tmp_path / "image", 12, layouts.get("coco-17"), channels=("x", "y"), units="px")
    archives = (image, space) if turned else (space, image)
    result = discover.run(*archives, clusters=3, progress=False, **TINY)
    assert len(result["joints"]) == 15
    assert sum(c["size"] for c in result["clusters"]["B1"]) == 12


def test_space_that_stands_on_z_is_no_image(tmp_path: Path) -> None:
    body = layouts.get("kinect-v2")
    standing = dataclasses.replace(body, up="+z")
    space, image = (made(tmp_path / "a", 6, standing), made(tmp_path / "b", 6, standing, channels=("x", "y")))
    with pytest.raises(ConfigError, match="stands on z, which images do not have"):
        discover.run(space, image, clusters=2, progress=False)


@pytest.fixture(scope="module")
def run(sets: tuple[MotionArchive, MotionArchive], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    discover.run(*sets, out, clusters=3, progress=False, **TINY)
    return out


def test_new_recordings_in_another_unit(sets: tuple[MotionArchive, MotionArchive], run: Path, tmp_path: Path) -> None:
    target, found = sets[1], discover.load(run)
    with ArchiveWriter(tmp_path / "mm", skeleton=target.skeleton, units="mm", dtype="float32") as writer:
        for i in range(12):
            writer.add(1000 * target.clip(i), name=f"{i}")
    again = found.features(MotionArchive.open(tmp_path / "mm"))
    for expected, x in zip(found.features(target), again, strict=True):
        torch.testing.assert_close(x, expected[:12], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.shared(MotionArchive.open(tmp_path / "mm")), again[0].numpy(), atol=1e-6)


def test_new_recordings_that_are_refused(run: Path, tmp_path: Path) -> None:
    found = discover.load(run)
    for name, options, word in (
        ("two", {"persons": 2}, "room for 2 persons"),
        ("flat", {"channels": ("x", "y")}, "coordinates x, y and"),
        ("odd", {"units": "px"}, "is in 'px', but the clusters were found in 'm'"),
    ):
        with pytest.raises(ConfigError, match=word):
            found.assign(made(tmp_path / name, 2, **options))
    with pytest.raises(ConfigError, match="layout"):
        found.assign(made(tmp_path / "other", 2, Skeleton("tail", ("tail",), (-1,))))


@pytest.mark.usefixtures("briefly")
def test_mirrored_new_recordings_are_named(tmp_path: Path) -> None:
    from tests.methods.discovery.test_joints import upright

    kinect = layouts.get("kinect-v2")
    archives = []
    for name, side in (("a", 1), ("b", 1), ("mirrored", -1)):
        with ArchiveWriter(tmp_path / name, skeleton=kinect) as writer:
            for i in range(8):
                frames = upright(kinect) + 0.01 * (i + (name == "b"))
                frames[..., 0] *= side
                writer.add(frames, name=f"{i}", subject=i % 2 + 1, label=i // 2 % 2)
        archives.append(MotionArchive.open(tmp_path / name))
    discover.run(*archives[:2], tmp_path / "run", clusters=2, progress=False, **TINY)
    with pytest.raises(DataError, match="mirrored: its axes are mirrored"):
        discover.load(tmp_path / "run").assign(archives[2])
    with pytest.raises(DataError, match="mirrored: its axes are mirrored"):
        discover.run(archives[0], archives[2], clusters=2, progress=False)
