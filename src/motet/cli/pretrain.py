"""The pretrain verb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from motet.cli.parse import option_of, parse, value_of
from motet.cli.verbs import pairs, show, trains
from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.splits import default_rule, split
from motet.engine.run import Run
from motet.methods import recipes
from motet.methods.recipe import Recipe, option_names

HELP = ("-h", "--help")


def _of_recipe(flag: str) -> str | None:
    """Which recipes have an option that the chosen one lacks."""
    bare = [name for name in recipes.names() if "/" not in name]
    owners = [name for name in bare if option_of(flag) in option_names(recipes.get(name))]
    return f"recipes with this option: {', '.join(owners)}" if owners else None


@dataclass
class Arguments:
    """Pretrain on the training clips of an archive."""

    data: tuple[Path, ...]
    """motion archive; several are trained on together, by the names of their joints"""
    out: Path
    """run directory to create"""
    config: tyro.conf.OmitArgPrefixes[Recipe]
    seeds: tuple[int, ...] = ()
    """train once per seed, into OUT/seed-<n>; runs that are there already are kept or resumed"""
    start: str | None = None
    """start the encoders from those of this run, folder of weights or name of weights (body)"""
    beside: tuple[str, ...] = ()
    """NAME=ARCHIVE of another sensor that recorded the same performances; its streams are NAME:joint, NAME:motion …"""
    pair_by: tuple[str, ...] = ("name",)
    """columns of the clips that name a performance in all archives"""
    from_run: Path | None = None
    """repeat the configuration of this run"""
    json: Path | None = None
    """write a summary as one JSON object"""
    quiet: bool = False
    """no progress"""


@trains("pretrain")
def pretrain(args: Sequence[str]) -> int:
    """motet pretrain RECIPE --data ARCHIVE [ARCHIVE …] [--start RUN|WEIGHTS] --out RUN"""
    again = value_of(args, "--from-run")
    if again is None and (not args or args[0].startswith("-")):
        return _usage(args)
    recipe = Run.open(again, "pretrain").recipe if again is not None else _named(args)
    name = recipe.recipe if again is not None else args[0]
    default = Arguments(data=tyro.MISSING, out=tyro.MISSING, config=recipe)
    rest = args if again is not None else args[1:]
    given = parse(Arguments, rest, f"motet pretrain {name}", elsewhere=_of_recipe, default=default)
    options = _given_options(recipe, given.config, rest)
    base: str | Recipe = recipe if again is not None else name
    # imported only now: torch and Fabric are not needed for help or wrong arguments
    from motet.methods.pretrain import pretrain as train
    from motet.methods.pretrain import train_seeds

    options |= {
        "start": given.start,
        "beside": pairs(given.beside),
        "pair_by": given.pair_by,
        "progress": not given.quiet,
    }
    if given.seeds:
        runs = train_seeds(base, given.data, given.out, given.seeds, **options)
    else:
        runs = [train(base, given.data, given.out, **options)]
    return show(runs, given.json)


def _usage(args: Sequence[str]) -> int:
    if not set(HELP) & set(args):
        raise ConfigError("pretrain needs a RECIPE or --from-run RUN (see `motet pretrain --help`)")
    names = recipes.names()
    print("usage: motet pretrain RECIPE --data ARCHIVE [ARCHIVE …] --out RUN [options]")
    print("       motet pretrain --from-run RUN --data ARCHIVE --out RUN\n")
    print(f"recipes: {', '.join(n for n in names if '/' not in n)} (each in the size that fits the data)")
    print(f"variants: {', '.join(n for n in names if '/' in n)}\n")
    print("`motet pretrain RECIPE --help` lists every option")
    return 0


def _named(args: Sequence[str]) -> Recipe:
    """The named recipe, in the size that fits the data if these are given already."""
    data = value_of(args, "--data")
    if data is None or value_of(args, "--start") is not None or set(HELP) & set(args):
        return recipes.get(args[0])
    archive = MotionArchive.open(data)
    rule = value_of(args, "--split") or recipes.get(args[0]).split or default_rule(archive)
    return recipes.get(args[0], len(split(archive, rule).train))


def _given_options(recipe: Recipe, config: Recipe, args: Sequence[str]) -> dict[str, Any]:
    """Options that were named on the command line, whether or not they differ from the recipe's."""
    named = {a.split("=")[0].replace("_", "-") for a in args if a.startswith("--")}
    values = config.flat()
    return {
        option: values[option]
        for option in option_names(recipe)
        if {f"--{option}".replace("_", "-"), f"--no-{option}".replace("_", "-")} & named
    }
