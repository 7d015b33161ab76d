"""The masked autoencoder against float64 loops, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from motet import load, pretrain
from motet.data.archive import MotionArchive
from motet.methods.base import Layout
from motet.methods.mae import MaskedAutoencoder, MaskedStreams, masked_reconstruction, standardised
from tests.conftest import stick


def model(**options: object) -> MaskedStreams:
    torch.manual_seed(0)
    layouts = {"": Layout(stick(), 2, 3, {"name": "gru", "hidden": 4, "layers": 1})}
    return MaskedStreams(MaskedAutoencoder(decoder_width=8, **options), ("joint",), layouts).double()  # type: ignore[arg-type]


def clips(seed: int = 0) -> torch.Tensor:
    x = torch.randn(3, 10, 2, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x[1, :, 1] = 0  # one clip has one person
    x[2, 4:6, 0, 3] = 0  # a joint is lost for a while
    return x


def test_targets_written_out() -> None:
    x = clips()
    seen = (x != 0).any(-1, keepdim=True)
    found = standardised(x, seen)
    for b in range(3):
        there = seen[b, ..., 0].numpy()
        moved = np.zeros(x[b].shape)
        moved[there] = x[b].numpy()[there] - x[b].numpy()[there].mean(0)
        power = np.sqrt((moved[there] ** 2).mean())
        np.testing.assert_allclose(found[b].numpy(), moved / (power + 1e-6), rtol=1e-10, atol=1e-12)
    assert (standardised(torch.zeros(1, 4, 1, 2, 3), torch.zeros(1, 4, 1, 2, 1, dtype=torch.bool)) == 0).all()


def test_loss_written_out() -> None:
    predicted, target = clips(1).requires_grad_(), clips(2)
    counted = torch.rand(3, 10, 2, 8, 1, generator=torch.Generator().manual_seed(3)) < 0.5
    found = masked_reconstruction(predicted, target, counted)
    error = ((predicted.detach() - target) ** 2).numpy()
    wanted = error[counted.expand_as(target).numpy()].mean()
    assert found.item() == pytest.approx(wanted, rel=1e-12)
    found.backward()
    assert predicted.grad is not None
    assert (predicted.grad[~counted.expand_as(target)] == 0).all()
    assert masked_reconstruction(predicted, target, torch.zeros_like(counted)).item() == 0


def test_what_is_hidden_reaches_no_encoder_and_alone_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    network = model()
    x = clips()
    hidden = network.hide(x)
    monkeypatch.setattr(network, "hide", lambda _: hidden)
    loss = network.losses([x], 0)["reconstruction/joint"]
    feature = network.encoders[0](x * ~hidden)
    seen = (x != 0).any(-1, keepdim=True)
    wanted = masked_reconstruction(network.decoders[0](feature, 10), standardised(x, seen), hidden & seen)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert all(p.grad is not None for p in network.encoders.parameters())


def test_masks_are_spans_of_the_wanted_share() -> None:
    network = model(hidden_share=0.6, span=3)
    torch.manual_seed(1)
    hidden = network.hide(torch.zeros(400, 10, 2, 8, 3))
    assert hidden.shape == (400, 10, 1, 8, 1)
    assert hidden.float().mean().item() == pytest.approx(0.6, abs=0.01)
    for start in (0, 3, 6):
        assert (hidden[:, start : start + 1] == hidden[:, start : start + 3]).all()
    assert (hidden[:, 2] != hidden[:, 3]).any()


def test_it_learns_and_is_evaluated(small_archive: MotionArchive, tmp_path: Path) -> None:
    sizes = {"epochs": 6, "hidden": 24, "lr": 0.01, "frames": 16, "optimiser": "adam", "batch_size": 8}
    run = pretrain("mae", small_archive, tmp_path / "run", **sizes, progress=False, streams=("joint",))
    lines = run.metrics()
    assert lines[-1]["terms"]["reconstruction/joint"] < 0.3  # the middle of every clip gives 1
    assert lines[-1]["terms"]["reconstruction/joint"] < 0.7 * lines[0]["terms"]["reconstruction/joint"]
    assert load(run.path).transform(small_archive).shape == (48, 320)  # the decoder is not kept
