"""Streams from different sensors: pairing, clips that lack one, and queues that stay aligned."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from motet import evaluate
from motet.cli import main
from motet.core.errors import ConfigError, Interrupted, RunError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive, Sensor
from motet.data.splits import split
from motet.data.views import split_stream
from motet.engine.run import Run
from motet.losses import info_nce, mutual_contrast, neighbour_distillation
from motet.memory import Queue
from motet.methods.base import Layout
from motet.methods.cmd import CMD
from motet.methods.contrastive import ContrastiveStreams, StepOutput
from motet.methods.crossclr import CrosSCLR
from motet.methods.learner import Pretraining
from motet.methods.mcl import MCL
from motet.methods.pretrain import pretrain, resolve, resume
from motet.methods.recipe import Recipe, recipe_from_dict
from motet.methods.sensors import Feed, find_companions, fitted, paired, same_sides
from tests.conftest import stick
from tests.methods.test_pretrain import TINY, assert_same, stop_at

STREAMS = ("joint", "motion", "watch:joint")
ONE: dict[str, Any] = {**TINY, "streams": STREAMS, "monitor_every": 1}


def write_both(path: Path, *, lacking: int = 3, clips: int = 48) -> MotionArchive:
    """Skeletons with a watch of another rate next to them, which every ``lacking``-th clip does not have."""
    random = np.random.default_rng(0)
    watch = {"watch": Sensor(layouts.get("imu-2"), fps=50.0)}
    names = [f"class {i}" for i in range(4)]
    with ArchiveWriter(path, skeleton=stick(), fps=30.0, class_names=names, sensors=watch) as writer:
        for i in range(clips):
            label, subject = i % 4, i // 4 % 4
            length = int(random.integers(20, 40))
            swing = np.sin(np.arange(length) * (0.2 + 0.1 * label))[:, None, None]
            frames = random.normal(0, 0.01, (length, 8, 3)) + np.arange(8)[:, None] * 0.1
            frames[:, 4:6] += swing
            samples = random.normal(0, 0.05, (2 * length, 2, 3)) + np.repeat(swing, 2, axis=0)
            beside = {} if lacking and i % lacking == 0 else {"watch": samples}
            writer.add(frames, name=f"clip-{i:03d}", label=label, subject=subject + 1, sensors=beside)
    return MotionArchive.open(path)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return write_both(tmp_path_factory.mktemp("both") / "archive")


def copy_of(archive: MotionArchive, path: Path, order: np.ndarray, **changes: Any) -> MotionArchive:
    """The clips of an archive in another order, under other names."""
    names = changes.get("class_names", archive.class_names)
    with ArchiveWriter(path, skeleton=archive.skeleton, fps=archive.fps, class_names=names) as writer:
        for new, old in enumerate(order.tolist()):
            row = archive.clips.row(old, named=True)
            label = names.index(archive.class_names[row["label"]])
            columns = {"label": label, "subject": row["subject"], "origin": row["name"]}
            writer.add(archive.clip(old), name=f"copy-{new:03d}", **columns)
    return MotionArchive.open(path)


# ------------------------------------------------------------------------------------ which clips belong together


def test_names_of_streams() -> None:
    assert split_stream("motion") == ("", "motion")
    assert split_stream("watch:joint[accelerometer]") == ("watch", "joint[accelerometer]")
    assert split_stream("joint[mixamorig:Hips]") == ("", "joint[mixamorig:Hips]")


def test_what_recorded_beside_the_skeletons_is_found(both: MotionArchive) -> None:
    found = find_companions(both, STREAMS)["watch"]
    assert found.included
    names = found.archive.clips["name"].to_list()
    for clip, row in zip(both.clips["name"], found.rows, strict=True):
        assert (row < 0) == (clip not in names)
        assert row < 0 or names[row] == clip


def test_another_archive_is_paired_by_columns(small_archive: MotionArchive, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(40)
    backwards = small_archive.class_names[::-1]  # the same classes under other numbers
    other = copy_of(small_archive, tmp_path / "other", order, class_names=backwards)
    marked = copy_of(small_archive, tmp_path / "marked", np.arange(48))
    rows = paired(marked, other, ("origin",))
    assert rows[order].tolist() == list(range(40))
    assert (np.delete(rows, order) == -1).all()
    assert (paired(marked, other, ("label", "origin")) == rows).all()
    with pytest.raises(ConfigError, match=r"clips copy-\d+ and copy-\d+ of .* are equal in label, subject"):
        paired(marked, other, ("label", "subject"))
    with pytest.raises(ConfigError, match="no such column; it has name"):
        paired(small_archive, other, ("origin",))


def test_sensors_that_are_nowhere(both: MotionArchive, small_archive: MotionArchive, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no sensor 'ring'.* has watch, --companion names none"):
        find_companions(both, ("joint", "ring:joint"))
    with pytest.raises(ConfigError, match="no stream is of the sensor 'vicon'"):
        find_companions(both, STREAMS, {"vicon": small_archive})
    with pytest.raises(ConfigError, match=r"none of .*make one of those the main archive"):
        find_companions(both, ("watch:joint",))
    renamed = copy_of(both, tmp_path / "renamed", np.arange(48))
    with pytest.raises(ConfigError, match=r"no clip of .*see --pair-by"):
        find_companions(both, ("joint", "other:joint"), {"other": renamed})


def test_a_rule_that_divides_the_sensors_differently_is_refused(both: MotionArchive) -> None:
    found = find_companions(both, STREAMS)["watch"]
    same_sides(split(both, "odd-even"), found)
    with pytest.raises(ConfigError, match="choose a rule by subject"):
        same_sides(split(both, "random:0.5@0"), found)


def test_options_of_one_sensor(both: MotionArchive) -> None:
    recipe, _ = resolve("cmd/small-gru", both, {**ONE, "per_sensor": ("watch:frames=12", "watch:hidden=4")})
    recipe = fitted(recipe, find_companions(both, recipe.streams))
    watch, body = recipe.for_sensor("watch"), recipe.for_sensor("")
    assert (watch.streams, watch.frames, watch.encoder.hidden, watch.preprocess) == (("joint",), 12, 4, "bridge")
    assert (body.streams, body.frames, body.encoder.hidden) == (("joint", "motion"), 8, 8)
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    for entry, message in (
        ("watch:epochs=3", "with a name among"),
        ("watch", "SENSOR:NAME=VALUE"),
        ("ring:frames=3", "no sensor of a stream"),
        ("watch:frames=many", "it must be a whole number"),
    ):
        with pytest.raises(ConfigError, match=message):
            fitted(recipe.with_options({"per_sensor": (entry,)}), find_companions(both, STREAMS))


def test_a_sensor_has_the_form_that_it_has_alone(both: MotionArchive) -> None:
    def of_watch(**options: Any) -> Recipe:
        resolved, _ = resolve("cmd", both, {"streams": STREAMS, "split": "odd-even", **options})
        return fitted(resolved, find_companions(both, STREAMS), options).for_sensor("watch")

    alone, _ = resolve("cmd", both.sensors["watch"], {"streams": ("joint",), "split": "odd-even"})
    names = ("frames", "encode_frames", "preprocess", "statistics")
    assert [getattr(of_watch(), n) for n in names] == [getattr(alone, n) for n in names] == [96, None, "bridge", True]
    asked = of_watch(frames=16, preprocess="center")
    assert (asked.frames, asked.encode_frames, asked.preprocess) == (16, None, "bridge")
    assert of_watch(per_sensor=("watch:encode-frames=20",)).encode_frames == 20
    assert of_watch(encoder="gru", hidden=8).frames == 96
    assert not of_watch(causal=True).statistics  # as of a watch alone: a stream has no whole clips
    started = of_watch(whiten_by="both", keep_start=0.5)  # by a start of the main archive
    assert (started.whiten_by, started.keep_start) == ("view", 0.0)


def test_a_sensor_next_to_skeletons_in_the_layout_of_a_start(
    both: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = copy_of(both, tmp_path / "converted", np.arange(48))  # has no sensors any more
    monkeypatch.setattr("motet.methods.pretrain.material", lambda *_: nullcontext((converted, None)))
    monkeypatch.setattr("motet.methods.learner.check_actors", lambda *_: None)
    whitened = []
    monkeypatch.setattr(
        "motet.methods.learner.whiten", lambda model, *_, by, **__: whitened.append((model.streams, by))
    )
    options = {**ONE, "epochs": 1, "whiten": 0.3, "whiten_by": "both"}
    run = pretrain("cmd/small-gru", both, tmp_path / "run", progress=False, **options)
    assert run.config["sensors"]["watch"]["lacking"] == 16
    assert whitened == [(("joint",), "view"), (("joint", "motion"), "both")]  # no simulated actor wears the watch


# ------------------------------------------------------------------------------------ clips that lack a sensor


def output(seed: int = 0) -> tuple[StepOutput, dict[str, Tensor]]:
    """A step of three streams on six clips, two of which lack stream c, and queues of ten slots, three without c."""
    generator = torch.Generator().manual_seed(seed)

    def rows(n: int) -> Tensor:
        return torch.nn.functional.normalize(torch.randn(n, 5, generator=generator, dtype=torch.float64), dim=1)

    present = torch.tensor([True, False, True, True, False, True])
    held = torch.tensor([True, True, False, True, True, False, True, True, False, True])
    queries = {s: rows(6) for s in "abc"}
    keys, queues = {s: rows(6) for s in "abc"}, {s: rows(10) for s in "abc"}
    for s in (queries, keys):
        s["c"][~present] = 0
    queues["c"][~held] = 0
    queries = {s: q.requires_grad_() for s, q in queries.items()}
    return StepOutput(queries, keys, queues, 5, 10, present={"c": present}, held={"c": held}), queries


def poisoned(out: StepOutput) -> StepOutput:
    """The same with nonsense wherever the sensor recorded nothing."""
    keys, queues = dict(out.keys), dict(out.queues)
    keys["c"] = torch.where(out.present["c"][:, None], keys["c"], 100.0)
    queues["c"] = torch.where(out.held["c"][:, None], queues["c"], 100.0)
    return StepOutput(out.queries, keys, queues, 5, 10, present=out.present, held=out.held)


def total(options: Any, out: StepOutput) -> Tensor:
    terms = options.terms(tuple("abc"), 10)
    return torch.stack([t.weight_at(5) * t.loss(out) for t in terms if t.weight_at(5)]).sum()


METHODS = (
    CMD(queue_size=10),
    CMD(queue_size=10, neighbours=4),
    CMD(queue_size=10, teachers="consensus"),
    MCL(queue_size=10),
    CrosSCLR(queue_size=10, cross_start=0),
)


@pytest.mark.parametrize("options", METHODS, ids=lambda o: f"{o.title}-{getattr(o, 'neighbours', '')}")
def test_what_is_absent_reaches_no_term(options: Any) -> None:
    out, queries = output()
    loss = total(options, out)
    loss.backward()
    gradient = queries["c"].grad
    assert gradient is not None
    assert (gradient[~out.present["c"]] == 0).all()
    assert (gradient[out.present["c"]] != 0).any(dim=1).all()
    assert torch.equal(total(options, poisoned(out)), loss)  # neither keys nor slots of absent clips are looked at


def test_distillation_of_a_pair_is_that_of_what_both_have() -> None:
    out, _ = output()
    rows, slots = out.present["c"], out.held["c"]
    q, k, m = out.queries, out.keys, out.queues
    wanted = sum(info_nce(q[s], k[s], m[s]) for s in "ab") + info_nce(q["c"][rows], k["c"][rows], m["c"][slots])
    pairs = torch.zeros((), dtype=torch.float64)
    for teacher, student in (("a", "b"), ("b", "a")):
        pairs = pairs + neighbour_distillation(q[student], m[student], k[teacher], m[teacher], top_k=5)
    for teacher, student in (("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")):
        some = q[student][rows], m[student][slots], k[teacher][rows], m[teacher][slots]
        pairs = pairs + neighbour_distillation(*some, top_k=3)  # half of the seven slots that hold c
    torch.testing.assert_close(total(CMD(queue_size=10), out), wanted + pairs)
    contrast = sum(
        mutual_contrast(*({s: x[s][rows if x is not m else slots] for s in pair} for x in (q, k, m)))
        for pair in ("ac", "bc")
    )
    contrast = contrast + mutual_contrast(*({s: x[s] for s in "ab"} for x in (q, k, m)))
    torch.testing.assert_close(total(MCL(queue_size=10), out), wanted + contrast)


def test_a_batch_that_nobody_recorded_costs_nothing() -> None:
    out, queries = output()
    nobody = torch.zeros_like(out.present["c"])
    bare = StepOutput(queries, out.keys, out.queues, 5, 10, present={"c": nobody}, held=out.held)
    with_two = CMD(queue_size=10).terms(("a", "b"), 10)
    two = [{s: rows[s] for s in "ab"} for rows in (out.queries, out.keys, out.queues)]
    wanted = torch.stack([t.loss(StepOutput(*two, 5, 10)) for t in with_two]).sum()
    torch.testing.assert_close(total(CMD(queue_size=10), bare), wanted)


def test_slots_remember_what_their_clip_lacked() -> None:
    queue = Queue(("a", "b"), 5, 2, gaps=True)
    assert all(held.all() for held in queue.held().values())  # noise, of all streams equally
    keys = {s: torch.ones(3, 2) for s in "ab"}
    queue.enqueue(keys, {"b": torch.tensor([True, False, True])})
    assert queue.held()["b"].tolist() == [True, False, True, True, True]
    queue.enqueue(keys, {"b": torch.tensor([False, True, False])})  # wraps
    assert queue.held()["b"].tolist() == [False, False, True, False, True]
    assert queue.held()["a"].all()
    queue.enqueue(keys)
    assert queue.held()["b"].tolist() == [False, True, True, True, True]


def test_absent_clips_pass_no_encoder_and_leave_norms_alone() -> None:
    torch.manual_seed(0)
    encoder = {"name": "gru", "hidden": 4, "layers": 1}
    host = ContrastiveStreams(
        CMD(queue_size=8, dim=4),
        ("joint", "watch:joint"),
        skeleton=stick(),
        persons=1,
        channels=3,
        encoder=encoder,
        epochs=1,
        sensors={"watch": Layout(layouts.get("imu-2"), 1, 3, encoder)},
        gaps=True,
    )
    present = torch.tensor([True, False, False, True, False])

    def clips() -> dict[str, Tensor]:
        return {"": torch.randn(5, 8, 1, 8, 3), "watch": torch.randn(2, 12, 1, 2, 3)}

    first, second = clips(), clips()
    losses = host(first, second, 0, present={"watch": present})
    torch.stack(list(losses.values())).sum().backward()
    norm = host.encoders[1].norm
    torch.testing.assert_close(norm.running_mean, 0.1 * first["watch"].reshape(24, 6).mean(0), atol=1e-6, rtol=0)
    assert host.queue.held()["watch:joint"].tolist() == [*present.tolist(), True, True, True]
    assert (host.queue.ring("watch:joint")[:5].norm(dim=1) > 0.5).tolist() == present.tolist()
    assert (host.queue.ring("joint")[:5].norm(dim=1) > 0.5).all()
    # the next batch, without any clip of the watch
    none = {"": torch.randn(5, 8, 1, 8, 3), "watch": torch.zeros(0, 12, 1, 2, 3)}
    before = norm.running_mean.clone()
    host.zero_grad()
    losses = host(none, none, 0, present={"watch": torch.zeros(5, dtype=torch.bool)})
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in host.encoders[1].parameters())
    assert torch.equal(norm.running_mean, before)


# ------------------------------------------------------------------------------------ training


def test_a_copy_beside_is_as_good_as_the_original(small_archive: MotionArchive, tmp_path: Path) -> None:
    """Streams of a second archive with the same recordings, in another order, train to the very same losses."""
    order = np.random.default_rng(0).permutation(len(small_archive))
    original = copy_of(small_archive, tmp_path / "original", np.arange(48))
    other = copy_of(small_archive, tmp_path / "other", order)
    plain = pretrain("cmd", original, tmp_path / "plain", progress=False, **{**TINY, "streams": ("joint", "motion")})
    both = pretrain(
        "cmd",
        original,
        tmp_path / "both",
        companions={"copy": other},
        pair_by=("origin",),
        progress=False,
        **{**TINY, "streams": ("joint", "copy:motion")},
    )
    for a, b in zip(plain.metrics(), both.metrics(), strict=True):
        assert list(a["terms"].values()) == list(b["terms"].values())
    theirs = Run.open(both.path / "sensors" / "copy").model()
    ours = plain.model().weights()
    # the whitening draws its views by the rows of each archive
    found = {k: v for k, v in theirs.weights().items() if "whitening" not in k}
    assert_same({k: v for k, v in ours.items() if k in found}, found)
    assert_same({k: v for k, v in ours.items() if k.startswith("joint")}, both.model().weights())
    config = json.loads((both.path / "config.json").read_text())
    assert config["sensors"]["copy"]["lacking"] == 0


def test_crops_of_two_sensors_cover_the_same_share(both: MotionArchive, tmp_path: Path) -> None:
    """Draws follow the performance, whatever the row and the rate of the sensor."""
    recipe, parts = resolve(
        "cmd/small-gru", both, {**ONE, "crop_minimum": 0.3, "crop_frames": 2, "shear": 0.0, "scale": 0.0, "noise": 0.0}
    )
    found = find_companions(both, recipe.streams)
    feed = Feed(found["watch"], fitted(recipe, found), parts.train, torch.device("cpu"))
    ids = torch.as_tensor(parts.train[:6])
    once = feed.views(ids, epoch=1, views=2)
    alone = [feed.views(i[None], epoch=1, views=2) for i in ids]
    assert len(once[0]) == int(feed.present(ids).sum())
    torch.testing.assert_close(once[0], torch.cat([a[0] for a in alone]))
    assert not torch.equal(once[0], once[1])


def test_training_with_gaps_ends_in_a_run_for_each_sensor(
    both: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pretrain("cmd", both, tmp_path / "whole", progress=False, **ONE)
    last = run.metrics()[-1]
    assert set(last["terms"]) == {"contrast/joint", "contrast/motion", "contrast/watch:joint", "distillation"}
    assert {"joint", "motion", "watch:joint"} <= set(last["knn"])
    assert run.model().streams == ("joint", "motion")
    assert run.config["sensors"]["watch"]["lacking"] == 16
    watch = Run.open(run.path / "sensors" / "watch")
    assert watch.model().streams == ("joint",)
    assert watch.archive().skeleton.name == "imu-2"
    found = evaluate.run(watch, ("knn",), progress=False)
    assert {r["stream"] for r in found["rows"]} == {"joint"}
    evaluate.run(run, ("knn",), progress=False)

    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Interrupted):
            pretrain("cmd", both, tmp_path / "cut", progress=False, **ONE)
    again = resume(tmp_path / "cut", progress=False)
    assert_same(again.model().weights(), run.model().weights())
    assert_same(Run.open(again.path / "sensors" / "watch").model().weights(), watch.model().weights())


def test_methods_and_processes_that_cannot_do_without(both: MotionArchive, tmp_path: Path) -> None:
    streams = ("joint", "watch:joint")
    for recipe, more, message in (
        ("halp-cmd", {"prototypes": 4}, "HaLP.CMD does not allow for; use moco"),
        ("aimclr", {"encoder": "stgcn"}, "need another recipe"),
        ("cmd", {"devices": 2}, "on one process only"),
    ):
        options = {**TINY, "streams": streams, **more}
        resolved, parts = resolve(recipe, both, {k: v for k, v in options.items() if k != "devices"})
        found = find_companions(both, streams)
        wanted = fitted(resolved, found).with_options({"devices": options.get("devices", 1)})
        with pytest.raises(ConfigError, match=message):
            Pretraining(wanted, both, parts, torch.device("cpu"), found)


def test_from_the_command_line(both: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = copy_of(both, tmp_path / "other", np.arange(0, 48, 2))
    marked = copy_of(both, tmp_path / "marked", np.arange(48))
    tiny = [f"--{k.replace('_', '-')}={v}" for k, v in TINY.items()]
    words = ["pretrain", "cmd", "--data", str(marked.path), "--quiet", "--pair-by", "origin", *tiny]
    sensor = ["--companion", f"half={other.path}", "--streams", "joint", "half:joint"]
    per = ["--per-sensor", "half:frames=6", "half:hidden=4"]
    assert main([*words, *sensor, *per, "--out", str(tmp_path / "run")]) == 0
    assert Run.open(tmp_path / "run" / "sensors" / "half").recipe.frames == 6
    assert main(["pretrain", "--resume", str(tmp_path / "run"), "--quiet"]) == 0
    capsys.readouterr()
    for more, message in (
        (["--streams", "joint", "half:joint"], "there is no sensor 'half'"),
        (["--companion", "half", "--streams", "joint", "half:joint"], "NAME=ARCHIVE"),
        ([*sensor, "--per-sensor", "half"], "SENSOR:NAME=VALUE"),
        (["--companion", f"half={other.path}", "--streams", "joint", "half:bone[nothing]"], "has no 'nothing'"),
    ):
        assert main([*words, *more, "--out", str(tmp_path / "bad")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


def test_recordings_that_have_changed_are_not_resumed(
    both: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = copy_of(both, tmp_path / "marked", np.arange(48))
    first, second = (copy_of(both, tmp_path / n, o) for n, o in (("a", np.arange(24)), ("b", np.arange(30))))
    options = {**TINY, "streams": ("joint", "a:joint")}
    stop_at(monkeypatch, 2)
    with pytest.raises(Interrupted):
        pretrain(
            "cmd", marked, tmp_path / "run", companions={"a": first}, pair_by=("origin",), progress=False, **options
        )
    with pytest.raises(RunError, match="does not hold what the sensor a had recorded"):
        resume(tmp_path / "run", beside={"a": second.path}, progress=False)
