"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary name to write to; it becomes ``path`` only if the block succeeds.

    The file has the permissions that the umask gives, also where a library writes one that only its owner may read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.touch()
        usual = partial.stat().st_mode & 0o777
        yield partial
        if partial.stat().st_mode & 0o777 != usual:
            partial.chmod(usual)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes that have died left half-written in a folder and those directly below it."""
    for pattern in (".*.partial-*", "*/.*.partial-*"):
        for path in folder.glob(pattern):
            number = path.name.rpartition("-")[2]
            if number.isdigit() and not _alive(int(number)) and path.is_file():
                path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if process == os.getpid():
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
