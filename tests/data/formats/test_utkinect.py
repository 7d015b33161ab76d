from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetError, MotetWarning
from motet.data.formats import import_dataset, utkinect

NAME = "joints_s01_e02.txt"
FRAMES = np.random.default_rng(0).normal(size=(6, 20, 3)).round(6)
NUMBERS = [10, 12, 12, 16, 18, 20]
LABELS = "s01_e02\nwalk: 10 12 \nclapHands: 17  20\npush: NaN NaN\n\ns02_e01\nwalk: 1 2\n"


def text(numbers: list[int] = NUMBERS) -> str:
    rows = zip(numbers, FRAMES.reshape(6, 60), strict=True)
    return "".join(f"{n}  " + " ".join(f"{v:.6f}" for v in row) + "\n" for n, row in rows)


def lay_out(folder: Path, joints: str | None = None, labels: str | None = LABELS) -> Path:
    (folder / "joints").mkdir(exist_ok=True)
    (folder / "joints" / NAME).write_text(text() if joints is None else joints)
    if labels is not None:
        (folder / "actionLabel.txt").write_text(labels)
    return folder / "joints"


def test_recordings_are_cut_by_the_numbers_of_the_frames(tmp_path: Path) -> None:
    archive = import_dataset("utkinect", lay_out(tmp_path), tmp_path / "out", progress=False)
    assert archive.clips.select("name", "label", "subject", "repetition", "start").rows() == [
        ("s01_e02_00", 0, 1, 2, 10),
        ("s01_e02_01", 9, 1, 2, 17),
    ]
    np.testing.assert_array_equal(archive.clip(0)[:, 0], FRAMES[:3].astype(np.float32))
    np.testing.assert_array_equal(archive.clip(1)[:, 0], FRAMES[4:].astype(np.float32))
    assert (archive.skeleton.name, archive.fps, archive.class_names[9]) == ("kinect-v1", 15.0, "clap hands")


def test_frames_missing_in_a_pause_are_absent(tmp_path: Path) -> None:
    source = lay_out(tmp_path, text([10, 12, 12, 14, 84, 86]), labels=None)
    archive = import_dataset("utkinect", source, tmp_path / "out", progress=False, whole=True)
    assert archive.clip(0).any(axis=(1, 2, 3)).nonzero()[0].tolist() == [0, 1, 2, 3, 38, 39]


def test_labels_beyond_the_recording_are_told(tmp_path: Path) -> None:
    labels = LABELS.replace("17  20", "17 9999")
    with pytest.warns(
        MotetWarning, match="clap hands of s01_e02 is labelled 17 to 9999, but the recording ends with"
    ) as w:
        archive = import_dataset("utkinect", lay_out(tmp_path, labels=labels), tmp_path / "out", progress=False)
    assert "ends with frame 20; clips end there" in str(w[0].message)
    np.testing.assert_array_equal(archive.clip(1)[:, 0], FRAMES[4:].astype(np.float32))


def test_whole_recordings_need_no_labels(tmp_path: Path) -> None:
    archive = import_dataset("utkinect", lay_out(tmp_path, labels=None), tmp_path / "out", progress=False, whole=True)
    assert (len(archive), archive.clips["label"][0], archive.clips["name"][0]) == (1, None, "s01_e02")
    with pytest.raises(DataError, match="--whole"):
        import_dataset("utkinect", tmp_path / "joints", tmp_path / "other", progress=False)


@pytest.mark.parametrize(
    ("joints", "labels", "said"),
    [
        (None, "s01_e02\nswim: 1 2\n", r"actionLabel.txt, line 2: neither .* clapHands|line 2: neither"),
        (None, "walk: 1 2\n", "line 1: neither"),
        (None, "s01_e02\nwalk: 2 1\n", "line 2: frames 2 to 1"),
        (None, "s01_e02\nwalk: 2 x\n", "line 2: the frames of an action are whole numbers"),
        (None, "s01_e02\nwalk: 13 15\n", r"joints_s01_e02.txt: no frame lies in 13 to 15, where walk"),
        (None, "s02_e02\nwalk: 1 2\n", "no action of recording s01_e02"),
        (text()[:-20], LABELS, "line 6: 5. numbers where 61 are due"),
        ("", LABELS, "joints_s01_e02.txt is empty"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, joints: str | None, labels: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        import_dataset("utkinect", lay_out(tmp_path, joints, labels), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_label_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(LABELS.encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 20))] = data.draw(
        st.binary(max_size=8) | st.text(max_size=8).map(str.encode)
    )
    path = tmp_path / "labels.txt"
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        utkinect.read_labels(path)


@pytest.mark.real_data
def test_recordings_equal_the_compact_copy(shared_data: Path, tmp_path: Path) -> None:
    compact = dict(np.load(shared_data / "skeleton" / "utkinect.npz"))
    names = [str(n) for n in compact["class_names"]]
    wanted, lines = {}, []
    for path in sorted((shared_data / "raw" / "utkinect").glob("joints_*.txt")):
        raw = np.loadtxt(path)
        recording = path.stem.removeprefix("joints_")
        lines.append(recording)
        subject, repetition = int(recording[1:3]), recording[5:7]
        for i in np.flatnonzero((compact["subject"] == subject - 1) & (compact["rep"] == repetition)):
            clip = compact["pos"][slice(*compact["offset"][i : i + 2])].astype(np.float64)
            # the label file is not at hand: where the clip begins and ends is found by its first and last frame
            distance = [np.abs(raw[:, 1:] - clip[k].ravel()).max(axis=1) for k in (0, -1)]
            first, last = (int(raw[d.argmin(), 0]) for d in distance)
            name = names[compact["label"][i]]
            lines.append(f"{name}: {first} {last}")
            wanted[recording, name.lower()] = clip
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    source = shared_data / "raw" / "utkinect"
    archive = import_dataset("utkinect", source, tmp_path / "out", progress=False, labels=tmp_path / "labels.txt")
    assert len(archive) == len(wanted) == 40
    same = 0
    for i, row in enumerate(archive.clips.iter_rows(named=True)):
        clip = wanted[row["name"][:7], archive.class_names[row["label"]].replace(" ", "")]
        found = archive.clip(i)[:, 0]
        found = found[found.any(axis=(1, 2))]  # the copy leaves out what is missing in pauses
        # a frame number that comes twice at either end adds a frame of its own
        assert 0 <= len(found) - len(clip) <= 2
        if len(found) == len(clip):
            np.testing.assert_allclose(found, clip, atol=2e-3)
            same += 1
    assert same >= 35
