"""Arguments of a verb: tyro on a dataclass, with its boxed errors as one line."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, TypeVar, cast

import tyro

from motet.errors import ConfigError

T = TypeVar("T")


def parse(kind: type[T], args: Sequence[str], prog: str, **options: Any) -> T:
    """Parse ``args`` into a dataclass; ``--help`` prints and exits.

    Raises:
        ConfigError: the arguments do not fit; one line that says which.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return cast(T, tyro.cli(kind, args=list(args), prog=prog, **options))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        text = re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]", " ", said.getvalue())
        line = " ".join(text.split()).removeprefix("Parsing error ").removeprefix("Unrecognized options ")
        line = re.sub(r" ?For full helptext, (run|see) .*$", "", line)
        line = re.sub(r"^(Value error |Error parsing [^:]*: )+", "", line)
        line = re.sub(r"^Invalid choice invalid choice", "invalid choice", line)
        line = re.sub(r"^Required options Missing", "missing", line)
        raise ConfigError(f"{line or 'the arguments cannot be parsed'} (see `{prog} --help`)") from None


def value_of(args: Sequence[str], flag: str) -> str | None:
    """Value of ``--flag value`` or ``--flag=value`` before anything is parsed."""
    for position, arg in enumerate(args):
        if arg == flag and position + 1 < len(args):
            return args[position + 1]
        if arg.startswith(f"{flag}="):
            return arg.split("=", 1)[1]
    return None


def write_result(path: Path | None, data: Any) -> None:
    """Write a result as one JSON object, if a path was given."""
    if path is not None:
        from motet.runs import write_json

        write_json(path, data)
