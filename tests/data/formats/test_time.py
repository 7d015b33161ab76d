from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.data import layouts
from motet.data.formats import _time, import_dataset

COCO = layouts.get("coco-17").joints


def table(times: list[str] | None, rows: int, column: str = "time") -> str:
    names = [f"{j}_{a}" for j in COCO for a in "xyz"]
    lines = [",".join([*([column] if times else []), *names])]
    lines += [",".join([*([times[i]] if times else []), *["1.5"] * len(names)]) for i in range(rows)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("fps", "decimals"), [(60, 2), (120, 3), (60, 3), (30, 3), (25, 2), (29.97, 4), (59.94, 5)])
@pytest.mark.parametrize("gap", [0, 45])
def test_rounded_stamps_do_not_bias_the_rate(fps: float, decimals: int, gap: int) -> None:
    numbers = np.concatenate([np.arange(60), np.arange(60 + gap, 120 + gap)])
    found = _time.of_stamps(np.round(numbers / fps, decimals), "a.csv")
    assert found.fps == pytest.approx(fps, rel=1e-3)
    assert (found.count, found.gaps) == (120 + gap, ((59, gap),) if gap else ())
    np.testing.assert_array_equal(found.place, numbers)


@settings(max_examples=50)
@given(st.permutations(range(8)), st.sampled_from([1.0, 2.0, 5.0]))
def test_order_and_step_of_numbers(order: list[int], step: float) -> None:
    numbers = np.array([0, 1, 2, 3, 7, 8, 9, 11])[order]
    found = _time.of_numbers(numbers * step + 40, "a")
    np.testing.assert_array_equal(found.place, numbers)
    assert (found.count, found.gaps) == (12, ((3, 3), (9, 1)))


def test_a_gap_longer_than_any_recording_is_named() -> None:
    with pytest.raises(DataError, match=r"a\.csv: 9999996 frames are missing after frame 3, of a recording of 5"):
        _time.of_numbers([0, 1, 2, 3, 10_000_000], "a.csv")
    with pytest.raises(DataError, match=r"frames are missing after 0\.3 s"):
        _time.of_stamps(np.array([0, 0.1, 0.2, 0.3, 1e9]), "a.csv")


@pytest.mark.parametrize(
    ("factor", "column", "unit"),
    [
        (1e3, "time", "ms"),
        (1e6, "time", "us"),
        (1e9, "time", "ns"),
        (1, "time", "s"),
        (1, "t [s]", "s"),
        (1e3, "timestamp_ms", "ms"),
        (1e3, "time_millis", "ms"),
        (1e6, "timestamp_us", "us"),
        (1e3, "timestampMs", "ms"),
        (1e3, "timeMillis", "ms"),
        (1e3, "epoch_ms", "ms"),
        (1, "unix_seconds", "s"),
        (1e3, "epochTimeMs", "ms"),
        (1e9, "Timestamp [ns]", "ns"),
    ],
)
@pytest.mark.parametrize("since", [0.0, 1.7e9])
def test_units_of_stamps(factor: float, column: str, unit: str, since: float) -> None:
    seconds = since + np.arange(20) / 50
    texts = [repr(round(s * factor, 6)) for s in seconds.tolist()]
    assert _time.COLUMN.fullmatch(column)
    noted = pytest.warns(MotetNote, match=_time.WORDS[unit]) if column == "time" and unit != "s" else nullcontext()
    with noted:
        found = _time.seconds(texts, column, "a.csv")
    np.testing.assert_allclose(np.diff(found), 0.02, rtol=1e-4)
    np.testing.assert_allclose(_time.seconds(texts, "x", "a.csv", unit), found)  # type: ignore[arg-type]


@pytest.mark.parametrize("column", ["epoch", "timestep", "times", "timeout", "tms", "temperature"])
def test_what_is_no_stamp(column: str) -> None:
    """An epoch alone may be a window's number."""
    assert not _time.COLUMN.fullmatch(column)


