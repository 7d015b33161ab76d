"""Verbs that show what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from motet.cli.entries import Arg, Positional
from motet.cli.parse import parse
from motet.cli.result import Output, Replacing
from motet.core.text import counted, pasted


@dataclass
class Embed(Replacing):
    """Features of every clip of an archive, as one .npz (features, names, labels, streams) or .parquet.

    Examples:
    motet embed runs/cmd archive --out features.npz
    motet embed body archive --out features.npz
    """

    run: Positional[Path]
    """run, folder of weights, body, hand, picture, hand-picture or wrist (which come with motet), or rocket (random
    convolutions)"""
    archive: Positional[Path]
    """for a student of `motet distill` a table (.npz) as well, of `motet distill raw` a manifest or folder"""
    out: Path
    device: str = "cpu"
    shard: Annotated[str | None, Arg(metavar="I/N")] = None
    """encode the I-th of N parts of the clips; `motet data merge` joins the files"""
    untrained: bool = False
    """of the same encoders without their training: the row "random encoder" of `motet evaluate`"""
    centre_by: str | None = None
    """column of the clips (subject): features less the mean of each of its values, as `motet evaluate` takes it"""


def embed(args: Sequence[str]) -> int:
    """motet embed RUN ARCHIVE --out FILE.npz|FILE.parquet"""
    given = parse(Embed, args, "motet embed")
    from motet.use.embed import embed as make

    names = ("device", "shard", "overwrite", "untrained", "centre_by")
    options: dict[str, Any] = {name: getattr(given, name) for name in names}
    shape = make(given.run, given.archive, given.out, progress=not given.quiet, **options)
    what = "clip" if (given.archive / "archive.json").exists() else "row"
    return given.done(
        f"{given.out}: {counted(shape[0], what)} × {counted(shape[1], 'feature')}",
        {"out": str(given.out), "rows": shape[0], "features": shape[1]},
    )


@dataclass
class Export(Replacing):
    """Write views and encoders as one ONNX file, compared with the original at five shapes first.

    Examples:
    motet export runs/cmd --out model.onnx
    """

    run: Positional[Path]
    out: Path
    """file to write, .onnx"""


def export(args: Sequence[str]) -> int:
    """motet export RUN --out model.onnx"""
    given = parse(Export, args, "motet export")
    from motet.use.export import export as make

    found = make(given.run, given.out, overwrite=given.overwrite, progress=not given.quiet)
    worst = max(check["largest_difference"] for check in found["checks"])
    return given.done(
        f"{given.out}: clips → {', '.join(found['outputs'])}; {counted(len(found['checks']), 'shape')} agree with "
        f"the model, largest difference {worst:.1e}",
        found,
    )


@dataclass
class PackWeights(Output):
    """Final weights of a run as a folder to share: safetensors, configuration, model card.

    Examples:
    motet weights pack runs/cmd --out weights --licence CC-BY-4.0
    """

    run: Positional[Path]
    out: Path
    """folder to create"""
    licence: str = "unknown"
    """terms for the weights, for the model card"""


def weights_pack(args: Sequence[str]) -> int:
    """motet weights pack RUN --out FOLDER"""
    given = parse(PackWeights, args, "motet weights pack")
    from motet.use.weights import save_weights

    made = save_weights(given.run, given.out, licence=given.licence)
    return given.done(str(made), {"weights": str(made)})


@dataclass
class TrainWeights(Output):
    """Make the weights that come with motet again: simulate actors, train on them, pack the result.

    Examples:
    motet weights train body --out body
    motet weights train hand --out hand
    motet weights train wrist --out wrist
    """

    name: Positional[str]
    """body, hand, picture, hand-picture or wrist"""
    out: Path
    """folder for recordings, run and weights; what is there already is kept, other weights in it are refused"""
    clips: int = 6000
    """how many clips to simulate"""
    actors: int = 60
    """how many people perform them"""
    seed: int | None = None
    """of the training, by default that of the shipped weights"""
    steps: int | None = None
    """length of the training, by default the recipe's"""


def weights_train(args: Sequence[str]) -> int:
    """motet weights train NAME --out FOLDER"""
    given = parse(TrainWeights, args, "motet weights train")
    from motet.use.train_weights import train_weights

    made: dict[str, Any] = {"clips": given.clips, "actors": given.actors, "seed": given.seed, "steps": given.steps}
    found = train_weights(given.name, given.out, progress=not given.quiet, **made)
    said = f"weights: {found}\nnext: motet embed {pasted(found)} ARCHIVE --out features.npz"
    return given.done(said, {"weights": str(found)})


@dataclass
class ConvertWeights(Output):
    """Read a checkpoint of the released CMD or HaLP code into a folder of weights; nothing in it is executed.

    Examples:
    motet weights convert checkpoint.pt --out weights
    """

    checkpoint: Positional[Path]
    out: Path
    """folder to create"""
    layout: str = "kinect-v2"
    """layout of the skeletons it was trained on"""
    persons: int = 2
    stream: str = "joint"
    """what encoder_q reads, if it is the only encoder"""
    recipe: str = "cmd/paper"
    """recipe whose settings (frames, preprocessing …) it was trained with"""


def weights_convert(args: Sequence[str]) -> int:
    """motet weights convert CHECKPOINT --out FOLDER"""
    given = parse(ConvertWeights, args, "motet weights convert")
    from motet.use.weights import convert_checkpoint

    run = convert_checkpoint(
        given.checkpoint,
        given.out,
        layout=given.layout,
        persons=given.persons,
        stream=given.stream,
        recipe=given.recipe,
    )
    encoder = run.recipe.encoder
    return given.done(
        f"{run.path}: streams {', '.join(run.recipe.streams)}, {counted(encoder.layers, 'layer')} of {encoder.hidden}",
        {"weights": str(run.path), "streams": list(run.recipe.streams)},
    )


@dataclass
class Report(Output):
    """Write one self-contained HTML page about a run, or about recordings along time.

    Examples:
    motet report runs/cmd --out report.html
    motet report model --data recordings --out report.html
    """

    run: Positional[Path]
    """run; a model of `motet fit` with --data; or an archive, whose label tracks or labels of clips it shows along
    time"""
    out: Path
    """page to write; an earlier page of motet takes no --overwrite to be replaced, any other file is kept"""
    data: Path | None = None
    """archive to show, if the one that trained the run has moved"""
    split: str | None = None
    """rule that says who trains and who tests, if not the run's"""
    seed: int = 0
    """of the map, the clusters and the choice of clips"""
    baseline: Path | None = None
    """for a distillation: the run of another method to compare with"""


def report(args: Sequence[str]) -> int:
    """motet report RUN --out report.html"""
    given = parse(Report, args, "motet report")
    from motet import report as page

    made = page.write(
        given.run, given.out, data=given.data, split=given.split, seed=given.seed, baseline=given.baseline
    )
    return given.done(str(made), {"report": str(made)})


@dataclass
class Demo(Output):
    """Shipped features on simulated skeletons, a training on a real smart-watch set from PyPI, next to their baselines.

    Examples:
    motet demo --out demo
    """

    out: Path = Path("demo")
    """folder for archives, runs and reports; what is there already is kept"""


def demo(args: Sequence[str]) -> int:
    """motet demo"""
    given = parse(Demo, args, "motet demo")
    from motet.cli.demo import demo as show

    pages = show(given.out, progress=not given.quiet, quiet=given.quiet)
    return given.done("", {"reports": list(map(str, pages))})
