"""Heads on subsets and fine-tuned networks, side by side against one after the other."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from motet import evaluate
from motet.core.errors import ConfigError, MotetWarning
from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.loader import center_crop, random_crop
from motet.data.splits import split
from motet.engine.run import Run
from motet.evaluate import semi, tuning
from motet.evaluate.clips import labelled_clips
from motet.evaluate.context import Context
from motet.evaluate.heads import Head, train_heads
from motet.evaluate.linear import CROP_VIEW
from motet.evaluate.probe import ORDER_VIEW, Schedule
from motet.evaluate.tuning import Tuning
from tests.evaluate.test_runner import SKELETON, rows_of, write_archive, write_run

BRIEF: dict[str, Any] = {"epochs": 3, "batch_size": 4}  # epochs that are given are not raised to 500 steps


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return write_archive(tmp_path_factory.mktemp("data") / "swings")


@pytest.fixture
def run(tmp_path: Path, archive: MotionArchive) -> Run:
    return write_run(tmp_path / "run", archive)


def context_of(run: Run, archive: MotionArchive, seeds: int = 1) -> Context:
    clips = labelled_clips(archive, split(archive, "odd-even"))
    return Context.build([run], [run.model()], archive, clips, seeds=seeds, baselines=True, show=False)


# ---------------------------------------------------------------------------------------------- heads on subsets


def one_head(x: Tensor, y: Tensor, head: Head, schedule: Schedule, classes: int, epochs: int) -> tuple[Tensor, Tensor]:
    layer = nn.Linear(x.shape[1], classes).to(x.dtype)
    start = torch.randn(x.shape[1], classes, generator=torch.Generator().manual_seed(head.seed)) * 0.01
    layer.weight.data = start.T.to(x.dtype).contiguous()
    nn.init.zeros_(layer.bias)
    sgd = torch.optim.SGD(layer.parameters(), lr=1.0, momentum=schedule.momentum, weight_decay=schedule.weight_decay)
    for epoch in range(epochs):
        drops = [d * epochs / schedule.epochs for d in (schedule.epochs * 5 // 8, schedule.epochs * 7 // 8)]
        sgd.param_groups[0]["lr"] = schedule.lr[0] * 0.1 ** sum(epoch >= d for d in drops)
        order = head.rows[CounterRNG(head.seed, epoch, head.rows, ORDER_VIEW).order("head")]
        for rows in order.split(schedule.batch_size):
            sgd.zero_grad()
            nn.functional.cross_entropy(layer(x[rows]), y[rows]).backward()
            sgd.step()
    return layer.weight.detach().T, layer.bias.detach()


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_heads_are_those_of_one_after_the_other(decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 40, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (40,), generator=generator)
    rows = [torch.randperm(40, generator=generator)[:n] for n in (3, 40, 17, 8, 16)]
    heads = [Head(i % 2, r.sort().values, i) for i, r in enumerate(rows)]
    schedule = Schedule(epochs=8, batch_size=8, lr=(0.3,), weight_decay=decay)
    epochs = [16, 8, 8, 24, 8]  # few clips, more epochs
    weight, bias = train_heads(features, labels, heads, classes=3, schedule=schedule, epochs=epochs)
    for i, head in enumerate(heads):
        expected = one_head(features[head.group], labels, head, schedule, 3, epochs[i])
        torch.testing.assert_close(weight[i], expected[0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(bias[i, 0], expected[1], rtol=1e-9, atol=1e-12)


def test_heads_refuse_what_cannot_be() -> None:
    x, y = torch.ones(1, 4, 2), torch.tensor([0, 1, 0, 1])  # one place, two classes: no rate can fit them
    with pytest.raises(ConfigError, match="no clips"):
        train_heads(x, y, [Head(0, torch.arange(0), 0)], classes=2, schedule=Schedule())
    with pytest.raises(ConfigError, match="one learning rate"):
        train_heads(x, y, [Head(0, torch.arange(4), 0)], classes=2, schedule=Schedule(lr=(0.1, 0.2)))
    with pytest.raises(ConfigError, match="diverged"):
        train_heads(x * 1e30, y, [Head(0, torch.arange(4), 0)], classes=2, schedule=Schedule(lr=(1e30,)))


# ------------------------------------------------------------------------------------------------------- drawing


def test_draws_are_those_of_the_papers(run: Run, archive: MotionArchive) -> None:
    context = context_of(run, archive)  # 18 training clips, 6 of each class
    for ratio, uniform, balanced in ((0.25, 4, 6), (0.5, 9, 9), (1.0, 18, 18)):
        for repeat in range(3):
            rows = semi.draw(context, ratio, repeat, "uniform")
            assert len(set(rows.tolist())) == uniform  # ⌊ratio · n⌋
            rows = semi.draw(context, ratio, repeat, "balanced")
            assert len(rows) == balanced  # round(ratio · n_c), halves upwards
            assert np.bincount(context.train_labels[rows.numpy()]).tolist() == [balanced // 3] * 3
    draws = {tuple(semi.draw(context, 0.5, repeat, "uniform").tolist()) for repeat in range(5)}
    assert len(draws) == 5
    with pytest.raises(ConfigError, match="5 % of 18 training clips is none"):
        semi.draw(context, 0.05, 0, "uniform")
    with pytest.raises(ConfigError, match="5 % of the 6 training clips of wave is none"):
        semi.draw(context, 0.05, 0, "balanced")


def test_the_usual_shares_are_those_with_a_clip_per_class(run: Run) -> None:
    with pytest.warns(MotetWarning) as said:
        result = evaluate.run(run, ("semi",), semi=BRIEF | {"tuned": "head", "repeats": 2})
    assert [str(w.message) for w in said] == [
        "semi: left out 1 %, 5 %, 10 %: fewer clips than the 3 classes (--semi.ratios forces them)",
        "semi: 20 % (3 clips) holds clips of 2 of 3 classes",
    ]
    assert {row.details["ratio"] for row in rows_of(result)} == {0.2}
    record = result["protocols"][0]["record"]["clips"]
    assert [(r["ratio"], r["repeat"]) for r in record] == [(0.2, 0), (0.2, 1)]
    assert len(record[0]["clips"].split()) == 3
    subjects = MotionArchive.open(result["archive"]["path"]).clips["subject"].to_numpy()
    assert all(subjects[int(i)] % 2 for i in record[0]["clips"].split())


def test_ratios_that_leave_nothing(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"raise --semi\.ratios"):
        evaluate.run(run, ("semi",), semi={"ratios": (0.01,)})
    with pytest.raises(ConfigError, match="each must lie above 0"):
        evaluate.run(run, ("semi",), semi={"ratios": (0.0,)})
    assert not (run.path / "evaluation.json").exists()


# ------------------------------------------------------------------------------------------------------ networks


def slow_tuning(
    context: Context, features: Any, rows: Tensor, seed: int, stream: str, epochs: int
) -> tuple[float, float]:
    """CMD's fine-tuning of one network with torch's layer, loss and optimiser: (last, best of looks) accuracy."""
    model, store = features.model, context.store
    s = model.streams.index(stream)
    encoder, view = copy.deepcopy(model.encoders[s]).train(), model.views[s]
    layer = nn.Linear(encoder.feature_size, 3)
    start = torch.randn(1, encoder.feature_size, 3, generator=torch.Generator().manual_seed(seed)) * 0.01
    layer.weight.data = start[0].T.contiguous()
    nn.init.zeros_(layer.bias)
    sgd = torch.optim.SGD([*encoder.parameters(), *layer.parameters()], lr=0.01, momentum=0.9)
    ids, labels = context.train[rows], torch.from_numpy(context.train_labels)[rows]
    looks = []
    for epoch in range(epochs):
        sgd.param_groups[0]["lr"] = 0.01 * 0.1 ** ((epoch >= epochs * 5 // 8) + (epoch >= epochs * 7 // 8))
        for batch in CounterRNG(seed, epoch, ids, ORDER_VIEW).order("tuning").split(4):
            chosen = ids[batch]
            keyed = CounterRNG(seed, epoch, chosen, CROP_VIEW)
            crop = random_crop(keyed, store.lengths_of(chosen), minimum_ratio=0.5, frames=8)
            sgd.zero_grad()
            logits = layer(encoder(view(store.windows(chosen, *crop, 8))))
            nn.functional.cross_entropy(logits, labels[batch]).backward()
            sgd.step()
        encoder.eval()
        with torch.no_grad():
            clips = store.windows(context.test, *center_crop(store.lengths_of(context.test)), 8)
            right = layer(encoder(view(clips))).argmax(dim=1).numpy() == context.test_labels
        encoder.train()
        looks.append(float(right.mean()))
    return looks[-1], max(looks[1::2])


@pytest.mark.parametrize("side_by_side", [1, 10**9])
def test_networks_are_those_of_one_after_the_other(
    run: Run, archive: MotionArchive, monkeypatch: pytest.MonkeyPatch, side_by_side: int
) -> None:
    monkeypatch.setattr("motet.evaluate.tuning._SIDE_BY_SIDE", side_by_side)
    options = {
        "epochs": 8,
        "batch_size": 4,
        "check_every": 2,
        "ratios": (0.5,),
        "repeats": 2,
        "lr": 0.01,
    }
    result = evaluate.run(run, ("semi",), semi=options)
    context = context_of(run, archive)
    for kind, features in (("cmd", context.learned[0]), ("random encoder", context.random[0])):
        row = rows_of(result, features=kind)[0]
        expected = [
            slow_tuning(context, features, semi.draw(context, 0.5, repeat, "uniform"), repeat, "joint", 8)
            for repeat in range(2)
        ]
        assert row.values == pytest.approx([last for last, _ in expected])
        assert row.best_values == pytest.approx([best for _, best in expected])
    weights = run.model().weights()
    assert all(torch.equal(v, weights[k]) for k, v in context.learned[0].model.weights().items())


def test_semi_rows(run: Run) -> None:
    result = evaluate.run(run, ("semi",), semi=BRIEF | {"ratios": (0.4, 0.2), "repeats": 3, "sampling": "balanced"})
    rows = rows_of(result)
    assert [(r.details["ratio"], r.features, r.details["tuned"]) for r in rows] == [
        (ratio, kind, "head" if kind in ("raw", "random convolutions") else "network")
        for ratio in (0.2, 0.4)
        for kind in ("cmd", "random encoder", "raw", "random convolutions")
    ]
    assert {r.stream for r in rows} == {"joint"}
    assert all(len(r.values) == 3 and not r.best_values and r.details["over"] == "draws" for r in rows)
    assert (
        "| semi, 20 %, network, epochs 3, batch size 4, sampling balanced, repeats 3 | cmd | joint |"
        in (run.path / "evaluation.md").read_text()
    )


def test_finetune_with_several_streams_and_runs(tmp_path: Path, archive: MotionArchive) -> None:
    runs = [write_run(tmp_path / "all" / str(seed), archive, seed) for seed in range(2)]
    options = BRIEF | {"streams": ("joint", "motion")}
    result = evaluate.run(runs, ("finetune",), finetune=options, seeds=2, baselines=False)
    rows = rows_of(result, features="cmd")
    assert [(r.stream, r.ensemble) for r in rows] == [
        ("joint", None),
        ("motion", None),
        ("joint+motion", "late-fusion"),
    ]
    assert all(len(r.values) == 2 and r.details["over"] == "runs" for r in rows)
    alone = evaluate.run(runs[1], ("finetune",), finetune=options, seeds=2, baselines=False)
    single = rows_of(alone, features="cmd")
    assert [r.values[1] for r in rows] == pytest.approx([r.mean for r in single])
    with pytest.raises(ConfigError, match=r"--finetune\.streams: there is no stream 'bone'; the run has joint"):
        evaluate.run(runs[0], ("finetune",), finetune={"streams": ("bone",)})
    with pytest.raises(ConfigError, match="diverged"):
        evaluate.run(runs[0], ("finetune",), finetune=BRIEF | {"lr": 1e38}, baselines=False)


def test_sizes_follow_the_recipe(run: Run, archive: MotionArchive) -> None:
    small = context_of(run, archive)
    paper = Context(**{**vars(small), "small": False})
    options = Tuning()
    assert (options.schedule(paper).batch_size, options.schedule(paper).lr) == (64, (0.01,))
    assert [options.epochs_for(paper, n) for n in (10, 10000)] == [80, 80]
    assert options.looks(paper, 80) == {4, 9, 14, 19, 24, 29, 34, 39, 44, 49, 54, 59, 64, 69, 74, 79}
    assert [options.epochs_for(small, n) for n in (10, 64, 10000)] == [500, 125, 80]
    # epochs that are given win over the usual number of steps, and only over that
    assert [Tuning(epochs=10).epochs_for(c, 10) for c in (small, paper)] == [10, 10]
    assert Tuning(minimum_steps=0).epochs_for(small, 10) == 80
    assert Tuning(epochs=10, minimum_steps=30).epochs_for(small, 10) == 30
    assert Tuning(epochs=10).schedule(small).epochs == 10
    assert options.looks(small, 80) == {79}
    assert (options.schedule(small).batch_size, options.schedule(small).lr) == (16, (0.03,))
    assert Tuning(tuned="head").schedule(paper).lr == (0.1,)
    store = SimpleNamespace(skeleton=layouts.get("imu-2"))
    assert options.schedule(Context(**{**vars(small), "store": store})).lr == (0.01,)


def test_a_diverged_training_ends_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[int] = []
    batches = tuning._epoch_batches
    monkeypatch.setattr(tuning, "_epoch_batches", lambda *args: began.append(args[-1]) or batches(*args))
    with pytest.raises(ConfigError, match="diverged"):
        evaluate.run(run, ("finetune",), finetune={"epochs": 9, "lr": 1e38}, baselines=False)
    assert began == [0, 1]  # an epoch is one batch here, whose loss is of before its step


# ------------------------------------------------------------------------------------------------------ transfer


def test_transfer(run: Run, archive: MotionArchive, tmp_path: Path) -> None:
    write_archive(tmp_path / "target")
    renamed = replace(SKELETON, name="other stick")  # the same joints, another archive
    other = write_archive(tmp_path / "other", label=lambda clip: clip % 2, skeleton=renamed)
    with pytest.raises(ConfigError, match=r"name it by --transfer\.data"):
        evaluate.run(run, ("transfer",), transfer=BRIEF)
    with pytest.warns(MotetWarning, match="split odd-even, 18 training"):
        result = evaluate.run(
            run, ("transfer",), transfer=BRIEF | {"data": (str(other.path), str(tmp_path / "target"))}
        )
    rows = rows_of(result)
    assert [(r.label, r.features, r.details["classes"]) for r in rows[:3]] == [
        ("transfer, to other, network, epochs 3, batch size 4", "cmd", 2),
        ("transfer, to other, network, epochs 3, batch size 4", "random encoder", 2),
        ("transfer, to other, head, epochs 3, batch size 4", "raw", 2),
    ]
    assert rows[3].features == "random convolutions"
    assert rows[4].details["target"] == "to target"
    # on its own archive it is fine-tuning; the evaluated archive is the target if it is another one
    tuned = evaluate.run(run, ("finetune",), data=other, finetune=BRIEF, baselines=False)
    again = evaluate.run(run, ("transfer",), data=other, transfer=BRIEF, baselines=False)
    cmd = [r.values for r in rows_of(tuned, features="cmd")]
    assert cmd == [r.values for r in rows_of(again, protocol="transfer", features="cmd")] == [rows[0].values]
    probe = evaluate.run(run, ("transfer",), data=other, transfer=BRIEF | {"tuned": "head"}, baselines=False)
    assert {r.details["tuned"] for r in rows_of(probe, protocol="transfer")} == {"head"}
