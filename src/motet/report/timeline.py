"""The page of recordings along time: label tracks, predictions and states as rows, and the movement at a cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from motet.core.errors import ConfigError
from motet.core.text import counted, first_of
from motet.data import catalogue
from motet.data.archive import MotionArchive
from motet.data.tracks import paint, rate, table
from motet.evaluate.segmentation import segmentation_scores
from motet.report import charts
from motet.report.data import Confusion, Fact, Float, Motion
from motet.report.motion import pack_long
from motet.report.page import SIMULATED, facts_list, render, section

PREDICTED = "predicted"
CLIPS = "clip"
"""the row of an archive without label tracks, whose blocks are the labels of clips"""
SHOWN = 40  # recordings whose rows are drawn; tables count all of them
CLASSES = 14  # of a table of transitions
_WIDE, _HIGH = 1000.0, 22.0


@dataclass
class Seen:
    """What the page shows.

    Attributes:
        archive: the recordings.
        tracks: intervals by the name of their track, ``TRACK (RATER)`` where it has several raters; the predictions
            among them.
        certainty: (n,) probability of the class at each tick of a recording, by its row.
        model: facts about the model, if there is one.
        notes: what the reader must know first.
    """

    archive: MotionArchive
    tracks: dict[str, pl.DataFrame]
    certainty: dict[int, Float] = field(default_factory=dict)
    model: list[Fact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """Every label of every track, in a fixed order: the colours."""
        known = {label for rows in self.tracks.values() for label in rows["label"]}
        named = [c for c in self.archive.class_names if c in known]
        return named + sorted(known - set(named))

    def frames(self, track: str, labels: Sequence[str]) -> list[Any]:
        """(T,) class of each frame of each recording, -1 where it has none."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in self.tracks[track].iter_rows(named=True):
            rows.setdefault(row["recording"], []).append(row)
        clips, fps = self.archive.clips["name"], rate(self.archive)
        pairs = zip(clips, self.archive.lengths.tolist(), strict=True)
        return [paint(rows.get(name, []), int(n), fps, labels) for name, n in pairs]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Tracks that say the same things: the first of people, and what a model or another person says."""
        people = [n for n, rows in self.tracks.items() if (rows["rater"].fill_null("") != "motet").any()]
        first = next((n for n in people if n != PREDICTED), None)
        if first is None:
            return []
        known = set(self.tracks[first]["label"])
        return [(first, n) for n, rows in self.tracks.items() if n != first and known & set(rows["label"])]


def page(source: str | Path, data: str | Path | MotionArchive | None = None) -> str:
    """The page of an archive, or of a fitted model and the archive that it is applied to.

    Raises:
        ConfigError: neither of them, a model without an archive, or an archive whose rate is unknown.
    """
    seen = _of_archive(source) if (Path(source) / "archive.json").exists() else _of_model(source, data)
    shown = list(range(min(SHOWN, len(seen.archive))))
    archive = seen.archive
    clips = [np.asarray(archive.clip(i)) for i in shown]
    motion = Motion(archive.skeleton, tuple(archive.channels), clips, archive.fps, archive.units)
    hours = float(archive.lengths.sum()) / rate(archive) / 3600
    length = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    own = {name.partition(" (")[0] for name in seen.tracks}  # no track has a bracket in its own name
    tracks = own - ({CLIPS} - set(archive.tracks))
    said = counted(len(tracks), "label track") if tracks else "no label track"
    counts = f"{counted(len(archive), 'recording')}, {length}, {said}"
    return render(
        title=f"{catalogue.title(archive.path.name, archive.source)} along time",
        payload={"motion": pack_long(motion)},
        style="timeline.css",
        script="timeline.js",
        simulated=SIMULATED if archive.simulated else "",
        notes="".join(f'<p class="note" role="note">{escape(note)}</p>' for note in seen.notes),
        headline=f'<p class="headline">{escape(counts)}.</p>',
        map=_timeline(seen, shown),
        compare=_durations(seen),
        mistakes="".join(_confused(seen, a, b) for a, b in seen.pairs),
        trained=section("model", "The model", "", facts_list(seen.model)) if seen.model else "",
    )


def _of_archive(source: str | Path) -> Seen:
    archive = MotionArchive.open(source)
    tracks = _by_rater(archive)
    return Seen(archive, tracks) if tracks else _of_clips(archive)


def _of_clips(archive: MotionArchive) -> Seen:
    """An archive without label tracks: a row for the label of each clip, empty where it has none."""
    found = zip(archive.clips["name"], archive.labels.tolist(), archive.lengths.tolist(), strict=True)
    rows = [
        {"recording": name, "start": 0.0, "end": length / rate(archive), "label": archive.class_names[label]}
        for name, label, length in found
        if label >= 0
    ]
    shown = "a row is the label of its clip" if rows else "the movement is shown alone"
    note = (
        f"There is no label track, so {shown}. `motet data label`, `motet predict --track` and `motet segment --track` "
        "make one."
    )
    return Seen(archive, {CLIPS: table(rows)}, notes=[note])


def _by_rater(archive: MotionArchive) -> dict[str, pl.DataFrame]:
    """Tracks of an archive by name; of several raters each for itself."""
    found: dict[str, pl.DataFrame] = {}
    for name, rows in archive.tracks.items():
        raters = rows["rater"].unique(maintain_order=True).to_list()
        for rater in raters:
            own = rows.filter(pl.col("rater").eq_missing(rater))
            found[name if len(raters) == 1 else f"{name} ({rater or 'no name'})"] = own
    return found


def _of_model(source: str | Path, data: str | Path | MotionArchive | None) -> Seen:
    from motet.use.predictor import load_predictor

    model = load_predictor(source)
    if data is None:
        raise ConfigError(f"{source} is a model; name the recordings that it is applied to by --data ARCHIVE")
    archive = MotionArchive.open(data)
    bouts = model.predict(archive).rename({"probability": "certainty"})
    predicted = table(bouts.with_columns(rater=pl.lit("motet")).to_dicts())
    found = Seen(archive, {**_by_rater(archive), PREDICTED: predicted})
    names, said = archive.clips["name"].to_list(), set(bouts["recording"])
    if silent := [n for n in names if n not in said]:
        found.notes.append(
            f"Too short, or without anything recorded, so the model says nothing: {first_of(silent, 'recording')}."
        )
    read = model.reader(archive)
    of = model.centred(archive, read, [i for i, n in enumerate(names) if n in said])
    for row in (i for i, n in enumerate(names[:SHOWN]) if n in said and model.along(int(archive.lengths[i]))):
        found.certainty[row] = of(row).recording(read(row))[1].max(axis=1)
    expected, facts = model.config["expected"], model.config["trained_on"]
    if facts["hash"] == archive.hash:
        found.notes.append(
            "The model has learnt from these very recordings, so here it is right more often than on others; what to "
            f"expect of others: {100 * expected['accuracy']:.1f} % of the time."
        )
    found.model = [
        Fact("Classifier", str(model.config["chosen"]), "chosen by cross-validation"),
        Fact(
            "Learnt from",
            f"{counted(facts['recordings'], 'recording')}",
            f"of {facts['archive']}, track {facts['track']}",
        ),
        Fact(
            "Expected on others",
            f"{100 * expected['accuracy']:.1f} % of the time right",
            f"on {expected['by']} held out; the worst {100 * expected['worst']:.1f} %",
        ),
    ]
    return found


# --------------------------------------------------------------------------------------------------- timelines


def _timeline(seen: Seen, shown: Sequence[int]) -> str:
    legend = "".join(f'<li><i class="{_colour(k)}"></i>{escape(name)}</li>' for k, name in enumerate(seen.labels))
    more = "" if len(shown) == len(seen.archive) else f" The first {len(shown)} of {len(seen.archive)} are drawn."
    lead = (
        "A row is a track (of several raters one each), a block an interval with its label; the line under predictions "
        "is their certainty, and red marks are moments at which two rows differ. Click anywhere to see the movement at "
        f"that moment.{more}"
    )
    stage = (
        '<div class="cursor-stage"><canvas id="figure" role="img" aria-label="the movement at the cursor"></canvas>'
        '<div><p id="where" aria-live="polite"></p><dl id="now" class="facts"></dl>'
        '<button id="play" type="button" aria-pressed="false">Play</button></div></div>'
    )
    pairs = [(a, b, seen.frames(a, seen.labels), seen.frames(b, seen.labels)) for a, b in seen.pairs]
    blocks = "".join(_recording(seen, row, pairs) for row in shown)
    return section("time", "Recordings along time", lead, f'{stage}<ul class="keys">{legend}</ul>{blocks}')


def _recording(seen: Seen, row: int, pairs: Sequence[tuple[str, str, list[Any], list[Any]]]) -> str:
    name, fps = seen.archive.clips["name"][row], rate(seen.archive)
    seconds = int(seen.archive.lengths[row]) / fps
    lines = []
    for track, rows in seen.tracks.items():
        own = rows.filter(recording=name)
        lines.append(_line(track, "".join(_blocks(own, seen.labels, seconds))))
        if track == PREDICTED and row in seen.certainty:
            lines.append(_line("certainty", _curve(seen.certainty[row]), "low"))
    for a, b, true, said in pairs:
        wrong = (true[row] >= 0) & (said[row] >= 0) & (true[row] != said[row])
        marks = "".join(
            f'<rect class="differ" x="{_WIDE * i / len(wrong):.2f}" y="0" width="{_WIDE * (j - i) / len(wrong):.2f}" '
            f'height="{_HIGH:g}" data-tip="{escape(a)} and {escape(b)} differ"/>'
            for i, j in _runs(wrong)
        )
        lines.append(_line(f"≠ {b}", marks, "low"))
    person = seen.archive.clips["subject"][row] if "subject" in seen.archive.clips.columns else None
    who = "" if person is None else f" · person {person}"
    file = seen.archive.clips["source"][row]
    who += f" · {file}" if file and file != name else ""
    return (
        f'<div class="recording" data-row="{row}" data-seconds="{seconds:.3f}" data-name="{escape(name)}">'
        f'<h3>{escape(name)} <span class="muted">{seconds:.1f} s{who}</span></h3>'
        f'<div class="rows" tabindex="0">{"".join(lines)}<i class="cursor"></i></div></div>'
    )


def _line(name: str, inside: str, kind: str = "") -> str:
    return (
        f'<div class="line {kind}"><span title="{escape(name)}">{escape(name)}</span>'
        f'<svg viewBox="0 0 {_WIDE:g} {_HIGH:g}" preserveAspectRatio="none" aria-hidden="true">{inside}</svg></div>'
    )


def _blocks(rows: pl.DataFrame, labels: Sequence[str], seconds: float) -> Iterator[str]:
    number = {name: k for k, name in enumerate(labels)}
    for row in rows.iter_rows(named=True):
        k, start, end = number[row["label"]], row["start"], row["end"]
        sure = "" if row["certainty"] is None else f", certainty {row['certainty']:.2f}"
        yield (
            f'<rect class="{_colour(k)}" x="{_WIDE * start / seconds:.2f}" y="0" height="{_HIGH:g}" '
            f'width="{max(_WIDE * (end - start) / seconds, 0.5):.2f}" data-label="{escape(row["label"])}" '
            f'data-from="{start:.2f}" data-to="{end:.2f}" '
            f'data-tip="{escape(row["label"])}, {start:.1f} to {end:.1f} s{sure}"/>'
        )


def _colour(k: int) -> str:
    """Classes of a label's look: colours repeat after COLOURS labels, paler, framed, then both."""
    return f"k{k % charts.COLOURS} r{k // charts.COLOURS % 4}"


