"""ReportData → one HTML file with everything in it: style, script, numbers and recordings."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from motet._version import __version__
from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.report import charts
from motet.report import narrative as words
from motet.report.data import ClipMap, Curve, Fact, ReportData, Row
from motet.report.motion import ASSUMED_FPS, pack

SIMULATED = (
    '<div class="banner" role="note"><b>Simulated data.</b> No person was recorded: these movements were made by a '
    "program. The numbers show that the software works, not how well it does on people.</div>"
)
SCORES = {
    "purity": ("purity", "share of clips that are right when every group is named after its commonest class"),
    "hungarian_accuracy": ("one-to-one accuracy", "the same when every class may name only one group"),
    "nmi": ("NMI", "agreement of groups and classes, 0 none, 100 perfect"),
    "ari": ("ARI", "agreement on pairs of clips beyond chance, 0 none, 100 perfect"),
}


def build(data: ReportData) -> str:
    """The whole page as text. Equal data give equal text; nothing in it asks the network for anything.

    Raises:
        ConfigError: the arrays of the map, the motion and the class names do not belong together.
    """
    return compose(data, headline=_headline(data), trained=_trained(data))


def compose(data: ReportData, **own: str) -> str:
    """The page of some data with sections of one's own, HTML by their place in ``page.html``."""
    _check(data)
    found = {
        "simulated": _simulated(data),
        "notes": "".join(f'<p class="note" role="note">{escape(note)}</p>' for note in data.notes),
        "map": _map(data),
        "compare": _compare(data),
        "mistakes": _mistakes(data),
        "curves": _curves(data),
        "reproduce": _reproduce(data),
    }
    return render(title=data.title, payload=_payload(data), **(found | own))


def render(
    *,
    title: str,
    payload: dict[str, Any],
    style: str | None = None,
    script: str = "page.js",
    template: str = "page.html",
    **sections: str,
) -> str:
    """The page of a title, the numbers that its script reads, and sections of HTML by their place in ``template``.

    ``style`` is one more file of styles, ``script`` the file that reads the numbers.
    """
    page = asset(template)
    fills = dict.fromkeys(re.findall(r"\{\{(\w+)\}\}", page), "") | sections
    fills |= {
        "title": escape(title),
        "style": asset("page.css") + ("" if style is None else asset(style)),
        "script": asset("common.js") + asset(script),
        "data": json_text(payload),
        "version": escape(__version__),
    }
    # one pass: what a fill contains is never looked at again
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fills[match[1]], page)


def asset(name: str) -> str:
    """A file next to this module, as text."""
    return files("motet.report").joinpath(name).read_text(encoding="utf-8")


