"""A table of a paper on the data at hand: train what is missing, fill it, print what was published next to it.

::

    FOLDER/cmd-stages.json, .md     the tables, written after every row; an unfinished one says so
    FOLDER/runs/METHOD-DIGEST/      the trainings, shared by all tables that need them
    FOLDER/simulated.motet          the recordings, where none were named
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from motet._version import __version__
from motet.core.environment import hardware
from motet.core.errors import ConfigError, Interrupted, MotetError, RunError
from motet.core.files import write_json, written
from motet.core.options import Count, convert
from motet.core.text import counted, span
from motet.engine.table import spread
from motet.reproduce.declare import Row, Table
from motet.reproduce.discovery import Discovery
from motet.reproduce.distillation import Distillation
from motet.reproduce.graphs import OnGraphs
from motet.reproduce.jobs import Engine, Impossible, Job, Request, Scale
from motet.reproduce.pretraining import Pretraining
from motet.reproduce.report import label, markdown
from motet.reproduce.tables import named

ENGINES: dict[str, type[Engine]] = {
    "pretrain": Pretraining,
    "distill": Distillation,
    "discover": Discovery,
    "graphs": OnGraphs,
}


def reproduce(
    table: str | Table,
    data: str | PathLike[str] | None = None,
    out: str | Path = "runs/reproduce",
    *,
    target: str | Sequence[str] = (),
    auxiliary: str | Sequence[str] = (),
    seeds: int = 3,
    scale: Scale = "small",
    dry_run: bool = False,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Fill a table of a paper on an archive of one's own.

    Trainings that are there are not repeated, interrupted ones continue, and tables share them; a row that cannot
    be trained fails alone. The files are written after every row.

    Args:
        table: a name of :func:`motet.reproduce.tables.all_tables`.
        data: archive; ``amid/…``: feature table, archive, or a folder of archives of the same clips, each named by its
            folder; ``codt/…``: labelled source; ``halp/graphs``: folder of a TU set.
            Tables of pretraining simulate recordings where none are named.
        out: folder of all tables.
        target: ``codt/…``: archive whose classes are wanted; ``cmd/transfer``: archive to transfer to; ``amid/…``:
            modalities of the student.
        auxiliary: ``amid/…``: modalities that help.
        seeds: trainings of each row.
        scale: ``small``: recipes for hundreds of clips on a CPU; ``paper``: the published sizes.
        dry_run: train nothing; say which runs there would be and how long they would take.
        progress: show progress.
        **options: of every training of the table, said over what its rows say (``epochs=20`` …).

    Returns:
        The table, as in its JSON file; of a dry run ``runs`` and ``seconds``.

    Raises:
        ConfigError, DataError: wrong request; nothing has been trained then.
        Interrupted: stopped by a signal; what is done is kept.
        RunError: a row failed; the table says which, and the others are filled.
    """
    declared = named(table) if isinstance(table, str) else table
    seeds, scale = convert(Count, seeds, "seeds"), convert(Scale, scale, "scale")
    folder = Path(out)
    request = Request(
        table=declared,
        data=_data(declared, data, folder),
        out=folder,
        target=_names(target),
        auxiliary=_names(auxiliary),
        seeds=tuple(range(seeds)),
        scale=scale,
        options=dict(options),
        progress=progress,
    )
    engine = ENGINES[declared.kind](request)
    jobs = _jobs(engine, declared)
    if dry_run:
        return _plan(engine, declared, jobs, request)
    return _Filling(engine, jobs, request).fill()


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, str | Path) else tuple(map(str, given))


SIMULATED: dict[str, Any] = {"clips": 240, "actions": 8, "actors": 8}
"""recordings where none are named"""


def _data(table: Table, data: str | PathLike[str] | None, out: Path) -> Path:
    if data is not None:
        return Path(data)
    if table.kind != "pretrain":
        what = {"distill": "a feature table", "discover": "a labelled archive", "graphs": "a folder of graphs"}
        raise ConfigError(f"table {table.name} needs --data, {what[table.kind]}")
    path = out / "simulated.motet"
    if not path.exists():
        from motet.data.simulate import simulate

        simulate(path, **SIMULATED, seed=0, progress=False)
    return path


def _jobs(engine: Engine, table: Table) -> list[Job | str]:
    """Each row's training, or why it has none here."""
    found: list[Job | str] = []
    for row in table.rows:
        if row.training is None:
            found.append("only what was printed is shown")
            continue
        try:
            found.append(engine.job(row))
        except Impossible as reason:
            found.append(str(reason))
    return found


def _plan(engine: Engine, table: Table, jobs: Sequence[Job | str], request: Request) -> dict[str, Any]:
    runs, seen = [], set[Path]()
    for row, job in zip(table.rows, jobs, strict=True):
        if isinstance(job, str) or job.folder in seen:
            continue
        seen.add(job.folder)
        done = engine.done(job)
        runs.append(
            {
                "row": row.name,
                "command": job.command,
                "seeds": len(request.seeds),
                "done": done,
                "seconds": engine.estimate(job) if done < len(request.seeds) else 0.0,
            }
        )
    left_out = {row.name: job for row, job in zip(table.rows, jobs, strict=True) if isinstance(job, str)}
    return {
        "table": table.name,
        "data": engine.facts,
        "scale": request.scale,
        "runs": runs,
        "left_out": left_out,
        "seconds": sum(r["seconds"] for r in runs),
    }


