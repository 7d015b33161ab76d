"""AimCLR on the contrastive host: three clips, three queries, two stages; HaLP on it."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from motet.core.errors import ConfigError, Interrupted
from motet.core.rng import CounterRNG
from motet.data.archive import MotionArchive
from motet.data.extreme import Extreme, augment_extremely, padded_crop
from motet.data.layouts import get as layout
from motet.data.splits import split
from motet.encoders.attention import energy_drop
from motet.engine.checkpoint import load_checkpoint
from motet.engine.run import Run
from motet.losses import distributional_divergence, info_nce, neighbour_mining
from motet.methods import recipes
from motet.methods.aimclr import AimCLR, AimCLRStreams, HaLPAimCLR
from motet.methods.contrastive import ContrastiveStreams
from motet.methods.learner import Pretraining
from motet.methods.pretrain import resume
from tests.conftest import stick
from tests.methods.test_contrastive import clips
from tests.methods.test_pretrain import assert_same, stop_at, tiny

SMALL: dict[str, Any] = {"dim": 5, "queue_size": 12, "key_momentum": 0.9}


def host(options: AimCLR, streams: tuple[str, ...] = ("joint",), encoder: str = "stgcn") -> ContrastiveStreams:
    torch.manual_seed(0)
    built: dict[str, Any] = {"name": "stgcn", "width": 3, "feature_size": 7, "dropout": 0.0}
    if encoder == "gru":
        built = {"name": "gru", "hidden": 4, "layers": 1, "mode": "causal"}
    made = options.network(streams, skeleton=stick(), persons=1, channels=3, encoder=built, epochs=4)
    return made.double()


def test_every_clip_view_and_epoch_has_draws_of_its_own(small_archive: MotionArchive) -> None:
    options = {"frames": 12, "crop_minimum": 1.0, "batch_size": 8, "queue_size": 16, "preprocess": "center", "seed": 4}
    recipe = recipes.get("aimclr/small").with_options(options)
    learner = Pretraining(recipe, small_archive, split(small_archive, "odd-even"), torch.device("cpu"))
    ids = learner.store.ids[:8]
    for epoch in (0, 2):
        batch = learner.batch_of(ids, epoch)
        shifted = [padded_crop(x, CounterRNG(4, epoch, ids, number), 1 / 6) for number, x in enumerate(batch.views)]
        extremes = recipe.method.extremes  # type: ignore[attr-defined]
        shifted[2] = augment_extremely(shifted[2], CounterRNG(4, epoch, ids, 2), extremes, learner.store.skeleton)
        for found, expected in zip(batch.clips, shifted, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_one_step_equals_the_algorithm_written_out() -> None:
    model = host(AimCLR(**SMALL))
    twin = copy.deepcopy(model)
    first, second, third = (clips(i) for i in (1, 2, 3))
    losses = {e: copy.deepcopy(model)(first, second, e, third) for e in (1, 2)}
    encoder, head = twin.encoders[0], twin.heads[0]
    q = normalize(head(encoder(first)), dim=1)
    nodes = encoder.forward_nodes(third)  # type: ignore[operator]
    q_e = normalize(head(nodes.mean((1, 2))), dim=1)
    q_ed = normalize(head(energy_drop(nodes, 0.7).mean((1, 2))), dim=1)
    assert not torch.equal(q_e, q_ed)
    twin.update_key_encoders(0)
    k = normalize(twin.key_heads[0](twin.key_encoders[0](second)), dim=1).detach()
    queue = twin.queue.ring("joint")
    divergence = sum(distributional_divergence(x, q, k, queue) for x in (q_e, q_ed)) / 2
    assert set(losses[1]) == {"contrast/joint", "divergence/joint"}
    assert set(losses[2]) == {"mining/joint", "divergence/joint"}
    torch.testing.assert_close(losses[1]["contrast/joint"], info_nce(q, k, queue))
    torch.testing.assert_close(losses[2]["mining/joint"], neighbour_mining(q, (q_e, q_ed), k, queue))
    for e in (1, 2):
        torch.testing.assert_close(losses[e]["divergence/joint"], divergence)


def test_gradient_reaches_every_query_parameter_and_no_key() -> None:
    model = host(AimCLR(**SMALL), ("joint", "bone"))
    torch.stack(list(model(clips(1), clips(2), 0, clips(3)).values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("key_"), name
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all()


def test_key_encoders_start_as_copies_or_as_released_elsewhere() -> None:
    for own in (False, True):
        model = host(AimCLR(**SMALL, own_key_weights=own))
        for key, query in ((model.key_encoders, model.encoders), (model.key_heads, model.heads)):
            pairs = zip(key.parameters(), query.parameters(), strict=True)
            weights = [(a, b) for a, b in pairs if a.abs().sum() > 0 and a.std() > 1e-3]
            assert weights
            assert all(torch.equal(a, b) != own for a, b in weights)
            assert not any(p.requires_grad for p in key.parameters())
        assert {tuple(p.shape) for p in model.heads.parameters()} == {
            tuple(p.shape) for p in model.key_heads.parameters()
        }


def test_size_of_the_published_encoder() -> None:
    options = recipes.get("aimclr/paper").method
    assert isinstance(options, AimCLR)
    skeleton = layout("kinect-v2")
    with torch.device("meta"):
        made = AimCLRStreams(
            options, ("joint",), skeleton=skeleton, persons=2, channels=3, encoder={"name": "stgcn"}, epochs=1
        )
    assert sum(p.numel() for m in (made.encoders, made.heads) for p in m.parameters()) == 920_068


def test_the_third_clip_alone_is_distorted() -> None:
    options = AimCLR(padding=0.25, extremes=Extreme(extreme=("axis-mask",), extreme_chance=1.0))
    x = torch.randn(6, 8, 1, 8, 3)
    keyed = [CounterRNG(0, 0, torch.arange(6), view) for view in range(3)]
    out = options.transform([x, x, x], keyed, stick())
    assert not torch.equal(out[0], out[1])
    for view in (0, 1):
        assert torch.equal(out[view], padded_crop(x, keyed[view], 0.25))
    want = augment_extremely(padded_crop(x, keyed[2], 0.25), keyed[2], options.extremes, stick())
    assert torch.equal(out[2], want)
    assert (out[2] == 0).all((1, 2, 3)).any(1).all()


def test_without_a_feature_map_there_is_nothing_to_drop() -> None:
    with pytest.raises(ConfigError, match="--no-attention-drop"):
        host(AimCLR(**SMALL), encoder="gru")
    model = host(AimCLR(**SMALL, attention_drop=False), encoder="gru")
    assert set(model(clips(1), clips(2), 3, clips(3))) == {"mining/joint", "divergence/joint"}
    assert set(model.embed_further([clips(3)])) == {"extreme"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mined": 13, **SMALL}, "mined is 13"),
        ({"padding": 1.5}, "padding is 1.5"),
        ({"mine_start": -1}, "mine_start is -1"),
        ({"divergence_weight": -1.0}, "divergence_weight is -1"),
        ({"divergence_weight": float("nan")}, "divergence_weight is nan"),
        ({"drop_threshold": float("nan")}, "drop_threshold is nan"),
        ({"drop_threshold": 0.62}, "no attention is below 0.622"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        host(AimCLR(**options))


HALP: dict[str, Any] = {"prototypes": 4, "recent": 8, "positives": 6, "refresh": 2, "halp_start": 0}


def test_halp_adds_its_term_and_leaves_the_rest() -> None:
    plain, both = host(AimCLR(**SMALL)), host(HaLPAimCLR(**SMALL, **HALP))
    for i in range(4):
        one, two = (model(clips(i), clips(i + 9), 2, clips(i + 18)) for model in (plain, both))
        assert set(two) == set(one) | {"hallucination/joint"}
        for name in one:
            assert torch.equal(one[name], two[name])
    assert two["hallucination/joint"].item() != 0
    assert HaLPAimCLR().start(300) == 150
    with pytest.raises(ConfigError, match="HaLP on AimCLR needs one"):
        host(HaLPAimCLR(**SMALL, prototypes_from="keys"))


def test_recipes() -> None:
    paper = recipes.get("aimclr/ntu60-xsub")
    assert isinstance(paper.method, AimCLR)
    assert (paper.batch_size, paper.epochs, paper.optimiser.lr, paper.optimiser.milestones) == (128, 300, 0.1, (250,))
    assert (paper.method.queue_size, paper.method.mining_start(300), paper.frames) == (32768, 150, 50)
    assert (paper.augment.shear, paper.augment.crop_minimum, paper.encoder.encoder) == (0.5, 1.0, "stgcn")
    released = recipes.as_released(paper)
    assert (released.epochs, released.optimiser.milestones) == (300, (250,))
    assert released.method == AimCLR(queue_size=32768, own_key_weights=True, extremes=Extreme(blur_normalised=False))
    both = recipes.as_released(recipes.get("halp-aimclr/paper")).method
    assert isinstance(both, HaLPAimCLR)
    assert (both.own_key_weights, both.refresh, both.candidates) == (True, 10, 20)


OPTIONS: dict[str, Any] = {"streams": ("joint",), "frames": 12, **HALP}


@pytest.fixture(scope="module")
def whole(small_archive: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training that nobody has stopped."""
    return tiny("halp-aimclr", small_archive, tmp_path_factory.mktemp("aimclr") / "whole", **OPTIONS)


