"""An evaluation continues where it stopped and adds to what is there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from motet import evaluate
from motet.core.errors import ConfigError, MotetWarning
from motet.data.archive import MotionArchive
from motet.engine.run import Run
from motet.evaluate import knn, linear_cached, retrieval, runner, stored, tuning
from motet.evaluate.parts import Parts
from tests.evaluate.test_runner import SHORT, rows_of, write_archive, write_run


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return write_archive(tmp_path_factory.mktemp("data") / "swings")


@pytest.fixture
def run(tmp_path: Path, archive: MotionArchive) -> Run:
    return write_run(tmp_path / "run", archive)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the protocols that are really evaluated."""
    found: list[str] = []
    for name, module in (("knn", knn), ("linear-cached", linear_cached), ("retrieval", retrieval)):
        real = module.evaluate

        def counted(context, options, name=name, real=real):  # type: ignore[no-untyped-def]
            found.append(name)
            return real(context, options)

        monkeypatch.setattr(module, "evaluate", counted)
    return found


def test_other_protocols_are_added(run: Run, calls: list[str]) -> None:
    first = evaluate.run(run, ("knn",))
    both = evaluate.run(run, ("linear-cached",), linear_cached=SHORT, seeds=2)
    assert calls == ["knn", "linear-cached"]
    assert [e["name"] for e in both["protocols"]] == ["knn", "linear-cached"]
    assert rows_of(both, protocol="knn") == rows_of(first)
    assert json.loads((run.path / "evaluation.json").read_text())["rows"] == both["rows"]
    table = (run.path / "evaluation.md").read_text()
    assert "Seeds of the protocols: 1 (knn); 2 (linear-cached)" in table
    line = f"motet evaluate {run.path} --protocols"
    assert both["command"].startswith(f"{line} knn && {line} linear-cached --seeds 2 --linear-cached.epochs 4")
    assert both["confusion"]["protocol"] == "linear-cached"
    assert set(both["confusions"]) == {"knn", "linear-cached"}


def test_what_is_done_is_not_done_again(run: Run, calls: list[str]) -> None:
    names = ("knn", "linear-cached")
    first = evaluate.run(run, names, linear_cached=SHORT, baselines=False)
    second = evaluate.run(run, names, linear_cached=SHORT, baselines=False)
    assert calls == ["knn", "linear-cached"]
    assert second["rows"] == first["rows"]
    evaluate.run(run, names, linear_cached=SHORT, again=True, baselines=False)
    assert calls == ["knn", "linear-cached"] * 2
    # other options and other seeds are other results, and replace those of the same name only
    third = evaluate.run(run, ("linear-cached",), linear_cached=SHORT | {"epochs": 2}, baselines=False)
    assert calls[4:] == ["linear-cached"]
    assert rows_of(third, protocol="knn") == rows_of(first, protocol="knn")
    assert {r.details["epochs"] for r in rows_of(third, protocol="linear-cached")} == {2}
    evaluate.run(run, ("knn",), seeds=2, baselines=False)
    evaluate.run(run, ("knn",))
    assert calls[5:] == ["knn", "knn"]


def test_kept_rows_stand_under_the_command_of_today(run: Run, calls: list[str]) -> None:
    first = evaluate.run(run, ("knn", "retrieval"), baselines=False)
    assert first["kept"] == []
    moved = Run.open(run.path.rename(run.path.with_name("moved")))
    again = evaluate.run(moved, ("knn",), baselines=False)
    assert calls == ["knn", "retrieval"]
    assert again["rows"] == first["rows"]
    assert again["kept"] == ["knn"]
    before, now = (f"motet evaluate {place} --protocols" for place in (run.path, moved.path))
    assert again["command"] == f"{now} knn --no-baselines && {before} retrieval --no-baselines"
    assert "- Kept from an earlier evaluation: knn; `--again`" in (moved.path / "evaluation.md").read_text()


