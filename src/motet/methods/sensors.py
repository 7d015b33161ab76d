"""Streams from different sensors: which recordings of each belong to the clips of the main archive.

A stream is called ``view``, of the main archive, or ``sensor:view``. A sensor is one that recorded with the skeletons
(``archive.sensors``) or another archive of the same performances, paired by columns of the clips table. Sensors have
their own layouts, rates, encoders and numbers of frames; a clip may lack any of them but the main one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.augment import check_options
from motet.data.loader import ClipStore, augmented_views
from motet.data.splits import Split, split
from motet.data.views import split_stream
from motet.data.worn import BRIDGE, method_for
from motet.engine.options import encoder_options
from motet.methods.base import Layout
from motet.methods.fitting import sensor_form
from motet.methods.recipe import Recipe, written_value

Ids = npt.NDArray[np.int64]
Archives = Mapping[str, str | Path | MotionArchive]


@dataclass(frozen=True)
class Companion:
    """What one sensor recorded of the main archive's clips.

    Attributes:
        name: of the sensor.
        archive: its recordings.
        rows: (N,) row of each clip of the main archive in ``archive``, -1 where the sensor did not record it.
        included: whether it recorded next to the skeletons, i.e. is part of the main archive.
    """

    name: str
    archive: MotionArchive
    rows: Ids
    included: bool


def find_companions(
    archive: MotionArchive,
    streams: Sequence[str],
    archives: Archives | None = None,
    pair_by: Sequence[str] = ("name",),
) -> dict[str, Companion]:
    """The sensors that some streams need.

    Args:
        archive: the main archive.
        streams: names of streams.
        archives: archives by the sensor's name; what recorded next to the skeletons needs none.
        pair_by: columns of the clips tables that name a performance in both archives. Classes are compared by name.

    Raises:
        ConfigError: a sensor that is nowhere, an archive that no stream uses, columns that do not exist or do not name
            one clip, or no clip at all that both have.
    """
    given = dict(archives or {})
    wanted = list(dict.fromkeys(sensor for sensor, _ in map(split_stream, streams) if sensor))
    for name in given:
        if name not in wanted:
            raise ConfigError(f"no stream is of the sensor {name!r}; name one {name}:joint, or leave its archive out")
    if wanted and not any(not sensor for sensor, _ in map(split_stream, streams)):
        raise ConfigError(
            f"all streams are of {', '.join(wanted)}, none of {archive.path}; make one of those the main archive "
            "(--data) and name its streams without a sensor"
        )
    found = {}
    for name in wanted:
        if name in given:
            source = given[name]
            other = MotionArchive.open(source)
            found[name] = Companion(name, other, paired(archive, other, pair_by), included=False)
        elif name in archive.sensors:
            found[name] = Companion(name, archive.sensors[name], archive.sensor_rows(name), included=True)
        else:
            known = ", ".join(archive.sensors) or "no sensors next to its skeletons"
            raise ConfigError(
                f"there is no sensor {name!r}: {archive.path} has {known}, --companion names "
                f"{', '.join(given) or 'none'}"
            )
        if (found[name].rows < 0).all():
            raise ConfigError(f"no clip of {archive.path} was recorded by the sensor {name!r} as well; see --pair-by")
    return found


def paired(archive: MotionArchive, other: MotionArchive, columns: Sequence[str]) -> Ids:
    """(N,) row of each clip in the other archive, -1 where it has no such clip.

    Raises:
        ConfigError: a column is missing, or several clips have the same values.
    """
    ours, theirs = _keys(archive, columns), _keys(other, columns)
    place = {key: row for row, key in enumerate(theirs) if key is not None}
    return np.array([-1 if key is None else place.get(key, -1) for key in ours], dtype=np.int64)


def _keys(archive: MotionArchive, columns: Sequence[str]) -> list[tuple[Any, ...] | None]:
    """What names each clip; None where a value is unknown."""
    values = []
    for column in columns:
        if column not in archive.clips.columns:
            raise ConfigError(
                f"--pair-by {column}: {archive.path} has no such column; it has {', '.join(archive.clips.columns)}"
            )
        given = archive.clips[column].to_list()
        if column == "label":
            given = [None if v is None else archive.class_names[v] for v in given]
        values.append(given)
    keys = [None if None in key else key for key in zip(*values, strict=True)]
    seen: dict[tuple[Any, ...], int] = {}
    for row, key in enumerate(keys):
        if key is None:
            continue
        if key in seen:
            names = archive.clips["name"]
            raise ConfigError(
                f"clips {names[seen[key]]} and {names[row]} of {archive.path} are equal in {', '.join(columns)}; "
                "name further columns by --pair-by"
            )
        seen[key] = row
    return keys


def same_sides(parts: Split, companion: Companion) -> None:
    """Refuse a rule by which a clip trains in one archive and tests in the other.

    Raises:
        ConfigError: names the rule and the remedy.
    """
    theirs = split(companion.archive, parts.name)
    for mine, other, what in ((parts.train, theirs.test, "trains"), (parts.test, theirs.train, "tests")):
        rows = companion.rows[mine]
        if parts.name != "all" and np.isin(rows[rows >= 0], other).any():
            raise ConfigError(
                f"by the rule {parts.name!r} a clip {what} in the main archive but not among those of the sensor "
                f"{companion.name!r}; choose a rule by subject, camera or column (--split)"
            )


def fitted(recipe: Recipe, found: Mapping[str, Companion], options: Collection[str] = ()) -> Recipe:
    """The recipe with main streams first; inertial sensors have the form that it would give them alone.

    Args:
        recipe: what will train.
        found: the other sensors.
        options: names of those that were asked for; they hold for all sensors, of preprocessing "none" and
            "bridge" alone: these have no heading, and an axis of their own.
    """
    streams = tuple(sorted(recipe.streams, key=lambda s: bool(split_stream(s)[0])))
    bare = [n for n, c in found.items() if c.archive.skeleton.kind == "sensor"]
    said = {text.partition("=")[0].replace("-", "_") for text in recipe.per_sensor}
    usual = {k: v for k, v in sensor_form(recipe).items() if k == "preprocess" or k not in options}
    asked = recipe.preprocess if "preprocess" in options and recipe.preprocess in ("none", BRIDGE) else None
    forms = {n: usual | {"preprocess": asked or method_for(found[n].archive)} for n in bare}
    more = [f"{n}:{k}={written_value(v)}" for n in bare for k, v in forms[n].items() if f"{n}:{k}" not in said]
    changed = recipe.with_options({"streams": streams, "per_sensor": (*recipe.per_sensor, *more)})
    for sensor in {text.partition(":")[0] for text in changed.per_sensor}:
        if sensor not in found:
            raise ConfigError(f"--per-sensor names {sensor!r}, which is no sensor of a stream")
        changed.for_sensor(sensor)
    return changed


def layout(recipe: Recipe, companion: Companion) -> Layout:
    """What the streams have to know of a sensor."""
    archive = companion.archive
    own = recipe.for_sensor(companion.name)
    return Layout(archive.skeleton, archive.persons, len(archive.channels), encoder_options(own.encoder))


class Feed:
    """Clips of one sensor, asked for by the rows of the main archive.

    Args:
        companion: the sensor.
        recipe: of the whole training.
        ids: (n,) rows of the main archive that will be asked for.
        device: where the clips live.

    Attributes:
        recipe: of the sensor alone.
        store: its preprocessed clips.
        gaps: whether it lacks any of the clips.
    """

    def __init__(self, companion: Companion, recipe: Recipe, ids: Ids | Tensor, device: torch.device) -> None:
        self.name, self.recipe = companion.name, recipe.for_sensor(companion.name)
        self.archive = companion.archive
        self.rows = torch.from_numpy(companion.rows)
        wanted = self.rows[torch.as_tensor(ids)]
        if not bool((wanted >= 0).any()):
            raise ConfigError(
                f"the sensor {self.name!r} recorded none of the clips of this side; choose another --split"
            )
        self.gaps = bool((wanted < 0).any())
        self.store = ClipStore(self.archive, wanted[wanted >= 0], preprocess=self.recipe.preprocess, device=device)
        check_options(self.recipe.augment, self.store.skeleton, len(self.archive.channels))

    def present(self, ids: Tensor) -> Tensor:
        """(B,) bool on the device: which clips the sensor recorded."""
        return (self.rows[ids.cpu()] >= 0).to(self.store.device)

    def own(self, ids: Tensor) -> Tensor:
        """Rows of the sensor's archive of those clips that it recorded, in order."""
        rows = self.rows[ids.cpu()]
        return rows[rows >= 0]

    def views(self, ids: Tensor, *, epoch: int, views: int) -> tuple[Tensor, ...]:
        """Augmented clips of those that it recorded; draws are those of the main archive's clips."""
        rows, recipe = self.own(ids), self.recipe
        if not len(rows):
            shape = (0, recipe.frames, *self.store.data.shape[1:])
            return (torch.zeros(shape, device=self.store.device),) * views
        return augmented_views(
            self.store,
            rows,
            recipe.augment,
            seed=recipe.seed,
            epoch=epoch,
            frames=recipe.frames,
            views=views,
            keys=ids[(self.rows[ids.cpu()] >= 0).to(ids.device)],
        )
