"""Several processes train every kind of run to the numbers of one, share an evaluation, and end when one dies.

All come from one server, which has imported everything once."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from multiprocessing.process import BaseProcess as Process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from benchmarks import bench_processes
from torch import Tensor
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from motet import cli, evaluate
from motet.core.distributed import joined
from motet.core.errors import MotetWarning
from motet.data.archive import MotionArchive
from motet.engine.checkpoint import load_checkpoint
from motet.engine.learner import Learner, Position, Stage
from motet.engine.options import Loop
from motet.engine.run import Run
from motet.engine.trainer import Trainer
from motet.methods.discovery import scores
from motet.methods.discovery.data import Clips, sides
from motet.methods.discovery.settings import SETTINGS, Settings
from motet.methods.discovery.train import Discovering
from motet.methods.distillation.folds import Fold, folds
from motet.methods.distillation.networks import Shape
from motet.methods.distillation.replicas import Feeder, Replicas
from motet.methods.distillation.replicated import Layout
from motet.methods.distillation.settings import settings_for
from motet.methods.distillation.table import FeatureTable, Modality
from motet.methods.distillation.train import Distillation
from motet.methods.graphs.augment import AUGMENTATIONS
from motet.methods.graphs.method import HaLPGraphCL
from motet.methods.graphs.train import GraphLearner
from motet.methods.model import Model
from motet.methods.pretrain import resume
from motet.use.embed import embed
from tests import kills
from tests.conftest import write_clips
from tests.engine.test_scale_out import slurm
from tests.evaluate.test_runner import write_archive, write_run
from tests.methods.distillation.test_motion import ARM
from tests.methods.graphs.made import made
from tests.methods.test_pretrain import TINY

Made = Callable[[Path, torch.device], Learner]


class Exact(Learner):
    """A learner in float64."""

    def begin_stage(self, stage: Stage) -> None:
        super().begin_stage(stage)
        self.double()

    def batch(self, at: Position) -> Any:
        return _double(super().batch(at))


def _double(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)(_double(part) for part in value)
    if isinstance(value, dict):
        return {name: _double(part) for name, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: _double(getattr(value, f.name)) for f in dataclasses.fields(value)}
        )
    return value


# SGD below where norms follow biases: their gradient is 0 but for rounding, of which Adam makes steps


class ExactGraphs(Exact, GraphLearner):
    """Five graphs in the last batch, so parts of different size; prototypes from the whole batch."""


def graphs(folder: Path, device: torch.device) -> Learner:
    options = HaLPGraphCL(
        epochs=2, batch_size=12, hidden=6, halp_start=1, prototypes=3, augmentations=tuple(AUGMENTATIONS)
    )
    return ExactGraphs(made(17), options, (1, 2), device)


def tables(method: str, *, moving: bool = False, **options: Any) -> Made:
    """An eye and a body, in motion or at rest, which some rows lack, of two folds with batches of seven rows."""
    random = np.random.default_rng(0)
    labels, there = np.arange(30) % 3, np.arange(30) % 5 > 1
    eye = random.normal(size=(3, 4))[labels] + random.normal(size=(30, 4))
    body = (random.normal(size=(3, 1, 9))[labels] + random.normal(size=(30, 8, 9))) * there[:, None, None]
    seen = Modality(eye.astype(np.float32), None, np.ones(30, dtype=np.bool_))
    if moving:
        other = Modality(body.astype(np.float32), 8 * there.astype(np.int64), there, Layout(ARM, 1, 3))
    else:
        other = Modality(body[:, 0].astype(np.float32), None, there)
    table = FeatureTable(
        "made",
        {"eye": seen, "body": other},
        labels,
        ("a", "b", "c"),
        np.arange(30).astype(np.str_),
    )
    layouts = {"body": Layout(ARM, 1, 3)} if moving else {}
    shape = Shape({"eye": 4, "body": 9}, frozenset(layouts), ("eye",), ("body",), 3, layouts)
    sizes = {"features": 4, "hidden": (5,), "fuse_hidden": 5, "sequence": "stgcn", "sequence_hidden": 8}
    loop = {"batch_size": 7, "epochs": 2, "monitor_every": 9, "optimiser": "sgd"}
    settings = settings_for(method, "table").with_options({**sizes, **loop, **options})

    def make(folder: Path, device: torch.device) -> Learner:
        replicas = Replicas(tuple(folds(table, "random", 2)), (1,))
        feeder = Feeder(table, shape, replicas, device, torch.float64)
        return Distillation(settings, shape, feeder, replicas, dtype=torch.float64)

    return make


class ExactDiscovery(Exact, Discovering):
    """Nine clips of the target and of the source in a step."""

    def __init__(self, settings: Settings, clips: Clips) -> None:
        super().__init__(settings, clips)
        for branch in self.discovery.pair:
            for encoder in (branch.student["encoder"], branch.teacher["encoder"]):
                encoder.register_forward_pre_hook(lambda _, given: _double(given))


def discovery(method: str, **options: Any) -> Made:
    tiny = {"layers": 1, "epochs": 1, "finetune_epochs": 2, "frames": 8, "dim": 4, "batch_size": 9}
    rates = {"lr": 0.01, "finetune_lr": 0.001, "kmeans_restarts": 1, "dropout": 0.3, "optimiser": "sgd"}
    settings = SETTINGS["small"].with_options({**tiny, **rates, "method": method, **options})

    def make(folder: Path, device: torch.device) -> Learner:
        sets = MotionArchive.open(folder / "source"), MotionArchive.open(folder / "target")
        clips = Clips(*sets, sides(*sets, source_split="all", target_split="all"), "first-frame", device)
        return ExactDiscovery(settings, clips)

    return make


def recordings(folder: Path, device: torch.device) -> Learner:
    """Pictures and sound of a few films."""
    from motet.methods.distillation.raw.datasets import open_source
    from motet.methods.distillation.raw.feeder import Source, stand_in
    from motet.methods.distillation.raw.run import RawPlan, learner_of
    from motet.methods.distillation.raw.trainer import RawDistillation, RawDistillations
    from tests.methods.distillation.raw.made import NETWORKS, SMALL

    manifest, names = open_source(folder / "films"), ("video", "audio")
    plan = RawPlan("", ("video",), ("audio",), names)
    table = manifest.table({name: stand_in(manifest.items(name)) for name in names})
    small = {**SMALL, "batch_size": 3, "epochs": 1, "warm_up": 0, "optimiser": "sgd", "monitor_every": 9}
    settings = settings_for("amid", "table").with_options({**small, "auxiliary_extractor": "trained"})
    source = Source({name: manifest.items(name) for name in names}, 0)

    def one(fold: Fold, seed: int) -> RawDistillation:
        made = learner_of(table, fold, seed, plan, settings, NETWORKS, source, device).double()
        made.dtype = torch.float64
        for reader in source.readers.values():
            reader.net.register_forward_pre_hook(lambda _, given: _double(given))
        return made

    pairs = [(fold, 0) for fold in folds(table, None, 2)]
    return RawDistillations(one, pairs, lambda learner, place: None, lambda learner, run: None)


GRU, GRAPH = {"encoder": "gru", "hidden": 4}, {"encoder": "stgcn", "width": 2, "feature_size": 8}
CASES: dict[str, Made] = {
    "graphs": graphs,
    "amid": tables("amid", moving=True, warm_up=1, critic_width=8),
    "fitnets": tables("fitnets", hints=0.5),
    "codt": discovery("codt", **GRAPH, clusters=3, seed=3),  # no clip lies between two clusters, on any processor
    "simgcd": discovery("simgcd", **GRU),
    "crcd": tables("crcd", negatives=4, projection=4, last_alone=0.0),
}


if find_spec("av"):
    CASES["recordings"] = recordings


def train(case: str, processes: int, folder: Path) -> dict[str, Any]:
    """Terms of every epoch, and the state after the last one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetWarning)
        trainer = Trainer(partial(CASES[case], folder), Loop(device="cpu", devices=processes), progress=False)
        trainer.fit(None)
    return {"terms": [line["terms"] for line in trainer.lines], "state": dict(_flat(trainer.learner.state()))}


