"""Labels as a person edits them: every edit is one transaction, journalled before it is answered, and can be undone."""

from __future__ import annotations

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from motet.core.errors import ConfigError, DataError
from motet.core.files import write_json
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.tracks import UNKNOWN, check_name

NAME_LENGTH = 80
SHORTEST = 0.01
"""seconds; what is left shorter than this when labels are cut is dropped."""


@dataclass(frozen=True)
class Interval:
    """One label: ``clip`` is the row of the archive, times are seconds."""

    id: int
    clip: int
    start: float
    end: float
    label: str
    rater: str
    certainty: float | None = None

    def to_list(self) -> list[Any]:
        """As the page has it."""
        return [self.id, self.clip, self.start, self.end, self.label, self.rater, self.certainty]


@dataclass(frozen=True)
class Change:
    """One transaction: intervals that went and that came."""

    removed: tuple[Interval, ...]
    added: tuple[Interval, ...]

    @property
    def inverse(self) -> Change:
        """What takes it back."""
        return Change(self.added, self.removed)


class Labels:
    """The intervals of one track in memory, each edit on disk before it counts.

    Args:
        archive: recordings; its own labels and frames are never changed.
        track: name of the track that is edited, created with the first edit.

    Attributes:
        classes: names in the order of their keys: those in use, and those that were only made so far.
        revision: counts the transactions; pages ask for what came after the one they know.
    """

    def __init__(self, archive: MotionArchive, track: str) -> None:
        self.archive, self.track = archive, check_name(track)
        self.tracks = archive.tracks
        self._names: list[str] = archive.clips["name"].to_list()
        self._seconds = list(self.tracks.durations.values())
        self._lock = threading.RLock()
        self._ids = itertools.count(1)
        self._intervals: dict[int, Interval] = {}
        self._of_clip: dict[int, set[int]] = defaultdict(set)
        self._history: list[Change] = []
        self._done: dict[str, list[Change]] = defaultdict(list)
        self._undone: dict[str, list[Change]] = defaultdict(list)
        self._classes_file = self.tracks.folder / f"{track}.classes.json"
        self.classes: list[str] = []
        self._load()

    @property
    def revision(self) -> int:
        return len(self._history)

    def _load(self) -> None:
        number = {name: clip for clip, name in enumerate(self._names)}
        if self.track in self.tracks:
            rows = self.tracks[self.track]
            if (self.tracks.folder / f"{self.track}.journal").exists():
                self.tracks.save(self.track, rows)  # folds the edits of the last time into the table
            for row in rows.iter_rows(named=True):
                clip, rater = number[row["recording"]], row["rater"] or UNKNOWN
                self._put(
                    Interval(next(self._ids), clip, row["start"], row["end"], row["label"], rater, row["certainty"])
                )
        kept: list[str] = []
        if self._classes_file.exists():
            try:
                found = json.loads(self._classes_file.read_text(encoding="utf-8"))
                kept = [name for name in found if isinstance(name, str)]
            except (ValueError, TypeError):
                kept = []  # an order of keys is not worth a refusal
        used = {one.label for one in self._intervals.values()}
        known = kept or list(self.archive.class_names)
        self.classes = known + sorted(used - set(known))

    def _put(self, one: Interval) -> None:
        self._intervals[one.id] = one
        self._of_clip[one.clip].add(one.id)

    def _drop(self, one: Interval) -> None:
        del self._intervals[one.id]
        self._of_clip[one.clip].discard(one.id)

    def all(self) -> list[Interval]:
        """Every interval, in no order."""
        with self._lock:
            return list(self._intervals.values())

    # -------------------------------------------------------------------------------------------------- for the page

    def since(self, revision: int, rater: str) -> dict[str, Any]:
        """What a page that knows ``revision`` must change; everything for one that knows nothing (-1)."""
        with self._lock:
            reset = not 0 <= revision <= self.revision
            came: dict[int, Interval] = {}
            went: set[int] = set()
            for change in [] if reset else self._history[revision:]:
                went.update(one.id for one in change.removed)
                came = {k: v for k, v in came.items() if k not in went} | {one.id: one for one in change.added}
                went.difference_update(one.id for one in change.added)
            added = list(self._intervals.values()) if reset else list(came.values())
            return {
                "revision": self.revision,
                "reset": reset,
                "added": [one.to_list() for one in added],
                "removed": sorted(went),
                "classes": list(self.classes),
                "undo": bool(self._done[rater]),
                "redo": bool(self._undone[rater]),
            }

    def edit(self, operations: Sequence[Mapping[str, Any]], rater: str) -> None:
        """Apply operations as one transaction, all or none.

        Args:
            operations: ``{"do": "add", "clip", "start", "end", "label", "certainty"?}``, ``{"do": "change", "id", …}``,
                ``{"do": "remove", "id"}``, ``{"do": "class", "name"}``, ``{"do": "rename", "name", "to"}``. What is
                added or changed cuts other labels of the same rater where it lies on them. Imported labels, which
                name no rater, never change.
            rater: who edits.

        Raises:
            ConfigError, DataError: an operation that makes no sense; nothing is changed then.
        """
        rater = _word(rater, "the rater's name")
        if rater == UNKNOWN:
            raise ConfigError(
                f"{UNKNOWN!r} is the rater of imported labels, which are never changed; choose another name"
            )
        with self._lock:
            draft = _Draft(self)
            classes = list(self.classes)
            for operation in operations:
                self._operate(draft, classes, operation, rater)
            change = draft.change()
            for one in change.added:
                if one.label not in classes:
                    classes.append(one.label)
            self._commit(change)
            self._name_classes(classes)
            if change.added or change.removed:
                self._done[rater].append(change)
                self._undone[rater].clear()

    def _operate(self, draft: _Draft, classes: list[str], operation: Mapping[str, Any], rater: str) -> None:
        what = operation.get("do")
        if what == "class":
            name = _word(operation.get("name"), "a class")
            if name not in classes:
                classes.append(name)
        elif what == "rename":
            name, to = _word(operation.get("name"), "a class"), _word(operation.get("to"), "a class")
            if name not in classes:
                raise ConfigError(f"there is no class {name!r}")
            kept = [name] if any(i.label == name and i.rater == UNKNOWN for i in draft.intervals()) else []
            new = [part for c in classes for part in ([*kept, to] if c == name else [c])]
            classes[:] = list(dict.fromkeys(new))
            for one in [i for i in draft.intervals() if i.label == name and i.rater != UNKNOWN]:
                draft.remove(one)
                draft.add(replace(one, id=next(self._ids), label=to))
        elif what == "add":
            draft.place(self._interval(operation, rater))
        elif what in ("change", "remove"):
            one = draft.get(operation.get("id"))
            if one.rater != rater:
                raise ConfigError(f"this label is of {one.rater}; {rater} can only change their own")
            draft.remove(one)
            if what == "change":
                fields = {k: operation[k] for k in ("start", "end", "label", "certainty") if k in operation}
                draft.place(self._interval({**one.__dict__, **fields}, one.rater))
        else:
            raise ConfigError(f"there is no operation {what!r}")

    def _interval(self, given: Mapping[str, Any], rater: str) -> Interval:
        clip, certainty = given.get("clip"), given.get("certainty")
        if not isinstance(clip, int) or isinstance(clip, bool) or not 0 <= clip < len(self._names):
            raise ConfigError(f"there is no recording {clip!r}")
        start, end = _number(given.get("start"), "start"), _number(given.get("end"), "end")
        start, end = max(0.0, start), min(end, self._seconds[clip])
        if end - start < SHORTEST:
            raise DataError(f"a label of {self._names[clip]} from {start:g} to {end:g} s is empty or runs backward")
        if certainty is not None and not 0 <= _number(certainty, "certainty") <= 1:
            raise DataError(f"certainty is {certainty}; it must be between 0 and 1")
        label = _word(given.get("label"), "a label")
        return Interval(int(given.get("id") or next(self._ids)), clip, start, end, label, rater, certainty)

    def undo(self, rater: str) -> None:
        """Take back the last transaction of a rater."""
        self._back(rater, self._done, self._undone)

    def redo(self, rater: str) -> None:
        """Do again what was undone last."""
        self._back(rater, self._undone, self._done)

    def _back(self, rater: str, source: dict[str, list[Change]], target: dict[str, list[Change]]) -> None:
        with self._lock:
            if not source[rater]:
                return
            change = source[rater][-1].inverse
            if any(self._intervals.get(one.id) != one for one in change.removed):
                source[rater].clear()
                raise ConfigError("these labels were changed elsewhere since; undo ends here")
            self._commit(change)
            source[rater].pop()
            target[rater].append(change)

    # ------------------------------------------------------------------------------------------------------- on disk

    def _commit(self, change: Change) -> None:
        if not (change.added or change.removed):
            return
        self.tracks.edit(self.track, add=self.rows(change.added), remove=self.rows(change.removed))
        for one in change.removed:
            self._drop(one)
        for one in change.added:
            self._put(one)
        self._history.append(change)

    def _name_classes(self, classes: list[str]) -> None:
        if classes != self.classes:
            write_json(self._classes_file, classes)
            self.classes = classes

    def rows(self, intervals: Iterable[Interval]) -> list[dict[str, Any]]:
        """Intervals as rows of a track."""
        return [
            {
                "recording": self._names[one.clip],
                "start": one.start,
                "end": one.end,
                "label": one.label,
                "rater": one.rater,
                "certainty": one.certainty,
            }
            for one in intervals
        ]

    def others_in(self, clip: int, rater: str) -> list[Interval]:
        """The labels of a rater in one recording."""
        return [self._intervals[i] for i in self._of_clip[clip] if self._intervals[i].rater == rater]