def test_a_unit_that_the_values_belie_is_noted() -> None:
    with pytest.warns(MotetNote, match="column timestamp_ms are taken for milliseconds"):
        found = _time.seconds([repr(i / 50) for i in range(20)], "timestamp_ms", "a.csv")
    np.testing.assert_allclose(np.diff(found), 2e-5)


def test_milliseconds_called_seconds_are_noted() -> None:
    with pytest.warns(MotetNote, match="column time_s are taken for seconds; say so with --time-unit if they are not"):
        found = _time.seconds([f"{20 * k}" for k in range(9)], "time_s", "a.csv", "auto")
    assert found[1] - found[0] == 20


def test_stamps_since_the_start_in_nanoseconds_are_no_seconds_since_1970() -> None:
    texts = [str(round(i * 1e9 / 30)) for i in range(60, 120)]
    with pytest.warns(MotetNote, match="taken for nanoseconds"):
        np.testing.assert_allclose(np.diff(_time.seconds(texts, "time", "a")), 1 / 30, atol=1e-8)


@pytest.mark.parametrize(
    ("numbers", "times", "places"),
    [
        ([1, 2, 3, 4, 5, 6], [0, 1, 2, 7, 8, 9], [0, 1, 2, 7, 8, 9]),  # numbered as written
        ([1, 2, 3, 8, 9, 10], [0, 1, 2, 3, 4, 5], [0, 1, 2, 7, 8, 9]),  # stamped by a rate
        ([1, 2, 3, 8, 9, 10], [0, 1, 2, 7, 8, 9], [0, 1, 2, 7, 8, 9]),
        ([1, 1, 2, 2, 5, 5], [0, 0, 1, 1, 4, 4], [0, 0, 1, 1, 4, 4]),  # two people
    ],
)
def test_a_gap_that_numbers_or_stamps_hide(numbers: list[int], times: list[int], places: list[int]) -> None:
    found = _time.of_both(np.array(numbers, dtype=float), np.array(times) / 25, "a")
    assert found.place.tolist() == places
    if times != [0, 1, 2, 3, 4, 5]:
        assert found.fps == 25


def test_rows_of_a_coarse_clock_lie_between_its_steps() -> None:
    exact = np.arange(100) / 30 + 0.4
    spread = _time.apart(np.floor(exact))
    assert np.abs(spread - exact).max() < 0.05
    assert _time.of_stamps(spread, "a").fps == pytest.approx(30, rel=0.01)
    once = np.array([0, 1, 2, 2, 3]) / 25  # one row twice is no coarse clock
    np.testing.assert_array_equal(_time.apart(once), once)


def test_dates_and_clocks() -> None:
    for texts in (
        ["2024-03-31T01:59:59.5", "2024-03-31T02:00:00.5"],
        ["2024-01-01 10:00:00,25", "2024-01-01 10:00:01,25"],
        ["2024-01-01T10:00:00+02:00", "2024-01-01T08:00:01Z"],
        ["23:59:58.5", "23:59:59.5"],
        ["2024/03/01 10:00:00.000", "2024/03/01 10:00:01.000"],
        ["2024.12.31 23:59:59.5", "2025.01.01 00:00:00.5"],
    ):
        np.testing.assert_allclose(np.diff(_time.seconds(texts, "t", "a")), 1)
    with pytest.raises(DataError, match="column t, row 2: 'noon' is no time, number or date"):
        _time.seconds(["10:00:00", "noon"], "t", "a")
    for text, remedy in (
        ("0,02", "; for decimal commas pass --decimal ,$"),
        ("01/02/2024 10:00:00", "; pass --time '' and --fps to leave the column out$"),  # who knows which is the month
    ):
        with pytest.raises(DataError, match=remedy):
            _time.seconds([text], "t", "a", "auto")
    with pytest.raises(DataError, match=r"date \(ISO 8601\)$"):  # a reader without these options
        _time.seconds(["0,02"], "t", "a")


