from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import motet
from motet import cli
from motet.core.errors import ConfigError, RunError
from motet.data.archive import MotionArchive
from motet.engine.options import Encoder
from motet.methods import recipes
from motet.methods.model import Model
from motet.use import export as exporting


def model_of(archive: MotionArchive, name: str = "gru", streams: tuple[str, ...] = ("joint", "motion[arms]")) -> Model:
    encoder = Encoder(encoder=name, hidden=4, layers=1)  # type: ignore[arg-type]
    return Model.fresh(replace(recipes.get("cmd/small-gru"), streams=streams, encoder=encoder), archive)


def fixed(path: Path) -> None:
    """A graph whose axes have the lengths of an example, as torch makes it of a recurrence after another export."""
    import onnx

    tensors = [onnx.helper.make_tensor_value_info(n, 1, [2, 8, 1, 8, 3]) for n in ("clips", "motion_arms")]
    node = onnx.helper.make_node("Identity", ["clips"], ["motion_arms"])
    graph = onnx.helper.make_graph([node], "g", *[[t] for t in tensors])
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())


def test_the_graph_computes_what_the_model_does(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is traced here has fixed axes, so that it is traced again in a process of its own."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(exporting, "_trace", lambda network, example, path: fixed(path))
    model = model_of(small_archive)
    found = motet.export(model, tmp_path / "deep" / "m.onnx")
    assert found["outputs"] == ["joint", "motion_arms"]
    assert [(c["clips"], c["frames"]) for c in found["checks"]] == [(1, 4), (3, 7), (5, 64), (2, 33), (7, 100)]
    session = runtime.InferenceSession(tmp_path / "deep" / "m.onnx")
    clips = torch.randn(3, 41, 1, 8, 3)
    outputs = session.run(None, {"clips": clips.numpy()})
    for output, expected in zip(outputs, model.features(clips), strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5)
    facts = {p.key: p.value for p in onnx.load(tmp_path / "deep" / "m.onnx").metadata_props}
    assert json.loads(facts["streams"]) == ["joint", "motion[arms]"]
    assert facts["frames"] == "32"
    assert json.loads(facts["skeleton"])["joints"][0] == "hip"
    # a graph of other weights is found out and not kept
    graph = (tmp_path / "deep" / "m.onnx").read_bytes()
    monkeypatch.setattr(exporting, "_trace", lambda network, example, path: path.write_bytes(graph))
    with pytest.raises(RunError, match="differs by"):
        motet.export(model.untrained(1), tmp_path / "other" / "m.onnx")
    assert list((tmp_path / "other").iterdir()) == []


def test_the_graph_of_weights_with_statistics_takes_any_number_of_frames(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    weights = motet.load("wrist").only(["joint[acceleration]"])  # every stream more is traced for seconds
    found = motet.export(weights, tmp_path / "wrist.onnx", shapes=((1, 4), (3, 33)), progress=False)
    assert found["outputs"] == ["joint_acceleration"]
    assert len(found["checks"]) == 2


def test_a_graph_of_one_length_alone_is_refused(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    for name in ("_trace", "_trace_apart"):
        monkeypatch.setattr(exporting, name, lambda network, example, path: fixed(path))
    with pytest.raises(RunError, match=r"m\.onnx: torch traces the encoders for one number of clips and frames alone"):
        motet.export(model_of(small_archive), tmp_path / "m.onnx", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_what_export_needs(small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(small_archive)
    (tmp_path / "there.onnx").write_text("mine")
    with pytest.raises(ConfigError, match=r"there\.onnx exists already; choose another --out or pass --overwrite"):
        motet.export(model, tmp_path / "there.onnx")
    assert (tmp_path / "there.onnx").read_text() == "mine"
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        motet.export(model, tmp_path / "m.pt")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[export\]' in the folder of motet"):
        motet.export(model, tmp_path / "m.onnx")
    assert cli.main(["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "m.onnx")]) == 2
