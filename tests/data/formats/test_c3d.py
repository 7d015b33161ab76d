from __future__ import annotations

import contextlib
import io
import struct
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
from motet.data.formats import import_dataset
from motet.data.formats._c3d import read_c3d
from motet.data.formats._markers import PLUG_IN_GAIT

c3d = pytest.importorskip("c3d", reason="needs the extra c3d")

pytestmark = pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
LABELS = ["Ann:LASI", "Ann:RASI", "Ann:HEAD", "*3", "LHipAngles"]
POINTS = np.random.default_rng(0).normal(scale=900, size=(6, len(LABELS), 3)).astype(np.float32)


def content(labels: list[str] = LABELS, points: np.ndarray = POINTS, unit: str = "mm", rate: float = 100.0) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = c3d.Writer(point_rate=rate, point_scale=-1.0)
        writer.set_point_labels(labels)
        for number, frame in enumerate(points):
            rows = np.column_stack([frame, np.zeros((len(frame), 2))]).astype(np.float32)
            if number == 2:
                rows[1, 3] = -1  # the second marker is lost
            writer.add_frames([(rows, np.zeros((0, 0)))])
        group = writer.get("POINT")
        write = group.add_str if group.get("UNITS") is None else group.set_str
        write("UNITS", "unit", unit.ljust(8), 8)
        group.add_str("ANGLES", "modelled", "LHipAngles", 10, 1)
        stream = io.BytesIO()
        writer.write(stream)
    return stream.getvalue()


def load(folder: Path, files: dict[str, bytes], **options: Any) -> MotionArchive:
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / "in" / name).write_bytes(data)
    return import_dataset("c3d", folder / "in", folder / "out", progress=False, overwrite=True, **options)


def test_markers_become_joints_in_metres(tmp_path: Path) -> None:
    archive = load(tmp_path, {"s2_walk.c3d": content()}, pattern=r"s(?P<subject>\d)_(?P<label>[a-z]+)")
    assert (archive.skeleton.joints, archive.skeleton.bones) == (("LASI", "RASI", "HEAD"), ())
    wanted = POINTS[:, :3] / 1000
    wanted[2, 1] = 0
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted, rtol=1e-5)
    assert (archive.fps, archive.units, archive.clips["subject"][0], archive.class_names) == (100.0, "m", 2, ["walk"])


def test_plug_in_gait_has_a_layout(tmp_path: Path) -> None:
    gait = layouts.get(PLUG_IN_GAIT)
    labels = [*reversed(gait.joints), "EXTRA"]
    points = np.random.default_rng(1).normal(size=(3, len(labels), 3)).astype(np.float32)
    points[:, [labels.index(n) for n in gait.joints if n.endswith("HD")], 1] += 10  # heads are up, along y
    archive = load(tmp_path, {"a.c3d": content(labels, points, "m")})
    assert (archive.skeleton.joints, archive.skeleton.up) == (gait.joints, "+y")
    np.testing.assert_allclose(archive.clip(0)[1:2, 0], points[1:2, -2::-1], rtol=1e-5)


def test_units_rates_and_markers_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.c3d: its unit is 'parsec'; give one of m, dm"):
        load(tmp_path, {"a.c3d": content(unit="parsec")})
    np.testing.assert_allclose(
        load(tmp_path, {"a.c3d": content(unit="")}, unit="cm").clip(0)[0, 0], POINTS[0, :3] / 100
    )
    with pytest.raises(ConfigError, match="option unit"):
        load(tmp_path, {"a.c3d": content()}, unit="ell")
    with pytest.raises(DataError, match=r"a\.c3d has 100 frames/s and b\.c3d 200, .*resample them with --fps"):
        load(tmp_path, {"a.c3d": content(), "b.c3d": content(rate=200.0)})
    with pytest.raises(DataError, match=r"b\.c3d lacks LASI; it has LHEE beyond the others: --rename LHEE=LASI"):
        load(tmp_path, {"a.c3d": content(), "b.c3d": content(["Ann:LHEE", *LABELS[1:]])})
    (tmp_path / "in" / "b.c3d").unlink()
    with pytest.raises(DataError, match="no labelled marker"):
        load(tmp_path, {"a.c3d": content(["*1", "*2", "*3", "*4", "*5"])})


def test_markers_of_another_name_are_renamed(tmp_path: Path) -> None:
    files = {"a.c3d": content(), "b.c3d": content(["Ann:LHEE", *LABELS[1:]])}
    archive = load(tmp_path, files, rename=("LHEE=LASI",))
    np.testing.assert_array_equal(archive.clip(0), archive.clip(1))
    with pytest.raises(ConfigError, match="must be OLD=NEW"):
        load(tmp_path, files, rename=("LHEE",))


