"""The labelled clips of both sides of a split, and what a reader of the table has to know about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.core.text import counted, pasted
from motet.data import copies
from motet.data.archive import MotionArchive
from motet.data.splits import Split, default_rule
from motet.engine.hub import shipped
from motet.engine.identity import changes
from motet.engine.run import Run

Integers = npt.NDArray[np.int64]
_HINT = "; --without-copies gives both figures"
_NAMED = 12  # people that a note names


@dataclass(frozen=True)
class LabelledClips:
    """What a protocol trains and tests on.

    Attributes:
        rule: the split.
        train, test: archive rows.
        train_labels, test_labels: class indices into ``class_names``.
        class_names: the K classes that occur.
        notes: what a reader of results must know.
    """

    rule: str
    train: Integers
    test: Integers
    train_labels: Integers
    test_labels: Integers
    class_names: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


def labelled_clips(archive: MotionArchive, parts: Split, *, answered: bool = True) -> LabelledClips:
    """Labelled clips of both sides of a split; clips without a label are left out and noted.

    Args:
        archive: the recordings.
        parts: who trains and who tests.
        answered: whether test clips are given classes of training clips; clusters are of test clips alone.

    Raises:
        ConfigError: clips on both sides, no labels, a side that is empty without its unlabelled clips, or sides without
            a class in common.
    """
    rule = parts.name
    train, test = (np.asarray(side, dtype=np.int64) for side in (parts.train, parts.test))
    shared = np.intersect1d(train, test)
    if len(shared):
        name = archive.clips["name"][int(shared[0])]
        raise ConfigError(
            f"split {rule} of {archive.path} puts {counted(len(shared), 'clip')} on both sides, the first is {name}; "
            f"name another one by --split, e.g. --split {pasted(default_rule(archive))}"
        )
    notes = [parts.warning] if parts.warning else []
    labels = archive.labels
    if (labels < 0).all():
        remedy = "import it with labels"
        if len(archive.tracks):
            cut = pasted(archive.path, f"{archive.path.name}-clips", "--track", next(iter(archive.tracks)))
            remedy = f"cut its label track into clips with `motet data split {cut}`"
        raise ConfigError(f"{archive.path} has no labels of clips; accuracy needs them: {remedy}")
    unlabelled = int((labels[train] < 0).sum() + (labels[test] < 0).sum())
    if unlabelled:
        notes.append(f"{counted(unlabelled, 'clip')} without a label were left out")
    train, test = train[labels[train] >= 0], test[labels[test] >= 0]
    for name, side in (("training", train), ("test", test)):
        if len(side) == 0:
            raise ConfigError(f"split {rule} of {archive.path} leaves no labelled {name} clips; choose another --split")
    unseen = np.setdiff1d(labels[test], labels[train])
    if len(unseen) and answered:
        count = int(np.isin(labels[test], unseen).sum())
        names = ", ".join(archive.class_names[i] for i in unseen)
        if count == len(test):
            raise ConfigError(
                f"split {rule} of {archive.path} tests only classes without a training clip ({names}), so all answers "
                "are wrong; choose another one, such as --split random:0.3@0, by which people both train and test"
            )
        notes.append(
            f"{counted(count, 'test clip')} of {counted(len(unseen), 'class')} without a training clip can only be "
            f"wrong: {names}"
        )
    digests = archive.clips["sha256"].to_numpy()
    exact = int(np.isin(digests[test], digests[train]).sum())
    if exact:
        notes.append(
            f"{exact} of {counted(len(test), 'test clip')} are exact copies of training clips, so figures are too "
            f"good{_HINT}"
        )
    classes, index = np.unique(labels[np.concatenate([train, test])], return_inverse=True)
    return LabelledClips(
        rule,
        train,
        test,
        index[: len(train)].astype(np.int64),
        index[len(train) :].astype(np.int64),
        tuple(archive.class_names[i] for i in classes),
        notes,
    )


def rule_of(split: str | None, run: Run, archive: MotionArchive) -> str:
    """The rule that was asked for, that of the run, or (weights without their recordings) that of the archive."""
    if run.split == "all" and archive.hash != run.config["data"].get("hash"):  # weights that tested nobody
        return split or default_rule(archive)
    return split or run.split or default_rule(archive)


def without_copies(archive: MotionArchive, clips: LabelledClips) -> LabelledClips:
    """The same clips without test clips that are copies of training clips.

    What is left out becomes a note of both.

    Raises:
        ConfigError: every test clip is a copy.
    """
    exact, close = copies.across(archive, clips.train, clips.test)
    kept = ~np.isin(clips.test, np.concatenate([exact, close]))
    if not kept.any():
        raise ConfigError(
            f"every test clip of {archive.path} is a copy of a training clip: split by people or by recordings"
        )
    said = "no test clip is a copy of a training clip"
    if not kept.all():
        said = (
            f"{int((~kept).sum())} of {counted(len(kept), 'test clip')} are copies of training clips ({len(exact)} "
            f"exact, {len(close)} with noise or frames in common): figures with them are too good, those without "
            f"stand beside"
        )
    clips.notes[:] = [*(note for note in clips.notes if not note.endswith(_HINT)), said]
    return replace(clips, test=clips.test[kept], test_labels=clips.test_labels[kept])


def seen_in_training(run: Run, archive: MotionArchive, test: Integers) -> str:
    """What a reader must know where test clips are clips that the run was pretrained on; empty if none is.

    Args:
        run: the pretraining; its configuration names archive and split.
        archive: what is evaluated, as it was recorded.
        test: its rows that test.
    """
    seen = np.intersect1d(test, run.trained_on(archive))
    labels = ", with their labels (--class-views)" if np.isin(test, labels_of(run, archive)).any() else ""
    if len(seen) == 0:
        return ""
    people = sorted(set(archive.clips["subject"].fill_null(-1).to_numpy()[seen].tolist()) - {-1})
    named = ", ".join(map(str, people[:_NAMED])) + (" …" if len(people) > _NAMED else "")
    who = f", those of {'subject' if len(people) == 1 else 'subjects'} {named}," if people else ""
    remedy = "pretrain on a part of the clips" if run.split == "all" else f"evaluate with --split {pasted(run.split)}"
    changed = changes(run.config["data"], archive)
    if changed:
        remedy = f"{', '.join(changed)} changed since then: evaluate on the archive as it was"
    return (
        f"{len(seen)} of {counted(len(test), 'test clip')}{who} were in the pretraining (split {run.split}){labels}, "
        f"so figures are too good; {remedy}"
    )


def labels_of(run: Run, archive: MotionArchive) -> Integers:
    """Rows of an archive whose labels the run was trained with (``class_views``), or what it started from."""
    used = [one.trained_on(archive) for one in _lineage(run) if one.recipe.class_views and one.recipe.epochs]
    rows = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *used]))
    found: Integers = rows[archive.labels[rows] >= 0]
    return found


def _lineage(run: Run) -> Iterator[Run]:
    """The run, and those that it started from, as far as they are at hand."""
    yield run
    place = run.config.get("start")
    if place and place not in shipped() and (Path(place) / "config.json").exists():
        yield from _lineage(Run.open(place, "pretrain"))


def labels_used(run: Run, archive: MotionArchive) -> str:
    """What a reader must know where the run was trained with labels of the archive; empty if it was not."""
    count = len(labels_of(run, archive))
    if not count:
        return ""
    return (
        f"the training used the labels of {counted(count, 'clip')} (--class-views), so figures of fewlabels, fewshot, "
        "semi and cluster do not say what few or no labels give"
    )
