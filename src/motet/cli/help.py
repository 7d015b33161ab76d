"""Help of a verb: short with the options that everybody sets, ``--help-all`` with every one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import MISSING
from inspect import cleandoc
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal, get_args, get_origin

from motet.cli.entries import Entry, alternatives, documentation, items

WIDEST, INDENT, CHOICES = 100, 26, 40
_LAST = ("overwrite", "json", "quiet")


def render(known: Sequence[Entry], prog: str, description: str, *, whole: bool) -> str:
    """The help of a verb as text that fits the terminal (at most 100 columns).

    Args:
        known: its options.
        prog: how it is called.
        description: what it does; commands below a line ``Examples:`` are shown as they are.
        whole: every option, also those that are rarely set.
    """
    width = min(WIDEST, shutil.get_terminal_size((80, 24)).columns)
    said, _, examples = cleandoc(description).partition("\nExamples:\n")
    parts = [
        _usage(known, prog, width),
        *("\n".join(wrap(p, width, break_on_hyphens=False)) for p in _clean(said).split("\n\n")),
    ]
    listed = [e for e in known if whole or e.shown or e.default is MISSING]
    places = [e for e in listed if e.arg.positional and e.path[-1] in documentation(e.owner)]
    parts += ["\n".join(_entry(e, width) for e in places)] if places else []
    flags = [e for e in listed if not e.arg.positional]
    own = sorted((e for e in flags if not e.group), key=lambda e: _LAST.index(e.name) if e.name in _LAST else -1)
    if whole:
        parts += [_section("options", own, width)]
        parts += [_section(f"{t} options".strip(), list(g), width) for t, g in groupby(flags, _group) if t]
    else:
        first = [e for e in own if e.name not in _LAST]
        parts += [_section("options", [*first, *(e for e in flags if e.group), *own[len(first) :]], width)]
    left = len(known) - len(listed)
    parts += [f"{left} more options: `{prog} --help-all`"] if left else []
    if examples:
        parts.append("examples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines()))
    return "\n\n".join(part for part in parts if part)


def _group(entry: Entry) -> str:
    return entry.group


def _usage(known: Sequence[Entry], prog: str, width: int) -> str:
    words = [_value(e) for e in known if e.arg.positional]
    words += [f"{e.flag} {_value(e)}" for e in known if e.default is MISSING and not e.arg.positional]
    return "\n".join(wrap(" ".join(["usage:", prog, *words, "[options]"]), width, subsequent_indent="    "))


def _section(title: str, listed: Sequence[Entry], width: int) -> str:
    lines = [_entry(e, width) for e in listed]
    return "\n".join([f"{title}:", *lines]) if lines else ""


def _entry(entry: Entry, width: int) -> str:
    """An option with its words next to it, or below where its name is long."""
    if entry.arg.positional:
        name = _value(entry)
    elif entry.switch:
        both = entry.default is True or bool(entry.group)
        name = f"{entry.flag}, {entry.negative}" if both and not entry.path[-1].startswith("no_") else entry.flag
    else:
        name = f"{entry.flag} {_value(entry)}"
    text = _clean(documentation(entry.owner).get(entry.path[-1], ""))
    text = "; ".join(part for part in (text.rstrip("."), _choices(entry, text)) if part)
    text = f"{text} {_default(entry)}".strip()
    lines = wrap(text, max(20, width - INDENT), break_on_hyphens=False) or [""]
    head = f"  {name}"
    if len(head) + 2 > INDENT:
        return "\n".join([head, *(" " * INDENT + line for line in lines if line)])
    return "\n".join([(head.ljust(INDENT) + lines[0]).rstrip(), *(" " * INDENT + line for line in lines[1:])])


def _value(entry: Entry) -> str:
    """What stands for the value of an option."""
    kinds = items(entry.hint)
    if entry.arg.metavar:
        return entry.arg.metavar
    if entry.arg.positional:
        optional = "[{}]" if entry.default is not MISSING else "{}"
        name = entry.name.upper().replace("_", "-")
        return optional.format(name.removesuffix("S") + " …" if kinds is not None else name)
    if kinds is None:
        return "|".join(dict.fromkeys(_kind(kind) for kind in alternatives(entry.hint)))
    return f"{_kind(kinds[0])} …" if kinds[-1] is Ellipsis else " ".join(map(_kind, kinds))


def _kind(kind: Any) -> str:
    kind = alternatives(kind)[0]
    if get_origin(kind) is Literal:
        listed = "|".join(map(str, get_args(kind)))
        return listed if len(listed) <= CHOICES else "NAME"
    return {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH", bool: "true|false"}.get(kind, "VALUE")


def _choices(entry: Entry, text: str) -> str:
    """Names to choose from, where neither the value nor the words list them."""
    kinds = items(entry.hint)
    for kind in alternatives(entry.hint if kinds is None else kinds[0]):
        names = [str(c) for c in get_args(kind)] if get_origin(kind) is Literal else []
        if len("|".join(names)) > CHOICES and not all(re.search(rf"(?<![\w-]){re.escape(n)}\b", text) for n in names):
            return f"one of {', '.join(names)}"
    return ""


def _default(entry: Entry) -> str:
    value = entry.default
    if value is MISSING:
        return "" if entry.arg.positional else "(required)"
    if value is None or value in ((), "") or value is False:
        return f"({entry.also})" if entry.also else ""
    if value is True:
        return "(on)"
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if type(value) is float else value
    return f"({'; '.join(filter(None, (f'default {shown}', entry.also)))})"


def _clean(text: str) -> str:
    """Docstrings as plain text."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "`")
    return re.sub(r"[ \t]*\n(?!\n)[ \t]*", " ", re.sub(r"\n\s*\n", "\n\n", text).replace("\n\n", "\0")).replace(
        "\0", "\n\n"
    )
