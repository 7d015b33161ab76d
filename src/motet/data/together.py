"""Several archives as one: their common layout by named joints, their clips one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.core.units import METRES, stated
from motet.data import layouts
from motet.data.adapt import Layout, into, note_left_out, readings, same_layout, unit_remedy, written_as
from motet.data.adapted import in_layout
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import recipe
from motet.data.preprocess import WHOLE
from motet.data.skeletons import Skeleton, coordinates
from motet.data.splits import Split, default_rule, split
from motet.data.views import sub_skeleton
from motet.data.worn import AXIS, SIDE, axis_of

SHARED = "shared-15"
"""layout of bodies whose joints have other names or numbers."""
FEWEST = 4
"""joints that bodies or hands must have in common."""


@dataclass(frozen=True)
class Form:
    """What clips look like: layout, persons, number of coordinates."""

    skeleton: Skeleton
    persons: int
    channels: int


def same_skeleton(archives: Sequence[MotionArchive]) -> bool:
    """Whether all archives have the same joints and axes."""
    return all(same_layout(a.skeleton, archives[0].skeleton) for a in archives[1:])


def common_form(archives: Sequence[MotionArchive]) -> Form:
    """The layout that all archives can be brought to: their own where it is one, else the joints that all have.

    Bodies become ``shared-15`` where all of them give its joints. What is recorded of fewer persons is filled with
    absent ones.

    Raises:
        ConfigError: bodies and sensors, other coordinates, or too few joints in common.
    """
    first = archives[0]
    for other in archives[1:]:
        if other.skeleton.kind != first.skeleton.kind or len(other.channels) != len(first.channels):
            raise ConfigError(
                f"{first.path} holds {first.skeleton.kind} clips with {counted(len(first.channels), 'coordinate')}, "
                f"{other.path} {other.skeleton.kind} clips with {len(other.channels)}; train on archives of one kind"
            )
    persons, channels = max(a.persons for a in archives), len(first.channels)
    return Form(
        first.skeleton if same_skeleton(archives) else _common([a.skeleton for a in archives]), persons, channels
    )


def _common(skeletons: Sequence[Skeleton]) -> Skeleton:
    first = skeletons[0]
    shared = layouts.get(SHARED)
    if first.kind == "body" and all(recipe(j, s) is not None for s in skeletons for j in shared.canonical):
        return shared
    nodes = [i for i, j in enumerate(first.canonical) if all(recipe(j, s) is not None for s in skeletons)]
    if len(nodes) < (1 if first.kind == "sensor" else FEWEST):
        raise ConfigError(
            f"{', '.join(dict.fromkeys(s.name for s in skeletons))} have {counted(len(nodes), 'joint')} in common, "
            f"too few to train together; `motet data convert --layout` brings an archive to another layout"
        )
    return sub_skeleton(first, nodes)


def set_names(archives: Sequence[MotionArchive]) -> list[str]:
    """A different name for every archive: that of its folder, with a number where two are the same."""
    stems = [a.path.resolve().name.removesuffix(".motet") for a in archives]
    return [s if stems.count(s) == 1 else f"{s}-{stems[: i + 1].count(s)}" for i, s in enumerate(stems)]


@contextmanager
def gathered(archives: Sequence[MotionArchive], form: Layout | None = None) -> Iterator[MotionArchive]:
    """All archives as one, for as long as the context lasts; a single one in its own layout is itself.

    Clips are called ``set/name`` and follow one another in the order of the archives; classes of the same name are one.

    Args:
        archives: recordings.
        form: layout of the clips; the common one by default.

    Raises:
        ConfigError: see :func:`common_form`; units of bodies in space or sensors that cannot be brought to one (for
            pictures there is :func:`check_pictures`).
    """
    if len(archives) == 1:
        if form is None:
            yield archives[0]
        else:
            with in_layout(archives[0], form) as only:
                yield only
        return
    form = form or common_form(archives)
    first = archives[0]
    classes = list(dict.fromkeys(name for a in archives for name in a.class_names))
    forms = [written_as(a, form.skeleton) for a in archives]
    rates = {f["fps"] for f in forms}
    with TemporaryDirectory(prefix="motet-") as folder:
        path = Path(folder) / "together"
        with ArchiveWriter(
            path,
            **forms[0] | {"fps": rates.pop() if len(rates) == 1 else None},
            persons=form.persons,
            channels=first.channels,
            class_names=classes,
            source={"together": [str(a.path) for a in archives]},
            licence="; ".join(dict.fromkeys(a.licence for a in archives)),
            simulated=all(a.simulated for a in archives),
        ) as writer:
            for name, archive, own in zip(set_names(archives), archives, forms, strict=True):
                scale = 1.0 if own["units"] == forms[0]["units"] else _scale(archive, first)
                if scale is None and not _flat(first):
                    raise _refused(archive, first)
                _add(writer, name, archive, form, classes, scale or 1.0)
        yield MotionArchive.open(path)


def _add(
    writer: ArchiveWriter, name: str, archive: MotionArchive, form: Layout, classes: Sequence[str], scale: float
) -> None:
    change = into(form.skeleton, archive.skeleton, readings(archive, form.skeleton), archive.fps)
    note_left_out(archive, form)
    number = [classes.index(c) for c in archive.class_names]
    axis = axis_of(archive)
    for index in range(len(archive)):
        row = archive.clips.row(index, named=True)
        frames = change(archive.verified(index)[:, : form.persons])
        label = int(archive.labels[index])
        columns: dict[str, Any] = {"subject": row["subject"], "camera": row["camera"]}
        columns |= {SIDE: row[SIDE], AXIS: axis} if SIDE in row else {}
        columns["label"] = None if label < 0 else number[label]
        writer.add(np.asarray(frames * scale), name=f"{name}/{row['name']}", **columns)


def check_pictures(archives: Sequence[MotionArchive], preprocess: str) -> None:
    """Refuse pictures in units that cannot be brought to one, such as pixels and centimetres, where sizes are kept.

    Raises:
        ConfigError: names two of them.
    """
    first = archives[0]
    for archive in archives if _flat(first) and preprocess not in WHOLE else ():
        if archive.units != first.units and _scale(archive, first) is None:
            raise _refused(archive, first)


def _flat(archive: MotionArchive) -> bool:
    return coordinates(archive.channels) == 2 and archive.skeleton.kind != "sensor"


def _scale(archive: MotionArchive, first: MotionArchive) -> float | None:
    """Factor to the unit of the first archive; None where there is none."""
    if archive.units in METRES and first.units in METRES:
        return METRES[archive.units] / METRES[first.units]
    return 1.0 if None in (stated(a.units, a.skeleton.kind) for a in (archive, first)) else None


def _refused(archive: MotionArchive, first: MotionArchive) -> ConfigError:
    return ConfigError(
        f"the unit of {first.path} is {first.units}, that of {archive.path} {archive.units}, and the one cannot be "
        f"made the other; {unit_remedy(archive.skeleton, archive.units, first.units)}"
    )


@dataclass(frozen=True)
class Sets:
    """Which clips of a joined archive come from where, and who trains.

    Attributes:
        names: of the archives.
        sides: each archive's own split, in its own rows.
        parts: the split of all, in rows of the joined archive.
        member: (N,) number of the archive that each clip of the joined one comes from.
    """

    names: tuple[str, ...]
    sides: tuple[Split, ...]
    parts: Split
    member: npt.NDArray[np.int64]

    @classmethod
    def of(cls, archives: Sequence[MotionArchive], rule: str | None) -> Sets:
        """Split every archive by a rule, or by its own standard.

        Raises:
            ConfigError: an archive that the rule cannot split.
        """
        sides = tuple(split(a, rule or default_rule(a)) for a in archives)
        first = np.cumsum([0, *(len(a) for a in archives)])
        train, test = (
            np.concatenate([getattr(s, side) + at for s, at in zip(sides, first, strict=False)])
            for side in ("train", "test")
        )
        names = set_names(archives)
        said = "; ".join(f"{n}: {s.name}" for n, s in zip(names, sides, strict=True))
        warning = "; ".join(f"{n}: {s.warning}" for n, s in zip(names, sides, strict=True) if s.warning)
        member = np.repeat(np.arange(len(archives)), [len(a) for a in archives])
        return cls(tuple(names), sides, Split(train, test, rule or "", said, warning), member)

    def shares(self, weights: Sequence[float]) -> list[int]:
        """Clips of each set in an epoch: no clip comes twice, and the sets' numbers are as their weights.

        Args:
            weights: one of each set; by default the square roots of their numbers of training clips.

        Raises:
            ConfigError: not one weight for each set.
        """
        counts = [len(s.train) for s in self.sides]
        if weights and len(weights) != len(counts):
            raise ConfigError(
                f"set_weights has {counted(len(weights), 'value')} for {counted(len(counts), 'archive')}; give one "
                f"of each"
            )
        wanted = list(weights) or [math.sqrt(n) for n in counts]
        rates = [w / n for w, n in zip(wanted, counts, strict=True)]
        return [max(1, round(n * rate / max(rates))) for n, rate in zip(counts, rates, strict=True)]
