"""The pages of docs/results: each names a command that works, and its tables can be filled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from experiments.__main__ import PAGES, RESULTS, main

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.methods import discovery as discover
from motet.methods import recipes
from motet.methods.discovery.settings import SETTINGS
from motet.methods.distillation import Motion, settings_for
from motet.methods.graphs.run import options_for
from motet.reproduce import Measure, Row, Share, Steps, Table, Times, Training
from motet.reproduce import run as engine
from motet.reproduce.page import BEGIN, END, Page, Part, fill, insert, means
from motet.reproduce.pretraining import ARGUMENTS
from motet.reproduce.report import gain
from tests.methods.test_pretrain import TINY

DATA = Path(__file__).parents[3] / "shared" / "data"
# one table of a page that needs few recordings, and which recordings
QUICK = {
    "foundation": "foundation/kard-default",
    "protocols": "protocols/kard-semi-supervised",
    "cross_sensor": "cross_sensor/utd-mhad-inertial-default",
    "halp": "halp/kard-default",
    "codt": "codt/kard-florence-methods",
    "amid": "amid/ravdess-face",
    "amid_recordings": "amid_recordings/utd",
    "graphs": "graphs/MUTAG",
}


def page(name: str) -> Page:
    found: Page = __import__(f"experiments.{name}", fromlist=["PAGE"]).PAGE
    return found


def test_every_page_names_the_command_that_fills_it() -> None:
    commands = {}
    for path in sorted(RESULTS.glob("*.md")):
        if path.stem == "index":
            continue
        for name in re.findall(r"^python -m experiments (\w+)", path.read_text(), re.MULTILINE):
            commands[name] = path.stem
    assert commands == {name: name for name in PAGES}


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not at hand")
@pytest.mark.parametrize("name", PAGES)
def test_the_command_of_each_page_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in engine.ENGINES.values():
        monkeypatch.setattr(kind, "estimate", lambda self, job: 1.0)  # no stopwatch here
    words = [name, "--data", str(DATA), "--work", str(tmp_path), "--only", QUICK[name], "--dry-run"]
    assert main(words) == 0
    said = capsys.readouterr().out
    part = next(p for p in page(name).parts if p.table.name == QUICK[name])
    assert f"{QUICK[name]} on " in said
    assert "left out" not in said
    assert 0 < said.count("seeds to train") <= len(part.table.rows)
    assert [p.name for p in tmp_path.iterdir()] in ([], ["archives"])


@pytest.mark.parametrize("name", PAGES)
def test_every_row_of_every_page_has_options_that_exist(name: str) -> None:
    for part in page(name).parts:
        assert part.table.name.startswith(f"{name}/")
        rows = [row.name for row in part.table.rows]
        assert len(set(rows)) == len(rows)
        assert all(a in rows and b in rows for a, b in part.table.gains)
        for row in part.table.rows:
            assert row.training is not None
            _check(part, row.training)


def _check(part: Part, training: Training) -> None:
    special = {k: 5 if not isinstance(v, Times) else 0.5 for k, v in training.options.items() if _is_special(v)}
    options = {k: v for k, v in training.options.items() if k not in special} | special
    method = training.method
    if part.table.kind == "pretrain":
        own = {k: v for k, v in options.items() if k not in ARGUMENTS}
        recipes.get(method if "/" in method else f"{method}/small").with_options(own)
    elif part.table.kind == "discover":
        start = options.pop("start", None)
        assert options.pop("recipe", "") in ("", *SETTINGS)
        assert start is None or recipes.get(start.method)
        clusters = discover.TASKS[part.options["task"]].clusters
        SETTINGS["small"].with_options({"clusters": clusters, **options, "method": method})
    elif part.table.kind == "distill":
        given = {**options, **part.options}
        Motion(**{k: given.pop(k) for k in ("frames", "sensor_frames") if k in given})
        own = {k: v for k, v in given.items() if k not in ("diagnose", "split")}
        for chosen in training.choose or ({},):
            settings_for(method, "table").with_options({**chosen, **own})
    else:
        released = options.pop("as_released", False)
        options_for(method, released, options)


def _is_special(value: Any) -> bool:
    return isinstance(value, Share | Steps | Times)


@pytest.fixture
def tiny(small_archive: MotionArchive) -> Callable[..., Page]:
    def make(*rows: Row, **more: Any) -> Page:
        knn = Measure("kNN", {"protocol": "knn", "stream": "joint"})
        epochs = Measure("epochs", read=lambda run: 2.0, unit="")
        table = Table(
            "mine/table", "A table", "pretrain", "here", (knn, epochs), rows, gains=(("CMD", "MoCo"),), **more
        )
        options = {k: v for k, v in TINY.items() if k != "epochs"}
        return Page("mine", "Mine", (Part(table, lambda data, work: small_archive.path, options=options),))

    return make


def test_a_page_is_filled_published_and_kept(tiny: Callable[..., Page], tmp_path: Path) -> None:
    joint = {"streams": ("joint",)}
    rows = (
        Row("MoCo", Training("moco/small-gru", {**joint, "epochs": Steps(4)})),
        Row("CMD", Training("cmd/small-gru", {"epochs": Steps(4), "distill_start": Share(0.5)})),
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "mine.md").write_text(f"# Mine\n\nWords.\n\n{BEGIN}\nold\n{END}\nMore words.\n")
    found = fill(tiny(*rows), tmp_path, tmp_path / "work", seeds=1, publish=tmp_path / "docs", progress=False)
    cmd = found["mine/table"]["rows"][1]
    assert cmd["options"]["epochs"] == 2  # two steps an epoch
    assert cmd["options"]["distill_start"] == 1
    page = (tmp_path / "docs" / "mine.md").read_text()
    assert page.startswith("# Mine\n\nWords.\n")
    assert page.endswith("More words.\n")
    assert "old" not in page
    assert "|  | kNN | kNN, best epoch | epochs |" in page
    assert re.search(r"\| \*CMD − MoCo\* \| [+-]\d+\.\d \| [+-]\d+\.\d \| – \|", page)
    assert re.search(r"\| CMD \|.*\| 2 \|", page)
    (tmp_path / "docs" / "mine.md").write_text("no markers")
    with pytest.raises(ConfigError, match="put them back"):
        insert(tmp_path / "docs" / "mine.md", "tables", "Mine")
    with pytest.raises(ConfigError, match="no part 'nothing'; it has mine/table"):
        fill(tiny(*rows), tmp_path, tmp_path / "work", only=["nothing"])


def test_what_is_not_filled_again_stays_published(tiny: Callable[..., Page], tmp_path: Path) -> None:
    first = tiny(Row("MoCo", Training("moco/small-gru", {"streams": ("joint",), "epochs": Steps(4)}))).parts[0]
    first = replace(first, table=replace(first.table, gains=()))
    second = replace(first, table=replace(first.table, name="mine/other", title="Another table"))
    both = Page("mine", "Mine", (first, second))
    docs, work = tmp_path / "docs", tmp_path / "work"
    docs.mkdir()
    options: dict[str, Any] = {"seeds": 1, "publish": docs, "progress": False}
    fill(both, tmp_path, work, only=["other"], **options)
    assert "Not run yet" not in (docs / "mine.md").read_text()
    was = json.loads((docs / "mine.json").read_text())["mine/other"]
    found = fill(both, tmp_path, work, only=["table"], **options)
    assert list(found) == ["mine/table"]
    kept = json.loads((docs / "mine.json").read_text())
    assert list(kept) == ["mine/table", "mine/other"]  # in the order of the page
    assert kept["mine/other"] == was
    page = (docs / "mine.md").read_text()
    assert page.index("### A table") < page.index("### Another table")
    (docs / "mine.json").write_text("{")
    with pytest.raises(ConfigError, match=r"mine\.json is damaged"):
        fill(both, tmp_path, work, **options)


def test_gains_are_over_the_same_seeds() -> None:
    values = {"a": [0.8, 0.7, 0.9], "b": [0.7, 0.6, 0.8], "c": [0.5, 0.9, 0.6]}
    rows = [{"name": n, "values": {"kNN": {"values": v}}} for n, v in values.items()]
    assert gain(rows, "a", "b", "kNN") == "**+10.0 ± 0.0**"
    assert gain(rows, "c", "b", "kNN") == "-3.3 ± 28.9"
    assert gain(rows, "a", "b", "linear") == "–"


def test_means_over_tables() -> None:
    def one(a: float, b: float) -> dict[str, Any]:
        return {"rows": [{"name": n, "values": {"NMI": {"mean": v}}} for n, v in (("a", a), ("b", b))]}

    lines = means([one(0.5, 0.6), one(0.7, 0.6)], "Both", ["NMI"], base="a")
    assert lines[4:6] == ["| a | 60.0 | – |", "| b | 60.0 | 1 of 2 |"]
    less = one(0.9, 0.1)
    del less["rows"][1]
    assert means([one(0.5, 0.6), less], "Both", ["NMI"], base="a")[4:6] == ["| a | 70.0 | – |", "| b | – | 1 of 1 |"]
