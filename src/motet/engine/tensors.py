"""Files of weights: safetensors with a digest of names, shapes, kinds, bytes and facts, so that no change is silent."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from motet.core.errors import ConfigError
from motet.core.text import counted

_ENTRY, _EARLIER = "motet", "sha256"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """Write tensors and facts; the caller sees to it that the file appears whole."""
    kept = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    kept_facts = dict(facts or {})
    # one entry alone: safetensors writes several in an order of chance, and equal weights must be equal files
    save_file(kept, path, {_ENTRY: json.dumps({"digest": _digest(kept, kept_facts), "facts": kept_facts})})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and facts of a file.

    Raises:
        SafetensorError, OSError: not such a file.
        RuntimeError: its content is not what was written. Files of earlier versions may have no digest.
    """
    with safe_open(path, "pt") as file:
        facts = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    stated, earlier = None, facts.pop(_EARLIER, None)
    if _ENTRY in facts:
        try:
            entry = json.loads(facts[_ENTRY])
            stated, facts = str(entry["digest"]), {str(k): str(v) for k, v in entry["facts"].items()}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RuntimeError("what it says of itself cannot be read") from error
    right = _digest(tensors, facts) == stated if stated is not None else earlier in (None, digest_of_bytes(tensors))
    if not right:
        raise RuntimeError("its bytes are not those that were written")
    return tensors, facts


def check_size(make: Callable[[], Any], held: Mapping[str, Tensor]) -> None:
    """Refuse a configuration that asks for far more numbers than the weights that belong to it: it could fill memory.

    Args:
        make: builds what the weights belong to, something with a ``state_dict``; here without memory for its numbers.
        held: the weights.

    Raises:
        RuntimeError: says how many numbers the configuration asks for.
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without numbers
        sizes = [x.numel() for x in make().state_dict().values()]
    asked, there = sum(sizes), sum(x.numel() for x in held.values())
    if 0 in sizes and all(x.numel() for x in held.values()):
        raise RuntimeError("the configuration asks for a layer without numbers, the file has none")
    if asked > 8 * there + 2**20:
        raise RuntimeError(f"the configuration asks for {counted(asked, 'number')}, the file holds {there:,}")


@contextmanager
def room(most: int | None = None, where: str = "") -> Iterator[None]:
    """Refuse networks that are built in here and are too large, before their numbers are written into memory.

    Args:
        most: numbers that parameters and buffers may have together; by default what the memory of this machine holds
            of buffers, and of weights with their gradients and the two moments of an optimiser.
        where: file of the options, for the message.

    Raises:
        ConfigError: says how many numbers the options ask for.
    """
    limit = _memory() // 4 if most is None else most
    copies = 4 if most is None else 1  # a parameter has a gradient and two moments, a bank of features has not
    why = (
        "too many for the memory of this machine; lower its sizes" if most is None else "its checkpoint holds far fewer"
    )
    said, asked = f"{where}: the options" if where else "the options", 0

    def count(held: Tensor | None, times: int) -> None:
        nonlocal asked
        asked += times * held.numel() if held is not None and held.device.type != "meta" else 0
        if asked > limit:
            raise ConfigError(f"{said} ask for a network of at least {counted(asked // copies, 'number')}, {why}")

    hooks = (
        register_module_parameter_registration_hook(lambda module, name, held: count(held, copies)),
        register_module_buffer_registration_hook(lambda module, name, held: count(held, 1)),
    )
    try:
        yield
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise ConfigError(f"{said} ask for a network that is too large for the memory of this machine") from error
    finally:
        for hook in hooks:
            hook.remove()


def _memory() -> int:
    """Bytes of this machine's memory, or more than any has where it does not say."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**50


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    sha = hashlib.sha256(repr(sorted(facts.items())).encode())
    sha.update(repr([(n, str(tensors[n].dtype), tuple(tensors[n].shape)) for n in sorted(tensors)]).encode())
    sha.update(digest_of_bytes(tensors).encode())
    return sha.hexdigest()


def digest_of_bytes(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names and bytes, the digest of earlier versions."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
