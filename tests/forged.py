"""Forge fields of what runs leave on disk, with right digests: ``python -m tests.forged --kinds pretrain --share 0.1``.

Every field of every JSON file of a run gets values of another type, size or shape, or is left out. Then the verbs that
read the run work, or one line of motet's errors says why not; never another exception, or more than 500 MB or 5 s.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import motet
from motet.cli import _run
from motet.core.errors import MotetError
from motet.engine.run import _EARLIER, write_config
from tests.engine.kinds import Kind, kinds
from tests.kills import apart

ODD: tuple[Any, ...] = (None, True, -1, 0, 3, 1e30, 2**70, 10**7, "", "x", "os", [], [1], ["x"], {}, {"x": 1}, [[]])
GONE = object()
"""in place of a value: the field is left out."""
MEGABYTES, SECONDS = 500, 5.0
Writer = Callable[[Path, Any], None]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of some JSON are; of a list the first and the last entry."""
    if path:
        yield path
    inner = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    if isinstance(node, list) and len(inner) > 2:
        inner = [inner[0], inner[-1]]
    for key, value in inner:
        yield from places(value, (*path, key))


def put(content: Any, path: Sequence[Any], value: Any) -> Any:
    """A copy with one value changed or left out."""
    made = copy.deepcopy(content)
    home = made
    for key in path[:-1]:
        home = home[key]
    if value is GONE:
        del home[path[-1]]
    else:
        home[path[-1]] = value
    return made


def cases(content: Any, *, rotate: bool = False) -> Iterator[tuple[str, Any]]:
    """Everything that one change makes of some JSON, with a word on what was changed.

    Args:
        content: of a file.
        rotate: each field gets one of the values, the next field the next one; all of them by default.
    """
    values = (GONE, *ODD)
    for number, path in enumerate(places(content)):
        for value in [values[number % len(values)]] if rotate else values:
            said = ".".join(map(str, path)) + (" left out" if value is GONE else f" = {value!r}")
            yield said, put(content, path, value)
    if isinstance(content, dict):
        yield "and a foreign field", content | {"foreign": {"x": []}}


def _lines(path: Path, content: Any) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in content))


def _plain(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _config(path: Path, content: Any) -> None:
    write_config(path.parent, content)


def files(folder: Path) -> dict[str, tuple[Any, Writer]]:
    """Content of each file of a run that can be forged, and how it is written with its right digest."""
    found: dict[str, tuple[Any, Writer]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".jsonl")):
        name, text = str(path.relative_to(folder)), path.read_text()
        if path.suffix == ".jsonl":
            found[name] = [json.loads(line) for line in text.splitlines()], _lines
        elif path.name == "config.json":
            found[name] = {k: v for k, v in json.loads(text).items() if k != "digest"}, _config
        else:
            found[name] = json.loads(text), _plain
    return found


def forgeries(
    folder: Path, names: Sequence[str] = (), *, rotate: bool = False
) -> Iterator[tuple[str, str, Any, Writer]]:
    """File of a run, what is changed, the changed content and how it is written.

    Args:
        folder: of the run.
        names: of the files; all that can be forged by default.
        rotate: as for :func:`cases`.
    """
    for file, (content, write) in files(folder).items():
        if not names or file in names:
            for said, forged in cases(content, rotate=rotate):
                yield file, said, forged, write


def verbs(kind: Kind, run: Path, out: Path) -> dict[str, Callable[[], Any]]:
    """What reads a run; resume reads one that has not finished."""
    source: Any = motet.MotionArchive.open(kind.data) if kind.kind in ("pretrain", "discover") else kind.data
    return {
        "transform": lambda: motet.load(run).transform(source),
        "exportable": lambda: motet.load(run).exportable(),
        "stream": lambda: motet.stream(run),
        "embed": lambda: motet.embed(run, kind.data, out / "f.npz"),
        "report": lambda: motet.report.write(run, out / "page.html"),
        "evaluate": lambda: motet.evaluate.run(run, ("knn",), progress=False, again=True),
        "pack": lambda: motet.save_weights(run, out / "w"),
        "resume": lambda: _run(["resume", str(run), "--quiet"]),
    }


