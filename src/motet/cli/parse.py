"""Arguments of a verb: tyro on a dataclass, with its boxed errors as one line."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast

import tyro

from motet.core.errors import ConfigError

T = TypeVar("T")


def parse(
    kind: type[T],
    args: Sequence[str],
    prog: str,
    *,
    elsewhere: Callable[[str], str | None] | None = None,
    **options: Any,
) -> T:
    """Parse ``args`` into a dataclass; ``--help`` prints and exits.

    Args:
        kind: the dataclass.
        args: words of the command line.
        prog: how the command is called.
        elsewhere: from an unknown flag to what to do if it belongs elsewhere, None if it belongs nowhere.
        options: of :func:`tyro.cli`.

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
        text = re.sub(r"-{4,}", " ", text)  # the same boxes where the terminal has no lines
        line = " ".join(text.split()).removeprefix("Parsing error ").removeprefix("Unrecognized options ")
        line = re.sub(r" ?For full helptext, (run|see) .*$", "", line)
        line = re.sub(r"^(Value error |Error parsing [^:]*: )+", "", line)
        line = re.sub(r"^Invalid choice invalid choice", "invalid choice", line)
        line = re.sub(r"^Required options Missing", "missing", line)
        line = _unknown(line, elsewhere) or line
        raise ConfigError(f"{line or 'the arguments cannot be parsed'} (see `{prog} --help`)") from None


def _unknown(line: str, elsewhere: Callable[[str], str | None] | None) -> str | None:
    """Which option is unknown and which may have been meant, by their names; None for another error."""
    found = re.match(r"Unrecognized options: (.*?)(?: -*(?:Perhaps you meant:|Arguments similar to)(.*))?$", line)
    flags = [word.rstrip(",").split("=")[0] for word in found[1].split() if word.startswith("--")] if found else []
    if found is None or not flags:
        return None
    names = re.findall(r"(?<![\w-])--[a-zA-Z][\w.-]*\w", found[2] or "")
    hint = elsewhere(flags[0]) if elsewhere is not None else None
    near = get_close_matches(flags[0], dict.fromkeys(names), n=3)
    hint = hint or (f"did you mean {' or '.join(near)}?" if near else None)
    return f"there is no option {', '.join(flags)} here" + (f"; {hint}" if hint else "")


def option_of(flag: str) -> str:
    """Name of an option in Python, from its flag."""
    return flag.removeprefix("--").removeprefix("no-").replace("-", "_")


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
        from motet.core.files import write_json

        write_json(path, data)
