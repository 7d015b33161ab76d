"""What the columns of a table are taken for, and how that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import pasted
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.convert import convert
from motet.data.formats import import_dataset


def load(folder: Path, text: str, **options: Any) -> MotionArchive:
    (folder / "a.csv").write_text(text)
    return import_dataset("csv", folder / "a.csv", folder / "a.motet", progress=False, overwrite=True, **options)


def rows(header: str, first: list[str], columns: int = 3) -> str:
    """A table whose further cells are 1, 2, 3, … row by row."""
    lines = [f"{cell}," + ",".join(str(columns * i + c + 1) for c in range(columns)) for i, cell in enumerate(first)]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize("name", ["", "index", "Unnamed: 0"])
def test_the_index_of_pandas_is_numbers_of_frames(tmp_path: Path, name: str) -> None:
    numbers = [str(n) for n in (3, 4, 5, 8, 9, 10, 11)]
    text = rows(f"{name},acc_x,acc_y,acc_z", numbers)
    archive = load(tmp_path, text, fps=50.0, unit="g")
    assert archive.lengths.tolist() == [9]
    assert (archive.clip(0)[:, 0, 0, 0] > 0).tolist() == [True] * 3 + [False] * 2 + [True] * 4
    assert "frame in" in archive.source["columns"]
    assert load(tmp_path, text, fps=50.0, unit="g", frame="").lengths.tolist() == [7]
    stamped = rows(f"{name},t,acc_x,acc_y,acc_z", [f"{n},{i / 50}" for i, n in enumerate(numbers)])
    assert load(tmp_path, stamped, unit="g").lengths.tolist() == [7], "stamps go before the index"


@pytest.mark.parametrize(
    "cells", [[f"2024-01-01 10:00:0{i / 10}" for i in (0, 1, 2, 5, 6)], [f"{i / 10}" for i in (0, 1, 2, 5, 6)]]
)
def test_an_index_of_times_is_time(tmp_path: Path, cells: list[str]) -> None:
    archive = load(tmp_path, rows(",acc_x,acc_y,acc_z", cells), unit="g")
    assert (archive.fps, archive.lengths.tolist()) == (10.0, [7])
    assert "time in the column without a name" in archive.source["columns"]


@pytest.mark.parametrize("name", ["Zeit [s]", "Temps (s)", "tiempo_s", "Tempo"])
def test_stamps_may_be_called_in_another_language(tmp_path: Path, name: str) -> None:
    archive = load(tmp_path, rows(f"{name},acc_x,acc_y,acc_z", [f"{n / 100}" for n in range(9)]), unit="g")
    assert (archive.fps, archive.lengths.tolist()) == (100.0, [9])


@pytest.mark.parametrize("cells", [list("0120123"), list("3210456")])
def test_an_index_that_does_not_rise_is_said_and_left(tmp_path: Path, cells: list[str]) -> None:
    with pytest.warns(MotetNote, match="column without a name does not rise within a clip, so rows are taken in their"):
        archive = load(tmp_path, rows(",acc_x,acc_y,acc_z", cells), unit="g", fps=50.0)
    np.testing.assert_array_equal(archive.clip(0)[:, 0, 0, 0], np.arange(7) * 3 + 1)
    assert "not read: the column without a name" in archive.source["columns"]
    both = rows(",clip,acc_x,acc_y,acc_z", [f"{c},{'ab'[i > 2]}" for i, c in enumerate("0120123")])
    assert load(tmp_path, both, unit="g", fps=50.0).lengths.tolist() == [3, 4], "it may begin again with a clip"


@pytest.mark.parametrize("cells", [["left", "right"], ["", "1"]])
def test_an_index_of_words_is_left(tmp_path: Path, cells: list[str], recwarn: pytest.WarningsRecorder) -> None:
    assert load(tmp_path, rows(",acc_x,acc_y,acc_z", cells), unit="g").lengths.tolist() == [2]


@pytest.mark.parametrize(
    ("nodes", "kind", "names"),
    [
        (("acc_{}", "gyr_{}"), "sensor", ("acc", "gyr")),
        (("left_Accelerometer_{}",), "sensor", ("left_Accelerometer",)),
        (("a{}", "g{}", "m{}"), "sensor", ("acc", "gyr", "mag")),
        (("wrist_{}", "hip_{}"), "body", ("wrist", "hip")),
        (("acc_{}", "wrist_{}"), "body", ("acc", "wrist")),
        (("{}",), "sensor", ("sensor",)),
        (("quat_{}", "mag_{}"), "sensor", ("quat", "mag")),
    ],
)
@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
def test_names_say_whether_columns_are_readings(
    tmp_path: Path, nodes: tuple[str, ...], kind: str, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    header = ",".join(["temp", *(node.format(axis) for node in nodes for axis in "xyz")])
    text = rows(header, ["20", "21", "22"], 3 * len(nodes))
    archive = load(tmp_path, text)
    assert (archive.skeleton.kind, archive.skeleton.joints) == (kind, names)
    other = {"sensor": "body", "body": "sensor"}[kind]
    assert load(tmp_path, text, kind=other).skeleton.kind == other
    assert main(["data", "import", "csv", str(tmp_path / "a.csv"), str(tmp_path / "b"), "--fps", "50"]) == 0
    what = {"sensor": "readings of a sensor", "body": "joints of a body"}[kind]
    said = f"columns: {', '.join(names)} (x, y, z) are {what} (--kind {other} if they are not); not read: temp"
    assert capsys.readouterr().out.splitlines()[-1] == said


@pytest.mark.parametrize("other", ["activity", "battery", "accuracy,quality,humidity"])
@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
def test_a_word_that_ends_like_an_axis_is_no_joint(tmp_path: Path, other: str) -> None:
    """``activity`` next to ``ax ay az`` made a body of them."""
    words = other.count(",") + 1
    archive = load(tmp_path, rows(f"ax,ay,az,{other}", ["1,2,3", "4,5,6"], words), fps=50.0)
    assert (archive.skeleton.kind, archive.skeleton.joints) == ("sensor", ("acc",))
    archive = load(tmp_path, rows(f"xacc,yacc,zacc,{other}", ["1,2,3", "4,5,6"], words), fps=50.0)
    assert archive.skeleton.joints == ("acc",), "words do not outvote another form"
    with pytest.raises(DataError, match="no column looks like"):
        load(tmp_path, rows(f"time,{other}", ["0", "1"], words))


@pytest.mark.parametrize(
    "above", ["# device: X\n# 2024-01-02\n", "sep=,\n", "--- Data File of a device at 50 Hz ---\nStart 10:00,x\n\n"]
)
def test_what_devices_write_above_a_table_is_not_read(tmp_path: Path, above: str) -> None:
    plain = rows("time,acc_x,acc_y,acc_z", ["0.00", "0.02", "0.04"])
    with pytest.warns(MotetNote, match=f"the table begins at line {above.count(chr(10)) + 1}; what is above is not"):
        archive = load(tmp_path, above + plain, unit="g")
    assert (archive.fps, archive.clip(0)[:, 0, 0, 0].tolist()) == (50.0, [1, 4, 7])
    with pytest.raises(DataError, match="line 3: 3 cells, the header has 4"):  # a damaged table stays one
        load(tmp_path, "time,acc_x,acc_y,acc_z\n0,1,2,3\n1,2,3\n", unit="g")
    with pytest.raises(DataError, match="line 2: 3 cells, the header has 2"):  # and numbers are no header
        load(tmp_path, "acc_x,acc_y\n1,2,3\n4,5,6\n", unit="g")


def test_commas_in_cells_are_no_table_below_another(tmp_path: Path) -> None:
    text = "label;acc_x;acc_y;acc_z\n" + "walk, fast, up, on;1;2;3\n" * 3
    assert load(tmp_path, text, unit="g", fps=50.0, label="label").class_names == ["walk, fast, up, on"]


@pytest.mark.parametrize("column", ["user", "userID", "Participant_ID", "subject id"])
def test_a_column_of_people_is_pointed_at(tmp_path: Path, column: str) -> None:
    text = f"time,acc_x,acc_y,acc_z,{column}\n0.00,1,2,3,7\n0.02,4,5,6,7\n"
    said = load(tmp_path, text, unit="g").source["columns"]
    assert said.endswith(f"not read: {column}; to read who it is: --subject {pasted(column)}")

    assert "who it is" not in load(tmp_path, text, unit="g", subject=column).source["columns"]
    both = text.replace(column, f"{column},subject").replace(",7\n", ",7,7\n")
    assert "who it is" not in load(tmp_path, both, unit="g").source["columns"]


def test_a_column_of_the_side_of_a_sensor_is_pointed_at(tmp_path: Path) -> None:
    text = "time,acc_x,acc_y,acc_z,side\n0.00,1,2,3,left\n0.02,4,5,6,left\n"
    said = load(tmp_path, text, unit="g").source["columns"]
    assert said.endswith("not read: side; to read on which side it was worn: --columns side")
    read = load(tmp_path, text, unit="g", columns=["side"])
    assert "which side" not in read.source["columns"]
    assert read.clips["side"].to_list() == ["left"]


@pytest.mark.filterwarnings("ignore:the unit m?g says nothing of Gyroscope")
@pytest.mark.parametrize("units", [("m/s²", "deg/s"), ("g", "g")])
def test_units_of_readings_are_read_from_the_names_of_columns(tmp_path: Path, units: tuple[str, str]) -> None:
    named = [f"{n} {axis} {u}" for n, u in zip(("Acceleration", "Gyroscope"), units, strict=True) for axis in "XYZ"]
    named = [f"{n.rsplit(' ', 1)[0]} ({n.rsplit(' ', 1)[1]})" for n in named]
    archive = load(tmp_path, rows("Time (s)," + ",".join(named), ["0.00", "0.02", "0.04"], 6))
    assert archive.skeleton.joints == ("Acceleration", "Gyroscope")
    assert archive.units == {"m/s²": "m/s^2, deg/s", "g": "g"}[units[0]]
    np.testing.assert_array_equal(archive.clip(0)[1, 0], [[7, 8, 9], [10, 11, 12]])
    text = rows("Time (s)," + ",".join(named), ["0.00", "0.02"], 6)
    assert load(tmp_path, text, unit="mg").units == "mg", "--unit goes before"


@pytest.mark.parametrize(
    ("header", "joints", "unit"),
    [
        ("x-axis (g),y-axis (g),z-axis (g)", ("acc",), "g"),
        ("x (d/s),y (d/s),z (d/s)", ("gyr",), "deg/s"),
        ("X axis,Y axis,Z axis", ("sensor",), "as recorded"),
        ("Euler_X,Euler_Y,Euler_Z,Acc_X,Acc_Y,Acc_Z", ("Euler", "Acc"), "as recorded"),
        ("nose_x (mm),nose_y (mm),nose_z (mm)", ("nose",), "m"),
    ],
)
@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
def test_columns_as_devices_call_them(tmp_path: Path, header: str, joints: tuple[str, ...], unit: str) -> None:
    archive = load(tmp_path, rows(f"elapsed (s),{header}", ["0.00", "0.02", "0.04"], header.count(",") + 1))
    assert (archive.skeleton.joints, archive.units, archive.fps) == (joints, unit, 50.0)
    assert archive.clip(0)[1, 0, 0, 0] == np.float32((header.count(",") + 2) / (1000 if unit == "m" else 1))


def test_files_of_other_units_or_sensors_are_told_how_to_come_together(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for name, header in (("a", "acc_x (g),acc_y (g),acc_z (g)"), ("b", "acc_x (m/s^2),acc_y (m/s^2),acc_z (m/s^2)")):
        (tmp_path / "all" / f"{name}.csv").write_text(rows(f"time,{header}", ["0", "0.5"]))
    said = r"of 'sensor-1' in m/s\^2, the files before it x, y, z of 'sensor-1' in g.*--layout inertial` each and"
    with pytest.raises(DataError, match=said):
        import_dataset("csv", tmp_path / "all", tmp_path / "a.motet", progress=False)


FINGERS = ("thumb", "index", "middle", "ring", "pinky")
MEDIAPIPE = ["wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"] + [
    f"{finger}_{joint}"
    for finger in ("index_finger", "middle_finger", "ring_finger", "pinky")
    for joint in ("mcp", "pip", "dip", "tip")
]
REALSENSE = ["wrist", "palm"] + [
    f"{finger.capitalize()}{joint}" for finger in FINGERS for joint in ("Base", "First", "Second", "Tip")
]
NUMBERS = ["Wrist", *(f"{finger}{n}" for finger in ("thumb", "index", "middle", "ring", "little") for n in "1234")]
OPENXR = [
    *("palm", "wrist", "thumb_metacarpal", "thumb_proximal", "thumb_distal", "thumb_tip"),
    *(
        f"{finger}_{joint}"
        for finger in ("index", "middle", "ring", "little")
        for joint in ("metacarpal", "proximal", "intermediate", "distal", "tip")
    ),
]


def hand_table(joints: list[str], *sides: str) -> str:
    columns = [f"{side}{joint}_{axis}" for side in sides or ("",) for joint in joints for axis in "xyz"]
    return rows("frame," + ",".join(columns), ["0", "1"], len(columns))


@pytest.mark.parametrize(
    ("joints", "layout"),
    [(MEDIAPIPE, "hand-21"), ([n.upper() for n in MEDIAPIPE], "hand-21"), (NUMBERS, "hand-21"), (REALSENSE, "hand-22")],
)
def test_a_hand_is_known_by_any_usual_names(tmp_path: Path, joints: list[str], layout: str) -> None:
    turned = joints[::-1]  # the order of the columns does not matter
    archive = load(tmp_path, hand_table(turned), confidence="{joint}_x", unit="shares")
    assert (archive.skeleton.name, archive.skeleton.kind, archive.units) == (layout, "hand", "shares of the picture")
    np.testing.assert_array_equal(archive.clip(0)[0, 0, ::-1], np.arange(1, 3 * len(joints) + 1).reshape(-1, 3))
    assert archive.confidence is not None
    assert archive.confidence[0, 0, -1] == 1, "named as in the table"


def test_a_table_without_a_header_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: it holds numbers; the first line must name the columns"):
        load(tmp_path, "0,wave,0.5,-1.5e-3,2\n1,wave,0.4,3,2.5\n")


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
@pytest.mark.parametrize(("kind", "found"), [("auto", "body"), ("body", "body"), ("hand", "hand")])
def test_joints_of_any_names_are_said_to_be_a_hand(tmp_path: Path, kind: str, found: str) -> None:
    archive = load(tmp_path, hand_table([f"glove{c}" for c in "abcdef"]), kind=kind)
    assert (archive.skeleton.kind, len(archive.skeleton)) == (found, 6)


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
def test_other_hands_are_hands_that_weights_can_read(tmp_path: Path) -> None:
    archive = load(tmp_path, hand_table(OPENXR))
    assert archive.skeleton.kind == "hand"
    known = layouts.get("hand-22")
    frames = convert(archive.clip(0), archive.skeleton, known)
    for joint, name in (("IndexFirst", "index_intermediate"), ("ThumbSecond", "thumb_distal"), ("Palm", "palm")):
        own = OPENXR.index(name)
        assert abs(frames[0, 0, known.index(joint), 1]) == 3 * own + 2


def test_two_hands_in_a_row(tmp_path: Path) -> None:
    text = hand_table(MEDIAPIPE, "left_", "right_")
    with pytest.warns(MotetNote, match="two hands, which --joints '{person}_{joint}_{axis}' reads as two people"):
        load(tmp_path, text)
    archive = load(tmp_path, text, joints="{person}_{joint}_{axis}")
    assert (archive.skeleton.name, archive.persons) == ("hand-21", 2)


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
def test_rows_of_one_frame_name_the_column_that_tells_them_apart(tmp_path: Path) -> None:
    text = "frame,hand,hip_x,hip_y,knee_x,knee_y\n0,Left,1,2,3,4\n0,Right,5,6,7,8\n1,Left,1,2,3,4\n"
    with pytest.raises(DataError, match="second row with the same frame; tell people with --person hand or clips wit"):
        load(tmp_path, text)
    first = text.replace("0,Left,1,2,3,4\n0,Right,5,6,7,8", "0,Right,5,6,7,8\n0,Left,1,2,3,4")
    for rows_of_a_frame in (text, first):  # in the order of their names, whichever comes first
        assert load(tmp_path, rows_of_a_frame, person="hand").clip(0)[0, :, 0, 0].tolist() == [1, 5]
    apart = load(tmp_path, text, clip="hand", columns=("hand",))
    assert apart.clips["hand"].to_list() == ["Left", "Right"]
    with pytest.raises(DataError, match="tell people with --person or clips with --clip apart"):
        load(tmp_path, text.replace("Right", "Left"))


@pytest.mark.filterwarnings("ignore:.*no built-in layout has exactly its 2 joints")
@pytest.mark.parametrize(("asked", "up"), [("auto", "-y"), ("-y", "-y"), ("+y", "+y")])
def test_pictures_may_be_drawn_with_y_up(tmp_path: Path, asked: str, up: str) -> None:
    text = rows("frame,head_x,head_y,left_ankle_x,left_ankle_y", list("0123"), columns=4)
    assert load(tmp_path, text, fps=30.0, unit="px", up=asked).skeleton.up == up


def test_pictures_have_no_depth_that_could_point_up(tmp_path: Path) -> None:
    text = rows("frame,head_x,head_y,left_ankle_x,left_ankle_y", list("0123"), columns=4)
    with pytest.raises(ConfigError, match=r"--up \+z: the recordings have two coordinates"):
        load(tmp_path, text, fps=30.0, unit="px", up="+z")


@pytest.mark.parametrize("form", ["Ann:{}", "ann:{}", "{}"])
def test_markers_are_known_in_any_case_and_of_anybody(tmp_path: Path, form: str) -> None:
    joints = layouts.get("ui-prmd-39").joints
    names = [form.format(joint.lower() if "a" in form else joint) for joint in joints]
    header = ",".join(f"{name}_{axis}" for name in names for axis in "xyz")
    cells = "\n".join(",".join(str(n + 1) for n in range(117)) for _ in range(3))
    archive = load(tmp_path, f"{header}\n{cells}\n", fps=100.0, unit="mm")
    assert archive.skeleton.joints == joints
    np.testing.assert_allclose(archive.clip(0)[0, 0].ravel(), np.arange(1, 118) / 1000, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*no built-in layout")
def test_what_tells_tables_apart_is_said(tmp_path: Path) -> None:
    for name, joints in (("a", "hip knee toe"), ("b", "hip knee foot")):
        header = ",".join(f"{joint}_{axis}" for joint in joints.split() for axis in "xyz")
        (tmp_path / f"{name}.csv").write_text(f"{header}\n{','.join('123456789')}\n{','.join('123456789')}\n")
    (tmp_path / "c.csv").write_text("toe_x,toe_y,toe_z,hip_x,hip_y,hip_z,knee_x,knee_y,knee_z\n7,8,9,1,2,3,4,5,6\n")
    with pytest.raises(DataError, match=r"one layout and unit \(it lacks toe and has foot\); import them apart"):
        import_dataset("csv", tmp_path, tmp_path / "m", progress=False, fps=30.0)
    (tmp_path / "b.csv").unlink()
    archive = import_dataset("csv", tmp_path, tmp_path / "m", progress=False, fps=30.0)
    assert archive.skeleton.joints == ("hip", "knee", "toe")
    np.testing.assert_array_equal(archive.clip(0)[0], archive.clip(1)[0])  # whatever the order of the columns


@pytest.mark.filterwarnings("ignore:.*no built-in layout")
def test_a_number_that_fills_gaps_is_not_seen(tmp_path: Path) -> None:
    header = "frame,hip_x,hip_y,hip_z,knee_x,knee_y,knee_z"
    lines = [f"{n},10,900,{n},-9999,-9999,-9999" if n in (2, 3) else f"{n},10,900,{n},20,500,{n}" for n in range(6)]
    with pytest.warns(MotetNote, match=r"-9999 in all coordinates.* not seen \(2 times\)"):
        archive = load(tmp_path, "\n".join([header, *lines]), unit="mm", fps=30.0)
    assert archive.clip(0)[:, 0, 1].any(axis=1).tolist() == [True, True, False, False, True, True]
    assert archive.clip(0)[:, 0].min() == 0.0  # and nobody is ten metres below the floor
    diagonal = [f"{n},10,900,{n},5,5,5" for n in range(6)]  # equal coordinates, but among the others
    assert load(tmp_path, "\n".join([header, *diagonal]), unit="mm", fps=30.0).clip(0)[:, 0, 1].all()


@pytest.mark.filterwarnings("ignore:.*no built-in layout")
@pytest.mark.parametrize("names", ["LKneeAngles RKneeAngles", "FP1_For FP1_Mom", "hip LGroundReactionForce"])
def test_angles_and_forces_are_no_positions(tmp_path: Path, names: str) -> None:
    header = ",".join(f"{name}_{axis}" for name in names.split() for axis in "xyz")
    with pytest.warns(MotetWarning, match="are called like angles, forces or moments"):
        load(tmp_path, f"{header}\n1,2,3,4,5,6\n2,3,4,5,6,7\n", fps=100.0, unit="mm")
