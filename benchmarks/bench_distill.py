"""Distillation on tables: all folds and seeds in one pass against one by one, and the share of contrast and critics.

    python -m benchmarks.bench_distill [--methods alone kd amid] [--rounds 3]

One thread, alternated rounds, medians of CPU milliseconds. *Batched* is one epoch (of the last stage) of 25 replicas
(5 folds × 5 seeds) of a table of 1,440 rows and three modalities; *one by one* is an epoch of each replica on its own.
The trained weights of one replica are compared. *Share* is what contrast (both) and critics (both steps) add to a step
of AMID for B = 128, D = 768 on a table of sequences like IEMOCAP's (100 frames of 342 and 130 features, GRU
extractors), one replica: the time of a step with them minus that of a step of the warm-up.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np
import torch
from benchmarks.bench_feeder import medians

from motet.engine.trainer import Trainer
from motet.methods.distillation.replicas import Feeder, Replicas
from motet.methods.distillation.run import Plan, learner_of
from motet.methods.distillation.settings import settings_for
from motet.methods.distillation.table import FeatureTable, Modality
from motet.methods.distillation.train import Distillation


def made_up(rows: int, classes: int, sizes: dict[str, tuple[int, ...]], folds: int) -> FeatureTable:
    """Noise around class prototypes."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    everyone = np.ones(rows, dtype=np.bool_)

    def modality(shape: tuple[int, ...]) -> Modality:
        values = random.normal(size=(rows, *shape)).astype(np.float32)
        values += random.normal(size=(classes, shape[-1]))[labels].reshape(rows, *(1,) * (len(shape) - 1), -1)
        return Modality(values, np.full(rows, shape[0]) if len(shape) == 2 else None, everyone)

    return FeatureTable(
        "made up",
        {name: modality(shape) for name, shape in sizes.items()},
        labels,
        tuple(map(str, range(classes))),
        np.arange(rows).astype(np.str_),
        fold=np.arange(rows) // classes % folds,
    )


def single(learner: Distillation, table: FeatureTable, replica: int) -> Distillation:
    """A learner of one replica of another."""
    folded = learner.folded
    replicas = Replicas((folded.replica_folds[replica],), (folded.replica_seeds[replica],))
    feeder = Feeder(
        table, learner.shape, replicas, torch.device("cpu"), standardise=learner.settings.networks.standardise
    )
    return Distillation(learner.settings, learner.shape, feeder, replicas, batch_size=learner.batch_size)


def at_main(learner: Distillation) -> Trainer:
    """The loop at its last stage: a teacher that is trained first is not what is measured."""
    trainer = Trainer(lambda device: learner, learner.settings.loop, progress=False)
    trainer._enter(len(learner.stages) - 1)
    return trainer


def epochs(trainers: list[Trainer]) -> Callable[[int], None]:
    def form(_: int) -> None:
        for trainer in trainers:
            trainer.learner.enter_epoch(trainer.at)
            trainer.module.train()
            for step in range(trainer.at.stage.steps):
                trainer.step = step
                trainer.one_step()
            trainer.learner.end_epoch(trainer.at)
            trainer.epoch, trainer.step = trainer.epoch + 1, 0

    return form


def batched(method: str, rounds: int) -> dict[str, float]:
    table = made_up(1440, 8, {"face": (35,), "voice": (192,), "mfcc": (140,)}, 5)
    settings = settings_for(method).with_options({"epochs": 1000, "monitor_every": 1000})
    if method in ("amid", "nce"):
        settings = settings.with_options({"warm_up": 0})
    plan = Plan(("table",), ("face",), ("voice", "mfcc"), seeds=(0, 1, 2, 3, 4))
    learner = learner_of(table, plan, settings)
    singles = [single(learner, table, replica) for replica in range(len(learner.folded))]
    together, alone = at_main(learner), [at_main(one) for one in singles]
    result = medians({"together": epochs([together]), "alone": epochs(alone)}, rounds)
    apart = max(
        (a[0] - b[0]).abs().max().item()
        for a, b in zip(learner.main.networks.parameters(), singles[0].main.networks.parameters(), strict=True)
    )
    return {
        "together_ms": round(result["together"], 1),
        "one_by_one_ms": round(result["alone"], 1),
        "ratio": round(result["alone"] / result["together"], 2),
        "difference": apart,
    }


def share(rounds: int) -> dict[str, float]:
    table = made_up(640, 4, {"visual": (100, 342), "acoustic": (100, 130)}, 5)
    plan = Plan(("table",), ("visual",), ("acoustic",))
    forms = {}
    for name, warm_up in (("with", 0), ("without", 10**6)):
        settings = settings_for("amid", "iemocap").with_options({"warm_up": warm_up, "epochs": 10**6})
        trainer = at_main(single(learner_of(table, plan, settings), table, 0))
        trainer.learner.enter_epoch(trainer.at)
        trainer.module.train()
        forms[name] = lambda _, trainer=trainer: trainer.one_step()
    result = medians(forms, rounds)  # type: ignore[arg-type]
    added = result["with"] - result["without"]
    return {"step_ms": round(result["with"], 1), "added_ms": round(added, 1), "share": round(added / result["with"], 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["alone", "kd", "amid"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, object] = {method: batched(method, given.rounds) for method in given.methods}
    print(json.dumps(report | {"contrast and critics": share(given.rounds)}, indent=1))


if __name__ == "__main__":
    main()
