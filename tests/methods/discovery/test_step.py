"""One step against the published values, and where its gradients go."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.encoders import STGCN, build_encoder
from motet.methods.discovery.methods.autonovel import ranked
from motet.methods.discovery.methods.mmt import exchanged
from motet.methods.discovery.methods.ocm import Transported
from motet.methods.discovery.methods.uno import Heads, balanced_in_batch
from motet.methods.discovery.networks import Branch, Decoder, contrast, pooled
from motet.methods.discovery.settings import Settings, settings_from_dict
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.views import mask_parts, masked_parts
from tests.methods.discovery.published import published_case

# unweighted, from the released code's forward pass
PUBLISHED = {
    "source": 12.164866,
    "decoder": 57.026066 + 56.530544,
    "contrast": 1.227822,
    "labels/B0": 0.284766,
    "labels/B1": 0.595442,
}
WEIGHTS = {"source": 1, "decoder": 20, "contrast": 1, "labels/B0": 5, "labels/B1": 5, "pairs/B0": 10, "pairs/B1": 10}


def test_the_published_case_end_to_end() -> None:
    discovery, batch = published_case()
    before = discovery.pair[1].bank.clone()
    losses = discovery(batch, fine=True)
    found = {name: value.item() / WEIGHTS[name] for name, value in losses.items()}
    for name, value in PUBLISHED.items():
        assert found[name] == pytest.approx(value, rel=2e-5), name
    assert found["pairs/B0"] + found["pairs/B1"] == pytest.approx(3.660641, rel=1e-5)
    total = 12.164866 + 20 * 113.556610 + 1.227822 + 5 * 0.880208 + 10 * 3.660641
    assert sum(x.item() for x in losses.values()) == pytest.approx(total, rel=1e-5)
    bank = discovery.pair[1].bank
    torch.testing.assert_close(bank[3, :3], torch.tensor([0.193866, 0.070167, 0.076027]), atol=2e-6, rtol=0)
    assert torch.equal(bank[1], before[1])


def test_pseudo_labels_of_the_published_case() -> None:
    discovery, batch = published_case()
    discovery(batch, fine=False)
    first, second = (discovery.labelling.plan(b) for b in (0, 1))
    assert first.labels(batch.places).tolist() == [3, 2, 3, 3, 2, 2]
    assert second.labels(batch.places).tolist() == [3, 3, 2, 2, 2, 3]
    expected = torch.tensor([0.000008, 0.024135, 0.000581, 0.975276])
    torch.testing.assert_close(first.rows(batch.places)[0], expected, atol=1e-3, rtol=0)
    expected = torch.tensor([0.029916, 0.000031, 0.000381, 0.969673])
    torch.testing.assert_close(second.rows(batch.places)[0], expected, atol=1e-3, rtol=0)


def test_contrast_against_published_values() -> None:
    q, k, bank = (
        normalize(x, dim=1)
        for x in (
            torch.cos(torch.arange(12.0)).view(3, 4),
            torch.sin(torch.arange(12.0) + 0.3).view(3, 4),
            torch.cos(0.5 * torch.arange(20.0) + 1).view(5, 4),
        )
    )
    ids = torch.tensor([4, 0, 2])
    assert contrast(q, k, bank, ids, 0.07).item() == pytest.approx(7.738926, abs=1e-4)
    assert contrast(q, k, bank, ids, 7.0).item() == pytest.approx(1.595230, abs=1e-5)
    moved = bank.clone()
    moved[4] = -moved[4]
    assert torch.equal(contrast(q[:1], k[:1], bank, ids[:1], 0.07), contrast(q[:1], k[:1], moved, ids[:1], 0.07))


def test_contrast_in_parts_is_the_same() -> None:
    generator = torch.Generator().manual_seed(5)
    q, k, bank = (normalize(torch.randn(n, 6, generator=generator), dim=1) for n in (4, 4, 23))
    places, found = torch.tensor([22, 3, 0, 11]), []
    for chunk in (100, 23, 5):
        query = q.clone().requires_grad_()
        loss = contrast(query, k, bank, places, 0.1, chunk=chunk)
        loss.backward()
        assert query.grad is not None
        found.append((loss.detach(), query.grad))
    for loss, gradient in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        torch.testing.assert_close(gradient, found[0][1])


def test_decoder_target_is_pooled_along_time() -> None:
    ramp = torch.arange(50.0).view(1, 50, 1, 1, 1)
    expected = [1.5, 5, 9, 13, 17, 21, 24.5, 28, 32, 36, 40, 44, 47.5]
    assert pooled(ramp, 13).flatten().tolist() == expected
    x = torch.cos(0.01 * torch.arange(2 * 3 * 50 * 15 * 2)).view(2, 3, 50, 15, 2).permute(0, 2, 4, 3, 1)
    made = torch.sin(0.02 * torch.arange(4 * 13 * 45)).view(2, 2, 13, 45).transpose(1, 2)
    assert torch.nn.functional.mse_loss(made, pooled(x, 13)).item() == pytest.approx(0.935365, abs=1e-5)


def test_masked_parts() -> None:
    skeleton = layouts.get("shared-15")
    x = torch.ones(64, 10, 2, 15, 3)
    keyed = CounterRNG(0, 0, torch.arange(64), 0)
    assert mask_parts(x, keyed, 0.0, skeleton) is x
    assert not mask_parts(x, keyed, 1.0, skeleton).any()
    made = mask_parts(x, keyed, 0.3, skeleton)
    assert x.all()  # the caller's clips stay
    assert made.mean().item() == pytest.approx(0.7, abs=0.02)
    for part in masked_parts(skeleton):
        together = made[:, :, :, list(part)].flatten(3)
        assert torch.equal(together.amin(3), together.amax(3))
    assert 0.1 < (made[:, 0] != made[:, 1]).float().mean() < 0.9


def _gradients(discovery: Discovery) -> dict[str, bool]:
    return {n: p.grad is not None and bool(p.grad.any()) for n, p in discovery.named_parameters()}


def test_gradients_reach_students_only() -> None:
    discovery, batch = published_case()
    sum(discovery(batch, fine=True).values(), torch.zeros(())).backward()
    for name, moved in _gradients(discovery).items():
        # the bias in front of a batch norm in eval mode still moves; nothing of a teacher ever does
        assert not moved or ".teacher." not in name
    for name in ("branches.0.student.clusters.weight", "branches.1.student.projection.weight"):
        assert _gradients(discovery)[name]


@pytest.mark.parametrize(("weight", "reached"), [(0.0, False), (10.0, True)])
def test_the_source_reaches_the_targets_branch_through_pairs_only(weight: float, reached: bool) -> None:
    discovery, batch = published_case()
    discovery.labelling.options = replace(discovery.labelling.options, weight_pairs=weight)
    shared = list(discovery.pair[0].student.parameters())
    losses = discovery(batch, fine=True)
    own = losses["contrast"] + losses["labels/B1"] + losses["pairs/B1"]
    # labels of B0 are constants, so not even then does a gradient of B1's losses come to B0
    assert all(g is None for g in torch.autograd.grad(own, shared, retain_graph=True, allow_unused=True))
    found = torch.autograd.grad(losses["pairs/B1"], discovery.pair[1].student["clusters"].weight)[0]
    assert bool(found.any()) == reached


def test_teachers_start_as_students_and_follow_them() -> None:
    discovery, batch = published_case()
    for branch in discovery.pair:
        for a, b in zip(branch.teacher.parameters(), branch.student.parameters(), strict=True):
            assert torch.equal(a, b)
            assert not a.requires_grad
    weight = discovery.pair[0].student["clusters"].weight
    old = discovery.pair[0].teacher["clusters"].weight.clone()
    with torch.no_grad():
        weight.add_(1.0)
    discovery(batch, fine=True)
    torch.testing.assert_close(discovery.pair[0].teacher["clusters"].weight, old + 0.001)


@pytest.mark.parametrize("place", [-1, 12])
def test_places_outside_the_bank_are_refused(place: int) -> None:
    branch = Branch(STGCN(layouts.get("shared-15"), width=4, feature_size=16), 12)
    with pytest.raises(ConfigError, match=r"0\.\.11"):
        branch.write(torch.tensor([place]), torch.zeros(1, 16))


@pytest.mark.parametrize("pairs", ["features", "cosine"])
def test_variants_of_the_pair_consistency(pairs: str) -> None:
    discovery, batch = published_case()
    labelled = discovery(batch, fine=True)
    other, batch = published_case()
    other.labelling.options = replace(other.labelling.options, pairs=pairs)
    losses = other(batch, fine=True)
    assert losses["labels/B0"] == labelled["labels/B0"]
    assert losses["pairs/B0"] != labelled["pairs/B0"]
    assert losses["pairs/B0"].isfinite()
    sum(losses.values(), torch.zeros(())).backward()
    # the cosine of features says nothing about the classifier
    weight = other.pair[0].student["clusters"].weight
    alone = torch.autograd.grad(other(batch, fine=True)["pairs/B0"], weight, allow_unused=True)[0]
    assert (alone is None) == (pairs == "cosine")


def test_uno_in_one_softmax() -> None:
    heads = Heads(4, 8, torch.eye(8)[4:7])
    new = torch.eye(8)[:4]
    views = torch.eye(8)[:4].repeat(2, 1)
    with torch.no_grad():
        first = heads.swapped(new, views, views)
        heads.further = torch.nn.ParameterList()  # the target classifier alone
        equal, other = heads.swapped(new, views, views), heads.swapped(new, views, views.roll(1, 0))
    assert equal.item() == pytest.approx(0.0, abs=1e-3)
    assert first.item() > equal.item()
    assert other.item() > 5
    # a view that looks like a known class is not what the other view says
    assert heads.swapped(new, views, torch.eye(8)[4:8].repeat(2, 1)).item() > 2
    assert heads.known_loss(new, torch.eye(8)[4:7], torch.arange(3)).item() == pytest.approx(0.0, abs=1e-3)
    with torch.no_grad():
        scaled = 3 * new
    heads.normalise(scaled)
    torch.testing.assert_close(scaled, new)


def test_a_batch_is_balanced_softly() -> None:
    found = balanced_in_batch(torch.tensor([[9.0, 0.0], [8.0, 0.0], [7.0, 0.0], [6.0, 0.0]]))
    torch.testing.assert_close(found.sum(0), torch.tensor([2.0, 2.0]), atol=0.5, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(4))


def test_ranked_pairs() -> None:
    features = torch.eye(4).repeat(2, 1) + 0.1
    sure = 50 * torch.eye(4).repeat(2, 1)
    assert ranked(sure, sure, features, 1, 1.0).item() == pytest.approx(0.0, abs=1e-4)
    late, early = (ranked(sure, sure.roll(1, 0), features, 1, t).item() for t in (1.0, 0.0))
    assert late > early > 1
    assert ranked(sure, sure.roll(1, 0), features, 1, 0.5).item() == pytest.approx(late)  # the ramp has ended


def test_exchanged_labels_and_triplets() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[0.0, 0.0], [0.1, 0.0], [20.0, 0.0], [20.1, 0.0]], requires_grad=True)
    sure = 50 * torch.nn.functional.one_hot(labels).float()
    soft = torch.softmax(sure, dim=1)
    loss = exchanged(sure, apart, labels, soft, apart.detach())
    assert loss.item() == pytest.approx(0.0, abs=1e-4)
    loss.backward()
    assert apart.grad is not None
    assert apart.grad.isfinite().all()
    mixed = exchanged(sure, apart.detach()[[0, 2, 1, 3]], labels, soft, apart.detach())
    assert mixed.item() > 5
    # one label only: there are no triplets, and the rest stays
    assert exchanged(sure, apart, torch.zeros(4, dtype=torch.int64), soft, apart).isfinite()
    assert exchanged(sure, apart, labels, soft.flip(1), apart).item() > loss.item() + 10


def _gru_decoder() -> tuple[Decoder, Tensor, Tensor]:
    encoder = build_encoder("gru", skeleton=layouts.get("shared-15"), persons=2, channels=3, hidden=8, layers=1)
    clips = torch.randn(4, 20, 2, 15, 3)
    return Decoder(16, 15, 3, 2, dropout=0.0, steps=5), encoder(clips), clips


def test_decoder_of_an_encoder_without_a_map() -> None:
    torch.manual_seed(0)
    decoder, features, clips = _gru_decoder()
    with torch.no_grad():
        decoder.layers[3].weight.zero_()
    expected = pooled(clips, 5).square().mean()
    torch.testing.assert_close(decoder.loss(features, clips), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "magic"},
        {"pairs": "all"},
        {"epochs": "ten"},
        {"epochs": 1.5},
        {"epochs": -1},
        {"ema": 1.5},
        {"lr": float("inf")},
        {"clusters": 1},
        {"balance": 0.0},
        {"shares": (1.0, 2.0)},
        {"clusters": 2, "shares": (1.0, -2.0)},
        {"balance": 0.5, "rounding": "balanced"},
        {"preprocess": "spin"},
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=list(options)[-1]):
        Settings().with_options(options)


def test_settings_survive_json() -> None:
    settings = Settings(clusters=2).with_options({"shares": (1.0, 3.0)})
    stored = json.loads(json.dumps(settings.to_dict()))
    assert settings_from_dict(stored) == settings


def test_clusters_and_their_shares_are_given_together() -> None:
    for given in ({"clusters": 3, "shares": (30, 30, 8)}, {"shares": (30, 30, 8), "clusters": 3}):
        assert Settings().with_options(given).flat().items() >= {"clusters": 3, "shares": (30.0, 30.0, 8.0)}.items()


def test_unknown_options_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean finetune_epochs"):
        Settings().with_options({"finetune_epoch": 3})


@pytest.mark.parametrize("kept", [True, False])
def test_running_statistics_of_the_target_alone(kept: bool) -> None:
    discovery, batch = published_case()
    discovery.settings = replace(discovery.settings, target_statistics=kept)
    discovery.train()
    norm = discovery.pair[0].student["encoder"].norm  # type: ignore[union-attr]
    with torch.no_grad():
        discovery(batch, fine=False)
    moved = norm.running_mean.clone()
    discovery, batch = published_case()
    batch = replace(batch, source=batch.source + 5, source_seen=batch.source_seen + 5)
    discovery.settings = replace(discovery.settings, target_statistics=kept)
    discovery.train()
    with torch.no_grad():
        discovery(batch, fine=False)
    norm = discovery.pair[0].student["encoder"].norm  # type: ignore[union-attr]
    assert torch.equal(norm.running_mean, moved) == kept
    assert norm.momentum == 0.1


@pytest.mark.parametrize(("warm", "starts"), [(5, [None, True, True]), (0, [None, None, None])])
def test_transport_goes_on_or_begins_anew(
    monkeypatch: pytest.MonkeyPatch, warm: int, starts: list[bool | None]
) -> None:
    from motet.losses import balanced_assignment
    from motet.methods.discovery.methods import ocm

    told: list[tuple[bool | None, int]] = []

    def noted(logits: Tensor, **options: Any) -> Any:
        told.append((None if options["warm_start"] is None else True, options["max_iterations"]))
        return balanced_assignment(logits, **options)

    monkeypatch.setattr(ocm, "balanced_assignment", noted)
    discovery, _ = published_case()
    discovery.labelling.options = replace(discovery.labelling.options, sinkhorn_warm=warm)
    for _ in range(3):
        discovery.labelling.plan(0)
    assert told == [(start, warm if start else 100) for start in starts]


def test_no_transport_in_pretraining(monkeypatch: pytest.MonkeyPatch) -> None:
    discovery, batch = published_case()
    monkeypatch.setattr(Transported, "plan", lambda *_: pytest.fail("solved for nothing"))
    assert set(discovery(batch, fine=False)) == {"source", "decoder", "contrast"}


def test_bfloat16_stays_in_the_encoders() -> None:
    found = []
    for precision in ("32", "bf16"):
        discovery, batch = published_case()
        discovery.settings = replace(discovery.settings, precision=precision)  # type: ignore[arg-type]
        losses = discovery(batch, fine=True)
        assert all(x.dtype == torch.float32 for x in losses.values())
        assert discovery.pair[0].bank.dtype == torch.float32
        sum(losses.values(), torch.zeros(())).backward()
        found.append((losses, discovery.pair[1].student["projection"].weight.grad))
    for name, value in found[0][0].items():
        assert found[1][0][name].item() == pytest.approx(value.item(), rel=0.05), name
        assert found[1][0][name].item() != value.item(), name
    assert torch.cosine_similarity(found[0][1].flatten(), found[1][1].flatten(), dim=0) > 0.98


def test_cosines_of_features_with_signs_are_brought_to_zero_and_one() -> None:
    discovery, _ = published_case()
    x = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])
    assert discovery.labelling.same_class(0, x.abs()).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    layout = layouts.get("shared-15")
    encoder = build_encoder("gru", skeleton=layout, persons=1, channels=3, hidden=4, layers=1)
    pair = Branch(encoder, 4, source_classes=2), Branch(encoder, 4, projection=2)
    other = Discovery(Settings(encoder="gru"), *pair)
    assert other.labelling.same_class(0, x).tolist() == [[1, 0, 0.5], [0, 1, 0.5], [0.5, 0.5, 1]]
