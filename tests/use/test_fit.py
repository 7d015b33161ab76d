"""From labels to a model, from a model to bouts; honest, safe on disk, and the same while recording."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

import motet
from motet.core.errors import ConfigError, DataError, MotetError, MotetNote, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert
from motet.data.exchange import labelled
from motet.data.tracks import paint
from motet.evaluate import segmentation_scores
from motet.use.classifiers import Linear, Trees
from motet.use.fit import _expected, _is_tiny, fit, save
from motet.use.material import NONE, gather
from motet.use.network import Network, fitting_steps
from motet.use.predict import Live, live_lines, predict
from motet.use.predictor import Predictor, load_predictor
from motet.use.segment import segment
from motet.use.signals import Layout, bridged
from tests.use.made import CLASSES, FPS, clips, movement, recordings

QUICK = ("statistics+linear", "statistics+trees")


def write(path: Path, frames: np.ndarray) -> MotionArchive:
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=FPS, units="m/s^2") as writer:
        writer.add(frames, name="a")
    return MotionArchive.open(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return recordings(tmp_path_factory.mktemp("made") / "a.motet")


@pytest.fixture(scope="module")
def model(archive: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trees, "count", 20)
        return fit(archive, tmp_path_factory.mktemp("model") / "m", candidates=QUICK, progress=False)


def test_bouts_of_new_people_are_found(model: Predictor, tmp_path: Path) -> None:
    new = recordings(tmp_path / "new.motet", people=2, seed=5)
    bouts = predict(model, new, tmp_path / "bouts.csv", track="found")
    assert pl.read_csv(tmp_path / "bouts.csv").columns == ["recording", "start", "end", "label", "probability"]
    assert bouts["probability"].is_between(0, 1).all()
    labelled(new, tmp_path / "bouts.csv", "again")
    found, again = (new.tracks[name].drop("rater") for name in ("found", "again"))
    assert again.equals(found.with_columns(pl.col(pl.Float64).round(4)))
    scores = segmentation_scores(
        new.tracks.all_frames("activity", list(CLASSES)), new.tracks.all_frames("found", list(CLASSES))
    )
    assert scores["frames"] > 0.95
    assert scores["f1@50"] > 0.95
    # bouts cover the recording and do not overlap
    for name, length in zip(new.clips["name"], new.lengths, strict=True):
        own = bouts.filter(recording=name)
        assert own["start"].to_list() == [0.0, *own["end"].to_list()[:-1]]
        assert own["end"][-1] == pytest.approx(length / FPS)


def test_the_expected_error_is_that_of_the_choice_on_people_held_out(archive: MotionArchive, model: Predictor) -> None:
    expected = model.config["expected"]
    assert expected["by"] == "people"
    assert expected["folds"] == 4
    assert 0.9 < expected["accuracy"] <= 1
    assert expected["worst"] <= expected["accuracy"]
    names = [c["name"] for c in model.config["candidates"]]
    assert names == [*QUICK, "statistics+linear & statistics+trees"] or names[-1].count(" & ") == 1
    assert model.config["chosen"] in names


def test_choosing_by_the_other_folds_is_not_choosing_by_all(archive: MotionArchive) -> None:
    """Two candidates that are each right on one half only: whoever is best elsewhere is wrong here."""
    from motet.use.fit import Outcome

    material = gather(archive, None, "ignore")
    fold = material.folds(2, 0)
    wrong = [(y + 1) % 3 for y in material.labels]
    halves = [
        [y if fold[i] == k else w for i, (y, w) in enumerate(zip(material.labels, wrong, strict=True))] for k in (0, 1)
    ]
    outcomes = [Outcome(str(k), [], 1.0, h, {"accuracy": 0.5}) for k, h in enumerate(halves)]
    assert _expected(material, outcomes, fold)["accuracy"] == 0.0


def test_a_model_is_data_and_comes_back_the_same(archive: MotionArchive, model: Predictor, tmp_path: Path) -> None:
    from motet.use.fit import save

    save(model, tmp_path / "m")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = load_predictor(tmp_path / "m")
    for a, b in zip(model.probabilities(archive.clip(0)), again.probabilities(archive.clip(0)), strict=True):
        assert np.array_equal(a, b)
    assert "% right" in (tmp_path / "m" / "README.md").read_text()
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="is damaged"):
        load_predictor(tmp_path / "m")


def test_a_long_recording_in_pieces_is_as_in_one_piece(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    frames = np.concatenate([movement(c, 300, random) for c in ("sit", "walk", "wave", "sit")])[:, None]
    whole = model.moments(frames)
    monkeypatch.setattr("motet.use.predictor._CHUNK", 7.3)
    for a, b in zip(whole, model.probabilities(frames), strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_live_decisions_are_those_of_the_whole_recording(model: Predictor) -> None:
    random = np.random.default_rng(4)
    frames = np.concatenate([movement(c, 100, random) for c in ("sit", "walk", "wave")])[:, None]
    live, decisions, late = Live(model, lag=3.0), [], []
    for start in range(0, len(frames), 17):
        new = live.push(frames[start : start + 17])
        late += [min(start + 17, len(frames)) / FPS - d.time for d in new]
        decisions += new
    assert max(late) <= live.delay + 17 / FPS + 1e-6
    decisions += live.finish()
    assert [d.time for d in decisions] == pytest.approx((np.arange(150) + 0.5) / 10)
    labels, _ = model.recording(frames)
    said = [model.classes.index(d.label) if d.label in model.classes else -1 for d in decisions]
    assert np.mean(np.array(said) == labels) > 0.97


def test_live_probabilities_are_exact(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fed to the smoothing does not depend on how the recording came."""
    random = np.random.default_rng(4)
    frames = np.concatenate([movement(c, 220, random) for c in ("sit", "walk", "wave")])[:, None]
    seen = []
    live = Live(model)
    evidence = live._chain.evidence
    monkeypatch.setattr(live._chain, "evidence", lambda p: seen.append(p) or evidence(p))
    for start in range(0, len(frames), 33):
        live.push(frames[start : start + 33])
    live.finish()
    assert np.allclose(np.concatenate(seen), model.moments(frames)[0], atol=1e-5)


