"""Do groups differ? People are the unit: measures are averaged for each person, and people are permuted.

With the same people in both groups (before and after) differences are taken within people and signs are flipped.
P-values are corrected for the number of measures by Benjamini and Hochberg (1995); effects are Hedges' g, or η² of more
than two groups.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.core.files import refuse_existing, write_json
from motet.core.places import mistaken
from motet.core.text import first_of
from motet.data.archive import MotionArchive
from motet.data.clip_table import read_rows
from motet.data.pieces import OWN
from motet.use.forest import draw
from motet.use.mixed import checked, mixed_test

Float = npt.NDArray[np.float64]
_PEOPLE = ("person", "subject", "participant", "recording")
_PLACES = ("repetition", "start", "end")  # where a measurement lies, which is none itself
_FEWEST = 3  # people of a group
_DRAWS = 9_999
_ROUNDING = 1e-9  # of a difference: a standard deviation as small as this is none


def compare(
    table: str | Path | pl.DataFrame,
    by: str,
    out: str | Path | None = None,
    *,
    people: str | None = None,
    recordings: str | Path | pl.DataFrame | None = None,
    picture: str | Path | None = None,
    model: Literal["permutation", "mixed"] = "permutation",
    correction: Literal["bh", "by", "holm", "none"] = "bh",
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compare groups of people, or the same people at several times.

    Args:
        table: bouts (recording, start, end and label or state, as ``motet predict`` and ``motet segment`` write them),
            or one row a measurement with numbers in columns.
        by: column that names the group of each row.
        out: JSON to write.
        people: column that names the person; by default ``person``, ``subject``, ``participant`` or ``recording``.
        recordings: table with a column ``recording`` (or ``name``) whose other columns (group, person) are joined to
            ``table``; or the archive, for the columns of its clips (``subject``, ``class`` …).
        picture: SVG to draw: groups of every measure, effects and corrected p-values.
        model: ``permutation`` of people, or ``mixed``: a linear mixed model of every measurement (of bouts: every
            recording) with people as random effect, for people who were measured several times (needs statsmodels).
        correction: for many measures: ``bh`` or ``by`` (false discovery rate: Benjamini and Hochberg 1995, Benjamini
            and Yekutieli 2001), ``holm`` (any error at all: Holm 1979), or ``none``.
        seed: of the permutations, where they are drawn.
        overwrite: replace a file that is there.

    Returns:
        ``{"by", "people", "groups": {name: people}, "paired", "model", "tests": [{"measure", "means", "effect", "p",
        "p_adjusted", …}]}``, smallest p first. ``effect`` is None where nobody deviates from the mean of the group.

    Raises:
        ConfigError: a column is missing, there is one group, or a group has fewer than three people.
        DataError: a table that cannot be read.
    """
    for name, value, known in (
        ("correction", correction, ("bh", "by", "holm", "none")),
        ("model", model, ("permutation", "mixed")),
    ):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; it must be {', '.join(known[:-1])} or {known[-1]}")
    for path, ending in ((out, ".json"), (picture, ".svg")):
        if path is not None:
            refuse_existing(path, overwrite, ending)
    if picture is not None and Path(picture).suffix.lower() != ".svg":
        raise ConfigError(f"{picture} is to be an SVG; call it {Path(picture).with_suffix('.svg').name}")
    whole, person, groups = _grouped(table, by, people, recordings)
    each = model == "mixed"
    measured = _measures(whole, by, person, each=each)
    if each:
        checked(measured, by, person)
    random = np.random.default_rng(seed)
    paired = len(groups) == 2 and measured[person].n_unique() < len(measured.select(by, person).unique())
    columns = [m for m in measured.columns if m not in (by, person)]
    found = [
        _mixed(measured, m, by, person, list(groups))
        if each
        else _test(measured, m, by, person, list(groups), paired, random)
        for m in columns
    ]
    tests = sorted((t for t in found if t is not None), key=lambda t: float(t["p"]))
    if not tests:
        raise ConfigError("the table has no measure that varies: give bouts (start, end, label) or columns of numbers")
    for test, adjusted in zip(tests, _adjusted([t["p"] for t in tests], correction), strict=True):
        test["p_adjusted"] = adjusted
    kinds = {"paired": paired, "model": model, "correction": correction}
    result = {"by": by, "people": person, "groups": groups, **kinds, "tests": tests}
    if picture is not None:
        draw(result, picture)
    if out is not None:
        write_json(Path(out), result)
    return result


