"""A fitted classifier of movements: what it is made of, how it is saved, what it says about recordings.

A folder of three files: ``config.json``, ``model.safetensors`` and ``README.md``, its card. Nothing in it is code.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet._version import __version__
from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.forms import checked
from motet.core.places import CLASSIFIER, mistaken
from motet.core.progress import tracked
from motet.core.text import counted, first_of, in_line
from motet.core.units import unit_name
from motet.data.archive import MotionArchive
from motet.data.inspection.sizes import warn_other_size
from motet.data.skeletons import Skeleton
from motet.engine.run import MISFITS
from motet.evaluate.centred import groups_of
from motet.evaluate.segmentation import segments
from motet.use.classifiers import CLASSIFIERS, Classifier, Linear, Trees, gains
from motet.use.config import Config
from motet.use.durations import Chain, Durations
from motet.use.encoded import TUNED, Encoded
from motet.use.material import NONE, SHORTEST, mean_of
from motet.use.network import Network
from motet.use.signals import Array, Layout, long_enough, moving_mean, present, recorded
from motet.use.unknown import USUAL, Unknown, View
from motet.use.windows import WINDOWED, Dense, Statistics

Float = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
KIND = CLASSIFIER
_CHUNK = 600.0  # seconds that are looked at in one piece
_ENCODER = "encoder/"  # before the names of an encoder's weights
_NOVEL = 1.0  # seconds over which strangeness is averaged
_MOST_REJECTED = 0.5
_LONG = 4.0  # times the usual clip of the class that lasts longest: what lasts longer is no clip of one movement
OF_MANY = "the model centres features by person, so it predicts archives alone; for streams fit without --centre-by"
_MORE = "predict all clips of each together, or fit without --centre-by"
BOUTS = ("recording", "start", "end", "label", "probability")


@dataclass(frozen=True)
class Member:
    """One way to see a moment: features of windows and a classifier, or a network.

    Attributes:
        name: of the candidate.
        dense: features at every tick; None for a network.
        head: the classifier on them, or the network.
        mean: (F,) that is taken from the features.
    """

    name: str
    dense: Dense | None
    head: Classifier | Network
    mean: Array | None = None

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every number that it is made of, by name."""
        return self.head.arrays | _weights(self.dense)

    @property
    def encoder(self) -> dict[str, Any] | None:
        """The configuration of its encoder, if it has one."""
        return self.dense.describe() if isinstance(self.dense, Encoded) else None

    def __call__(self, frames: npt.NDArray[Any], layout: Layout, look: Callable[[Dense], Array] | None = None) -> Array:
        """(n, K) probabilities at every tick; ``look`` gives features of these frames, if they are at hand."""
        if isinstance(self.head, Network):
            return self.head(frames, layout)
        assert self.dense is not None
        features = look(self.dense) if look else self.dense(frames, layout)
        return self.head(features if self.mean is None else features - self.mean)

    @property
    def reach(self) -> float:
        """Seconds around a moment that count."""
        return self.head.reach if isinstance(self.head, Network) else (self.dense or Statistics()).reach

    @classmethod
    def of(cls, name: str, arrays: dict[str, npt.NDArray[Any]], encoder: Mapping[str, Any] | None = None) -> Member:
        """From a candidate's name, its arrays, and the configuration of its encoder if it has one.

        Raises:
            DataError: there is no such candidate.
        """
        if name == Network.name:
            return cls(name, None, Network(arrays))
        if encoder is not None:
            weights, own = _parted(arrays)
            return cls(name, Encoded.of(encoder, weights), Trees(own) if "root" in own else Linear(own))
        dense, _, head = name.rpartition("+")
        if dense not in WINDOWED or head not in CLASSIFIERS:
            raise DataError(f"the model has a part {name!r} that this motet does not know; fit it again")
        return cls(name, WINDOWED[dense], CLASSIFIERS[head](arrays))


def _weights(dense: Dense | None) -> dict[str, npt.NDArray[Any]]:
    return {_ENCODER + k: v for k, v in dense.arrays().items()} if isinstance(dense, Encoded) else {}


