from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from motet.core.errors import DataError
from motet.data.formats import _files, import_dataset


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
        (b"\xef\xbb\xbf" + "Jürgen 1".encode("latin-1"), "Jürgen 1"),
        (b"\xef\xbb\xbfa\rb\r", "a\nb\n"),
        (gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), "ab"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "a.TXT.GZ" if data[:2] == b"\x1f\x8b" else tmp_path / "a.txt"
    path.write_bytes(data)
    assert _files.read_text(path) == text
    assert _files.stem_of(path.name) == "a"
    if data[:2] != b"\x1f\x8b" and b"J\xfc" not in data:
        assert _files.read_plain(path) == text.encode()


@pytest.mark.parametrize(
    ("format", "files", "name"),
    [
        ("kard", {"A03_S02_E01_REALWORLD.TXT": "1 2 3\n" * 15}, "A03_S02_E01"),
        ("nw-ucla", {"a08_s04_e00_v03.JSON": f'{{"skeletons": [{[[1, 2, 3]] * 20}]}}'}, "a08_s04_e00_v03"),
        (
            "pku-mmd",
            {"skeleton/A01N02-L.TXT": "1 " * 150, "label/a01n02-l.txt": "3,0,1,2"},
            "A01N02-L_000",
        ),
        (
            "utkinect",
            {"JOINTS_S01_E02.TXT": "7 " + "1 " * 60, "ActionLabel.TXT": "s01_e02\nwalk: 7 7"},
            "s01_e02_00",
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_data_sets_in_any_case_and_packed(
    tmp_path: Path, format: str, files: dict[str, str], name: str, packed: bool
) -> None:
    for path, text in files.items():
        place = tmp_path / "in" / (f"{path}.GZ" if packed else path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        place.with_name(f"._{place.name}").write_bytes(b"\0\5\x16\x07")
    archive = import_dataset(format, tmp_path / "in", tmp_path / "a", progress=False)
    assert archive.clips["name"].to_list() == [name]
    assert archive.frames.any()


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
