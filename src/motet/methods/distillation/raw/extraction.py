"""Features of frozen networks, once for all: raw recordings → a table (.npz) for ``motet distill``.

Samples are worked off in blocks. Every finished block is a file of its own in ``TABLE.npz.parts``, so that an
interrupted extraction continues where it stopped, with or without ``mark_absent``; at the end the blocks are streamed
into the table, which appears whole or not at all. Neither step holds more than a block in memory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core import devices
from motet.core.chance import Chance
from motet.core.errors import ConfigError, DataError, MotetWarning, RunError
from motet.core.files import write_json, written
from motet.core.progress import tracked
from motet.core.text import counted
from motet.methods.distillation.raw.checkpoints import digest
from motet.methods.distillation.raw.datasets import open_source
from motet.methods.distillation.raw.manifest import Item, Manifest
from motet.methods.distillation.raw.networks import RawNetwork, build, sequence_of, weights_of
from motet.methods.distillation.raw.options import RawOptions, kind_of
from motet.methods.distillation.raw.threads import decoders, number_of

_BLOCK = 32  # samples
_SHOWN = 5  # names of bad files in a message


def extract(
    source: str | Path | Manifest,
    out: str | Path,
    modalities: Sequence[str] = (),
    options: RawOptions | None = None,
    *,
    mark_absent: bool = False,
    seed: int = 0,
    device: str = "cpu",
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the table of features that frozen networks give.

    Args:
        source: manifest (CSV), or a folder with one folder per class.
        out: ``.npz`` file to write.
        modalities: of the manifest; by default all.
        options: of the networks; every one needs weights.
        mark_absent: a recording that cannot be read is marked in ``available_<modality>`` instead of being an error.
        seed: of weights that are random.
        device: of the networks.
        workers: threads that decode; by default one per processor, with 0 the calling thread does.
        progress: show progress.

    Returns:
        ``out``. Called again after an interruption, it continues.

    Raises:
        DataError: a recording cannot be read; the message names it. Blocks that were finished are kept.
        ConfigError: no such modality or option, or no weights.
        RunError: ``out`` exists, or its finished blocks are of other settings.
    """
    out, options = Path(out), options or RawOptions()
    if out.suffix != ".npz":
        raise ConfigError(f"the table {out} must end in .npz")
    if out.exists():
        raise RunError(f"{out} exists already; remove it or choose another name")
    manifest = source if isinstance(source, Manifest) else open_source(source)
    names = tuple(modalities) or tuple(manifest.modalities)
    items = {name: manifest.items(name) for name in names}
    networks = built(names, options, devices.usable(device), seed)
    parts = _begin(out, manifest, names, options, seed)
    if not mark_absent:
        _refuse_errors(parts, names)
    workers = number_of(workers)
    with decoders(workers) as pool:
        try:
            _work(parts, items, Readers(networks, pool, workers), mark_absent, progress)
        finally:
            pool.shutdown(cancel_futures=True)
    _report(parts, names)
    _assemble(out, parts, manifest, networks)
    shutil.rmtree(parts)
    return out


def built(names: Sequence[str], options: RawOptions, device: str, seed: int) -> dict[str, RawNetwork]:
    """Frozen networks; modalities of one kind share theirs."""
    shared: dict[str, RawNetwork] = {}
    with Chance():
        for kind in dict.fromkeys(kind_of(name) for name in names):
            torch.manual_seed(seed)
            shared[kind] = build(kind, options, frozen=True).eval().requires_grad_(False).to(device)
    return {name: shared[kind_of(name)] for name in names}


def _begin(out: Path, manifest: Manifest, names: Sequence[str], options: RawOptions, seed: int) -> Path:
    """Folder of the blocks; one of an interrupted extraction must be of the same settings."""
    kinds = dict.fromkeys(kind_of(name) for name in names)
    facts = {
        "samples": manifest.digest(names),
        "options": {kind: options.to_dict()[kind] for kind in kinds},
        "weights": {kind: digest(weights_of(options.of(kind))) for kind in kinds},
        "seed": seed,
        "block": _BLOCK,
    }
    wanted = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    parts = out.with_name(f"{out.name}.parts")
    note = parts / "begun.json"
    if note.exists():
        if json.loads(note.read_text()).get("digest") != wanted:
            raise RunError(
                f"{parts} holds blocks of other samples, options or weights; remove it to start again, or repeat the "
                "command as it was"
            )
    elif parts.exists() and any(parts.iterdir()):
        raise RunError(f"{parts} is not of an extraction; it is in the way")
    else:
        write_json(note, {"digest": wanted, **facts})
    return parts


