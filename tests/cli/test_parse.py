"""Words of the command line into typed options, and what is said of words that do not fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from motet.cli.entries import Arg, Positional, Prefixed, entries
from motet.cli.parse import is_set, parse, stated, value_of
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
    outliers: Annotated[bool, Arg(earlier="odd")] = True
    companion: Annotated[tuple[str, ...], Arg(earlier="beside")] = ()
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


def test_names_of_earlier_releases_are_accepted_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    given = read("src --out o --no-odd --beside a b --companion c")
    assert (given.outliers, given.companion) == (False, ("c",))
    assert not read("src --out o --no-outliers --odd --no-outliers").outliers
    with pytest.raises(SystemExit):
        read("--help-all")
    shown = capsys.readouterr().out
    assert "--companion" in shown
    assert "beside" not in shown
    assert "odd" not in shown


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
        ("src --out=", "--out takes a path, not ''"),
        ("src --out o --seeds", "--seeds needs a value"),
        ("src --out o --seeds 1e3", "--seeds takes a whole number, not '1e3'"),
        ("src --out o --again False", "--again stands alone or is written --again=False"),
        ("src --out o --no-norm true", "--no-norm stands alone or is written --no-norm=true"),
        ("src --out o --batch 8", "there is no option --batch here; did you mean --batch-size?"),
        (f"src --out o --lr {'x' * 500}", f"--lr takes a number, not '{'x' * 60}…' (see"),
        (f"src --out o --{'x' * 500}", f"there is no option --{'x' * 58}… here"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(line: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(line)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "field_", "value"),
    [
        (["--out", "-o"], "out", Path("-o")),
        (["--out", "two words/ä"], "out", Path("two words/ä")),
        (["--out=a=b"], "out", Path("a=b")),
        (["--out", "a", "--out", "b"], "out", Path("b")),
        (["--out", "o", "--seeds", "1", "2", "--seeds=3"], "seeds", (3,)),
        (["--out", "o", "--split", ""], "split", ""),
        (["--out", "o", "--split=None"], "split", None),
        (["--out", "o", "--again=no"], "again", False),
        (["--out", "o", "--again", "--no-again"], "again", False),
        (["--out", "o", "--inner-lr"], None, "no option --inner-lr"),
        (["--out", "o", "--no_norm", "--knn.batch_size", "9"], "knn", Inner(batch_size=9)),
        (["--out", "o", "--drops"], "inner", Inner(drops=())),
        (["--out", "o", "--drops=None"], "inner", Inner()),
        (["--out", "o", "--scale", "-inf"], "inner", Inner(scale=float("-inf"))),
        (["--out", "o", "--bad\nname"], None, r"no option --bad\nname here"),
    ],
)
def test_spellings_that_people_use(words: list[str], field_: str | None, value: object) -> None:
    if field_ is None:
        with pytest.raises(ConfigError) as error:
            parse(Verb, ["src", *words], "motet verb")
        assert str(value) in str(error.value)
        assert "\n" not in str(error.value)
    else:
        assert getattr(parse(Verb, ["src", *words], "motet verb"), field_) == value


def test_values_before_anything_is_parsed_are_those_that_parse_takes() -> None:
    words = [
        "--data",
        "--out",
        "x",
        "--from_run=a",
        "--from-run",
        "b",
        "--as_released",
        "--split",
        "-1",
        "--",
        "--data",
        "y",
    ]
    assert [value_of(words, flag) for flag in ("--data", "--out", "--from-run", "--split")] == [None, "x", "b", "-1"]
    assert is_set(words, "--as-released")
    assert is_set(["--as-released=true"], "--as-released")
    assert not is_set(["--as-released=false"], "--as-released")


def test_json_to_the_terminal_takes_the_place_of_the_text(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for quiet in (False, True):
        Output(json=Path("-"), quiet=quiet).done("| a table |", {"acc": 0.5})
        assert json.loads(capsys.readouterr().out) == {"acc": 0.5}
    Output(quiet=True, json=Path("r.json")).done("| a table |", {"acc": 0.5})
    assert capsys.readouterr().out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


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
