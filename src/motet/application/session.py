"""One archive that is looked at and labelled: what the page asks for, in Python."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from motet.application.export import FORMATS, export, file_name, scene, zipped
from motet.application.features import OfModel, OfStatistics, Source
from motet.application.labels import Labels
from motet.application.moments import Moments
from motet.application.motion import rate
from motet.application.teach import Teacher
from motet.core.errors import ConfigError
from motet.core.places import CLASSIFIER, kind_of
from motet.core.text import counted, span
from motet.data.archive import MotionArchive
from motet.report.motion import dimensions

if TYPE_CHECKING:
    from motet.use.predictor import Predictor

LONG = 20.0
"""seconds of a median recording from which a label needs a selected time."""
HITS = 24


class Session:
    """What is behind one page.

    Args:
        archive: recordings.
        model: run, weights or classifier whose features are used and whose answers are shown; None for the default.
        track: name of the label track that is edited.
        rater: whose labels they are, where the page does not say another name.
    """

    def __init__(self, archive: MotionArchive, model: str | None, *, track: str, rater: str) -> None:
        self.archive, self.rater = archive, rater
        self._answers: list[list[Any]] | None = None
        self.labels = Labels(archive, track)
        source, self.predictor = _opened(archive, model)
        self.moments = Moments(archive, source)
        self.teacher = Teacher(archive, self.labels, self.moments)
        self.closing = Event()

    def close(self) -> None:
        """End what works in the background."""
        self.closing.set()
        self.teacher.close()
        self.moments.close()

    def library(self) -> dict[str, Any]:
        """Everything about the archive that the page needs from the start."""
        archive, skeleton = self.archive, self.archive.skeleton
        sides = np.zeros(len(skeleton), dtype=np.int64)
        for left, right in skeleton.mirror:
            sides[left], sides[right] = 1, 2
        people, names = _codes(archive.clips["subject"])
        seconds = archive.lengths / rate(archive)
        canonical = [name.lower() for name in skeleton.canonical]
        head = canonical.index("head") if "head" in canonical and skeleton.kind == "body" else -1
        return {
            "name": archive.path.stem,
            "facts": f"{counted(len(archive), 'recording')} · {span(float(seconds.sum()))} · {skeleton.name}",
            "kind": skeleton.kind,
            "fps": rate(archive),
            "units": archive.units,
            "channels": list(archive.channels),
            "joints": list(skeleton.joints),
            "bones": [list(bone) for bone in skeleton.bones],
            "side": sides,
            "head": head,
            "dims": dimensions(skeleton, archive.channels),
            "long": bool(np.median(seconds) > LONG),
            "names": archive.clips["name"].to_list(),
            "seconds": seconds.round(4),
            "labels": archive.labels,
            "class_names": list(archive.class_names),
            "people": people,
            "person_names": names,
            "rater": self.rater,
            "formats": [[k, v] for k, v in FORMATS.items() if k != "glb" or skeleton.kind != "sensor"],
        }

    def other_tracks(self) -> list[dict[str, Any]]:
        """Tracks of the archive that are not edited here, and what the classifier proposes."""
        number = {name: clip for clip, name in enumerate(self.archive.clips["name"])}
        tracks = self.archive.tracks
        found = []
        for name in tracks:
            if name != self.labels.track:
                rows = tracks[name].select("recording", "start", "end", "label", "certainty").rows()
                intervals = [[number[row[0]], *row[1:]] for row in rows]
                found.append({"name": name, "classes": tracks.classes(name), "intervals": intervals})
        answers = {"classifier": self.teacher.predictions()}
        if self.predictor is not None:
            if self._answers is None:
                rows = (
                    self.predictor.predict(self.archive)
                    .select("recording", "start", "end", "label", "probability")
                    .rows()
                )
                self._answers = [[number[row[0]], *row[1:]] for row in rows]
            answers["model"] = self._answers
        for name, rows_ in answers.items():
            if rows_:
                classes = list(dict.fromkeys(row[3] for row in rows_))
                found.append({"name": name, "classes": classes, "intervals": rows_})
        return found

    def teach(self, rater: str) -> dict[str, Any]:
        """How far the classifier is, and what it proposes.

        The page first asks for it when its first picture is drawn, so that is when the work in the background begins:
        what that imports and computes would make the picture wait.
        """
        self.moments.begin()
        return self.teacher.state(rater)

    def map(self) -> dict[str, Any]:
        """Positions of all moments, as far as they are known."""
        self.moments.begin()
        return self.moments.map()

    def similar(self, clip: int, start: float, end: float) -> list[dict[str, Any]]:
        """Moments most like a time of a recording, nearest first."""
        self.moments.begin()
        return self.moments.similar(clip, start, end, HITS)

    def export(self, form: str, clip: int = 0) -> tuple[str, bytes]:
        """File name and content of an export of :data:`motet.application.export.FORMATS`.

        Args:
            form: a key of it.
            clip: the recording that is open.

        Raises:
            ConfigError: no such export, or nothing to export yet.
        """
        if form not in FORMATS:
            raise ConfigError(f"there is no export {form!r}; choose from {', '.join(FORMATS)}")
        if form == "glb":
            return scene(self.archive, clip)
        if form == "report":
            from motet.application.report import state_page

            page = state_page(self.archive, self.labels, self.moments, self.teacher)
            return f"{file_name(self.archive.path.stem)}-report.html", page.encode()
        if form == "figures":
            from motet.application.figures import figures

            drawn = figures(self.archive, self.labels, self.moments, self.teacher)
            content = zipped({name: text.encode() for name, text in drawn.items()})
            return f"{file_name(self.archive.path.stem)}-figures.zip", content
        return export(self.archive, self.labels.track, form, self.closing)


def _opened(archive: MotionArchive, model: str | None) -> tuple[Callable[[], Source] | None, Predictor | None]:
    """Features of a run or of weights, or a classifier whose answers are shown."""
    if model is None:
        return None, None
    if model == OfStatistics.name:
        return lambda: OfStatistics(archive), None
    if kind_of(model) == CLASSIFIER:
        from motet.use.predictor import load_predictor

        return None, load_predictor(model)
    from motet.engine.model import load

    source = OfModel(archive, load(model), model)
    return lambda: source, None


def _codes(column: pl.Series) -> tuple[list[int], list[str]]:
    """Number of each value among the sorted distinct ones, -1 where there is none, and their names."""
    values = [None if v is None else str(v) for v in column.to_list()]
    names = sorted({v for v in values if v is not None}, key=lambda v: (len(v), v))
    number = {name: i for i, name in enumerate(names)}
    return [-1 if v is None else number[v] for v in values], [f"person {n}" if n.isdecimal() else n for n in names]
