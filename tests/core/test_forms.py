"""Forms of stored JSON."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import pytest

from motet.core.errors import ConfigError
from motet.core.forms import checked
from motet.core.options import Bounds
from motet.methods.distillation.identity import DistillConfig


class Inner(TypedDict):
    at: Annotated[int, Bounds(least=0, most=9)]
    name: NotRequired[str]


class Outer(TypedDict):
    parts: list[Inner]
    by_name: dict[str, float | None]
    mixed: NotRequired[int | list[int]]


FINE: dict[str, Any] = {"parts": [{"at": 3, "name": "x"}, {"at": 0}], "by_name": {"a": 1, "b": None}, "mixed": [1]}


def test_what_fits_passes_with_fields_that_nobody_names() -> None:
    checked(Outer, FINE, "f.json")
    checked(Outer, FINE | {"mixed": 2, "foreign": object()}, "f.json")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"parts": {}}, "parts is '{}', it must be a list"),
        ({"parts": [{"at": 3}, {}]}, r"parts\[1\].at is missing"),
        ({"parts": [{"at": -1}]}, r"parts\[0\].at is -1; it must be 0 or more and at most 9"),
        ({"parts": [{"at": 2**70}]}, r"parts\[0\].at is a number of 22 digits, which is too large"),
        ({"parts": [{"at": True}]}, r"parts\[0\].at is True, it must be a whole number"),
        ({"parts": [{"at": 1, "name": 2}]}, r"parts\[0\].name is 2, it must be text"),
        ({"by_name": {"a": "x"}}, "by_name.a is 'x', it must be a number"),
        ({"by_name": {"a": 10**400}}, "by_name.a is a number of 401 digits"),
        ({"mixed": "x"}, "mixed is 'x', it must be a list"),
        ({"mixed": None}, "mixed is 'None', it must be a list"),
    ],
)
def test_what_does_not_fit_is_one_line_with_file_and_field(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^f\.json: {said}") as error:
        checked(Outer, FINE | wrong, "f.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"), [("auxiliary", 3), ("tables", [7]), ("tables", ...), ("folds", -1), ("target", [None])]
)
def test_the_plan_of_a_distillation_has_a_form(field: str, value: object) -> None:
    plan = {"target": ["a"], "auxiliary": [], "tables": ["t.npz"], field: value}
    plan = {key: found for key, found in plan.items() if found is not ...}  # left out
    with pytest.raises(ConfigError, match=rf"config\.json: plan\.{field}"):
        checked(DistillConfig, {"settings": {}, "plan": plan}, "config.json")
