"""The clips of a discovery: who is source, who is target, which of them train and which are evaluated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.heading import all_ways
from motet.data.loader import ClipStore
from motet.data.preprocess import ANIMAL, check_method
from motet.data.skeletons import coordinates
from motet.data.splits import Split, default_rule, split
from motet.data.worn import BRIDGE, MIRRORS, method_for
from motet.methods.discovery.joints import CommonLayout, Retargeted

EVERY = "all"  # rule by which every clip trains
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sides:
    """Rows of both archives and the rules that chose them.

    Attributes:
        source: labelled training clips of the source.
        source_classes: their labels in the archive, sorted; a clip's class is the position in it.
        train: target clips that train; their labels are never read.
        test: target clips that are evaluated where their class is known.
        source_split, target_split: rules.
    """

    source: Ids
    source_classes: tuple[int, ...]
    train: Ids
    test: Ids
    source_split: str
    target_split: str

    def says(self, target: MotionArchive) -> str:
        """One sentence: how many clips of the target train, and what becomes of the others."""
        held = np.setdiff1d(self.test, self.train)
        known = int((target.labels[held] >= 0).sum())
        if not len(held):
            return f"all {counted(len(self.train), 'clip')} of the target train"
        use = "are evaluated" if known == len(held) else f"do not train, and {known or 'none'} of them can be evaluated"
        return (
            f"{counted(len(self.train), 'clip')} of the target train, the {len(held)} on the other side of the split "
            f"{self.target_split} {use} (--target-split {EVERY} trains on all clips)"
        )


def sides(
    source: MotionArchive,
    target: MotionArchive,
    *,
    source_split: str | None = None,
    target_split: str | None = None,
    source_classes: Sequence[int] = (),
    target_classes: Sequence[int] = (),
) -> Sides:
    """Choose the clips.

    Source clips without a label are left out with a warning. By default a target without labels trains with all its
    clips, because nothing can be evaluated; one with labels by its standard rule.

    Raises:
        ConfigError: a class that no clip has, or fewer than two target clips to train.
        DataError: no labelled source clip.
    """
    chosen = _parted(source, source_split, "source")
    first = source_split or chosen.name
    rows = _of_classes(source, chosen.train, source_classes, "source")
    known = rows[source.labels[rows] >= 0]
    if len(known) == 0:
        raise DataError(
            f"{source.path}: none of its {counted(len(rows), 'training clip')} has a label, but the source must be "
            f"labelled; exchange --source and --target, or pretrain on it without labels"
        )
    if len(known) < len(rows):
        warnings.warn(
            f"{source.path}: {len(rows) - len(known)} of {counted(len(rows), 'training clip')} have no label and are "
            f"left out",
            MotetWarning,
            stacklevel=3,
        )
    classes = tuple(int(c) for c in np.unique(source.labels[known]))
    if len(classes) < 2:
        raise DataError(f"{source.path}: its training clips have one class only; two or more are needed")
    chosen = _parted(target, target_split, "target")
    second = target_split or chosen.name
    train = _of_classes(target, chosen.train, target_classes, "target")
    test = _of_classes(target, chosen.test, target_classes, "target")
    if len(train) < 2:
        raise ConfigError(
            f"{target.path}: {len(train)} of its {counted(len(target), 'clip')} train by the split {second}, which "
            f"is too few to find classes; two or more are needed (--target-split {EVERY} lets all train)"
        )
    return Sides(known, classes, train, test, first, second)


def _parted(archive: MotionArchive, rule: str | None, side: str) -> Split:
    """The archive's split; without a ``rule`` that was asked for, no rule is blamed for what is too small."""
    least = f"a {side} needs two or more"
    if len(archive) < 2:
        raise ConfigError(f"{archive.path}: {len(archive)} clip is too few; {least}")
    if rule is not None:
        return split(archive, rule)
    if side == "target" and not (archive.labels >= 0).any():
        return split(archive, EVERY)
    try:
        return split(archive, default_rule(archive))
    except ConfigError as error:
        raise ConfigError(
            f"{archive.path}: too few clips ({len(archive)}) to be parted into training and test; let all train by "
            f"--{side}-split {EVERY}"
        ) from error