def json_text(value: Any) -> str:
    """JSON that cannot end its script element, whatever names it holds."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _check(data: ReportData) -> None:
    shown = data.clip_map
    if data.confusion is not None:
        shape, names = np.shape(data.confusion.matrix), len(data.confusion.class_names)
        if shape != (names, names):
            raise ConfigError(f"report: confusion of shape {shape} for {counted(names, 'class name')}")
    if shown is None:
        return
    count = len(shown.xy)
    lengths = {
        "labels": len(shown.labels),
        "clusters": len(shown.clusters),
        "names": len(shown.names),
        "neighbours": len(shown.neighbours),
        "similarities": len(shown.similarities),
    }
    if data.motion is not None:
        lengths["motion.clips"] = len(data.motion.clips)
    for name, length in lengths.items():
        if length != count:
            raise ConfigError(f"report: the map has {counted(count, 'position')} but {length} {name}")
    highest = int(np.max(shown.labels)) if count else -1
    if highest >= len(data.class_names):
        raise ConfigError(f"report: label {highest} has no name among {counted(len(data.class_names), 'class')}")


def _payload(data: ReportData) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "classes": list(data.class_names),
        "curves": [
            {"x": chart.x_label, "series": {k: [[x, float(f"{y:.5g}")] for x, y in v] for k, v in _thin(chart).items()}}
            for chart in data.curves
        ],
    }
    shown = data.clip_map
    if shown is not None:
        payload["points"] = {
            "xy": np.round(shown.xy, 4).tolist(),
            "label": np.asarray(shown.labels).tolist(),
            "cluster": np.asarray(shown.clusters).tolist(),
            "name": list(shown.names),
            "file": list(shown.files),
            "near": np.asarray(shown.neighbours).tolist(),
            "similar": np.round(shown.similarities, 3).tolist(),
        }
        payload["clusters"] = _clusters(shown, data.class_names)
        if data.motion is not None:
            payload["motion"] = pack(data.motion)
    return payload


def _thin(chart: Curve) -> dict[str, list[tuple[float, float]]]:
    return {name: charts.thin(points) for name, points in chart.series.items()}


def _clusters(shown: ClipMap, class_names: Sequence[str]) -> list[str]:
    """A name for every cluster: its commonest class and how much of the cluster that is."""
    names = []
    for group in range(int(np.max(shown.clusters)) + 1 if len(shown.xy) else 0):
        labels = np.asarray(shown.labels)[np.asarray(shown.clusters) == group]
        known = labels[labels >= 0]
        name = f"group {group + 1}"
        if len(known):
            counts = np.bincount(known)
            top = int(counts.argmax())
            name += f" · {class_names[top]} {100 * counts[top] / len(labels):.0f} %"
        names.append(name)
    return names


def _simulated(data: ReportData) -> str:
    return SIMULATED if data.simulated else ""


def _headline(data: ReportData) -> str:
    head = words.headline(data)
    icon = {"better": "▲", "unclear": "≈", "worse": "▼", "none": "·"}[head.verdict]
    detail = f'<p class="muted">{escape(head.detail)}</p>' if head.detail else ""
    return (
        f'<p class="headline {head.verdict}"><span class="icon" aria-hidden="true">{icon}</span>'
        f"<span>{escape(head.sentence)}</span></p>{detail}"
    )


def facts_list(facts: Sequence[Fact]) -> str:
    """Facts as a list of terms and what they mean."""
    lines = "".join(
        f"<div><dt>{escape(f.label)}</dt><dd><b>{escape(f.value)}</b>"
        + (f'<span class="muted">{escape(f.meaning)}</span>' if f.meaning else "")
        + "</dd></div>"
        for f in facts
    )
    return f'<dl class="facts">{lines}</dl>'


def section(anchor: str, title: str, lead: str, body: str) -> str:
    """A card of the page; lead and body are HTML."""
    intro = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{anchor}" class="card"><h2>{title}</h2>{intro}{body}</section>'


def _trained(data: ReportData) -> str:
    licence = [Fact("Licence of the recordings", data.licence)]
    return section(
        "trained",
        "What was trained on what",
        f"The model learned from {escape(data.seen)} alone: class names were not shown to it while it trained.",
        f'<div class="two"><div><h3>Recordings</h3>{facts_list([*data.dataset, *licence])}</div>'
        f"<div><h3>Training</h3>{facts_list(data.recipe)}</div></div>" + _findings(data.findings),
    )


def _findings(found: Sequence[Fact]) -> str:
    title = f"{counted(len(found), 'finding')} of motet data inspect"
    return f'<details class="scores" open><summary>{title}</summary>{facts_list(found)}</details>' if found else ""


def _map(data: ReportData) -> str:
    shown = data.clip_map
    if shown is None:
        return ""
    count = len(shown.xy)
    amount = (
        f"all {counted(count, shown.sets[:-1])}"
        if count == shown.total
        else f"{count:,} of {shown.total:,} {shown.sets}, every class in proportion"
    )
    what = "moment" if shown.sets == "moments" else "clip"
    lead = (
        f"Each dot is one {what}; similar movements lie close together. Shown: {escape(amount)}, "
        f"by {escape(shown.source)}. Distances between far groups mean nothing."
    )
    scores = "".join(
        f"<div><dt>{escape(name)}</dt><dd><b>{words.number(100 * shown.scores[key])}</b>"
        f'<span class="muted">{escape(meaning)}</span></dd></div>'
        for key, (name, meaning) in SCORES.items()
        if key in shown.scores
    )
    if scores:
        groups = len(set(np.asarray(shown.clusters).tolist()))
        scores = (
            f'<details class="scores"><summary>{counted(groups, "group")} found without labels: how well do they '
            f'match the classes?</summary><dl class="facts">{scores}</dl></details>'
        )
    speed = ""
    if data.motion is not None:
        kept = "" if not data.motion.clips else " Animations are thinned out to keep this file small."
        speed = f"Played at recorded speed.{kept}"
        if data.motion.fps is None:
            speed = f"The frame rate is unknown; played at {ASSUMED_FPS:.0f} frames a second.{kept}"
    body = asset("map.html").replace("{{speed}}", escape(speed)).replace("{{scores}}", scores)
    return section("map", "The map of movements", lead, body)


def _compare(data: ReportData) -> str:
    if not data.rows:
        return ""
    raw = next((words.features_name(row) for row in data.rows if row.features == "raw"), "raw coordinates")
    chance = f" The dotted line is blind guessing ({words.number(data.guess)} %)." if data.guess else ""
    lead = (
        f"Accuracy: how many of 100 test {escape(data.noun)}s get the right name. Learning was worth it only where the "
        f"coloured bar is clearly longer than the grey ones: <em>{escape(raw)}</em> (nothing learned) and the "
        f"<em>untrained encoder</em> (same network, random weights).{chance} Whiskers are ± one standard "
        f"deviation{_over(data.rows)}."
    )
    drawn = charts.bars([row for row in data.rows if row.accuracy], data.guess)
    body = f'<div class="two wide">{drawn}</div>{charts.table(data.rows)}'
    return section("compare", "Did learning help?", lead, body)


def _over(rows: Sequence[Row]) -> str:
    """`` over probe seeds, initialisations``: what the values behind the means differ in."""
    kinds = dict.fromkeys(row.over for row in rows if row.over and len(row.values) > 1)
    return f" over {escape(', '.join(kinds))}" if kinds else ""


def _mistakes(data: ReportData) -> str:
    if data.confusion is None:
        return ""
    pairs = words.mistakes(data.confusion)
    lines = "".join(
        f"<li><b>{escape(true)}</b> taken for <b>{escape(taken)}</b> "
        f'<span class="muted">{counted(amount, "time")}, {100 * share:.0f} % of the class</span></li>'
        for true, taken, amount, share in pairs
    )
    listed = f"<h3>Most frequent</h3><ol>{lines}</ol>" if lines else "<p>No test clip was mistaken.</p>"
    picture = charts.confusion(data.confusion)
    source = f" ({escape(data.confusion.source)})" if data.confusion.source else ""
    return section(
        "mistakes",
        "What is mistaken for what",
        f"A row is a true class, a column what its clips were taken for{source}. "
        "Counts are over all repetitions of the test. A clean diagonal is perfect.",
        f'<div class="split">{picture}<div class="listed">{listed}</div></div>',
    )


def _curves(data: ReportData) -> str:
    drawn = "".join(charts.curve(chart, index) for index, chart in enumerate(data.curves))
    if not drawn:
        return ""
    return section("curves", "How training went", "", f'<div class="curves">{drawn}</div>')


def _reproduce(data: ReportData) -> str:
    command = f"<pre><code>{escape(data.command)}</code></pre>" if data.command else ""
    return section("reproduce", "How to reproduce", "", command + facts_list(data.reproduce))
