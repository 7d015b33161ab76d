"""docs/results/amid.md: AMID and its baselines on tables of features.

Settings of every method are chosen on held-out parts of the training sides, one choice per set; the test rows are
looked at once, by the chosen setting.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.sets import mfeat_table, ravdess, utd_table, watch_table
from motet.reproduce import Measure, Row, Table, Times, Training
from motet.reproduce.page import Found, Page, Part
from motet.reproduce.report import gain, grid
from motet.reproduce.sources import Source, made

Options = dict[str, Any]


def weights(student: float, adversarial: float) -> Options:
    """AMID's weights in their published proportion."""
    return {"contrast_student": student, "contrast_auxiliary": 0.4 * student, "adversarial": adversarial}


# settings tried on the held-out parts; the first is that of the recipe `table`
GRID: dict[str, tuple[Options, ...]] = {
    "alone": (),
    "teacher": (),
    "kd": tuple({"kd": w} for w in (1.0, 0.3, 3.0)),
    "crd": tuple({"crd": w} for w in (0.8, 0.1, 0.3)),
    "gmc": tuple({"gmc": w} for w in (1.0, 0.3, 0.1)),
    "crcd": tuple(
        {"crcd": c, "gradient": g, "kd": k} for c, g, k in ((1.0, 10.0, 0.9), (0.2, 1.0, 0.9), (0.05, 0.3, 0.3))
    ),
    "ccl": tuple({"ccl": w} for w in (1.0, 0.3, 0.1)),
    "nce": tuple(weights(a, d) for a, d in ((0.3, 0.1), (1.0, 0.25), (0.1, 0.05))),
    "amid": tuple(weights(a, d) for a, d in ((0.02, 0.1), (0.05, 0.25), (0.005, 0.05))),
}
# the paper's Tables 4 and 5 and supplementary Tables 2 and 3
ABLATIONS: dict[str, tuple[str, Options]] = {
    "AMID": ("amid", {}),
    "L_cls + L_JSD": ("amid", {"contrast_student": 0.0, "contrast_auxiliary": 0.0, "adversarial": 0.0}),
    "+ L_MI_s": ("amid", {"contrast_auxiliary": 0.0, "adversarial": 0.0}),
    "+ L_MI_s + L_MI_a": ("amid", {"adversarial": 0.0}),
    "with L_nce": ("nce", {}),
    "without L_JSD": ("amid", {"agreement": 0.0}),
    "without L_MI_s": ("amid", {"contrast_student": 0.0}),
    "without L_MI_a": ("amid", {"contrast_auxiliary": 0.0}),
    "fixed teacher": ("amid", {"fixed_teacher": True}),
    "without warm-up": ("amid", {"warm_up": 0}),
    "without D2": ("amid", {"enhanced": "none"}),
    "uniform weights": ("amid", {"weighting": "uniform"}),
    "identical critics": ("amid", {"enhanced": "all"}),
}
# multiples of the chosen α1, α2, α3; values of τ and β
FACTORS = (0.1, 0.3, 3.0, 10.0)
SWEEPS: dict[str, tuple[Any, ...]] = {
    **{name: tuple(map(Times, FACTORS)) for name in ("contrast_student", "contrast_auxiliary", "adversarial")},
    "temperature": (0.05, 0.1, 0.2, 1.0),
    "beta": (0.0, 0.5, 0.99, 0.999),
}
SCORES = tuple(
    Measure(title, {"who": who, "metric": metric})
    for title, who, metric in (
        ("accuracy (WA)", "student", "accuracy"),
        ("UA", "student", "recall"),
        ("R@1", "student", "retrieval_1"),
        ("R@5", "student", "retrieval_5"),
        ("teacher", "teacher", "accuracy"),
    )
)


def forecast(name: str) -> Measure:
    """A figure of what was forecast before training."""

    def read(run: Path) -> float | None:
        found: Any = json.loads((run / "result.json").read_text())["forecast"]
        value = None if found is None else found[name]
        return value["mean"] if isinstance(value, dict) else value

    return Measure({"gap": "all − target", "rehearsal": "rehearsal"}[name], read=read)


FORECASTS = (forecast("gap"), forecast("rehearsal"))


def training(method: str, **options: Any) -> Training:
    """A method with its settings chosen."""
    return Training(method, options, choose=GRID[method])


def methods(
    name: str, title: str, data: Source, target: tuple[str, ...], auxiliary: tuple[str, ...], options: Options
) -> Part:
    """All methods on one set; what was forecast stands in the row of the student alone."""
    rows = tuple(Row(m, training(m)) for m in GRID)
    gains = tuple((m, "alone") for m in GRID if m not in ("alone", "teacher"))
    table = Table(f"amid/{name}", title, "distill", "this project", (*SCORES, *FORECASTS), rows, gains=gains)
    return Part(table, data, target, auxiliary, {"diagnose": True, **options})


