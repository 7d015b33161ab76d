"""Verbs that distil from recordings: index, extract, raw."""

# no postponed annotations here: the options of the method are a type that is known when the verb runs

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from motet.cli.entries import Arg, Positional, Prefixed
from motet.cli.parse import parse, value_of
from motet.cli.result import Output
from motet.cli.verbs import trains, values_of
from motet.core.text import counted, pasted
from motet.methods.distillation.raw.options import KINDS, Audio, Face, RawOptions, Speech, Text, Video


@dataclass
class Index(Output):
    """Find the recordings of a data set in its folder.

    Examples:
    motet distill index folders recordings --out manifest.csv
    """

    dataset: Positional[str]
    """folders, ucf51, activitynet or iemocap"""
    source: Positional[Path]
    """folder of the recordings"""
    out: Path
    """manifest (CSV) to write"""
    partial: bool = False
    """continue although recordings are missing"""


def distill_index(args: Sequence[str]) -> int:
    """motet distill index DATASET SOURCE --out MANIFEST.csv"""
    given = parse(Index, args, "motet distill index")
    from motet.core.errors import DataError
    from motet.methods.distillation.raw import index

    if given.out.exists():
        raise DataError(f"{given.out} exists already; remove it or choose another name")
    found = index(given.dataset, given.source, partial=given.partial)
    found.manifest.write(given.out)
    manifest = found.manifest
    counts = {m: sum(i is not None for i in items) for m, items in manifest.modalities.items()}
    lines = [*found.notes, *(f"missing: {m}" for m in found.missing)]
    lines.append(
        f"{given.out}: {counted(len(manifest), 'sample')}, {', '.join(f'{n} of {m}' for m, n in counts.items())}"
    )
    facts = {"samples": len(manifest), "modalities": counts, "classes": list(manifest.class_names)}
    return given.done("\n".join(lines), facts | {"missing": list(found.missing)})


@dataclass
class Extract(Output):
    """Features of frozen networks as a table for motet distill.

    Examples:
    motet distill extract manifest.csv --out table.npz --video.weights r2plus1d.pt
    """

    source: Positional[Path]
    """manifest (CSV), or a folder with one folder per class"""
    out: Path
    """table (.npz) to write"""
    modalities: tuple[str, ...] = ()
    """of the manifest; by default all"""
    video: Prefixed[Video] = field(default_factory=Video)
    face: Prefixed[Face] = field(default_factory=Face)
    audio: Prefixed[Audio] = field(default_factory=Audio)
    speech: Prefixed[Speech] = field(default_factory=Speech)
    text: Prefixed[Text] = field(default_factory=Text)
    mark_absent: bool = False
    """recordings that cannot be read are marked in available_MODALITY instead of being an error"""
    seed: int = 0
    """of weights that are random"""
    device: str = "cpu"
    workers: int | None = None
    """threads that decode; by default one per processor; 0 reads between the steps"""


def distill_extract(args: Sequence[str]) -> int:
    """motet distill extract SOURCE --out TABLE.npz"""
    given = parse(Extract, args, "motet distill extract")
    from motet.methods.distillation.raw import extract

    options = RawOptions(given.video, given.audio, given.speech, given.text, given.face)
    extract(
        given.source,
        given.out,
        given.modalities,
        options,
        mark_absent=given.mark_absent,
        seed=given.seed,
        device=given.device,
        workers=given.workers,
        progress=not given.quiet,
    )
    return given.done(_extracted(given.out), {"table": str(given.out)})


def _extracted(out: Path) -> str:
    """What a table of features holds, and what to do with it."""
    import numpy as np

    with np.load(out) as table:  # columns are read one at a time, when they are asked for
        names = [n for n in table.files if n.split("_")[0] in KINDS]
        rows, parts = len(table["id"]), []
        for name in names:
            seen = int(table[f"available_{name}"].sum()) if f"available_{name}" in table.files else rows
            lacks = f" (absent in {counted(rows - seen, 'row')})" if seen < rows else ""
            parts.append(f"{name} {' × '.join(map(str, table[name].shape[1:]))}{lacks}")
    others = f"--auxiliary {' '.join(names[1:])}" if len(names) > 1 else "--method alone"
    use = f"motet distill {pasted(out)} --target {names[0]} {others} --out RUN"
    return f"{out}: {counted(rows, 'row')}; features: {', '.join(parts)}; continue with `{use}`"


@trains("distill-raw")
def distill_raw(args: Sequence[str]) -> int:
    """motet distill raw SOURCE --target MODALITY --auxiliary MODALITY… --out RUN"""
    from motet.cli.distill import own_options, whose_option
    from motet.methods.distillation.settings import RECIPES, settings_for

    chosen = settings_for(value_of(args, "--method") or "amid", value_of(args, "--settings") or "table")
    description = (
        "Train a student that sees recordings, with the help of other modalities. `motet resume RUN` "
        f"continues a run that was stopped.\n\nSettings: {', '.join(RECIPES)}. {own_options(args)}\n\nExamples:\n"
        "motet distill raw manifest.csv --target audio --auxiliary video --out runs/student"
    )
    given = parse(
        _arguments(chosen), args, "motet distill raw", elsewhere=whose_option(chosen.name), description=description
    )
    from motet.methods.distillation.raw import train

    found = train(
        given.source,
        given.target,
        given.auxiliary,
        given.out,
        method=given.method,
        settings=given.settings,
        networks=RawOptions(given.video, given.audio, given.speech, given.text, given.face),
        train_auxiliary=given.train_auxiliary,
        seeds=given.seeds,
        split=given.split,
        folds=given.folds,
        validate=given.validate,
        mark_absent=given.mark_absent,
        workers=given.workers,
        progress=not given.quiet,
        **values_of(given.options, given.networks, given.training, given.loop),
    )
    from motet.methods.distillation.narrative import report

    done: int = given.done(report(found, given.out), found)
    return done


def _arguments(chosen: Any) -> Any:
    """The options, with the values of a method's settings."""
    parts = (chosen.method, chosen.networks, chosen.training, chosen.loop)

    @dataclass
    class Arguments(Output):
        source: Positional[Path]
        """manifest (CSV), or a folder with one folder per class"""
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
        training: type(parts[2]) = parts[2]  # type: ignore[valid-type]
        loop: type(parts[3]) = parts[3]  # type: ignore[valid-type]
        """device, precision, checkpoints"""
        video: Prefixed[Video] = field(default_factory=Video)
        face: Prefixed[Face] = field(default_factory=Face)
        audio: Prefixed[Audio] = field(default_factory=Audio)
        speech: Prefixed[Speech] = field(default_factory=Speech)
        text: Prefixed[Text] = field(default_factory=Text)
        train_auxiliary: bool = False
        """the auxiliary networks learn, too; by default they are frozen and need weights"""
        seeds: tuple[int, ...] = (0,)
        split: str | None = None
        """who tests: fold, split, group, leave-one-group-out, random or all; by default what the manifest has"""
        folds: int = 5
        """how many, where the rule leaves it open"""
        validate: bool = False
        """test on held-out training samples, to choose settings"""
        mark_absent: bool = False
        """recordings of frozen modalities that cannot be read are absent instead of an error"""
        workers: int | None = None
        """threads that decode; by default one per processor; 0 reads between the steps"""

    return Arguments
