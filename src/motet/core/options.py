"""The one configuration engine: frozen dataclasses of options, checked when they are made, changed and read back.

A configuration is one flat space of options: nested dataclasses group them, but every option's name is unique, so that
``--hidden 256`` on the command line and ``hidden=256`` in Python mean the same thing. Types come from the annotations
and ranges from a :class:`Bounds` in them, and both hold for configurations that are read from a file.
"""

from __future__ import annotations

import math
import sys
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from motet.core.errors import ConfigError, RunError
from motet.core.text import counted

O = TypeVar("O", bound="Options")  # noqa: E741


@dataclass(frozen=True)
class Bounds:
    """Range of a number, or of every number of a tuple; NaN and infinity are always outside.

    Attributes:
        above, least, below, most: ends of the range; None leaves a side open.
    """

    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None

    def hold(self, value: float) -> bool:
        """Whether a number lies inside."""
        return (
            math.isfinite(value)
            and (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.below is None or value < self.below)
            and (self.most is None or value <= self.most)
        )

    def __str__(self) -> str:
        low = f"above {self.above:g}" if self.above is not None else ""
        low = f"{self.least:g} or more" if self.least is not None else low
        high = f"below {self.below:g}" if self.below is not None else ""
        high = f"at most {self.most:g}" if self.most is not None else high
        return " and ".join(part for part in (low, high) if part) or "finite"


Positive = Annotated[float, Bounds(above=0)]
NotNegative = Annotated[float, Bounds(least=0)]
Fraction = Annotated[float, Bounds(least=0, most=1)]
Momentum = Annotated[float, Bounds(least=0, below=1)]
Count = Annotated[int, Bounds(least=1, most=10_000_000)]
Layers = Annotated[int, Bounds(least=1, most=1000)]
Frames = Annotated[int, Bounds(least=1, most=20_000)]
Natural = Annotated[int, Bounds(least=0)]

HIDDEN = "no option of the command line"
"""Annotation of a field that only programs set."""

_SYNONYMS = {
    "learning_rate": "lr",
    "rate": "lr",
    "eta": "lr",
    "wd": "weight_decay",
    "bs": "batch_size",
    "batch": "batch_size",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_epochs": "epochs",
    "random_state": "seed",
    "tau": "temperature",
    "hidden_size": "hidden",
    "num_layers": "layers",
    "gpus": "devices",
    "num_nodes": "nodes",
    "optimizer": "optimiser",
    "queue": "queue_size",
    "embedding": "dim",
    "ema": "key_momentum",
}
"""what other programs call an option -> its name here."""


@dataclass(frozen=True)
class Options:
    """Base of every set of options: values are converted and checked when one is made.

    Attributes:
        noun: what messages call the thing that these options belong to.
    """

    noun: ClassVar[str] = "the configuration"

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            value = getattr(self, name)
            if is_dataclass(value) and not isinstance(value, type):
                continue
            made = convert(hint, value, name)
            if made is not value:
                object.__setattr__(self, name, made)

    def called(self) -> str:
        """The thing that these options belong to, for messages."""
        return self.noun

    def belongs_to(self, name: str) -> Sequence[str]:
        """What has an option that is unknown here: names of methods or recipes."""
        return ()

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """A copy with some options changed, each named by its unique name (``hidden``, ``lr``, ``teachers`` …).

        Raises:
            ConfigError: no such option (with the nearest names), or a value that does not fit.
        """
        homes = _homes(self)
        changed: dict[tuple[str, ...], dict[str, Any]] = {}
        for name, value in options.items():
            if name not in homes:
                raise ConfigError(f"{self.called()} has no option {name!r}{self._hint(name, homes)}")
            changed.setdefault(homes[name], {})[name] = value
        made: Self = _replaced(self, changed)
        return made

    def _hint(self, name: str, known: Mapping[str, Any]) -> str:
        owners = self.belongs_to(name)
        if owners:
            return f"; it belongs to {' or '.join(owners)}"
        near = near_names(name, list(known))
        return f"; did you mean {' or '.join(near)}?" if near else ""

    def names(self) -> list[str]:
        """Names of all options."""
        return list(_homes(self))

    def flat(self) -> dict[str, Any]:
        """Value of every option by its unique name; for a group whose class decides what it is, that class's name."""
        found: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not isinstance(value, Options):
                found[entry.name] = value
                continue
            if type(value) is not _hints(type(self))[entry.name]:
                found[entry.name] = type(value).__qualname__
            found |= value.flat()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :meth:`from_dict` is its inverse."""
        found: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Options):
                named = {"module": type(value).__module__, "class": type(value).__qualname__}
                same = type(value) is _hints(type(self))[entry.name]
                found[entry.name] = ({} if same else named) | value.to_dict()
            else:
                found[entry.name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild options from :meth:`to_dict`; types and ranges are checked.

        Raises:
            ConfigError: fields are missing, unknown or do not fit, or a class is none for its place.
            RunError: a class is not one of motet's, and the program has not defined or imported it.
        """
        try:
            return _build(cls, data)
        except ConfigError as error:
            raise ConfigError(f"a stored configuration cannot be read: {error}") from error
        except (KeyError, TypeError, AttributeError, ImportError, ValueError) as error:
            raise ConfigError(f"a stored configuration cannot be read: {error!r}") from error


