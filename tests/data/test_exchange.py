"""Label tracks to other programs and back: recordings, raters, certainty, and nobody's labels lost."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive, Sensor
from motet.data.exchange import export, labelled
from motet.data.formats import import_dataset
from motet.data.skeletons import Skeleton
from motet.data.track_files import WRITERS
from motet.data.tracks import COLUMNS, intervals, table
from tests.data.test_tracks import recordings

NAMES = ("a", "b/c", "b_c")
TEXT = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=8).map(str.strip)


@st.composite
def tracks(draw: st.DrawFn) -> pl.DataFrame:
    """A track of recordings of 4 s by up to three raters."""
    rows = []
    for name in NAMES:
        for rater in draw(st.lists(st.sampled_from([None, "kim", "bo 2", "gait"]), max_size=3, unique=True)):
            edges = sorted(draw(st.sets(st.integers(0, 4000), min_size=2, max_size=6)))
            for start, end in zip(edges[::2], edges[1::2], strict=False):
                certainty = draw(st.none() | st.integers(0, 1000).map(lambda n: n / 1000))
                label = draw(TEXT.filter(bool))
                values = (name, start / 1000, end / 1000, label, rater, certainty)
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return table(rows or [row("a", 0, 1, "walk", "kim")])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return recordings(tmp_path_factory.mktemp("exchange") / "a.motet", NAMES)


@pytest.mark.parametrize("form", sorted(WRITERS))
@settings(max_examples=20)
@given(rows=tracks())
def test_a_track_of_several_raters_comes_back_as_it_was(archive: MotionArchive, form: str, rows: pl.DataFrame) -> None:
    archive.tracks.save("gait", rows)
    folder = archive.path.parent / form
    export(archive, folder, form=form, track="gait")
    assert labelled(archive, folder, "again") == {"again": len(rows)}
    wanted = rows.with_columns(certainty=None) if form == "audacity" else rows
    order = ["recording", "start", "end", "rater"]
    assert archive.tracks["again"].sort(order).rows() == wanted.sort(order).rows()
    for made in (folder, archive.path / "tracks"):
        shutil.rmtree(made)


def row(recording: str, start: float, end: float, label: str, rater: str | None = None) -> dict[str, Any]:
    return {"recording": recording, "start": start, "end": end, "label": label, "rater": rater}


def test_files_of_elan_are_sound(archive: MotionArchive, tmp_path: Path) -> None:
    archive.tracks.save("gait", [row("a", 0, 2, "walk", "kim") | {"certainty": 0.5}, row("a", 1, 3, "sit", "bo")])
    export(archive, tmp_path / "elan", form="elan", track="gait")
    root = ET.parse(tmp_path / "elan" / "a.eaf").getroot()
    ids = [a.attrib["ANNOTATION_ID"] for a in root.iter() if "ANNOTATION_ID" in a.attrib]
    assert len(set(ids)) == len(ids) == 3
    tiers = {t.attrib["TIER_ID"]: t.attrib for t in root.iter("TIER")}
    assert {n: t.get("PARENT_REF") for n, t in tiers.items()} == {
        "gait (kim)": None,
        "gait (kim) certainty": "gait (kim)",
        "gait (bo)": None,
    }
    kinds = {t.attrib["LINGUISTIC_TYPE_ID"]: t.attrib.get("CONSTRAINTS") for t in root.iter("LINGUISTIC_TYPE")}
    assert kinds == {"default-lt": None, "certainty": "Symbolic_Association"}
    assert {t["LINGUISTIC_TYPE_REF"] for t in tiers.values()} == set(kinds)


def test_raters_are_added_to_a_track_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = recordings(tmp_path / "a.motet")
    (tmp_path / "a.txt").write_text("0\t1\twalk\n")
    (tmp_path / "a (bo).txt").write_text("0\t2\tsit\n")
    add = ["data", "label", str(archive.path), str(tmp_path / "a.txt"), "--track", "posture"]
    assert main([*add, "--rater", "kim"]) == 0
    assert labelled(archive, tmp_path / "a (bo).txt", "posture", rater="nobody") == {"posture": 1}
    both = [row("a", 0, 1, "walk", "kim"), row("a", 0, 2, "sit", "bo")]
    assert MotionArchive.open(archive.path).tracks["posture"].equals(table(both))
    capsys.readouterr()
    assert main([*add, "--rater", "kim"]) == 2
    assert "has labels of a by kim already; pass --overwrite" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("0\t1\trun\n")
    assert main([*add, "--rater", "kim", "--overwrite"]) == 0
    assert MotionArchive.open(archive.path).tracks["posture"].sort("rater")["label"].to_list() == ["sit", "run"]


def test_nothing_is_written_where_one_of_several_tracks_is_wrong(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "a.motet")
    (tmp_path / "a.csv").write_text("frame,arm,leg\n" + "0,up,kick\n" * 40)
    assert labelled(archive, tmp_path / "a.csv", "limb") == {"limb arm": 1, "limb leg": 1}
    assert [n for n in archive.tracks if n != "activity"] == ["limb arm", "limb leg"]
    archive.tracks.save("late leg", [row("a", 0, 1, "kick")])
    with pytest.raises(ConfigError, match="'late leg' has labels of a already"):
        labelled(archive, tmp_path / "a.csv", "late")
    assert "late arm" not in archive.tracks
    with pytest.raises(ConfigError, match="has labels of a already"):
        labelled(archive, tmp_path / "a.csv", "limb")
    assert labelled(archive, tmp_path / "a.csv", "arm") == {"arm": 1}
    assert "arm leg" not in archive.tracks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("up\nup\n", "one label a frame needs 40 lines, it has 2"),
        ("recording,from_,until,what_\na,0,1,up\n", "one label a frame needs 40 lines, it has 1"),
        ("x,y\n" + "0.51,-1.5\n" * 40, "column 'x' has 0.51, which is no label"),
        ("recording,start,end,label\n", "has no labels"),
        ("<html>" + "x" * 200_000, "is no file of labels .field larger"),
        ("recording,start,end,label\na,0,1,up,down\n", "line 2: 5 cells under 4 columns"),
    ],
)
def test_what_is_no_file_of_labels_is_refused(tmp_path: Path, text: str, message: str) -> None:
    archive = recordings(tmp_path / "a.motet")
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        labelled(archive, tmp_path / "a.csv", "k")
    assert list(archive.tracks) == ["activity"]


@pytest.mark.parametrize("text", ["up\n" * 40, "mine\n" + "up\n" * 40 + "\n", "label\n" + "up\n" * 39 + "\n"])
def test_one_label_a_frame_may_have_a_header(tmp_path: Path, text: str) -> None:
    archive = recordings(tmp_path / "a.motet")
    (tmp_path / "a.csv").write_text(text)
    assert labelled(archive, tmp_path / "a.csv", "k") == {"k": 1}
    assert set(archive.tracks["k"]["label"]) == {"up"}


def there_and_back(folder: Path) -> tuple[MotionArchive, MotionArchive]:
    """The archive ``a.motet`` of a folder, and what the commands in its export make of it."""
    archive, out = MotionArchive.open(folder / "a.motet"), folder / "out"
    export(archive, out)
    commands = (out / "README.md").read_text().split("```")[1].splitlines()[1:]
    for command in commands:
        assert main([*shlex.split(command.replace(" again ", f" {folder / 'again'} "))][1:]) == 0
    return archive, MotionArchive.open(folder / "again")


def test_what_is_exported_as_csv_comes_back(tmp_path: Path) -> None:
    skeleton = Skeleton("sensor-2", ("acc", "gyr"), (-1, -1), kind="sensor")
    options: dict[str, Any] = {"skeleton": skeleton, "units": "g, deg/s", "class_names": ["sit", "walk"], "fps": 29.97}
    random = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a.motet", **options) as writer:
        for n, label in enumerate([1, None, 0]):
            known = {"subject": 7 - n, "subject_name": f"p{7 - n}", "label": label, "style": "quick"}
            tracks = {"label": ["up"] * 20 + [None] * 10 + ["down"] * 10}
            writer.add(random.normal(size=(40, 2, 3)), name=f"c{n}", tracks=tracks, **known)
    archive, again = there_and_back(tmp_path)
    assert (np.asarray(again.frames) == np.asarray(archive.frames)).all()
    assert (again.fps, again.units, again.class_names) == (archive.fps, archive.units, archive.class_names)
    kept = ["name", "label", "subject", "subject_name", "style"]
    assert again.clips.select(kept).equals(archive.clips.select(kept))
    assert again.tracks["label"].equals(archive.tracks["label"])


@settings(max_examples=10)
@given(rows=tracks())
def test_tracks_come_back_with_the_compact_layout(archive: MotionArchive, rows: pl.DataFrame) -> None:
    archive.tracks.save("gait", rows)
    archive.tracks.save("activity", [row("b/c", 0.25, 2, "sit")])
    out = archive.path.parent / "a.npz"
    export(archive, out, form="npz", overwrite=True)
    again = import_dataset("npz", out, archive.path.parent / "again", progress=False, overwrite=True)
    assert dict(again.tracks)["activity"].equals(archive.tracks["activity"])
    order = ["recording", "start", "end", "rater"]
    assert again.tracks["gait"].sort(order).equals(rows.sort(order))


@settings(max_examples=10)
@given(labels=st.lists(st.none() | TEXT.filter(bool) | st.sampled_from(["=1+1", '"', "up"]), min_size=40, max_size=40))
def test_labels_frame_by_frame_come_back(archive: MotionArchive, labels: list[str | None]) -> None:
    archive.tracks.save("step", [*intervals("a", labels, 10.0), row("b/c", 0.5, 1.0, "up")])
    if "again" in archive.tracks:
        archive.tracks.remove("again")
    out = archive.path.parent / "frames"
    export(archive, out, form="frames", track="step", overwrite=True)
    labelled(archive, out, "again", overwrite=True)
    assert archive.tracks["again"].rows() == archive.tracks["step"].rows()


def test_labels_frame_by_frame_are_one_vector_a_recording(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "a.motet", NAMES)
    command = ["data", "export", str(archive.path), str(tmp_path / "out"), "--form", "frames"]
    assert main(command) == 0
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["a.csv", "b_c-2.csv", "b_c.csv"]
    lines = (tmp_path / "out" / "b_c-2.csv").read_text().splitlines()
    assert (len(lines), lines[0], lines[15], lines[16]) == (41, "frame,time,label", "14,1.4,walk", "15,1.5,")
    archive.tracks.save("gait", [row("a", 0, 2, "walk", "kim")])
    assert main([*command, "--overwrite"]) == 2
    assert main([*command, "--overwrite", "--track", "gait"]) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"interval_clip": np.array([0, 9])}, "'interval_clip' has 9, and there are 1 clip"),
        ({"interval_end": np.array([1.0])}, "array 'interval_end' is missing, or not a value for each"),
        ({"interval_end": np.array([1.0, 99])}, "lies outside the recording, which ends at 2 s"),
    ],
)
def test_intervals_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    arrays: dict[str, Any] = {"pos": np.ones((20, 2, 3)), "offset": np.array([0, 20]), "fps": 10.0}
    arrays |= {"joint_names": np.array(["hip", "head"]), "parents": np.array([-1, 0])}
    arrays |= {f"interval_{n}": np.array(["up", "up"]) for n in ("track", "label")}
    arrays |= {
        "interval_clip": np.zeros(2, int),
        "interval_start": np.array([0.0, 1]),
        "interval_end": np.ones(2) + 0.5,
    }
    np.savez(tmp_path / "a.npz", **{**arrays, "interval_end": np.array([1.0, 2.0]), **change})
    with pytest.raises(DataError, match=words):
        import_dataset("npz", tmp_path / "a.npz", tmp_path / "a", progress=False)


STATES = """Observation id,Subject,Behavior,Behavioral category,Modifiers,Behavior type,Start (s),Stop (s)
a,m1,rear,body,,STATE,0,2
a,m1,sniff,head,left,STATE,1,3
a,m2,rest,body,,STATE,0.5,3
b,m1,rest,body,,STATE,0,1
"""


@pytest.mark.parametrize(
    ("old", "new", "tracks", "each"),
    [
        ("", "", {"k m1 body": 2, "k m1 head": 1, "k m2 body": 1}, "subject and category"),
        ("body", "head", {"k m1 rear": 1, "k m1 rest": 1, "k m1 sniff": 1, "k m2 rest": 1}, "subject and behaviour"),
        ("head,left,STATE,1", "head,left,STATE,2", {"k m1": 3, "k m2": 1}, "subject"),
        ("m2", "m1", {"k rear": 1, "k rest": 2, "k sniff": 1}, "behaviour"),
        (
            "m2,rest,body,",
            "m1,sniff,head,right",
            {"k rear": 1, "k rest": 1, "k sniff left": 1, "k sniff right": 1},
            "m",
        ),
        ("m2,rest,body,,STATE,0.5,3\n", "m1,sniff/paw,,,STATE,3,4\n", {"k body": 2, "k head": 1, "k others": 1}, "cat"),
    ],
)
def test_states_of_boris_that_overlap_are_tracks_of_their_own(
    tmp_path: Path, old: str, new: str, tracks: dict[str, int], each: str
) -> None:
    archive = recordings(tmp_path / "a.motet")
    (tmp_path / "events.csv").write_text(STATES.replace(old, new) if old else STATES)
    with pytest.warns(MotetNote, match=f"states overlap, so there is a track for each .*{each}"):
        assert labelled(archive, tmp_path / "events.csv", "k") == tracks
    assert {n: len(rows) for n, rows in archive.tracks.items() if n != "activity"} == tracks


def test_states_of_boris_that_do_not_overlap_are_one_track(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "a.motet")
    (tmp_path / "events.csv").write_text(
        "\n".join(line for line in STATES.splitlines() if ",m2," not in line and "sniff" not in line)
    )
    assert labelled(archive, tmp_path / "events.csv", "k") == {"k": 2}
    (tmp_path / "events.csv").write_text(STATES + "a,m1,rear,body,,STATE,1,2.5\n")
    with pytest.raises(DataError, match="overlaps 'rear'"):
        labelled(archive, tmp_path / "events.csv", "l")


def test_films_that_last_otherwise_than_their_recordings_are_said(tmp_path: Path) -> None:
    """The frame rate was stated wrongly, and DeepLabCut states none."""
    archive = recordings(tmp_path / "a.motet")
    lasts = archive.tracks.durations["a"]
    head = "Observation id,Subject,Behavior,Behavior type,Start (s),Stop (s),Media duration (s)\n"
    for film, said in ((lasts, False), (1.01 * lasts, False), (1.25 * lasts, True), ("5.0;5.0", False), ("", False)):
        (tmp_path / "events.csv").write_text(f"{head}a,m1,rear,STATE,0,2,{film}\n")
        rate = archive.fps or 0
        match = rf"the film of a lasts .* its frame rate is {rate / 1.25:.4g} instead of {rate:g}, and labels"
        with pytest.warns(MotetWarning, match=match) if said else contextlib.nullcontext():
            labelled(archive, tmp_path / "events.csv", "k", overwrite=True)


@pytest.mark.parametrize("gone", ["", "a,m2,rest,body,,STATE,2.5,3\n"])
def test_subjects_who_are_individuals_have_tracks_of_their_own(tmp_path: Path, gone: str) -> None:
    """Also one alone, and states that overlap nowhere: else both animals would do what one does."""
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("coco-17"), persons=2, fps=20.0) as writer:
        for name in "ab":
            writer.add(np.ones((80, 2, 17, 3)), name=name, individuals="m1, m2")
    archive = MotionArchive.open(tmp_path / "a.motet")
    text = STATES.replace("a,m1,sniff,head,left,STATE,1,3\n", "").replace("0.5,3", "2.5,3").replace(gone, "")
    (tmp_path / "events.csv").write_text(text)
    due = {"k m1": 2} if gone else {"k m1": 2, "k m2": 1}
    with pytest.warns(MotetNote, match="subjects are individuals of the recordings, so there is a track for each"):
        assert labelled(archive, tmp_path / "events.csv", "k") == due
    if gone:
        with pytest.warns(MotetNote, match="subjects are individuals"):
            assert labelled(archive, tmp_path / "events.csv", "own m1") == {"own m1": 2}


def test_a_recording_that_is_named_for_a_table_of_several_is_refused(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "a.motet")
    (tmp_path / "table.csv").write_text("recording,start,end,label\na,0,1,up\nb,1,2,down\n")
    with pytest.raises(ConfigError, match=r"about several recordings \(a, b\), so --recording a would give"):
        labelled(archive, tmp_path / "table.csv", "k", recording="a")
    (tmp_path / "table.csv").write_text("recording,start,end,label\nfilm,0,1,up\n")
    assert labelled(archive, tmp_path / "table.csv", "k", recording="a") == {"k": 1}


def test_a_recording_is_found_by_the_end_of_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("coco-17"), fps=20.0) as writer:
        for name in ("day1/m1", "day1/m2", "day2/m2"):
            writer.add(np.ones((80, 1, 17, 3)), name=name)
    archive = MotionArchive.open(tmp_path / "a.motet")
    (tmp_path / "table.csv").write_text("recording,start,end,label\nm1,0,1,up\n")
    assert main(["data", "label", str(archive.path), str(tmp_path / "table.csv"), "--track", "k"]) == 0
    assert MotionArchive.open(archive.path).tracks["k"]["recording"].to_list() == ["day1/m1"]
    assert "track k has no interval of 2 of 3 recordings: day1/m2, day2/m2" in capsys.readouterr().out
    (tmp_path / "table.csv").write_text("recording,start,end,label\nm2,0,1,up\n")
    with pytest.raises(DataError, match="no recording 'm2'"):
        labelled(archive, tmp_path / "table.csv", "l")
    (tmp_path / "table.csv").write_text("recording,start,end,label\nm1,0,1,up\nm1,1,2,Up\nm7,0,1,up\n")
    with pytest.warns(MotetWarning) as said:  # a table of a whole study
        assert labelled(archive, tmp_path / "table.csv", "l") == {"l": 2}
    assert [str(w.message).partition("table.csv: ")[2] for w in said] == [
        "rows of recordings that the archive does not have are passed over: m7",
        "Up and up differ in case, blanks or _ alone and are different classes; write one name if they are one",
    ]


@pytest.mark.parametrize(
    ("end", "fit"),
    [(70, r" \(they would fit as frames or milliseconds\)"), (3990, r" \(they .* milliseconds\)"), (9e5, "")],
)
def test_times_in_another_unit_are_said(tmp_path: Path, end: float, fit: str) -> None:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("coco-17"), fps=20.0) as writer:
        writer.add(np.ones((80, 1, 17, 3)), name="m1")
    (tmp_path / "table.csv").write_text(f"recording,start,end,label\nm1,2,30,up\nm1,30,{end},up\n")
    with pytest.raises(DataError, match=f"ends at 4 s; correct its times{fit}$"):
        labelled(MotionArchive.open(tmp_path / "a.motet"), tmp_path / "table.csv", "l")


@pytest.mark.parametrize("persons", [1, 3])
@pytest.mark.parametrize("channels", [("x", "y"), ("x", "y", "z")])
def test_people_and_confidences_come_back_from_csv(tmp_path: Path, persons: int, channels: tuple[str, ...]) -> None:
    random, skeleton = np.random.default_rng(0), layouts.get("coco-17")
    kind: dict[str, Any] = {
        "skeleton": skeleton,
        "persons": persons,
        "channels": channels,
        "confidence": True,
        "fps": 25.0,
    }
    with ArchiveWriter(tmp_path / "a.motet", units="px" if len(channels) == 2 else "m", **kind) as writer:
        for n in range(3):
            frames = random.normal(size=(20, persons, 17, len(channels))).astype(np.float32)
            frames[:, min(n, persons - 1)] *= (random.random((20, 17, 1)) < 0.7) if n < 2 else 1
            frames[4:9, -1] = 0
            writer.add(frames, name=f"c{n}", confidence=random.random((20, persons, 17)).astype(np.float32))
    archive, again = there_and_back(tmp_path)
    assert (again.persons, again.channels, again.skeleton.joints) == (persons, channels, skeleton.joints)
    assert (np.asarray(again.frames) == np.asarray(archive.frames)).all()
    assert (np.asarray(again.confidence) == np.asarray(archive.confidence)).all()
    assert again.clips["persons"].equals(archive.clips["persons"])


def there_and_back_as_npz(archive: MotionArchive) -> MotionArchive:
    out = archive.path.parent / "there.npz"
    export(archive, out, form="npz", overwrite=True)
    return import_dataset("npz", out, archive.path.parent / "back", progress=False, overwrite=True)


COLUMN = TEXT.filter(lambda name: name and name.isprintable()) | st.sampled_from(
    ["file", "fps", "view", "a", "a_names", "a_offset", "column_0", "unit", "watch", "watch_fps", "up", "a/b"]
)
CELLS = st.sampled_from(
    [
        st.integers(-(2**63) + 1, 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT | st.sampled_from(["", "=1+1"]),
    ]
)


@settings(max_examples=10)
@given(data=st.data())
def test_further_columns_come_back_with_the_compact_layout(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever they are called, with their kinds and with what is not known."""
    names = data.draw(st.lists(COLUMN, max_size=6, unique=True).map(lambda n: [*n, "subject", "camera", "source"]))
    kinds = {n: st.integers(-2, 5) if n in ("subject", "camera") else data.draw(CELLS) for n in names}
    kinds["source"] = TEXT
    rows = [{n: data.draw(st.none() | kind) for n, kind in kinds.items()} for _ in range(4)]
    path = tmp_path_factory.getbasetemp() / "columns.motet"
    options: dict[str, Any] = {"skeleton": layouts.get("imu-2"), "fps": 10.0, "overwrite": True, "units": "g, deg/s"}
    with ArchiveWriter(path, sensors={"watch": Sensor(layouts.get("imu-2"), 7.0)}, **options) as writer:
        for n, row_ in enumerate(rows):
            writer.add(np.ones((5, 2, 3)), name=f"c{n}", sensors={"watch": np.ones((n, 2, 3))}, **row_)
    archive = MotionArchive.open(path)
    again = there_and_back_as_npz(archive)
    for column in archive.clips.columns:
        if column != "sha256" and archive.clips[column].null_count() < len(rows):
            assert again.clips[column].equals(archive.clips[column]), column
    assert {*again.clips.columns} <= {*archive.clips.columns}