def class_numbers(archive: MotionArchive, classes: Sequence[int | str], side: str) -> tuple[int, ...]:
    """Labels from numbers or names of classes.

    Args:
        archive: whose classes they are.
        classes: ``3``, ``"3"`` or ``"wave"``; a number is a label, whatever the names are.
        side: ``"source"`` or ``"target"``, for the message.

    Raises:
        ConfigError: a name that no class has; lists them.
    """
    found = []
    for given in classes:
        word = str(given).strip()
        if word in archive.class_names and not word.isdecimal():
            found.append(archive.class_names.index(word))
        elif word.isdecimal():
            found.append(int(word))
        else:
            raise ConfigError(f"--{side}-classes {word}: {archive.path} has no such class; {_classes_of(archive)}")
    return tuple(found)


def _classes_of(archive: MotionArchive) -> str:
    names = archive.class_names
    if not names or not (archive.labels >= 0).any():
        return "it has no labels"
    return f"its classes are {', '.join(f'{i} ({n})' for i, n in enumerate(names))}"


def _of_classes(archive: MotionArchive, rows: Ids, classes: Sequence[int], side: str) -> Ids:
    if not classes:
        return rows
    missing = sorted(set(classes) - set(np.unique(archive.labels).tolist()))
    if missing:
        raise ConfigError(
            f"--{side}-classes names {missing[0]}, but {archive.path} has no clip of it; {_classes_of(archive)}"
        )
    return rows[np.isin(archive.labels[rows], list(classes))]


def fitting(preprocess: str, archives: Sequence[MotionArchive]) -> str:
    """The preprocessing, or the nearest one that all these layouts allow.

    Bodies in pictures are brought to one size, animals that point in all directions turned to their own heading, too.
    Of sensors that were worn on both sides it is the mirror along their axis, so that it is known of recordings of one
    side, or along that of each archive.
    """
    sided = {method_for(archive) for archive in archives} - {BRIDGE}
    usual = BRIDGE if not sided else sided.pop() if len(sided) == 1 else MIRRORS[0]
    if preprocess == MIRRORS[0] and usual != BRIDGE:
        preprocess = usual
    flat = coordinates(archives[0].channels) == 2
    turned = [ANIMAL] if all(map(all_ways, archives)) else []
    for method in (preprocess, *turned, "sized" if flat else "first-frame", usual):
        try:
            for archive in archives:
                check_method(method, archive.skeleton, coordinates(archive.channels))
        except ConfigError:
            continue
        return method
    return "none"


class Clips:
    """Preprocessed clips of both sides on a device.

    Attributes:
        sides: the rows.
        layout: the common form.
        given: whether that form is the one of given weights, in which the target is seen by both branches.
        names: of all clips of the source, and of the target.
        source: source clips in the common form.
        target: target clips in the common form, and as they are.
        train, test: (n,) int64 rows of the target.
        scored: rows of ``test`` whose class is known; ``scored_labels`` those classes.
    """

    def __init__(
        self,
        source: MotionArchive,
        target: MotionArchive,
        chosen: Sides,
        preprocess: str,
        device: str | torch.device,
        form: CommonLayout | None = None,
        *,
        score: bool = False,
    ) -> None:
        self.sides, self.given = chosen, form is not None
        self.layout = form or CommonLayout.of(source, target, score=score)
        self.names = source.clips["name"], target.clips["name"]
        shown = Retargeted(source, self.layout), Retargeted(target, self.layout)
        ids = np.union1d(chosen.train, chosen.test)
        self.source = ClipStore(shown[0], chosen.source, preprocess=preprocess, device=device)
        common = ClipStore(shown[1], ids, preprocess=preprocess, device=device)
        whole = Retargeted(target, CommonLayout.own(target, score=True), target.units) if score else target
        own = common if self.given else ClipStore(whole, ids, preprocess=preprocess, device=device)
        self.target = (common, own)
        self.train, self.test = torch.from_numpy(chosen.train), torch.from_numpy(chosen.test)
        labels = torch.from_numpy(target.labels)
        self.scored = self.test[labels[self.test] >= 0]
        self.scored_labels = labels[self.scored]
        place = torch.full((int(self.train.max()) + 1,), -1)
        place[self.train] = torch.arange(len(self.train))
        self._place = place
        self._classes = torch.tensor(chosen.source_classes)

    def places(self, ids: Tensor) -> Tensor:
        """Slots of training clips of the target in the banks."""
        return self._place[ids].to(self.source.device)

    def source_labels(self, ids: Tensor) -> Tensor:
        """(B,) classes of source clips, 0 … C_s − 1."""
        found = self.source.labels_of(ids)
        return torch.searchsorted(self._classes.to(found.device), found)


def retargetable(source: MotionArchive, target: MotionArchive) -> tuple[Retargeted, Retargeted]:
    """Both archives in their common form."""
    layout = CommonLayout.of(source, target)
    return Retargeted(source, layout), Retargeted(target, layout)
