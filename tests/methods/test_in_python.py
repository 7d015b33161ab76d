"""What a program does with a training: its run in place of a path, its encoders, a method of its own."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import motet
from motet import recipes
from motet.core.errors import ConfigError, RunError
from motet.data.archive import MotionArchive
from motet.data.edit import select
from motet.methods.contrastive import Contrastive
from motet.methods.model import Model
from tests.methods.test_pretrain import TINY, tiny

pytestmark = pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")


@dataclass(frozen=True)
class Mine(Contrastive):
    """A method of this file."""

    title = "Mine"
    meaning = "As MoCo."


@pytest.fixture(scope="module")
def run(small_archive: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> motet.Run:
    return tiny("moco", small_archive, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def model(run: motet.Run) -> Model:
    found = motet.load(run)
    assert isinstance(found, Model)
    return found


def test_encoders_of_a_model_are_in_eval_mode_and_stay_so(model: Model, small_archive: MotionArchive) -> None:
    fresh = Model.fresh(model.recipe, small_archive)
    for made in (model, fresh, fresh.untrained(1), model.only(["joint"])):
        made.transform(small_archive)
        assert not any(part.training for encoder in made.encoders for part in encoder.modules())


def test_encoders_of_a_training_are_left_as_they_were(model: Model, small_archive: MotionArchive) -> None:
    model.encoders.train()
    model.transform(small_archive)
    model.only(["joint"]).transform(small_archive)
    assert all(part.training for part in model.encoders.modules())


def test_encoders_alone_give_what_the_model_gives(model: Model, small_archive: MotionArchive) -> None:
    """As a loop of one's own uses them, see docs/training.md."""
    store = model.store(small_archive)
    ids = torch.arange(5)
    clips = store.windows(ids, torch.zeros(5, dtype=torch.long), store.lengths_of(ids), model.clip_frames)
    alone = [encoder(view(clips)) for encoder, view in zip(model.encoders, model.views, strict=True)]
    for mine, theirs in zip(alone, model.features(clips), strict=True):
        torch.testing.assert_close(mine, theirs)
        assert mine.requires_grad


def test_a_run_and_an_archive_go_where_paths_go(run: motet.Run, small_archive: MotionArchive, tmp_path: Path) -> None:
    assert Path(run) == run.path
    assert Path(small_archive) == small_archive.path
    shape = motet.embed(run, small_archive, tmp_path / "f.npz", progress=False)
    assert np.load(tmp_path / "f.npz")["features"].shape == shape
    assert motet.resume(run).path == run.path
    again = motet.pretrain("moco/small-gru", small_archive, tmp_path / "more", start=run, epochs=1, progress=False)
    assert again.config["start"] == str(run.path)
    with pytest.raises(RunError, match="is an archive of recordings, not a run"):
        motet.load(small_archive)
    with pytest.raises(ConfigError, match="is wanted, not Model"):
        motet.load(motet.load(run))


def test_devices_that_are_not_there_are_named(run: motet.Run) -> None:
    assert motet.load(run, "auto").device.type in ("cpu", "cuda")
    assert motet.load(run, torch.device("cpu")).device.type == "cpu"
    with pytest.raises(ConfigError, match="must be one of auto, cpu"):
        motet.load(run, "gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="torch sees no cuda device"):
            motet.load(run, "cuda:0")


def test_recordings_that_have_gone_are_named(run: motet.Run, tmp_path: Path) -> None:
    shutil.copytree(run.data, tmp_path / "data")
    mine = tiny("moco", MotionArchive.open(tmp_path / "data"), tmp_path / "mine")
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(RunError, match="has moved or is gone; name it by --data"):
        mine.archive()
    assert len(mine.archive(tmp_path / "moved"))


def test_a_method_of_the_program_is_read_again_in_it(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(recipes.get("moco/small-gru"), recipe="mine/small", method=Mine())
    run = motet.pretrain(own, small_archive, tmp_path / "run", progress=False, **TINY)
    assert type(motet.Run.open(run).recipe.method) is Mine
    assert motet.evaluate.run(run, ["knn"], baselines=False, progress=False)["rows"]
    monkeypatch.delattr("tests.methods.test_in_python.Mine")
    with pytest.raises(RunError, match=r"test_in_python\.Mine.*define or import it") as caught:
        motet.load(motet.Run.open(run))
    assert "damaged" not in str(caught.value)


def test_one_name_stands_for_a_list_of_one(run: motet.Run, small_archive: MotionArchive, tmp_path: Path) -> None:
    name = small_archive.clips["name"][3]
    assert select(small_archive, tmp_path / "one", keep=name).clips["name"].to_list() == [name]
    with pytest.raises(ConfigError, match="there is no candidate 'nearest'"):
        motet.fit(small_archive, tmp_path / "fitted", candidates="nearest", progress=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"seeds": [1, 2]}, "seeds is .*must be a whole number"), ({"run": 3}, "is wanted, not int")],
)
def test_what_is_no_run_or_number_of_seeds_is_one_line(run: motet.Run, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        motet.evaluate.run(**{"run": run, "protocols": ["knn"], **given})


def test_a_model_in_place_of_a_run_is_named(model: Model, small_archive: MotionArchive) -> None:
    with pytest.raises(ConfigError, match="is wanted, not Model"):
        motet.evaluate.run(model, ["knn"])  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is an archive of recordings, not a run"):
        motet.evaluate.run(small_archive, ["knn"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is an archive of recordings, not a fitted model"):
        motet.predict(small_archive, small_archive)  # type: ignore[arg-type]


def test_trainings_in_threads_are_those_that_run_alone(small_archive: MotionArchive, tmp_path: Path) -> None:
    """HaLP draws in every step, so two of them at once would take each other's draws."""

    def loss(name: str) -> list[float]:
        return [line["loss"] for line in tiny("halp", small_archive, tmp_path / name).metrics()]

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, alone = torch.rand(1), loss("alone")
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)  # the program's own draws continue
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(loss, ("a", "b"))) == [alone, alone]


def test_gradients_that_a_program_has_turned_off(small_archive: MotionArchive, tmp_path: Path) -> None:
    with torch.no_grad():
        assert tiny("moco", small_archive, tmp_path / "run").finished


class Labelled(torch.utils.data.Dataset[tuple[int, int]]):
    """As programs write them: everything of a clip is asked for in the worker."""

    def __init__(self, archive: MotionArchive) -> None:
        self.archive = archive

    def __len__(self) -> int:
        return len(self.archive)

    def __getitem__(self, index: int) -> tuple[int, int]:
        name = self.archive.clips["name"][index]
        return len(self.archive[name]), int(self.archive.labels[index])


def test_clips_and_labels_in_forked_workers(small_archive: MotionArchive) -> None:
    archive = MotionArchive.open(small_archive.path)
    archive.clips.filter(archive.clips["label"] == 0)  # polars has started its threads
    loader = torch.utils.data.DataLoader(
        Labelled(archive), batch_size=8, num_workers=1, timeout=20, multiprocessing_context="fork"
    )
    lengths, labels = zip(*loader, strict=True)
    assert torch.cat(labels).tolist() == small_archive.labels.tolist()
    assert torch.cat(lengths).tolist() == small_archive.lengths.tolist()


def test_a_table_in_memory_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not DataFrame; ArchiveWriter takes arrays"):
        motet.import_dataset("csv", pl.DataFrame({"nose_x": [1.0]}), tmp_path / "a")  # type: ignore[arg-type]
