from __future__ import annotations

import numpy as np
import pytest

from motet.report import Confusion, ReportData, Row
from motet.report import narrative as words
from tests.report.made_up import made_up, rows, with_rows


def test_headline_compares_the_fixed_row_with_the_harder_baseline() -> None:
    head = words.headline(made_up())
    assert head.verdict == "better"
    assert head.sentence == (
        "CMD names 84.0 ± 0.5 % of the test clips correctly; raw coordinates: 70.0 %: better by 14.0 points."
    )
    assert "linear probe, joint + bone (mean logits)" in head.detail
    assert "untrained encoder 60.0 ± 0.5 %" in head.detail


def test_the_best_row_on_the_test_clips_is_not_the_headline() -> None:
    lucky = [*rows(), Row("linear", "CMD", "bone", (99.0,)), Row("knn", "CMD", "bone", (99.0,))]
    row = words.main_row(lucky)
    assert row is not None
    assert row.ensemble == "mean-logits"


def test_a_small_difference_is_called_chance_and_a_loss_is_called_a_loss() -> None:
    near = words.headline(with_rows(made_up(), rows(learned=72.0)))
    assert near.verdict == "unclear"
    assert "2.0 points more, too little to rule out chance" in near.sentence
    worse = words.headline(with_rows(made_up(), rows(learned=50.0)))
    assert worse.verdict == "worse"
    assert "does not beat raw coordinates (70.0 %): worse by 20.0 points" in worse.sentence
    random = words.headline(with_rows(made_up(), rows(random=95.0)))
    assert "does not beat untrained encoder" in random.sentence


def test_more_test_clips_turn_the_same_difference_from_chance_into_a_finding() -> None:
    few = words.headline(with_rows(made_up(), rows(learned=73.0), test_clips=200))
    many = words.headline(with_rows(made_up(), rows(learned=73.0), test_clips=20_000))
    assert (few.verdict, many.verdict) == ("unclear", "better")


def test_margin_is_two_standard_errors_of_the_difference() -> None:
    first, second = Row("knn", "a", "joint", (50.0,)), Row("knn", "raw", "joint", (50.0,))
    # per row 0.5 · 0.5 / 100 = 0.0025, that is 5 points; the difference has √2 · 5
    assert words.margin(first, second, 100) == pytest.approx(2 * np.sqrt(50))
    assert words.margin(first, second, None) is None
    spread = Row("knn", "a", "joint", (49.0, 51.0))
    assert words.margin(spread, second, None) == pytest.approx(2 * np.sqrt(2))


def test_without_rows_or_baselines_nothing_is_claimed() -> None:
    assert words.headline(ReportData("t", "CMD")).verdict == "none"
    alone = words.headline(ReportData("t", "CMD", rows=[Row("knn", "CMD", "joint", (80.0,))]))
    assert alone.verdict == "none"
    assert "No baseline" in alone.detail
    unknown = words.headline(
        ReportData("t", "CMD", rows=[Row("knn", "CMD", "joint", (80.0,)), Row("knn", "raw", "joint", (70.0,))])
    )
    assert "margin of chance is unknown" in unknown.detail


def test_another_measure_than_accuracy_never_makes_the_headline() -> None:
    row = words.main_row([Row("retrieval", "CMD", "joint", (99.0,), accuracy=False), *rows()[:1]])
    assert row is not None
    assert row.protocol == "knn"


def test_mistakes_are_the_largest_entries_off_the_diagonal() -> None:
    matrix = np.array([[8, 2, 0], [0, 4, 6], [1, 0, 9]])
    found = words.mistakes(Confusion(matrix, ["a", "b", "c"]), count=2)
    assert found == [("b", "c", 6, 0.6), ("a", "b", 2, 0.2)]
    assert words.mistakes(Confusion(np.diag([3, 3]), ["a", "b"])) == []
