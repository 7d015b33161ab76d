"""The discover verb."""

# no postponed annotations here: the options of the recipe are a type that is known when the verb runs

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from motet.cli.entries import Arg
from motet.cli.parse import is_set, parse, stated, value_of
from motet.cli.result import Output
from motet.cli.verbs import need_place, show, trains
from motet.core.errors import ConfigError


@trains("discover")
def discover(args: Sequence[str]) -> int:
    """motet discover --source ARCHIVE --target ARCHIVE --out RUN; motet discover --resume RUN"""
    base, way = _base(args), value_of(args, "--method")
    given = parse(_arguments(base), args, "motet discover", description=_description(base.name))
    if given.source is None or given.target is None:
        missing = [f"--{name}" for name in ("source", "target") if getattr(given, name) is None]
        raise ConfigError(f"missing {' and '.join(missing)} (see `motet discover --help`)")
    need_place(given)
    from motet.methods.discovery import run, run_seeds

    # what the command line does not say is left to the recipe that fits the data
    values = given.training.to_dict() | ({"method": way} if way is not None else {})
    named: dict[str, Any] = {k: v for k, v in values.items() if k in stated(args) - {"name", "clusters"}}
    options = {
        **named,
        "clusters": given.training.clusters,
        "recipe": given.recipe,
        "task": given.task,
        "source_split": given.source_split,
        "target_split": given.target_split,
        "source_classes": given.source_classes,
        "target_classes": given.target_classes,
        "as_released": given.as_released,
        "progress": not given.quiet,
    }
    if given.seeds:
        if given.out is None:
            raise ConfigError("--seeds needs a directory for the runs; name it by --out")
        runs = run_seeds(given.source, given.target, given.out, given.seeds, **options)
        return show(runs, given)
    found = run(given.source, given.target, given.out, **options)
    from motet.methods.discovery.describe import report

    done: int = given.done(report(found), found)
    return done


def _base(args: Sequence[str]) -> Any:
    """The recipe that the command line starts from, with the method that it names."""
    from motet.methods.discovery import SETTINGS, as_released
    from motet.methods.discovery.tasks import task_named

    task = value_of(args, "--task")
    name = value_of(args, "--recipe") or (task_named(task).settings if task is not None else "")
    if name and name not in SETTINGS:
        raise ConfigError(f"there is no recipe {name!r} of discover; choose from {', '.join(SETTINGS)}")
    base = SETTINGS[name or "body"]
    if (way := value_of(args, "--method")) is not None:
        base = base.with_options({"method": way})
    return as_released(base) if is_set(args, "--as-released") else base


def _arguments(base: Any) -> Any:
    """The options, those of the recipe with its values."""
    from motet.methods.discovery import Settings

    @dataclass
    class Arguments(Output):
        source: Path | None = None
        """labelled archive"""
        target: Path | None = None
        """archive whose classes are wanted; labels, where it has any, only score the
        result"""
        out: Path | None = None
        """run directory to create"""
        task: Annotated[str | None, Arg(metavar="NAME")] = None
        """splits, classes, clusters and recipe of a known pair of sets"""
        recipe: Annotated[str | None, Arg(metavar="NAME")] = None
        """a name of weights (body, hand …), paper or small; by default that of the weights that read both
        archives if no option asks for other networks, else small below 5,000 training clips"""
        method: Annotated[str | None, Arg(metavar="NAME")] = None
        """how the target is labelled; `--method NAME --help` shows its options. By default codt"""
        source_split: Annotated[str | None, Arg(metavar="RULE")] = None
        """rule that says which source clips train"""
        target_split: Annotated[str | None, Arg(metavar="RULE")] = None
        """rule that says which target clips train and which test; by default all train where none has a label"""
        source_classes: Annotated[tuple[str, ...], Arg(metavar="CLASS …")] = ()
        """classes of the source that count, by number or name; all by default"""
        target_classes: Annotated[tuple[str, ...], Arg(metavar="CLASS …")] = ()
        """classes of the target that count, by number or name; all by default"""
        as_released: bool = False
        """follow the released code where it is well defined"""
        training: Settings = base
        seeds: tuple[int, ...] = ()
        """run once per seed, into OUT/seed-<n>; runs that are there already are kept or continued"""

    return Arguments


def _description(recipe: str) -> str:
    from motet.methods.discovery import METHODS, TASKS

    return (
        "Find the action classes of an unlabelled archive with the help of a labelled one; `motet resume RUN` "
        f"continues. Methods: {'; '.join(f'{k}: {v}' for k, v in METHODS.items())}. Tasks: {', '.join(TASKS)}. "
        f"Defaults of the training options are those of the recipe {recipe}; `--recipe paper --help` or "
        "`--task NAME --help` shows others.\n\nExamples:\n"
        "motet discover --source labelled --target unlabelled --out runs/found\n"
        "motet discover --source a --target b --out runs/found --method simgcd --clusters 12"
    )
