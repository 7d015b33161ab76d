"""Two processes on one machine train one model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from motet.data.archive import MotionArchive
from motet.engine.checkpoint import load_checkpoint
from motet.engine.run import Run
from tests.methods.test_pretrain import TINY


def test_two_processes_share_a_run(small_archive: MotionArchive, tmp_path: Path) -> None:
    options = [f"--{k.replace('_', '-')}={v}" for k, v in TINY.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "motet"]
    command += [
        "pretrain",
        "cmd",
        f"--data={small_archive.path}",
        f"--out={tmp_path / 'run'}",
        "--devices=2",
        "--quiet",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = Run.open(tmp_path / "run")
    assert run.finished
    assert [line["epoch"] for line in run.metrics()] == [1, 2, 3]
    host = load_checkpoint(run.checkpoints)["learner"]["host"]
    # three epochs of three global batches of eight: the keys of both processes are in the queue
    assert int(host["queue.pointer"]) == 3 * 3 * 8 % 16
    assert int(host["queue.filled"]) == 16
