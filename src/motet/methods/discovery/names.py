"""Names that a reader gave to clusters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from motet.core.errors import RunError
from motet.methods.discovery.scores import BRANCHES

NAMES = "names.json"


def read_names(run: str | Path) -> dict[str, dict[int, str]]:
    """Names that clusters of a discovery were given: branch → cluster → name.

    Raises:
        RunError: the file is damaged.
    """
    path = Path(run) / NAMES
    if not path.exists():
        return {branch: {} for branch in BRANCHES}
    try:
        stored = json.loads(path.read_text())
        return {branch: {int(k): str(v) for k, v in stored[branch].items()} for branch in BRANCHES}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error!r}); remove it and name the clusters again") from error


def cluster_words(names: Mapping[int, str], count: int) -> list[str]:
    """What ``count`` clusters are called: by their names, else ``cluster <n>``."""
    return [names.get(k, f"cluster {k}") for k in range(count)]
