"""What lies at a path - recordings, a run, weights, a classifier, a table - and which verbs take it.

Nothing is opened but a small JSON file, so a verb that was given the wrong thing can say in one line what it was given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from motet.core.text import pasted

CLASSIFIER = "classifier"
"""kind of the models of ``motet fit`` in their config.json"""
_OURS = ("kind", "motet", "recipe", "options")  # a config.json of any version has at least one of these
_RUNS = "`motet evaluate`, `motet embed` and `motet report` take"


class Wanted(NamedTuple):
    """What a verb needs.

    Attributes:
        name: as in "not a run".
        full: as in "is not a run directory".
        missing: after the path, where there is nothing.
        remedy: how to get one.
    """

    name: str
    full: str
    missing: str
    remedy: str


_FIT = "make one with `motet fit ARCHIVE --out MODEL`"
WANTED: Mapping[str, Wanted] = {
    "run": Wanted(
        "a run",
        "a run directory",
        "is not a run directory",
        "`motet pretrain`, `motet discover`, `motet distill`, `motet distill raw` and `motet graphs` make one",
    ),
    "model": Wanted("a fitted model", "a fitted model", "is not a fitted model", _FIT),
    "archive": Wanted(
        "an archive",
        "a motion archive",
        "does not exist",
        "make an archive with `motet data import` or `motet data simulate`",
    ),
    "table": Wanted("a table", "a table", "does not exist", "give a CSV, e.g. what `motet predict` writes"),
    "graphs": Wanted(
        "a graph set", "a folder of a TU graph set", "is not a folder of a TU graph set", "it does not exist"
    ),
}
_IMPORT = "make one of it with `motet data import {form} {path} DESTINATION`"


def verb_of(kind: str) -> str:
    """The verb that makes runs of a kind, as a person writes it."""
    return kind.replace("-", " ")


def guessed(config: Mapping[str, Any]) -> str:
    """The kind of a run of a version that did not write it."""
    return "graphs" if "options" in config and "seeds" in config else "pretrain"


def kind_of(path: str | Path) -> str | None:
    """The kind of the run or classifier in a directory; None where there is none that can be read."""
    try:
        config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict) or not any(word in config for word in _OURS):
        return None
    return str(config.get("kind") or guessed(config))


def described(path: str | Path) -> tuple[str, str]:
    """What lies at a path and which verbs take it, as "is an archive …" and "`motet pretrain` … take".

    Returns:
        Two empty texts where it is nothing of motet.
    """
    path = Path(path)
    if (path / "archive.json").exists():
        return "is an archive of recordings", "`motet pretrain`, `motet fit` and `motet data inspect` take"
    if path.suffix == ".npz" and path.is_file():
        return "is a file of arrays", "`motet distill` (features) and `motet data import npz` (recordings) take"
    kind = kind_of(path)
    if kind == CLASSIFIER:
        return "is a classifier of `motet fit`", "`motet predict`, `motet app` and `motet report` take"
    if kind is not None:
        packed = not (path / "environment.json").exists() and not (path / "checkpoints").exists()
        return f"{'holds weights' if packed else 'is a run'} of `motet {verb_of(kind)}`", _RUNS
    if path.is_dir() and any(path.glob("*/config.json")):
        return "is a folder of runs", _RUNS
    return "", ""


def mistaken(path: str | Path, wanted: str) -> str:
    """One line on a path that is not what a verb needs: what it is and which verbs take it, or how to get the other.

    Args:
        path: what was given.
        wanted: a name of :data:`WANTED`.
    """
    need = WANTED[wanted]
    what, takers = described(path)
    weights = Path(path) / "weights"
    if wanted == "run" and (weights / "config.json").exists() and kind_of(path) is None:
        return f"{path} is a folder of `motet weights train`, not {need.name}; name {pasted(weights)}"
    if what and not (wanted == "archive" and Path(path).is_file()):
        return f"{path} {what}, not {need.name}; {takers} it"
    if not Path(path).exists():
        return f"{path} {need.missing}; {need.remedy}"
    if wanted == "archive":
        form = "npz" if Path(path).suffix == ".npz" else "FORMAT"
        return f"{path} is not {need.full}; {_IMPORT.format(form=form, path=pasted(path))}"
    there = "it is a file" if Path(path).is_file() else "there is no config.json"
    return f"{path} is not {need.full}; {need.remedy}" + (f" ({there})" if wanted == "run" else "")
