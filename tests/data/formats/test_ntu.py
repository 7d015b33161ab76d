from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError
from motet.data.formats import import_dataset, ntu
from motet.data.formats.base import Unit

from .ntu_reference import random_clip, read_line_by_line, released_selection, skeleton_text

NAME = "S001C002P003R002A013.skeleton"


def golden_text() -> str:
    """Four frames: nobody; A; a second body before A; A again."""
    j = np.arange(25)

    def body(frame: int, b: int) -> np.ndarray:
        return np.stack([0.01 * j + 0.1 * frame + b, np.sin(0.3 * j + 0.2 * frame), 2 + 0.05 * frame * b + 0 * j], 1)

    a, other = 72057594037931101, 72057594037932358
    return skeleton_text([[], [(a, body(1, 0))], [(other, body(2, 1)), (a, body(2, 0))], [(a, body(3, 0))]])


def write(folder: Path, text: str | bytes, name: str = NAME) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, **options: object) -> np.ndarray:
    (clip,) = ntu.read(Unit(path.name, path), ntu.Options(**options))
    return clip.frames


def test_released_order_mixes_people_as_published_numbers_have_it(tmp_path: Path) -> None:
    frames = read(write(tmp_path, golden_text()), bodies="as-released")
    assert frames.shape == (4, 2, 25, 3)
    first = frames[:, 0, 0]
    np.testing.assert_allclose(first[1:], [(0.1, 0.198669, 2), (1.2, 0.389418, 2.1), (0.3, 0.564642, 2)], atol=1e-6)
    energies = [ntu.energy(frames[:, slot]) for slot in range(2)]
    np.testing.assert_allclose(energies, [1.235027, 0.776264], atol=1e-6)
    assert frames[:, 1].any(axis=(1, 2)).tolist() == [False, False, True, False]


def test_tracked_bodies_do_not_jump(tmp_path: Path) -> None:
    frames = read(write(tmp_path, golden_text()), bodies="tracked")
    # each person stays in one slot: x of joint 0 is 0.1 f for A and 1.2 for the other, at frame 2 alone
    people = {tuple(np.round(frames[:, slot, 0, 0], 6)) for slot in range(2)}
    assert people == {(0.0, 0.1, 0.2, 0.3), (0.0, 0.0, 1.2, 0.0)}


def test_ids_that_differ_in_the_last_digit_are_two_people(tmp_path: Path) -> None:
    pose = np.random.default_rng(0).normal(size=(25, 3))
    near = 72057594037932352
    assert float(near) == float(near + 6)
    text = skeleton_text([[(near, pose)], [(near + 6, pose + 1)]] * 3)
    frames = read(write(tmp_path, text))
    assert not (frames[:, 0].any(axis=(1, 2)) & frames[:, 1].any(axis=(1, 2))).any()
    assert frames.any(axis=(0, 2, 3)).all()


