"""The reproduce verb."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from motet.cli.entries import Positional
from motet.cli.parse import parse
from motet.cli.result import Output
from motet.core.errors import ConfigError


@dataclass
class Arguments(Output):
    """Fill a table of a paper on data of your own, next to the figures that were printed.

    Examples:
    motet reproduce --list
    motet reproduce cmd/stages --data archive --dry-run
    """

    table: Positional[tuple[str, ...]] = ()
    """name of the table, e.g. cmd/stages; --list shows them"""
    data: Path | None = None
    """archive; amid: feature table; codt: labelled source; halp/graphs: folder of a TU set. Tables of pretraining
    simulate recordings where none are named"""
    out: Path = Path("runs/reproduce")
    """folder of all tables and of the trainings that they share"""
    target: tuple[str, ...] = ()
    """codt: archive whose classes are wanted; cmd/transfer: archive to transfer to; amid: modalities of the student"""
    auxiliary: tuple[str, ...] = ()
    """amid: modalities that help"""
    seeds: int = 3
    """trainings of each row"""
    scale: Literal["small", "paper"] = "small"
    """small: recipes for hundreds of clips on a CPU; paper: the published sizes"""
    options: tuple[str, ...] = ()
    """name=value, for every training of the table: epochs=20 split=odd-even"""
    dry_run: bool = False
    """train nothing; list the runs and estimate their time from a few steps"""
    list: bool = False
    """list all tables"""


def reproduce(args: Sequence[str]) -> int:
    """motet reproduce TABLE --data ARCHIVE"""
    given = parse(Arguments, args, "motet reproduce")
    from motet.reproduce import all_tables
    from motet.reproduce import reproduce as fill
    from motet.reproduce.report import listing, markdown, plan

    if given.list:
        tables = all_tables()
        return given.done(listing(tables), {"tables": {name: table.title for name, table in tables.items()}})
    if len(given.table) != 1:
        raise ConfigError("reproduce needs one TABLE (`motet reproduce --list` shows them)")
    found = fill(
        given.table[0],
        given.data,
        given.out,
        target=given.target,
        auxiliary=given.auxiliary,
        seeds=given.seeds,
        scale=given.scale,
        dry_run=given.dry_run,
        progress=not given.quiet,
        **_options(given.options),
    )
    return given.done(plan(found) if given.dry_run else markdown(found), found)


_OWN = {"table", "data", "out", "target", "auxiliary", "seeds", "scale", "dry_run", "progress", "seed"}


def _options(words: Sequence[str]) -> dict[str, Any]:
    """``name=value`` as keyword arguments; values as JSON where they are, else as text."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.replace("-", "_")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--options takes name=value, not {word!r}")
        if name in _OWN:
            raise ConfigError(f"--options sets what a training is like; {name} is an option of reproduce itself")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = tuple(value) if isinstance(value, list) else value
    return found
