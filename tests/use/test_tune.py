"""Settings chosen on held-out people: no test clip takes part, interrupted searches continue, the file is a recipe."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.core.errors import ConfigError, Interrupted, MotetError, MotetNote, RunError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.engine.trainer import Trainer
from motet.methods.pretrain import pretrain
from motet.use import tune as module
from motet.use.tune import Trial, tune
from tests.conftest import stick

TINY: dict[str, Any] = {"epochs": 1, "batch_size": 8, "queue_size": 16, "width": 8, "layers": 2, "frames": 8}
TINY |= {"dim": 8, "head_width": 8, "streams": ("joint",), "progress": False}
TRY = {"lr": (1e-3, 5e-3), "temperature": (0.3,)}


def test_values_that_are_better_stay(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worth = {"": 0.5, "lr=0.001": 0.4, "lr=0.005": 0.6, "lr=0.005 temperature=0.3": 0.55}
    asked = []

    def judged(self: Any, changes: dict[str, Any], recipe: Any) -> Trial:
        asked.append(changes)
        assert all(recipe.flat()[name] == value for name, value in changes.items())
        value = worth[" ".join(f"{n}={v}" for n, v in changes.items())]
        return Trial(changes, value, value, 1.0)

    monkeypatch.setattr(module._Search, "_trial", judged)
    found = tune("moco/small", small_archive, tmp_path / "out", settings=TRY, **TINY)
    assert asked == [{}, {"lr": 0.001}, {"lr": 0.005}, {"lr": 0.005, "temperature": 0.3}]
    assert found.best.changes == {"lr": 0.005}
    assert found.recipe.optimiser.lr == 0.005
    again = tune("moco/small", small_archive, tmp_path / "out", settings=TRY, **TINY)
    assert len(asked) == 4  # nothing is done again
    assert again.best == found.best
    assert len(tune("moco/small", small_archive, tmp_path / "few", settings=TRY, trials=1, **TINY).trials) == 2
    with pytest.raises(RunError, match="holds another search"):
        tune("moco/small", small_archive, tmp_path / "out", settings=TRY, fraction=0.4, **TINY)


def test_a_length_in_epochs_stays(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def judged(self: Any, changes: dict[str, Any], recipe: Any) -> Trial:
        asked.append(set(changes))
        assert recipe.epochs == 1
        return Trial(changes, 0.5, 0.5, 1.0)

    monkeypatch.setattr(module._Search, "_trial", judged)
    tune("moco/small", small_archive, tmp_path / "out", start="none", **TINY)
    assert {"lr"} in asked


def test_search_on_real_trainings(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune("moco/small", small_archive, tmp_path / "whole", settings=TRY, **TINY)
    assert len(whole.trials) == 4
    stored = json.loads((tmp_path / "whole" / "tuning.json").read_text())
    # people 1 and 3 train by odd-even; one of them is held out, and those who test are not read
    assert stored["clips"] == [12, 12]
    assert "are held out" in stored["held_out"]
    calls, original = 0, Trainer.one_step

    def step(self: Trainer) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 3:  # each training has two steps: in the second trial
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "one_step", step)
        with pytest.raises(Interrupted, match="1 trial kept") as stopped:
            tune("moco/small", small_archive, tmp_path / "parts", settings=TRY, **{**TINY, "epochs": 2})
    assert stopped.value.status == 128 + signal.SIGTERM
    parts = tune("moco/small", small_archive, tmp_path / "parts", settings=TRY, **{**TINY, "epochs": 2})
    assert len(parts.trials) == 4
    run = pretrain(str(whole.path), small_archive, tmp_path / "run", progress=False)
    ours, wanted = run.recipe.flat(), whole.recipe.flat()
    assert {n: (v, ours[n]) for n, v in wanted.items() if ours[n] != v} == {"split": (None, "odd-even")}


def test_what_cannot_be_tuned(small_archive: MotionArchive, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no option 'hue' to try"):
        tune("moco/small", small_archive, tmp_path / "out", settings={"hue": (1,)}, **TINY)
    with ArchiveWriter(tmp_path / "bare", skeleton=stick()) as writer:
        for i in range(20):
            writer.add(np.random.default_rng(i).normal(size=(9, 8, 3)), name=f"c{i}", subject=i % 5)
    with pytest.raises(ConfigError, match="no training clip is labelled"):
        tune("moco/small", tmp_path / "bare", tmp_path / "out", **TINY)
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("hello")
    with pytest.raises(RunError, match="holds no search"):
        tune("moco/small", small_archive, tmp_path / "mine", **TINY)
    with pytest.raises(ConfigError, match=r"nowhere.json: there is no such recipe file"):
        pretrain(str(tmp_path / "nowhere.json"), small_archive, tmp_path / "run")


def test_trials_start_from_weights(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pretrain("moco/small", small_archive, tmp_path / "run", **TINY)
    begun, original = [], module.trainer_of

    def trainer_of(*given: Any, **options: Any) -> Trainer:
        begun.append(options["start"] and options["start"].name)
        return original(*given, **options)

    monkeypatch.setattr(module, "trainer_of", trainer_of)
    found = tune("moco/small", small_archive, tmp_path / "out", settings=TRY, trials=1, start=run.path, **TINY)
    assert begun == [str(run.path)] * 2
    assert found.start == str(run.path)
    facts = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert facts["start"] == str(run.path)
    with pytest.raises(RunError, match="holds another search"):
        tune("moco/small", small_archive, tmp_path / "out", settings=TRY, trials=1, start="none", **TINY)
    assert tune("moco/small", small_archive, tmp_path / "new", settings=TRY, trials=1, **TINY).start is None
    assert begun[2:] == [None] * 2


def test_a_recipe_file_starts_where_it_was_tuned_to(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = pretrain("moco/small", small_archive, tmp_path / "run", **TINY)
    lasting = {"epochs": 1, "progress": False}
    for name, start in (("on", run.path), ("new", "none")):
        tune("moco/small", small_archive, tmp_path / name, settings=TRY, trials=1, start=start, **TINY)
    file = tmp_path / "on" / "recipe.json"
    with pytest.warns(MotetNote, match=rf"^starts from {run.path}, which {file} names \(--start names another\)$"):
        assert pretrain(str(file), small_archive, tmp_path / "as-tuned", **lasting).config["start"] == str(run.path)
    assert "start" not in pretrain(str(file), small_archive, tmp_path / "fresh", start="none", **lasting).config
    new = tmp_path / "new" / "recipe.json"
    assert "start" not in pretrain(str(new), small_archive, tmp_path / "as-new", **lasting).config
    new.write_text(json.dumps({"recipe": json.loads(new.read_text())["recipe"]}))  # as earlier versions wrote it
    assert "start" not in pretrain(str(new), small_archive, tmp_path / "earlier", **lasting).config
    for start, said in ((5, "is no recipe file"), (str(tmp_path / "gone"), "names a start that is not there")):
        new.write_text(json.dumps(json.loads(new.read_text()) | {"start": start}))
        with pytest.raises(MotetError, match=f"^{new} {said}"):
            pretrain(str(new), small_archive, tmp_path / "bad", **lasting)