class _Draft:
    """A transaction in the making, over the labels as they are."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.removed: dict[int, Interval] = {}
        self.added: dict[int, Interval] = {}
        self._of: dict[tuple[int, str], set[int]] = defaultdict(set)  # what was added, by recording and rater

    def intervals(self) -> list[Interval]:
        return [one for one in self.labels.all() if one.id not in self.removed] + list(self.added.values())

    def get(self, number: object) -> Interval:
        found = self.added.get(number) if isinstance(number, int) else None
        if found is None and isinstance(number, int) and number not in self.removed:
            found = self.labels._intervals.get(number)
        if found is None:
            raise ConfigError("this label is not there any more; it was changed elsewhere")
        result: Interval = found
        return result

    def remove(self, one: Interval) -> None:
        if self.added.pop(one.id, None) is None:
            self.removed[one.id] = one

    def add(self, one: Interval) -> None:
        self.added[one.id] = one
        self._of[one.clip, one.rater].add(one.id)

    def place(self, new: Interval) -> None:
        """Add, and cut what lies there."""
        mine = [one for one in self.labels.others_in(new.clip, new.rater) if one.id not in self.removed]
        mine += [self.added[i] for i in sorted(self._of[new.clip, new.rater]) if i in self.added]
        for one in mine:
            if one.id == new.id or one.end <= new.start or one.start >= new.end:
                continue
            self.remove(one)
            for part in (replace(one, end=new.start), replace(one, start=new.end)):
                if part.end - part.start >= SHORTEST:
                    self.add(replace(part, id=next(self.labels._ids)))
        self.add(new)

    def change(self) -> Change:
        same = {k for k, one in self.added.items() if self.removed.get(k) == one}
        removed = tuple(one for k, one in self.removed.items() if k not in same)
        return Change(removed, tuple(one for k, one in self.added.items() if k not in same))


def _word(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{what} needs a name")
    text = " ".join(value.split())
    if len(text) > NAME_LENGTH or not text.isprintable():
        raise ConfigError(f"{what} is named with at most {counted(NAME_LENGTH, 'character')} that can be printed")
    return text


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise ConfigError(f"{what} is {value!r}; it must be a number of seconds")
    return float(value)
