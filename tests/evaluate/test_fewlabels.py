"""Few labels: the closed form against its definition; the line that says which features to use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import motet
from motet.core.errors import ConfigError, MotetWarning
from motet.data.archive import MotionArchive
from motet.data.splits import split
from motet.engine.table import FRESH, RANDOM, RAW, ROCKET, STATISTICS, Row
from motet.evaluate.advice import advice
from motet.evaluate.fewlabels import draw, ridge_scores
from motet.evaluate.ridge import DEFAULT, STRENGTHS
from motet.evaluate.runner import kept_in
from motet.methods.pretrain import pretrain
from motet.use.embed import embed

SMALL = {"epochs": 1, "batch_size": 8, "queue_size": 16, "width": 8, "layers": 2, "frames": 8, "encode_frames": 8}
SMALL |= {"dim": 8, "head_width": 8, "preprocess": "first-frame", "progress": False}


def explicit(x: np.ndarray, y: np.ndarray, asked: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression with a free offset, from its normal equations."""
    design = np.hstack([x, np.ones((len(x), 1))])
    free = np.diag([penalty] * x.shape[1] + [0.0])
    weight = np.linalg.solve(design.T @ design + free, design.T @ y)
    return np.hstack([asked, np.ones((len(asked), 1))]) @ weight


def test_scores_are_those_of_ridge_chosen_by_leaving_each_row_out() -> None:
    random = np.random.default_rng(3)
    labels = np.arange(12) % 3
    x = random.normal(size=(12, 4)) + labels[:, None] * [0.9, 0, 0.3, 0]
    asked = random.normal(size=(5, 4))
    y = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)
    total = ((x - x.mean(0)) ** 2).sum()
    tried = []
    for strength in STRENGTHS:
        penalty = strength * total / len(x)
        left = np.stack([explicit(np.delete(x, i, 0), np.delete(y, i, 0), x[i : i + 1], penalty)[0] for i in range(12)])
        # the target of a row that is left out moves the offset as it does in the closed form: not at all
        right = int((left.argmax(1) == labels).sum())
        tried.append((-right, float(((left - y) ** 2).sum()), strength))
    scores, strength = ridge_scores(*(torch.from_numpy(m) for m in (x @ x.T, asked @ x.T, y)))
    assert strength == min(tried)[2]
    np.testing.assert_allclose(scores, explicit(x, y, asked, strength * total / len(x)), atol=1e-9)


def test_one_clip_of_each_class_fixes_the_strength() -> None:
    x = torch.eye(3, dtype=torch.float64)
    scores, strength = ridge_scores(x, x, 2 * x - 1)
    assert strength == DEFAULT
    assert scores.argmax(dim=1).tolist() == [0, 1, 2]


def test_draws() -> None:
    labels = np.repeat([0, 1, 2], [3, 8, 20])
    chosen = draw(labels, 5, 0)
    assert np.bincount(labels[chosen]).tolist() == [3, 5, 5]
    assert chosen.tolist() == draw(labels, 5, 0).tolist() != draw(labels, 5, 1).tolist()


