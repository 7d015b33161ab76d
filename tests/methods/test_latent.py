"""Masked latent prediction and contrastive tuning: a step written out, what counts, and that they learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.methods.base import Layout
from motet.methods.latent import LatentPrediction, LatentStreams, latent_loss, recorded
from motet.methods.pretrain import pretrain, resume
from motet.methods.stars import STARS, STARSStreams, nearest_key
from tests.conftest import stick

ENCODER = {"name": "transformer", "width": 8, "layers": 1, "heads": 2, "patch": 4}
TINY: dict[str, Any] = {"width": 8, "layers": 1, "heads": 2, "frames": 16, "epochs": 2, "batch_size": 8}
TINY |= {"preprocess": "first-frame", "progress": False}


def network(**options: Any) -> LatentStreams:
    torch.manual_seed(0)
    layouts = {"": Layout(stick(), 2, 3, ENCODER)}
    made = LatentStreams(LatentPrediction(predictor_width=8, **options), ("joint",), layouts)
    return made.double()


def clips() -> torch.Tensor:
    x = torch.randn(3, 14, 2, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[1, :, :, 6:] = 0  # nobody's feet were recorded
    x[2, 8:] = 0
    return x


def test_loss_written_out() -> None:
    generator = torch.Generator().manual_seed(2)
    predicted, target = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64, generator=generator)
    counted = torch.rand(2, 3, 4, generator=generator) < 0.5
    counted[1] = False
    total = 0.0
    for n in range(3):
        for s in range(4):
            if counted[0, n, s]:
                t = target[0, n, s].numpy()
                gap = np.abs(predicted[0, n, s].numpy() - (t - t.mean()) / np.sqrt(t.var() + 1e-5))
                total += np.where(gap < 1, gap**2 / 2, gap - 0.5).mean()
    expected = total / int(counted[0].sum()) / 2  # the second clip has nothing to predict
    assert float(latent_loss(predicted, target, counted)) == pytest.approx(float(expected), rel=1e-10)


def test_a_step_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = network()
    x, encoder, prediction = clips(), streams.encoders[0], streams.predictions[0]
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.01  # the twin is behind
    before = [p.clone() for p in streams.twins.parameters()]
    mask = torch.rand(3, 4, len(encoder.parts), generator=torch.Generator().manual_seed(3)) < 0.5
    monkeypatch.setattr(prediction, "draw", lambda *sizes: mask)
    found = streams.losses([x], 0)["prediction/joint"]
    for now, old, online in zip(streams.twins.parameters(), before, encoder.parameters(), strict=True):
        torch.testing.assert_close(now, 0.99 * old + 0.01 * online)  # it moves before it gives targets
    tokens = encoder.embed(x)
    places = encoder.places(tokens)
    for b, n, s in mask.nonzero().tolist():
        tokens[b, n, s] = prediction.hidden + places[n, s]
    guess = prediction.perceptron(encoder.attend(tokens))
    target = streams.twins[0].grid(x)
    there = recorded(encoder, x)
    assert not there[1, :, [nodes == (6, 7) for nodes in encoder.parts].index(True)].any()
    assert there[2].any(dim=1).tolist() == [True, True, False, False]
    torch.testing.assert_close(found, latent_loss(guess, target, mask & there))
    found.backward()
    assert all(p.grad is None for p in streams.twins.parameters())
    assert prediction.hidden.grad is not None


def test_tubes_last_and_are_a_share() -> None:
    drawn = network(hidden_share=0.7, tube=3).predictions[0].draw(400, 8, 3, torch.device("cpu"))
    assert drawn.shape == (400, 8, 3)
    assert (drawn[:, 0:3] == drawn[:, :1]).all()
    assert (drawn[:, 6:8] == drawn[:, 6:7]).all()
    assert float(drawn.double().mean()) == pytest.approx(0.7, abs=0.03)


def test_tuning_written_out() -> None:
    torch.manual_seed(0)
    layouts = {"": Layout(stick(), 2, 3, ENCODER)}
    streams = STARSStreams(STARS(dim=4, head_width=8, queue_size=6, temperature=0.5), ("joint",), layouts).double()
    first, second = clips(), clips() + 0.1
    ring = streams.queue.ring("joint").double().clone()

    def rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = streams.projections[0](streams.encoders[0](x))
        return z / z.norm(dim=1, keepdim=True), streams.predictions[0](z)

    with torch.no_grad():
        found = float(streams.losses([first, second], 0)["neighbour/joint"])
    (z1, p1), (z2, p2) = rows(first), rows(second)
    z1, p1, z2, p2 = (rows.detach() for rows in (z1, p1, z2, p2))
    total = 0.0
    for z, p in ((z1, p2), (z2, p1)):
        guess = p / p.norm(dim=1, keepdim=True)
        for i in range(3):
            near = max(ring, key=lambda k, i=i, z=z: float(k @ z[i]))
            scores = np.exp([float(near @ guess[j]) / 0.5 for j in range(3)])
            total -= np.log(scores[i] / scores.sum()) / 3
    assert found == pytest.approx(total / 2, rel=1e-9)
    torch.testing.assert_close(streams.queue.recent(3)["joint"].double(), z1, rtol=1e-5, atol=1e-6)
    assert not nearest_key(z1.requires_grad_(), ring).requires_grad


def test_tuning_needs_negatives(small_archive: MotionArchive, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size is 1; negatives are the other clips of a batch"):
        pretrain("stars/small", small_archive, tmp_path / "run", **TINY | {"batch_size": 1})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", ["latent", "latent-cmd", "latent-halp", "stars"])
def test_trains_resumes_and_starts(small_archive: MotionArchive, tmp_path: Path, recipe: str) -> None:
    more: dict[str, Any] = {} if recipe == "latent" else {"dim": 8, "head_width": 8, "queue_size": 16}
    more |= {"prototypes": 4, "halp_start": 0} if recipe == "latent-halp" else {}
    run = pretrain(f"{recipe}/small", small_archive, tmp_path / "run", **TINY, **more)
    terms = set(run.metrics()[-1]["terms"])
    assert {"latent": "prediction/bone", "stars": "neighbour/bone"}.get(recipe, "prediction/bone") in terms
    assert ("distillation" in terms) == ("cmd" in recipe or "halp" in recipe)
    weights = (run.path / "model.safetensors").read_bytes()
    (run.path / "model.safetensors").unlink()
    run.checkpoints[-1].unlink()
    resume(run.path, progress=False)
    assert (run.path / "model.safetensors").read_bytes() == weights
    if recipe == "latent":
        tuned = pretrain("stars/small", small_archive, tmp_path / "tuned", start=run.path, frozen_blocks=1, **TINY)
        ours, theirs = motet.load(tuned.path).weights(), motet.load(run.path).weights()
        torch.testing.assert_close(ours["joint/lift.weight"], theirs["joint/lift.weight"])
        torch.testing.assert_close(ours["joint/blocks.0.qkv.weight"], theirs["joint/blocks.0.qkv.weight"])


def test_prediction_learns(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = pretrain("latent/small", small_archive, tmp_path / "run", **{**TINY, "epochs": 12}, streams=("joint",))
    losses = [line["loss"] for line in run.metrics()]
    assert losses[-1] < 0.9 * losses[0]
    assert run.metrics()[-1]["spread"]["joint"] > 0.01  # and not by features that are all the same


def test_it_needs_the_transformer(small_archive: MotionArchive, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose --encoder transformer"):
        pretrain("latent/small", small_archive, tmp_path / "a", encoder="tcn", progress=False)
    with pytest.raises(ConfigError, match="lower --frozen-blocks"):
        pretrain("stars/small", small_archive, tmp_path / "b", frozen_blocks=9, **TINY)
