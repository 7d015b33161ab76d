"""Files that appear whole or not at all."""

from __future__ import annotations

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


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Keep what is there.

    Raises:
        ConfigError: there is something, and nobody asked to overwrite it.
    """
    if not overwrite and Path(path).exists():
        raise ConfigError(f"{path} exists already; choose another --out or pass --overwrite")


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically."""
    with written(path) as partial:
        partial.write_text(json.dumps(data, indent=1) + "\n")


@contextmanager
def folder_written(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when the block ends without an error."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