def _curve(certainty: Float, most: int = 600) -> str:
    step = max(1, -(-len(certainty) // most))
    values = [float(certainty[i : i + step].min()) for i in range(0, len(certainty), step)]
    points = " ".join(
        f"{_WIDE * (i + 0.5) / len(values):.1f},{_HIGH * (1 - 0.92 * v) - 0.5:.1f}" for i, v in enumerate(values)
    )
    return f'<polyline class="certainty" points="{points}"/>'


def _runs(marked: Any) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


# ------------------------------------------------------------------------------------------------------ tables


def _durations(seen: Seen) -> str:
    parts = []
    for name, rows in seen.tracks.items():
        if rows.is_empty():
            continue
        long = rows.with_columns(seconds=pl.col("end") - pl.col("start"))
        total = float(long["seconds"].sum())
        body, labels = [], [label for label in seen.labels if label in set(long["label"])]
        for label in labels:
            own = long.filter(label=label)["seconds"].to_numpy()
            figures = (own.mean(), np.median(own), own.max())
            cells = [f"{100 * own.sum() / total:.1f}", str(len(own)), *(f"{x:.2f}" for x in figures)]
            body.append([escape(label), *cells])
        head = ["label", "% of the time", "bouts", "mean s", "median s", "longest s"]
        parts.append(f"<h3>{escape(name)}</h3>" + charts.plain_table(head, body) + _dots(long, labels))
        parts.append(_transitions(rows, labels))
    if not parts:
        return ""
    return section(
        "durations",
        "How long, how often, what next",
        "Bouts of each track and rater, of all recordings.",
        "".join(parts),
    )


def _dots(rows: pl.DataFrame, labels: Sequence[str], most: int = 400) -> str:
    """A dot a bout on a logarithmic axis of seconds, a row a label."""
    times = rows["seconds"].to_numpy()
    low, high = np.log10(max(times.min(), 0.05)), np.log10(max(times.max(), 0.1))
    parts, left, wide = [], 150, 720
    for place, label in enumerate(labels):
        own = np.sort(rows.filter(label=label)["seconds"].to_numpy())
        own = own[:: max(1, -(-len(own) // most))]
        y = 14 + 22 * place
        text = escape(label if len(label) <= 22 else label[:21] + "…")
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end" font-size="12">{text}</text>')
        for value in own:
            x = left + wide * (np.log10(max(value, 0.05)) - low) / max(high - low, 1e-9)
            parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="4" data-tip="{value:.2f} s"/>')
    bottom = 22 * len(labels) + 20
    for value in (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000):
        if low <= np.log10(value) <= high:
            x = left + wide * (np.log10(value) - low) / max(high - low, 1e-9)
            parts.append(f'<text x="{x:.1f}" y="{bottom}" text-anchor="middle" font-size="11">{value:g} s</text>')
    box = f'<svg viewBox="0 0 900 {bottom + 8}" width="900" role="img" aria-label="durations">'
    return f'<div class="scroll">{box}{"".join(parts)}</svg></div>'


def _transitions(rows: pl.DataFrame, labels: Sequence[str]) -> str:
    moves: Counter[tuple[str, str]] = Counter()
    for _, own in rows.group_by("recording", "rater", maintain_order=True):
        moves.update(pairwise(own.sort("start")["label"].to_list()))
    often = sorted(labels, key=lambda label: -sum(n for (a, b), n in moves.items() if label in (a, b)))[:CLASSES]
    kept = [label for label in labels if label in set(often)]
    if not moves or len(kept) < 2:
        return ""
    body = []
    for a in kept:
        total = sum(n for (x, _), n in moves.items() if x == a)
        cells = [f"{100 * moves[a, b] / total:.0f}" if moves[a, b] else "" for b in kept]
        body.append([escape(a), *cells])
    more = "" if len(kept) == len(labels) else f" The {len(kept)} most frequent labels."
    note = f'<p class="muted">What follows a row, in percent of the times that it ended.{more}</p>'
    shown = charts.plain_table(["", *map(escape, kept)], body)
    return f'<details><summary>Transitions</summary>{note}<div class="scroll">{shown}</div></details>'


def _confused(seen: Seen, first: str, second: str) -> str:
    labels = [n for n in seen.labels if n in {*seen.tracks[first]["label"], *seen.tracks[second]["label"]}]
    true, said = seen.frames(first, labels), seen.frames(second, labels)
    rows = [i for i, (a, b) in enumerate(zip(true, said, strict=True)) if ((a >= 0) & (b >= 0)).any()]
    if not rows:
        return ""
    a, b = np.concatenate([true[i] for i in rows]), np.concatenate([said[i] for i in rows])
    both = (a >= 0) & (b >= 0)
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(matrix, (a[both], b[both]), 1)
    scores = segmentation_scores([true[i] for i in rows], [said[i] for i in rows])
    facts = [
        Fact("Matching frames", f"{100 * scores['frames']:.1f} %", "share of labelled frames"),
        Fact("F1 of bouts", f"{100 * scores['f1@50']:.1f} %", "bouts that overlap by at least a half"),
        Fact("Order of bouts", f"{100 * scores['edit']:.1f} %", "edit score of the sequence of bouts"),
    ]
    lead = f"A row is what {escape(first)} says of a frame, a column what {escape(second)} says; counts are frames."
    body = facts_list(facts) + charts.confusion(Confusion(matrix, labels))
    return section("confusion", f"{escape(first)} against {escape(second)}", lead, body)
