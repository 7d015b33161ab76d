"""Who does what, when and how often in recordings of movement, with few labels or none.

Readers, encoders, self-supervised methods (CMD, HaLP, CoDT, AMID …), protocols, classifiers of recordings and reports.
Public names are loaded when they are first used, so importing motet is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from motet import _moved
from motet._version import __version__

if TYPE_CHECKING:
    from motet.application import app
    from motet.core.errors import ConfigError, DataError, Interrupted, MotetError, MotetWarning, RunError
    from motet.data.archive import ArchiveWriter, MotionArchive
    from motet.data.formats import import_dataset
    from motet.data.skeletons import Skeleton
    from motet.engine.model import load
    from motet.engine.run import Run
    from motet.methods.model import Model
    from motet.methods.pretrain import pretrain, resume
    from motet.use.compare import compare
    from motet.use.count import count
    from motet.use.embed import embed
    from motet.use.export import export
    from motet.use.fit import fit
    from motet.use.predict import predict
    from motet.use.search import search
    from motet.use.segment import segment
    from motet.use.stream import stream
    from motet.use.tune import tune
    from motet.use.weights import save_weights

_moved.install()

_HOMES = {
    "ArchiveWriter": "data.archive",
    "ConfigError": "core.errors",
    "DataError": "core.errors",
    "Interrupted": "core.errors",
    "Model": "methods.model",
    "MotetError": "core.errors",
    "MotetWarning": "core.errors",
    "MotionArchive": "data.archive",
    "Run": "engine.run",
    "RunError": "core.errors",
    "Skeleton": "data.skeletons",
    "app": "application",
    "compare": "use.compare",
    "count": "use.count",
    "embed": "use.embed",
    "export": "use.export",
    "fit": "use.fit",
    "import_dataset": "data.formats",
    "load": "engine.model",
    "predict": "use.predict",
    "pretrain": "methods.pretrain",
    "resume": "methods.pretrain",
    "save_weights": "use.weights",
    "search": "use.search",
    "segment": "use.segment",
    "stream": "use.stream",
    "tune": "use.tune",
}
_MODULES = {
    "discover": "methods.discovery",
    "distill": "methods.distillation",
    "encoders": "encoders",
    "evaluate": "evaluate",
    "graphs": "methods.graphs",
    "layouts": "data.layouts",
    "losses": "losses",
    "memory": "memory",
    "recipes": "methods.recipes",
    "report": "report",
    "reproduce": "reproduce",
    "simulate": "data.simulate",
}

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
    "app",
    "compare",
    "count",
    "embed",
    "export",
    "fit",
    "import_dataset",
    "load",
    "predict",
    "pretrain",
    "resume",
    "save_weights",
    "search",
    "segment",
    "stream",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"motet.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f"motet.{_MODULES[name]}")
    raise AttributeError(f"module 'motet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
