"""Packages whose names are imported when they are asked for, so that help and wrong arguments wait for nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


class LazyPackage(ModuleType):
    """A package that imports a name when it is asked for; a name that a module of it has too means the name."""

    homes: Mapping[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self.homes:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = vars(self)[name] = getattr(import_module(f"{self.__name__}.{self.homes[name]}"), name)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in self.homes):
            super().__setattr__(name, value)


def import_lazily(package: str, homes: Mapping[str, str], kind: type[LazyPackage] = LazyPackage) -> None:
    """Make the names of a package lazy.

    Args:
        package: its ``__name__``.
        homes: module below the package -> names that it has, apart by blanks.
        kind: class of the package.
    """
    where = {name: module for module, names in homes.items() for name in names.split()}
    sys.modules[package].__class__ = type(kind.__name__, (kind,), {"homes": where})
