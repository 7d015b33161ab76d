"""The graphs verb."""

# no postponed annotations here: the options of the method are a type that is known when the verb runs

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from motet.cli.entries import Arg, Positional
from motet.cli.parse import is_set, option_of, parse, value_of
from motet.cli.result import Output
from motet.cli.verbs import need_place, trains, values_of
from motet.core.errors import ConfigError
from motet.engine.options import Loop


def _of_method(flag: str) -> str | None:
    """Which methods have an option that the chosen one lacks."""
    from motet.methods.graphs.method import METHODS

    owners = [name for name, options in METHODS.items() if option_of(flag) in {f.name for f in fields(options)}]
    return f"give --method {' or '.join(owners)} for it" if owners else None


@trains("graphs")
def graphs(args: Sequence[str]) -> int:
    """motet graphs FOLDER --out RUN"""
    from motet.methods.graphs import report, run
    from motet.methods.graphs.method import METHODS
    from motet.methods.graphs.run import options_for

    # options of the method and their defaults, before anything is parsed
    chosen = options_for(value_of(args, "--method") or "graphcl", is_set(args, "--as-released"), {})

    start = Loop(device="cpu")

    @dataclass
    class Arguments(Output):
        folder: Positional[tuple[Path, ...]]
        """folder of a TU graph set: DS_A.txt, DS_graph_indicator.txt, DS_graph_labels.txt, DS_node_labels.txt"""
        out: Path | None = None
        """run directory to create"""
        method: Literal["graphcl", "halp-graphcl"] = "graphcl"
        """HaLP's options appear with --method halp-graphcl"""
        as_released: bool = False
        """the quirks of the released code too"""
        options: Annotated[type(chosen), Arg(title="method")] = chosen  # type: ignore[valid-type]
        """of the method"""
        loop: Loop = start
        """device, precision, checkpoints"""
        seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
        folds: int = 10
        """of the cross-validation"""
        baselines: bool = True
        """label counts and encoders with initial weights next to it"""

    description = (
        "Learn from graphs without their labels, and evaluate the encoder by a support vector machine. Methods: "
        f"{', '.join(METHODS)}\n\nExamples:\nmotet graphs MUTAG --out runs/mutag\n"
        "motet graphs MUTAG --out runs/halp --method halp-graphcl"
    )
    given = parse(Arguments, args, "motet graphs", elsewhere=_of_method, description=description)
    if len(given.folder) != 1:
        raise ConfigError("graphs needs one FOLDER of a TU graph set (see `motet graphs --help`)")
    need_place(given)
    call = values_of(given.options, given.loop)
    call |= {name: getattr(given, name) for name in ("method", "as_released", "seeds", "folds", "baselines")}
    found = run(given.folder[0], given.out, progress=not given.quiet, **call)
    return given.done(report(found), found)
