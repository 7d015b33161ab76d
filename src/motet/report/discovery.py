"""The page of a discovery: every cluster as a row of playing skeletons, what it resembles, what fits nowhere."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from motet.core.errors import RunError
from motet.core.text import counted, pasted
from motet.data.archive import MotionArchive
from motet.methods.discovery.clusters import FAR_APART
from motet.methods.discovery.data import EVERY
from motet.methods.discovery.describe import beginning, class_word, figure, likeness
from motet.methods.discovery.names import read_names
from motet.methods.discovery.scores import METRICS
from motet.methods.discovery.stored import read_clusters, read_config, read_result
from motet.report.data import Fact, Motion
from motet.report.motion import pack
from motet.report.page import SCORES, facts_list, render, section

SHOWN = 6  # clips of a cluster
OUTLIERS = 12  # clips that fit nowhere
BRANCHES = {
    "B0": "taught by the source (B0)",
    "B1": "the target's own (B1)",
}


@dataclass(frozen=True)
class _Found:
    path: Path
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    table: pl.DataFrame
    archive: MotionArchive
    names: Mapping[str, Mapping[int, str]]

    @property
    def rows(self) -> dict[str, int]:
        """Archive row of each clip by its name."""
        return {name: i for i, name in enumerate(self.archive.clips["name"].to_list())}

    def word(self, branch: str, cluster: int) -> str:
        """A cluster's name."""
        return self.names[branch].get(cluster, f"cluster {cluster}")


def page(path: str | Path, data: str | Path | MotionArchive | None = None) -> str:
    """The report of a finished discovery as one HTML document.

    Args:
        path: run directory.
        data: the target's archive, if it has moved.

    Raises:
        RunError: not a finished discovery, or the archive is not the one that it looked at.
    """
    folder = Path(path)
    config, result = read_config(folder), read_result(folder)
    archive = data if isinstance(data, MotionArchive) else MotionArchive.open(data or config["target"]["path"])
    if archive.hash != config["target"]["hash"]:
        raise RunError(f"{archive.path} does not hold the clips in which {folder} found clusters; name them by --data")
    found = _Found(folder, config, result, read_clusters(folder), archive, read_names(folder))
    shown = _Players(found)
    sections = {
        "simulated": _simulated(result),
        "headline": _headline(found),
        "clusters": _clusters(found, shown),
        "scores": _scores(result),
        "number": _number(result),
        "trained": _trained(found),
        "reproduce": _reproduce(found),
    }
    return render(
        template="clusters.html",
        title=f"{counted(result['k'], 'cluster')} in {result['target']['name']}",
        payload={"motion": pack(shown.motion())},  # after the sections, which have said what they show
        style="clusters.css",
        script="clusters.js",
        **sections,
    )


class _Players:
    """The clips that a page plays; each is stored once, however often it is shown."""

    def __init__(self, found: _Found) -> None:
        self.found, self.rows = found, found.rows
        self.places: dict[str, int] = {}

    def figure(self, name: str, note: str) -> str:
        """HTML of one player."""
        place = self.places.setdefault(name, len(self.places))
        seconds = "" if not self.found.archive.fps else f" · {self._length(name) / self.found.archive.fps:.1f} s"
        title = escape(f"{name}{seconds} · {note}{self._file(name)}")
        return (
            f'<figure title="{title}"><canvas data-clip="{place}" role="img" aria-label="{title}"></canvas>'
            f'<figcaption><span class="name">{escape(name)}</span>{escape(note)}</figcaption></figure>'
        )

    def _file(self, name: str) -> str:
        """The file that a clip was read from."""
        file = self.found.archive.clips["source"][self.rows[name]]
        return f" · {file}" if file and file != name else ""

    def _length(self, name: str) -> int:
        return int(self.found.archive.lengths[self.rows[name]])

    def motion(self) -> Motion:
        """All clips that were shown, in the order of their places."""
        archive = self.found.archive
        clips = [archive.clip(self.rows[name]) for name in self.places]
        return Motion(archive.skeleton, tuple(archive.channels), clips, archive.fps, archive.units)


