"""Labels along time: what is stored, what is refused, what an edit leaves."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import ConfigError, DataError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.tracks import Tracks, paint
from tests.conftest import stick


def recordings(path: Path, names: tuple[str, ...] = ("a", "b"), frames: int = 40) -> MotionArchive:
    """Recordings of 4 s at 10 frames a second with a track ``activity``."""
    with ArchiveWriter(path, skeleton=stick(), fps=10.0, class_names=["sit", "walk"]) as writer:
        for i, name in enumerate(names):
            labels = ["walk"] * 15 + [None] * 5 + ["sit"] * 20
            writer.add(np.ones((frames, 8, 3)), name=name, subject=i, tracks={"activity": labels})
    return MotionArchive.open(path)


@pytest.fixture
def archive(tmp_path: Path) -> MotionArchive:
    return recordings(tmp_path / "a.motet")


def test_labels_of_frames_become_intervals_and_frames_again(archive: MotionArchive) -> None:
    tracks = archive.tracks
    assert list(tracks) == ["activity"]
    rows = tracks["activity"].filter(recording="a").select("start", "end", "label").rows()
    assert rows == [(0.0, 1.5, "walk"), (2.0, 4.0, "sit")]
    assert tracks.classes("activity") == ["sit", "walk"]
    assert tracks.frames("activity", 0, ["sit", "walk"]).tolist() == [1] * 15 + [-1] * 5 + [0] * 20


@pytest.mark.parametrize(
    ("start", "end", "name", "label", "words"),
    [
        (2.0, 1.0, "a", "x", "from 2 to 1 s runs backward or is empty; swap"),
        (1.0, 1.0, "a", "x", "runs backward or is empty"),
        (3.0, 4.3, "a", "x", "lies outside the recording, which ends at 4 s"),
        (-0.1, 1.0, "a", "x", "lies outside"),
        (0.0, 1.0, "c", "x", "no recording 'c' in the archive; it has a, b"),
        (0.0, 1.0, "a", "", "has no label"),
        (float("nan"), 1.0, "a", "x", "no number"),
    ],
)
def test_an_interval_that_makes_no_sense_is_refused_and_nothing_is_written(
    archive: MotionArchive, start: float, end: float, name: str, label: str, words: str
) -> None:
    good = {"recording": "b", "start": 0.0, "end": 1.0, "label": "x"}
    with pytest.raises(DataError, match=words):
        archive.tracks.save("new", [good, {"recording": name, "start": start, "end": end, "label": label}])
    assert list(archive.tracks) == ["activity"]


def test_intervals_of_one_rater_do_not_overlap(archive: MotionArchive) -> None:
    rows = [{"recording": "a", "start": s, "end": s + 2, "label": "x", "rater": r} for s, r in ((0.0, "m"), (1.0, "m"))]
    with pytest.raises(DataError, match="from 1 to 3 s overlaps 'x', which ends at 2 s; put what happens at the same"):
        archive.tracks.save("new", rows)
    archive.tracks.save("new", [rows[0], {**rows[1], "rater": "n", "label": "y"}])
    # frames 10 to 20 are x to one rater and y to the other
    assert archive.tracks.frames("new", 0, ["x", "y"]).tolist() == [0] * 10 + [-1] * 10 + [1] * 10 + [-1] * 10


def test_times_are_rounded_to_the_nearest_frame_and_a_short_interval_keeps_one() -> None:
    rows = [{"start": 0.26, "end": 0.54, "label": "x"}, {"start": 0.71, "end": 0.72, "label": "x"}]
    assert paint(rows, 10, 10.0, ["x"]).tolist() == [-1, -1, -1, 0, 0, -1, -1, 0, -1, -1]


def test_an_edit_is_one_line_replaces_what_it_covers_and_is_folded_in_by_a_save(archive: MotionArchive) -> None:
    archive.tracks.edit("activity", add=[{"recording": "a", "start": 0.5, "end": 1.0, "label": "jump"}])
    rows = archive.tracks["activity"].filter(recording="a").select("start", "end", "label").rows()
    assert rows == [(0.0, 0.5, "walk"), (0.5, 1.0, "jump"), (1.0, 1.5, "walk"), (2.0, 4.0, "sit")]
    archive.tracks.edit("activity", remove=[{"recording": "a", "start": 2.0, "end": 4.0, "label": "sit"}])
    journal = archive.path / "tracks" / "activity.journal"
    assert len(journal.read_text().splitlines()) == 2
    with journal.open("a") as file:
        file.write('{"add": [{"rec')  # a crash while the next edit was written
    tracks = archive.tracks
    assert tracks["activity"].filter(recording="a")["label"].to_list() == ["walk", "jump", "walk"]
    tracks.save("activity", tracks["activity"])
    assert not journal.exists()
    assert archive.tracks["activity"].filter(recording="a")["label"].to_list() == ["walk", "jump", "walk"]


def test_names_of_tracks_stay_in_their_folder(archive: MotionArchive) -> None:
    for name in ("../x", "a/b", "", ".hidden"):
        with pytest.raises(ConfigError, match="is named with letters"):
            archive.tracks.save(name, [])


def test_the_track_meant(archive: MotionArchive) -> None:
    assert archive.tracks.one() == "activity"
    archive.tracks.save("posture", [{"recording": "a", "start": 0.0, "end": 1.0, "label": "x"}])
    with pytest.raises(ConfigError, match="several tracks; choose one with --track"):
        archive.tracks.one()
    with pytest.raises(ConfigError, match="has no track 'z'"):
        archive.tracks.one("z")
    archive.tracks.remove("posture")
    assert list(archive.tracks) == ["activity"]


def test_a_damaged_track_is_named(archive: MotionArchive) -> None:
    (archive.path / "tracks" / "activity.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"activity.parquet cannot be read"):
        archive.tracks.track()


def test_labels_along_time_need_a_rate(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="need a frame rate"),
        ArchiveWriter(tmp_path / "a.motet", skeleton=stick()) as writer,
    ):
        writer.add(np.ones((2, 8, 3)), name="a", tracks={"t": ["x", "y"]})
    assert not list(tmp_path.iterdir())


def test_a_thousand_recordings_load_in_a_second(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "many.motet", tuple(f"r{i}" for i in range(1000)))
    began = time.process_time()
    frames = Tracks(archive).all_frames("activity", ["sit", "walk"])
    assert len(frames) == 1000
    assert time.process_time() - began < 1.0
