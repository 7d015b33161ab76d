"""Ways to label an unlabelled target, one module each.

A module of this package whose ``Options`` is a :class:`~motet.methods.discovery.methods.base.Method` is a method of
`motet discover` under the module's name; nothing else is registered.
"""

from __future__ import annotations

import pkgutil
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from importlib import import_module

from motet.core.errors import ConfigError
from motet.methods.discovery.methods.base import Method


@cache
def names() -> tuple[str, ...]:
    """Names of all methods."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base"))


def get(name: str) -> type[Method]:
    """The options of a method.

    Raises:
        ConfigError: no such method.
    """
    if name not in names():
        near = get_close_matches(str(name), names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"method is {name!r}; it must be one of {', '.join(names())}{hint}")
    found: type[Method] = import_module(f"{__name__}.{name}").Options
    return found


def owners(option: str) -> list[str]:
    """Methods that have an option of this name."""
    return [name for name in names() if option in {f.name for f in fields(get(name))}]


def option_names() -> list[str]:
    """Names of the options of all methods."""
    return sorted({f.name for name in names() for f in fields(get(name))})