def test_lines_of_frames_give_lines_of_decisions(model: Predictor) -> None:
    lines = [json.dumps(f.tolist()) for f in movement("walk", 160, np.random.default_rng(0))]
    found = [json.loads(line) for line in live_lines(Live(model), [*lines, "", "null", "null"])]
    assert len(found) == 81
    assert [f["label"] for f in found] == ["walk"] * 80 + [None]
    absent = [json.dumps([f[0].tolist(), [0.0] * 3]) for f in movement("walk", 20, np.random.default_rng(0))]
    for null in ("null", "[null, null, null]", "[NaN, NaN, NaN]"):
        said = [line.replace("[0.0, 0.0, 0.0]", null) for line in absent]
        assert null in said[0]
        assert list(live_lines(Live(model), said)) == list(live_lines(Live(model), absent))
    for bad, words in (
        ("[1, 2]", "line 2 is not a frame of 6 numbers"),
        ("[null, [1, 2]]", "line 2 is not a frame of 6 numbers"),
        ('"null"', "line 2 is not a frame of 6 numbers"),
        ("[]", "line 2 is not a frame of 6 numbers"),
        (b"\xff", "line 2 is not a frame of 6 numbers"),
        ("[0, 0, 0, 0, 0, null]", "line 2 has a number that is not finite; give 0"),
        ("[0, 0, 0, 0, 0, NaN]", "line 2 has a number that is not finite; give 0"),
    ):
        with pytest.raises(DataError, match=words):
            list(live_lines(Live(model), [lines[0], bad]))


