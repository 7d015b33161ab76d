"""The discover verb."""

# no postponed annotations here: the options of the recipe are a type that is known when the verb runs

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import tyro

from motet.cli.parse import parse, value_of, write_result
from motet.errors import ConfigError


@dataclass
class Resume:
    """Go on with an interrupted discovery."""

    resume: Path
    """run directory"""
    source: Path | None = None
    """where the source is now, if it has moved"""
    target: Path | None = None
    quiet: bool = False
    json: Path | None = None
    """write the result here too"""


def discover(args: Sequence[str]) -> int:
    """motet discover --source ARCHIVE --target ARCHIVE --out RUN"""
    if any(a.split("=")[0] == "--resume" for a in args):
        again = parse(Resume, args, "motet discover")
        from motet.discover import resume

        found = resume(again.resume, source=again.source, target=again.target, progress=not again.quiet)
        return _show(found, again.json)
    from motet.discover.settings import METHODS, SETTINGS, TASKS, Settings, as_released

    task = value_of(args, "--task")
    if task is not None and task not in TASKS:
        raise ConfigError(f"there is no task {task!r}; choose from {', '.join(TASKS)}")
    name = value_of(args, "--recipe") or (TASKS[task].settings if task else None)
    if name is not None and name not in SETTINGS:
        raise ConfigError(f"there is no recipe {name!r} of discover; choose from {', '.join(SETTINGS)}")
    base = SETTINGS[name or "small"]
    if "--as-released" in args:
        base = as_released(base)

    @dataclass
    class Arguments:
        source: Path
        """labelled archive"""
        target: Path
        """archive whose classes are wanted; labels, where it has any, only score the result"""
        out: Path | None = None
        """run directory to create"""
        task: str | None = None
        """splits, classes, clusters and recipe of a known pair of sets"""
        recipe: str | None = None
        """paper or small; by default small below 5,000 training clips"""
        source_split: str | None = None
        """rule that says which source clips train"""
        target_split: str | None = None
        """rule that says which target clips train, and which are judged"""
        source_classes: tuple[int, ...] = ()
        """labels of the source that count; all by default"""
        target_classes: tuple[int, ...] = ()
        """labels of the target that count; all by default"""
        as_released: bool = False
        """follow the released code where it is well defined"""
        options: tyro.conf.OmitArgPrefixes[tyro.conf.SuppressFixed[Settings]] = base
        quiet: bool = False
        json: Path | None = None
        """write the result here too"""

    description = (
        "Find the action classes of an unlabelled archive with the help of a labelled one. Methods: "
        f"{'; '.join(f'{k}: {v}' for k, v in METHODS.items())}. Tasks: {', '.join(TASKS)}"
    )
    given = parse(Arguments, args, "motet discover", description=description)
    if given.out is None and given.json is None:
        raise ConfigError("nowhere to keep the result; name a run directory by --out")
    from motet.discover import run

    # what the command line does not say is left to the recipe that fits the data
    said = {a.split("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_") for a in args if a[:2] == "--"}
    stated: dict[str, Any] = {
        f.name: getattr(given.options, f.name) for f in fields(Settings) if f.name in said - {"name", "clusters"}
    }
    found = run(
        given.source,
        given.target,
        given.out,
        clusters=given.options.clusters,
        recipe=given.recipe,
        task=given.task,
        source_split=given.source_split,
        target_split=given.target_split,
        source_classes=given.source_classes,
        target_classes=given.target_classes,
        as_released=given.as_released,
        progress=not given.quiet,
        **stated,
    )
    return _show(found, given.json)


def _show(found: dict[str, Any], path: Path | None) -> int:
    from motet.discover.describe import report

    print(report(found))
    write_result(path, found)
    return 0
