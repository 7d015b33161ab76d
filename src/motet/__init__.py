"""motet: streams of one sample teach each other.

Self-supervised motion representation (CMD, MoCo, MCL, CrosSCLR) with readers, protocols and a report. Public names
are loaded when they are first used, so importing motet is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from motet._version import __version__

if TYPE_CHECKING:
    from motet.archive import ArchiveWriter, MotionArchive
    from motet.embedding import embed
    from motet.errors import ConfigError, DataError, Interrupted, MotetError, MotetWarning, RunError
    from motet.exporting import export
    from motet.formats import import_dataset
    from motet.model import Model, load
    from motet.runs import Run
    from motet.skeletons import Skeleton
    from motet.streaming import stream
    from motet.train import pretrain, resume
    from motet.weights import save_weights

_HOMES = {
    "ArchiveWriter": "archive",
    "ConfigError": "errors",
    "DataError": "errors",
    "Interrupted": "errors",
    "Model": "model",
    "MotetError": "errors",
    "MotetWarning": "errors",
    "MotionArchive": "archive",
    "Run": "runs",
    "RunError": "errors",
    "Skeleton": "skeletons",
    "embed": "embedding",
    "export": "exporting",
    "import_dataset": "formats",
    "load": "model",
    "pretrain": "train",
    "resume": "train",
    "save_weights": "weights",
    "stream": "streaming",
}
_MODULES = (
    "discover",
    "distill",
    "encoders",
    "evaluate",
    "graphs",
    "layouts",
    "losses",
    "memory",
    "recipes",
    "report",
    "reproduce",
    "simulate",
)

__all__ = [
    "ArchiveWriter",
    "ConfigError",
    "DataError",
    "Interrupted",
    "Model",
    "MotetError",
    "MotetWarning",
    "MotionArchive",
    "Run",
    "RunError",
    "Skeleton",
    "__version__",
    "embed",
    "export",
    "import_dataset",
    "load",
    "pretrain",
    "resume",
    "save_weights",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"motet.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f"motet.{name}")
    raise AttributeError(f"module 'motet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