def _parted(arrays: dict[str, npt.NDArray[Any]]) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """Weights of an encoder, and all others."""
    weights = {k.removeprefix(_ENCODER): v for k, v in arrays.items() if k.startswith(_ENCODER)}
    return weights, {k: v for k, v in arrays.items() if not k.startswith(_ENCODER)}


_MOST_DEVIATIONS = 8.0  # of a column that count


@dataclass(frozen=True)
class Novelty:
    """How far a moment lies from all that was seen: the smallest Mahalanobis distance to a class.

    Attributes:
        arrays: shift and gain of the features, projection (F, D), class means (K, D) and the threshold.
    """

    arrays: dict[str, npt.NDArray[Any]]

    @classmethod
    def fit(cls, features: Array, labels: Integers, classes: int, dimensions: int = 12) -> Novelty:
        """Whitened within classes, by principal components of what varies inside them."""
        shift, gain = features.mean(axis=0), gains(features)
        x = np.clip((features - shift) * gain, -_MOST_DEVIATIONS, _MOST_DEVIATIONS).astype(np.float64)
        means = np.stack(
            [x[labels == k].mean(axis=0) if (labels == k).any() else x.mean(axis=0) for k in range(classes)]
        )
        within = x - means[labels]
        values, vectors = np.linalg.eigh(within.T @ within / len(x) + 1e-3 * np.eye(x.shape[1]))
        projection = vectors[:, -dimensions:] / np.sqrt(values[-dimensions:])
        arrays = {"shift": shift, "gain": gain, "projection": projection, "means": means @ projection}
        return cls({k: v.astype(np.float32) for k, v in arrays.items()} | {"threshold": np.array([np.inf], np.float32)})

    def distance(self, features: Array) -> npt.NDArray[np.float64]:
        """(n,) distance of each row to the nearest class."""
        a = self.arrays
        # a joint that is put elsewhere by another tracker is not all that was seen
        z = np.clip((features - a["shift"]) * a["gain"], -_MOST_DEVIATIONS, _MOST_DEVIATIONS) @ a["projection"]
        squares = [((z - mean) ** 2).mean(axis=1) for mean in a["means"]]
        return np.asarray(np.sqrt(np.min(squares, axis=0)), dtype=np.float64)

    def strange(self, features: Array, hop: float) -> npt.NDArray[np.bool_]:
        """(n,) whether the second around each tick is far from everything that was seen."""
        mean = moving_mean(self.distance(features)[:, None], max(1, round(_NOVEL / hop)))[:, 0]
        return np.asarray(mean > self.arrays["threshold"][0])


