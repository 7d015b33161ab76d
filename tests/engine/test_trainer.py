"""The loop with a learner of two stages and two replicas, written out so that its numbers are known."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from motet.core.errors import Interrupted, MotetWarning, RunError
from motet.engine.checkpoint import load_checkpoint
from motet.engine.learner import Learner, Position, Stage
from motet.engine.options import Loop
from motet.engine.run import Run
from motet.engine.trainer import Trainer
from tests.forged import GONE, places, put

RATE = 0.5


class Two(Learner):
    """Two numbers, one a replica, pulled to targets; the second replica sits out every second step."""

    replicas = ("left", "right")

    def __init__(self, *, broken: str = "", stop_at: tuple[str, int, int] | None = None) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.stages = [Stage("first", 2, 3, rows=4), Stage("second", 1, 2, rows=4, first=2)]
        self.broken, self.stop_at = broken, stop_at
        self.calls: list[str] = []

    def begin_stage(self, stage: Stage) -> None:
        self.calls.append(f"stage {stage.name}")
        self.optimiser = torch.optim.SGD([self.values], lr=RATE)

    def begin_epoch(self, at: Position) -> None:
        self.calls.append(f"epoch {at.epoch}")

    def batch(self, at: Position) -> Position:
        if self.stop_at == (at.stage.name, at.epoch, at.step):
            os.kill(os.getpid(), signal.SIGHUP)
        return at

    def active(self, batch: Position) -> Sequence[bool]:
        return (True, batch.step % 2 == 0)

    def terms(self, batch: Position) -> dict[str, Tensor]:
        on = torch.tensor(self.active(batch)).float()
        self.observed = {"size": self.values.detach().abs().sum()}
        pull = 0.5 * (self.values - batch.step) ** 2 * on
        if self.broken == "term":
            pull = pull * torch.tensor([1.0, torch.nan])
        if self.broken == "gradient":
            pull = pull + (self.values * 0).sqrt()
        return {"pull": pull, "unused": self.values * 0 + 7}

    def weights(self, at: Position) -> Mapping[str, float]:
        return {"pull": 0.5, "unused": 0.0}

    def end_stage(self, stage: Stage, run: Run | None) -> None:
        self.calls.append(f"end {stage.name}")

    def end_epoch(self, at: Position) -> dict[str, Any]:
        return {"terms": {"extra": at.epoch}}

    def finish(self, run: Run) -> None:
        (run.path / "result.json").write_text("{}")


def start(path: Path, target: Sequence[str] = ()) -> Run:
    config = {"settings": {}, "plan": {"tables": ["table.npz"], "target": list(target), "auxiliary": []}}
    return Run.create(path, "distill", "motet.methods.distillation.run", config)


def by_hand() -> tuple[list[float], list[list[float]]]:
    """Weights after all steps, and the means of the term per epoch and replica."""
    values, means = [1.0, 2.0], []
    for steps in (3, 3, 2):
        seen: list[list[float]] = [[], []]
        for step in range(steps):
            for side in (0, 1):
                if side == 0 or step % 2 == 0:
                    seen[side].append(0.5 * (values[side] - step) ** 2)
                    values[side] -= RATE * 0.5 * (values[side] - step)
        means.append([sum(one) / len(one) for one in seen])
    return values, means


def test_stages_replicas_and_weights(tmp_path: Path) -> None:
    trainer = Trainer(lambda device: Two(), Loop(device="cpu"), progress=False)
    run = start(tmp_path / "run")
    trainer.fit(run)
    values, means = by_hand()
    torch.testing.assert_close(trainer.learner.values.detach(), torch.tensor(values))
    lines = run.metrics()
    assert [(line["stage"], line["epoch"], line["step"]) for line in lines] == [
        ("first", 1, 3),
        ("first", 2, 6),
        ("second", 3, 8),
    ]
    for line, expected in zip(lines, means, strict=True):
        assert line["terms"]["pull"] == pytest.approx(expected, abs=2e-6)
        assert line["terms"]["unused"] == [7.0, 7.0]
        assert line["loss"] == pytest.approx([0.5 * v for v in expected], abs=2e-6)
        assert line["terms"]["extra"] == line["epoch"] - 1
        assert isinstance(line["diagnostics"]["size"], float)
        assert line["lr"] == RATE
    assert trainer.learner.calls == [
        *("stage first", "epoch 0", "epoch 1", "end first"),
        *("stage second", "epoch 2", "end second"),
    ]
    assert run.finished


@pytest.mark.parametrize("where", [("first", 0, 1), ("first", 0, 2), ("first", 1, 2), ("second", 2, 0)])
def test_resumed_inside_and_between_stages_to_the_bit(tmp_path: Path, where: tuple[str, int, int]) -> None:
    whole = start(tmp_path / "whole")
    Trainer(lambda device: Two(), Loop(device="cpu"), progress=False).fit(whole)
    run = start(tmp_path / "run")
    with pytest.raises(Interrupted, match=r"SIGHUP in epoch .* of stage .*motet resume") as stopped:
        Trainer(lambda device: Two(stop_at=where), Loop(device="cpu"), progress=False).fit(run)
    assert stopped.value.status == 128 + signal.SIGHUP
    again = Trainer(lambda device: Two(), Loop(device="cpu"), progress=False)
    again.resume(run)
    again.fit(run)
    ours, theirs = (load_checkpoint(r.checkpoints) for r in (run, whole))
    torch.testing.assert_close(ours["learner"], theirs["learner"], rtol=0, atol=0)
    timings = ("seconds", "samples_per_second", "memory_mb")
    for mine, other in zip(run.metrics(), whole.metrics(), strict=True):
        assert {k: v for k, v in mine.items() if k not in timings} == {
            k: v for k, v in other.items() if k not in timings
        }


def test_checkpoints_by_step_and_by_epoch(tmp_path: Path) -> None:
    """Two epochs of three steps and one of two."""
    for steps, saved in ((0, [3, 6, 8]), (2, [2, 3, 5, 6, 8]), (1, [*range(1, 9)])):
        run = start(tmp_path / str(steps))
        loop = Loop(device="cpu", checkpoint_steps=steps, keep_checkpoints=9)
        Trainer(lambda device: Two(), loop, progress=False).fit(run)
        assert [int(path.stem[5:]) for path in run.checkpoints] == saved


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            "term",
            r"loss is not finite \(pull = nan in right\) in epoch 1 of stage first, step 1.*not moved; lower --lr",
        ),
        ("gradient", r"its gradient is not \(in values\) in epoch 1 of stage first, step 1"),
    ],
)
def test_what_is_not_finite_is_named_before_the_weights_move(broken: str, message: str) -> None:
    trainer = Trainer(lambda device: Two(broken=broken), Loop(device="cpu"), progress=False)
    with pytest.raises(RunError, match=message):
        trainer.fit(None)
    assert trainer.learner.values.tolist() == [1.0, 2.0]


def test_nothing_is_kept_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="nothing was kept"):
        Trainer(lambda device: Two(stop_at=("first", 0, 0)), Loop(device="cpu"), progress=False).fit(None)


def test_forged_checkpoints_are_one_line_or_harmless(tmp_path: Path) -> None:
    """Each entry of the state left out, of another type or out of range, and the checkpoint of another run."""
    run = start(tmp_path / "run")
    Trainer(lambda device: Two(), Loop(device="cpu"), progress=False).fit(run)
    path = run.checkpoints[-1]
    state = torch.load(path, weights_only=True)
    forged = [(path_, value) for path_ in places(state) for value in (GONE, None, -1, 2**70, "x", [], {"x": 1})]
    forged, lines = forged[::5], []  # seven values for every place: each comes at every seventh of them
    for where, value in forged:
        torch.save(put(state, where, value), path)
        again = Trainer(lambda device: Two(), Loop(device="cpu"), progress=False)
        try:
            again.resume(run)
        except RunError as error:
            lines.append(str(error).count("\n"))
    assert len(lines) > len(forged) / 4
    assert not any(lines)
    for content in (b"", path.read_bytes()[:-200], b"\x80\x04N.", b"x" * 1000):
        path.write_bytes(content)
        for older in run.checkpoints[:-1]:
            older.unlink()
        with (
            pytest.warns(MotetWarning, match="is damaged"),
            pytest.raises(RunError, match="no checkpoint can be read; start again"),
        ):
            Trainer(lambda device: Two(), Loop(device="cpu"), progress=False).resume(run)
    other = start(tmp_path / "other", target=["x"])
    torch.save(state, other.path / "checkpoints" / path.name)
    with pytest.raises(RunError, match=r"holds checkpoints of another run than its config.json"):
        Trainer(lambda device: Two(), Loop(device="cpu"), progress=False).resume(other)


@pytest.mark.parametrize(
    ("epochs", "times", "due"), [(43, 3, [14, 29, 42]), (100, 10, list(range(9, 100, 10))), (2, 20, [0, 1])]
)
def test_what_is_done_some_times_is_not_done_more_often(epochs: int, times: int, due: list[int]) -> None:
    stage = Stage("fit", epochs=epochs, steps=1)
    assert [e for e in range(epochs) if Position(stage, e).every(0, times=times)] == due
