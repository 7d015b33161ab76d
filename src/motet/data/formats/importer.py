"""Import: discover, read in parallel, write in order.

Units are read by worker processes a few at a time and written in the plan's order, so the archive does not depend on
the number of workers and memory stays bounded by a few units per worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import types
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.shards import Shard
from motet.core.text import counted, pasted, printable
from motet.core.units import PICTURE
from motet.data import formats
from motet.data.archive import ArchiveWriter, MotionArchive, Sensor
from motet.data.archive.writer import check_destination
from motet.data.columns import check_columns
from motet.data.formats._files import OtherFiles
from motet.data.formats._worker import Outcome, expected, ignore_interrupt, read_units
from motet.data.formats.base import Plan, RawClip, Unit, make_options
from motet.data.inspection import layout_faults
from motet.data.tracks import warn_of_variants

CHUNK = 8  # units that travel together: one round trip costs about as much as parsing a small file
UNITS_PER_WORKER = 64  # below this a process costs more than it saves
LISTED = 10  # skipped files and duplicates that are printed; all are stored or found by `motet data inspect`


def import_dataset(
    format: str,
    source: str | Path,
    destination: str | Path,
    *,
    on_error: Literal["stop", "skip"] = "stop",
    workers: int | None = None,
    progress: bool = True,
    overwrite: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    shard: str | None = None,
    **options: Any,
) -> MotionArchive:
    """Read raw recordings into a new archive.

    Args:
        format: name of the format, one of :func:`motet.data.formats.names`.
        source: folder or file with the recordings.
        destination: directory of the archive, made when everything is read; nothing is left behind otherwise.
        on_error: ``"stop"`` at the first file that cannot be used, or ``"skip"`` it and list it with the reason in
            ``archive.source["skipped"]``.
        workers: processes; by default one per 64 files, at most one per core, and one for formats that keep all clips
            in one file. The result does not depend on it.
        progress: show progress and a summary on stderr.
        overwrite: replace an archive that is there already.
        dtype: what the archive stores.
        shard: ``"i/n"``: read only the i-th of n parts of the files; :func:`motet.data.edit.merge` joins the parts.
        **options: the format's own options.

    Raises:
        ConfigError: unknown format or option, a destination that exists.
        DataError: nothing to read, a file that cannot be used (unless skipped), or no file that can.
    """
    _check(source, on_error, dtype, workers)
    part = None if shard is None else Shard.parse(shard)
    chosen = make_options(format, formats.get(format).options, options)
    source, destination = Path(source), Path(destination)
    _check_destination(source, destination, overwrite)
    console = Console(stderr=True, quiet=not progress)
    notes = _Notes()
    plan = _discovered(format, source, chosen, notes)
    units = plan.units if part is None else plan.units[part.part(len(plan.units))]
    if not units:
        raise ConfigError(
            f"{source} holds {counted(len(plan.units), 'file')}, too few for shard {part}; use fewer shards"
        )
    skipped: list[dict[str, str]] = []
    facts = {**_given(format, source, chosen), **plan.facts, "files": len(units)}
    facts |= {"skipped": skipped} if part is None else {"shard": str(part), "skipped": skipped}
    writer = ArchiveWriter(
        destination,
        skeleton=plan.skeleton,
        persons=plan.persons,
        fps=plan.fps,
        units=plan.measure,
        channels=plan.channels,
        class_names=plan.class_names,
        source=facts,  # the writer keeps the very list of what is skipped and stores what is in it at the end
        licence=plan.licence,
        dtype=dtype,
        confidence=plan.confidence,
        sensors={name: Sensor(s.skeleton, s.fps, s.measure, s.channels) for name, s in plan.sensors.items()},
        overwrite=overwrite,
    )
    count = min(workers, len(units)) if workers else 1 if plan.light else _workers(len(units))
    try:
        with contextlib.closing(_outcomes(format, units, chosen, count)) as outcomes, _bar(console) as bar:
            _copy(writer, bar, outcomes, len(units), notes, skipped, stop=on_error == "stop")
        if not len(writer):
            raise DataError(
                f"none of the {counted(len(units), 'file')} of {source} can be used; {skipped[0]['reason']}"
            )
        archive = writer.close()
    except BaseException:
        writer.abort()
        raise
    warn_of_variants(plan.class_names, source)
    _report(console, archive, skipped)
    return archive


def _copy(
    writer: ArchiveWriter,
    bar: Progress,
    outcomes: Iterable[tuple[Unit, Outcome]],
    total: int,
    notes: _Notes,
    skipped: list[dict[str, str]],
    *,
    stop: bool,
) -> None:
    """Write what became of every unit; what cannot be used is added to ``skipped``, an error at the end if ``stop``."""
    task = bar.add_task("import", total=total)
    with contextlib.closing(notes):
        for unit, outcome in outcomes:
            notes.keep(outcome.notes)
            reasons = [outcome.reason] if outcome.reason else []
            if not reasons and not (skipped and stop):  # then the others are only looked at
                reasons = _write(writer, unit, outcome.clips)
            skipped += [{"file": unit.name, "reason": printable(reason)} for reason in reasons]
            bar.advance(task)
    if skipped and stop:
        raise DataError(_all_bad(skipped))


def _discovered(name: str, source: Path, options: Any, notes: _Notes) -> Plan:
    """What a format finds to read, at least one unit."""
    try:
        with notes.collected(), expected(source):
            plan = formats.get(name).discover(source, options)
    except OtherFiles as error:
        ending, others = formats.readers(source)
        if not others or name in others:
            raise
        raise OtherFiles(f"{error}; formats that read {ending}: {', '.join(others)}") from error
    if not plan.units:
        raise DataError(f"{source} holds nothing that the format {name} reads")
    return plan


class _Notes:
    """Warnings of readers: what holds of several files is said once, and no more than a few are said."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, MotetWarning]] = {}  # what is said behind the file → text → warning

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Keep what is warned of in the block."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MotetWarning)
            yield
        self.keep([w.message for w in caught if isinstance(w.message, MotetWarning)])

    def keep(self, notes: Sequence[MotetWarning]) -> None:
        for note in notes:
            place, _, what = str(note).partition(": ")
            self._held.setdefault(what or place, {}).setdefault(str(note), note)

    def close(self) -> None:
        """Say what was kept, with how many there are of each, and how many were not said."""
        for same in [*self._held.values()][:LISTED]:
            first = next(iter(same.values()))
            more = f" (the same of {len(same) - 1} more)" if len(same) > 1 else ""
            warnings.warn(type(first)(f"{first}{more}"), stacklevel=4)
        if len(self._held) > LISTED:
            warnings.warn(f"… and {len(self._held) - LISTED} more such notes", MotetNote, stacklevel=4)


