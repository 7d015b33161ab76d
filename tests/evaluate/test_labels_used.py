"""Trainings that used labels of what is evaluated say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from motet import evaluate, pretrain
from motet.core.errors import ConfigError, MotetNote
from motet.data.archive import MotionArchive
from motet.engine.run import Run, write_config
from motet.evaluate.advice import advice
from tests.evaluate.test_fewlabels import few, rows
from tests.evaluate.test_runner import write_archive, write_run


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return write_archive(tmp_path_factory.mktemp("data") / "swings", label=lambda clip: clip % 3 if clip > 1 else None)


def with_views(run: Run, **facts: str) -> Run:
    config = json.loads((run.path / "config.json").read_text())
    config["recipe"]["class_views"] = 0.5
    write_config(run.path, config | facts)
    return Run.open(run.path)


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")
def test_an_evaluation_says_whose_labels_trained(archive: MotionArchive, tmp_path: Path) -> None:
    plain = write_run(tmp_path / "plain", archive)
    assert not any("labels" in note for note in evaluate.run(plain, "knn", baselines=False)["notes"][1:])
    run = with_views(write_run(tmp_path / "classes", archive))
    found = evaluate.run(run, "ridge")
    assert "the training used the labels of 16 clips (--class-views), so figures of fewlabels" in found["notes"][-1]
    assert found["summary"].endswith("The learned features have used labels in their training (--class-views).")
    assert "- Note: the training used the labels of 16 clips" in (run.path / "evaluation.md").read_text()
    # people who trained are tested: with their labels
    other = evaluate.run(run, "knn", split="subjects:1,2", baselines=False)["notes"]
    assert any("were in the pretraining (split odd-even), with their labels (--class-views), so" in n for n in other)
    other = evaluate.run(plain, "knn", split="subjects:1,2", baselines=False)["notes"]
    assert any("were in the pretraining (split odd-even), so" in n for n in other)
    with pytest.raises(ConfigError, match=r"differs from .* in method, class or neighbour views, start, streams"):
        evaluate.run([plain, run], "knn")
    for name, value in {"neighbour_views": 0.5, "keep_start": 0.5, "epochs": 0}.items():
        other = write_run(tmp_path / name, archive)
        config = json.loads((other.path / "config.json").read_text())
        config["recipe"][name] = value
        write_config(other.path, config)
        with pytest.raises(ConfigError, match="neighbour views, start"):
            evaluate.run([plain, Run.open(other.path)], "knn")
    # what starts from such encoders has used them too; recordings that did not train have not
    config = json.loads((plain.path / "config.json").read_text())
    write_config(plain.path, config | {"start": str(run.path)})
    assert "used the labels of 16 clips" in evaluate.run(Run.open(plain.path), "knn", baselines=False)["notes"][-1]
    config = json.loads((run.path / "config.json").read_text())
    config["data"]["hash"] = "0" * 64
    write_config(run.path, config)
    assert len(evaluate.run(Run.open(run.path), "knn", data=archive, baselines=False)["notes"]) == 1


def test_no_advice_on_few_labels_from_such_features() -> None:
    found = [*rows(cmd=0.9, raw=0.95), *few(1, cmd=0.8, raw=0.4)]
    assert "Better with 1 label" in advice(found, 400)
    said = advice(found, 400, supervised=True)
    assert "Better with" not in said
    assert said.endswith("have used labels in their training (--class-views).")


def test_a_pretraining_says_that_it_uses_labels(archive: MotionArchive, tmp_path: Path) -> None:
    options = {"epochs": 0, "start": "none", "width": 4, "frames": 8, "progress": False}
    with pytest.warns(MotetNote, match="--class-views uses the labels of 16 training clips"):
        pretrain("cmd/small", archive, tmp_path / "run", class_views=0.5, **options)
