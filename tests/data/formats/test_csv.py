from __future__ import annotations

import contextlib
import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError, MotetNote, MotetWarning
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.doctor import diagnose
from motet.data.formats import csv, import_dataset

LAYOUT = """
name = "pair"
joints = [{ name = "hip", parent = "" }, { name = "left_hand", parent = "hip" }]
"""
HEADER = "clip,frame,time,person,label,subject,hip_x,hip_y,hip_z,left_hand_x,left_hand_y,left_hand_z"
MANY = f"""{HEADER}
a,2,0.04,p,wave,3,7,8,9,10,11,12
a,1,0.00,p,wave,3,1,2,3,4,5,6
a,2,0.04,q,wave,3,1,1,1,1,,1
b,1,0.00,q,bow,4,0.5,0.5,0.5,1,1,1
"""


@pytest.fixture
def layout(tmp_path: Path) -> str:
    path = tmp_path / "pair.toml"
    path.write_text(LAYOUT)
    return str(path)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def load(source: Path, **options: Any) -> MotionArchive:
    where = source.parent / "archive"
    return import_dataset("csv", source, where, progress=False, workers=1, overwrite=True, **options)


def test_many_clips_and_persons_in_one_file(tmp_path: Path, layout: str) -> None:
    archive = load(write(tmp_path, "many.csv", MANY), skeleton=layout)
    assert archive.clips["name"].to_list() == ["many/a", "many/b"]
    assert archive.clips.select("length", "persons", "label", "subject").rows() == [(2, 2, 1, 3), (1, 1, 0, 4)]
    assert (archive.class_names, archive.fps, archive.persons) == (["bow", "wave"], 25.0, 2)
    first = archive.clip(0)
    np.testing.assert_array_equal(first[:, 0], [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]])
    # the second person comes in frame 2; a hand with an empty cell was not seen
    np.testing.assert_array_equal(first[:, 1], [np.zeros((2, 3)), [[1, 1, 1], [0, 0, 0]]])


def test_one_clip_a_file_with_labels_in_the_names(tmp_path: Path) -> None:
    joints = layouts.get("common-15").joints
    header = ",".join(f"{j}:{a}" for j in reversed(joints) for a in "xy")
    rows = "\n".join(",".join(str(100 * r + i) for i in range(30)) for r in range(3))
    for name in ("s1/wave.csv", "s2/bow.csv"):
        write(tmp_path / "in", name, f"{header}\n{rows}\n")
    archive = load(
        tmp_path / "in",
        joints="{joint}:{axis}",
        unit="mm",
        fps=30.0,
        pattern=r"s(?P<subject>\d)/(?P<label>[a-z]+)",
    )
    assert (archive.skeleton.name, archive.channels, archive.units, archive.fps) == ("common-15", ("x", "y"), "m", 30.0)
    assert archive.clips.select("name", "label", "subject").rows() == [("s1/wave", 1, 1), ("s2/bow", 0, 2)]
    np.testing.assert_allclose(archive.clip(0)[1, 0, 14], [0.1, 0.101], rtol=1e-6)


def test_confidence_extra_columns_separator_and_gzip(tmp_path: Path) -> None:
    joints = layouts.get("coco-17").joints
    header = "\t".join(["note", *(f"{j}_{a}" for j in joints for a in "xy"), *(f"{j}_score" for j in joints)])
    path = tmp_path / "pose.tsv.gz"
    cells = "\t".join([" fine ", *["5"] * 34, *["0.5"] * 17])
    path.write_bytes(gzip.compress(f"{header}\n{cells}\n".encode()))
    archive = load(path, confidence="{joint}_score", columns=("note",), unit="px")
    assert (archive.units, archive.clips["note"].to_list(), archive.clips["name"][0]) == ("px", ["fine"], "pose")
    certain = archive.clip_confidence(0)
    assert certain is not None
    np.testing.assert_array_equal(certain, np.full((1, 1, 17), 0.5))


