"""Which of the people of one frame is which of the next: tracks out of the sightings of a pose estimator."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from motet.core.errors import DataError, MotetNote
from motet.core.text import counted

Array = npt.NDArray[np.floating[Any]]
Identities = Literal["joined", "given"]

PATIENCE = 15  # frames after which somebody who is not seen is given up
REACH = 0.6  # of the body's extent: how far the joints may move between two sightings, on average
FAR = 1e6
MOST_PEOPLE = 300  # in a frame
AS_WELL = 0.9  # of the confidence of who is seen best


@dataclass(frozen=True)
class Sighting:
    """One person in one frame.

    Attributes:
        points: (V, C) coordinates; an absent joint is zero.
        scores: (V,) confidence of each joint, zero where absent.
        identity: who it is, if the estimator follows people itself.
    """

    points: Array
    scores: Array
    identity: Hashable | None = None


def sighting(points: Array, scores: Array, identity: Hashable | None = None) -> Sighting:
    """A person whose joints with NaN, or without confidence, are absent."""
    there = np.isfinite(points).all(axis=1) & (scores > 0)
    return Sighting(np.where(there[:, None], points, 0), np.where(there, scores, 0), identity)


def note_joined(count: int, where: object, identities: str) -> None:
    """Say that identities begin where others end, and what became of them."""
    done = identities == "joined"
    warnings.warn(
        f"{where}: {counted(count, 'identity begins', 'identities begin')} where another ended, which "
        + ("is taken for the same person; keep them apart" if done else "may be the same person; make them one")
        + f" with --identities {'given' if done else 'joined'}",
        MotetNote,
        stacklevel=3,
    )


def rejoin(frames: Array, scores: Array | None, identities: str, where: object) -> None:
    """Make people of (T, P, V, C) frames one, in place, where one clearly begins where and when another ended.

    Unless ``identities`` is ``joined``, that is only said.
    """
    there = np.asarray(frames.any(axis=(2, 3)))
    present = [p for p in range(there.shape[1]) if there[:, p].any()]
    first = {p: int(there[:, p].argmax()) for p in present}
    last = {p: len(there) - 1 - int(there[::-1, p].argmax()) for p in present}

    def continues(a: int, b: int) -> bool:
        ends = [Sighting(frames[t, p], np.ones(frames.shape[2])) for t, p in ((last[a], a), (first[b], b))]
        return 0 < first[b] - last[a] <= PATIENCE and _distance(*ends) <= REACH

    pairs = [(a, b) for a in present for b in present if a != b and continues(a, b)]
    pairs = [(a, c) for a, c in pairs if not any((a, b) in pairs and (b, c) in pairs for b in present)]  # no shortcuts
    clear = [(a, b) for a, b in pairs if sum(a == c for c, _ in pairs) == sum(b == d for _, d in pairs) == 1]
    if not clear:
        return
    note_joined(len(clear), where, identities)
    if identities != "joined":
        return
    slot: dict[int, int] = {}
    for a, b in sorted(clear, key=lambda pair: first[pair[1]]):
        slot[b] = slot.get(a, a)
        for held in (frames, scores):
            if held is not None:
                held[there[:, b], slot[b]] = held[there[:, b], b]
                held[there[:, b], b] = 0


@dataclass
class _Track:
    frames: list[int] = field(default_factory=list)
    seen: list[Sighting] = field(default_factory=list)

    @property
    def weight(self) -> float:
        return float(sum(s.scores.sum() for s in self.seen))


@dataclass(frozen=True)
class People:
    """Everybody in a clip.

    Attributes:
        frames: (T, P, V, C), who was seen best and longest first; absent = zero.
        confidence: (T, P, V).
        tracks: people distinguished, the ones left out included.
        identities: of the people kept, in their order, as the estimator calls them; None where it does not.
        joined: identities that were taken for another one continuing.
    """

    frames: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    tracks: int
    joined: int = 0
    identities: tuple[Hashable | None, ...] = ()


def follow(
    frames: Sequence[Sequence[Sighting]], joints: int, channels: int, persons: int, *, join: bool = True
) -> People:
    """Follow people through a clip and keep those who were seen best; of those seen about as well the largest is first.

    With identities, a person is an identity; one that begins where another ended, in space and shortly after, is the
    same person under a new number unless ``join`` is False. Without, each sighting continues with the track whose last
    sighting lies nearest (mean distance of the joints that both have, assigned for all people of a frame together)
    unless that is further than :data:`REACH` times the body's extent; tracks that never meet are then taken for one
    person, lost and found again.

    Args:
        frames: sightings of each frame.
        joints, channels: V, C.
        persons: P, slots to fill.
        join: see above.

    Raises:
        DataError: more people in a frame than are followed.
    """
    crowd = max(map(len, frames), default=0)
    if crowd > MOST_PEOPLE:
        raise DataError(f"{crowd:,} people in one frame; up to {MOST_PEOPLE} are followed")
    named = any(s.identity is not None for f in frames for s in f)
    tracks = _by_identity(frames) if named else _by_place(frames)
    tracks, joined = _joined(tracks) if named and join else (tracks, 0)
    slots: list[list[_Track]] = []
    for track in sorted(tracks, key=lambda t: (-t.weight, t.frames[0])):
        lost = (s for s in slots if not named and all(set(track.frames).isdisjoint(t.frames) for t in s))
        slot = next(lost, None)
        if slot is None:
            slots.append([track])
        else:
            slot.append(track)
    out = np.zeros((len(frames), persons, joints, channels), dtype=np.float32)
    confidence = np.zeros(out.shape[:3], dtype=np.float32)
    best = max((_weight(s) for s in slots), default=0.0)
    # of those who are seen about as well the one in front is meant, rather than who passes by
    slots.sort(key=lambda s: (-1, -_extent(s)) if _weight(s) >= AS_WELL * best else (0, -_weight(s)))
    with np.errstate(over="ignore"):
        for person, slot in enumerate(slots[:persons]):
            for track in slot:
                out[track.frames, person] = np.stack([s.points for s in track.seen])
                confidence[track.frames, person] = np.stack([s.scores for s in track.seen])
    return People(out, confidence, len(slots), joined, tuple(s[0].seen[0].identity for s in slots[:persons]))


def _weight(slot: Sequence[_Track]) -> float:
    return sum(track.weight for track in slot)


def _extent(slot: Sequence[_Track]) -> float:
    """Median of how far the joints of a person reach."""
    there = [s.points[s.points.any(axis=1)] for t in slot for s in t.seen]
    return float(np.median([np.ptp(points, axis=0).max() if len(points) else 0.0 for points in there]))


def _joined(tracks: Sequence[_Track]) -> tuple[list[_Track], int]:
    """Tracks of which one begins where and when another ends made one, and how often that was done.

    Only where it is clear: the one that ended is the only one near, and the one that begins the only one near it.
    """
    kept = sorted(tracks, key=lambda t: t.frames[0])
    count, place = 0, 0
    while place < len(kept):
        later = kept[place]
        near = [t for t in kept if t is not later and _continues(t, later)]
        others = [t for t in kept if len(near) == 1 and t is not later and _continues(near[0], t)]
        others = [t for t in others if not _continues(later, t)]  # that one comes after this
        if len(near) == 1 and not others:
            near[0].frames += later.frames
            near[0].seen += later.seen
            kept.pop(place)
            count += 1
        else:
            place += 1
    return kept, count


def _continues(before: _Track, after: _Track) -> bool:
    waited = after.frames[0] - before.frames[-1]
    return 0 < waited <= PATIENCE and _distance(before.seen[-1], after.seen[0]) <= REACH


def _by_identity(frames: Sequence[Sequence[Sighting]]) -> list[_Track]:
    tracks: dict[Hashable | None, _Track] = {}
    for number, sightings in enumerate(frames):
        for sighting in sightings:
            track = tracks.setdefault(sighting.identity, _Track())
            if track.frames and track.frames[-1] == number:  # an identity given twice: the better sighting counts
                if sighting.scores.sum() > track.seen[-1].scores.sum():
                    track.seen[-1] = sighting
                continue
            track.frames.append(number)
            track.seen.append(sighting)
    return list(tracks.values())


def _by_place(frames: Sequence[Sequence[Sighting]]) -> list[_Track]:
    done: list[_Track] = []
    live: list[_Track] = []
    for number, sightings in enumerate(frames):
        done += [t for t in live if number - t.frames[-1] > PATIENCE]
        live = [t for t in live if number - t.frames[-1] <= PATIENCE]
        found: dict[int, _Track] = {}
        if live and sightings:
            cost = np.array([[_distance(track.seen[-1], sighting) for sighting in sightings] for track in live])
            for row, column in zip(*linear_sum_assignment(np.minimum(cost, FAR)), strict=True):
                if cost[row, column] <= REACH:
                    found[int(column)] = live[int(row)]
        for place, sighting in enumerate(sightings):
            track = found.get(place)
            if track is None:
                track = _Track()
                live.append(track)
            track.frames.append(number)
            track.seen.append(sighting)
    return done + live


def _distance(before: Sighting, now: Sighting) -> float:
    """Mean distance of the joints that both have, as a share of the body's extent; infinite if they share none."""
    both = before.points.any(axis=1) & now.points.any(axis=1)
    if not both.any():
        return np.inf
    extent = max(float(np.ptp(s.points[both][:, :2], axis=0).max()) for s in (before, now))
    moved = float(np.linalg.norm((before.points - now.points)[both][:, :2], axis=1).mean())
    return moved / extent if extent > 0 else (0.0 if moved == 0 else np.inf)
