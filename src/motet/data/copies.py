"""Clips that are the same recording: byte for byte, but for noise and place, or windows that share frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from motet.data.archive import MotionArchive

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

FRAMES = 16  # to which a clip is brought for the comparison
NEAR = 0.002  # of the body's size: clips closer than this, joint by joint, are copies with noise (3 mm of a person)
OVERLAP = 0.3  # share of a clip's frames that another clip holds too
LARGEST = 5e8  # numbers of all clips together, beyond which near copies are not looked for
COMPARED = 200  # neighbours in the order of a sum with which a clip is compared


def across(archive: MotionArchive, train: Rows, test: Rows) -> tuple[Rows, Rows]:
    """Test clips that are copies of a training clip.

    Args:
        train, test: rows of the archive.

    Returns:
        Rows of ``test``, ascending: those equal byte for byte, and those nearly equal (:func:`overlaps`, :func:`near`)
        that are none of the former.
    """
    digests = archive.clips["sha256"].to_numpy()
    exact = test[np.isin(digests[test], digests[train])]
    rows = np.unique(np.concatenate([train, test]))
    known = sizes(archive, rows)
    known = known[np.isfinite(known)]
    pairs = overlaps(archive) | near(archive, rows, float(np.median(known)) if len(known) else np.nan)
    trains, tests = set(train.tolist()), set(test.tolist())
    close = {b for pair in pairs for a, b in (pair, pair[::-1]) if a in trains and b in tests}
    return np.sort(exact), np.array(sorted(close - set(exact.tolist())), dtype=np.int64)


def sizes(archive: MotionArchive, rows: Rows) -> Array:
    """(n,) median over five frames of a clip's largest extent of a body; NaN if nobody is there."""
    found = []
    steps = (archive.lengths[rows, None] - 1) * np.linspace(0.1, 0.9, 5)
    picks = archive.offsets[rows, None] + steps.round().astype(np.int64)
    for start in range(0, len(rows), 500):
        frames = archive.frames[picks[start : start + 500]].astype(np.float64)
        there = frames.any(axis=-1, keepdims=True)
        high = np.where(there, frames, -np.inf).max(axis=3)
        low = np.where(there, frames, np.inf).min(axis=3)
        extent = (high - low).max(axis=-1).reshape(len(frames), -1)  # -inf where nobody is
        extent[~(extent > 0) | ~np.isfinite(extent)] = np.nan
        known = np.flatnonzero(np.isfinite(extent).any(axis=1))
        out = np.full(len(frames), np.nan)
        out[known] = np.nanmedian(extent[known], axis=1)
        found.append(out)
    return np.concatenate(found)


def overlaps(archive: MotionArchive) -> set[tuple[int, int]]:
    """Pairs of clips of which one holds a good part of the other's frames, bit by bit."""
    frames = archive.frames
    flat = frames.reshape(len(frames), -1)
    weights = np.random.default_rng(0).integers(1, 2**63, flat.shape[1], dtype=np.uint64) | np.uint64(1)
    words = np.dtype(f"u{frames.dtype.itemsize}")
    keys = np.empty(len(frames), dtype=np.uint64)
    step = max(1, 4_000_000 // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        keys[start : start + step] = (flat[start : start + step].view(words).astype(np.uint64) * weights).sum(axis=1)
    owner = np.repeat(np.arange(len(archive)), archive.lengths)
    rows = np.unique(np.stack([keys, owner.astype(np.uint64)], axis=1), axis=0)  # a frame counts once in a clip
    rows = rows[rows[:, 0] != 0]  # nobody there
    again = np.flatnonzero(rows[1:, 0] == rows[:-1, 0])
    if not len(again):
        return set()
    pairs, counts = np.unique(np.stack([rows[again, 1], rows[again + 1, 1]], axis=1), axis=0, return_counts=True)
    distinct = np.bincount(rows[:, 1].astype(np.int64), minlength=len(archive))
    return {
        (int(a), int(b))
        for (a, b), n in zip(pairs.tolist(), counts.tolist(), strict=True)
        if n >= max(2, OVERLAP * min(distinct[a], distinct[b])) or n == min(distinct[a], distinct[b]) > 1
    }


def near(archive: MotionArchive, rows: Rows, size: float) -> set[tuple[int, int]]:
    """Pairs of clips that are the same but for noise and place, found by sums of coordinates with random weights.

    Args:
        rows: clips that are compared.
        size: of a body, in the archive's unit; NaN finds nothing.
    """
    width = FRAMES * archive.persons * len(archive.skeleton) * len(archive.channels)
    if archive.skeleton.kind == "sensor" or not np.isfinite(size) or width * len(rows) >= LARGEST:
        return set()
    whole = np.zeros((len(rows), width), dtype=np.float32)
    for at, index in enumerate(rows.tolist()):
        clip = archive.clip(index)
        there = np.asarray(clip.any(axis=3, keepdims=True))
        middle = clip.sum(axis=(0, 1, 2)) / max(1, int(there.sum()))
        picked = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
        whole[at] = ((clip[picked] - middle) * there[picked]).ravel() / size
    weights = np.random.default_rng(1).normal(size=(width, 2)).astype(np.float32)
    keys = whole @ weights / np.float32(np.sqrt(width))
    order = np.argsort(keys[:, 0], kind="stable")
    limit, joints = 4 * NEAR, FRAMES * archive.persons * len(archive.skeleton)
    lengths, found = archive.lengths, set()
    for place, first in enumerate(order.tolist()):
        for second in order[place + 1 : place + COMPARED].tolist():
            if keys[second, 0] - keys[first, 0] > limit:
                break
            if abs(keys[second, 1] - keys[first, 1]) > limit:
                continue
            away = float(np.square(whole[second] - whole[first]).sum() / joints)
            a, b = sorted((int(rows[first]), int(rows[second])))
            if away < NEAR**2 and lengths[a] > 1 and lengths[b] > 1:
                found.add((a, b))
    return found