def _blocks(count: int) -> list[range]:
    return [range(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]


def _path(parts: Path, number: int) -> Path:
    return parts / f"block-{number:06d}.npz"


class Readers:
    """Frozen networks, and threads that read what they will see next.

    Args:
        networks: by modality.
        pool: of the threads.
        workers: their number.
    """

    def __init__(self, networks: Mapping[str, RawNetwork], pool: Executor, workers: int) -> None:
        self.networks, self.pool, self.ahead = networks, pool, workers + 1

    def features(
        self, name: str, items: Sequence[Item | None], mark_absent: bool
    ) -> list[npt.NDArray[np.float32] | str | None]:
        """Of every item the features, or what is wrong with it, or None where there is none."""
        network, coming = self.networks[name], iter(items)
        waiting: deque[tuple[Item | None, Future[list[Tensor]] | None]] = deque()

        def start(count: int) -> None:
            for item in islice(coming, count):
                waiting.append((item, None if item is None else self.pool.submit(network.load, item)))

        start(self.ahead)
        found: list[npt.NDArray[np.float32] | str | None] = []
        while waiting:
            item, future = waiting.popleft()
            found.append(None if item is None or future is None else _one(network, item, future, mark_absent))
            start(1)
        return found


def _work(
    parts: Path,
    items: Mapping[str, Sequence[Item | None]],
    readers: Readers,
    mark_absent: bool,
    progress: bool,
) -> None:
    blocks = _blocks(len(next(iter(items.values()))))
    missing = [(_path(parts, n), rows) for n, rows in enumerate(blocks) if not _path(parts, n).exists()]
    for path, rows in tracked(missing, "distill extract: blocks of recordings", show=progress):
        block: dict[str, Any] = {}
        for name, network in readers.networks.items():
            found = readers.features(name, [items[name][row] for row in rows], mark_absent)
            sizes = [len(f) if isinstance(f, np.ndarray) else 0 for f in found]
            whole = [f for f in found if isinstance(f, np.ndarray)]
            empty = np.zeros((0, network.feature_size), dtype=np.float32)
            block[f"{name}/values"] = np.concatenate([empty, *whole])
            block[f"{name}/lengths"] = np.array(sizes, dtype=np.int64)
            block[f"{name}/errors"] = np.array([f if isinstance(f, str) else "" for f in found])
        with written(path) as partial, partial.open("wb") as file:
            np.savez(file, **block)


def _one(
    network: RawNetwork, item: Item, future: Future[list[Tensor]], mark_absent: bool
) -> npt.NDArray[np.float32] | str:
    """Features, or what is wrong."""
    try:
        return sequence_of(network, item, future.result())
    except DataError as error:
        if not mark_absent:
            raise DataError(f"{error}; repair it, or mark such recordings as absent by --mark-absent") from error
        return str(error)


def _each(parts: Path, name: str, what: str) -> Iterator[npt.NDArray[Any]]:
    for path in sorted(parts.glob("block-*.npz")):
        try:
            with np.load(path, allow_pickle=False) as block:
                yield block[f"{name}/{what}"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{path} is damaged ({error}); remove it and repeat the command") from error


def _errors(parts: Path, name: str) -> list[str]:
    """What was wrong with recordings of a modality in the finished blocks."""
    return [str(e) for errors in _each(parts, name, "errors") for e in errors if e]


def _refuse_errors(parts: Path, names: Sequence[str]) -> None:
    """Blocks that were finished with ``mark_absent`` continue with it only, if they needed it."""
    for name in names:
        if wrong := _errors(parts, name):
            raise DataError(f"{wrong[0]}; repair it and remove {parts}, or mark such recordings by --mark-absent")


def _report(parts: Path, names: Sequence[str]) -> None:
    for name in names:
        if wrong := _errors(parts, name):
            some = "; ".join(wrong[:_SHOWN])
            more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            said = f"marked as absent: {counted(len(wrong), 'recording')} of modality {name}: {some}{more}"
            warnings.warn(said, MotetWarning, stacklevel=3)


def _assemble(out: Path, parts: Path, manifest: Manifest, networks: Mapping[str, RawNetwork]) -> None:
    columns: dict[str, npt.NDArray[Any]] = {"id": np.array(manifest.ids), "label": np.array(manifest.labels)}
    for name in ("split", "fold", "group"):
        if getattr(manifest, name) is not None:
            columns[name] = np.array(getattr(manifest, name))
    lengths = {name: np.concatenate(list(_each(parts, name, "lengths"))) for name in networks}
    for name, network in networks.items():
        if not (lengths[name] > 0).all():
            columns[f"available_{name}"] = lengths[name] > 0
        if not (lengths[name] > 0).any():
            raise DataError(f"{manifest.name}: no recording of modality {name} could be read")
        if network.sequence:
            columns[f"length_{name}"] = lengths[name]
    with written(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, column in columns.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, column, allow_pickle=False)
        for name, network in networks.items():
            longest = int(lengths[name].max()) if network.sequence else None
            _stream(archive, name, parts, lengths[name], network.feature_size, longest)


def _stream(
    archive: zipfile.ZipFile,
    name: str,
    parts: Path,
    lengths: npt.NDArray[np.int64],
    size: int,
    longest: int | None,
) -> None:
    """(N, F), or (N, longest, F) with zeros behind the valid frames, block by block."""
    shape = (len(lengths), size) if longest is None else (len(lengths), longest, size)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    start = 0
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for values in _each(parts, name, "values"):
            own, place = lengths[start : start + _BLOCK], 0
            rows = np.zeros((len(own), longest or 1, size), dtype="<f4")
            for row, length in enumerate(own.tolist()):
                rows[row, :length] = values[place : place + length]
                place += length
            file.write(rows.tobytes())
            start += len(own)