def test_resampling_keeps_what_is_absent_absent() -> None:
    frames = np.arange(1.0, 7).reshape(6, 1, 1)
    frames[3] = 0
    out = _time.resample(frames, 30, 60)[:, 0, 0]
    np.testing.assert_allclose(out, [1, 1.5, 2, 2.5, 3, 0, 0, 0, 5, 5.5, 6])


def test_rates_of_several_recordings() -> None:
    with pytest.raises(DataError, match=r"a has 30 frames/s and b 60, .*resample them with --fps"):
        _time.one_rate([("a", 30.0), ("b", 60.0), ("c", None)], None)
    assert _time.one_rate([("a", 30.0), ("b", 60.0)], 20.0) == 20
    assert _time.one_rate([("a", 119.9), ("b", 120.0)], None) == 119.9
    assert _time.one_rate([("a", None)], None) is None
    moments = np.arange(3.0)
    loose = [(str(fps), _time.Timing(fps, np.arange(3), 3, moments=moments)) for fps in (94.0, 102.0, 104.0)]
    with pytest.warns(MotetNote, match="stamps of 94.0 and 2 more keep no rate"):
        assert _time.one_rate(loose, None) == 102
    with pytest.warns(MotetNote, match="at 25 a second"):
        assert _time.one_rate([*loose, ("a", 25.0)], None) == 25
    with pytest.raises(ConfigError):
        _time.one_rate([], 0.0)


@pytest.mark.parametrize("column", ["time", "Timestamp", "t", "Time (s)", "seconds", "Frame", "frame_id", "fnum"])
def test_missing_rows_of_a_table_are_absent_frames(tmp_path: Path, column: str) -> None:
    frames = column[0] in "Ff"
    times = [str(i) if frames else f"{i / 30:.4f}" for i in [*range(10), *range(40, 50)]]
    (tmp_path / "a.csv").write_text(table(times, 20, column))
    archive = import_dataset("csv", tmp_path / "a.csv", tmp_path / "out", progress=False)
    assert (archive.fps, archive.lengths.tolist()) == (None if frames else 30.0, [50])
    np.testing.assert_array_equal(archive.clip(0).any(axis=(1, 2, 3)), [*[True] * 10, *[False] * 30, *[True] * 10])


def test_tables_of_two_rates_are_resampled_when_asked(tmp_path: Path) -> None:
    for name, fps in (("a", 30), ("b", 60)):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.csv").write_text(table([f"{i / fps:.5f}" for i in range(31)], 31))
    with pytest.raises(DataError, match=r"30 frames/s and .*60"):
        import_dataset("csv", tmp_path / "in", tmp_path / "out", progress=False)
    archive = import_dataset("csv", tmp_path / "in", tmp_path / "out", progress=False, fps=30.0)
    assert (archive.fps, archive.lengths.tolist()) == (30.0, [31, 16])


def test_times_that_count_frames_are_no_seconds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(["3", "4", "6"], 3))
    archive = import_dataset("csv", tmp_path / "a.csv", tmp_path / "out", progress=False)
    assert (archive.fps, archive.lengths.tolist()) == (None, [4])


