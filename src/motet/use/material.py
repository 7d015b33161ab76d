"""What a classifier learns from: recordings with labels along time, or labelled clips, and who is in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, MotetWarning
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.inspection.mixed import warn_mixed
from motet.data.splits import recordings_of
from motet.evaluate.centred import groups_of, note_of
from motet.use.signals import Array, Layout, long_enough, recorded

NONE = "none of these"
OF_CLIPS = "clips"
SHORTEST = 0.4  # seconds of a recording that a window needs
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Material:
    """Labelled recordings of an archive.

    Attributes:
        archive: where they are.
        layout: of all of them.
        rows: archive rows that have labels.
        labels: (T,) class of each frame of each of them, -1 = unlabelled.
        classes: the K classes that occur.
        groups: (n,) person of each, or the recording where people are unknown.
        by: what ``groups`` are: ``people`` or ``recordings``.
        track: label track, None for labelled clips.
        centre: (n,) group of each clip, the mean of which is taken from its features; None: they stay as they are.
    """

    archive: MotionArchive
    layout: Layout
    rows: Integers
    labels: list[Integers]
    classes: list[str]
    groups: Integers
    by: str
    track: str | None
    centre: Integers | None = None

    def centred(self, features: list[Array]) -> list[Array]:
        """(n, F) features at the ticks of each clip, less the mean of its group."""
        if self.centre is None:
            return features
        groups = {g: [x for x, own in zip(features, self.centre, strict=True) if own == g] for g in set(self.centre)}
        means = {g: mean_of(own) for g, own in groups.items()}
        return [x - means[g] for x, g in zip(features, self.centre, strict=True)]

    @cached_property
    def ticks(self) -> list[Integers]:
        """(n,) class of each tick of each recording."""
        return [y[self.layout.centres(len(y))] for y in self.labels]

    def frames(self, number: int) -> npt.NDArray[Any]:
        """(T, P, V, C) of the recording ``rows[number]``."""
        return self._read(int(self.rows[number]))

    @cached_property
    def _read(self) -> Callable[[int], npt.NDArray[Any]]:
        return recorded(self.archive, self.layout)

    def folds(self, most: int, seed: int) -> Integers:
        """(n,) fold of each recording: groups stay together, folds hold about the same amount of time."""
        groups, place = np.unique(self.groups, return_inverse=True)
        weight = np.bincount(place, [len(y) for y in self.labels])
        count = min(most, len(groups))
        order = np.random.default_rng(seed).permutation(len(groups))
        order = order[np.argsort(-weight[order], kind="stable")]
        fold, load = np.zeros(len(groups), dtype=np.int64), np.zeros(count)
        for group in order:
            fold[group] = int(load.argmin())
            load[fold[group]] += weight[group]
        return np.asarray(fold[place])


def mean_of(features: list[Array]) -> Array:
    """(F,) of (n, F) features at the ticks of some clips; each clip counts the same."""
    return np.asarray(np.mean([x.mean(axis=0, dtype=np.float64) for x in features], axis=0), dtype=np.float32)


def gather(
    archive: MotionArchive, track: str | None, unlabelled: str, by: str = "people", centre_by: str | None = None
) -> Material:
    """Labels of an archive: of a track, or of its clips where it has no tracks or ``track`` is :data:`OF_CLIPS`.

    ``by`` is what is held out together, ``centre_by`` the column of clips by which features are centred.

    Raises:
        ConfigError: no labels, one class, one recording, or no such track.
        DataError: all recordings with labels are shorter than a window.

    Warns:
        MotetWarning: names recordings that are shorter than a window, whose labels do not count.
    """
    if unlabelled not in ("ignore", "none"):
        raise ConfigError(f"unlabelled is {unlabelled!r}; it must be ignore or none")
    if by not in ("people", "recordings"):
        raise ConfigError(f"by is {by!r}; it must be people or recordings")
    tracks = archive.tracks
    layout = Layout.of(archive)
    if not len(tracks) if track is None else track == OF_CLIPS and OF_CLIPS not in list(tracks):
        labels, classes, name = *_of_clips(archive), None
    else:
        if track is None and len(tracks) > 1 and (archive.labels >= 0).any():
            there = ", ".join(tracks)
            raise ConfigError(
                f"{archive.path} has several tracks and labels of clips; choose by --track (tracks: {there}; "
                f"{OF_CLIPS}: the labels of clips)"
            )
        name = tracks.one(track)
        classes = tracks.classes(name)
        labels = tracks.all_frames(name, classes)
        if unlabelled == "none":
            labels = [np.where((y < 0) & (y >= 0).any(), len(classes), y) for y in labels]
            classes = [*classes, NONE]
    rows = long_enough(archive, [i for i, y in enumerate(labels) if (y >= 0).any()], SHORTEST)
    labels, classes = _occurring([labels[i] for i in rows], classes)
    if len(classes) < 2:
        raise ConfigError(
            f"{archive.path} has labels of only {counted(len(classes), 'class')}; a classifier needs at least two"
        )
    if len(rows) < 2:
        raise ConfigError(
            f"{archive.path}: only one recording has labels, so no error can be estimated; label another one, or cut "
            "it with `motet data split`"
        )
    numbers = np.array(rows, dtype=np.int64)
    groups, known = _groups(archive, numbers, by)
    centre = None if centre_by is None else _centre(archive, centre_by, numbers, labels, name)
    material = Material(archive, layout, numbers, labels, classes, groups, known, name, centre)
    _warn(material)
    warn_mixed(archive)
    return material


def _occurring(labels: list[Integers], classes: list[str]) -> tuple[list[Integers], list[str]]:
    """The same labels without classes of which there are none."""
    used = np.unique(np.concatenate([*labels, [-1]]))[1:]
    return [np.where(y < 0, -1, np.searchsorted(used, y)) for y in labels], [classes[k] for k in used.tolist()]


def _of_clips(archive: MotionArchive) -> tuple[list[Integers], list[str]]:
    if (archive.labels < 0).all():
        raise ConfigError(
            f"{archive.path} has neither label tracks nor labelled clips; add labels with `motet data label`"
        )
    used = sorted(set(archive.labels.tolist()) - {-1})
    number = {label: i for i, label in enumerate(used)}
    pairs = zip(archive.labels.tolist(), archive.lengths.tolist(), strict=True)
    return [np.full(n, number.get(label, -1)) for label, n in pairs], [archive.class_names[i] for i in used]


def _groups(archive: MotionArchive, rows: Integers, by: str) -> tuple[Integers, str]:
    """What is held out together: people, or recordings with all windows that were cut from them."""
    _, recordings = np.unique(recordings_of(archive)[rows], return_inverse=True)
    recordings = recordings if 0 < recordings.max() < len(rows) - 1 else rows  # of one, or nothing was cut
    if by == "recordings":
        return recordings, by
    people = archive.clips["subject"].to_numpy()[rows] if archive.clips["subject"].null_count() == 0 else None
    if people is not None and len(np.unique(people)) > 1:
        return np.asarray(people, dtype=np.int64), "people"
    warnings.warn(
        f"{archive.path}: people are unknown or only one, so the error is estimated on recordings of known people; "
        "that of a new person is larger",
        MotetWarning,
        stacklevel=4,
    )
    return recordings, "recordings"


def _centre(archive: MotionArchive, column: str, rows: Integers, labels: list[Integers], track: str | None) -> Integers:
    if track is not None:
        raise ConfigError(
            f"features are centred by {column} of labelled clips, not of recordings with the label track {track}: "
            "`motet data split --track` makes clips of it"
        )
    centre = groups_of(archive, column, rows)[rows]
    note_of(centre, np.array([y[0] for y in labels]), column)
    return centre


def _warn(material: Material) -> None:
    """Say which classes only one person does: of those nothing can be said about a new person."""
    alone = []
    for index, name in enumerate(material.classes):
        who = {int(g) for g, y in zip(material.groups, material.labels, strict=True) if (y == index).any()}
        if len(who) == 1:
            alone.append(name)
    if alone:
        what = "person" if material.by == "people" else "recording"
        warnings.warn(
            f"{material.archive.path}: only one {what} has {', '.join(map(repr, alone))}, so the estimated error "
            f"counts it as wrong; label it in another {what}",
            MotetWarning,
            stacklevel=4,
        )
