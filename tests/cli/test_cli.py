"""The command as users type it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import cli
from motet.cli import evaluate as evaluation
from motet.core.errors import MotetNote, MotetWarning
from motet.data.archive import MotionArchive
from motet.engine.run import Run
from motet.engine.trainer import Trainer
from tests.methods.test_pretrain import TINY

Capture = pytest.CaptureFixture[str]
TINY_FLAGS = [f"--{k.replace('_', '-')}={v}" for k, v in TINY.items()]


def trained(archive: MotionArchive, out: Path, *more: str) -> int:
    return cli.main(["pretrain", "cmd", f"--data={archive.path}", f"--out={out}", "--quiet", *TINY_FLAGS, *more])


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = "import sys, motet.cli; motet.cli.main(['--help']); assert not {'torch', 'numpy', 'rich'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pretrain RECIPE" in done.stdout


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_verb_has_help(verb: str, capsys: Capture) -> None:
    try:
        status = cli.main([*verb.split(), "--help"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 0
    assert "usage: motet" in capsys.readouterr().out


def test_words_for_what_is_done_elsewhere_name_verbs_that_there_are() -> None:
    for word, where in cli._ELSEWHERE.items():
        assert word not in cli.VERBS
        named = re.findall(r"`motet ([a-z ]*[a-z])", where)
        assert named, where
        assert set(named) <= set(cli.VERBS), where


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fly", "there is no verb 'fly'; `motet --help` lists them"),
        ("classify runs/k", "there is no verb 'classify'; `motet predict` applies a model that `motet fit` made"),
        ("pretrian cmd", "there is no verb 'pretrian'; did you mean `motet pretrain`?"),
        ("import csv a b", "there is no verb 'import'; it is a verb of `motet data`"),
        ("data predict x", "there is no verb 'data predict'; after 'data' comes one of"),
        ("doctor a.motet", "there is no verb 'doctor'; `motet data inspect` says what is in an archive"),
        ("cluster a.motet", "there is no verb 'cluster'; `motet segment` finds states along time"),
        ("merge a b c", "there is no verb 'merge'; it is a verb of `motet data`"),
        ("data info x", "simulate; `motet data inspect` says what is in an archive, and what is wrong with it"),
        ("data inspct x", "there is no verb 'data inspct'; after 'data' comes one of import"),
        ("data inspct x", "simulate; did you mean `motet data inspect`?"),
        ("data predict x", "simulate; did you mean `motet predict`?"),
        ("data", "after 'data' comes one of import, inspect, list, select"),
        ("pretrain", "needs a RECIPE"),
        ("pretrain cdm --data nowhere --out x", "nowhere does not exist"),
        ("pretrain cmd --data nowhere --out x", "nowhere does not exist"),
        ("pretrain --resume nowhere", "not a run directory"),
        ("evaluate nowhere", "not a run directory"),
        ("evaluate", "needs a run"),
        ("evaluate . --protocols few-shot", "there is no protocol 'few-shot'; did you mean fewshot?"),
        ("evaluate . --protocols embed", "there is no protocol 'embed'; choose from cluster"),
        ("data inspect nowhere", "nowhere does not exist"),
        ("data import nothing a b", "nothing"),
        ("embed nowhere nowhere --out x.npz", "not a run directory"),
        ("report nowhere --out x.html", "not a run directory"),
        ("data simulate", "destination"),
    ],
)
def test_errors_are_one_line_and_status_two(
    line: str, message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message.lower() in said.lower()
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_is_named(small_archive: MotionArchive, tmp_path: Path, capsys: Capture) -> None:
    assert trained(small_archive, tmp_path / "run", "--hiden=3") == 2
    said = capsys.readouterr().err
    assert "--hiden" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_whole_way(small_archive: MotionArchive, tmp_path: Path, capsys: Capture) -> None:
    run, data = tmp_path / "run", str(small_archive.path)
    assert trained(small_archive, run, "--teachers=consensus", "--json", str(tmp_path / "train.json")) == 0
    assert json.loads((tmp_path / "train.json").read_text())["epoch"] == 3
    assert Run.open(run).recipe.method.teachers == "consensus"  # type: ignore[attr-defined]
    again = ["pretrain", f"--from-run={run}", f"--data={data}", f"--out={tmp_path / 'again'}", "--quiet"]
    assert cli.main([*again, "--epochs=1"]) == 0
    first, second = Run.open(run).recipe, Run.open(tmp_path / "again").recipe
    assert (second.epochs, second.method) == (1, first.method)

    options = ["--linear-cached.epochs=4", "--json", str(tmp_path / "e.json")]
    assert cli.main(["evaluate", str(run), "--protocols", "knn", "linear-cached", *options]) == 0
    rows = json.loads((tmp_path / "e.json").read_text())["rows"]
    assert {"cmd", "raw", "random encoder", "random convolutions"} == {row["features"] for row in rows}
    said = capsys.readouterr().out
    assert "| raw                 |" in said  # columns line up
    assert f"table: {run / 'evaluation.md'} and {run / 'evaluation.json'}" in said
    assert cli.main(["evaluate", str(run), "--protocols", "knn"]) == 0
    said = capsys.readouterr().out
    assert "| knn " in said
    assert "| linear-cached" not in said  # not asked for, kept in the file
    assert "rows of single streams and linear-cached, evaluated before" in said
    assert "linear-cached" in (run / "evaluation.md").read_text()
    assert cli.main(["evaluate", str(run), "--protocols", "linear-cached", "knn", options[0]]) == 0
    said = capsys.readouterr().out
    assert said.index("| linear-cached") < said.index("| knn ")  # as asked, not as first evaluated
    assert "--protocols linear-cached knn" in said

    assert cli.main(["embed", str(run), data, "--out", str(tmp_path / "f.npz")]) == 0
    with np.load(tmp_path / "f.npz") as found:
        assert found["features"].shape == (48, 960)
        assert found["columns"].tolist() == [0, 320, 640, 960]
        assert found["name"][0] == "clip-000"

    assert cli.main(["report", str(run), "--out", str(tmp_path / "r.html")]) == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_wrong_lines_of_evaluate_need_no_torch(tmp_path: Path) -> None:
    code = "import sys; from motet import cli; assert cli.main(sys.argv[1:]) == 2; assert 'torch' not in sys.modules"
    for line in ("evaluate nowhere", "evaluate . --protocol knn", "evaluate", "reproduce --bad"):
        done = subprocess.run(
            [sys.executable, "-c", code, *line.split()], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize(("verb", "said"), [("evaluate", "protocols that were done"), ("reproduce", "trainings and")])
def test_an_interrupted_table_says_what_is_kept(
    verb: str, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: object) -> int:
        raise cli.Terminated(signal.SIGTERM) if verb == "evaluate" else KeyboardInterrupt

    monkeypatch.setattr(f"motet.cli.{verb}.{verb}", stopped)
    assert cli.main([verb, "runs/a"]) == (143 if verb == "evaluate" else 130)
    err = capsys.readouterr().err
    assert err.startswith(f"interrupted; {said}")
    assert "the same command continues" in err


def test_facts_are_notes_and_doubts_are_warnings(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def verb(_: object) -> int:
        warnings.warn("joints were converted", MotetNote, stacklevel=1)
        warnings.warn("the queue is large", MotetWarning, stacklevel=1)
        with evaluation._facts_as_notes(["transfer"]):
            warnings.warn("transfer: joints of a converted to b", MotetWarning, stacklevel=1)
            warnings.warn("1 person is on both sides", MotetWarning, stacklevel=1)
        return 0

    monkeypatch.setattr("motet.cli.show.demo", verb)
    assert cli.main(["demo"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "note: joints were converted",
        "warning: the queue is large",
        "note: transfer: joints of a converted to b",
        "warning: 1 person is on both sides",
    ]
    assert cli.main(["demo", "--quiet"]) == 0
    assert "note:" not in capsys.readouterr().err


def test_several_seeds(small_archive: MotionArchive, tmp_path: Path) -> None:
    assert trained(small_archive, tmp_path / "runs", "--seeds", "0", "1", "--epochs=1") == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["seed-0", "seed-1"]
    assert cli.main(["evaluate", str(tmp_path / "runs"), "--protocols", "knn", "--quiet"]) == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_any_run_is_resumed_by_one_verb(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    step, calls = Trainer.one_step, []

    def stopped(self: Trainer) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), number)
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "one_step", stopped)
        assert trained(small_archive, tmp_path / "run", "--epochs=2") == 128 + number
    assert len(Run.open(tmp_path / "run").checkpoints) == 1
    assert cli.main(["resume", str(tmp_path / "run"), "--quiet", "--json", str(tmp_path / "said.json")]) == 0
    assert json.loads((tmp_path / "said.json").read_text())["epoch"] == 2
    assert trained(small_archive, tmp_path / "whole", "--epochs=2") == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert weights[0] == weights[1]


def test_a_verb_says_what_another_kind_of_run_is(small_archive: MotionArchive, tmp_path: Path, capsys: Capture) -> None:
    assert trained(small_archive, tmp_path / "run", "--epochs=1") == 0
    for verb in ("discover", "distill", "distill raw", "graphs"):
        assert cli.main([*verb.split(), "--resume", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert f"is a run of `motet pretrain`, and this needs one of `motet {verb}`" in said
    assert cli.main(["resume", str(tmp_path / "run"), "--source", "x"]) == 2
    assert "which takes no --source" in capsys.readouterr().err


def test_a_flipped_byte_is_named(small_archive: MotionArchive, tmp_path: Path, capsys: Capture) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(small_archive.path, broken)
    raw = bytearray((broken / "frames.npy").read_bytes())
    raw[-5] ^= 0x10
    (broken / "frames.npy").write_bytes(raw)
    for line in (
        ["data", "inspect", str(broken)],
        ["pretrain", "cmd", f"--data={broken}", f"--out={tmp_path / 'run'}"],
    ):
        assert cli.main([*line, *(TINY_FLAGS if line[0] == "pretrain" else [])]) == 2
        assert "clip-047" in capsys.readouterr().err.splitlines()[-1]


def test_list_and_version(capsys: Capture) -> None:
    assert cli.main(["data", "list"]) == 0
    assert "NTU RGB+D" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("motet ")


def test_simulate(tmp_path: Path, capsys: Capture) -> None:
    command = ["data", "simulate", str(tmp_path / "s"), "--clips", "12", "--actions", "3", "--actors", "3"]
    assert cli.main(command) == 0
    assert "simulated" in capsys.readouterr().out
    assert MotionArchive.open(tmp_path / "s").simulated


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("aimclr", "--data", "{data}", "--halp-weight", "2"), "recipes with this option: halp, halp-aimclr, halp-cmd"),
        (("moco", "--data", "{data}", "--epoch", "2"), "there is no option --epoch here; did you mean --epochs"),
        (("--resume", "{out}", "--epochs", "2"), "a resume keeps the options that the run began with"),
    ],
)
def test_unknown_options_say_where_they_belong(
    small_archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    out = str(tmp_path / "run")
    given = [word.format(data=small_archive.path, out=out) for word in words]
    assert cli.main(["pretrain", *given, *(["--out", out] if "--data" in given else [])]) == 2
    assert told in capsys.readouterr().err
