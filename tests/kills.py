"""Kill writers at random moments and look at what they leave: ``python -m tests.kills --count 500``.

Every writer runs in a forked child, which is sent SIGKILL after a random part of the time that it takes. Then: no file
under its final name is half-made, what was there before is intact or replaced whole, and after the next start nothing
is left over. A training that was killed is continued, and its weights are compared with those of one that was not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import numpy as np

from motet import cli
from motet.core.places import CLASSIFIER, kind_of
from motet.data.archive import MotionArchive
from motet.engine.run import Run
from motet.use.predictor import load_predictor
from tests.engine.kinds import Kind, kinds

T = TypeVar("T")
WRITING = (
    *("motet.data.formats.csv", "motet.data.formats.importer", "motet.data.edit", "motet.methods.pretrain"),
    *("motet.use.embed", "motet.use.weights", "motet.evaluate", "safetensors.torch", "lightning_fabric"),
)
"""imported once before anything is forked, so that a child writes at once; nothing is computed by that"""


@dataclass(frozen=True)
class Writer:
    """A verb that writes.

    Attributes:
        name: of the verb.
        write: writes into a folder, which may hold what an earlier call left.
        before: makes what is there first.
        final: files or folders under their final names.
    """

    name: str
    write: Callable[[Path], int]
    before: Callable[[Path], object]
    final: tuple[str, ...]


def call(*words: object) -> int:
    """One command line in this process, without its output."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return cli.main([str(word) for word in words])


def writers(folder: Path) -> tuple[list[Writer], Kind]:
    """The writers, on inputs made in a folder, and the kind of training that is continued."""
    run = folder / "run"
    kind = apart(lambda: _trained(folder))
    source = kind.data
    clips = folder / "clips"
    clips.mkdir()
    rows = ["clip,frame,label,subject," + ",".join(f"{j}_{a}" for j in ("hip", "head") for a in "xyz")]
    draw = np.random.default_rng(0)
    rows += [
        f"c{n},{t},{'ab'[n % 2]},{n % 3}," + ",".join(f"{v:.4f}" for v in draw.normal(size=6))
        for n in range(40)
        for t in range(20)
    ]
    (clips / "clips.csv").write_text("\n".join(rows) + "\n")
    (folder / "two.toml").write_text(
        'name = "two"\ncenter = "hip"\njoints = [{ name = "hip", parent = "" }, { name = "head", parent = "hip" }]\n'
    )
    table = ("import", "csv", clips, "--skeleton", folder / "two.toml", "--fps", 30, "--workers", 1, "--quiet")

    def imported(out: Path) -> int:
        return call("data", *table[:3], out / "archive", *table[3:], "--overwrite")

    def packed(out: Path) -> int:
        shutil.rmtree(out / "folder", ignore_errors=True)
        return call("weights", "pack", run, "--out", out / "folder")

    def fitted(out: Path) -> int:
        quick = ("--candidates", "statistics+linear", "--folds", 2)
        return call("fit", source, "--out", out / "model", *quick, "--overwrite", "--quiet")

    def nothing(out: Path) -> None:
        return None

    found = [
        Writer("import", imported, nothing, ("archive",)),
        Writer("overwrite", imported, imported, ("archive",)),
        Writer(
            "select",
            lambda out: call("data", "select", source, out / "archive", "--where", "subject < 3", "--overwrite"),
            nothing,
            ("archive",),
        ),
        Writer(
            "embed",
            lambda out: call("embed", run, source, "--out", out / "f.npz", "--overwrite"),
            lambda out: call("embed", run, source, "--out", out / "f.npz"),
            ("f.npz",),
        ),
        Writer("weights pack", packed, nothing, ("folder",)),
        Writer("fit", fitted, fitted, ("model",)),
    ]
    return found, kind


def _trained(folder: Path) -> Kind:
    """The training that is continued, after it was run once."""
    kind = kinds(folder / "in")["pretrain"]
    assert call(*kind.words, "--out", folder / "run") == 0
    return kind


def killed(work: Callable[[], object], after: float) -> bool:
    """Run something in a child and kill it after some seconds; whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    end = time.monotonic() + after
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def apart(work: Callable[[], T]) -> T:
    """Do something in a child and give its result.

    This process itself never computes: a child of a process in which polars or torch have started threads hangs at its
    first call of them, so it would be killed without having written anything.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(write, "wb") as out:
                pickle.dump(work(), out)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as found:
        content = found.read()
    assert os.waitpid(child, 0)[1] == 0, "a child failed"
    result: T = pickle.loads(content)
    return result


def digest(path: Path) -> str:
    """Digest of a file, or of the files of a folder by name; stamps of time and commands are left out."""
    if path.is_file():
        if path.suffix == ".npz":
            with np.load(path) as file:
                return hashlib.sha256(b"".join(file[n].tobytes() for n in sorted(file.files))).hexdigest()
        return hashlib.sha256(path.read_bytes()).hexdigest()
    parts = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name != ".lock"]
    return hashlib.sha256(
        "".join(p.name + hashlib.sha256(p.read_bytes()).hexdigest() for p in parts).encode()
    ).hexdigest()


