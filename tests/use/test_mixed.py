"""Mixed models against what they are in balanced designs, where exact tests exist."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from motet.cli import main
from motet.core.errors import ConfigError
from motet.use.compare import compare


def measured(
    effect: float, *, crossed: bool, people: int = 5, each: int = 4, groups: tuple[str, ...] = ("a", "b")
) -> pl.DataFrame:
    """Measurements ``each`` times of people in groups; a group adds ``effect`` to the one before."""
    random = np.random.default_rng(3)
    same = random.normal(0, 2, people)
    rows = []
    for number, group in enumerate(groups):
        own = same if crossed else random.normal(0, 2, people)
        for i in range(people):
            who = f"p{i}" if crossed else f"{group}{i}"
            rows += [
                {"person": who, "group": group, "speed": 300 + own[i] + effect * number + random.normal(), "still": 1.0}
                for _ in range(each)
            ]
    return pl.DataFrame(rows)


def test_a_person_is_one_however_often_measured() -> None:
    """Balanced and nested, REML is the t-test of the means of people: more measurements of few people prove little."""
    pytest.importorskip("statsmodels")
    table = measured(3.0, crossed=False)
    result = compare(table, "group", model="mixed")
    assert [t["measure"] for t in result["tests"]] == ["speed"]
    test = result["tests"][0]
    means = table.group_by("group", "person", maintain_order=True).agg(pl.col("speed").mean())
    a, b = (means.filter(group=g)["speed"].to_numpy() for g in ("a", "b"))
    want = stats.ttest_ind(b, a)
    assert test["p"] == pytest.approx(want.pvalue, rel=1e-2)
    assert test["difference"] == pytest.approx(b.mean() - a.mean(), rel=1e-4)
    assert test["interval_95"] == pytest.approx(list(want.confidence_interval()), rel=1e-2)
    within = table.group_by("person").agg(pl.col("speed").var())["speed"].mean()
    between = (a.var(ddof=1) + b.var(ddof=1)) / 2 - within / 4
    assert test["between_people"] == pytest.approx(between / (between + within), rel=1e-2)
    assert test["effect"] == pytest.approx((b.mean() - a.mean()) / np.sqrt(between + within), rel=1e-2)
    assert (test["measurements"], test["people"]) == (40, {"a": 5, "b": 5})


def test_the_same_people_are_compared_within_themselves() -> None:
    """Balanced and crossed, it is the additive analysis of variance: what people share does not count."""
    pytest.importorskip("statsmodels")
    table = measured(0.8, crossed=True)
    result = compare(table, "group", model="mixed")
    assert result["paired"]
    y = table["speed"].to_numpy().reshape(2, 5, 4)
    fitted = y.mean(axis=(1, 2))[:, None] + y.mean(axis=(0, 2))[None] - y.mean()
    freedom = 40 - 5 - 1
    noise = ((y - fitted[:, :, None]) ** 2).sum() / freedom
    t = (y[1].mean() - y[0].mean()) / np.sqrt(noise * 2 / 20)
    assert result["tests"][0]["p"] == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-2)


def test_effects_that_were_made_are_found_and_no_others() -> None:
    pytest.importorskip("statsmodels")
    table = measured(6.0, crossed=False, groups=("a", "b", "c"), people=6)
    noise = np.random.default_rng(0).normal(size=len(table))
    result = compare(table.with_columns(noise=noise), "group", model="mixed")
    speed, other = result["tests"]
    assert speed["measure"] == "speed"
    assert speed["p_adjusted"] < 1e-3
    assert speed["effect_is"] == "marginal R squared"
    # shares of the variance of 0, 6 and 12, of people and of measurements: 24 + 4 + 1
    assert speed["effect"] == pytest.approx(24 / 29, abs=0.2)
    assert speed["between_people"] == pytest.approx(4 / 5, abs=0.2)
    assert other["p"] > 0.05
    assert other["between_people"] < 0.2


def test_of_bouts_every_recording_is_a_measurement() -> None:
    pytest.importorskip("statsmodels")
    random, rows = np.random.default_rng(0), []
    for i in range(24):
        person, group = i // 4, "ab"[i // 12]
        edge = 3 + 3 * (group == "b") + 0.3 * person + random.uniform(0, 0.5)
        rows += [(f"r{i}", f"p{person}", group, 0.0, edge, "walk"), (f"r{i}", f"p{person}", group, edge, 10.0, "sit")]
    table = pl.DataFrame(rows, schema=["recording", "person", "group", "start", "end", "label"], orient="row")
    test = next(t for t in compare(table, "group", model="mixed")["tests"] if t["measure"] == "share of time: walk")
    assert test["measurements"] == 24
    assert test["means"]["b"] - test["means"]["a"] == pytest.approx(test["difference"], rel=1e-4)
    assert test["p"] < 0.01


def test_what_a_mixed_model_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = measured(1.0, crossed=False)
    with pytest.raises(ConfigError, match="model is 'x'; it must be permutation or mixed"):
        compare(table, "group", model="x")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    table.write_csv(tmp_path / "t.csv")
    verb = ["compare", str(tmp_path / "t.csv"), "--by", "group", "--out", str(tmp_path / "r.json")]
    assert main([*verb, "--model", "mixed"]) == 2
    assert capsys.readouterr().err == (
        "error: mixed models need statsmodels: pip install 'motet[stats]', or leave out --model mixed\n"
    )
    assert not (tmp_path / "r.json").exists()
    assert main(verb) == 0
    monkeypatch.delitem(sys.modules, "statsmodels")
    pytest.importorskip("statsmodels")
    with pytest.raises(ConfigError, match="names nobody twice in a group"):
        compare(measured(1.0, crossed=False, each=1), "group", model="mixed")
