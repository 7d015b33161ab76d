"""Archives made of archives: what is kept, what is cut, what is refused."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.places import mistaken
from motet.data import layouts
from motet.data.adapt import unit_remedy
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert, merge, relabelled, select, split
from motet.data.exchange import export, labelled
from motet.data.formats import import_dataset
from motet.data.formats._names import NamePattern
from motet.data.simulate import simulate
from motet.data.splits import default_rule
from motet.data.splits import split as parts
from motet.data.stitch import stitch
from motet.data.timing import resampled
from tests.conftest import stick, write_clips
from tests.data.test_tracks import recordings


@pytest.fixture
def archive(tmp_path: Path) -> MotionArchive:
    return recordings(tmp_path / "a.motet")


def test_a_part_is_the_same_clips_with_their_labels(archive: MotionArchive, tmp_path: Path) -> None:
    part = select(archive, tmp_path / "p.motet", drop=("a",))
    assert part.clips["name"].to_list() == ["b"]
    assert part.clips["sha256"][0] == archive.clips["sha256"][1]
    assert part.tracks["activity"].rows() == archive.tracks["activity"].filter(recording="b").rows()
    assert select(archive, tmp_path / "q.motet", where="subject = 0").clips["name"].to_list() == ["a"]


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=stick(), fps=10.0, class_names=["sit", "walk"]) as writer:
        for n in range(2):
            writer.add(np.ones((3 + n, 8, 3)), name=f"c{n}", label=n, subject=n, diagnosis=f"d{n}", camera=n)
    part = select(tmp_path / "a", tmp_path / "b", drop_column=("diagnosis", "subject"))
    assert "diagnosis" not in part.clips.columns
    assert part.clips["subject"].to_list() == [None, None]
    assert (part.clips["camera"].to_list(), part.labels.tolist()) == ([0, 1], [0, 1])
    assert part.class_names == ["sit", "walk"]
    bare = select(tmp_path / "a", tmp_path / "c", drop_column=("label",))
    assert (bare.labels.tolist(), bare.class_names) == ([-1, -1], [])
    for column, said in (
        ("length", "--drop-column length: every clip has one; there are label, "),
        ("diagnose", "no column 'diagnose'; did you mean diagnosis"),
    ):
        with pytest.raises(ConfigError, match=said):
            select(tmp_path / "a", tmp_path / "d", drop_column=(column,))
    assert not (tmp_path / "d").exists()


def test_people_can_be_taken(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("hand-21"), persons=2, fps=10.0) as writer:
        for n in range(3):
            frames = np.ones((4 + n, 2, 21, 3)) * [[[[1]], [[n]]]]  # the first clip shows one hand
            frames[0, 1] = 0
            writer.add(frames, name=f"c{n}")
    second = select(tmp_path / "a", tmp_path / "b", persons=(2,), trim=True)
    assert (second.persons, second.clips["name"].to_list(), second.lengths.tolist()) == (1, ["c1", "c2"], [4, 5])
    assert (second.clip(1) == 2).all()
    swapped = select(tmp_path / "a", tmp_path / "c", persons=(2, 1), without=("z",))
    assert (len(swapped), swapped.persons, len(swapped.channels)) == (3, 2, 2)
    assert (swapped.clip(2)[1:] == [[[2]], [[1]]]).all()
    for wrong in ((0,), (3,), (1, 1)):
        with pytest.raises(ConfigError, match=r"--persons .* has persons 1 to 2, each once"):
            select(tmp_path / "a", tmp_path / "d", persons=wrong)


def test_columns_may_be_called_like_words_of_sql(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=stick(), fps=10.0) as writer:
        for n, group in enumerate(["patient", "group"]):
            writer.add(np.ones((3, 8, 3)), name=f"c{n}", group=group)
    for where, name in (("group = 'patient'", "c0"), ("length > 2 AND group = 'group'", "c1")):
        part = select(tmp_path / "a.motet", tmp_path / f"{name}.motet", where=where)
        assert part.clips["name"].to_list() == [name]


def test_several_raters_are_split_where_they_agree(archive: MotionArchive, tmp_path: Path) -> None:
    times = {"kim": [(0, 2, "up"), (2, 3, "down")], "bo": [(0, 1, "up"), (1, 3, "down")]}
    rows = [
        {"recording": "a", "start": a, "end": b, "label": label, "rater": rater}
        for rater, own in times.items()
        for a, b, label in own
    ]
    archive.tracks.save("posture", rows)
    made = split(archive, tmp_path / "s.motet", track="posture")
    assert made.clips.select("name", "length", "label").rows() == [("a_000000", 10, 1), ("a_000020", 10, 0)]


def test_merge_names_both_archives_of_a_clip(archive: MotionArchive, tmp_path: Path) -> None:
    other = recordings(tmp_path / "b.motet")
    with pytest.raises(DataError, match=r"a\.motet and .*b\.motet each have clips a, b; `.* --drop a b` leaves"):
        merge([archive.path, other.path], tmp_path / "m.motet")


def test_conditions_know_the_name_of_the_class(tmp_path: Path) -> None:
    small = write_clips(tmp_path / "s.motet", clips=8)
    part = select(small, tmp_path / "p.motet", where="class = 'class 2' AND subject < 2")
    assert part.clips["name"].to_list() == ["clip-002"]


@pytest.mark.parametrize("name", ["it's", 'say "go"', "a/b", "two words", "[x]", "$HOME", r"\d+"])
def test_patterns_and_paths_in_messages_can_be_pasted(name: str, tmp_path: Path) -> None:
    """What a shell makes of the message is what was given; a class of any name can be asked for."""
    with ArchiveWriter(tmp_path / "a.motet", skeleton=stick(), fps=10.0, class_names=[name, "b"]) as writer:
        writer.add(np.ones((3, 8, 3)), name="0", label=0)
        writer.add(np.ones((3, 8, 3)), name="1", label=1)
    quoted = name.replace("'", "''")
    assert select(tmp_path / "a.motet", tmp_path / "b.motet", where=f"class = '{quoted}'").clips["name"][0] == "0"
    with pytest.raises(ConfigError) as failed:
        select(tmp_path / "a.motet", tmp_path / "c.motet", where=f"{name} ~")
    assert shlex.split(str(failed.value).replace("--where ", "").partition(" cannot")[0]) == [f"{name} ~"]
    pattern = f"(?P<label>{re.escape(name)})"
    with pytest.raises(ConfigError) as failed:
        NamePattern(pattern, ["never"])
    assert pattern in shlex.split(str(failed.value))
    with pytest.raises(ConfigError) as failed:
        parts(MotionArchive.open(tmp_path / "a.motet"), f"column:{name}=a,b")
    assert f"column:{name}=a,b" in shlex.split(str(failed.value).split(": ")[0])
    (tmp_path / name.replace("/", "_")).mkdir()
    said = mistaken(tmp_path / name.replace("/", "_"), "archive").split("`")[1]
    assert str(tmp_path / name.replace("/", "_")) in shlex.split(said)


def test_empty_ends_are_trimmed_and_labels_move_along(tmp_path: Path) -> None:
    frames = np.ones((30, 8, 3))
    frames[:10], frames[25:] = 0, 0
    with ArchiveWriter(tmp_path / "a.motet", skeleton=stick(), fps=10.0) as writer:
        writer.add(frames, name="a", tracks={"t": ["x"] * 20 + ["y"] * 10})
    cut = select(tmp_path / "a.motet", tmp_path / "b.motet", trim=True)
    assert cut.lengths.tolist() == [15]
    assert cut.tracks["t"].select("start", "end", "label").rows() == [(0.0, 1.0, "x"), (1.0, 1.5, "y")]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"drop": ("zz",)}, ConfigError, "has no clip 'zz'"),
        (
            {"where": "nonsense ="},
            ConfigError,
            r"no SQL condition such as .* \(columns with numbers: length, .*; with words: name, ",
        ),
        ({"where": "subjct = 3"}, ConfigError, r"no column 'subjct'; did you mean subject\? \(columns with numbers: "),
        ({"where": "class = zzz"}, ConfigError, r"no column 'zzz'; words stand in single quotes"),
        ({"where": "label = 'zzz'"}, ConfigError, "the names of label and subject are in class and subject_name"),
        ({}, ConfigError, "nothing says which part of the archive: give --where CONDITION, --keep NAME"),
        ({"where": "subject"}, ConfigError, "is no condition"),
        ({"where": "subject > 99"}, ConfigError, "is true of no clip of .*; classes are"),
    ],
)
def test_a_part_that_cannot_be_made(
    archive: MotionArchive, tmp_path: Path, options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        select(archive, tmp_path / "p.motet", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "p.motet").exists()


def test_archives_are_joined_by_the_names_of_their_classes(tmp_path: Path) -> None:
    for name, classes in (("a", ["sit", "walk"]), ("b", ["walk", "run"])):
        with ArchiveWriter(tmp_path / name, skeleton=stick(), fps=10.0, class_names=classes) as writer:
            for label in (0, 1):
                writer.add(np.ones((5, 8, 3)) + label, name=f"{name}{label}", label=label)
    joined = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert joined.class_names == ["sit", "walk", "run"]
    assert joined.labels.tolist() == [0, 1, 1, 2]
    with pytest.raises(ConfigError, match="a is named twice; name each archive once"):
        merge([tmp_path / "a", tmp_path / "a"], tmp_path / "d")
    with ArchiveWriter(tmp_path / "e", skeleton=stick(), fps=20.0) as writer:
        writer.add(np.ones((5, 8, 3)), name="e")
    for name, joints in (("h1", ["u", "v"]), ("h2", ["v", "u"]), ("h3", ["u", "w"])):
        with ArchiveWriter(tmp_path / name, skeleton=layouts.build("p-2", joints, [-1, -1]), fps=10.0) as writer:
            writer.add(np.ones((5, 2, 3)), name=name)
    for name, said in (("h2", "the joints are in another order"), ("h3", "the second lacks v and has w")):
        with pytest.raises(ConfigError, match=rf"p-2 with 2 joints\) \({said}: import both "):
            merge([tmp_path / "h1", tmp_path / name], tmp_path / "m")
    turned = convert(tmp_path / "a", tmp_path / "turned", up="+z", hand="left").path
    said = r"differ in axes \(\+y up, right-handed and \+z up, left-handed\); .* with --up \+y --hand right"
    with pytest.raises(ConfigError, match=said):
        merge([tmp_path / "a", turned], tmp_path / "m")
    with pytest.raises(ConfigError, match=r"differ in fps \(10.0 and 20.0\); `motet data convert` with --fps 10"):
        merge([tmp_path / "a", tmp_path / "e"], tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.filterwarnings("ignore:.*no built-in layout")
def test_shards_of_an_import_merge_to_the_import(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(7):
        rows = "\n".join(f"{t},{number + t},1,2" for t in range(6))
        (folder / f"r{number}.csv").write_text("time,hip_x,hip_y,hip_z\n" + rows + "\n")
    (folder / "r3.csv").write_text("time,hip_x,hip_y,hip_z\n0,a,1,2\n")
    options: dict[str, Any] = {"on_error": "skip", "progress": False}
    whole = import_dataset("csv", folder, tmp_path / "whole.motet", **options)
    parts = [tmp_path / f"part{i}.motet" for i in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        import_dataset("csv", folder, part, shard=f"{number}/3", **options)
    joined = merge([parts[1], parts[2], parts[0]], tmp_path / "joined.motet")
    assert joined.hash == whole.hash
    assert np.array_equal(joined.frames, whole.frames)
    assert joined.clips.drop("offset").equals(whole.clips.drop("offset"))
    assert joined.source["skipped"] == whole.source["skipped"] != []
    assert (joined.source["files"], joined.source.get("shard")) == (7, None)
    with pytest.raises(ConfigError, match="shard 2/3 is missing among"):
        merge([parts[0], parts[2]], tmp_path / "x.motet")
    with pytest.raises(ConfigError, match="7 files, too few for shard 1/8"):
        import_dataset("csv", folder, tmp_path / "x.motet", shard="1/8", **options)


def test_recordings_are_cut_into_windows_or_at_their_labels(archive: MotionArchive, tmp_path: Path) -> None:
    windows = split(archive, tmp_path / "w.motet", seconds=1.0, track="activity")
    assert windows.lengths.tolist() == [10] * 8
    # walk for 1.5 s, nothing for half a second, then sit
    assert [windows.class_names[i] for i in windows.labels[:4]] == ["walk", "walk", "sit", "sit"]
    bouts = split(archive, tmp_path / "b.motet", track="activity")
    assert bouts.lengths.tolist() == [15, 20, 15, 20]
    assert len(split(archive, tmp_path / "o.motet", seconds=2.0, overlap=0.5)) == 6
    with pytest.raises(ConfigError, match="say how to cut"):
        split(archive, tmp_path / "x.motet")


def test_another_rate_and_unit(archive: MotionArchive, tmp_path: Path) -> None:
    made = convert(archive, tmp_path / "c.motet", fps=5.0, units="mm")
    assert (made.fps, made.units, made.lengths.tolist()) == (5.0, "mm", [20, 20])
    assert made.clip(0).max() == 1000
    assert made.tracks["activity"].rows() == archive.tracks["activity"].rows()
    line = np.arange(1.0, 11).reshape(10, 1, 1)
    line[4] = 0  # absent: it is neither averaged nor filled
    assert np.allclose(resampled(line, 10, 20).ravel()[:12], [1, 1.5, 2, 2.5, 3, 3.5, 4, 0, 0, 6, 6, 6.5])
    with pytest.raises(ConfigError, match="say what to convert"):
        convert(archive, tmp_path / "d.motet")


def test_a_body_and_a_sensor_are_kept_apart(tmp_path: Path) -> None:
    simulate(tmp_path / "a", clips=2, actions=2, actors=2, imu=True, progress=False)
    with pytest.raises(ConfigError, match=r"kind \(kinect-v2 is a body, imu-wrist-hip a sensor\); keep them apart"):
        merge([tmp_path / "a", tmp_path / "a-imu"], tmp_path / "both")


def test_units_of_sensors_and_the_remedy_of_a_merge(tmp_path: Path) -> None:
    for name, units in (("a", "m/s^2, deg/s"), ("b", "g, rad/s"), ("c", "m/s^2"), ("d", "V, deg/s")):
        with ArchiveWriter(tmp_path / name, skeleton=layouts.get("imu-2"), fps=10.0, units=units) as writer:
            writer.add(np.ones((5, 2, 3)), name=name)
    with pytest.raises(ConfigError) as said:
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "x")
    wanted = shlex.split(str(said.value).split("`")[1])[-1]
    made = convert(tmp_path / "b", tmp_path / "y", units=wanted)
    assert made.units == "m/s^2, deg/s"
    assert made.clip(0)[0, 0] == pytest.approx(np.array([[9.80665] * 3, [57.29578] * 3]))
    assert len(merge([tmp_path / "a", tmp_path / "y"], tmp_path / "x")) == 2
    alone = convert(tmp_path / "c", tmp_path / "z", units="g").clip(0)[0, 0]
    assert alone == pytest.approx(np.array([[1 / 9.80665] * 3, [1] * 3]))
    for name in ("c", "d"):
        with pytest.raises(ConfigError, match="import them again in m/s"):
            merge([tmp_path / "a", tmp_path / name], tmp_path / "w")
    with pytest.raises(ConfigError, match=r"'m/s\^2' cannot be converted to 'mm'; known are m/s\^2, g, mg"):
        convert(tmp_path / "c", tmp_path / "w", units="mm")


@pytest.mark.filterwarnings("ignore:.* has no row for 3 of 4 clips")
def test_labels_of_clips_from_a_table(tmp_path: Path) -> None:
    small = write_clips(tmp_path / "s.motet", clips=4)
    for key, ending in (("name", ""), ("recording", ".csv")):
        (tmp_path / "t.csv").write_text(f"{key},label,quality\nclip-001{ending},jump,good\n")
        made = relabelled(small, tmp_path / f"{key}.motet", tmp_path / "t.csv")
        assert [made.class_names[i] for i in made.labels] == ["class 0", "jump", "class 2", "class 3"]
        assert made.clips["quality"].to_list() == [None, "good", None, None]
        assert "recording" not in made.clips.columns
    for file, text in (("t.csv", 'name,"a;b;c"\nclip-001,1\n'), ("t.tsv", "name\ta, b, c\nclip-001\t1\n")):
        (tmp_path / file).write_text(text)
        made = relabelled(small, tmp_path / "marks.motet", tmp_path / file, overwrite=True)
        assert made.clips[made.clips.columns[-1]].to_list() == [None, 1, None, None], "marks in names part no columns"
    (tmp_path / "t.csv").write_text("name,label\nzz,jump\n")
    with pytest.raises(ConfigError, match="names 'zz', which no clip"):
        relabelled(small, tmp_path / "m.motet", tmp_path / "t.csv")


@pytest.mark.filterwarnings("ignore:.* has no row for 3 of 4 clips")
def test_a_table_may_be_of_more_than_the_archive(tmp_path: Path) -> None:
    small = write_clips(tmp_path / "s.motet", clips=4)
    (tmp_path / "t.csv").write_text("Name,label\nelsewhere-7,jump\nclip-001,jump\n")
    with pytest.warns(MotetWarning, match=r"does not have are passed over: elsewhere-7$"):
        made = relabelled(small, tmp_path / "m.motet", tmp_path / "t.csv")
    assert [made.class_names[i] for i in made.labels] == ["class 0", "jump", "class 2", "class 3"]


@pytest.mark.filterwarnings("ignore:.* has no row for")
def test_classes_that_are_written_alike_are_said(tmp_path: Path) -> None:
    small = write_clips(tmp_path / "s.motet", clips=4)
    (tmp_path / "t.csv").write_text("name,label\nclip-000,Sit to stand\nclip-001,sit_to_stand\n")
    with pytest.warns(MotetWarning, match="Sit to stand and sit_to_stand differ in case"):
        relabelled(small, tmp_path / "m.motet", tmp_path / "t.csv")


def test_clips_without_a_row_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, table = write_clips(tmp_path / "s.motet", clips=9), tmp_path / "t.csv"
    table.write_text("name,label\nclip-001,jump\n")
    words = ["data", "label", str(small.path), str(table), "--out", str(tmp_path / "a")]
    assert main(words) == 0
    said, some = capsys.readouterr().err, "clip-000, clip-002, clip-003, clip-004, clip-005 and 3 other clips"
    assert f"t.csv has no row for 8 of 9 clips, which keep what they have: {some}\n" in said
    table.write_text("name,label\n" + "".join(f"{name},jump\n" for name in small.clips["name"]))
    assert main([*words, "--overwrite"]) == 0
    assert "no row" not in capsys.readouterr().err


def test_people_of_a_table_have_names_or_numbers(tmp_path: Path) -> None:
    small, table = write_clips(tmp_path / "s.motet", clips=3), tmp_path / "t.csv"
    table.write_text("name;subject;camera\nclip-000;ben;7\nclip-001;anna;8\nclip-002;ben;7\n")  # as Excel writes
    made = relabelled(small, tmp_path / "a.motet", table)
    assert made.clips.select("subject", "subject_name", "camera").rows() == [
        (2, "ben", 7),
        (1, "anna", 8),
        (2, "ben", 7),
    ]
    table.write_text("name,subject\nclip-000,ben\n")
    with pytest.raises(ConfigError, match="subject holds names, but not of clip 'clip-001', which has a number"):
        relabelled(small, tmp_path / "b.motet", table)


def test_numbers_of_a_table_outlast_a_merge(tmp_path: Path) -> None:
    """They are names where they contradict those of before, as people of one name are one in a merge."""
    named = people(tmp_path / "a", "a", [(1, "anna"), (1, "anna"), (2, "ben")])
    people(tmp_path / "b", "b", [(1, "carl")])
    (tmp_path / "t.csv").write_text("name,subject\na1,7\na2,5\n")
    with pytest.warns(MotetNote, match="no row for 1 of 3 clips, which keep what they have: a0$"):
        relabelled(named, tmp_path / "c", tmp_path / "t.csv")
    made = MotionArchive.open(tmp_path / "c").clips.select("subject", "subject_name").rows()
    assert made == [(1, "anna"), (7, "7"), (5, "ben")]
    merged = merge([tmp_path / "c", tmp_path / "b"], tmp_path / "m")
    assert merged.clips["subject"].n_unique() == 4, "the two of one name stay apart, and the two of one number"


def people(
    path: Path, prefix: str, subjects: list[tuple[int | None, str | None]], source: str | None = None
) -> MotionArchive:
    facts = {} if source is None else {"source": {"path": source}}
    with ArchiveWriter(path, skeleton=stick(), fps=10.0, **facts) as writer:  # type: ignore[arg-type]
        for i, (number, name) in enumerate(subjects):
            named = {} if name is None else {"subject_name": name}
            writer.add(np.full((3, 8, 3), i + 1.0), name=f"{prefix}{i}", subject=number, **named)
    return MotionArchive.open(path)


def test_people_of_several_archives_are_told_apart_by_their_names(tmp_path: Path) -> None:
    """Each import numbers its own people from 1 on."""
    people(tmp_path / "a", "a", [(1, "anna"), (2, "cleo")])
    people(tmp_path / "b", "b", [(1, "ben"), (2, "cleo"), (None, "?")])
    made = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "m")
    numbers = made.clips.select("subject", "subject_name").rows()
    assert numbers == [(1, "anna"), (3, "cleo"), (2, "ben"), (3, "cleo"), (None, "?")]
    people(tmp_path / "c", "c", [(3, "dora")])
    kept = merge([tmp_path / "a", tmp_path / "c"], tmp_path / "n")
    assert kept.clips["subject"].to_list() == [1, 2, 3], "numbers that do not clash stay"


def test_people_without_names_that_may_be_others_are_noted(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    people(tmp_path / "a", "a", [(1, None), (2, None)], "monday")
    people(tmp_path / "b", "b", [(2, None), (3, None)], "tuesday")
    people(tmp_path / "c", "c", [(1, None)], "monday")
    assert not recwarn
    merge([tmp_path / "a", tmp_path / "c"], tmp_path / "m")
    assert not recwarn, "parts of one set"
    with pytest.warns(MotetNote, match=r"1 subject \(2\) of .*a and .*b count as the same people; if they are others"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "n")


def test_labels_along_time_from_a_file_and_back(archive: MotionArchive, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("recording,start,end,label\na,0,1,up\nb,1,2,down\n")
    assert labelled(archive, tmp_path / "t.csv", "posture") == {"posture": 2}
    (tmp_path / "u.csv").write_text("file,start,end,label\na.csv,0,1,up\n")  # the recording by its file
    assert labelled(archive, tmp_path / "u.csv", "by-file") == {"by-file": 1}
    assert archive.tracks["by-file"]["recording"].to_list() == ["a"]
    with pytest.raises(ConfigError, match="has labels of a already; pass --overwrite"):
        labelled(archive, tmp_path / "t.csv", "posture")
    (tmp_path / "late.csv").write_text("recording,start,end,label\na,3,9,up\n")
    with pytest.raises(DataError, match=r"late.csv: the interval 'up' of a from 3 to 9 s lies outside"):
        labelled(archive, tmp_path / "late.csv", "late")
    assert "late" not in archive.tracks
    assert export(archive, tmp_path / "elan", form="elan", track="posture") == 2
    again = recordings(tmp_path / "again.motet")
    for file in sorted((tmp_path / "elan").iterdir()):
        labelled(again, file, "posture")
    assert again.tracks["posture"].select("recording", "start", "end", "label").rows() == [
        ("a", 0.0, 1.0, "up"),
        ("b", 1.0, 2.0, "down"),
    ]


def test_frames_come_back_from_npz(tmp_path: Path) -> None:
    small = write_clips(tmp_path / "s.motet", clips=4)
    assert export(small, tmp_path / "s.npz", form="npz") == 4
    again = import_dataset("npz", tmp_path / "s.npz", tmp_path / "b.motet", progress=False)
    assert again.clips["name"].to_list() == small.clips["name"].to_list()
    assert all(np.array_equal(a, b) for a, b in zip(small, again, strict=True))
    with pytest.raises(ConfigError, match=r"call it s\.npz"):  # `data import npz` reads no file of another name
        export(small, tmp_path / "s", form="npz")


def test_the_remedy_for_another_unit_can_be_pasted() -> None:
    hand = layouts.get("hand-21")
    assert "a picture has no metres" in unit_remedy(hand, "shares of the picture", "m")
    assert unit_remedy(hand, "shares of the picture", "px") == "import them again in px"
    said = unit_remedy(layouts.get("imu-2"), "g, rad/s", "m/s^2, rad/s", Path("my a"), Path("b"))
    assert said == "convert them with `motet data convert 'my a' b --units 'm/s^2, rad/s'`"


def test_the_verbs(archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, out = str(archive.path), str(tmp_path / "o")
    assert main(["data", "select", a, out + "1", "--keep", "a"]) == 0
    assert main(["data", "select", a, out + "2", "--where", "name = 'b'"]) == 0
    assert main(["data", "merge", out + "1", out + "2", out + "3"]) == 0
    assert main(["data", "split", a, out + "4", "--seconds", "1"]) == 0
    assert main(["data", "convert", a, out + "5", "--fps", "20"]) == 0
    assert main(["data", "export", a, out + "6"]) == 0
    head = pl.read_csv(Path(out + "6") / "a.csv")
    assert head.columns[:3] == ["frame", "time", "hip_x"]
    assert head["activity"].to_list() == ["walk"] * 15 + [None] * 5 + ["sit"] * 20
    assert main(["data", "label", a, out + "6"]) == 2
    assert "say where the labels go: --track" in capsys.readouterr().err
    assert main(["data", "merge", a, out + "9"]) == 2
    assert "merge needs at least two archives" in capsys.readouterr().err


def test_clips_are_stitched_to_recordings_of_one_person(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=stick(), fps=10.0, class_names=["sit", "walk"]) as writer:
        for clip in range(6):
            frames = np.ones((20, 8, 3)) * [clip + 1, 1, 2]
            frames[:, 5] = 0
            writer.add(frames, name=f"c{clip}", label=clip % 2, subject=clip // 3)
        writer.add(np.ones((20, 8, 3)), name="unlabelled", subject=0)
    places = [str(tmp_path / "a.motet"), str(tmp_path / "long.motet")]
    assert main(["data", "stitch", *places, "--seconds", "4", "--gap", "0.3"]) == 0
    long = MotionArchive.open(tmp_path / "long.motet")
    # two clips reach four seconds; the third alone would be less than half of a recording and more than a rest
    assert long.clips["subject"].to_list() == [0, 0, 1, 1]
    assert long.lengths.tolist() == [43, 20, 43, 20]
    frames, labels = long.clip(0), long.tracks.frames("labels", 0, ["sit", "walk"])
    assert (labels[20:23] == -1).all()
    assert (labels[:20] >= 0).all()
    assert np.ptp(frames[:, 0, 0, 0]) == 0  # it continues where it was
    assert (frames[:, 0, 5] == 0).all()
    assert (frames[..., :5, 1] == 1).all()
    drawn = [stitch(tmp_path / "a.motet", tmp_path / f"s{seed}.motet", seed=seed) for seed in range(6)]
    assert len({tuple(a.frames[::23, 0, 0, 0]) for a in drawn}) > 1
    with pytest.raises(ConfigError, match="seconds must be positive"):
        stitch(tmp_path / "a.motet", tmp_path / "x.motet", seconds=0)
    with ArchiveWriter(tmp_path / "u.motet", skeleton=stick(), fps=10.0) as writer:
        writer.add(np.ones((20, 8, 3)), name="a", subject=0)
    with pytest.raises(DataError, match="no clip has a label"):
        stitch(tmp_path / "u.motet", tmp_path / "x.motet")
    assert not (tmp_path / "x.motet").exists()


def test_each_person_becomes_a_clip_with_its_own_labels(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(size=(40, 2, 3, 2))
    frames[30:, 1] = 0
    rows = [{"recording": "a", "start": 0.0, "end": 0.5, "label": "groom"}]
    layout, xy = layouts.build("mouse", ["nose", "back", "tail"], [-1, 0, 1]), {"channels": ("x", "y")}
    with ArchiveWriter(
        tmp_path / "two", skeleton=layout, persons=2, fps=30.0, units="px", confidence=True, **xy
    ) as writer:
        for name, who, shown in (("a", "m1, m2", frames), ("b", "m1", frames[:, :1]), ("c", "m1", frames)):
            sure = np.ones(shown.shape[:3])
            writer.add(shown, name=name, confidence=sure, subject=1, individuals=who)
    two = MotionArchive.open(tmp_path / "two")
    for track in ("seen m1", "seen m2", "light"):
        two.tracks.save(track, [{**rows[0], "label": track}])
    each = select(two, tmp_path / "each", apart=True)
    assert each.clips["name"].to_list() == ["a_m1", "a_m2", "b_m1", "c_person1", "c_person2"]  # of c one name for two
    assert each.clips["individual"].to_list() == ["m1", "m2", "m1", "person1", "person2"]
    assert each.clips["recording"].to_list() == ["a", "a", "b", "c", "c"]
    assert each.persons == 1
    np.testing.assert_array_equal(each.clip(1)[:, 0], two.clip(0)[:, 1])
    assert each.clip_confidence(1).shape == (40, 1, 3)
    seen = each.tracks["seen"].select("recording", "label").rows()
    assert sorted(seen) == [("a_m1", "seen m1"), ("a_m2", "seen m2")]
    assert sorted(each.tracks["light"]["recording"]) == ["a_m1", "a_m2"]


def test_names_stay_with_those_whom_they_are_of(tmp_path: Path) -> None:
    frames = np.ones((60, 3, 3, 2))
    frames[:, 1] = 0
    layout, xy = layouts.build("mouse", ["nose", "back", "tail"], [-1, 0, 1]), {"channels": ("x", "y")}
    with ArchiveWriter(tmp_path / "a", skeleton=layout, persons=3, fps=30.0, units="px", **xy) as writer:
        writer.add(frames, name="r", individuals="1, 2, big 1")  # the second one is never seen
        writer.add(frames[:, :1], name="s")
    three = MotionArchive.open(tmp_path / "a")
    for track in ("seen", "seen 1", "on big 1"):
        three.tracks.save(track, [{"recording": "r", "start": 0.0, "end": 1.0, "label": "x"}])
    each = select(three, tmp_path / "each", apart=True)
    assert each.clips["name"].to_list() == ["r_1", "r_big 1", "s_person1"]
    assert {name: each.tracks[name]["recording"].to_list() for name in each.tracks} == {
        "seen": ["r_1", "r_big 1"],
        "seen 1": ["r_1"],
        "on": ["r_big 1"],
    }
    last = select(three, tmp_path / "last", persons=[3, 2])
    assert last.clips["individuals"].to_list() == ["big 1, 2"], "in the order asked for"
    windows = split(split(each, tmp_path / "w", seconds=1), tmp_path / "v", seconds=0.5)
    assert windows.clips["recording"].to_list() == ["r"] * 8 + ["s"] * 4, "not windows of windows"


def test_windows_keep_the_rule_of_their_set(tmp_path: Path) -> None:
    """Those of NTU RGB+D train on its listed people, not on those with odd numbers."""
    with ArchiveWriter(
        tmp_path / "a", skeleton=layouts.get("coco-17"), fps=30.0, source={"split": "subjects:2"}
    ) as writer:
        for subject in (1, 2, 3):
            writer.add(np.ones((90, 17, 3)), name=f"s{subject}", subject=subject)
    windows = split(tmp_path / "a", tmp_path / "b", seconds=1)
    assert default_rule(windows) == "subjects:2"


def test_shares_of_a_frame_become_pixels(tmp_path: Path) -> None:
    """Each axis by its own factor; a score stays what it is."""
    layout = layouts.get("coco-17")
    points = np.random.default_rng(0).uniform(0.1, 1, (5, 1, 17, 3)).astype(np.float32)
    options: dict[str, Any] = {"skeleton": layout, "units": "shares of the picture", "fps": 30.0}
    with ArchiveWriter(tmp_path / "shares", channels=("x", "y", "score"), **options) as writer:
        writer.add(points, name="a")
    made = convert(tmp_path / "shares", tmp_path / "px", scale=(1920, 1080), units="px")
    assert (made.units, made.channels) == ("px", ("x", "y", "score"))
    np.testing.assert_allclose(made.clip(0), points * np.array([1920, 1080, 1]), rtol=1e-6)
    with pytest.raises(ConfigError, match="scale has 3 numbers; it takes one, or one for each of x, y"):
        convert(tmp_path / "shares", tmp_path / "no", scale=(1, 2, 3))
    words = ["data", "convert", str(tmp_path / "shares"), str(tmp_path / "again"), "--scale", "1920", "1080"]
    assert main([*words, "--units", "px", "--quiet"]) == 0
    np.testing.assert_array_equal(MotionArchive.open(tmp_path / "again").clip(0), made.clip(0))


def test_an_import_of_shares_says_how_to_get_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    names = [f"{joint}_{axis}" for joint in layouts.get("coco-17").canonical for axis in "xy"]
    lines = [",".join(names), *[",".join(str(0.01 * (i + 1)) for i in range(len(names)))] * 9]
    (tmp_path / "raw" / "a.csv").write_text("\n".join(lines))
    archive = import_dataset("csv", tmp_path / "raw", tmp_path / "a", fps=30, unit="shares")
    said = " ".join(capsys.readouterr().err.split())
    command = re.findall(r"`motet ([^`]*--units px)` makes pixels", said)[0]
    assert main([*shlex.split(command.replace("PIXELS", str(tmp_path / "px"))), "--quiet"]) == 0
    scaled = MotionArchive.open(tmp_path / "px").clip(0)
    np.testing.assert_allclose(scaled, archive.clip(0) * np.array([1920, 1080]), rtol=1e-6)
