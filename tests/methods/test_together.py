"""Several archives in one training, and trainings that start from encoders that are there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet import cli
from motet.core.errors import ConfigError, MotetNote, MotetWarning, RunError
from motet.core.progress import LoopProgress
from motet.data import edit
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import convert
from motet.data.edit import select
from motet.data.simulate import simulate
from motet.data.skeletons import Skeleton
from motet.data.together import Sets, common_form, gathered
from motet.engine.learner import Stage
from motet.engine.run import Run
from motet.methods.learner import _looks
from motet.methods.pretrain import pretrain, resolve, resume, train_seeds
from motet.methods.start import Start
from motet.use.weights import save_weights
from tests.conftest import stick, write_clips
from tests.methods.test_above import MOUSE, recorded

TINY: dict[str, Any] = {"epochs": 2, "batch_size": 8, "queue_size": 16, "width": 8, "layers": 2, "frames": 8}
TINY |= {"dim": 8, "head_width": 8, "preprocess": "first-frame", "progress": False}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """24 clips of three people: other order of joints, one more of them, millimetres, z up."""
    path = tmp_path_factory.mktemp("other") / "archive"
    layout = stick()
    order = [7, 6, 5, 4, 3, 2, 1, 0]
    back = {old: new for new, old in enumerate(order)}
    names = [*(layout.joints[i] for i in order), "tail"]
    parents = [*(-1 if layout.parents[i] < 0 else back[layout.parents[i]] for i in order), back[0]]
    other = replace(
        layout, name="other", joints=tuple(names), parents=tuple(parents), parts={}, mirror=(), canonical=tuple(names)
    )
    source = write_clips(path.with_name("source"), clips=24, classes=3, subjects=3, seed=5)
    with ArchiveWriter(path, skeleton=other, units="mm", fps=60.0, class_names=["class 2", "new", "class 0"]) as writer:
        for i in range(len(source)):
            clip = source.clip(i)[:, :, order]
            clip = np.concatenate([clip, clip[:, :, -1:]], axis=2)
            row = source.clips.row(i, named=True)
            writer.add(clip * 1000, name=row["name"], label=row["label"], subject=row["subject"])
    return MotionArchive.open(path)


def test_archives_are_joined_by_names_of_joints(small_archive: MotionArchive, other: MotionArchive) -> None:
    with gathered([small_archive, other]) as joined:
        assert joined.skeleton.joints == stick().joints  # of the first, without the tail that it lacks
        assert len(joined) == 72
        assert list(joined.class_names) == ["class 0", "class 1", "class 2", "class 3", "new"]
        assert joined.clips["name"][0] == "archive-1/clip-000"
        expected = convert(other.clip(3), other.skeleton, joined.skeleton) / 1000
        np.testing.assert_allclose(joined.clip(48 + 3), expected, rtol=1e-5)
        names = [other.class_names[label] for label in other.labels]
        assert [joined.class_names[label] for label in joined.labels[48:]] == names


def test_batches_are_no_larger_than_what_an_epoch_draws(small_archive: MotionArchive, other: MotionArchive) -> None:
    sets = Sets.of([small_archive, other], None)
    with gathered([small_archive, other]) as joined:
        recipe, _ = resolve("moco/small", joined, {"preprocess": "first-frame"}, sets=sets)
        drawn = sum(sets.shares(recipe.set_weights))
        assert recipe.batch_size == drawn < len(sets.parts.train)
        with pytest.raises(ConfigError, match=f"larger than the {drawn} clips of an epoch"):
            resolve("moco/small", joined, {"preprocess": "first-frame", "batch_size": drawn + 1}, sets=sets)


def test_every_set_keeps_its_own_split(small_archive: MotionArchive, other: MotionArchive) -> None:
    sets = Sets.of([small_archive, other], None)
    assert (
        sets.parts.train[sets.parts.train < 48].tolist()
        == motet.data.splits.split(small_archive, "odd-even").train.tolist()
    )
    assert (sets.parts.train[sets.parts.train >= 48] - 48).tolist() == sets.sides[1].train.tolist()
    # 24 and 15 training clips: the small set whole, of the large one what the square roots say
    assert sets.shares(()) == [round(24 * (24**-0.5) / (15**-0.5)), 15]
    assert sets.shares((1.0, 2.0)) == [8, 15]
    with pytest.raises(ConfigError, match="3 values for 2 archives"):
        sets.shares((1, 1, 1))


def test_training_on_several(small_archive: MotionArchive, other: MotionArchive, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = motet.pretrain("cmd/small", [small_archive, other.path], out, set_weights=(1, 1), **TINY)
    assert set(run.metrics()[-1]["knn"]) == {"archive-1", "archive-2"}
    assert run.config["train_clips"] == 39
    assert run.trained_on(other).tolist() == Sets.of([other], None).parts.train.tolist()
    # features of both layouts, and of the second as if it had been recorded in the first
    model = motet.load(out)
    assert model.transform(small_archive).shape[0] == 48
    with pytest.raises(ConfigError, match="unit"):
        model.transform(other)
    with pytest.raises(RunError, match="several archives; name one by --data"):
        run.archive()
    checkpoint = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").unlink()
    for path in run.checkpoints[1:]:
        path.unlink()  # back to the end of the first epoch
    resume(out, progress=False)
    assert (out / "model.safetensors").read_bytes() == checkpoint
    found = motet.evaluate.run(run, ["knn"], data=small_archive, baselines=False, progress=False)
    assert not any("were in the pretraining" in note for note in found["notes"])


def test_epochs_draw_by_weight(small_archive: MotionArchive, other: MotionArchive, tmp_path: Path) -> None:
    from motet.methods.material import material, opened
    from motet.methods.pretrain import resolve, trainer_of

    options = {k: v for k, v in TINY.items() if k != "progress"} | {"set_weights": (1.0, 2.0)}
    with material(opened([small_archive, other]), None, None) as (archive, sets):
        recipe, parts = resolve("moco/small", archive, options, sets=sets)
        learner = trainer_of(recipe, archive, parts, progress=False, sets=sets).learner
        assert learner.stages[0].steps == 2  # 8 + 15 clips
        drawn = [learner._drawn(epoch) for epoch in range(30)]  # type: ignore[attr-defined]
    assert all(int((d < 48).sum()) == 8 and len(d) == 23 and len(d.unique()) == 23 for d in drawn)
    assert len(torch.cat(drawn).unique()) == 39  # nobody is left out for long


def test_start_gives_the_encoders(small_archive: MotionArchive, tmp_path: Path) -> None:
    first = pretrain("cmd/small", small_archive, tmp_path / "first", **TINY)
    begin = Start.open(tmp_path / "first")
    out = tmp_path / "second"
    again = pretrain("moco/small", small_archive, out, start=first.path, **{**TINY, "lr": 1e-30})
    assert again.config["start"] == str(first.path.resolve())
    for name, value in motet.load(out).weights().items():
        if not any(word in name for word in ("running", "num_batches", "whitening")):
            torch.testing.assert_close(value, begin.model.weights()[name])
    repeated = ["pretrain", "--from-run", str(out), "--data", str(small_archive.path), "--out", str(tmp_path / "again")]
    assert cli.main([*repeated, "--quiet"]) == 0
    assert Run.open(tmp_path / "again").config["start"] == str(first.path.resolve())
    host = pretrain("halp/small", small_archive, tmp_path / "third", start=first.path, **TINY, prototypes=4)
    assert motet.load(host.path).streams == ("joint",)


def test_keys_follow_the_start(small_archive: MotionArchive, tmp_path: Path) -> None:
    from motet.methods.pretrain import resolve, trainer_of

    pretrain("cmd/small", small_archive, tmp_path / "first", **TINY)
    begin = Start.open(tmp_path / "first")
    options = {k: v for k, v in TINY.items() if k != "progress"}
    recipe, parts = resolve("cmd", small_archive, options, start=begin)
    learner = trainer_of(recipe, small_archive, parts, progress=False, start=begin).learner
    for name, twins in learner.network.key_encoders.state_dict().items():  # type: ignore[union-attr,operator]
        torch.testing.assert_close(twins, begin.model.encoders.state_dict()[name])


def test_a_start_that_does_not_fit(small_archive: MotionArchive, other: MotionArchive, tmp_path: Path) -> None:
    pretrain("moco/small", small_archive, tmp_path / "first", **{**TINY, "streams": ("joint",)})
    start = str(tmp_path / "first")
    for data, recipe, options, said in (
        (other, "moco", {"streams": ("joint",)}, "the model was trained on stick"),
        (small_archive, "moco", {"streams": ("joint", "motion")}, "no stream 'motion'"),
        (small_archive, "moco", {"streams": ("joint",), "width": 16}, "has width 8, not 16; leave --width out"),
        (small_archive, "moco/small-gru", {"streams": ("joint",)}, "trains the encoder gru"),
        (small_archive, "moco", {"preprocess": "center", "streams": ("joint",)}, "leave --preprocess out"),
    ):
        with pytest.raises(ConfigError, match=said):
            pretrain(recipe, data, tmp_path / "out", start=start, progress=False, **options)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="random convolutions"):
        Start.open("rocket")


def test_seeds_of_another_start_are_another_training(small_archive: MotionArchive, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    train_seeds("moco/small", small_archive, out, [0], **TINY)
    train_seeds("moco/small", small_archive, out, [0], **TINY)
    with pytest.raises(RunError, match="it started from fresh encoders"):
        train_seeds("moco/small", small_archive, out, [0], start=out / "seed-0", **TINY)


def test_what_does_not_go_together(small_archive: MotionArchive, tmp_path: Path) -> None:
    layout = replace(stick(), name="watch", kind="sensor", up=None, parents=(-1,) * 8)
    with ArchiveWriter(tmp_path / "watch", skeleton=layout) as writer:
        writer.add(np.ones((9, 8, 3)), name="a")
    with pytest.raises(ConfigError, match="train on archives of one kind"):
        common_form([small_archive, MotionArchive.open(tmp_path / "watch")])
    with pytest.raises(ConfigError, match="name each archive once"):
        motet.pretrain("cmd", [small_archive, small_archive], tmp_path / "out")


def test_start_body_on_another_layout(tmp_path: Path) -> None:
    archive = motet.simulate.simulate(tmp_path / "clips", clips=24, actions=3, actors=4, layout="kinect-v2")
    with pytest.raises(ConfigError, match=re.escape(f"{archive.path} has no subject 9")):  # not its copy in 15 joints
        motet.pretrain("cmd", archive, tmp_path / "run", start="body", split="subjects:9", progress=False)
    run = motet.pretrain("cmd", archive, tmp_path / "run", start="body", steps=2, batch_size=8, progress=False)
    assert run.config["start"] == "body"
    assert run.config["data"]["skeleton"]["name"] == "shared-15"
    assert motet.load(run.path).transform(archive).shape[0] == 24
    assert run.archive().hash == archive.hash
    card = (save_weights(run, tmp_path / "weights") / "README.md").read_text()
    assert f"| started from | `body`, digest of the weights {Start.open('body').digest} |" in card
    assert "| neighbours | clips of other people (column `subject`) that are near in" in card
    for place, named in (("somebody/weights@v1", "somebody/weights@v1"), (str(tmp_path / "runs" / "a"), "a")):
        run.config["start"] = place
        assert dict(Start.open("body").model.card(run).rows)["started from"].startswith(f"`{named}`, digest")


def test_a_start_keeps_the_standard_split_of_the_set(tmp_path: Path) -> None:
    actors = motet.simulate.simulate(tmp_path / "actors", clips=24, actions=2, actors=4, layout="kinect-v1")
    path, facts = tmp_path / "views", {"split": "nw-ucla"}
    with ArchiveWriter(path, skeleton=actors.skeleton, class_names=actors.class_names, source=facts) as writer:
        for i in range(len(actors)):
            writer.add(actors.clip(i), name=str(i), label=int(actors.labels[i]), subject=i % 4, camera=1 + i % 3)
    with pytest.warns(MotetNote), pytest.warns(MotetWarning, match="both in training and in test"):
        run = pretrain("cmd", path, tmp_path / "run", epochs=0, progress=False)
    assert run.split == "nw-ucla"
    assert run.config["train_clips"] == 16  # people would give 12


def test_cameras_are_noticed(tmp_path: Path) -> None:
    plain = motet.simulate.simulate(tmp_path / "plain", clips=24, actions=3, actors=4)
    with ArchiveWriter(tmp_path / "clips", skeleton=plain.skeleton, persons=plain.persons) as writer:
        for i in range(len(plain)):
            writer.add(plain.clip(i), name=f"clip {i}", camera=1 + i % 3)
    archive = MotionArchive.open(tmp_path / "clips")
    shared: dict[str, Any] = {"split": "nw-ucla", "epochs": 1, "batch_size": 8, "queue_size": 16, "dim": 8, "frames": 8}
    shared |= {"progress": False, "streams": ("joint",)}
    for recipe, more in (("moco/small", {"width": 8, "layers": 2}), ("moco/small-gru", {"hidden": 8, "layers": 1})):
        with pytest.warns(MotetNote, match=r"every clip is turned to one heading \(--preprocess yaw\)"):
            run = pretrain(recipe, archive, tmp_path / recipe.replace("/", "-"), **shared, **more)
        assert run.recipe.preprocess == "yaw"
    with pytest.warns(MotetNote, match="not turned to one heading .*--preprocess yaw turns every clip"):
        pretrain("moco/small", archive, tmp_path / "x", **shared, width=8, layers=2, preprocess="center")


def test_looks_at_the_features_cost_a_twentieth() -> None:
    recipe = motet.recipes.get("cmd/small")
    # 300 steps of 128 clips, 4 passes of 32 frames each; a look passes 48 frames of every clip once
    assert _looks(recipe, Stage("pretrain", 100, 3, rows=128), 861) == int(0.05 * 4 * 38400 * 32 / (861 * 48))
    assert _looks(recipe, Stage("pretrain", 100, 3, rows=128), 5000) == 3
    assert _looks(recipe, Stage("pretrain", 450, 600, rows=64), 5000) == 20


def test_the_first_step_says_nothing_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("motet.core.progress.time.monotonic", lambda: now[0])
    show = LoopProgress(101, show=True)
    for seconds in (30.0, 15.0, 1.0):  # the first step is cold
        now[0] += seconds
        show.step("epoch 1/1", {}, 1.0)
    assert "0:45, 24:45 left" in capsys.readouterr().err


def test_sensors_of_several_units_start_from_wrist(tmp_path: Path) -> None:
    simulate(tmp_path / "a", clips=16, actions=2, actors=4, imu=True, progress=False)
    worn = select(
        MotionArchive.open(tmp_path / "a-imu"), tmp_path / "worn", without=["hip_accelerometer", "hip_gyroscope"]
    )
    in_g = edit.convert(worn, tmp_path / "g", units="g, deg/s")
    run = pretrain("cmd", [worn, in_g], tmp_path / "run", epochs=1, batch_size=8, progress=False, start="wrist")
    features = motet.load(run.path).transform
    assert np.abs(features(worn) - features(in_g)).max() < 1e-3 * np.abs(features(worn)).max()


@pytest.mark.filterwarnings("ignore:animals point in all directions")
def test_animals_of_several_layouts_keep_their_heading(tmp_path: Path) -> None:
    """And what is trained so reads others that have the joints, in any order and with y up."""
    mice = recorded(tmp_path / "mice", lambda n: 2.4 * n)
    order = [3, 2, 0, 1]
    other = Skeleton("other", tuple(MOUSE.joints[i] for i in order), (1, -1, 1, 2), center=1, up="+y")
    with ArchiveWriter(tmp_path / "other", skeleton=other, fps=30.0, channels=("x", "y")) as writer:
        for index, row in enumerate(mice.clips.iter_rows(named=True)):
            clip = mice.clip(index)[:, :, order] * np.array([1, -1])
            writer.add(clip.astype(np.float32), name=row["name"], label=row["label"], subject=row["subject"])
    short: dict[str, Any] = {"epochs": 1, "batch_size": 8, "width": 4, "progress": False}
    run = pretrain("cmd", [mice, tmp_path / "other"], tmp_path / "both", **short)
    assert run.recipe.preprocess == "animal"
    again = pretrain("cmd", [mice, tmp_path / "other"], tmp_path / "again", start=run.path, epochs=1, progress=False)
    assert again.recipe.preprocess == "animal"
    model = motet.load(pretrain("cmd", mice, tmp_path / "one", **short).path)
    features = model.transform(mice)
    np.testing.assert_allclose(model.transform(tmp_path / "other"), features, atol=1e-4 * np.abs(features).max())
