"""What is not in metres is brought to one size by small recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motet
from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.splits import split
from motet.methods import recipes
from motet.methods.discovery.data import fitting
from motet.methods.fitting import fit_to_layout
from motet.methods.pretrain import resolve
from motet.methods.rocket import RocketModel


def people(
    path: Path, units: str | None, channels: str = "xyz", scale: float = 1.0, layout: str = "coco-17"
) -> MotionArchive:
    """Who stands and waves, clip after clip nearer to the camera."""
    random, skeleton = np.random.default_rng(2), layouts.get(layout)
    still = random.normal(0, 0.4, (len(skeleton), len(channels)))
    names = ("slow", "fast")
    with ArchiveWriter(
        path, skeleton=skeleton, fps=30.0, units=units, channels=tuple(channels), class_names=names
    ) as w:
        for number in range(24):
            frames = np.repeat(still[None], 40, axis=0)
            frames[:, 9] += 0.3 * np.sin(np.arange(40)[:, None] * (0.2 + 0.3 * (number % 2)))
            frames = frames * scale * (1 + number / 24) + 500 * (scale > 1)
            w.add(frames[:, None], name=str(number), label=number % 2, subject=number % 4)
    return MotionArchive.open(path)


@pytest.mark.parametrize(
    ("units", "channels", "wanted"),
    [
        ("m", "xyz", "yaw"),
        ("mm", "xyz", "body"),
        ("unknown", "xyz", "body"),
        ("px", "xy", "sized"),
        ("unknown", "xy", "sized"),
        ("m", "xy", "sized"),
    ],
)
def test_small_recipes_bring_pictures_and_other_units_to_one_size(
    tmp_path: Path, units: str, channels: str, wanted: str
) -> None:
    archive = people(tmp_path / "a", units, channels)
    parts = split(archive, "odd-even")
    as_recorded = {"body": "yaw", "sized": "first-frame"}.get(wanted, wanted)
    for name in ("cmd/small", "moco/small"):
        recipe = recipes.get(name)
        assert fit_to_layout(recipe, archive, parts).preprocess == wanted
        assert fit_to_layout(recipe, archive, parts, live=True).preprocess == as_recorded
        assert fit_to_layout(recipe, archive, parts, named=False).preprocess == as_recorded
    assert fit_to_layout(recipes.get("cmd/ntu60-xsub"), archive, parts).preprocess == "cmd"
    for live in ({"causal": True}, {"encoder": "gru"}, {"encoder": "gru", "mode": "causal"}):
        resolved, _ = resolve("cmd/small", archive, {"split": "odd-even", **live})
        assert resolved.preprocess == as_recorded
    assert resolve("cmd/small", archive, {"split": "odd-even", "encoder": "stgcn"})[0].preprocess == wanted


def test_discovery_brings_pictures_to_one_size(tmp_path: Path) -> None:
    pixels, space = people(tmp_path / "a", "px", "xy", 200.0), people(tmp_path / "b", "m")
    assert fitting("crossclr", (pixels, pixels)) == "sized"
    assert fitting("center", (pixels, pixels)) == "center"  # as the published pair of sets has it
    assert fitting("yaw", (space, space)) == "yaw"


def test_features_do_not_depend_on_the_unit(tmp_path: Path) -> None:
    pixels, centimetres = people(tmp_path / "a", "px", "xy", 200.0), people(tmp_path / "b", "cm", "xy", 7.0)
    model = RocketModel()
    assert model.fit(pixels).recipe.preprocess == "sized"
    same = np.isclose(model.transform(centimetres), model.transform(pixels), atol=0.02)
    assert same.mean() > 0.85  # but for the bone of the root, which is a zero rounded either way
    options: dict[str, Any] = {"split": "odd-even", "steps": 2, "width": 8, "progress": False}
    run = motet.pretrain("moco", pixels, tmp_path / "run", **options)
    features = motet.load(run.path).transform(centimetres)
    np.testing.assert_allclose(features, motet.load(run.path).transform(pixels), atol=1e-3)
    kept = motet.pretrain("moco", pixels, tmp_path / "kept", preprocess="first-frame", **options)
    with pytest.raises(ConfigError, match=r"the unit of .* is cm, that of the training clips px"):
        motet.load(kept.path).transform(centimetres)
