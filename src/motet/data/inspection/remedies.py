"""Commands that remove what was found in an archive."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from motet.core.errors import ConfigError
from motet.core.text import pasted
from motet.data import formats
from motet.data.archive import MotionArchive
from motet.data.formats.base import make_options

NOTHING = "nothing is to be done"
"""begins a remedy where no command helps"""
_VERBS = {"select", "merge", "windows", "stitch", "convert", "label"}
"""what archives that were made of others keep their names under, in ``source``"""


def next_to(path: Path) -> Path:
    """Where a remedy writes: next to the archive; of a sensor next to the archive of the skeletons."""
    whole = path.parent.parent
    if path.parent.name == "sensors" and (whole / "archive.json").exists():
        return whole.with_name(f"{whole.name}-{path.name}-sound")
    return path.with_name(f"{path.name}-sound")


def made(archive: MotionArchive, verb: str, *words: object) -> str:
    """The command that makes a sound archive of this one, next to it."""
    path = archive.path
    return f"motet data {verb} {pasted(path, next_to(path), *words)}"


def again(archive: MotionArchive, option: str, value: Any, otherwise: str) -> str:
    """The command that imports the recordings again with another option; other words where the format lacks it.

    All else that the import was given is given again.
    """
    return import_command(archive, **{option: value}) or f"{otherwise}, and import again"


def import_command(archive: MotionArchive, *, skip: bool = True, **changed: Any) -> str | None:
    """The command that made the archive, with some options changed; None where it is not known or would fail.

    It replaces the archive, and label tracks that are lost so are spoken of; what was made of another archive stays,
    as an import does not make it again.

    Args:
        archive: what was imported.
        skip: whether files that cannot be read are skipped where they were.
        **changed: options.
    """
    source, path = archive.source, archive.path
    own = not _VERBS & source.keys()
    name, stored = str(source.get("format")), source.get("options")
    try:
        kind = formats.get(name).options
        options = {k: v for k, v in (stored if isinstance(stored, dict) else {}).items() if v is not None} | changed
        chosen = make_options(name, kind, options)
    except ConfigError:
        return None
    words = ["motet", "data", "import", name, str(source.get("path")), str(path if own else next_to(path))]
    hints = get_type_hints(kind)
    for entry in fields(kind):
        value = getattr(chosen, entry.name)
        if value != entry.default or entry.name in changed:
            words += _flag(entry.name, value, switch=hints[entry.name] is bool)
    words += ["--on-error", "skip"] if source.get("skipped") and skip else []
    words += ["--dtype", "float16"] if archive.frames.dtype == np.float16 else []
    first = "save the label tracks first (data export --form table): " if own and len(archive.tracks) else ""
    return first + shlex.join([*words, *["--overwrite"] * own])


def state_rate(archive: MotionArchive) -> str:
    """How a frame rate is stated."""
    command = import_command(archive, fps=30.0)
    return f"state the rate, if it is 30: {command}" if command else "state the rate and import again"


def _flag(option: str, value: Any, *, switch: bool) -> list[str]:
    """Words of the command line that set an option; ``switch``: it takes no value."""
    name = option.replace("_", "-")
    if switch:
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, tuple):
        return [f"--{name}", *map(str, value)]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]
