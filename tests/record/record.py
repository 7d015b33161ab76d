"""A stored record of short runs of every verb and method: weights, queues, metrics, results.

``python -m tests.record.record --out record.json`` makes one, ``--compare record.json`` compares what the code at hand
computes with a stored one: bit for bit, tensors by content, so that a tensor or a number whose name has changed counts
as equal and is listed as renamed. Only the command line is used. See docs/design/testing.md.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motet.cli import main as motet
from tests.record.changes import COLUMNS
from tests.record.compare import compare
from tests.record.inputs import as_recorded as inputs_as_recorded
from tests.record.runs import IMPORTED, INPUTS, RUNS, Run

Found = dict[str, Any]
STORED = Path(__file__).with_name("record.json")

# parts of a path whose values depend on the time, the machine or where things lie
INCIDENTAL = re.compile(
    r"second|bytes|memory|speed|per_second|date|environment|hash|version|path|command|machine|elapsed|eta|created|size_mb|rng",
)


def fingerprint() -> dict[str, str]:
    """What the last bits of a run depend on, apart from the code."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    capability = torch.backends.cpu.get_cpu_capability()
    return {"cpu": cpu, "capability": capability, "torch": torch.__version__, "numpy": np.__version__}


def make_inputs(folder: Path) -> None:
    """Every input of the runs, below ``folder``."""
    for name, make in INPUTS.items():
        make(folder / name)
    for words in IMPORTED:
        _call(words, {"in": folder})


def execute(run: Run, inputs: Path, parent: Path) -> Found:
    """Run the commands of one entry and say what they left."""
    out = parent / run.name
    out.mkdir(parents=True)
    if run.after:
        shutil.copytree(parent / run.after, out, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    places = {"in": inputs, "out": out}
    for number, words in enumerate(run.commands):
        if run.stopped and number == 0:
            _interrupt(words, places)
        else:
            _call(words, places)
    new = [p for p in sorted(out.rglob("*")) if p.is_file() and before.get(p) != p.read_bytes()]
    return collect(out, new)


def _filled(words: Sequence[str], places: Mapping[str, Path]) -> list[str]:
    return [re.sub(r"\{(in|out)\}", lambda found: str(places[found[1]]), word) for word in words]


def _call(words: Sequence[str], places: Mapping[str, Path]) -> None:
    """One command line in this process, silent unless it fails."""
    said = io.StringIO()
    silent = (warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said))
    with contextlib.ExitStack() as stack:
        for context in (*silent, inputs_as_recorded()):
            stack.enter_context(context)
        warnings.simplefilter("ignore")
        try:
            status = motet(_filled(words, places))
        except SystemExit as stop:
            status = stop.code
    if status:
        raise RuntimeError(f"motet {' '.join(words)} ended with {status}:\n{said.getvalue()}")


def _interrupt(words: Sequence[str], places: Mapping[str, Path]) -> None:
    """One command line as a process, which is asked to stop once it has written a metric or a checkpoint."""
    command = [sys.executable, "-m", "motet", *_filled(words, places)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if any(places["out"].rglob("metrics.jsonl")) or any(places["out"].rglob("*.pt")):
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.02)
    if process.wait(timeout=300) not in (128 + signal.SIGTERM, 0):
        raise RuntimeError(f"motet {' '.join(words)} ended with {process.returncode} when it was stopped")


def collect(root: Path, files: Sequence[Path]) -> Found:
    """What files hold.

    Returns:
        ``tensors``: by place, shape, hash and norm; ``states``: hashes of tensors of optimisers, whose places are only
        numbers; ``numbers``: by place; ``texts``: hashes or headings by place.
    """
    found: Found = {"tensors": {}, "numbers": {}, "texts": {}, "states": []}
    checkpoints = sorted(path for path in files if path.suffix == ".pt")
    latest = {path.parent: path for path in checkpoints}  # the last of each folder by name
    for path in files:
        place = path.relative_to(root).as_posix()
        if path.suffix == ".pt" and latest[path.parent] != path:
            continue
        place = re.sub(r"step-\d+", "step", place)
        _READERS.get(path.suffix, _nothing)(path, place, found)
    found["states"] = sorted({_content(value).split()[1] for value in found["states"]})
    found["tensors"] = _by_content(found["tensors"])
    return found


def _nothing(path: Path, place: str, found: Found) -> None:
    """Files of other kinds are not recorded."""


def _safetensors(path: Path, place: str, found: Found) -> None:
    from safetensors.torch import load_file

    _tree(load_file(path), place, found)


def _checkpoint(path: Path, place: str, found: Found) -> None:
    _tree(torch.load(path, weights_only=True), place, found, numbers=False)


def _arrays(path: Path, place: str, found: Found) -> None:
    with np.load(path) as file:
        _tree({name: file[name] for name in file.files}, place, found)


def _array(path: Path, place: str, found: Found) -> None:
    _tree(np.fromfile(path, dtype=np.uint8), place, found)


def _json(path: Path, place: str, found: Found) -> None:
    if path.name not in ("environment.json", "config.json"):
        _tree(json.loads(path.read_text()), place, found)


def _json_lines(path: Path, place: str, found: Found) -> None:
    _tree([json.loads(line) for line in path.read_text().splitlines()], place, found)


def _text(path: Path, place: str, found: Found) -> None:
    text = re.sub(r"(/[^/,\s]+)+/", "", path.read_text())  # folders differ from run to run
    found["texts"][place] = _digest(text)


def _table(path: Path, place: str, found: Found) -> None:
    import polars as pl

    found["texts"][place] = _digest(pl.read_parquet(path).write_csv())


