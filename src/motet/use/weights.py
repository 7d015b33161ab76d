"""Weights that travel: a folder with safetensors, configuration and model card; and those of the released checkpoints.

A folder of weights is a run directory without its history: ``config.json``, the files that its model is made of, and
``README.md``. It opens wherever a run does
(``motet.load``, ``motet evaluate FOLDER --data …``); uploaded as it is, by its hub id.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from motet._version import __version__
from motet.core.errors import ConfigError, RunError
from motet.core.files import write_json, written
from motet.core.text import counted, pasted
from motet.data import layouts
from motet.engine.options import Encoder
from motet.engine.run import Run, write_config
from motet.engine.tensors import save_tensors
from motet.methods import recipes
from motet.methods.learner import MODULE
from motet.methods.model import Model

# query encoders of the released checkpoints, and the streams that they read
RELEASED = {"encoder_q": "joint", "encoder_q_motion": "motion", "encoder_q_bone": "bone"}
_GRU = re.compile(r"(?:.*\.)?((?:weight|bias)_(?:ih|hh)_l\d+(?:_reverse)?)")
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


# -------------------------------------------------------------------------------------------------- a folder


def save_weights(run: Run | str | Path, folder: str | Path, *, licence: str = "unknown") -> Path:
    """Write the final weights of a run as a folder to share; paths of this machine stay out of it.

    Args:
        run: a finished run.
        folder: to create.
        licence: terms for the weights, for the model card.

    Raises:
        RunError: the run has not finished, or trained nothing that could be shared.
        ConfigError: the folder exists and holds something.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    if not run.finished:
        raise RunError(f"{run.path} has not finished; continue with `motet resume {pasted(run.path)}`")
    card = model_card(run, licence=licence, evaluated=_evaluated(run, Path(folder).resolve().name))
    out = _new_folder(folder)
    for pattern in run.handler.WEIGHTS:
        for path in sorted(run.path.glob(pattern)):
            _copy(path, out / path.relative_to(run.path))
    _write(out / "README.md", card)
    write_config(out, _without_places(run.config))  # last: its presence says that the rest is there
    return out


def _copy(path: Path, to: Path) -> None:
    """A file whole or not at all; of JSON without what was true of this machine only."""
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        write_json(to, _without_places({k: v for k, v in content.items() if k not in ("environment", "command_alone")}))
        return
    with written(to) as partial:
        shutil.copyfile(path, partial)


def _without_places(node: Any, key: str = "") -> Any:
    """The same without paths of this machine: those of data are empty, of others the last part stays."""
    if isinstance(node, Mapping):
        named = {k: _without_places(v, k) for k, v in node.items()}
        return {PurePath(k).name if _is_place(k) else k: v for k, v in named.items()}
    if isinstance(node, list | tuple):
        return [_without_places(v, key) for v in node]
    if isinstance(node, str) and (_is_place(node) or _is_place(node.partition("=")[2])):
        return "" if key in ("path", "tables", "source") else PurePath(node).name
    return node


def _is_place(text: str) -> bool:
    return len(text) > 1 and PurePath(text).is_absolute()


def _evaluated(run: Run, folder: str) -> str:
    """What the card says of the run's own evaluation, as one would repeat it with the folder; empty without one.

    Raises:
        RunError: the evaluation cannot be read.
    """
    from motet.evaluate.results import excerpt  # the protocols are not needed to load weights

    path = run.path / "evaluation.json"
    if not path.exists():
        return ""
    try:
        return excerpt(json.loads(path.read_text()), run=folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error!r}); remove it and evaluate again") from error


def model_card(run: Run, *, licence: str, evaluated: str = "") -> str:
    """What a stranger has to know about weights, as Markdown with the front matter that hubs read."""
    card = run.model().card(run)
    lines = [
        "---",
        "library_name: motet",
        f"license: {licence}",
        "tags: [skeleton, motion, self-supervised]",
        "---",
        "",
        f"# {card.title}",
        "",
        card.sentence,
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in card.rows),
        "",
        "```python",
        "import motet",
        "",
        'model = motet.load("this folder")',
        card.use,
        "```",
        "",
    ]
    return "\n".join(lines) + (f"\n## Evaluated by\n\n{evaluated}" if evaluated else "")


