"""Comparison of two records: by place first, then by content."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.record.changes import INTENDED, RENAMED

TOLERANCE, OF_GRAPHS = 1e-2, 0.15
"""relative, of numbers and norms on another machine: batches of few graphs raise what is rounded by more, and Adam
walks a bias before a batch norm, whose gradient is nothing but rounding, by its full rate."""

DECIDED = re.compile(r"confusions?/|/rows/\d+/(values/|mean$|sd$)|/knn/|/accuracy/")
"""counts of right and wrong answers: of two neighbours nearly as near, another machine may choose the other."""


@dataclass
class Differences:
    """What differs, by run and kind.

    Attributes:
        counts: of what is equal at its place, equal elsewhere, close, intended, different and gone.
        lines: what to say about everything that is not equal.
    """

    counts: Counter[str] = field(default_factory=Counter)
    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def unexpected(self) -> int:
        """How much is different or gone and was not declared."""
        return self.counts["different"] + self.counts["gone"]

    def add(self, run: str, kind: str, line: str = "") -> None:
        """Count one comparison, with a line where there is something to say."""
        self.counts[kind] += 1
        if line:
            self.lines.setdefault(run, {}).setdefault(kind, []).append(line)

    def report(self, limit: int | None = 5) -> str:
        """Counts, and for each run the first lines of every kind."""
        said = []
        for run, kinds in self.lines.items():
            said.append(f"{run}: {', '.join(f'{len(lines)} {kind}' for kind, lines in kinds.items())}")
            for kind, lines in kinds.items():
                said += [f"  {kind}: {line}" for line in lines[:limit]]
                if limit is not None and len(lines) > limit:
                    said.append(f"  {kind}: … and {len(lines) - limit} more")
        return "\n".join([*said, ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))])


def compare(stored: Mapping[str, Any], found: Mapping[str, Any]) -> Differences:
    """Compare the runs that both records hold, and name those of the first that the second should hold.

    On the machine and the versions of the stored record everything must be equal to the last bit; elsewhere numbers
    and norms must agree to :data:`TOLERANCE`, under any name; texts and :data:`DECIDED` are not compared.
    """
    same, differences = stored["made_on"] == found["made_on"], Differences()
    for run, now in found["runs"].items():
        allowed = 0.0 if same else OF_GRAPHS if run.startswith("graphs/") else TOLERANCE
        before = stored["runs"].get(run)
        if before is None:
            differences.add(run, "new", "not in the stored record")
            continue
        for kind in ("tensors", "numbers", "texts"):
            _compare(run, kind, _renamed(before[kind]), now[kind], allowed, differences)
        if same:
            _compare_states(run, before, now, differences)
    return differences


def _renamed(entries: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for place, value in entries.items():
        for pattern, replacement in RENAMED:
            place = re.sub(pattern, replacement, place)
        found[place] = value
    return found


def _compare(
    run: str, kind: str, before: Mapping[str, Any], now: Mapping[str, Any], allowed: float, differences: Differences
) -> None:
    keys = {_key(kind, value): place for place, value in now.items()}
    for place, value in before.items():
        if place in now and _same(kind, value, now[place], allowed):
            differences.add(run, "equal")
        elif found := _elsewhere(kind, value, now, keys, allowed):
            differences.add(run, "equal elsewhere", f"{place} → {found}")
        elif reason := _intended(run, place, value, now.get(place)):
            differences.add(run, "intended", f"{place}: {reason}")
        elif place not in now:
            differences.add(run, "gone", place)
        elif not allowed or (kind != "texts" and not DECIDED.search(place)):
            differences.add(run, "different", f"{place}: {value} → {now[place]}")


def _elsewhere(kind: str, value: Any, now: Mapping[str, Any], keys: Mapping[Any, str], allowed: float) -> str:
    """The place of an equal value; where bits may differ, of a tensor of the same shape and norm."""
    if not allowed:
        return keys.get(_key(kind, value), "")
    return next((place for place, other in now.items() if kind == "tensors" and _same(kind, value, other, allowed)), "")


def _compare_states(run: str, before: Mapping[str, Any], now: Mapping[str, Any], differences: Differences) -> None:
    """States of optimisers, which may have moved among the tensors."""
    there = {*now["states"], *(_key("tensors", content) for content in now["tensors"].values())}
    missing = sum(digest not in there for digest in before["states"])
    differences.counts["equal"] += len(before["states"]) - missing
    if missing:
        reason = _intended(run, "states")
        line = f"{missing} of {len(before['states'])} tensors of the optimisers"
        differences.add(run, "intended" if reason else "different", f"{line}: {reason}" if reason else line)


def _key(kind: str, value: Any) -> Any:
    """What is equal where two values are."""
    return value.split()[1] if kind == "tensors" else value


def _same(kind: str, before: Any, now: Any, allowed: float) -> bool:
    if not allowed or kind == "texts":
        return bool(_key(kind, before) == _key(kind, now))
    if kind == "numbers":
        return _close(before, now, allowed)
    shape, _, norm = before.split()
    other, _, now_norm = now.split()
    return bool(shape == other) and _close(float(norm), float(now_norm), allowed)


def _close(before: float, now: float, allowed: float) -> bool:
    return math.isclose(before, now, rel_tol=allowed, abs_tol=1e-5) or (math.isnan(before) and math.isnan(now))


def _intended(run: str, place: str, before: Any = None, now: Any = None) -> str:
    """Why a place may differ as it does, or nothing."""
    for change in INTENDED:
        if re.match(change.run, run) and re.search(change.place, place):
            numbers = isinstance(before, int | float) and isinstance(now, int | float)
            if change.tolerance == math.inf or (
                numbers and abs(before - now) <= change.tolerance * max(1, abs(before))
            ):
                return change.reason
    return ""
