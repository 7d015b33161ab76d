"""One writer at a time: a lock that a process which has died does not hold."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from motet.core.errors import RunError
from motet.core.files import sweep

try:
    import fcntl
except ImportError:  # Windows: the last writer wins, as everywhere without locks
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder, and remove what dead ones left half-written there.

    Raises:
        RunError: another process writes there at present.
    """
    path = folder / LOCK
    file = _taken(path)
    try:
        sweep(folder)
        yield
    finally:
        if file is not None:
            path.unlink(missing_ok=True)
            os.close(file)


def _taken(path: Path) -> int | None:
    if fcntl is None:
        return None
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise RunError(f"{path.parent} is being written by {owner}; wait for it, or choose another --out") from None
        except OSError:  # a file system without locks
            os.close(file)
            return None
        try:
            same = os.fstat(file).st_ino == path.stat().st_ino
        except FileNotFoundError:
            same = False
        if same:
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return file
        os.close(file)  # the one before has removed the file meanwhile
