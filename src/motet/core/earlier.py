"""Names of earlier releases that stay accepted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def accepts(**earlier: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose keywords may have the names of an earlier release: ``@accepts(beside="companions")``.

    Raises:
        TypeError: a call names one argument by both.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **given: P.kwargs) -> R:
            for old, new in earlier.items():
                if old in given:
                    if new in given:
                        raise TypeError(f"{function.__name__}() got {new} twice, also by its earlier name {old}")
                    given[new] = given.pop(old)
            return function(*args, **given)

        return call

    return wrap
