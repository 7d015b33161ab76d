"""Published values of the parts that a discovery is made of; those of whole steps are in test_step."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.extreme import padded_crop
from motet.data.loader import ClipStore
from motet.data.preprocess import preprocess
from motet.data.skeletons import Skeleton
from motet.encoders import STGCN, spatial_partitions
from motet.evaluate import cluster_scores
from motet.memory import ema_update
from motet.methods.discovery.networks import Decoder, contrast, make_encoder, pooled
from motet.methods.discovery.settings import SETTINGS, Settings
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.views import mask_parts, masked_parts, whole_clips
from tests.methods.discovery.published import fill

GRAPHS = {
    "kinect-v2": (8.95, 13.3, 2.75),
    "shared-15": (5.616667, 6.633333, 2.75),
    "vibe-25": (9.45, 11.133333, 4.416667),
    "openpose-18": (6.666667, 8.583333, 2.75),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str) -> None:
    encoder = make_encoder(Settings(width=2, feature_size=8), layouts.get(name), 1, 3)
    assert isinstance(encoder, STGCN)
    parts = encoder.adjacency
    assert parts.sum(dim=(1, 2)).tolist() == pytest.approx(GRAPHS[name], abs=1e-5)
    torch.testing.assert_close(parts.sum(dim=(0, 1)), torch.ones(len(layouts.get(name))))


def test_edges_away_from_the_centre() -> None:
    further = spatial_partitions(layouts.get("shared-15"), 1)[2]
    half, third, quarter = [(1, 0)], [(1, 2), (1, 5), (2, 3), (5, 6), (8, 9), (8, 12)], [(1, 8)]
    third_and_quarter = {**dict.fromkeys(half, 1 / 2), **dict.fromkeys(third, 1 / 3), **dict.fromkeys(quarter, 1 / 4)}
    assert {tuple(e) for e in further.nonzero().tolist()} == set(third_and_quarter)
    for edge, value in third_and_quarter.items():
        assert further[edge].item() == pytest.approx(value)


ENCODED = {
    "shared-15": (
        [0.002933, 0.001117, 0.000921, 0.000890, 0.000082, 0.002106],
        0.758066,
        [0.029408, 0.028036],
        297.565338,
    ),
    "kinect-v2": (
        [0.005507, 0.001579, 0.001929, 0.001768, 0.000086, 0.003648],
        1.479344,
        [0.053215, 0.061575],
        1196.843872,
    ),
}


@pytest.mark.parametrize("name", ENCODED)
def test_features_of_the_encoder(name: str) -> None:
    first, total, norms, block = ENCODED[name]
    skeleton = layouts.get(name)
    encoder = make_encoder(SETTINGS["paper"], skeleton, 2, 3).eval()
    assert isinstance(encoder, STGCN)
    fill(encoder, 1.0)
    count = 2 * 3 * 20 * len(skeleton) * 2
    x = torch.cos(0.05 * torch.arange(count, dtype=torch.float64)).view(2, 3, 20, len(skeleton), 2)
    x = x.permute(0, 2, 4, 3, 1).float().contiguous()
    with torch.no_grad():
        feature, found = encoder(x), encoder.forward_map(x)
        alone = encoder.blocks[0](x[:, :, 0], encoder.adjacency)
    assert feature[0, :6].tolist() == pytest.approx(first, abs=1e-6)
    assert feature.sum().item() == pytest.approx(total, abs=1e-5)
    assert feature.norm(dim=1).tolist() == pytest.approx(norms, abs=1e-6)
    assert (feature >= 0).all()
    assert found.shape == (2, 2, 256, 5)
    assert found.sum().item() == pytest.approx(10 * total, abs=1e-4)
    assert alone.sum().item() == pytest.approx(block, rel=1e-5)


def _count(module: nn.Module | None) -> int:
    assert module is not None
    return sum(p.numel() for p in module.parameters())


def test_number_of_parameters() -> None:
    kinect = layouts.get("kinect-v2")
    both = {"persons": (2, 2), "channels": (3, 3), "clips": 1, "source_classes": 60}
    discovery = Discovery.build(SETTINGS["paper"], kinect, kinect, **both)  # type: ignore[arg-type]
    discovery.add_classifiers([torch.zeros(51, 256)] * 2)
    shared, own = discovery.pair
    assert _count(shared.decoder) == 85_067
    assert _count(shared.source_classifier) == 15_420
    assert _count(own.student["projection"]) == 32_896
    assert _count(own.student["clusters"]) == 13_107
    assert _count(discovery) == 3_504_227
    assert sum(p.numel() for p in discovery.parameters() if p.requires_grad) == 1_802_357


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    kinect = layouts.get("kinect-v2")
    both = {"persons": (2, 2), "channels": (3, 3), "clips": 1, "source_classes": 60}
    discovery = Discovery.build(SETTINGS["paper"], kinect, kinect, **both)  # type: ignore[arg-type]
    for module in discovery.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert module.bias is not None
            assert not module.bias.any()
    last = discovery.pair[0].student["encoder"].blocks[-1]  # type: ignore[union-attr, index]
    assert last.temporal_norm.weight.mean().item() == pytest.approx(1.0, abs=0.01)
    assert last.temporal_norm.weight.std().item() == pytest.approx(0.02, rel=0.25)
    assert (last.edge_importance == 1).all()


def test_contrast_of_equal_keys_is_the_logarithm_of_the_bank() -> None:
    count = 18_841
    unit = torch.tensor([[1.0, 0.0]])
    for chunk in (count, 5000):
        loss = contrast(unit, unit, unit.expand(count, 2), torch.tensor([7]), 0.07, chunk=chunk)
        assert loss.item() == pytest.approx(9.843791, abs=1e-5)


def test_a_bank_in_parts_may_be_written_before_the_gradient() -> None:
    generator = torch.Generator().manual_seed(5)
    q, k, bank = (nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1) for n in (4, 4, 23))
    places, gradients = torch.tensor([22, 3, 0, 11]), []
    for written in (False, True):
        query, rows = q.clone().requires_grad_(), bank.clone()
        loss = contrast(query, k, rows, places, 0.1, project=lambda x: nn.functional.normalize(x, dim=1), chunk=6)
        if written:
            rows.zero_()
        loss.backward()
        assert query.grad is not None
        gradients.append(query.grad)
    assert torch.equal(*gradients)


def test_decoding_a_ramp() -> None:
    ramp = torch.arange(50.0).view(1, 50, 1, 1, 1)
    assert pooled(ramp, 13).square().mean().item() == pytest.approx(807.980774, rel=1e-6)
    decoder = Decoder(4, 1, 1, 1, dropout=0.0)
    with torch.no_grad():
        decoder.layers[3].weight.zero_()  # bias is zero: it answers zero
    assert decoder.loss(torch.ones(1, 1, 4, 13), ramp).item() == pytest.approx(807.980774, rel=1e-6)


@pytest.mark.parametrize(
    ("ratio", "padding", "first", "last"),
    [
        (Settings().weak_padding, 8, ([7, 6, 5, 4], [38, 39, 40, 41]), ([8, 9, 10, 11], [45, 44, 43, 42])),
        (Settings().strong_padding, 16, ([15, 14], [33]), ([16], [34])),
    ],
)
def test_shifts_in_time(
    ratio: float, padding: int, first: tuple[list[int], list[int]], last: tuple[list[int], list[int]]
) -> None:
    x = torch.arange(50.0).view(1, 50, 1, 1, 1).repeat(4000, 1, 1, 1, 1)
    made = padded_crop(x, CounterRNG(0, 0, torch.arange(4000), 0), ratio)[:, :, 0, 0, 0]
    windows = torch.unique(made, dim=0)
    mirrored = torch.tensor([*reversed(range(padding)), *range(50), *reversed(range(50 - padding, 50))]).float()
    expected = mirrored.unfold(0, 50, 1)
    assert len(windows) == 2 * padding + 1
    assert {tuple(w) for w in windows.tolist()} == {tuple(w) for w in expected.tolist()}
    for window, (begins, ends) in ((expected[0], first), (expected[2 * padding], last)):
        assert window[: len(begins)].tolist() == begins
        assert window[-len(ends) :].tolist() == ends
    assert torch.equal(expected[padding], torch.arange(50.0))


PARTS = {
    "shared-15": [[2, 3, 4], [5, 6, 7], [0, 1, 8], [9, 10, 11], [12, 13, 14]],
    "kinect-v2": [
        [2, 3, 0, 1, 20],
        [4, 5, 6, 7, 21, 22],
        [8, 9, 10, 11, 23, 24],
        [12, 13, 14, 15],
        [16, 17, 18, 19],
    ],
}


@pytest.mark.parametrize("name", PARTS)
def test_each_branch_is_masked_by_its_own_parts(name: str) -> None:
    skeleton = layouts.get(name)
    assert {frozenset(p) for p in masked_parts(skeleton)} == {frozenset(p) for p in PARTS[name]}
    assert masked_parts(Skeleton("two", ("a", "b"), (-1, 0))) == [(0,), (1,)]
    made = mask_parts(torch.ones(40, 6, 2, len(skeleton), 3), CounterRNG(0, 0, torch.arange(40), 0), 0.5, skeleton)
    assert (made == 0).flatten(0, 2).any(dim=(0, 2)).all()  # no joint is never masked


def _ramp(path: Path) -> MotionArchive:
    with ArchiveWriter(path, skeleton=Skeleton("one", ("a",), (-1,))) as writer:
        writer.add(np.arange(1.0, 8.0)[:, None, None].repeat(3, axis=2), name="ramp")
    return MotionArchive.open(path)


def test_clips_are_resized_with_half_pixel_centres(tmp_path: Path) -> None:
    store = ClipStore(_ramp(tmp_path / "ramp"), preprocess="none")
    made = whole_clips(store, torch.tensor([0]), 50)[0, :, 0, 0, 0].tolist()
    assert made[:6] == pytest.approx([1, 1, 1, 1, 1.13, 1.27], abs=1e-4)
    assert made[-5:] == pytest.approx([6.87, 7, 7, 7, 7], abs=1e-4)


@pytest.mark.parametrize("across", [(1.0, 0.0, -1.0), (1.0, 0.0, 1.0)])
def test_shoulders_are_turned_to_x(across: tuple[float, float, float]) -> None:
    kinect = layouts.get("kinect-v2")
    frames = torch.zeros(1, 1, 1, 25, 3)
    frames[..., kinect.index("right_shoulder"), :] = torch.tensor(across) / 2
    frames[..., kinect.index("left_shoulder"), :] = -torch.tensor(across) / 2
    made = preprocess(frames, torch.tensor([1]), kinect, "crossclr")[0, 0, 0]
    line = made[kinect.index("right_shoulder")] - made[kinect.index("left_shoulder")]
    # the released code divides by a length that is 1e-4 too large
    assert line.tolist() == pytest.approx([math.sqrt(2), 0, 0], abs=2e-4)


def test_teachers_after_a_thousand_steps() -> None:
    teacher, student = nn.Linear(1, 1).double(), nn.Linear(1, 1).double()
    with torch.no_grad():
        for p, q in zip(teacher.parameters(), student.parameters(), strict=True):
            p.zero_()
            q.fill_(1.0)
    for _ in range(1000):
        ema_update(teacher, student, Settings().ema)
    assert teacher.weight.item() == pytest.approx(0.632305, abs=1e-6)


TRUTH = [0] * 6 + [1] * 5 + [2] * 4 + [3] * 3
SCORED = {
    "mixed": ([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 0], (0.611111, 0.611111, 0.527147, 0.266094)),
    "split and merged": ([0] * 3 + [1] * 3 + [2] * 5 + [3] * 7, (0.666667, 0.833333, 0.814363, 0.615071)),
    "singles": (list(range(18)), (0.222222, 1.0, 0.638305, 0.0)),
    "one": ([0] * 18, (0.333333, 0.333333, 0.0, 0.0)),
}


@pytest.mark.parametrize("name", SCORED)
def test_scores(name: str) -> None:
    clusters, expected = SCORED[name]
    scores = cluster_scores(TRUTH, clusters)
    found = [scores[m] for m in ("hungarian_accuracy", "purity", "nmi", "ari")]
    assert found == pytest.approx(expected, abs=1e-6)


def test_hyper_parameters_of_the_paper() -> None:
    paper = SimpleNamespace(**SETTINGS["paper"].flat())
    weights = (
        paper.weight_source,
        paper.weight_decoder,
        paper.weight_contrast,
        paper.weight_labels,
        paper.weight_pairs,
    )
    assert weights == (1, 20, 1, 5, 10)
    assert (paper.optimiser, paper.lr, paper.finetune_lr, paper.momentum, paper.weight_decay) == (
        "sgd",
        0.1,
        0.01,
        0.9,
        1e-4,
    )
    assert (paper.epochs, paper.finetune_epochs, paper.batch_size, paper.frames) == (150, 150, 128, 50)
    assert (paper.ema, paper.power, paper.temperature, paper.rank_features) == (0.999, 10, 0.07, 5)
    assert (paper.sinkhorn_iterations, paper.sinkhorn_tolerance) == (100, 1e-2)
    assert (paper.feature_size, paper.dim, paper.width, paper.dropout) == (256, 128, 16, 0.5)
    assert (paper.mask, paper.mask_always, paper.weak_shear, paper.strong_shear) == (0.3, 0.0, 0.5, 1.0)
