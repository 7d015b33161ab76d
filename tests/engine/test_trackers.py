"""Trackers get every number of every epoch, a resumed run continues the same one, and a missing package is said."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from motet.core.errors import ConfigError
from motet.engine.run import Run
from motet.engine.trackers import Trackers

LINE = {
    "epoch": 2,
    "stage": "train",
    "step": 14,
    "loss": 1.5,
    "terms": {"contrast/joint": [1.0, 2.0]},
    "knn": {"all": 0.5},
}
NUMBERS = {"epoch": 2.0, "loss": 1.5, "terms/contrast/joint": 1.5, "knn/all": 0.5}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    found = Run(tmp_path / "run-7")
    found.path.mkdir()
    found.__dict__["config"] = {"recipe": {"lr": 0.1}}
    return found


class Recorder:
    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[dict[str, float], int]] = []
        self.closed = 0


def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    seen, module = Recorder(), ModuleType("wandb")

    def init(**options: Any) -> Any:
        seen.begun.append(options)
        return SimpleNamespace(
            log=lambda numbers, step: seen.logged.append((numbers, step)),
            finish=lambda: setattr(seen, "closed", seen.closed + 1),
        )

    module.init = init  # type: ignore[attr-defined]
    module.util = SimpleNamespace(generate_id=lambda: f"id{len(seen.begun)}")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return seen


def test_wandb_continues_the_same_run(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    seen = fake_wandb(monkeypatch)
    for _ in range(2):
        with Trackers(run, ["wandb", "wandb"]) as trackers:
            trackers.log(LINE)
    assert [options["id"] for options in seen.begun] == ["id0", "id0"]
    assert seen.begun[0]["name"] == "run-7"
    assert seen.begun[0]["config"] == {"recipe": {"lr": 0.1}}
    assert seen.logged == [(NUMBERS, 14)] * 2
    assert seen.closed == 2


def test_mlflow_continues_the_same_run(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    made: list[str] = []
    logged: dict[str, tuple[float, int]] = {}

    class Client:
        def get_experiment_by_name(self, name: str) -> Any:
            return SimpleNamespace(experiment_id="e") if made else None

        def create_experiment(self, name: str) -> str:
            assert name == "motet"
            return "e"

        def create_run(self, experiment: str, run_name: str) -> Any:
            made.append(run_name)
            return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

        def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
            assert run_id == "r1"
            logged[name] = value, step

        def set_terminated(self, run_id: str) -> None:
            assert run_id == "r1"

    module = ModuleType("mlflow")
    module.MlflowClient = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    for _ in range(2):
        with Trackers(run, ["mlflow"]) as trackers:
            trackers.log(LINE)
    assert made == ["run-7"]
    assert logged == {name: (value, 14) for name, value in NUMBERS.items()}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch, run: Run, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=f"pip install {name}"):
        Trackers(run, [name])


def test_without_a_run_nothing_is_tracked() -> None:
    with Trackers(None, ["wandb"]) as trackers:
        trackers.log(LINE)
