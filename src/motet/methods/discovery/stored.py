"""What a discovery has written: its configuration and its result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import polars as pl

from motet.core.errors import RunError
from motet.core.options import Bounds, Natural
from motet.engine.forms import ArchiveForm, EnvironmentForm, Persons, RowForm, StoredSkeleton
from motet.engine.run import Run

KIND, MODULE = "discover", "motet.methods.discovery.run"

Clusters = Annotated[int, Bounds(least=1, most=65_535)]


class LayoutForm(TypedDict):
    """:meth:`motet.methods.discovery.joints.CommonLayout.to_dict`."""

    skeleton: StoredSkeleton
    channels: list[str]
    persons: Persons
    scale: str


class CONFIG(TypedDict):
    """config.json."""

    settings: dict[str, Any]
    source: ArchiveForm
    target: ArchiveForm
    source_split: str | None
    target_split: str | None
    source_classes: list[int]
    target_classes: list[int]
    common: LayoutForm
    one_form: NotRequired[bool]
    known: list[Natural]


class SourceForm(TypedDict):
    """Of a result."""

    name: str
    clips: Natural


class TargetForm(TypedDict):
    """Of a result."""

    name: str
    train: Natural
    scored: Natural


class SplitForm(TypedDict):
    """Of a result."""

    source: str
    target: str
    says: NotRequired[str]


class ClusterForm(TypedDict):
    """One cluster of a branch."""

    cluster: Natural
    size: Natural
    typical: list[str]
    neighbours: list[dict[str, float]]
    resembles: list[dict[str, str | float]]
    known: NotRequired[Natural]


class CandidateForm(TypedDict):
    """A number of clusters that was tried."""

    clusters: Clusters


class EstimateForm(TypedDict):
    """How many clusters there are."""

    clusters: NotRequired[Clusters]
    evidence: list[CandidateForm]
    says: str


class BelowForm(TypedDict):
    """A similarity for each branch."""

    B0: float
    B1: float


class RESULT(TypedDict):
    """result.json."""

    method: str
    settings: dict[str, Any]
    source: SourceForm
    target: TargetForm
    split: SplitForm
    simulated: list[bool]
    joints: list[str]
    source_classes: list[int]
    k: Clusters
    estimated: EstimateForm | None
    sizes: NotRequired[str]
    pretrained: list[RowForm]
    rows: list[RowForm]
    baselines: NotRequired[list[RowForm]]
    warning: NotRequired[str | None]
    clusters: dict[str, list[ClusterForm]]
    outlier_below: BelowForm
    environment: NotRequired[EnvironmentForm]


def read_config(folder: str | Path) -> dict[str, Any]:
    """Content of a discovery's config.json.

    Raises:
        RunError: the folder is no discovery, or its configuration is damaged.
    """
    return Run.open(folder, KIND).config


def read_result(folder: str | Path) -> dict[str, Any]:
    """Content of a discovery's result.json.

    Raises:
        RunError: it has not finished, or the file is damaged.
    """
    return Run.open(folder, KIND).result()


def read_clusters(folder: str | Path) -> pl.DataFrame:
    """A discovery's clusters.parquet, a row per clip of the target.

    Raises:
        RunError: weights alone, which do not hold it, or the file is damaged.
    """
    run = Run.open(folder, KIND)
    run.need_history("name recordings by --archive")
    path = run.path / "clusters.parquet"
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(f"{path} is damaged ({error!s:.200}); {run.renewal}") from error
    # of an earlier version
    return table.rename({n: f"{n.removesuffix('_odd')}_outlier" for n in table.columns if n.endswith("_odd")})
