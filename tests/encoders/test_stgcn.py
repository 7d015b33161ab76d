from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.skeletons import Skeleton
from motet.encoders import STGCN, graph_center, spatial_partitions

SENSORS = Skeleton("pair", ("wrist", "hip"), (-1, -1), kind="sensor", up=None)
CHAIN = Skeleton("chain", ("a", "b", "c", "d", "e"), (-1, 0, 1, 2, 3))


def _reference(model: STGCN, x: Tensor) -> Tensor:
    """The published order of operations on (N·P, C, T, V), joint by joint sums, no layout tricks."""
    batch, time, persons, nodes, channels = x.shape
    x = x.permute(0, 2, 3, 4, 1).reshape(batch * persons, nodes * channels, time)
    x = model.norm(x).view(batch * persons, nodes, channels, time).permute(0, 2, 3, 1)
    for block in model.blocks:
        edges = model.adjacency * block.edge_importance
        lifted = block.spatial(x.contiguous()).view(len(x), 3, -1, x.shape[2], nodes)
        mixed = torch.einsum("nkctv,kvw->nctw", lifted, edges).contiguous()
        out = block.dropout(block.temporal_norm(block.temporal(functional.relu(block.spatial_norm(mixed)))))
        x = functional.relu(out + block.shortcut(x) if block.residual else out)
    return x.mean(dim=(2, 3)).view(batch, persons, -1).mean(dim=1)


def test_published_graph_and_size() -> None:
    kinect = layouts.get("kinect-v2")
    assert graph_center(kinect) == 20
    sums = spatial_partitions(kinect).sum((1, 2))
    torch.testing.assert_close(sums, torch.tensor([8.95, 13.30, 2.75]))
    model = STGCN(kinect)
    assert sum(p.numel() for p in model.parameters()) == 821_380
    counts = [sum(p.numel() for p in block.parameters()) for block in model.blocks]
    assert counts == [4451, 5075, 5075, 5075, 13491, 14419, 14419, 47635, 51539, 660051]


@pytest.mark.parametrize(("layout", "count"), [("shared-15", 809_320), ("openpose-18", 812_308)])
def test_published_sizes_of_other_layouts(layout: str, count: int) -> None:
    assert sum(p.numel() for p in STGCN(layouts.get(layout)).parameters()) == count


def test_partitions_of_a_chain() -> None:
    assert graph_center(CHAIN) == 2
    loops, close, far = spatial_partitions(CHAIN)
    torch.testing.assert_close((loops + close + far).sum(0), torch.ones(5))
    assert far.nonzero().tolist() == [[1, 0], [2, 1], [2, 3], [3, 4]]
    # joints two hops from the centre count as infinitely far, joints one hop away as near
    assert close.nonzero().tolist() == [[0, 1], [1, 2], [3, 2], [4, 3]]
    assert spatial_partitions(CHAIN, center=0)[2].nonzero().tolist() == [[0, 1], [1, 2]]


def test_nodes_without_bones() -> None:
    loops, close, far = spatial_partitions(SENSORS)
    assert torch.equal(loops, torch.eye(2))
    assert not close.any()
    assert not far.any()
    model = STGCN(SENSORS, in_channels=6)
    assert model(torch.randn(2, 9, 1, 2, 6)).shape == (2, 256)


@pytest.mark.parametrize("training", [True, False])
def test_equal_to_the_published_order(training: bool) -> None:
    torch.manual_seed(0)
    model = STGCN(CHAIN, 2, width=4, feature_size=12, dropout=0.0).double().train(training)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(3, 11, 2, 5, 2, dtype=torch.float64)
    weights = torch.randn(3, 12, dtype=torch.float64)

    def gradients(feature: Tensor) -> list[Tensor]:
        model.zero_grad()
        (feature * weights).sum().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    found, expected = model(x), _reference(model, x)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)


def test_map_averages_to_the_feature() -> None:
    torch.manual_seed(1)
    model = STGCN(CHAIN, 3, width=4, feature_size=16).eval()
    x = torch.randn(2, 50, 2, 5, 3)
    features = model.forward_map(x)
    assert features.shape == (2, 2, 16, 13)
    torch.testing.assert_close(features.mean(dim=(1, 3)), model(x))


@pytest.mark.parametrize("training", [True, False])
def test_order_of_persons_does_not_matter(training: bool) -> None:
    torch.manual_seed(2)
    model = STGCN(CHAIN, 3, width=4, feature_size=16, dropout=0.0).train(training)
    x = torch.randn(3, 12, 2, 5, 3)
    torch.testing.assert_close(model(x.flip(2)), model(x), rtol=1e-4, atol=1e-5)


def test_absent_person_counts_and_any_number_fits() -> None:
    torch.manual_seed(3)
    model = STGCN(CHAIN, 3, width=4, feature_size=16).eval()
    x = torch.randn(2, 12, 1, 5, 3)
    with_absent = torch.cat((x, torch.zeros_like(x)), dim=2)
    half = (model(x) + model(torch.zeros_like(x))) / 2
    torch.testing.assert_close(model(with_absent), half)


def test_bfloat16_stays_close() -> None:
    torch.manual_seed(4)
    model = STGCN(CHAIN, 3, dropout=0.0)
    x = torch.randn(4, 16, 1, 5, 3)
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(x)
    assert torch.cosine_similarity(low.float(), exact).min() > 0.999


def test_errors_name_the_option() -> None:
    with pytest.raises(ConfigError, match="temporal_kernel must be odd"):
        STGCN(CHAIN, temporal_kernel=8)
    with pytest.raises(ConfigError, match="dropout"):
        STGCN(CHAIN, dropout=1.0)
    with pytest.raises(ConfigError, match="width"):
        STGCN(CHAIN, width=0)
    with pytest.raises(ConfigError, match=r"graph centre 5 is no joint of 'chain'; its indices are 0\.\.4"):
        STGCN(CHAIN, center=5)
    with pytest.raises(ConfigError, match=r"last two \(5, 3\), not"):
        STGCN(CHAIN)(torch.zeros(1, 8, 1, 4, 3))


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("batch", [1, 6])
def test_narrow_networks_are_exact_in_float32(width: int, batch: int) -> None:
    """Their strided 1x1 shortcuts of few channels are where torch's own convolution writes outside its memory."""
    torch.manual_seed(width)
    model = STGCN(layouts.get("kinect-v2"), width=width, feature_size=16, dropout=0.0)
    x = torch.randn(batch, 25, 2, 25, 3)
    expected = _reference(model.double(), x.double())
    model.float().zero_grad()
    found = model(x)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)
    found.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