@dataclass(frozen=True)
class Predictor:
    """Who does what, when: the model that :func:`motet.fit` makes.

    Attributes:
        layout: of the recordings that it understands.
        classes: the K classes.
        members: what votes; their probabilities are averaged.
        durations: of bouts.
        novelty: what is far from everything, and none of the classes in any case.
        temperature: of the tick probabilities, fitted on people held out.
        clips: whether it was learnt from whole clips, one label each.
        config: everything else that the folder says.
        unknown: what tells activities that were never learnt, if there is enough to learn it from.
        reject: share of known moments that may be given away for noticing those; 0 asks ``novelty`` alone.
    """

    layout: Layout
    classes: list[str]
    members: list[Member]
    durations: Durations
    novelty: Novelty
    temperature: float = 1.0
    clips: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    unknown: Unknown | None = None
    reject: float = 0.0

    def __repr__(self) -> str:
        return (
            f"Predictor({' & '.join(m.name for m in self.members)} of {self.layout.skeleton.name}: "
            f"{first_of(self.classes, 'class')})"
        )

    @property
    def reach(self) -> float:
        """Seconds after a moment that must be seen before it can be classified."""
        unknown = [self.unknown.reach] if self.unknown and self.reject else []
        return max([m.reach for m in self.members] + [Statistics.reach, *unknown])

    @property
    def margin(self) -> int:
        """The same in frames, up to where a recording may be cut."""
        return (-(-round(self.reach * self.layout.fps) // self.layout.block) + 1) * self.layout.block

    def rejecting(self, share: float) -> Predictor:
        """The same, giving away this share of known moments to notice activities that were never learnt.

        Raises:
            ConfigError: no such share, or the model was not taught to.
        """
        if not 0 <= share <= _MOST_REJECTED:
            raise ConfigError(f"reject is {share:g}; it must lie between 0 and {_MOST_REJECTED:g}")
        if share and self.unknown is None:
            raise ConfigError(
                "reject: the model was not taught what is unknown, as it has fewer than three classes or is of an "
                "earlier motet; fit it again, on three classes or more"
            )
        return replace(self, reject=share)

    def moments(self, frames: npt.NDArray[Any]) -> tuple[Array, Float]:
        """(n, K) calibrated probabilities at every tick of (T, P, V, C) frames, and (n,) how strange each is: the share
        of known moments of people held out that are less so.
        """
        if self.config.get("centre_by") and any(m.mean is None for m in self.members):
            raise ConfigError(OF_MANY)
        kept: dict[int, Array] = {}

        def look(dense: Dense) -> Array:
            if id(dense) not in kept:
                kept[id(dense)] = dense(frames, self.layout)
            return kept[id(dense)]

        found = np.mean([m(frames, self.layout, look) for m in self.members], axis=0)
        found = np.maximum(found, 1e-6) ** (1 / self.temperature)
        found /= found.sum(axis=1, keepdims=True)
        hop = self.layout.hop / self.layout.fps
        far = self.novelty.strange(look(WINDOWED[Statistics.name]), hop)
        rank = self.unknown(look, hop) if self.unknown and self.reject else np.zeros(len(found))
        return found.astype(np.float32), np.where(far, 1.0, rank)

    def sure(self, probabilities: Float, rank: Float) -> Float:
        """(n, K + 1) probabilities of (n, K) and of none of them: the rank where that is due, else 0."""
        none = np.where(rank >= 1 - self.reject, rank, 0.0)[:, None]
        return np.concatenate([probabilities * (1 - none), none], axis=1)

    def probabilities(self, frames: npt.NDArray[Any]) -> tuple[Array, Float]:
        """:meth:`moments` of a recording of any length, in pieces."""
        hop, block, margin = self.layout.hop, self.layout.block, self.margin
        size = max(1, round(_CHUNK * self.layout.fps / block)) * block
        if len(frames) <= size + 2 * margin:
            return self.moments(frames)
        pieces = []
        for start in range(0, len(frames), size):
            low = max(0, start - margin)
            found = self.moments(frames[low : min(len(frames), start + size + margin)])
            keep = slice((start - low) // hop, (start - low) // hop + self.layout.ticks(min(size, len(frames) - start)))
            pieces.append([part[keep] for part in found])
        return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])

    def recording(self, frames: npt.NDArray[Any]) -> tuple[Integers, Float]:
        """Class of each tick (-1 nothing recorded, K none of the classes), and (n, K + 1) how sure of each it is."""
        found, rank = self.probabilities(frames)
        chain = Chain(self.durations)
        sure = self.sure(chain.smooth(found), rank)
        labels = np.where(sure[:, -1] > 0, len(self.classes), chain.decode(found))
        there = present(frames)[self.layout.centres(len(frames))]
        return np.where(there, labels, -1), sure

    def along(self, frames: int) -> bool:
        """Whether a recording of so many frames has bouts: it is much longer than the clips that were learnt from."""
        return not self.clips or frames > _LONG * self.durations.mean.max() * self.layout.hop

    def clip(self, frames: npt.NDArray[Any]) -> tuple[int, Float]:
        """Class of a whole clip (K = none of the classes) and how sure of each of the K + 1 it is."""
        found, rank = self.probabilities(frames)
        mean = np.log(found).mean(axis=0)
        p = np.exp(mean - mean.max())
        whole = 1.0 if (rank >= 1).mean() > 0.5 else self.unknown.clip(rank) if self.unknown and self.reject else 0.0
        sure = self.sure(p[None] / p.sum(), np.array([whole]))[0]
        return len(self.classes) if sure[-1] else int(p.argmax()), sure

    def reader(self, archive: MotionArchive) -> Callable[[int], npt.NDArray[Any]]:
        """Recordings of an archive by their row, on the axes that the model knows.

        Raises:
            ConfigError: recordings of another layout, rate or unit, or axes of which one is not stated.
        """
        self.layout.check(archive)
        turn, read = self.layout.turner(archive), recorded(archive, self.layout)
        return lambda row: turn(read(row))

    def bouts(self, archive: MotionArchive, *, progress: bool = False) -> Iterator[dict[str, Any]]:
        """Rows of :data:`BOUTS` of every recording as long as a window, one by one."""
        read = self.reader(archive)
        names = [*self.classes, NONE]
        rows = long_enough(archive, range(len(archive)), SHORTEST)
        self._note_long(archive)
        self._warn_few(archive, rows)
        if size := self.config.get("trained_on", {}).get("size"):
            warn_other_size(archive, size)
        model = self.centred(archive, read, rows)
        for index in tracked(rows, "predict: recordings", show=progress):
            name, frames = archive.clips["name"][index], read(index)
            end = len(frames) / self.layout.fps
            if not self.along(len(frames)):
                label, sure = model(index).clip(frames)
                yield dict(zip(BOUTS, (name, 0.0, end, names[label], float(sure[label])), strict=True))
                continue
            labels, sure = model(index).recording(frames)
            step = self.layout.hop / self.layout.fps
            for k, a, b in segments(labels):
                p = float(sure[a:b, k].mean())
                yield dict(zip(BOUTS, (name, a * step, min(b * step, end), names[k], p), strict=True))

    def _note_long(self, archive: MotionArchive) -> None:
        long = [
            n for n, length in zip(archive.clips["name"], archive.lengths.tolist(), strict=True) if self.along(length)
        ]
        if self.clips and long:
            usual = self.durations.mean.max() * self.layout.hop / self.layout.fps
            warnings.warn(
                f"{archive.path}: much longer than the clips that the model learnt from ({usual:.2g} s), so bouts "
                f"along time in place of one label: {first_of(long, 'recording')}",
                MotetNote,
                stacklevel=3,
            )

    def _warn_few(self, archive: MotionArchive, rows: list[int]) -> None:
        if not (by := self.config.get("centre_by")):
            return
        _, group = np.unique(groups_of(archive, by, rows, remedy=_MORE)[rows], return_inverse=True)
        shown = [len(self.classes) if self.along(int(archive.lengths[row])) else 1 for row in rows]
        sizes = np.bincount(group, shown)
        if few := int((sizes < len(self.classes)).sum()):
            warnings.warn(
                f"{archive.path}: {few} of {counted(len(sizes), 'group')} by {by} have fewer clips than the model has "
                f"classes ({len(self.classes)}), and features less the mean of so few say little: {_MORE}",
                MotetWarning,
                stacklevel=3,
            )

    def centred(
        self, archive: MotionArchive, read: Callable[[int], npt.NDArray[Any]], rows: list[int]
    ) -> Callable[[int], Predictor]:
        """The model for a row of an archive, with the means of the clips of its group where it takes these away.

        Args:
            archive: recordings.
            read: of :meth:`reader`.
            rows: those that make the means.

        Raises:
            ConfigError: no such column, or each clip is a group of its own.
        """
        if not self.config.get("centre_by"):
            return lambda row: self
        groups = groups_of(archive, self.config["centre_by"], rows, remedy=_MORE)

        @cache
        def of(group: int) -> Predictor:
            own = [read(row) for row in rows if groups[row] == group]
            seen = [(m, [m.dense(frames, self.layout) for frames in own]) for m in self.members if m.dense]
            return replace(self, members=[replace(m, mean=mean_of(features)) for m, features in seen])

        return lambda row: of(int(groups[row]))

    def predict(self, archive: MotionArchive, *, progress: bool = False) -> pl.DataFrame:
        """Bouts of every recording as a table: recording, start and end in seconds, label, probability.

        Of a model that learnt from clips one row a clip, and bouts of recordings that are much longer than these.

        Raises:
            ConfigError: recordings of another layout, rate or unit.
            DataError: all recordings are shorter than a window.

        Warns:
            MotetWarning: names recordings that are shorter than a window, of which there are no bouts; says how many
                groups are too few clips to be centred.
            MotetNote: names recordings that have bouts, of a model that learnt from clips.
        """
        kinds = dict(zip(BOUTS, (pl.String, pl.Float64, pl.Float64, pl.String, pl.Float64), strict=True))
        return pl.DataFrame(list(self.bouts(archive, progress=progress)), schema=kinds)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that is a number array, by name."""
        parts = {"durations": self.durations.arrays(), "novelty": self.novelty.arrays}
        parts |= {f"member{i}": m.arrays for i, m in enumerate(self.members)}
        if self.unknown is not None:
            parts |= {"unknown": self.unknown.arrays}
            parts |= {f"view{i}": v.arrays | _weights(d) for i, (d, v) in enumerate(self._views())}
        return {f"{part}.{k}": v for part, own in parts.items() for k, v in own.items()}

    def _views(self) -> list[tuple[Dense | None, View]]:
        """Views of the unknown as they are saved: with their features unless a member has the same."""
        views = self.unknown.views if self.unknown else []
        return [(None if any(dense is m.dense for m in self.members) else dense, view) for dense, view in views]

    def describe(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        layout, config = self.layout, dict(self.config)
        if self.unknown is not None:
            own = [d.describe() if isinstance(d, Encoded) else None for d, _ in self._views()]
            config["unknown"] = {
                **config["unknown"],
                "views": [d.name for d, _ in self.unknown.views],
                "encoders": own,
            }
        return {
            "motet": __version__,
            "kind": KIND,
            "skeleton": layout.skeleton.to_dict(),
            "persons": layout.persons,
            "channels": layout.channels,
            "fps": layout.fps,
            "units": layout.units,
            "mirror": layout.mirror,
            "heading": layout.heading,
            "classes": self.classes,
            "members": [m.name for m in self.members],
            "encoders": [m.encoder for m in self.members],
            "temperature": self.temperature,
            "clips": self.clips,
            **config,
        }


def _unknown(
    facts: dict[str, Any] | None, parts: dict[str, dict[str, npt.NDArray[Any]]], members: list[Member]
) -> Unknown | None:
    """What :meth:`Predictor.arrays` and :meth:`Predictor.describe` hold of it."""
    if facts is None:
        return None
    known = WINDOWED | {m.dense.name: m.dense for m in members if m.dense and not m.name.endswith(f"+{TUNED}")}
    views: list[tuple[Dense, View]] = []
    for i, (name, encoder) in enumerate(zip(facts["views"], facts["encoders"], strict=True)):
        weights, own = _parted(parts[f"view{i}"])
        views.append((known[name] if encoder is None else Encoded.of(encoder, weights), View(own)))
    return Unknown(views, parts["unknown"])


def load_predictor(path: str | Path) -> Predictor:
    """A model that :func:`motet.fit` saved.

    Raises:
        ConfigError: there is none at this path.
        DataError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(path)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise ConfigError(mistaken(path, "model"))
    try:
        checked(Config, config, "config.json")
        arrays = load_file(folder / "model.safetensors")
        parts: dict[str, dict[str, npt.NDArray[Any]]] = {}
        for name, array in arrays.items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = array
        encoders = config.get("encoders") or [None] * len(config["members"])
        pairs = zip(config["members"], encoders, strict=True)
        members = [Member.of(m, parts[f"member{i}"], e) for i, (m, e) in enumerate(pairs)]
        skeleton = Skeleton.from_dict(config["skeleton"])
        numbers = int(config["persons"]), int(config["channels"]), float(config["fps"])
        units = unit_name(config["units"]) if config.get("units") else None
        layout = Layout(skeleton, *numbers, units, config.get("mirror"), config.get("heading", False))
        durations, novelty = Durations.of(parts["durations"], len(config["classes"])), Novelty(parts["novelty"])
        unknown = _unknown(config.get("unknown"), parts, members)
        rest = config["temperature"], config["clips"], config, unknown, USUAL if unknown else 0.0
        model = Predictor(layout, list(config["classes"]), members, durations, novelty, *rest)
        # arrays that do not fit layout, classes or each other show on the shortest recording
        with np.errstate(all="ignore"):
            shape = 3 * layout.hop, layout.persons, len(skeleton), layout.channels
            shown = replace(model, config={}).recording(np.zeros(shape))
        if not np.isfinite(shown[1]).all():
            raise ValueError("its arrays give no probabilities")
    except (OSError, SafetensorError, *MISFITS) as error:
        raise DataError(f"{path} is damaged ({in_line(error)}); restore it or fit again") from error
    return replace(model, reject=0.0)
