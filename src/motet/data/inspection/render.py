"""The report for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from motet.core.text import counted, pasted
from motet.data.inspection.faults import LISTED
from motet.data.inspection.remedies import NOTHING, next_to

Report = dict[str, Any]
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def render(report: Report) -> RenderableType:
    """The report for a terminal (``rich.print``)."""
    parts: list[RenderableType] = [_summary(report)]
    for column, counts in report["balance"].items():
        if len(counts) > 1 or column == "label":
            parts.append(_bars(column, counts))
    parts.append(_fault_table(report["faults"]))
    if "doctor" in report:
        parts.append(_findings(report["doctor"]))
    together = _together(report)
    return Group(*parts, Text(together)) if together else Group(*parts)


def _together(report: Report) -> str:
    """One command that leaves out the clips of all findings that are left out; classes stay, lest none is left."""
    found = [*report["faults"], *report.get("doctor", [])]
    names = dict.fromkeys(
        f["name"] for f in found if re.search(r"sound --drop-finding '(?!classes )[^']*'$", f["remedy"])
    )
    few = [name for name in names if not any(f["name"] == name and f["remedy"].startswith(NOTHING) for f in found)]
    path = Path(report["path"])
    words = pasted(path, next_to(path), "--drop-finding", *few)
    return f"all at once: motet data select {words}" if len(few) > 1 else ""


def _findings(findings: list[dict[str, Any]]) -> RenderableType:
    """What :mod:`motet.data.doctor` found: each finding with its evidence and remedy below it."""
    if not findings:
        return Text("doctor: nothing speaks against training on it", style="green")
    table = Table(title="doctor", title_justify="left", box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        lines = [finding["message"], f"evidence: {finding['evidence']}", f"remedy: {finding['remedy']}"]
        if finding["clips"]:
            lines.append(f"for example: {', '.join(finding['clips'][:3])}")
        severity = finding["severity"]
        table.add_row(Text(severity, style=_STYLES[severity]), Text(finding["name"]), Text("\n".join(lines)))
    return table


def _summary(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    skeleton, spread = report["skeleton"], report["duration"]["frames"]
    handed = "right" if skeleton["right_handed"] else "left"
    axes = f", {skeleton['up']} up, {handed}-handed" if skeleton["up"] else ""
    rows = {
        "archive": report["path"] + (" (simulated: no sensor recorded it)" if report["simulated"] else ""),
        "clips": f"{report['clips']:,} of {counted(report['frames'], 'frame')}, {report['bytes'] / 1e6:,.1f} MB",
        "layout": f"{skeleton['name']} ({skeleton['kind']}), {counted(skeleton['joints'], 'joint')}{axes}",
        "persons": f"up to {report['persons']}",
        "values": f"{', '.join(report['channels'])} in {report['units']}"
        + (", with confidence" if report["confidence"] else ""),
        "rate": "unknown" if report["fps"] is None else f"{report['fps']:g} frames/s",
        "frames": "min {min:.0f}, median {median:.0f}, 95 % {p95:.0f}, max {max:.0f}".format(**spread),
        "licence": report["licence"],
        "content": report["hash"] + (" (verified)" if report["verified"] else ""),
    }
    for name, sensor in report["sensors"].items():
        rate = "unknown rate" if sensor["fps"] is None else f"{sensor['fps']:g} samples/s"
        rows[f"sensor {name}"] = f"with {sensor['clips']:,} of the clips, {rate}"
    for name, track in report["tracks"].items():
        said = ", ".join(track["labels"][:LISTED]) + (" …" if len(track["labels"]) > LISTED else "")
        intervals = counted(track["intervals"], "interval")
        by = f" by {', '.join(track['raters'][:LISTED])}" if track["raters"] else ""
        rows[f"track {name}"] = f"{intervals}{by} in {counted(track['recordings'], 'recording')}: {said}"
    if report["duration"]["seconds"]:
        rows["duration"] = "min {min:.1f} s, median {median:.1f} s, 95 % {p95:.1f} s, max {max:.1f} s".format(
            **report["duration"]["seconds"]
        )
        rows["duration"] += f"; {report['duration']['total_seconds'] / 3600:.2f} h in all"
    for key, value in rows.items():
        table.add_row(Text(key, style="bold"), Text(str(value)))
    return table


def _bars(column: str, counts: Mapping[str, int], width: int = 30) -> Table:
    table = Table(title=f"clips by {column}", title_justify="left", box=None, show_header=False)
    most = max(counts.values())
    shown = list(counts.items())[:LISTED]
    for name, count in shown:
        table.add_row(Text(name), Text(str(count), justify="right"), Text("▇" * max(1, round(width * count / most))))
    if len(counts) > len(shown):
        rest = sum(counts.values()) - sum(c for _, c in shown)
        table.add_row(Text(f"… and {len(counts) - len(shown)} more"), Text(str(rest), justify="right"), Text(""))
    return table


def _fault_table(faults: list[dict[str, Any]]) -> RenderableType:
    if not faults:
        return Text("no faults found", style="green")
    table = Table(title="faults", title_justify="left", box=None)
    for heading in ("", "fault", "clips", "frames", "what it means", "for example"):
        table.add_column(heading, overflow="fold")
    for fault in faults:
        examples = []
        for example in fault["examples"][:3]:
            where = f" (from frame {example['first']}, {example['frames']})" if "first" in example else ""
            examples.append(f"{example['clip']}{where}")
        table.add_row(
            Text(fault["level"], style=_STYLES[fault["level"]]),
            Text(fault["name"]),
            Text(str(fault["clips"] or "")),
            Text(str(fault.get("frames", ""))),
            Text(f"{fault['message']}\nremedy: {fault['remedy']}"),
            Text(", ".join(examples)),
        )
    return table
