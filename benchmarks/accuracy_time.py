"""Accuracy on other people against CPU seconds: what motet offers next to what one would use instead.

    python -m benchmarks.accuracy_time kard.motet utd.motet watch.motet --out docs/results/accuracy_time.json \\
        --figure docs/images/accuracy_time.svg

Odd-numbered people train a ridge classifier, even-numbered ones test it; its strength is chosen on left-out training
people. Seconds are CPU seconds of one thread from the imported archive to the predicted labels: features of all clips
and the classifier, for `cmd` also the training of its encoder without labels. `MiniRocket` is that of the package aeon
(left out where it is not installed) on the joint stream that the encoders see, after one warm-up for its compiler.
Let nothing else run: cores that share a cache or are two threads of one core count two to three times the seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from benchmarks._accuracy_figure import figure
from torch import Tensor

import motet
from motet.core.devices import one_thread
from motet.core.environment import hardware
from motet.data.archive import MotionArchive
from motet.data.splits import split
from motet.evaluate.baselines import Statistics, random_convolutions
from motet.evaluate.ridge import Ridge
from motet.evaluate.streamwise import together, with_concat
from motet.methods import recipes
from motet.methods.fitting import fit_to_layout
from motet.methods.model import Model
from motet.methods.recipes.shipped import SKELETONS

RULE = "odd-even"
RAW, STATISTICS, SHIPPED, CMD = (
    "raw coordinates",
    "statistics and spectrum",
    "body, hand (motet, shipped)",
    "cmd (motet, trained here)",
)
FIXED = (RAW, STATISTICS, SHIPPED)
"""ways in which nothing is drawn"""
Features = Callable[[int], Tensor]


def joined(features: dict[str, Tensor], streams: Sequence[str]) -> Tensor:
    """All streams side by side, each of length one, as in `motet evaluate`."""
    names = together(streams) or tuple(streams)
    return with_concat(features, streams)[names[0]].cpu()


def of_model(model: Model, archive: MotionArchive) -> Tensor:
    store = model.store(archive)
    return joined(model.encode(store, store.ids), model.streams)


class Rivals:
    """Features of all clips of an archive, by the name of the way; each takes a seed."""

    def __init__(self, archive: MotionArchive, steps: int | None) -> None:
        self.archive, self.steps = archive, steps
        parts = split(archive, RULE)
        self.train = torch.from_numpy(np.asarray(parts.train))
        recipe = fit_to_layout(recipes.get("cmd/small"), archive, parts)
        self.model = Model.fresh(recipe, archive)

    def ways(self) -> dict[str, Features]:
        found: dict[str, Features] = {RAW: self.raw, "untrained encoder": self.untrained}
        if self.archive.skeleton.kind == "sensor":
            found[STATISTICS] = self.statistics
        found["random convolutions (motet)"] = self.rocket
        if minirocket() is not None:
            found["MiniRocket (aeon)"] = self.minirocket
        if (kind := self.archive.skeleton.kind) in SKELETONS:
            found[SHIPPED] = lambda _: of_model(motet.load(kind), self.archive)
        return found | {CMD: self.cmd}

    def raw(self, seed: int) -> Tensor:
        store = self.model.store(self.archive)
        return joined(self.model.raw(store, store.ids), self.model.streams)

    def statistics(self, seed: int) -> Tensor:
        store = self.model.store(self.archive)
        return joined(Statistics(self.model, store).centre(store.ids), self.model.streams)

    def untrained(self, seed: int) -> Tensor:
        return of_model(self.model.untrained(seed), self.archive)

    def rocket(self, seed: int) -> Tensor:
        store = self.model.store(self.archive)
        return of_model(random_convolutions(self.model, store, self.train, seed), self.archive)

    def minirocket(self, seed: int) -> Tensor:
        store = self.model.store(self.archive)
        clips = self.model.raw(store, store.ids)["joint"].view(len(self.archive), self.model.clip_frames, -1)
        series = clips.transpose(1, 2).numpy()  # (N, channels, T)
        kernels = minirocket()(random_state=seed)
        kernels.fit(series[self.train.numpy()])
        return torch.from_numpy(np.asarray(kernels.transform(series), dtype=np.float32))

    def cmd(self, seed: int) -> Tensor:
        options: dict[str, Any] = {} if self.steps is None else {"steps": self.steps}
        with tempfile.TemporaryDirectory() as folder:
            run = motet.pretrain("cmd", self.archive, Path(folder) / "run", split=RULE, seed=seed, **options)
            return of_model(motet.load(run.path), self.archive)


def minirocket() -> Any:
    try:
        from aeon.transformations.collection.convolution_based import MiniRocket
    except ImportError:
        return None
    return MiniRocket


def measure(
    archive: MotionArchive, seeds: int, trainings: int, steps: int | None, done: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """One row for each way that is not done: accuracies and CPU seconds of every seed."""
    parts = split(archive, RULE)
    people = archive.clips["subject"].to_numpy()
    train, test = np.asarray(parts.train), np.asarray(parts.test)
    for name, features in Rivals(archive, steps).ways().items():
        if name in done:
            continue
        counts = dict.fromkeys(FIXED, 1) | {CMD: trainings}
        accuracies, seconds = [], []
        for seed in range(counts.get(name, seeds)):
            began = time.process_time()
            rows = features(seed)
            model = Ridge.fit(rows[train], archive.labels[train], groups=people[train])
            accuracies.append(float((model.predict(rows[test]) == archive.labels[test]).mean()))
            seconds.append(time.process_time() - began)
        yield {"way": name, "accuracy": accuracies, "cpu_seconds": seconds}


def table(result: dict[str, Any]) -> str:
    """Markdown: accuracy and CPU seconds of each way on each set."""
    names = list(dict.fromkeys(row["way"] for found in result["sets"] for row in found["rows"]))
    lines = ["| | " + " | ".join(found["name"] for found in result["sets"]) + " |"]
    lines.append("|---" * (len(result["sets"]) + 1) + "|")
    for name in names:
        cells = []
        for found in result["sets"]:
            own = [row for row in found["rows"] if row["way"] == name]
            cells.append(_cell(own[0]) if own else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    values = [100 * a for a in row["accuracy"]]
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread} · {fmean(row['cpu_seconds']):.1f} s"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "archives", nargs="*", type=Path, help="labelled archives with people; none: draw the figure only"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trainings", type=int, default=3, help="seeds of cmd")
    parser.add_argument("--steps", type=int, help="of cmd; those of the recipe by default")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write, or to read where no archive is named")
    parser.add_argument("--figure", type=Path, help="SVG to write")
    given = parser.parse_args(arguments)
    if given.archives:
        if minirocket() is not None:  # its compiler
            minirocket()(random_state=0).fit_transform(
                np.random.default_rng(0).normal(size=(8, 3, 48)).astype(np.float32)
            )
        result: dict[str, Any] = {"motet": motet.__version__, "rule": RULE, "hardware": hardware(), "sets": []}
        if given.out.exists():  # an interrupted call: what is measured stays
            result["sets"] = json.loads(given.out.read_text())["sets"]
        with one_thread():
            for path in given.archives:
                archive = MotionArchive.open(path)
                there = [one for one in result["sets"] if one["name"] == path.stem]
                found = there[0] if there else {"name": path.stem, "clips": len(archive), "rows": []}
                result["sets"] += [] if there else [found]
                done = {row["way"] for row in found["rows"]}
                for row in measure(archive, given.seeds, given.trainings, given.steps, done):
                    found["rows"].append(row)
                    print(f"{path.stem}: {row['way']}: {_cell(row)}", flush=True)
                    given.out.write_text(json.dumps(result, indent=1) + "\n")
    result = json.loads(given.out.read_text())
    print(table(result))
    if given.figure:
        given.figure.write_text(figure(result))


if __name__ == "__main__":
    main()
