"""A filled table, a plan and the list of tables, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from motet.core.text import counted, span
from motet.engine.table import percent
from motet.methods import recipes
from motet.reproduce.declare import BEST, Table


def markdown(found: Mapping[str, Any]) -> str:
    """The table as Markdown: ours first, then what was printed, each with its data set."""
    data, hardware = found["data"], found["hardware"]
    simulated = " (**simulated: no person was recorded**)" if data.get("simulated") else ""
    facts = (
        f"{counted(data['clips'], 'row')}, {counted(data['classes'], 'class')}"
        if "target" in data
        else f"{counted(data['clips'], 'clip')}"
    )
    split = data.get("split")
    rule = f", split `{split['rule']}` ({split['train']} train, {split['test']} test)" if split else ""
    options = " ".join(f"{k}={v}" for k, v in found["options"].items())
    lines = [
        f"# {found['table']}: {found['title']}",
        "",
        *_state(found),
        f"- Ours: {data['name']}{simulated}, {facts}{rule}; scale {found['scale']}; seeds "
        f"{', '.join(map(str, found['seeds']))}, mean ± sd, last epoch; the best epoch is chosen on the test clips"
        + (f"; {options}" if options else ""),
        f"- Published: {found['source']}; the data set of each column is in its title",
        f"- Machine: {hardware['cpu']}, {counted(hardware['threads'], 'thread')}; torch {found['torch']}, motet "
        f"{found['motet']}; {found['date']}",
        *(f"- Note: {note}" for note in found["notes"]),
        "",
        *_table(found),
        "",
        *_below(found),
    ]
    return "\n".join(lines).rstrip() + "\n"


def page_part(found: Mapping[str, Any]) -> list[str]:
    """The table as a section of a page."""
    data = found["data"]
    split = data.get("split")
    facts = (
        f"{split['train']} training and {counted(split['test'], 'test clip')}"
        if split
        else f"{counted(data['clips'], 'row')}"
    )
    rule = f", split `{split['rule']}`" if split else ""
    seeds = ", ".join(map(str, found["seeds"]))
    head = f"{facts}, {counted(data['classes'], 'class')}{rule}, seeds {seeds}."
    return [f"### {found['title']}", "", *_state(found), head, "", *_table(found), "", *_below(found), ""]


def line(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def grid(head: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    return [line(head), "|---" * len(head) + "|", *map(line, rows)]


def _state(found: Mapping[str, Any]) -> list[str]:
    if found["complete"]:
        return []
    count = len(found["missing"])
    return [
        f"- **UNFINISHED: {count} of {counted(len(found['rows']), 'row')} are missing** ({', '.join(found['missing'])})"
    ]


def _table(found: Mapping[str, Any]) -> list[str]:
    named = [m["name"] for m in found["measures"]]
    units = {m["name"]: m.get("unit", "%") for m in found["measures"]}
    measures = [n for m in named for n in (m, m + BEST) if n == m or any(n in row["values"] for row in found["rows"])]
    printed = list(
        dict.fromkeys(
            (p["measure"], s) for s in found["sets"] for r in found["rows"] for p in r["published"] if p["set"] == s
        )
    )
    ours = [f"{m}, ours: {found['data']['name']}" if printed else m for m in measures]
    head = ["", *ours, *(f"{m}, published: {s}" for m, s in printed)]
    lines = [line(head), "|---" * len(head) + "|"]
    for name, values in found["baselines"].items():
        cells = [_cell(values, m, units) for m in measures]
        lines.append(line([f"*{name}*", *cells, *("–" for _ in printed)]))
    for row in found["rows"]:
        lines.append(line([label(row, found["rows"]), *_own(row, measures, units), *_printed(row, printed)]))
    for name, base in found.get("gains", ()):
        cells = [gain(found["rows"], name, base, m) if units.get(m, "%") == "%" else "–" for m in measures]
        lines.append(line([f"*{name} − {base}*", *cells, *("–" for _ in printed)]))
    return lines


def gain(rows: Iterable[Mapping[str, Any]], name: str, base: str, measure: str) -> str:
    """Difference of two rows in points over the same seeds; in bold if zero lies outside its 95 % interval (Student's
    t)."""
    from scipy.stats import t

    mine, other = (r["values"].get(measure, {}).get("values") for n in (name, base) for r in rows if r["name"] == n)
    if mine is None or other is None or len(mine) != len(other):
        return "–"
    each = [100 * (a - b) for a, b in zip(mine, other, strict=True)]
    if len(each) == 1:
        return f"{each[0]:+.1f}"
    mean, sd = fmean(each), stdev(each)
    shown = f"{mean:+.1f} ± {sd:.1f}"
    return f"**{shown}**" if abs(mean) > t.ppf(0.975, len(each) - 1) * sd / len(each) ** 0.5 else shown


def _cell(values: Mapping[str, Any], measure: str, units: Mapping[str, str]) -> str:
    if measure not in values:
        return "–"
    found = values[measure]["values"]
    return percent(found) if units.get(measure, "%") == "%" else f"{fmean(found):.4g}"


def label(row: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> str:
    """Name of a row as the paper has it, with the method behind it where a table has several and no name tells it."""
    method, name = row.get("method"), str(row["name"]) + ("†" if row.get("ours") else "")
    methods = {r.get("method") for r in rows} - {None}
    parts = {part for m in (*methods, *recipes.names()) for part in str(m).split("/")[0].split("-")}
    if method is None or len(methods) < 2 or any(part in name.lower() for part in parts):
        return name
    return f"{name} ({method})"


def _own(row: Mapping[str, Any], measures: Iterable[str], units: Mapping[str, str]) -> list[str]:
    if row["state"] in ("missing", "failed"):
        return [f"**{row['state']}**" for _ in measures]
    return [_cell(row["values"], m, units) for m in measures]


def _printed(row: Mapping[str, Any], printed: Iterable[tuple[str, str]]) -> list[str]:
    figures = {(p["measure"], p["set"]): p["figure"] for p in row["published"]}

    def cell(figure: Any) -> str:
        if figure is None:
            return "–"
        return " ± ".join(f"{f:g}" for f in figure) if isinstance(figure, list) else f"{figure:g}"

    return [cell(figures.get(key)) for key in printed]


def _below(found: Mapping[str, Any]) -> list[str]:
    """Sources of single rows, and why some are empty."""
    cited: dict[str, list[str]] = {}
    for row in found["rows"]:
        if row["cite"]:
            cited.setdefault(row["cite"], []).append(row["name"])
    lines = [f"- Printed in {cite}: {', '.join(names)}" for cite, names in cited.items()]
    ours: dict[str, list[str]] = {}
    for row in found["rows"]:
        if row.get("ours"):
            ours.setdefault(row["ours"], []).append(row["name"])
    lines += [f"- † Ours, given by no source: {what} ({', '.join(names)})" for what, names in ours.items()]
    if found.get("ours"):
        lines.append(f"- Ours in all rows, given by no source: {found['ours']}")
    why: dict[str, list[str]] = {}
    for row in found["rows"]:
        if row["reason"]:
            why.setdefault(f"{row['state']}: {row['reason']}", []).append(row["name"])
    return [*lines, *(f"- {', '.join(names)}: {reason}" for reason, names in why.items())]


def plan(found: Mapping[str, Any]) -> str:
    """What a dry run found."""
    lines = [f"{found['table']} on {found['data']['name']}, scale {found['scale']}: nothing was trained", ""]
    for run in found["runs"]:
        left = run["seeds"] - run["done"]
        state = (
            "done" if not left else f"{left} of {counted(run['seeds'], 'seed')} to train, about {span(run['seconds'])}"
        )
        lines += [f"{run['row']}: {state}", f"    {run['command']}"]
    lines += [f"{name}: left out ({reason})" for name, reason in found["left_out"].items()]
    lines += [
        "",
        f"together about {span(found['seconds'])} of training, as one run after the other; evaluating is extra",
    ]
    return "\n".join(lines)


def listing(tables: Mapping[str, Table]) -> str:
    """All declared tables."""
    width = max(map(len, tables))
    lines = []
    for name, table in tables.items():
        own = sum(row.training is not None for row in table.rows)
        figures = sum(len(row.published) for row in table.rows)
        lines.append(
            f"{name:<{width}}  {table.title} ({table.kind}; {own} of {counted(len(table.rows), 'row')}; "
            f"{counted(figures, 'figure')})"
        )
        lines.append(f"{'':<{width}}  {table.source}")
    return "\n".join(lines)
