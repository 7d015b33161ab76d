"""Mutated files over every reader: nothing but motet's own errors, no hang, no crash, bounded memory.

``python benchmarks/fuzz_readers.py SAMPLES --count 20000 [--seconds 1800]``. SAMPLES is a folder with a folder for
each format, named as the format, of small sound files; or one with archives below it whose sources are still there,
such as ``pytest tests/data/formats --basetemp SAMPLES -o tmp_path_retention_policy=all`` leaves. Each round copies one
of these folders, changes a few files and imports it. Prints one JSON object: rounds, how many archives were made,
foreign errors (with the mutation that brings them about), slow rounds, and the largest memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from motet.core.errors import MotetError
from motet.data import formats
from motet.data.formats._worker import UNEXPECTED

SLOW = 20  # seconds of one round
LARGEST = 200_000  # bytes of a sample: of larger files only a beginning is changed
PIECES = (b"", b"\0", b"\xff", b"-1", b"1e999", b"nan", b"[", b"{", b'"', b",", b"\n", b"99999999", b"\xff\xff\xff\x7f")


def mutated(data: bytes, draw: random.Random) -> bytes:
    """A copy with one to eight changes: bits, runs, numbers, cuts, repetitions."""
    raw = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(min(len(raw), LARGEST) or 1)
        kind = draw.randrange(6)
        if kind == 0 and raw:
            raw[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            raw[at : at + draw.randrange(1, 9)] = draw.choice(PIECES)
        elif kind == 2:
            raw[at : at + 4] = draw.randbytes(4)
        elif kind == 3 and draw.random() < 0.3:
            del raw[at:]
        elif kind == 4:
            end = at + draw.randrange(1, 200)
            raw[at:at] = raw[at:end] * draw.randrange(1, 4)
        else:
            del raw[at : at + draw.randrange(1, 40)]
    return bytes(raw)


def samples(folder: Path) -> list[tuple[str, Path]]:
    """Formats and small sources of each, a format's own folder or the source of an archive below."""
    found = {(p.name, p) for p in folder.iterdir() if p.is_dir() and p.name in formats.names()}
    for path in folder.rglob("archive.json"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            stated = json.loads(path.read_text())["source"]
            source = Path(stated["path"])
            inside = source.is_dir() and folder in source.parents and not source.is_relative_to(path.parent)
            if stated["format"] in formats.names() and inside:
                found.add((stated["format"], source))
    return sorted((n, p) for n, p in found if 0 < sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) < LARGEST)


class Slow(BaseException):
    """A round took too long; no reader catches it."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise Slow


def one(name: str, folder: Path, work: Path, seed: int) -> tuple[str, str]:
    """What a round came to: ``archive``, ``refused``, ``foreign`` or ``slow``, and its message."""
    draw = random.Random(seed)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(folder, work / "in")
    files = sorted(p for p in (work / "in").rglob("*") if p.is_file())
    for path in draw.sample(files, min(len(files), draw.choice((1, 1, 2)))):
        path.write_bytes(mutated(path.read_bytes(), draw))
    signal.alarm(SLOW)
    try:
        formats.import_dataset(name, work / "in", work / "out", progress=False, workers=1, on_error="skip")
    except MotetError as error:
        return ("foreign" if UNEXPECTED in str(error) else "refused"), str(error)
    except Slow:
        return "slow", ""
    except Exception:  # what is looked for
        return "foreign", traceback.format_exc()[-600:]
    finally:
        signal.alarm(0)
    return "archive", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, _stop)
    warnings.simplefilter("ignore")
    folders: dict[str, list[Path]] = {}
    for name, path in samples(given.samples):
        folders.setdefault(name, []).append(path)
    names = sorted(folders)
    ends: Counter[str] = Counter()
    foreign: dict[str, dict[str, Any]] = {}
    start, rounds = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as work:
        while rounds < given.count and time.monotonic() - start < given.seconds:
            seed = given.seed + rounds
            name = names[seed % len(names)]
            folder = folders[name][seed // len(names) % len(folders[name])]
            end, said = one(name, folder, Path(work) / "round", seed)
            ends[end] += 1
            if end in ("foreign", "slow"):
                foreign.setdefault(f"{name}: {said[-160:]}", {"seed": seed, "sample": str(folder), "said": said})
            rounds += 1
    memory = {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "apart": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    print(json.dumps({"rounds": rounds, "formats": names, **ends, "MB": memory, "found": foreign}, indent=1))


if __name__ == "__main__":
    main()
