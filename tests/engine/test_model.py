"""Every run is a model: verbs on runs of every kind."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet import cli
from motet.core.errors import ConfigError, MotetError, RunError
from motet.data.archive import MotionArchive
from motet.engine.model import CAN, Model
from motet.engine.run import Run, write_config
from motet.engine.table import Row, read_rows
from motet.methods.distillation.table import FeatureTable
from tests.engine.kinds import Kind, kinds
from tests.forged import forgeries

NAMES = ("pretrain", "discover", "distill", "motion", "raw", "graphs")
pytestmark = pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Kind, Path]]:
    """A finished run of every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    found = {}
    for name, kind in kinds(folder / "data").items():
        assert kind.run(folder / name) == 0
        found[name] = kind, folder / name
    return found


def source_of(kind: Kind) -> Any:
    if kind.kind in ("pretrain", "discover"):
        return MotionArchive.open(kind.data)
    return kind.data


@pytest.mark.parametrize("name", NAMES)
def test_embed_gives_what_transform_gives(made: dict[str, tuple[Kind, Path]], name: str, tmp_path: Path) -> None:
    kind, run = made[name]
    assert cli.main(["embed", str(run), str(kind.data), "--out", str(tmp_path / "f.npz")]) == 0
    with np.load(tmp_path / "f.npz") as file:
        found = dict(file)
    model = motet.load(run)
    assert isinstance(model, Model)
    expected = model.transform(source_of(kind))
    if name == "discover":  # side by side, each row of a branch scaled to length one
        halves = np.split(found["features"], found["columns"][1:-1], axis=1)
        found["features"] = np.concatenate([x / np.linalg.norm(x, axis=1, keepdims=True) for x in halves], axis=1)
    np.testing.assert_allclose(found["features"], expected, rtol=1e-5, atol=1e-6)
    assert len(found["name"]) == len(found["label"]) == len(expected)
    assert found["columns"][-1] == found["features"].shape[1]
    assert (found["label"] >= 0).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.npz"]


