"""Animals below a camera: clips are turned to their own heading, by default where they point in all directions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet.core.errors import MotetNote
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.preprocess import preprocess
from motet.data.skeletons import Skeleton
from motet.data.splits import split
from motet.methods import recipes
from motet.methods.fitting import fit_to_layout, seen_from_above
from motet.methods.rocket import RocketModel
from motet.use.stream import Stream

MOUSE = Skeleton("mouse", ("snout", "left_ear", "spine", "tailbase"), (2, 0, -1, 2), center=2, up="-y")
SHAPE = np.array([[40.0, 0.0], [30.0, -8.0], [0.0, 0.0], [-30.0, 0.0]])


def recorded(
    path: Path, heading: Callable[[int], float], clips: int = 40, *, channels: tuple[str, ...] = ("x", "y")
) -> MotionArchive:
    """Mice that nod, every other one slowly."""
    random = np.random.default_rng(3)
    with ArchiveWriter(path, skeleton=MOUSE, fps=30.0, class_names=("slow", "fast"), channels=channels) as writer:
        for number in range(clips):
            angle = heading(number)
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            body = np.repeat(SHAPE[None], 30, axis=0)
            body[:, 0, 1] += 15 * np.sin(np.arange(30) * (0.3 if number % 2 else 0.9) + random.uniform(0, 6))
            points = (body + random.normal(0, 0.5, body.shape)) @ turn + random.uniform(100, 900, 2)
            frames = np.zeros((30, 1, 4, len(channels)), np.float32)
            frames[:, 0, :, :2] = points
            writer.add(frames, name=f"mouse-{number}", label=1 - number % 2, subject=number % 4)
    return MotionArchive.open(path)


@pytest.mark.parametrize(
    ("heading", "above"),
    [
        (lambda n: 2.4 * n, True),
        (lambda n: -1.57 + 0.2 * np.sin(n), False),  # stands
        (lambda n: np.pi * (n % 2) + 0.2 * np.sin(n), False),  # walks to the left and to the right
    ],
)
def test_who_points_in_all_directions_is_seen_from_above(
    tmp_path: Path, heading: Callable[[int], float], above: bool
) -> None:
    archive = recorded(tmp_path / "a", heading)
    rows = split(archive, "odd-even").train
    assert seen_from_above(archive, rows) is above
    assert not seen_from_above(archive, rows[:1])  # of one heading


def test_small_recipes_turn_them(tmp_path: Path) -> None:
    above, upright = recorded(tmp_path / "a", lambda n: 2.4 * n), recorded(tmp_path / "b", lambda n: -1.57)
    scored = recorded(tmp_path / "c", lambda n: 2.4 * n, channels=("x", "y", "score"))
    parts = split(above, "odd-even")
    for method in ("cmd/small", "barlow/small"):
        assert fit_to_layout(recipes.get(method), above, parts).preprocess == "egocentric"
        assert fit_to_layout(recipes.get(method), scored, parts).preprocess == "egocentric"
        assert fit_to_layout(recipes.get(method), upright, parts).preprocess == "first-frame"
    assert fit_to_layout(recipes.get("cmd/small"), above, parts, named=False).preprocess == "first-frame"
    assert fit_to_layout(recipes.get("cmd/small-gru"), above, parts).preprocess == "first-frame"
    with pytest.warns(MotetNote, match="seen from above: every clip is turned to the heading of its first frame"):
        run = motet.pretrain("moco", above, tmp_path / "run", split="odd-even", steps=2, width=8, progress=False)
    assert motet.load(run.path).recipe.preprocess == "egocentric"
    plain = motet.pretrain(
        "moco", above, tmp_path / "own", split="odd-even", steps=2, width=8, preprocess="first-frame", progress=False
    )
    assert motet.load(plain.path).recipe.preprocess == "first-frame"


def test_features_of_a_turned_animal_are_the_same(tmp_path: Path) -> None:
    one, other = (recorded(tmp_path / n, lambda i, turn=turn: 2.4 * i + turn) for n, turn in (("a", 0.0), ("b", 2.0)))
    model = RocketModel()
    assert model.fit(one).recipe.preprocess == "egocentric"
    first, second = model.transform(one), model.transform(other)
    assert np.abs(first - second).mean() < 0.01 * first.std()


def test_a_stream_keeps_the_heading_that_it_saw_first(tmp_path: Path) -> None:
    archive = recorded(tmp_path / "a", lambda n: 2.4 * n)
    options: dict[str, Any] = {"split": "odd-even", "steps": 2, "width": 8, "causal": True, "progress": False}
    with pytest.warns(MotetNote, match="seen from above"):
        model = motet.load(motet.pretrain("moco", archive, tmp_path / "run", **options).path)
    clip = torch.from_numpy(np.array(archive.clip(3)))
    clip[:4, 0, 0] = 0  # no head in the first four frames
    whole = preprocess(clip[None], torch.tensor([30]), MOUSE, "egocentric")[0]
    live = Stream(model)
    frames = torch.stack([live._prepared(frame) for frame in clip])
    torch.testing.assert_close(frames[4:], whole[4:], rtol=0, atol=1e-3)
    assert not torch.allclose(frames[4:], clip[4:] - clip[0, 0, 2])  # it was turned
