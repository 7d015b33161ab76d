"""The discover verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from motet.archive import MotionArchive
from motet.cli import main
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
    assert "| B1 | classifier |" in capsys.readouterr().out
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
    assert main(["evaluate", str(out)]) == 2
    assert "is a discovery" in capsys.readouterr().err


def test_what_is_said_counts_whatever_the_recipe(
    paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    words = ["--recipe", "paper", "--preprocess", "first-frame", "--ema", "0.99", "--mask=0.1"]
    assert main(["discover", *paths, "--clusters", "2", "--json", str(out), *words, *TINY]) == 0
    settings = json.loads(out.read_text())["settings"]
    assert (settings["name"], settings["ema"], settings["mask"]) == ("paper", 0.99, 0.1)
    assert (settings["dropout"], settings["epochs"]) == (0.5, 1)
    assert "| B0 | classifier |" in capsys.readouterr().out


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
