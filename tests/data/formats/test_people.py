from __future__ import annotations

import numpy as np
import pytest

from motet.core.errors import DataError, MotetNote
from motet.data.formats._people import PATIENCE, Sighting, follow, rejoin, sighting

BODY = np.random.default_rng(0).uniform(0, 100, (17, 2)) + 1


def walker(frames: int, start: float, speed: float, score: float = 0.9, identity: object = None) -> list[Sighting]:
    """Somebody who walks along x; the shape of the body tells who it is."""
    shape = BODY * (1 + start / 1000)
    return [Sighting(shape + np.array([start + speed * t, 0]), np.full(17, score), identity) for t in range(frames)]


def test_of_people_seen_about_as_well_the_largest_is_first() -> None:
    """Whoever passes by in the background is seen with a little more confidence, for once."""
    near, far = walker(40, 0, 1.0, score=0.85), walker(40, 900, 1.0, score=0.9)
    far = [Sighting(s.points / 3 + 600, s.scores, None) for s in far]
    people = follow([[b, a] for a, b in zip(near, far, strict=True)], 17, 2, 1)
    np.testing.assert_allclose(people.frames[:, 0], np.stack([s.points for s in near]), rtol=1e-6)
    hardly = [Sighting(s.points, s.scores * (n < 20), None) for n, s in enumerate(near)]
    people = follow([[b, a] for a, b in zip(hardly, far, strict=True)], 17, 2, 1)
    np.testing.assert_allclose(people.frames[:, 0], np.stack([s.points for s in far]), rtol=1e-6)


def test_two_people_keep_their_slots_whatever_the_order_in_a_frame() -> None:
    left, right = walker(40, 0, 2.0), walker(40, 400, 1.0, score=0.8)
    swap = np.random.default_rng(1).random(40) < 0.5
    people = follow([[b, a] if s else [a, b] for a, b, s in zip(left, right, swap, strict=True)], 17, 2, 2)
    np.testing.assert_allclose(people.frames[:, 0], np.stack([s.points for s in left]), rtol=1e-6)
    np.testing.assert_allclose(people.frames[:, 1], np.stack([s.points for s in right]), rtol=1e-6)
    np.testing.assert_allclose(people.confidence[:, 1], 0.8)
    assert people.tracks == 2


def test_three_people_are_all_kept_and_the_best_seen_come_first() -> None:
    cast = [walker(20, 0, 0, 0.5), walker(20, 300, 0, 0.9), walker(20, 600, 0, 0.7)]
    frames = [list(row) for row in zip(*cast, strict=True)]
    people = follow(frames, 17, 2, 3)
    for slot, actor in enumerate((1, 2, 0)):
        np.testing.assert_allclose(people.frames[:, slot], cast[actor][0].points[None].repeat(20, 0), rtol=1e-6)
    fewer = follow(frames, 17, 2, 1)
    np.testing.assert_array_equal(fewer.frames, people.frames[:, :1])
    assert fewer.tracks == 3


@pytest.mark.parametrize("identities", ["joined", "given"])
def test_a_person_that_begins_where_another_ended(identities: str) -> None:
    frames = np.zeros((12, 3, 17, 2), np.float32)
    for t, seen in enumerate(walker(12, 0, 1)):
        frames[t, 0 if t < 4 else 1 if t < 7 else 2] = seen.points
    whole = frames.sum(axis=1)
    with pytest.warns(MotetNote, match=r"a\.csv: 2 identities begin where another ended, .* with --identities"):
        rejoin(frames, scores := frames.any(axis=-1).astype(np.float32), identities, "a.csv")
    if identities == "joined":
        np.testing.assert_array_equal(frames[:, 0], whole)
        assert (frames[:, 1:].any(), scores[:, 1:].any(), scores[:, 0].all()) == (False, False, True)
    else:
        np.testing.assert_array_equal(frames.any(axis=(2, 3)).sum(axis=0), [4, 3, 5])


def test_joints_without_a_number_are_absent() -> None:
    points = np.ones((17, 2))
    points[3, 0] = np.nan
    found = sighting(points, np.r_[0.0, np.ones(16)])
    assert np.flatnonzero(found.scores == 0).tolist() == np.flatnonzero(~found.points.any(axis=1)).tolist() == [0, 3]


def test_identities_are_believed_before_places() -> None:
    a, b = walker(10, 0, 0, identity="a"), walker(10, 0, 0, identity="b")  # in the same place
    people = follow([[x] if t % 2 else [y] for t, (x, y) in enumerate(zip(a, b, strict=True))], 17, 2, 2)
    assert people.tracks == 2
    assert people.frames.any(axis=(2, 3)).sum(axis=0).tolist() == [5, 5]


@pytest.mark.parametrize("gap", [3, PATIENCE + 5])
def test_somebody_who_was_lost_goes_on_in_the_same_slot(gap: int) -> None:
    seen = walker(60, 0, 0.1)
    people = follow([[] if 20 <= t < 20 + gap else [s] for t, s in enumerate(seen)], 17, 2, 2)
    assert people.tracks == 1
    assert not people.frames[20 : 20 + gap].any()
    assert people.frames[:, 0].any(axis=(1, 2)).sum() == 60 - gap
    assert not people.frames[:, 1].any()


def test_absent_joints_do_not_confuse_and_nobody_is_nobody() -> None:
    half = [Sighting(s.points * (np.arange(17) % 2)[:, None], s.scores * (np.arange(17) % 2)) for s in walker(9, 0, 1)]
    people = follow([[s] for s in half], 17, 2, 1)
    assert people.tracks == 1
    assert not people.frames[:, 0, ::2].any()
    empty = follow([[], []], 17, 2, 2)
    assert (empty.tracks, empty.frames.shape, empty.frames.any()) == (0, (2, 2, 17, 2), False)
    blind = Sighting(np.zeros((17, 2)), np.zeros(17))
    assert not follow([[blind], [blind]], 17, 2, 1).frames.any()


def test_a_frame_of_thousands_is_refused_before_they_are_compared() -> None:
    with pytest.raises(DataError, match="2,000 people in one frame; up to 300 are followed"):
        follow([walker(1, 0, 0) * 2000], 17, 2, 2)
