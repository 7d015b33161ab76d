"""Recordings along time: what the page says is what the tracks and the model say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from motet import cli
from motet.core.errors import ConfigError, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import select
from motet.report import write
from motet.report.data import Motion
from motet.report.motion import MISSING, pack_long
from motet.report.timeline import _curve, _runs
from motet.use.fit import fit
from tests.use.made import FPS, clips, recordings


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return recordings(tmp_path_factory.mktemp("made") / "a.motet", people=2)


def test_a_page_of_predictions_beside_labels(
    archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fit(archive, tmp_path / "m", candidates=("statistics+linear",), folds=2, progress=False)
    words = ["report", str(tmp_path / "m"), "--data", str(archive.path), "--out", str(tmp_path / "p.html")]
    assert cli.main(words) == 0
    page = (tmp_path / "p.html").read_text()
    # one block for each interval of each track, at its place
    bouts = len(archive.tracks["activity"]) + len(model.predict(archive))
    blocks = re.findall(r'<rect class="k\d r\d" x="([\d.]+)" y="0" height="22" width="([\d.]+)"', page)
    assert len(blocks) == bouts
    first = archive.tracks["activity"].row(0, named=True)
    seconds = archive.lengths[0] / FPS
    assert float(blocks[0][1]) == pytest.approx(1000 * first["end"] / seconds, abs=0.01)
    assert page.count('class="certainty"') == len(archive)
    assert "activity against predicted" in page
    assert "The model has learnt from these very recordings" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    # the confusion counts every frame that both label
    counts = [int(n) for n in re.findall(r'data-tip="\w+: (\d+) of', page)]
    assert sum(counts) == sum(archive.lengths)
    # signals that the script draws: as many frames as it says
    payload = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(payload["motion"]["clips"]) == len(archive)
    assert len(payload["motion"]["ranges"]) == 2


def test_recordings_of_which_the_model_says_nothing_are_named(archive: MotionArchive, tmp_path: Path) -> None:
    fit(archive, tmp_path / "m", candidates=("statistics+linear",), folds=2, progress=False)
    with ArchiveWriter(tmp_path / "b.motet", skeleton=archive.skeleton, fps=FPS, units="m/s^2") as writer:
        for name, frames in (("short", 6), ("silent", 100), ("whole", 100)):
            writer.add(archive.clip(0)[:frames] * (name != "silent"), name=name)
    with pytest.warns(MotetWarning, match="left out"):
        page = write(tmp_path / "m", tmp_path / "p.html", data=tmp_path / "b.motet").read_text()
    assert "so the model says nothing: short, silent." in page
    assert page.count('class="certainty"') == 1


def test_an_archive_of_tracks_alone_and_a_model_alone(archive: MotionArchive, tmp_path: Path) -> None:
    page = write(archive.path, tmp_path / "p.html").read_text()
    assert page.count('class="recording"') == len(archive)
    assert "against" not in page
    fit(archive, tmp_path / "m", candidates=("statistics+linear",), folds=2, progress=False)
    with pytest.raises(ConfigError, match="is a model; name the recordings"):
        write(tmp_path / "m", tmp_path / "q.html")
    assert not (tmp_path / "q.html").exists()


def test_an_archive_without_a_track_shows_the_labels_of_its_clips(tmp_path: Path) -> None:
    made = clips(tmp_path / "c.motet")
    page = write(made.path, tmp_path / "p.html").read_text()
    assert "no label track." in page
    assert "There is no label track, so a row is the label of its clip." in page
    blocks = re.findall(r'data-label="(\w+)" data-from="0.00" data-to="([\d.]+)"', page)
    assert [label for label, _ in blocks] == [made.class_names[n] for n in made.labels]
    np.testing.assert_allclose([float(end) for _, end in blocks], made.lengths / FPS, atol=0.006)
    assert "How long, how often" in page
    rows = [{"recording": made.clips["name"][0], "start": 0.0, "end": 0.5, "label": "walk"}]
    made.tracks.save("clip", rows)  # a track of the same name as that row
    assert "1 label track." in write(made.path, tmp_path / "p.html").read_text()
    assert (
        "no label track, so"
        not in write(recordings(tmp_path / "t.motet", people=1).path, tmp_path / "t.html").read_text()
    )


def test_an_archive_without_labels_shows_the_movement_alone(tmp_path: Path) -> None:
    select(clips(tmp_path / "c.motet"), tmp_path / "d.motet", drop_column=("label",))
    page = write(tmp_path / "d.motet", tmp_path / "p.html").read_text()
    assert "There is no label track, so the movement is shown alone." in page
    assert page.count('class="recording"') == page.count('class="line ') == 36  # a row to point at
    assert "How long, how often" not in page
    assert "data-label=" not in page


def test_raters_of_a_track_have_a_row_each(tmp_path: Path) -> None:
    made = recordings(tmp_path / "a.motet", people=1)
    name = made.clips["name"][0]
    times = {"kim": [(0.0, 2.0, "sit"), (2.0, 3.0, "walk")], None: [(0.0, 1.0, "sit"), (1.0, 3.0, "walk")]}
    rows = [
        {"recording": name, "start": a, "end": b, "label": label, "rater": rater}
        for rater, own in times.items()
        for a, b, label in own
    ]
    made.tracks.remove("activity")
    made.tracks.save("posture", rows)
    page = write(made.path, tmp_path / "p.html").read_text()
    assert "1 label track." in page
    for line in ("posture (kim)", "posture (no name)", "≠ posture (kim)"):
        assert page.count(f'<span title="{line}">') == len(made)
    bouts = re.findall(r"<h3>(posture[^<]*)</h3>.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert [(track, re.findall(r"<td[^>]*>(\d+)</td>", body)) for track, body in bouts] == [
        ("posture (no name)", ["1", "1"]),
        ("posture (kim)", ["1", "1"]),
    ]
    assert page.count('class="differ"') == 1


def test_bodies_stay_in_the_picture_and_absent_joints_absent() -> None:
    skeleton = layouts.get("kinect-v2")
    pose = np.random.default_rng(0).normal(0, 0.3, (25, 3))
    walk = pose + np.arange(120)[:, None, None] * [0.1, 0, 0]
    walk[:, 3] = 0
    packed = pack_long(Motion(skeleton, ("x", "y", "z"), [walk[:, None]], 30.0))["clips"][0]
    assert packed["t"] == 48  # twelve frames a second
    stand = pack_long(Motion(skeleton, ("x", "y", "z"), [np.repeat(walk[:1], 120, axis=0)[:, None]], 30.0))["clips"][0]
    assert packed["w"] == pytest.approx(stand["w"], rel=0.02)  # walking away does not make it small
    import base64

    values = np.frombuffer(base64.b64decode(packed["m"]), dtype="<i2").reshape(48, 1, 25, 3)
    assert (values[:, 0, 3] == MISSING).all()
    assert (values[:, 0, skeleton.center] != MISSING).all()


def test_marks_and_curves() -> None:
    assert _runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert _runs(np.zeros(3, dtype=bool)) == []
    assert _curve(np.array([0.0, 1.0])).count(",") == 2
    assert _curve(np.ones(5000), most=100).count(",") == 100
