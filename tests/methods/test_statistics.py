"""Statistics of the readings next to the learned features of sensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from motet.core.errors import ConfigError, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.encoders.statistics import PER_SERIES, statistics
from motet.methods import recipes
from motet.methods.faces import StreamEncoders
from motet.methods.model import Model
from motet.methods.pretrain import pretrain, resolve
from motet.methods.start import Start
from motet.use.embed import embed
from motet.use.stream import Stream

SMALL = {"width": 4, "epochs": 1, "batch_size": 8, "frames": 12, "start": "none", "progress": False}
TWO = {"streams": ("joint", "motion")}


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("worn") / "worn"
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=50.0, class_names=["slow", "fast"]) as writer:
        for i in range(24):
            time = np.arange(40)[:, None, None, None] / 50
            wave = np.sin(2 * np.pi * (1 + 2 * (i % 2)) * time + rng.normal(0, 1, (1, 1, 2, 3)))
            frames = (wave + rng.normal(0, 0.1, (40, 1, 2, 3))).astype(np.float32)
            writer.add(frames, name=f"clip-{i}", label=i % 2, subject=1 + i // 4)
    return MotionArchive.open(path)


def test_they_are_whitened_with_what_is_learned_and_take_no_part_in_the_training(
    worn: MotionArchive, tmp_path: Path
) -> None:
    models = []
    for name, options in (("with", {}), ("without", {"statistics": False})):
        run = pretrain("moco/small", worn, tmp_path / name, split="odd-even", **SMALL, **TWO, **options)
        models.append(run.model())
    model, plain = models
    assert isinstance(model, Model)
    assert isinstance(plain, Model)
    assert model.sizes == {"joint": 20 + 2 * 4 * PER_SERIES, "motion": 20 + 2 * 4 * PER_SERIES}
    assert plain.sizes == {"joint": 20, "motion": 20}
    for one, other in zip(model.encoders.state_dict().values(), plain.encoders.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    clips = torch.randn(5, 12, 1, 2, 3)
    clips[3, :, :, 1] = 0
    found = model.features(clips)
    for stream, encoder, view, feature in zip(model.streams, model.encoders.eval(), model.views, found, strict=True):
        last, seen = model.whitening[stream], view(clips)
        with torch.no_grad():
            joined = torch.cat([encoder(seen), statistics(seen)], dim=1)
        joined[3, 20 + 4 * PER_SERIES :] = last.mean[20 + 4 * PER_SERIES :]
        torch.testing.assert_close(feature, (joined - last.mean) @ last.matrix)
    for one, other in zip(StreamEncoders(model)(clips), found, strict=True):
        torch.testing.assert_close(one, other)
    assert model.transform(worn).shape == (24, sum(model.sizes.values()))


def test_models_without_a_whitening_have_none(worn: MotionArchive, tmp_path: Path) -> None:
    """Random convolutions, and a run that has not finished."""
    embed("rocket", worn.path, tmp_path / "rocket.npz")
    assert len(np.load(tmp_path / "rocket.npz")["features"]) == 24
    run = pretrain("moco/small", worn, tmp_path / "run", split="odd-even", checkpoint_every=1, **SMALL, **TWO)
    (run.path / "model.safetensors").unlink()
    with pytest.warns(MotetWarning, match="has not finished"):
        embed(run.path, worn.path, tmp_path / "unfinished.npz")
    assert np.load(tmp_path / "unfinished.npz")["features"].shape == (24, 40)


def test_where_they_are_the_default(worn: MotionArchive, small_archive: MotionArchive, tmp_path: Path) -> None:
    """Small convolutions on sensors; not where nothing is whitened or a frame sees the past only; a stream says so."""
    assert resolve("cmd/small", worn, {"split": "odd-even"})[0].statistics
    assert not resolve("cmd/small", small_archive, {"split": "odd-even"})[0].statistics
    assert not resolve("cmd/small-gru", worn, {"split": "odd-even"})[0].statistics
    assert not resolve("cmd/small", worn, {"split": "odd-even", "causal": True})[0].statistics
    assert not resolve("cmd/small", worn, {"split": "odd-even", "whiten": 0.0})[0].statistics
    with pytest.raises(ConfigError, match="set whiten above 0"):
        resolve("cmd/small", worn, {"split": "odd-even", "whiten": 0.0, "statistics": True})
    run = pretrain("moco/small", worn, tmp_path / "run", split="odd-even", causal=True, statistics=True, **SMALL)
    with pytest.raises(ConfigError, match="statistics of whole clips; train with --statistics false"):
        Stream(run.model())  # type: ignore[arg-type]


def test_accelerations_and_turns_are_streams_of_their_own(
    worn: MotionArchive, small_archive: MotionArchive, tmp_path: Path
) -> None:
    def streams(
        name: str, archive: MotionArchive = worn, begin: Start | None = None, **options: Any
    ) -> tuple[str, ...]:
        return resolve(name, archive, {"split": "odd-even", **options}, start=begin)[0].streams

    four = ("joint", "motion", "joint[accelerometer]", "joint[gyroscope]")
    assert streams("cmd/small") == streams("moco/small") == four
    assert streams("cmd/small-gru") == ("joint", "motion")
    assert streams("halp/small") == ("joint",)
    assert streams("cmd/small", streams=("motion", "joint")) == ("motion", "joint")
    assert streams("cmd/small", small_archive) == ("joint", "motion", "bone")
    alone = tmp_path / "alone"
    with ArchiveWriter(alone, skeleton=worn.skeleton, fps=50.0, class_names=list(worn.class_names)) as writer:
        for i in range(8):
            clip = worn.clip(i).copy()
            clip[:, :, 1] = 0
            writer.add(clip, name=f"clip-{i}", label=i % 2, subject=1 + i // 4)
    assert streams("cmd/small", MotionArchive.open(alone)) == ("joint", "motion")  # nothing turned
    run = pretrain("moco/small", worn, tmp_path / "run", split="odd-even", **SMALL, **TWO)
    begin = Start.open(run.path)
    assert streams("cmd/small", begin=begin) == ("joint", "motion")  # what the start has
    with pytest.raises(ConfigError, match=r"has no stream 'acceleration'; choose --streams from joint motion"):
        streams("cmd/small", begin=begin, streams=("joint", "acceleration"))
    own = replace(recipes.get("cmd/small"), streams=("joint", "acceleration"))
    with pytest.raises(ConfigError, match=r"has no stream 'acceleration'"):  # an own recipe names its streams
        resolve(own, worn, {"split": "odd-even"}, start=begin)
    flat = tmp_path / "flat"
    with ArchiveWriter(flat, skeleton=worn.skeleton, fps=50.0, channels=("x", "y")) as writer:
        for i in range(8):
            writer.add(worn.clip(i)[..., :2].copy(), name=f"clip-{i}", subject=i)
    own = replace(own, streams=("joint", "motion"))
    assert streams("cmd/small", MotionArchive.open(flat)) == four
    assert resolve(own, MotionArchive.open(flat), {"split": "odd-even"})[0].streams == ("joint", "motion")
