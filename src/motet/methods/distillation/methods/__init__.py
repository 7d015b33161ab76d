"""Ways to distil, one file each: a module of this package that defines ``METHODS`` is found.

``METHODS`` names one or more sets of options (:class:`motet.methods.distillation.methods.base.Options`); what a method
changes under the named settings stands in the module's ``SETTINGS``: settings → method → options.
"""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from motet.methods.distillation.methods.base import Options

_MODULES = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]

METHODS: dict[str, Options] = {
    name: options for module in _MODULES for name, options in getattr(module, "METHODS", {}).items()
}
"""every method with its published options."""


def changes(settings: str, method: str) -> dict[str, Any]:
    """What a method changes of its published options under the named settings."""
    found: dict[str, Any] = {}
    for module in _MODULES:
        found |= getattr(module, "SETTINGS", {}).get(settings, {}).get(method, {})
    return found


def owners(option: str) -> list[str]:
    """Methods that have an option of this name."""
    return [name for name, options in METHODS.items() if option in {f.name for f in fields(options)}]


def is_taught(method: str) -> bool:
    """Whether a method's student has a teacher, so that it is compared with the student alone."""
    known = METHODS.get(method)
    return known is None or (known.uses_teacher and known.scored == "student")


__all__ = ["METHODS", "Options", "changes", "is_taught", "owners"]