def test_rows_of_an_earlier_way_of_judging_are_not_taken_for_todays(
    run: Run, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate.run(run, ("knn",), baselines=False)
    monkeypatch.setattr(stored, "REVISION", stored.REVISION + 1)
    evaluate.run(run, ("knn",), baselines=False)
    assert calls == ["knn", "knn"]


def test_an_interrupted_evaluation_goes_on(run: Run, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names, real = ("knn", "linear-cached", "retrieval"), runner.protocol

    def broken(name: str):  # type: ignore[no-untyped-def]
        if name != "linear-cached":
            return real(name)

        def stop(context, options):  # type: ignore[no-untyped-def]
            raise KeyboardInterrupt

        return SimpleNamespace(Options=linear_cached.Options, evaluate=stop)

    monkeypatch.setattr(runner, "protocol", broken)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(run, names, linear_cached=SHORT, baselines=False)
    kept = json.loads((run.path / "evaluation.json").read_text())
    assert kept["missing"] == ["linear-cached", "retrieval"]
    assert "**Unfinished**: linear-cached, retrieval not done yet" in (run.path / "evaluation.md").read_text()
    monkeypatch.setattr(runner, "protocol", real)
    whole = evaluate.run(run, names, linear_cached=SHORT, baselines=False)
    assert calls == ["knn", "linear-cached", "retrieval"]
    assert whole["missing"] == []
    assert "Unfinished" not in (run.path / "evaluation.md").read_text()


def test_other_weights_or_clips_are_another_evaluation(
    run: Run, archive: MotionArchive, tmp_path: Path, calls: list[str]
) -> None:
    evaluate.run(run, ("knn",), baselines=False)
    write_run(tmp_path / "other", archive, seed=1)
    (run.path / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    evaluate.run(run, ("retrieval",), baselines=False)
    assert calls == ["knn", "retrieval"]
    assert [e["name"] for e in json.loads((run.path / "evaluation.json").read_text())["protocols"]] == ["retrieval"]
    # other clips than those of the run's own split do not touch the run's table
    with pytest.warns(MotetWarning, match="6 of 18 test clips, those of subject 5, were in the pretraining"):
        evaluate.run(run, ("knn",), split="subjects:1,2,3", baselines=False)
    (on,) = run.path.glob("evaluation-on-swings-*.json")
    assert json.loads(on.read_text())["split"]["rule"] == "subjects:1,2,3"
    assert json.loads((run.path / "evaluation.json").read_text())["split"]["rule"] == "odd-even"


def test_a_damaged_file_is_named(run: Run) -> None:
    evaluate.run(run, ("knn",), baselines=False)
    content = json.loads((run.path / "evaluation.json").read_text())
    content["protocols"][0]["name"] = 3
    (run.path / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"evaluation\.json is damaged.*name is 3, it must be text"):
        evaluate.run(run, ("retrieval",))
    (run.path / "evaluation.json").write_text("{")
    with pytest.raises(ConfigError, match=r"evaluation\.json is damaged"):
        evaluate.run(run, ("retrieval",))


def test_finished_shares_outlive_an_interruption(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"epochs": 2, "batch_size": 4, "ratios": (0.3, 0.5, 1.0), "repeats": 2, "streams": ("joint", "motion")}
    whole = evaluate.run(run, "semi", semi=options, baselines=False, json=tmp_path / "whole.json")
    (run.path / "evaluation.json").unlink()
    real, shares = tuning._tune, []

    def tune(protocol, context, options, units, streams):  # type: ignore[no-untyped-def]
        shares.append(len(units[0].rows))
        if shares == [5, 9, 18]:
            raise KeyboardInterrupt
        return real(protocol, context, options, units, streams)

    monkeypatch.setattr(tuning, "_tune", tune)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(run, "semi", semi=options, baselines=False)
    assert len(list(run.path.glob("features/semi-*.parts.json"))) == 1
    again = evaluate.run(run, "semi", semi=options, baselines=False)
    assert shares == [5, 9, 18, 18]  # the first two were not tuned again
    assert again["rows"] == whole["rows"]
    assert again["protocols"][0]["record"] == whole["protocols"][0]["record"]
    assert not list(run.path.glob("features/*.parts.json"))
    # other options do not take them over, nor does --again
    evaluate.run(run, "semi", semi=options | {"lr": 0.02}, baselines=False)
    evaluate.run(run, "semi", semi=options | {"lr": 0.02}, again=True, baselines=False)
    assert shares[4:] == [5, 9, 18] * 2


def test_parts_of_another_time_are_not_read(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "a.json")
    parts.put("x", [0.1, 1 / 3])
    assert Parts(tmp_path / "a.json").get("x") == [0.1, 1 / 3]
    (tmp_path / "a.json").write_text("[1")
    assert len(Parts(tmp_path / "a.json")) == 0
    Parts().put("x", 1)  # keeps nothing
