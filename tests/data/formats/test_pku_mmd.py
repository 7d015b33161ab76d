from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError
from motet.data.formats import import_dataset

VIDEOS = ("A01N02-L", "A01N02-M", "A01N04-L")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "pku"
    for name in ("skeleton", "label"):
        (folder / name).mkdir(parents=True)
    for i, video in enumerate(VIDEOS):
        frames = np.random.default_rng(i).normal(size=(12, 150)).round(6)
        frames[:, 75:] = 0
        write_video(folder, video, frames)
        (folder / "label" / f"{video}.txt").write_text("1,0,5,2\n51,5,12,1\n" if i else "3,2,6,1\n")
    return folder


def write_video(folder: Path, video: str, frames: np.ndarray) -> None:
    lines = [" ".join(f"{v:.6f}" for v in row) for row in frames]
    (folder / "skeleton" / f"{video}.txt").write_text("\n".join(lines) + "\n")


def run(source: Path, **options: object):  # type: ignore[no-untyped-def]
    return import_dataset("pku-mmd", source, source.parent / "out", progress=False, overwrite=True, **options)  # type: ignore[arg-type]


def test_clips_start_at_zero_and_leave_out_the_end(source: Path) -> None:
    archive = run(source)
    expected = [("A01N02-L_000", 2, 4), ("A01N02-M_000", 0, 5), ("A01N02-M_001", 50, 7)]
    assert archive.clips.select("name", "label", "length").rows()[:3] == expected
    frames = np.loadtxt(source / "skeleton" / "A01N02-M.txt").reshape(12, 2, 25, 3)
    np.testing.assert_array_equal(archive.clip(1), frames[:5].astype(np.float32))
    np.testing.assert_array_equal(archive.clip(2), frames[5:12].astype(np.float32))
    row = archive.clips.row(1, named=True)
    assert (row["camera"], row["subject"], row["video"], row["persons"]) == (2, 2, "A01N02-M", 1)


def test_long_clips_are_kept_whole(source: Path) -> None:
    write_video(source, "A01N02-L", np.ones((400, 150)))
    (source / "label" / "A01N02-L.txt").write_text("3,10,390,1\n")
    assert run(source).lengths[0] == 380


@pytest.mark.parametrize("end", ["", ",", ", ", ",\r"])
@pytest.mark.parametrize("name", ["cross_subject_v2.txt", "cross-subject.txt"])
def test_split_file_with_a_comma_at_the_end(source: Path, end: str, name: str) -> None:
    content = f"Training videos:\nA01N02-L, A01N04-L{end}\nValidation videos:\nA01N02-M{end}\n"
    (source / name).write_bytes(content.encode())
    archive = run(source)
    assert dict(archive.clips.select("video", "cross_subject").rows()) == {
        "A01N02-L": "train",
        "A01N04-L": "train",
        "A01N02-M": "test",
    }
    assert archive.source["split"] == "pku-xsub"


def test_split_file_by_path(source: Path) -> None:
    file = source.parent / "views.txt"
    file.write_text("Training\nA01N02-M.txt\nValidation\nA01N02-L\n")
    archive = run(source, cross_view=file)
    assert archive.clips["cross_view"].to_list() == ["test", "train", "train", "test", "test"]
    file.write_text("Training\nelsewhere\nValidation\nA01N02-L\n")
    with pytest.raises(ConfigError, match="names 1 training video but none"):
        run(source, cross_view=file)
    file.write_text("Training\nA01N02-L\nValidation\nA01N02-L\n")
    with pytest.raises(DataError, match="A01N02-L is on both sides"):
        run(source, cross_view=file)
    file.write_text("A01N02-L\n")
    with pytest.raises(DataError, match="is no split file"):
        run(source, cross_view=file)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("52,0,5,1\n", r"line 1: class 52 is outside 1\.\.51"),
        ("3,5,5,1\n", "cannot go from frame 5 to 5"),
        ("3,-1,5,1\n", "cannot go from frame -1 to 5"),
        ("3,2,6,1\n3,5\n", "line 2: '3,5' is not class, start, end"),
        ("3,2,nan,1\n", "is not class, start, end"),
        ("3,2,inf,1\n", "is not class, start, end"),
        ("3,10,40,1\n", "row 1 ends at frame 40, .* has 12 frames"),
        ("\n", "is empty"),
    ],
)
def test_bad_labels(source: Path, label: str, said: str) -> None:
    (source / "label" / "A01N02-L.txt").write_text(label)
    with pytest.raises(DataError, match=said):
        run(source)


def test_label_that_ends_a_little_late(source: Path) -> None:
    (source / "label" / "A01N02-L.txt").write_text("3,2,14,1\n")
    assert run(source).lengths[0] == 10


def test_bad_skeletons_and_missing_parts(source: Path) -> None:
    video = source / "skeleton" / "A01N02-L.txt"
    whole = video.read_text()
    video.write_text(whole[:-30])
    with pytest.raises(DataError, match=r"line 12: 14\d numbers where 150 are due"):
        run(source)
    video.write_text(whole.replace("0.000000", "NaN", 1))
    with pytest.raises(DataError, match=r"line 1: 'NaN' is no finite number"):
        run(source)
    video.write_bytes(b"\x00\xff" * 100)
    with pytest.raises(DataError, match="is not a text file"):
        run(source)
    video.write_text(whole)
    (source / "label" / "A01N02-L.txt").unlink()
    archive = run(source, on_error="skip")
    assert len(archive) == 4
    assert [s["file"] for s in archive.source["skipped"]] == ["A01N02-L.txt"]
    with pytest.raises(DataError, match="with the option labels"):
        run(source, labels=source / "nowhere")
    with pytest.raises(DataError, match="not a folder"):
        run(source / "none")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(["skeleton", "label", "cross-subject"]))
def test_mutated_files_raise_nothing_else(source: Path, data: st.DataObject, which: str) -> None:
    split = source / "cross-subject.txt"
    split.write_text("Training\nA01N02-M, A01N02-L,\nValidation\nA01N04-L\n")
    path = split if which == "cross-subject" else source / which / "A01N02-L.txt"
    whole = path.read_bytes()
    raw = bytearray(whole)
    at = data.draw(st.integers(0, len(raw)))
    inserted = st.binary(max_size=12) | st.sampled_from([b"9" * 30, b"1e300,"])
    raw[at : at + data.draw(st.integers(0, 60))] = data.draw(inserted)
    path.write_bytes(raw)
    try:
        run(source).verify()
    except MotetError:
        pass
    finally:
        path.write_bytes(whole)
