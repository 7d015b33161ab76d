from __future__ import annotations

import pytest
import torch

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders import STGCN, SkeletonGRU, build_encoder

SKELETON = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1))


@pytest.mark.parametrize(("name", "options"), [("gru", {"hidden": 4, "layers": 2}), ("stgcn", {"width": 2})])
@pytest.mark.parametrize("persons", [1, 3])
def test_every_encoder_reads_clips_and_states_its_size(name: str, options: dict[str, int], persons: int) -> None:
    encoder = build_encoder(name, skeleton=SKELETON, persons=persons, channels=2, **options)
    assert encoder(torch.randn(2, 8, persons, 3, 2)).shape == (2, encoder.feature_size)


def test_options_arrive() -> None:
    gru = build_encoder("gru", skeleton=SKELETON, persons=1, channels=3, hidden=5, layers=1, mode="bidirectional")
    assert isinstance(gru, SkeletonGRU)
    assert (gru.gru.hidden, gru.gru.layers, gru.gru.mode) == (5, 1, "bidirectional")
    graph = build_encoder("stgcn", skeleton=SKELETON, persons=1, channels=3, feature_size=8)
    assert isinstance(graph, STGCN)
    assert graph.feature_size == 8


def test_errors_list_what_there_is() -> None:
    with pytest.raises(ConfigError, match="'lstm' is none of gru, stgcn"):
        build_encoder("lstm", skeleton=SKELETON, persons=1, channels=3)
    with pytest.raises(ConfigError, match="no option width; it has hidden, layers, mode"):
        build_encoder("gru", skeleton=SKELETON, persons=1, channels=3, width=4)
