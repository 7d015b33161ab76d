from __future__ import annotations

import pytest
import torch

from motet.distill.judge import _classified, hits
from motet.distill.result import _pooled
from tests.distill.toys import EVERYONE, LABELS, features

close = pytest.approx


def test_golden_retrieval() -> None:
    """Teacher's rows ask, student's rows answer: R@1 .5, R@2 2/3, R@3 1; a padded gallery row is never near."""
    m, s, _ = features()
    found = hits(m, LABELS, s, LABELS, EVERYONE, 3)[0]
    assert [found[:, :k].any(dim=1).double().mean().item() for k in (1, 2, 3)] == close([0.5, 2 / 3, 1.0])
    padded, labels = torch.cat([s, 9 * m[:, :2]], dim=1), torch.cat([LABELS, LABELS[:, :2]], dim=1)
    real = torch.arange(8)[None] < 6
    assert torch.equal(hits(m, LABELS, padded, labels, real, 3)[0], found)
    assert hits(m, LABELS, s, LABELS, EVERYONE, 50).shape == (1, 6, 6)


def test_golden_accuracy_and_recall() -> None:
    truth, answer = torch.tensor([[0, 0, 0, 0, 1, 1, 2, 3]]), torch.tensor([[0, 0, 1, 0, 1, 0, 2, 2]])
    found = _classified(answer, truth, torch.ones(1, 8, dtype=torch.bool), 5)  # class 4 is never tested
    assert found["accuracy"].item() == close(0.625)
    assert found["recall"].item() == close(0.5625)
    assert _pooled(found["confusion"].tolist()) == close((0.625, 0.5625))


def test_pooled_scores_count_rows_not_folds() -> None:
    first, second = [[1, 0], [0, 1]], [[0, 6], [0, 2]]
    assert _pooled([first, second]) == close((4 / 10, (1 / 7 + 1) / 2))
