"""How long a discovery will take and how much memory, before its first step."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

from motet.core.chance import Chance
from motet.core.progress import clock
from motet.core.text import counted
from motet.engine.learner import Position

if TYPE_CHECKING:
    from motet.methods.discovery.train import Discovering

BASE = 0.5e9
"""bytes of the interpreter and its libraries"""
STORED = 2 << 30
"""bytes of clips that a store keeps in memory; more are read from disk"""
GUESSED = 20
"""clusters of the timed step where K is not known yet"""


def memory(*, clips: int, kept: int, features: int, clusters: int, parameters: int, batch: int) -> float:
    """Bytes that a discovery needs at most.

    Args:
        clips: of the target.
        kept: bytes of the preprocessed clips of both sides (:class:`motet.data.loader.ClipStore` keeps at most 2 GiB
            each in memory).
        features: F0 + F1.
        clusters: K.
        parameters: of both students.
        batch: values of all clips that a step sees.
    """
    banks = 4.0 * clips * features
    # k-means and the estimate of K: features of both branches in single and, side by side, in double precision
    clustering = (4.0 * 2 + 8.0 * 2) * clips * features + 8.0 * 6 * clips * clusters
    weights = 4.0 * 5 * parameters  # student, teacher, gradient, two moments
    return BASE + kept + banks + clustering + weights + 4.0 * 40 * batch


def needed(learner: Discovering) -> float:
    """:func:`memory` of a discovery that is ready to start."""
    clips, settings = learner.clips, learner.settings
    stores = {id(store): store for store in (clips.source, *clips.target)}.values()
    frame = max(store.data[0].numel() for store in stores)
    return memory(
        clips=len(clips.target[0]),
        kept=sum(min(STORED, 4 * store.data.numel()) for store in stores),
        features=sum(branch.features for branch in learner.discovery.pair),
        clusters=settings.clusters or 100,
        parameters=sum(p.numel() for branch in learner.discovery.pair for p in branch.student.parameters()),
        batch=6 * learner.stages[0].rows * settings.frames * frame,
    )


def seconds(learner: Discovering) -> float:
    """Time of all steps, from one of each stage on copies of the networks; weights and draws stay as they are."""
    total, before = 0.0, learner.fine
    with Chance():
        for stage in learner.stages:
            if not stage.epochs or not stage.steps:
                continue
            fine = learner.fine = stage.name == "finetune"  # which views are drawn
            trial = copy.deepcopy(learner.discovery)
            if fine:
                for branch in trial.pair:
                    branch.bank.normal_()
                banks = [branch.bank for branch in trial.pair]
                clusters = min(learner.clusters or GUESSED, len(banks[0]))
                made = trial.labelling.clusterings(banks, clusters, iterations=1, restarts=1, seed=0)
                trial.add_classifiers([clustering.centres for clustering in made])
                trial.labelling.begin_epoch()
            taken = []
            for _ in range(2):  # the first one warms up
                began = time.perf_counter()
                ids = learner.clips.train[: stage.rows]
                drawn = learner.batch_of(ids, Position(stage, stage.first, 0))
                sum(trial(drawn.batch, fine=fine).values()).backward()
                taken.append(time.perf_counter() - began)
            total += taken[-1] * stage.epochs * stage.steps
    learner.fine = before
    return total


def forecast(learner: Discovering) -> str:
    """One line on time and memory."""
    steps = sum(stage.epochs * stage.steps for stage in learner.stages)
    return (
        f"about {clock(seconds(learner))} for {counted(steps, 'step')} on this machine, and at most "
        f"{needed(learner) / 1e9:.1f} GB of memory"
    )
