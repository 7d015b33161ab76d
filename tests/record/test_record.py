"""A subset of the stored record is computed again and compared; the whole takes a command (docs/design/testing.md)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest

pytest.importorskip("av", reason="needs the extra raw")

from motet.methods.discovery import baselines, scores
from tests.record.compare import compare
from tests.record.record import STORED, read, record
from tests.record.runs import RUNS

FAST = [run for run in RUNS if run.fast]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (baselines, scores):  # as many starts and steps as users have
            patch.setattr(module, "RESTARTS", 10)
        patch.setattr(import_module("motet.methods.distillation.diagnose"), "_STEPS", 300)
        return read(STORED), record(FAST, tmp_path_factory.mktemp("record"), progress=False)


@pytest.mark.parametrize("name", [run.name for run in FAST])
def test_a_run_computes_what_was_recorded(records: tuple[Mapping[str, Any], Mapping[str, Any]], name: str) -> None:
    stored, found = records
    differences = compare(stored, {**found, "runs": {name: found["runs"][name]}})
    assert not differences.unexpected, differences.report()
    assert differences.counts["equal"] + differences.counts["equal elsewhere"] > 0


def test_the_record_has_every_run() -> None:
    assert set(read(STORED)["runs"]) == {run.name for run in RUNS}


def test_differences_are_told_apart() -> None:
    """Renamed, changed, lost and new; elsewhere only to a tolerance."""
    here, there = {"cpu": "a"}, {"cpu": "b"}
    entry = {
        "tensors": {"w": "2 aa 1.5", "v": "2 bb 2"},
        "numbers": {"loss": 1.0, "x": 2.5},
        "texts": {},
        "states": ["cc"],
    }
    now = {"tensors": {"u": "2 aa 1.5", "v": "2 dd 2.001"}, "numbers": {"loss": 1.0001}, "texts": {}, "states": []}
    stored = {"made_on": here, "runs": {"run": entry}}
    same = compare(stored, {"made_on": here, "runs": {"run": now}})
    assert +same.counts == {"equal elsewhere": 1, "different": 3, "gone": 1}
    assert same.lines["run"]["equal elsewhere"] == ["w → u"]
    assert same.lines["run"]["gone"] == ["x"]
    other = compare(stored, {"made_on": there, "runs": {"run": now, "more": now}})
    assert other.counts == {"gone": 1, "equal": 2, "equal elsewhere": 1, "new": 1}
