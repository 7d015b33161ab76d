"""The stages, their interruption, every method, and odd sets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import motet
from motet.core.errors import ConfigError, DataError, Interrupted, RunError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.loader import ClipStore
from motet.data.skeletons import Skeleton
from motet.engine.learner import Position
from motet.engine.trainer import Trainer
from motet.memory.kmeans import spherical_kmeans
from motet.methods import discovery as discover
from motet.methods.discovery import clusters, train
from motet.methods.discovery.clusters import Candidate, candidates_up_to, distinct, estimate, knee, silhouette
from motet.methods.discovery.scores import predict
from motet.methods.discovery.stored import read_clusters, read_result
from motet.methods.discovery.train import Discovering
from motet.use.embed import embed
from tests.conftest import stick, write_clips

TINY: dict[str, Any] = {
    "encoder": "gru",
    "hidden": 4,
    "layers": 1,
    "epochs": 2,
    "finetune_epochs": 2,
    "frames": 8,
    "dim": 4,
    "batch_size": 8,
    "lr": 0.01,
    "finetune_lr": 0.001,
    "kmeans_restarts": 1,
}
GRAPH: dict[str, Any] = {"encoder": "stgcn", "width": 2, "feature_size": 8}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[MotionArchive, MotionArchive]:
    folder = tmp_path_factory.mktemp("sets")
    return write_clips(folder / "source", 32, 4, 2, seed=1), write_clips(folder / "target", 48, 3, 4, seed=2)


@pytest.fixture(scope="module")
def whole(sets: tuple[MotionArchive, MotionArchive], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    discover(*sets, out, clusters=3, progress=False, **TINY)
    return out


def weights(out: Path) -> dict[str, Tensor]:
    latest = max((out / "checkpoints").glob("step-*.pt"))
    found: dict[str, Tensor] = torch.load(latest, weights_only=True)["learner"]["discovery"]
    return found


def test_what_a_run_leaves(sets: tuple[MotionArchive, MotionArchive], whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["pretrain", "pretrain", "finetune", "finetune"]
    assert set(lines[1]["terms"]) == {"source", "decoder", "contrast"}
    assert set(lines[2]["terms"]) > {"labels/B0", "labels/B1", "pairs/B0", "pairs/B1"}
    result = json.loads((whole / "result.json").read_text())
    began = [(r["branch"], r["by"]) for r in result["pretrained"]]
    assert began == [*((b, "kmeans") for b in ("B0", "B1", "B0+B1")), ("B0", "classifier"), ("B1", "classifier")]
    assert [(r["branch"], r["by"]) for r in result["rows"][3:]] == [("B0", "classifier"), ("B1", "classifier")]
    for row in result["rows"]:
        assert row["purity"] >= row["hungarian_accuracy"]
    table = pl.read_parquet(whole / "clusters.parquet")
    assert table["side"].value_counts().height == 2
    assert len(table) == 48
    for branch in ("B0", "B1"):
        assert sum(c["size"] for c in result["clusters"][branch]) == 48
    found = discover.load(whole)
    assert found.clusters == 3
    for branch, assigned in found.assign(sets[1]).items():
        assert assigned.tolist() == table[branch].to_list()
    assert found.transform(sets[1]).shape == (48, 16)


def test_names_of_earlier_versions_are_read(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    result = json.loads((whole / "result.json").read_text())
    result |= {old: result.pop(new) for old, new in (("rivals", "baselines"), ("odd_below", "outlier_below"))}
    result["target"]["judged"] = result["target"].pop("scored")
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    table = pl.read_parquet(whole / "clusters.parquet")
    old = {f"{branch}_outlier": f"{branch}_odd" for branch in ("B0", "B1")}
    table.rename(old).write_parquet(tmp_path / "run" / "clusters.parquet")
    assert read_result(tmp_path / "run") == read_result(whole)
    assert read_clusters(tmp_path / "run").equals(table)
    del result["odd_below"]["B0"]
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunError, match=r"result\.json.*outlier_below.*B0"):
        read_result(tmp_path / "run")


def test_clusters_become_labels(sets: tuple[MotionArchive, MotionArchive], whole: Path, tmp_path: Path) -> None:
    table = pl.read_parquet(whole / "clusters.parquet")
    plain = discover.export_labels(whole, tmp_path / "labels.csv")
    assert plain["class"].to_list() == [f"cluster {k}" for k in table["B0"]]
    names = {0: "wave", 1: "wave"}
    merged = discover.export_labels(whole, tmp_path / "labels.parquet", names, branch="B1", odd=False)
    assert pl.read_parquet(tmp_path / "labels.parquet").equals(merged)
    words = {0: "wave", 1: "wave", 2: "cluster 2"}
    # a clip without a label has no class either
    expected = [None if strange else words[k] for k, strange in table.select("B1", "B1_outlier").rows()]
    assert merged["class"].to_list() == expected
    assert merged["label"].drop_nulls().is_in([0, 1]).all()
    assert merged["label"].is_null().to_list() == table["B1_outlier"].to_list()
    assert table["B1_outlier"].sum() == int(0.05 * 48)
    # the clips once more, as if they were new
    again = discover.export_labels(whole, tmp_path / "new.csv", names, branch="B1", outliers=False, archive=sets[1])
    assert again.select("name", "class", "cluster").equals(merged.select("name", "class", "cluster"))
    np.testing.assert_allclose(again["similarity"], merged["similarity"], atol=1e-6)
    for options, word in (({"names": {9: "x"}}, "cluster 9"), ({"branch": "B2"}, "B0, B1")):
        with pytest.raises(ConfigError, match=word):
            discover.export_labels(whole, tmp_path / "x.csv", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"\.csv or \.parquet"):
        discover.export_labels(whole, tmp_path / "x.txt")
    with pytest.raises(RunError, match="not a run directory"):
        discover.export_labels(tmp_path, tmp_path / "x.csv")


def test_names_are_remembered(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    assert discover.name_clusters(run, {0: "wave", 2: "wave", 1: "jump"}) == {0: "wave", 1: "jump", 2: "wave"}
    assert discover.name_clusters(run, {1: ""}) == {0: "wave", 2: "wave"}
    assert discover.load(run).names == {"B0": {0: "wave", 2: "wave"}, "B1": {}}
    found = discover.export_labels(run, tmp_path / "labels.csv")
    assert set(found["class"]) <= {"wave", "cluster 1"}
    assert set(found["label"].to_list()) <= {0, 1}
    with pytest.raises(ConfigError, match="no cluster 7"):
        discover.name_clusters(run, {7: "x"})
    assert discover.load(run).names["B0"] == {0: "wave", 2: "wave"}
    (run / "names.json").write_text("[]")
    with pytest.raises(RunError, match=r"names\.json is damaged"):
        discover.load(run)


def test_other_verbs_and_a_discovery(sets: tuple[MotionArchive, MotionArchive], whole: Path, tmp_path: Path) -> None:
    shape = embed(whole, sets[1].path, tmp_path / "found.npz")
    with np.load(tmp_path / "found.npz") as made:
        assert made["features"].shape == shape == (48, 16)
        assert made["streams"].tolist() == ["B0", "B1"]
        table = pl.read_parquet(whole / "clusters.parquet")
        for branch in ("B0", "B1"):
            assert made[f"cluster_{branch}"].tolist() == table[branch].to_list()
    np.testing.assert_array_equal(motet.load(whole).transform(sets[1]), discover.load(whole).transform(sets[1]))


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, steps: int) -> Iterator[None]:
    """A signal arrives during the given step."""
    stopped: list[int] = []

    @contextmanager
    def signals() -> Iterator[list[int]]:
        yield stopped

    step, made = Trainer.one_step, [0]

    def counted(self: Trainer) -> dict[str, Any]:
        made[0] += 1
        if made[0] == steps:
            stopped.append(15)
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr("motet.engine.trainer.stop_signals", signals)
        patch.setattr(Trainer, "one_step", counted)
        yield


def test_resume_is_bit_exact(
    sets: tuple[MotionArchive, MotionArchive], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within pretraining, at its very end, right after the switch and within fine-tuning."""
    out = tmp_path / "run"
    with interrupted(monkeypatch, 2), pytest.raises(Interrupted, match="motet resume"):
        discover.run(*sets, out, clusters=3, progress=False, **TINY)
    for steps, place in ((4, "pretrain, after step 0"), (1, "finetune, after step 1"), (4, "finetune, after step 2")):
        torch.manual_seed(99)
        with interrupted(monkeypatch, steps), pytest.raises(Interrupted, match=place):
            discover.resume(out, progress=False)
    torch.manual_seed(99)
    result = discover.resume(out, progress=False)
    expected, found = weights(whole), weights(out)
    assert list(expected) == list(found)
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    assert result["rows"] == json.loads((whole / "result.json").read_text())["rows"]
    lines = [(p / "metrics.jsonl").read_text().splitlines() for p in (whole, out)]
    assert [json.loads(x)["terms"] for x in lines[0]] == [json.loads(x)["terms"] for x in lines[1]]


