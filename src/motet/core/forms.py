"""What JSON of a file must look like: a ``TypedDict`` says it, :func:`checked` compares."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from motet.core.errors import ConfigError
from motet.core.options import convert


def checked(form: Any, content: Any, where: object) -> None:
    """Compare plain data with its form; fields that the form does not name may be anything.

    Args:
        form: a ``TypedDict``, or any annotation of its fields: ``list[…]``, ``dict[…, …]``, ``… | None``, ``Literal``,
            ``str``, ``int``, ``float``, ``bool``, and ``Annotated`` with :class:`~motet.core.options.Bounds` or with a
            function that reads the value and raises ConfigError.
        content: what a file holds.
        where: the file, for the message.

    Raises:
        ConfigError: names the file, the field and what it must be.
    """
    try:
        _compare(form, content, "")
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix('option ')}") from error


def _compare(form: Any, content: Any, place: str) -> None:
    origin = typing.get_origin(form)
    if typing.is_typeddict(form):
        _compare_fields(form, content, place)
    elif origin in (typing.Union, types.UnionType):
        _compare_any(typing.get_args(form), content, place)
    elif origin is list:
        for number, value in enumerate(_is(list, content, place)):
            _compare(typing.get_args(form)[0], value, f"{place}[{number}]")
    elif origin is dict:
        for name, value in _is(dict, content, place).items():
            _compare(typing.get_args(form)[1], value, _below(place, name))
    elif origin is Annotated and any(map(callable, form.__metadata__)):
        _compare(form.__origin__, content, place)
        for read in filter(callable, form.__metadata__):
            try:
                read(content)
            except ConfigError as error:
                raise ConfigError(f"{place}: {error}") from error
    elif form is not Any:
        convert(form, content, place or "it")


def _compare_fields(form: Any, content: Any, place: str) -> None:
    hints = typing.get_type_hints(form, include_extras=True)
    given: Mapping[str, Any] = _is(dict, content, place)
    for name, hint in hints.items():
        optional = (
            typing.get_origin(hint) is typing.NotRequired
        )  # __required_keys__ cannot see through text annotations
        if name in given:
            _compare(typing.get_args(hint)[0] if optional else hint, given[name], _below(place, name))
        elif not optional:
            raise ConfigError(f"{_below(place, name)} is missing")


def _compare_any(forms: tuple[Any, ...], content: Any, place: str) -> None:
    inner = [form for form in forms if form is not type(None)]
    if content is None and len(inner) < len(forms):
        return
    for form in inner[:-1]:
        try:
            return _compare(form, content, place)
        except ConfigError:
            continue
    _compare(inner[-1], content, place)


def _is(kind: type[Any], content: Any, place: str) -> Any:
    if not isinstance(content, kind):
        what = "a list" if kind is list else "an object"
        raise ConfigError(f"{place or 'it'} is {str(content)[:60]!r}, it must be {what}")
    return content


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