def _grouped(
    table: str | Path | pl.DataFrame, by: str, people: str | None, recordings: str | Path | pl.DataFrame | None
) -> tuple[pl.DataFrame, str, dict[str, int]]:
    """Rows of known group and person, the column of people, and how many people each group has."""
    whole = _read(table)
    if recordings is not None:
        whole = _joined(whole, _of_recordings(recordings), by)
    person = people or next((c for c in _PEOPLE if c in whole.columns), None)
    for column in (by, person):
        if column is None or column not in whole.columns:
            has = ", ".join(whole.columns)
            raise ConfigError(
                f"the table has no column {column or 'of people'!r}; it has {has} (join one with --recordings)"
            )
    if person == "recording" != people:
        warnings.warn(
            "each recording counts as a person; where somebody has several, say who by a column subject (in the table "
            "or in --recordings), or with --people",
            MotetNote,
            stacklevel=3,
        )
    if by == person:
        raise ConfigError(
            f"column {by!r} names both the groups (--by) and the people (--people); a group holds several"
        )
    assert person is not None
    whole = whole.with_columns(pl.col(by).cast(pl.String), pl.col(person).cast(pl.String)).drop_nulls([by, person])
    groups = {str(g): own[person].n_unique() for (g,), own in sorted(whole.group_by(by), key=lambda x: str(x[0]))}
    if len(groups) < 2:
        raise ConfigError(f"column {by!r} holds {len(groups)} group; a comparison needs at least two")
    for name, count in groups.items():
        if count < _FEWEST:
            raise ConfigError(
                f"group {name!r} of column {by!r} has {count} {'person' if count == 1 else 'people'}; no test can tell "
                f"anything below {_FEWEST}: record more people, or choose another --by"
            )
    return whole, person, groups


def _read(table: str | Path | pl.DataFrame) -> pl.DataFrame:
    if isinstance(table, pl.DataFrame):
        return table
    path = Path(table)
    if not path.is_file():
        raise DataError(mistaken(path, "table"))
    return read_rows(path)


def _of_recordings(given: str | Path | pl.DataFrame) -> pl.DataFrame:
    """A table with a row a recording; of an archive the columns of its clips, as words, which are no measurements."""
    if isinstance(given, pl.DataFrame) or not (Path(given) / "archive.json").is_file():
        return _read(given)
    archive = MotionArchive.open(given)
    classes = [None if k < 0 else archive.class_names[k] for k in archive.labels.tolist()]
    clips = archive.clips.with_columns(pl.Series("class", classes, dtype=pl.String))
    names = {f"{c}_name": c for c in clips.columns if f"{c}_name" in clips.columns}
    own = [c for c in clips.columns if c not in (*OWN, "recording", "label", "source", *names.values())]
    words = [pl.col(c).cast(pl.String).alias(names.get(c, c)) for c in own]
    known = clips.select(pl.col("name").alias("recording"), *words)
    return known.select(c for c in known.columns if known[c].null_count() < len(known))


def _joined(table: pl.DataFrame, other: pl.DataFrame, by: str) -> pl.DataFrame:
    if "recording" not in other.columns:
        named = [c for key in ("recording", "name") for c in other.columns if c.lower() == key]
        other = other.rename(dict.fromkeys(named[:1], "recording"))
    for name, columns in (("the table", table.columns), ("--recordings", other.columns)):
        if "recording" not in columns:
            raise ConfigError(f"{name} has no column 'recording' to join by; it has {', '.join(columns)}")
    if other["recording"].is_duplicated().any():
        raise ConfigError("--recordings lists a recording twice; keep one row a recording")
    known = set(table["recording"].to_list())
    if absent := [str(r) for r in other["recording"].to_list() if r not in known]:
        warnings.warn(
            f"the table has no rows of recordings that --recordings names, so they do not count: "
            f"{first_of(absent, 'recording')}",
            MotetNote,
            stacklevel=4,
        )
    fresh = ["recording", *(c for c in other.columns if c not in table.columns)]
    joined = table.join(other.select(fresh), on="recording", how="left")
    if by in joined.columns and joined[by].null_count():
        lost = joined.filter(pl.col(by).is_null())["recording"][0]
        raise ConfigError(f"--recordings says nothing about recording {lost!r}; add it")
    return joined


