"""A verb that is given the wrong thing says in one line what it is and which verb takes it: every verb, every thing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from motet import cli
from tests.conftest import write_clips

VERBS: Mapping[str, tuple[str, str]] = {
    "embed": ("run", "embed {path} {archive} --out {out}"),
    "evaluate": ("run", "evaluate {path} --protocols knn"),
    "export": ("run", "export {path} --out {out}.onnx"),
    "report": ("page", "report {path} --out {out}"),
    "resume": ("run", "resume {path}"),
    "weights pack": ("run", "weights pack {path} --out {out}"),
    "pretrain --start": ("run", "pretrain cmd/small --data {archive} --start {path} --out {out} --quiet"),
    "predict": ("model", "predict {path} {archive} --out {out}"),
    "pretrain": ("archive", "pretrain moco/small --data {path} --out {out}"),
    "fit": ("archive", "fit {path} --out {out}"),
    "discover --target": ("archive", "discover --source {archive} --target {path} --out {out}"),
    "data inspect": ("archive", "data inspect {path}"),
    "data select": ("archive", "data select {path} {out} --drop x"),
    "segment": ("archive", "segment {path} --out {out}"),
    "graphs": ("graphs", "graphs {path} --out {out}"),
    "distill": ("table", "distill {path} --target eye --out {out}"),
}
SAID: Mapping[str, tuple[str, str]] = {
    "archive": ("is an archive of recordings", "`motet pretrain`, `motet fit` and `motet data inspect` take it"),
    "run": ("is a run of `motet discover`", "`motet evaluate`, `motet embed` and `motet report` take it"),
    "weights": ("holds weights of `motet pretrain`", "`motet evaluate`, `motet embed` and `motet report` take it"),
    "model": ("is a classifier of `motet fit`", "`motet predict`, `motet app` and `motet report` take it"),
    "runs": ("is a folder of runs", "`motet evaluate`, `motet embed` and `motet report` take it"),
    "table": ("is a file of arrays", "`motet distill` (features) and `motet data import npz` (recordings) take it"),
    "nothing": ("", ""),
    "other": ("", ""),
}
TAKEN: Mapping[str, tuple[str, ...]] = {
    "run": ("run", "weights", "runs"),
    "page": ("run", "weights", "runs", "model", "archive"),
    "model": ("model",),
    "archive": ("archive",),
    "graphs": (),
    "table": ("archive", "table", "nothing"),
}
NEEDS = {
    "run": (
        "not a run",
        "`motet pretrain`, `motet discover`, `motet distill`, `motet distill raw` and `motet graphs` make one",
    ),
    "model": ("not a fitted model", "make one with `motet fit"),
    "archive": ("not a", "`motet data import"),
    "graphs": ("", "graph set"),
    "table": ("not a", ""),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each thing, by name."""
    folder = tmp_path_factory.mktemp("places")
    made = {name: folder / name for name in SAID} | {"table": folder / "table.npz"}
    write_clips(made["archive"], clips=4, classes=2)
    contents = {"run": {"kind": "discover", "motet": "0"}, "weights": {"kind": "pretrain", "motet": "0"}}
    contents |= {"model": {"kind": "classifier", "motet": "0"}, "runs/seed-0": {"kind": "discover", "motet": "0"}}
    for name, content in contents.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(content))
    for name in ("run", "runs/seed-0"):
        (folder / name / "environment.json").write_text("{}")
    np.savez(made["table"], eye=np.zeros((3, 2)), label=np.zeros(3, dtype=int))
    (made["other"] / "photos").mkdir(parents=True)
    return made


@pytest.mark.parametrize("verb", VERBS)
def test_the_wrong_thing_is_named(
    places: dict[str, Path], verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, line = VERBS[verb]
    for thing, path in places.items():
        if thing in TAKEN[wanted]:
            continue
        words = line.format(path=path, archive=places["archive"], out=tmp_path / "out").split()
        assert cli.main(words) == 2, thing
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith(f"error: {path} "), (thing, said)
        need, remedy = NEEDS["run" if wanted == "page" else wanted]
        what, takers = SAID[thing]
        if thing == "nothing" and wanted == "archive":
            need = "does not exist"
        if not what or (wanted == "archive" and thing == "table"):
            what, takers = "", remedy
        assert what in said, (thing, said)
        assert takers in said, (thing, said)
        assert need in said, (thing, said)
    assert not (tmp_path / "out").exists()
