"""What result.md and the terminal say next to the scores."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import main
from motet.methods import distillation as distill
from motet.methods.distillation.narrative import alone_next_to, differing, report
from tests.methods.distillation.toys import write_table

TINY: dict[str, Any] = {"epochs": 1, "batch_size": 16, "features": 8, "hidden": (), "fuse_hidden": 8}
MOVED = TINY | {"epochs": 2, "warm_up": 1}  # past the warm-up of AMID
FLAGS = ["--epochs", "1", "--batch-size", "16", "--features", "8", "--hidden", "--fuse-hidden", "8", "--quiet"]
QUICK: dict[str, Any] = {"progress": False, "diagnose": False}


def test_result_md_tells_what_training_rows_lack(tmp_path: Path) -> None:
    """Of 100 rows with an eye, 60 of them train: what only tests is not counted."""
    rows = np.arange(120)
    path = write_table(
        tmp_path / "t.npz",
        split=np.where(rows < 80, "train", "test"),
        fold=None,
        group=None,
        nose=np.random.default_rng(0).normal(size=(120, 2)),
        available_eye=rows >= 20,
        available_ear=rows % 10 > 0,  # 6 of the 60
        available_nose=rows < 80 - 15,  # 15 of the 60, one of them without an ear
    )
    found = distill.run(path, "eye", ("ear", "nose"), tmp_path / "run", **QUICK, **MOVED)
    assert found["table"]["training"] == {"rows": 60, "whole": 60 - 6 - 15 + 1, "absent": {"ear": 6, "nose": 15}}
    said = (tmp_path / "run/result.md").read_text()
    assert "eye is absent in 20 of 120 rows (17 %): they are left out." in said
    assert "ear is absent in 6 of 60 training rows (10 %). nose is absent in 15 of 60 training rows (25 %)." in said
    assert "40 of 60 training rows (67 %) have every modality" in said
    # the student alone knows no ear
    alone = distill.run(path, "eye", "ear", method="alone", **QUICK, **TINY)
    assert "ear is absent" not in report(alone)
    assert "eye is absent in 20 of 120 rows" in report(alone)


def test_small_shares_are_not_none_and_nothing_is_said_of_nothing(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz", 300, available_ear=np.arange(300) > 0)
    said = report(distill.run(path, "eye", "ear", **QUICK, **MOVED))
    assert "Each fold trains on 150 of 300 rows. ear is absent in 1 of the 300 (0.3 %)." in said
    assert "299 of the 300 (99.7 %) have every modality" in said
    teacher = report(distill.run(path, "eye", "ear", method="teacher", **QUICK, **TINY))
    assert "299 of the 300 (99.7 %) have every modality: the teacher learns from these, the others teach" in teacher
    whole = distill.run(write_table(tmp_path / "u.npz"), "eye", "ear", **QUICK, **MOVED)
    assert "absent" not in report(whole)


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz")
    one = report(distill.run(path, "eye", method="alone", **QUICK, **TINY))
    two = report(distill.run(path, "eye", method="alone", seeds=(0, 1), **QUICK, **TINY))
    assert "2 folds × 1 seed)" in one
    assert "One seed: there is no spread" in one
    assert "±" not in one
    assert "One seed" not in two
    assert "±" in two
    ship = report(distill.run(path, "eye", "ear", split="all", **QUICK, **MOVED))
    assert "(t, rule all)" in ship
    assert "nothing was tested" in ship
    assert "One seed" not in ship
    assert "student alone" not in ship


def test_the_command_of_the_student_alone_sets_it_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that a run proposes runs, and is of the same conditions: same folds, seeds, network and training."""
    monkeypatch.chdir(tmp_path)
    walk = np.random.default_rng(0).normal(size=(120, 4, 2))
    table = str(write_table(tmp_path / "t x.npz", walk=walk, available_ear=np.arange(120) > 9))
    words = ["distill", table, "--target", "walk", "--auxiliary", "ear", "--no-diagnose", "--split", "group"]
    words += ["--folds", "2", "--seeds", "0", "1", "--encoder", "walk=gru", "--no-straight", "--warm-up", "1"]
    assert main([*words, *FLAGS[:-1], "--out", "runs/amid"]) == 0
    said = capsys.readouterr().out
    assert said.rstrip() == Path("runs/amid/result.md").read_text().rstrip()
    command = said.partition("under the same conditions, by `")[2].partition("`")[0]
    assert "--out runs/amid-alone" in command
    assert "warm-up" not in command
    assert main([*shlex.split(command)[1:], "--quiet"]) == 0
    capsys.readouterr()
    result, alone = (json.loads(Path(f"runs/{name}/result.json").read_text()) for name in ("amid", "amid-alone"))
    assert alone["settings"]["training"] == result["settings"]["training"]
    assert differing(result, alone) == []
    found = alone_next_to(Path("runs/amid"), result)
    assert found is not None
    assert found[0] == Path("runs/amid-alone")

    assert main(["resume", "runs/amid"]) == 0
    said = capsys.readouterr().out
    assert said.rstrip() == Path("runs/amid/result.md").read_text().rstrip()
    assert "- student alone (`runs/amid-alone`): accuracy (WA)" in said
    assert "cannot be seen" not in said
    assert "fair" not in said
    values = [one["summary"]["student"]["accuracy"]["values"] for one in (result, alone)]
    gains = 100 * np.subtract(*values)
    wanted = f"{gains.mean():+.1f} ± {gains.std(ddof=1):.1f}".replace("-", "−")
    assert f"- gain over the student alone: {wanted} points of accuracy\n" in said


def test_only_what_can_be_compared_stands_beside(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz")

    def trained(name: str, target: str = "eye", method: str = "alone", **options: Any) -> dict[str, Any]:
        return distill.run(
            path, target, "ear" if method == "kd" else (), tmp_path / name, method=method, **(QUICK | TINY | options)
        )

    mine = trained("kd", method="kd", seeds=(0, 1))
    trained("other-target", "ear")
    trained("other-split", split="leave-one-group-out")
    (tmp_path / "a file").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text("{")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished/config.json").write_text((tmp_path / "kd/config.json").read_text())
    assert alone_next_to(tmp_path / "kd", mine) is None
    assert "cannot be seen" in report(mine, tmp_path / "kd")
    trained("slow", epochs=2)
    said = report(mine, tmp_path / "kd")
    assert "(of the means, as the seeds differ)" in said
    assert "not a fair comparison: the student alone had another `--epochs`" in said
    trained("same", seeds=(0, 1))
    found = alone_next_to(tmp_path / "kd", mine)
    assert found is not None
    assert found[0] == tmp_path / "same"
    assert alone_next_to(tmp_path / "same", found[1]) is None


def test_a_table_in_memory_has_no_command(tmp_path: Path) -> None:
    table = distill.FeatureTable.open(write_table(tmp_path / "t.npz"))
    (tmp_path / "t.npz").unlink()
    found = distill.run(table, "eye", "ear", method="kd", **QUICK, **TINY)
    assert found["command_alone"] is None
    assert "under the same conditions, with the method `alone`." in report(found)
