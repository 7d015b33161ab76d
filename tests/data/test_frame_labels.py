"""One label a stamp: on the time of the recording, whatever the clock of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetNote
from motet.data.archive import MotionArchive
from motet.data.exchange import labelled
from tests.data.test_tracks import recordings

CLASSES = ["up", "down"]


@pytest.fixture
def archive(tmp_path: Path) -> MotionArchive:
    """Recordings of 40 frames of 10 a second."""
    return recordings(tmp_path / "a.motet")


def state(time: float) -> str:
    return "up" if time < 1.5 else "" if time < 2 else "down"


def spans(archive: MotionArchive, track: str = "k") -> list[tuple[str, float, float, str]]:
    return [(name, round(s, 3), round(e, 3), label) for name, s, e, label, *_ in archive.tracks[track].rows()]


def put(archive: MotionArchive, text: str, **options: str) -> None:
    path = archive.path.parent / "a.csv"
    path.write_text(text)
    labelled(archive, path, "k", overwrite=True, **options)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 99),
    rate=st.sampled_from([7.0, 10.0, 50.0]),
    jitter=st.sampled_from([0.0, 0.4]),
    gap=st.sampled_from([0.0, 0.4, 0.9]),
    begin=st.sampled_from([0.0, 77.0, 1.7e9]),
    size=st.sampled_from([("time", 1), ("time_ms", 1e3), ("t", 1e3), ("timestamp", 1e6)]),
)
@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
def test_labels_lie_where_their_stamps_say(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    rate: float,
    jitter: float,
    gap: float,
    begin: float,
    size: tuple[str, float],
) -> None:
    folder = tmp_path_factory.getbasetemp() / "labels"
    folder.mkdir(exist_ok=True)
    archive = (
        recordings(folder / "a.motet") if not (folder / "a.motet").exists() else MotionArchive.open(folder / "a.motet")
    )
    times = np.arange(0, 4, 1 / rate)
    times[1:-1] += jitter / rate * np.random.default_rng(seed).uniform(-0.5, 0.5, len(times) - 2)
    times = times[(times < 2.5) | (times > 2.5 + gap)]
    put(archive, f"{size[0]},label\n" + "".join(f"{(begin + t) * size[1]:.6f},{state(t)}\n" for t in times))
    numbers, middle = archive.tracks.frames("k", 0, CLASSES), np.arange(40) / 10
    wanted = np.array([CLASSES.index(s) if (s := state(t)) else -1 for t in middle])
    near = 1 / rate + 0.1  # of a border, rows decide
    clear = (np.abs(middle - 1.5) > near) & (np.abs(middle - 2) > near) & ((middle < 2.4) | (middle > 2.6 + gap))
    assert (numbers[clear] == wanted[clear]).all()
    hole = (middle > 2.5 + near) & (middle < 2.4 + gap)
    assert (numbers[hole] == (-1 if gap > 0.5 else 1)).all()


def test_stamps_of_the_frames_are_frames(archive: MotionArchive) -> None:
    put(archive, "frame,time,label\n" + "".join(f"{n},{n / 10 + 0.004:.2f},up\n" for n in range(40)))
    assert spans(archive) == [("a", 0, 4, "up")]


def test_stamps_of_several_recordings_in_one_table(archive: MotionArchive) -> None:
    lines = [f"{n / 20},{name},{'up' if n < 40 else 'down'}" for n in range(80) for name in "ab"]
    put(archive, "\n".join(["time,recording,label", *lines]))
    assert spans(archive) == [(name, *rest) for name in "ab" for rest in ((0, 2, "up"), (2, 4, "down"))]


def test_numbers_are_labels_where_a_column_says_so(archive: MotionArchive) -> None:
    text = "time,label\n" + "".join(f"{n / 20},0.5\n" for n in range(80))
    put(archive, text)
    assert spans(archive) == [("a", 0, 4, "0.5")]
    with pytest.raises(DataError, match=r"column 'speed' has 0.5, which is no label"):
        put(archive, text.replace("label", "speed"))


def test_another_clock_is_said(archive: MotionArchive) -> None:
    with pytest.warns(MotetNote, match="stamps from 9 to 12.95 s are not those of a, which lasts as long"):
        put(archive, "time,label\n" + "".join(f"{9 + n / 20},up\n" for n in range(80)))
    assert spans(archive) == [("a", 0, 4, "up")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(9 + n / 20, "up") for n in range(60)], "which lasts 4 s, and do not last as long; write seconds since its"),
        ([(n / 40, "up") for n in range(320)], "lasts 4 s, and do not last as long"),
        ([(n / 2, "up" if n % 2 else "down") for n in range(8)], "column label changes at every other row"),
        ([(n / 2, "up") for n in range(7)] + [("x", "up")], "column time, row 8: 'x' is no number"),
        ([(n / 2, "up") for n in range(7)] + [("", "up")], "row 8: column time is empty"),
    ],
)
def test_what_is_no_label_of_a_stamp_is_refused(
    archive: MotionArchive, rows: list[tuple[object, str]], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        put(archive, "time,label\n" + "".join(f"{t},{label}\n" for t, label in rows))
    assert "k" not in archive.tracks


def test_how_sure_labels_are_is_no_label_and_decimals_may_be_commas(archive: MotionArchive) -> None:
    text = "time,label,certainty\n" + "".join(f"{n / 20},{'up' if n < 40 else 'down'},0.{n % 9}5\n" for n in range(80))
    put(archive, text)
    known = spans(archive)
    assert known == [("a", 0, 2, "up"), ("a", 2, 4, "down")]
    put(archive, text.replace(",", ";").replace(".", ","))
    assert spans(archive) == known


def test_the_recording_that_a_file_is_about(archive: MotionArchive, tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("time,label\n" + "".join(f"{n / 20},up\n" for n in range(80)))
    with pytest.raises(
        DataError, match=r"no recording 'day' in the archive; it has a, b; say which one .* --recording"
    ):
        labelled(archive, tmp_path / "day.csv", "k")
    labelled(archive, tmp_path / "day.csv", "k", recording="b")
    assert spans(archive) == [("b", 0, 4, "up")]
