"""Options of a verb: the fields of its dataclass, and of the dataclasses that it holds, as flags and places."""

from __future__ import annotations

import ast
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from motet.core.errors import ConfigError
from motet.core.options import HIDDEN, near_names

T = TypeVar("T")


@dataclass(frozen=True)
class Arg:
    """What an annotation says of an option beyond its type.

    Attributes:
        positional: it has a place on the command line and no flag.
        metavar: what the help calls its value.
        prefixed: options of this group are named ``--group.option``.
        shown: the short help shows this option, or all options of this group; by default those of the verb itself
            and those that everybody sets (:data:`COMMON`).
        title: heading of the group.
        earlier: the name that it had in an earlier release; accepted, and no help shows it.
    """

    positional: bool = False
    metavar: str | None = None
    prefixed: bool = False
    shown: bool | None = None
    title: str | None = None
    earlier: str | None = None


Positional = Annotated[T, Arg(positional=True)]
Prefixed = Annotated[T, Arg(prefixed=True)]
Shown = Annotated[T, Arg(shown=True)]

COMMON = frozenset(
    {"streams", "split", "frames", "clusters", "method", "encoder", "epochs", "finetune_epochs", "steps", "batch_size"}
    | {"lr", "seed", "device", "devices"}
)
"""options of recipes that the short help shows."""


@dataclass(frozen=True)
class Entry:
    """One option.

    Attributes:
        path: names of the groups that it lies in, and its own.
        name: unique name, with the prefix of its group: ``lr``, ``knn.k``.
        hint: type of its value.
        default: its value if nobody says another, :data:`dataclasses.MISSING` where somebody must.
        arg: what the annotation says.
        owner: the dataclass that it is a field of.
        group: heading of its group; empty for options of the verb itself.
        also: what the help says of its default besides.
    """

    path: tuple[str, ...]
    name: str
    hint: Any
    default: Any
    arg: Arg
    owner: type
    group: str
    also: str = ""

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def negative(self) -> str:
        """The flag that turns a switch off."""
        head, dot, tail = self.name.rpartition(".")
        return "--" + f"{head}{dot}no_{tail}".replace("_", "-")

    @property
    def accepted(self) -> list[Entry]:
        """Under each of its names: the present one last."""
        return [*([replace(self, name=self.arg.earlier)] if self.arg.earlier else []), self]

    @property
    def switch(self) -> bool:
        """Whether it takes no value."""
        return self.hint is bool

    @property
    def shown(self) -> bool:
        """Whether the short help shows it."""
        if self.arg.shown is not None:
            return self.arg.shown
        return not self.group or (self.path[-1] in COMMON and "." not in self.name)


def entries(kind: type, defaults: dict[str, Any] | None = None) -> list[Entry]:
    """All options of a dataclass; ``defaults`` are of its own fields, groups of options included."""
    return list(_walk(kind, defaults or {}, (), "", "", None))


def _walk(
    kind: type, given: dict[str, Any], path: tuple[str, ...], prefix: str, group: str, shown: bool | None
) -> Iterator[Entry]:
    hints = _hints(kind)
    for entry in fields(kind):
        hint, arg, hidden = _plain(hints[entry.name])
        value = given[entry.name] if entry.name in given else _default(entry)
        inside = (*path, entry.name)
        if hidden:
            continue
        if is_dataclass(value) and not isinstance(value, type):
            title = arg.title if arg.title is not None else entry.name
            deeper = f"{prefix}{entry.name}." if arg.prefixed else prefix
            held = {f.name: getattr(value, f.name) for f in fields(value)}
            yield from _walk(type(value), held, inside, deeper, title, shown if arg.shown is None else arg.shown)
            continue
        said = arg if shown is None or arg.shown is not None else replace(arg, shown=shown)
        yield Entry(inside, prefix + entry.name, hint, value, said, kind, group)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _default(entry: Field[Any]) -> Any:
    return entry.default_factory() if entry.default_factory is not MISSING else entry.default


def _plain(hint: Any) -> tuple[Any, Arg, bool]:
    """A type without annotations, what they say, and whether the option is hidden."""
    arg, hidden = Arg(), False
    while get_origin(hint) is Annotated:
        for word in hint.__metadata__:
            arg = word if isinstance(word, Arg) else arg
            hidden = hidden or word is HIDDEN
        hint = hint.__origin__
    return hint, arg, hidden


def build(kind: type[T], defaults: dict[str, Any], values: dict[tuple[str, ...], Any]) -> T:
    """The dataclass with ``values`` by path; a group changes only in what was said."""
    own: dict[str, Any] = {}
    for entry in fields(kind):  # type: ignore[arg-type]
        value = defaults[entry.name] if entry.name in defaults else _default(entry)
        inside = {path[1:]: v for path, v in values.items() if path[0] == entry.name}
        if () in inside:
            own[entry.name] = inside[()]
        elif inside:
            held = {f.name: getattr(value, f.name) for f in fields(value)}
            own[entry.name] = build(type(value), held, inside)
        elif value is not MISSING:
            own[entry.name] = value
    return kind(**own)


