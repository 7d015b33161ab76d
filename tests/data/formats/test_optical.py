"""Tables of optical motion capture: Vicon Nexus, OptiTrack Motive, Qualisys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.core.errors import DataError
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset

pytestmark = pytest.mark.filterwarnings("ignore:.*no built-in layout")
NEXUS = """Devices
1000
,,Force
Frame,Sub Frame,Fx
,,N
5,0,12

Trajectories
100
,,Anna:HEAD,,,Anna:TOE,,,*7,,
Frame,Sub Frame,X,Y,Z,X,Y,Z,X,Y,Z
,,mm,mm,mm,mm,mm,mm,mm,mm,mm
5,0,1,2,1700,4,5,6,9,9,9
6,0,1,2,1701,,,,9,9,9
8,0,1,2,1702,7,8,9,9,9,9

Model Outputs
100
"""
MOTIVE = """Format Version,1.23,Take Name,a,Capture Frame Rate,120.0,Export Frame Rate,100.000000,Length Units,Meters

,Type,Rigid Body,Rigid Body,Rigid Body,Rigid Body,Rigid Body,Rigid Body,Rigid Body,Rigid Body,Marker,Marker,Marker
,Name,HEAD,HEAD,HEAD,HEAD,HEAD,HEAD,HEAD,HEAD,TOE,TOE,TOE
,ID,A1,A1,A1,A1,A1,A1,A1,A1,B2,B2,B2
,,Rotation,Rotation,Rotation,Rotation,Position,Position,Position,Mean Marker Error,Position,Position,Position
Frame,Time (Seconds),X,Y,Z,W,X,Y,Z,,X,Y,Z
5,0.05,1,0,0,0,0.001,0.002,1.7,0.1,0.004,0.005,0.006
6,0.06,1,0,0,0,0.001,0.002,1.701,0.1,,,
8,0.08,1,0,0,0,0.001,0.002,1.702,0.1,0.007,0.008,0.009
"""
QUALISYS = """NO_OF_FRAMES\t4
FREQUENCY\t100
MARKER_NAMES\tHEAD\tTOE
1\t2\t1700\t4\t5\t6
1\t2\t1701\t0\t0\t0
0\t0\t0\t0\t0\t0
1\t2\t1702\t7\t8\t9
"""
NUMBERED = (
    QUALISYS.replace("\n1\t2\t1700", "\nFrame\tTime\tHEAD X\tHEAD Y\tHEAD Z\tTOE X\tTOE Y\tTOE Z\n1\t0.00\t1\t2\t1700")
    .replace("\n1\t2\t1701", "\n2\t0.01\t1\t2\t1701")
    .replace("\n0\t0\t0\t0\t0\t0", "")
    .replace("\n1\t2\t1702", "\n4\t0.03\t1\t2\t1702")
)


def load(folder: Path, text: str, kind: str = "optical", **options: Any) -> MotionArchive:
    (folder / "a.csv").write_text(text)
    return import_dataset(kind, folder / "a.csv", folder / "a.motet", progress=False, overwrite=True, **options)


@pytest.mark.parametrize("text", [NEXUS, NEXUS.replace(",", "\t"), MOTIVE, QUALISYS, NUMBERED])
def test_tables_of_markers(tmp_path: Path, text: str) -> None:
    archive = load(tmp_path, text)
    assert (archive.fps, archive.units, archive.skeleton.joints) == (100, "m", ("HEAD", "TOE"))
    wanted = np.zeros((4, 2, 3))
    wanted[[0, 1, 3], 0] = [[0.001, 0.002, 1.7], [0.001, 0.002, 1.701], [0.001, 0.002, 1.702]]
    wanted[[0, 3], 1] = [[0.004, 0.005, 0.006], [0.007, 0.008, 0.009]]
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted, rtol=1e-5)


def test_decimal_commas(tmp_path: Path) -> None:
    text = NEXUS.replace(",", ";").replace("1700", "1700,5")
    assert load(tmp_path, text).clip(0)[0, 0, 0, 2] == pytest.approx(1.7005)


def test_csv_names_the_format_that_reads_them(tmp_path: Path) -> None:
    for text, program in ((NEXUS, "Vicon Nexus"), (MOTIVE, "OptiTrack Motive"), (QUALISYS, "Qualisys")):
        with pytest.raises(DataError, match=f"is a table of {program}: import it as optical"):
            load(tmp_path, text, "csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,hip_x\n1,2\n", "does not begin with 'Trajectories'"),
        ("Trajectories\n100\n", "no lines of markers and axes"),
        (MOTIVE.partition("Frame,Time")[0], "no lines of names and axes"),
        (NEXUS.partition("5,0,1,2")[0], "has no frames"),
        (QUALISYS.replace("MARKER_NAMES", "MARKERS"), "names no markers"),
    ],
)
def test_what_is_none_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, text)
