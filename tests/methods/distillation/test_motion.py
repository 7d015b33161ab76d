"""Motion archives as modalities, and encoders of the library as extractors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from motet import ArchiveWriter, MotionArchive
from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.data import layouts
from motet.data.archive import Sensor
from motet.data.skeletons import Skeleton
from motet.methods import distillation as distill
from motet.methods.distillation import Motion, open_table
from motet.methods.distillation.folds import folds
from motet.methods.distillation.motion import parts_of, resolved
from motet.methods.distillation.networks import Networks, Shape, Student
from motet.methods.distillation.replicated import Layout, ReplicatedEncoder, idle_stay, make_encoder

ARM = Skeleton("arm", ("shoulder", "elbow", "wrist"), (-1, 0, 1))
CLASSES = ("wave", "point", "rest")
SMALL: dict[str, Any] = {"epochs": 2, "features": 8, "fuse_hidden": 8, "batch_size": 8, "hidden": (8,)}
SMALL |= {"sequence_hidden": 4, "sequence_frames": 3}


def write_archive(
    path: Path,
    *,
    skeleton: Skeleton = ARM,
    clips: int = 48,
    order: list[int] | None = None,
    sensor: bool = True,
    names: str = "clip",
    classes: tuple[str, ...] = CLASSES,
    lengths: int = 6,
    **changes: Any,
) -> MotionArchive:
    """Clip n: class n % 3, person n // 3 % 4 + 1, repetition n // 12; every fourth clip has no reading of the watch."""
    watch = {"watch": Sensor(layouts.get("imu-2"), 50.0, "g")} if sensor else None
    with ArchiveWriter(path, skeleton=skeleton, fps=30.0, class_names=classes, sensors=watch) as writer:
        for n in order if order is not None else range(clips):
            random = np.random.default_rng(n)
            kind = CLASSES[n % 3]
            frames = random.normal(size=(lengths + n % 3, len(skeleton), 3)).cumsum(axis=0) + n % 3
            readings = random.normal(n % 3, 0.3, size=(9 + n % 2, 2, 3)) if n % 4 else np.zeros((0, 2, 3))
            facts = {"label": classes.index(kind), "subject": n // 3 % 4 + 1, "repetition": n // 12, "source": "made"}
            facts = {k: v(n) if callable(v) else v for k, v in (facts | changes).items()}
            writer.add(frames, name=f"{names}-{n}", sensors={"watch": readings} if sensor else None, **facts)
    return MotionArchive.open(path)


def open_one(source: Path | str, *names: str, split: str | None = None, **motion: Any) -> distill.FeatureTable:
    return open_table([source], names, Motion(**motion), split)


def test_an_archive_is_a_table_of_its_skeletons_and_sensors(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a")
    assert list(parts_of(archive)) == ["skeleton", "watch", "watch.accelerometer", "watch.gyroscope"]
    assert list(parts_of(archive, "left"))[:3] == ["left", "left.watch", "left.watch.accelerometer"]
    names = ("watch.gyroscope", "skeleton", "watch")
    table = open_one(archive.path, *names, frames=4, sensor_frames=5, preprocess="none")
    assert table.class_names == CLASSES
    assert table.labels.tolist() == [n % 3 for n in range(48)]
    assert table.group is not None
    assert table.group[:4].tolist() == ["1", "1", "1", "2"]
    assert table.ids[0] == "clip-0"
    skeleton, watch, gyroscope = (table.modalities[m] for m in ("skeleton", "watch", "watch.gyroscope"))
    assert skeleton.values.shape == (48, 4, 9)
    assert watch.available.tolist() == [bool(n % 4) for n in range(48)]
    assert np.array_equal(watch.lengths, np.where(watch.available, 5, 0))  # type: ignore[arg-type]
    assert not watch.values[0].any()
    assert np.array_equal(gyroscope.values, watch.values[:, :, 3:])
    # half-pixel centres: of 8 frames to 4, every new one is the mean of two
    clip = archive.clip(2)
    assert len(clip) == 8
    assert np.allclose(skeleton.values[2], clip.reshape(4, 2, 9).mean(axis=1), atol=1e-6)
    centred = open_one(archive.path, "skeleton").modalities["skeleton"].values
    assert np.abs(centred[:, 0, :3]).max() < np.abs(skeleton.values[:, 0, :3]).max()


def test_an_archive_of_a_sensor_is_a_table_of_its_nodes(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "w", skeleton=layouts.get("imu-2"), sensor=False)
    table = open_one(archive.path, "gyroscope", "accelerometer", "sensor", sensor_frames=6)
    whole = table.modalities["sensor"].values
    assert whole.shape == (48, 6, 6)
    assert np.array_equal(table.modalities["accelerometer"].values, whole[:, :, :3])
    assert np.array_equal(table.modalities["gyroscope"].values, whole[:, :, 3:])
    layout = table.modalities["gyroscope"].layout
    assert layout is not None
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_archives_of_the_same_clips_are_paired_by_what_they_say(tmp_path: Path) -> None:
    """Another order, other names, another count of classes, clips that one or the other lacks."""
    first = write_archive(tmp_path / "kinect", order=list(range(40)))
    order = np.random.default_rng(0).permutation(np.arange(8, 48)).tolist()
    second = write_archive(tmp_path / "vicon", order=order, names="v", sensor=False, classes=("rest", "wave", "point"))
    sources = [f"kinect={first.path}", f"vicon={second.path}"]
    table = open_table(sources, ("kinect", "vicon"), Motion(frames=5, preprocess="none"))
    assert len(table) == 48
    assert [table.class_names[k] for k in table.labels] == [CLASSES[int(i.split("-")[1]) % 3] for i in table.ids]
    number = [int(i.split("-")[1]) for i in table.ids]
    assert number[:40] == list(range(40))
    kinect, vicon = table.modalities["kinect"], table.modalities["vicon"]
    assert kinect.available.tolist() == [n < 40 for n in number]
    assert vicon.available.tolist() == [n >= 8 for n in number]
    alone = open_one(f"vicon={second.path}", "vicon", frames=5, preprocess="none").modalities["vicon"]
    for row, n in enumerate(number):
        if n >= 8:
            assert np.array_equal(vicon.values[row], alone.values[order.index(n)])
    assert np.array_equal(kinect.values[8:40], vicon.values[8:40])


def test_clips_that_say_too_little_are_paired_by_name(tmp_path: Path) -> None:
    first = write_archive(tmp_path / "a", repetition=None, sensor=False)
    second = write_archive(tmp_path / "b", repetition=None, sensor=False, order=list(range(47, -1, -1)))
    table = open_table([f"a={first.path}", f"b={second.path}"], ("a", "b"), Motion(frames=3))
    assert table.ids[:2].tolist() == ["clip-0", "clip-1"]
    assert np.array_equal(table.modalities["a"].values, table.modalities["b"].values)


def test_misaligned_archives_are_refused(tmp_path: Path) -> None:
    first = write_archive(tmp_path / "a", sensor=False)
    base: dict[str, Any] = {"sensor": False}
    shifted = write_archive(tmp_path / "b", label=lambda n: (n + 1) % 3, **base)
    strangers = write_archive(tmp_path / "c", subject=lambda n: 90 + n // 3 % 4, **base)
    few = write_archive(tmp_path / "d", subject=lambda n: n // 3 % 4 + 1 + 90 * (n % 4 > 0), **base)
    for other, by, said in (
        (shifted, ("name",), "misaligned: clips clip-0 and clip-0 agree in name, but their label is wave and point"),
        (
            strangers,
            (),
            r"of the same clips: none agree in label, subject, repetition, e.g. clip clip-0 \(wave, 90",
        ),
        (first, ("subject",), "clips clip-0 and clip-1 have the same subject; pair by more columns"),
        (first, ("knee",), "has no column 'knee' to pair by"),
    ):
        with pytest.raises(DataError, match=said):
            open_table([f"one={first.path}", f"two={other.path}"], ("one", "two"), Motion(pair_by=by))
    with pytest.warns(MotetWarning, match="only 12 of 48 clips"):
        open_table([f"one={first.path}", f"two={few.path}"], ("one", "two"), Motion())
    with pytest.raises(DataError, match="both have a modality 'skeleton'; give each a name"):
        open_table([first.path, shifted.path], ("skeleton",), Motion())
    with pytest.raises(DataError, match="has no modality 'knee'; it has skeleton"):
        open_one(first.path, "knee")
    with pytest.raises(DataError, match="does not exist"):
        open_one(f"one={tmp_path / 'absent'}", "one")


def test_a_table_and_an_archive_are_joined_by_id(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a")
    label, ids = np.array([CLASSES[n % 3] for n in range(48)]), [f"clip-{n}" for n in range(48)]
    np.savez(tmp_path / "depth.npz", label=label, id=ids, depth=np.arange(96.0).reshape(48, 2))
    table = open_table([tmp_path / "depth.npz", archive.path], ("depth", "watch"), Motion())
    assert set(table.modalities) == {"depth", "watch"}
    np.savez(tmp_path / "other.npz", label=np.roll(label, 1), id=ids, depth=np.zeros((48, 2)))
    with pytest.raises(DataError, match="labels differ"):
        open_table([tmp_path / "other.npz", archive.path], ("depth", "watch"), Motion())


def test_clips_without_a_label_are_left_out(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a", label=lambda n: None if n == 5 else n % 3)
    with pytest.warns(MotetWarning, match="1 of 48 rows have no label"):
        assert len(open_one(archive.path, "skeleton")) == 47
    nothing = write_archive(tmp_path / "b", label=None)
    with pytest.raises(DataError, match="no clip has a class"):
        open_one(nothing.path, "skeleton")


def test_a_rule_of_archives_divides_the_table(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a")
    table = open_one(archive.path, "watch", split="subjects:1,2")
    assert table.split is not None
    assert table.group is not None
    assert set(table.group[table.split == "train"]) == {"1", "2"}
    call: dict[str, Any] = {"progress": False, "diagnose": False, "warm_up": 1} | SMALL
    found = distill.run(
        archive, "watch", "skeleton", split="odd-even", motion=Motion(frames=4, sensor_frames=4), **call
    )
    assert found["split"] == "odd-even"
    assert [(replica["fold"], replica["test"]) for replica in found["replicas"]] == [("test", 20)]
    assert found["table"]["dropped"] == 12
    with pytest.raises(ConfigError, match="no split rule odd"):
        distill.run(archive, "watch", "skeleton", split="odd", **call)


@pytest.mark.parametrize("people", [{}, {"subject": 1}])
def test_windows_of_a_recording_are_one_group(tmp_path: Path, people: dict[str, int]) -> None:
    with ArchiveWriter(tmp_path / "w.motet", skeleton=layouts.get("imu-2"), fps=30, class_names=["x", "y"]) as writer:
        for i in range(6):
            writer.add(np.ones((40, 2, 3)), name=f"w{i}", label=i % 2, recording=f"r{i // 2}", **people)
    table = open_table([tmp_path / "w.motet"], ["sensor"], Motion(sensor_frames=8))
    assert table.group is not None
    assert table.group.tolist() == ["r0", "r0", "r1", "r1", "r2", "r2"]


def test_bad_options_of_motion() -> None:
    for options, said in (({"frames": 0}, "frames is 0"), ({"preprocess": "spin"}, "preprocess 'spin' is none of")):
        with pytest.raises(ConfigError, match=said):
            Motion(**options)  # type: ignore[arg-type]


def test_names_and_paths(tmp_path: Path) -> None:
    assert resolved(f"left={tmp_path}/../x") == f"left={tmp_path.parent / 'x'}"
    (tmp_path / "a=b").mkdir()
    assert resolved(tmp_path / "a=b") == str(tmp_path / "a=b")


# ---------------------------------------------------------------------------- encoders of the library


@pytest.mark.parametrize("kind", ["causal-gru", "bidirectional-gru", "stgcn"])
def test_replicas_of_an_encoder_are_the_encoder_itself(kind: str) -> None:
    """In training and in use, with rows that are absent; statistics of a replica that sits out do not move."""
    layout = Layout(ARM, 1, 3)
    stacked_encoder = ReplicatedEncoder((3, 5), "x", kind, 9, layout, 8, 2)
    x, lengths = torch.randn(2, 6, 8, 9), torch.full((2, 6), 8)
    lengths[1, 2] = 0
    singles: list[nn.Module] = []
    for replica in range(2):
        single = make_encoder(kind, 9, layout, 8, 2)
        states = {name: value[replica] for name, value in stacked_encoder.module.state_dict().items()}
        single.load_state_dict(states)
        singles.append(single)
    again = ReplicatedEncoder((5,), "x", kind, 9, layout, 8, 2)
    drawn = [[p for p in module.parameters() if p.dim() > 1][-1] for module in (*singles, stacked_encoder, again)]
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[3][0], drawn[2][1])

    found = stacked_encoder(x, lengths)
    clips = x.view(2, 6, 8, 1, 3, 3)
    rows = lengths > 0
    for replica, single in enumerate(singles):
        assert torch.allclose(found[replica, rows[replica]], single(clips[replica, rows[replica]]), atol=1e-6)
        for (name, ours), theirs in zip(stacked_encoder.module.named_buffers(), single.buffers(), strict=True):
            if name in stacked_encoder.stacked:
                assert torch.allclose(ours[replica], theirs, atol=1e-6), name
    assert not found[1, 2].any()
    found.sum().backward()
    assert all(p.grad is not None and p.grad.shape[0] == 2 for p in stacked_encoder.parameters())
    before = {name: value.clone() for name, value in stacked_encoder.module.named_buffers()}
    with idle_stay(nn.ModuleList([stacked_encoder]), [True, False]):
        found = stacked_encoder(x + 1, lengths)
    found.sum().backward()  # what the norms of the idle replica were is back, and none of it stops the way back
    for name, after in stacked_encoder.module.named_buffers():
        if name in stacked_encoder.stacked:
            assert torch.equal(after[1], before[name][1])
            assert not torch.equal(after[0], before[name][0])
    stacked_encoder.eval(), singles[0].eval()
    singles[0].load_state_dict({name: value[0] for name, value in stacked_encoder.module.state_dict().items()})
    assert torch.allclose(stacked_encoder(x, lengths)[0], singles[0](clips[0]), atol=1e-6)


def test_shorter_sequences_are_stretched() -> None:
    stacked_encoder = ReplicatedEncoder((0,), "x", "causal-gru", 2, None, 4, 1).eval()
    x = torch.randn(1, 1, 5, 2)
    stretched = nn.functional.interpolate(x[0, :, :3].mT, size=5, mode="linear", align_corners=True).mT
    assert torch.allclose(
        stacked_encoder(x, torch.tensor([[3]])), stacked_encoder(stretched[None], torch.tensor([[5]])), atol=1e-6
    )


def test_an_encoder_for_each_modality() -> None:
    shape = Shape(
        {"body": 9, "watch": 6}, frozenset({"body", "watch"}), ("body", "watch"), (), 3, {"body": Layout(ARM, 1, 3)}
    )
    options = Networks(sequence="conv", encoder=("body=stgcn",), features=8)
    student = Student((0,), "student", shape, shape.targets, options)
    kinds = {name: type(extractor.encoder).__name__ for name, extractor in student.extractors.items()}  # type: ignore[union-attr]
    assert kinds == {"body": "ReplicatedEncoder", "watch": "Convolutions"}
    with pytest.raises(ConfigError, match="--encoder watch=causal-gru"):
        Student((0,), "student", shape, shape.targets, replace(options, sequence="stgcn", encoder=()))
    for wrong in ("body", "body=knee"):
        with pytest.raises(ConfigError, match="is not MODALITY=EXTRACTOR"):
            Networks(encoder=(wrong,))


@pytest.mark.parametrize("kind", ["causal-gru", "stgcn"])
def test_a_student_of_a_library_encoder_from_archive_to_archive(tmp_path: Path, kind: str) -> None:
    archive = write_archive(tmp_path / "a")
    motion = Motion(frames=6, sensor_frames=6, preprocess="none")
    call: dict[str, Any] = {"sequence": kind, "motion": motion, "progress": False, "diagnose": False} | SMALL
    found = distill.run(archive.path, "skeleton", "watch", tmp_path / "run", folds=2, seeds=(0, 1), warm_up=1, **call)
    assert found["table"]["absent"] == {"watch": 12}
    assert found["table"]["whole"] == 36
    again = distill.resume(tmp_path / "run", progress=False)
    assert again["replicas"] == found["replicas"]
    student = distill.load(tmp_path / "run", fold="fold 1", seed=1)
    features = student.transform(archive)
    assert features.shape == (48, 8)
    table = open_one(archive.path, "skeleton", frames=6, preprocess="none")
    assert table.group is not None
    answers = student.probabilities(archive.path).argmax(axis=1)
    own = next(replica for replica in found["replicas"] if (replica["fold"], replica["seed"]) == ("fold 1", 1))
    right = answers == table.labels
    tested = folds(table, "group", 2)[1].test
    assert own["student"]["accuracy"] == pytest.approx(right[tested].mean())
    assert np.allclose(student.transform(table), features)


def test_a_student_of_a_sensor_that_some_clips_lack(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a")
    motion = Motion(frames=4, sensor_frames=4)
    call: dict[str, Any] = {
        "motion": motion,
        "progress": False,
        "diagnose": False,
        "warm_up": 1,
    } | SMALL
    distill.run([archive], "watch", "skeleton", tmp_path / "run", split="all", **call)
    student = distill.load(tmp_path / "run")
    absent = np.isnan(student.transform(archive)).all(axis=1)
    assert absent.tolist() == [n % 4 == 0 for n in range(48)]
    other = write_archive(tmp_path / "b", skeleton=layouts.get("imu-2"), sensor=False)
    assert np.isfinite(student.transform({"watch": other})).all()
    with pytest.raises(DataError, match="needs the modality watch; given were skeleton"):
        student.transform(write_archive(tmp_path / "c", sensor=False))
    with pytest.raises(DataError, match="was trained on imu-2"):
        student.transform({"watch": write_archive(tmp_path / "d", sensor=False)})


def test_archives_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_archive(tmp_path / "kinect", sensor=False)
    second = write_archive(tmp_path / "vicon", sensor=False, order=list(range(40)), names="v")
    words = ["distill", f"kinect={first.path}", f"vicon={second.path}", "--target", "kinect", "--auxiliary", "vicon"]
    quick = ["--frames", "4", "--epochs", "2", "--features", "8", "--batch-size", "8"]
    encoders = ["--encoder", "kinect=stgcn", "--sequence", "causal-gru", "--sequence-hidden", "4"]
    assert main([*words, "--out", str(tmp_path / "run"), "--warm-up", "1", "--no-diagnose", *encoders, *quick]) == 0
    assert "**amid: kinect, taught with vicon** (kinect+vicon, rule group" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["plan"]["motion"]["frames"] == 4
    assert config["settings"]["networks"]["encoder"] == ["kinect=stgcn"]
    assert main([*words, "--out", str(tmp_path / "bad"), "--encoder", "knee=stgcn", *quick]) == 2
    assert "encoder 'knee=stgcn' is for a modality of sequences in use" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


def test_a_node_of_a_sensor_is_taught_by_another(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a")
    call: dict[str, Any] = {"motion": Motion(frames=4, sensor_frames=4), "progress": False, "diagnose": False} | SMALL
    names = ["watch.gyroscope", ["watch.accelerometer", "skeleton"]]
    distill.run([archive], *names, tmp_path / "run", split="all", method="kd", **call)
    found = distill.load(tmp_path / "run").transform(archive)
    assert np.isfinite(found).any(axis=1).sum() == 36


def test_an_archive_of_another_sensor_is_told_by_its_joints(tmp_path: Path) -> None:
    """A student of a named archive: the Vicon's skeleton is not the Kinect's."""
    kinect = write_archive(tmp_path / "kinect", sensor=False)
    call: dict[str, Any] = {"method": "alone", "split": "all", "progress": False} | SMALL
    distill.run(f"kinect={kinect.path}", "kinect", (), tmp_path / "run", motion=Motion(frames=4), **call)
    student = distill.load(tmp_path / "run")
    assert student.transform(kinect).shape == (48, 8)
    vicon = write_archive(tmp_path / "vicon", skeleton=layouts.get("ui-prmd-39"), sensor=False)
    ours, theirs = len(kinect.skeleton), len(vicon.skeleton)
    said = rf"vicon cannot be the modality kinect: .*\({theirs} joints.* was trained on .*\({ours} joints"
    with pytest.raises(DataError, match=said):
        student.transform(vicon)