def _simulated(result: Mapping[str, Any]) -> str:
    if not any(result["simulated"]):
        return ""
    return (
        '<div class="banner" role="note"><b>Simulated data.</b> Among the recordings are movements that a program '
        "made. The numbers show that the software works, not how well it does on people.</div>"
    )


def _headline(found: _Found) -> str:
    result = found.result
    how = "estimated" if result["estimated"] else "given"
    sentence = (
        f"{counted(len(found.table), 'recording')} fall into {counted(result['k'], 'cluster')} (their number was "
        f"{how}), found with the help of {result['source']['clips']:,} labelled recordings of "
        f"{result['source']['name']}."
    )
    advice = (
        "Look at each row: do its clips show one movement? Name it, give the same name to rows that belong together, "
        "and export the labels:"
    )
    commands = "".join(
        f'<code data-branch="{branch}"{_hidden(branch)}>{escape(_command(found, branch))}</code>'
        for branch in result["clusters"]
    )
    return (
        f'<p class="headline none"><span class="icon" aria-hidden="true">·</span><span>{escape(sentence)}</span></p>'
        f'<p class="muted">{escape(advice)} {commands}</p>'
    )


def _command(found: _Found, branch: str) -> str:
    """The command that names the rows of a branch."""
    words = ["motet", "clusters", str(found.path), *([] if branch == "B0" else ["--branch", branch])]
    return f"{shlex.join(words)} --name 0=… --out labels.parquet"


def _hidden(branch: str) -> str:
    return "" if branch == "B0" else " hidden"


def _clusters(found: _Found, shown: _Players) -> str:
    buttons = "".join(
        f'<button type="button" value="{b}" aria-pressed="{str(b == "B0").lower()}">{escape(BRANCHES[b])}</button>'
        for b in found.result["clusters"]
    )
    tools = (
        f'<div class="bar-tools"><div class="branches" role="group" aria-label="Branch">{buttons}</div>'
        '<button id="play" type="button">▶ play</button></div>'
    )
    parts = "".join(
        f'<div data-branch="{branch}"{_hidden(branch)}>'
        + "".join(_cluster(found, shown, branch, c) for c in clusters)
        + _outliers(found, shown, branch)
        + "</div>"
        for branch, clusters in found.result["clusters"].items()
    )
    lead = (
        "A row is a cluster: the clips nearest its centre play, the most typical first. <em>Resembles</em> says which "
        "classes of the source the shared branch takes its clips for; the target has classes of its own, so this is a "
        "likeness, not a name. Two branches have clustered the recordings independently."
    )
    return section("clusters", "What was found", lead, tools + parts)


def _cluster(found: _Found, shown: _Players, branch: str, cluster: Mapping[str, Any]) -> str:
    number = int(cluster["cluster"])
    word = escape(found.word(branch, number))
    title = word if found.word(branch, number) == f"cluster {number}" else f"{number} · {word}"
    rows = found.table.filter(pl.col(branch) == number)
    if not len(rows):
        empty = '<p class="empty">No clip fell into it.</p>'
        return f'<div class="group" id="{branch}-{number}"><h3>{title}</h3>{empty}</div>'
    largest = max(c["size"] for c in found.result["clusters"][branch])
    test = int((rows["side"] == "test").sum())
    fits = dict(rows.select("name", f"{branch}_similarity").rows())
    players = "".join(
        shown.figure(name, f"{figure(fits[name])} to the centre{_class(found, name)}")
        for name in cluster["typical"][:SHOWN]
    )
    near = ", ".join(
        f'<a href="#{branch}-{n["cluster"]}">{escape(found.word(branch, n["cluster"]))}</a> ({figure(n["similarity"])})'
        for n in cluster["neighbours"]
    )
    like = "".join(
        f'<div class="like"><span><i style="width:{100 * r["share"]:.0f}%"></i>{escape(class_word(r["class"]))}</span>'
        f"<b>{100 * r['share']:.0f} %</b></div>"
        for r in likeness(cluster)
    )
    like = like or "nothing clearly"
    text = f"<dt>Resembles in the source</dt><dd>{like}</dd>" + (
        f"<dt>Nearest clusters</dt><dd>{near}</dd>" if near else ""
    )
    text += _truth(found, rows)
    size = f'<div class="size"><i style="width:{100 * len(rows) / largest:.0f}%"></i></div>'
    return (
        f'<div class="group" id="{branch}-{number}"><div><h3>{title}</h3>'
        f'{counted(len(rows), "clip")} <span class="muted">({test:,} of them did not train)</span>{size}'
        f"<dl>{text}</dl></div>"
        f'<div class="players">{players}</div></div>'
    )