def test_equals_line_by_line_reader(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = write(tmp_path, skeleton_text(random_clip(rng, 20, 5), digits=9))
    sequence = read_line_by_line(path)
    np.testing.assert_array_equal(read(path, bodies="as-released"), released_selection(sequence))
    listed = [[[(p["x"], p["y"], p["z"]) for p in body["joints"]] for body in bodies[:2]] for bodies in sequence]
    np.testing.assert_array_equal(read(path, bodies="first-two"), np.array(listed))


def test_every_way_to_write_a_number(tmp_path: Path) -> None:
    tokens = ["-0.0", "1", ".5", "-3.", "5.05924e-05", "-1E3", "+2.5", "0.1234567890123456789", "123456789012345678901"]
    text = skeleton_text([[(1, np.ones((25, 3)))]])
    lines = text.splitlines()
    for i, token in enumerate(tokens):
        lines[4 + i] = token + lines[4 + i][lines[4 + i].index(" ") :]
    frames = read(write(tmp_path, "\r\n".join(lines) + "\r\n \n"))
    assert frames[0, 0, : len(tokens), 0].tolist() == [float(t) for t in tokens]


def test_three_bodies_keep_the_two_that_move_most(tmp_path: Path) -> None:
    pose = np.random.default_rng(2).normal(size=(25, 3))
    frames = [[(1, pose * 0.1), (2, pose * (1 + f)), (3, pose * 0.5)] for f in range(6)]
    found = read(write(tmp_path, skeleton_text(frames)))
    np.testing.assert_allclose(found[:, 0], [pose * (1 + f) for f in range(6)], atol=1e-6)
    np.testing.assert_allclose(found[:, 1], [pose * 0.5] * 6, atol=1e-6)


def test_denoise_joins_fragments_and_drops_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pose = rng.normal(size=(25, 3)) * np.array([0.2, 1.0, 0.2])
    flat = pose[:, [1, 0, 2]]  # wider than high: a ghost on the furniture
    person = [pose * (1 + 0.05 * f) for f in range(30)]
    frames: list[list[tuple[int, np.ndarray]]] = [[]]
    frames += [[(1 if f < 15 else 2, person[f]), (7, flat * (1 + f))] for f in range(30)]
    frames[3].append((9, pose + 5))  # seen in one frame only
    found = read(write(tmp_path, skeleton_text(frames)), bodies="denoise")
    assert found.shape == (30, 2, 25, 3)  # the empty frame is gone
    np.testing.assert_allclose(found[:, 0], np.array(person) - person[0][1], atol=1e-5)
    assert not found[:, 1].any()


def test_denoise_keeps_a_partner(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    pose = rng.normal(size=(25, 3)) * np.array([0.2, 1.0, 0.2])
    frames = [[(1, pose * (1 + 0.1 * f)), (2, pose + 3)] for f in range(20)]
    found = read(write(tmp_path, skeleton_text(frames)), bodies="denoise")
    np.testing.assert_allclose(found[:, 1], np.array([pose + 3 - pose[1]] * 20), atol=1e-5)


BODY = skeleton_text([[(1, np.ones((25, 3)))], [(1, np.ones((25, 3)))]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \n \n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\xff\xfe\n", "is not a text file"),
        ("x\n" + BODY[2:], "is not the number of frames"),
        ("9" * 15 + BODY[1:], "declares 999,999,999,999,999 frames"),
        ("9" * 40 + BODY[1:], "is not the number of frames"),
        (BODY[: len(BODY) // 2], "is cut off"),
        (BODY[: BODY.rindex("\n", 0, -1) + 1], "is cut off"),
        (BODY[:-40] + "\n", "values instead of 12"),
        (BODY + "1\n", "continues for 1 line after its last declared frame"),
        (BODY.replace("\n25\n", "\n20\n"), "20 joints instead of 25"),
        (BODY.replace("\n1\n", "\n99999999999\n", 1), "is not the number of joints"),
        (BODY.replace("1.0000000", "nan", 1), "'nan' is no finite number"),
        (BODY.replace("1.0000000", "1.0.0", 1), "'1.0.0' is no finite number"),
        (BODY.replace("0.05745083 2", "0.05745083", 1), "9 values instead of 10"),
        ("3\n0\n0\n0\n", "no frame shows a body"),
        ("0\n0\n", "declares 0 frames"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["clip.skeleton", "S001C002P003R002A999.skeleton", "S001C002P003R002A000.skeleton"])
def test_names_that_say_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="name is not SsssCcccPpppRrrrAaaa"):
        read(write(tmp_path, BODY, name))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), rule=st.sampled_from(["tracked", "as-released", "first-two", "denoise"]))
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject, rule: str) -> None:
    raw = bytearray(golden_text().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        length = data.draw(st.sampled_from([0, 1, 1, 30, 400]))
        raw[at : at + length] = data.draw(st.binary(max_size=8) | st.sampled_from([b"\n", b" ", b"9", b"-", b"1e400"]))
        raw = raw or bytearray(b" ")
    path = write(tmp_path, bytes(raw))
    try:
        frames = read(path, bodies=rule)
    except MotetError:
        return
    assert np.isfinite(frames).all()
    assert frames.shape[1:] == (2, 25, 3)


def test_import(tmp_path: Path) -> None:
    folder = tmp_path / "nturgb+d_skeletons"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for name in ("S001C001P001R001A002", "S001C001P001R001A010", "S017C003P040R002A060"):
        write(folder, skeleton_text(random_clip(rng, 8, 1)), f"{name}.skeleton")
    listed = tmp_path / "missing.txt"
    listed.write_text("Samples with missing skeletons:\nS001C001P001R001A010\nS009C001P001R001A010\n")
    archive = import_dataset("ntu", folder, tmp_path / "out", progress=False, exclude=str(listed))
    assert archive.clips["name"].to_list() == ["S001C001P001R001A002", "S017C003P040R002A060"]
    assert archive.clips.select("setup", "camera", "subject", "repetition", "label", "persons").row(1) == (
        *(17, 3, 40, 2, 59),
        1,
    )
    assert archive.source["excluded"] == 1
    assert archive.source["split"] == "ntu60-xsub"
    assert archive.class_names[59] == "walk apart"
    assert len(archive.class_names) == 60
    assert len(set(ntu.CLASS_NAMES)) == 120
    listed.write_text("nothing here\n")
    with pytest.raises(ConfigError, match="names no NTU sample"):
        import_dataset("ntu", folder, tmp_path / "out2", exclude=listed)
    listed.write_text("\n".join(p.stem for p in folder.iterdir()))
    with pytest.raises(DataError, match="excludes every file"):
        import_dataset("ntu", folder, tmp_path / "out2", exclude=listed)
