"""What a protocol has finished of what takes it long, so that an interrupted one continues from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from motet.core.distributed import agreed, rank
from motet.core.files import write_json


class Parts:
    """Finished parts by their names, any JSON; float64 comes back as it was.

    Args:
        path: file that holds them, named by all that decides them; None keeps nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._found: dict[str, Any] = agreed(self._read()) if path is not None else {}

    def _read(self) -> dict[str, Any]:
        assert self.path is not None
        try:
            found = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}  # none yet, or damaged: the work is done again
        return found if isinstance(found, dict) else {}

    def __len__(self) -> int:
        return len(self._found)

    def get(self, name: str) -> Any:
        """The part, or None if it is not finished."""
        return self._found.get(name)

    def put(self, name: str, part: Any) -> None:
        """Keep a finished part."""
        if self.path is None:
            return
        self._found[name] = part
        if rank() == 0:
            write_json(self.path, self._found)

    def drop(self) -> None:
        """Forget all of them: the whole is done, or to be done again."""
        self._found = {}
        if self.path is not None and rank() == 0:
            self.path.unlink(missing_ok=True)