def _check_apart(table: pl.DataFrame, own: list[str]) -> None:
    """Refuse bouts of one recording that overlap: their time would count twice."""
    if "recording" not in table.columns:
        return
    keys = list(dict.fromkeys([*own, *(c for c in ("recording", "rater", "track") if c in table.columns)]))
    order = table.with_row_index("row").sort([*keys, "start"])
    late = order.filter(pl.col("start") < pl.col("end").shift(1).over(keys) - 1e-6)
    if len(late):
        row, name, start = late.select("row", "recording", "start").row(0)
        raise DataError(
            f"row {row + 1} of the table: a bout of {name} that begins at {start:g} s overlaps the one "
            "before; compare one track and one rater at a time, or end each bout where the next begins"
        )


def _measures(table: pl.DataFrame, by: str, person: str, *, each: bool) -> pl.DataFrame:
    """One column a measure; one row a person and group, or ``each`` measurement."""
    own = [by, person]
    if {"start", "end", "state"} <= set(table.columns) and "label" not in table.columns:
        table = table.with_columns(label=pl.format("state {}", "state"))
    if {"start", "end", "label"} <= set(table.columns) and "repetition" not in table.columns:
        wrong = table.with_row_index("row").filter(~(pl.col("end") > pl.col("start")))
        if len(wrong):
            row, start, end = wrong.select("row", "start", "end").row(0)
            raise DataError(f"row {row + 1} of the table: a bout from {start} to {end} s does not end after it starts")
        _check_apart(table, own)
        labels = sorted(table["label"].unique())
        keys = [*own, "recording"] if each and "recording" in table.columns and person != "recording" else own
        rows = [
            {by: key[0], person: key[1], **_of_bouts(bouts, labels)}
            for key, bouts in table.group_by(keys, maintain_order=True)
        ]
        return pl.DataFrame(rows, infer_schema_length=None)
    numbers = [c for c, kind in table.schema.items() if kind.is_numeric() and c not in (*own, *_PLACES)]
    if each:
        return table.select(*own, *numbers)
    return table.group_by(own, maintain_order=True).agg(pl.col(c).mean() for c in numbers)


def _of_bouts(bouts: pl.DataFrame, labels: list[str]) -> dict[str, float | None]:
    """Share of time, bouts a minute, mean duration and transitions of one person."""
    length = bouts["end"] - bouts["start"]
    total = float(length.sum())
    found: dict[str, float | None] = {}
    for label in labels:
        own = length.filter(bouts["label"] == label)
        found[f"share of time: {label}"] = float(own.sum()) / total
        found[f"bouts a minute: {label}"] = 60 * len(own) / total
        found[f"seconds a bout: {label}"] = float(own.mean()) if len(own) else None  # type: ignore[arg-type]
    keys = [c for c in ("recording", "rater") if c in bouts.columns]  # what follows what to one rater
    parts = [own for _, own in bouts.group_by(keys, maintain_order=True)] if keys else [bouts]
    moves = [m for own in parts for m in pairwise(own.sort("start")["label"].to_list())]
    for a in labels:
        after = [b for x, b in moves if x == a]
        for b in labels:
            if a != b:
                found[f"next after {a}: {b}"] = after.count(b) / len(after) if after else None
    return found


def _test(
    table: pl.DataFrame,
    measure: str,
    by: str,
    person: str,
    groups: list[str],
    paired: bool,
    random: np.random.Generator,
) -> dict[str, Any] | None:
    """One measure; None where too few people have it or it never varies."""
    known = table.select(by, person, measure).drop_nulls()
    if paired:
        both = known.pivot(on=by, index=person, values=measure).drop_nulls()
        if len(both) < _FEWEST or not set(groups) <= set(both.columns):
            return None
        samples = [both[g].to_numpy().astype(np.float64) for g in groups]
        difference = samples[1] - samples[0]
        if not difference.std() and not difference.any():
            return None
        p, effect = _flipped(difference, random), in_deviations(difference.mean(), difference.std(ddof=1))
    else:
        samples = [known.filter(pl.col(by) == g)[measure].to_numpy().astype(np.float64) for g in groups]
        if min(map(len, samples)) < _FEWEST or not np.concatenate(samples).std():
            return None
        p = _permuted(samples, random)
        effect = _hedges(samples[0], samples[1]) if len(samples) == 2 else _eta(samples)
    found = {
        "measure": measure,
        **_described(dict(zip(groups, samples, strict=True))),
        "effect": effect,
        "effect_is": "paired d" if paired else "Hedges g" if len(samples) == 2 else "eta squared",
        "p": p,
    }
    if len(samples) == 2:
        found["difference"] = float(samples[1].mean() - samples[0].mean())
        found["interval_95"] = _interval(samples, paired, random)
    return found


