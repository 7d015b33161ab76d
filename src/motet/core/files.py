"""Files that appear whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError, RunError
from motet.core.text import counted

_LITTLE = 1 << 20  # bytes free below which a failed write is one for lack of room


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary name to write to; it becomes ``path`` only if the block succeeds.

    The file has the permissions that the umask gives, also where a library writes one that only its owner may read.
    What a process that was killed has left of the same file is removed.

    Raises:
        RunError: the disk is full, or files may not be that large.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    _remove_dead(path.parent.glob(f".{escape(path.name)}.*partial-*"))
    try:
        partial.touch()
        usual = partial.stat().st_mode & 0o777
        yield partial
        if partial.stat().st_mode & 0o777 != usual:
            partial.chmod(usual)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except Exception as error:
        if why := _no_room(error, path.parent):
            done = partial.stat().st_size if partial.exists() else 0
            free = shutil.disk_usage(path.parent).free
            raise RunError(
                f"{path} cannot be written: {why} ({counted(done, 'byte')} written, {free:,} free); what "
                "was there before is unchanged. Make room, or choose another place"
            ) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def _no_room(error: Exception, folder: Path) -> str:
    """Why a write failed, if for lack of room; libraries that write in C++ say so in words of their own."""
    said, number = str(error), error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in said:
        return "the disk is full"
    if number == errno.EFBIG or "File too large" in said:
        return "files may not be that large here"
    if "failed writing file" in said and shutil.disk_usage(folder).free < _LITTLE:
        return "the disk is full"
    return ""


def sweep(folder: Path) -> None:
    """Remove what processes that have died left half-written in a folder and those directly below it."""
    for pattern in (".*.partial-*", "*/.*.partial-*"):
        _remove_dead(folder.glob(pattern))


def _remove_dead(partials: Iterable[Path]) -> None:
    """Remove those of partial files whose process has died."""
    for path in partials:
        number = path.name.rpartition("-")[2]
        if number.isdigit() and not alive(int(number)) and path.is_file():
            path.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether a process of that number exists."""
    if process == os.getpid() or os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def refuse_existing(path: str | Path, overwrite: bool, *endings: str) -> None:
    """Keep what is there.

    Args:
        path: to write.
        overwrite: whether it was asked for.
        *endings: of the files that may be overwritten; none where a folder is written, see :func:`folder_written`.

    Raises:
        ConfigError: there is something, and nobody asked to overwrite it or it is not of this kind.
    """
    path = Path(path)
    if not path.exists():
        return
    if not overwrite:
        raise ConfigError(f"{path} exists already; choose another --out or pass --overwrite")
    what = "is a folder" if path.is_dir() else f"is no {' or '.join(endings)} file" if endings else "is a file"
    if path.is_dir() == bool(endings) or (endings and path.suffix.lower() not in endings):
        raise ConfigError(f"{path} {what}, so it is not overwritten; choose another name")


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically."""
    with written(path) as partial:
        partial.write_text(json.dumps(data, indent=1) + "\n")


@contextmanager
def folder_written(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when the block ends without an error.

    Raises:
        ConfigError: ``folder`` holds what was not written here, so its place is not taken.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        made = {p.name for p in partial.iterdir()}
        others = [p.name for p in folder.iterdir() if p.is_dir() or p.name not in made] if folder.is_dir() else []
        if others:
            raise ConfigError(
                f"{folder} holds {min(others)}, which is not written here, so it is not overwritten; choose another "
                "--out"
            )
        take_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def take_place(partial: Path, folder: Path) -> None:
    """Give a finished folder its name; one that has the name is removed, and is whole until it is replaced.

    The two change places in one step where the file system can do that. Elsewhere, what a process leaves that is killed
    between the two steps is put back by :func:`put_back`.
    """
    if not folder.exists():
        partial.rename(folder)
    elif _exchanged(partial, folder):
        shutil.rmtree(partial, ignore_errors=True)
    else:
        old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
        folder.rename(old)
        try:
            partial.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def put_back(folder: Path) -> None:
    """Give a folder its name again that a process moved away and was killed before it put another in its place."""
    for old in sorted(folder.parent.glob(f".{escape(folder.name)}.old-*")):
        number = old.name.rpartition("-")[2]
        if number.isdigit() and not alive(int(number)):
            shutil.rmtree(old, ignore_errors=True) if folder.exists() else old.rename(folder)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders could change places in one step."""
    paths = os.fsencode(one), os.fsencode(other)
    system: Any = ctypes.CDLL(None) if os.name == "posix" else None
    if hasattr(system, "renameat2"):  # Linux; -100: paths are those of this process, 2: exchange
        return bool(system.renameat2(-100, paths[0], -100, paths[1], 2) == 0)
    if hasattr(system, "renamex_np"):  # macOS
        return bool(system.renamex_np(*paths, 2) == 0)
    return False
