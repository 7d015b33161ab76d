"""Animals below a camera: clips are turned to their own heading, by default where they point in all directions."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import motet
from motet.core.errors import DataError, MotetNote
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.heading import all_ways, check_heading
from motet.data.preprocess import preprocess
from motet.data.skeletons import Skeleton
from motet.data.splits import split
from motet.methods import distillation as distill
from motet.methods import recipes
from motet.methods.discovery.data import fitting
from motet.methods.distillation.motion import Motion, Part
from motet.methods.fitting import fit_to_layout
from motet.methods.rocket import RocketModel
from motet.use.predictor import load_predictor
from motet.use.signals import Layout, signals
from motet.use.stream import Stream

MOUSE = Skeleton("mouse", ("snout", "left_ear", "spine", "tailbase"), (2, 0, -1, 2), center=2, up="-y")
SHAPE = np.array([[40.0, 0.0], [30.0, -8.0], [0.0, 0.0], [-30.0, 0.0]])


def recorded(
    path: Path,
    heading: Callable[[int], float],
    clips: int = 40,
    *,
    channels: tuple[str, ...] = ("x", "y"),
    skeleton: Skeleton = MOUSE,
) -> MotionArchive:
    """Mice that nod, every other one slowly."""
    random = np.random.default_rng(3)
    with ArchiveWriter(path, skeleton=skeleton, fps=30.0, class_names=("slow", "fast"), channels=channels) as writer:
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
def test_who_points_in_all_directions_is_all_ways(tmp_path: Path, heading: Callable[[int], float], above: bool) -> None:
    archive = recorded(tmp_path / "a", heading)
    rows = split(archive, "odd-even").train
    assert all_ways(archive, rows) is above
    assert not all_ways(archive, rows[:1])  # of one heading


def test_people_who_stand_and_lie_are_not_turned(tmp_path: Path) -> None:
    joints = ("nose", "left_shoulder", "left_knee", "mid_hip")
    archive = recorded(tmp_path / "a", lambda n: 2.4 * n, skeleton=replace(MOUSE, joints=joints, canonical=joints))
    assert not all_ways(archive)
    parts = split(archive, "odd-even")
    assert fit_to_layout(recipes.get("cmd/small"), archive, parts).preprocess == "sized"


def test_a_score_is_no_third_coordinate(tmp_path: Path) -> None:
    channels = ("x", "y", "score")
    mice = recorded(tmp_path / "a", lambda n: 2.4 * n, channels=channels)
    assert all_ways(mice)
    assert not Layout.of(mice).heading  # moments would be turned in the plane of x and the score
    joints = ("left_shoulder", "right_shoulder", "left_knee", "neck")
    shape = replace(MOUSE, joints=joints, canonical=joints)
    people = recorded(tmp_path / "b", lambda n: -1.57, channels=channels, skeleton=shape)
    assert fitting("crossclr", (people, people)) == "sized"
    assert fit_to_layout(recipes.get("cmd/small"), people, split(people, "odd-even")).preprocess == "sized"
    options: dict[str, Any] = {"split": "odd-even", "steps": 2, "width": 8, "progress": False}
    run = motet.pretrain("cmd", people, tmp_path / "run", **options)
    assert motet.load(run.path).recipe.preprocess == "sized"


def test_small_recipes_turn_them(tmp_path: Path) -> None:
    above, upright = recorded(tmp_path / "a", lambda n: 2.4 * n), recorded(tmp_path / "b", lambda n: -1.57)
    scored = recorded(tmp_path / "c", lambda n: 2.4 * n, channels=("x", "y", "score"))
    parts = split(above, "odd-even")
    for method in ("cmd/small", "barlow/small"):
        assert fit_to_layout(recipes.get(method), above, parts).preprocess == "animal"
        assert fit_to_layout(recipes.get(method), scored, parts).preprocess == "animal"
        assert fit_to_layout(recipes.get(method), upright, parts).preprocess == "sized"
    assert fit_to_layout(recipes.get("cmd/small"), above, parts, live=True).preprocess == "egocentric"
    assert fit_to_layout(recipes.get("cmd/small"), above, parts, named=False).preprocess == "first-frame"
    assert fit_to_layout(recipes.get("cmd/small-gru"), above, parts).preprocess == "first-frame"
    with pytest.warns(
        MotetNote,
        match="animals point in all directions: every clip is turned to the heading of its first frame and brought",
    ):
        run = motet.pretrain("moco", above, tmp_path / "run", split="odd-even", steps=2, width=8, progress=False)
    assert motet.load(run.path).recipe.preprocess == "animal"
    plain = motet.pretrain(
        "moco", above, tmp_path / "own", split="odd-even", steps=2, width=8, preprocess="first-frame", progress=False
    )
    assert motet.load(plain.path).recipe.preprocess == "first-frame"


def test_a_joint_alone_has_no_size(tmp_path: Path) -> None:
    with ArchiveWriter(
        tmp_path / "a", skeleton=Skeleton("point", ("hand",), (-1,)), fps=30.0, channels=("x", "y")
    ) as writer:
        for number in range(8):
            writer.add(np.ones((30, 1, 1, 2), np.float32), name=str(number), subject=number)
    archive = MotionArchive.open(tmp_path / "a")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetNote)  # no bones
        fitted = fit_to_layout(recipes.get("cmd/small"), archive, split(archive, "odd-even"))
    assert fitted.preprocess == "first-frame"  # sized, it would read any unit, and no clip be brought to one


def test_features_of_a_turned_animal_are_the_same(tmp_path: Path) -> None:
    one, other = (recorded(tmp_path / n, lambda i, turn=turn: 2.4 * i + turn) for n, turn in (("a", 0.0), ("b", 2.0)))
    model = RocketModel()
    with pytest.warns(MotetNote, match="every clip is turned"):
        assert model.fit(one).recipe.preprocess == "animal"
    first, second = model.transform(one), model.transform(other)
    assert np.abs(first - second).mean() < 0.01 * first.std()


def test_a_stream_keeps_the_heading_that_it_saw_first(tmp_path: Path) -> None:
    archive = recorded(tmp_path / "a", lambda n: 2.4 * n)
    options: dict[str, Any] = {"split": "odd-even", "steps": 2, "width": 8, "causal": True, "progress": False}
    with pytest.warns(MotetNote, match="point in all directions"):
        model = motet.load(motet.pretrain("moco", archive, tmp_path / "run", **options).path)
    clip = torch.from_numpy(np.array(archive.clip(3)))
    clip[:4, 0, 0] = 0  # no head in the first four frames
    whole = preprocess(clip[None], torch.tensor([30]), MOUSE, "egocentric")[0]
    live = Stream(model)
    frames = torch.stack([live._prepared(frame) for frame in clip])
    torch.testing.assert_close(frames[4:], whole[4:], rtol=0, atol=1e-3)
    assert not torch.allclose(frames[4:], clip[4:] - clip[0, 0, 2])  # it was turned


def field(
    path: Path, *, turn: float = 0.0, place: float = 0.0, two: bool = False, up: str | None = None
) -> MotionArchive:
    """Recordings of mice that run in an arc and then nod on the spot, labelled so; of two, the other one sits where the
    first one stops. ``up``: in space, with the height of each joint."""
    random = np.random.default_rng(5)
    skeleton, axes = (MOUSE, 2) if up is None else (replace(MOUSE, up=up), 3)
    level = [0, 1] if up is None else [axis for axis in range(3) if axis != "xyz".index(up[1])]
    with ArchiveWriter(path, skeleton=skeleton, fps=30.0, channels=("x", "y", "z")[:axes], persons=1 + two) as writer:
        for number in range(4):
            angle = 2.4 * number + turn + np.concatenate([np.linspace(0, 2.5, 150), np.full(150, 2.5)])
            ahead = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            aside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
            path_ = np.cumsum(ahead * np.repeat([4.0, 0.0], 150)[:, None], axis=0)
            body = np.repeat(SHAPE[None], 300, axis=0)
            body[150:, 0, 1] += 15 * np.sin(np.arange(150) * 0.4 * np.pi)  # three times in half a second
            points = body[..., :1] * ahead[:, None] + body[..., 1:] * aside[:, None] + path_[:, None] + 300 + place
            frames = np.zeros((300, 1 + two, 4, axes), np.float32)
            frames[:, 0][..., level] = points
            if two:
                frames[:, 1][..., level] = points[-1, 2] + SHAPE
            if up is not None:
                frames[..., "xyz".index(up[1])] = 20.0 + np.arange(4)
            frames[:] += random.normal(0, 1e-3, frames.shape)
            writer.add(frames, name=f"mouse-{number}", subject=number, persons=1 + two)
    archive = MotionArchive.open(path)
    rows = [(f"mouse-{n}", 5.0 * k, 5.0 * k + 5, label) for n in range(4) for k, label in enumerate(("run", "nod"))]
    table = pl.DataFrame(rows, schema=["recording", "start", "end", "label"], orient="row")
    archive.tracks.save("behaviour", table)
    return MotionArchive.open(path)


@pytest.mark.parametrize("up", [None, "+z", "-y"])
def test_moments_of_a_turned_animal_are_the_same(tmp_path: Path, up: str | None) -> None:
    one, other = field(tmp_path / "a", up=up), field(tmp_path / "b", turn=2.0, place=70.0, up=up)
    layout = Layout.of(one)
    assert layout.heading
    assert "turned by the line from tail to head" in layout.described
    first, second = (signals(a.clip(1), layout) for a in (one, other))
    np.testing.assert_allclose(first, second, atol=0.05)
    height = first.shape[1] - 4 if up else None
    if height is not None:
        np.testing.assert_allclose(first[:, height], 22.0, atol=0.01)  # of the centre
    ahead, aside, turning = first[30:120, -3:].T
    np.testing.assert_allclose(ahead, 12.0, atol=0.1)  # 4 a frame, three frames a tick
    np.testing.assert_allclose(aside, 0.0, atol=0.5)  # the direction is a mean over half a second
    np.testing.assert_allclose(turning, 3 * 2.5 / 149 * 70, atol=0.1)  # the head about the tail
    np.testing.assert_allclose(first[200:290, -3:], 0, atol=0.1)
    joints = first[30, : 4 * (2 if up is None else 3)].reshape(4, -1)
    level = [0, 1] if up is None else [axis for axis in range(3) if axis != "xyz".index(up[1])]
    np.testing.assert_allclose(joints[:, level], SHAPE, atol=0.5)


def test_where_another_animal_is(tmp_path: Path) -> None:
    archive = field(tmp_path / "a", two=True)
    frames, layout = archive.clip(2), Layout.of(archive)
    found = signals(frames, layout)
    of_one = found.shape[1] // 2
    assert of_one == 8 + 3 + 2
    ahead, aside = found[:, of_one - 2 : of_one].T
    way = frames[:, 1, 2] - frames[:, 0, 2]
    line = frames[:, 0, 0] - frames[:, 0, 3]
    distance = np.linalg.norm(way, axis=1)
    far = distance * 70 / (distance + 70)
    cosine = (way * line).sum(axis=1) / np.linalg.norm(line, axis=1) / np.maximum(distance, 1e-9)
    at = slice(30, 120)
    np.testing.assert_allclose(np.hypot(ahead, aside)[at], far[at], rtol=0.02)
    np.testing.assert_allclose(ahead[at], (far * cosine)[at], atol=2)
    gone = frames.copy()
    gone[:, 1] = 0
    assert not signals(gone, layout)[:, of_one - 2 :].any()


def test_a_heading_is_held_where_the_head_is_lost(tmp_path: Path) -> None:
    archive = field(tmp_path / "a")
    frames, layout = np.array(archive.clip(0)), Layout.of(archive)
    whole = signals(frames, layout)
    frames[200:240, 0, 0] = 0  # longer than the mean over half a second
    held = signals(frames, layout)
    np.testing.assert_allclose(held[200:240, 2:8], whole[200:240, 2:8], atol=8)
    assert not held[208:232, -1].any()


def test_who_stands_is_not_turned(tmp_path: Path) -> None:
    archive = recorded(tmp_path / "a", lambda n: -1.57 + 0.2 * np.sin(n))
    assert not Layout.of(archive).heading
    assert signals(archive.clip(0), Layout.of(archive)).shape == (30, 8)


def test_classifiers_of_moments_turn_animals_and_keep_that(tmp_path: Path) -> None:
    archive = field(tmp_path / "a")
    with pytest.warns(MotetNote, match="every frame is turned by the line from tail to head"):
        model = motet.fit(archive, tmp_path / "model", candidates=("statistics+linear",), progress=False)
    again = load_predictor(tmp_path / "model")
    assert model.layout == again.layout
    assert again.layout.heading
    with pytest.warns(MotetNote, match="turned by the line"):
        table = motet.predict(again, field(tmp_path / "b", turn=1.0), progress=False)
    right = [(0.0 if row["label"] == "run" else 5.0) for row in table.iter_rows(named=True)]
    np.testing.assert_allclose(table["start"].to_list(), right, atol=0.5)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["heading"]  # as earlier versions wrote it
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="damaged"):  # it counts fewer signals
        load_predictor(tmp_path / "model")


def test_discovery_and_distillation_turn_animals(tmp_path: Path) -> None:
    above = recorded(tmp_path / "a", lambda n: 2.4 * n)
    upright = recorded(tmp_path / "b", lambda n: -1.57)
    assert fitting("crossclr", (above, above)) == "animal"
    assert fitting("crossclr", (above, upright)) == "sized"
    with pytest.warns(MotetNote, match="animals point in all directions"):
        made = Part(above).modality(Motion())
    assert made.layout is not None
    assert made.layout.preprocess == "animal"
    asked = Part(above).modality(Motion(preprocess="first-frame"))
    assert asked.layout is not None
    assert asked.layout.preprocess == "first-frame"
    standing = Part(upright).modality(Motion(), "egocentric")  # as its student was trained
    assert standing.layout is not None
    assert standing.layout.preprocess == "egocentric"


def tracked(path: Path, names: tuple[str, ...], **canonical: str) -> MotionArchive:
    """Mice that point in all directions, by a tracker whose joints have these names."""
    skeleton = replace(MOUSE, joints=names, canonical=tuple(canonical.get(name, name) for name in names))
    mice = recorded(path.with_name(f"{path.name}-mice"), lambda n: 2.4 * n)
    with ArchiveWriter(
        path, skeleton=skeleton, fps=30.0, channels=("x", "y"), source={"format": "deeplabcut"}
    ) as writer:
        for row, name in enumerate(mice.clips["name"]):
            writer.add(mice.clip(row), name=name, subject=row % 4)
    return MotionArchive.open(path)


def test_names_that_say_no_head_and_no_tail_are_said_once(tmp_path: Path) -> None:
    unnamed = tracked(tmp_path / "a", ("bp1", "bp2", "bp3", "bp4"))
    for use in (lambda: Layout.of(unnamed), lambda: RocketModel().fit(unnamed)):
        with pytest.warns(
            MotetNote, match=r"\(bp1, bp2, bp3, bp4 …\) do not say where head and tail are.*tail_base"
        ) as said:
            use()
        assert sum("head and" in str(w.message) for w in said) == 1
    named = tracked(tmp_path / "b", ("Schnauze", "Ohr", "Mitte", "Schwanz"), Schnauze="nose", Schwanz="tail_base")
    assert all_ways(named)
    with pytest.warns(MotetNote, match="b: animals point in all directions: every clip is turned"):
        RocketModel().fit(named)
    path = tmp_path / "maus.toml"
    joints = ", ".join(
        f'{{ name = "{name}", parent = "{parent}", canonical = "{canonical}" }}'
        for name, parent, canonical in (("Schnauze", "", "nose"), ("Schwanz", "Schnauze", "tail_base"))
    )
    path.write_text(f'name = "maus"\nup = "-y"\njoints = [{joints}]\n')
    check_heading(layouts.get(str(path)), 2)


@pytest.mark.parametrize("joint", ["spine", "left_ear", "tailbase"])
def test_a_joint_that_is_lost_for_long_is_no_movement(tmp_path: Path, joint: str) -> None:
    """The centre too: what else is seen would lie as far from the animal as the corner of the picture."""
    archive = recorded(tmp_path / "a", lambda n: 2.4 * n)
    layout = Layout.of(archive)
    assert layout.heading
    whole = np.concatenate([archive.clip(3)] * 6)
    lost = whole.copy()
    lost[50:110, 0, MOUSE.joints.index(joint)] = 0  # two seconds
    with_, without = signals(whole, layout), signals(lost, layout)
    close = np.abs(with_[50:110, :8] - without[50:110, :8])  # joints, as seen from the animal
    assert close.max() < 12  # the middle of what is seen nods with the head
    assert np.abs(with_[:, :8]).max() > 30
    gone = lost.copy()
    gone[70:90] = 0
    assert not signals(gone, layout)[70:90].any()


def test_a_centre_that_is_never_seen_is_the_middle_unless_bodies_lie_around_it(tmp_path: Path) -> None:
    archive = recorded(tmp_path / "a", lambda n: 2.4 * n)
    layout, whole = Layout.of(archive), archive.clip(3)
    lost = whole.copy()
    lost[:, 0, MOUSE.center] = 0
    found = signals(lost, layout)
    assert np.abs(found[:, :8]).max() < 60  # it was as far as the corner of the picture
    joints = found[:, :8].reshape(30, 4, 2)
    np.testing.assert_allclose(joints[:, [0, 1, 3]].mean(axis=1), 0, atol=1e-3)
    relative = (whole - whole[:, :, MOUSE.center, None]).astype(np.float32)
    np.testing.assert_allclose(signals(relative, layout)[:, :8], signals(whole, layout)[:, :8], atol=1e-3)


def test_an_exported_student_says_what_its_own_clips_want(tmp_path: Path) -> None:
    above = recorded(tmp_path / "a", lambda n: 2.4 * n)
    call: dict[str, Any] = {"epochs": 1, "features": 4, "batch_size": 8, "hidden": (4,), "sequence_hidden": 4}
    with pytest.warns(MotetNote, match="point in all directions"):
        distill.run(
            f"mouse={above.path}", "mouse", (), tmp_path / "run", method="alone", split="all", progress=False, **call
        )
    assert distill.load(tmp_path / "run").exportable().facts["preprocess"] == "animal"
