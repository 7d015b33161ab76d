"""Verbs that answer questions about recordings: fit, predict, segment, search, count, compare."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from motet.cli.entries import Arg, Positional
from motet.cli.parse import parse
from motet.cli.result import Replacing
from motet.core.text import counted

_ALL = Arg(metavar="NAME …")


@dataclass
class Fit(Replacing):
    """Learn a classifier from a label track or labelled clips, and estimate its errors on new people.

    Examples:
    motet fit archive --track behaviour --out model
    motet fit archive --out model --candidates statistics+linear network
    """

    archive: Positional[Path]
    out: Path
    """folder to create"""
    track: str | None = None
    """label track to learn; by default the only one, or the labels of clips; clips: those where there are tracks"""
    candidates: Annotated[tuple[str, ...] | None, _ALL] = None
    """what to choose from, e.g. statistics+trees body+linear body+tuned network (hand, picture,
    wrist … in place of body where these read the recordings); by default all but the fine-tuned"""
    features: tuple[str, ...] = ()
    """own runs or folders of weights, each one more candidate"""
    by: Literal["people", "recordings"] = "people"
    """what is held out together"""
    folds: int = 5
    """of the cross-validation"""
    unlabelled: Literal["ignore", "none"] = "ignore"
    """what unlabelled moments of labelled recordings are: unknown, or none of the classes"""
    centre_by: str | None = None
    """column of labelled clips, e.g. subject: less the mean of each person's clips, also when it predicts"""
    seed: int = 0


def fit(args: Sequence[str]) -> int:
    """motet fit ARCHIVE --out MODEL"""
    given = parse(Fit, args, "motet fit")
    from motet.use.fit import fit as make

    model = make(given.archive, given.out, progress=not given.quiet, **given.others("archive", "out"))
    expected = model.config["expected"]
    return given.done(
        f"{given.out}: {model.config['chosen']}, {counted(len(model.classes), 'class')}; expected on new "
        f"{expected['by']}: {100 * expected['accuracy']:.1f} % right (worst {100 * expected['worst']:.1f} %)",
        model.config,
    )


@dataclass
class Predict(Replacing):
    """Say who does what, when: a table of bouts, or without an archive decisions on frames of standard input.

    Examples:
    motet predict model recordings --out bouts.csv
    motet predict model < frames.jsonl
    sensor | motet predict model --state now.npz
    """

    model: Positional[Path]
    archive: Positional[Path | None] = None
    """recordings; without it, one JSON frame a line is read from standard input and decisions are printed"""
    out: Path | None = None
    """CSV to write: recording, start, end, label, probability"""
    track: str | None = None
    """also store the bouts as this label track of the archive"""
    reject: float = 0.0
    """share of known moments that may be given away to notice activities never learnt as none of these, e.g. 0.05"""
    lag: float = 1.0
    """from standard input: seconds of later evidence that a decision waits for"""
    side: Literal["left", "right"] = "right"
    """from standard input: where the sensor is worn; readings of the left are mirrored as those that it learnt from"""
    every: float = 0.0
    """from standard input: seconds between decisions; more is cheaper, and later"""
    state: Path | None = None
    """from standard input: file that the recording continues from and is kept in, so that it survives a restart"""


def predict(args: Sequence[str]) -> int:
    """motet predict MODEL ARCHIVE --out BOUTS.csv"""
    given = parse(Predict, args, "motet predict")
    from motet.core.errors import ConfigError
    from motet.use.predict import LAG, Live, live_lines
    from motet.use.predict import predict as make

    of_archive = {"--out": given.out, "--track": given.track, "--json": given.json}
    of_stream = {"--lag": given.lag != LAG, "--every": given.every, "--state": given.state}
    of_stream["--side"] = given.side == "left"
    if given.archive is None:
        if not_due := [name for name, value in of_archive.items() if value]:
            raise ConfigError(
                f"{not_due[0]} needs an archive: `motet predict MODEL ARCHIVE --out BOUTS.csv`; decisions on standard "
                "input are JSON lines on standard output"
            )
        live = Live(given.model, lag=given.lag, every=given.every, reject=given.reject, side=given.side)
        if given.state is not None and given.state.exists():
            live.resume(given.state)
        if not given.quiet:
            begin = f"frame {live.frames} is next; " if live.frames else ""
            print(f"{begin}a decision comes at most {live.delay:.2f} s after its moment", file=sys.stderr, flush=True)
        for line in live_lines(live, sys.stdin.buffer, state=given.state):
            print(line, flush=True)
        return 0
    if not_due := [name for name, value in of_stream.items() if value]:
        raise ConfigError(f"{not_due[0]} is of recordings from standard input; leave out the archive")
    if given.out is None and given.track is None:
        raise ConfigError("say where the bouts go: --out BOUTS.csv, --track NAME, or both")
    options = given.others("model", "archive", "lag", "every", "state", "side")
    bouts = make(given.model, given.archive, progress=not given.quiet, **options)
    time = bouts.with_columns(seconds=bouts["end"] - bouts["start"]).group_by("recording", "label", maintain_order=True)
    return given.done(
        f"{given.out or given.archive}: {counted(len(bouts), 'bout')} of "
        f"{counted(bouts['recording'].n_unique(), 'recording')}",
        {"seconds": time.sum().select("recording", "label", "seconds").to_dicts()},
    )


