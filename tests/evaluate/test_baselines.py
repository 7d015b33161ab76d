"""Rows of the weights of the package next to other trainings."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import motet
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.evaluate.baselines import shipped_weights
from motet.methods.model import Model


def test_weights_of_sensors_stand_next_to_streams_of_other_names(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=30.0, class_names=["one"]) as writer:
        writer.add(np.ones((40, 1, 2, 3), np.float32), name="clip", label=0)
    archive, weights = MotionArchive.open(tmp_path / "a"), motet.load("wrist")
    assert isinstance(weights, Model)
    model = copy(weights)
    model.recipe, model.streams = replace(weights.recipe, seed=5), ("motion", "joint[watch_gyroscope]")
    ((name, found),) = shipped_weights(model, archive)
    assert (name, found.streams) == ("weights wrist", model.streams)
    clips = torch.randn(2, 64, 1, 2, 3)
    whole = dict(zip(weights.streams, weights.features(clips), strict=True))
    torch.testing.assert_close(found.features(clips), [whole["motion"], whole["joint[angular_rate]"]])
    model.streams = ("joint", "acceleration")  # of which the weights have one
    assert list(shipped_weights(model, archive)) == []
