"""Whether probabilities of `motet fit` mean what they say, and how often "none of these" is right.

python -m benchmarks.bench_calibration --data DATA --out runs/calibration --set watch [--candidates network …]
python -m benchmarks.bench_calibration --data DATA --out runs/calibration --set kard --left-out [--every 3]

Five folds of people: everything, calibration too, is fitted on the others. Sets and stitching are those of
``benchmarks.recordings``. Printed is the expected calibration error (mean distance between the probability of the
likeliest class and the share of moments that are right, over ten bins of probability) of moments as they come from the
classifier, calibrated, and smoothed, and of the bouts of `motet predict`, and what `--reject` costs: frames / F1@.5 of
people held out. ``--left-out``: one class at a time is left out of fitting, with people in the fold of its number held
out; of stitched sets its clips are never seen, of others its moments are there without a label. Printed are shares of
moments that are "none of these" with `--reject`, what fitting expected of it, how well the rank tells the class from
the rest (area under the curve), and the share of the rest that is right before and after.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from benchmarks.recordings import SETS, recordings
from sklearn.metrics import roc_auc_score

import motet
from motet.data.edit import select
from motet.data.stitch import stitch
from motet.evaluate import segmentation_scores
from motet.use.predictor import Predictor, load_predictor

FOLDS, BINS = 5, 10
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1)


class Halves:
    """Recordings of the people of a fold, and of all others, with or without a class."""

    def __init__(self, name: str, data: Path, out: Path) -> None:
        self.stitched = SETS[name].stitched
        whole = recordings(name, data, out, 0)
        self.clips = motet.MotionArchive.open(out / f"{name}.motet") if self.stitched else whole
        self.fit = SETS[name].fit
        self.who = "name" if self.fit.get("by") == "recordings" else "subject"
        self.people = sorted(whole.clips[self.who].unique().to_list())
        self.classes = whole.tracks.classes(whole.tracks.one(None))
        self.out = out / f"{name}-parts"

    def part(self, fold: int, held: bool, lacking: str | None = None) -> motet.MotionArchive:
        """The recordings of those who are held out, or of the others without a class."""
        own = self.people[fold::FOLDS]
        chosen = own if held else [p for p in self.people if p not in own]
        where = " OR ".join(f"{self.who} = {p!r}" for p in chosen)
        place = self.out / f"{fold}-{'held' if held else 'others'}-{lacking or 'all'}".replace(" ", "_")
        shutil.rmtree(place, ignore_errors=True)
        if self.stitched:
            kept = f"({where})" + (f" AND class != '{lacking}'" if lacking else "")
            return stitch(select(self.clips, place / "clips", where=kept), place / "long", seed=0)
        made = select(self.clips, place / "long", where=where)
        track = made.tracks.one(None)
        rows = made.tracks[track].filter(pl.lit(True) if lacking is None else pl.col("label") != lacking)
        made.tracks.save(track, rows.to_dicts())
        return made


def moments(model: Predictor, archive: motet.MotionArchive) -> Iterator[tuple[np.ndarray, ...]]:
    """(true class, raw, calibrated and smoothed probabilities, rank, class said if none is rejected) of the labelled
    ticks of each recording.
    """
    raw = replace(model, temperature=1.0)
    track = archive.tracks.one(None)
    classes, read = np.array(archive.tracks.classes(track)), model.reader(archive)
    for index, true in enumerate(archive.tracks.all_frames(track, classes.tolist())):
        frames = read(index)
        true = true[model.layout.centres(len(true))]
        answers, smooth = replace(model, reject=0.0).recording(frames)
        there = (true >= 0) & (answers >= 0)
        p, rank = model.probabilities(frames)
        parts = raw.probabilities(frames)[0], p, smooth[:, : p.shape[1]], rank, answers
        yield classes[true[there]], *(p[there] for p in parts)


def calibration(halves: Halves, candidates: list[str] | None, seed: int) -> dict[str, Any]:
    """Probability of the likeliest class and whether it is right, of everything said about people held out."""
    found: dict[str, list[tuple[float, bool]]] = {"raw": [], "calibrated": [], "smoothed": [], "bouts": []}
    said: dict[float, list[tuple[np.ndarray, np.ndarray]]] = {share: [] for share in SHARES}
    chosen = []
    for fold in range(FOLDS):
        folder = halves.out / "model"
        options = {"candidates": candidates, "seed": seed, "overwrite": True, "progress": False, **halves.fit}
        motet.fit(halves.part(fold, False), folder, **options)
        model, held = load_predictor(folder).rejecting(SHARES[-1]), halves.part(fold, True)
        chosen.append(model.config["chosen"])
        names = np.array(model.classes)
        for true, *parts, rank, answers in moments(model, held):
            for kind, p in zip(("raw", "calibrated", "smoothed"), parts, strict=True):
                right = names[p.argmax(axis=1)] == true
                found[kind] += zip(p.max(axis=1).tolist(), right.tolist(), strict=True)
            for share, pairs in said.items():
                none = rejected(rank, answers, share, len(names))
                number = np.searchsorted(halves.classes, true, sorter=np.argsort(halves.classes))
                known = np.array([halves.classes.index(n) for n in names] + [len(halves.classes)])
                pairs.append((np.argsort(halves.classes)[number], known[np.where(none, len(names), answers)]))
        found["bouts"] += bouts(replace(model, reject=0.0), held)
    scores = {share: segmentation_scores(*map(list, zip(*pairs, strict=True))) for share, pairs in said.items()}
    given = {
        share: float(np.mean(np.concatenate([a == len(halves.classes) for _, a in p]))) for share, p in said.items()
    }
    return {"chosen": chosen, "scores": scores, "given away": given, **found}


def rejected(rank: np.ndarray, answers: np.ndarray, share: float, count: int) -> np.ndarray:
    """(n,) moments that are "none of these" with this share to give away; ``answers`` are those of share 0."""
    return (answers == count) | ((rank >= 1 - share) & (share > 0))


def bouts(model: Predictor, archive: motet.MotionArchive) -> list[tuple[float, bool]]:
    """Probability of each bout, and whether most of its labelled frames have its class."""
    track, fps = archive.tracks.one(None), model.layout.fps
    true = dict(zip(archive.clips["name"], archive.tracks.all_frames(track, model.classes), strict=True))
    found = []
    for row in model.bouts(archive):
        own = true[row["recording"]][round(row["start"] * fps) : round(row["end"] * fps)]
        if (own >= 0).any() and row["label"] in model.classes:
            most = int(np.bincount(own[own >= 0]).argmax())
            found.append((row["probability"], model.classes[most] == row["label"]))
    return found


def reliability(pairs: list[tuple[float, bool]]) -> tuple[float, list[tuple[float, float, int]]]:
    """Expected calibration error, and (mean probability, share right, number) of each bin that is not empty."""
    sure, right = np.array(pairs, dtype=float).T
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    rows = [
        (float(sure[place == b].mean()), float(right[place == b].mean()), int((place == b).sum())) for b in set(place)
    ]
    return sum(n * abs(p - r) for p, r, n in rows) / len(sure), sorted(rows)


def left_out(halves: Halves, candidates: list[str] | None, seed: int, every: int) -> dict[str, dict[str, float]]:
    """By class that was left out: what is noticed of it, what is given away of the rest, what was expected."""
    found = {}
    for number, lacking in enumerate(halves.classes[::every]):
        fold, folder = number % FOLDS, halves.out / "model"
        train = halves.part(fold, False, lacking)
        options = {"candidates": candidates, "seed": seed, "overwrite": True, "progress": False, **halves.fit}
        model = motet.fit(train, folder, **options).rejecting(SHARES[-1])
        rows = list(moments(model, halves.part(fold, True)))
        true, rank, answers = (np.concatenate([r[i] for r in rows]) for i in (0, -2, -1))
        unknown, known = true == lacking, np.isin(true, model.classes)
        if not unknown.any():
            continue
        right = np.array([*model.classes, ""])[answers] == true
        own: dict[str, float] = {"area": float(roc_auc_score(unknown[unknown | known], rank[unknown | known]))}
        for share in SHARES:
            none = rejected(rank, answers, share, len(model.classes))
            own |= {
                f"noticed {share:g}": float(none[unknown].mean()),
                f"given away {share:g}": float(none[known].mean()),
                f"right of the rest {share:g}": float((right & ~none)[known].mean()),
            }
            own |= {f"expected {k}": v for k, v in model.config["unknown"]["noticed"].items() if k == f"{share:g}"}
        found[lacking] = own
        print(lacking, {k: round(100 * v, 1) for k, v in own.items()}, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, required=True)
    parser.add_argument("--candidates", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--left-out", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="of --left-out: 1 = every class, 3 = every third")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    halves = Halves(given.set, given.data, given.out)
    result: dict[str, Any]
    if given.left_out:
        result = left_out(halves, given.candidates, given.seed, given.every)
        for kind in next(iter(result.values())):
            print(f"{kind}: {100 * np.mean([row[kind] for row in result.values()]):.1f} % of moments, mean of classes")
    else:
        result = calibration(halves, given.candidates, given.seed)
        print(f"chosen: {result['chosen']}")
        for share, scores in result["scores"].items():
            reached = f"frames {100 * scores['frames']:.1f}, F1@.5 {100 * scores['f1@50']:.1f}"
            print(f"reject {share:g}: gives away {100 * result['given away'][share]:.1f} %, {reached}")
        for kind in ("raw", "calibrated", "smoothed", "bouts"):
            error, rows = reliability(result[kind])
            right = 100 * float(np.mean([r for _, r in result[kind]]))
            print(f"{kind}: expected calibration error {100 * error:.1f} %, right {right:.1f} %")
            print("   " + ", ".join(f"{100 * p:.0f}: {100 * r:.0f} ({n})" for p, r, n in rows))
    name = "-".join(
        [given.set, "left-out" if given.left_out else "calibration", *(given.candidates or ["fit"]), str(given.seed)]
    )
    (given.out / f"{name}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
