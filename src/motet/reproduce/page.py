"""A page of results: several tables, each on recordings of its own, put between the markers of a page of prose.

A page is data, as a table is: :class:`Page` names its parts, :func:`fill` fills each with
:func:`motet.reproduce.run.reproduce` and writes what is there after every part.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from motet.core.errors import ConfigError
from motet.core.files import write_json, written
from motet.core.text import counted
from motet.reproduce.declare import Table
from motet.reproduce.report import grid, page_part, plan
from motet.reproduce.run import reproduce
from motet.reproduce.sources import Source

BEGIN, END = "<!-- tables begin -->", "<!-- tables end -->"
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One table of a page.

    Attributes:
        table: what is trained and measured; its name is the part's.
        data: where the recordings are from.
        target: second archive, or modalities of the student.
        auxiliary: modalities that help.
        options: of every training.
    """

    table: Table
    data: Source
    target: Source | tuple[str, ...] = ()
    auxiliary: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        name: of its files.
        title: its heading, where there is no page yet.
        parts: tables in order.
        summary: lines above the tables, of all parts that are filled.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    summary: Callable[[Sequence[Found]], list[str]] | None = None


def fill(
    page: Page,
    data: str | Path,
    work: str | Path,
    *,
    seeds: int = 3,
    only: Sequence[str] = (),
    dry_run: bool = False,
    publish: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Fill the tables of a page; what has been trained is not trained again.

    Args:
        page: the page.
        data: folder of the recordings.
        work: folder of archives, trainings, tables and of ``PAGE.json``, which holds all of them.
        seeds: trainings of each row.
        only: words; parts whose names have none of them are left out, and stay as they were published.
        dry_run: train nothing; say what there is to do and how long it would take.
        publish: folder of the pages; the tables that are filled go into ``PAGE.md`` and ``PAGE.json`` there.
        progress: show progress.

    Returns:
        Name of each part → its table as in its JSON file; of a dry run, its plan.

    Raises:
        ConfigError: no part has such a name, the page has lost the markers between which tables go, or what was
            published is damaged.
    """
    data, work = Path(data), Path(work)
    parts = [p for p in page.parts if not only or any(word in p.table.name for word in only)]
    if not parts:
        raise ConfigError(
            f"page {page.name} has no part {only[0]!r}; it has {', '.join(p.table.name for p in page.parts)}"
        )
    found: dict[str, Any] = {}
    published = _published(page, publish)
    for part in parts:
        source = part.data(data, work)
        target = part.target if isinstance(part.target, tuple) else (part.target(data, work),)
        if source is None or None in target:
            print(f"{part.table.name}: left out, its recordings are not in {data}", file=sys.stderr)
            continue
        found[part.table.name] = reproduce(
            part.table,
            source,
            work,
            target=tuple(map(str, target)),
            auxiliary=part.auxiliary,
            seeds=seeds,
            dry_run=dry_run,
            progress=progress,
            **part.options,
        )
        if dry_run:
            print(plan(found[part.table.name]), end="\n\n")
            continue
        write_json(work / f"{page.name}.json", found)
        if publish is not None:
            _publish(page, Path(publish), parts, {**published, **found})
    return found


def _published(page: Page, folder: str | Path | None) -> dict[str, Any]:
    """The tables of a page that has been published, those of its parts that still are.

    Raises:
        ConfigError: the file is damaged.
    """
    path = None if folder is None else Path(folder, f"{page.name}.json")
    if path is None or not path.exists():
        return {}
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        return {p.table.name: tables[p.table.name] for p in page.parts if p.table.name in tables}
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is damaged ({error}); remove it and publish all parts") from error


def _publish(page: Page, folder: Path, asked: Sequence[Part], tables: Found) -> None:
    parts = tuple(p for p in page.parts if p in asked or p.table.name in tables)
    ordered = {p.table.name: tables[p.table.name] for p in parts if p.table.name in tables}
    insert(folder / f"{page.name}.md", text(replace(page, parts=parts), ordered), page.title)
    write_json(folder / f"{page.name}.json", ordered)


def text(page: Page, found: Mapping[str, Found]) -> str:
    """The tables as Markdown, and which of them have not been filled."""
    lines = list(page.summary(list(found.values()))) if page.summary else []
    for one in found.values():
        lines += page_part(one)
    missing = [p.table.title for p in page.parts if p.table.name not in found]
    return "\n".join([*lines, *([f"Not run yet: {', '.join(missing)}.", ""] if missing else [])])


def insert(page: Path, tables: str, title: str) -> None:
    """Put tables between the markers of a page; a page that is not there begins with its title.

    Raises:
        ConfigError: the page has lost its markers; nothing is written.
    """
    whole = page.read_text(encoding="utf-8") if page.exists() else f"# {title}\n\n{BEGIN}\n{END}\n"
    if BEGIN not in whole or END not in whole:
        raise ConfigError(f"{page} lacks {BEGIN} or {END}, between which its tables go; put them back")
    head, rest = whole.split(BEGIN, 1)
    with written(page) as partial:
        partial.write_text(f"{head}{BEGIN}\n\n{tables}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def means(found: Sequence[Found], title: str, measures: Sequence[str], base: str = "") -> list[str]:
    """A table of the means over several tables of the first one's rows, and how often each is above the row ``base``
    by the last of the measures. A row that not all tables have has no mean."""
    if not found:
        return []
    columns = [*measures, *([f"{measures[-1]} above {base}"] if base else [])]
    rows = []
    for name in (row["name"] for row in found[0]["rows"]):
        each: list[dict[str, Any]] = [
            next((r["values"] for r in one["rows"] if r["name"] == name), {}) for one in found
        ]
        cells = []
        for measure in measures:
            values = [v[measure]["mean"] for v in each if measure in v]
            cells.append(f"{100 * fmean(values):.1f}" if len(values) == len(found) else "–")
        if base:
            other = [next(r["values"] for r in one["rows"] if r["name"] == base) for one in found]
            last = [[v.get(measures[-1], {}).get("mean") for v in both] for both in zip(each, other, strict=True)]
            pairs = [(a, b) for a, b in last if a is not None and b is not None]
            cells.append("–" if name == base else f"{sum(a > b for a, b in pairs)} of {len(pairs)}")
        rows.append([name, *cells])
    return [f"### {title}: means of {counted(len(found), 'table')}", "", *grid(["", *columns], rows), ""]