def is_optional(hint: Any) -> bool:
    """Whether None is a value."""
    return get_origin(hint) in (typing.Union, types.UnionType) and type(None) in get_args(hint)


def items(hint: Any) -> tuple[Any, ...] | None:
    """Types of the values of a tuple, of one value for any number; None where there is a single value."""
    hint = _plain(hint)[0]
    if get_origin(hint) in (typing.Union, types.UnionType):
        several = [found for part in get_args(hint) if (found := items(part)) is not None]
        return several[0] if several else None
    return get_args(hint) if get_origin(hint) is tuple else None


def alternatives(hint: Any) -> list[Any]:
    """Types that a single value may have, None left out."""
    hint = _plain(hint)[0]
    if get_origin(hint) in (typing.Union, types.UnionType):
        return [one for part in get_args(hint) if part is not type(None) for one in alternatives(part)]
    return [hint]


def _path(text: str) -> Path:
    if not text:
        raise ValueError("an empty name is the current folder to Path")
    return Path(text)


_READERS: dict[Any, tuple[Any, str]] = {
    int: (int, "a whole number"),
    float: (float, "a number"),
    Path: (_path, "a path"),
}
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read(hint: Any, text: str, flag: str) -> Any:
    """A single value from the command line.

    Raises:
        ConfigError: the text is not what the option takes.
    """
    if text == "None" and is_optional(_plain(hint)[0]):
        return None
    kinds = alternatives(hint)
    for kind in kinds:
        try:
            return _read(kind, text)
        except (ValueError, KeyError):
            continue
    choices = [str(c) for kind in kinds if get_origin(kind) is Literal for c in get_args(kind)]
    wanted = [_READERS[kind][1] for kind in kinds if kind in _READERS]
    wanted += ["true or false"] if bool in kinds else []
    wanted += [f"one of {', '.join(choices)}"] if choices else []
    near = near_names(text, choices)
    hint_words = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(f"{flag} takes {' or '.join(wanted)}, not {brief(text)!r}{hint_words}")


def brief(text: str, most: int = 60) -> str:
    """The beginning of a text that is too long for a message."""
    return text if len(text) <= most else f"{text[:most]}…"


def _read(kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        return {str(choice): choice for choice in get_args(kind)}[text]
    if kind is bool:
        return _TRUTH[text.lower()]
    return _READERS[kind][0](text) if kind in _READERS else kind(text)


def documentation(owner: type) -> dict[str, str]:
    """What is said of the fields of a class and of those it derives from: below them, or in the docstring."""
    found: dict[str, str] = {}
    for kind in reversed(owner.__mro__):
        if is_dataclass(kind):
            found |= _attributes(kind.__doc__ or "") | _strings(kind)
    return found


def _attributes(doc: str) -> dict[str, str]:
    """Field -> words from the section ``Attributes:`` of a docstring."""
    _, _, section = cleandoc(doc).partition("\nAttributes:\n")
    found: dict[str, str] = {}
    for block in re.split(r"\n(?= {4}\w)", re.split(r"\n(?=\S)", "\n" + section)[0]):
        names, colon, text = block.strip().partition(":")
        if colon:
            found |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return found


@cache
def _strings(kind: type) -> dict[str, str]:
    """Field -> string below it; only the class itself is parsed, since whole modules take long."""
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if path is None:
        return {}
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    # of classes of one name inside functions, the one inside the function that the qualified name begins with
    outer = kind.__qualname__.split(".<locals>.")[0] if "<locals>" in kind.__qualname__ else None
    begin = next((i for i, line in enumerate(lines) if outer and line.startswith(f"def {outer}(")), 0)
    start = next((i for i in range(begin, len(lines)) if re.match(rf"\s*class {kind.__name__}\b", lines[i])), None)
    if start is None:
        return {}
    indent = len(lines[start]) - len(lines[start].lstrip())
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
        end += 1
    body = ast.parse(dedent("\n".join(lines[start:end]))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field_, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field_, ast.AnnAssign)
            and isinstance(field_.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[field_.target.id] = below.value.value
    return found


def near_flags(flag: str, known: Sequence[Entry]) -> list[str]:
    """Flags that may have been meant by one that does not exist."""
    name = flag.removeprefix("--").replace("-", "_")
    names = {e.name: e.flag for e in known if not e.arg.positional}
    names |= {e.negative[2:].replace("-", "_"): e.negative for e in known if e.switch}
    tails = [names[n] for n in names if n.rpartition(".")[2] == name]
    near = near_names(name, list(names))
    if len(near) > 1:  # what hardly resembles it is no help next to what does
        near = get_close_matches(name, near, cutoff=0.75) or near[:1]
    return (tails or [names[n] for n in near])[:3]