class _Filling:
    """One table while its rows are trained."""

    def __init__(self, engine: Engine, jobs: Sequence[Job | str], request: Request) -> None:
        self.engine, self.jobs, self.request, self.table = engine, jobs, request, request.table
        name = request.table.name.replace("/", "-")
        self.path = request.out / f"{name}.json"
        self.rows = [self._start(row, job) for row, job in zip(self.table.rows, jobs, strict=True)]
        self.baselines: dict[str, dict[str, Any]] = {}
        self._began, self._trained, self._due = time.monotonic(), 0, 0  # for the time left

    def _start(self, row: Row, job: Job | str) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": row.name, "cite": row.cite, "ours": row.ours, "values": {}}
        entry["published"] = [
            {"measure": m, "set": s, "figure": list(f) if isinstance(f, tuple) else f}
            for (m, s), f in row.published.items()
        ]
        if isinstance(job, str):
            state = "published only" if row.training is None else "impossible"
            return {**entry, "state": state, "reason": job, "command": None, "runs": None, "options": {}}
        return {
            **entry,
            "method": job.training.method,
            "state": "missing",
            "reason": "",
            "command": job.command,
            "runs": str(job.folder),
            "options": _plain(job.options),
        }

    def fill(self) -> dict[str, Any]:
        self._check_earlier()
        found = self._write()
        try:
            for number, (row, job, entry) in enumerate(zip(self.table.rows, self.jobs, self.rows, strict=True), 1):
                if isinstance(job, Job):
                    self._announce(number, job, entry)
                    self._one(row, job, entry)
                    found = self._write()
        except Interrupted as error:
            self._write()
            stopped = Interrupted(f"{self._unfinished()} ({error})")
            stopped.status = error.status
            raise stopped from error
        except KeyboardInterrupt as error:
            self._write()
            stopped = Interrupted(self._unfinished())
            stopped.status = getattr(error, "status", 130)
            raise stopped from None
        failed = [r["name"] for r in self.rows if r["state"] == "failed"]
        if failed:
            raise RunError(
                f"{len(failed)} of {counted(len(self.rows), 'row')} of {self.table.name} failed ({', '.join(failed)}); "
                f"{self.path.with_suffix('.md')} says why, and the same command tries them again"
            )
        return found

    def _announce(self, number: int, job: Job, entry: dict[str, Any]) -> None:
        """Say which row comes, and how long this and the rest take if they are as costly as those before."""
        self._trained += self._due
        left = ""
        self._due = len(self.request.seeds) - self.engine.done(job)
        if self._trained:
            coming = [j for j in self.jobs[number - 1 :] if isinstance(j, Job)]
            missing = sum(len(self.request.seeds) - self.engine.done(j) for j in {j.folder: j for j in coming}.values())
            left = f", about {span((time.monotonic() - self._began) / self._trained * missing)} left"
        seeds = (
            f"{self._due} of {counted(len(self.request.seeds), 'seed')} to train" if self._due else "trained already"
        )
        if self.request.progress:
            line = f"{self.table.name}, row {number} of {len(self.rows)}: {label(entry, self.rows)}, {seeds}{left}"
            Console(stderr=True, highlight=False).print(line, markup=False, soft_wrap=True)

    def _unfinished(self) -> str:
        missing = sum(r["state"] == "missing" for r in self.rows)
        return (
            f"stopped with {missing} of {counted(len(self.rows), 'row')} of {self.table.name} missing; "
            "the same command continues: trainings that are done are kept, and "
            f"{self.path.with_suffix('.md')} holds the rows so far"
        )

    def _check_earlier(self) -> None:
        """Another table of the same name in this folder is not silently replaced."""
        if not self.path.exists():
            return
        try:
            earlier = json.loads(self.path.read_text())
            same = earlier["data"]["hash"] == self.engine.facts["hash"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.path} is damaged ({error!r}); remove it") from error
        if not same:
            raise RunError(
                f"{self.path} is this table on {earlier['data']['name']}; choose another --out for "
                f"{self.engine.facts['name']}"
            )

    def _one(self, row: Row, job: Job, entry: dict[str, Any]) -> None:
        try:
            job = self.engine.train(job)
            entry |= {"options": _plain(job.options), "command": job.command}
            values = self.engine.values(job, row, self.table.measures)
            if not self.baselines:
                self.baselines = self.engine.baselines(job, self.table.measures)
        except Interrupted:
            raise
        except MotetError as error:
            entry |= {"state": "failed", "reason": str(error)}
            return
        entry |= {"state": "done", "values": {m: spread(v) for m, v in values.items()}}

    def _write(self) -> dict[str, Any]:
        missing = [r["name"] for r in self.rows if r["state"] in ("missing", "failed")]
        found: dict[str, Any] = {
            "table": self.table.name,
            "title": self.table.title,
            "source": self.table.source,
            "motet": __version__,
            "torch": torch.__version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": hardware(),
            "data": self.engine.facts,
            "scale": self.request.scale,
            "seeds": list(self.request.seeds),
            "options": _plain(self.request.options),
            "complete": not missing,
            "missing": missing,
            "measures": [m.to_dict() for m in self.table.measures],
            "gains": [list(pair) for pair in self.table.gains],
            "sets": self.table.sets,
            "ours": self.table.ours,
            "notes": [*self.table.notes, *self.engine.notes()],
            "baselines": {name: {m: spread(v) for m, v in values.items()} for name, values in self.baselines.items()},
            "rows": self.rows,
        }
        write_json(self.path, found)
        with written(self.path.with_suffix(".md")) as partial:
            partial.write_text(markdown(found))
        return found


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON has them."""
    found: dict[str, Any] = json.loads(json.dumps(dict(options), default=str))
    return found
