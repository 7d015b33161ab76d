"""Arguments of a verb: words of the command line into a dataclass, with errors of one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, replace
from typing import Any, TypeVar

from motet.cli.entries import Entry, brief, build, entries, items, near_flags, read
from motet.core.errors import ConfigError
from motet.core.text import counted, printable

T = TypeVar("T")
HELP = ("-h", "--help", "--help-all")


def asks_help(args: Sequence[str]) -> bool:
    """Whether help was asked for."""
    return bool(set(HELP) & set(args))


def parse(
    kind: type[T],
    args: Sequence[str],
    prog: str,
    *,
    elsewhere: Callable[[str], str | None] | None = None,
    description: str | None = None,
    defaults: dict[str, Any] | None = None,
    also: Mapping[str, str] | None = None,
) -> T:
    """Parse ``args`` into a dataclass; ``--help`` and ``--help-all`` print and exit.

    Args:
        kind: the dataclass.
        args: words of the command line.
        prog: how the command is called.
        elsewhere: from an unknown flag to what to do if it belongs elsewhere, None if it belongs nowhere.
        description: what the verb does, by default the docstring of the dataclass.
        defaults: values of fields that the dataclass leaves open, such as the options of a recipe.
        also: option → what the help says of its default besides.

    Raises:
        ConfigError: the arguments do not fit; one line that says which.
    """
    known = entries(kind, defaults)
    if asks_help(args):
        from motet.cli.help import render

        known = [replace(entry, also=(also or {}).get(entry.name, "")) for entry in known]
        print(render(known, prog, description or kind.__doc__ or "", whole="--help-all" in args))
        raise SystemExit(0)
    try:
        values = _values(list(args), known, elsewhere)
    except ConfigError as error:
        raise ConfigError(f"{error} (see `{prog} --help`)") from None
    return build(kind, defaults or {}, values)


def _values(
    words: list[str], known: list[Entry], elsewhere: Callable[[str], str | None] | None
) -> dict[tuple[str, ...], Any]:
    named = [e for entry in known for e in entry.accepted]
    flags = {e.flag: (e, True) for e in named if not e.arg.positional}
    flags = {e.negative: (e, False) for e in named if e.switch} | flags
    values: dict[tuple[str, ...], Any] = {}
    places: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--":
            places += words
            break
        if not _is_flag(word):
            places.append(word)
            continue
        name, equals, text = word.partition("=")
        found = flags.get(_spelled(name))
        if found is None:
            raise ConfigError(f"there is no option {printable(brief(name))} here{_instead(name, known, elsewhere)}")
        entry, positive = found
        if entry.switch:
            if not equals and words and words[0].lower() in ("true", "false"):
                raise ConfigError(f"{name} stands alone or is written {name}={words[0]}")
            values[entry.path] = (read(bool, text, name) if equals else True) is positive
        else:
            values[entry.path] = _taken(entry, name, [text] if equals else None, words)
    values |= _placed(places, [e for e in known if e.arg.positional])
    missing = [e for e in known if e.default is MISSING and e.path not in values]
    if missing:
        names = [e.name.upper() if e.arg.positional else e.flag for e in missing]
        raise ConfigError(f"missing {' and '.join(names)}")
    return values


def _is_flag(word: str) -> bool:
    """Whether a word is meant as an option: ``--name``, ``-h``; a negative number is a value."""
    if word.startswith("--"):
        return True
    return len(word) > 1 and word[0] == "-" and word[1].isalpha() and word[1:].lower() not in ("inf", "nan")


def _spelled(flag: str) -> str:
    return flag.replace("_", "-")


def _instead(flag: str, known: list[Entry], elsewhere: Callable[[str], str | None] | None) -> str:
    hint = elsewhere(flag) if elsewhere is not None else None
    near = near_flags(flag, known)
    hint = hint or (f"did you mean {' or '.join(near)}?" if near else None)
    return f"; {hint}" if hint else ""


def _taken(entry: Entry, flag: str, given: list[str] | None, words: list[str]) -> Any:
    """The value of an option; what it needs is taken from the words that follow."""
    kinds = items(entry.hint)
    if given is None:
        most = 1 if kinds is None else len(words) if kinds[-1] is Ellipsis else len(kinds)
        given = []
        while words and len(given) < most and not words[0].startswith("--"):
            given.append(words.pop(0))
    # options of a recipe may be empty; of a verb, an empty one is a value that was forgotten
    if not given and (kinds is None or not entry.group):
        raise ConfigError(f"{flag} needs a value")
    if kinds is None:
        return read(entry.hint, given[0], flag)
    if given == ["None"] and entry.default is None:
        return None
    if kinds[-1] is Ellipsis:
        return tuple(read(kinds[0], text, flag) for text in given)
    if len(given) != len(kinds):
        raise ConfigError(f"{flag} takes {counted(len(kinds), 'value')}, not {len(given)}")
    return tuple(read(kind, text, flag) for kind, text in zip(kinds, given, strict=True))


def _placed(words: list[str], places: list[Entry]) -> dict[tuple[str, ...], Any]:
    """Values of what has a place; one that takes several leaves the others theirs."""
    found: dict[tuple[str, ...], Any] = {}
    for position, entry in enumerate(places):
        kinds = items(entry.hint)
        behind = sum(e.default is MISSING for e in places[position + 1 :])
        count = max(0, len(words) - behind) if kinds is not None else min(1, len(words))
        taken, words = words[:count], words[count:]
        if kinds is not None and (taken or entry.default is MISSING):
            found[entry.path] = tuple(read(kinds[0], word, entry.name.upper()) for word in taken)
        elif taken:
            found[entry.path] = read(entry.hint, taken[0], entry.name.upper())
    if words:
        raise ConfigError(f"{brief(words[0])!r} is one argument too many")
    return found


def option_of(flag: str) -> str:
    """Name of an option in Python, from its flag."""
    return flag.removeprefix("--").removeprefix("no-").replace("-", "_")


def stated(args: Sequence[str]) -> set[str]:
    """Names of the options that the words of a command line set."""
    return {option_of(word.split("=")[0].replace("_", "-")) for word in args if word.startswith("--")}


def value_of(args: Sequence[str], flag: str) -> str | None:
    """Value of ``--flag value`` or ``--flag=value`` before anything is parsed; the last, as :func:`parse` takes it."""
    found = None
    for word, following in zip(args, [*args[1:], "--"], strict=False):
        if word == "--":
            break
        name, equals, text = word.partition("=")
        if _spelled(name) == flag and (equals or not following.startswith("--")):
            found = text if equals else following
    return found


def is_set(args: Sequence[str], flag: str) -> bool:
    """Whether a switch is on, before anything is parsed."""
    return any(_spelled(word).lower() in (flag, *(f"{flag}={yes}" for yes in ("true", "yes", "on"))) for word in args)