def _class(found: _Found, name: str) -> str:
    label = int(found.archive.labels[found.rows[name]])
    return f" · labelled {class_word(found.archive.class_names[label]).rstrip(':')}" if label >= 0 else ""


def _truth(found: _Found, rows: pl.DataFrame) -> str:
    """What the target's own labels say of a cluster, where it has any; they had no part in finding it."""
    place = found.rows
    labels = found.archive.labels[[place[name] for name in rows["name"]]]
    known = labels[labels >= 0]
    if not len(known):
        return ""
    counts = np.bincount(known)
    top = counts.argsort()[::-1][:2]
    words = ", ".join(
        f"{escape(class_word(found.archive.class_names[int(c)]))} {100 * counts[c] / len(known):.0f} %"
        for c in top
        if counts[c]
    )
    return f"<dt>By the target's labels (only to check)</dt><dd>{words}</dd>"


def _outliers(found: _Found, shown: _Players, branch: str) -> str:
    rows = found.table.filter(pl.col(f"{branch}_outlier")).sort(f"{branch}_similarity").head(OUTLIERS)
    if not len(rows):
        return ""
    players = "".join(
        shown.figure(name, f"{figure(fit)} to {found.word(branch, cluster)}{_class(found, name)}")
        for name, cluster, fit in rows.select("name", branch, f"{branch}_similarity").rows()
    )
    total = int(found.table[f"{branch}_outlier"].sum())
    return (
        f'<div class="group"><div><h3>Fit nowhere</h3>{len(rows)} of {counted(total, "clip")}<p class="muted">'
        "The clips farthest from the centre of their cluster: rare movements, false starts, faults of the "
        "recording. Do some of them resemble each other? They may be a class that was missed: discover again with more "
        "clusters.</p></div>"
        f'<div class="players">{players}</div></div>'
    )


def _scores(result: Mapping[str, Any]) -> str:
    if not result["rows"]:
        return ""
    head = "".join(f'<th class="num" title="{escape(SCORES[m][1])}">{escape(SCORES[m][0])}</th>' for m in METRICS)
    body = ""
    stages = ((beginning(result), result["pretrained"]), ("at the end", result["rows"]))
    for stage, rows in (
        *stages,
        ("no discovery", result.get("baselines", ())),
    ):  # earlier results have none
        for row in rows:
            by = "k-means on its features" if row["by"] == "kmeans" else "its classifier"
            by = f"k-means on {row['features']}" if "branch" not in row else by
            cells = "".join(f'<td class="num">{round(100 * row[m], 1) + 0.0:.1f}</td>' for m in METRICS)
            kind = ' class="learned"' if row["by"] == "classifier" else ""
            body += f"<tr{kind}><td>{escape(row.get('branch', 'none'))}</td><td>{escape(by)}, {stage}</td>{cells}</tr>"
    side = "that trained too, without labels" if result["split"]["target"] == EVERY else "that did not train"
    lead = (
        f"The target has labels, so clusters can be evaluated: on {counted(result['target']['scored'], 'clip')} "
        f"{side}. Purity never falls when clusters are added; one-to-one accuracy does."
    )
    lead += f" {result['warning']}" if result.get("warning") else ""
    table = f'<div class="scroll"><table><tr><th>branch</th><th>clusters by</th>{head}</tr>{body}</table></div>'
    return section("scores", "How well the clusters match the target's classes", lead, table)


