"""Protocols on top of knn and linear: what they compute, against slow or independent forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from motet import evaluate
from motet.core.errors import ConfigError, MotetWarning
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.data.splits import split
from motet.engine.run import Run
from motet.evaluate import cluster, fewshot
from motet.evaluate.clips import labelled_clips
from motet.evaluate.context import Context
from motet.evaluate.retrieval import retrieval_scores
from motet.methods.model import Model
from tests.evaluate.test_runner import SHORT, STREAMS, rows_of, write_archive, write_run

TOGETHER = "+".join(STREAMS)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return write_archive(tmp_path_factory.mktemp("data") / "swings")


@pytest.fixture
def run(tmp_path: Path, archive: MotionArchive) -> Run:
    return write_run(tmp_path / "run", archive)


@pytest.fixture
def context(run: Run, archive: MotionArchive) -> Context:
    clips = labelled_clips(archive, split(archive, "odd-even"))
    return Context.build([run], [run.model()], archive, clips, seeds=1, baselines=True, show=False)


# ------------------------------------------------------------------------------------------------- retrieval


def test_retrieval_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    gallery, queries = random.standard_normal((60, 5)), random.standard_normal((17, 5))
    owners, wanted = random.integers(0, 4, 60), random.integers(0, 5, 17)  # class 4 is not in the gallery
    gallery[30:40] = gallery[:10]  # ties
    found = retrieval_scores(gallery, owners, queries, wanted, ks=(1, 5, 60))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (gallery, queries)]
    cosine = (unit[1] @ unit[0].T).astype(np.float32)
    expected = [
        average_precision_score(owners == w, row) if (owners == w).any() else 0.0
        for w, row in zip(wanted, cosine, strict=True)
    ]
    assert found["mAP"] == pytest.approx(np.mean(expected), abs=1e-6)
    first = owners[np.argsort(-cosine, axis=1, kind="stable")] == wanted[:, None]
    assert found["R@1"] == pytest.approx(first[:, 0].mean())
    assert found["R@5"] == pytest.approx(first[:, :5].any(axis=1).mean())
    assert found["R@60"] == pytest.approx((wanted < 4).mean())


def test_retrieval_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    gallery, queries = torch.randn(50, 6, generator=generator), torch.randn(9, 6, generator=generator)
    owners, wanted = torch.arange(50) % 3, torch.arange(9) % 3
    whole = retrieval_scores(gallery, owners, queries, wanted)
    monkeypatch.setattr("motet.evaluate.retrieval._SCORE_BYTES", 500)
    monkeypatch.setattr("motet.evaluate.retrieval._GALLERY_ROWS", 7)
    assert retrieval_scores(gallery, owners, queries, wanted) == pytest.approx(whole, abs=1e-6)


def test_retrieval_refuses_what_does_not_fit() -> None:
    x, y = torch.randn(4, 2), torch.arange(4)
    with pytest.raises(ConfigError, match="needs as many"):
        retrieval_scores(x, y[:3], x, y)
    with pytest.raises(ConfigError, match="depths"):
        retrieval_scores(x, y, x, y, ks=(5,))
    with pytest.raises(ConfigError, match="at least one query"):
        retrieval_scores(x, y, x[:0], y[:0])


def test_retrieval_has_a_row_per_measure(run: Run) -> None:
    result = evaluate.run(run, ("retrieval", "knn"), retrieval={"ks": (1, 3)})
    rows = rows_of(result, protocol="retrieval", features="cmd")
    assert [(r.stream, r.metric) for r in rows] == [(s, m) for s in (*STREAMS, TOGETHER) for m in ("R@1", "R@3", "mAP")]
    plain = [r for r in rows_of(result, protocol="knn") if not r.details.get("standardised")]
    knn = {(r.features, r.stream): r.values for r in plain}
    for row in rows_of(result, protocol="retrieval", metric="R@1"):
        assert row.values == pytest.approx(knn[row.features, row.stream])


# --------------------------------------------------------------------------------------------------- cluster


def blobs(seed: int = 0, noise: float = 0.15) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.nn.functional.normalize(torch.randn(4, 8, generator=generator), dim=1)
    owner = torch.arange(80) % 4
    lengths = torch.rand(80, 1, generator=generator) + 0.5
    return (centres[owner] + noise * torch.randn(80, 8, generator=generator)) * lengths, owner.numpy()


def test_the_number_of_clusters_is_found() -> None:
    x, owner = blobs(noise=0.08)
    found = cluster.density_clusters(x, min_cluster_size=5, components=6)
    assert len(set(found) - {-1}) == 4
    assert evaluate.cluster_scores(owner, found)["nmi"] > 0.9
    assert (cluster.density_clusters(x[:4], min_cluster_size=5) == -1).all()


def test_cluster_rows(run: Run) -> None:
    result = evaluate.run(run, ("cluster",), seeds=2, cluster={"min_cluster_size": 2})
    rows = rows_of(result, features="cmd", stream="joint")
    assert [(r.details["algorithm"], r.metric, len(r.values)) for r in rows] == [
        *(("spherical k-means", m, 2) for m in cluster.METRICS),
        *(("HDBSCAN", m, 1) for m in cluster.METRICS),
    ]
    assert rows[0].details["clusters"] == [3, 3]
    assert all(-0.5 <= v <= 1 for row in rows for v in row.values)
    without = evaluate.run(run, ("cluster",), cluster={"unknown": False, "clusters": 2})
    assert {r.details["algorithm"] for r in rows_of(without)} == {"spherical k-means"}
    with pytest.raises(ConfigError, match="19 clusters of 18"):
        evaluate.run(run, ("cluster",), cluster={"clusters": 19})


# -------------------------------------------------------------------------------------------------- few-shot


def test_episodes_are_what_they_say(context: Context) -> None:
    options = fewshot.Options(way=2, shots=(3,), queries=4, episodes=20)
    episodes = fewshot.draw(context, options, 3, seed=0)
    assert episodes.support.shape == (20, 2, 3)
    assert episodes.query.shape == (20, 2, 4)
    for support, query in zip(episodes.support, episodes.query, strict=True):
        classes = [set(context.train_labels[s]) for s in support]
        assert all(len(c) == 1 for c in classes)
        assert classes[0] != classes[1]
        assert [set(context.test_labels[q]) for q in query] == classes
        assert all(len(set(s.tolist())) == 3 for s in support)
    assert len({tuple(s.ravel()) for s in episodes.support}) > 10
    again = fewshot.draw(context, options, 3, seed=0)
    assert (again.support == episodes.support).all()


def test_episodes_one_by_one(context: Context) -> None:
    episodes = fewshot.draw(context, fewshot.Options(way=3, queries=4, episodes=9), 2, seed=0)
    train, test = torch.randn(18, 5), torch.randn(18, 5)
    expected = []
    for support, query in zip(episodes.support, episodes.query, strict=True):
        means = torch.stack([torch.nn.functional.normalize(train[s], dim=1).mean(0) for s in support])
        right = []
        for place, rows in enumerate(query):
            scores = torch.nn.functional.cosine_similarity(test[rows][:, None], means[None], dim=2)
            right += (scores.argmax(dim=1) == place).tolist()
        expected.append(np.mean(right))
    found = fewshot.accuracies(train, test, episodes)
    np.testing.assert_allclose(found.numpy(), expected)


def test_few_shot_rows(run: Run) -> None:
    with pytest.warns(MotetWarning, match="episodes have 3 classes"):
        result = evaluate.run(run, ("fewshot",), fewshot={"episodes": 30, "queries": 2})
    rows = rows_of(result, features="raw", stream="joint")
    assert [r.details["episodes"] for r in rows] == ["3-way 1-shot", "3-way 5-shot"]
    assert rows[0].label == "fewshot, 3-way 1-shot, queries 2, episodes 30"
    assert "fewshot, 3-way 5-shot" in (run.path / "evaluation.md").read_text()
    with pytest.raises(ConfigError, match="only 0 classes with 7 training clips"):
        evaluate.run(run, ("fewshot",), fewshot={"shots": 7})


# -------------------------------------------------------------------------------------------------- ensemble


def test_ensembles_in_every_form(run: Run) -> None:
    result = evaluate.run(
        run, ("ensemble", "linear", "linear-cached"), ensemble=SHORT, linear=SHORT, linear_cached=SHORT
    )
    rows = rows_of(result, protocol="ensemble", features="cmd")
    assert [r.ensemble for r in rows] == ["mean-logits", "late-fusion", "late-mean"]
    cached = {r.ensemble: r.values for r in rows_of(result, protocol="linear-cached", features="cmd")}
    assert [r.values for r in rows[:2]] == [cached["mean-logits"], cached["late-fusion"]]  # a small recipe
    official = evaluate.run(run, ("ensemble",), ensemble=SHORT | {"cached": False}, baselines=False)
    linear = {r.ensemble: r.values for r in rows_of(result, protocol="linear", features="cmd")}
    found = {r.ensemble: r.values for r in rows_of(official, protocol="ensemble")}
    assert found["mean-logits"] == linear["mean-logits"]
    assert found["late-fusion"] == linear["late-fusion"]


def test_weights_of_an_ensemble(run: Run) -> None:
    only = evaluate.run(
        run, ("ensemble", "linear-cached"), ensemble=SHORT | {"weights": (1.0, 0.0, 0.0)}, linear_cached=SHORT
    )
    rows = rows_of(only, features="cmd")
    late = next(r for r in rows if r.ensemble == "late-fusion" and r.protocol == "ensemble")
    assert late.details["weights"] == dict(zip(STREAMS, (1.0, 0.0, 0.0), strict=True))
    assert late.values == next(r for r in rows if r.protocol == "linear-cached" and r.stream == "joint").values
    with pytest.raises(ConfigError, match="2 numbers for 3 streams"):
        evaluate.run(run, ("ensemble",), ensemble={"weights": (1.0, 1.0)})


def test_one_stream_is_no_ensemble(tmp_path: Path, archive: MotionArchive) -> None:
    run = write_run(tmp_path / "single", archive, streams=("joint",))
    with pytest.raises(ConfigError, match="needs several"):
        evaluate.run(run, ("ensemble",))


# ------------------------------------------------------------------------------------------------ one encoding


def test_ten_protocols_encode_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode = Model.encode
    monkeypatch.setattr(Model, "encode", lambda *a, **k: calls.append(len(a[2])) or encode(*a, **k))
    names = ("knn", "linear-cached", "ensemble", "retrieval", "cluster", "fewshot", "semi", "finetune")
    options: dict[str, Any] = {"linear_cached": SHORT, "ensemble": SHORT, "fewshot": {"episodes": 5, "way": 3}}
    options |= {"semi": {"tuned": "head", "epochs": 2, "ratios": (0.5,)}, "finetune": {"tuned": "head", "epochs": 2}}
    evaluate.run(run, names, **options)
    assert calls == [36, 36, 36]  # learned, random and random convolutions, all clips of both sides


def test_transfer_changes_layout_unit_and_persons(run: Run, archive: MotionArchive, tmp_path: Path) -> None:
    from motet.data.adapted import adapted

    # the same recordings in another order of joints, in millimetres, with a second person and one joint more
    other = Skeleton("other", ("tail", "head", "right", "left", "root"), (4, 4, 4, 4, -1))
    order = [3, 2, 1, 0]
    with ArchiveWriter(
        tmp_path / "mm", skeleton=other, persons=2, units="mm", class_names=archive.class_names
    ) as writer:
        for i, row in enumerate(archive.clips.iter_rows(named=True)):
            frames = np.zeros((row["length"], 2, 5, 3))
            frames[:, 0, 1:] = 1000 * archive.clip(i)[:, 0, order]
            writer.add(frames, name=row["name"], label=row["label"], subject=row["subject"])
    notes: list[str] = []
    made = adapted(MotionArchive.open(tmp_path / "mm"), run.model(), tmp_path, units="m", notes=notes)
    assert notes == ["mm: joints of other converted to stick, mm scaled to m, 2 persons made 1"]
    np.testing.assert_allclose(made.frames, archive.frames, atol=1e-6)
    assert made.labels.tolist() == archive.labels.tolist()
    assert adapted(archive, run.model(), tmp_path, units="m") is archive
