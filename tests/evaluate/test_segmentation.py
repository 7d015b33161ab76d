from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.core.errors import ConfigError
from motet.evaluate import segmentation_scores
from motet.evaluate.segmentation import edit_distance, segments

TRUE = [0] * 4 + [1] * 4 + [2] * 2


def test_a_case_by_hand() -> None:
    # predicted: 0 0 | 1 1 1 1 1 1 | 0 0 -> frames 2 + 4 of 10; segments (0: 2/4 = .5), (1: 4/6 = .67), (0: wrong)
    scores = segmentation_scores(TRUE, [0] * 2 + [1] * 6 + [0] * 2)
    assert scores["frames"] == pytest.approx(0.6)
    assert scores["f1@50"] == pytest.approx(2 * 2 / (3 + 3))  # .50 counts: at least, not above
    assert scores["edit"] == pytest.approx(1 - 1 / 3)


def test_overlap_thresholds() -> None:
    # class 1 true 8..16, predicted 4..12: 4 of 12; class 0 true 0..8, predicted 0..4: .5; the last one has no partner
    scores = segmentation_scores([0] * 8 + [1] * 8, [0] * 4 + [1] * 8 + [0] * 4)
    assert scores["f1@10"] == scores["f1@25"] == pytest.approx(2 * 2 / 5)
    assert scores["f1@50"] == pytest.approx(2 * 1 / 5)


def test_a_true_segment_counts_once() -> None:
    # one true segment broken in two halves: the first is right at .5, the second has no segment left
    assert segmentation_scores([0] * 10, [0] * 5 + [1] + [0] * 4)["f1@25"] == pytest.approx(2 / 4)


def test_counts_pool_and_edits_average() -> None:
    scores = segmentation_scores([[0] * 8, [1, 1]], [[0] * 8, [0, 0]])
    assert scores == pytest.approx({"frames": 0.8, "f1@10": 0.5, "f1@25": 0.5, "f1@50": 0.5, "edit": 0.5})


def test_unlabelled_frames_count_nowhere() -> None:
    assert segmentation_scores([0, 0, -1, -1, 1], [0, 0, 3, 4, 1]) == pytest.approx(
        {"frames": 1, "f1@10": 1, "f1@25": 1, "f1@50": 1, "edit": 1}
    )


def test_a_border_near_a_gap_is_no_segment_of_its_own() -> None:
    """Within less than half of the stretch beyond; more of it, or a change that is on one side only, is one."""
    true = [0, 0, 0, 0, -1, -1, 1, 1, 1, 1, 1]
    late = segmentation_scores(true, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    assert late["frames"] == pytest.approx(7 / 9)
    assert late["f1@50"] == late["edit"] == 1
    far = segmentation_scores(true, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    assert far["f1@10"] == pytest.approx(2 * 2 / (3 + 2))
    beyond = segmentation_scores(true, [0, 0, 0, 0, 1, 1, 2, 1, 1, 1, 1])
    assert beyond["f1@10"] == pytest.approx(2 * 2 / (3 + 2))


def test_none_of_these_on_a_labelled_frame_is_wrong_but_no_segment() -> None:
    scores = segmentation_scores([0, 0, 1, 1], [0, 0, -1, -1])
    assert scores["frames"] == 0.5
    assert scores["f1@50"] == pytest.approx(2 / 3)


def test_states_without_names_are_matched_one_to_one_over_all_recordings() -> None:
    true, states = [[0, 0, 1, 1], [1, 1, 1, 0]], [[7, 7, 3, 3], [3, 3, 3, 5]]
    assert segmentation_scores(true, states, matched=True)["frames"] == pytest.approx(7 / 8)
    assert segmentation_scores(true, [[0] * 4, [0] * 4], matched=True)["frames"] == pytest.approx(5 / 8)


def test_text_is_as_good_as_numbers() -> None:
    assert segmentation_scores(["sit", "sit", "walk"], ["sit", "walk", "walk"])["frames"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("true", "predicted", "word"),
    [
        ([0, 1], [0], "shape"),
        ([[0], [1]], [[0]], "2 true recordings and 1"),
        ([-1, -1], [0, 0], "no frame has a true label"),
        ([0.5, 1.5], [0.5, 1.5], "integers or text"),
    ],
)
def test_what_cannot_be_scored(true: list[float], predicted: list[float], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        segmentation_scores(true, predicted)


def test_edit_distance() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "ab") == 2


labels = st.lists(st.integers(-1, 3), min_size=1, max_size=40).filter(lambda x: any(v >= 0 for v in x))


@given(labels)
def test_a_perfect_prediction_and_segments_that_cover_what_is_labelled(values: list[int]) -> None:
    assert set(segmentation_scores(values, values).values()) == {1.0}
    shuffled = [3 - v if v >= 0 else 0 for v in values]
    assert segmentation_scores(values, shuffled, matched=True)["frames"] == 1.0
    again = np.full(len(values), -1)
    for label, start, end in segments(values):
        again[start:end] = label
    assert again.tolist() == values