def near_names(name: str, known: Sequence[str]) -> list[str]:
    """Names that may have been meant by one that does not exist."""
    bare = name.lower().replace("-", "_")
    meant = _SYNONYMS.get(bare, "")
    if meant in known:
        return [meant]
    return get_close_matches(bare, known, n=3)


def differences(ours: Options, theirs: Options, *, ignored: frozenset[str] = frozenset()) -> list[str]:
    """``name is theirs, not ours`` for every option that both have, that differs and that matters."""
    mine, other = ours.flat(), theirs.flat()
    names = [k for k in mine if k in other and k not in ignored and mine[k] != other[k]]
    return [f"{k} is {other[k]}, not {mine[k]}" for k in names]


def unboxed(value: Any) -> Any:
    """A number of numpy or torch as one of Python; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def convert(hint: Any, value: Any, name: str) -> Any:
    """``value`` as the annotated type, inside its bounds.

    Raises:
        ConfigError: names the option, the value and what it must be.
    """
    value = unboxed(value)
    bounds = None
    while typing.get_origin(hint) is Annotated:
        bounds = next((m for m in hint.__metadata__ if isinstance(m, Bounds)), bounds)
        hint = hint.__origin__
    made = _typed(hint, value, name)
    if bounds is not None and made is not None:
        for number in made if isinstance(made, tuple) else (made,):
            if not bounds.hold(number):
                shown = ", ".join(map(str, made)) if isinstance(made, tuple) else made
                raise ConfigError(f"{name} is {shown}; it must be {bounds}")
    return made


def _typed(hint: Any, value: Any, name: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _one_of(typing.get_args(hint), value, name)
    if origin is Literal:
        choices = typing.get_args(hint)
        value = next((c for c in choices if c == str(value)), value)  # 32 where "32" is one of them
        if value not in choices or (isinstance(value, bool) and True not in choices and False not in choices):
            raise ConfigError(f"option {name} is {value!r}, it must be one of {', '.join(map(str, choices))}")
        return value
    if origin is tuple:
        return _several(typing.get_args(hint), value, name)
    if origin is not None:
        hint = origin
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ConfigError(f"option {name} is a number of {counted(len(str(abs(value))), 'digit')}, which is too large")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is not bool and isinstance(value, bool))):
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, hint.__name__)
        raise ConfigError(f"option {name} is {value!r}, it must be {kind}")
    return value


def _one_of(hints: Sequence[Any], value: Any, name: str) -> Any:
    if value is None and type(None) in hints:
        return None
    inner = [h for h in hints if h is not type(None)]
    for hint in inner[:-1]:
        try:
            return convert(hint, value, name)
        except ConfigError:
            continue
    return convert(inner[-1], value, name)


def _several(items: Sequence[Any], value: Any, name: str) -> Any:
    if isinstance(value, str) or not isinstance(value, Collection):
        value = (value,)
    elif not isinstance(value, Sequence):
        value = tuple(value)
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise ConfigError(f"option {name} is {tuple(value)!r}, it must be {counted(len(items), 'value')}")
    made = tuple(convert(item, v, name) for item, v in zip(items, value, strict=True))
    return value if isinstance(value, tuple) and all(a is b for a, b in zip(made, value, strict=True)) else made


def _hints(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = _resolved(kind)
    return found


@cache
def _resolved(kind: Any) -> dict[str, Any]:
    found = typing.get_type_hints(kind, include_extras=True)
    return {entry.name: found[entry.name] for entry in fields(kind)}


def _homes(node: Options, path: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Option -> names of the groups that it lies in."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in fields(node):
        value = getattr(node, entry.name)
        inner = _homes(value, (*path, entry.name)) if isinstance(value, Options) else {entry.name: path}
        twice = sorted(found.keys() & inner)
        if twice:
            raise AssertionError(f"two options are called {', '.join(twice)}")
        found |= inner
    return found


def _replaced(node: Any, changed: Mapping[tuple[str, ...], Mapping[str, Any]]) -> Any:
    """A copy with the values of all groups, by their paths, changed at once: what is checked together fits together."""
    values = dict(changed.get((), {}))
    for name in dict.fromkeys(path[0] for path in changed if path):
        inner = {path[1:]: own for path, own in changed.items() if path[:1] == (name,)}
        values[name] = _replaced(getattr(node, name), inner)
    return replace(node, **values) if values else node


def _group(hint: Any) -> type[Options] | None:
    """The class of a group of options; None for a plain option."""
    return hint if isinstance(hint, type) and issubclass(hint, Options) else None


def _all_names(kind: type[Options]) -> set[str]:
    found: set[str] = set()
    for name, hint in _hints(kind).items():
        inner = _group(hint)
        found |= {name} if inner is None else _all_names(inner)
    return found


def _build(kind: type[O], data: Any) -> O:
    if not isinstance(data, Mapping):
        raise ConfigError(f"it holds {type(data).__name__} where options should be")
    hints = _hints(kind)
    loose = {name: value for name, value in data.items() if name not in hints}
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        inner = _group(hint)
        if inner is None:
            if name in data:
                values[name] = data[name]
            continue
        given = data.get(name)
        if isinstance(given, Options):
            values[name] = given
            continue
        part = dict(given) if isinstance(given, Mapping) else {}
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"{name} is {given!r}, it must hold options")
        chosen = _named_class(part, inner)
        # earlier versions kept some options one level higher
        part |= {k: loose.pop(k) for k in list(loose) if k in _all_names(chosen)}
        if part or given is not None:
            values[name] = _build(chosen, part)
    if loose:
        raise ConfigError(f"unknown option {', '.join(sorted(map(str, loose)))}")
    return kind(**values)


def _named_class(part: dict[str, Any], usual: type[Options]) -> type[Options]:
    """The class that stored options name, taken out of them; ``usual`` where they name none."""
    if "module" not in part:
        return usual
    module, name = part.pop("module"), part.pop("class")
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ConfigError(f"it names the method {module}.{name}, which is not one of motet's")
    # nothing foreign is imported: another module's class is known where the program has it already
    kind = getattr(import_module(module) if module.startswith("motet.") else sys.modules.get(module), name, None)
    if kind is None:
        raise RunError(
            f"the run is of the method {module}.{name}, which is not one of motet's: define or import it before the "
            "run is opened, or put it into a module of motet.methods"
        )
    if not (isinstance(kind, type) and issubclass(kind, usual)):
        raise ConfigError(f"it names the method {module}.{name}, which is none for {usual.__name__}")
    return kind
