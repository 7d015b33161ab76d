"""The page of a distillation: did the student profit, in which classes, and how teacher and student came together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from motet.core.errors import ConfigError
from motet.core.text import counted, pasted
from motet.engine.run import Run
from motet.methods.distillation.narrative import alone_next_to, cautions, missing
from motet.methods.distillation.result import outcome
from motet.report import charts
from motet.report import narrative as words
from motet.report.data import Confusion, Curve, Fact, Row
from motet.report.page import SIMULATED, facts_list, render, section

Result = Mapping[str, Any]

METHODS = {
    "amid": "AMID",
    "nce": "AMID with L_nce",
    "kd": "distillation of answers",
    "crd": "CRD",
    "crcd": "CRCD",
    "gmc": "GMC",
    "ccl": "CCL",
    "alone": "the student alone",
    "teacher": "the teacher alone",
}
METRICS = {
    "accuracy": "WA: accuracy (%)",
    "recall": "UA: mean recall (%)",
    "retrieval_1": "R@1 (%)",
    "retrieval_5": "R@5 (%)",
}
OTHER_TERMS = ("cosine", "lambda", "critic", "contrast")  # with charts of their own
_FOLDS = 40  # rows of the table of folds


@dataclass(frozen=True)
class Pair:
    """A distillation and, if named, what it is compared with."""

    path: Path
    result: Result
    baseline: Result | None

    @property
    def scored(self) -> str:
        """Whose answers are the result: student or teacher."""
        return str(self.result["scored"])


def page(path: str | Path, baseline: str | Path | None = None) -> str:
    """The report of a finished distillation as HTML.

    Args:
        path: run directory.
        baseline: run directory of another method on the same table, folds and target; the classes are compared with it.

    Raises:
        RunError: not a finished distillation, or its result is damaged.
        ConfigError: a baseline of another table, target or division.
    """
    pair = Pair(Path(path), _result(Path(path)), None if baseline is None else _result(Path(baseline)))
    if pair.baseline is not None:
        _check(pair.result, pair.baseline)
    curves = _curves(pair.result)
    title = f"{' + '.join(pair.result['target'])} on {pair.result['table']['name']}"
    if pair.result["auxiliary"]:
        title = f"{' + '.join(pair.result['target'])}, taught with {' + '.join(pair.result['auxiliary'])}"
    drawn = "".join(charts.curve(chart, index) for index, chart in enumerate(curves))
    return render(
        title=title,
        payload={
            "classes": list(pair.result["table"]["classes"]),
            "curves": [
                {"x": c.x_label, "series": {k: [[x, float(f"{y:.5g}")] for x, y in v] for k, v in c.series.items()}}
                for c in curves
            ],
        },
        simulated=SIMULATED if pair.result["table"].get("simulated") else "",
        headline=_headline(pair),
        notes="".join(f'<p class="note" role="note">{_marked(note)}</p>' for note in _notes(pair)),
        compare=_scores(pair) + _forecast(pair) + _classes(pair) + _folds(pair.result),
        mistakes=_mistakes(pair),
        trained=_trained(pair),
        curves=section(
            "curves", "How training went", "Means over all folds and seeds.", f'<div class="curves">{drawn}</div>'
        )
        if drawn
        else "",
        reproduce=_reproduce(pair),
    )


def _result(path: Path) -> Result:
    return Run.open(path, "distill", "distill-raw").result()


def _check(result: Result, baseline: Result) -> None:
    for what in ("target", "split", "validate"):
        if result[what] != baseline[what]:
            raise ConfigError(f"the baseline's {what} is {baseline[what]}, that of the run {result[what]}")
    for what in ("name", "classes"):
        if result["table"][what] != baseline["table"][what]:
            raise ConfigError(f"the baseline is of another table ({what} differ); name a run of the same one")


def _name(result: Result) -> str:
    return METHODS.get(result["method"], str(result["method"]))


def _values(result: Result, who: str, metric: str) -> tuple[float, ...]:
    found = result["summary"].get(who, {}).get(metric, {}).get("values", ())
    return tuple(100 * v for v in found)


def _tested(result: Result) -> int:
    """Rows that are tested, all folds together."""
    seeds = len({replica["seed"] for replica in result["replicas"]})
    return int(sum(replica["test"] for replica in result["replicas"])) // max(seeds, 1)


def _row(result: Result, metric: str, who: str | None = None) -> Row | None:
    who = who or str(result["scored"])
    values = _values(result, who, metric)
    name = _name(result) if result["method"] in ("alone", "teacher") else f"{_name(result)}, {who}"
    return Row(metric, name, "", values, over="seeds") if values else None


def _headline(pair: Pair) -> str:
    mine = _row(pair.result, "accuracy")
    if mine is None:
        return _said("none", "This student learned from every row; nothing was tested.", "")
    named = pair.result["method"] not in ("alone", "teacher")
    who = f"{_name(pair.result)}: the student of {' + '.join(pair.result['target'])}" if named else _name(pair.result)
    reached = f"{who[0].upper()}{who[1:]} names "
    reached += f"{words.with_sd(mine.mean, mine.sd)} % of the test rows correctly"
    folds = len({replica["fold"] for replica in pair.result["replicas"]})
    seeds = len(mine.values)
    detail = (
        f"{counted(_tested(pair.result), 'test row')}, {folds} fold{'s' * (folds > 1)}, {seeds} "
        f"seed{'s' * (seeds > 1)}."
    )
    base = None if pair.baseline is None else _row(pair.baseline, "accuracy", "student")
    if base is None or pair.baseline is None:
        alone = alone_next_to(pair.path, dict(pair.result))
        how = f"Name it by `--baseline {pasted(alone[0])}`" if alone else "Name another method's run by `--baseline`"
        found = "" if alone is None else " The student alone was trained, too."
        return _said("none", f"{reached}.", f"{detail}{found} {how} to compare with it.")
    margin = words.margin(mine, base, _tested(pair.result))
    change = mine.mean - base.mean
    against = f"{_name(pair.baseline)}: {words.with_sd(base.mean, base.sd)} %"
    assert margin is not None
    detail += f" Differences below about {words.points(margin)} can be chance."
    if abs(change) < margin:
        same = words.number(abs(change)) == "0.0"
        lean = "the same" if same else f"{words.points(change)} {'more' if change > 0 else 'less'}"
        return _said(
            "unclear", f"{reached}; {against}: {lean}{'' if same else ', too little to rule out chance'}.", detail
        )
    verdict = "better" if change > 0 else "worse"
    return _said(verdict, f"{reached}; {against}: {verdict} by {words.points(change)}.", detail)


def _said(verdict: str, sentence: str, detail: str) -> str:
    icon = {"better": "▲", "unclear": "≈", "worse": "▼", "none": "·"}[verdict]
    under = f'<p class="muted">{_marked(detail)}</p>' if detail else ""
    return (
        f'<p class="headline {verdict}"><span class="icon" aria-hidden="true">{icon}</span>'
        f"<span>{escape(sentence)}</span></p>{under}"
    )


def _notes(pair: Pair) -> list[str]:
    result = dict(pair.result)
    notes = []
    if pair.result["validate"]:
        notes.append("Evaluated on held-out training rows, to choose settings; the test rows were not looked at.")
    lacks = missing(result)
    compared = pair.baseline is not None or alone_next_to(pair.path, result) is not None
    return [*notes, *([" ".join(lacks)] if lacks else []), *cautions(result, compared=compared)]


def _scores(pair: Pair) -> str:
    groups = []
    for metric, name in METRICS.items():
        rows = [
            row
            for result, who in _compared(pair)
            if (row := _row(result, metric, who)) is not None and (metric in ("accuracy", "recall") or who == "student")
        ]
        if rows:
            groups.append(charts.simple_bars(name, rows, grey=int(pair.baseline is not None)))
    lead = (
        "The student sees the target only, in training and here. Its teacher saw every modality and could not be "
        "deployed: it is what there was to learn from. R@K: a training row of the same class is among the K nearest "
        "by the student's representation."
    )
    return section("compare", "Results", lead, f'<div class="two wide">{"".join(groups)}</div>') if groups else ""


def _compared(pair: Pair) -> list[tuple[Result, str]]:
    """Results and who of them, baseline first."""
    found = [] if pair.baseline is None else [(pair.baseline, str(pair.baseline["scored"]))]
    if pair.scored == "student":
        found.append((pair.result, "student"))
    return [*found, (pair.result, "teacher")]


def _forecast(pair: Pair) -> str:
    forecast = pair.result["forecast"]
    if forecast is None:
        return ""
    probes = [
        Row(
            "probe",
            {"target": "target together", "all": "all together"}.get(name, name),
            "",
            (100 * scores["accuracy"],),
        )
        for name, scores in forecast["probes"].items()
        if not (name == "target" and len(pair.result["target"]) == 1)
    ]
    adds, gain = forecast["information"], forecast["rehearsal"]
    facts = [
        Fact("Forecast", f"help is {forecast['forecast']}", "Said before anything was trained."),
        Fact(
            "Added information",
            f"{adds['mean']:.2f} ± {adds['error']:.2f} bits",
            "What the auxiliary tells a linear observer about a row's class beyond the target.",
        ),
        Fact(
            "Rehearsal",
            f"{100 * gain['mean']:+.1f} ± {100 * gain['error']:.1f} points".replace("-", "−"),
            "Change of a linear student that also learned from the answers of a linear teacher.",
        ),
    ]
    mine = _row(pair.result, "accuracy", "student")
    base = None if pair.baseline is None else _row(pair.baseline, "accuracy", "student")
    if mine is not None and base is not None and pair.scored == "student":
        achieved = outcome(dict(pair.result), dict(pair.baseline or {}))["achieved"]
        change = f"{100 * achieved['mean']:+.1f}" + (f" ± {100 * achieved['sd']:.1f}" if achieved["sd"] else "")
        facts.append(
            Fact(
                "Achieved",
                f"{change} points".replace("-", "−"),
                "Accuracy of this student minus that of the baseline.",
            )
        )
    bars = charts.simple_bars("linear probes, accuracy (%)", probes, grey=len(probes) - 1)
    body = f'<div class="two wide">{bars}<div>{facts_list(facts)}</div></div>'
    return section("forecast", "Was it to be expected?", escape(_sentence(forecast["says"])) + ".", body)


def _marked(text: str) -> str:
    """Text as HTML; what stands between backticks is code."""
    parts = text.split("`")
    return "".join(f"<code>{_words(part)}</code>" if n % 2 else _words(part) for n, part in enumerate(parts))


def _words(command: str) -> str:
    """Text as HTML in which no line breaks behind the dashes of an option."""
    return re.sub(r"(?<!\S)-[\w.-]+", lambda flag: f'<span class="flag">{flag[0]}</span>', escape(command, quote=False))


def _sentence(says: str) -> str:
    """With a capital, and with minus signs before numbers."""
    return says[:1].upper() + re.sub(r"(?<= )-(?=\d)", "−", says[1:])


def _classes(pair: Pair) -> str:
    recalls, names = pair.result["summary"].get("recalls"), pair.result["table"]["classes"]
    if recalls is None:
        return ""
    if pair.baseline is not None:
        other, against = pair.baseline["summary"]["recalls"], _name(pair.baseline)
    else:
        other, against = _recalls_of_teacher(pair), "its teacher"
    if other is None:
        return ""
    changes = [
        (str(name), 100 * (a - b))
        for name, a, b in zip(names, recalls, other, strict=True)
        if a is not None and b is not None
    ]
    title = "Which classes profit" if pair.baseline is not None else "The gap to the teacher"
    lead = f"Recall of every class, minus that of {escape(against)}, in points; all folds and seeds counted together."
    if pair.baseline is None:
        lead += " The teacher sees more: this is what is left to learn. Who profits, a <code>--baseline</code> tells."
    fewest = _smallest_class(pair.result)
    lead += f" The smallest class has {counted(fewest, 'test row')}: one of them is {words.points(100 / fewest)}."
    return section("classes", title, lead, charts.differences(changes))


def _smallest_class(result: Result) -> int:
    """Test rows of the class that has fewest, all folds together."""
    first = result["replicas"][0]["seed"]
    counts = np.sum(
        [replica["student"]["confusion"] for replica in result["replicas"] if replica["seed"] == first], axis=(0, 2)
    )
    return int(counts[counts > 0].min())


def _recalls_of_teacher(pair: Pair) -> list[float | None] | None:
    if pair.scored != "student" or "teacher" not in (pair.result["replicas"] or [{}])[0]:
        return None
    total = np.sum([replica["teacher"]["confusion"] for replica in pair.result["replicas"]], axis=0)
    return [float(row[k] / row.sum()) if row.sum() else None for k, row in enumerate(total)]


def _folds(result: Result) -> str:
    replicas, scored = result["replicas"], result["scored"]
    names = list(dict.fromkeys(replica["fold"] for replica in replicas))
    if len(names) < 2 or len(names) > _FOLDS:
        return ""
    metrics = [m for m in METRICS if m in replicas[0][scored]]
    head = ["Fold", "Test rows", *(METRICS[m].split(":")[0].removesuffix(" (%)") + " (%)" for m in metrics)]
    body = []
    for name in names:
        own = [replica for replica in replicas if replica["fold"] == name]
        cells = [words.number(100 * fmean(replica[scored][m] for replica in own)) for m in metrics]
        body.append([escape(name), f"{own[0]['test']:,}", *cells])
    summary = result["summary"][scored]
    body.append(["<b>mean over folds</b>", "", *(words.number(100 * summary[m]["mean"]) for m in metrics)])
    pooled = [f"pooled_{m}" for m in metrics]
    cells = [words.number(100 * summary[m]["mean"]) if m in summary else "–" for m in pooled]
    body.append(["<b>all rows together</b>", f"{_tested(result):,}", *cells])
    lead = (
        f"Divided by the rule <em>{escape(result['split'])}</em>. WA counts every row once, UA every class once; each "
        "number is the mean over seeds."
    )
    return section("folds", "By fold", lead, charts.plain_table(head, body))


def _mistakes(pair: Pair) -> str:
    if not pair.result["replicas"]:
        return ""
    total = np.sum([replica[pair.scored]["confusion"] for replica in pair.result["replicas"]], axis=0)
    found = Confusion(total, pair.result["table"]["classes"])
    lines = "".join(
        f"<li><b>{escape(true)}</b> taken for <b>{escape(taken)}</b> "
        f'<span class="muted">{100 * share:.0f} % of the class</span></li>'
        for true, taken, _, share in words.mistakes(found)
    )
    listed = f"<h3>Most frequent</h3><ol>{lines}</ol>" if lines else "<p>No test row was mistaken.</p>"
    lead = f"A row is a true class, a column what the {pair.scored} took it for; all folds and seeds counted together."
    body = f'<div class="split">{charts.confusion(found)}<div class="listed">{listed}</div></div>'
    return section("mistakes", "What is mistaken for what", lead, body)


def _epochs(curves: Any) -> list[dict[str, Any]]:
    """Epochs with the numbers of all replicas; those trained from recordings have epochs of their own."""
    if not isinstance(curves, Mapping):
        return list(curves)
    found = []
    for lines in zip(*curves.values(), strict=False):
        together: dict[str, Any] = {"stage": lines[0]["stage"], "epoch": lines[0]["epoch"]}
        for part in ("terms", "curve"):
            names = dict.fromkeys(name for line in lines for name in line.get(part, {}))
            together[part] = {n: [v for line in lines for v in line.get(part, {}).get(n, ())] for n in names}
        found.append(together)
    return found


def _curves(result: Result) -> list[Curve]:
    """Student, teacher, gap and cosine over the epochs (AMID, Figs. 4 and 5), then terms and critics."""
    lines = [line for line in _epochs(result["curves"]) if line["stage"] == "main"]
    looked = [line for line in lines if line.get("curve")]

    def looked_at(key: str, factor: float) -> list[tuple[float, float]]:
        return [(line["epoch"], factor * fmean(line["curve"][key])) for line in looked if key in line["curve"]]

    def terms(*names: str) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for line in lines:
            for name in names or [n for n in line["terms"] if not n.startswith(OTHER_TERMS)]:
                if name in line["terms"]:
                    found.setdefault(name.replace("_", " "), []).append((line["epoch"], fmean(line["terms"][name])))
        return found

    student, teacher = looked_at("student", 100.0), looked_at("teacher", 100.0)
    gap = [(x, t - s) for (x, s), (_, t) in zip(student, teacher, strict=False)]
    charts_of = [
        Curve(
            "Student and teacher (%)",
            "Accuracy on the test rows while training; it steers nothing.",
            "epoch",
            {name: points for name, points in (("student", student), ("teacher", teacher)) if points},
            least=5.0,
        ),
        Curve(
            "Gap (points)",
            "Teacher minus student: what is still to be learned.",
            "epoch",
            {"gap": gap} if gap else {},
            least=5.0,
        ),
        Curve(
            "Cosine of student and teacher",
            "How similar their representations of the same test row are; 1 is equal.",
            "epoch",
            {"cosine": points} if (points := looked_at("cosine", 1.0)) else {},
            least=0.1,
        ),
        Curve("Terms of the loss", "Unweighted. They should fall and flatten out.", "epoch", terms()),
        Curve(
            "Contrast",
            "Of the teacher with student and auxiliary, unweighted. Its floor grows with the number of class-mates.",
            "epoch",
            terms("contrast_student", "contrast_auxiliary", "contrast"),
        ),
        Curve(
            "Cosines that weigh the critics",
            "Of one row, of rows of one class, and of other classes; if the last comes near 1, all has become similar.",
            "epoch",
            terms("cosine_own", "cosine_class", "cosine_mates", "cosine_others"),
        ),
        Curve(
            "Critics",
            "Share of rows whose origin (student or teacher) the critic tells: .5 is none. λ are the critics' weights.",
            "epoch",
            terms("critic_accuracy", "lambda_fundamental", "lambda_enhanced"),
        ),
    ]
    return [chart for chart in charts_of if chart.series]


def _lacking(table: Mapping[str, Any]) -> str:
    """How many rows there are, and how many lack what."""
    said = f"{counted(table['rows'], 'row')}"
    if table["dropped"]:
        said += f"; {table['dropped']:,} more are left out for want of the target"
    return said + "".join(f"; {count:,} lack {name}" for name, count in table.get("absent", {}).items() if count)


def _trained(pair: Pair) -> str:
    result, table = pair.result, pair.result["table"]
    settings = result["settings"]
    rows = [
        Fact("Table", table["name"], _lacking(table)),
        Fact("Classes", str(len(table["classes"]))),
        Fact("Target", " + ".join(result["target"]), "What the student sees."),
        Fact("Auxiliary", " + ".join(result["auxiliary"]) or "none", "What helps in training only."),
        Fact("Division", str(result["split"]), "Who tests."),
    ]
    options = [Fact("Method", _name(result), f"Settings {settings['settings']}.")]
    for part in ("method", "networks", "training"):
        options += [
            Fact(
                name.replace("_", " ").capitalize(),
                ", ".join(map(str, value)) if isinstance(value, list) else str(value),
            )
            for name, value in settings[part].items()
        ]
    many = f'<details class="scores"><summary>all options</summary>{facts_list(options[1:])}</details>'
    body = f'<div class="two"><div><h3>Recordings</h3>{facts_list(rows)}</div>'
    body += f"<div><h3>Training</h3>{facts_list(options[:1])}{many}</div></div>"
    return section("trained", "What was trained on what", "", body)


def _reproduce(pair: Pair) -> str:
    found = pair.result["environment"]
    versions = ", ".join(f"{name} {found[name]}" for name in ("motet", "torch", "python") if found.get(name))
    machine = ", ".join(str(found[name]) for name in ("cpu", "gpu", "platform") if found.get(name))
    seeds = sorted({replica["seed"] for replica in pair.result["replicas"]})
    facts = [
        Fact("Seeds", ", ".join(map(str, seeds)) or "–"),
        Fact("Run", str(pair.path), "config.json there holds every option, result.json every number."),
        Fact("Training", f"{pair.result['seconds']:,.0f} s", "all folds and seeds in one pass"),
        Fact("Versions", versions),
        Fact("Machine", machine),
    ]
    command = found.get("command")
    shown = f"<pre><code>{_words(command)}</code></pre>" if command else ""
    return section("reproduce", "How to reproduce", "", shown + facts_list([f for f in facts if f.value]))
