"""Sizes and small values that CMD's released code gives (Mao et al., ECCV 2022)."""

from __future__ import annotations

import math

import pytest
import torch

from motet.data import layouts
from motet.evaluate.linear import Options as LinearOptions
from motet.losses import info_nce, neighbour_distillation
from motet.methods.cmd import CMD
from motet.methods.contrastive import Contrastive, ContrastiveStreams
from motet.methods.moco import MoCo
from motet.methods.recipes import get


def host(options: Contrastive, streams: tuple[str, ...]) -> ContrastiveStreams:
    with torch.device("meta"):  # sizes only
        return ContrastiveStreams(
            options,
            streams,
            skeleton=layouts.get("kinect-v2"),
            persons=2,
            channels=3,
            encoder={"name": "gru", "hidden": 1024, "layers": 3, "mode": "causal"},
            epochs=450,
        )


@pytest.mark.parametrize(("mlp", "count"), [(True, 49_457_580), (False, 45_261_228)])
def test_parameters_of_one_stream(mlp: bool, count: int) -> None:
    made = host(MoCo(mlp_head=mlp), ("joint",))
    assert sum(p.numel() for part in (made.encoders, made.heads) for p in part.parameters()) == count


def test_three_streams_and_their_twins_are_six_encoders() -> None:
    made = host(CMD(), ("joint", "motion", "bone"))
    parts = (made.encoders, made.heads, made.key_encoders, made.key_heads)
    assert sum(p.numel() for part in parts for p in part.parameters()) == 6 * 49_457_580


def test_the_student_follows_the_teacher_and_not_the_reverse() -> None:
    a, b = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.1, 0.0]]), torch.tensor([[0.3, 0.1, 0.2], [0.0, 0.5, 0.25]])
    everything = torch.eye(3)  # products with these rows are the logits themselves

    def loss(student: torch.Tensor, teacher: torch.Tensor, *temperatures: float) -> float:
        ours, theirs = temperatures
        found = neighbour_distillation(
            student, everything, teacher, everything, top_k=3, student_temperature=ours, teacher_temperature=theirs
        )
        return float(found)

    assert loss(a, b, 0.1, 0.05) == pytest.approx(2.373909, abs=1e-5)
    assert loss(b, a, 0.05, 0.1) == pytest.approx(5.400257, abs=1e-5)


@pytest.mark.parametrize("slots", [1, 8])
def test_equal_similarities_give_the_logarithm_of_their_number(slots: int) -> None:
    same = torch.tensor([[1.0, 0.0]])
    loss = info_nce(same, same, same.expand(slots, 2))
    assert float(loss) == pytest.approx(math.log(1 + slots), abs=1e-5)


def test_the_rate_drops_at_the_published_epoch() -> None:
    paper = get("cmd/ntu60-xsub").optimiser
    assert [round(paper.lr_at(e, 450), 6) for e in (0, 349, 350, 449)] == [0.01, 0.01, 0.001, 0.001]
    assert LinearOptions().epochs == 80
