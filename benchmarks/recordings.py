"""Recordings to answers: what `motet fit` and `motet segment` reach, for docs/results/recordings.md.

python -m benchmarks.recordings --data DATA --out runs/recordings [--only mocap6 kard] [--seeds 0 1 2]
    [--candidates statistics+trees network] [--features body] [--shortest 2] [--without fit rivals]

DATA holds ``long/sp_sw_har.npz``, ``long/mocap6.npz``, ``skeleton/kard.npz`` and ``skeleton/utd_mhad.npz``;
``shoulder`` is the 4-s windows that the package seglearn brings. What is there is not done again, so an interrupted
call continues; the last lines are the tables. Baselines without labels are what people write themselves: k-means of
standardised windows, and a Gaussian hidden Markov model of their principal components (`pip install hmmlearn`), both
with the number of states given. Rivals with labels are theirs too: scikit-learn's classifiers on the same windows, in
the same folds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import RidgeClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import motet
from motet.data.formats import import_dataset
from motet.data.stitch import stitch
from motet.evaluate import segmentation_scores
from motet.use.classifiers import BALANCE, balanced, thinned
from motet.use.durations import Chain, Durations
from motet.use.fit import _outcome
from motet.use.material import gather
from motet.use.segment import centred
from motet.use.signals import Layout
from motet.use.windows import WINDOWED, Statistics

SIMULATED = "simulated"


@dataclass(frozen=True)
class Set:
    """A set of recordings, how it is imported and what is held out.

    Attributes:
        format, file, options: of the import, or of :func:`motet.simulate.simulate`.
        fit: options of :func:`motet.fit`.
        states: numbers of states to segment into, None = unknown; empty = not segmented.
        shortest: of :func:`motet.segment`.
        stitched: whether clips are joined to recordings of one person first.
    """

    format: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    states: tuple[int | None, ...] = ()
    shortest: float = 3.0
    stitched: bool = False


SETS = {
    "watch": Set("streams", "long/sp_sw_har.npz", {"streams": ("watch",)}, states=(5, None), shortest=1.0),
    "phone": Set("streams", "long/sp_sw_har.npz", {"streams": ("phone",)}, states=(5, None), shortest=1.0),
    "both": Set("streams", "long/sp_sw_har.npz", states=(5, None), shortest=1.0),
    "mocap6": Set("npz", "long/mocap6.npz", fit={"by": "recordings"}, states=(9, 12, None)),
    "kard": Set("npz", "skeleton/kard.npz", states=(18, None), stitched=True),
    "utd-mhad": Set("npz", "skeleton/utd_mhad.npz", states=(27, None), stitched=True),
    "utd-inertial": Set("npz", "skeleton/utd_mhad.npz", {"sensor": "inertial"}, states=(27, None), stitched=True),
    "shoulder": Set("watch", "seglearn", states=(7, None), stitched=True),
    "actors": Set(SIMULATED, "", {"clips": 480, "actions": 12, "actors": 10}, stitched=True),
}
ABOUT_PEOPLE = "k-means about people"


def recordings(name: str, data: Path, out: Path, seed: int) -> motet.MotionArchive:
    """The set as an archive; stitched ones anew for each seed."""
    chosen = SETS[name]
    path = out / f"{name}.motet"
    if not path.exists() and chosen.format == SIMULATED:
        motet.simulate.simulate(path, progress=False, **chosen.options)
    elif not path.exists():
        source = data / chosen.file
        import_dataset(
            chosen.format, source if source.exists() else chosen.file, path, progress=False, **chosen.options
        )
    if not chosen.stitched:
        return motet.MotionArchive.open(path)
    long = out / f"{name}-{seed}.motet"
    return motet.MotionArchive.open(long) if long.exists() else stitch(path, long, seed=seed)


def fitted(name: str, data: Path, out: Path, seed: int, candidates: list[str] | None) -> dict[str, Any]:
    """Scores of every candidate and of the choice, as `motet fit --json` has them."""
    path = out / f"{name}-{' '.join(candidates or ['fit'])}-{seed}.json"
    if not path.exists():
        archive = recordings(name, data, out, seed)
        options = {"candidates": candidates, "seed": seed, "overwrite": True, **SETS[name].fit}
        model = motet.fit(archive, out / f"{name}-model-{seed}", **options)
        path.write_text(json.dumps(model.config, indent=1))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def segmented(
    name: str, data: Path, out: Path, seed: int, states: int | None, features: str | None, shortest: float | None
) -> dict[str, Any]:
    """Scores of states that are matched one to one with classes over all recordings."""
    others = f"-{features or 'usual'}-{shortest or 'usual'}" if features or shortest else ""
    path = out / f"{name}-states-{states or 'unknown'}{others}-{seed}.json"
    if not path.exists():
        archive = recordings(name, data, out, seed)
        made = motet.segment(archive, states=states, shortest=shortest or SETS[name].shortest, features=features)
        path.write_text(json.dumps({"count": made.count, **matched(archive, made.labels)}))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def matched(archive: motet.MotionArchive, states: list[np.ndarray]) -> dict[str, float]:
    """Scores of the state of every tick of each recording."""
    track, hop = archive.tracks.one(None), Layout.of(archive).hop
    true = archive.tracks.all_frames(track, archive.tracks.classes(track))
    said = [y.repeat(hop)[: len(t)] for y, t in zip(states, true, strict=True)]
    return segmentation_scores(true, said, matched=True)


def baseline(name: str, data: Path, out: Path, seed: int, states: int, kind: str) -> dict[str, Any]:
    """Scores of k-means of windows, or of a Gaussian hidden Markov model of their principal components."""
    path = out / f"{name}-{kind}-{states}-{seed}.json"
    if not path.exists():
        archive = recordings(name, data, out, seed)
        windows = [Statistics()(archive.clip(i), Layout.of(archive)) for i in range(len(archive))]
        if kind == ABOUT_PEOPLE:
            windows = [w for (w,) in centred([[w] for w in windows], archive.clips["subject"].to_list())]
        x = StandardScaler().fit_transform(np.concatenate(windows))
        lengths = [len(w) for w in windows]
        if kind != "hmm":
            labels = KMeans(states, n_init=10, random_state=seed).fit_predict(x)
        else:
            from hmmlearn.hmm import GaussianHMM

            z = PCA(10, random_state=seed).fit_transform(x)
            model = GaussianHMM(states, covariance_type="diag", n_iter=50, random_state=seed).fit(z, lengths)
            labels = model.predict(z, lengths)
        path.write_text(json.dumps(matched(archive, np.split(labels, np.cumsum(lengths)[:-1]))))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _ridge(seed: int) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", RidgeClassifierCV(np.logspace(-2, 5, 8)))])


def _forest(seed: int) -> Pipeline:
    return Pipeline([("model", RandomForestClassifier(150, random_state=seed))])


def _trees(seed: int) -> Pipeline:
    return Pipeline([("model", ExtraTreesClassifier(150, random_state=seed))])


def _gaussians(seed: int) -> Pipeline:
    parts = PCA(10, random_state=seed)
    return Pipeline([("scale", StandardScaler()), ("parts", parts), ("model", GaussianNB())])


RIVALS: dict[str, tuple[str, Callable[[int], Pipeline], bool]] = {
    "raw windows, ridge": ("raw", _ridge, False),
    "rocket windows, ridge": ("rocket", _ridge, False),
    "statistics, random forest": ("statistics", _forest, False),
    "statistics, extra trees, HMM": ("statistics", _trees, True),
    "Gaussian HMM": ("statistics", _gaussians, True),
}
"""windows, classifier, and whether a hidden Markov model smooths, and not what smooths candidates of `motet fit`"""


def rival(name: str, data: Path, out: Path, seed: int, kind: str) -> dict[str, float]:
    """Scores of a rival with labels."""
    path = out / f"{name}-{kind}-{seed}.json"
    if not path.exists():
        material = gather(recordings(name, data, out, seed), None, "ignore", SETS[name].fit.get("by", "people"))
        features, make, markov = RIVALS[kind]
        windows = [WINDOWED[features](material.frames(i), material.layout) for i in range(len(material.rows))]
        fold = material.folds(5, seed)
        said: dict[int, np.ndarray] = {}
        labels: dict[int, np.ndarray] = {}
        for k in range(int(fold.max()) + 1):
            known = np.flatnonzero(fold != k)
            x, y = (np.concatenate([part[i] for i in known]) for part in (windows, material.ticks))
            used = thinned(y)
            weight = {} if markov else {"model__sample_weight": balanced(y[used], len(material.classes))}
            model = make(seed).fit(x[used], y[used], **weight)
            for i in np.flatnonzero(fold == k).tolist():
                said[i] = _chances(model, windows[i], len(material.classes))
                if markov:
                    ticks = _decoded(said[i], [material.ticks[j] for j in known])
                    labels[i] = ticks.repeat(material.layout.hop)[: len(material.labels[i])]
        if markov:
            scores = segmentation_scores(material.labels, [labels[i] for i in range(len(fold))])
        else:
            scores = _outcome(material, kind, [said[i] for i in range(len(fold))], fold).scores
            scores["frames"] = scores.pop("accuracy")
        path.write_text(json.dumps(scores))
    found: dict[str, float] = json.loads(path.read_text())
    return found


def _chances(model: Pipeline, windows: np.ndarray, classes: int) -> np.ndarray:
    """(n, K) probabilities; ridge was fitted to -1 and 1, so half of what it says more than -1 is one."""
    found = np.zeros((len(windows), classes))
    if hasattr(model, "predict_proba"):
        found[:, model.classes_] = model.predict_proba(windows)
    else:
        found[:, model.classes_] = np.maximum(model.decision_function(windows) / 2 + 0.5, 1e-3)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _decoded(chances: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    """(n,) classes by a hidden Markov model: bouts of geometric duration, shares of classes as they are."""
    made = Durations.fit(known, chances.shape[1], scale=1.0)
    prior = made.prior ** (1 / (1 - BALANCE))
    return Chain(replace(made, stages=np.ones_like(made.stages), prior=prior / prior.sum())).decode(chances)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/recordings"))
    parser.add_argument("--only", nargs="+", choices=SETS, default=[s for s in SETS if s != "actors"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--candidates", nargs="+", help="of motet fit; by default its own")
    parser.add_argument("--features", help="of motet segment; by default its own")
    parser.add_argument("--shortest", type=float, help="of motet segment; by default that of the set")
    parser.add_argument("--without", choices=("fit", "rivals", "segment", "baselines"), nargs="*", default=[])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        for seed in given.seeds:
            if "fit" not in given.without:
                found = fitted(name, given.data, given.out, seed, given.candidates)
                for row in [*found["candidates"], {"name": "the choice", **found["expected"]}]:
                    scores = f"{100 * row['accuracy']:.1f} / {100 * row['f1@50']:.1f}"
                    print(f"{name} | {seed} | {row['name']} | {scores}", flush=True)
            for kind in RIVALS if "rivals" not in given.without else ():
                row = rival(name, given.data, given.out, seed, kind)
                print(f"{name} | {seed} | {kind} | {100 * row['frames']:.1f} / {100 * row['f1@50']:.1f}", flush=True)
            # nothing is drawn in a segmentation, so only the order of stitched clips differs between seeds
            again = SETS[name].stitched or seed == given.seeds[0]
            for states in SETS[name].states if again and "segment" not in given.without else ():
                row = segmented(name, given.data, given.out, seed, states, given.features, given.shortest)
                scores = f"{100 * row['frames']:.1f} / {100 * row['f1@50']:.1f}"
                print(f"{name} | {seed} | {states or 'K unknown'} states: {row['count']} | {scores}", flush=True)
            for states in filter(None, SETS[name].states) if "baselines" not in given.without else ():
                for kind in ("k-means", ABOUT_PEOPLE, "hmm"):
                    row = baseline(name, given.data, given.out, seed, states, kind)
                    scores = f"{100 * row['frames']:.1f} / {100 * row['f1@50']:.1f}"
                    print(f"{name} | {seed} | {kind}, {states} states | {scores}", flush=True)


if __name__ == "__main__":
    main()