@dataclass
class Segment(Replacing):
    """Find states that recur, without labels: how many there are, and when.

    Examples:
    motet segment recordings --out states.csv
    motet segment recordings --out states.csv --states 6 --track states
    """

    archive: Positional[Path]
    out: Path
    """CSV to write: recording, start, end, state"""
    states: int | None = None
    """number of states; by default as many as recur"""
    most: int = 60
    """largest number of states that is tried"""
    shortest: float = 3.0
    """seconds that a piece lasts on average: more gives fewer, longer bouts"""
    features: str | None = None
    """features of moments: raw, statistics, rocket, weights (body, wrist … or a folder) or a run (default:
    means, deviations and changes)"""
    track: str | None = None
    """also store the states as this label track of the archive, to be named"""


def segment(args: Sequence[str]) -> int:
    """motet segment ARCHIVE --out STATES.csv"""
    given = parse(Segment, args, "motet segment")
    from motet.use.segment import segment as make

    found = make(given.archive, given.out, **given.others("archive", "out"))
    more = "; it is the largest number tried, so try more with --most" if found.limited else ""
    few, many = found.between or (found.count, found.count)
    if few < many:
        more += (
            f"\nThe number is doubtful: {few} to {many} states explain about as much (the last one 5 to 2 % of what is "
            "left). Look at them, and say how many with --states, or how long bouts are with --shortest"
        )
    return given.done(
        f"{given.out}: {counted(found.count, 'state')}, {counted(len(found.table), 'bout')}{more}",
        {"states": found.count, "between": found.between, "evidence": found.evidence, "worth": found.worth},
    )


@dataclass
class Search(Replacing):
    """Find the moments of all recordings that are most like an example.

    Examples:
    motet search recordings --like mouse-3:12.0-12.8 --out hits.csv
    """

    archive: Positional[Path]
    like: str
    """the example: CLIP, or CLIP:START-END in seconds"""
    out: Path
    """CSV to write: recording, start, end, distance"""
    hits: int = 20
    """how many"""
    features: str | None = None
    """features of moments: raw, statistics, rocket, weights (body, wrist … or a folder) or a run (default:
    means and deviations)"""


def search(args: Sequence[str]) -> int:
    """motet search ARCHIVE --like CLIP[:START-END] --out HITS.csv"""
    given = parse(Search, args, "motet search")
    from motet.use.search import search as find

    found = find(given.archive, given.like, given.out, **given.others("archive", "like", "out"))
    nearest = f", the nearest at {found['distance'][0]:.2f}" if len(found) else ""
    return given.done(
        f"{given.out}: {counted(len(found), 'hit')}{nearest} (0 = the same, 1 = as two moments at random)",
        {"hits": found.to_dicts()},
    )


@dataclass
class Count(Replacing):
    """Repetitions of a cyclic movement: when each begins and ends.

    Examples:
    motet count recordings --out repetitions.csv
    motet count recordings --track exercise --out repetitions.csv --measures ranges.csv
    """

    archive: Positional[Path]
    out: Path
    """CSV to write: recording, repetition, start, end"""
    track: str | None = None
    """count in each interval of this label track on its own"""
    measures: Path | None = None
    """CSV to write with seconds, range and likeness of each repetition as well"""


def count(args: Sequence[str]) -> int:
    """motet count ARCHIVE --out REPETITIONS.csv"""
    given = parse(Count, args, "motet count")
    from motet.use.count import count as make

    found = make(given.archive, given.out, track=given.track, measures=given.measures, overwrite=given.overwrite)
    numbers = found.group_by("recording", maintain_order=True).len()
    return given.done(
        f"{given.out}: {counted(len(found), 'repetition')} in {counted(len(numbers), 'recording')}",
        {"repetitions": dict(numbers.rows())},
    )


@dataclass
class Compare(Replacing):
    """Do groups differ? Permutation tests or mixed models with people as the unit, effect sizes, correction.

    Examples:
    motet compare bouts.csv --by group --recordings people.csv --out result.json
    motet compare measures.csv --by group --recordings people.csv --model mixed --out result.json
    """

    table: Positional[Path]
    """bouts of `motet predict` or `motet segment`, or a CSV with one row a measurement"""
    by: str
    """column that names the group"""
    out: Path
    """JSON to write"""
    people: str | None = None
    """column that names the person; by default person, subject, participant or recording"""
    recordings: Path | None = None
    """CSV with a column recording, or the archive, whose other columns (group, person) are joined to the table"""
    picture: Path | None = None
    """SVG to draw: groups of every measure, effects and corrected p-values"""
    model: Literal["permutation", "mixed"] = "permutation"
    """of people, or a mixed model of every measurement with people as random effect (statsmodels)"""
    correction: Literal["bh", "by", "holm", "none"] = "bh"
    """for many measures: false discovery rate (bh, by), any error at all (holm), or none"""
    seed: int = 0


def compare(args: Sequence[str]) -> int:
    """motet compare TABLE --by COLUMN --out RESULT.json"""
    given = parse(Compare, args, "motet compare")
    from motet.use.compare import compare as make

    result = make(given.table, given.by, given.out, **given.others("table", "by", "out"))
    unit = ("recording",) if result["people"] == "recording" else ("person", "people")
    groups = [f"{group} ({counted(n, *unit)})" for group, n in result["groups"].items()]
    lines = [f"{given.out}: {', '.join(groups)}"]
    for test in result["tests"][:10]:
        means = ", ".join(f"{g} {m:.3g}" for g, m in test["means"].items())
        p = "p < 0.001" if test["p_adjusted"] < 0.001 else f"p {test['p_adjusted']:.3f}"
        effect = (
            "undefined, as nobody deviates from a group's mean" if test["effect"] is None else f"{test['effect']:.2f}"
        )
        said = f"{test['effect_is']} {effect}, {p} (corrected)"
        lines.append(f"  {test['measure']}: {means}; {said}")
    return given.done("\n".join(lines), result)