def test_protocol(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = pretrain("moco/small", small_archive, tmp_path / "run", **SMALL)
    with pytest.warns(MotetWarning, match="classes have 6 training clips each"):
        found = motet.evaluate.run(
            run, ["fewlabels", "ridge"], fewlabels={"counts": (1, 4, 50), "repeats": 3}, progress=False
        )
    rows = [row for row in found["rows"] if row["protocol"] == "fewlabels"]
    assert {row["features"] for row in rows} == {"moco", RANDOM, RAW, ROCKET}
    assert {row["details"]["per_class"] for row in rows} == {1, 4}
    assert len(rows) == 2 * 2 * 4
    assert any("have 6 training clips each" in note for entry in found["protocols"] for note in entry["notes"])
    by = {(r["features"], r["details"]["per_class"], r["details"]["algorithm"]): r["mean"] for r in rows}
    assert by[ROCKET, 4, "ridge"] > by[ROCKET, 1, "ridge"]  # oscillations of four frequencies are learned from a few
    assert ROCKET in found["summary"]
    assert "ridge regression" in found["summary"]
    assert found["summary"] in (run.path / "evaluation.md").read_text()
    with pytest.raises(ConfigError, match=r"no class has 50 training clips; lower --fewlabels.counts"):
        motet.evaluate.run(run, ["fewlabels"], fewlabels={"counts": (50,)}, progress=False)


def rows(**scores: float) -> list[Row]:
    names = {"cmd": "cmd", "raw": RAW, "rocket": ROCKET, "random": RANDOM}
    made = [Row("ridge", names[k], "joint+motion", (v,), ensemble="concat") for k, v in scores.items()]
    # a single stream is not what is compared
    return [*made, Row("ridge", RAW, "joint", (1.0,)), Row("knn", RAW, "joint+motion", (1.0,), ensemble="concat")]


def test_advice() -> None:
    assert advice(rows(cmd=0.97, raw=0.8, rocket=0.928), 400) == (
        "Use the learned features: cmd 97.0 by ridge regression; raw coordinates 80.0, random convolutions 92.8."
    )
    lost = advice(rows(cmd=0.9, raw=0.8, rocket=0.95), 400)
    assert lost.startswith("The learned features lose, use random convolutions: cmd 90.0")
    assert "motet embed rocket" in lost
    level = advice(rows(cmd=0.9, raw=0.91, rocket=0.7), 100)
    assert level.startswith("No clear difference between the learned features and raw coordinates, use raw co")
    assert "use raw coordinates, the cheapest: cmd 90.0 by ridge" in level
    assert advice(rows(cmd=1.0, raw=1.0), 100).startswith("No clear difference")
    # of what is level with the best the cheapest is advised
    close = advice(rows(cmd=0.6, random=0.91, rocket=0.9, raw=0.7), 100)
    assert close.startswith("The learned features lose, use random convolutions: ")
    named = [replace(row, features={"cmd": "body"}.get(row.features, row.features)) for row in rows(cmd=0.9, raw=0.7)]
    assert advice(named, 100).startswith("Use the weights body: body 90.0 by ridge regression; raw coordinates 70.0")
    fresh = [replace(row, features={"cmd": FRESH}.get(row.features, row.features)) for row in rows(cmd=0.6, raw=0.7)]
    assert advice(fresh, 100).startswith("This untrained encoder loses, use raw coordinates: untrained 60.0 by ridge")
    assert advice(rows(raw=0.9, rocket=0.8), 100) == ""
    better = advice([*rows(cmd=0.9), Row("ridge", "weights body", "joint+motion", (0.99,), ensemble="concat")], 400)
    assert better.startswith("The learned features lose, use the weights body: cmd 90.0")
    assert "`motet embed body ARCHIVE`" in better


def few(count: int, **scores: float) -> list[Row]:
    details = {"per_class": count, "algorithm": "ridge", "over": "draws"}
    return [Row("fewlabels", f, "joint+motion", (v,), ensemble="concat", details=details) for f, v in scores.items()]


def test_advice_says_what_is_ahead_with_few_labels() -> None:
    whole = rows(cmd=0.95, raw=0.8)
    same = advice([*whole, *few(1, cmd=0.5, raw=0.4), *few(5, cmd=0.8, raw=0.81)], 400)
    assert same == advice(whole, 400)  # the same is ahead, or chance
    behind = advice([*whole, *few(1, cmd=0.5, raw=0.6), *few(2, cmd=0.61, raw=0.7), *few(5, cmd=0.8, raw=0.7)], 400)
    assert behind.removeprefix(same) == (
        " Better with 1 and 2 labels a class: raw coordinates, 60.0 and 70.0 against 50.0 and 61.0 "
        "of the learned features."
    )
    level = advice([*rows(cmd=0.9, random=0.9), *few(1, **{"cmd": 0.7, RANDOM: 0.6, RAW: 0.5})], 400)
    assert level.endswith(
        " Better with 1 label a class: the learned features, 70.0 against 60.0 of the untrained encoder."
    )
    others = [replace(row, details=row.details | {"algorithm": "1-NN"}) for row in few(1, cmd=0.5, raw=0.6)]
    assert advice([*whole, *others], 400) == same


def test_advice_on_sensors_and_untrained_encoders() -> None:
    worn = [*rows(cmd=0.8, raw=0.5, random=0.9), Row("ridge", STATISTICS, "joint+motion", (0.7,), ensemble="concat")]
    said = advice(worn, 400, run="my run")
    assert "raw readings 50.0" in said
    elsewhere = [*worn[:-1], replace(worn[-1], protocol="semi")]  # a linear layer has no row of statistics
    assert "raw readings 50.0" in advice(elsewhere, 400)
    assert said.startswith("The learned features lose, use the untrained encoder: cmd 80.0 by ridge regression; ")
    assert said.endswith("; `motet embed 'my run' ARCHIVE --untrained` gives them in seconds.")


def test_weights_of_the_package_are_judged_by_name(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path))
    archive = motet.simulate.simulate(tmp_path / "clips", clips=24, actions=3, actors=4)
    found = motet.evaluate.run("body", ["knn"], data=archive, progress=False)
    assert {row["features"] for row in found["rows"]} == {"body", RANDOM, RAW, ROCKET}
    assert list((tmp_path / "evaluations" / "body").glob("evaluation-on-clips-*.md"))
    assert not list(Path(found["runs"][0]["path"]).glob("evaluation*"))
    # what the advice names for the untrained row gives that row
    embed("body", archive.path, tmp_path / "fresh.npz", untrained=True)
    parts, features = split(archive, found["split"]["rule"]), np.load(tmp_path / "fresh.npz")["features"][:, 480:960]
    fresh = [(features[ids], archive.labels[ids]) for ids in (parts.train, parts.test)]
    (row,) = [r for r in found["rows"] if (r["features"], r["stream"], len(r["details"])) == (RANDOM, "motion", 2)]
    assert row["mean"] == motet.evaluate.knn_accuracy(*fresh[0], *fresh[1])
    own = pretrain("moco/small", archive, tmp_path / "own", split="odd-even", **{**SMALL, "preprocess": "yaw"})
    rows = motet.evaluate.run(own, ["knn"], progress=False)["rows"]
    assert {row["features"] for row in rows} == {"moco", RANDOM, RAW, ROCKET, "weights body"}
    (body,) = [
        r
        for r in rows
        if (r["features"], r["stream"]) == ("weights body", "motion") and "standardised" not in r["details"]
    ]
    parts, features = split(archive, "odd-even"), motet.load("body").transform(archive)[:, 480:960]
    sides = [(features[ids], archive.labels[ids]) for ids in (parts.train, parts.test)]
    assert body["mean"] == motet.evaluate.knn_accuracy(*sides[0], *sides[1])
    run = pretrain("moco/small", small_archive, tmp_path / "run", **SMALL)
    assert kept_in(run) == run.path
    with pytest.raises(ConfigError, match=r"random convolutions are a row of every .*pretrain --epochs 0"):
        motet.evaluate.run("rocket", ["knn"], data=archive, progress=False)
