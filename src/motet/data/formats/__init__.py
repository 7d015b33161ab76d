"""Raw recordings → :class:`motet.data.archive.MotionArchive`; one module per format, see
:mod:`motet.data.formats.base`."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motet.core.errors import ConfigError
from motet.data.formats.base import Format, Plan, RawClip, Unit

if TYPE_CHECKING:
    from motet.data.formats.importer import import_dataset

_DESCRIPTION = re.compile(r'^FORMAT = .*?(?:\bdescription=|^\)\.format\(\s*)"([^"\\]*)"', re.MULTILINE | re.DOTALL)

SEEN = 1000  # files of a source that are looked at to see what it is

__all__ = ["Format", "Plan", "RawClip", "Unit", "description", "get", "import_dataset", "names", "readers"]


def __getattr__(name: str) -> Any:
    # late, because worker processes import this package and need nothing of the archive
    if name == "import_dataset":
        from motet.data.formats.importer import import_dataset

        return import_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def names() -> tuple[str, ...]:
    """Names of all formats, as on the command line, sorted."""
    found = (m.name for m in pkgutil.iter_modules(__path__) if m.name not in ("base", "importer"))
    return tuple(sorted(n.replace("_", "-") for n in found if not n.startswith("_")))


def description(name: str) -> str:
    """What the format of that name reads, in one line; taken from its source, as importing all of them takes long."""
    try:
        text = (Path(__file__).parent / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    except OSError:  # installed without sources
        return get(name).description
    found = _DESCRIPTION.search(text)
    return found[1] if found else get(name).description


def readers(source: Path) -> tuple[str, list[str]]:
    """The ending that most files of a source have, and the formats whose description names it."""
    files = [source] if source.is_file() else [p for p in islice(source.rglob("*"), SEEN) if p.is_file()]
    endings = Counter(p.suffix.lower() for p in files if p.suffix)
    most = max(endings, key=lambda ending: endings[ending], default="")
    word = re.compile(rf"(?i)(?<!\w){re.escape(most[1:])}(?!\w)")
    return most, [name for name in names() if most and word.search(description(name))]


def get(name: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: there is none; the message lists those that exist.
    """
    if name not in names():
        raise ConfigError(f"there is no format {name!r}; choose from {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found: Format = module.FORMAT
    return found
