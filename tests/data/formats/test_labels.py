"""Columns with a label for each row become label tracks, on the time that the stamps say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetNote
from motet.data.archive import MotionArchive
from motet.data.edit import select
from motet.data.exchange import export
from motet.data.formats import import_dataset


def activity(time: float) -> str:
    return "walk" if time < 4 else "" if time < 5 else "sit"


def rows(times: Any, label: Any = activity, more: Any = lambda time: "") -> str:
    lines = [f"{t:.6f},{t:.6f},1,1,{label(t)}{more(t)}" for t in times]
    return "\n".join(["time,acc_x,acc_y,acc_z,activity", *lines, ""])


def load(folder: Path, text: str, **options: Any) -> MotionArchive:
    folder.mkdir(exist_ok=True)
    (folder / "day.csv").write_text(text)
    options = {"unit": "g"} | options
    return import_dataset("csv", folder / "day.csv", folder / "archive", progress=False, overwrite=True, **options)


def spans(archive: MotionArchive, track: str = "activity") -> list[tuple[float, float, str]]:
    return [(round(s, 3), round(e, 3), label) for _, s, e, label, *_ in archive.tracks[track].rows()]


def test_a_column_that_changes_within_a_clip_is_a_track(tmp_path: Path) -> None:
    archive = load(tmp_path, rows(np.arange(0, 8, 0.02)))
    assert spans(archive) == [(0, 4, "walk"), (5, 8, "sit")]
    assert (
        "a label for each row, so a label track, in activity (--tracks '' if they are none)"
        in (archive.source["columns"])
    )
    assert len(load(tmp_path, rows(np.arange(0, 8, 0.02)), tracks=("",)).tracks) == 0
    whole = load(tmp_path, rows(np.arange(0, 8, 0.02), lambda t: "walk"))
    assert len(whole.tracks) == 0
    assert whole.source["columns"].endswith("not read: activity; to read a label of each clip: --label activity")
    assert load(tmp_path, rows(np.arange(0, 8, 0.02), lambda t: "walk"), label="activity").class_names == ["walk"]
    assert len(load(tmp_path, rows(np.arange(0, 8, 0.02), lambda t: f"{t:.3f}")).tracks) == 0


@pytest.mark.filterwarnings("ignore:the stamps of .* keep no rate")
@settings(max_examples=15)
@given(
    seed=st.integers(0, 99),
    jitter=st.sampled_from([0.0, 0.2, 0.7]),
    gap=st.sampled_from([0.1, 0.3, 1.0, 1.5]),
    fps=st.sampled_from([None, 20.0]),
)
def test_labels_follow_the_stamps(
    tmp_path_factory: pytest.TempPathFactory, seed: int, jitter: float, gap: float, fps: float | None
) -> None:
    random = np.random.default_rng(seed)
    times = np.arange(0, 8, 0.02)
    times = np.sort(times + jitter * random.uniform(-0.01, 0.01, len(times)))
    times = times[(times < 2) | (times > 2 + gap)]
    archive = load(tmp_path_factory.getbasetemp() / "stamps", rows(times - times[0]), fps=fps)
    numbers = archive.tracks.frames("activity", 0, ["walk", "sit"])
    read = archive.clip(0)[:, 0, 0, 0]  # the sensor reads its time
    frame = 1 / float(archive.fps or 1)
    wanted = np.where(read < 4, 0, np.where(read < 5, -1, 1))
    clear = (read > 0.05) & (np.abs(read - 4) > frame) & (np.abs(read - 5) > frame)
    assert (numbers == wanted)[clear].all()
    in_gap = slice(round(2.1 / frame), round(1.9 / frame + gap / frame))
    assert (numbers[in_gap] == (-1 if gap > 0.5 else 0)).all()


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        (rows(np.arange(0, 8, 0.02)), "track activity of 2 classes"),
        (
            rows(np.arange(0, 8, 0.02), more=lambda t: ",leg").replace("activity\n", "activity,label\n"),
            "1 class, track",
        ),
        (rows(np.arange(0, 8, 0.02), lambda t: ""), "no labels"),
    ],
)
def test_an_import_says_the_classes_of_tracks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, classes: str
) -> None:
    (tmp_path / "day.csv").write_text(text)
    assert main(["data", "import", "csv", str(tmp_path / "day.csv"), str(tmp_path / "a"), "--unit", "g"]) == 0
    assert f": 1 clip, 400 frames, {classes}" in capsys.readouterr().out


def test_which_of_several_columns_are_labels_is_said(tmp_path: Path) -> None:
    text = rows(np.arange(0, 8, 0.02), more=lambda t: f",{'good' if t < 6 else 'bad'},n{t:.2f},{int(t)}")
    text = text.replace("activity\n", "activity,mood,note,phase_id\n")
    archive = load(tmp_path, text)
    assert list(archive.tracks) == ["activity", "phase_id"]
    assert archive.source["columns"].endswith("not read: mood, note; to read labels along time: --tracks mood")
    archive = load(tmp_path, text, tracks=("mood",))
    assert (list(archive.tracks), spans(archive, "mood")) == (["mood"], [(0, 6, "good"), (6, 8, "bad")])
    for column, words in (("moody", "no column 'moody', which --tracks names"), ("acc_x", "which is no label")):
        with pytest.raises(DataError, match=words):
            load(tmp_path, text, tracks=(column,))


@pytest.mark.filterwarnings("ignore:no column holds stamps")
def test_labels_without_a_rate(tmp_path: Path) -> None:
    text = "acc_x,acc_y,acc_z,label\n" + "1,1,1,up\n" * 9 + "1,1,1,down\n" * 9
    with pytest.warns(MotetNote, match="becomes a label track"):
        assert spans(load(tmp_path, text, fps=9.0), "label") == [(0, 1, "up"), (1, 2, "down")]
    with pytest.raises(ConfigError, match="--tracks label: labels along time need a rate; state it with --fps"):
        load(tmp_path, text, tracks=("label",))
    with pytest.warns(MotetNote, match="labels in activity change .* state it with --fps"):
        assert len(load(tmp_path, text.replace("label", "activity")).tracks) == 0
    with pytest.warns(MotetNote), pytest.raises(DataError, match="line 11, column label: it changes within a clip"):
        load(tmp_path, text)


def test_a_label_that_changes_within_a_clip_of_one_file_is_a_track_in_all(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, last in (("a", "up"), ("b", "down")):
        text = "time,acc_x,acc_y,acc_z,label\n" + "".join(
            f"{n / 10},1,1,{n},{'up' if n < 10 else last}\n" for n in range(20)
        )
        (tmp_path / "in" / f"{name}.csv").write_text(text)
    with pytest.warns(MotetNote, match="column label changes within a clip.*tell them apart with --clip"):
        archive = import_dataset("csv", tmp_path / "in", tmp_path / "archive", progress=False, unit="g")
    assert archive.tracks["label"].select("recording", "start", "end", "label").rows() == [
        ("a", 0, 2, "up"),
        ("b", 0, 1, "up"),
        ("b", 1, 2, "down"),
    ]
    assert archive.clips["label"].null_count() == 2


@pytest.mark.filterwarnings("ignore:.*no built-in layout")
def test_people_with_labels_of_their_own_have_tracks_of_their_own(tmp_path: Path) -> None:
    lines = [f"{n},{p},{n},0,1,{k}" for n in range(10) for p, k in (("m1", "rest"), ("m2", "rear" if n > 4 else ""))]
    text = "\n".join(["frame,person,nose_x,nose_y,nose_z,behaviour", *lines, ""])
    archive = load(tmp_path, text, fps=10.0, unit="m", kind="body", up="+y", right_handed=True)
    assert spans(archive, "behaviour m1") == [(0, 1, "rest")]
    assert spans(archive, "behaviour m2") == [(0.5, 1, "rear")]
    each = select(archive, tmp_path / "each", apart=True)
    assert each.clips["individual"].to_list() == ["m1", "m2"]
    assert list(each.tracks["behaviour"]["label"]) == ["rest", "rear"]


def test_what_is_exported_comes_back_by_its_columns(tmp_path: Path) -> None:
    archive = load(tmp_path, rows(np.arange(0, 8, 0.02)))
    export(archive, tmp_path / "out")
    assert main(["data", "import", "csv", str(tmp_path / "out"), str(tmp_path / "again"), "--unit", "g"]) == 0
    again = MotionArchive.open(tmp_path / "again")
    assert spans(again) == spans(archive)
    assert (np.asarray(again.frames) == np.asarray(archive.frames)).all()