def _mixed(table: pl.DataFrame, measure: str, by: str, person: str, groups: list[str]) -> dict[str, Any] | None:
    """One measure by a mixed model; None where too few people have it, nobody has it twice or it never varies."""
    rows = table.select(by, person, measure).drop_nulls()
    if not rows.select(by, person).is_duplicated().any() or not rows[measure].std():
        return None
    persons = rows.group_by(by, person, maintain_order=True).agg(pl.col(measure).mean())
    samples = {g: persons.filter(pl.col(by) == g)[measure].to_numpy().astype(np.float64) for g in groups}
    if min(map(len, samples.values())) < _FEWEST:
        return None
    found = mixed_test(rows, measure, by, person, groups)
    return None if found is None else {"measure": measure, **_described(samples), **found}


def _described(samples: dict[str, Float]) -> dict[str, Any]:
    """Means and deviations of people, and how many they are."""
    return {
        "means": {g: float(s.mean()) for g, s in samples.items()},
        "sd": {g: float(s.std(ddof=1)) for g, s in samples.items()},
        "people": {g: len(s) for g, s in samples.items()},
    }


def in_deviations(difference: float, deviation: float) -> float | None:
    """A difference in standard deviations; None where nothing deviates but by rounding."""
    return float(difference / deviation) if deviation > _ROUNDING * abs(difference) else None


def _hedges(a: Float, b: Float) -> float | None:
    """Standardised difference of means b − a, corrected for few people (Hedges 1981)."""
    freedom = len(a) + len(b) - 2
    pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom)
    return in_deviations((b.mean() - a.mean()) * (1 - 3 / (4 * freedom - 1)), pooled)


def _eta(samples: list[Float]) -> float:
    """η²: share of the variance that lies between groups."""
    whole = np.concatenate(samples)
    between = sum(len(s) * (s.mean() - whole.mean()) ** 2 for s in samples)
    return float(between / ((whole - whole.mean()) ** 2).sum())


def _permuted(samples: list[Float], random: np.random.Generator) -> float:
    """P-value of the variance between groups under permutation of people; exact where few ways exist."""
    from scipy.stats import permutation_test

    ways = comb(sum(map(len, samples)), len(samples[0])) if len(samples) == 2 else None

    def between(*parts: Float, axis: int = -1) -> Any:
        sizes = np.array([p.shape[axis] for p in parts])
        means = np.stack([p.mean(axis=axis) for p in parts])
        grand = (sizes.reshape(-1, *[1] * (means.ndim - 1)) * means).sum(axis=0) / sizes.sum()
        return (sizes.reshape(-1, *[1] * (means.ndim - 1)) * (means - grand) ** 2).sum(axis=0)

    draws = np.inf if ways is not None and ways <= _DRAWS else _DRAWS
    found = permutation_test(
        samples,
        between,
        permutation_type="independent",
        alternative="greater",
        n_resamples=draws,
        rng=random,
        vectorized=True,
    )
    return float(found.pvalue)


def _flipped(difference: Float, random: np.random.Generator) -> float:
    """P-value of a mean difference within people under flips of its sign; exact up to 13 people."""
    count = len(difference)
    if 2**count <= _DRAWS:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return float((np.abs(signs @ difference) >= abs(difference.sum()) - 1e-12).mean())
    signs = random.choice([-1, 1], size=(_DRAWS, count))
    more = int((np.abs(signs @ difference) >= abs(difference.sum()) - 1e-12).sum())
    return (more + 1) / (_DRAWS + 1)


def _interval(samples: list[Float], paired: bool, random: np.random.Generator) -> list[float]:
    """95 % bootstrap interval of the difference of means, people drawn again."""
    a, b = samples
    rows = random.integers(0, len(a), size=(2000, len(a)))
    other = rows if paired else random.integers(0, len(b), size=(2000, len(b)))
    drawn = b[other].mean(axis=1) - a[rows].mean(axis=1)
    return [float(q) for q in np.quantile(drawn, [0.025, 0.975])]


def _adjusted(p: list[float], correction: str) -> list[float]:
    """P-values corrected for their number; ``p`` is sorted, the smallest first."""
    if correction == "none":
        return p
    if correction == "holm":
        steps = np.minimum(1, np.array(p) * np.arange(len(p), 0, -1))
        return [float(q) for q in np.maximum.accumulate(steps)]
    from scipy.stats import false_discovery_control

    method: Literal["bh", "by"] = "by" if correction == "by" else "bh"
    return [float(q) for q in false_discovery_control(p, method=method)]