@settings(max_examples=60)
@given(
    st.integers(0, 2**31),
    st.sampled_from([0.0, 0.02, 0.1, 0.15, 0.2, 0.3]),
    st.sampled_from([0.0, 0.004, 0.05]),
    st.sampled_from([1, 2]),
    st.sampled_from([None, 30.0, 49.0, 50.0]),
)
def test_no_moment_is_off_by_more_than_a_frame(
    seed: int, jitter: float, lost: float, slower: int, wanted: float | None
) -> None:
    """Stamps at 50 Hz that jitter (in frames), lose samples, change their rate; each row holds its own time."""
    random, rows = np.random.default_rng(seed), 3000
    exact = np.concatenate([np.arange(rows) / 50, rows / 50 + np.arange(rows) / 50 * slower])
    times = np.sort(exact + random.normal(0, jitter / 50, len(exact)))
    times = times[random.random(len(times)) >= lost]
    timing = _time.of_stamps(times, "a.csv")
    frames = np.zeros((timing.count, 1, 1, 1))
    frames[timing.place, 0, 0, 0] = 1 + times - times[0]
    out = _time.brought(frames, None, timing, wanted)[0][:, 0, 0, 0]
    fps = wanted or timing.fps or 0.0
    assert abs(len(out) / fps - (times[-1] - times[0]) - 1 / fps) <= 1.5 / min(50, fps)
    there = out > 0
    assert there.all() or (lost and timing.moments is None)
    assert np.abs(out[there] - 1 - np.flatnonzero(there) / fps).max() < (1 + 5 * jitter) / 50
    assert slower > 1 or timing.fps == 50 or (jitter > 0.2 and timing.moments is not None)


@pytest.mark.parametrize(("jitter", "lost"), [(0.0, 250), (0.002, 250), (0.002, 0), (0.004, 0)])
def test_lost_and_late_samples_leave_the_rate_alone(jitter: float, lost: int) -> None:
    times = np.arange(30_000) / 50 + np.random.default_rng(0).normal(0, jitter, 30_000)
    times = times[np.arange(30_000) % lost != 17] if lost else np.sort(times)
    found = _time.of_stamps(times, "a")
    assert found.fps == 50
    if jitter < 0.003:
        assert (found.moments, found.count, len(found.gaps)) == (None, 30_000, 120 if lost else 0)


@pytest.mark.parametrize("fps", [None, 25.0])
def test_a_table_whose_rate_changes_is_resampled_and_says_so(tmp_path: Path, fps: float | None) -> None:
    times = [*np.arange(100) / 50, *(2 + np.arange(50) / 25)]
    (tmp_path / "a.csv").write_text(table([f"{t:.3f}" for t in times], 150))
    with pytest.warns(MotetNote, match=r"stamps of a\.csv keep no rate .* interpolated at \d+ a second"):
        archive = import_dataset("csv", tmp_path / "a.csv", tmp_path / "out", progress=False, fps=fps)
    assert archive.fps is not None
    assert archive.lengths[0] / archive.fps == pytest.approx(4, abs=0.05)
    assert archive.clip(0).any(axis=(1, 2, 3)).all()


def test_numbers_that_contradict_irregular_stamps_give_way() -> None:
    numbers = np.arange(150.0)
    changing = np.concatenate([np.arange(100) / 50, 2 + np.arange(50) / 25])
    assert _time.of_both(numbers, changing, "a").moments is not None
    late = np.arange(150) / 50 + np.random.default_rng(1).normal(0, 0.004, 150)
    found = _time.of_both(numbers, late, "a")
    assert (found.fps, found.moments, found.count) == (50, None, 150)


def test_stamps_that_a_clock_of_a_sensor_repeats(tmp_path: Path) -> None:
    stamps = np.arange(200) * 10
    stamps[20:200:20] -= 10  # every twentieth sample is stamped as the one before it
    lines = ["time,acc_x,acc_y,acc_z", *[f"{t / 1000:.2f},{i}.0,1.0,1.0" for i, t in enumerate(stamps)]]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    archive = import_dataset("csv", tmp_path / "a.csv", tmp_path / "out", progress=False, unit="g")
    x = archive.clip(0)[:, 0, 0, 0]
    assert (archive.fps, len(x), x[19]) == (100, 200, 19.5)
    (tmp_path / "b.csv").write_text(table(["0.00", "0.04", "0.04", "0.08", "0.12"], 5))
    with pytest.raises(DataError, match=r"line 4: a second row with the same time; tell people with --person or"):
        import_dataset("csv", tmp_path / "b.csv", tmp_path / "other", progress=False)