def _memory(what: str) -> float:
    return float(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


def attempt(work: Callable[[], Any]) -> str:
    """What was wrong; empty where it works or one line says why not."""
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory is counted from here
    before, began, wrong = _memory("VmRSS"), time.process_time(), ""
    try:
        work()
    except MotetError as error:
        said = str(error)
        wrong = f"not one line about memory or fields: {said!r}" if "\n" in said or "allocate" in said else ""
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)
        last = ([f for f in at if "/motet/" in f.filename] or at)[-1]
        wrong = f"{type(error).__name__}: {str(error)[:100]} ({Path(last.filename).name}, line {last.lineno})"
    took, grew = time.process_time() - began, _memory("VmHWM") - before
    wrong += f" {took:.0f} s of processor time" if took > SECONDS else ""
    return wrong + (f" {grew:.0f} MB" if grew > MEGABYTES else "")


def _try(entry: Any, root: Path, names: Sequence[str]) -> list[str]:
    """All that is wrong with the verbs on one forgery."""
    name, kind, file, said, forged, write = entry
    wrong = []
    for verb in names:
        state = f"{name}-begun" if verb == "resume" else name
        # a long training is no fault
        if not (root / state / file).exists() or (verb == "resume" and "epochs" in said):
            continue
        shutil.rmtree(root / "forged", ignore_errors=True)
        shutil.copytree(root / state, root / "forged" / "run")
        write(root / "forged" / "run" / file, forged)
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
            found = attempt(verbs(kind, root / "forged" / "run", root / "forged")[verb])
        wrong += [f"{name} {file}: {said}: {verb}: {found}"] if found else []
    return wrong


def _made(root: Path, names: Sequence[str]) -> dict[str, Kind]:
    """A finished run and one that has not finished of each kind."""
    found = {name: kind for name, kind in kinds(root / "in").items() if name in names}
    for name, kind in found.items():
        assert kind.run(root / name) == 0
        motet.evaluate.run(root / name, ("knn",), progress=False)
        shutil.copytree(root / name, root / f"{name}-begun")
        for last in ("model.safetensors", "result.json"):
            (root / f"{name}-begun" / last).unlink(missing_ok=True)
    return found


def main() -> int:
    """The command line."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--kinds", nargs="+", default=["pretrain", "discover", "distill", "motion", "raw", "graphs"])
    given.add_argument("--files", nargs="+", default=[])
    given.add_argument("--verbs", nargs="+", default=list(verbs(Kind("", (), Path()), Path(), Path())))
    given.add_argument("--share", type=float, default=1.0, help="of the forgeries, drawn at random")
    given.add_argument("--seed", type=int, default=0)
    asked = given.parse_args()
    warnings.simplefilter("ignore")
    for module in (*_EARLIER.values(), "motet.report", "motet.evaluate"):
        import_module(module)  # once for all children
    chance, bad, tried = random.Random(asked.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        work = [
            (n, kind, *forged)
            for n, kind in apart(lambda: _made(root, asked.kinds)).items()
            for forged in forgeries(root / n, asked.files)
            if chance.random() < asked.share
        ]
        for at in range(0, len(work), 20):  # a child for every few: one that crashes or hangs takes no other with it

            def some(at: int = at) -> list[str]:
                resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
                resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
                return [wrong for entry in work[at : at + 20] for wrong in _try(entry, root, asked.verbs)]

            try:
                wrong = apart(some)
            except (AssertionError, EOFError):
                wrong = [f"one of {[entry[:1] + entry[2:4] for entry in work[at : at + 20]]} ends the process"]
            tried, bad = tried + len(work[at : at + 20]), bad + len(wrong)
            print(*wrong, sep="\n", end="\n" if wrong else "", flush=True)
    print(f"{tried} forgeries, {bad} wrong")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