def whole(path: Path) -> bool:
    """Whether what stands under a final name can be read to its end."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return all(file[name].size >= 0 for name in file.files)
    if (path / "archive.json").exists():
        archive = MotionArchive.open(path)
        return all(np.isfinite(np.asarray(archive.clip(i))).all() for i in range(len(archive)))
    if kind_of(path) == CLASSIFIER:
        return load_predictor(path) is not None
    if (path / "config.json").exists():
        return Run.open(path).model() is not None
    return path.name == "folder"  # weights begun: they have no configuration, so nothing opens them


def _said(path: Path) -> str:
    """What is wrong with something under a final name, empty if nothing."""
    try:
        return "" if whole(path) else "it is not whole"
    except Exception as error:
        return repr(error)


def strays(folder: Path, final: tuple[str, ...]) -> list[str]:
    """Names in a folder and below that no finished call leaves."""
    kept = {".lock"}
    return [
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if (p.parent == folder and p.name not in final) or (p.name.startswith(".") and p.name not in kept)
    ]


def try_writer(writer: Writer, folder: Path, chance: random.Random, seconds: float) -> tuple[bool, list[str]]:
    """Kill a writer once; whether it was at work, and what was wrong."""
    wrong: list[str] = []
    folder.mkdir(parents=True)
    apart(lambda: writer.before(folder))
    before = {name: digest(folder / name) for name in writer.final if (folder / name).exists()}
    hit = killed(lambda: writer.write(folder), chance.uniform(0, 1.05 * seconds))
    for name in writer.final:
        path = folder / name
        if name in before and not path.exists():
            wrong.append(f"{writer.name}: {name} was lost")
        elif path.exists() and (said := apart(lambda path=path: _said(path))):  # type: ignore[misc]
            wrong.append(f"{writer.name}: {name} is half-made ({said})")
    if apart(lambda: writer.write(folder)):
        wrong.append(f"{writer.name}: the next call failed")
    wrong += [f"{writer.name}: {name} is left over" for name in strays(folder, writer.final)]
    return hit, wrong


def try_training(
    kind: Kind, folder: Path, chance: random.Random, seconds: float, expected: str
) -> tuple[bool, list[str]]:
    """Kill a training once and continue it; whether it was at work, and what was wrong."""
    run = folder / "run"
    hit = killed(lambda: call(*kind.words, "--out", run, "--checkpoint-every", 1), chance.uniform(0, 1.05 * seconds))
    begun = (run / "config.json").exists()
    words = ("resume", run, "--quiet") if begun else (*kind.words, "--out", run)
    status = apart(lambda: call(*words))
    wrong = [] if status == 0 else [f"{kind.kind}: status {status} after the kill"]
    if status == 0 and digest(run / "model.safetensors") != expected:
        wrong.append(f"{kind.kind}: other weights than without the kill")
    wrong += [f"{kind.kind}: {p.name} is left over" for p in run.rglob(".*") if p.name != ".lock"]
    return hit, wrong


def kills(count: int, seed: int = 0, *, show: bool = False) -> tuple[Counter[str], list[str]]:
    """Kill writers ``count`` times in turn; how often each was at work, and all that was wrong."""
    chance, hits, wrong = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = Path(name)
        every, kind = writers(root)
        turns: list[Writer | None] = [*every[:-1], None, every[-1]][:count]  # None is the training; a fit takes longest
        taken = {}
        for writer in filter(None, turns):
            (root / "timed" / writer.name).mkdir(parents=True)
            began = time.monotonic()
            assert apart(lambda w=writer: w.write(root / "timed" / w.name)) == 0, writer.name  # type: ignore[misc]
            taken[writer.name] = time.monotonic() - began
        began = time.monotonic()
        assert apart(lambda: call(*kind.words, "--out", root / "timed" / "run", "--checkpoint-every", 1)) == 0
        taken[kind.kind] = time.monotonic() - began
        expected = digest(root / "timed" / "run" / "model.safetensors")
        for number in range(count):
            place, turn = root / f"{number}", turns[number % len(turns)]
            if turn is not None:
                hit, found = try_writer(turn, place, chance, taken[turn.name])
                label = turn.name
            else:
                hit, found = try_training(kind, place, chance, taken[kind.kind], expected)
                label = kind.kind
            hits[label] += hit
            wrong += found
            shutil.rmtree(place, ignore_errors=True)
            if show and (found or number % 50 == 49):
                print(number + 1, dict(hits), *found, flush=True)
    return hits, wrong


def main() -> int:
    """The command line."""
    for module in WRITING:
        import_module(module)
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--count", type=int, default=500)
    given.add_argument("--seed", type=int, default=0)
    asked = given.parse_args()
    hits, wrong = kills(asked.count, asked.seed, show=True)
    print(f"{asked.count} calls, {hits.total()} killed at work ({dict(hits)}), {len(wrong)} wrong")
    print("\n".join(wrong))
    if not hits.total():
        print("no kill came while a writer was at work, so nothing was tried")
    return bool(wrong) or not hits.total()


if __name__ == "__main__":
    sys.exit(main())