@pytest.mark.parametrize("name", NAMES)
def test_packed_weights_are_the_same_model_and_name_no_place(
    made: dict[str, tuple[Kind, Path]], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, run = made[name]
    assert cli.main(["weights", "pack", str(run), "--out", str(tmp_path / "folder")]) == 0
    folder = tmp_path / "folder"
    packed, whole = (motet.load(place).transform(source_of(kind)) for place in (folder, run))
    np.testing.assert_array_equal(packed, whole)
    assert Run.open(folder).kind == kind.kind
    for path in (p for p in folder.rglob("*") if p.suffix in (".json", ".md")):
        assert str(kind.data.parent) not in path.read_text(), path
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: motet\n")
    assert "motet.load" in card
    assert cli.main(["evaluate", str(folder), "--quiet"]) == 2  # it has no recordings until they are named
    assert cli.main(["evaluate", str(folder), "--data", str(kind.data), "--protocols", "ridge", "--quiet"]) == 0
    capsys.readouterr()
    refusing = [("resume",), ("report", "--out", str(tmp_path / "page.html")), ("clusters", "--out", "labels.csv")]
    for verb, *options in refusing[: 3 if name == "discover" else 2]:
        assert cli.main([verb, str(folder), *options]) == 2
        said = "their recordings" if (verb, name) == ("report", "pretrain") else "the history of their training"
        assert f"{folder} holds weights without {said}" in capsys.readouterr().err, verb


@pytest.mark.parametrize("name", NAMES)
def test_every_run_is_evaluated_and_reported(
    made: dict[str, tuple[Kind, Path]], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = made[name]
    assert cli.main(["evaluate", str(run), "--protocols", "knn", "ridge", "--quiet", "--device", "cpu"]) == 0
    found = json.loads((run / "evaluation.json").read_text())
    assert {row["protocol"] for row in found["rows"]} == {"knn", "ridge"}
    assert all(0 <= row.mean <= 1 for row in read_rows(found, "evaluation.json"))
    assert found["split"]["train"] + found["split"]["test"] > 0
    assert cli.main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
    assert "</html>" in (tmp_path / "page.html").read_text()
    capsys.readouterr()


@pytest.mark.parametrize("name", NAMES)
def test_every_model_computes_where_it_was_asked_to(made: dict[str, tuple[Kind, Path]], name: str) -> None:
    kind, run = made[name]
    model = motet.load(run, "meta")  # tensors without numbers: what is computed on them cannot come back
    with pytest.raises(NotImplementedError, match="meta"):
        model.transform(source_of(kind))


@pytest.mark.parametrize("name", NAMES[1:])
def test_results_of_every_kind_are_rows_of_one_schema(made: dict[str, tuple[Kind, Path]], name: str) -> None:
    result = Run.open(made[name][1]).result()
    rows = read_rows(result, "result.json")
    assert rows
    assert [row.to_dict() for row in rows] == [
        {key: value for key, value in row.items() if key in Row.__dataclass_fields__ or key in ("mean", "sd")}
        for row in result["rows"]
    ]
    assert all(0 <= value <= 1 for row in rows for value in row.values)
    assert all(row.details["over"] for row in rows)
    forged = {"rows": [*result["rows"][:-1], result["rows"][-1] | {"values": [0.123]}]}
    with pytest.raises(RunError, match=f"^result.json: row {len(rows) - 1} is damaged .*mean and sd"):
        read_rows(forged, "result.json")
    del forged["rows"][0]["metric"], forged["rows"][0]["stream"]
    with pytest.raises(RunError, match=r"^result.json: row 0 is damaged .*stream"):
        read_rows(forged, "result.json")


def test_rows_of_a_student_test_what_did_not_train_it(made: dict[str, tuple[Kind, Path]]) -> None:
    kind, run = made["distill"]
    student = motet.load(run)
    examples = student.examples(Run.open(run), None, None)
    table = FeatureTable.open(kind.data)
    assert table.fold is not None
    assert (table.fold[examples.test] == 0).all()  # the first student is that of fold 0
    assert (table.fold[examples.train] == 1).all()
    np.testing.assert_array_equal(examples.raw["eye"], table.modalities["eye"].values)
    again = student.examples(Run.open(run), kind.data, "random")
    assert any("trained the student" in note for note in again.notes)


def test_protocols_that_need_clips_are_refused_by_one_line(made: dict[str, tuple[Kind, Path]]) -> None:
    for name in ("discover", "distill", "raw", "graphs"):
        with pytest.raises(
            ConfigError, match=r"finetune trains on or encodes clips.*evaluate .* by cluster, fewlabels, fewshot, knn"
        ):
            motet.evaluate.run(made[name][1], ("finetune",), progress=False)


@pytest.mark.parametrize("name", ["pretrain", "discover", "distill", "motion", "graphs"])
def test_the_exported_network_computes_the_features(made: dict[str, tuple[Kind, Path]], name: str) -> None:
    network = motet.load(made[name][1]).exportable()
    inputs = network.example(3, 8, torch.Generator().manual_seed(0))
    assert len(inputs) == len(network.inputs)
    assert set(network.free) == set(network.inputs)
    with torch.inference_mode():
        outputs = network.module(*inputs)
    assert len(outputs) == len(network.outputs)
    assert all(out.shape[0] == 3 and bool(out.isfinite().all()) for out in outputs)
    if name == "distill":
        expected = motet.load(made[name][1]).features({"eye": inputs[0].numpy()})
        np.testing.assert_allclose(outputs[0].numpy(), expected, atol=1e-6)


def test_exporting_a_graph_encoder(made: dict[str, tuple[Kind, Path]], tmp_path: Path) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    found = motet.export(made["graphs"][1], tmp_path / "g.onnx", shapes=((1, 4), (3, 5)), progress=False)
    assert found["outputs"] == ["features"]
    assert all(check["largest_difference"] < 1e-4 * check["largest_feature"] for check in found["checks"])


def test_what_a_kind_cannot_do_is_one_line_that_names_the_others(
    made: dict[str, tuple[Kind, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(made["raw"][1]), "--out", str(tmp_path / "m.onnx")]) == 2
    line = capsys.readouterr().err
    assert line.startswith(
        "error: `motet export` needs a network of tensors, and a run of `motet distill raw` has none"
    )
    assert line.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    for name in ("distill", "raw", "graphs"):
        with pytest.raises(RunError, match=r"motet.stream needs encoders that run frame by frame"):
            motet.stream(made[name][1])
    assert all(CAN.values())


@pytest.mark.parametrize("name", ["pretrain", "discover"])
def test_streams_of_runs_with_causal_encoders(made: dict[str, tuple[Kind, Path]], name: str) -> None:
    kind, run = made[name]
    stream = motet.stream(run)
    for frame in MotionArchive.open(kind.data).clip(0)[:3]:
        moment = stream.push(frame)
    assert moment.frame == 2
    assert all(bool(x.isfinite().all()) for x in moment.features.values())


@pytest.mark.parametrize("name", NAMES)
def test_resume_of_a_finished_run_shows_it(
    made: dict[str, tuple[Kind, Path]], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = made[name]
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.suffix == ".safetensors"}
    assert cli.main(["resume", str(run), "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text())
    assert {p: p.read_bytes() for p in before} == before
    capsys.readouterr()


@pytest.mark.parametrize("name", NAMES)
def test_a_forged_configuration_is_one_line_for_every_verb(
    made: dict[str, tuple[Kind, Path]], name: str, tmp_path: Path
) -> None:
    kind, run = made[name]
    content = json.loads((run / "config.json").read_text())
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content | {"motet": "9.9"}))
    for call in (
        lambda: motet.load(folder),
        lambda: motet.embed(folder, kind.data, tmp_path / "f.npz"),
        lambda: motet.evaluate.run(folder, progress=False),
        lambda: motet.export(folder, tmp_path / "m.onnx", progress=False),
        lambda: motet.save_weights(folder, tmp_path / "w"),
        lambda: motet.report.write(folder, tmp_path / "p.html"),
        lambda: motet.stream(folder),
    ):
        with pytest.raises(MotetError, match="is not what was written when the run began"):
            call()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("name", ["pretrain", "discover", "distill", "raw", "graphs"])
def test_every_field_forged_with_the_right_digest_is_one_line_or_harmless(
    made: dict[str, tuple[Kind, Path]], name: str, tmp_path: Path
) -> None:
    """Another type, size or shape of every field of config.json, result.json and metrics.jsonl."""
    folder = tmp_path / "run"
    shutil.copytree(made[name][1], folder)
    forged = list(forgeries(folder, ("config.json", "result.json", "metrics.jsonl"), rotate=True))[::4]
    errors = refused = 0
    for file, _, content, write in forged:
        before = (folder / file).read_bytes()
        write(folder / file, content)
        try:
            run = Run.open(folder)
            assert run.recipe is not None
            assert isinstance(run.metrics(), list)
            if file == "config.json":
                motet.load(folder)
            elif file == "result.json":
                run.result()
        except MotetError as error:
            errors, said = errors + 1, str(error)
            refused += "\n" not in said and str(tmp_path) in said
        (folder / file).write_bytes(before)
    assert refused == errors > len(forged) / 6


def test_a_configuration_cannot_fill_memory(made: dict[str, tuple[Kind, Path]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made["pretrain"][1], folder)
    content = json.loads((folder / "config.json").read_text())
    content["recipe"]["encoder"]["hidden"] = 9_000_000  # 10^15 numbers
    write_config(folder, content)
    with pytest.raises(RunError, match=r"the configuration asks for [\d,]+ numbers, the file holds"):
        motet.load(folder)


@pytest.mark.parametrize(
    ("name", "place"),
    [("pretrain", ("recipe", "encoder")), ("discover", ("settings",)), ("graphs", ("options",))],
)
def test_neither_a_forged_nor_an_honest_width_fills_memory_in_training(
    made: dict[str, tuple[Kind, Path]],
    name: str,
    place: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kind, run = made[name]
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for last in ("model.safetensors", "result.json"):
        (folder / last).unlink(missing_ok=True)
    content = json.loads((folder / "config.json").read_text())
    home = content
    for key in place:
        home = home[key]
    home["hidden"] = 2000  # far from the memory of any machine, and farther from a checkpoint of hidden 4
    write_config(folder, content)
    assert cli.main(["resume", str(folder), "--quiet"]) == 2
    assert re.search(
        rf"{folder}/config.json: the options ask for a network of .* holds far fewer", capsys.readouterr().err
    )
    words = [*kind.words, "--out", str(tmp_path / "other")]
    words[words.index("--hidden") + 1] = "10000000"
    assert cli.main(words) == 2
    assert "too large for the memory of this machine" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "file", "verbs"),
    [
        ("distill", "result.json", (("resume",), ("report", "--out", "page.html"))),
        ("discover", "result.json", (("resume",), ("report", "--out", "page.html"))),
        ("discover", "clusters.parquet", (("clusters", "--out", "labels.csv"), ("report", "--out", "page.html"))),
    ],
)
def test_a_result_that_was_cut_off_is_one_line(
    made: dict[str, tuple[Kind, Path]],
    name: str,
    file: str,
    verbs: tuple[tuple[str, ...], ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Path(shutil.copytree(made[name][1], tmp_path / "run"))
    (run / file).write_bytes((run / file).read_bytes()[:-100])
    for verb, *options in verbs:
        assert cli.main([verb, str(run), *options]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: {run / file} is damaged ("), verb
        assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["discover", "distill", "graphs"])
def test_few_labels_take_the_features_of_every_kind(made: dict[str, tuple[Kind, Path]], name: str) -> None:
    found = motet.evaluate.run(made[name][1], ("fewlabels",), fewlabels={"counts": (1,), "repeats": 2}, progress=False)
    assert "fewlabels" in {row["protocol"] for row in found["rows"]}  # next to what was evaluated before
