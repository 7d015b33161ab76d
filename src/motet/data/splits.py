"""Who trains and who tests, as rules that are words: ``"ntu60-xsub"``, ``"odd-even"``, ``"kfold:5/1"`` …

A rule reads the clips table of an archive and returns row numbers, so it holds for any import of the same set.
:data:`RULES` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError
from motet.core.text import counted, first_of, pasted
from motet.data.archive import MotionArchive
from motet.data.columns import STRUCTURE

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

RULES: dict[str, str] = {
    "ntu60-xsub": "NTU RGB+D 60 cross-subject: 20 listed performers train",
    "ntu60-xview": "NTU RGB+D 60 cross-view: cameras 2 and 3 train, camera 1 tests",
    "ntu120-xsub": "NTU RGB+D 120 cross-subject: 53 listed performers train",
    "ntu120-xset": "NTU RGB+D 120 cross-setup: even setups train",
    "pku-xsub": "PKU-MMD cross-subject: the split file given at import, else performers 2, 3 and 7 test (part II)",
    "pku-xview": "PKU-MMD cross-view: the split file given at import",
    "nw-ucla": "NW-UCLA: views 1 and 2 train, view 3 tests",
    "odd-even": "subjects with odd numbers train, even ones test",
    "subjects:1,3,5": "the listed subjects train, all others test",
    "test-subjects:2,4": "the listed subjects test, all others train",
    "kfold:K/I": "fold I (1..K) of K tests; every subject is in one fold, folds hold about the same number of clips",
    "random-subjects:0.3@SEED": "this share of the subjects, drawn at random, tests",
    "random-recordings:0.3@SEED": "this share of the recordings that windows were cut from tests (column recording)",
    "random:0.3@SEED": "this share of the clips of each class, drawn at random, tests (people are on both sides)",
    "column:NAME=TRAIN,TEST": "clips whose column NAME says TRAIN train, those that say TEST test",
    "all": "every clip trains and tests (pretraining without a test set)",
}

WINDOWS = "random-recordings:0.3@0"
_FEWEST = 4  # recordings of which some can be left out by default

NTU60_TRAIN_SUBJECTS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
# fmt: off
NTU120_TRAIN_SUBJECTS = (
    *NTU60_TRAIN_SUBJECTS, 45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)
# fmt: on
NTU60_SETUPS = 17  # higher setups were recorded for NTU RGB+D 120
PKU2_TEST_SUBJECTS = (2, 3, 7)


@dataclass(frozen=True)
class Split:
    """Clips that train and clips that test.

    Attributes:
        train: (n,) rows of the archive's clips table, ascending.
        test: (m,) likewise.
        name: the rule.
        description: the rule in words.
        warning: what a reader of results must know about the split, empty if nothing.
    """

    train: Ids
    test: Ids
    name: str
    description: str
    warning: str = ""

    def __repr__(self) -> str:
        return f"Split({self.name!r}: {len(self.train)} train, {len(self.test)} test)"


def split(archive: MotionArchive, rule: str) -> Split:
    """Apply a rule of :data:`RULES` to an archive.

    Raises:
        ConfigError: unknown or malformed rule, a column that the rule needs is missing, a listed subject does not
            exist, or one side would be empty.
    """
    if not isinstance(rule, str):
        raise ConfigError(f"a split rule is text, such as odd-even, not {type(rule).__name__}")
    word, _, rest = rule.partition(":")
    fixed, ruled = _FIXED.get(rule), _RULED.get(word)
    if fixed is not None:
        train, test = fixed(archive, rule)
    elif ruled is not None and rest:
        train, test = ruled(archive, rule, rest)
    else:
        raise ConfigError(f"there is no split rule {pasted(rule)}; choose from {', '.join(RULES)}")
    ids = np.arange(len(archive), dtype=np.int64)
    for side, mask in (("train", train), ("test", test)):
        if not mask.any():
            raise ConfigError(
                f"split rule {pasted(rule)}: no clip of {archive.path} is left to {side}; {_values(archive)}"
            )
    shared = _shared_subjects(archive, train, test) if rule != "all" else []
    who = "1 person is" if len(shared) == 1 else f"{counted(len(shared), 'person', 'people')} are"
    warning = f"{who} both in training and in test: scores are optimistic" if shared else ""
    if not warning and rule != "all" and (cut := _shared_recordings(archive, train, test)):
        warning = (
            f"windows of {counted(cut, 'recording')} are both in training and in test: scores are optimistic; "
            f"{WINDOWS} draws recordings"
        )
    key = next(k for k in RULES if k.partition(":")[0] == word)
    return Split(ids[train], ids[test], rule, RULES[key], warning)


def default_rule(archive: MotionArchive) -> str:
    """The field's standard rule for the set if the importer knows one, else ``odd-even``, else ``random:0.3@0``, or
    of windows of four recordings and more ``random-recordings:0.3@0``.

    A rule that would leave one side of this archive empty is passed over.
    """
    recordings = recordings_of(archive)
    several = _FEWEST <= len(np.unique(recordings)) < len(recordings)
    for rule in (archive.source.get("split"), "odd-even"):
        try:
            found = split(archive, str(rule)).name
        except ConfigError:
            continue
        if not (several and found.startswith("random:")):
            return found
    return WINDOWS if several else "random:0.3@0"


def validation(given: Split, archive: MotionArchive, fraction: float = 0.2, seed: int = 0) -> Split:
    """Split the *training* side again, to choose settings without the test side.

    Some training subjects are left out, at random, until they make up ``fraction`` of the training clips. Where the
    subjects are unknown or only one trains, the split warns of it: left out are recordings that windows were cut from,
    or clips (stratified by label) where windows of four are not there.

    Returns:
        A split whose ``train`` and ``test`` are both parts of ``given.train``.

    Raises:
        ConfigError: the fraction is not between 0 and 1, or there are fewer than two training clips.
    """
    name = f"{given.name} → validation {fraction}@{seed}"
    if not 0 < fraction < 1:
        raise ConfigError(f"validation fraction is {fraction}; it must be between 0 and 1")
    if len(given.train) < 2:
        raise ConfigError(
            f"split rule {pasted(given.name)}: {counted(len(given.train), 'training clip')} cannot be divided"
        )
    subjects = archive.clips["subject"].fill_null(-1).to_numpy()[given.train]
    people, kind, warning = np.unique(subjects), "training subjects", ""
    rng = np.random.default_rng(seed)
    if len(people) < 2 or -1 in people:
        subjects, kind = recordings_of(archive)[given.train], "recordings of training clips"
        people = np.unique(subjects)
        warning = "people are not distinguished, so recordings were drawn: scores are optimistic"
    if warning and not _FEWEST <= len(people) < len(subjects):
        held = _draw_stratified(archive.labels[given.train], fraction, rng)
        warning = "people are not distinguished, so clips were drawn: scores are optimistic"
        return Split(given.train[~held], given.train[held], name, "a random part of the training clips", warning)
    chosen: list[Any] = []
    held = np.zeros(len(subjects), dtype=bool)
    for person in rng.permutation(people)[:-1]:  # one subject at least continues training
        chosen.append(person)
        held = np.isin(subjects, chosen)
        if held.mean() >= fraction:
            break
    listed = ", ".join(str(p) for p in sorted(chosen))
    return Split(given.train[~held], given.train[held], name, f"{kind} {listed} are held out", warning)


def _shared_subjects(archive: MotionArchive, train: Mask, test: Mask) -> list[int]:
    subjects = archive.clips["subject"].fill_null(-1).to_numpy()
    return sorted((set(subjects[train].tolist()) & set(subjects[test].tolist())) - {-1})


def recordings_of(archive: MotionArchive) -> npt.NDArray[np.str_]:
    """(n,) recording that each clip was cut from, the clip itself where it was not."""
    columns = [name for name in ("recording", "name") if name in archive.clips.columns]
    return archive.clips.select(pl.coalesce(columns).cast(pl.String)).to_series().to_numpy().astype(np.str_)


def _shared_recordings(archive: MotionArchive, train: Mask, test: Mask) -> int:
    recordings = recordings_of(archive)
    return len(np.intersect1d(recordings[train], recordings[test]))


def _values(archive: MotionArchive) -> str:
    """What the columns that rules read hold, for messages."""
    said = []
    for column in ("subject", "camera", "setup"):
        values = archive.clips[column].drop_nulls().unique().sort().to_list()
        if values:
            more = " …" if len(values) > 20 else ""
            said.append(f"{column} {', '.join(str(v) for v in values[:20])}{more}")
    return f"it has {'; '.join(said)}" if said else "it has no subject, camera or setup"


def _column(archive: MotionArchive, rule: str, column: str) -> npt.NDArray[np.int64]:
    values = archive.clips[column]
    if values.null_count():
        known = [c for c in archive.clips.columns if c not in STRUCTURE and archive.clips[c].null_count() == 0]
        lacking = archive.clips["name"].filter(values.is_null()).to_list()
        what = f"none of {archive.path} has one"
        if len(lacking) < len(values):
            part = pasted(archive.path, "PART", "--where", f"{column} IS NOT NULL")
            what = (
                f"that of {first_of(lacking, 'clip')} in {archive.path} is not known; fill it (`motet data label`) or "
            )
            what += f"leave them out (`motet data select {part}`)"
        complete = f"; complete columns are {', '.join(known)}" if known else ""
        raise ConfigError(f"split rule {pasted(rule)} needs the {column} of every clip, but {what}{complete}")
    return values.to_numpy()


def _sides(train: Mask, within: Mask | None = None) -> tuple[Mask, Mask]:
    return (train, ~train) if within is None else (train & within, ~train & within)


def _ntu60(archive: MotionArchive, rule: str) -> tuple[Mask, Mask]:
    # the 60-class set is part of the 120-class set: one archive serves both
    within = _column(archive, rule, "setup") <= NTU60_SETUPS
    if rule == "ntu60-xsub":
        return _sides(np.isin(_column(archive, rule, "subject"), NTU60_TRAIN_SUBJECTS), within)
    return _sides(np.isin(_column(archive, rule, "camera"), (2, 3)), within)


def _ntu120(archive: MotionArchive, rule: str) -> tuple[Mask, Mask]:
    if rule == "ntu120-xsub":
        return _sides(np.isin(_column(archive, rule, "subject"), NTU120_TRAIN_SUBJECTS))
    return _sides(_column(archive, rule, "setup") % 2 == 0)


def _pku(archive: MotionArchive, rule: str) -> tuple[Mask, Mask]:
    column = {"pku-xsub": "cross_subject", "pku-xview": "cross_view"}[rule]
    if column in archive.clips.columns:
        return _by_column(archive, rule, f"{column}=train,test")
    if rule == "pku-xsub" and not archive.clips["subject"].null_count():
        return _sides(~np.isin(_column(archive, rule, "subject"), PKU2_TEST_SUBJECTS))
    raise ConfigError(
        f"split rule {pasted(rule)} needs the split file: import {archive.path} again with the option {column} "
        f"(columns are {', '.join(archive.clips.columns)})"
    )


def _nw_ucla(archive: MotionArchive, rule: str) -> tuple[Mask, Mask]:
    camera = _column(archive, rule, "camera")
    return camera < 3, camera == 3


def _odd_even(archive: MotionArchive, rule: str) -> tuple[Mask, Mask]:
    return _sides(_column(archive, rule, "subject") % 2 == 1)


def _all(archive: MotionArchive, rule: str) -> tuple[Mask, Mask]:
    every = np.ones(len(archive), dtype=bool)
    return every, every


def _listed(archive: MotionArchive, rule: str, rest: str) -> tuple[Mask, Mask]:
    subjects = _column(archive, rule, "subject")
    try:
        listed = [int(v) for v in rest.split(",")]
    except ValueError as error:
        raise ConfigError(f"split rule {pasted(rule)}: subjects are whole numbers separated by commas") from error
    missing = sorted(set(listed) - set(subjects.tolist()))
    if missing:
        raise ConfigError(f"split rule {pasted(rule)}: {archive.path} has no subject {missing[0]}; {_values(archive)}")
    train, test = _sides(np.isin(subjects, listed))
    return (train, test) if rule.startswith("subjects") else (test, train)


def _kfold(archive: MotionArchive, rule: str, rest: str) -> tuple[Mask, Mask]:
    try:
        count, fold = (int(v) for v in rest.split("/"))
    except ValueError as error:
        raise ConfigError(f"split rule {pasted(rule)}: write it as kfold:K/I, such as kfold:5/1") from error
    subjects = _column(archive, rule, "subject")
    people, clips = np.unique(subjects, return_counts=True)
    if len(people) < 2:
        raise ConfigError(f"split rule {pasted(rule)}: {archive.path} has one subject only; random:0.3@0 draws clips")
    if not 2 <= count <= len(people):
        folds = f"2 to {counted(len(people), 'fold')} are possible" if len(people) > 2 else "2 folds are possible"
        raise ConfigError(
            f"split rule {pasted(rule)}: {archive.path} has {counted(len(people), 'subject')}, so {folds}"
        )
    if not 1 <= fold <= count:
        raise ConfigError(f"split rule {pasted(rule)}: there is no fold {fold}, they are numbered 1..{count}")
    # the subject with most clips first, each into the fold that has least
    load = [0] * count
    members: list[list[int]] = [[] for _ in range(count)]
    for person in np.lexsort((people, -clips)).tolist():
        smallest = min(range(count), key=lambda f: (load[f], len(members[f])))
        load[smallest] += int(clips[person])
        members[smallest].append(int(people[person]))
    return _sides(~np.isin(subjects, members[fold - 1]))


def _share(rule: str, rest: str) -> tuple[float, np.random.Generator]:
    share, _, seed = rest.partition("@")
    try:
        fraction, number = float(share), int(seed or 0)
    except ValueError as error:
        raise ConfigError(
            f"split rule {pasted(rule)}: write it as {rule.partition(':')[0]}:SHARE@SEED, such as 0.3@0"
        ) from error
    if not 0 < fraction < 1 or number < 0:
        raise ConfigError(f"split rule {pasted(rule)}: the share must be between 0 and 1 and the seed not negative")
    return fraction, np.random.default_rng(number)


def _random_subjects(archive: MotionArchive, rule: str, rest: str) -> tuple[Mask, Mask]:
    fraction, rng = _share(rule, rest)
    subjects = _column(archive, rule, "subject")
    people = np.unique(subjects)
    if len(people) < 2:
        raise ConfigError(f"split rule {pasted(rule)}: {archive.path} has one subject only; random:0.3@0 draws clips")
    count = min(max(round(fraction * len(people)), 1), len(people) - 1)
    return _sides(~np.isin(subjects, rng.permutation(people)[:count]))


def _random_recordings(archive: MotionArchive, rule: str, rest: str) -> tuple[Mask, Mask]:
    fraction, rng = _share(rule, rest)
    recordings = recordings_of(archive)
    every = np.unique(recordings)
    if len(every) < 2 or "recording" not in archive.clips.columns:
        raise ConfigError(
            f"split rule {pasted(rule)}: {archive.path} has no windows of two recordings or more (column recording, as "
            "`motet data split` writes it); random:0.3@0 draws clips"
        )
    count = min(max(round(fraction * len(every)), 1), len(every) - 1)
    return _sides(~np.isin(recordings, rng.permutation(every)[:count]))


def _random(archive: MotionArchive, rule: str, rest: str) -> tuple[Mask, Mask]:
    fraction, rng = _share(rule, rest)
    return _sides(~_draw_stratified(archive.labels, fraction, rng))


def _draw_stratified(labels: npt.NDArray[np.int64], fraction: float, rng: np.random.Generator) -> Mask:
    """Draw ``fraction`` of the clips of every label; both sides get one where a label has two."""
    drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        drawn[rng.permutation(rows)[:count]] = True
    if not drawn.any():  # no label has two clips
        drawn[rng.permutation(len(labels))[: max(round(fraction * len(labels)), 1)]] = True
    return drawn


def _by_column(archive: MotionArchive, rule: str, rest: str) -> tuple[Mask, Mask]:
    column, _, sides = rest.partition("=")
    wanted = [v.strip() for v in sides.split(",")]
    if column not in archive.clips.columns:
        raise ConfigError(
            f"split rule {pasted(rule)}: {archive.path} has no column {column!r}; "
            f"it has {', '.join(archive.clips.columns)}"
        )
    values = np.array([str(v) for v in archive.clips[column]])
    found = ", ".join(sorted(set(values.tolist()))[:20])
    if len(wanted) != 2 or not all(wanted):
        raise ConfigError(
            f"split rule {pasted(rule)}: write it as column:NAME=TRAIN,TEST; column {column!r} of {archive.path} says "
            f"{found}"
        )
    for value in wanted:
        if value not in values:
            raise ConfigError(
                f"split rule {pasted(rule)}: column {column!r} of {archive.path} never says {value!r}, but {found}"
            )
    return values == wanted[0], values == wanted[1]


_FIXED: dict[str, Callable[[MotionArchive, str], tuple[Mask, Mask]]] = {
    "ntu60-xsub": _ntu60,
    "ntu60-xview": _ntu60,
    "ntu120-xsub": _ntu120,
    "ntu120-xset": _ntu120,
    "pku-xsub": _pku,
    "pku-xview": _pku,
    "nw-ucla": _nw_ucla,
    "odd-even": _odd_even,
    "all": _all,
}
_RULED: dict[str, Callable[[MotionArchive, str, str], tuple[Mask, Mask]]] = {
    "subjects": _listed,
    "test-subjects": _listed,
    "kfold": _kfold,
    "random-subjects": _random_subjects,
    "random-recordings": _random_recordings,
    "random": _random,
    "column": _by_column,
}