def test_a_marker_that_a_file_lacks_may_be_absent(tmp_path: Path) -> None:
    names = [f"Ann:{name}" for name in layouts.get(PLUG_IN_GAIT).joints]
    points = np.random.default_rng(0).uniform(100, 200, (3, 39, 3))
    heights = {"HD": 1700, "SI": 900, "ANK": 100}  # of the head, the hips and the ankles, along y
    points[..., 1] = [next((h for end, h in heights.items() if name.endswith(end)), 500) for name in names]
    files = {"a.c3d": content(names[:-1], points[:, :-1]), "b.c3d": content(names, points)}
    with pytest.warns(MotetNote, match=r"a\.c3d lacks RTOE, which counts as not seen"):
        archive = load(tmp_path, files, skeleton=PLUG_IN_GAIT, lacking="absent")
    assert archive.skeleton.up == "+y"
    assert not archive.clip(0)[:, 0, -1].any()
    np.testing.assert_array_equal(archive.clip(0)[:, 0, :-1], archive.clip(1)[:, 0, :-1])
    with pytest.raises(DataError, match="lacks LFHD, RFHD"):
        load(tmp_path, {"a.c3d": content(names[12:], points[:, 12:])}, skeleton=PLUG_IN_GAIT, lacking="absent")


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    toml = tmp_path / "two.toml"
    toml.write_text('name = "two"\njoints = [{ name = "HEAD", parent = "" }, { name = "LASI", parent = "HEAD" }]\n')
    archive = load(tmp_path, {"a.c3d": content()}, skeleton=str(toml))
    np.testing.assert_allclose(archive.clip(0)[:, 0], POINTS[:, [2, 0]] / 1000, rtol=1e-5)


@pytest.mark.parametrize("data", [b"", b"no c3d", b"\x02\x50" * 600])
def test_other_files_are_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.c3d"):
        load(tmp_path, {"a.c3d": data})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(content())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 1600))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.c3d"
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw)
    with contextlib.suppress(MotetError), warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetWarning)
        assert np.isfinite(read_c3d(path).points).all()


def parameter(owner: int, name: str, kind: int, shape: list[int], data: bytes) -> bytes:
    body = struct.pack("bB", kind, len(shape)) + bytes(shape) + data + b"\0"
    return struct.pack("bb", len(name), owner) + name.encode() + struct.pack("<H", len(body) + 2) + body


def texts(owner: int, name: str, values: list[str], width: int = 16) -> bytes:
    return parameter(owner, name, -1, [width, len(values)], b"".join(v.ljust(width).encode() for v in values))


