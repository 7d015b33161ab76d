"""The tune verb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from motet.cli.entries import Arg, Positional
from motet.cli.parse import parse
from motet.cli.result import Output
from motet.core.errors import ConfigError
from motet.core.text import pasted


@dataclass
class Tune(Output):
    """Try settings of a recipe on held-out training people; no test clip is read. The best becomes a recipe file.

    Examples:
    motet tune cmd --data archive --out tuned
    motet tune halp --data archive --out tuned --trials 20 --values lr=0.001,0.01 --fixed epochs=50
    """

    recipe: Positional[str]
    """what is tuned, e.g. cmd"""
    data: Path
    """motion archive with labels"""
    out: Path
    """folder for recipe.json and what was tried; the same command again continues where it was stopped"""
    trials: int = 12
    """settings that are tried"""
    fraction: float = 0.3
    """share of the training clips whose people are held out"""
    values: tuple[str, ...] = ()
    """own settings to try: NAME=VALUE,VALUE … with options of the recipe"""
    fixed: tuple[str, ...] = ()
    """options that all trials have: NAME=VALUE …"""
    start: Annotated[str | None, Arg(metavar="RUN|WEIGHTS")] = None
    """what the encoders start from, as of motet pretrain; none: new encoders"""
    split: str | None = None
    """rule that says who trains"""
    seed: int | None = None


def tune(args: Sequence[str]) -> int:
    """motet tune RECIPE --data ARCHIVE --out FOLDER"""
    given = parse(Tune, args, "motet tune")
    settings = {name: _values(text) for name, text in map(_pair, given.values)}
    options: dict[str, Any] = {name: _values(text)[0] for name, text in map(_pair, given.fixed)}
    options |= {n: v for n, v in (("split", given.split), ("seed", given.seed)) if v is not None}
    from motet.use.tune import scores, shown
    from motet.use.tune import tune as search

    found = search(
        given.recipe,
        given.data,
        given.out,
        trials=given.trials,
        fraction=given.fraction,
        settings=settings or None,
        start=given.start,
        progress=not given.quiet,
        **options,
    )
    best, first = found.best, found.first
    result = {"best": vars(best), "first": vars(first), "trials": [vars(t) for t in found.trials]}
    return given.done(
        f"{found.path}: {shown(best.changes)}; on held-out people {scores(best)}, as it was {scores(first)} (the "
        f"best of {len(found.trials)}, so a little too good)\n"
        f"train with it: motet pretrain {pasted(found.path)} --data {pasted(given.data)} --out RUN",
        {"recipe": str(found.path), "start": found.start, **result},
    )


def _pair(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not (name and equals and text):
        raise ConfigError(f"{word!r} is not NAME=VALUE")
    return name.replace("-", "_"), text


def _values(text: str) -> list[Any]:
    from motet.methods.recipe import read_value

    return [read_value(part) for part in text.split(",")]