def test_canonical_names_and_quotes(tmp_path: Path, layout: str) -> None:
    text = '"hip_x",hip_y,hip_z,left_hand_x,left_hand_y,left_hand_z\n"1",2,3, 4 ,5,"6"\n\n1,2,3,4,5,6\n'
    archive = load(write(tmp_path, "a.csv", text), skeleton=layout)
    np.testing.assert_array_equal(archive.clip(0)[0, 0], [[1, 2, 3], [4, 5, 6]])
    assert archive.lengths.tolist() == [2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("7,8,9", "7,x,9"), "line 2, column hip_y: 'x' is no number"),
        (("0.5,0.5,0.5", "0.5,inf,0.5"), "line 5, column hip_y"),
        (("7,8,9", "7,8"), "line 2: 11 cells, the header has 12"),
        (("a,1,0.00,p", "a,2,0.00,p"), "line 3: a second row with the same frame and time and person"),
        (("a,1,0.00,p", "a,,0.00,p"), "line 3: column frame is empty"),
        (("a,1,0.00,p", ",1,0.00,p"), "line 3: column clip is empty"),
        (("q,wave", "q,0.5"), "line 4, column label: it changes within a clip; tell the clips apart with --clip"),
        (("p,wave,3,7", "p,wave,3.5,7"), "line 2, column subject: 3.5 is no whole number"),
        (("hip_x", "frame"), "line 1: two columns are called 'frame'"),
        (("left_hand_z", "left_hand_w"), "line 1: joint left_hand has no column for z"),
        (("left_hand_x,left_hand_y,left_hand_z", "u,v,w"), "no columns for left_hand"),
        (("7,8,9", '7,"8,9'), "line 2"),
        (("7,8,9", "7,\0,9"), "zero byte"),
        (("7,8,9", "7,1e300,9"), "frame 1"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path: Path, layout: str, change: tuple[str, str], words: str) -> None:
    assert change[0] in MANY
    with pytest.raises(DataError) as caught:
        load(write(tmp_path, "many.csv", MANY.replace(*change, 1)), skeleton=layout)
    assert words in str(caught.value)
    assert "many" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"joints": "{joint}"}, "must hold"),
        ({"joints": "{joint}.{axis}"}, "no column looks like"),
        ({"clip": "trial"}, "'trial'"),
        ({"columns": ("mood",)}, "'mood'"),
        ({"confidence": "{joint}_c"}, "'hip_c'"),
        ({"confidence": "c"}, "must hold"),
        ({"separator": ";;"}, "one character"),
        ({"frame": "label"}, "no number"),
        ({"pattern": "(?P<label>"}, "no regular expression"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, layout: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        load(write(tmp_path, "many.csv", MANY), **{"skeleton": layout, **options})
    assert words in str(caught.value)


COCO = layouts.get("coco-17").joints


def coco(*, without: str = "", more: str = "", separator: str = ",") -> str:
    names = [f"{j}_{a}" for j in (*COCO, *filter(None, [more])) if j != without for a in "xyz"]
    return "\n".join(separator.join(row) for row in (names, *[["1"] * len(names)] * 3))


def test_another_separator_is_seen(tmp_path: Path) -> None:
    for separator in (";", "|", "\t"):
        assert load(write(tmp_path, "a.csv", coco(separator=separator))).skeleton.name == "coco-17"
    with pytest.raises(DataError, match="they seem to be parted by ';': pass --separator ';'"):
        load(write(tmp_path, "a.csv", coco(separator=";")), separator=",")


def test_joints_of_no_layout_are_points_without_bones(tmp_path: Path) -> None:
    def noted(text: str) -> tuple[str, MotionArchive]:
        with pytest.warns(MotetNote) as caught:
            archive = load(write(tmp_path, "a.csv", text))
        return str(caught[0].message), archive

    said, archive = noted(coco(without="right_ankle"))
    assert "compared with coco-17 the table lacks only right_ankle; state bones" in said
    assert (archive.skeleton.bones, len(archive.skeleton)) == ((), 16)
    assert "compared with coco-17 the table has tail beyond it; state bones" in noted(coco(more="tail"))[0]
    said, archive = noted("a.x,a.y,b.x,b.y\n1,2,3,4\n")
    assert "compared with" not in said
    assert archive.skeleton.joints == ("a", "b")
    np.testing.assert_array_equal(archive.clip(0)[0, 0], [[1, 2], [3, 4]])


@pytest.mark.parametrize("form", ["{j} {a}", "{a}_{j}", "{j}{A}", "{j}:{a}"])
def test_usual_names_of_columns_are_found(tmp_path: Path, form: str) -> None:
    names = [form.format(j=j, a=a, A=a.upper()) for j in COCO for a in "xyz"]
    text = f"{','.join(names)}\n{','.join(map(str, range(len(names))))}\n"
    archive = load(write(tmp_path, "a.csv", text))
    assert archive.skeleton.joints == COCO
    np.testing.assert_array_equal(archive.clip(0).ravel(), np.arange(51))


def test_names_of_people_are_numbered_and_kept(tmp_path: Path, layout: str) -> None:
    rows = MANY.splitlines()
    place = rows[0].split(",").index("subject")

    def named(*names: str) -> str:
        cells = [row.split(",") for row in rows[1:]]
        clips = list(dict.fromkeys(c[0] for c in cells))
        for c in cells:
            c[place] = names[clips.index(c[0])]
        return "\n".join([rows[0], *(",".join(c) for c in cells)])

    archive = load(write(tmp_path, "a.csv", named("bert", "anna")), skeleton=layout)
    assert archive.clips["subject"].to_list() == [2, 1]
    assert archive.clips["subject_name"].to_list() == ["bert", "anna"]
    archive = load(write(tmp_path, "a.csv", named("P07", "P03")), skeleton=layout)
    assert archive.clips["subject"].to_list() == [7, 3]
    numbers = load(write(tmp_path, "a.csv", named("7", "3")), skeleton=layout)
    assert numbers.clips["subject"].to_list() == [7, 3]
    assert "subject_name" not in numbers.clips.columns
    with pytest.raises(DataError, match="'anna' is no number; write numbers throughout, or names throughout"):
        load(write(tmp_path, "a.csv", named("7", "anna")), skeleton=layout)


def test_a_broken_file_can_be_skipped(tmp_path: Path, layout: str) -> None:
    write(tmp_path / "in", "a.csv", HEADER)
    write(tmp_path / "in", "b.csv", MANY)
    write(tmp_path / "in", "c.csv", MANY.replace("7,8,9", "7,x,9"))
    archive = load(tmp_path / "in", skeleton=layout, on_error="skip")
    assert archive.clips["name"].to_list() == ["b/a", "b/b"]
    assert [s["file"] for s in archive.source["skipped"]] == ["a.csv", "c.csv"]


def test_what_the_first_look_finds_can_be_skipped(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", coco())
    write(tmp_path / "in", "b.csv", coco().replace("_z", "_w"))
    write(tmp_path / "in", "c.csv", f"time,{coco()}".replace("\n1,", "\nnoon,1,"))
    with pytest.raises(DataError, match=r"b\.csv holds x, y of 'coco-17', .* x, y, z of 'coco-17'.*--on-error skip"):
        load(tmp_path / "in")
    with pytest.raises(DataError, match=r"2 files or clips .*b\.csv.*c\.csv, column time, row 1: 'noon'"):
        load(tmp_path / "in")
    archive = load(tmp_path / "in", on_error="skip")
    assert (archive.clips["name"].to_list(), archive.fps) == (["a"], None)
    assert [s["file"] for s in archive.source["skipped"]] == ["b.csv", "c.csv"]


def test_persons_need_frames(tmp_path: Path, layout: str) -> None:
    text = MANY.replace("frame", "f").replace("time", "u")
    with pytest.raises(DataError, match="the frame or the time is needed"):
        load(write(tmp_path, "a.csv", text), skeleton=layout)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_only_motet_errors_escape(tmp_path: Path, layout: str, data: st.DataObject) -> None:
    raw = bytearray(MANY.encode())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        piece = st.binary(max_size=6) | st.sampled_from(
            [b'"', b",", b"\n", b"\r", b'""', b",\n", b"1e999", b"-", b"\t"]
        )
        raw[at : at + data.draw(st.integers(0, 12))] = data.draw(piece)
    path = tmp_path / "fuzz.csv"
    path.write_bytes(bytes(raw))
    options = csv.Options(skeleton=layout)
    with contextlib.suppress(MotetError), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MotetWarning)
        for unit in csv.discover(path, options).units:
            csv.read(unit, options)


def test_units_of_sensors_are_stated_or_unknown(tmp_path: Path) -> None:
    header = ",".join(f"{n}_{a}" for n in ("acc", "gyr") for a in "xyz")
    path = write(tmp_path, "a.csv", f"{header}\n" + "1,2,3,4,5,6\n" * 3)
    with pytest.warns(MotetNote, match="unit of acc, gyr is unknown.* --unit 'g, deg/s'"):
        archive = load(path, fps=50.0)
    assert archive.units == "as recorded"
    assert [f.message for f in diagnose(archive, rule="all") if "unit" in f.message]
    assert load(path, unit="g,°/s", fps=50.0).units == "g, deg/s"
    with pytest.warns(MotetNote, match="no column holds stamps, so the rate of the readings is unknown"):
        assert load(path, unit="g, dps").fps is None
    with pytest.warns(MotetNote, match="the unit g says nothing of gyr; .* e.g. --unit 'g, deg/s'"):
        assert load(path, unit="g", fps=50.0).units == "g"
    with pytest.raises(ConfigError, match=r"--unit furlong: 'furlong' is no unit of a sensor; known: m/s\^2, g"):
        load(path, unit="furlong", fps=50.0)
    with pytest.raises(ConfigError, match=r"gives 3 units for 2 nodes \(acc, gyr\); give 1 or 2"):
        load(path, unit="g, deg/s, uT", fps=50.0)
    with pytest.raises(ConfigError, match=r"--unit is furlong; of bodies and hands it is m, "):
        load(path, unit="furlong", kind="body")


PLACES = "a_hip_x,a_hip_y,a_hand_x,a_hand_y,b 2_hip_x,b 2_hip_y,b 2_hand_x,b 2_hand_y"
WIDE = f"""frame,{PLACES},a_hip_p,a_hand_p,b 2_hip_p,b 2_hand_p
0,1,2,3,4,5,6,7,8,.1,.2,.3,.4
1,1,2,,4,,,7,8,.5,.6,.7,.8
"""


@pytest.mark.filterwarnings("ignore:.*no built-in layout")
def test_several_persons_in_a_row(tmp_path: Path) -> None:
    source = write(tmp_path, "a.csv", WIDE)
    options = {"joints": "{person}_{joint}_{axis}", "unit": "px", "fps": 10.0}
    archive = load(source, confidence="{person}_{joint}_p", **options)
    assert (archive.persons, archive.skeleton.joints) == (2, ("hip", "hand"))
    assert archive.clip(0).tolist() == [[[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[[1, 2], [0, 0]], [[0, 0], [7, 8]]]]
    certain = archive.clip_confidence(0)
    assert certain is not None
    np.testing.assert_allclose(certain, [[[0.1, 0.2], [0.3, 0.4]], [[0.5, 0.6], [0.7, 0.8]]])
    assert "2 persons in a row (a, b 2)" in archive.source["columns"]
    with pytest.raises(ConfigError, match=r"must hold {joint} and {person} once"):
        load(source, confidence="{joint}_p", **options)
    with pytest.raises(DataError, match="no columns for hand of person b 2 of the layout"):
        load(write(tmp_path, "b.csv", WIDE.replace("b 2_hand_", "b 2_paw_")), **options)
    with pytest.raises(ConfigError, match='column person one in each; pass --person ""'):
        load(
            write(
                tmp_path, "c.csv", WIDE.replace("frame", "frame,person").replace("\n0", "\n0,p").replace("\n1", "\n1,p")
            ),
            **options,
        )


def test_what_holds_of_every_file_is_said_once(tmp_path: Path) -> None:
    for name in "abc":
        rows = [f"{33 * t},{t},0,1" for t in range(9)]
        write(tmp_path / "in", f"{name}.csv", "\n".join(["time,tail_x,tail_y,tail_z", *rows]))
    with pytest.warns(MotetNote) as caught:
        load(tmp_path / "in")
    said = [str(w.message) for w in caught]
    assert len(said) == 2
    assert "a.csv, line 1: no built-in layout" in said[0]
    assert "are taken for milliseconds" in said[1]
    assert all(text.endswith(" (the same of 2 more)") for text in said)
