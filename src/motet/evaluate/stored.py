"""What an evaluation file holds already: results of one protocol at a time, found again by what decides them.

An evaluation is written after every protocol, so an interrupted one continues where it stopped, and a second call with
other protocols adds to the first. Each protocol's entry carries a key, the digest of all that decides its rows: the
weights, the clips with their labels, the number of seeds, the baselines, its options and motet's version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from motet._version import __version__
from motet.core.errors import ConfigError
from motet.core.forms import checked
from motet.engine.table import Row
from motet.evaluate.context import Context


@dataclass
class Entry:
    """One protocol of an evaluation.

    Attributes:
        name: the protocol.
        key: digest of all that decides the rows.
        command: the command that gives the same rows: before the name of the protocol, after it, and its options.
        seeds: how many initialisations.
        seconds: how long it took.
        rows: its rows.
        confusion: what :func:`motet.evaluate.results.shown_confusion` makes of them, or None.
        notes: what a reader must know about this protocol.
        record: what the protocol keeps next to its rows, such as the clips that it drew.
    """

    name: str
    key: str
    command: tuple[str, str, str]
    seeds: int
    seconds: float
    rows: list[Row]
    confusion: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    record: Any = None

    def facts(self) -> dict[str, Any]:
        """All but rows and confusion, which stand at the top of an evaluation."""
        kept = ("name", "key", "command", "seeds", "seconds", "notes", "record")
        return {k: getattr(self, k) for k in kept}


def base_key(context: Context) -> str:
    """Digest of whom and what an evaluation evaluates: weights, clips, labels, people."""
    facts = [
        [features.weights_digest() for features in context.learned],
        context.hash,
        _digest(context.train.numpy().tobytes() + context.test.numpy().tobytes()),
        _digest(context.train_labels.tobytes() + context.test_labels.tobytes()),
        list(context.class_names),
        [context.frames, list(context.streams), context.preprocess],
        None if context.people is None else _digest(context.people.tobytes()),
    ]
    return _digest(json.dumps(facts).encode())


REVISION = 4
"""raised when the same options give other rows than before, so that stored ones are not taken for them"""


def entry_key(
    base: str,
    name: str,
    options: Any,
    *,
    seeds: int,
    baselines: bool,
    without_copies: bool = False,
    centre_by: str | None = None,
    groups: npt.NDArray[np.int64] | None = None,
) -> str:
    """Digest of all that decides the rows of one protocol; ``groups``: those of ``centre_by``."""
    facts = [__version__, REVISION, base, name, seeds, baselines, asdict(options)]
    facts += ["without copies"] if without_copies else []
    if centre_by is not None and groups is not None:
        facts += [f"centred by {centre_by}", _digest(groups.tobytes())]
    return _digest(json.dumps(facts, default=str, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


class _Facts(TypedDict):
    """What :meth:`Entry.facts` writes."""

    name: str
    key: str
    command: list[str]
    seeds: int
    seconds: float
    notes: list[str]


def read(path: Path, base: str) -> dict[str, Entry]:
    """Entries of an evaluation file that evaluated the same weights on the same clips; none if there is no such file.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        if content.get("key") != base:
            return {}
        checked(list[_Facts], content["protocols"], path)
        return {facts["name"]: _entry(facts, content) for facts in content["protocols"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged ({error!r}); remove it and evaluate again") from error


def _entry(facts: Mapping[str, Any], content: Mapping[str, Any]) -> Entry:
    rows = [Row.from_dict(row) for row in content["rows"] if row["protocol"] == facts["name"]]
    confusions = content["confusions"]
    facts = {**facts, "command": tuple(facts["command"])}
    return Entry(**facts, rows=rows, confusion=confusions.get(facts["name"]))


def merged(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """``protocols``, ``rows``, ``confusion`` and ``confusions`` of an evaluation."""
    confusions = {name: entry.confusion for name, entry in entries.items() if entry.confusion is not None}
    order = [*(n for n in ("linear", "linear-cached") if n in confusions), *confusions]
    return {
        "protocols": [entry.facts() for entry in entries.values()],
        "rows": [row.to_dict() for entry in entries.values() for row in entry.rows],
        "confusion": confusions[order[0]] if order else None,
        "confusions": confusions,
    }


def command(entries: Sequence[Entry]) -> str:
    """The commands that give the whole table; protocols that differ in nothing but their names share one."""
    lines: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for entry in entries:
        before, after, options = entry.command
        names, flags = lines.setdefault((before, after), ([], []))
        names.append(entry.name)
        flags.append(options)
    said = []
    for (before, after), (names, flags) in lines.items():
        said.append(" ".join(filter(None, [before, "--protocols", *names, after, *flags])))
    return " && ".join(said)
