from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from motet.core.errors import DataError
from motet.data.formats import _files


def test_what_a_mac_leaves_and_links(tmp_path: Path) -> None:
    for name in ("in/b2.TXT", "in/._b2.txt", "in/__MACOSX/c.txt", "elsewhere/b10.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    found = _files.find_files(tmp_path / "in", r".+\.txt", what="texts")
    assert [p.relative_to(tmp_path / "in").as_posix() for p in found] == ["b2.TXT", "linked/b10.txt"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Jürgen 1".encode("latin-1"), "Jürgen 1"),
        ("\ufeffJürgen 1".encode(), "Jürgen 1"),
        ("\ufeffJürgen 1".encode("utf-16-le"), "Jürgen 1"),
        (gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), "ab"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "a.TXT.GZ" if data[:2] == b"\x1f\x8b" else tmp_path / "a.txt"
    path.write_bytes(data)
    assert _files.read_text(path) == text
    assert _files.stem_of(path.name) == "a"
    if data[:2] != b"\x1f\x8b" and data[:1] != b"J":
        assert _files.read_plain(path) == text.encode()


def test_bytes_are_no_latin_1(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\x01\x02text")
    with pytest.raises(DataError, match="is not a text file"):
        _files.read_text(tmp_path / "a")


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(150_000_000), 9))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"unpacks to more than .* which no recording does"):
        _files.read_bytes(tmp_path / "a.gz")
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    (tmp_path / "a.gz").write_bytes(gzip.compress(os.urandom(1000))[:-9])
    with pytest.raises(DataError, match="cut off"):
        _files.read_bytes(tmp_path / "a.gz")


def test_numbers_of_other_scripts_sort_as_text() -> None:
    found = sorted(["a²", "a10", "a2", "a" + "9" * 5000], key=_files.natural_key)
    assert found.index("a2") < found.index("a10")
