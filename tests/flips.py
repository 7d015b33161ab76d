"""Flip one field of a run's files and see whether it is noticed: ``python -m tests.flips --count 300``.

A flip of config.json, or of a bit of the weights, must be an error of one line from
``motet.load``; a flip of metrics or results must be one line too, or leave the model as it was.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import motet
from motet.core.errors import MotetError
from tests.engine.kinds import kinds

KINDS = ("pretrain", "discover", "distill", "motion", "raw", "graphs")
OTHER: tuple[Any, ...] = (None, -1, 0, 1e30, "", "other", [], {}, True)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of some JSON are."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [path] if path else []
    for key, value in inner:
        found += places(value, (*path, key))
    return found


def flipped(content: Any, chance: random.Random) -> tuple[Any, str]:
    """The same with one value changed or left out, and what was done."""
    made = copy.deepcopy(content)
    path = chance.choice(places(made))
    home = made
    for key in path[:-1]:
        home = home[key]
    old, last = home[path[-1]], path[-1]
    if chance.random() < 0.2:
        del home[last]
        return made, f"{path} left out"
    if isinstance(old, bool):
        new: Any = not old
    elif isinstance(old, int | float) and chance.random() < 0.6:
        new = old + 1
    else:
        new = chance.choice([o for o in OTHER if o != old or type(o) is not type(old)])
    home[last] = new
    return made, f"{path}: {old!r} -> {new!r}"[:200]


def flip(path: Path, chance: random.Random) -> str:
    """Change one thing of a file; what was done."""
    if path.suffix == ".json":
        content, said = flipped(json.loads(path.read_text()), chance)
        path.write_text(json.dumps(content, indent=1) + "\n")
        return said
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(content))
    return f"a bit of byte {place}"


def flips(count: int, seed: int = 0, names: tuple[str, ...] = KINDS) -> Any:
    """Flip ``count`` times; how often each file was flipped and noticed, and what went unnoticed."""
    chance, seen, silent = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = Path(folder)
        found = {name: kind for name, kind in kinds(root / "in").items() if name in names}
        expected = {}
        for name, kind in found.items():
            assert kind.run(root / name) == 0
            expected[name] = _features(root / name, name, kind.data)
        for number in range(count):
            name = names[number % len(names)]
            place = root / "flipped"
            shutil.copytree(root / name, place)
            files = [
                place / "config.json",
                *_loaded(place),
                *place.glob("result.json"),
            ]
            path = chance.choice(files)
            said = f"{name} {path.name}: {flip(path, chance)}"
            seen[path.name] += 1
            try:
                same = np.array_equal(_features(place, name, found[name].data), expected[name])
                if path.name != "result.json" or not same:
                    silent.append(f"{said} ({'the same' if same else 'OTHER'} features)")
            except MotetError as error:
                if "\n" in str(error):
                    silent.append(f"{said}: more than a line: {error}")
            except Exception as error:
                silent.append(f"{said}: {error!r}")
            shutil.rmtree(place)
    return seen, silent


def _loaded(run: Path) -> list[Path]:
    """Files of weights that are read: of several seeds or replicas the first."""
    replicas = sorted(run.glob("replicas/*/student.safetensors"))[:1]
    return [*(p for p in run.glob("*.safetensors") if p.stem != "seed-1"), *replicas]


def _features(run: Path, name: str, data: Path) -> Any:
    source = motet.MotionArchive.open(data) if name in ("pretrain", "discover") else data
    return motet.load(run).transform(source)


def main() -> int:
    """The command line."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--count", type=int, default=300)
    given.add_argument("--seed", type=int, default=0)
    asked = given.parse_args()
    seen, silent = flips(asked.count, asked.seed)
    print(f"{asked.count} flips ({dict(seen)}), {len(silent)} silent or not one line")
    print("\n".join(silent))
    return bool(silent)


if __name__ == "__main__":
    sys.exit(main())
