"""The pretrain verb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from motet.cli.entries import Arg
from motet.cli.parse import asks_help, option_of, parse, stated, value_of
from motet.cli.result import Output
from motet.cli.verbs import pairs, show, trains
from motet.core.errors import ConfigError
from motet.core.text import enumerated
from motet.methods import recipes
from motet.methods.recipe import Recipe, fixed_by_start, kept_by_start, option_names


def _of_recipe(flag: str) -> str | None:
    """Which recipes have an option that the chosen one lacks."""
    bare = [name for name in recipes.names() if "/" not in name]
    owners = [name for name in bare if option_of(flag) in option_names(recipes.get(name))]
    return f"recipes with this option: {', '.join(owners)}" if owners else None


@dataclass
class Arguments(Output):
    """Pretrain on the training clips of an archive.

    Examples:
    motet pretrain cmd --data archive --out runs/cmd
    motet pretrain halp --data archive --out runs/halp --encoder gru --epochs 50 --seeds 0 1 2
    motet pretrain --from-run runs/cmd --data other --out runs/again
    """

    data: Annotated[tuple[Path, ...], Arg(metavar="ARCHIVE …")]
    """motion archive; several are trained on together, by the names of their joints"""
    out: Annotated[Path, Arg(metavar="RUN")]
    """run directory to create"""
    config: Annotated[Recipe, Arg(title="recipe")]
    seeds: tuple[int, ...] = ()
    """train once per seed, into OUT/seed-<n>; runs that are there already are kept or resumed"""
    start: Annotated[str | None, Arg(metavar="RUN|WEIGHTS")] = None
    """start the encoders from those of this run, folder of weights or name of weights (body, wrist …); by
    default a small recipe starts from those which read the recordings, unless an option of encoder,
    preprocessing or frames is given; none: new encoders"""
    companion: Annotated[tuple[str, ...], Arg(metavar="NAME=ARCHIVE …", earlier="beside")] = ()
    """another sensor that recorded the same performances; its streams are NAME:joint, NAME:motion …"""
    pair_by: tuple[str, ...] = ("name",)
    """columns of the clips that name a performance in all archives"""
    from_run: Annotated[Path | None, Arg(metavar="RUN")] = None
    """repeat the configuration of this run"""


@trains("pretrain")
def pretrain(args: Sequence[str]) -> int:
    """motet pretrain RECIPE --data ARCHIVE [ARCHIVE …] [--start RUN|WEIGHTS] --out RUN"""
    again = value_of(args, "--from-run")
    if again is None and (not args or args[0].startswith("-")):
        return _usage(args)
    recipe, begun = _repeated(again) if again is not None else (_named(args), None)
    name = recipe.recipe if again is not None else args[0]
    rest = args if again is not None else args[1:]
    given = parse(
        Arguments,
        rest,
        f"motet pretrain {name}",
        elsewhere=_of_recipe,
        defaults={"config": recipe},
        also=_of_weights(recipe),
    )
    values, named = given.config.flat(), stated(rest)
    # those that were named on the command line, whether or not they differ from the recipe's
    options: dict[str, Any] = {option: values[option] for option in option_names(recipe) if option in named}
    base: str | Recipe = recipe if again is not None else name
    # imported only now: torch and Fabric are not needed for help or wrong arguments
    from motet.methods.pretrain import pretrain as train
    from motet.methods.pretrain import train_seeds

    options |= {
        "start": given.start or begun,
        "companions": pairs(given.companion),
        "pair_by": given.pair_by,
        "progress": not given.quiet,
    }
    if given.seeds:
        runs = train_seeds(base, given.data, given.out, given.seeds, **options)
    else:
        runs = [train(base, given.data, given.out, **options)]
    return show(runs, given)


def _of_weights(recipe: Recipe) -> dict[str, str]:
    """What the help says of options that have other values where small recipes start from weights of the package."""
    if not recipe.recipe.endswith("/small") or recipe.encoder.encoder != "tcn":
        return {}
    from motet.methods.start import USUAL

    values: dict[str, dict[str, list[str]]] = {}
    for weights in USUAL:
        own = recipes.get(f"cmd/{weights}")
        for name, value in (fixed_by_start(own) | kept_by_start(own)).items():
            if value != recipe.flat()[name]:
                shown = "as in training" if value is None else str(value)  # None: of encode_frames
                values.setdefault(name, {}).setdefault(shown, []).append(weights)
    return {
        name: ", ".join(f"{value} from the weights {enumerated(which)}" for value, which in found.items())
        for name, found in values.items()
    }


def _usage(args: Sequence[str]) -> int:
    if not asks_help(args):
        raise ConfigError("pretrain needs a RECIPE or --from-run RUN first (see `motet pretrain --help`)")
    names = recipes.names()
    print("usage: motet pretrain RECIPE --data ARCHIVE [ARCHIVE …] --out RUN [options]")
    print("       motet pretrain --from-run RUN --data ARCHIVE --out RUN\n")
    print(f"recipes: {', '.join(n for n in names if '/' not in n)} (each in the size that fits the data)")
    print(f"variants: {', '.join(n for n in names if '/' in n)}\n")
    print("`motet pretrain RECIPE --help` shows the options of a recipe, `--help-all` every one")
    return 0


def _repeated(run: str) -> tuple[Recipe, str | None]:
    """Recipe and start of a run."""
    from motet.engine.run import Run

    found = Run.open(run, "pretrain")
    return found.recipe, found.config.get("start")


def _named(args: Sequence[str]) -> Recipe:
    """The named recipe, in the size that fits the data if these are given already."""
    data = value_of(args, "--data")
    if data is None or value_of(args, "--start") is not None or asks_help(args):
        return recipes.get(args[0])
    from motet.data.archive import MotionArchive
    from motet.data.splits import default_rule, split

    archive = MotionArchive.open(data)
    rule = value_of(args, "--split") or recipes.get(args[0]).split or default_rule(archive)
    return recipes.get(args[0], len(split(archive, rule).train))
