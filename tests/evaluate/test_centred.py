"""Features less the mean of the person who made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import motet
from motet import evaluate
from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.evaluate.centred import Centred, groups_of, less_means, note_of
from tests.evaluate.test_runner import SKELETON, rows_of, write_run


class Fixed:
    """Features that are numbers of a table."""

    def __init__(self, table: Tensor) -> None:
        self.table = table

    def centre(self, ids: Tensor) -> dict[str, Tensor]:
        return {"joint": self.table[ids]}

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        return {"joint": self.table[ids] + start[:, None]}

    def earlier(self) -> list[Any]:
        return [Fixed(self.table * 2)]


def test_features_are_less_the_mean_of_their_group() -> None:
    table = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    groups = np.array([7, 3, 3, 7, 3, 7, 9, 9, 3, 7, 9, 3])
    ids = torch.tensor([0, 1, 2, 3, 4, 6, 7, 8])  # the others are not evaluated
    made = Centred(Fixed(table), ids, groups)
    expected = table.double().clone()
    for g in (3, 7, 9):
        own = [i for i in ids.tolist() if groups[i] == g]
        expected[groups == g] -= table[own].double().mean(dim=0)
    torch.testing.assert_close(made.centre(ids)["joint"].double(), expected[ids], rtol=0, atol=1e-6)
    start = torch.arange(2.0)
    crops = made.crops(torch.tensor([4, 0]), start, start)["joint"]  # less the mean of whole clips
    torch.testing.assert_close(crops.double(), expected[[4, 0]] + start[:, None], rtol=0, atol=1e-6)
    torch.testing.assert_close(made.earlier()[0].centre(ids)["joint"].double(), 2 * expected[ids], rtol=0, atol=1e-6)
    assert made.centre(ids)["joint"].dtype == torch.float32


def test_a_table_of_features_is_centred_in_place() -> None:
    table = np.random.default_rng(0).normal(3, 1, (9, 4)).astype(np.float32)
    groups = np.array([1, 0, 2, 1, 0, 2, 1, 1, 0])
    made = table.copy()
    less_means(made, groups)
    for g in range(3):
        np.testing.assert_allclose(made[groups == g], table[groups == g] - table[groups == g].mean(axis=0), atol=1e-6)
    holes = table.copy()
    holes[[1, 3]] = np.nan  # rows of a student without its sensor
    less_means(holes, groups)
    rest = [0, 6, 7]
    np.testing.assert_allclose(holes[rest], table[rest] - table[rest].mean(axis=0), atol=1e-6)
    assert np.isnan(holes[[1, 3]]).all()
    assert np.isfinite(np.delete(holes, [1, 3], axis=0)).all()


def offset_archive(path: Path, clips: int = 16, alone: bool = False) -> MotionArchive:
    """Two people, of whom the second has something in every clip that is larger than what tells the classes apart."""
    random = np.random.default_rng(0)
    shape = random.normal(size=(2, 10, 4, 3))
    always = 3 * random.normal(size=(10, 4, 3))
    with ArchiveWriter(path, skeleton=SKELETON, class_names=("a", "b")) as writer:
        for i in range(clips):
            who, label = i // (clips // 2), 0 if alone and i < 4 else i % 2
            frames = shape[label] + who * always + 0.01 * random.normal(size=(10, 4, 3))
            writer.add(frames, name=f"clip{i}", label=label, subject=3 if alone and i < 4 else 1 + who)
    return MotionArchive.open(path)


def test_what_a_person_always_does_is_gone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", offset_archive(tmp_path / "a"), streams=("joint",))
    found = evaluate.run(run, ("knn", "ridge", "linear-cached"), centre_by="subject", progress=False)
    rows = rows_of(found, protocol="knn", features="raw", stream="joint")
    plain, centred = ([r for r in rows if ("subset" in r.details) is flag] for flag in (False, True))
    assert len(plain) == len(centred) > 0
    assert {r.details["subset"] for r in centred} == {"centred by subject"}
    assert min(r.values[0] for r in plain) < 0.9
    assert min(r.values[0] for r in centred) == 1.0
    for protocol in ("ridge", "linear-cached"):
        both = rows_of(found, protocol=protocol)
        kinds = [{r.features for r in both if ("subset" in r.details) is flag} for flag in (False, True)]
        assert kinds[0] == kinds[1] >= {"cmd", "raw", "random encoder"}
    assert "--centre-by subject" in found["command"]
    assert "centred by subject" in (run.path / "evaluation.md").read_text()
    assert "100.0" in found["summary"].rpartition(" Centred by subject: the learned features ")[2]
    table = (run.path / "evaluation.md").read_text()
    assert table.count("rows centred by subject are less the means of all clips of either side") == 1
    assert "Note on knn, ridge, linear-cached: rows centred" in table
    again = evaluate.run(run, ("knn",), progress=False)  # another evaluation than the one with it
    assert again["kept"] == []


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")  # people on both sides
def test_rows_of_other_people_are_evaluated_again(tmp_path: Path) -> None:
    """Clips and labels are the same, who is who is not."""
    random = np.random.default_rng(0)
    clips = random.normal(size=(16, 10, 4, 3))

    def written(subject: list[int], camera: list[int]) -> MotionArchive:
        with ArchiveWriter(tmp_path / "a", skeleton=SKELETON, class_names=("a", "b"), overwrite=True) as writer:
            for i, frames in enumerate(clips):
                writer.add(frames, name=f"clip{i}", label=i % 2, subject=subject[i], camera=camera[i])
        return MotionArchive.open(tmp_path / "a")

    halves, pairs = [1 + i // 8 for i in range(16)], [1 + i // 2 % 2 for i in range(16)]
    run = write_run(tmp_path / "run", written(halves, halves), streams=("joint",))
    options: dict[str, Any] = {"split": "random:0.5@0", "centre_by": "camera", "progress": False}
    evaluate.run(run, ("knn",), data=tmp_path / "a", **options)
    assert evaluate.run(run, ("knn",), data=tmp_path / "a", **options)["kept"] == ["knn"]
    written(halves, pairs)
    assert evaluate.run(run, ("knn",), data=tmp_path / "a", **options)["kept"] == [], "other groups"
    written(pairs, pairs)
    assert evaluate.run(run, ("knn",), data=tmp_path / "a", **options)["kept"] == [], "other people"


def test_embedded_features_are_centred_as_evaluated_ones(tmp_path: Path) -> None:
    archive = offset_archive(tmp_path / "a")
    run = write_run(tmp_path / "run", archive, streams=("joint",))
    for name, column in (("plain", None), ("less", "subject")):
        motet.embed(run.path, archive.path, tmp_path / f"{name}.npz", centre_by=column)
    plain, less = (np.load(tmp_path / f"{name}.npz")["features"] for name in ("plain", "less"))
    who = archive.clips["subject"].to_numpy()
    for person in (1, 2):
        expected = plain[who == person] - plain[who == person].mean(axis=0)
        np.testing.assert_allclose(less[who == person], expected, atol=1e-6)
    with np.load(tmp_path / "less.npz") as found:
        assert (found["centre_by"].item(), found["class_names"].tolist()) == ("subject", ["a", "b"])
    assert "centre_by" not in np.load(tmp_path / "plain.npz")
    for column in ("subject", None):
        motet.embed(run.path, archive.path, tmp_path / "f.parquet", centre_by=column, overwrite=True)
        assert pl.read_parquet_metadata(tmp_path / "f.parquet").get("centre_by") == column
    with pytest.warns(MotetWarning, match="2 of 2 groups by label have clips of one class alone"):
        motet.embed(run.path, archive.path, tmp_path / "label.npz", centre_by="label")


def test_what_cannot_be_centred_is_refused(tmp_path: Path) -> None:
    archive = offset_archive(tmp_path / "a")
    run = write_run(tmp_path / "run", archive, streams=("joint",))
    with pytest.raises(ConfigError, match=r"no column 'person' to centre by; it has .*subject"):
        evaluate.run(run, ("knn",), centre_by="person", progress=False)
    with pytest.raises(ConfigError, match="linear trains on or encodes clips, and --centre-by centres features"):
        evaluate.run(run, ("knn", "linear"), centre_by="subject", progress=False)
    with pytest.raises(ConfigError, match=r"16 clips of .*a, 'clip0' first, lack a value of 'camera'"):
        groups_of(archive, "camera")
    with pytest.raises(ConfigError, match=r"every clip of .* has a value of 'name' of its own, and less the mean"):
        evaluate.run(run, ("knn",), centre_by="name", progress=False)
    with pytest.raises(ConfigError, match="less the mean of itself nothing"):
        groups_of(archive, "subject", [0])
    with pytest.raises(ConfigError, match="a shard does not hold all clips"):
        motet.embed(run.path, archive.path, tmp_path / "x.npz", centre_by="subject", shard="1/2")
    assert not (tmp_path / "x.npz").exists()


def test_a_person_with_one_class_is_named(tmp_path: Path) -> None:
    archive = offset_archive(tmp_path / "a", alone=True)
    run = write_run(tmp_path / "run", archive, streams=("joint",))
    with pytest.warns(MotetWarning, match="1 of 3 groups by subject have clips of one class alone"):
        evaluate.run(run, ("knn",), centre_by="subject", progress=False)
    assert "1 of 3 groups by subject have clips of one class alone" in (run.path / "evaluation.md").read_text()
    with pytest.warns(MotetWarning, match="1 of 2 groups by subject"):
        note_of(np.array([4, 4, 9, 9]), np.array([0, 0, 0, 1]), "subject")
    with pytest.warns(MotetNote, match="all clips are of one group by subject: centring takes the same from each"):
        note_of(np.array([4, 4, 4]), np.array([0, 1, -1]), "subject")
    assert note_of(np.array([4, 4, 9, 9]), np.array([-1, -1, 0, 1]), "subject") is None, "unknown is no class"


def test_a_number_that_is_unknown_is_no_group(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=SKELETON, class_names=("a", "b")) as writer:
        for i, session in enumerate((1.0, float("nan"), 1.0)):
            writer.add(np.ones((10, 4, 3)), name=f"clip{i}", label=i % 2, session=session)
    with pytest.raises(ConfigError, match=r"1 clip of .*, 'clip1' first, lack a value of 'session'"):
        groups_of(MotionArchive.open(tmp_path / "a"), "session")
