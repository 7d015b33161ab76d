"""The ``motet`` command. Every verb is a function of the public API with a typed command line around it.

Nothing heavy is imported until a verb needs it, so that help answers at once.
"""

from __future__ import annotations

import io

import re
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from motet._version import __version__
from motet.errors import ConfigError, DataError, Interrupted, MotetError, MotetWarning

T = TypeVar("T")

HELP = f"""motet {__version__}: streams of one sample teach each other

usage: motet VERB …            `motet VERB --help` tells more

  data import FORMAT SOURCE DESTINATION     raw recordings -> a motion archive
  data inspect ARCHIVE                      what is in an archive, and what is wrong with it
  data list                                 known data sets and formats, where from, on what terms
  data simulate DESTINATION                 labelled simulated recordings, from nothing
  pretrain RECIPE --data ARCHIVE --out RUN  learn from unlabelled clips (moco, mcl, crossclr, cmd)
  pretrain --resume RUN                     go on where an interrupted training stopped
  evaluate RUN                              protocols, beside raw features and a random encoder
  embed RUN ARCHIVE --out FILE.npz          features of every clip
  report RUN --out report.html              one page to look at, with playing skeletons
  demo                                      all of it on two small sets, in minutes
"""


def _parse(kind: type[T] | Callable[..., T], args: Sequence[str], prog: str, **options: Any) -> T:
    """Parse arguments with tyro; its boxed errors become one line."""
    import tyro

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(kind, args=list(args), prog=prog, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        text = re.sub(r"[\u2500-\u257f]|\x1b\[[0-9;]*m", " ", said.getvalue())
        line = " ".join(text.split()).removeprefix("Parsing error ")
        raise ConfigError(f"{line or 'the arguments cannot be parsed'} (see `{prog} --help`)") from None


def _write_json(path: Path | None, data: Any) -> None:
    if path is not None:
        from motet.runs import write_json

        write_json(path, data)


@dataclass
class Import:
    """Import raw recordings."""

    source: Annotated[Path, "positional"]
    """folder or file that holds the recordings"""


def data_import(args: Sequence[str]) -> int:
    """motet data import FORMAT SOURCE DESTINATION"""
    import tyro

    from motet import formats

    names = formats.names()
    if not args or args[0] in ("-h", "--help"):
        print("usage: motet data import FORMAT SOURCE DESTINATION [options]\n\nformats:")
        for name in names:
            print(f"  {name:12} {formats.get(name).description}")
        print("\n`motet data import FORMAT --help` lists the options of a format")
        return 0
    chosen = formats.get(args[0])

    @dataclass
    class Arguments:
        source: tyro.conf.Positional[str]
        """folder or file that holds the recordings"""
        destination: tyro.conf.Positional[Path]
        """archive to create"""
        options: tyro.conf.OmitArgPrefixes[chosen.options] = field(default_factory=chosen.options)  # type: ignore[name-defined]
        on_error: Literal["stop", "skip"] = "stop"
        """what to do with a file that cannot be read: stop, or skip and list it"""
        workers: int | None = None
        """processes that read; by default one a core"""
        dtype: Literal["float32", "float16"] = "float32"
        """precision of the stored coordinates"""
        overwrite: bool = False
        """replace an archive of the same name"""
        json: Path | None = None
        """write a summary as one JSON object"""
        quiet: bool = False
        """no progress"""

    given = _parse(Arguments, args[1:], f"motet data import {args[0]}", description=chosen.description)
    from dataclasses import fields

    options = {f.name: getattr(given.options, f.name) for f in fields(given.options)}
    archive = formats.import_dataset(
        args[0],
        given.source,
        given.destination,
        on_error=given.on_error,
        workers=given.workers,
        dtype=given.dtype,
        overwrite=given.overwrite,
        progress=not given.quiet,
        **options,
    )
    print(f"{archive.path}: {len(archive)} clips of {archive.skeleton.name}, {len(archive.frames)} frames")
    _write_json(given.json, {"archive": str(archive.path), "clips": len(archive), "source": archive.source})
    return 0


def data_inspect(args: Sequence[str]) -> int:
    """motet data inspect ARCHIVE"""
    import tyro

    @dataclass
    class Arguments:
        """What is in an archive, and what is wrong with it."""

        archive: tyro.conf.Positional[Path]
        json: Path | None = None
        """write the findings as one JSON object"""

    given = _parse(Arguments, args, "motet data inspect")
    from rich.console import Console

    from motet.archive import MotionArchive
    from motet.inspection import inspect, render

    found = inspect(MotionArchive.open(given.archive))
    Console().print(render(found))
    _write_json(given.json, found)
    return 0


def data_list(args: Sequence[str]) -> int:
    """motet data list"""

    @dataclass
    class Arguments:
        """Known data sets: what they hold, where they come from, on what terms."""

        json: Path | None = None
        """write the catalogue as one JSON object"""

    given = _parse(Arguments, args, "motet data list")
    from dataclasses import asdict

    from motet import catalogue, formats, layouts

    entries = catalogue.entries()
    print(catalogue.render())
    print(f"\nformats: {', '.join(formats.names())}\nlayouts: {', '.join(layouts.names())}")
    _write_json(given.json, {"datasets": [asdict(e) for e in entries], "formats": list(formats.names())})
    return 0


def data_simulate(args: Sequence[str]) -> int:
    """motet data simulate DESTINATION"""
    import tyro

    @dataclass
    class Arguments:
        """Make labelled simulated recordings. They are for trying things out; no claim should rest on them."""

        destination: tyro.conf.Positional[Path]
        clips: int = 500
        actions: int = 24
        """classes"""
        actors: int = 20
        sensor: Literal["depth", "optical"] = "depth"
        persons: int = 1
        """2 adds a second person to some clips"""
        imu: bool = False
        """also write what wrist and hip IMUs would have recorded, as <destination>-imu"""
        layout: str = "kinect-v2"
        second_layout: str | None = None
        """also write the same performances in this layout"""
        fps: float = 30.0
        seed: int = 0
        overwrite: bool = False
        quiet: bool = False

    given = _parse(Arguments, args, "motet data simulate")
    from motet.simulate import simulate

    options = dict(vars(given))
    quiet = options.pop("quiet")
    archive = simulate(options.pop("destination"), progress=not quiet, **options)
    print(f"{archive.path}: {len(archive)} simulated clips, {len(archive.class_names)} actions")
    return 0


def pretrain(args: Sequence[str]) -> int:
    """motet pretrain RECIPE --data ARCHIVE --out RUN"""
    import tyro

    from motet import recipes
    from motet.config import Recipe, option_names

    @dataclass
    class Resume:
        """Go on with an interrupted pretraining."""

        resume: Path
        """run directory"""
        quiet: bool = False

    if any(a.split("=")[0] == "--resume" for a in args):
        from motet.train import resume

        given = _parse(Resume, args, "motet pretrain")
        return _report_runs([resume(given.resume, progress=not given.quiet)], None)
    flags = {a.split("=")[0].replace("_", "-") for a in args}
    again = _value(args, "--from-run")
    if again is None and (not args or args[0].startswith("-")):
        names = sorted({n.split("/")[0] for n in recipes.names()})
        print(f"usage: motet pretrain RECIPE --data ARCHIVE --out RUN [options]\n\nrecipes: {', '.join(names)}")
        print(f"\nvariants: {', '.join(n for n in recipes.names() if '/' in n)}")
        print("\n`motet pretrain RECIPE --help` lists every option; `motet pretrain --resume RUN` goes on with a run")
        if not args or not {"-h", "--help"} & set(args):
            raise ConfigError("pretrain needs a RECIPE, --resume RUN or --from-run RUN")
        return 0
    recipe = _starting_recipe(args, again)

    @dataclass
    class Arguments:
        """Pretrain on the training clips of an archive."""

        data: Path
        """motion archive"""
        out: Path
        """run directory to create"""
        config: tyro.conf.OmitArgPrefixes[Recipe]
        seeds: tuple[int, ...] = ()
        """train once per seed, into OUT/seed-<n>; runs that are there already are kept or resumed"""
        from_run: Path | None = None
        """repeat the configuration of this run"""
        json: Path | None = None
        """write a summary as one JSON object"""
        quiet: bool = False

    default = Arguments(data=tyro.MISSING, out=tyro.MISSING, config=recipe)
    rest = args if again is not None else args[1:]
    parsed = _parse(Arguments, rest, f"motet pretrain {recipe.recipe.split('/')[0]}", default=default)
    chosen = _flatten(parsed.config)
    options = {n: chosen[n] for n in option_names(recipe) if {f"--{n.replace('_', '-')}", f"--no-{n.replace('_', '-')}"} & flags}
    base = recipe if again is not None or "/" in recipe.recipe and args[0] == recipe.recipe else args[0]
    from motet.train import pretrain as train
    from motet.train import train_seeds

    if parsed.seeds:
        runs = train_seeds(base, parsed.data, parsed.out, parsed.seeds, progress=not parsed.quiet, **options)
    else:
        runs = [train(base, parsed.data, parsed.out, progress=not parsed.quiet, **options)]
    return _report_runs(runs, parsed.json)


def _value(args: Sequence[str], flag: str) -> str | None:
    for position, arg in enumerate(args):
        if arg == flag and position + 1 < len(args):
            return args[position + 1]
        if arg.startswith(f"{flag}="):
            return arg.split("=", 1)[1]
    return None


def _starting_recipe(args: Sequence[str], again: str | None) -> Any:
    """Defaults shown and changed by the options: a stored run's, or the named recipe in the size that fits the data."""
    from motet import recipes

    if again is not None:
        from motet.runs import Run

        return Run.open(again).recipe
    data = _value(args, "--data")
    clips = None
    if data is not None and not {"-h", "--help"} & set(args):
        from motet.archive import MotionArchive
        from motet.splits import default_rule, split

        archive = MotionArchive.open(data)
        rule = _value(args, "--split") or recipes.get(args[0]).split or default_rule(archive)
        clips = len(split(archive, rule).train)
    return recipes.get(args[0], clips)


def _flatten(node: Any) -> dict[str, Any]:
    from dataclasses import fields, is_dataclass

    flat: dict[str, Any] = {}
    for entry in fields(node):
        value = getattr(node, entry.name)
        flat |= _flatten(value) if is_dataclass(value) else {entry.name: value}
    return flat


def _report_runs(runs: Sequence[Any], path: Path | None) -> int:
    summary = []
    for run in runs:
        last = run.metrics()[-1] if run.metrics() else {}
        knn = "  kNN " + ", ".join(f"{s} {100 * v:.1f} %" for s, v in last["knn"].items()) if last.get("knn") else ""
        loss = f", loss {last['loss']:.4f}" if last else ""
        print(f"{run.path}: {last.get('epoch', 0)} epochs{loss}{knn}")
        summary.append({"run": str(run.path), **last})
    _write_json(path, summary[0] if len(summary) == 1 else {"runs": summary})
    return 0


def evaluate(args: Sequence[str]) -> int:
    """motet evaluate RUN"""
    from dataclasses import make_dataclass

    import tyro

    from motet.evaluate import protocol, protocols, run
    from motet.evaluate.results import markdown

    names = protocols()
    own = [(n.replace("-", "_"), protocol(n).Options, field(default_factory=protocol(n).Options)) for n in names]
    options = make_dataclass("options", own)

    @dataclass
    class Arguments:
        """Judge what a run has learned, beside raw features and a random encoder."""

        runs: tyro.conf.Positional[tuple[Path, ...]]
        """run directories; several repetitions of one training give mean ± sd"""
        options: tyro.conf.OmitSubcommandPrefixes[options]  # type: ignore[valid-type]
        protocols: tuple[str, ...] = ("knn", "linear")
        data: Path | None = None
        """archive, if not the one that trained the run"""
        split: str | None = None
        """rule that says who trains and who tests, if not the run's"""
        seeds: int = 1
        """initialisations of random encoders and probes"""
        baselines: bool = True
        """also judge raw features and random encoders"""
        device: str = "auto"
        json: Path | None = None
        """write the result here; by default evaluation.json in the run directory"""
        markdown: Path | None = None
        quiet: bool = False

    kind = Annotated[Arguments, tyro.conf.arg(prefix_name=False)]
    given = _parse(kind, args, "motet evaluate", description=f"protocols: {', '.join(names)}")  # type: ignore[arg-type]
    if not given.runs:
        raise ConfigError("evaluate needs a run directory (see `motet evaluate --help`)")
    chosen = {n.replace("-", "_"): getattr(given.options, n.replace("-", "_")) for n in given.protocols if n in names}
    found = run(
        list(given.runs),
        given.protocols,
        data=given.data,
        split=given.split,
        seeds=given.seeds,
        baselines=given.baselines,
        device=given.device,
        json=given.json,
        markdown=given.markdown,
        progress=not given.quiet,
        **chosen,
    )
    print(markdown(found))
    return 0


def embed(args: Sequence[str]) -> int:
    """motet embed RUN ARCHIVE --out FILE.npz"""
    import tyro

    @dataclass
    class Arguments:
        """Features of every clip of an archive, as one .npz: features, names, labels and the place of each stream."""

        run: tyro.conf.Positional[Path]
        archive: tyro.conf.Positional[Path]
        out: Path
        device: str = "cpu"

    given = _parse(Arguments, args, "motet embed")
    from motet.embedding import embed as make

    shape = make(given.run, given.archive, given.out, device=given.device)
    print(f"{given.out}: {shape[0]} clips × {shape[1]} features")
    return 0


def report(args: Sequence[str]) -> int:
    """motet report RUN --out report.html"""
    import tyro

    @dataclass
    class Arguments:
        """Write one self-contained HTML page about a run."""

        run: tyro.conf.Positional[Path]
        out: Path
        data: Path | None = None
        """archive to show, if the one that trained the run has moved"""
        split: str | None = None
        seed: int = 0

    given = _parse(Arguments, args, "motet report")
    from motet import report as page

    print(page.write(given.run, given.out, data=given.data, split=given.split, seed=given.seed))
    return 0


def demo(args: Sequence[str]) -> int:
    """motet demo"""

    @dataclass
    class Arguments:
        """Pretrain, evaluate and report on simulated skeletons and on a real smart-watch set from PyPI."""

        out: Path = Path("demo")
        """folder for archives, runs and reports; what is there already is not done again"""
        quiet: bool = False

    given = _parse(Arguments, args, "motet demo")
    from motet.demo import demo as show

    show(given.out, progress=not given.quiet)
    return 0


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "data import": data_import,
    "data inspect": data_inspect,
    "data list": data_list,
    "data simulate": data_simulate,
    "pretrain": pretrain,
    "evaluate": evaluate,
    "embed": embed,
    "report": report,
    "demo": demo,
}


def _run(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if args[0] in ("--version", "version"):
        print(f"motet {__version__}")
        return 0
    for words in (2, 1):
        verb = " ".join(args[:words])
        if verb in VERBS:
            return VERBS[verb](args[words:])
    below = [v for v in VERBS if v.startswith(f"{args[0]} ")]
    if below and (len(args) == 1 or args[1] in ("-h", "--help")):
        print("\n".join(VERBS[v].__doc__ or v for v in below))
        return 0 if len(args) > 1 else 2
    raise ConfigError(f"there is no verb {' '.join(args[:2])!r}; `motet --help` lists them")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        name = "warning" if issubclass(category, MotetWarning) else f"warning ({category.__name__})"
        print(f"{name}: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", MotetWarning)
            warnings.showwarning = show
            return _run(list(sys.argv[1:] if argv is None else argv))
    except Interrupted as error:
        print(str(error), file=sys.stderr)
        return error.status
    except MotetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, (ConfigError, DataError)) else 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
