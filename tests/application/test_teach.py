"""What the classifier of the application says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from motet.application.labels import Interval
from motet.application.proposals import FEW, typicality
from motet.application.teach import MORE, STEADY, Teacher

PEOPLE, EACH, CLASSES = 6, 20, ("a", "b", "c")


@dataclass
class Labels:
    given: list[Interval] = field(default_factory=list)
    classes: tuple[str, ...] = CLASSES

    def all(self) -> list[Interval]:
        return self.given


def moments(spread: float) -> tuple[Any, np.ndarray, Any]:
    """One moment a clip: three groups, in which people differ by ``spread``."""
    random = np.random.default_rng(0)
    count = PEOPLE * EACH
    person, of = np.repeat(np.arange(PEOPLE), EACH), np.tile(np.arange(len(CLASSES)), count)[:count]
    centres, people = 4 * np.eye(3, 5), spread * random.normal(size=(PEOPLE, 3, 5))
    features = (centres[of] + people[person, of] + random.normal(size=(count, 5))).astype(np.float32)
    found = SimpleNamespace(
        features=features,
        typical=typicality(features),
        chance=5.0,
        clip=np.arange(count),
        start=np.zeros(count),
        end=np.ones(count),
        ready=Event(),
        rows=lambda clip, start, end: features[clip : clip + 1],
        of=lambda clip: range(clip, clip + 1),
    )
    names = [f"c{i}" for i in range(count)]
    archive = SimpleNamespace(clips=pl.DataFrame({"subject": person, "name": names}))
    return found, of, archive


@pytest.fixture
def teacher() -> Any:
    found, of, archive = moments(1.0)
    made = Teacher(archive, Labels(), found)  # type: ignore[arg-type]
    made.truth = of  # type: ignore[attr-defined]
    found.ready.set()
    made.close()
    return made


def label(teacher: Any, rows: Any) -> None:
    teacher.labels.given += [Interval(int(i), int(i), 0.0, 1.0, CLASSES[teacher.truth[i]], "ann") for i in rows]
    teacher.fit()


def test_typical_moments_come_before_a_classifier(teacher: Any) -> None:
    teacher.fit()
    assert "Label two classes" in teacher.words
    proposals = teacher.state("")["proposals"]
    assert len(proposals) == 12
    assert {p["label"] for p in proposals} == {None}


def test_the_estimate_is_what_people_without_labels_get(teacher: Any) -> None:
    label(teacher, range(0, PEOPLE * EACH, 3 * EACH))  # two people, too few labels to say anything
    assert not teacher.curve
    label(teacher, [p * EACH + i for p in range(PEOPLE) for i in range(FEW + 3)])
    (count, said) = teacher.curve[-1]
    m, truth = teacher.moments, teacher.truth
    fold = np.repeat(np.arange(PEOPLE), EACH) % 5
    given = np.array([one.clip for one in teacher.labels.given])
    right = []
    for k in range(5):  # nearest mean of the labels of other people, an independent classifier
        own = given[fold[given] != k]
        means = np.stack([m.features[own][truth[own] == c].mean(axis=0) for c in range(3)])
        test = m.features[fold == k]
        right.append(np.linalg.norm(test[:, None] - means, axis=2).argmin(axis=1) == truth[fold == k])
    assert count == len(given)
    assert said == pytest.approx(float(np.concatenate(right).mean()), abs=0.08)
    matrix, names = teacher.held_out()
    assert (matrix.sum(), names) == (len(given), list(CLASSES))


def test_it_says_stop_when_answers_stay(teacher: Any) -> None:
    order = np.random.default_rng(1).permutation(PEOPLE * EACH)
    label(teacher, order[:3])
    assert not teacher.finished
    before = [row[3] for row in teacher.predictions()]
    label(teacher, order[3 : 3 + MORE])
    answers = np.array([row[3] for row in teacher.predictions()])
    # labels count as answers, and the first fit had three of them
    old = np.array([CLASSES[teacher.truth[i]] if i in order[:3] else a for i, a in enumerate(before)])
    new = np.array([CLASSES[teacher.truth[i]] if i in order[: 3 + MORE] else a for i, a in enumerate(answers)])
    assert teacher._state.changed == pytest.approx((old != new).mean())
    assert teacher.finished == ((old != new).mean() <= STEADY)
    label(teacher, order[3 + MORE : 4 + MORE])  # compared with MORE labels ago still
    label(teacher, order[4 + MORE : 90])
    label(teacher, order[90:110])
    assert teacher.finished
    assert "hardly help" in teacher.words
    teacher.labels.given = teacher.labels.given[:5]
    teacher.fit()
    assert not teacher.finished
