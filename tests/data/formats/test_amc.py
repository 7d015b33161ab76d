from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from motet.core.errors import ConfigError, DataError, MotetError
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.formats import amc, import_dataset

ASF = """# comment
:version 1.10
:name VICON
:units
  mass 1.0
  length 0.0254
  angle deg
:documentation
   anything: at all
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 1 0
   orientation 0 0 90
:bonedata
  begin
     id 1
     name thigh
     direction 0 -2 0
     length 0.5
     axis 0 0 30 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 2
     name stub
     direction 0 0 0
     length 0
     axis 0 0 0 XYZ
  end
  begin
     name shin
     direction 1 0 0
     length 0.25
     axis 10 20 30 ZYX
     dof rz l
  end
:hierarchy
  begin
    root thigh stub
    thigh shin
  end
"""
MOTION = np.random.default_rng(0).uniform(-60, 60, (3, 11)).round(3)
MOTION[:, :3] /= 50
MOTION[:, 10] = 0.01 * np.arange(3)
ORDER = (("root", 6), ("thigh", 3), ("shin", 2))


def text(motion: np.ndarray = MOTION, degrees: str = ":DEGREES") -> str:
    lines = ["#!OML:ASF somewhere", ":FULLY-SPECIFIED", degrees]
    for number, row in enumerate(motion, 1):
        lines.append(str(number))
        start = 0
        for bone, width in ORDER:
            lines.append(" ".join([bone, *(f"{v:.6f}" for v in row[start : start + width])]))
            start += width
    return "\n".join(lines) + "\n"


def lay_out(folder: Path, motion: str | None = None, asf: str = ASF) -> Path:
    source = folder / "in"
    source.mkdir(exist_ok=True)
    (source / "p1.asf").write_text(asf)
    (source / "p1_walk.amc").write_text(text() if motion is None else motion)
    return source


def load(source: Path, **options: object) -> MotionArchive:
    return import_dataset("amc", source, source.parent / "out", progress=False, overwrite=True, **options)


def by_hand(row: np.ndarray) -> np.ndarray:
    """(4, 3) root, thigh, stub, shin by the equations of the format; lower case is extrinsic in scipy."""

    def turn(order: str, angles: list[float]) -> np.ndarray:
        return Rotation.from_euler(order, angles, degrees=True).as_matrix()

    c_root, c_thigh, c_shin = turn("xyz", [0, 0, 90]), turn("xyz", [0, 0, 30]), turn("zyx", [10, 20, 30])
    root = c_root @ turn("xyz", list(row[3:6])) @ c_root.T
    thigh = root @ c_thigh @ turn("xyz", list(row[6:9])) @ c_thigh.T
    shin = thigh @ c_shin @ turn("z", [row[9]]) @ c_shin.T  # type: ignore[list-item]
    hip = np.array([0, 1, 0]) + row[:3]
    knee = hip + thigh @ [0, -0.5, 0]
    return np.stack([hip, knee, hip, knee + shin @ [0.25 + row[10], 0, 0]])


def test_headers_in_latin_1(tmp_path: Path) -> None:
    """HDM05's files carry paths of German computers."""
    source = lay_out(tmp_path)
    expected = load(source).clip(0)
    (source / "p1_walk.amc").write_bytes(("#!OML:ASF C:\\Müller\\Größe\n" + text()).encode("latin-1"))
    (source / "p1.asf").write_bytes(("# für Jürgen\n" + ASF).encode("latin-1"))
    np.testing.assert_array_equal(load(source).clip(0), expected)


def test_forward_kinematics(tmp_path: Path) -> None:
    archive = load(lay_out(tmp_path), pattern=r"p(?P<subject>\d)_(?P<label>[a-z]+)", fps=60.0)
    assert (archive.skeleton.joints, archive.skeleton.parents) == (("root", "thigh", "stub", "shin"), (-1, 0, 0, 1))
    np.testing.assert_allclose(archive.clip(0)[:, 0], [by_hand(row) for row in MOTION], atol=1e-5)  # 1 unit = 1 m
    assert archive.clips.select("name", "label", "subject", "skeleton_file").row(0) == ("p1_walk", 0, 1, "p1")
    assert archive.fps == 60.0


def test_radians_and_every_other_frame(tmp_path: Path) -> None:
    wanted = load(lay_out(tmp_path)).clip(0)
    motion = MOTION.copy()
    motion[:, 3:10] = np.radians(motion[:, 3:10])
    archive = load(lay_out(tmp_path, text(motion, ":RADIANS")), every=2)
    np.testing.assert_allclose(archive.clip(0), wanted[::2], atol=1e-5)
    assert archive.fps == 60.0


def test_bones_may_be_listed_before_their_parents(tmp_path: Path) -> None:
    wanted = load(lay_out(tmp_path)).clip(0)
    head, *blocks, rest = ASF.replace(":hierarchy", "  begin\n:hierarchy").split("  begin\n")[0:5]
    swapped = head + "".join("  begin\n" + b for b in (blocks[2], blocks[1], blocks[0])) + rest
    swapped += "".join("  begin\n" + b for b in ASF.split(":hierarchy")[1].split("  begin\n")[1:])
    archive = load(lay_out(tmp_path, asf=swapped))
    assert archive.skeleton.joints == ("root", "stub", "thigh", "shin")
    np.testing.assert_allclose(archive.clip(0), wanted[:, :, [0, 2, 1, 3]], atol=1e-6)