def _new_folder(folder: str | Path) -> Path:
    out = Path(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists already; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _write(path: Path, text: str) -> None:
    with written(path) as partial:
        partial.write_text(text)


# ------------------------------------------------------------------------------------- released checkpoints


def convert_checkpoint(
    path: str | Path,
    out: str | Path,
    *,
    layout: str = "kinect-v2",
    persons: int = 2,
    channels: Sequence[str] = ("x", "y", "z"),
    stream: str = "joint",
    recipe: str = "cmd/paper",
) -> Run:
    """Read a checkpoint of the released CMD or HaLP code into a folder of weights.

    The query encoders ``encoder_q``, ``encoder_q_motion`` and ``encoder_q_bone`` become the streams joint, motion and
    bone; heads, key encoders and queues are left. Names may begin with ``module.``. Nothing in the file is executed.

    Args:
        path: checkpoint: a dictionary of tensors, or one that holds it as ``state_dict``.
        out: folder to create.
        layout: layout of the skeletons.
        persons: persons of a clip.
        channels: coordinates of a joint.
        stream: what ``encoder_q`` reads where it is the only encoder (training on one view).
        recipe: recipe whose settings (frames, preprocessing …) the weights were trained with.

    Returns:
        The folder, opened.

    Raises:
        RunError: no such file, no checkpoint, one that cannot be read safely, or one without query encoders.
        ConfigError: an encoder that does not fit the layout, or a folder that exists.
    """
    state = _state_dict(Path(path))
    skeleton = layouts.get(layout)
    found = _query_encoders(state, Path(path))
    streams = {stream if len(found) == 1 and name == "encoder_q" else RELEASED[name]: w for name, w in found.items()}
    first = next(iter(streams.values()))
    hidden, layers = first["gru.weight_hh_l0"].shape[1], sum(1 for k in first if re.fullmatch(r"gru.weight_ih_l\d+", k))
    base = recipes.get(recipe)
    resolved = replace(
        base, streams=tuple(streams), encoder=Encoder(hidden=hidden, layers=layers), preprocess=base.preprocess
    )
    model = Model(resolved, skeleton, persons, len(channels))
    weights = {f"{s}/{name}": tensor for s, own in streams.items() for name, tensor in own.items()}
    _check_names(model.weights(), weights, Path(path), layout)
    folder = _new_folder(out)
    kept = {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}
    with written(folder / "model.safetensors") as partial:
        save_tensors(partial, kept)
    data = {
        "path": "",
        "hash": "",
        "clips": 0,
        "skeleton": skeleton.to_dict(),
        "persons": persons,
        "channels": list(channels),
        "units": "m",
        "simulated": False,
        "licence": "unknown",
    }
    write_config(
        folder,
        {
            "motet": __version__,
            "kind": "pretrain",
            "module": MODULE,
            "recipe": resolved.to_dict(),
            "data": data,
            "split": "",
            "converted": Path(path).name,
        },
    )
    run = Run.open(folder)
    _write(folder / "README.md", model_card(run, licence="unknown"))
    return run


# a zip archive, or (before torch 1.6) a pickle of protocol 2 or later
_BEGINNINGS = (b"PK\x03\x04", b"\x80")


def _check_kind(path: Path) -> None:
    """Say what a file is that cannot be a checkpoint.

    Raises:
        RunError: it does not exist, is a folder, is text or anything else that torch does not write.
    """
    if not path.exists():
        raise RunError(f"{path} does not exist; name the checkpoint file that was downloaded")
    if path.is_dir():
        raise RunError(f"{path} is a folder; name the checkpoint file in it")
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        raise RunError(f"{path} is empty; download the checkpoint again")
    if start.startswith(_BEGINNINGS):
        return
    what = "a text file" if b"\0" not in start else "neither a zip archive nor a pickle"
    raise RunError(f"{path} is {what}, not a checkpoint that torch.save wrote; name that, or download it again")


def _state_dict(path: Path) -> dict[str, Tensor]:
    _check_kind(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about old pickles: what it cannot read is an error here anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise RunError(
            f"{path} cannot be read as a checkpoint of tensors: it is damaged or holds other things; name another "
            "file, or download it again"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise RunError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    return {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}


def _query_encoders(state: Mapping[str, Tensor], path: Path) -> dict[str, dict[str, Tensor]]:
    """Encoder → our names → tensors; whatever the modules in between are called, the ends of the names decide."""
    found = {}
    for name in RELEASED:
        own = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
        if not own:
            continue
        weights = {f"gru.{m[1]}": v for k, v in own.items() if (m := _GRU.fullmatch(k))}
        norms = {k.rpartition(".")[0] for k in own if k.endswith("running_mean")}
        if not weights:
            raise RunError(f"{path}: {name} has no recurrent layers (weight_ih_l0 …); only the GRU encoder is read")
        if len(norms) != 1:
            raise RunError(f"{path}: {name} has {len(norms)} batch norms, the released encoder has one, on its input")
        norm = norms.pop()
        prefix = f"{norm}." if norm else ""
        for entry in _NORM:
            if prefix + entry in own:
                weights[f"norm.{entry}"] = own[prefix + entry]
        weights.setdefault("norm.num_batches_tracked", torch.tensor(0))
        found[name] = weights
    if not found:
        some = ", ".join(list(state)[:3]) or "nothing"
        raise RunError(f"{path} has no query encoder (encoder_q.…); it holds {some} …")
    return found


def _check_names(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], path: Path, layout: str) -> None:
    if missing := sorted(set(ours) - set(theirs)):
        raise ConfigError(f"{path} lacks {counted(len(missing), 'tensor')} of the encoder, the first is {missing[0]}")
    if extra := sorted(set(theirs) - set(ours)):
        raise ConfigError(
            f"{path} has {counted(len(extra), 'tensor')} that the encoder has not, the first is {extra[0]}"
        )
    for name, tensor in ours.items():
        if tensor.shape != theirs[name].shape:
            raise ConfigError(
                f"{path}: {name} is {tuple(theirs[name].shape)}, layout {layout} needs {tuple(tensor.shape)}; choose "
                "--layout and --persons as they were in training"
            )
