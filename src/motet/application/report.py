"""The static page of the present state: what is labelled by whom, how well it is learned, the map of all moments."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import combinations

import numpy as np

from motet.application.labels import Interval, Labels
from motet.application.moments import Moments
from motet.application.teach import Teacher
from motet.core.errors import ConfigError
from motet.core.text import counted, pasted
from motet.data.archive import MotionArchive
from motet.report import maps
from motet.report.data import ClipMap, Confusion, Curve, Fact, Motion, ReportData
from motet.report.page import compose, facts_list, section

MOST = 600
"""moments on the map of the page, with their recordings."""
NEIGHBOURS = 6


def state_page(archive: MotionArchive, labels: Labels, moments: Moments, teacher: Teacher) -> str:
    """One HTML file, to keep or to send: labels, raters, learning curve, mistakes on held-out people, the map.

    Raises:
        ConfigError: nothing is labelled yet, or the recordings are still being looked at.
    """
    given = labels.all()
    if not given:
        raise ConfigError("nothing is labelled yet, so there is nothing to report")
    if moments.features is None:
        raise ConfigError("the recordings are still being looked at; try again in a moment")
    matrix, classes = teacher.held_out()
    names = list(dict.fromkeys([*labels.classes, *classes]))
    shown, motion = _map(archive, moments, labels_of_moments(given, moments, teacher), names)
    data = ReportData(
        title=f"Labels of {archive.path.stem}",
        method="labels",
        licence=archive.licence,
        simulated=archive.simulated,
        class_names=names,
        curves=_curve(teacher),
        confusion=Confusion(matrix, classes, "labels of people held out") if matrix.any() else None,
        command=f"motet fit {pasted(archive.path.name)} --track {pasted(labels.track)} --out MODEL",
        reproduce=[Fact("Recordings", archive.hash, "Digest of all clips and the joint layout.")],
        clip_map=shown,
        motion=motion,
    )
    return compose(data, headline=_headline(given, teacher), trained=_labelled(archive, given, labels.classes))


def _headline(given: Sequence[Interval], teacher: Teacher) -> str:
    words = f"{counted(len(given), 'label')} of {counted(len({one.label for one in given}), 'class')}"
    return f'<p class="headline none"><span>{escape(words)}</span></p><p class="muted">{escape(teacher.words)}</p>'


def _labelled(archive: MotionArchive, given: Sequence[Interval], classes: Sequence[str]) -> str:
    facts = []
    for name in classes:
        own = [one for one in given if one.label == name]
        if own:
            minutes = sum(one.end - one.start for one in own) / 60
            recordings = len({one.clip for one in own})
            facts.append(
                Fact(
                    name,
                    f"{counted(len(own), 'label')}",
                    f"{minutes:.1f} minutes in {counted(recordings, 'recording')}",
                )
            )
    people = [Fact(rater, f"{counted(sum(one.rater == rater for one in given), 'label')}") for rater in _raters(given)]
    people += [Fact(f"{a} and {b}", f"{100 * share:.0f} %", words) for a, b, share, words in agreements(given)]
    body = f"<div><h3>Classes</h3>{facts_list(facts)}</div><div><h3>Raters</h3>{facts_list(people)}</div>"
    lead = f"{len({one.clip for one in given}):,} of {counted(len(archive), 'recording')} have a label."
    return section("trained", "What is labelled", lead, f'<div class="two">{body}</div>')


def _raters(given: Sequence[Interval]) -> list[str]:
    return sorted({one.rater for one in given})


def agreements(given: Sequence[Interval]) -> list[tuple[str, str, float, str]]:
    """Of each two raters that labelled the same time: the share of that time on which they agree."""
    found = []
    for a, b in combinations(_raters(given), 2):
        both = same = 0.0
        others: dict[int, list[Interval]] = {}
        for one in given:
            if one.rater == b:
                others.setdefault(one.clip, []).append(one)
        for one in given:
            if one.rater != a:
                continue
            for other in others.get(one.clip, ()):
                shared = min(one.end, other.end) - max(one.start, other.start)
                if shared > 0:
                    both += shared
                    same += shared * (one.label == other.label)
        if both:
            found.append((a, b, same / both, f"of {both:.0f} s that both labelled, the same label"))
    return found


def labels_of_moments(given: Sequence[Interval], moments: Moments, teacher: Teacher) -> list[str | None]:
    """Label of every moment: the one given to its middle, else the one predicted."""
    found: list[str | None] = [None] * len(moments.clip)
    rows: list[tuple[int, float, float, str]] = [(r[0], r[1], r[2], r[3]) for r in teacher.predictions()]
    rows += [(one.clip, one.start, one.end, one.label) for one in given]  # what is given overrules
    for clip, start, end, label in rows:
        for i in moments.of(clip):
            if start <= (moments.start[i] + moments.end[i]) / 2 < end:
                found[i] = label
    return found


def _map(
    archive: MotionArchive, moments: Moments, labels: Sequence[str | None], names: Sequence[str]
) -> tuple[ClipMap, Motion]:
    number = np.array([-1 if label is None else names.index(label) for label in labels])
    chosen = maps.stratified(number, MOST, 0)
    assert moments.features is not None
    features = moments.features[chosen].astype(np.float64)
    neighbours, similarities = maps.nearest(features, min(NEIGHBOURS, len(chosen) - 1))
    fps = moments.layout.fps
    times = [(int(moments.clip[i]), float(moments.start[i]), float(moments.end[i])) for i in chosen]
    recordings = archive.clips["name"].to_list()
    return (
        ClipMap(
            xy=maps.positions(features, 0),
            labels=number[chosen],
            clusters=maps.cluster(features, max(2, len(names)), 0),
            names=[f"{recordings[c]}, {a:.0f} s" if a else recordings[c] for c, a, _ in times],
            neighbours=neighbours,
            similarities=similarities,
            total=len(labels),
            source="the features of the application; a colour is the label that was given, else the predicted one",
            sets="moments",
        ),
        Motion(
            archive.skeleton,
            archive.channels,
            [archive.clip(c)[int(a * fps) : max(int(a * fps) + 1, round(b * fps))] for c, a, b in times],
            archive.fps,
            archive.units,
        ),
    )


def _curve(teacher: Teacher) -> list[Curve]:
    points = [(float(count), 100 * accuracy) for count, accuracy in teacher.curve]
    meaning = "How many of 100 moments should come out right for people without labels, estimated on held-out ones."
    return [Curve("Expected for new people (%)", meaning, "labels", {"accuracy": points}, 10.0)] if points else []