def _flat(state: Any, name: str = "") -> list[tuple[str, Any]]:
    """Tensors and numbers of a state, by their place."""
    if isinstance(state, Mapping | list | tuple):
        items = state.items() if isinstance(state, Mapping) else enumerate(state)
        return [pair for key, value in items for pair in _flat(value, f"{name}.{key}")]
    return [(name, torch.as_tensor(state))] if isinstance(state, Tensor | int | float) else []


def _worker(number: int, port: int, starts: int, folder: Path) -> None:
    torch.set_num_threads(1)
    scores.RESTARTS = starts  # as in the process of the tests
    # as torchrun does
    os.environ |= {"TORCHELASTIC_RUN_ID": "equality", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number)}
    torch.save({case: train(case, 2, folder) for case in CASES}, folder / f"{number}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of the cases, and under the number of each of two processes what it has trained; the server runs."""
    folder = tmp_path_factory.mktemp("processes")
    write_clips(folder / "source", 14, 2, 2, seed=1)
    write_clips(folder / "target", 20, 3, 4, seed=2)
    if "recordings" in CASES:
        from tests.methods.distillation.raw.made import films

        films(folder / "films", train=3, test=1)
    multiprocessing.set_forkserver_preload(["tests.engine.served"])
    mp.start_processes(_worker, (free_port(), scores.RESTARTS, folder), nprocs=2, start_method="forkserver")
    return folder


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(folder: Path, case: str) -> None:
    alone = train(case, 1, folder)
    first, second = (torch.load(folder / f"{number}.pt", weights_only=True)[case] for number in range(2))
    assert first["state"].keys() == second["state"].keys() == alone["state"].keys()
    torch.testing.assert_close(first["terms"], alone["terms"], rtol=1e-9, atol=1e-10)
    # a bias before a batch norm has a gradient of rounding alone, of which Adam makes 5e-10 on some processors
    torch.testing.assert_close(first["state"], alone["state"], rtol=1e-9, atol=5e-9)
    torch.testing.assert_close(second["state"], first["state"], rtol=0, atol=0)


def test_one_and_four_processes_give_one_pretraining(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, queues and weights, in float64; halp-cmd has every term of the three methods of the published table."""
    monkeypatch.setattr(sys, "argv", ["bench", "--steps=3", "--processes=4", "--methods=halp-cmd", f"--out={tmp_path}"])
    bench_processes.main()
    found = json.loads((tmp_path / "ddp.json").read_text())["methods"]
    assert set(found) == {"halp-cmd"}
    entry = found["halp-cmd"]
    assert {t.split("/")[0] for t in entry["last_losses"]} == {"contrast", "distillation", "hallucination"}
    assert set(entry["against_one"]) == {"4"}
    for row in entry["against_one"].values():
        assert row["equal_processes"]
        assert max(row[k] for k in ("losses", "queues", "weights")) < 1e-10, row
    assert all(abs(v) > 1e-3 for v in entry["last_losses"].values())  # every term had something to say


Ended = tuple[list[int | None], list[tuple[str, str]]]


def begun(target: Callable[..., None], folder: Path, *given: Any, count: int = 2) -> list[Process]:
    """Processes that have begun the same work."""
    context = multiprocessing.get_context("forkserver")
    made = [context.Process(target=_speaking, args=(target, number, folder, *given)) for number in range(count)]
    for process in made:
        process.start()
    return made


def ended(made: Sequence[Process], folder: Path) -> Ended:
    """How each process has ended, and what it wrote to its outputs."""
    for process in made:
        process.join(200)
    said = [(folder / f"{number}.out", folder / f"{number}.err") for number in range(len(made))]
    return [process.exitcode for process in made], [(out.read_text(), err.read_text()) for out, err in said]


def together(target: Callable[..., None], folder: Path, *given: Any, count: int = 2) -> Ended:
    """Processes at the same work, two if nothing else is said, from their start to their end."""
    return ended(begun(target, folder, *given, count=count), folder)


def until(there: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    for _ in range(12_000):
        if there():
            return
        time.sleep(0.01)
    pytest.fail("nothing came for two minutes")


def _speaking(target: Callable[..., None], number: int, folder: Path, *given: Any) -> None:
    torch.set_num_threads(1)
    for stream, name in ((1, "out"), (2, "err")):
        with (folder / f"{number}.{name}").open("wb") as file:
            os.dup2(file.fileno(), stream)
    sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))  # noqa: SIM115 - until the end
    signal.signal(signal.SIGINT, signal.default_int_handler)
    target(number, *given)


def _killing(number: int) -> None:
    hits, wrong = kills.kills(4, seed=1)
    assert hits.total()
    assert wrong == []


def test_killed_writers_leave_nothing_half_made(folder: Path, tmp_path: Path) -> None:
    """A few of what ``python -m tests.kills`` tries by the hundred, in a process that runs no threads when it forks."""
    status, said = together(_killing, tmp_path, count=1)
    assert status == [0], said[0][1]


def words_of(archive: MotionArchive, run: Path, recipe: str = "moco", **more: Any) -> list[str]:
    """The words of a small pretraining."""
    options = [f"--{k.replace('_', '-')}={v}" for k, v in {**TINY, **more}.items()]
    return ["pretrain", recipe, f"--data={archive.path}", f"--out={run}", "--quiet", *options]


def _saying(number: int, words: list[str]) -> None:
    sys.exit(cli.main(words))


def test_sigterm_saves_and_says_how_to_go_on(folder: Path, small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = begun(_saying, tmp_path, words_of(small_archive, run, "cmd", epochs=100_000), count=1)
    until((run / "metrics.jsonl").exists)
    made[0].terminate()
    status, ((_, said),) = ended(made, tmp_path)
    assert status == [128 + signal.SIGTERM]
    assert f"motet resume {run}" in said
    assert "Traceback" not in said
    assert Run.open(run).checkpoints
    assert not Run.open(run).finished


def _launching(number: int, words: list[str]) -> None:
    """torchrun itself, whose processes come from this one."""
    config = LaunchConfig(1, 1, 2, rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork")
    assert set(elastic_launch(config, cli.main)(words).values()) == {0}


def test_two_processes_of_torchrun_share_a_run(folder: Path, small_archive: MotionArchive, tmp_path: Path) -> None:
    words = words_of(small_archive, tmp_path / "run", "cmd", devices=2)
    status, said = together(_launching, tmp_path, words, count=1)
    assert status == [0], said[0][1][-2000:]
    run = Run.open(tmp_path / "run")
    assert run.finished
    assert [line["epoch"] for line in run.metrics()] == [1, 2, 3]
    host = load_checkpoint(run.checkpoints)["learner"]["host"]
    # three epochs of three global batches of eight: the keys of both processes are in the queue
    assert int(host["queue.pointer"]) == 3 * 3 * 8 % 16
    assert int(host["queue.filled"]) == 16


SECOND = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the first process can end it
print("joining", flush=True)
time.sleep(100)
"""


def _joining(number: int, port: int, words: list[str], launched: bool) -> None:
    """A process that comes to join the other one; the second of two never does."""
    join = dist.init_process_group

    def joining(*args: Any, **options: Any) -> None:
        print("joining", flush=True)
        if number == 1:
            time.sleep(100)
        join(*args, **options)

    dist.init_process_group = joining
    if launched:  # the second process is begun by the first, as what is written here
        sys.modules["__main__"].__spec__, sys.argv = None, [words[0], *words[1:]]
    else:
        os.environ |= slurm(number, 2, port)
    sys.exit(cli.main(words[launched:]))


@pytest.mark.parametrize("launched", [False, True], ids=["srun", "devices"])
def test_a_signal_while_processes_join_ends_all_at_once(
    folder: Path, small_archive: MotionArchive, tmp_path: Path, launched: bool
) -> None:
    """Ctrl-C reaches all of them, SIGTERM only the one that was started by hand."""
    (tmp_path / "job.py").write_text(SECOND)
    words = [*([str(tmp_path / "job.py")] if launched else []), *words_of(small_archive, tmp_path / "run", devices=2)]
    made = begun(_joining, tmp_path, free_port(), words, launched, count=1 if launched else 2)
    outputs = [tmp_path / f"{number}.out" for number in range(len(made))]
    until(lambda: sum(p.read_text().count("joining") for p in outputs if p.exists()) == 2)
    number = signal.SIGTERM if launched else signal.SIGINT
    began = time.monotonic()
    for process in made:
        assert process.pid is not None
        os.kill(process.pid, number)
    status, said = ended(made, tmp_path)
    assert time.monotonic() - began < 12
    assert status == [128 + number] * len(made)
    lines = [line for _, text in said for line in text.splitlines() if not line.startswith("warning: ")]
    assert lines == [f"stopped by {number.name} before the training began; the same command starts it again"]
    assert not (tmp_path / "run").exists()


def _dying(number: int, port: int, words: list[str]) -> None:
    """A training whose second process is killed."""
    os.environ |= slurm(number, 2, port)
    step, calls = Trainer.one_step, []

    def dying(self: Trainer) -> dict[str, float]:
        calls.append(1)
        if number == 1 and len(calls) == 5:  # in the second epoch; the first one is saved
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self)

    Trainer.one_step = dying  # type: ignore[method-assign]
    sys.exit(cli.main(words))


def test_a_process_that_dies_ends_all_and_the_run_goes_on(
    folder: Path, small_archive: MotionArchive, tmp_path: Path
) -> None:
    words = words_of(small_archive, tmp_path / "run", checkpoint_every=1)
    status, said = together(_dying, tmp_path, free_port(), words)
    assert status == [2, -9], said[0][1][-3000:]
    last = said[0][1].strip().splitlines()
    (line,) = [line for line in last if "another process of the training has stopped" in line]
    assert line.startswith("error: ")
    told = re.search(r"has stopped \((.+)\); its own message says why\. ", line)
    assert told is not None, line
    assert not re.search(r"/|\.cc|…", told[1]), line  # no place in a C++ source, no word cut short
    assert line.endswith(f"continue from the last checkpoint: `motet resume {tmp_path / 'run'}`")
    assert [text.count("warning: ") for _, text in said] == [1, 0]  # few steps an epoch: said once
    run = Run.open(tmp_path / "run")
    assert not run.finished
    assert run.recipe.loop.devices == 2
    assert len(run.checkpoints) == 1
    again = resume(tmp_path / "run", devices=1, progress=False)  # what is left needs no second process
    assert again.finished
    assert [line["epoch"] for line in again.metrics()] == [1, 2, 3]


PROTOCOLS = {"linear": {"epochs": 2}, "semi": {"tuned": "head", "ratios": (0.5,), "epochs": 2}}
FLAGS = "--linear.epochs 2 --semi.tuned head --semi.ratios 0.5 --semi.epochs 2"


def _evaluating(number: int, port: int, folder: Path) -> None:
    """As torchrun starts them: the encoding of an evaluation and of a table of features is shared."""
    os.chdir(folder)
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(number)}
    encode, seen = Model.encode, []

    def counted(self: Model, store: Any, ids: Tensor, **more: Any) -> Any:
        seen.append(len(ids))
        return encode(self, store, ids, **more)

    Model.encode = counted  # type: ignore[method-assign]
    with joined():
        assert cli.main(f"evaluate run --protocols knn linear semi {FLAGS}".split()) == 0
        assert max(seen) <= 18, seen
        embed("run", "swings", "f.npz", block_bytes=5000)


def test_two_processes_give_the_tables_of_one(folder: Path, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "swings")
    run = write_run(tmp_path / "run", archive)
    status, said = together(_evaluating, tmp_path, free_port(), tmp_path)
    assert status == [0, 0], said[0][1][-2000:] + said[1][1][-2000:]
    assert [out.count("# Evaluation of") for out, _ in said] == [1, 0]
    stored = json.loads((run.path / "evaluation.json").read_text())
    assert stored["missing"] == []
    alone = evaluate.run(run, ("knn", "linear", "semi"), again=True, **PROTOCOLS)  # type: ignore[arg-type]
    assert stored["rows"] == alone["rows"]
    with np.load(tmp_path / "f.npz") as found:
        np.testing.assert_allclose(found["features"], run.model().transform(archive), atol=1e-6)
    assert not list(tmp_path.glob(".f.npz*"))
