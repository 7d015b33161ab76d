from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from motet.core.errors import ConfigError
from motet.core.scales import ticks
from motet.report import Confusion, Curve, Fact, Motion, ReportData, build, charts
from tests.report.made_up import BODY, SENSOR, made_up, rows, walks

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{data}}"


class Page(HTMLParser):
    """Elements, their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)

    @property
    def data(self) -> dict[str, object]:
        return dict(json.loads(next(s for s in self.scripts if s.startswith("{"))))

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_nothing_is_fetched() -> None:
    text = build(made_up())
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    for tag, attributes in Page(text).elements:
        assert tag not in ("link", "iframe", "img", "object", "embed"), tag
        assert "src" not in attributes
    assert "default-src 'none'" in text


def test_equal_data_give_equal_pages() -> None:
    assert build(made_up()) == build(made_up())
    assert build(made_up()) != build(made_up(seed=1))


def test_hostile_names_stay_text() -> None:
    plain = made_up()
    assert plain.clip_map is not None
    count = len(plain.clip_map.names)
    hostile = replace(
        plain,
        title=EVIL,
        method=EVIL,
        licence=EVIL,
        command=EVIL,
        notes=[EVIL],
        recipe=[Fact(EVIL, EVIL, EVIL)],
        class_names=[EVIL] * len(plain.class_names),
        rows=[replace(row, stream=EVIL, protocol=EVIL, over=EVIL) for row in rows()],
        curves=[Curve(EVIL, EVIL, EVIL, {EVIL: [(0, 1.0), (1, 2.0)]})],
        confusion=Confusion(np.eye(4, dtype=int) + 1, [EVIL] * 4, EVIL),
        clip_map=replace(plain.clip_map, names=[EVIL] * count, source=EVIL, sets=EVIL),
        motion=Motion(replace(BODY, joints=(EVIL, *BODY.joints[1:]), canonical=()), ("x", "y", "z"), walks(count)),
    )
    page, tame = Page(build(hostile)), Page(build(plain))
    assert len(page.scripts) == len(tame.scripts)
    assert "img" not in {tag for tag, _ in page.elements}
    assert not [a for _, a in page.elements if "onerror" in a]
    assert page.data["classes"] == [EVIL] * 4
    assert page.words.count("{{data}}") > 10


def test_the_numbers_in_the_page_are_those_given() -> None:
    data = made_up(count=30)
    page = Page(build(data))
    points = page.data["points"]
    assert isinstance(points, dict)
    assert data.clip_map is not None
    assert np.asarray(points["xy"]) == pytest.approx(data.clip_map.xy, abs=1e-4)
    assert points["near"] == data.clip_map.neighbours.tolist()
    assert points["label"] == data.clip_map.labels.tolist()
    assert "84.0 ± 0.5" in page.words
    assert "85.0" in page.words  # best epoch, next to it
    assert "Most frequent" in page.words


def test_simulated_data_are_called_simulated() -> None:
    assert "Simulated data." not in Page(build(made_up())).words
    assert "Simulated data. No person was recorded" in Page(build(replace(made_up(), simulated=True))).words


def test_a_limited_map_says_so() -> None:
    data = made_up(count=40)
    assert data.clip_map is not None
    assert "all 40 test clips" in Page(build(data)).words
    limited = replace(data, clip_map=replace(data.clip_map, total=16_487))
    assert "40 of 16,487 test clips, every class in proportion" in Page(build(limited)).words


def test_a_page_without_results_still_stands() -> None:
    page = Page(build(ReportData("Bare", "CMD", notes=["Run: motet evaluate runs/a"])))
    assert "This run has not been evaluated yet." in page.words
    assert "Run: motet evaluate runs/a" in page.words
    assert "canvas" not in {tag for tag, _ in page.elements}
    assert "Did learning help?" not in page.words


def test_unlabelled_clips_and_sensors() -> None:
    data = made_up(count=12, motion=Motion(SENSOR, ("x", "y", "z"), walks(12, skeleton=SENSOR), None))
    assert data.clip_map is not None
    unlabelled = replace(data, class_names=[], clip_map=replace(data.clip_map, labels=np.full(12, -1), scores={}))
    page = Page(build(unlabelled))
    assert page.data["clusters"] == [f"group {i + 1}" for i in range(4)]
    assert "The frame rate is unknown" in page.words


def test_a_thousand_clips_stay_below_fifteen_megabytes() -> None:
    joints = tuple(f"j{i}" for i in range(25))
    skeleton = replace(BODY, joints=joints, parents=(-1, *range(24)), mirror=(), canonical=())
    clips = walks(1000, frames=40, persons=2, skeleton=skeleton)
    text = build(made_up(count=1000, motion=Motion(skeleton, ("x", "y", "z"), clips, 30.0)))
    assert 5e6 < len(text) < 15e6


@pytest.mark.parametrize("part", ["names", "labels", "clusters"])
def test_arrays_that_do_not_belong_together_are_refused(part: str) -> None:
    data = made_up(count=10)
    assert data.clip_map is not None
    shorter = replace(data.clip_map, **{part: getattr(data.clip_map, part)[:-1]})
    with pytest.raises(ConfigError, match=f"10 positions but 9 {part}"):
        build(replace(data, clip_map=shorter))


def test_wrong_class_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="label 3 has no name among 2 classes"):
        build(replace(made_up(), class_names=["a", "b"]))
    with pytest.raises(ConfigError, match=r"confusion of shape \(4, 4\) for 1 class name"):
        build(replace(made_up(), confusion=Confusion(np.eye(4, dtype=int), ["a"])))


def test_curves_are_thinned_without_losing_their_mean_and_skip_what_is_not_finite() -> None:
    points = [(float(i), float(i % 7)) for i in range(5000)]
    thin = charts.thin([*points, (5000.0, float("nan"))])
    assert len(thin) == charts.CURVE_POINTS
    assert np.mean([y for _, y in thin]) == pytest.approx(np.mean([y for _, y in points]), rel=1e-2)
    assert charts.curve(Curve("x", "", "epoch", {"a": [(0, float("inf"))]}), 0) == ""
    text = build(replace(made_up(), curves=[Curve("x", "", "epoch", {"a": [(0, float("nan")), (1, 2.0)]})]))
    assert "NaN" not in Page(text).scripts[1]


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (3, 96, [25, 50, 75]), (0.002, 0.0021, None), (5, 5, [5])],
)
def test_ticks_are_round_and_inside(low: float, high: float, want: list[float] | None) -> None:
    found = ticks(low, high)
    assert all(low <= t <= high for t in found)
    assert 1 <= len(found) <= 6
    if want is not None:
        assert found == want


def test_bars_are_as_long_as_their_values() -> None:
    drawn = charts.bars(rows(), 25.0)
    assert re.findall(r'class="fill" style="width:([\d.]+)%', drawn) == [
        "65.00",
        "75.00",
        "70.00",
        "60.00",
        "80.00",
        "84.00",
    ]
    assert drawn.count('class="guess"') == 6
    assert drawn.count('class="whisker"') == 4  # a single value has no spread
