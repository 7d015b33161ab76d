"""The distill verb."""

# no postponed annotations here: the options of the method are a type that is known when the verb runs

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

from motet.cli.entries import Arg
from motet.cli.parse import asks_help, option_of, parse, value_of
from motet.cli.result import Output
from motet.cli.verbs import need_place, trains, values_of
from motet.core.errors import ConfigError
from motet.core.text import counted


@trains("distill")
def distill(args: Sequence[str]) -> int:
    """motet distill TABLE --target MODALITY --auxiliary MODALITY… --out RUN"""
    from motet.methods.distillation.settings import RECIPES, settings_for

    if value_of(args, "--target") is None and not asks_help(args):
        raise ConfigError(_no_target(args))
    chosen = settings_for(value_of(args, "--method") or "amid", value_of(args, "--settings") or "table")
    description = (
        "Train a student of some modalities with the help of others, all folds and seeds at once. `motet resume "
        f"RUN` continues a stopped run.\n\nSettings: {', '.join(RECIPES)}. {own_options(args)}\n\nExamples:\n"
        "motet distill table.npz --target watch --auxiliary skeleton --out runs/student\n"
        "motet distill watch=watches skeleton=skeletons --target watch --auxiliary skeleton --out runs/student"
    )
    given = parse(
        _arguments(chosen), args, "motet distill", elsewhere=whose_option(chosen.name), description=description
    )
    if not given.tables:
        raise ConfigError("distill needs a TABLE (see `motet distill --help`)")
    if given.diagnose_only:
        return _diagnose(given)
    need_place(given)
    from motet.methods.distillation import run

    found = run(
        list(given.tables),
        given.target,
        given.auxiliary,
        given.out,
        method=given.method,
        settings=given.settings,
        seeds=given.seeds,
        split=given.split,
        folds=given.folds,
        validate=given.validate,
        diagnose=given.diagnose,
        motion=given.motion,
        progress=not given.quiet,
        **values_of(given.options, given.networks, given.training, given.loop),
    )
    from motet.methods.distillation.narrative import report

    done: int = given.done(report(found, given.out), found)
    return done


def _arguments(chosen: Any) -> Any:
    """The options, with the values of a method's settings."""
    from motet.methods.distillation.motion import Motion

    parts, clips = (chosen.method, chosen.networks, chosen.training, chosen.loop), Motion()

    @dataclass
    class Arguments(Output):
        tables: Annotated[tuple[str, ...], Arg(positional=True, metavar="TABLE …")]
        """feature table (.npz) or motion archive, NAME=ARCHIVE to name it; several are of the same samples"""
        target: tuple[str, ...]
        """modalities that the student sees, in training and in use"""
        auxiliary: tuple[str, ...] = ()
        """modalities that help in training only"""
        out: Path | None = None
        """run directory to create"""
        method: str = "amid"
        """how the student is taught; each has options of its own, see above"""
        settings: str = "table"
        """values that the options start from"""
        options: Annotated[type(parts[0]), Arg(title=chosen.name)] = parts[0]  # type: ignore[valid-type]
        """of the method"""
        networks: type(parts[1]) = parts[1]  # type: ignore[valid-type]
        """widths and kinds of the networks"""
        training: type(parts[2]) = parts[2]  # type: ignore[valid-type]
        """how the networks move"""
        loop: type(parts[3]) = parts[3]  # type: ignore[valid-type]
        """device, precision, checkpoints"""
        motion: type(clips) = clips  # type: ignore[valid-type]
        """how clips of motion archives become rows"""
        seeds: tuple[int, ...] = (0,)
        """all are trained in one pass"""
        split: str | None = None
        """who tests: fold, split, group, leave-one-group-out, random or all, of archives also a rule such as odd-even;
        by default what the table has"""
        folds: int = 5
        """how many, where the rule leaves it open"""
        validate: bool = False
        """test on held-out training rows, to choose settings"""
        diagnose: bool = True
        """first estimate what the auxiliary adds"""
        diagnose_only: bool = False
        """estimate what the auxiliary adds, and train nothing"""

    return Arguments


def _no_target(args: Sequence[str]) -> str:
    """What to say where no target was named: which modalities there are to choose from."""
    from motet.methods.distillation.motion import modalities_of

    tables = list(takewhile(lambda word: not word.startswith("-"), args))
    if not tables:
        return "distill needs a TABLE and --target MODALITY (see `motet distill --help`)"
    names = ", ".join(modalities_of(tables))
    return f"say by --target what the student sees; {' + '.join(tables)} has {names} (see `motet distill --help`)"


def own_options(args: Sequence[str]) -> str:
    """The methods, and where all of the help was asked for the options of each, as its class says."""
    from motet.methods.distillation.methods import METHODS

    if "--help-all" not in args:
        return f"Methods: {', '.join(METHODS)}."
    said = ["Methods, and the options of each (`--method NAME --help-all` explains them):"]
    owners: dict[str, list[str]] = {}
    for name, options in METHODS.items():
        owners.setdefault(", ".join(_flags(options)) or "none of its own", []).append(name)
    said += [f"{', '.join(names)}: {flags}" for flags, names in owners.items()]
    return "\n\n".join(said)


def _flags(options: Any) -> list[str]:
    return [f"--{f.name.replace('_', '-')}" for f in fields(options)]


def whose_option(method: str) -> Callable[[str], str | None]:
    """From an unknown flag to the methods that have it; None if no method has."""

    def said(flag: str) -> str | None:
        from motet.methods.distillation.methods import owners

        found = owners(option_of(flag))
        return f"it belongs to --method {' or '.join(found)}, not to {method}" if found else None

    return said


def _diagnose(given: Any) -> int:
    from motet.methods.distillation import diagnose

    if not given.auxiliary:
        raise ConfigError("--diagnose-only needs an auxiliary modality; name one by --auxiliary")
    found = diagnose(
        given.tables,
        given.target,
        given.auxiliary,
        split=given.split,
        folds=given.folds,
        validate=given.validate,
        motion=given.motion,
        progress=not given.quiet,
    )
    left = "".join(f"; {count:,} {why}" for why, count in found["left_out"].items())
    lines = [f"{found['rows']:,} of {counted(found['total'], 'row')} looked at{left}"]
    same = len(given.target) == 1  # then "target" is that one modality again
    for name, scores in found["probes"].items():
        if not (name == "target" and same):
            called = {"target": "target together", "all": "all together"}.get(name, name)
            lines.append(f"{called}: accuracy {100 * scores['accuracy']:.1f} %, {scores['bits']:.2f} bits")
    done: int = given.done("\n".join([*lines, f"{found['says']}."]), found)
    return done
