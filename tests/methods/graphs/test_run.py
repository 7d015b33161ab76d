"""Training, evaluating, and what a run keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from motet import cli, load
from motet.core.errors import ConfigError, DataError, RunError
from motet.engine.forms import stored_json
from motet.engine.run import Run
from motet.methods import graphs
from motet.methods.graphs import svm
from motet.methods.graphs.run import _SeedForm
from motet.methods.graphs.svm import COSTS
from tests.methods.graphs.made import made, write_tu
from tests.methods.test_pretrain import stop_at

SMALL = {"epochs": 2, "batch_size": 16, "hidden": 8}


@pytest.fixture(autouse=True, scope="module")
def _few_costs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svm, "COSTS", (0.1, 10.0))
        yield


def halp_options(**more: object) -> graphs.HaLPGraphCL:
    return graphs.HaLPGraphCL(**{**SMALL, "halp_start": 1, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("released", [False, True])
def test_training_is_a_function_of_the_seed(released: bool) -> None:
    options = halp_options(augmentations=tuple(graphs.AUGMENTATIONS))
    options = options.released() if released else options
    first, history = graphs.train(made(), options, seed=3)
    torch.rand(5)  # the generator of the process does not matter, and is left alone
    state = torch.random.get_rng_state()
    again, same = graphs.train(made(), options, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    other, _ = graphs.train(made(), options, seed=4)
    assert history == same
    assert ["hallucination" in line for line in history] == [False, True]
    assert np.array_equal(first.transform(made()), again.transform(made()))
    assert not np.array_equal(first.transform(made()), other.transform(made()))


def test_the_last_batch_may_be_one_graph_and_graphs_may_lack_edges() -> None:
    bare = graphs.build("bare", np.arange(17), np.zeros((0, 2), np.int64), np.arange(17) % 2)
    for options in (halp_options(), halp_options().released()):
        model, history = graphs.train(bare, options, seed=0)
        assert all(np.isfinite(line["loss"]) for line in history)
        assert np.isfinite(model.transform(bare)).all()
    _, history = graphs.train(made(17), halp_options(), seed=0)
    assert all(np.isfinite(line["loss"]) for line in history)


def test_training_lowers_the_loss() -> None:
    options = graphs.GraphCL(augmentations=("attribute-mask",), epochs=15, batch_size=40)
    _, history = graphs.train(made(), options, seed=0)
    assert history[-1]["contrast"] < 0.7 * history[0]["contrast"]


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    with pytest.raises(RunError, match="lower --lr"):
        graphs.train(made(), graphs.GraphCL(epochs=8, batch_size=40, lr=1e30), seed=0)


def test_features_are_looked_at_while_training_runs(folder: Path, tmp_path: Path) -> None:
    call = {**SMALL, "epochs": 4, "seeds": [0], "folds": 3, "baselines": False, "progress": False}
    seen = graphs.run(folder, tmp_path / "run", monitor_every=2, **call)  # type: ignore[arg-type]
    assert seen["history"] == graphs.run(folder, tmp_path / "other", monitor_every=4, **call)["history"]  # type: ignore[arg-type]
    lines = Run.open(tmp_path / "run").metrics()
    assert [line["epoch"] for line in lines if "knn" in line] == [2, 4]
    x, test = load(tmp_path / "run").transform(folder).astype(np.float64), np.arange(40) % 5 == 4
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = graphs.read_tu(folder).labels.numpy()
    nearest = (x[test] @ x[~test].T).argmax(axis=1)
    assert lines[-1]["knn"] == {"graph": pytest.approx((labels[~test][nearest] == labels[test]).mean())}
    assert lines[-1]["spread"] == {"graph": pytest.approx(1 - np.linalg.norm(x.mean(axis=0)), rel=1e-4)}


def test_the_options_of_the_loop_are_those_of_every_training(folder: Path, tmp_path: Path) -> None:
    call = {**SMALL, "epochs": 1, "seeds": [0], "folds": 3, "baselines": False, "progress": False}
    found = graphs.run(folder, tmp_path / "run", precision="bf16", checkpoint_every=1, **call)  # type: ignore[arg-type]
    exact = graphs.run(folder, **call)  # type: ignore[arg-type]
    assert found["history"] != exact["history"]
    assert found["history"]["0"][0]["loss"] == pytest.approx(exact["history"]["0"][0]["loss"], rel=0.05)
    assert Run.open(tmp_path / "run").config["loop"]["precision"] == "bf16"


# ------------------------------------------------------------------------------------ protocol


def test_protocol_is_that_of_grid_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svm, "COSTS", COSTS)
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    x = random.normal(size=(60, 5)) * (1, 10, 3, 1, 0.1) + 0.8 * labels[:, None]
    expected = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=2).split(x, labels):
        search = GridSearchCV(SVC(), {"C": list(COSTS)}, cv=5).fit(x[train], labels[train])
        expected.append(search.score(x[test], labels[test]))
    assert graphs.svm_accuracy(x, labels, folds=3, seed=2) == pytest.approx(expected)


def test_protocol_refuses_what_it_cannot_judge() -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(ConfigError, match="6 graphs, too few for 10 folds"):
        graphs.svm_accuracy(x, (np.arange(30) < 6).astype(np.int64))
    with pytest.raises(ConfigError, match="one class"):
        graphs.svm_accuracy(x, np.zeros(30, np.int64))
    x[4, 1] = np.nan
    with pytest.raises(DataError, match="graph 5 are not finite"):
        graphs.svm_accuracy(x, np.arange(30) % 2)


def test_features_that_are_all_alike_are_judged_as_the_largest_class() -> None:
    labels = (np.arange(30) < 12).astype(np.int64)
    assert np.mean(graphs.svm_accuracy(np.ones((30, 4)), labels, folds=3)) == pytest.approx(0.6)


# ------------------------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tu(tmp_path_factory.mktemp("graphs") / "MADE")


def test_a_run_keeps_encoders_and_table_and_goes_on_where_it_stopped(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    line = (
        f"graphs {folder} --out {out} --method halp-graphcl --seeds 0 1 --folds 3 --epochs 2 --hidden 8 --halp-start 1"
    )
    assert cli.main(line.split()) == 0
    assert "| HaLP on GraphCL |" in capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    assert [row["features"] for row in result["rows"]] == ["HaLP on GraphCL", graphs.RANDOM, graphs.RAW]
    assert all(len(row["values"]) == 2 for row in result["rows"])
    encoder = (out / "seed-1.safetensors").read_bytes()
    features = graphs.load(out, seed=1).transform(graphs.read_tu(folder))
    assert features.shape == (40, 24)
    model, _ = graphs.train(graphs.read_tu(folder), halp_options(batch_size=128), seed=1)
    assert np.array_equal(model.transform(graphs.read_tu(folder)), features)
    # as if the second seed had been interrupted
    for name in ("seed-1.json", "seed-1.safetensors", "result.json"):
        (out / name).unlink()
    assert cli.main(["graphs", "--resume", str(out), "--quiet", "--json", str(tmp_path / "again.json")]) == 0
    assert (out / "seed-1.safetensors").read_bytes() == encoder
    again = json.loads((tmp_path / "again.json").read_text())
    assert (again["rows"], again["history"]) == (result["rows"], result["history"])
    assert not [p for p in out.iterdir() if "partial" in p.name]


TWO_SEEDS = "--method halp-graphcl --seeds 3 4 --folds 3 --epochs 2 --batch-size 16 --hidden 8 --halp-start 1 --quiet"


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody has stopped."""
    whole = tmp_path_factory.mktemp("graphs") / "whole"
    assert cli.main(["graphs", str(folder), "--out", str(whole), *TWO_SEEDS.split()]) == 0
    return whole


