"""What the folder of a fitted classifier says of it: ``config.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from motet.core.options import Bounds, Natural
from motet.engine.forms import Channels, Persons, StoredSkeleton


class _Expected(TypedDict):
    """Of config.json: what cross-validation said."""

    accuracy: float
    worst: float
    spread: float
    recall: dict[str, float]
    folds: Natural
    by: str


class _Source(TypedDict):
    """Of config.json: what it was learnt from."""

    archive: str
    hash: str
    track: str | None
    recordings: Natural
    hours: float
    licence: str
    simulated: bool
    size: NotRequired[Annotated[float, Bounds(above=0, most=1e9)] | None]


class _EncoderLayout(TypedDict):
    """Of an encoder: what it reads."""

    skeleton: StoredSkeleton
    persons: Persons
    channels: Channels
    units: str | None
    by_name: bool


class _Encoder(TypedDict):
    """:meth:`motet.use.encoded.Encoded.describe`."""

    name: str
    units: str
    recipe: dict[str, Any]
    data: _EncoderLayout


class _Unknown(TypedDict):
    """Of config.json: features that tell the unknown, and what share of it is noticed."""

    views: list[str]
    encoders: list[_Encoder | None]
    noticed: dict[str, float]
    classes: dict[str, float]


class Config(TypedDict):
    """config.json."""

    skeleton: StoredSkeleton
    persons: Persons
    channels: Channels
    fps: Annotated[float, Bounds(above=0, most=10_000)]
    units: NotRequired[str | None]
    mirror: NotRequired[Literal["x", "y", "z"] | None]
    heading: NotRequired[bool]
    classes: list[str]
    members: list[str]
    encoders: NotRequired[list[_Encoder | None] | None]
    temperature: Annotated[float, Bounds(above=0.01, most=100)]
    clips: bool
    expected: _Expected
    chosen: str
    candidates: list[dict[str, str | float]]
    trained_on: _Source
    unknown: NotRequired[_Unknown | None]
    centre_by: NotRequired[str | None]