def around(name: str, title: str, rows: Sequence[Row]) -> Part:
    """Variants of AMID where the face is taught by the voice."""
    measures = (SCORES[0], SCORES[-1])
    table = Table(f"amid/{name}", title, "distill", "this project", measures, tuple(rows))
    return Part(table, ravdess, ("visual_au",), VOICE)


VOICE = ("audio_wakeword", "audio_mfcc")
CHOSEN: Options = {"epochs": 40, "dropout": 0.1}  # on the held-out parts for the student and the teacher alone
UTD, WATCH, DIGITS = made("utd_mhad.npz", utd_table), made("watch.npz", watch_table), made("mfeat.npz", mfeat_table)
TASKS: tuple[tuple[str, str, Source, tuple[str, ...], tuple[str, ...], Options], ...] = (
    ("ravdess-face", "ravdess: face, taught by voice", ravdess, ("visual_au",), VOICE, {}),
    ("ravdess-voice", "ravdess: voice, taught by face", ravdess, VOICE, ("visual_au",), {}),
    (
        "watch",
        "watch: gyroscope, taught by accelerometer",
        WATCH,
        ("gyroscope",),
        ("accelerometer",),
        {"split": "group"},
    ),
    ("mfeat", "mfeat: mor, taught by kar, pix and fac", DIGITS, ("mor",), ("kar", "pix", "fac"), {"split": "random"}),
    ("utd-depth", "utd_mhad: depth, taught by motion", UTD, ("depth_motion",), ("skeleton", "inertial"), CHOSEN),
    ("utd-inertial", "utd_mhad: inertial, taught by vision", UTD, ("inertial",), ("skeleton", "depth_motion"), CHOSEN),
)
PARTS = (
    *(methods(*task) for task in TASKS),
    around("ablations", "Ablations", [Row(n, training(m, **options)) for n, (m, options) in ABLATIONS.items()]),
    around(
        *("sweeps", "Sweeps"),
        [
            Row(f"{name} {f'× {v.value:g}' if isinstance(v, Times) else f'= {v:g}'}", training("amid", **{name: v}))
            for name, values in SWEEPS.items()
            for v in values
        ],
    ),
)


def result(found: Found, method: str) -> dict[str, Any]:
    """What a method's result.json holds."""
    runs = next(r["runs"] for r in found["rows"] if r["name"] == method)
    read: dict[str, Any] = json.loads((Path(runs) / "result.json").read_text())
    return read


def curves(found: Found) -> list[str]:
    """Recall of each class minus that of the student alone (the paper's Fig. 3), and the gap of teacher and student and
    their cosine over the epochs (Figs. 4 and 5), means over folds and seeds."""
    recalls = {m: result(found, m)["summary"]["recalls"] for m in ("alone", "kd", "ccl", "amid")}
    shown, own = [m for m in recalls if m != "alone"], result(found, "amid")
    classes = [
        [name, *(f"{100 * (recalls[m][n] - recalls['alone'][n]):+.1f}" for m in shown)]
        for n, name in enumerate(own["table"]["classes"])
    ]
    epochs = []
    for entry in (e for e in own["curves"] if e.get("curve") and e["stage"] == "main"):
        s, t, cosine = (fmean(entry["curve"][k]) for k in ("student", "teacher", "cosine"))
        epochs.append([str(entry["epoch"]), *(f"{100 * v:.1f}" for v in (s, t, t - s)), f"{cosine:.3f}"])
    head = ["epoch", "student", "teacher", "gap", "cosine"]
    title = f"### Classes and curves: {found['title']}"
    return [title, "", *grid(["class", *shown], classes), "", *grid(head, epochs), ""]


def summary(found: Sequence[Found]) -> list[str]:
    """What was forecast before training, against what was achieved, set by set."""
    sets = [f for f in found if f["table"] not in ("amid/ablations", "amid/sweeps")]
    if not sets:
        return []
    measure = SCORES[0].name
    head = ["set", "added bits", "forecast: help is", "AMID − alone", "best − alone"]
    rows = []
    for one in sets:
        said, values = result(one, "alone")["forecast"], {r["name"]: r["values"] for r in one["rows"]}
        helped = [m for m in GRID if m not in ("alone", "teacher")]
        best = max(helped, key=lambda m: values[m][measure]["mean"])
        adds = said["information"]
        cells = [one["title"], f"{adds['mean']:.2f} ± {adds['error']:.2f}", said["forecast"]]
        cells += [gain(one["rows"], m, "alone", measure) for m in ("amid", best)]
        rows.append([*cells[:-1], f"{cells[-1]} ({best})"])
    return ["### Forecast and achieved", "", *grid(head, rows), "", *curves(sets[0])]


PAGE = Page("amid", "AMID and its baselines", PARTS, summary)
