"""Fit a classifier of movements from labels, and say honestly how well it will do on people it has not met.

Every candidate predicts recordings of people that were held out; the best one is chosen, calibrated and smoothed on
those predictions, and fitted again on everyone. The expected error is that of the choice too: for each fold the
candidate is chosen on the other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rich.console import Console

from motet.core.errors import ConfigError
from motet.core.files import folder_written, refuse_existing, write_json, written
from motet.core.options import convert
from motet.core.places import CLASSIFIER, kind_of
from motet.core.text import counted, several
from motet.data.archive import MotionArchive
from motet.data.inspection.sizes import usual_size
from motet.engine.hub import shipped
from motet.evaluate.segmentation import segmentation_scores
from motet.use.classifiers import CLASSIFIERS, thinned
from motet.use.durations import Chain, Durations
from motet.use.encoded import TUNED, Encoded, encoded, fitting_weights, tuned
from motet.use.material import Material, gather
from motet.use.network import Network
from motet.use.predictor import Member, Novelty, Predictor
from motet.use.signals import Array
from motet.use.unknown import USUAL, learn
from motet.use.windows import WINDOWED, Dense, Statistics

Integers = npt.NDArray[np.int64]
CANDIDATES = ("raw+linear", "statistics+linear", "statistics+trees", "rocket+linear", Network.name)
"""candidates of any recordings; weights that read them come before the network."""
FEW_SECONDS = 60.0
"""of labelled time, below which the network is tried only if it is asked for."""
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.4, 3.0, 15))
_FEW_NOTICED = 0.5
_STRANGE = 0.999, 1.25  # share of held-out moments below the threshold of novelty, and room above it


@dataclass(frozen=True)
class Outcome:
    """What a candidate said about people that were held out.

    Attributes:
        name: the candidate, or several joined by " & ".
        probabilities: (n, K) of every tick of each recording.
        scale: of the evidence, chosen on them.
        labels: (T,) smoothed class of each frame of each recording.
        scores: of :func:`motet.evaluate.segmentation_scores`, or the accuracy of clips.
    """

    name: str
    probabilities: list[Array]
    scale: float
    labels: list[Integers]
    scores: dict[str, float]


def fit(
    archive: str | Path | MotionArchive,
    out: str | Path,
    *,
    track: str | None = None,
    candidates: Sequence[str] | None = None,
    features: Sequence[str] = (),
    by: Literal["people", "recordings"] = "people",
    folds: int = 5,
    unlabelled: Literal["ignore", "none"] = "ignore",
    centre_by: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Predictor:
    """Fit a classifier from labelled clips or a label track, and save it.

    Args:
        archive: recordings with a label track, or labelled clips.
        out: folder to create: ``config.json``, ``model.safetensors`` and a card.
        track: label track to learn; the only one by default, or the labels of clips where there is none; ``"clips"``
            for those where there are tracks.
        candidates: what to choose from: :data:`CANDIDATES` and ``NAME+linear`` of all weights by default, without the
            network below :data:`FEW_SECONDS` of labelled time; also ``NAME+trees`` and ``NAME+tuned`` (fine-tuned) of
            weights.
        features: runs or folders of weights, besides the shipped weights that read the recordings; ``NAME+linear`` of
            each is one more candidate, NAME that of its folder; of ``mine/weights`` it is ``mine``.
        by: what is held out together; ``recordings`` estimates the error on new recordings of known people.
        folds: of the cross-validation.
        unlabelled: what unlabelled moments of labelled recordings are: ``ignore`` (unknown) or ``none`` (of these).
        centre_by: column of labelled clips, such as ``"subject"``: features are less the mean of that person's clips,
            in use too, where a clip is predicted next to others of the same person.
        seed: of folds, trees and networks.
        overwrite: replace a model that is there.
        progress: say on stderr what each candidate reaches.

    Returns:
        The model; ``.config["expected"]`` is what it will reach on people it has not met.

    Raises:
        ConfigError: unknown candidate, no labels, fewer than two classes, one recording, no known frame rate, or
            nothing to centre by.
        DataError: a recording shorter than a window.
        RunError: there is no such run.
    """
    if folds < 2:
        raise ConfigError(f"folds is {folds}; cross-validation needs at least 2")
    refuse_existing(out, overwrite)
    if Path(out).is_dir() and any(Path(out).iterdir()) and kind_of(Path(out)) != CLASSIFIER:
        raise ConfigError(f"{out} is no classifier, so it is not overwritten; choose another name")
    candidates, features = None if candidates is None else several(candidates), several(features)
    folds = convert(int, folds, "folds")
    source = MotionArchive.open(archive)
    dense = _dense(source, candidates, features)
    chosen = _checked(candidates, dense, source, list(map(_name, features)))
    material = gather(source, track, unlabelled, by, centre_by)
    console = Console(stderr=True, quiet=not progress, highlight=False, markup=False)
    if candidates is None and _is_tiny(material):
        chosen = [c for c in chosen if c != Network.name]
        console.print(f"network: left out below {FEW_SECONDS:g} s of labelled time; name it in candidates to try it")
    chosen = chosen if centre_by is None else _with_features(chosen, candidates)
    fold = material.folds(folds, seed)
    outcomes, cached = _cross_validated(material, chosen, dense, fold, seed, console)
    best = max(outcomes, key=lambda o: _rank(o.scores))
    expected = _expected(material, outcomes, fold)
    model = _final(material, best, dense, cached, fold, seed)
    views = {n: d for n, d in dense.items() if n in cached and (n == Statistics.name or isinstance(d, Encoded))}
    taught = learn(material, [(d, cached[n]) for n, d in views.items()], fold)
    facts: dict[str, Any] = {
        "expected": expected,
        "chosen": best.name,
        "candidates": [{"name": o.name, **o.scores} for o in outcomes],
        "trained_on": {
            "archive": str(source.path.name),
            "hash": source.hash,
            "track": material.track,
            "recordings": len(material.rows),
            material.by: len(np.unique(material.groups)),
            "hours": round(sum(map(len, material.labels)) / material.layout.fps / 3600, 4),
            "licence": source.licence,
            "simulated": source.simulated,
            "size": usual_size(source),
        },
    }
    facts |= {} if centre_by is None else {"centre_by": centre_by}
    unknown, facts["unknown"] = taught or (None, None)
    console.print(f"none of these: {said_of_unknown(facts['unknown'])}")
    model = replace(model, config=facts, unknown=unknown)
    save(model, out)
    return model


def _dense(archive: MotionArchive, candidates: Sequence[str] | None, features: Sequence[str]) -> dict[str, Dense]:
    """Everything that moments can be seen by: windows, weights that read the recordings, and own runs."""
    found: dict[str, Dense] = dict(WINDOWED)
    for path in features:
        name = _name(path)
        if name in found or "+" in name or "&" in name:
            raise ConfigError(f"features {path}: the name {name!r} is taken or has + or & in it; copy the folder")
        found[name] = encoded(str(path), archive, name)
    wanted = None if candidates is None else {c.rpartition("+")[0] for c in candidates}
    for name in fitting_weights(archive) if wanted is None else sorted(wanted & set(shipped())):
        if name not in found:
            found[name] = encoded(name, archive)
    return found


def _name(path: str) -> str:
    """What candidates call a run or a folder of weights: `motet weights train` makes each in a folder of its own."""
    place = Path(path).resolve()
    if place.name != "weights":
        return place.name
    return f"{place.parent.name}-weights" if place.parent.name in shipped() else place.parent.name


def _checked(
    candidates: Sequence[str] | None, dense: dict[str, Dense], archive: MotionArchive, own: Sequence[str]
) -> Sequence[str]:
    """The candidates, with those of own runs that none of the given ones names."""
    trained = [name for name, kind in dense.items() if isinstance(kind, Encoded)]
    if candidates is None:
        return [*CANDIDATES[:-1], *(f"{name}+linear" for name in trained), CANDIDATES[-1]]
    kinds = [f"{d}+{h}" for d in dense for h in CLASSIFIERS] + [f"{d}+{TUNED}" for d in trained] + [Network.name]
    unknown = [c for c in candidates if c not in kinds]
    if unknown or not candidates:
        others = [name for name in fitting_weights(archive) if name not in trained]
        kinds += [f"{name}+{head}" for name in others for head in (*CLASSIFIERS, TUNED)]
        raise ConfigError(f"there is no candidate {(unknown or ['(none)'])[0]!r}; choose from {', '.join(kinds)}")
    named = {candidate.rpartition("+")[0] for candidate in candidates}
    return [*candidates, *(f"{name}+linear" for name in own if name not in named)]


def _with_features(chosen: Sequence[str], asked: Sequence[str] | None) -> Sequence[str]:
    """Candidates that have features which can be centred."""
    whole = [c for c in chosen if c == Network.name or c.endswith(f"+{TUNED}")]
    if whole and asked is not None:
        raise ConfigError(f"{whole[0]} has no features that could be centred; leave it or centre_by out")
    return [c for c in chosen if c not in whole]


def _is_tiny(material: Material) -> bool:
    return sum(int((y >= 0).sum()) for y in material.labels) < FEW_SECONDS * material.layout.fps


def _features(material: Material, dense: Dense) -> list[Array]:
    return [dense(material.frames(i), material.layout) for i in range(len(material.rows))]


def _learn(
    material: Material, name: str, dense: Dense | None, features: list[Array] | None, rows: Integers, seed: int
) -> Member:
    """One candidate, learnt from some recordings."""
    head, count = name.rpartition("+")[2], len(material.classes)
    if dense is None or features is None:
        frames = [material.frames(i) for i in rows]
        return Member(
            name, None, Network.fit(frames, [material.labels[i] for i in rows], count, material.layout, seed=seed)
        )
    own, ticks = [features[i] for i in rows], [material.ticks[i] for i in rows]
    if head == TUNED and isinstance(dense, Encoded):
        frames, layout = [material.frames(i) for i in rows], material.layout
        return Member(name, *tuned(dense, frames, ticks, count, layout, features=own, seed=seed))
    x, y = np.concatenate(own), np.concatenate(ticks)
    used = thinned(y)
    return Member(name, dense, CLASSIFIERS[head].fit(x[used], y[used], count, seed=seed))


def _cross_validated(
    material: Material,
    candidates: Sequence[str],
    known: dict[str, Dense],
    fold: Integers,
    seed: int,
    console: Console,
) -> tuple[list[Outcome], dict[str, list[Array]]]:
    cached: dict[str, list[Array]] = {Statistics.name: _features(material, WINDOWED[Statistics.name])}
    outcomes = []
    for name in candidates:
        dense = known.get(name.rpartition("+")[0])
        if dense is not None and dense.name not in cached:
            cached[dense.name] = _features(material, dense)
        features = material.centred(cached[dense.name]) if dense is not None else None
        held: dict[int, Array] = {}
        for k in range(int(fold.max()) + 1):
            member = _learn(material, name, dense, features, np.flatnonzero(fold != k), seed)
            for i in np.flatnonzero(fold == k).tolist():
                if features is None or isinstance(member.head, Network) or member.dense is not dense:
                    held[i] = member(material.frames(i), material.layout)
                else:
                    held[i] = member.head(features[i])
        outcomes.append(_outcome(material, name, [held[i] for i in range(len(fold))], fold))
        console.print(f"{name}: {_said(outcomes[-1].scores)}")
    for a, b in combinations(sorted(outcomes, key=lambda o: -_rank(o.scores))[:2], 2):
        mixed = [
            np.asarray((p + q) / 2, dtype=np.float32) for p, q in zip(a.probabilities, b.probabilities, strict=True)
        ]
        outcomes.append(_outcome(material, f"{a.name} & {b.name}", mixed, fold))
        console.print(f"{outcomes[-1].name}: {_said(outcomes[-1].scores)}")
    return outcomes, cached


def _outcome(material: Material, name: str, probabilities: list[Array], fold: Integers) -> Outcome:
    if material.track is None:
        labels = [
            np.full(len(y), int(np.log(p + 1e-6).mean(axis=0).argmax()))
            for p, y in zip(probabilities, material.labels, strict=True)
        ]
        right = np.mean([bool(a[0] == y[0]) for a, y in zip(labels, material.labels, strict=True)])
        return Outcome(name, probabilities, 1.0, labels, {"accuracy": float(right)})
    options = []
    for scale in SCALES:
        labels = _smoothed(material, probabilities, fold, scale)
        scores = segmentation_scores(material.labels, labels)
        options.append(Outcome(name, probabilities, scale, labels, {"accuracy": scores.pop("frames"), **scores}))
    return max(options, key=lambda o: _rank(o.scores))


def _smoothed(material: Material, probabilities: list[Array], fold: Integers, scale: float) -> list[Integers]:
    """(T,) decoded class of each frame, with durations learnt from the other folds."""
    found: list[Integers] = [np.zeros(0, dtype=np.int64)] * len(fold)
    for k in range(int(fold.max()) + 1):
        known = [material.ticks[i] for i in np.flatnonzero(fold != k)]
        chain = Chain(Durations.fit(known, len(material.classes), scale=scale))
        for i in np.flatnonzero(fold == k).tolist():
            decoded = chain.decode(probabilities[i])
            found[i] = np.repeat(decoded, material.layout.hop)[: len(material.labels[i])]
    return found


def _rank(scores: dict[str, float]) -> float:
    return scores["accuracy"] + scores.get("f1@50", 0.0)


def _said(scores: dict[str, float]) -> str:
    said = f"{100 * scores['accuracy']:.1f} % right"
    return said + (f", F1@.5 {100 * scores['f1@50']:.1f}" if "f1@50" in scores else "")


def _expected(material: Material, outcomes: list[Outcome], fold: Integers) -> dict[str, Any]:
    """Scores on each fold of the candidate that was best on the others, and how they vary between people."""
    labels: list[Integers] = [np.zeros(0, dtype=np.int64)] * len(fold)
    for k in range(int(fold.max()) + 1):
        others, own = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        best = max(outcomes, key=lambda o: _rank(_scores(material, o.labels, others)))
        for i in own.tolist():
            labels[i] = best.labels[i]
    everyone = np.arange(len(fold))
    each = [
        _scores(material, labels, np.flatnonzero(material.groups == g))["accuracy"] for g in np.unique(material.groups)
    ]
    wrong = {
        name: float(np.mean(np.concatenate([a[y == k] == k for a, y in zip(labels, material.labels, strict=True)])))
        for k, name in enumerate(material.classes)
    }
    return {
        **_scores(material, labels, everyone),
        "worst": float(min(each)),
        "spread": float(np.std(each)),
        "recall": wrong,
        "folds": int(fold.max()) + 1,
        "by": material.by,
    }


def _scores(material: Material, labels: list[Integers], rows: Integers) -> dict[str, float]:
    true, said = [material.labels[i] for i in rows], [labels[i] for i in rows]
    if material.track is None:
        return {"accuracy": float(np.mean([a[0] == y[0] for a, y in zip(said, true, strict=True)]))}
    scores = segmentation_scores(true, said)
    return {"accuracy": scores.pop("frames"), **scores}


def _final(
    material: Material,
    best: Outcome,
    known: dict[str, Dense],
    cached: dict[str, list[Array]],
    fold: Integers,
    seed: int,
) -> Predictor:
    """The chosen candidate on everyone, calibrated on the predictions about people held out."""
    rows, count = np.arange(len(fold)), len(material.classes)
    members = []
    for name in best.name.split(" & "):
        dense = known.get(name.rpartition("+")[0])
        features = None if dense is None else material.centred(cached[dense.name])
        members.append(_learn(material, name, dense, features, rows, seed))
    truth = np.concatenate(material.ticks)
    said = np.concatenate(best.probabilities)[truth >= 0]
    temperature = min(TEMPERATURES, key=lambda t: _log_loss(said, truth[truth >= 0], t))
    durations = Durations.fit(material.ticks, count, scale=best.scale)
    novelty = _novelty(material, cached[Statistics.name], fold, count)
    return Predictor(
        material.layout, material.classes, members, durations, novelty, temperature, material.track is None
    )


def _log_loss(probabilities: Array, labels: Integers, temperature: float) -> float:
    p = np.maximum(probabilities, 1e-6) ** (1 / temperature)
    return float(-np.log((p / p.sum(axis=1, keepdims=True))[np.arange(len(labels)), labels]).mean())


def _novelty(material: Material, features: list[Array], fold: Integers, count: int) -> Novelty:
    """Its threshold lies above what people held out do."""

    def made(rows: Integers) -> Novelty:
        x, y = np.concatenate([features[i] for i in rows]), np.concatenate([material.ticks[i] for i in rows])
        return Novelty.fit(x[y >= 0], y[y >= 0], count)

    distances = []
    for k in range(int(fold.max()) + 1):
        known = made(np.flatnonzero(fold != k))
        distances += [known.distance(features[i]) for i in np.flatnonzero(fold == k)]
    share, room = _STRANGE
    final = made(np.arange(len(fold)))
    final.arrays["threshold"][0] = room * float(np.quantile(np.concatenate(distances), share))
    return final


def save(model: Predictor, out: str | Path) -> None:
    """Write the folder of a model: the whole of it or nothing."""
    from safetensors.numpy import save_file

    folder = Path(out)
    with folder_written(folder) as partial:
        with written(partial / "model.safetensors") as weights:
            save_file({k: np.ascontiguousarray(v) for k, v in model.arrays().items()}, weights)
        with written(partial / "README.md") as card:
            card.write_text(card_of(model), encoding="utf-8")
        write_json(partial / "config.json", model.describe())


def said_of_unknown(facts: dict[str, Any] | None) -> str:
    """What to expect of the answer "none of these", in words; ``facts`` is ``unknown`` of the configuration."""
    if facts is None:
        return "only what is far from everything; three classes or more are needed to notice another activity"
    shares = sorted(facts["classes"].items(), key=lambda pair: pair[1])
    (least, low), (most, high) = shares[0], shares[-1]
    noticed = facts["noticed"][f"{USUAL:g}"]
    doubt = "" if noticed >= _FEW_NOTICED else "; too little to rely on, so label what is to be kept apart"
    return (
        f"with --reject {USUAL:g} at most about {100 * noticed:.0f} % of an activity that it never learnt ({least} "
        f"{100 * low:.0f} % to {most} {100 * high:.0f} %), for {100 * USUAL:g} % of the known{doubt}"
    )


def card_of(model: Predictor) -> str:
    """The card: what the model knows, from what, and how often it will be wrong."""
    facts, expected = model.config["trained_on"], model.config["expected"]
    rows = "\n".join(f"| {name} | {100 * share:.1f} |" for name, share in expected["recall"].items())
    segments_ = "" if model.clips else f", F1 of bouts at overlap .5 {100 * expected['f1@50']:.1f}"
    by = model.config.get("centre_by")
    centred = f"Features are less the mean of clips of the same {by}: predict all of them together.\n" if by else ""
    return f"""# Movement classifier

Classes: {", ".join(model.classes)}. Recordings: {model.layout.described}.
Chosen: {model.config["chosen"]}. Learnt from {counted(facts["recordings"], "recording")}, {facts["hours"]:g} hours, of
{facts["archive"]} ({"simulated data; " if facts["simulated"] else ""}licence of the recordings: {facts["licence"]}).
{centred}
Expected on {"people" if expected["by"] == "people" else "recordings"} it has not met (cross-validation over
{expected["by"]}, {counted(expected["folds"], "fold")}, choice of the candidate included):
{100 * expected["accuracy"]:.1f} % right{segments_ or " (clips)"}; worst of them {100 * expected["worst"]:.1f} %.

| class | found, % of its time |
|---|---|
{rows}

"None of these" is answered where a moment is far from everything seen and, of activities that were never learnt, as
each class showed that was left out: {said_of_unknown(model.config["unknown"])}.
No code is stored in this folder.
"""
