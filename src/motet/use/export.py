"""Trained encoders as one ONNX file, checked against the original before it gets its name."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from motet._version import __version__
from motet.core.errors import ConfigError, RunError
from motet.core.files import refuse_existing, written
from motet.core.progress import tracked, working
from motet.engine.run import Run

if TYPE_CHECKING:
    from motet.methods.model import Model

OPSET = 18
_TRACED = (2, 16)  # clips and frames of the example that is traced; none of the checked shapes
SHAPES = ((1, 4), (3, 7), (5, 64), (2, 33), (7, 100))
TOLERANCE = 1e-4


class StreamEncoders(nn.Module):
    """Views and encoders of a model as one module: (B, T, P, V, C) clips → one (B, F) tensor per stream."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(model.encoders)
        self.views = model.views

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        return tuple(encoder(view(clips)) for encoder, view in zip(self.encoders, self.views, strict=True))


def export(
    run: Run | str | Path | Model,
    out: str | Path,
    *,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    tolerance: float = TOLERANCE,
    progress: bool = True,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write views and encoders of all streams as ONNX and compare the file with the model.

    Input ``clips`` (batch, frames, persons, joints, coordinates) float32, both batch and frames free: clips that are
    preprocessed as in training (:func:`motet.data.preprocess.preprocess`) and resized to the frames of the recipe,
    which
    the metadata of the file name. One output per stream, named as it is, (batch, features).

    Args:
        run: a run, its directory, or a model.
        out: file to write, ``.onnx``.
        shapes: (clips, frames) that are compared; the graph is made from another shape.
        tolerance: largest difference that passes, as a share of the largest feature.
        overwrite: replace a file that is there.
        progress: say on stderr what is under way.

    Returns:
        ``path``, ``inputs``, ``outputs``, and ``checks``: clips, frames and largest difference of each shape.

    Raises:
        ConfigError: the extra is not installed, the file is not called ``.onnx``, or it is there already.
        RunError: the exported graph does not compute what the model does; no file is left then.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise ConfigError(f"{out}: an exported model is one file whose name ends in .onnx")
    refuse_existing(out, overwrite)
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise ConfigError(
            f"exporting needs {error.name}, which is not installed: pip install '.[export]' in the folder of motet"
        ) from error
    model = _model(run)
    encoders = StreamEncoders(model).eval().cpu()
    names = [s.replace("[", "_").replace("]", "").replace("+", "_") for s in model.streams]
    out.parent.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    layout = (model.persons, len(model.skeleton), model.channels)
    with written(out) as partial:
        example = torch.randn(*_TRACED, *layout, generator=generator)
        with working("export: tracing the encoders", show=progress):
            _trace(encoders, example, partial, names)
        graph = onnx.load(partial)
        onnx.helper.set_model_props(graph, _facts(model))
        onnx.save(graph, partial)
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
        checks = []
        for clips, frames in tracked(shapes, "export: comparing with the model", show=progress):
            x = torch.randn(clips, frames, *layout, generator=generator)
            with torch.inference_mode():
                expected = encoders(x)
            found = session.run(None, {"clips": x.numpy()})
            scale = max(float(e.abs().max()) for e in expected)
            worst = max(float((torch.from_numpy(f) - e).abs().max()) for f, e in zip(found, expected, strict=True))
            if not worst <= tolerance * max(scale, 1e-30):
                raise RunError(
                    f"the exported graph differs by {worst:.2g} for {clips} clips of {frames} frames (features up to "
                    f"{scale:.2g}); no file was written, try another version of onnxscript or onnxruntime"
                )
            checks.append({"clips": clips, "frames": frames, "largest_difference": worst, "largest_feature": scale})
    return {"path": str(out), "inputs": ["clips"], "outputs": names, "checks": checks}


def _model(run: Run | str | Path | Model) -> Model:
    from motet.engine.model import load
    from motet.methods.model import Model

    if isinstance(run, Model):
        return run
    found: Model = run.model() if isinstance(run, Run) else load(run, kinds=("pretrain",))
    return found


def _trace(encoders: nn.Module, example: Tensor, path: Path, names: list[str]) -> None:
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("frames", min=4)}
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about itself
            torch.onnx.export(
                encoders,
                (example,),
                path,
                input_names=["clips"],
                output_names=names,
                dynamic_shapes=(free,),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        quiet.setLevel(level)


def _facts(model: Model) -> dict[str, str]:
    """What a reader of the file has to know to feed it."""
    recipe = model.recipe
    return {
        "motet": __version__,
        "recipe": recipe.recipe,
        "streams": json.dumps(list(model.streams)),
        "frames": str(model.clip_frames),
        "preprocess": recipe.preprocess,
        "persons": str(model.persons),
        "channels": str(model.channels),
        "skeleton": json.dumps(model.skeleton.to_dict()),
    }
