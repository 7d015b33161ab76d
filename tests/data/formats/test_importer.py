from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import ConfigError, DataError
from motet.data import formats as package
from motet.data.archive import MotionArchive
from motet.data.formats import _files, import_dataset, importer

from .ntu_reference import random_clip, skeleton_text


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        name = f"S001C00{1 + i % 3}P{1 + i:03d}R001A{1 + i % 5:03d}.skeleton"
        (folder / name).write_text(skeleton_text(random_clip(rng, 3 + i % 4, 1)))
    return folder


def run(source: Path, **options: object) -> MotionArchive:
    settings: dict[str, object] = {"progress": False, **options}
    return import_dataset("ntu", source, source.parent / "out", **settings)  # type: ignore[arg-type]


def test_every_module_is_a_format() -> None:
    assert {"ntu", "pku-mmd", "nw-ucla", "kard", "ui-prmd"} <= set(package.names())
    for name in package.names():
        found = package.get(name)
        assert found.description
        assert package.description(name) == found.description
        found.options()  # every option has a default
    with pytest.raises(ConfigError, match=r"no format 'bvhh'; choose from .*kard.*ntu"):
        package.get("bvhh")
    for name in ("base", "importer", "_text", "../ntu"):
        with pytest.raises(ConfigError):
            package.get(name)


def test_workers_do_not_change_the_archive(source: Path) -> None:
    (source / "S001C001P001R001A099.skeleton").write_text("broken")
    one = run(source, workers=1, on_error="skip")
    two = run(source, workers=2, on_error="skip", overwrite=True)
    assert one.hash == two.hash
    assert one.clips.equals(two.clips)
    assert one.source == two.source
    assert one.clips["name"].to_list() == sorted(one.clips["name"].to_list())
    two.verify()


def test_stop_leaves_nothing_behind(source: Path) -> None:
    bad = source / "S001C001P007R001A001.skeleton"
    bad.write_bytes(b"")
    for workers in (1, 2):
        with pytest.raises(DataError, match=rf"{bad.name} is empty .*--on-error skip"):
            run(source, workers=workers)
    assert [p.name for p in source.parent.iterdir()] == ["in"]


def test_files_that_cannot_be_used_are_one_line(source: Path) -> None:
    for number in range(12):
        (source / f"S001C001P007R001A0{number:02d}.skeleton").write_bytes(b"")
    with pytest.raises(DataError) as failed:
        run(source)
    said = str(failed.value)
    assert "\n" not in said
    assert said.count("; ") == 3
    assert "; and 9 more — repair or remove them" in said


def test_skip_lists_files_with_reasons(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "S001C001P007R002A001.skeleton").write_bytes(b"\x00\x01\x02")
    (source / "odd.skeleton").write_text("1\n")
    archive = run(source, on_error="skip", progress=True)
    assert len(archive) == 20
    skipped = archive.source["skipped"]
    assert [s["file"] for s in skipped] == ["S001C001P007R002A001.skeleton", "odd.skeleton"]
    assert "is not a text file" in skipped[0]["reason"]
    said = capsys.readouterr().err
    assert "2 files or clips were skipped:" in said
    assert f"{source / 'odd.skeleton'}: the name is not" in said


def test_nothing_usable(source: Path, tmp_path: Path) -> None:
    for file in source.iterdir():
        file.write_text("")
    with pytest.raises(DataError, match=r"none of the 20 files .* can be used; .* is empty"):
        run(source, on_error="skip")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"holds no NTU files \(\*\.skeleton\)$"):
        run(empty)
    (empty / "a.bvh").write_text("")
    with pytest.raises(DataError, match=r"holds no NTU files \(\*\.skeleton\); formats that read \.bvh: bvh$"):
        run(empty)
    with pytest.raises(DataError, match="does not exist"):
        run(tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_duplicates_are_reported(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = source / "S001C001P001R001A001.skeleton"
    (source / "S001C001P001R002A001.skeleton").write_bytes(first.read_bytes())
    archive = run(source, progress=True)
    assert importer.duplicates(archive) == ["S001C001P001R001A001 = S001C001P001R002A001"]
    said = capsys.readouterr().err
    assert "1 group of clips holds the same data:" in said
    assert "S001C001P001R001A001 = S001C001P001R002A001" in said


def test_same_name_twice(source: Path) -> None:
    nested = source / "again"
    nested.mkdir()
    name = "S001C001P001R001A001.skeleton"
    (nested / name).write_bytes((source / name).read_bytes())
    with pytest.raises(DataError, match="a clip of that name was added before"):
        run(source)
    archive = run(source, on_error="skip")
    assert len(archive) == 20
    assert len(archive.source["skipped"]) == 1


def test_options_are_checked(source: Path) -> None:
    with pytest.raises(ConfigError, match="format ntu has no option 'body'; it has bodies, exclude"):
        run(source, body="tracked")
    with pytest.raises(ConfigError, match="'both'; it must be tracked or as-released or first-two or denoise"):
        run(source, bodies="both")
    with pytest.raises(ConfigError, match="on_error is 'ignore'"):
        run(source, on_error="ignore")
    with pytest.raises(ConfigError, match="workers is 0"):
        run(source, workers=0)
    with pytest.raises(ConfigError, match="dtype is 'float64'"):
        run(source, dtype="float64")


def test_destination_is_never_harmed(source: Path, tmp_path: Path) -> None:
    run(source)
    with pytest.raises(ConfigError, match="exists already"):
        run(source)
    assert run(source, overwrite=True, dtype="float16").frames.dtype == np.float16
    other = tmp_path / "home"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="is not an archive, so it is not overwritten"):
        import_dataset("ntu", source, other, overwrite=True)
    with pytest.raises(ConfigError, match="holds the recordings themselves"):
        import_dataset("ntu", source, tmp_path, overwrite=True)
    assert (other / "letter.txt").read_text() == "dear"
    (source / "S001C001P007R001A001.skeleton").write_text("")
    before = MotionArchive.open(tmp_path / "out").hash
    with pytest.raises(DataError):
        run(source, overwrite=True)
    assert MotionArchive.open(tmp_path / "out").hash == before


def test_script_without_main_guard(source: Path) -> None:
    """Worker processes do not run the user's script again."""
    script = source.parent / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        from motet.data.formats import import_dataset
        print("once")
        archive = import_dataset("ntu", {str(source)!r}, {str(source.parent / "out")!r}, workers=2)
        print(len(archive))
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["once", "20"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupt_leaves_nothing_behind(source: Path) -> None:
    rng = np.random.default_rng(1)
    first = source / "S002C001P001R000A001.skeleton"
    first.write_text(skeleton_text(random_clip(rng, 200, 2)))
    for i in range(1, 900):  # enough for the signal to come in time on a busy machine
        os.link(first, source / f"S002C001P001R{i:03d}A001.skeleton")
    code = f"""
import signal, sys
from motet.data.formats import import_dataset
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
try:
    import_dataset("ntu", {str(source)!r}, {str(source.parent / "out")!r}, workers=2)
except KeyboardInterrupt:
    sys.exit(130)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 60
    while child.poll() is None and not list(source.parent.glob(".out.partial-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"Traceback" not in said
    assert [p.name for p in source.parent.iterdir()] == ["in"]


def test_numbers_sort_by_value(tmp_path: Path) -> None:
    for name in ("a10.txt", "a2.txt", "b1.txt", "a2b.txt"):
        (tmp_path / name).write_text("x")
    found = _files.find_files(tmp_path, r".+\.txt", what="files")
    assert [p.name for p in found] == ["a2.txt", "a2b.txt", "a10.txt", "b1.txt"]
