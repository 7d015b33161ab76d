"""What verbs that train have in common: `--resume`, where the result is shown and written, repetitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from motet.cli.entries import Arg, Positional
from motet.cli.parse import asks_help, parse
from motet.cli.result import Output
from motet.core.errors import ConfigError
from motet.core.text import counted

if TYPE_CHECKING:
    from motet.engine.run import Run

Verb = Callable[[Sequence[str]], int]


@dataclass
class Resume(Output):
    """Continue an interrupted training of any verb; the result is bit for bit that of an uninterrupted one.

    The options are those that the run began with.

    Examples:
    motet resume runs/cmd
    motet resume runs/cmd --data moved/archive
    """

    run: Positional[Path]
    """run directory, or a directory of several (--seeds)"""
    data: Path | None = None
    """where the archive is now, if it has moved"""
    source: Path | None = None
    """discover: where the source is now, if it has moved"""
    target: Path | None = None
    """discover: where the target is now, if it has moved"""
    companion: Annotated[tuple[str, ...], Arg(metavar="NAME=ARCHIVE …", earlier="beside")] = ()
    """pretrain: archives of other sensors, where they are now, if they have moved"""
    devices: int | None = None
    """processes on this machine, if not as many as before"""


def trains(kind: str) -> Callable[[Verb], Verb]:
    """A verb that trains: ``--resume RUN`` continues a run of its kind, all else is the verb's own."""

    def wrap(verb: Verb) -> Verb:
        @wraps(verb)
        def call(args: Sequence[str]) -> int:
            if any(a.split("=")[0] == "--resume" for a in args) and not asks_help(args):
                return resume(args, kind)
            return verb(args)

        return call

    return wrap


def resume(args: Sequence[str], *kinds: str) -> int:
    """motet resume RUN, and ``motet VERB --resume RUN`` for the kinds of that verb."""
    words = [part for a in args for part in (a.split("=", 1) if a.startswith("--resume=") else [a])]
    given = parse(Resume, [w for w in words if w != "--resume"], "motet resume", elsewhere=_of_beginning)
    from motet.engine.run import collect

    places = {name: getattr(given, name) for name in ("data", "source", "target", "devices")}
    places |= {"companions": pairs(given.companion)}
    runs = collect(given.run, *kinds)
    for run in runs:
        run.need_history()
        taken = signature(run.handler.resume).parameters
        stated = {name: value for name, value in places.items() if value}
        wrong = [name for name in stated if name not in taken]
        if wrong:
            flag = "companion" if wrong[0] == "companions" else wrong[0]
            raise ConfigError(f"{run.path} is a run of `motet {run.verb}`, which takes no --{flag} when it continues")
        run.handler.resume(run.path, progress=not given.quiet, **stated)
    return show(runs, given)


def _of_beginning(flag: str) -> str | None:
    return (
        "a resume keeps the options that the run began with; for others start another run with another --out (`motet "
        "pretrain --from-run RUN` repeats a configuration)"
    )


def pairs(words: Sequence[str]) -> dict[str, str]:
    """Archives by the sensor's name, from NAME=ARCHIVE."""
    found = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--companion takes NAME=ARCHIVE, not {word!r}")
        found[name] = path
    return found


def show(runs: Sequence[Run], given: Output) -> int:
    """Print what runs have found, and write it as one JSON object if a path was given; one process speaks for all."""
    found = [_found(run) for run in runs]
    text = "\n".join(text for text, _ in found)
    return given.done(text, found[0][1] if len(found) == 1 else {"runs": [data for _, data in found]})


def _found(run: Run) -> tuple[str, dict[str, Any]]:
    """The table of a run, or the last line of its metrics where the verb makes none."""
    table = run.path / "result.md"
    if run.kind != "pretrain" and table.exists():
        return table.read_text().rstrip(), run.result()
    last = run.metrics()[-1] if run.metrics() else {}
    knn = "  kNN " + ", ".join(f"{s} {100 * v:.1f} %" for s, v in last["knn"].items()) if last.get("knn") else ""
    loss = f", loss {last['loss']:.4f}" if last else ""
    return f"{run.path}: {counted(last.get('epoch', 0), 'epoch')}{loss}{knn}", {"run": str(run.path), **last}


def need_place(given: Any) -> None:
    """Refuse to train for nothing: a result needs a run directory, or at least ``--json``."""
    if given.out is None and given.json is None:
        raise ConfigError("nowhere to keep the result; name a run directory by --out")


def values_of(*parts: Any) -> dict[str, Any]:
    """The fields of groups of options, all together."""
    return {f.name: getattr(part, f.name) for part in parts for f in fields(part)}
