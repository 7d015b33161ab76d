"""The declared tables, one module per paper."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from motet.core.errors import ConfigError
from motet.reproduce.declare import Table


@cache
def all_tables() -> dict[str, Table]:
    """Every declared table by its name."""
    found: dict[str, Table] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= {table.name: table for table in import_module(f"{__name__}.{module.name}").TABLES}
    return dict(sorted(found.items()))


def named(name: str) -> Table:
    """A table by its name.

    Raises:
        ConfigError: there is none; lists what there is.
    """
    found = all_tables()
    if name in found:
        return found[name]
    family = name.split("/")[0]
    near = [n for n in found if n.split("/")[0] == family] or list(found)
    raise ConfigError(f"there is no table {name!r}; choose from {', '.join(near)}")
