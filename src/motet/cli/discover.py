"""The discover verb."""

# no postponed annotations here: the options of the recipe are a type that is known when the verb runs

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from motet.cli.parse import parse, value_of, write_result
from motet.cli.verbs import Place, Text, show, trains
from motet.core.errors import ConfigError

# kinds of options that may be left out
Classes = Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS …", help_behavior_hint="")]
Rule = Annotated[str | None, tyro.conf.arg(metavar="RULE", help_behavior_hint="")]


@trains("discover")
def discover(args: Sequence[str]) -> int:
    """motet discover --source ARCHIVE --target ARCHIVE --out RUN; motet discover --resume RUN"""
    from motet.methods.discovery import METHODS, SETTINGS, TASKS, Settings, as_released

    task = value_of(args, "--task")
    if task is not None and task not in TASKS:
        raise ConfigError(f"there is no task {task!r}; choose from {', '.join(TASKS)}")
    name = value_of(args, "--recipe") or (TASKS[task].settings if task else None)
    if name is not None and name not in SETTINGS:
        raise ConfigError(f"there is no recipe {name!r} of discover; choose from {', '.join(SETTINGS)}")
    base = SETTINGS[name or "small"]
    if (way := value_of(args, "--method")) is not None:
        base = base.with_options({"method": way})
    if "--as-released" in args:
        base = as_released(base)

    @dataclass
    class Arguments:
        source: Place = None
        """labelled archive"""
        target: Place = None
        """archive whose classes are wanted; labels, where it has any, only score the
        result"""
        out: Place = None
        """run directory to create"""
        task: Text = None
        """splits, classes, clusters and recipe of a known pair of sets"""
        recipe: Text = None
        """paper or small; by default small below 5,000 training clips"""
        method: Text = None
        """how the target is labelled; `--method NAME --help` shows its options. By default codt"""
        source_split: Rule = None
        """rule that says which source clips train"""
        target_split: Rule = None
        """rule that says which target clips train, and which are judged; by default all train where none has a label"""
        source_classes: Classes = ()
        """classes of the source that count, by number or name; all by default"""
        target_classes: Classes = ()
        """classes of the target that count, by number or name; all by default"""
        as_released: bool = False
        """follow the released code where it is well defined"""
        training: tyro.conf.OmitArgPrefixes[tyro.conf.SuppressFixed[Settings]] = base
        seeds: tuple[int, ...] = ()
        """run once per seed, into OUT/seed-<n>; runs that are there already are kept or continued"""
        quiet: bool = False
        """no progress and no table, only warnings"""
        json: Place = None
        """write the result here too"""

    description = (
        "Find the action classes of an unlabelled archive with the help of a labelled one; `motet resume RUN` "
        f"continues. Methods: {'; '.join(f'{k}: {v}' for k, v in METHODS.items())}. Tasks: {', '.join(TASKS)}. "
        f"Defaults of the training options are those of the recipe {base.name}; `--recipe paper --help` or "
        "`--task NAME --help` shows others."
    )
    given = parse(Arguments, args, "motet discover", description=description)
    if given.source is None or given.target is None:
        missing = [f"--{name}" for name in ("source", "target") if getattr(given, name) is None]
        raise ConfigError(f"missing {' and '.join(missing)} (see `motet discover --help`)")
    if given.out is None and given.json is None:
        raise ConfigError("nowhere to keep the result; name a run directory by --out")
    from motet.methods.discovery import run, run_seeds

    # what the command line does not say is left to the recipe that fits the data
    said = {a.split("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_") for a in args if a[:2] == "--"}
    values = given.training.to_dict() | ({"method": way} if way is not None else {})
    stated: dict[str, Any] = {k: v for k, v in values.items() if k in said - {"name", "clusters"}}
    options = {
        **stated,
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
        return show(runs, given.json, quiet=given.quiet)
    found = run(given.source, given.target, given.out, **options)
    return _show(found, given.json, given.quiet)


def _show(found: dict[str, Any], path: Path | None, quiet: bool) -> int:
    from motet.methods.discovery.describe import report

    if not quiet:
        print(report(found))
    write_result(path, found)
    return 0
