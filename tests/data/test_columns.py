from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive, Sensor
from motet.data.columns import path_name, printable


def written(path: Path, *columns: dict[str, Any], **settings: Any) -> MotionArchive:
    with ArchiveWriter(path, skeleton=layouts.get("coco-17"), **settings) as writer:
        for number, given in enumerate(columns):
            writer.add(np.ones((2, 17, 3)), name=f"c{number}", **given)
    return MotionArchive.open(path)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "a\\b", "..", ".", "", "x" * 65, "a\n", "CON", "aux.txt", "a."])
def test_names_that_would_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be the name of a folder"):
        path_name(name, "a sensor")
    with pytest.raises(DataError, match="a sensor is called"):
        written(tmp_path / "a", {}, sensors={name: Sensor(layouts.get("imu-2"))})
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"length": 3}, "cannot be called 'length'"),
        ({"sha256": "0"}, "cannot be called 'sha256'"),
        ({"label": 30_000_000}, "label 30000000 is none of 100,000 at most"),
        ({"label": -2}, "label -2"),
        ({"subject": 2**63}, "too large"),
        ({"subject": "Ann"}, "not a whole number"),
        ({"mood": [1]}, "holds a list"),
        ({"a\x1b[2J": 1}, "a column cannot be called"),
    ],
)
def test_columns_that_are_refused(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        written(tmp_path / "a", columns)
    assert words in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert list(tmp_path.iterdir()) == []


def test_columns_of_mixed_kinds_and_hostile_texts(tmp_path: Path) -> None:
    archive = written(
        tmp_path / "a",
        {"mood": 1, "size": 1, "subject": np.int64(3), "source": "a\x1b]0;x\x07"},
        {"mood": "glad", "size": 1.5, "subject": 4.0, "label": True},
        {"mood": None, "size": float("nan")},
    )
    assert archive.clips["mood"].to_list() == ["1", "glad", None]
    assert archive.clips["size"].to_list() == [1.0, 1.5, None]
    assert archive.clips["subject"].to_list() == [3, 4, None]
    assert archive.clips["source"][0] == "a\\x1b]0;x\\x07"
    assert printable("Jürgen \u200f") == "Jürgen \\u200f"


def forge(path: Path, meta: dict[str, Any] | None = None, clips: pl.DataFrame | None = None) -> None:
    """Change an archive and put its digests right."""
    held = json.loads((path / "archive.json").read_text())
    if clips is not None:
        clips.write_parquet(path / "clips.parquet")
        held["clips_sha256"] = hashlib.sha256((path / "clips.parquet").read_bytes()).hexdigest()
    held |= meta or {}
    held = {k: v for k, v in held.items() if k != "sha256"}
    text = json.dumps(held, sort_keys=True, separators=(",", ":")).encode()
    (path / "archive.json").write_text(json.dumps({**held, "sha256": hashlib.sha256(text).hexdigest()}))


@pytest.mark.parametrize(
    "meta",
    [
        {"persons": "1"},
        {"persons": 10**9},
        {"frames": -1},
        {"channels": []},
        {"class_names": "wave"},
        {"fps": "30"},
        {"fps": True},
        {"source": []},
        {"sensors": {"../../x": "0"}},
        {"sensors": {"x": 0}},
        {"skeleton": []},
        {"units": None},
    ],
)
def test_a_forged_description_is_refused(tmp_path: Path, meta: dict[str, Any]) -> None:
    written(tmp_path / "a", {"label": 0}).verify()
    forge(tmp_path / "a", meta)
    with pytest.raises((DataError, ConfigError)):
        MotionArchive.open(tmp_path / "a")


@pytest.mark.parametrize(
    "change",
    [
        pl.col("length") + 1,
        pl.col("offset") - 1,
        (pl.col("length") * 0 + 2**62).alias("length"),
        pl.col("label") + 5,
        pl.lit("c").alias("name"),
        pl.col("length").cast(pl.String),
        pl.lit(None, dtype=pl.String).alias("sha256"),
    ],
)
def test_a_forged_table_is_refused(tmp_path: Path, change: pl.Expr) -> None:
    table = written(tmp_path / "a", {"label": 0}, {"label": 0}).clips
    forge(tmp_path / "a", clips=table.with_columns(change))
    with pytest.raises(DataError, match=r"clips\.parquet"):
        MotionArchive.open(tmp_path / "a")
