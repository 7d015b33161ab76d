"""Words of the command line into typed options, and what is said of words that do not fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from motet.cli.entries import Arg, Positional, Prefixed, entries
from motet.cli.parse import parse, stated
from motet.cli.result import Output
from motet.core.errors import ConfigError
from motet.core.options import HIDDEN, Count, Options


@dataclass(frozen=True)
class Inner(Options):
    name: Annotated[str, HIDDEN] = "inner"
    lr: float = 0.1
    hidden: Count = 8
    optimiser: Literal["sgd", "adam"] = "sgd"
    drops: tuple[int, ...] | None = None
    ratio: tuple[float, float] = (0.5, 2.0)
    scale: Literal["auto"] | float = "auto"
    norm: bool = True
    batch_size: int = 4


@dataclass
class Verb(Output):
    """Does something."""

    source: Positional[Path]
    more: Positional[tuple[str, ...]]
    out: Path
    seeds: tuple[int, ...] = ()
    split: str | None = None
    classes: Literal[14, 28] = 14
    again: bool = False
    inner: Inner = field(default_factory=Inner)
    knn: Prefixed[Inner] = field(default_factory=Inner)


def read(line: str) -> Verb:
    return parse(Verb, line.split(), "motet verb")


def test_words_become_typed_values() -> None:
    given = read(
        "src a b --out o --seeds 3 -1 --split odd-even --classes 28 --again --lr -1e-3 --hidden=16 --optimiser adam "
        "--drops 1 2 --ratio 0.25 4 --scale 1.5 --no-norm --knn.lr 7 --batch_size 5 --knn.no-norm --quiet"
    )
    assert (given.source, given.more, given.out) == (Path("src"), ("a", "b"), Path("o"))
    assert (given.seeds, given.split, given.classes, given.again, given.quiet) == ((3, -1), "odd-even", 28, True, True)
    assert given.inner == Inner("inner", -1e-3, 16, "adam", (1, 2), (0.25, 4.0), 1.5, False, 5)
    assert given.knn == Inner(lr=7.0, norm=False)
    assert given.json is None


def test_what_is_not_said_keeps_its_default() -> None:
    given = parse(
        Verb, ["src", "--out=o", "--drops", "None"], "motet verb", defaults={"inner": Inner(lr=3.0, drops=None)}
    )
    assert given.inner == Inner(lr=3.0)
    assert given.more == ()


def test_one_place_for_one_value_and_words_after_two_dashes() -> None:
    assert read("--out o -- --odd b").more == ("b",)
    assert read("--out o -- --odd b").source == Path("--odd")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("src", "missing --out (see `motet verb --help`)"),
        ("--out o", "missing SOURCE"),
        ("src --out", "--out needs a value"),
        ("src --out --again", "--out needs a value"),
        ("src --out o --seeds 1 x", "--seeds takes a whole number, not 'x'"),
        ("src --out o --lr fast", "--lr takes a number, not 'fast'"),
        ("src --out o --optimiser adan", "--optimiser takes one of sgd, adam, not 'adan'; did you mean adam?"),
        ("src --out o --classes 15", "--classes takes one of 14, 28, not '15'"),
        ("src --out o --scale x", "--scale takes a number or one of auto, not 'x'"),
        ("src --out o --ratio 1", "--ratio takes 2 values, not 1"),
        ("src --out o --again=perhaps", "--again takes true or false, not 'perhaps'"),
        ("src --out o --hidden 0", "hidden is 0; it must be 1 or more"),
        ("src --out o --learning-rate 1", "there is no option --learning-rate here; did you mean --lr?"),
        ("src --out o --learning_rate=1", "there is no option --learning_rate here; did you mean --lr?"),
        ("src --out o --bs 1", "did you mean --batch-size?"),
        ("src --out o --hiden 1", "did you mean --hidden"),
        ("src --out o --knn.leaning 1", "there is no option --knn.leaning here"),
        ("src --out o -x", "there is no option -x here"),
        ("src --out o --name x", "there is no option --name here"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(line: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(line)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_word_too_many_is_named() -> None:
    @dataclass
    class One(Output):
        source: Positional[Path]

    with pytest.raises(ConfigError, match="'b' is one argument too many"):
        parse(One, ["a", "b"], "motet one")


def test_an_option_that_belongs_elsewhere_is_said_first() -> None:
    with pytest.raises(ConfigError, match="--warm here; it belongs to --method amid"):
        parse(Verb, ["s", "--out", "o", "--warm"], "motet verb", elsewhere=lambda flag: "it belongs to --method amid")


def test_names_that_were_stated() -> None:
    assert stated(["--no-norm", "x", "--batch_size=3", "--lr", "-1"]) == {"norm", "batch_size", "lr"}


def test_the_short_help_shows_what_everybody_sets() -> None:
    shown = {e.name for e in entries(Verb) if e.shown}
    assert {"source", "out", "lr", "batch_size", "split", "json"} <= shown
    assert not {"hidden", "norm", "knn.lr", "name"} & shown
    assert Arg().shown is None
