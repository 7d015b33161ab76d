"""Files that are whole or not there, one writer at a time, and a disk without room."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from motet.core import files
from motet.core.errors import RunError
from motet.core.files import sweep, written
from motet.core.locks import LOCK, one_writer

Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.bin"
    path.write_text("old")

    def fail() -> None:
        with written(path) as partial:
            partial.write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device", str(partial))

    with pytest.raises(RunError, match=r"weights\.bin cannot be written: the disk is full \(3 bytes written"):
        fail()
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: Usage(10, 10, 0))
    with pytest.raises(RunError, match="0 free"), written(path):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 1 << 40))
    with pytest.raises(RuntimeError, match="Pytorch"), written(path):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["weights.bin"]


def test_what_dead_processes_left_is_removed_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "checkpoints").mkdir()
    gone = [tmp_path / f".a.json.partial-{dead.pid}", tmp_path / "checkpoints" / f".step-1.pt.partial-{dead.pid}"]
    kept = [tmp_path / f".b.json.partial-{os.getpid()}", tmp_path / ".c.partial-x", tmp_path / "d"]
    for path in (*gone, *kept):
        path.touch()
    sweep(tmp_path)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with one_writer(tmp_path):
        with pytest.raises(RunError, match=rf"is being written by process {os.getpid()} on"), one_writer(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()
    with one_writer(tmp_path):
        pass


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from motet.core.locks import one_writer\n"
        "with one_writer(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert (tmp_path / LOCK).exists()
    with one_writer(tmp_path):
        pass
    shutil.rmtree(tmp_path)