def test_a_live_recording_survives_a_restart(model: Predictor, tmp_path: Path) -> None:
    """Decisions are those of one that was never interrupted, also where a bad line or the reader ended it."""
    frames = np.concatenate([movement(c, 70, np.random.default_rng(2)) for c in ("walk", "sit", "wave")])
    lines, state = [json.dumps(f.tolist()) for f in frames], tmp_path / "now.npz"
    want = list(live_lines(Live(model, every=0.7), lines))
    found = list(live_lines(Live(model, every=0.7), lines[:101], state=state))
    second = Live(model, every=0.7)
    second.resume(state)
    assert second.frames == 101
    with pytest.raises(DataError, match="line 50 is not a frame"):
        found.extend(live_lines(second, [*lines[101:150], "?"], state=state))
    third = Live(model, every=0.7)
    third.resume(state)
    found += live_lines(third, lines[150:])
    assert found == want
    with pytest.raises(ConfigError, match="is of another model, lag, side or share of --reject"):
        Live(model, lag=0.3).resume(state)
    state.write_bytes(state.read_bytes()[:900])
    with pytest.raises(DataError, match="remove it to begin a new recording"):
        Live(model).resume(state)


def test_looking_less_often_says_the_same_later(model: Predictor) -> None:
    frames = np.concatenate([movement(c, 90, np.random.default_rng(2)) for c in ("walk", "sit")])
    often, seldom = Live(model, lag=2.0), Live(model, lag=2.0, every=0.5)
    assert seldom.delay == pytest.approx(often.delay + 0.4)
    said = [d for f in frames for d in seldom.push(f[None])] + seldom.finish()
    assert len(said) == 90
    late = [(n + 1) / FPS - d.time for n, f in enumerate(frames) for d in often.push(f[None])]
    assert max(late) == pytest.approx(often.delay)
    for options in ({"lag": -1.0}, {"every": float("nan")}):
        with pytest.raises(ConfigError, match="must be a number of seconds"):
            Live(model, **options)


def test_what_was_never_seen_is_none_of_these_and_what_was_not_recorded_is_nothing(model: Predictor) -> None:
    random = np.random.default_rng(1)
    strange = random.normal(0, 60, (160, 2, 3))
    frames = np.concatenate(
        [movement("walk", 160, random), strange, np.zeros((160, 2, 3)), movement("sit", 160, random)]
    )
    labels, _ = model.recording(frames[:, None].astype(np.float32))
    assert set(labels[100:140].tolist()) == {3}
    assert set(labels[160:240].tolist()) == {-1}
    assert set(labels[20:50].tolist()) == {1}


@pytest.mark.parametrize(("lost", "cut"), [(1, False), (9, False), (30, True)])
def test_short_holes_cut_no_bout(model: Predictor, tmp_path: Path, lost: int, cut: bool) -> None:
    frames = movement("walk", 400, np.random.default_rng(9)).astype(np.float32)
    frames[204 : 204 + lost] = 0  # of 20 frames a second, half a second is 10
    archive = write(tmp_path / "a", frames)
    found = predict(model, archive)
    assert found["label"].to_list()[:: max(1, len(found) - 1)] == ["walk"] * (1 + cut)
    assert ((found["start"][1:] - found["end"][:-1]) > 0.5).any() == cut
    assert (segment(archive, states=2, shortest=1.0).labels[0] >= 0).all() != cut
    live = Live(model)
    said = [d.label for d in [*live.push(frames[:210, None]), *live.push(frames[210:, None]), *live.finish()]]
    assert (None in said) == cut
    assert cut or set(said) == {"walk"}


def test_holes_are_filled_between_what_is_there() -> None:
    frames = np.arange(1.0, 13).reshape(12, 1, 1, 1).repeat(2, axis=2)
    frames[[0, 3, 4, 8]] = 0
    frames[2, 0, 1] = 0  # a node that is absent before the hole stays absent in it
    sensor = layouts.get("imu-2")
    out = bridged(frames, sensor, 6.0)[:, 0]
    np.testing.assert_allclose(out[:, 0, 0], [0, *range(2, 13)])
    np.testing.assert_allclose(out[:, 1, 0], [0, 2, 0, 0, 0, *range(6, 13)])
    np.testing.assert_array_equal(bridged(frames, sensor, 5.0)[3:5], 0)  # more than half a second


