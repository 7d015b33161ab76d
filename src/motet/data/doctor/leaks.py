"""Copies, and clips and people that leak from training into test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from motet.data import splits
from motet.data.doctor.view import Finding, View
from motet.data.inspection import LISTED

FRAMES = 16  # to which a clip is brought for the comparison
NEAR = 0.002  # of the body's size: clips closer than this, joint by joint, are copies with noise (3 mm of a person)
OVERLAP = 0.3  # share of a clip's frames that another clip holds too


def copies(view: View) -> Iterator[Finding]:
    pairs = _overlaps(view) | _near(view)
    if not pairs:
        return
    across = _across(pairs, view.split)
    rows = sorted({i for pair in pairs for i in pair})
    if across:
        listed = tuple(f"{view.names[a]} = {view.names[b]}" for a, b in across[:LISTED])
        evidence = f"{len(across)} pairs of clips hold (nearly) the same frames on both sides of {view.split.name}"
        message = "the test knows clips of the training: results are too good"
        whole = view.rule_that(lambda other: not _across(pairs, other))
        remedy = "remove the copies" + (
            f", or keep them on one side: motet pretrain … --split {whole}" if whole else ""
        )
        yield Finding("leaking clips", "error", message, evidence, remedy, listed)
        return
    evidence = (
        f"{len(rows)} of {len(view.archive)} clips hold (nearly) the same frames as another, on one side of the split"
    )
    message = "copies and overlapping windows count more than once, and are false negatives of a contrastive loss"
    remedy = "remove copies; windows of one recording belong on one side of any split"
    yield Finding("duplicate clips", "warning", message, evidence, remedy, view.listed(rows))


def _across(pairs: set[tuple[int, int]], split: splits.Split) -> list[tuple[int, int]]:
    """The pairs of which one clip trains and the other tests."""
    if split.name == "all":
        return []
    train, test = set(split.train.tolist()), set(split.test.tolist())
    return sorted(p for p in pairs if (p[0] in train and p[1] in test) or (p[1] in train and p[0] in test))


def _overlaps(view: View) -> set[tuple[int, int]]:
    """Pairs of clips of which one holds a good part of the other's frames, bit by bit."""
    frames = view.archive.frames
    flat = frames.reshape(len(frames), -1)
    weights = np.random.default_rng(0).integers(1, 2**63, flat.shape[1], dtype=np.uint64) | np.uint64(1)
    words = np.dtype(f"u{frames.dtype.itemsize}")
    keys = np.empty(len(frames), dtype=np.uint64)
    step = max(1, 4_000_000 // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        keys[start : start + step] = (flat[start : start + step].view(words).astype(np.uint64) * weights).sum(axis=1)
    owner = np.repeat(np.arange(len(view.archive)), view.archive.lengths)
    rows = np.unique(np.stack([keys, owner.astype(np.uint64)], axis=1), axis=0)  # a frame counts once in a clip
    rows = rows[rows[:, 0] != 0]  # nobody there
    again = np.flatnonzero(rows[1:, 0] == rows[:-1, 0])
    if not len(again):
        return set()
    pairs, counts = np.unique(np.stack([rows[again, 1], rows[again + 1, 1]], axis=1), axis=0, return_counts=True)
    distinct = np.bincount(rows[:, 1].astype(np.int64), minlength=len(view.archive))
    return {
        (int(a), int(b))
        for (a, b), n in zip(pairs.tolist(), counts.tolist(), strict=True)
        if n >= max(2, OVERLAP * min(distinct[a], distinct[b])) or n == min(distinct[a], distinct[b]) > 1
    }


def _near(view: View) -> set[tuple[int, int]]:
    """Pairs of clips that are the same but for noise and place, found by sums of coordinates with random weights."""
    if view.sensor or not np.isfinite(view.size):
        return set()
    rows = view.compared
    size = view.archive.persons * len(view.skeleton) * len(view.archive.channels)
    whole = np.zeros((len(rows), FRAMES * size), dtype=np.float32) if FRAMES * size * len(rows) < 5e8 else None
    if whole is None:
        return set()
    for at, index in enumerate(rows.tolist()):
        clip = view.archive.clip(index)
        there = np.asarray(clip.any(axis=3, keepdims=True))
        middle = clip.sum(axis=(0, 1, 2)) / max(1, int(there.sum()))
        picked = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
        whole[at] = ((clip[picked] - middle) * there[picked]).ravel() / view.size
    weights = np.random.default_rng(1).normal(size=(FRAMES * size, 2)).astype(np.float32)
    keys = whole @ weights / np.float32(np.sqrt(FRAMES * size))
    order = np.argsort(keys[:, 0], kind="stable")
    limit, joints = 4 * NEAR, FRAMES * view.archive.persons * len(view.skeleton)
    lengths, found = view.archive.lengths, set()
    for place, first in enumerate(order.tolist()):
        for second in order[place + 1 : place + 200].tolist():
            if keys[second, 0] - keys[first, 0] > limit:
                break
            if abs(keys[second, 1] - keys[first, 1]) > limit:
                continue
            away = float(np.square(whole[second] - whole[first]).sum() / joints)
            a, b = sorted((int(rows[first]), int(rows[second])))
            if away < NEAR**2 and lengths[a] > 1 and lengths[b] > 1:
                found.add((a, b))
    return found


def people(view: View) -> Iterator[Finding]:
    archive, split = view.archive, view.split
    subjects = archive.clips["subject"].fill_null(-1).to_numpy()
    shared = sorted((set(subjects[split.train].tolist()) & set(subjects[split.test].tolist())) - {-1})
    if split.name == "all" or not shared:
        if (subjects == -1).all() and split.name != "all":
            evidence = f"no clip has a subject; {split.name} draws clips"
            message = "one person may train and test: scores may be optimistic"
            yield Finding("unknown people", "note", message, evidence, _name_people(view))
        return
    known = ", ".join(map(str, shared[:LISTED]))
    people = "1 person" if len(shared) == 1 else f"{len(shared)} people"
    evidence = f"{people} on both sides of {split.name}: {known}"
    message = "people are recognised by their build: scores do not hold for new ones"
    rule = view.rule_that(lambda other: not other.warning)
    remedy = f"motet pretrain … --split {rule}" if rule else "record more people; one person cannot both train and test"
    yield Finding("shared people", "warning", message, evidence, remedy)


def _name_people(view: View) -> str:
    """How clips get a subject: the command that made the archive, to which a group of the pattern is to be added."""
    told, command = view.archive.source.get("options"), view.import_command()
    if command is None or not isinstance(told, dict) or "pattern" not in told:
        return "give every clip a subject, and import again"
    group = "a group (?P<subject>…)"
    where = f"{group} in its --pattern" if told["pattern"] else f"a --pattern that has {group}"
    return f"where the names of the files tell the person, import again with {where}: {command}"
