"""What is taken away as a report or a scene, and what moments are described by."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from motet.application import teach
from motet.application.features import OfModel, OfStatistics, default
from motet.application.labels import Interval
from motet.application.moments import Moments
from motet.application.report import agreements
from motet.application.session import Session
from motet.core.errors import ConfigError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.layouts import get as layout
from motet.data.simulate import simulate

SVG = ("labels.svg", "map.svg", "learning-curve.svg")
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    path = tmp_path_factory.mktemp("report") / "走る.motet"
    archive = simulate(path, clips=18, actions=3, actors=3, seed=0, progress=False)
    found = Session(archive, None, track="labels", rater="ann")
    found.teacher.close()  # fits are asked for
    found.moments.begin()
    assert found.moments.ready.wait(60)
    yield found
    found.close()


def named(session: Session, clips: range, rater: str, wrong: int = -1) -> None:
    archive, names = session.archive, [HOSTILE, *session.archive.class_names[1:]]
    session.labels.edit(
        [
            {
                "do": "add",
                "clip": c,
                "start": 0.0,
                "end": float(archive.lengths[c] / archive.fps),
                "label": "other" if c == wrong else names[archive.labels[c]],
            }
            for c in clips
        ],
        rater,
    )


def test_there_is_no_report_of_nothing(session: Session) -> None:
    with pytest.raises(ConfigError, match="nothing is labelled"):
        session.export("report")


def test_the_report_has_labels_raters_mistakes_and_a_map(session: Session) -> None:
    named(session, range(18), "ann")
    named(session, range(4), HOSTILE, wrong=3)
    session.teacher.fit()
    name, content = session.export("report")
    page = content.decode()
    assert name.endswith("-report.html")
    assert name.isascii()
    assert "<img" not in page
    assert "22 labels of 4 classes" in page
    shared = [session.archive.lengths[c] / session.archive.fps for c in range(4)]
    assert f"{100 * sum(shared[:3]) / sum(shared):.0f} %" in page
    assert "What is mistaken for what" in page
    assert "Each dot is one moment" in page
    assert re.search(r'"label":\[[\d,]+\]', page)  # the dots have the classes that were given
    matrix, classes = session.teacher.held_out()
    assert matrix.shape == (4, 4)
    assert sorted(classes) == sorted({one.label for one in session.labels.all()})


def test_figures_are_svg_with_what_is_labelled(session: Session) -> None:
    if not session.labels.all():
        named(session, range(18), "ann")
    for _ in range(2):
        session.labels.edit([{"do": "add", "clip": 0, "start": 0.0, "end": 0.5, "label": "other"}], "cy")
        session.teacher.fit()
        session.labels.edit([{"do": "add", "clip": 1, "start": 0.0, "end": 0.5, "label": "other"}], "cy")
        session.teacher.fit()
    name, content = session.export("figures")
    assert name.endswith("-figures.zip")
    drawn = {one: ElementTree.fromstring(zipfile.ZipFile(io.BytesIO(content)).read(one)) for one in SVG}
    marks = {one: [node.tag.split("}")[1] for node in root.iter()].count for one, root in drawn.items()}
    assert marks["map.svg"]("circle") == 18
    assert marks["labels.svg"]("title") == len(session.labels.all())
    assert marks["learning-curve.svg"]("circle") == len(session.teacher.curve)
    assert any(HOSTILE.startswith(str(node.text)[:-1]) for node in drawn["labels.svg"].iter() if node.text)


def test_the_classifier_is_that_of_motet_fit(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not session.labels.all():
        named(session, range(2), "ann")
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))

    def program(script: str) -> None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)

    program('mkdir "$6" && echo "$1 $2 $3 $4 $5 - $7 $8" > "$6/config.json"')
    with zipfile.ZipFile(io.BytesIO(session.export("model")[1])) as saved:
        said = saved.read("config.json").decode().strip()
    assert said == f"-m motet fit {session.archive.path} --out - --track labels"
    program("echo 'error: one class only' >&2; exit 2")
    with pytest.raises(ConfigError, match=r"^one class only"):
        session.export("model")
    program("exec sleep 60")
    session.closing.set()
    with pytest.raises(ConfigError, match="not finished"):
        session.export("model")
    session.closing.clear()


def test_a_recording_is_saved_as_gltf(session: Session) -> None:
    name, content = session.export("glb", 2)
    assert content.startswith(b"glTF")
    assert name == f"{session.archive.clips['name'][2]}.glb"
    with pytest.raises(ConfigError, match="no recording 99"):
        session.export("glb", 99)


def test_raters_agree_by_time() -> None:
    one = [Interval(1, 0, 0.0, 4.0, "walk", "a"), Interval(2, 1, 0.0, 2.0, "walk", "a")]
    two = [Interval(3, 0, 1.0, 2.0, "walk", "b"), Interval(4, 0, 2.0, 5.0, "run", "b")]
    [(a, b, share, words)] = agreements([*one, *two])
    assert (a, b, share) == ("a", "b", pytest.approx(1 / 3))
    assert "3 s" in words
    assert agreements(one) == []


def test_bodies_are_described_by_the_shipped_weights_and_others_by_statistics(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "body").mkdir()
    (tmp_path / "body" / "config.json").write_text("{}")  # a run of that name is not meant
    monkeypatch.chdir(tmp_path)
    found = default(session.archive)
    assert isinstance(found, OfModel)
    assert found.name == "body"
    hands = default(simulate(tmp_path / "hands", clips=2, hands=True, progress=False))
    assert isinstance(hands, OfModel)
    assert hands.name == "hand"
    with ArchiveWriter(tmp_path / "s.motet", skeleton=layout("imu-2"), fps=10.0) as writer:
        writer.add(np.random.default_rng(0).normal(size=(40, 1, 2, 3)), name="c")
    assert isinstance(default(MotionArchive.open(writer.destination)), OfStatistics)


def test_a_label_of_a_whole_clip_has_the_features_of_the_clip(session: Session) -> None:
    moments: Moments = session.moments
    seconds = float(session.archive.lengths[3] / session.archive.fps)
    assert moments.features is not None
    assert np.array_equal(moments.rows(3, 0.1 * seconds, seconds), moments.features[3:4])
    part = moments.rows(3, 0.0, 0.4 * seconds)
    assert len(part) == round(0.4 * seconds * 10)
    assert part.shape[1] == moments.features.shape[1]


def test_whole_clips_are_encoded_as_by_transform(session: Session) -> None:
    from motet.engine.model import load

    found = default(session.archive)
    blocks = list(found.whole(np.array([2, 5, 7])))
    assert np.concatenate([ids for ids, _ in blocks]).tolist() == [2, 5, 7]
    expected = load("body").transform(session.archive)[[2, 5, 7]]
    assert np.allclose(np.concatenate([rows for _, rows in blocks]), expected, atol=1e-5)


def test_the_strength_of_the_classifier_is_that_of_leave_one_out() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(24) % 3
    rows = (np.eye(3)[labels] @ random.normal(0, 3, (3, 10)) + random.normal(size=(24, 10))).astype(np.float32)
    errors = []
    for strength in teach._STRENGTHS:
        error = 0.0
        x, y = rows - rows.mean(axis=0), np.eye(3)[labels] - np.eye(3)[labels].mean(axis=0)
        penalty = strength * float((x**2).sum()) / 10
        for i in range(24):  # an intercept of its own in each part
            kept = np.arange(24) != i
            shift, bias = x[kept].mean(axis=0), y[kept].mean(axis=0)
            a = x[kept] - shift
            weight = np.linalg.solve(a.T @ a + penalty * np.eye(10), a.T @ (y[kept] - bias))
            error += float((((x[i] - shift) @ weight + bias - y[i]) ** 2).sum())
        errors.append(error)
    penalty = teach._STRENGTHS[int(np.argmin(errors))] * float((x**2).sum()) / 10
    expected = np.linalg.solve(x.T @ x + penalty * np.eye(10), x.T @ y)
    assert np.allclose(teach.Ridge(rows, labels, 3).weight, expected)


def test_few_labels_are_enough_where_noise_is_small() -> None:
    random = np.random.default_rng(1)
    scale = np.concatenate([np.full(2, 4.0), np.full(30, 0.5)])  # components that carry the classes, and others
    centres = np.zeros((4, 32))
    centres[:, :2] = [[1, 1], [1, -1], [-1, 1], [-1, -1]]
    labels = np.arange(120) % 4
    rows = ((centres[labels] + random.normal(0, 0.4, (120, 32))) * scale).astype(np.float32)
    model = teach.Ridge(rows[:16], labels[:16], 4)
    found = model(rows[16:])
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == labels[16:]).mean() > 0.9