def test_which_skeleton_belongs_to_a_clip(tmp_path: Path) -> None:
    source = lay_out(tmp_path)
    (source / "p1_walk.amc").rename(source / "p2_walk.amc")
    assert len(load(source)) == 1  # the only one there
    (source / "p.asf").write_text(ASF.replace("length 0.5", "length 1.0"))
    assert load(source).clips["skeleton_file"][0] == "p"
    (source / "q.asf").write_text(ASF)
    (source / "p.asf").unlink()
    with pytest.raises(DataError, match=r"p2_walk\.amc: no \.asf file .* --asf"):
        load(source)
    assert load(source, asf=source / "q.asf").clips["skeleton_file"][0] == "q"


def test_people_with_other_bones_do_not_go_together(tmp_path: Path) -> None:
    source = lay_out(tmp_path)
    (source / "p2.asf").write_text(ASF.replace("stub", "tail"))
    (source / "p2_run.amc").write_text(text())
    with pytest.raises(DataError, match=r"p2\.asf has other bones than .*p1\.asf"):
        load(source)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("length 0.5", "length x", r"p1\.asf, line 26: could not"),
        ("length 0.5", "length -1", "bone thigh has no direction or a negative length"),
        ("     length 0.5\n", "", "bone thigh has no length"),
        ("name thigh", "name root", "one that is taken"),
        ("dof rz l", "dof rz rz", "no degrees of freedom"),
        ("XYZ\n    dof", "XXZ\n    dof", "'xxz' is no order of axes"),
        ("order TX TY TZ RX RY RZ", "order TX TY", "root's order"),
        ("thigh shin", "thigh foot", "line 44: thigh cannot carry foot"),
        ("    thigh shin\n", "", "bone shin hangs on nothing"),
        ("length 0.0254", "length 0", "unit of length of 0 is not plausible"),
        (ASF[ASF.index(":bonedata") :], "", "it declares no bones"),
    ],
)
def test_bad_skeletons_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in ASF
    with pytest.raises(DataError, match=said):
        load(lay_out(tmp_path, asf=ASF.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: "", "is empty"),
        (lambda t: t.replace("shin", "toe", 1), "line 7: .* no bone of the skeleton"),
        (lambda t: t[: t.rindex(" ")] + "\n", "line 15: .* expected 2 values"),
        (lambda t: t[: t.rindex("shin")], "frame 2: bone shin is missing"),
        (lambda t: t.replace("thigh ", "thigh x", 1), "line 6: could not"),
        (lambda t: t.replace("\n1\n", "\n", 1), "line 4: .* after a frame's number"),
        (lambda t: ":DEGREES\n", "it has no frames"),
    ],
)
def test_bad_motion_is_named(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=said) as caught:
        load(lay_out(tmp_path, change(text())))
    assert "p1_walk.amc" in str(caught.value)


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    for options in ({"fps": 0.0}, {"every": 0}):
        with pytest.raises(ConfigError, match="fps must be positive and every at least 1"):
            load(lay_out(tmp_path), **options)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), skeleton=st.booleans())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject, skeleton: bool) -> None:
    raw = bytearray((ASF if skeleton else text()).encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"begin\n", b"end\n", b":root\n", b" 1e308 ", b"\n5\n", b"root "])
    )
    path = tmp_path / ("a.asf" if skeleton else "a.amc")
    path.write_bytes(raw)
    with contextlib.suppress(MotetError), np.errstate(over="ignore", invalid="ignore"):
        body = amc.read_asf(path) if skeleton else amc._Asf(path).read(ASF)
        motion, degrees = (MOTION, True) if skeleton else amc.read_amc(path, body)
        if motion.shape[1] == sum(len(b.dof) for b in body.bones):
            amc.joint_positions(body, motion, degrees=degrees)


@pytest.mark.real_data
def test_recordings_of_hdm05(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "raw" / "amc_hdm05"
    pattern = r"HDM_(?P<performer>[a-z]+)_(?P<label>[A-Za-z0-9]+)_\d+_(?P<rate>\d+)"
    archive = import_dataset("amc", source, tmp_path / "out", progress=False, pattern=pattern)
    assert (archive.skeleton, archive.fps, len(archive)) == (layouts.get("acclaim-31"), 120.0, 3)
    joint = {name: archive.skeleton.index(name) for name in archive.skeleton.canonical}
    rises = {}
    for i, clip in enumerate(archive):
        frames = clip[:, 0].astype(np.float64)
        child, parent = np.array(archive.skeleton.bones).T
        lengths = np.linalg.norm(frames[:, child] - frames[:, parent], axis=-1)
        assert lengths.std(axis=0).max() < 1e-5  # bones are rigid
        assert -0.05 < frames[..., 1].min() < 0.05  # and feet are on the floor
        assert 1.2 < (frames[:, joint["head_top"]] - frames[:, joint["left_ankle"]])[..., 1].max() < 1.9
        rises[archive.class_names[archive.labels[i]]] = {n: float(np.ptp(frames[:, j, 1])) for n, j in joint.items()}
    assert rises["kickLFront1Reps"]["left_ankle"] > 0.5 > rises["kickLFront1Reps"]["right_ankle"]
    assert rises["grabHighR"]["right_wrist"] > 0.5 > rises["grabHighR"]["left_wrist"]
