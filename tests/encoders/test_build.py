from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from motet import encoders
from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders import ENCODERS, STGCN, TRAINED, SkeletonGRU, build_encoder
from motet.methods.discovery.networks import make_encoder as discovery_encoder
from motet.methods.discovery.settings import Settings
from motet.methods.distillation.networks import SEQUENCES, Networks
from motet.methods.distillation.replicated import Layout, make_encoder

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
    with pytest.raises(ConfigError, match="'lstm' is none of gru, rocket, stgcn"):
        build_encoder("lstm", skeleton=SKELETON, persons=1, channels=3)
    with pytest.raises(ConfigError, match="no option width; it has hidden, layers, mode"):
        build_encoder("gru", skeleton=SKELETON, persons=1, channels=3, width=4)


def test_a_module_of_the_package_is_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_new_one.py").write_text("class New: pass\nENCODERS = {'new': New}\n")
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(tmp_path)])
    assert [*encoders._kinds()] == [*ENCODERS, "new"]
    sys.modules.pop("motet.encoders.a_new_one")
    assert set(ENCODERS) - set(TRAINED) == {"rocket"}


@pytest.mark.parametrize("name", TRAINED)
def test_discovery_and_distillation_take_every_encoder(name: str) -> None:
    settings = Settings(encoder=name, hidden=8, width=4, feature_size=8, layers=1)
    branch = discovery_encoder(settings, SKELETON, 1, 3)
    assert branch(torch.randn(2, 8, 1, 3, 3)).shape == (2, branch.feature_size)
    kind = "causal-gru" if name == "gru" else name
    assert kind in SEQUENCES
    assert Networks(sequence=kind).sequence == kind
    student = make_encoder(kind, 9, Layout(SKELETON, 1, 3), 8, 1)
    assert student(torch.randn(2, 8, 1, 3, 3)).shape == (2, student.feature_size)
    assert not any(m.p for m in student.modules() if isinstance(m, nn.Dropout))