def _number(result: Mapping[str, Any]) -> str:
    if not result["estimated"]:
        return ""
    rows = "".join(
        f'<tr{_chosen(c, result)}><td class="num">{c["clusters"]}</td><td class="num">{_scatter(c)}</td>'
        f'<td class="num">{figure(c["stability"])}</td>'
        f'<td class="num">{figure(c["silhouette"])}</td><td class="num">{c["distinct"]}</td>'
        f'<td class="num">{100 * c["small"]:.0f} %</td></tr>'
        for c in result["estimated"]["evidence"]
    )
    head = "".join(
        f'<th class="num">{h}</th>'
        for h in ("clusters", "scatter", "stability", "silhouette", "distinct", "far too small")
    )
    lead = (
        "Nobody said how many classes there are. <em>Scatter</em> is the mean squared angle between clips and the "
        "centre of their cluster; the number is where it stops falling fast, unless clusters are far apart. "
        "<em>Stability</em> is how far five clusterings from different starts agree, <em>silhouette</em> how clearly "
        f"clusters are apart; where that is {FAR_APART} or more their sum decides. <em>Distinct</em> counts the "
        "clusters left when those are joined whose clips are nearly as similar as clips of one cluster: far fewer than "
        "clusters says that there are too many. Chosen: "
        f"{escape(str(result['estimated']['says']))}."
    )
    return section(
        "number", "How many clusters?", lead, f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    )


def _scatter(candidate: Mapping[str, Any]) -> str:
    return figure(candidate["scatter"]) if "scatter" in candidate else "–"  # none in results of an earlier version


def _chosen(candidate: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    return ' class="learned"' if candidate["clusters"] == result["k"] else ""


def _trained(found: _Found) -> str:
    result, config = found.result, found.config
    settings = result["settings"]
    sides = [
        Fact("Source", str(result["source"]["name"]), f"{result['source']['clips']:,} labelled clips"),
        Fact("Classes of the source", _listed(_source_classes(config))),
        Fact(
            "Target",
            str(result["target"]["name"]),
            f"{counted(result['target']['train'], 'clip')} trained, without labels",
        ),
        Fact("Shared joints", str(len(result["joints"])), ", ".join(result["joints"])),
    ]
    how = [
        Fact("Method", str(result["method"])),
        Fact("Recipe", str(settings["name"])),
        Fact("Epochs", f"{settings['epochs']} + {settings['finetune_epochs']}", "pretraining and fine-tuning"),
        Fact("Encoder", str(settings["encoder"])),
        Fact("Splits", f"{result['split']['source']} / {result['split']['target']}", "of source and target"),
    ]
    columns = {"Recordings": sides, "Training": how}
    body = "".join(f"<div><h3>{title}</h3>{facts_list(facts)}</div>" for title, facts in columns.items())
    return section("trained", "What was trained on what", "", f'<div class="two">{body}</div>')


def _source_classes(config: Mapping[str, Any]) -> list[str]:
    names = config["source"]["class_names"]
    return [str(names[c]) for c in config["known"]]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:12]) + (f" and {len(words) - 12} more" if len(words) > 12 else "")


def _reproduce(found: _Found) -> str:
    made = found.result["environment"]
    asked = made.get("command") or f"motet discover --source … --target … --out {pasted(found.path)}"
    versions = ", ".join(f"{name} {made[name]}" for name in ("motet", "torch", "python") if made.get(name))
    facts = [
        Fact("Seed", str(found.result["settings"]["seed"])),
        Fact("Target", str(found.config["target"]["hash"]), "Digest of its clips and layout."),
        Fact("Versions", versions),
        Fact("Machine", str(made.get("cpu") or "")),
    ]
    return section("reproduce", "How to reproduce", "", f"<pre><code>{escape(asked)}</code></pre>{facts_list(facts)}")
