"""Files of a source: which there are, their bytes within bounds, and their text whatever wrote it."""

from __future__ import annotations

import codecs
import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.core.text import counted

MOST_BYTES = 2**31  # of one file, unpacked
FREE_BYTES = 2**26  # below this much, how well a file was packed is nobody's business
MOST_RATIO = 200  # recordings pack to a tenth, tables of zeros to a hundredth; more than this is a bomb
_GZIP = b"\x1f\x8b"
_BLOCK = 2**20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PACKED = re.compile(r"(?i)(?<=.)\.gz$")


class OtherFiles(DataError):
    """A source whose files are not of the format."""


def find_files(source: Path, pattern: str, *, what: str) -> list[Path]:
    """Files below ``source`` whose name, without ``.gz``, matches a regular expression in any case, naturally sorted.

    A ``source`` that is a file stands for itself. Linked folders are followed, each once; what a Mac leaves next to the
    files (``._name``, ``__MACOSX``) is passed over.

    Raises:
        DataError: the source does not exist.
        OtherFiles: it holds no such file; ``what`` says what was looked for.
    """
    matches = re.compile(pattern, re.IGNORECASE).fullmatch
    if not source.exists():
        raise DataError(f"{source} does not exist")
    if source.is_file():
        if not matches(bare(source).name):
            raise OtherFiles(f"{source} is not {what}")
        return [source]
    found = [p for p in walk(source) if matches(bare(p).name)]
    if not found:
        raise OtherFiles(f"{source} holds no {what}")
    return sorted(found, key=lambda p: natural_key(p.relative_to(source).as_posix()))


def walk(source: Path) -> Iterator[Path]:
    """Files below a folder, through linked folders, each once; without what a Mac leaves."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if f != "__MACOSX")
        for name in names:
            path = Path(folder) / name
            if not name.startswith("._") and path.is_file():
                yield path


def bare(path: Path) -> Path:
    """The path without ``.gz``, whose name and ending say what the file is."""
    return path.with_name(_PACKED.sub("", path.name))


def next_to(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder, in any case and packed or not; None if there is none."""
    if (folder / name).is_file():
        return folder / name
    return next((p for p in files_in(folder) if bare(p).name.lower() == name.lower()), None)


def files_in(folder: Path) -> list[Path]:
    """Files of a folder by name, without what a Mac leaves; none of a folder that cannot be read."""
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("._") and p.is_file())
    except OSError:
        return []


def version(path: Path) -> tuple[int, int]:
    """Time and size of a file, which change with its content.

    Raises:
        DataError: it cannot be read.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    return stat.st_mtime_ns, stat.st_size


def natural_key(text: str) -> tuple[Any, ...]:
    """Sort key under which ``a2`` comes before ``a10``, the same on every system."""
    parts = re.split(r"(\d+)", text)
    # digits of other scripts are no numbers here, and thousands of digits are text
    return (*((int(p), "") if i % 2 and p.isascii() and len(p) < 1000 else (-1, p) for i, p in enumerate(parts)), text)


def stem_of(name: str) -> str:
    """Name of a clip: the file's without ``.gz`` and the ending before it.

    >>> stem_of("walk/a.CSV.GZ"), stem_of("b.v2.bvh")
    ('walk/a', 'b.v2')
    """
    return _PACKED.sub("", name).rsplit(".", 1)[0]


def check_unpacked(path: Path, packed: int, unpacked: int) -> None:
    """Refuse what unpacks to more than any recording does.

    Raises:
        DataError: more than :data:`MOST_BYTES`, or more than :data:`MOST_RATIO` times what it was.
    """
    if unpacked > MOST_BYTES or unpacked > max(FREE_BYTES, MOST_RATIO * packed):
        raise DataError(
            f"{path} unpacks to more than {min(unpacked, MOST_BYTES) / 1e6:.0f} MB from {packed / 1e6:.3g} MB, which "
            "no recording does; unpack it yourself if you trust it"
        )


def unpack(path: Path, raw: bytes, wbits: int = 31) -> bytes:
    """What a gzip (or with ``wbits`` 15 a zlib) stream holds, all members of it, never more than is believed.

    Raises:
        DataError: it unpacks to too much.
        EOFError: it is cut off.
        zlib.error: it is damaged.
    """
    parts: list[bytes] = []
    size, rest = 0, raw
    while rest:
        stream = zlib.decompressobj(wbits)
        data = rest
        while not stream.eof:
            part = stream.decompress(data, _BLOCK)
            data = stream.unconsumed_tail
            if not part and not data and not stream.eof:
                raise EOFError("it is cut off")
            parts.append(part)
            size += len(part)
            check_unpacked(path, len(raw), size)
        rest = stream.unused_data.lstrip(b"\0") if wbits > 15 else b""
    return b"".join(parts)


def read_bytes(path: Path) -> bytes:
    """Content of a file, unpacked if it is gzip, whatever it is called.

    Raises:
        DataError: it cannot be read, is a broken gzip file, unpacks to too much, or is empty.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} has {path.stat().st_size / 1e9:.1f} GB; files of up to 2 GB are read: cut it up")
        raw = path.read_bytes()
        named = path.suffix.lower() == ".gz"
        data = unpack(path, raw) if named or raw.startswith(_GZIP) else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    if not data.strip():
        raise DataError(f"{path} is empty")
    return data