def test_resume_of_a_graph_network_with_an_estimated_number_is_bit_exact(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # dropout in every block of students and teachers, batch norms of maps; K is estimated after the interruption
    monkeypatch.setattr("motet.methods.discovery.clusters._RUNS", 2)
    options = {**TINY, **GRAPH, "epochs": 1, "finetune_epochs": 1, "dropout": 0.5}
    plain = discover.run(*sets, tmp_path / "whole", progress=False, **options)
    out = tmp_path / "run"
    with interrupted(monkeypatch, 3), pytest.raises(Interrupted):
        discover.run(*sets, out, progress=False, **options)
    torch.manual_seed(7)
    result = discover.resume(out, progress=False)
    assert (result["rows"], result["estimated"]) == (plain["rows"], plain["estimated"])
    expected, found = weights(tmp_path / "whole"), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    evidence = result["estimated"]["evidence"]
    assert result["k"] in [c["clusters"] for c in evidence]
    assert all(0 <= c["small"] <= 1 and -1 <= c["silhouette"] <= 1 for c in evidence)


def test_the_switch_happens_once_before_the_first_fine_step(
    sets: tuple[MotionArchive, MotionArchive], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    step, start = Trainer.one_step, train.initialise

    def counted(self: Trainer) -> dict[str, Any]:
        told.append(self.at.stage.name)
        return step(self)

    def started(discovery: Any, stores: Any, ids: Tensor, count: int) -> Any:
        told.append("start")
        clusterings = start(discovery, stores, ids, count)
        for branch, found in zip(discovery.pair, clusterings, strict=True):
            weight = branch.student["clusters"].weight
            torch.testing.assert_close(weight.norm(dim=1), torch.ones(3))
            assert torch.equal(weight, branch.teacher["clusters"].weight)
            assert not branch.student["clusters"].bias.any()
            assert torch.equal(weight, found.centres)
        return clusterings

    monkeypatch.setattr(Trainer, "one_step", counted)
    monkeypatch.setattr(train, "initialise", started)
    discover.run(*sets, clusters=3, progress=False, **{**TINY, "epochs": 1, "finetune_epochs": 1})
    assert told == ["pretrain"] * 3 + ["start"] + ["finetune"] * 3


def test_the_classifier_starts_as_k_means(
    sets: tuple[MotionArchive, MotionArchive], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(sets)
    generator = torch.Generator().manual_seed(0)
    pair = tuple(torch.randn(24, 8, generator=generator) for _ in range(2))
    monkeypatch.setattr(clusters, "features", lambda *_, **__: pair)
    made = clusters.initialise(trainer.discovery, trainer.clips.target, trainer.clips.train, 3)
    for x, found, labels in zip(pair, made, predict(trainer.discovery, pair), strict=True):
        assert torch.equal(labels, found.assignment)
        assert torch.equal((x @ found.centres.T).argmax(1), labels)
    for branch, x in zip(trainer.discovery.pair, pair, strict=True):
        assert torch.equal(branch.bank, x)
    with pytest.raises(ConfigError, match="exists already"):
        clusters.initialise(trainer.discovery, trainer.clips.target, trainer.clips.train, 3)
    with pytest.raises(ConfigError, match="at most 24"):
        clusters.initialise(trainer.discovery, trainer.clips.target, trainer.clips.train, 25)


def test_a_start_from_pretrained_weights(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    from motet import load, pretrain

    options = {"epochs": 1, "hidden": 4, "layers": 1, "batch_size": 8, "queue_size": 8, "frames": 8, "device": "cpu"}
    pretrain("moco/small-gru", sets[1], tmp_path / "moco", streams=("joint",), progress=False, **options)
    own = {**TINY, "epochs": 0, "start": str(tmp_path / "moco"), "method": "bm"}
    discover.run(*sets, tmp_path / "run", clusters=3, progress=False, **own)
    found = discover.load(tmp_path / "run").discovery
    expected = load(tmp_path / "moco").encoders[0].state_dict()
    for branch in found.pair:  # one layout, so both begin there
        for name, value in branch.student["encoder"].state_dict().items():
            assert torch.equal(value, expected[name]), name


def test_a_batch_is_a_function_of_the_step(sets: tuple[MotionArchive, MotionArchive]) -> None:
    made = []
    for _ in range(2):
        trainer = _trainer(sets)
        drawn = trainer.batch_of(trainer.clips.train[:8], Position(trainer.stages[0], 1))
        batch, ids = drawn.batch, drawn.source_ids
        made.append((batch, ids))
        trainer.fine = True  # other draws, stronger
        later = trainer.batch_of(trainer.clips.train[:8], Position(trainer.stages[1], 2))
        assert not torch.equal(later.batch.students[0], batch.students[0])
    assert torch.equal(made[0][0].students[1], made[1][0].students[1])
    assert torch.equal(made[0][1], made[1][1])
    batch = made[0][0]
    assert not torch.equal(batch.students[0], batch.teachers[0])
    assert torch.equal(batch.students[0], batch.seen[0])  # nothing is masked in pretraining


def _trainer(sets: tuple[MotionArchive, MotionArchive]) -> Discovering:
    from motet.methods.discovery.data import Clips, sides

    settings = discover.SETTINGS["small"].with_options({**TINY, "clusters": 3})
    made = Discovering(settings, Clips(*sets, sides(*sets), "first-frame", "cpu"))
    made.begin_stage(made.stages[0])
    return made


@pytest.mark.parametrize(("method", "same"), [("ocm", True), ("codt", False)])
def test_the_source_reaches_the_targets_branch_through_pairs_only(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, method: str, same: bool
) -> None:
    options = {**TINY, "epochs": 1, "finetune_epochs": 1, "dropout": 0.0, "method": method}
    other = write_clips(tmp_path / "other", 32, 4, 2, seed=7)
    made = []
    for number, source in enumerate((sets[0], other)):
        out = tmp_path / f"run-{number}"
        discover.run(source, sets[1], out, clusters=3, progress=False, **options)
        made.append(load_file(out / "model.safetensors"))
    assert not torch.equal(*(m["branches.0.student.clusters.weight"] for m in made))
    equal = [torch.equal(made[0][name], made[1][name]) for name in made[0] if name.startswith("branches.1.student")]
    assert all(equal) == same


def check_rows(result: dict[str, Any], method: str) -> None:
    assert result["method"] == method
    assert len(result["rows"]) == 5
    assert all(np.isfinite(r["nmi"]) for r in result["rows"])


@pytest.mark.parametrize("method", ["ocm", "bm"])  # the others below
def test_every_method_runs(sets: tuple[MotionArchive, MotionArchive], method: str) -> None:
    options = {**TINY, "epochs": 1, "finetune_epochs": 1}
    check_rows(discover.run(*sets, clusters=3, method=method, progress=False, **options), method)


@pytest.mark.parametrize(
    "options",
    [
        {"rounding": "balanced", "mask_always": 0.2, "pairs": "features"},
        {"balance": 0.5, "optimiser": "sgd", "target_statistics": False, "scale": 0.1, "noise": 0.1},
        {"shares": (5, 2, 1), **GRAPH, "pairs": "cosine"},
        {"shares": (5, 2, 1), "rounding": "balanced"},
        {"as_released": True},
    ],
)
def test_options_run(sets: tuple[MotionArchive, MotionArchive], options: dict[str, Any]) -> None:
    result = discover.run(*sets, clusters=3, progress=False, **{**TINY, "epochs": 1, "finetune_epochs": 1, **options})
    assert len(result["rows"]) == 5


def test_target_labels_only_score(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    target = sets[1]
    with ArchiveWriter(tmp_path / "blind", skeleton=target.skeleton, fps=30.0) as writer:
        for i, row in enumerate(target.clips.iter_rows(named=True)):
            writer.add(target.clip(i), name=row["name"], subject=row["subject"])
    short = {**TINY, "epochs": 1, "finetune_epochs": 1}
    results = [
        discover.run(sets[0], archive, clusters=3, target_split="odd-even", progress=False, **short)
        for archive in (target, MotionArchive.open(tmp_path / "blind"))
    ]
    assert results[0]["clusters"] == results[1]["clusters"]
    assert results[1]["rows"] == []


def test_too_many_clusters_show() -> None:
    generator = torch.Generator().manual_seed(3)
    centres = torch.nn.functional.normalize(torch.randn(4, 16, generator=generator), dim=1)
    x = torch.nn.functional.normalize(centres.repeat(40, 1) + 0.05 * torch.randn(160, 16, generator=generator), dim=1)
    for k in (4, 7, 10):
        assert distinct(x, spherical_kmeans(x, k, iterations=50, restarts=3)) == 4
    assert estimate(x)["clusters"] == 4


def test_estimate_of_plain_clusters() -> None:
    generator = torch.Generator().manual_seed(3)
    centres = torch.nn.functional.normalize(torch.randn(6, 16, generator=generator), dim=1)
    x = centres.repeat(40, 1) + 0.02 * torch.randn(240, 16, generator=generator)
    assert estimate(x)["clusters"] == 6
    with pytest.raises(ConfigError, match="too few"):
        estimate(x[:2])


def test_estimate_of_classes_that_lie_in_two_groups() -> None:
    generator = torch.Generator().manual_seed(3)
    groups = torch.nn.functional.normalize(torch.randn(2, 32, generator=generator), dim=1)
    classes = groups.repeat(5, 1) + 0.12 * torch.randn(10, 32, generator=generator)
    x = classes.repeat(20, 1) + 0.06 * torch.randn(200, 32, generator=generator)
    found = estimate(x)
    assert max(found["evidence"], key=lambda c: c["stability"] + c["silhouette"])["clusters"] == 2
    assert found["clusters"] == 10
    assert "10 clusters: k-means" in found["says"]
    assert "; doubtful: on nine sets of known classes" in found["says"]
    assert "; most stable and apart are 2 (1.00 + " in found["says"]
    assert found["evidence"][-1]["clusters"] == 42  # three times the root


def test_the_knee_is_farthest_below_the_line() -> None:
    def candidates(scatter: dict[int, float]) -> list[Candidate]:
        return [Candidate(k, 0.5, 0.5, 0.0, k, value) for k, value in scatter.items()]

    assert knee(candidates({2: 10, 3: 5, 4: 2.5, 6: 1})).clusters == 4  # the line is at 7.75 and 5.5
    assert knee(candidates({2: 10, 3: 4, 4: 6, 5: 0})).clusters == 3  # 6.7 and 3.3
    assert knee(candidates({2: 1.0})).clusters == 2


def test_silhouette_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import silhouette_score

    generator = torch.Generator().manual_seed(4)
    x = torch.nn.functional.normalize(torch.randn(50, 5, generator=generator, dtype=torch.float64), dim=1)
    labels = torch.arange(50) % 4
    labels[-1] = 4  # alone
    assert silhouette(x, labels) == pytest.approx(silhouette_score(x, labels, metric="cosine"))
    assert candidates_up_to(12) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert candidates_up_to(50)[-1] <= 50


def _constant(path: Path, clips: int, label: int | None = None) -> MotionArchive:
    with ArchiveWriter(path, skeleton=stick()) as writer:
        for i in range(clips):
            writer.add(np.ones((6, 8, 3)), name=f"{i}", subject=i % 2 + 1, label=label)
    return MotionArchive.open(path)


def test_sets_that_are_refused(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    source, target = sets
    blind = _constant(tmp_path / "blind", 6)
    with pytest.raises(DataError, match="must be labelled"):
        discover.run(blind, target, clusters=3)
    with pytest.raises(DataError, match="one class only"):
        discover.run(_constant(tmp_path / "same", 6, 0), target, clusters=3)
    with pytest.raises(ConfigError, match="1 of its 2 clips train by the split random"):
        discover.run(source, _constant(tmp_path / "one", 2), target_split="random:0.5@0", clusters=3)
    with pytest.raises(ConfigError, match="at most 24"):
        discover.run(source, target, clusters=25)
    with pytest.raises(ConfigError, match=r"--target-classes names 9.*0 \(class 0\)"):
        discover.run(source, target, clusters=3, target_classes=(1, 9))
    with pytest.raises(ConfigError, match="no task"):
        discover.run(source, target, task="nothing")
    odd = Skeleton("odd", ("tail",), (-1,))
    with ArchiveWriter(tmp_path / "odd", skeleton=odd) as writer:
        for i in range(6):
            writer.add(np.ones((3, 1, 3)), name=f"{i}", subject=i % 2 + 1)
    with pytest.raises(ConfigError, match="share no joint"):
        discover.run(source, tmp_path / "odd", clusters=2)


def test_run_directories_that_are_refused(
    sets: tuple[MotionArchive, MotionArchive], whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="exists already"):
        discover.run(*sets, whole, clusters=3)
    with pytest.raises(RunError, match="not a run directory"):
        discover.resume(tmp_path)
    with pytest.raises(ConfigError, match="layout"):
        discover.load(whole).transform(_other(tmp_path / "other"))


def _other(path: Path) -> MotionArchive:
    with ArchiveWriter(path, skeleton=Skeleton("odd", ("tail",), (-1,))) as writer:
        writer.add(np.ones((3, 1, 3)), name="a")
    return MotionArchive.open(path)


def test_unlabelled_source_clips_are_left_out(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    from motet.core.errors import MotetWarning
    from motet.methods.discovery.data import sides

    source = sets[0]
    with ArchiveWriter(tmp_path / "part", skeleton=source.skeleton) as writer:
        for i, row in enumerate(source.clips.iter_rows(named=True)):
            label = None if i == 0 else row["label"]
            writer.add(source.clip(i), name=row["name"], subject=row["subject"], label=label)
    with pytest.warns(MotetWarning, match="1 of 16 training clips have no label"):
        chosen = sides(MotionArchive.open(tmp_path / "part"), sets[1])
    assert 0 not in chosen.source
    assert len(ClipStore(sets[1], chosen.train, preprocess="none")) == 24


def test_pretraining_taken_over_is_pretraining_again(
    sets: tuple[MotionArchive, MotionArchive], whole: Path, tmp_path: Path
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    discover.run(*sets, base, clusters=3, progress=False, method="bm", **{**TINY, "finetune_epochs": 1})
    result = discover.run(*sets, out, clusters=3, progress=False, pretrained=str(base), **TINY)
    expected, found = weights(whole), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert result["rows"] == json.loads((whole / "result.json").read_text())["rows"]
    with pytest.raises(ConfigError, match="pretrained with seed = 0, this run would with 1"):
        discover.run(*sets, clusters=3, progress=False, pretrained=str(base), seed=1, **TINY)
    with pytest.raises(ConfigError, match="other clips"):
        discover.run(sets[1], sets[0], clusters=3, progress=False, pretrained=str(base), **TINY)
    (base / "pretrained.pt").unlink()
    with pytest.raises(RunError, match="not finished its pretraining"):
        discover.run(*sets, clusters=3, progress=False, pretrained=str(base), **TINY)


@pytest.mark.parametrize("method", ["uno", "mmt", "sela", "autonovel"])
def test_rivals_resume_bit_exactly(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    # with stronger ties between steps than CoDT's: heads, labels of an epoch, a ramp
    options = {**TINY, "epochs": 1, "method": method}
    plain = discover.run(*sets, tmp_path / "whole", clusters=3, progress=False, **options)
    check_rows(plain, method)
    out = tmp_path / "run"
    with interrupted(monkeypatch, 8), pytest.raises(Interrupted):
        discover.run(*sets, out, clusters=3, progress=False, **options)
    torch.manual_seed(5)
    assert discover.resume(out, progress=False)["rows"] == plain["rows"]
    expected, found = weights(tmp_path / "whole"), weights(out)
    assert list(expected) == list(found)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
