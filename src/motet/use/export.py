"""Trained encoders as one ONNX file, checked against the original before it gets its name."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError, RunError
from motet.core.files import refuse_existing, written
from motet.core.progress import tracked, working
from motet.core.text import counted
from motet.engine.model import Model, Network, load
from motet.engine.run import Run

OPSET = 18
# rows and steps of the example that is traced, none of the compared sizes; torch walks a recurrence over every step
_TRACED = (2, 8)
TOLERANCE = 1e-4


def export(
    run: Run | str | Path | Model,
    out: str | Path,
    *,
    shapes: Sequence[tuple[int, int]] = (),
    tolerance: float = TOLERANCE,
    progress: bool = True,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the network of a run as ONNX and compare the file with the model.

    Of a pretraining: views and encoders of all streams; input ``clips`` (batch, frames, persons, joints, coordinates)
    float32, both batch and frames free: clips that are preprocessed as in training
    (:func:`motet.data.preprocess.preprocess`) and resized to the frames of the recipe, which the metadata of the file
    name. One output per stream, named as it is, (batch, features). Of a discovery: the clips in the common form and in
    the target's own → features and logits of the clusters of both branches. Of a distillation from tables or archives:
    the rows of each target → features and probabilities. Of graphs: one-hot nodes, edges and the graph of each node →
    features of the graphs.

    Args:
        run: a run, its directory, or a model.
        out: file to write, ``.onnx``.
        shapes: (clips, frames) that are compared; by default those of :attr:`motet.engine.model.Network.sizes`.
        tolerance: largest difference that passes, as a share of the largest feature.
        overwrite: replace a file that is there.
        progress: say on stderr what is under way.

    Returns:
        ``path``, ``inputs``, ``outputs``, and ``checks``: clips, frames and largest difference of each shape.

    Raises:
        ConfigError: the extra is not installed, the file is not called ``.onnx``, or it is there already.
        RunError: the exported graph does not compute what the model does (no file is left then), or the run has no
            network that a file could hold.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise ConfigError(f"{out}: an exported model is one file whose name ends in .onnx")
    refuse_existing(out, overwrite, ".onnx")
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise ConfigError(
            f"exporting needs {error.name}, which is not installed: pip install '.[export]' in the folder of motet"
        ) from error
    model: Model = run if isinstance(run, Model) else run.model() if isinstance(run, Run) else load(run)
    network = model.exportable()
    generator = torch.Generator().manual_seed(0)
    with written(out) as partial:
        example = network.example(*_TRACED, generator)
        with working("export: tracing the encoders", show=progress):
            _trace(network, example, partial)
            if _is_fixed(onnx.load(partial), network):
                _trace_apart(network, example, partial)
        graph = onnx.load(partial)
        if _is_fixed(graph, network):
            raise RunError(f"{out.name}: torch traces the encoders for one number of clips and frames alone")
        onnx.helper.set_model_props(graph, dict(network.facts))
        onnx.save(graph, partial)
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
        checks = []
        for rows, steps in tracked(shapes or network.sizes, "export: comparing with the model", show=progress):
            inputs = network.example(rows, steps, generator)
            with torch.inference_mode():
                expected = network.module(*inputs)
            found = session.run(None, {n: x.numpy() for n, x in zip(network.inputs, inputs, strict=True)})
            scale = max(float(e.abs().max()) for e in expected)
            worst = max(float((torch.from_numpy(f) - e).abs().max()) for f, e in zip(found, expected, strict=True))
            if not worst <= tolerance * max(scale, 1e-30):
                raise RunError(
                    f"the exported graph differs by {worst:.2g} for {counted(rows, 'clip')} of "
                    f"{counted(steps, 'frame')} (features up to {scale:.2g}); no file was written, try another "
                    f"version of onnxscript or onnxruntime"
                )
            checks.append({"clips": rows, "frames": steps, "largest_difference": worst, "largest_feature": scale})
    return {"path": str(out), "inputs": list(network.inputs), "outputs": list(network.outputs), "checks": checks}


def _trace(network: Network, example: tuple[Tensor, ...], path: Path) -> None:
    dims: dict[str, Any] = {}
    free = []
    for name in network.inputs:
        axes = network.free[name]
        free.append({a: dims.setdefault(n, _dim(n)) for a, n in axes.items()})
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about itself
            torch.onnx.export(
                network.module,
                example,
                path,
                input_names=list(network.inputs),
                output_names=list(network.outputs),
                dynamic_shapes=(tuple(free),) if _takes_any(network.module) else tuple(free),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        quiet.setLevel(level)


def _is_fixed(graph: Any, network: Network) -> bool:
    """Whether an axis that is free has the length of the example, for good.

    After another ``torch.export`` in the same process torch unrolls a recurrence over the frames of the example.
    """
    sizes = {i.name: i.type.tensor_type.shape.dim for i in graph.graph.input}
    return any(sizes[n][axis].HasField("dim_value") for n, axes in network.free.items() if n in sizes for axis in axes)


def _trace_apart(network: Network, example: tuple[Tensor, ...], path: Path) -> None:
    """:func:`_trace` in a process in which nothing was exported before.

    Raises:
        RunError: it fails there; says with what.
    """
    plain = replace(network, example=_no_example, facts={}, free={n: dict(a) for n, a in network.free.items()})
    with tempfile.TemporaryDirectory() as work:
        saved = Path(work) / "network.pt"
        torch.save((plain, example), saved)
        code = "import sys; sys.path[:] = sys.argv[3:]\nfrom motet.use.export import _main\n_main(*sys.argv[1:3])"
        command = [sys.executable, "-c", code, str(saved), str(path), *sys.path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it was ended"])[-1]
        raise RunError(f"{path.name}: torch cannot trace the encoders in a process of their own ({said:.200})")


def _no_example(rows: int, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    raise NotImplementedError  # the process apart is given one


def _main(saved: str, path: str) -> None:
    """Trace what :func:`_trace_apart` saved."""
    network, example = torch.load(saved, weights_only=False)  # our own process wrote it
    _trace(network, example, Path(path))


def _dim(name: str) -> Any:
    return torch.export.Dim(name, min=4) if name == "frames" else torch.export.Dim(name)


def _takes_any(module: nn.Module) -> bool:
    """Whether a module takes any number of tensors; their axes are one argument's then."""
    return any(p.kind is p.VAR_POSITIONAL for p in signature(module.forward).parameters.values())