def opened(path: Path) -> IO[bytes]:
    """A file to seek in: unpacked in memory if it is gzip by its name."""
    return path.open("rb") if bare(path) == path else io.BytesIO(read_bytes(path))


def read_plain(path: Path) -> bytes:
    """Bytes of a text file, unpacked, without a byte order mark, in an encoding that holds ASCII.

    Raises:
        DataError: as :func:`read_bytes`.
    """
    data = read_bytes(path)
    return decode(data, path).encode() if data[:2] in _UTF16 else _lines(data.removeprefix(codecs.BOM_UTF8))


def _lines(data: bytes) -> bytes:
    """With the line ends of today in place of the carriage returns that alone ended a line long ago."""
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def read_text(path: Path) -> str:
    """Text of a file, unpacked if it is gzip: UTF-8 or UTF-16 by its byte order mark, else Latin-1.

    Raises:
        DataError: as :func:`read_bytes`, or it is not text.
    """
    return decode(read_bytes(path), path)


def decode(data: bytes, path: Path) -> str:
    """The text that a file holds; see :func:`read_text`."""
    if data[:2] in _UTF16:
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not a text file (byte {error.start} is no UTF-16)") from error
    data = _lines(data.removeprefix(codecs.BOM_UTF8))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # old tools write the names of people and places in Latin-1; a file of other bytes is none of theirs
        if b"\0" in data[:_BLOCK] or sum(b < 32 and b not in b"\t\n\r\f\v\x1a" for b in data[:4096]) > 0:
            raise DataError(f"{path} is not a text file (byte {error.start} is no UTF-8)") from error
        return data.decode("latin-1")


def read_table(path: Path, columns: int | None = None, *, separator: str | None = None) -> npt.NDArray[np.float64]:
    """(rows, columns) numbers of a text file, one row a line; blank lines are passed over.

    Args:
        columns: numbers that every line must have; the first line's count by default.
        separator: character between numbers; white space by default.

    Raises:
        DataError: names the first line with another count, text that is no number, or NaN or infinity.
    """
    lines = read_text(path).splitlines()
    rows = [(i, line.split(separator)) for i, line in enumerate(lines, 1) if line.strip()]
    want = columns or len(rows[0][1])
    for number, row in rows:
        if len(row) != want:
            raise DataError(
                f"{path}, line {number}: {counted(len(row), 'number')} where {want} are due (is it cut off?)"
            )
    table = np.empty((len(rows), want))
    for index, (number, row) in enumerate(rows):
        try:
            table[index] = [float(token) for token in row]
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
    finite = np.isfinite(table).all(axis=1)
    if not finite.all():
        raise DataError(f"{path}, line {rows[int(np.argmin(finite))][0]}: a number is NaN or infinite")
    return table
