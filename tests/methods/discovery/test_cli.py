"""The discover verb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from motet.cli import main
from motet.core.errors import RunError
from motet.data.archive import MotionArchive
from motet.methods import discovery as discover
from tests.conftest import write_clips

SIZES = {"encoder": "gru", "hidden": 4, "layers": 1, "frames": 8, "dim": 4, "batch-size": 8, "kmeans-restarts": 1}
TINY = ["--epochs=1", "--finetune-epochs=1", *(f"--{name}={value}" for name, value in SIZES.items())]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("sets")
    made: list[MotionArchive] = [write_clips(folder / n, 24, 3, 2, seed=s) for s, n in enumerate(("a", "b"))]
    return ["--source", str(made[0].path), "--target", str(made[1].path)]


def test_discover_and_again(paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, written = tmp_path / "run", tmp_path / "result.json"
    assert main(["discover", *paths, "--out", str(out), "--clusters", "3", "--json", str(written), *TINY]) == 0
    assert "| B1 | classifier |" in " ".join(capsys.readouterr().out.split())
    result = json.loads(written.read_text())
    assert result["k"] == 3
    assert result["settings"]["name"] == "small"
    assert main(["discover", "--resume", str(out)]) == 0  # nothing is left to do
    assert "## Clusters of B0" in capsys.readouterr().out


def test_clusters_are_named_and_exported(paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, labels, told = tmp_path / "run", tmp_path / "labels.csv", tmp_path / "told.json"
    assert main(["discover", *paths, "--out", str(out), "--clusters", "3", *TINY]) == 0
    words = ["--name", "0=wave", "2=wave", "--out", str(labels), "--json", str(told)]
    assert main(["clusters", str(out), *words]) == 0
    assert "24 clips; wave" in capsys.readouterr().out
    found = json.loads(told.read_text())
    assert found["names"] == {"0": "wave", "1": "cluster 1", "2": "wave"}
    assert sum(found["classes"].values()) == len(labels.read_text().splitlines()) - 1 == 24
    assert main(["clusters", str(out), "--archive", paths[3], "--out", str(tmp_path / "new.parquet")]) == 0
    assert "24 clips; wave" in capsys.readouterr().out  # the names are remembered
    for args, word in (
        (["--name", "wave"], "NUMBER=NAME"),
        (["--archive", paths[3]], "--out"),
        (["--name", "8=x"], "0 … 2"),
    ):
        assert main(["clusters", str(out), *args]) == 2
        assert word in capsys.readouterr().err
    assert main(["evaluate", str(out), "--protocols", "knn"]) == 0
    assert "| knn " in capsys.readouterr().out


def test_what_is_said_counts_whatever_the_recipe(
    paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    words = ["--recipe", "paper", "--preprocess", "first-frame", "--ema", "0.99", "--mask=0.1"]
    assert main(["discover", *paths, "--clusters", "2", "--json", str(out), *words, *TINY]) == 0
    settings = json.loads(out.read_text())["settings"]
    assert (settings["name"], settings["ema"], settings["mask"]) == ("paper", 0.99, 0.1)
    assert (settings["dropout"], settings["epochs"]) == (0.5, 1)
    assert "| B0 | classifier |" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--clusters", "99", "--out", "x"], "lower --clusters"),
        (["--task", "nothing", "--out", "x"], "vicon-kinect"),
        (["--recipe", "huge", "--out", "x"], "paper, small"),
        (["--clusters", "3"], "--out"),
        (["--method", "magic", "--out", "x"], "method"),
    ],
)
def test_bad_input_is_one_line(
    paths: list[str], args: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["discover", *paths, *args]) == 2
    said = capsys.readouterr().err.strip()
    assert word in said
    assert "\n" not in said


def test_quiet_is_quiet(paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", *paths, "--out", str(tmp_path / "run"), "--clusters", "3", "--quiet", *TINY]) == 0
    assert capsys.readouterr() == ("", "")
    assert "| B1 | classifier |" in (tmp_path / "run" / "result.md").read_text()


def test_lines_of_a_log_are_whole(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["discover", *paths, "--out", str(tmp_path / "run"), *TINY]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("finetune, epoch") and "pairs/B1" in line for line in lines)  # more on a slow machine
    # how sure an estimate is, and that hardly anything was trained
    said = next(line for line in lines if "doubtful" in line)
    assert "the features come of 1 step of pretraining only, and the number depends on it" in said
    text = (tmp_path / "run" / "result.md").read_text()
    assert "| clusters | scatter | stability | silhouette | distinct | far too small |" in text
    k = json.loads((tmp_path / "run" / "result.json").read_text())["k"]
    assert f"| **{k}** |" in text
    assert "doubtful" in text


def test_the_help_names_resume_and_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["discover", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "`motet resume RUN` continues" in said
    assert "those of the recipe body" in said
    for leak in ("options options", "{None}", ":mod:", ":class:", "``", "--name STR"):
        assert leak not in said
    assert main(["discover", "--out", "x"]) == 2
    assert "missing --source and --target (see" in capsys.readouterr().err


def test_clips_that_fit_nowhere_have_no_class(
    paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, labels, told = tmp_path / "run", tmp_path / "new.csv", tmp_path / "told.json"
    assert main(["discover", *paths, "--out", str(out), "--clusters", "3", *TINY]) == 0
    capsys.readouterr()
    words = ["--branch", "B1", "--out", str(labels), "--no-outliers", "--json", str(told)]
    assert main(["clusters", str(out), *words]) == 0
    said = capsys.readouterr().out
    assert said.startswith("clusters of branch B1, ")
    assert "; 1 fit nowhere, unlabelled" in said
    assert json.loads(told.read_text())["unlabelled"] == 1
    table = pl.read_csv(labels)
    assert table["class"].is_null().to_list() == table["label"].is_null().to_list()
    assert table["class"].null_count() == 1
    # an error comes alone, not after a list
    assert main(["clusters", str(out), "--out", str(tmp_path / "labels.txt")]) == 2
    assert capsys.readouterr().out == ""


def test_labels_go_back_into_an_archive(paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, again = tmp_path / "run", tmp_path / "again.motet"
    paths = [*paths[:3], str(shutil.copytree(paths[3], tmp_path / "target"))]
    assert main(["discover", *paths, "--out", str(out), "--clusters", "3", *TINY]) == 0
    assert main(["clusters", str(out), "--name", "0=wave", "--into", str(again), "--no-odd"]) == 0
    assert "again.motet: archive of 24 clips with these labels, 1 without" in capsys.readouterr().out
    before, after = MotionArchive.open(paths[3]), MotionArchive.open(again)
    table = discover.export_labels(out, tmp_path / "labels.csv", odd=False)
    assert [after.class_names[i] if i >= 0 else None for i in after.labels] == table["class"].to_list()
    assert after.clips["subject"].equals(before.clips["subject"])
    assert (after.clip(5) == before.clip(5)).all()
    assert (after.skeleton, after.fps, after.units) == (before.skeleton, before.fps, before.units)
    # the labels teach like any others
    assert set(discover.data.sides(after, before).source_classes) <= set(range(len(after.class_names)))
    shutil.rmtree(before.path)
    shutil.copytree(paths[1], before.path)
    with pytest.raises(RunError, match="name them by --archive"):
        discover.label_archive(out, tmp_path / "third.motet")


def test_names_come_with_the_clusters(paths: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    archive = write_clips(tmp_path / "new", 6, 3, 2, seed=3)
    assert main(["discover", *paths, "--out", str(out), "--clusters", "2", *TINY]) == 0
    discover.name_clusters(out, {0: "wave"})
    table = discover.load(out).label(archive)
    assert table["B0_class"].to_list() == [{0: "wave"}.get(k, f"cluster {k}") for k in table["B0"]]
    assert main(["embed", str(out), str(archive.path), "--out", str(tmp_path / "x.npz")]) == 0
    with np.load(tmp_path / "x.npz") as made:
        assert made["class_B0"].tolist() == table["B0_class"].to_list()
        assert made["class_B1"].tolist() == [f"cluster {k}" for k in table["B1"]]
