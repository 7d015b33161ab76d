"""Classifiers of features less the mean of each person's clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import main
from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import select
from motet.report.timeline import PREDICTED, _of_model
from motet.use.fit import fit
from motet.use.predict import Live
from motet.use.predictor import Predictor, load_predictor
from tests.use.made import CLASSES, FPS, recordings


def worn_otherwise(path: Path, seed: int = 0) -> MotionArchive:
    """Clips of three postures; the sensor of each of four people tilts by more than these differ by."""
    random, own = np.random.default_rng(seed), 12 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 1]])
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=FPS, class_names=list(CLASSES)) as writer:
        for i in range(36):
            label, person = i % 3, i // 9
            tilt = 2 * np.eye(3)[label] + own[person]
            frames = random.normal(0, 0.5, (30, 2, 3)) + np.array([tilt, np.zeros(3)])
            writer.add(frames, name=f"c{i:02d}", label=label, subject=person + 1)
    return MotionArchive.open(path)


def fitted(archive: MotionArchive, out: Path, **options: Any) -> Predictor:
    return fit(archive, out, **{"candidates": ("statistics+linear", "raw+linear"), "progress": False, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("centred")
    fitted(worn_otherwise(where / "a.motet"), where / "model", centre_by="subject")
    return where


def test_people_whose_sensors_sit_otherwise_are_told_right(folder: Path, tmp_path: Path) -> None:
    archive = MotionArchive.open(folder / "a.motet")
    plain, model = fitted(archive, tmp_path / "plain"), load_predictor(folder / "model")
    assert model.config["expected"]["accuracy"] > plain.config["expected"]["accuracy"] + 0.2
    assert model.config["expected"]["accuracy"] > 0.9
    assert "less the mean of clips of the same subject" in (folder / "model" / "README.md").read_text()
    assert "less the mean" not in (tmp_path / "plain" / "README.md").read_text()
    new = worn_otherwise(tmp_path / "new.motet", seed=9)
    said = model.predict(new)["label"].to_list()
    assert np.mean([a == list(CLASSES)[b] for a, b in zip(said, new.labels, strict=True)]) > 0.9


def test_a_clip_is_seen_next_to_those_of_the_same_person(folder: Path, tmp_path: Path) -> None:
    archive, model = MotionArchive.open(folder / "a.motet"), load_predictor(folder / "model")
    read, people = model.reader(archive), archive.clips["subject"].to_numpy()
    found = model.predict(archive)
    for person in (1, 3):
        rows = np.flatnonzero(people == person)
        members = []
        for member in model.members:
            assert member.dense is not None
            seen = [member.dense(read(int(row)), model.layout).mean(axis=0) for row in rows]
            members.append(replace(member, mean=np.mean(seen, axis=0)))
        alone = replace(model, members=members)
        for row in rows:
            label, sure = alone.clip(read(int(row)))
            assert found["label"][int(row)] == [*model.classes, "none of these"][label]
            assert found["probability"][int(row)] == pytest.approx(sure[label], abs=1e-4)
    one = select(archive, tmp_path / "one.motet", where="subject = 3")
    assert model.predict(one).equals(found.filter(people == 3))


def test_people_of_few_clips_are_warned_of(folder: Path, tmp_path: Path) -> None:
    few = select(folder / "a.motet", tmp_path / "few.motet", where="subject < 3 or name in ('c18', 'c19')")
    with pytest.warns(MotetWarning, match=r"1 of 3 groups by subject have fewer clips than the model has classes"):
        load_predictor(folder / "model").predict(few)


def test_long_recordings_have_bouts(folder: Path, tmp_path: Path) -> None:
    made = worn_otherwise(tmp_path / "made.motet", seed=4)
    with ArchiveWriter(tmp_path / "long", skeleton=made.skeleton, fps=FPS) as writer:
        for i in range(0, 36, 9):
            frames = np.concatenate([made.clip(i + k) for k in sorted(range(9), key=lambda k: k % 3)])
            for name in "ab":
                writer.add(frames, name=f"{name}{i}", subject=i // 9 + 1)
    long = MotionArchive.open(tmp_path / "long")
    with pytest.warns(MotetNote, match="much longer than the clips"):
        seen = _of_model(folder / "model", long)
    assert len(seen.certainty) == len(long)
    assert min(certainty.min() for certainty in seen.certainty.values()) > 0.4
    bouts = seen.tracks[PREDICTED].filter(recording="a27")["label"].to_list()
    assert [label for label in dict.fromkeys(bouts) if label in CLASSES] == list(CLASSES)


def test_what_cannot_be_centred_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, model = MotionArchive.open(folder / "a.motet"), load_predictor(folder / "model")
    for use in (lambda: Live(model), lambda: model.clip(archive.clip(0))):
        with pytest.raises(ConfigError, match="it predicts archives alone; for streams fit without --centre-by"):
            use()
    alone = select(archive, tmp_path / "alone.motet", keep=["c00", "c10"])
    with pytest.raises(
        ConfigError, match=r"a value of 'subject' of its own, .*; predict all clips of each together, or"
    ):
        model.predict(alone)
    words = ["fit", str(archive.path), "--out", str(tmp_path / "m"), "--centre-by", "subject", "--candidates"]
    assert main([*words, "network", "statistics+linear"]) == 2
    assert "network has no features that could be centred" in capsys.readouterr().err
    long = recordings(tmp_path / "long.motet")
    assert main(["fit", str(long.path), *words[2:], "statistics+linear"]) == 2
    assert "not of recordings with the label track activity: `motet data split --track`" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_by_default_the_network_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.use.fit.CANDIDATES", ("statistics+linear", "network"))
    monkeypatch.setattr("motet.use.fit.fitting_weights", lambda _: [])
    monkeypatch.setattr("motet.use.fit.FEW_SECONDS", 0.0)
    model = fitted(worn_otherwise(tmp_path / "a.motet"), tmp_path / "m", candidates=None, centre_by="subject")
    assert [one["name"] for one in model.config["candidates"]] == ["statistics+linear"]