def made(
    labels: list[str], points: np.ndarray, *more: bytes, unit: tuple[str, ...] = ("mm",), analog: int = 0
) -> bytes:
    """A C3D file written by hand: groups POINT (1), ANALOG (2), SUBJECTS (3), ROTATION (4)."""
    groups = b"".join(
        struct.pack("bb", len(n), -i) + n.encode() + struct.pack("<H", 3) + b"\0"
        for i, n in enumerate(("POINT", "ANALOG", "SUBJECTS", "ROTATION"), 1)
    )
    listed = [
        texts(1, f"LABELS{i + 1 if i else ''}", labels[255 * i : 255 * (i + 1)]) for i in range(-(-len(labels) // 255))
    ]
    body = groups + b"".join([texts(1, "UNITS", list(unit), 4), *listed, *more]) + b"\0\0"
    blocks = -(-(len(body) + 4) // 512)
    parameters = (bytes([1, 0x50, blocks, 84]) + body).ljust(512 * blocks, b"\0")
    head = struct.pack("<BBHHHHHfHHf", 2, 0x50, len(labels), analog, 1, len(points), 0, -1.0, 2 + blocks, 1, 100.0)
    rows = (
        [np.column_stack([p, np.zeros(len(p))]).astype("<f4").tobytes() + bytes(4 * analog) for p in points]
        if labels
        else []
    )
    return head.ljust(512, b"\0") + parameters + b"".join(rows)


MORE = [f"M{i}" for i in range(6)]
SIX = np.random.default_rng(2).normal(scale=900, size=(5, 6, 3)).astype(np.float32)


def test_what_is_not_a_marker_cannot_stop_the_markers(tmp_path: Path) -> None:
    scalar = parameter(2, "SCALE", 4, [], struct.pack("<f", 1))
    twice = texts(2, "LABELS", ["Fx"]) + texts(2, "LABELS", ["Fy"])
    broken = parameter(3, "BAD", 3, [200], b"x")
    for extra in (scalar, twice, broken):
        archive = load(tmp_path, {"a.c3d": made(MORE, SIX, extra, analog=3)})
        np.testing.assert_allclose(archive.clip(0)[:, 0], SIX / 1000, rtol=1e-5)
    archive = load(tmp_path, {"a.c3d": made(MORE, SIX, unit=("cm", "cm", "cm"))})
    np.testing.assert_allclose(archive.clip(0)[:, 0], SIX / 100, rtol=1e-5)
    with pytest.raises(DataError, match="holds 3 analog channels only; markers are read"):
        load(tmp_path, {"a.c3d": made([], SIX[:, :0], analog=3)})


def test_more_labels_than_one_parameter_holds(tmp_path: Path) -> None:
    points = np.random.default_rng(3).normal(size=(2, 300, 3)).astype(np.float32)
    archive = load(tmp_path, {"a.c3d": made([f"P{i}" for i in range(300)], points, unit=("m",))})
    np.testing.assert_allclose(archive.clip(0)[:, 0], points, rtol=1e-6)


def test_prefixes_that_tell_bodies_apart_stay(tmp_path: Path) -> None:
    archive = load(tmp_path, {"a.c3d": made(["A:1", "A:2", "B:1", "B:2", "B:3", "x"], SIX)})
    assert archive.skeleton.joints == ("A:1", "A:2", "B:1", "B:2", "B:3", "x")
    with pytest.warns(MotetWarning, match="several markers are labelled M1; .* M1_2"):
        archive = load(tmp_path, {"a.c3d": made(["M0", "M1", "M1", "M3", "M4", "M5"], SIX)})
    assert archive.skeleton.joints == ("M0", "M1", "M1_2", "M3", "M4", "M5")


def test_people_of_the_same_markers_are_persons(tmp_path: Path) -> None:
    labels = [f"{who}:{m}" for who in ("Ann", "Bob") for m in MORE]
    both = np.concatenate([SIX, SIX[:, ::-1]], axis=1)
    archive = load(tmp_path, {"a.c3d": made(labels, both)})
    assert (archive.persons, archive.skeleton.joints, archive.clips["people"][0]) == (2, tuple(MORE), "Ann, Bob")
    np.testing.assert_allclose(archive.clip(0)[:, 1], SIX[:, ::-1] / 1000, rtol=1e-5)
    archive = load(tmp_path, {"a.c3d": made(labels, both)}, subject="Bob")
    np.testing.assert_allclose(archive.clip(0)[:, 0], SIX[:, ::-1] / 1000, rtol=1e-5)
    with pytest.raises(DataError, match="no marker is of 'Eve'; there are Ann, Bob"):
        load(tmp_path, {"a.c3d": made(labels, both)}, subject="Eve")


def test_up_is_what_the_file_the_option_and_the_recordings_say(tmp_path: Path) -> None:
    screen = texts(1, "X_SCREEN", ["+X"], 2) + texts(1, "Y_SCREEN", ["-Y"], 2)
    assert load(tmp_path, {"a.c3d": made(MORE, SIX, screen)}).skeleton.up == "-y"
    assert load(tmp_path, {"a.c3d": made(MORE, SIX, screen)}, up="+x").skeleton.up == "+x"
    assert load(tmp_path, {"a.c3d": made(MORE, SIX)}).skeleton.up == "+z"


def test_rates_are_resampled_when_asked(tmp_path: Path) -> None:
    line = np.linspace(0, 8, 9)[:, None, None] + np.ones((9, 6, 3))
    archive = load(tmp_path, {"a.c3d": made(MORE, line, unit=("m",))}, fps=50.0)
    np.testing.assert_allclose(archive.clip(0)[:, 0, 0, 0], [1, 3, 5, 7, 9])


def test_a_file_cut_off_keeps_its_whole_frames(tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match="declares 5 frames and holds 3"):
        archive = load(tmp_path, {"a.c3d": made(MORE, SIX)[: -6 * 16 * 2]})
    np.testing.assert_allclose(archive.clip(0)[:, 0], SIX[:3] / 1000, rtol=1e-5)


def test_segments_without_markers_give_their_origins(tmp_path: Path) -> None:
    names = ["pelvis_4X4", "l_thigh_4X4"]
    whole = b"".join(
        [
            parameter(4, "USED", 2, [], struct.pack("<h", 2)),
            parameter(4, "DATA_START", 2, [], struct.pack("<h", 3)),
            texts(4, "LABELS", names),
        ]
    )
    turns = np.zeros((4, 2, 17), "<f4")
    turns[..., :16] = np.random.default_rng(5).normal(size=(4, 2, 4, 4)).swapaxes(2, 3).reshape(4, 2, 16)
    turns[2, 1, 16] = -1  # not sure
    data = made([], np.zeros((4, 0, 3)), whole)
    with pytest.warns(MotetNote, match="no markers but 2 segments, whose origins are read"):
        archive = load(tmp_path, {"a.c3d": data + turns.tobytes()})
    assert archive.skeleton.joints == ("pelvis", "l_thigh")
    wanted = turns[..., 12:15] / 1000
    wanted[2, 1] = 0
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted, rtol=1e-5)
    with pytest.warns(MotetNote, match="whose origins are read$"):
        archive = load(tmp_path / "axes", {"a.c3d": data + turns.tobytes()}, axes=0.1)
    assert archive.skeleton.joints[2:] == tuple(f"{s}_{a}" for s in ("pelvis", "l_thigh") for a in "xyz")
    found = archive.clip(0)[:, 0]
    ends = found[:, 2:].reshape(4, 2, 3, 3) - found[:, :2, None]
    # a file has matrices by columns, and a column is an axis
    expected = 0.1 * turns[..., :16].reshape(4, 2, 4, 4)[..., :3, :3]
    expected[2, 1] = 0
    np.testing.assert_allclose(ends, expected, atol=1e-6)
