"""What every verb that prints a result has in common: ``--json`` and ``--quiet``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motet.core.workers import first_process


@dataclass(kw_only=True)
class Output:
    """Where a result goes."""

    json: Path | None = None
    """write the result as one JSON object; - is the terminal, in place of the text"""
    quiet: bool = False
    """only warnings and errors: no progress, no result on the terminal"""

    def __post_init__(self) -> None:
        """Refuse to write a result over what is no result.

        Raises:
            ConfigError: the name given by ``--json`` is of a folder or of another kind of file.
        """
        if self.json is not None:
            from motet.core.files import refuse_existing

            refuse_existing(self.json, True, ".json")

    def done(self, text: str, data: Any) -> int:
        """Print a result and write it as JSON, as the options say; one process speaks for all that work together.

        Returns:
            0, the exit status of a verb that has succeeded.
        """
        if not first_process():
            return 0
        if self.json == Path("-"):
            print(json.dumps(data, indent=1))
            return 0
        if not self.quiet and text:
            from motet.cli.tables import shown

            print(shown(text))
        if self.json is not None:
            from motet.core.files import write_json

            write_json(self.json, data)
        return 0

    def others(self, *left_out: str) -> dict[str, Any]:
        """The options by name, without those of the output and some others."""
        return {k: v for k, v in vars(self).items() if k not in ("json", "quiet", *left_out)}


@dataclass(kw_only=True)
class Replacing(Output):
    """A result that may take the place of an earlier one."""

    overwrite: bool = False
    """replace what is there under that name"""
