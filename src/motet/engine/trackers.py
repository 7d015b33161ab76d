"""Where the numbers of a training also go: TensorBoard, Weights & Biases, MLflow.

A tracker is a class of this module with a run to begin with, ``log`` and ``close``. None of the packages is needed
unless it is asked for, and metrics.jsonl is written whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from motet.core.errors import ConfigError
from motet.core.files import written
from motet.engine.run import Run

Name = Literal["tensorboard", "wandb", "mlflow"]


class Tracker(Protocol):
    """Takes the numbers of an epoch."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Numbers by name, and the steps of the optimiser so far."""

    def close(self) -> None:
        """Nothing more comes."""


class TensorBoard:
    """Event files in ``RUN/tensorboard``."""

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.path / "tensorboard"))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of Weights & Biases; the project and the mode follow its own environment variables."""

    def __init__(self, run: Run) -> None:
        import wandb

        self._run = wandb.init(
            project="motet",
            name=run.path.name,
            dir=str(run.path),
            config=dict(run.config),
            id=_stored(run, "wandb", wandb.util.generate_id),
            resume="allow",
        )

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run of MLflow in the experiment ``motet``; the server follows its own environment variables."""

    def __init__(self, run: Run) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()

        def begin() -> str:
            found = self._client.get_experiment_by_name("motet")
            experiment = found.experiment_id if found else self._client.create_experiment("motet")
            return str(self._client.create_run(experiment, run_name=run.path.name).info.run_id)

        self._id = _stored(run, "mlflow", begin)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)


_TRACKERS: dict[str, Callable[[Run], Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


class Trackers:
    """Several trackers as one, a context manager.

    Args:
        run: whose numbers they take; None for none.
        names: which trackers.

    Raises:
        ConfigError: a package is not installed.
    """

    def __init__(self, run: Run | None, names: Sequence[str]) -> None:
        self._all: list[Tracker] = []
        for name in dict.fromkeys(names):
            if run is None:
                continue
            try:
                self._all.append(_TRACKERS[name](run))
            except ImportError as error:
                raise ConfigError(f"--trackers {name} needs a package that is missing: pip install {name}") from error

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *error: object) -> None:
        for tracker in self._all:
            tracker.close()

    def log(self, line: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl."""
        numbers = {name: value for name, value in _flat(line).items() if name != "step"}
        for tracker in self._all:
            tracker.log(numbers, int(line["step"]))


def _stored(run: Run, name: str, make: Callable[[], str]) -> str:
    """The identity of a run at a tracker, the same after a resume."""
    path = run.path / f"{name}.id"
    if not path.exists():
        with written(path) as partial:
            partial.write_text(make())
    return path.read_text()


def _flat(entry: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers by path: ``terms/contrast/joint``; of replicas the mean."""
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + name] = float(value)
        elif isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
            found[prefix + name] = float(np.mean(value))
    return found
