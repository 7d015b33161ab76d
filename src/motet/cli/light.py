"""Help without the libraries that compute: their modules are stand-ins while the text is made.

Help needs the names, types and words of options, which stand next to the mathematics that they are for. Importing torch
for them would take seconds; a stand-in has every attribute, can be derived from and called, and does nothing.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

HEAVY = ("torch", "lightning_fabric", "safetensors", "numpy", "polars", "scipy", "sklearn", "onnx", "h5py", "rich")
"""libraries that are not needed to say what a verb can do."""


class _Kind(ABCMeta):
    """Class of the stand-ins: every attribute is a stand-in too, and so is what arithmetic makes of them."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn


class StandIn(metaclass=_Kind):
    """Takes any arguments, has any attribute, and as a decorator leaves a function as it is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __call__(self, *args: Any, **options: Any) -> Any:
        return args[0] if args and callable(args[0]) else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn

    def __class_getitem__(cls, item: Any) -> Any:
        return cls


def _itself(self: Any, *others: Any) -> Any:
    return self


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "xor", "lshift", "rshift"):
    for _kind in (_Kind, StandIn):
        setattr(_kind, f"__{_name}__", _itself)
        setattr(_kind, f"__r{_name}__", _itself)
for _name in ("neg", "invert", "getitem"):
    setattr(StandIn, f"__{_name}__", _itself)


def _attribute(name: str) -> Any:
    if name in ("__path__", "__file__", "__spec__", "__all__"):
        raise AttributeError(name)
    return "0" if name == "__version__" else StandIn


class _Finder(MetaPathFinder, Loader):
    def __init__(self) -> None:
        self.absent = set(HEAVY) - set(sys.modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] in self.absent else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__getattr__ = _attribute  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def without_libraries() -> Iterator[None]:
    """Import what computes as stand-ins; what was imported inside is forgotten afterwards.

    Where torch is imported already nothing is gained, and nothing is done.
    """
    if "torch" in sys.modules:
        yield
        return
    before, finder = set(sys.modules), _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.split(".")[0] in (*HEAVY, "motet"):
                del sys.modules[name]