def _check(source: Any, on_error: str, dtype: str, workers: int | None) -> None:
    if not isinstance(source, str | PathLike):
        raise ConfigError(f"a folder or file is wanted, not {type(source).__name__}; ArchiveWriter takes arrays")
    for name, value, known in (("on_error", on_error, ("stop", "skip")), ("dtype", dtype, ("float32", "float16"))):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; it must be {' or '.join(known)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1")


def _check_destination(source: Path, destination: Path, overwrite: bool) -> None:
    inside = overwrite and destination.exists() and source.resolve().is_relative_to(destination.resolve())
    if inside and source.exists():
        raise ConfigError(f"{destination} holds the recordings themselves; choose another destination")
    check_destination(destination, overwrite)


def _all_bad(skipped: Sequence[dict[str, str]]) -> str:
    """Every file that stops an import, in one message."""
    remedy = "repair or remove {}, or continue past {} with --on-error skip"
    if len(skipped) == 1:
        return f"{skipped[0]['reason']} — {remedy.format('it', 'it')}"
    reasons = [s["reason"] for s in skipped[:3]]
    more = [f"and {len(skipped) - 3} more"] if len(skipped) > 3 else []
    return (
        f"{counted(len(skipped), 'file')} or clips cannot be used: {'; '.join(reasons + more)} — "
        f"{remedy.format('them', 'them')}"
    )


def _write(writer: ArchiveWriter, unit: Unit, clips: Sequence[RawClip]) -> list[str]:
    """Add the clips of one unit; the reasons why some of them do not fit."""
    reasons = []
    for clip in clips:
        columns: dict[str, Any] = {"source": unit.name, **clip.columns}
        extras: dict[str, Any] = {"confidence": clip.confidence, "sensors": clip.sensors, "tracks": clip.tracks}
        try:
            check_columns(clip.name, columns, writer.class_names)  # before they become arguments
            writer.add(clip.frames, name=clip.name, **extras, **columns)
        except DataError as error:
            reasons.append(f"{unit.name}: {error}")
    return reasons


def _workers(units: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(cores, units // UNITS_PER_WORKER))


def _given(name: str, source: Path, options: Any) -> dict[str, Any]:
    """What an import was asked for, as archive.json stores it."""
    plain = {k: _plain(v) for k, v in dataclasses.asdict(options).items()}
    return {"format": name, "path": str(source), "options": plain}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _outcomes(
    name: str, units: Sequence[Unit], options: Any, workers: int
) -> Generator[tuple[Unit, Outcome], None, None]:
    """Every unit with what became of it, in order."""
    if workers <= 1:
        for unit in units:
            yield unit, read_units(name, [unit], options)[0]
        return
    chunks = [units[i : i + CHUNK] for i in range(0, len(units), CHUNK)]
    ahead = 2 * workers  # chunks under way or waiting to be written: the bound on memory
    # spawn: forking a process that runs threads (polars, torch) may hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=ignore_interrupt)
    pending: deque[tuple[Sequence[Unit], Future[list[Outcome]]]] = deque()
    try:
        for chunk in chunks:
            with _unimportable_main(), _interrupts_held():
                pending.append((chunk, pool.submit(read_units, name, chunk, options)))
            if len(pending) >= ahead:
                done, future = pending.popleft()
                yield from zip(done, future.result(), strict=True)
        for done, future in pending:
            yield from zip(done, future.result(), strict=True)
    except BrokenProcessPool as error:
        raise DataError("a worker process died, probably for want of memory; try fewer with --workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _unimportable_main() -> Iterator[None]:
    """Keep new processes from running the user's script again.

    A spawned process imports the parent's ``__main__``, which for a script without an ``if __name__`` guard means
    to import the data set again, in every worker. Ours need nothing of it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C while processes are being started; it is heard at the end of the block.

    They inherit the mask: until they can ignore the signal (:func:`ignore_interrupt`) it would end them with a trace.
    The mask alone does not hold the parent: another of its threads may take the signal, and the main thread would then
    leave a process half started.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start, which the first process would bring about, lifts the mask
    came: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    ours = callable(handler) and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if ours:
            signal.signal(signal.SIGINT, handler)
            if came:
                signal.raise_signal(signal.SIGINT)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=console.quiet or not console.is_terminal,
    )


def _report(console: Console, archive: MotionArchive, skipped: Sequence[dict[str, str]]) -> None:
    def listing(one: str, several: str, lines: Sequence[str]) -> None:
        if lines:
            console.print(f"{counted(len(lines), one, several)}:", markup=False)
            for line in lines[:LISTED]:
                console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
            if len(lines) > LISTED:
                console.print(f"  … and {len(lines) - LISTED} more", markup=False)

    listing("file or clip was skipped", "files or clips were skipped", [s["reason"] for s in skipped])
    listing("group of clips holds the same data", "groups of clips hold the same data", duplicates(archive))
    contradicted = [] if console.quiet else [f"{f.name}: {f.message}; {f.remedy}" for f in layout_faults(archive)]
    listing("thing that the recordings contradict", "things that the recordings contradict", contradicted)
    if archive.units == PICTURE[1]:
        command = pasted("motet", "data", "convert", archive.path, "PIXELS", "--scale", 1920, 1080, "--units", "px")
        said = f"shares of a picture that is no square distort; of 1920 × 1080 `{command}` makes pixels of them"
        console.print(escape(said), soft_wrap=True, highlight=False)


def duplicates(archive: MotionArchive) -> list[str]:
    """One line for each group of clips whose stored data are the same: their names, joined by " = "."""
    groups = archive.clips.group_by("sha256", maintain_order=True).agg(pl.col("name"))
    return [" = ".join(names) for names in groups["name"] if len(names) > 1]
