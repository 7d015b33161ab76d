"""A table on data at hand: trained once, resumed, never passed off as whole."""

from __future__ import annotations

import json
import re
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motet
from motet.cli import main
from motet.core.errors import ConfigError, Interrupted, MotetWarning, RunError
from motet.data.archive import MotionArchive
from motet.engine.trainer import Trainer
from motet.reproduce import Measure, Row, Table, Training, all_tables, reproduce
from motet.reproduce.pretraining import Pretraining
from tests.conftest import write_clips
from tests.engine.test_identity import renumbered
from tests.methods.graphs.made import write_tu
from tests.methods.test_pretrain import TINY, stop_at

OPTIONS: dict[str, Any] = {**TINY, "epochs": 2, "monitor_every": 2, "encoder": "gru"}


def small(table: str | Table, archive: MotionArchive, out: Path, **more: Any) -> dict[str, Any]:
    return reproduce(table, archive.path, out, **{"seeds": 2, "progress": False, **OPTIONS, **more})


def two_rows(*rows: Row) -> Table:
    """The table of MCL with other rows."""
    return replace(all_tables()["cmd/mcl"], rows=rows)


BASE = Row("Base", Training("moco", {"streams": ("joint",)}), {("knn", "NTU-60 xsub"): 63.4})
CMD = Row(
    "CMD",
    Training("cmd", {"streams": ("joint", "bone")}),
    {("knn", "NTU-60 xsub"): 70.6, ("linear", "NTU-60 xsub"): 79.4},
)
OTHER = Row("LongT GAN", None, {("knn", "NTU-60 xsub"): 39.1}, cite="a table of others")


