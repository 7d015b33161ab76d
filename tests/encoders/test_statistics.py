from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from motet.encoders.statistics import PER_SERIES, statistics, with_statistics


@pytest.mark.parametrize("frames", [2, 3, 17, 64, 95])
@pytest.mark.parametrize("inference", [False, True])
def test_each_number_of_a_series(frames: int, inference: bool) -> None:
    """Float64 oracle, from the definitions, of every channel and of the magnitude of every node."""
    x = np.random.default_rng(frames).normal(2, 3, (2, frames, 1, 2, 3))
    with torch.inference_mode(inference):
        found = statistics(torch.from_numpy(x)).reshape(2, 2, 4, PER_SERIES)
    for clip in range(2):
        for node in range(2):
            series = x[clip, :, 0, node]
            for channel, s in enumerate([*series.T, np.sqrt((series**2).sum(axis=1))]):
                sign = np.sign(s - s.mean())
                power = np.abs(np.fft.rfft(s - s.mean())[1:]) ** 2
                edges = np.round((len(power) + 1.0) ** (np.arange(9) / 8) - 1).astype(int)
                expected = [
                    s.mean(),
                    s.std(ddof=1),
                    np.sqrt((np.diff(s) ** 2).mean()),
                    (sign[1:] != sign[:-1]).mean(),
                    *np.quantile(s, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]),
                    *(power[a : max(b, a + 1)].sum() / power.sum() for a, b in pairwise(edges)),
                    np.log(power.sum()),
                ]
                np.testing.assert_allclose(found[clip, node, channel], expected, rtol=1e-9, atol=1e-9)


def test_a_node_that_recorded_nothing_says_nothing() -> None:
    """A still one does say that it is still, in finite numbers."""
    clips = torch.randn(3, 8, 1, 2, 3)
    clips[1, :, :, 0] = 0
    clips[2, :, :, 1] = 1.5
    feature, usual = torch.randn(3, 5), torch.randn(5 + 2 * 4 * PER_SERIES)
    joined = with_statistics(feature, clips, usual)
    own = statistics(clips)
    half = 4 * PER_SERIES
    assert torch.equal(joined[:, :5], feature)
    assert torch.equal(joined[1, 5 : 5 + half], usual[5 : 5 + half])
    assert torch.equal(joined[1, 5 + half :], own[1, half:])
    assert torch.equal(joined[[0, 2], 5:], own[[0, 2]])
    assert bool(own.isfinite().all())
    assert own[2, half] == 1.5
