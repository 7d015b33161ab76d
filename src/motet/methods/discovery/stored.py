"""What a discovery has written: its configuration and its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from motet.core.errors import RunError
from motet.engine.run import Run

KIND, MODULE = "discover", "motet.methods.discovery.run"


def read_config(folder: str | Path) -> dict[str, Any]:
    """Content of a discovery's config.json.

    Raises:
        RunError: the folder is no discovery, or its configuration is damaged.
    """
    run = Run.open(folder, KIND)
    config = run.config
    try:
        config["settings"], config["source"]["path"], config["target"]["path"]
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder}/config.json is damaged ({error!r}); {run.renewal}") from error
    return config


def read_result(folder: str | Path) -> dict[str, Any]:
    """Content of a discovery's result.json.

    Raises:
        RunError: it has not finished, or the file is damaged.
    """
    run = Run.open(folder, KIND)
    found = run.result()
    try:
        found["k"], found["clusters"], found["odd_below"]
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder}/result.json is damaged ({error!r}); {run.renewal}") from error
    return found
