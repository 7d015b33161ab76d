"""What a pretraining reads: an archive or several, in the layout of the encoders that it starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError, RunError
from motet.data.archive import MotionArchive
from motet.data.splits import Split, split
from motet.data.together import Sets, common_form, gathered, same_skeleton
from motet.engine.identity import changes, identity, packed
from motet.engine.run import Run
from motet.methods.start import Start


def opened(data: str | Path | MotionArchive | Sequence[str | Path | MotionArchive]) -> list[MotionArchive]:
    """The archives that were named.

    Raises:
        ConfigError: none, or one of them twice.
    """
    items = [data] if isinstance(data, str | Path | MotionArchive) else list(data)
    found = [MotionArchive.open(item) for item in items]
    if not found:
        raise ConfigError("no archive was named; give one or several by --data")
    twice = [a.path for i, a in enumerate(found) if a.hash in [b.hash for b in found[:i]]]
    if twice:
        raise ConfigError(f"{twice[0]} holds the same clips as an archive before it; name each archive once")
    return found


@contextmanager
def material(
    sources: Sequence[MotionArchive], start: Start | None, rule: str | None
) -> Iterator[tuple[MotionArchive, Sets | None]]:
    """The recordings as they are trained on, for as long as the context lasts.

    Args:
        sources: archives.
        start: encoders whose layout they are brought to.
        rule: how each is split; by its own standard if None.

    Returns:
        One archive, and where it is several, which of its clips come from which.

    Raises:
        ConfigError: layouts or units that do not go together, or a split that an archive cannot give.
    """
    for source in sources if start is not None else ():
        start.check(source)  # type: ignore[union-attr]
        if rule:
            split(source, rule)  # what is wrong with it is said of the recordings, not of their copy in another layout
    several = len(sources) > 1
    form = common_form(sources) if start is None and several else start.model if start is not None else None
    with gathered(sources, form) as archive:
        yield archive, Sets.of(sources, rule) if several else None


def described(
    sources: Sequence[MotionArchive], archive: MotionArchive, sets: Sets | None, parts: Split
) -> dict[str, Any]:
    """What config.json says of the recordings and of who trained."""
    facts: dict[str, Any] = {"split": parts.name, "train_clips": len(parts.train), "test_clips": len(parts.test)}
    layout = {"skeleton": archive.skeleton.to_dict(), "persons": archive.persons, "units": archive.units}
    if sets is None:
        facts["train_rows"] = packed(parts.train, len(archive))
        return facts | {"data": identity(sources[0]) | layout}
    facts["sets"] = [
        {"name": name, **identity(source), "split": side.name, "train_rows": packed(side.train, len(source))}
        for name, source, side in zip(sets.names, sources, sets.sides, strict=True)
    ]
    joined = identity(archive) | layout | {"path": "", "hash": "", "columns": {}, "by_name": not same_skeleton(sources)}
    return facts | {"data": joined}


def stored_sources(run: Run) -> list[dict[str, Any]]:
    """What config.json says of every archive of a run."""
    return list(run.config.get("sets") or [run.config["data"]])


def sources_of(run: Run, data: str | Path | None = None) -> list[MotionArchive]:
    """The archives that a run began with.

    Raises:
        ConfigError: another place is given for one of several.
        RunError: an archive has moved or changed.
    """
    if "sets" not in run.config:
        archive = run.archive(data)
        differ = changes(run.config["data"], archive)
        if differ:
            raise RunError(
                f"{archive.path} does not hold what {run.path} was trained on so far: {', '.join(differ)} changed"
            )
        return [archive]
    if data is not None:
        raise ConfigError(f"{run.path} was trained on several archives; put them back where they were")
    found = []
    for entry in run.config["sets"]:
        archive = MotionArchive.open(entry["path"])
        differ = changes(entry, archive)
        if differ:
            raise RunError(
                f"{archive.path} does not hold what {run.path} was trained on so far: {', '.join(differ)} changed"
            )
        found.append(archive)
    return found
