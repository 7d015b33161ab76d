"""The evaluate verb."""

# no postponed annotations here: the options of all protocols are a type that is made when the verb runs

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, make_dataclass
from difflib import get_close_matches
from inspect import cleandoc
from pathlib import Path
from typing import Any

from motet.cli.entries import Positional, Prefixed
from motet.cli.parse import asks_help, parse
from motet.cli.result import Output
from motet.core.errors import ConfigError, MotetNote, MotetWarning, RunError
from motet.core.places import mistaken
from motet.core.text import counted
from motet.engine.hub import is_shipped


@dataclass(kw_only=True)
class Arguments(Output):
    """Evaluate what a run has learned, next to raw features and a random encoder.

    Examples:
    motet evaluate runs/cmd
    motet evaluate runs/cmd/seed-* --protocols knn linear fewshot --json result.json
    motet evaluate runs/cmd --protocols linear --linear.epochs 50
    """

    runs: Positional[tuple[Path, ...]]
    """run directories of any verb, or weights by name (body, wrist …); several repetitions of one training give
    mean ± sd"""
    protocols: tuple[str, ...] = ("knn", "ridge")
    data: Path | None = None
    """archive, table or folder of graphs, if not what trained the run"""
    split: str | None = None
    """rule that says who trains and who tests, if not the run's"""
    seeds: int = 1
    """initialisations of random encoders and probes"""
    baselines: bool = True
    """also evaluate raw features and random encoders"""
    without_copies: bool = False
    """also give every figure without the test clips that are copies of training clips (same bytes, or nearly)"""
    centre_by: str | None = None
    """column of the clips (subject): also give every figure with features less the mean of each of its values"""
    again: bool = False
    """evaluate again even what is there"""
    device: str = "auto"
    markdown: Path | None = None
    """write the table here too, next to evaluation.md in the run directory"""


def evaluate(args: Sequence[str]) -> int:
    """motet evaluate RUN"""
    if not any("." in a.split("=")[0] and a.startswith("--") for a in args) and not asks_help(args):
        # no option of a protocol: what is wrong is reported before torch is imported
        _check_runs(parse(Arguments, args, "motet evaluate").runs)
    # imported only now: torch is not needed for wrong arguments
    from motet.core.distributed import joined, rank
    from motet.evaluate.results import markdown
    from motet.evaluate.runner import protocol, protocols, run

    names = protocols()
    prefixed: Any = Prefixed  # the type is known only now
    own = []  # --knn.k, --linear.epochs …
    for name in names:
        kind = protocol(name).Options
        own.append((name.replace("-", "_"), prefixed[kind], field(default_factory=kind)))
    kinds = make_dataclass("options", own)

    @dataclass(kw_only=True)
    class All(Arguments):
        options: kinds = field(default_factory=kinds)  # type: ignore[valid-type]

    given = parse(All, args, "motet evaluate", description=_described(names))
    _check_runs(given.runs)
    for name in given.protocols:
        _check_protocol(name, names)
    chosen = {n.replace("-", "_"): getattr(given.options, n.replace("-", "_")) for n in given.protocols}
    with joined(), _facts_as_notes(names):  # torchrun: the processes share the encoding
        found = run(
            list(given.runs),
            given.protocols,
            data=given.data,
            split=given.split,
            seeds=given.seeds,
            baselines=given.baselines,
            without_copies=given.without_copies,
            centre_by=given.centre_by,
            again=given.again,
            device=given.device,
            markdown=given.markdown,
            progress=not given.quiet and rank() == 0,
            **chosen,
        )
        if rank() == 0:
            said = [markdown(_asked(found, given.protocols)), _where(found, given.protocols), found["summary"]]
            given.done("\n".join(filter(None, said)), found)
    return 0


def _described(names: Sequence[str]) -> str:
    said, examples = str(Arguments.__doc__).split("\n\n", 1)
    return f"{said} Protocols: {', '.join(names)}.\n\n{cleandoc(examples)}"


def _check_runs(runs: Sequence[Path]) -> None:
    if not runs:
        raise ConfigError("evaluate needs a run directory (see `motet evaluate --help`)")
    for path in runs:
        if not path.is_dir() and not is_shipped(path):
            raise RunError(mistaken(path, "run"))


def _check_protocol(name: str, names: Sequence[str]) -> None:
    """Raise ConfigError for an unknown protocol, with the one that may have been meant."""
    if name in names:
        return
    bare = {n.replace("-", ""): n for n in names}
    near = get_close_matches(name.lower().replace("-", "").replace("_", ""), bare, n=1, cutoff=0.7)
    hint = f"did you mean {bare[near[0]]}? There are" if near else "choose from"
    raise ConfigError(f"there is no protocol {name!r}; {hint} {', '.join(names)}")


@contextmanager
def _facts_as_notes(names: Sequence[str]) -> Iterator[None]:
    """Show what a protocol notes about its own rows (``transfer: …``) as a note; what is said of the clips warns."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, MotetWarning) and str(message).startswith(tuple(f"{n}: " for n in names)):
            before(message, MotetNote, *rest, **more)
        else:
            before(message, category, *rest, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _asked(found: Mapping[str, Any], protocols: Sequence[str]) -> dict[str, Any]:
    """What the terminal shows: protocols as they were asked for, of each the rows of all streams together."""
    from motet.evaluate.stored import Entry, command

    entries, rows = {entry["name"]: entry for entry in found["protocols"]}, found["rows"]
    names = [name for name in dict.fromkeys(protocols) if name in entries]
    kept = [entries[name] for name in names]
    done = [Entry(**{**entry, "command": tuple(entry["command"]), "rows": []}) for entry in kept]
    return {
        **found,
        "summary": "",  # comes last
        "confusion": None,  # the file has it, class by class
        "protocols": kept,
        "rows": [row for name in names for row in rows if row["protocol"] == name and _together(row, rows)],
        "command": command(done),
        "seconds": sum(entry.seconds for entry in done),
    }


def _together(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a row is of as many streams as any of its protocol."""
    most = max(other["stream"].count("+") for other in rows if other["protocol"] == row["protocol"])
    return bool(row["stream"].count("+") == most)


def _where(found: Mapping[str, Any], protocols: Sequence[str]) -> str:
    """Which files hold the table, and what they hold next to what was asked for."""
    from motet.engine.run import Run
    from motet.evaluate.runner import kept_in

    folder = kept_in(Run(Path(found["runs"][0]["path"])))
    files = [p for p in folder.glob("evaluation*.json") if _is(p, found)]
    place = " and ".join(str(files[0].with_suffix(s)) for s in (".md", ".json")) if files else str(folder)
    others = [entry["name"] for entry in found["protocols"] if entry["name"] not in protocols]
    single = sum(row["protocol"] in protocols and not _together(row, found["rows"]) for row in found["rows"])
    more = [f"{counted(single, 'row')} of single streams"] if single else []
    more += [f"{', '.join(others)}, evaluated before"] if others else []
    return f"table: {place}" + (f"; they also hold {' and '.join(more)}" if more else "")


def _is(path: Path, found: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(path.read_text())["date"] == found["date"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
