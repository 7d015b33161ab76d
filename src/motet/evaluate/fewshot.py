"""Few-shot episodes: classify queries among a few classes of which a few clips are known (Snell et al., NeurIPS 2017).

An episode draws ``way`` classes, ``shots`` clips of each from the training side and ``queries`` clips of each from the
test side. A class is the mean of its shots, each of length one; a query takes the class of the most similar mean.
Nothing is trained. All feature sets see the same episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.flags import flag
from motet.evaluate.streamwise import together, with_concat
from motet.metrics.neighbours import unit_rows

Integers = npt.NDArray[np.int64]

_SCORE_NUMBERS = 1 << 24


FEATURES_ALONE = True
"""it asks for features of whole clips or rows and for nothing else, so it takes every kind of run"""


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    way: int = 5
    """classes of an episode; fewer where the test side has fewer."""
    shots: tuple[int, ...] = (1, 5)
    """known clips of each class; each number gives rows of its own."""
    queries: int = 15
    """clips of each class to be classified; fewer where there are fewer."""
    episodes: int = 600

    def __post_init__(self) -> None:
        if self.way < 2:
            raise ConfigError(f"{flag(self, 'way')} is {self.way}; an episode needs at least 2 classes")
        for name in ("shots", "queries", "episodes"):
            value = getattr(self, name)
            if not value or (min(value) if isinstance(value, tuple) else value) < 1:
                raise ConfigError(f"{flag(self, name)} is {value}; it must be at least 1")


@dataclass(frozen=True)
class Episodes:
    """Positions in both sides: support (E, way, shots) of the training side, query (E, way, queries) of the test."""

    support: Integers
    query: Integers


def draw(context: Context, options: Options, shots: int, seed: int) -> Episodes:
    """Draw episodes; classes with too few clips on a side take no part.

    Raises:
        ConfigError: fewer than two classes have enough clips.
    """
    sides = (context.train_labels, context.test_labels)
    members = [[np.flatnonzero(side == c) for c in range(len(context.class_names))] for side in sides]
    usable = [c for c, (a, b) in enumerate(zip(*members, strict=True)) if len(a) >= shots and len(b)]
    way = min(options.way, len(usable))
    if way < 2:
        raise ConfigError(
            f"only {counted(way, 'class')} with {counted(shots, 'training clip')} and a test clip; lower "
            f"--fewshot.shots or choose another split"
        )
    queries = min(options.queries, min(len(members[1][c]) for c in usable))
    random = np.random.default_rng([seed, shots])
    support = np.empty((options.episodes, way, shots), dtype=np.int64)
    query = np.empty((options.episodes, way, queries), dtype=np.int64)
    for episode in range(options.episodes):
        for place, c in enumerate(random.choice(usable, way, replace=False)):
            support[episode, place] = random.choice(members[0][c], shots, replace=False)
            query[episode, place] = random.choice(members[1][c], queries, replace=False)
    return Episodes(support, query)


def accuracies(train: Tensor, test: Tensor, episodes: Episodes) -> Tensor:
    """(E,) share of right queries in each episode, of (n, F) and (m, F) features."""
    train, test = unit_rows(train.float()), unit_rows(test.float())
    way, queries = episodes.query.shape[1:]
    step = max(1, _SCORE_NUMBERS // ((queries + episodes.support.shape[2]) * way * train.shape[1]))
    truth = torch.arange(way, device=train.device)[:, None].expand(way, queries).reshape(-1)
    found = []
    for at in range(0, len(episodes.query), step):
        support = torch.from_numpy(episodes.support[at : at + step]).to(train.device)
        query = torch.from_numpy(episodes.query[at : at + step]).to(train.device)
        means = train[support].mean(dim=2)
        means = unit_rows(means.flatten(0, 1)).view_as(means)
        scores = test[query].flatten(1, 2) @ means.transpose(1, 2)
        found.append((scores.argmax(dim=2) == truth).double().mean(dim=1))
    return torch.cat(found).cpu()


def evaluate(context: Context, options: Options) -> list[Row]:
    """For each number of shots, stream and all streams together (``concat``) one row; a value is the mean of all
    episodes, ``details["ci95"]`` half the width of its 95 % interval over episodes."""
    names = (*context.streams, *together(context.streams))
    rows = []
    for shots in options.shots:
        episodes = draw(context, options, shots, seed=0)
        way, queries = episodes.query.shape[1:]
        if shots == options.shots[0] and way < options.way:
            context.notes.append(f"episodes have {counted(way, 'class')}; no more have enough clips on both sides")
        for kind, sets in context.groups():
            values: dict[str, list[float]] = {name: [] for name in names}
            spread: dict[str, list[float]] = {name: [] for name in names}
            for features in context.track(sets, f"fewshot: {kind}"):
                sides = [with_concat(features.centre(ids), context.streams) for ids in (context.train, context.test)]
                for name in names:
                    right = accuracies(sides[0][name], sides[1][name], episodes)
                    values[name].append(float(right.mean()))
                    deviation = float(right.std()) if len(right) > 1 else 0.0
                    spread[name].append(1.96 * deviation / sqrt(len(right)))
            rows += [
                context.row(
                    "fewshot",
                    kind,
                    name,
                    values[name],
                    details={
                        "over": context.over(kind, probe_seeds=False),
                        "episodes": f"{way}-way {shots}-shot",
                        "count": options.episodes,
                        "queries": queries,
                        "ci95": spread[name],
                    },
                )
                for name in names
            ]
    return rows
