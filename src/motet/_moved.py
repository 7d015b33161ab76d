"""Import paths of earlier releases: ``motet.archive`` is ``motet.data.archive`` today, and both name one module."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "errors": "core.errors",
    "progress": "core.progress",
    "devices": "core.devices",
    "distributed": "core.distributed",
    "interrupts": "core.signals",
    "keyed": "core.rng",
    "archive": "data.archive",
    "skeletons": "data.skeletons",
    "layouts": "data.layouts",
    "convert": "data.convert",
    "formats": "data.formats",
    "catalogue": "data.catalogue",
    "splits": "data.splits",
    "inspection": "data.inspection",
    "doctor": "data.doctor",
    "loader": "data.loader",
    "preprocess": "data.preprocess",
    "views": "data.views",
    "augment": "data.augment",
    "extreme": "data.extreme",
    "simulate": "data.simulate",
    "cluster": "memory.kmeans",
    "memory.twin": "memory.momentum",
    "losses.generation": "losses.hallucination",
    "config": "methods.recipe",
    "runs": "engine.run",
    "checkpoint": "engine.checkpoint",
    "trainer": "engine.trainer",
    "model": "methods.model",
    "monitor": "engine.monitor",
    "train": "methods.pretrain",
    "sensors": "methods.sensors",
    "recipes": "methods.recipes",
    "evaluate.clusters": "metrics.clusters",
    "evaluate.neighbours": "metrics.neighbours",
    "discover.judge": "methods.discovery.scores",
    "discover.starting": "methods.discovery.warm_start",
    "discover": "methods.discovery",
    "distill.judge": "methods.distillation.scores",
    "distill.laned": "methods.distillation.replicated",
    "distill.lanes": "methods.distillation.replicas",
    "distill.told": "methods.distillation.narrative",
    "distill": "methods.distillation",
    "graphs": "methods.graphs",
    "embedding": "use.embed",
    "exporting": "use.export",
    "streaming": "use.stream",
    "weights": "use.weights",
    "report.watched": "report.diagnostics",
    "report.words": "report.narrative",
    "study": "reproduce.compare",
    "demo": "cli.demo",
}
"""earlier place -> today's, both below ``motet``; what lay inside a moved package moved with it."""


def today(name: str) -> str | None:
    """Where a module of an earlier release is now; None if it has not moved."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        place = MOVED.get(".".join(parts[:length]))
        if place is not None:
            return ".".join(["motet", place, *parts[length:]])
    return None


class _Alias(MetaPathFinder, Loader):
    """Finds a moved module under its earlier name; the module itself exists once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("motet.") or today(fullname) is None:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        place = today(spec.name)
        assert place is not None
        module = import_module(place)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # the import system has put the alias's specification on a module that was initialised under its present name
        spec = module.__spec__
        assert spec is not None
        module.__spec__ = spec.loader_state


def install() -> None:
    """Let earlier import paths work; a second call changes nothing."""
    if not any(isinstance(finder, _Alias) for finder in sys.meta_path):
        sys.meta_path.append(_Alias())
