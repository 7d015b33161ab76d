"""Curves of HaLP's analyses."""

from __future__ import annotations

import math

from motet.report.diagnostics import diagnostic_curves
from motet.report.gather import _starts


def line(epoch: int, **values: float) -> dict[str, object]:
    return {"epoch": epoch, "diagnostics": {name.replace("__", "/"): value for name, value in values.items()}}


def test_nothing_without_hallucination() -> None:
    assert diagnostic_curves([{"epoch": 0}, line(1, other__joint__retained=1.0)]) == []


def test_shares_by_stream_and_similarities_as_means() -> None:
    first = {"hallucination__joint__retained": 0.5, "hallucination__bone__retained": 0.25}
    second = {
        "hallucination__joint__query_real": 0.75,
        "hallucination__bone__query_real": 0.25,
        "hallucination__joint__prototype_bad": math.nan,
        "hallucination__joint__prototype_good": 0.5,
    }
    kept, alike, group = diagnostic_curves([{"epoch": 0}, line(1, **first), line(2, **second)])
    assert kept.series == {"joint": [(1, 50.0)], "bone": [(1, 25.0)]}
    assert alike.series == {"own copy": [(2, 0.5)]}
    assert group.series == {"kept": [(2, 0.5)]}


def test_streams_of_some_parts_keep_their_names() -> None:
    name = "hallucination/joint[left_arm+right_arm]/retained"
    (kept,) = diagnostic_curves([{"epoch": 3, "diagnostics": {name: 1.0}}])
    assert list(kept.series) == ["joint[left_arm+right_arm]"]


def test_the_loss_says_where_a_part_starts() -> None:
    lines = [
        {"epoch": 1, "terms": {"contrast/joint": 2.0}},
        {"epoch": 2, "terms": {"contrast/joint": 1.9, "hallucination/joint": 0.0}},
        {"epoch": 3, "terms": {"contrast/joint": 1.8, "hallucination/joint": -1.0}},
    ]
    assert _starts(lines) == " It jumps where a part starts to count: hallucination in epoch 3."
    assert not _starts(lines[:2])
    assert not _starts([])
