from __future__ import annotations

import gc
import importlib.metadata
import signal
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.methods import rocket, whitening
from motet.methods.discovery import baselines, scores
from motet.use import unknown

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

settings.register_profile("motet", deadline=None)  # machines are shared: no test depends on time
settings.load_profile("motet")

LONG = (
    *("test_docs.py", "test_export.py", "test_processes.py", "test_notebooks.py", "test_train.py", "test_run.py"),
    *("test_model.py", "test_shipped.py", "test_unknown.py", "test_fit.py", "test_weights.py", "test_record.py"),
)
"""files that take long, given out first: the last ones are short, so that no process waits for another at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    # what was imported and collected stays to the end: no collection of garbage needs to walk through it again
    gc.collect()
    gc.freeze()
    gc.set_threshold(1000, 20, 100)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # two OpenMP threads under contention can be many times slower than one
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _signals() -> None:
    # under nohup a hang-up would be ignored, in the background Ctrl-C, also by the runs that tests interrupt
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # nothing that an earlier run or another checkout has kept, and nothing left in the user's home
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _plugins_once() -> Iterator[None]:
    # Lightning reads what every installed package offers, for every training
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "entry_points", cache(importlib.metadata.entry_points))
        yield


@pytest.fixture(autouse=True, scope="session")
def _few_convolutions() -> None:
    # rows of random convolutions stand in every table; their number changes no path through the code
    rocket.KERNELS = 100


@pytest.fixture(autouse=True, scope="session")
def _few_starts() -> None:
    # every discovery scores its branches and the baselines over starts of k-means
    scores.RESTARTS = baselines.RESTARTS = 2


@pytest.fixture(autouse=True, scope="session")
def _few_actors() -> None:
    # trainings that start from `body`, `hand` or `picture` end with them
    for kind, (_, options) in whitening.ACTORS.items():
        options |= {"clips": 64, "actors": 2} | ({"actions": 20, "invented": 0} if kind[0] == "hand" else {})


@pytest.fixture(autouse=True, scope="session")
def _few_steps() -> None:
    # of the linear probes that look at every table before a distillation
    import_module("motet.methods.distillation.diagnose")._STEPS = 40


@pytest.fixture(autouse=True, scope="session")
def _few_unknown() -> None:
    # every model of `fit` learns what none of its classes looks like
    unknown._ROWS, unknown._PLAYED, unknown._EACH = 400, 3, 100


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout; skips where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip("real recordings are not beside this checkout")
    return REAL_DATA


def stick() -> Skeleton:
    """A small body of eight joints."""
    return Skeleton(
        name="stick",
        joints=("hip", "spine", "neck", "head", "left_hand", "right_hand", "left_foot", "right_foot"),
        parents=(-1, 0, 1, 2, 2, 2, 0, 0),
        parts={"arms": (4, 5), "legs": (6, 7), "trunk": (0, 1, 2, 3)},
        mirror=((4, 5), (6, 7)),
        center=1,
    )


def write_clips(path: Path, clips: int = 48, classes: int = 4, subjects: int = 4, seed: int = 0) -> MotionArchive:
    """Clips whose class is the frequency and the limb of an oscillation; labels and subjects are balanced."""
    random = np.random.default_rng(seed)
    with ArchiveWriter(path, skeleton=stick(), fps=30.0, class_names=[f"class {i}" for i in range(classes)]) as writer:
        for i in range(clips):
            label, subject = i % classes, i // classes % subjects
            time = np.arange(random.integers(20, 50))[:, None, None] / 30
            frames = np.zeros((len(time), 8, 3)) + np.arange(8)[:, None] * (0.1, 0.2, 0.05)
            swing = 0.3 * np.sin(2 * np.pi * (1 + label) * time + random.uniform(0, 6))
            frames[:, 4 + label % 4] += swing[:, 0]
            frames = (1 + 0.05 * subject) * frames + random.normal(0, 0.01, frames.shape)
            writer.add(frames, name=f"clip-{i:03d}", label=label, subject=subject + 1, camera=i % 2)
    return MotionArchive.open(path)


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """48 short clips of four classes and four people."""
    return write_clips(tmp_path_factory.mktemp("small") / "archive")
