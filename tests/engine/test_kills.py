"""Kills and flips: a few of what ``python -m tests.kills`` and ``python -m tests.flips`` try by the hundred."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import RunError
from motet.core.files import written
from tests.flips import flips

ROOT = Path(__file__).resolve().parents[2]


def test_flipped_fields_are_never_silent() -> None:
    seen, silent = flips(12, seed=1, names=("pretrain", "distill"))
    assert silent == []
    assert seen.total() == 12


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Files of this process may have 20,000 bytes; more is an error, as on a disk that is full."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield 20_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_file_that_does_not_fit_is_one_line_with_path_and_bytes(tmp_path: Path, small_disk: int) -> None:
    path = tmp_path / "table.npz"
    path.write_bytes(b"before")
    with pytest.raises(RunError, match=r"table\.npz cannot be written: .*\(20,000 bytes written") as error:  # noqa: SIM117
        with written(path) as partial, partial.open("wb") as file:
            np.savez(file, x=np.zeros(small_disk))
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_file_goes_when_it_is_written_again(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    for name in (f".a.npz.partial-{dead.pid}", f".a.npz.features.partial-{dead.pid}"):
        (tmp_path / name).write_bytes(b"half")
    alive = tmp_path / f".a.npz.partial-{os.getppid()}"
    alive.write_bytes(b"of another process")
    with written(tmp_path / "a.npz") as partial:
        partial.write_bytes(b"whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([alive.name, "a.npz"])


PARENT = """
import multiprocessing, sys, time
from motet.core.workers import end_with_parent
def work():
    end_with_parent()
    time.sleep(60)
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc to look at processes in")
def test_a_worker_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(500):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker lives on")
