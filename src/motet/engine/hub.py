"""Weights by a name: those that come with the package, and folders on the Hugging Face hub by their hub id."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from motet.core.errors import ConfigError, RunError
from motet.core.text import in_line

FILES = ("*.json", "*.safetensors", "README.md")
"""what a folder of weights holds, whatever verb trained them; patterns"""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


FOLDER = Path(__file__).parent.parent / "weights"
"""weights that come with the package, each a folder"""


def shipped() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def is_shipped(name: str | Path) -> bool:
    """Whether a name is that of weights that come with the package; a run or weights of that name here come first."""
    return str(name) in shipped() and not (Path(name) / "config.json").exists()


def called(path: Path) -> str:
    """How a run or weights are named in a command: by their path, those of the package by their name."""
    return path.name if path.resolve().parent == FOLDER.resolve() else str(path)


def named(name: str | PathLike[str]) -> str | Path:
    """What may name a run or weights, or be their path.

    Raises:
        ConfigError: neither a run nor text nor a path, such as a model.
    """
    if not isinstance(name, str | PathLike):
        raise ConfigError(f"a run, its directory or a name of weights is wanted, not {type(name).__name__}")
    return name if isinstance(name, str) else Path(name)


def found(name: str | PathLike[str]) -> Path:
    """The folder of a run or of weights by its path, by the name that the package has for it, or by its hub id.

    Raises:
        ConfigError: neither a run nor text nor a path, such as a model.
        RunError: a hub id that cannot be had.
    """
    name = named(name)
    if is_shipped(name):
        return FOLDER / str(name)
    return fetch(str(name)) if is_hub_id(name) else Path(name)


def is_hub_id(name: str | Path) -> bool:
    """Whether a name that is no directory can be that of a repository on the hub: ``owner/name`` with an optional
    ``@revision``."""
    return isinstance(name, str) and _HUB_ID.fullmatch(name.split("@")[0]) is not None and not Path(name).exists()


def fetch(name: str) -> Path:
    """Download a folder of weights from the Hugging Face hub, or find it in the hub's own cache.

    Args:
        name: ``owner/name`` or ``owner/name@revision``.

    Raises:
        RunError: no such directory and no such repository, or the extra is not installed.
    """
    identifier, _, revision = name.partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise RunError(
            f"{name} is not a run directory; if it is meant as a hub id: pip install '.[hub]' in the folder of motet"
        ) from error
    try:
        folder = snapshot_download(identifier, revision=revision or None, allow_patterns=list(FILES))
    except Exception as error:
        raise RunError(
            f"{name} is not a run directory here; as a hub id it cannot be had: {in_line(error, 120)}"
        ) from error
    return Path(folder)
