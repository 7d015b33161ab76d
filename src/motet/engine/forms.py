"""What the files of every run look like (:func:`motet.core.forms.checked`); the kinds of runs add what is theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from motet.core.errors import ConfigError, RunError
from motet.core.forms import checked
from motet.core.options import Bounds, Natural, NotNegative
from motet.data.columns import MOST_PERSONS
from motet.data.skeletons import Skeleton

Persons = Annotated[int, Bounds(least=1, most=MOST_PERSONS)]
Channels = Annotated[int, Bounds(least=1, most=1000)]
Number = float | None
Numbers = Number | list[Number]
"""one, or one of each replica."""


class SkeletonForm(TypedDict):
    """:meth:`motet.data.skeletons.Skeleton.to_dict`."""

    name: str
    joints: list[str]
    parents: list[int]
    parts: NotRequired[dict[str, list[int]]]
    mirror: NotRequired[list[list[int]]]
    center: NotRequired[int]
    up: NotRequired[str | None]
    right_handed: NotRequired[bool]
    kind: NotRequired[str]
    canonical: NotRequired[list[str]]


StoredSkeleton = Annotated[SkeletonForm, Skeleton.from_dict]


class ArchiveForm(TypedDict):
    """:func:`motet.engine.identity.identity`."""

    path: str
    hash: str
    clips: Natural
    skeleton: StoredSkeleton
    persons: Persons
    channels: list[str]
    columns: NotRequired[dict[str, str]]
    class_names: NotRequired[list[str]]
    units: NotRequired[str | None]
    simulated: NotRequired[bool]
    licence: NotRequired[str]
    by_name: NotRequired[bool]


class SetForm(TypedDict):
    """One of several archives."""

    path: str
    hash: str
    train_rows: NotRequired[str]


class ClipsConfig(TypedDict):
    """config.json of a training on an archive."""

    recipe: dict[str, Any]
    data: ArchiveForm
    split: str | None
    train_clips: NotRequired[Natural]
    test_clips: NotRequired[Natural]
    train_rows: NotRequired[str | None]
    sets: NotRequired[list[SetForm]]
    sensors: NotRequired[dict[str, dict[str, Any]]]
    start: NotRequired[str]
    converted: NotRequired[str]
    trained_in: NotRequired[str]


class MetricsLine(TypedDict):
    """A line of metrics.jsonl."""

    epoch: Natural
    loss: Numbers
    stage: NotRequired[str]
    step: NotRequired[Natural]
    terms: NotRequired[dict[str, Numbers]]
    lr: NotRequired[Number]
    samples_per_second: NotRequired[Number]
    seconds: NotRequired[Number]
    memory_mb: NotRequired[Number]
    spread: NotRequired[dict[str, Numbers]]
    knn: NotRequired[dict[str, Numbers]]
    diagnostics: NotRequired[dict[str, Numbers]]
    curve: NotRequired[dict[str, Numbers]]


class CheckpointForm(TypedDict):
    """State of a training inside a checkpoint, :meth:`motet.engine.trainer.Trainer.state`."""

    learner: dict[str, Any]
    stage: Natural
    epoch: Natural
    step: Natural
    means: dict[str, dict[str, list[Numbers]]]
    seconds: NotNegative
    line: dict[str, Any] | None


class RowForm(TypedDict):
    """:class:`motet.engine.table.Row`."""

    protocol: str
    features: str
    stream: str
    values: list[float]
    ensemble: NotRequired[str | None]
    metric: NotRequired[str]
    best_values: NotRequired[list[float]]
    details: NotRequired[dict[str, Any]]
    mean: NotRequired[Number]
    sd: NotRequired[Number]


class EnvironmentForm(TypedDict):
    """:func:`motet.core.environment.environment`."""

    command: NotRequired[str | None]


def stored_json(path: Path, form: Any) -> Any:
    """What a run stored of a part of it.

    Args:
        path: a JSON file.
        form: as for :func:`motet.core.forms.checked`.

    Raises:
        RunError: the file is gone, damaged or of another form.
    """
    try:
        content = json.loads(path.read_text())
        checked(form, content, path)
    except (OSError, ValueError, ConfigError) as error:
        raise RunError(f"{path} is damaged ({error}); train into a new directory") from error
    return content