def _digest(text: str) -> str:
    """Of a table under the names that its columns had when the record was made."""
    for now, stored in COLUMNS:
        text = text.replace(now, stored)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _page(path: Path, place: str, found: Found) -> None:
    headings = re.findall(r"<h[1-4][^>]*>(.*?)</h[1-4]>", path.read_text(), flags=re.DOTALL)
    found["texts"][place] = " | ".join(re.sub(r"<[^>]*>", "", heading) for heading in headings)


_READERS = {
    ".safetensors": _safetensors,
    ".pt": _checkpoint,
    ".npz": _arrays,
    ".npy": _array,
    ".json": _json,
    ".jsonl": _json_lines,
    ".csv": _text,
    ".parquet": _table,
    ".html": _page,
}


def _tree(node: Any, place: str, found: Found, *, numbers: bool = True) -> None:
    """Add what a nested structure holds to ``found``."""
    if INCIDENTAL.search(place.rsplit("/", 1)[-1]) and not isinstance(node, Mapping | list):
        return
    if isinstance(node, Mapping):
        for key, value in node.items():
            if not (
                isinstance(value, Mapping | list) and re.fullmatch("environment|config|settings|rng|command", str(key))
            ):
                _tree(value, f"{place}/{key}", found, numbers=numbers)
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            _tree(value, f"{place}/{number}", found, numbers=numbers)
    elif isinstance(node, torch.Tensor | np.ndarray):
        if re.search("/optimisers?/", place):
            found["states"].append(node)
        else:
            found["tensors"][place] = _content(node)
    elif numbers and isinstance(node, int | float) and not isinstance(node, bool):
        found["numbers"][place] = node


def _content(values: Any) -> str:
    """Shape, hash of the bytes, and norm (0 for what is not a number)."""
    array = values.contiguous() if isinstance(values, torch.Tensor) else np.ascontiguousarray(values)
    if isinstance(array, torch.Tensor):
        array = array.float().numpy() if array.dtype == torch.bfloat16 else array.numpy()
    digest = hashlib.sha256(array.tobytes()).hexdigest()[:8]
    norm = float(np.linalg.norm(array.astype(np.float64).ravel())) if array.dtype.kind in "fiu" else 0.0
    return f"{'x'.join(map(str, array.shape)) or '1'} {digest} {norm:.4g}"


def _by_content(tensors: Mapping[str, str]) -> dict[str, str]:
    """Each content once, under the first of its names."""
    kept: dict[str, str] = {}
    for name, content in tensors.items():
        kept.setdefault(content, name)
    return {name: content for content, name in kept.items()}


def record(runs: Sequence[Run], folder: Path, *, progress: bool = True) -> Found:
    """Run them, and those that they need, and collect what they leave.

    Args:
        runs: entries of :data:`tests.record.runs.RUNS`.
        folder: empty folder to work in.
        progress: one line for each run on stderr.

    Returns:
        ``made_on`` (see :func:`fingerprint`) and ``runs``, by name.
    """
    torch.set_num_threads(1)
    inputs, parent, found = folder / "inputs", folder / "runs", {}
    inputs.mkdir()
    make_inputs(inputs)
    for run in _with_needed(runs):
        began = time.perf_counter()
        found[run.name] = execute(run, inputs, parent)
        if progress:
            print(f"{run.name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return {"made_on": fingerprint(), "runs": found}


def _with_needed(runs: Sequence[Run]) -> list[Run]:
    by_name = {run.name: run for run in RUNS}
    wanted = {run.name for run in runs}
    wanted |= {run.after for run in runs if run.after}
    return [by_name[name] for name in by_name if name in wanted]


def write(path: Path, found: Found) -> None:
    """One line for each run, so that a change shows which; places as nested objects, which is shorter."""
    lines = []
    for name, entry in found["runs"].items():
        short = {kind: entry[kind] if kind == "states" else _nested(entry[kind]) for kind in entry}
        lines.append(f"{json.dumps(name)}: {json.dumps(short, separators=(',', ':'))}")
    path.write_text(f'{{"made_on": {json.dumps(found["made_on"])},\n"runs": {{\n' + ",\n".join(lines) + "\n}}\n")


def read(path: Path) -> Found:
    """Inverse of :func:`write`."""
    found: Found = json.loads(path.read_text())
    for entry in found["runs"].values():
        entry |= {kind: dict(_flat(entry[kind])) for kind in entry if kind != "states"}
    return found


def _nested(entries: Mapping[str, Any]) -> Found:
    """Places as nested objects, cut where one has a slash or a full stop, which stays with the first part."""
    found: Found = {}
    for place, value in entries.items():
        *parts, last = re.findall(r"[^/.]*[/.]?", place)[:-1]
        node = found
        for part in parts:
            node = node.setdefault(part, {})
        node[last] = value
    return found


def _flat(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for part, value in node.items():
            yield from _flat(value, place + part)
    else:
        yield place, node


def main(args: Sequence[str] | None = None) -> int:
    """Make a record, or compare with one."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--out", type=Path, help="record to write")
    parser.add_argument("--compare", type=Path, nargs="?", const=STORED, help="record to compare with")
    parser.add_argument("--only", nargs="*", default=[""], help="runs whose name begins so")
    parser.add_argument("--fast", action="store_true", help="the subset that the tests run")
    parser.add_argument("--all", action="store_true", help="list every difference, not only the first of each kind")
    given = parser.parse_args(args)
    runs = [run for run in RUNS if run.name.startswith(tuple(given.only)) and (run.fast or not given.fast)]
    with tempfile.TemporaryDirectory() as folder:
        found = record(runs, Path(folder))
    if given.out:
        write(given.out, found)
    if not given.compare:
        return 0
    differences = compare(read(given.compare), found)
    print(differences.report(limit=None if given.all else 5))
    return 1 if differences.unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
