from __future__ import annotations

import pytest
import torch

from motet.methods.distillation.result import _pooled, outcome
from motet.methods.distillation.scores import _classified, hits
from tests.methods.distillation.toys import EVERYONE, LABELS, features

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


def test_forecast_beside_what_was_achieved() -> None:
    def result(values: list[float], seeds: list[int], forecast: dict[str, object] | None) -> dict[str, object]:
        accuracy = {"values": values, "mean": sum(values) / len(values)}
        replicas = [{"seed": seed} for seed in seeds]
        return {"summary": {"student": {"accuracy": accuracy}}, "replicas": replicas, "forecast": forecast}

    said = {"forecast": "likely", "information": {"mean": 0.3, "error": 0.1}, "gap": 0.2, "says": "…"}
    found = outcome(result([0.7, 0.8], [0, 1], None), result([0.6, 0.6], [0, 1], said))
    assert found["achieved"]["values"] == close([0.1, 0.2])
    assert found["achieved"]["sd"] == close(0.1 / 2**0.5)
    assert (found["forecast"], found["information"], found["rehearsal"]) == ("likely", said["information"], None)
    other = outcome(result([0.7, 0.8], [0, 1], said), result([0.6], [5], None))
    assert other["achieved"] == {"values": close([0.15]), "mean": close(0.15), "sd": None}