def test_an_interrupted_run_continues_inside_an_epoch_bit_for_bit(
    folder: Path,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three steps an epoch, two epochs, two seeds: in the first epoch, the second, and the second seed."""
    parts = tmp_path / "parts"
    resumed = ["resume", str(parts), "--quiet"]
    begun = ["graphs", str(folder), "--out", str(parts), *TWO_SEEDS.split()]
    for call, words in ((2, begun), (2, resumed), (3, resumed)):
        with monkeypatch.context() as patch:
            stop_at(patch, call)
            status = cli.main(words)
        assert status == 128 + 15
        assert f"motet resume {parts}" in capsys.readouterr().err
        assert not (parts / "result.json").exists()
    assert cli.main(["resume", str(parts), "--quiet"]) == 0
    for seed in (3, 4):
        assert (whole / f"seed-{seed}.safetensors").read_bytes() == (parts / f"seed-{seed}.safetensors").read_bytes()
    first, second = (json.loads((out / "result.json").read_text()) for out in (whole, parts))
    assert (first["rows"], first["history"]) == (second["rows"], second["history"])
    lines = Run.open(parts, "graphs").metrics()
    assert [(line["stage"], line["epoch"]) for line in lines] == [(f"seed {s}", e) for s in (3, 4) for e in (1, 2)]
    assert ["hallucination" in line["terms"] for line in lines] == [False, True] * 2
    assert lines[0]["terms"]["contrast"] == pytest.approx(first["history"]["3"][0]["contrast"])


def test_every_run_is_a_model(folder: Path, tmp_path: Path) -> None:
    graphs.run(folder, tmp_path / "run", seeds=[2], folds=3, baselines=False, progress=False, device="auto", **SMALL)
    model = load(tmp_path / "run")
    expected = graphs.load(tmp_path / "run", seed=2).transform(made())
    np.testing.assert_array_equal(model.transform(folder), expected)


def test_as_released_sets_the_quirks_and_options_win(folder: Path) -> None:
    result = graphs.run(
        folder, as_released=True, loss="both-ways", seeds=[0], folds=3, baselines=False, progress=False, **SMALL
    )
    assert result["options"]["self_loops"] is True
    assert result["options"]["first_view"] == "whole"
    assert result["options"]["loss"] == "both-ways"
    assert result["rows"][0]["sd"] is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("graphs", "one FOLDER"),
        ("graphs {folder}", "name a run directory by --out"),
        ("graphs nowhere --out {out}", "nowhere is not a folder of a TU graph set; it does not exist"),
        ("graphs {folder} --out {folder}", "exists already"),
        ("graphs {folder} --out {out} --method gcl", "'gcl' is none of graphcl, halp-graphcl"),
        ("graphs {folder} --out {out} --augmentations fly", "choose from node-drop"),
        ("graphs {folder} --out {out} --seeds 1 1", "must be different"),
        ("graphs {folder} --out {out} --folds 30 --epochs 0", "lower --folds"),
        ("graphs {folder} --out {out} --folds 1 --epochs 0", "folds is 1"),
        ("graphs {folder} --out {out} --halp-weight 2", "no option --halp-weight here; give --method halp-graphcl"),
        ("graphs {folder} --out {out} --epoch 2", "no option --epoch here; did you mean --epochs? (see"),
        ("graphs --resume {out} --epochs 2", "a resume keeps the options"),
        ("graphs --resume {out}", "is not a run directory"),
    ],
)
def test_what_cannot_work_is_told(
    folder: Path, tmp_path: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line.format(folder=folder, out=tmp_path / "out").split()) == 2
    assert message in capsys.readouterr().err


def test_loading_and_using_refuse_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        graphs.load(tmp_path)
    (tmp_path / "seed-0.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match=r"seed-0\.safetensors: the weights cannot be read"):
        graphs.load(tmp_path, seed=0)
    model, _ = graphs.train(made(), graphs.GraphCL(epochs=0), seed=0)
    plain = graphs.build("plain", np.array([0, 1]), np.zeros((0, 2), np.int64), np.array([0, 1]))
    with pytest.raises(ConfigError, match="1 node labels, the encoder was trained with 3"):
        model.transform(plain)
    with pytest.raises(ConfigError, match="no option 'depth'"):
        graphs.run(folder, depth=3)


def test_other_verbs_say_what_the_directory_is(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    graphs.run(folder, out, seeds=[0], folds=3, baselines=False, progress=False, **{**SMALL, "epochs": 0})
    with pytest.raises(RunError, match=r"is a run of `motet graphs`, and this needs one of `motet pretrain`"):
        Run.open(out, "pretrain")
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "config.json").write_text('{"recipe": {}, "data": {"path": "a"}, "split": "all"}')
    with pytest.raises(RunError, match=r"is a run of `motet pretrain`, and this needs one of `motet graphs`"):
        graphs.resume(trained)


def test_help_shows_choices_and_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["graphs", "--help"])
    told = capsys.readouterr().out
    assert "graphcl|halp-graphcl" in told
    assert not [mark for mark in (":func:", "type: ignore", "options options") if mark in told]


def test_changed_graphs_are_not_mixed_with_older_seeds(tmp_path: Path) -> None:
    folder, out = write_tu(tmp_path / "MADE"), tmp_path / "run"
    graphs.run(folder, out, seeds=[0], folds=3, baselines=False, progress=False, **SMALL)
    assert graphs.resume(out)["seeds"] == [0]  # it has finished
    (out / "result.json").unlink()
    write_tu(folder, seed=1)
    with pytest.raises(RunError, match="has changed"):
        graphs.resume(out)


@pytest.mark.parametrize("text", ['{"accuracy": {"GraphCL": {}}, "history": []}', '{"accuracy": {}}', "{", "[]"])
def test_a_damaged_result_of_a_seed_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "seed-0.json").write_text(text)
    with pytest.raises(RunError, match=r"seed-0\.json is damaged \(.*\); train into a new directory"):
        stored_json(tmp_path / "seed-0.json", _SeedForm)
