"""The student in use: whose answers, of which rows, and what its file of features says."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motet
from motet.cli import main
from motet.core.environment import environment
from motet.core.errors import DataError, MotetNote, MotetWarning, RunError
from motet.methods import distillation as distill
from motet.methods.distillation.table import FeatureTable
from tests.methods.distillation.toys import write_table

TINY: dict[str, Any] = {"epochs": 1, "batch_size": 16, "features": 8, "hidden": (), "fuse_hidden": 8}
QUICK: dict[str, Any] = {"progress": False, "diagnose": False}
NAMES = np.array(["ant", "bee", "cat"])


def columns(path: Path, **changes: Any) -> Path:
    """The same table with other columns."""
    with np.load(path) as content:
        found = {name: content[name] for name in content.files} | changes
    out = path.with_name(f"{path.stem}-{'-'.join(changes)}.npz")
    np.savez(out, **{name: value for name, value in found.items() if value is not None})
    return out


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "t.npz", label=NAMES[np.arange(120) % 3])


@pytest.fixture
def run(tmp_path: Path, table: Path) -> Path:
    distill.run(table, "eye", (), tmp_path / "run", method="alone", split="all", **QUICK, **TINY)
    return tmp_path / "run"


def embedded(run: Path, source: Path) -> dict[str, Any]:
    out = source.with_suffix(".features.npz")
    motet.embed(run, source, out, overwrite=True)
    with np.load(out) as content:
        return {name: content[name] for name in content.files}


def test_labels_are_places_in_the_class_names_of_the_student(run: Path, table: Path) -> None:
    """A table with fewer classes counts them otherwise; a class that the student never saw is -1."""
    own = NAMES[np.arange(120) % 3]
    found = embedded(run, table)
    assert found["class_names"][found["label"]].tolist() == own.tolist()
    fewer = np.where(own == "ant", "bee", own)
    found = embedded(run, columns(table, label=fewer))
    assert found["class_names"][found["label"]].tolist() == fewer.tolist()
    other = np.where(own == "ant", "dog", own)
    with pytest.warns(MotetWarning, match=r"does not know the classes dog; .* these 40 rows is -1 \(it knows ant, bee"):
        found = embedded(run, columns(table, label=other))
    assert (found["label"] == np.where(own == "ant", -1, np.arange(120) % 3)).all()


def test_archives_with_another_order_of_classes(tmp_path: Path) -> None:
    from motet.data.archive import ArchiveWriter
    from motet.data.skeletons import Skeleton

    def archive(name: str, order: list[str]) -> Path:
        random = np.random.default_rng(0)
        with ArchiveWriter(tmp_path / name, skeleton=Skeleton("two", ("a", "b"), (-1, 0)), class_names=order) as writer:
            for clip in range(24):
                label = order.index(("push", "wave")[clip % 2])
                writer.add(random.normal(size=(5, 2, 3)), name=f"c{clip:02}", label=label, subject=clip % 4)
        return tmp_path / name

    given: dict[str, Any] = {"motion": distill.Motion(frames=4), "method": "alone", "split": "all"}
    distill.run(archive("a", ["push", "wave"]), "skeleton", (), tmp_path / "run", **given, **QUICK, **TINY)
    first = embedded(tmp_path / "run", tmp_path / "a")
    second = embedded(tmp_path / "run", archive("b", ["wave", "push"]))
    assert first["class_names"].tolist() == ["push", "wave"]
    assert first["label"].tolist() == second["label"].tolist() == [0, 1] * 12
    assert first["trained"].all()


def test_use_needs_no_labels(run: Path, table: Path, tmp_path: Path) -> None:
    bare = columns(table, label=None)
    with pytest.raises(DataError, match=r"no row has a label .*array `label`.* Modalities here: eye, ear"):
        FeatureTable.open(bare)
    found = embedded(run, bare)
    assert (found["label"] == -1).all()
    assert np.array_equal(found["features"], distill.load(run).transform(table))
    assert main(["embed", str(run), str(bare), "--out", str(tmp_path / "f.npz")]) == 0
    minus = write_table(tmp_path / "minus.npz", label=np.arange(120) % 3 - 1, class_names=NAMES[:2])
    assert embedded(run, minus)["label"].tolist() == (np.arange(120) % 3 - 1).tolist()


def test_an_auxiliary_table_without_labels_joins_by_id(tmp_path: Path) -> None:
    ids = np.array([f"row {n}" for n in range(120)])
    eye = write_table(tmp_path / "eye.npz", id=ids, ear=None)
    ear = columns(write_table(tmp_path / "ear.npz", id=ids, eye=None), label=None, group=None, fold=None)
    for order in ((eye, ear), (ear, eye)):
        joined = FeatureTable.open(*order)
        assert joined.class_names == ("0", "1", "2")
        assert joined.labels.tolist() == [n % 3 for n in range(120)]
        assert set(joined.modalities) == {"eye", "ear"}


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    label = np.where(np.arange(120) % 10 == 0, "", NAMES[np.arange(120) % 3])
    path = write_table(tmp_path / "t.npz", label=label)
    with pytest.warns(MotetWarning, match=r"t\.npz: 12 of 120 rows have no label and are left out"):
        table = FeatureTable.open(path)
    assert table.class_names == ("ant", "bee", "cat")
    assert [table.class_names[k] for k in table.labels] == [name for name in label if name]
    assert table.where(0) == "row 1"


def test_the_teacher_alone_leaves_no_student(tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "teacher"
    distill.run(table, "eye", "ear", run, method="teacher", **QUICK, **TINY)
    assert not (run / "student.safetensors").exists()
    with pytest.raises(RunError, match=r"trained the teacher alone, .* so it has no student"):
        distill.load(run)
    assert main(["embed", str(run), str(table), "--out", str(tmp_path / "f.npz")]) == 2
    assert "so it has no student: its scores are in result.md" in capsys.readouterr().err


def test_rows_without_the_target_are_nan_and_told(
    run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = columns(table, available_eye=np.arange(120) >= 7)
    assert main(["embed", str(run), str(some), "--out", str(tmp_path / "f.npz")]) == 0
    told = capsys.readouterr()
    assert "note: 7 of 120 rows lack eye: NaN in features and probabilities" in told.err
    assert "120 rows × 8 features" in told.out
    with np.load(tmp_path / "f.npz") as found:
        assert np.isnan(found["features"]).all(axis=1).tolist() == [n < 7 for n in range(120)]
        assert np.isnan(found["probabilities"]).any(axis=1).sum() == 7


def test_which_student_answers_and_which_rows_trained_it(tmp_path: Path, table: Path) -> None:
    run = tmp_path / "folds"
    distill.run(table, "eye", (), run, method="alone", seeds=(0, 1), **QUICK, **TINY)
    with pytest.warns(MotetNote, match=r"students of 2 folds and 2 seeds; this is the one of fold 0, seed 0 \("):
        found = embedded(run, table)
    assert found["trained"].tolist() == [n // 3 % 4 % 2 == 1 for n in range(120)]
    with pytest.warns(MotetNote, match="the one of fold 0"):
        moved = embedded(run, columns(table, eye=np.load(table)["eye"] + 1))
    assert not moved["trained"].any()
    assert distill.load(run, fold="fold 1").fold == "fold 1"


def test_calls_of_a_student(run: Path) -> None:
    student = distill.load(run)
    assert student.predict({"eye": np.zeros((0, 6))}).shape == (0, 3)
    assert student.features({"eye": np.zeros((0, 6))}).shape == (0, 8)
    with pytest.raises(DataError, match=r"by name: give \{'eye': array\}"):
        student.predict(np.zeros((2, 6)))  # type: ignore[arg-type]


def test_epochs_that_are_all_warm_up_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, run = write_table(tmp_path / "t.npz"), tmp_path / "run"
    words = ["distill", str(path), "--target", "eye", "--auxiliary", "ear", "--no-diagnose", "--out", str(run)]
    assert main([*words, "--epochs", "4", "--method", "nce", "--features", "8", "--hidden"]) == 0
    told = capsys.readouterr()
    said = "ll 4 epochs are warm-up; contrast and critics never acted, so this is not NCE: raise --epochs"
    assert f"warning: a{said}" in told.err
    assert f"A{said} above 4 or lower --warm-up." in told.out
    assert f"A{said}" in (run / "result.md").read_text()
    assert main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
    assert f"A{said}" in re.sub("<[^>]+>", "", (tmp_path / "page.html").read_text())


def test_the_command_that_a_run_keeps_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["motet", "distill", "my table.npz", "--target", "left half"]
    monkeypatch.setattr("sys.argv", words)
    command = environment()["command"]
    assert command == "motet distill 'my table.npz' --target 'left half'"
    assert shlex.split(command) == words


def test_inputs_of_an_exported_student_have_names_of_their_own(tmp_path: Path) -> None:
    """Points and blanks are no part of a name in the file, and it has outputs, too."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    random = np.random.default_rng(0)
    targets = ["a.b", "a_b", "features"]
    sources = {name: random.normal(size=(120, n)).astype(np.float32) for n, name in enumerate(targets, 2)}
    table = write_table(tmp_path / "t.npz", label=NAMES[np.arange(120) % 3], **sources)
    run = tmp_path / "run"
    distill.run(table, targets, (), run, method="alone", split="all", **QUICK, **TINY)
    network = motet.load(run).exportable()
    assert json.loads(network.facts["modalities"]) == targets
    assert network.inputs == ["a_b_2", "a_b", "features_2"]
    found = motet.export(run, tmp_path / "m.onnx", progress=False)
    assert found["inputs"] == network.inputs
    session = importlib.import_module("onnxruntime").InferenceSession(tmp_path / "m.onnx")
    given = {name: sources[target][:5] for name, target in zip(found["inputs"], targets, strict=True)}
    expected = motet.load(run).features({target: x[:5] for target, x in sources.items()})
    np.testing.assert_allclose(session.run(["features"], given)[0], expected, atol=1e-5)
