"""Two processes, as torchrun starts them, share the encoding of an evaluation and of a table of features."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from motet import evaluate
from tests.evaluate.test_runner import write_archive, write_run

OPTIONS = {"linear": {"epochs": 2}, "semi": {"tuned": "head", "ratios": (0.5,), "epochs": 2}}
FLAGS = "--linear.epochs 2 --semi.tuned head --semi.ratios 0.5 --semi.epochs 2"
JOB = f"""
import sys
from motet import cli, embed
from motet.core.distributed import joined
from motet.methods.model import Model

encode, seen = Model.encode, []
Model.encode = lambda self, store, ids, **k: seen.append(len(ids)) or encode(self, store, ids, **k)
with joined():
    assert cli.main("evaluate run --protocols knn linear semi {FLAGS}".split()) == 0
    assert max(seen) <= 18, seen
    embed("run", "swings", "f.npz", block_bytes=5000)
"""


def test_two_processes_give_the_tables_of_one(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "swings")
    run = write_run(tmp_path / "run", archive)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", JOB],
            cwd=tmp_path,
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=250) for process in processes]
    assert [p.returncode for p in processes] == [0, 0], said[0][1][-2000:] + said[1][1][-2000:]
    assert [out.count("# Evaluation of") for out, _ in said] == [1, 0]
    stored = json.loads((run.path / "evaluation.json").read_text())
    assert stored["missing"] == []
    alone = evaluate.run(run, ("knn", "linear", "semi"), again=True, **OPTIONS)  # type: ignore[arg-type]
    assert stored["rows"] == alone["rows"]
    with np.load(tmp_path / "f.npz") as found:
        np.testing.assert_allclose(found["features"], run.model().transform(archive), atol=1e-6)
    assert not list(tmp_path.glob(".f.npz*"))