def test_a_joint_that_was_not_seen_lies_between_its_sightings() -> None:
    frames = np.arange(1.0, 13).reshape(12, 1, 1, 1).repeat(3, axis=2)
    frames[11] = 0  # nobody
    frames[[0, 1, 4, 5, 9, 10], 0, 1] = 0
    hand = layouts.get("hand-21")
    out = bridged(frames, hand, 6.0)[:, 0, :, 0]
    np.testing.assert_allclose(out[:, 1], [3, 3, 3, 4, 5, 6, 7, 8, 9, 9, 9, 0])
    np.testing.assert_array_equal(out[:, 0], frames[:, 0, 0, 0])
    far = bridged(frames, hand, 3.0)[:, 0, 1, 0]  # what lasts longer than half a second stays open
    np.testing.assert_array_equal(far, frames[:, 0, 1, 0])


def test_joints_that_were_lost_are_nothing_unknown(tmp_path: Path) -> None:
    whole = reaching(tmp_path / "a", 0)
    model = fit(whole, tmp_path / "m", candidates=("statistics+linear",), progress=False)
    random = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "b", skeleton=whole.skeleton, fps=20.0) as writer:
        frames = whole.clip(0).copy()
        frames[random.random(frames.shape[:3]) < 0.05] = 0
        writer.add(frames, name="p0")
    right, holed = predict(model, whole), predict(model, MotionArchive.open(tmp_path / "b"))
    assert holed["label"].to_list() == right.filter(recording="p0")["label"].to_list()


def test_labelled_clips_are_enough(tmp_path: Path) -> None:
    learnt = fit(clips(tmp_path / "c.motet"), tmp_path / "m", candidates=("statistics+linear",), progress=False)
    assert learnt.clips
    new = clips(tmp_path / "n.motet", seed=9)
    bouts = predict(tmp_path / "m", new)
    assert len(bouts) == len(new)
    assert (bouts["label"] == pl.Series([list(CLASSES)[i] for i in new.labels])).mean() > 0.9


def test_what_learnt_from_clips_finds_bouts_in_long_recordings(tmp_path: Path) -> None:
    learnt = fit(clips(tmp_path / "c.motet"), tmp_path / "m", candidates=("statistics+linear",), progress=False)
    longest = max(learnt.durations.mean) * learnt.layout.hop
    assert not learnt.along(int(4 * longest))
    long = recordings(tmp_path / "r.motet", people=1, labelled=True)
    with pytest.warns(MotetNote, match=r"clips that the model learnt from \(1\.\d s\), so bouts .*: r00, r01$"):
        bouts = predict(learnt, long)
    said = [label for label in bouts.filter(recording="r00")["label"] if label != NONE]  # where one passes into another
    assert [k for k, _ in groupby(said)] == long.tracks["activity"].filter(recording="r00")["label"].to_list()


