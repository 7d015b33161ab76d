from __future__ import annotations

import json
import math
import os
import shutil
import signal
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import motet
from motet.core.errors import ConfigError, DataError, Interrupted, MotetWarning, RunError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.engine.checkpoint import load_checkpoint
from motet.engine.run import Run, collect, write_config
from motet.engine.trainer import Trainer
from motet.methods import recipes
from motet.methods.cmd import CMD
from motet.methods.learner import create_run
from motet.methods.pretrain import _warn_left_out, pretrain, resolve, resume, train_seeds, trainer_of

TINY: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "queue_size": 16,
    "hidden": 8,
    "layers": 1,
    "frames": 8,
    "dim": 8,
    "split": "odd-even",
    "preprocess": "center",
}


def tiny(recipe: str, archive: MotionArchive, out: Path, **options: Any) -> Run:
    """A short training; a bare name means the small recurrent encoder."""
    name = recipe if "/" in recipe or "aimclr" in recipe else f"{recipe}/small-gru"
    return pretrain(name, archive, out, progress=False, **{**TINY, **options})


def stop_at(monkeypatch: pytest.MonkeyPatch, call: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to this process when the n-th step begins."""
    calls = 0
    original = Trainer.one_step

    def step(self: Trainer) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return original(self)

    monkeypatch.setattr(Trainer, "one_step", step)


def assert_same(left: Any, right: Any, path: str = "") -> None:
    """Equal to the last bit."""
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, path
        assert torch.equal(left, right), path
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left:
            if key not in ("seconds", "samples_per_second", "memory_mb"):
                assert_same(left[key], right[key], f"{path}/{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), path
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{path}/{i}")
    else:
        assert left == right, path


@pytest.mark.parametrize(
    ("clips", "batch", "told"),
    [
        (100, 64, "1 step an epoch with batches of 64, 36 of 100 clips unused in each; try --batch-size 16"),
        (192, 64, "3 steps an epoch with batches of 64; try --batch-size 32"),
        (256, 64, None),
        (6, 4, "1 step an epoch with batches of 4, 2 of 6 clips unused in each"),
    ],
)
def test_few_steps_and_clips_left_out_are_told(clips: int, batch: int, told: str | None) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        _warn_left_out(recipes.get("moco/small-gru").with_options({"batch_size": batch}), clips, False)
        _warn_left_out(recipes.get("moco/small-gru").with_options({"batch_size": batch, "epochs": 0}), clips, True)
    assert [str(w.message) for w in found] == ([told] if told else [])


@pytest.mark.parametrize("given", [{}, {"batch_size": 32}])
def test_batches_of_a_recipe_that_counts_steps_are_not_told(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, int]
) -> None:
    class Enough(Exception):
        """Nothing need be trained."""

    def enough(*_: Any) -> None:
        raise Enough

    monkeypatch.setattr("motet.methods.pretrain.described_views", enough)
    recipe = recipes.get("cmd/small").with_options({"batch_size": 32})  # 48 clips, a third of them unused
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with pytest.raises(Enough):
            pretrain(recipe, small_archive, tmp_path / "run", split="all", start="none", progress=False, **given)
    assert any("unused in each" in str(w.message) for w in found) == bool(given)


# three steps an epoch: at the end of the first, at the start of the second, both
@pytest.mark.parametrize(("calls", "encoder"), [((3, 1), "gru"), ((3,), "stgcn"), ((4,), "tcn")])
def test_resume_is_bit_exact(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: Sequence[int], encoder: str
) -> None:
    options: dict[str, Any] = {"encoder": encoder, "optimiser": "sgd" if encoder == "stgcn" else "adam", "epochs": 2}
    options |= {"width": 2, "feature_size": 8, "streams": ("joint", "bone")} if encoder == "stgcn" else {}
    recipe = "cmd/small" if encoder == "tcn" else "cmd"
    whole = tiny(recipe, small_archive, tmp_path / "whole", **options)
    begin = partial(tiny, recipe, small_archive, tmp_path / "parts", **options)
    for call, go in zip(calls, (begin, partial(resume, tmp_path / "parts", progress=False)), strict=False):
        with monkeypatch.context() as patch:
            stop_at(patch, call)
            with pytest.raises(Interrupted, match="motet resume"):
                go()
    assert not Run.open(tmp_path / "parts").finished
    parts = resume(tmp_path / "parts", progress=False)
    assert_same(load_checkpoint(whole.checkpoints), load_checkpoint(parts.checkpoints))
    assert_same(whole.metrics(), parts.metrics())
    assert (whole.path / "model.safetensors").read_bytes() == (parts.path / "model.safetensors").read_bytes()


def test_stop_at_the_end_of_an_epoch(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 3, signal.SIGINT)
        with pytest.raises(Interrupted) as stopped:
            tiny("moco", small_archive, tmp_path / "run")
    assert stopped.value.status == 130
    assert len(Run.open(tmp_path / "run").metrics()) == 1
    assert len(resume(tmp_path / "run", progress=False).metrics()) == 3


@pytest.mark.parametrize("recipe", ["moco", "mcl", "crossclr", "cmd"])
def test_every_method_learns_something(small_archive: MotionArchive, tmp_path: Path, recipe: str) -> None:
    run = tiny(recipe, small_archive, tmp_path / "run", epochs=2)
    lines = run.metrics()
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(line["loss"] == pytest.approx(sum(line["terms"].values())) for line in lines)
    features = motet.load(run.path).transform(small_archive)
    assert features.shape == (48, 3 * 16)
    fresh = run.model().untrained(0).transform(small_archive)
    assert abs(features - fresh).max() > 1e-3


def test_crossclr_changes_its_loss_half_way(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("crossclr", small_archive, tmp_path / "run", epochs=2)
    first, second = (set(line["terms"]) for line in run.metrics())
    assert first == {"contrast/joint", "contrast/motion", "contrast/bone"}
    assert second == {"cross-mining"}


def test_same_seed_same_run_other_seed_other_run(small_archive: MotionArchive, tmp_path: Path) -> None:
    a, b, c = (tiny("cmd", small_archive, tmp_path / n, epochs=1, seed=s) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert_same(a.metrics(), b.metrics())
    assert a.metrics()[0]["loss"] != c.metrics()[0]["loss"]


def test_seeds_make_one_experiment(small_archive: MotionArchive, tmp_path: Path) -> None:
    runs = train_seeds("moco", small_archive, tmp_path / "x", (0, 1), progress=False, **{**TINY, "epochs": 1})
    assert [r.path for r in collect(tmp_path / "x")] == [r.path for r in runs]
    before = (runs[0].path / "model.safetensors").stat().st_mtime_ns
    train_seeds("moco", small_archive, tmp_path / "x", (0, 1), progress=False, **{**TINY, "epochs": 1})
    assert (runs[0].path / "model.safetensors").stat().st_mtime_ns == before


def test_not_finite_names_term_step_and_clips_and_leaves_the_weights(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import motet.methods.cmd as method

    monkeypatch.setattr(method, "mutual_distillation", lambda *_, **__: torch.tensor(float("nan")))
    archive = small_archive
    recipe, parts = resolve("cmd", archive, TINY)
    trainer = trainer_of(recipe, archive, parts, progress=False)
    host = trainer.learner.network
    before = {k: v.detach().clone() for k, v in host.encoders.named_parameters()}
    with pytest.raises(RunError, match=r"distillation = nan.*epoch 1, step 1.*clip-0") as error:
        trainer.fit(create_run(tmp_path / "run", recipe, archive, {"split": parts.name}))
    assert "contrast" not in str(error.value)
    after = dict(host.encoders.named_parameters())
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_checkpoints_are_bounded_and_a_damaged_one_is_passed_over(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("moco", small_archive, tmp_path / "run", epochs=5, checkpoint_every=1)
    assert [p.name for p in run.checkpoints] == ["step-00000012.pt", "step-00000015.pt"]
    run.checkpoints[-1].write_bytes(run.checkpoints[-1].read_bytes()[:1000])
    (run.path / "model.safetensors").unlink()
    with pytest.warns(MotetWarning, match="damaged"):
        again = resume(run.path, progress=False)
    assert again.finished
    assert [line["epoch"] for line in again.metrics()] == [1, 2, 3, 4, 5]


def test_a_directory_half_written_by_a_kill_is_named(small_archive: MotionArchive, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(RunError, match=r"no config\.json.*with the same command"):
        resume(tmp_path / "run")
    tiny("cmd", small_archive, tmp_path / "run", epochs=0)  # the same command uses what the kill has left
    (tmp_path / "run" / "config.json").write_text('{"recipe": ')
    with pytest.raises(RunError, match="damaged"):
        Run.open(tmp_path / "run")
    with pytest.raises(RunError, match="exists already"):
        tiny("cmd", small_archive, tmp_path / "run")


def test_what_is_no_run_is_said_and_never_to_be_removed(small_archive: MotionArchive, tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(RunError) as error:
            Run.open(path)
        return str(error.value)

    assert (
        "is an archive of recordings, not a run; `motet pretrain`, `motet fit` and `motet data inspect` take it"
        in said(small_archive.path)
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    begun = tmp_path / "begun"
    (begun / "checkpoints").mkdir(parents=True)
    assert "start the training again" in said(begun)  # nothing but what a pretraining makes first
    (begun / "thesis.txt").touch()
    for path in (small_archive.path, tmp_path / "photos", begun, tmp_path):
        assert "remove" not in said(path)
    run = tiny("moco", small_archive, tmp_path / "run", epochs=1)
    with pytest.raises(DataError, match=r"run is a run of `motet pretrain`, not an archive"):
        MotionArchive.open(run.path)
    assert (
        repr(motet.load(run.path))
        == "Model(moco/small-gru: joint, motion, bone of stick, 1 person; 16 features a stream on cpu)"
    )


def test_the_first_epoch_is_saved_and_a_run_without_checkpoint_begins_anew(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny("moco", small_archive, tmp_path / "whole")
    step, calls, last = Trainer.one_step, [], 0

    def killed(self: Trainer) -> dict[str, float]:
        calls.append(1)
        if len(calls) == last:
            raise KeyboardInterrupt  # as hard as a kill: nothing is saved
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "one_step", killed)
        for name, at in (("early", 2), ("late", 5)):  # in the first and in the second epoch of three steps
            last = at
            calls.clear()
            with pytest.raises(KeyboardInterrupt):
                tiny("moco", small_archive, tmp_path / name, checkpoint_every=100)
    assert [p.name for p in Run.open(tmp_path / "late").checkpoints] == ["step-00000003.pt"]
    assert Run.open(tmp_path / "early").checkpoints == []
    with pytest.warns(MotetWarning, match="early has no checkpoint yet, so its training starts from the beginning"):
        early = resume(tmp_path / "early", progress=False)
    for again in (early, resume(tmp_path / "late", progress=False)):
        assert (again.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_a_run_whose_archive_has_changed_is_not_resumed(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("moco", small_archive, tmp_path / "run", epochs=1)
    config = json.loads((run.path / "config.json").read_text())
    config["data"]["hash"] = "0" * 64
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="not what was written"):
        Run.open(run.path)
    write_config(run.path, config)
    (run.path / "model.safetensors").unlink()
    with pytest.raises(RunError, match="not the archive"):
        resume(run.path, progress=False)


def test_sizes_that_do_not_fit(small_archive: MotionArchive, tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match=r"queue \(4096\) is larger than the training set.*--queue-size"):
        resolve("cmd/small-gru", small_archive, {**TINY, "queue_size": 4096})
    with pytest.warns(MotetWarning, match=r"batch \(8\) is larger than the queue"):
        resolve("cmd/small-gru", small_archive, {**TINY, "queue_size": 4})
    with pytest.raises(ConfigError, match="--batch-size"):
        resolve("cmd/small-gru", small_archive, {**TINY, "batch_size": 500})
    with pytest.raises(ConfigError, match="did you mean"):
        tiny("cmd", small_archive, tmp_path / "run", batchsize=4)
    with pytest.raises(ConfigError, match="two or more"):
        tiny("cmd", small_archive, tmp_path / "run", streams=("joint",))
    assert not (tmp_path / "run").exists()


def test_small_sizes_shrink_to_the_set(small_archive: MotionArchive) -> None:
    recipe, parts = resolve("cmd", small_archive, {"split": "odd-even"})
    assert len(parts.train) == 24
    assert recipe.batch_size == 24
    assert recipe.method.queue_size == 24


def test_epochs_move_the_milestones(small_archive: MotionArchive) -> None:
    base, _ = resolve("cmd", small_archive, {})
    half, _ = resolve("cmd", small_archive, {"epochs": base.epochs // 2})
    assert half.optimiser.milestones == tuple(round(m / 2) for m in base.optimiser.milestones)


def test_collapse_is_told(small_archive: MotionArchive, tmp_path: Path) -> None:
    """A rate that flings the weights away leaves an encoder to which all clips look the same."""
    with pytest.warns(MotetWarning, match="collapsed"):
        tiny("moco", small_archive, tmp_path / "run", epochs=6, monitor_every=1, optimiser="sgd", lr=50.0)


def test_streams_of_any_number_and_kind(small_archive: MotionArchive, tmp_path: Path) -> None:
    streams = ("joint", "motion", "bone", "acceleration", "joint[arms]", "bone[legs+trunk]")
    for teachers in ("pairwise", "consensus"):
        run = tiny("cmd", small_archive, tmp_path / teachers, epochs=1, streams=streams, teachers=teachers)
        assert run.model().transform(small_archive).shape == (48, 6 * 16)


def test_a_gradient_that_is_not_finite_leaves_the_weights(
    small_archive: MotionArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    import motet.methods.cmd as method

    def loss(queries: dict[str, torch.Tensor], *_: Any, **__: Any) -> torch.Tensor:
        return (next(iter(queries.values())).detach() * 0 + next(iter(queries.values())) * 0).clamp_min(0).sqrt().sum()

    monkeypatch.setattr(method, "mutual_distillation", loss)
    recipe, parts = resolve("cmd", small_archive, TINY)
    trainer = trainer_of(recipe, small_archive, parts, progress=False)
    host = trainer.learner.network
    before = {k: v.detach().clone() for k, v in host.encoders.named_parameters()}
    with pytest.raises(RunError, match=r"gradient is not \(in .*weight.*epoch 1, step 1.*clip-0"):
        trainer.fit(None)
    for name, value in host.encoders.named_parameters():
        assert torch.equal(value, before[name])


def test_seeds_refuse_a_run_of_another_training(small_archive: MotionArchive, tmp_path: Path) -> None:
    options = {**TINY, "epochs": 1}
    train_seeds("cmd", small_archive, tmp_path, [0], progress=False, **options)
    again = train_seeds("cmd", small_archive, tmp_path, [0], progress=False, **options, keep_checkpoints=1)
    assert again[0].finished
    with pytest.raises(RunError, match=r"another training \(.*method is CMD, not MoCo"):
        train_seeds("moco", small_archive, tmp_path, [0], progress=False, **options)
    with pytest.raises(RunError, match="epochs is 1, not 2"):
        train_seeds("cmd", small_archive, tmp_path, [0], progress=False, **{**options, "epochs": 2})


def test_a_moved_archive_is_named_on_resume(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(small_archive.path, here)
    stop_at(monkeypatch, 2)
    with pytest.raises(Interrupted):
        tiny("moco", MotionArchive.open(here), tmp_path / "run")
    here.rename(there)
    with pytest.raises(RunError, match=r"here.* has moved or is gone; name it by --data"):
        resume(tmp_path / "run", progress=False)
    assert resume(tmp_path / "run", data=there, progress=False).finished


def test_damaged_weights_and_checkpoints_are_not_taken_for_whole_ones(
    small_archive: MotionArchive, tmp_path: Path
) -> None:
    run = tiny("moco", small_archive, tmp_path / "run", checkpoint_every=1)
    weights = run.path / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-3] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(RunError, match="not those that were written"):
        run.model()
    last = run.checkpoints[-1]
    raw = bytearray(last.read_bytes())
    raw[len(raw) // 2] ^= 1
    last.write_bytes(raw)
    with pytest.warns(MotetWarning, match="damaged"):
        state = load_checkpoint(run.checkpoints)
    assert state["epoch"] == 2


def test_an_unfinished_run_is_judged_with_a_warning(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("moco", small_archive, tmp_path / "run", checkpoint_every=1)
    (run.path / "model.safetensors").unlink()
    with pytest.warns(MotetWarning, match="has not finished: its weights are those after epoch 3 of 3"):
        run.model()


def test_a_metrics_line_cut_short_is_left_out(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("moco", small_archive, tmp_path / "run")
    path = run.path / "metrics.jsonl"
    path.write_text(path.read_text()[:-20])
    assert [line["epoch"] for line in run.metrics()] == [1, 2]
    path.write_text("{\n" + path.read_text())
    with pytest.raises(RunError, match="line 1 is damaged"):
        run.metrics()


@pytest.mark.parametrize(("option", "value"), [("lr", math.nan), ("lr", -1.0), ("momentum", 1.0), ("gamma", -0.1)])
def test_rates_that_make_no_sense_are_refused(
    small_archive: MotionArchive, tmp_path: Path, option: str, value: float
) -> None:
    with pytest.raises(ConfigError, match=option):
        tiny("moco", small_archive, tmp_path / "run", **{option: value})
    assert not (tmp_path / "run").exists()


def test_a_batch_that_processes_cannot_share_is_refused(small_archive: MotionArchive) -> None:
    with pytest.raises(ConfigError, match="try --batch-size 8"):
        resolve("moco", small_archive, {**TINY, "batch_size": 9, "devices": 2})


def test_a_model_refuses_other_axes_and_units(small_archive: MotionArchive, tmp_path: Path) -> None:
    model = tiny("moco", small_archive, tmp_path / "run", epochs=1).model()
    for name, changes in (("mirrored", {"right_handed": False}), ("millimetres", {})):
        skeleton = replace(small_archive.skeleton, **changes)
        units = "m" if changes else "mm"
        with ArchiveWriter(tmp_path / name, skeleton=skeleton, units=units, persons=small_archive.persons) as writer:
            writer.add(small_archive.clip(0), name="a")
        with pytest.raises(ConfigError, match="handedness" if changes else "unit"):
            model.transform(MotionArchive.open(tmp_path / name))


def test_a_distillation_over_one_neighbour_is_told() -> None:
    with pytest.warns(MotetWarning, match="always 0"):
        CMD(queue_size=8, neighbours=1).validate(("joint", "bone"))


def test_released_values_are_taken_once() -> None:
    once = recipes.as_released(recipes.get("cmd/ntu60-xsub"))
    assert recipes.as_released(once) == once


def test_a_run_whose_checkpoints_are_gone_is_not_begun_again(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("moco", small_archive, tmp_path / "run")
    (run.path / "model.safetensors").unlink()
    for path in run.checkpoints:
        path.unlink()
    with pytest.raises(RunError, match="has trained 3 epochs, but its checkpoints are gone"):
        resume(run.path, progress=False)


def test_two_processes_do_not_write_one_run(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("moco", small_archive, tmp_path / "run")
    (run.path / "model.safetensors").unlink()
    with run.lock(), pytest.raises(RunError, match="is being written by process"):
        resume(run.path, progress=False)
    assert resume(run.path, progress=False).finished


def test_a_checkpoint_of_the_version_before_is_continued(small_archive: MotionArchive, tmp_path: Path) -> None:
    """Positions and sums lay next to the weights then."""
    whole = tiny("moco", small_archive, tmp_path / "whole", checkpoint_every=1)
    run = tiny("moco", small_archive, tmp_path / "run", checkpoint_every=1)
    (run.path / "model.safetensors").unlink()
    run.checkpoints[-1].unlink()
    (path,) = run.checkpoints
    state = load_checkpoint([path])
    now = {**state["learner"], **{k: state[k] for k in ("epoch", "seconds", "rng", "cuda_rng")}}
    torch.save({"version": 1, "step_in_epoch": 0, "sums": {}, "watched": {}, **now}, path)
    again = resume(run.path, progress=False)
    assert (again.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert_same(again.metrics(), whole.metrics())


def test_a_kill_between_a_checkpoint_and_its_line_costs_nothing(small_archive: MotionArchive, tmp_path: Path) -> None:
    whole = tiny("moco", small_archive, tmp_path / "whole", checkpoint_every=1)
    run = tiny("moco", small_archive, tmp_path / "run", checkpoint_every=1)
    (run.path / "model.safetensors").unlink()
    run.checkpoints[-1].unlink()
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    (run.path / "metrics.jsonl").write_text(lines[0] + "\n")  # of two epochs that the checkpoint holds
    assert_same(resume(run.path, progress=False).metrics(), whole.metrics())


def test_epochs_that_are_named_replace_the_steps_of_a_recipe(small_archive: MotionArchive) -> None:
    by_steps = recipes.get("moco/small")
    assert by_steps.steps
    assert by_steps.with_options({"epochs": 2}).steps == 0
    assert by_steps.with_options({"epochs": 2, "steps": 7}).steps == 7
    assert resolve(by_steps.with_options({"epochs": 2}), small_archive, {})[0].epochs == 2