@pytest.mark.parametrize("kind", ["sensor", "body", "made"])
def test_layouts_and_sensors_come_back_with_the_compact_layout(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    nodes = layouts.build("n", ["wrist acc", "ecg"], [-1, -1], up=None, kind="sensor")
    body = replace(layouts.get("kinect-v2"), up="-z", right_handed=False)
    made = layouts.build(
        "tail-3", ["a", "b", "c"], [-1, 0, 1], canonical=["mid_hip", "neck", "c"], up="+x", kind="hand"
    )
    skeleton = {"sensor": nodes, "body": body, "made": made}[kind]
    channels = {"sensor": ("x", "y", "z", "w"), "body": ("x", "y", "z"), "made": ("u", "v")}[kind]
    unit = {"sensor": "g, mV", "body": "mm", "made": "px"}[kind]
    sensors = {
        "heart.1": Sensor(layouts.build("h", ["ecg"], [-1], up=None, kind="sensor"), 128.0, "mV", ("lead",)),
        "left_gyroscope": Sensor(layouts.get("imu-2")),
    }
    options: dict[str, Any] = {"skeleton": skeleton, "fps": 29.97, "units": unit, "channels": channels}
    with ArchiveWriter(tmp_path / "a.motet", sensors=sensors, **options) as writer:
        for n in range(3):
            readings = {"heart.1": random.normal(size=(50 + n, 1, 1))} | (
                {"left_gyroscope": random.normal(size=(9, 2, 3))} if n == 1 else {}
            )
            writer.add(random.normal(size=(20, len(skeleton), len(channels))), name=f"c{n}", sensors=readings)
    archive = MotionArchive.open(tmp_path / "a.motet")
    again = there_and_back_as_npz(archive)
    assert (np.asarray(again.frames) == np.asarray(archive.frames)).all()
    for a, b in [(archive, again), *((archive.sensors[n], again.sensors[n]) for n in sensors)]:
        assert (a.units, a.channels, a.fps) == (b.units, b.channels, b.fps)
        ours, theirs = ({k: v for k, v in s.skeleton.to_dict().items() if k != "name"} for s in (a, b))
        assert ours == theirs
    assert again.sensor_rows("left_gyroscope").tolist() == [-1, 0, -1]
    for name in sensors:
        assert (np.asarray(again.sensors[name].frames) == np.asarray(archive.sensors[name].frames)).all()
    alone = import_dataset("npz", tmp_path / "there.npz", tmp_path / "alone", sensor="heart.1", progress=False)
    assert (alone.units, alone.channels, alone.fps) == ("mV", ("lead",), 128.0)
    assert (np.asarray(alone.frames) == np.asarray(archive.sensors["heart.1"].frames)).all()


def test_a_sensor_called_like_an_array_of_the_compact_layout_is_refused(tmp_path: Path) -> None:
    sensors = {"label": Sensor(layouts.get("imu-2"))}
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), sensors=sensors) as writer:
        writer.add(np.ones((5, 2, 3)), name="c", sensors={"label": np.ones((5, 2, 3))})
    with pytest.raises(ConfigError, match="the sensor 'label' is called like an array of the compact layout"):
        export(MotionArchive.open(tmp_path / "a"), tmp_path / "a.npz", form="npz")
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": np.array("tail")}, "array 'kind' is 'tail'; it must be body, hand or sensor"),
        ({"unit": np.array(["m"])}, r"array 'unit' is <U1 \(1,\), not one text"),
        ({"up": np.array("y")}, "'up' must be one of"),
        ({"right_handed": np.array(1)}, "'right_handed' a truth value"),
        ({"channel_names": np.array(["x", "x", "y"])}, "'channel_names' names 2"),
        ({"kind": np.array("sensor"), "joint_names": np.array(["a", "a"])}, "1 distinct name for 2 nodes"),
        (
            {"s": np.ones((4, 3, 1)), "s_offset": np.array([0, 4]), "s_node_names": np.array(["a"])},
            "1 distinct name for 3",
        ),
    ],
)
def test_facts_of_the_compact_layout_that_do_not_fit_are_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    arrays: dict[str, Any] = {"pos": np.ones((20, 2, 3)), "offset": np.array([0, 20]), "fps": 10.0}
    arrays |= {"joint_names": np.array(["hip", "head"]), "parents": np.array([-1, 0])}
    np.savez(tmp_path / "a.npz", **{**arrays, **change})
    with pytest.raises(DataError, match=words):
        import_dataset("npz", tmp_path / "a.npz", tmp_path / "a", progress=False)


def test_columns_that_need_a_title_keep_apart(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=10.0) as writer:
        writer.add(np.ones((5, 2, 3)), name="c", column_0=1, fps="quick", a_names=2.5, style="slow")
    again = there_and_back_as_npz(MotionArchive.open(tmp_path / "a"))
    assert again.clips.select("column_0", "fps", "a_names", "style").row(0) == (1, "quick", 2.5, "slow")
    with np.load(tmp_path / "there.npz") as file:
        assert (file["column_titles"].tolist(), file["style_names"].tolist()) == (
            ["column_0", "fps", "a_names"],
            ["slow"],
        )
