"""The configuration engine: types and ranges hold for options that are given, changed and read back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Fraction, Options, Positive, convert, differences
from motet.methods import recipes
from motet.methods.recipe import Recipe


@dataclass(frozen=True)
class Inner(Options):
    width: Count = 4
    shares: Annotated[tuple[float, ...], Bounds(above=0)] = (0.5,)


@dataclass(frozen=True)
class Outer(Options):
    lr: Positive = 0.1
    mask: Fraction = 0.0
    mode: Literal["a", "b"] = "a"
    most: Count | None = None
    scale: tuple[float, float] = (0.5, 1.0)
    released: bool = False
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, "lr is 0.0; it must be above 0"),
        ({"lr": math.nan}, "lr is nan; it must be above 0"),
        ({"lr": "fast"}, "option lr is 'fast', it must be a number"),
        ({"lr": True}, "option lr is True, it must be a number"),
        ({"mask": 1.5}, "mask is 1.5; it must be 0 or more and at most 1"),
        ({"mode": "c"}, "option mode is 'c', it must be one of a, b"),
        ({"most": 0}, "most is 0; it must be 1 or more"),
        ({"scale": (1.0,)}, "it must be 2 values"),
        ({"released": 1}, "option released is 1, it must be true or false"),
        ({"width": 2.5}, "option width is 2.5, it must be a whole number"),
        ({"shares": (1.0, -1.0)}, "shares is 1.0, -1.0; it must be above 0"),
        ({"learning_rate": 1.0}, r"has no option 'learning_rate'; did you mean lr\?"),
        ({"widht": 1}, r"did you mean width\?"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outer().with_options(options)


def test_numbers_of_numpy_and_torch_count_as_those_of_python() -> None:
    made = Outer().with_options({"lr": np.float32(0.5), "width": np.int64(3), "shares": np.array([0.5, 0.25])})
    assert (made.lr, made.inner.width, made.inner.shares) == (0.5, 3, (0.5, 0.25))
    assert {type(v) for v in (made.lr, *made.inner.shares)} == {float}
    assert type(made.inner.width) is int
    assert convert(Count, torch.tensor(7), "n") == 7
    assert convert(tuple[float, ...], {1: 0, 2: 0}.keys(), "shares") == (1.0, 2.0)
    assert convert(Literal["32", "bf16"], 32, "precision") == "32"


def test_values_are_converted_and_nothing_else_changes() -> None:
    made = Outer().with_options({"lr": 1, "scale": [0, 1], "width": 8, "shares": 2})
    assert (made.lr, made.scale, made.inner.width, made.inner.shares) == (1.0, (0.0, 1.0), 8, (2.0,))
    assert isinstance(made.lr, float)
    assert made.names() == ["lr", "mask", "mode", "most", "scale", "released", "width", "shares"]
    assert differences(made, Outer(), ignored=frozenset({"lr"})) == [
        "scale is (0.5, 1.0), not (0.0, 1.0)",
        "width is 4, not 8",
        "shares is (0.5,), not (2.0,)",
    ]


@given(
    st.floats(1e-9, 1e9),
    st.floats(0, 1),
    st.sampled_from(["a", "b"]),
    st.none() | st.integers(1, 99),
    st.integers(1, 99),
)
def test_json_and_back(lr: float, mask: float, mode: str, most: int | None, width: int) -> None:
    made = Outer().with_options({"lr": lr, "mask": mask, "mode": mode, "most": most, "width": width})
    assert Outer.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    "forged",
    [
        [],
        {"inner": 3},
        {"lr": "0.1"},
        {"lr": None},
        {"epochs": -1},
        {"method": {"module": "os", "class": "system"}},
        {"method": {"module": "motet.core.errors", "class": "RunError"}},
        {"method": {"module": "motet.methods.nowhere", "class": "X"}},
        {"method": {"module": 3, "class": None}},
        {"encoder": {"hidden": 1e9}},
        {"augment": {"mask": [1]}},
        {"streams": [{"joint": 1}]},
        {"colour": 1},
    ],
)
def test_a_forged_configuration_is_one_line(forged: Any) -> None:
    data = recipes.get("cmd/small").to_dict()
    with pytest.raises(ConfigError, match="a stored configuration cannot be read") as error:
        Recipe.from_dict({**data, **forged} if isinstance(forged, dict) else forged)
    assert "\n" not in str(error.value)


def test_options_of_earlier_versions_lie_one_level_higher() -> None:
    data = recipes.get("cmd/small").to_dict()
    data |= {name: value for name, value in data.pop("loop").items() if name != "device"} | {"device": "cpu"}
    assert Recipe.from_dict(data).loop.device == "cpu"


def test_bounds_say_what_they_are() -> None:
    assert str(Bounds(least=0, below=1)) == "0 or more and below 1"
    assert str(Bounds()) == "finite"
    with pytest.raises(ConfigError, match="x is inf; it must be finite"):
        convert(Annotated[float, Bounds()], math.inf, "x")
