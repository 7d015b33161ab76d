"""Numbers out of their range: the message names option, value and range, from Python and from the command line."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from motet.cli import main
from motet.core.errors import ConfigError
from motet.methods.distillation import Motion, settings_for
from motet.methods.distillation.methods import METHODS
from motet.methods.distillation.networks import Networks
from motet.methods.distillation.raw.options import Audio, Speech, Text, Video
from motet.methods.distillation.settings import Training
from tests.methods.distillation.toys import write_table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lr -1", "lr is -1.0; it must be above 0"),
        ("--lr nan", "lr is nan; it must be above 0"),
        ("--weight-decay inf", "weight_decay is inf; it must be 0 or more"),
        ("--momentum 1", "momentum is 1.0; it must be 0 or more and below 1"),
        ("--milestones 3 -3", "milestones is 3, -3; it must be 0 or more"),
        ("--batch-size 1", "batch_size is 1; it must be 2 or more"),
        ("--hidden 8 0", "hidden is 8, 0; it must be 1 or more"),
        ("--dropout 1", "dropout is 1.0; it must be 0 or more and below 1"),
        ("--beta 1.5", "beta is 1.5; it must be 0 or more and at most 1"),
        ("--warm-up -3", "warm_up is -3; it must be 0 or more"),
        ("--denominator -2", "denominator is -2.0; it must be above 0"),
        ("--frames 0", "frames is 0; it must be 1 or more"),
        ("--folds 1", "folds is 1; it must be 2 or more"),
        ("--seeds -1", "seeds are (-1,); they must be different and not negative"),
        ("--method crd --memory-momentum 2", "memory_momentum is 2.0; it must be 0 or more and at most 1"),
        ("--method crcd --last-alone -1", "last_alone is -1.0; it must be 0 or more and at most 1"),
        ("--method gmc --latent 0", "latent is 0; it must be 1 or more"),
        ("--method kd --kd-temperature 0", "kd_temperature is 0.0; it must be above 0"),
        ("--method ccl --ccl -1", "ccl is -1.0; it must be 0 or more"),
    ],
)
def test_a_number_out_of_range(tmp_path: Path, words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = str(write_table(tmp_path / "t.npz")), tmp_path / "run"
    given = ["distill", table, "--target", "eye", "--auxiliary", "ear", "--out", str(out), *words.split()]
    assert main(given) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"error: {said}")
    assert "\n" not in error
    assert not out.exists()


PARTS = [*METHODS.values(), Networks(), Training(), Motion(), Video(), Audio(), Speech(), Text()]


@pytest.mark.parametrize("options", PARTS, ids=lambda options: type(options).__name__)
def test_every_number_has_a_range(options: Any) -> None:
    """NaN and a very negative number are refused, whichever option it is; the defaults are not."""
    assert replace(options) == options
    numbers = [f.name for f in fields(options) if type(getattr(options, f.name)) in (int, float)]
    for name in numbers:
        for value in (math.nan, -(10**9)):
            with pytest.raises(ConfigError, match=f"^(option )?{name} is .*it must be "):
                replace(options, **{name: value})


def test_an_option_of_another_method_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(write_table(tmp_path / "t.npz"))
    words = ["distill", table, "--target", "eye", "--auxiliary", "ear", "--out", str(tmp_path / "run")]
    for flags, said in (
        (["--crd", "0.5"], "there is no option --crd here; it belongs to --method crd, not to amid"),
        (["--method", "alone", "--warm-up", "3"], "--warm-up here; it belongs to --method amid or nce, not to alone"),
        (["--temprature", "1"], "there is no option --temprature here; did you mean --temperature?"),
    ):
        assert main([*words, *flags]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(ConfigError, match="method kd has no option 'latent'; it belongs to gmc"):
        settings_for("kd").with_options({"latent": 3})
