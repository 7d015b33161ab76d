"""Files that are whole or not there, one writer at a time, and a disk without room."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path

import pytest

from motet.core import files
from motet.core.errors import ConfigError, RunError
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


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_folder_is_whole_until_another_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanged: bool
) -> None:
    """Also where the process is killed between the two steps that a file system without an exchange needs."""
    place, made = tmp_path / "a[1]", tmp_path / "made"
    for folder in (place, made):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    if exchanged and files._exchanged(place, made):
        assert files._exchanged(place, made)
    if not exchanged:
        monkeypatch.setattr(files, "_exchanged", lambda *_: False)
    files.take_place(made, place)
    assert ((place / "name").read_text(), [p.name for p in tmp_path.iterdir()]) == ("made", ["a[1]"])
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    place.rename(tmp_path / f".a[1].old-{dead.stdout.strip()}")
    (tmp_path / ".a[1].old-x").mkdir()
    files.put_back(place)
    assert (place / "name").read_text() == "made"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["a.csv", "b.csv"], "holds b.csv, which is not written here, so"),
        (["a.csv/x"], "holds a.csv, which"),
        ([], "is a file, so"),
        (["a.csv"], ""),
    ],
)
def test_what_is_of_another_kind_is_not_overwritten(tmp_path: Path, there: list[str], said: str) -> None:
    out = tmp_path / "out"
    for name in there or ["."]:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        files.refuse_existing(out, False)
    if out.is_dir():
        with pytest.raises(ConfigError, match="is a folder, so"):
            files.refuse_existing(out, True, ".csv")
    with pytest.raises(ConfigError, match=said) if said else nullcontext():
        files.refuse_existing(out, True)
        with files.folder_written(out) as partial:
            (partial / "a.csv").write_text("new")
    assert {p.read_text() for p in tmp_path.rglob("*") if p.is_file()} == {"mine" if said else "new"}


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