def test_resume_is_bit_exact(
    small_archive: MotionArchive, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the second step and at the fifth."""
    begin = partial(tiny, "halp-aimclr", small_archive, tmp_path / "parts", **OPTIONS)
    for call, go in ((2, begin), (3, partial(resume, tmp_path / "parts", progress=False))):
        with monkeypatch.context() as patch:
            stop_at(patch, call)
            with pytest.raises(Interrupted):
                go()
    parts = resume(tmp_path / "parts", progress=False)
    assert_same(load_checkpoint(whole.checkpoints), load_checkpoint(parts.checkpoints))
    assert_same(whole.metrics(), parts.metrics())


def test_a_layout_that_does_not_fit_is_refused_before_anything_is_written(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motet.methods.aimclr.check_extreme", _refuse)
    with pytest.raises(ConfigError, match="flip"):
        tiny("aimclr", small_archive, tmp_path / "run", streams=("joint",))
    assert not (tmp_path / "run").exists()


def _refuse(*_: Any) -> None:
    raise ConfigError("flip needs mirror pairs")


def test_it_learns(small_archive: MotionArchive, tmp_path: Path) -> None:
    """Both stages; on the recurrent encoder, which needs fewer steps than the graph."""
    sizes = {"encoder": "gru", "attention_drop": False, "hidden": 24, "lr": 0.01, "frames": 16, "epochs": 12}
    options = {**sizes, "streams": ("motion",), "mine_start": 8}
    run = tiny("aimclr", small_archive, tmp_path / "run", **options)
    lines = run.metrics()
    assert set(lines[7]["terms"]) == {"contrast/motion", "divergence/motion"}
    assert set(lines[8]["terms"]) == {"mining/motion", "divergence/motion"}
    assert lines[-1]["knn"]["motion"] > 0.6  # four classes
