from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from motet.cli import main
from motet.methods import distillation as distill
from tests.methods.distillation.toys import write_table

QUICK = ["--epochs", "2", "--features", "8", "--hidden", "8", "--fuse-hidden", "8", "--batch-size", "16", "--quiet"]


@pytest.mark.parametrize("method", ["amid", "alone", "teacher", "kd"])
def test_distill_from_the_command_line(tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "t.npz")
    words = ["distill", str(table), "--target", "eye", "--auxiliary", "ear", "--out", str(tmp_path / "run")]
    words += ["--method", method, "--seeds", "0", "1", "--json", str(tmp_path / "r.json"), *QUICK[:-1]]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Will it help? the auxiliary adds" in said
    heading = {"alone": "alone: eye", "teacher": "teacher: eye + ear"}.get(method, f"{method}: eye, taught with ear")
    assert f"**{heading}** (t, rule fold, 2 folds × 2 seeds)" in said
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["settings"]["training"]["epochs"] == 2
    assert len(found["replicas"]) == 4


def test_the_estimate_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "t.npz")
    words = ["distill", str(table), "--target", "eye", "--auxiliary", "ear", "--diagnose-only"]
    assert main([*words, "--json", str(tmp_path / "f.json")]) == 0
    assert "Help is" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "f.json").read_text())["probes"]) == {"eye", "ear", "target", "all"}


def test_the_estimate_alone_looks_at_training_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(write_table(tmp_path / "t.npz")) as made:
        columns = {name: made[name] for name in made.files if name not in ("fold", "group")}
    tested = np.arange(len(columns["label"])) % 4 == 0
    columns["split"] = np.where(tested, "test", "train")
    words = ["--target", "eye", "--auxiliary", "ear", "--diagnose-only"]

    def said(**changes: object) -> str:
        np.savez(tmp_path / "u.npz", **{**columns, **changes})
        assert main(["distill", str(tmp_path / "u.npz"), *words]) in (0, 2)
        out = capsys.readouterr()
        return out.out + out.err

    noise = columns["ear"].copy()
    noise[tested] = np.random.default_rng(0).normal(size=noise[tested].shape)
    assert said() == said(ear=noise)  # what only tests is not looked at
    assert "0 rows with" in said(available_ear=tested)
    assert "error" in said(split=np.full(len(tested), "train"))


def test_resume_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "t.npz")
    words = ["distill", str(table), "--target", "eye", "--out", str(tmp_path / "run"), "--method", "alone", *QUICK[:-1]]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert main(["distill", "--resume", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == first


def test_other_verbs_on_a_distillation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What can use a student does; what cannot says what can."""
    table, run, out = write_table(tmp_path / "t.npz"), tmp_path / "run", tmp_path / "features.npz"
    quick = ["--method", "alone", "--split", "all", *QUICK]
    assert main(["distill", str(table), "--target", "eye", "--out", str(run), *quick]) == 0
    assert main(["embed", str(run), str(table), "--out", str(out)]) == 0
    with np.load(out) as found:
        assert found["features"].shape == (120, 8)
        assert found["probabilities"].sum(axis=1) == pytest.approx(np.ones(120), abs=1e-5)
        assert found["class_names"].tolist() == ["0", "1", "2"]
        assert found["label"].tolist() == [n % 3 for n in range(120)]
    capsys.readouterr()
    assert main(["embed", str(run), str(tmp_path / "absent.npz"), "--out", str(out), "--overwrite"]) == 2
    assert "absent.npz" in capsys.readouterr().err


def test_bad_input_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = str(write_table(tmp_path / "good.npz"))
    bad = str(write_table(tmp_path / "bad.npz", eye=np.full((120, 2), np.nan)))
    out = ["--out", str(tmp_path / "run"), *QUICK]
    for words, said in (
        ([bad, "--target", "eye", "--auxiliary", "ear", *out], "modality eye is NaN"),
        ([good, "--target", "nose", *out], "no modality 'nose'"),
        ([good, "--target", "eye", "--auxiliary", "ear", "--method", "magic", *out], "no method 'magic'"),
        ([good, "--target", "eye", "--auxiliary", "ear"], "--out"),
        ([good, "--target", "eye", "--diagnose-only"], "needs an auxiliary"),
        (["--target", "eye", *out], "needs a TABLE"),
        ([str(tmp_path / "absent.npz"), "--target", "eye", *out], "absent.npz"),
    ):
        assert main(["distill", *words]) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ")
        assert said in error
        assert "\n" not in error
    assert not (tmp_path / "run").exists()


def test_the_estimate_says_what_it_looks_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """120 rows: 20 lack the eye, and of the others 9 the ear; one class has 3 rows with both."""
    rows = np.arange(120)
    label = np.where(np.isin(rows, (50, 60, 70)), 3, rows % 3)
    path = write_table(
        tmp_path / "t.npz", label=label, fold=None, available_eye=rows >= 20, available_ear=(rows < 20) | (rows >= 29)
    )
    words = ["distill", str(path), "--target", "eye", "--auxiliary", "ear", "--diagnose-only"]
    assert main([*words, "--split", "all", "--json", str(tmp_path / "f.json")]) == 0
    said = capsys.readouterr().out.splitlines()
    left = "20 lack eye; 9 lack one of eye, ear; 3 are of a class with fewer than 5 rows"
    assert said[0] == f"88 of 120 rows looked at; {left}"
    names = [line.partition(": accuracy ")[0] for line in said[1:4]]
    assert names == ["eye", "ear", "all together"]
    assert all(line.split("accuracy ")[1].split(",")[0].endswith(" %") for line in said[1:4])
    assert said[4].endswith(".")
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["rows"] + sum(found["left_out"].values()) == found["total"] == 120
    assert distill.diagnose(path, "eye", "ear", split="all") == found


def test_no_target_is_said_once_with_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_table(tmp_path / "t.npz")
    assert main(["distill", str(path), "--auxiliary", "ear"]) == 2
    said = capsys.readouterr().err
    assert f"say by --target what the student sees; {path} has eye, ear (see `motet distill --help`)" in said
    assert said.count("--help") == 1


def test_progress_in_a_file_is_one_short_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = write_table(tmp_path / "t.npz")
    words = ["distill", str(path), "--target", "eye", "--auxiliary", "ear", "--no-diagnose", "--warm-up", "1"]
    assert main([*words, "--json", str(tmp_path / "r.json"), *QUICK[:-1]]) == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch 2/2")]
    terms = line.partition("clips/s  ")[2]
    assert [term.split(" ")[0] for term in terms.split("  ")][:3] == ["student", "teacher", "agreement"]
