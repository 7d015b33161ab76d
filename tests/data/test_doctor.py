"""Each fault is planted into simulated actors: it is found, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import cli
from motet.core.errors import ConfigError
from motet.data import formats, inspection, layouts, splits
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import convert
from motet.data.doctor import Finding, diagnose
from motet.data.simulate import simulate
from tests.data.test_inspection import build

Change = Callable[[np.ndarray, int], "np.ndarray | None"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return simulate(tmp_path_factory.mktemp("doctor") / "a", clips=48, actions=6, actors=4, progress=False)


def rewrite(archive: MotionArchive, path: Path, change: Change = lambda clip, i: clip, **meta: Any) -> MotionArchive:
    """The archive with every clip changed (None: left out) and other facts about it."""
    columns: Callable[[dict[str, Any]], dict[str, Any]] = meta.pop("columns", lambda row: row)
    extra: list[tuple[str, np.ndarray, dict[str, Any]]] = meta.pop("extra", [])
    facts = {
        "skeleton": archive.skeleton,
        "fps": archive.fps,
        "units": archive.units,
        "class_names": archive.class_names,
    }
    kept = ("label", "subject", "camera", "setup", "repetition")
    with ArchiveWriter(path, **{**facts, "source": {"split": "odd-even"}, **meta}) as writer:
        for index, row in enumerate(archive.clips.iter_rows(named=True)):
            clip = change(archive.clip(index).copy(), index)
            if clip is not None:
                writer.add(clip, name=row["name"], **columns({k: row[k] for k in kept}))
        for name, clip, row in extra:
            writer.add(clip, name=name, **row)
    return MotionArchive.open(path)


def names(archive: MotionArchive, **options: Any) -> list[str]:
    return [f.name for f in diagnose(archive, **options)]


def after(found: Finding) -> list[str]:
    """What is found after the remedy."""
    words = shlex.split(found.remedy[found.remedy.index("motet data ") :])[1:]
    imported = words[1] == "import"
    assert cli.main([*words, "--quiet", *["--workers=1"] * imported]) == 0
    return names(MotionArchive.open(words[4 if imported else 3]))


def rule_of(found: Finding) -> str:
    """The split that a remedy names."""
    words = shlex.split(re.split(", which|; or ", found.remedy[found.remedy.index("motet pretrain ") :])[0])
    return words[words.index("--split") + 1]


def test_simulated_actors_are_sound(clean: MotionArchive, tmp_path: Path) -> None:
    assert diagnose(clean) == []
    assert diagnose(rewrite(clean, tmp_path / "a")) == []


def test_a_wrong_unit_with_the_command_that_mends_it(clean: MotionArchive, tmp_path: Path) -> None:
    source = {"split": "odd-even", "format": "bvh", "path": "my films"}
    archive = rewrite(clean, tmp_path / "a", lambda clip, i: clip * 1000, source=source)
    [found] = diagnose(archive)
    assert (found.name, found.severity) == ("scale", "error")
    assert "0.4 to 3.5 m are plausible" in found.evidence
    assert found.remedy == f"motet data import bvh 'my films' {archive.path} --unit mm --overwrite"
    other = rewrite(clean, tmp_path / "b", lambda clip, i: clip * 1000)
    assert "bring the coordinates to metres" in diagnose(other)[0].remedy
    assert names(rewrite(clean, tmp_path / "c", lambda clip, i: clip * 1000, units="mm")) == []


def as_tables(archive: MotionArchive, folder: Path, factor: float) -> Path:
    """Half of the clips as tables with semicolons, label and number in the name."""
    skeleton = layouts.get("common-15")
    folder.mkdir()
    header = ";".join(f"{joint}_{axis}" for joint in skeleton.joints for axis in "xyz")
    for i, row in enumerate(archive.clips[:24].iter_rows(named=True)):
        frames = convert(archive.clip(i), archive.skeleton, skeleton)[:, 0].reshape(row["length"], -1) * factor
        lines = [header, *(";".join(f"{v:.5g}" for v in frame) for frame in frames)]
        (folder / f"{'abcdef'[row['label']]}{i}_{row['subject']}.csv").write_text("\n".join(lines))
    return folder


def test_the_command_keeps_what_the_import_was_told(clean: MotionArchive, tmp_path: Path) -> None:
    tables = as_tables(clean, tmp_path / "my tables", 1000)
    options = {"separator": ";", "pattern": r"(?P<label>[a-z])\d+_", "licence": "mine"}
    archive = formats.import_dataset("csv", tables, tmp_path / "a", progress=False, workers=1, **options)
    findings = {f.name: f for f in diagnose(archive)}
    assert set(findings) == {"scale", "unknown people", "frame rate"}
    words = shlex.split(findings["scale"].remedy)
    assert words[-2:] == ["mine", "--overwrite"]
    assert after(findings["scale"]) == ["frame rate", "unknown people"]
    again = MotionArchive.open(tmp_path / "a")
    assert (list(again.class_names), again.fps, again.licence) == (list("abcdef"), None, "mine")
    assert again.source["options"] == {**archive.source["options"], "unit": "mm"}
    found = {f.name: f for f in diagnose(again)}
    assert found["frame rate"].remedy.startswith("state the rate, if it is 30: motet data import csv")
    assert after(found["frame rate"]) == ["unknown people"]
    [people] = diagnose(MotionArchive.open(tmp_path / "a"))
    assert "import again with a group (?P<subject>…) in its --pattern: motet data import csv" in people.remedy
    assert shlex.quote(options["pattern"]) in people.remedy
    assert after(dataclasses.replace(people, remedy=people.remedy.replace("+_'", "+_(?P<subject>.+)[.]csv'"))) == []


def test_where_no_unit_fits_a_factor_does(clean: MotionArchive, tmp_path: Path) -> None:
    source = {"format": "bvh", "path": "x", "options": {"unit": "cm", "scale": 0.5, "fps": 30.0, "up": "-z"}}
    archive = rewrite(clean, tmp_path / "a", lambda clip, i: clip * 0.15, source={"split": "odd-even", **source})
    found = diagnose(archive)[0]
    assert "no usual unit fits" in found.message
    assert found.evidence.endswith("the recordings were taken for cm")
    start = "find out the unit; if the body should measure about 1.6 m: motet data import bvh x "
    assert found.remedy.startswith(start)
    words = shlex.split(found.remedy.removeprefix(start))
    factor = float(words[words.index("--scale") + 1])
    assert 1.2 < factor * found_size(archive) / 0.5 < 2.2
    assert "--unit" not in words  # the default stays
    assert "--up=-z" in words
    # what was read as centimetres and is metres, not the other way round
    metres = rewrite(clean, tmp_path / "b", lambda clip, i: clip * 0.01, source={"split": "odd-even", **source})
    assert "--unit m " in diagnose(metres)[0].remedy


def found_size(archive: MotionArchive) -> float:
    body = archive.clip(0)[0, 0]
    return float(np.ptp(body, axis=0).max())


@pytest.mark.parametrize(
    ("name", "wrong", "given"),
    [
        ("up direction", {"pos": lambda pos: pos[..., [2, 0, 1]]}, {"up": "+y"}),
        ("handedness", {}, {"right_handed": False}),
    ],
)
def test_the_command_removes_the_finding(
    clean: MotionArchive, tmp_path: Path, name: str, wrong: dict[str, Any], given: dict[str, Any]
) -> None:
    clips = [clean.clip(i)[:, 0] for i in range(len(clean))]
    arrays = {
        "pos": np.concatenate(clips),
        "offset": np.cumsum([0, *map(len, clips)]),
        "joint_names": np.array(clean.skeleton.joints),
        "label": clean.labels,
        "subject": clean.clips["subject"].to_numpy(),
        "fps": np.array(30.0),
    }
    arrays |= {key: change(arrays[key]) for key, change in wrong.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    archive = formats.import_dataset("npz", tmp_path / "a.npz", tmp_path / "a", progress=False, **given)
    [found] = diagnose(archive)
    assert (found.name, after(found)) == (name, [])


def test_only_splits_that_work_are_proposed(clean: MotionArchive, tmp_path: Path) -> None:
    one = rewrite(clean, tmp_path / "a", columns=lambda row: {**row, "subject": 1})
    [found] = diagnose(one)
    assert found.name == "shared people"
    assert found.evidence.startswith("1 person on both sides")
    assert found.remedy == "nothing is to be done but to record more people; one person cannot both train and test"
    # a class of one person: no rule has it on both sides but one that draws clips
    label = {i: row["label"] for i, row in enumerate(clean.clips.iter_rows(named=True))}
    subject = clean.clips["subject"].to_list()
    alone = rewrite(clean, tmp_path / "b", lambda clip, i: None if label[i] == 2 and subject[i] != 2 else clip)
    found = next(f for f in diagnose(alone) if f.name == "classes without train")
    assert not {"classes without train", "classes without test"} & set(names(alone, rule=rule_of(found)))
    assert found.remedy == "motet pretrain … --split random:0.3@0, which has every class on both sides"
    nobody = rewrite(
        clean,
        tmp_path / "c",
        lambda clip, i: None if label[i] == 2 and subject[i] != 2 else clip,
        columns=lambda row: {**row, "subject": None, "camera": 1 + (row["label"] == 2)},
        source={},
    )
    for found in diagnose(nobody, rule="column:camera=1,2"):
        for rule in re.findall(r"--split (\S+?),", found.remedy):
            splits.split(nobody, rule)


def test_clips_whose_person_is_unknown_are_named(clean: MotionArchive, tmp_path: Path) -> None:
    rows, people = [3, 20], clean.clips["subject"].to_list()
    given = iter([None if i in rows else person for i, person in enumerate(people)])
    archive = rewrite(clean, tmp_path / "a", columns=lambda row: {**row, "subject": next(given)})
    [found] = diagnose(archive)
    assert (found.name, found.severity) == ("unknown people", "warning")
    assert found.evidence == "2 of 48 clips have no subject, so random:0.3@0 draws clips"
    assert (found.rows, found.clips) == ((3, 20), tuple(clean.clips["name"][rows]))
    table = [f"{clean.clips['name'][i]},{people[i]}\n" for i in rows]  # of those alone: the others keep theirs
    (tmp_path / "people.csv").write_text("name,subject\n" + "".join(table))
    words = shlex.split(found.remedy[found.remedy.index("motet data label") :])[1:]
    assert cli.main([str(tmp_path / "people.csv") if word == "people.csv" else word for word in words]) == 0
    assert names(MotionArchive.open(words[-1])) == []


def test_clips_of_two_units(clean: MotionArchive, tmp_path: Path) -> None:
    archive = rewrite(clean, tmp_path / "a", lambda clip, i: clip * 100 if i in (3, 30) else clip)
    [found] = diagnose(archive)
    assert (found.name, found.clips) == ("mixed scale", tuple(clean.clips["name"][[3, 30]]))
    assert "2 of 48 clips" in found.evidence


def test_pictures(clean: MotionArchive, tmp_path: Path) -> None:
    skeleton = dataclasses.replace(clean.skeleton, up="-y")

    def picture(clip: np.ndarray, i: int) -> np.ndarray:
        return clip[..., :2] * (300, -300) + 400

    meta: dict[str, Any] = {"skeleton": skeleton, "channels": ("x", "y")}
    assert names(rewrite(clean, tmp_path / "px", picture, units="px", **meta)) == []
    [found] = diagnose(rewrite(clean, tmp_path / "m", picture, units="m", **meta))
    assert (found.name, found.severity) == ("scale", "error")
    assert "more likely those of a picture" in found.message
    # people who lie in the picture are no fault, pictures upside down are
    lying = rewrite(clean, tmp_path / "lie", lambda c, i: picture(c, i)[..., ::-1], units="px", **meta)
    assert names(lying) == []
    over = rewrite(clean, tmp_path / "over", lambda c, i: picture(c, i) * (1, -1) + 800, units="px", **meta)
    assert names(over) == ["up direction"]


def test_a_flat_axis(clean: MotionArchive, tmp_path: Path) -> None:
    assert names(rewrite(clean, tmp_path / "a", lambda clip, i: clip * (1, 1, 0) + (0, 0, 2))) == ["flat axis"]


def test_one_point_is_not_flat(clean: MotionArchive, tmp_path: Path) -> None:
    """All coordinates of a single joint are those of all joints; leaving them out would leave nothing."""
    skeleton = layouts.build("point", ["wrist"], [-1])
    assert "flat axis" not in names(rewrite(clean, tmp_path / "a", lambda clip, i: clip[:, :, :1], skeleton=skeleton))


def test_the_wrong_axis_up(clean: MotionArchive, tmp_path: Path) -> None:
    archive = rewrite(
        clean, tmp_path / "a", lambda clip, i: clip[..., [2, 0, 1]], source={"split": "odd-even", "format": "bvh"}
    )
    [found] = diagnose(archive)
    assert (found.name, found.severity) == ("up direction", "error")
    assert "from hips to head is +z" in found.evidence
    assert "--up +z --overwrite" in found.remedy


@pytest.mark.parametrize("layout", ["kinect-v2", "common-15"])
def test_mirrored_recordings(tmp_path: Path, layout: str) -> None:
    # without toes (common-15) the knees tell, where they bend deep enough: there must be squats among the actions
    skeleton = layouts.get(layout)
    clean = simulate(tmp_path / "all", clips=48, actions=24, actors=4, progress=False)

    def turned(factor: tuple[int, int, int]) -> Change:
        return lambda clip, i: convert(clip, clean.skeleton, skeleton) * np.array(factor, dtype=np.float32)

    assert names(rewrite(clean, tmp_path / "a", turned((1, 1, 1)), skeleton=skeleton)) == []
    [found] = diagnose(rewrite(clean, tmp_path / "b", turned((-1, 1, 1)), skeleton=skeleton))
    assert (found.name, found.severity) == ("handedness", "error")
    assert ("feet point" if layout == "kinect-v2" else "knees bend") in found.evidence
    told = dataclasses.replace(skeleton, right_handed=False)
    assert names(rewrite(clean, tmp_path / "c", turned((-1, 1, 1)), skeleton=told)) == []


@pytest.mark.parametrize(("fps", "way"), [(600.0, "faster"), (1.0, "slower")])
def test_an_impossible_frame_rate(clean: MotionArchive, tmp_path: Path, fps: float, way: str) -> None:
    long = rewrite(clean, tmp_path / "long", lambda clip, i: np.concatenate([clip, clip[::-1]] * 4)[:200])
    [found] = diagnose(rewrite(long, tmp_path / "a", fps=fps))
    assert found.name == "frame rate"
    assert f"people move {way} than they can" in found.message


def test_an_unknown_frame_rate_is_a_note(clean: MotionArchive, tmp_path: Path) -> None:
    [found] = diagnose(rewrite(clean, tmp_path / "a", fps=None))
    assert (found.name, found.severity) == ("frame rate", "note")


def test_frames_that_were_repeated(clean: MotionArchive, tmp_path: Path) -> None:
    archive = rewrite(clean, tmp_path / "a", lambda clip, i: clip.repeat(2, axis=0), fps=60.0)
    [found] = diagnose(archive)
    assert (found.name, len(found.clips)) == ("repeated frames", inspection.LISTED)
    assert "50%" in found.evidence or "49%" in found.evidence


def test_joints_that_are_never_there_or_never_move(clean: MotionArchive, tmp_path: Path) -> None:
    def gone(clip: np.ndarray, i: int) -> np.ndarray:
        clip[:, :, 22] = 0
        return clip

    def stuck(clip: np.ndarray, i: int) -> np.ndarray:
        clip[:, :, 7] = clip[:1, :, 7]
        return clip

    def sparse(clip: np.ndarray, i: int) -> np.ndarray:
        hidden = np.random.default_rng(i).random(clip.shape[:3]) < 0.4
        clip[hidden] = 0
        return clip

    [found] = diagnose(rewrite(clean, tmp_path / "gone", gone))
    assert found.name == "missing joints"
    assert found.evidence.startswith(clean.skeleton.joints[22])
    assert after(found) == []
    [found] = diagnose(rewrite(clean, tmp_path / "stuck", stuck))
    assert found.name == "static joints"
    assert found.evidence.startswith(clean.skeleton.joints[7] + ":")
    assert after(found) == []
    [found] = diagnose(rewrite(clean, tmp_path / "sparse", sparse))
    assert found.name == "missing share"
    assert found.evidence.startswith("40%")


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_copies_on_one_side_and_across_the_split(clean: MotionArchive, tmp_path: Path, noise: float) -> None:
    first = clean.clips.row(0, named=True)
    moved = clean.clip(0) + np.random.default_rng(0).normal(0, noise or 1e-12, clean.clip(0).shape).astype(np.float32)
    if noise:
        moved = moved + np.float32(0.5)  # elsewhere in the room
    same = {"label": first["label"], "subject": first["subject"]}
    [found] = diagnose(rewrite(clean, tmp_path / "a", extra=[("copy", moved, same)]))
    assert (found.name, found.severity, set(found.clips)) == ("duplicate clips", "warning", {first["name"], "copy"})
    assert after(found) == []
    other = {**same, "subject": first["subject"] + 1}
    [found] = diagnose(rewrite(clean, tmp_path / "b", extra=[("copy", moved, other)]))
    assert (found.name, found.severity) == ("leaking clips", "error")
    assert found.clips == (f"{first['name']} = copy",)


def test_windows_of_one_recording_on_both_sides(clean: MotionArchive, tmp_path: Path) -> None:
    extra = []
    for i in range(0, 48, 2):
        row, clip = clean.clips.row(i, named=True), clean.clip(i)
        half = len(clip) // 2
        for part, window in enumerate((clip[: half + half // 2], clip[half // 2 :])):
            extra.append((f"w{i}-{part}", window, {"label": row["label"], "subject": row["subject"]}))
    archive = rewrite(clean, tmp_path / "a", lambda clip, i: None, extra=extra, source={"split": "random:0.3@0"})
    found = {f.name: f for f in diagnose(archive)}
    assert set(found) == {"leaking clips", "shared people"}
    assert found["leaking clips"].severity == "error"
    assert names(archive, rule=rule_of(found["leaking clips"])) == ["duplicate clips"]
    by_subject = {f.name for f in diagnose(archive, rule="subjects:1,2")}
    assert by_subject == {"duplicate clips"}


def test_people_on_both_sides_or_unknown(clean: MotionArchive, tmp_path: Path) -> None:
    [found] = diagnose(clean, rule="random:0.3@0")
    assert (found.name, found.severity) == ("shared people", "warning")
    assert "4 people on both sides of random:0.3@0: 1, 2, 3, 4" in found.evidence
    assert (rule_of(found), names(clean, rule="odd-even")) == ("odd-even", [])
    views = rewrite(clean, tmp_path / "v", columns=lambda row: {**row, "camera": 1 + row["repetition"] % 3})
    [found] = [f for f in diagnose(views, rule="nw-ucla") if f.name == "shared people"]
    assert found.remedy.startswith(
        "nothing is to be done where other cameras are asked for, as nw-ucla does; for other"
    )
    nobody = rewrite(clean, tmp_path / "a", columns=lambda row: {**row, "subject": None}, source={})
    [found] = diagnose(nobody)
    assert (found.name, found.severity) == ("unknown people", "note")
    with pytest.raises(ConfigError, match="no split rule"):
        diagnose(clean, rule="by-eye")


def test_classes_that_are_rare_or_on_one_side(clean: MotionArchive, tmp_path: Path) -> None:
    rows = {
        n: (i, r) for i, (n, r) in enumerate(zip(clean.clips["name"], clean.clips.iter_rows(named=True), strict=True))
    }
    odd = [i for i, r in rows.values() if r["label"] == 2 and r["subject"] % 2]
    [found] = diagnose(rewrite(clean, tmp_path / "a", lambda clip, i: None if i in odd else clip))
    assert (found.name, found.severity) == ("classes without train", "warning")
    assert clean.class_names[2] in found.evidence
    even = [i for i, r in rows.values() if r["label"] == 2 and not r["subject"] % 2]
    [found] = diagnose(rewrite(clean, tmp_path / "b", lambda clip, i: None if i in even else clip))
    assert (found.name, found.severity) == ("classes without test", "note")
    label = {i: r["label"] for i, r in rows.values()}
    few = [i for i in label if label[i] == 1][2:]
    extra = [
        (f"more-{i}-{k}", clean.clip(i) * (1 + 0.02 * k), {"label": 0, "subject": clean.clips["subject"][i]})
        for i in label
        for k in (1, 2)
        if label[i] == 0
    ]
    found_names = names(rewrite(clean, tmp_path / "c", lambda clip, i: None if i in few else clip, extra=extra))
    assert "class imbalance" in found_names
    assert set(found_names) <= {"class imbalance", "classes without test", "classes without train"}


def test_short_clips(clean: MotionArchive, tmp_path: Path) -> None:
    [found] = diagnose(rewrite(clean, tmp_path / "a", lambda clip, i: clip[:5] if i < 20 else clip))
    assert (found.name, found.severity) == ("short clips", "warning")
    assert found.evidence.startswith("20 of 48 clips have fewer than 9 frames; the shortest 5")
    assert after(found) == []
    [found] = diagnose(rewrite(clean, tmp_path / "b", lambda clip, i: clip[:5] if i < 2 else clip))
    assert found.severity == "note"


def test_a_single_clip_is_looked_at(clean: MotionArchive, tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=clean.skeleton, fps=30.0) as writer:
        writer.add(1000 * clean.clip(0), name="alone")
    assert [f.name for f in diagnose(MotionArchive.open(tmp_path / "a")) if f.severity == "error"] == ["scale"]


def test_sensors_are_judged_by_what_they_have(tmp_path: Path) -> None:
    simulate(tmp_path / "a", clips=24, actions=3, actors=4, imu=True, progress=False)
    assert names(MotionArchive.open(tmp_path / "a-imu")) == []


@pytest.mark.parametrize(
    ("units", "scale", "still", "meant"),
    [
        ("m/s^2, rad/s", 1.0, True, "g, rad/s"),
        ("g, deg/s", 9.81, True, "m/s^2, deg/s"),
        ("g, deg/s", 1000.0, True, "mg, deg/s"),
        ("g, deg/s", 16384.0, True, "as recorded, deg/s"),  # numbers of a converter
        ("m/s^2, rad/s", 9.81, True, None),
        ("g, deg/s", 1.9, True, None),
        ("m/s^2, rad/s", 0.02, True, None),  # the offset of a sensor at rest, without gravity
        ("m/s^2, rad/s", 1.0, False, None),  # motion without gravity
        ("as recorded", 1.0, True, None),
    ],
)
def test_gravity_shows_a_wrong_unit(tmp_path: Path, units: str, scale: float, still: bool, meant: str | None) -> None:
    clip = np.random.default_rng(0).normal(size=(90, 1, 2, 3)).astype(np.float32)
    clip[:, :, 0] = (clip[:, :, 0] * 0.1 + (0, 0.6, 0.8) if still else clip[:, :, 0] * 0.6) * scale
    clip[:, :, 1] *= 500
    archive = build(tmp_path, {"a": clip}, skeleton=layouts.get("imu-2"), persons=1, units=units)
    found = [f.remedy for f in diagnose(archive, rule="all") if f.name == "gravity"]
    assert found == ([f"state {meant}, and import again"] if meant else [])
    without = [f for f in diagnose(archive, rule="all") if f.name == "no gravity"]
    assert len(without) == (not still)
    assert all("--start none" in f.remedy and f.severity == "warning" for f in without)


def test_one_unit_is_that_of_all_nodes(tmp_path: Path) -> None:
    clip = np.random.default_rng(0).normal(size=(90, 1, 2, 3)).astype(np.float32) * 0.1 + (0, 0.6, 0.8)
    points = layouts.build("two", ["wrist", "ankle"], [-1, -1], kind="sensor")
    apart = build(tmp_path / "apart", {"a": clip}, skeleton=points, persons=1, units="m/s^2, rad/s")
    assert not [f for f in diagnose(apart, rule="all") if f.name == "gravity"]  # which node has which is not known
    archive = build(tmp_path, {"a": clip}, skeleton=points, persons=1, units="m/s^2")
    [found] = [f for f in diagnose(archive, rule="all") if f.name == "gravity"]
    assert found.evidence == "gravity measures 1.01 m/s^2; it is 9.807"
    assert found.message.startswith("the readings are more likely in g: models of other units")


def test_from_the_command_line(
    clean: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.main(["data", "inspect", str(clean.path), "--doctor"]) == 0
    assert "nothing speaks against training" in capsys.readouterr().out
    archive = rewrite(clean, tmp_path / "a", lambda clip, i: clip * 1000)
    assert (
        cli.main(["data", "inspect", str(archive.path), "--split", "random:0.3@0", "--json", str(tmp_path / "j")]) == 0
    )
    said = capsys.readouterr().out
    for words in ("error    scale", "warning  shared people", "evidence: a body measures", "remedy: "):
        assert words in said
    assert max(map(len, said.splitlines())) > 100  # whole lines in a pipe
    written = json.loads((tmp_path / "j").read_text())["doctor"]
    assert [f["name"] for f in written] == ["scale", "shared people"]
    assert cli.main(["data", "inspect", str(archive.path), "--split", "by-eye"]) == 2


CLEAN = {
    "kard": set(),
    "florence3d": {"short clips"},
    "ui_prmd_kinect": set(),
    "utd_mhad": set(),
    "utkinect": {"short clips"},
    "bandai1": {"class imbalance", "unknown people", "classes without test"},  # 30 clips of one class, 1 of another
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", CLEAN)
def test_real_sets_raise_no_false_alarm(shared_data: Path, tmp_path: Path, name: str) -> None:
    with np.load(shared_data / "skeleton" / f"{name}.npz") as whole:
        arrays = dict(whole)
    clips = np.arange(len(arrays["offset"]) - 1)[:: max(1, len(arrays["offset"]) // 500)]  # enough to evaluate by
    parts = [slice(*arrays["offset"][i : i + 2]) for i in clips]
    small = {k: v[clips] for k, v in arrays.items() if k in ("label", "subject", "view", "rep")}
    small |= {k: arrays[k] for k in ("joint_names", "parents", "fps", "class_names", "subject_names", "view_names")}
    lengths = [p.stop - p.start for p in parts]
    small |= {"pos": np.concatenate([arrays["pos"][p] for p in parts]), "offset": np.cumsum([0, *lengths])}
    np.savez(tmp_path / f"{name}.npz", **small)
    archive = formats.import_dataset("npz", tmp_path / f"{name}.npz", tmp_path / "a", progress=False, workers=1)
    found = diagnose(archive)
    assert {f.name for f in found} == CLEAN[name]
    assert not any(f.severity == "error" for f in found)
