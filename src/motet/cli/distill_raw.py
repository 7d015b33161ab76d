"""Verbs that distil from recordings: index, extract, raw."""

# no postponed annotations here: the options of the method are a type that is known when the verb runs

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from motet.cli.parse import parse, value_of, write_result
from motet.cli.verbs import trains
from motet.core.errors import ConfigError
from motet.methods.distillation.raw.options import KINDS, Audio, Face, RawOptions, Speech, Text, Video


@dataclass
class Index:
    dataset: tyro.conf.Positional[str]
    """folders, ucf51, activitynet or iemocap"""
    source: tyro.conf.Positional[Path]
    """folder of the recordings"""
    out: Path
    """manifest (CSV) to write"""
    partial: bool = False
    """go on although something is missing"""
    json: Path | None = None
    """write what was found here too"""


def distill_index(args: Sequence[str]) -> int:
    """motet distill index DATASET SOURCE --out MANIFEST.csv"""
    given = parse(Index, args, "motet distill index", description="Find the recordings of a data set in its folder.")
    from motet.core.errors import DataError
    from motet.methods.distillation.raw import index

    if given.out.exists():
        raise DataError(f"{given.out} exists already; remove it or choose another name")
    found = index(given.dataset, given.source, partial=given.partial)
    found.manifest.write(given.out)
    manifest = found.manifest
    counts = {m: sum(i is not None for i in items) for m, items in manifest.modalities.items()}
    for line in (*found.notes, *(f"missing: {m}" for m in found.missing)):
        print(line)
    print(f"{given.out}: {len(manifest)} samples, {', '.join(f'{n} of {m}' for m, n in counts.items())}")
    facts = {"samples": len(manifest), "modalities": counts, "classes": list(manifest.class_names)}
    write_result(given.json, facts | {"missing": list(found.missing)})
    return 0


@dataclass
class Extract:
    source: tyro.conf.Positional[Path]
    """manifest (CSV), or a folder with one folder per class"""
    out: Path
    """table (.npz) to write"""
    modalities: tuple[str, ...] = ()
    """of the manifest; by default all"""
    video: Video = field(default_factory=Video)
    face: Face = field(default_factory=Face)
    audio: Audio = field(default_factory=Audio)
    speech: Speech = field(default_factory=Speech)
    text: Text = field(default_factory=Text)
    mark_absent: bool = False
    """recordings that cannot be read are marked in available_MODALITY instead of being an error"""
    seed: int = 0
    """of weights that are random"""
    device: str = "cpu"
    workers: int | None = None
    """threads that decode; by default one per processor; 0 reads between the steps"""
    quiet: bool = False


def distill_extract(args: Sequence[str]) -> int:
    """motet distill extract SOURCE --out TABLE.npz"""
    given = parse(
        Extract, args, "motet distill extract", description="Features of frozen networks as a table for motet distill."
    )
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
    print(_extracted(given.out))
    return 0


def _extracted(out: Path) -> str:
    """What a table of features holds, and what to do with it."""
    import numpy as np

    with np.load(out) as table:  # columns are read one at a time, when they are asked for
        names = [n for n in table.files if n.split("_")[0] in KINDS]
        rows, parts = len(table["id"]), []
        for name in names:
            seen = int(table[f"available_{name}"].sum()) if f"available_{name}" in table.files else rows
            lacks = f" ({rows - seen:,} rows lack it)" if seen < rows else ""
            parts.append(f"{name} {' × '.join(map(str, table[name].shape[1:]))}{lacks}")
    path, first = shlex.quote(str(out)), names[0]
    if len(names) > 1:
        use = f"motet distill {path} --target {first} --auxiliary {' '.join(names[1:])} --out RUN"
    else:
        use = f"motet distill {path} --target {first} --method alone --out RUN"
    return f"{out}: {rows:,} rows; features: {', '.join(parts)}; continue with `{use}`"


@trains("distill-raw")
def distill_raw(args: Sequence[str]) -> int:
    """motet distill raw SOURCE --target MODALITY --auxiliary MODALITY… --out RUN"""
    from motet.cli.distill import own_options, whose_option
    from motet.methods.distillation.settings import RECIPES, settings_for

    chosen = settings_for(value_of(args, "--method") or "amid", value_of(args, "--settings") or "table")
    parts = (chosen.method, chosen.networks, chosen.training, chosen.loop)

    @dataclass
    class Arguments:
        source: tyro.conf.Positional[Path]
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
        options: Annotated[
            tyro.conf.OmitArgPrefixes[type(parts[0])],  # type: ignore[valid-type]
            tyro.conf.arg(name=chosen.name),  # the heading in --help
        ] = parts[0]
        """of the method"""
        networks: tyro.conf.OmitArgPrefixes[type(parts[1])] = parts[1]  # type: ignore[valid-type]
        training: tyro.conf.OmitArgPrefixes[type(parts[2])] = parts[2]  # type: ignore[valid-type]
        loop: tyro.conf.OmitArgPrefixes[type(parts[3])] = parts[3]  # type: ignore[valid-type]
        """device, precision, checkpoints"""
        video: Video = field(default_factory=Video)
        face: Face = field(default_factory=Face)
        audio: Audio = field(default_factory=Audio)
        speech: Speech = field(default_factory=Speech)
        text: Text = field(default_factory=Text)
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
        json: Path | None = None
        """write the result here too"""
        quiet: bool = False

    description = (
        "Train a student that sees recordings, with the help of other modalities. `motet resume RUN` "
        f"continues a run that was stopped.\n\nSettings: {', '.join(RECIPES)}. {own_options()}"
    )
    given = parse(Arguments, args, "motet distill raw", elsewhere=whose_option(chosen.name), description=description)
    if given.out is None:
        raise ConfigError("nowhere to keep the result; name a run directory by --out")
    from motet.methods.distillation.raw import train

    options: dict[str, Any] = {}
    for part in (given.options, given.networks, given.training, given.loop):
        options |= {f.name: getattr(part, f.name) for f in fields(part)}
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
        **options,
    )
    return _show(found, given.out, given.json)


def _show(found: dict[str, Any], out: Path, path: Path | None) -> int:
    from motet.methods.distillation.narrative import report

    print(report(found, out))
    write_result(path, found)
    return 0
