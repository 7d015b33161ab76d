"""Frame by frame equals the clip so far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import motet
from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.preprocess import preprocess
from motet.engine.options import Encoder
from motet.methods import recipes
from motet.methods.model import Model
from motet.methods.whitening import Scatter, Whitening
from motet.use.stream import Classifier, whole_clips
from tests.conftest import write_clips

STREAMS = ("joint", "motion", "bone", "bone_motion", "acceleration", "joint[left_arm]")


def model_of(
    preprocessing: str,
    persons: int = 2,
    mode: str = "causal",
    streams: tuple[str, ...] = STREAMS,
    encoder: Encoder | None = None,
    skeleton: str = "kinect-v2",
) -> Model:
    torch.manual_seed(0)
    encoder = encoder or Encoder(hidden=8, layers=2, mode=mode)  # type: ignore[arg-type]
    recipe = replace(recipes.get("cmd/small-gru"), streams=streams, preprocess=preprocessing, encoder=encoder)
    model = Model(recipe, layouts.get(skeleton), persons, 3)
    for module in model.encoders.modules():  # a norm that has seen data
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
    return model


def offline(model: Model, clip: Tensor) -> list[Tensor]:
    """Features of a clip as it is: preprocessed as a whole, not resized."""
    lengths = torch.tensor([len(clip)])
    return [f[0] for f in model.features(preprocess(clip[None], lengths, model.skeleton, model.recipe.preprocess))]


@pytest.mark.parametrize("preprocessing", ["cmd", "crossclr", "yaw", "center", "first-frame", "none"])
def test_every_prefix_is_the_offline_clip(preprocessing: str) -> None:
    model = model_of(preprocessing)
    clip = torch.randn(9, 2, 25, 3, generator=torch.Generator().manual_seed(1))
    clip[:, 1, 3] = 0  # a joint that was never seen
    stream = motet.stream(model)
    for _ in range(2):
        for t in range(len(clip)):
            moment = stream.push(clip[t].numpy())
            assert moment.frame == t
            assert moment.probabilities is None
            for found, expected in zip(moment.features.values(), offline(model, clip[: t + 1]), strict=True):
                torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        stream.reset()


@pytest.mark.parametrize("whitened", [False, True])
def test_the_causal_convolution_streams_and_its_whole_clips_are_the_last_word(whitened: bool) -> None:
    model = model_of("yaw", encoder=Encoder(encoder="tcn", width=6, layers=2, causal=True))
    if whitened:
        generator = torch.Generator().manual_seed(0)
        views = [torch.randn(3, 40, 30, generator=generator) for _ in model.streams]
        model.whitening = {s: Whitening.of(Scatter.of_views(v), 1.0) for s, v in zip(model.streams, views, strict=True)}
    clips = [torch.randn(n, 2, 25, 3, generator=torch.Generator().manual_seed(n)) for n in (1, 2, 9)]
    stream = motet.stream(model)
    last = []
    for clip in clips:
        stream.reset()
        for t in range(len(clip)):
            moment = stream.push(clip[t])
            for found, expected in zip(moment.features.values(), offline(model, clip[: t + 1]), strict=True):
                torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
        last.append(torch.cat(list(moment.features.values())))
    whole = whole_clips(model, [clip.numpy() for clip in clips])
    torch.testing.assert_close(whole, torch.stack(last), atol=2e-6, rtol=1e-5)
    with pytest.raises(ConfigError, match="needs --causal"):
        motet.stream(model_of("yaw", encoder=Encoder(encoder="tcn", width=6)))
    with pytest.raises(ConfigError, match="measured on a whole clip"):
        motet.stream(model_of("body", encoder=Encoder(encoder="tcn", width=6, causal=True)))


def test_people_who_come_and_joints_that_vanish() -> None:
    clip = torch.randn(8, 2, 25, 3, generator=torch.Generator().manual_seed(2))
    clip[:2, 0] = 0  # nobody yet
    clip[:, 1] = 0
    clip[5, 0, model_of("first-frame").skeleton.center] = 0
    for preprocessing in ("first-frame", "yaw", "center"):
        model = model_of(preprocessing)
        stream = motet.stream(model)
        for frame in clip:
            moment = stream.push(frame)
        for found, expected in zip(moment.features.values(), offline(model, clip), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("preprocessing", ["bridge", "mirror-x"])
def test_a_lost_sample_of_a_sensor_is_the_one_before(preprocessing: str) -> None:
    model = model_of(preprocessing, persons=1, skeleton="imu-2", streams=("joint",))
    readings = np.random.default_rng(1).normal(size=(6, 1, 2, 3)).astype(np.float32) + 2
    held = readings.copy()
    held[3], held[4, :, 0] = readings[2], readings[2, :, 0]
    lost = readings.copy()
    lost[3], lost[4, :, 0] = 0, 0  # all of it, and the accelerometer alone
    one, other = motet.stream(model), motet.stream(model)
    for given, expected in zip(lost, held, strict=True):
        found, wanted = one.push(given), other.push(expected)
    torch.testing.assert_close(found.features, wanted.features, atol=0, rtol=0)


def test_a_gyroscope_alone_rests_in_a_stream() -> None:
    turns = np.random.default_rng(1).normal(size=(6, 1, 2, 3)).astype(np.float32)
    turns[:, :, 0], turns[4:] = 0, 0
    one, other = (
        motet.stream(model_of(how, persons=1, skeleton="imu-2", streams=("joint",))) for how in ("bridge", "none")
    )
    for frame in turns:
        found, wanted = one.push(frame), other.push(frame)
    torch.testing.assert_close(found.features, wanted.features, atol=0, rtol=0)


def test_what_a_stream_refuses() -> None:
    stream = motet.stream(model_of("none", persons=1, streams=("joint",)))
    stream.push(np.zeros((25, 3)))
    with pytest.raises(DataError, match=r"frame 1 has shape \(1, 24, 3\)"):
        stream.push(np.zeros((24, 3)))
    with pytest.raises(DataError, match="frame 1 holds a value that is not finite"):
        stream.push(np.full((25, 3), np.nan))
    with pytest.raises(ConfigError, match="sees the future"):
        motet.stream(model_of("none", mode="bidirectional"))


def small_model(archive: MotionArchive) -> Model:
    recipe = replace(
        recipes.get("cmd/small-gru"), streams=("joint", "motion", "acceleration"), encoder=Encoder(hidden=16, layers=1)
    )
    return Model.fresh(recipe, archive)


def test_whole_clips_are_the_last_word_of_a_stream(
    small_archive: MotionArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(small_archive)
    clips = [small_archive.clip(i) for i in (0, 7, 3)]
    monkeypatch.setattr("motet.use.stream._BATCH_FRAMES", 70)
    found = whole_clips(model, clips)
    stream = motet.stream(model)
    for clip, expected in zip(clips, found, strict=True):
        stream.reset()
        for frame in clip:
            moment = stream.push(frame)
        torch.testing.assert_close(torch.cat(list(moment.features.values())), expected, atol=1e-6, rtol=0)


def test_predictions(tmp_path: Path) -> None:
    archive = write_clips(tmp_path / "clips", clips=40, classes=2)
    model = small_model(archive)
    classifier = Classifier.fit(model, archive, range(32))
    stream = motet.stream(model, classifier)
    right = []
    for i in range(8):
        stream.reset()
        for frame in archive.clip(i):
            moment = stream.push(frame)
        assert moment.probabilities is not None
        assert sum(moment.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert list(moment.probabilities.values()) == sorted(moment.probabilities.values(), reverse=True)
        right.append(moment.label == archive.class_names[archive.labels[i]])
    assert np.mean(right) > 0.8  # of clips that it has learned from
    with pytest.raises(ConfigError, match="none of the chosen clips has a label"):
        Classifier.fit(model, archive, [])
