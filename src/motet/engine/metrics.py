"""metrics.jsonl: means over the steps of an epoch, one line for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motet.core.files import written
from motet.engine.run import Run


class Means:
    """Means of named numbers over the steps that have them; of each replica over the steps that it takes."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, list[Any]]] = {}

    def add(self, group: str, values: Mapping[str, Any], active: Sequence[bool] | None = None) -> None:
        """The numbers of one step, each a float or (replicas,)."""
        home = self._sums.setdefault(group, {})
        for name, value in values.items():
            entry = home.setdefault(name, [0.0, 0])
            if active is None or not np.ndim(value):
                entry[0], entry[1] = entry[0] + value, entry[1] + 1
            else:
                on = np.asarray(active)
                entry[0], entry[1] = entry[0] + np.where(on, value, 0.0), entry[1] + on

    def of(self, group: str) -> dict[str, Any]:
        """Mean of every number of a group."""
        return {name: total / count for name, (total, count) in self._sums.get(group, {}).items()}

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            group: {name: [np.asarray(part).tolist() for part in entry] for name, entry in home.items()}
            for group, home in self._sums.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._sums = {
            group: {
                name: [np.asarray(part) if isinstance(part, list) else part for part in (total, count)]
                for name, (total, count) in home.items()
            }
            for group, home in state.items()
        }


def append_line(run: Run, line: Mapping[str, Any]) -> None:
    """One more line of metrics.jsonl."""
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def keep_lines(run: Run, epochs: int, last: Mapping[str, Any] | None) -> None:
    """Drop the lines of epochs that will be trained again; a line that a kill kept from being written is added."""
    path = run.path / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if _whole(line)][:epochs]
    if last is not None and len(kept) == epochs - 1:
        kept.append(json.dumps(last))
    if kept != lines:
        with written(path) as partial:
            partial.write_text("".join(line + "\n" for line in kept))


def _whole(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:  # cut short by a kill
        return False
