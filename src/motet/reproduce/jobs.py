"""What a table asks of each verb: open the data, resolve a training, estimate it, train it, read its figures."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from motet.core.errors import ConfigError
from motet.reproduce.declare import Measure, Row, Share, Steps, Table, Times, Training

Scale = Literal["small", "paper"]
Values = dict[str, list[float]]


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        table: the table.
        data: archive, feature table, or folder of graphs.
        out: folder of all tables; trainings lie in ``runs`` below it, shared by tables.
        target: second archive (``discover``, transfer), or modalities of the student (``distill``).
        auxiliary: modalities that help (``distill``).
        seeds: one training for each.
        scale: size of the recipes.
        options: of every training of the table, said over what a row says.
        progress: show progress.
    """

    table: Table
    data: Path
    out: Path
    target: tuple[str, ...] = ()
    auxiliary: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    scale: Scale = "small"
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = True

    def one_target(self, what: str) -> str:
        """The only target.

        Raises:
            ConfigError: none or several were named.
        """
        if len(self.target) != 1:
            raise ConfigError(f"table {self.table.name} needs one --target, {what}")
        return self.target[0]


class Impossible(Exception):
    """A row that this scale, or these data, cannot have; says why."""


@dataclass(frozen=True)
class Job:
    """One training of a table, with all seeds.

    Attributes:
        training: as declared.
        options: resolved.
        folder: where its runs are.
        command: the same as a command line, for the first seed.
    """

    training: Training
    options: Mapping[str, Any]
    folder: Path
    command: str


class Engine(Protocol):
    """A verb that trains."""

    facts: dict[str, Any]
    """of the data set: ``name``, ``path``, ``hash``, and whatever else a reader wants to know"""

    def __init__(self, request: Request) -> None: ...

    def job(self, row: Row) -> Job:
        """Resolve the training of a row. Raises Impossible, or ConfigError where the request is wrong."""
        ...

    def done(self, job: Job) -> int:
        """How many of its seeds are trained."""
        ...

    def estimate(self, job: Job) -> float:
        """Seconds that its missing seeds take, from a few steps of it."""
        ...

    def train(self, job: Job) -> Job:
        """Train what is missing of it; the job as it was trained, with settings that were chosen on the way."""
        ...

    def values(self, job: Job, row: Row, measures: Sequence[Measure]) -> Values:
        """Fractions by measure, one for each seed; a measure that these data cannot give is left out."""
        ...

    def baselines(self, job: Job, measures: Sequence[Measure]) -> dict[str, Values]:
        """What is not trained, evaluated in the same way: name → values by measure."""
        ...

    def notes(self) -> list[str]:
        """What a reader must know about the evaluations so far."""
        ...


def folder_of(request: Request, training: Training, *facts: Any) -> Path:
    """Where a training is kept: its method and a digest of all that decides it."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return (
        request.out / "runs" / f"{training.method.replace('/', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    )


def settled(
    options: Mapping[str, Any], *, epochs: int, defaults: Mapping[str, Any], per_epoch: int = 1
) -> dict[str, Any]:
    """Options with numbers of steps, shares of the epochs and multiples of defaults worked out.

    ``epochs`` is the length of a training whose options name none, ``per_epoch`` the steps of an epoch.
    """
    own = options.get("epochs", epochs)
    length = math.ceil(own.value / per_epoch) if isinstance(own, Steps) else own

    def value(name: str, given: Any) -> Any:
        if isinstance(given, Steps):
            return length
        if isinstance(given, Share):
            return round(given.value * length)
        return given.value * defaults[name] if isinstance(given, Times) else given

    return {name: value(name, given) for name, given in options.items()}


def read_all(measures: Sequence[Measure], folders: Sequence[Path]) -> Values:
    """What the measures with a function of their own find in the run directories; those that find nothing are left
    out."""
    found: Values = {}
    for measure in measures:
        if measure.read is not None:
            values = [measure.read(folder) for folder in folders]
            known = [v for v in values if v is not None]
            found |= {measure.name: known} if len(known) == len(values) else {}
    return found


def words(options: Mapping[str, Any]) -> str:
    """Options as on a command line, quoted for a shell."""
    said = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            said.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            value = [f"{k}={v}" for k, v in value.items()] if isinstance(value, Mapping) else value
            many = value if isinstance(value, list | tuple) else [value]
            said += [f"--{flag}", *map(str, many)]
    return shlex.join(said)