def test_a_table_is_filled_and_kept(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = two_rows(BASE, CMD, OTHER)
    found = small(table, small_archive, tmp_path)
    assert found["complete"]
    assert found["missing"] == []
    assert json.loads((tmp_path / "cmd-mcl.json").read_text()) == found
    assert [row["state"] for row in found["rows"]] == ["done", "done", "published only"]
    for row in found["rows"][:2]:
        assert set(row["values"]) == {"linear", "linear, best epoch", "knn", "knn, best epoch"}
        assert row["values"]["linear, best epoch"]["mean"] >= row["values"]["linear"]["mean"]
        assert len(row["values"]["knn"]["values"]) == 2
    assert set(found["baselines"]) == {"raw", "random encoder", "random convolutions"}
    text = (tmp_path / "cmd-mcl.md").read_text()
    assert f"knn, ours: {small_archive.path.name}" in text
    assert "knn, published: NTU-60 xsub" in text
    assert f"linear, best epoch, ours: {small_archive.path.name}" in text
    assert "UNFINISHED" not in text
    assert "| Base (moco) |" in text
    line = next(t for t in text.splitlines() if t.startswith("| CMD |"))
    assert line.endswith("| 70.6 | 79.4 |") or line.endswith("| 79.4 | 70.6 |")
    assert next(t for t in text.splitlines() if t.startswith("| LongT GAN")).count("| – ") == 5
    assert "Printed in a table of others: LongT GAN" in text

    monkeypatch.setattr(Trainer, "one_step", None)  # nothing may be trained again, by this table or by another
    again = small(table, small_archive, tmp_path)
    assert again["rows"] == found["rows"]
    shared = small(replace(table, name="cmd/other", rows=(CMD,)), small_archive, tmp_path)
    assert shared["rows"][0]["values"] == found["rows"][1]["values"]


def test_progress_names_row_and_seed(
    small_archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = replace(two_rows(BASE, CMD), measures=two_rows(BASE).measures[-1:])
    small(table, small_archive, tmp_path, progress=True, epochs=1)
    lines = capsys.readouterr().err.splitlines()
    first = lines.index("cmd/mcl, row 1 of 2: Base (moco), 2 of 2 seeds to train")
    assert lines[first + 1] == "moco, seed 0 (1 of 2):"
    assert "moco, seed 1 (2 of 2):" in lines
    assert re.fullmatch(
        r"cmd/mcl, row 2 of 2: CMD, 2 of 2 seeds to train, about \d+ s left",
        next(line for line in lines if "row 2 of 2" in line),
    )
    small(table, small_archive, tmp_path, progress=True, epochs=1)
    assert "cmd/mcl, row 2 of 2: CMD, trained already" in capsys.readouterr().err


def test_an_interrupted_table_says_so_and_goes_on(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = replace(two_rows(BASE, CMD), measures=two_rows(BASE).measures[-1:])
    whole = small(table, small_archive, tmp_path / "whole", seeds=1)
    with monkeypatch.context() as patch:
        stop_at(patch, 8, signal.SIGTERM)  # six steps a row: in the second
        with pytest.raises(Interrupted, match=r"1 of 2 rows of cmd/mcl missing; the same command continues") as stopped:
            small(table, small_archive, tmp_path / "cut", seeds=1)
    assert stopped.value.status == 128 + signal.SIGTERM
    part = json.loads((tmp_path / "cut" / "cmd-mcl.json").read_text())
    assert not part["complete"]
    assert part["missing"] == ["CMD"]
    text = (tmp_path / "cut" / "cmd-mcl.md").read_text()
    assert "**UNFINISHED: 1 of 2 rows are missing** (CMD)" in text
    assert "| CMD | **missing** |" in text
    assert part["rows"][0]["values"] == whole["rows"][0]["values"]
    found = small(table, small_archive, tmp_path / "cut", seeds=1)
    assert found["complete"]
    assert [row["values"] for row in found["rows"]] == [row["values"] for row in whole["rows"]]


def test_a_row_that_fails_does_not_take_the_others_with_it(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Pretraining.train

    def train(self: Pretraining, job: Any) -> Any:
        if job.training.method == "moco":
            raise RunError("the loss is not finite")
        return original(self, job)

    monkeypatch.setattr(Pretraining, "train", train)
    with pytest.raises(RunError, match=r"1 of 2 rows of cmd/mcl failed \(Base\)"):
        small(two_rows(BASE, CMD), small_archive, tmp_path, seeds=1)
    text = (tmp_path / "cmd-mcl.md").read_text()
    assert "UNFINISHED: 1 of 2" in text
    assert "Base: failed: the loss is not finite" in text
    assert json.loads((tmp_path / "cmd-mcl.json").read_text())["rows"][1]["state"] == "done"


def test_a_dry_run_trains_nothing_and_estimates(
    small_archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{k}={v}" for k, v in OPTIONS.items()]
    command = ["reproduce", "cmd/stages", "--data", str(small_archive.path), "--out", str(tmp_path), "--seeds", "2"]
    assert main([*command, "--dry-run", "--json", str(tmp_path / "plan.json"), "--options", *words]) == 0
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert [run["done"] for run in plan["runs"]] == [0, 0, 0, 0]
    assert all(0 < run["seconds"] < 60 for run in plan["runs"])
    assert plan["seconds"] == pytest.approx(sum(run["seconds"] for run in plan["runs"]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan.json"]
    said = capsys.readouterr().out
    assert "CMD, two stages: 2 of 2 seeds to train, about" in said
    assert "motet pretrain cmd/small" in said
    assert "--distill-start 1" in said


def test_rows_beyond_the_size_of_a_recipe_are_left_out(small_archive: MotionArchive, tmp_path: Path) -> None:
    found = small("halp/recent", small_archive, tmp_path, dry_run=True)
    assert found["runs"] == []  # a queue of 16
    assert found["left_out"]["256 keys"] == "recent 256 is more than queue_size 16 of halp/small"


def test_recordings_are_simulated_where_none_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pretraining, "estimate", lambda *_: 1.0)
    found = reproduce("cmd/mcl", out=tmp_path, dry_run=True, seeds=1, progress=False, epochs=1, hidden=8)
    assert found["data"]["simulated"]
    assert found["data"]["clips"] == 240
    with pytest.raises(ConfigError, match="amid/beta needs --data, a feature table"):
        reproduce("amid/beta", out=tmp_path)


def test_wrong_requests_leave_nothing(
    small_archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(small_archive.path), "--out", str(tmp_path / "out")]
    for words, message in (
        (["cmd/nothing"], "there is no table"),
        (["cmd/mcl", "--options", "hiden=8"], "did you mean hidden"),
        (["cmd/mcl", "--options", "hidden"], "name=value"),
        (["cmd/mcl", "--options", "seeds=2"], "option of reproduce itself"),
        (["cmd/mcl", "--seeds", "0"], "seeds is 0"),
        (["cmd/transfer"], "needs one --target"),
        (["amid/beta"], "--target"),
        (["codt/tasks", "--target", "nowhere"], "does not exist"),
        ([], "one TABLE"),
    ):
        assert main(["reproduce", *words, *data]) == 2, words
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [{"scale": "big"}, {"seeds": [1, 2]}])
def test_a_scale_or_number_of_seeds_that_is_none(small_archive: MotionArchive, tmp_path: Path, given: Any) -> None:
    with pytest.raises(ConfigError, match=f"option {next(iter(given))} is"):
        reproduce(two_rows(BASE), small_archive, tmp_path / "out", progress=False, **given)


def test_another_set_needs_another_folder(small_archive: MotionArchive, tmp_path: Path) -> None:
    table = two_rows(BASE)
    small(table, small_archive, tmp_path / "out", seeds=1)
    other = write_clips(tmp_path / "other", seed=5)
    with pytest.raises(RunError, match="choose another --out for other"):
        small(table, other, tmp_path / "out", seeds=1)


def test_clips_with_other_labels_are_trained_on_again(small_archive: MotionArchive, tmp_path: Path) -> None:
    table = two_rows(BASE)
    small(table, small_archive, tmp_path / "out", seeds=1)
    other = renumbered(small_archive, tmp_path / small_archive.path.name, "label")
    assert other.hash == small_archive.hash
    planned = [small(table, a, tmp_path / "out", seeds=1, dry_run=True)["runs"] for a in (small_archive, other)]
    assert [[run["done"] for run in runs] for runs in planned] == [[1], [0]]


def test_the_list_names_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in all_tables())


def test_transfer_goes_to_the_other_archive(small_archive: MotionArchive, tmp_path: Path) -> None:
    there = write_clips(tmp_path / "there", 16, 2, 2, seed=3)
    table = all_tables()["cmd/transfer"]
    measures = tuple(replace(measure, small={"epochs": 2}) for measure in table.measures)
    table = replace(table, rows=(Row("Base", BASE.training),), measures=measures)
    with pytest.warns(MotetWarning, match="there: split"):
        found = small(table, small_archive, tmp_path / "out", target=str(there.path), seeds=1, epochs=1)
    assert len(found["rows"][0]["values"]["transfer"]["values"]) == 1
    assert any("there: split" in note for note in found["notes"])


def test_tables_of_distillation(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    label = np.arange(48) % 3
    views = {m: random.normal(size=(48, 6)) + label[:, None] for m in ("left face", "voice", "text")}
    np.savez(tmp_path / "my t.npz", label=label, split=np.where(np.arange(48) < 32, "train", "test"), **views)

    def fill(name: str, auxiliary: tuple[str, ...], **more: Any) -> dict[str, Any]:
        call = {"target": "left face", "auxiliary": auxiliary, "seeds": 2, "progress": False, **more}
        return motet.reproduce(name, tmp_path / "my t.npz", tmp_path / "out", epochs=2, warm_up=1, **call)

    plan = fill("amid/losses", ("voice",), dry_run=True)
    assert len(plan["runs"]) == 6
    words = shlex.split(plan["runs"][0]["command"])  # names with spaces are quoted
    assert words[words.index("--target") + 1] == "left face"
    assert Path(words[2]) == tmp_path / "my t.npz"
    assert plan["seconds"] > 0
    losses = fill("amid/losses", ("voice",))
    assert losses["complete"]
    rows = {row["name"]: row["values"] for row in losses["rows"]}
    assert set(rows["student alone"]) == {"student"}
    assert set(rows["teacher alone"]) == {"teacher"}
    assert set(rows["AMID"]) == {"student", "teacher"}
    alone = fill("amid/iemocap", ("voice",), dry_run=True)
    assert "needs two auxiliary" in alone["left_out"]["second auxiliary: AMID"]
    both = fill("amid/iemocap", ("voice", "text"), dry_run=True)
    assert both["left_out"] == {}
    assert len(both["runs"]) == 13


def test_tables_of_distillation_of_two_archives(tmp_path: Path) -> None:
    for seed, name in enumerate(("vicon", "kinect")):
        write_clips(tmp_path / "both" / name, 24, 3, 2, seed=seed)
    table = all_tables()["amid/losses"]
    accuracy = Measure("accuracy", {"who": "student", "metric": "accuracy"})
    table = replace(table, rows=table.rows[:1], measures=(accuracy,), gains=())
    call = {"target": "kinect", "auxiliary": ("vicon",), "seeds": 1, "progress": False, "sequence": "tcn", "epochs": 1}
    found = reproduce(table, tmp_path / "both", tmp_path / "out", frames=8, split="odd-even", **call)
    names = [
        f"linear model of {what}kinect{also}" for what in ("", "random convolutions of ") for also in ("", " + vicon")
    ]
    assert sorted(found["baselines"]) == sorted(names)
    run = Path(found["rows"][0]["runs"])
    plan = json.loads((run / "config.json").read_text())["plan"]
    assert [t.partition("=")[0] for t in plan["tables"]] == ["kinect", "vicon"]
    assert plan["motion"]["frames"] == 8
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="none holds no archive; name a feature table, an archive or a folder of"):
        reproduce(table, tmp_path / "none", tmp_path / "out", **call)


def test_tables_of_discovery(tmp_path: Path) -> None:
    source, target = (write_clips(tmp_path / n, 24, 3, 2, seed=s) for s, n in enumerate(("a", "b")))
    table = replace(all_tables()["codt/components"], rows=all_tables()["codt/components"].rows[::3])
    tiny = {"epochs": 1, "finetune_epochs": 1, "frames": 8, "width": 2, "feature_size": 8, "dim": 4, "batch_size": 8}
    call = {"target": target.path, "seeds": 1, "progress": False, "kmeans_restarts": 1, **tiny}
    assert reproduce(table, source.path, tmp_path / "out", dry_run=True, **call)["seconds"] > 0
    found = reproduce(table, source.path, tmp_path / "out", **call)
    assert found["complete"]
    assert all(set(row["values"]) == {"purity", "NMI", "ARI", "Hungarian"} for row in found["rows"])
    # the rows have pretrained once; alone, a row comes to the same
    stages = {p.parts[-3].split("-")[0]: p.read_text() for p in (tmp_path / "out").glob("runs/*/seed-0/metrics.jsonl")}
    assert ['"pretrain"' in stages[method] for method in ("bm", "ocm")] == [True, False]
    alone = reproduce(replace(table, rows=table.rows[-1:]), source.path, tmp_path / "alone", **call)
    assert alone["rows"][0]["values"] == found["rows"][-1]["values"]
    result = json.loads(next((tmp_path / "out" / "runs").glob("bm-*/seed-0/result.json")).read_text())
    b0 = next(r for r in result["rows"] if (r["branch"], r["by"]) == ("B0", "kmeans"))
    assert found["rows"][0]["values"]["purity"]["values"] == [b0["purity"]]
    assert result["k"] == 3


@pytest.mark.filterwarnings("ignore:a batch of 16 graphs")
def test_tables_of_graphs(tmp_path: Path) -> None:
    folder = write_tu(tmp_path / "MADE")
    call = {"seeds": 2, "progress": False, "epochs": 2, "batch_size": 16, "hidden": 8, "folds": 2}
    assert len(reproduce("halp/graphs", folder, tmp_path / "out", dry_run=True, **call)["runs"]) == 2
    found = reproduce("halp/graphs", folder, tmp_path / "out", **call)
    assert found["complete"]
    assert set(found["baselines"]) == {"label counts", "random encoder"}
    text = (tmp_path / "out" / "halp-graphs.md").read_text()
    assert "accuracy, published: MUTAG" in text
    assert "89.35 ± 1.2" in text