def test_units_that_are_mixed_are_warned_of_before_something_is_learnt(tmp_path: Path) -> None:
    whole = clips(tmp_path / "c.motet")
    with ArchiveWriter(tmp_path / "mixed", skeleton=whole.skeleton, fps=FPS, class_names=whole.class_names) as writer:
        for i in range(len(whole)):
            frames = whole.clip(i) / (9.80665 if i in (4, 13) else 1.0)
            writer.add(frames, name=f"c{i}", label=int(whole.labels[i]), subject=i // 9 + 1)
    said = r"gravity measures 1.0\d in these clips \(as in g\) and 9.* \(2 clips, c4 first; `motet data inspect`"
    with pytest.warns(MotetWarning, match=said):
        gather(MotionArchive.open(tmp_path / "mixed"), None, "ignore")
    with pytest.warns(MotetWarning, match=said):
        motet.pretrain("cmd", tmp_path / "mixed", tmp_path / "run", start="wrist", epochs=0, progress=False)
    gather(whole, None, "ignore")


@pytest.mark.parametrize(("scale", "said"), [(1.0, False), (1 / 9.80665, True)])
def test_a_unit_that_nobody_stated_is_seen_in_gravity(tmp_path: Path, scale: float, said: bool) -> None:
    known = recordings(tmp_path / "r.motet")
    model = fit(known, tmp_path / "m", candidates=("statistics+linear",), progress=False)
    with ArchiveWriter(tmp_path / "new", skeleton=known.skeleton, fps=FPS, units="as recorded") as writer:
        writer.add(known.clip(0) * scale, name="r0")
    there = pytest.warns(MotetWarning, match="gravity in it has the size of g; the training recordings are in m/s")
    with there if said else contextlib.nullcontext():
        predict(model, tmp_path / "new")


def test_labels_of_clips_next_to_tracks(tmp_path: Path) -> None:
    source = clips(tmp_path / "c.motet")
    for name in ("one", "two"):
        rows = [{"recording": source.clips["name"][0], "start": 0.0, "end": 0.4, "label": "x"}]
        source.tracks.save(name, rows)
    source = MotionArchive.open(source.path)
    with pytest.raises(ConfigError, match=r"several tracks .* \(tracks: one, two; clips: the labels of clips\)"):
        fit(source, tmp_path / "no", candidates=("statistics+linear",), progress=False)
    learnt = fit(source, tmp_path / "m", track="clips", candidates=("statistics+linear",), progress=False)
    assert learnt.clips
    assert learnt.classes == list(CLASSES)


def test_unlabelled_moments_can_be_a_class_of_their_own(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("imu-2"), fps=FPS) as writer:
        for i in range(4):
            frames = np.concatenate([movement(c, 80, random) for c in ("sit", "walk", "wave")])
            writer.add(frames, name=f"r{i}", subject=i, tracks={"t": [None] * 80 + ["walk"] * 80 + ["wave"] * 80})
    archive = MotionArchive.open(tmp_path / "a.motet")
    learnt = fit(archive, tmp_path / "m", candidates=("statistics+linear",), unlabelled="none", progress=False)
    assert learnt.classes == ["walk", "wave", "none of these"]
    assert learnt.predict(archive)["label"].to_list()[:3] == ["none of these", "walk", "wave"]


def test_what_cannot_be_fitted_is_said_in_one_line(archive: MotionArchive, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no candidate 'magic'; choose from .*, wrist\+linear, .*, wrist\+tuned"):
        fit(archive, tmp_path / "m", candidates=("magic",))
    with pytest.raises(ConfigError, match="neither label tracks nor labelled clips"):
        fit(recordings(tmp_path / "b.motet", labelled=False), tmp_path / "m", progress=False)
    assert not (tmp_path / "m").exists()


def test_a_class_of_one_person_is_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("imu-2"), fps=FPS) as writer:
        for i in range(3):
            labels = ["sit"] * 60 + (["wave"] if i == 1 else ["walk"]) * 60
            writer.add(
                np.concatenate([movement(c, 60, random) for c in ("sit", labels[-1])]),
                name=f"r{i}",
                subject=i,
                tracks={"t": labels},
            )
    with pytest.warns(MotetWarning, match="only one person has 'wave', so the estimated error counts"):
        gather(MotionArchive.open(tmp_path / "a.motet"), None, "ignore")


def test_another_layout_or_rate_is_refused(model: Predictor, tmp_path: Path) -> None:
    for name, layout, fps, words in (
        ("slow", "imu-2", 10.0, "has 10 frames per second, the model was fitted on 20; convert it with"),
        ("body", "coco-17", 20.0, "17 nodes of 3.*the model knows 1 × imu-2.*fit a model on recordings of a"),
    ):
        skeleton = layouts.get(layout)
        with ArchiveWriter(tmp_path / name, skeleton=skeleton, fps=fps) as writer:
            writer.add(np.ones((50, len(skeleton), 3)), name="a")
        with pytest.raises(ConfigError, match=words):
            predict(model, tmp_path / name, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_what_is_advised_of_another_layout_can_be_done(tmp_path: Path) -> None:
    kinect, shared, coco = (layouts.get(name) for name in ("kinect-v2", "shared-15", "coco-17"))
    archives = {}
    for skeleton in (kinect, shared, coco):
        with ArchiveWriter(tmp_path / skeleton.name, skeleton=skeleton, fps=20.0) as writer:
            writer.add(np.ones((9, len(skeleton), 3)), name="a")
        archives[skeleton.name] = MotionArchive.open(tmp_path / skeleton.name)
    for model, data, remedy in (
        (shared, "kinect-v2", "convert it with `motet data convert --layout shared-15`"),
        (kinect, "shared-15", "fit again on recordings converted with `motet data convert --layout shared-15`"),
        (kinect, "coco-17", "fit again on recordings of a layout that both have"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            Layout(model, 1, 3, 20.0).check(archives[data])
    with ArchiveWriter(tmp_path / "two", skeleton=coco, persons=2, fps=20.0) as writer:
        writer.add(np.ones((9, 2, len(coco), 3)), name="a")
    for knows, data, remedy in (
        (1, "two", "`motet data select .*two PART --persons 1` takes one of them"),
        (2, "coco-17", "fit again on recordings of as many people"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            Layout(coco, knows, 3, 20.0).check(MotionArchive.open(tmp_path / data))


def test_sensors_of_other_names_come_to_one_form(tmp_path: Path) -> None:
    watch, form = (layouts.build(f"table-{n}", n.split(), [-1, -1], up=None, kind="sensor") for n in ("acc gyr", "a b"))
    own, inertial = layouts.get("imu-2"), layouts.get("inertial")
    for name, skeleton in (("watch", watch), ("made", inertial), ("other", form)):
        with ArchiveWriter(tmp_path / name, skeleton=skeleton, fps=20.0) as writer:
            writer.add(np.ones((9, 2, 3)), name="a")
    again = "fit again on recordings converted with `motet data convert --layout inertial`"
    for model, data, remedy in (
        (inertial, "watch", "; convert it with `motet data convert --layout inertial`$"),
        (own, "watch", f"; {again}, and predict from these converted likewise$"),
        (own, "made", f"; {again}$"),
        (own, "other", "; fit again on recordings of a layout that both have$"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            Layout(model, 1, 3, 20.0).check(MotionArchive.open(tmp_path / data))


def reaching(path: Path, seed: int, people: int = 3) -> MotionArchive:
    """Bodies (+y up, right-handed) that reach forward and backward in turn with the right hand."""
    random, skeleton = np.random.default_rng(seed), layouts.get("shared-15")
    hand, left, right = (skeleton.index(n) for n in ("right_wrist", "left_hip", "right_hip"))
    body = random.normal(0, 0.2, (len(skeleton), 3))
    body[[left, right]] = [[0.1, 1, 0], [-0.1, 1, 0]]
    with ArchiveWriter(path, skeleton=skeleton, fps=20.0) as writer:
        for person in range(people):
            labels = [("forward", "backward")[k // 60 % 2] for k in range(360)]
            frames = body + random.normal(0, 0.01, (360, len(skeleton), 3))
            frames[:, hand] += np.where([[c == "forward"] for c in labels], 0.6, -0.6) * [0, 0, 1]
            writer.add(frames, name=f"p{person}", subject=person, tracks={"reach": labels})
    return MotionArchive.open(path)


def test_bodies_on_other_axes_are_turned_to_those_of_the_model(tmp_path: Path) -> None:
    model = fit(reaching(tmp_path / "a", 0), tmp_path / "m", candidates=("statistics+linear",), progress=False)
    new, wanted = reaching(tmp_path / "b", 0, people=1), ["forward", "backward"]
    assert "shared-15, 20 frames per second, in m, +y up, right-handed." in (tmp_path / "m/README.md").read_text()
    right = predict(model, new)
    assert (new.tracks.frames("reach", 0, wanted) == paint(right.to_dicts(), 360, 20.0, wanted)).mean() > 0.9
    for up, hand in (("+z", "right"), ("+y", "left"), ("-z", "left")):
        turned = convert(new, tmp_path / f"{up}{hand}", up=up, hand=hand)
        with pytest.warns(
            MotetNote, match=rf"has \{up} up, {hand}-handed, the training recordings \+y up, right-handed"
        ):
            found = predict(load_predictor(tmp_path / "m"), turned)
        assert found.drop("probability").equals(right.drop("probability"))
    with ArchiveWriter(tmp_path / "c", skeleton=replace(new.skeleton, up=None), fps=20.0) as writer:
        writer.add(new.clip(0), name="a")
    with pytest.raises(ConfigError, match=r"states no axis that points up, .* import with --up where it is missing"):
        predict(model, tmp_path / "c")


def test_another_unit_or_kind_is_refused(archive: MotionArchive, model: Predictor, tmp_path: Path) -> None:
    sensor = layouts.get("imu-2")
    kinds = (("g", sensor), ("m", sensor), ("as recorded", sensor), ("m/s^2", replace(sensor, kind="body")))
    for name, (units, skeleton) in zip(("g", "m", "u", "b"), kinds, strict=True):
        with ArchiveWriter(tmp_path / name, skeleton=skeleton, fps=FPS, units=units) as writer:
            writer.add(np.ones((50, 2, 3)), name="a")
    save(model, tmp_path / "model")
    kept = load_predictor(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"unit of .* is g, that of .* m/s\^2: .*; convert .* --units 'm/s\^2'`$"):
        predict(kept, tmp_path / "g")
    with pytest.raises(ConfigError, match="fit a model on recordings of a"):
        predict(kept, tmp_path / "b")
    for unknown in ("m", "u"):  # what imports wrote, and write, where nobody says the unit
        assert len(predict(kept, tmp_path / unknown))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["units"] == "m/s^2"
    (tmp_path / "model/config.json").write_text(json.dumps(config | {"units": "m s-2"}))
    assert load_predictor(tmp_path / "model").layout.units == config.pop("units")
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    assert len(predict(tmp_path / "model", tmp_path / "g"))  # of before units were kept


def test_one_class_is_no_choice(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("imu-2"), fps=FPS, class_names=["x"]) as writer:
        for name in ("a", "b"):
            writer.add(np.ones((50, 2, 3)), name=name, label=0)
    with pytest.raises(ConfigError, match="has labels of only 1 class; a classifier needs at least two"):
        gather(MotionArchive.open(tmp_path / "a.motet"), None, "ignore")


def test_a_recording_shorter_than_a_window_is_named(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("imu-2"), fps=FPS) as writer:
        for i, n in enumerate((100, 5, 80)):
            labels = ["x"] * (n - 2) + ["w" if n == 5 else "y"] * 2
            writer.add(np.ones((n, 2, 3)), name=f"r{i}", subject=i, tracks={"t": labels})
    with pytest.warns(MotetWarning, match=r"left out, as shorter than a window of 0\.4 s: r1 \(0\.25 s\)$"):
        found = gather(MotionArchive.open(tmp_path / "a.motet"), None, "ignore")
    assert found.rows.tolist() == [0, 2]
    assert found.classes == ["x", "y"], "and what only that one has is no class"
    assert [np.bincount(y).tolist() for y in found.labels] == [[98, 2], [78, 2]]
    assert found.groups.tolist() == [0, 2]


@pytest.mark.parametrize("by", ["people", "recordings"])
def test_windows_of_a_recording_are_held_out_together(tmp_path: Path, by: str) -> None:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("imu-2"), fps=FPS, class_names=["x", "y"]) as writer:
        for i in range(12):
            writer.add(np.ones((50, 2, 3)), name=f"w{i}", label=i % 2, recording=f"r{i // 2}", subject=1)
    heard = pytest.warns(MotetWarning, match="people are unknown") if by == "people" else contextlib.nullcontext()
    with heard:
        found = gather(MotionArchive.open(tmp_path / "a.motet"), None, "ignore", by)
    assert found.by == "recordings"
    fold = found.folds(3, 0).reshape(6, 2)
    assert (fold[:, 0] == fold[:, 1]).all()
    assert len(np.unique(fold)) == 3


def test_trees_as_arrays_say_what_sklearn_says() -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 6)).astype(np.float32), random.integers(0, 3, 300)
    y = np.where(x[:, 0] > 0, y, 0)
    ours = Trees.fit(x, y, 4, seed=1)  # class 3 never occurs
    from motet.use.classifiers import balanced

    forest = ExtraTreesClassifier(100, min_samples_leaf=4, max_depth=18, max_features="sqrt", random_state=1)
    forest.fit(x, y, sample_weight=balanced(y, 4))
    new = random.normal(size=(50, 6)).astype(np.float32)
    assert np.allclose(ours(new)[:, :3], forest.predict_proba(new), atol=4e-3)
    assert ours(new)[:, 3].max() < 2e-3
    many = np.repeat(new, 100, axis=0)  # one tree at a time, not all of them at once
    assert (ours(many)[::100] == ours(new)).all()
    assert (ours(new[:1]) == ours(new)[:1]).all()


def test_the_linear_classifier_is_at_the_minimum_of_its_loss() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(np.float32)
    y = (x[:, 0] + 0.5 * random.normal(size=200) > 0).astype(np.int64)
    found = Linear.fit(x, y, 2, penalty=1e-2)
    from motet.use.classifiers import balanced

    def loss(weight: np.ndarray, bias: np.ndarray) -> float:
        p = Linear({**found.arrays, "weight": weight, "bias": bias})(x)
        return float(-(balanced(y, 2) * np.log(p[np.arange(200), y])).mean() + 1e-2 * (weight**2).sum())

    weight, bias = found.arrays["weight"], found.arrays["bias"]
    best = loss(weight, bias)
    for _ in range(20):
        assert loss(weight + 0.05 * random.normal(size=weight.shape), bias) > best


def test_the_network_learns_and_is_the_same_for_a_seed(archive: MotionArchive) -> None:
    material = gather(archive, None, "ignore")
    frames, layout = [material.frames(i) for i in range(6)], Layout.of(archive)
    made = [Network.fit(frames, material.labels[:6], 3, layout, seed=0, steps=25) for _ in range(2)]
    p = made[0](material.frames(6), layout)
    assert np.array_equal(p, made[1](material.frames(6), layout))
    assert np.mean(p.argmax(axis=1) == material.ticks[6]) > 0.8


def test_the_network_costs_little_on_tiny_sets(archive: MotionArchive, tmp_path: Path) -> None:
    assert [fitting_steps(n) for n in (10, 6_000, 60_000)] == [40, 117, 320]
    few, material = gather(clips(tmp_path / "c.motet"), None, "ignore"), gather(archive, None, "ignore")
    assert _is_tiny(few)  # 36 clips of 1 to 2 s
    assert not _is_tiny(material)
    for y in material.labels:
        y[:] = -1
    assert _is_tiny(material)  # only labelled time counts


def test_the_public_names() -> None:
    assert motet.fit is fit
    assert motet.predict is predict


def test_a_forged_model_is_one_line(model: Predictor, tmp_path: Path) -> None:
    """Every field of its configuration and every array, of a wrong kind, size or shape."""
    from motet.use.fit import save
    from tests.forged import cases

    folder = tmp_path / "m"
    save(model, folder)
    content = json.loads((folder / "config.json").read_text())
    for _, forged in cases(content, rotate=True):
        (folder / "config.json").write_text(json.dumps(forged))
        with contextlib.suppress(MotetError):
            load_predictor(folder)
    (folder / "config.json").write_text(json.dumps(content))
    arrays = load_file(folder / "model.safetensors")
    for name, array in arrays.items():
        for odd in (array[:0], array - 10**6, np.full(array.shape, 10**7)):
            save_file(arrays | {name: np.ascontiguousarray(odd)}, folder / "model.safetensors")
            with contextlib.suppress(MotetError):
                load_predictor(folder)


def test_a_prediction_shows_how_far_it_is(
    model: Predictor, archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        "motet.use.predictor.tracked", lambda rows, what, show: said.append((len(rows), show)) or iter(rows)
    )
    predict(model, archive, tmp_path / "a.csv")
    predict(model, archive, tmp_path / "b.csv", progress=False)
    assert said == [(len(archive), True), (len(archive), False)]
