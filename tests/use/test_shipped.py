"""Weights that come with the package, and features without any."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import motet
from motet import cli
from motet.core.errors import ConfigError, MotetNote, RunError
from motet.data import layouts
from motet.data.adapted import adapted
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert, select
from motet.data.simulate import simulate
from motet.data.together import gathered
from motet.encoders import TCN
from motet.engine.hub import FOLDER, called
from motet.methods import recipes, rocket
from motet.methods.discovery.settings import SETTINGS
from motet.methods.discovery.warm_start import adopt
from motet.methods.frames import _between
from motet.methods.model import Model
from motet.methods.pretrain import pretrain, train_seeds
from motet.methods.pretrain import start_of as usual_start
from motet.methods.recipe import Recipe
from motet.methods.start import Start
from motet.use.encoded import features_named, fitting_weights
from motet.use.train_weights import PLANS
from tests.data.test_inertial import sensor

Floats = npt.NDArray[np.floating[Any]]


@pytest.fixture(scope="module")
def kinect(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    path = tmp_path_factory.mktemp("shipped") / "kinect"
    return simulate(path, clips=24, actions=4, actors=6, sensor="optical", imu=True, seed=5, progress=False)


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """Of the layout that SHREC'17 has; people, repetitions and errors that took no part in a training."""
    options: dict[str, Any] = {"clips": 40, "actions": 8, "actors": 10, "seed": 5, "layout": "hand-22"}
    return simulate(tmp_path_factory.mktemp("shipped") / "hands", hands=True, progress=False, **options)


@pytest.fixture(scope="module")
def watch(kinect: MotionArchive) -> MotionArchive:
    return MotionArchive.open(kinect.path.with_name("kinect-imu"))


def copied(archive: MotionArchive, path: Path, scale: float = 1.0, turn: float = 0.0) -> MotionArchive:
    """The same clips larger, and seen from elsewhere."""
    sine, cosine = np.sin(turn), np.cos(turn)
    matrix = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    with ArchiveWriter(
        path,
        skeleton=archive.skeleton,
        persons=1,
        fps=archive.fps,
        units="mm",
        class_names=archive.class_names,
        source={"format": "test"},
        licence="none",
    ) as writer:
        for index, row in enumerate(archive.clips.iter_rows(named=True)):
            writer.add(
                (archive.clip(index) @ matrix.T * scale).astype(np.float32), name=row["name"], label=row["label"]
            )
    return MotionArchive.open(path)


def test_body_reads_any_layout_size_and_heading(kinect: MotionArchive, tmp_path: Path) -> None:
    model = motet.load("body")
    features = model.transform(kinect)
    assert features.shape == (24, 3 * 5 * 96)
    assert all(isinstance(encoder, TCN) for encoder in model.encoders)
    moved = copied(kinect, tmp_path / "moved", scale=1300.0, turn=0.8)
    np.testing.assert_allclose(model.transform(moved), features, atol=2e-3 * np.abs(features).max())
    # rows are those of the archive, whatever part is asked for
    store = model.store(kinect, np.array([7, 3]))
    part = torch.cat(list(model.encode(store, torch.tensor([7, 3])).values()), dim=1)
    np.testing.assert_allclose(part.numpy(), features[[7, 3]], atol=1e-5)


def test_body_tells_actions_apart(kinect: MotionArchive) -> None:
    """Actors that took no part in the training, and no label: most neighbours do the same."""
    labels, people = kinect.labels, kinect.clips["subject"].to_numpy()
    features = motet.load("body").transform(kinect)
    side = people % 2 == 0
    score = motet.evaluate.knn_accuracy(features[side], labels[side], features[~side], labels[~side])
    assert score >= 0.9


def test_hand_reads_any_layout_and_size(hands: MotionArchive, tmp_path: Path) -> None:
    model = motet.load("hand")
    features = model.transform(hands)
    assert features.shape == (40, 3 * 5 * 96)
    larger = copied(hands, tmp_path / "larger", scale=1300.0)
    np.testing.assert_allclose(model.transform(larger), features, atol=2e-3 * np.abs(features).max())
    # a gesture seen from elsewhere is another one: right becomes left
    turned = model.transform(copied(hands, tmp_path / "turned", turn=np.pi))
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    assert np.median(np.linalg.norm(turned - features, axis=1)) > np.median(apart[apart > 0]) / 2


def test_hand_tells_gestures_apart(hands: MotionArchive) -> None:
    labels, people = hands.labels, hands.clips["subject"].to_numpy()
    features, side = motet.load("hand").transform(hands), people % 2 == 0
    score = motet.evaluate.knn_accuracy(features[side], labels[side], features[~side], labels[~side])
    assert score >= 0.8


def test_hand_and_body_refuse_each_other(kinect: MotionArchive, hands: MotionArchive) -> None:
    said = r"holds kinect-v2 with 3 coordinates .*reads hand-21 with 3; body reads bodies in 3D; rocket in its place"
    with pytest.raises(ConfigError, match=said):
        motet.load("hand").transform(kinect)
    said = r"holds hand-22 with 3 coordinates .*reads shared-15 with 3; hand reads hands in 3D; rocket in its place"
    with pytest.raises(ConfigError, match=said):
        motet.load("body").transform(hands)


def test_body_refuses_what_has_no_body(watch: MotionArchive, tmp_path: Path) -> None:
    said = r"holds imu-wrist-hip with 3 coordinates .*the model reads shared-15 with 3; wrist reads sensors"
    with pytest.raises(ConfigError, match=said):
        motet.load("body").transform(watch)


def worn(archive: MotionArchive, path: Path, change: Callable[[Floats], Floats], **facts: Any) -> MotionArchive:
    """The sensor at the wrist alone, its (T, 1, V, 3) readings changed."""
    options: dict[str, Any] = {"skeleton": layouts.get("imu-2"), "fps": archive.fps, "units": "as recorded"} | facts
    with ArchiveWriter(path, class_names=archive.class_names, **options) as writer:
        for index, row in enumerate(archive.clips.iter_rows(named=True)):
            made = change(np.array(archive.clip(index)[:, :, :2]))
            writer.add(made.astype(np.float32), name=row["name"], label=row["label"])
    return MotionArchive.open(path)


def tripled(x: Floats) -> Floats:
    """(T, …) at three times the rate."""
    at = np.minimum(np.arange(3 * len(x)) / 3, len(x) - 1)
    low, share = at.astype(int), (at % 1).reshape(-1, 1, 1, 1)
    return np.asarray(x[low] * (1 - share) + x[np.minimum(low + 1, len(x) - 1)] * share)


@pytest.mark.filterwarnings("ignore:.* holds several sensors, of which")
def test_wrist_reads_any_unit_and_rate(watch: MotionArchive, tmp_path: Path) -> None:
    model = motet.load("wrist")
    features = model.transform(watch)
    assert features.shape == (len(watch), sum(model.sizes.values())) == (len(watch), 1760)
    in_g = worn(watch, tmp_path / "g", lambda x: x * np.array([1 / 9.80665, 180 / np.pi])[:, None])
    np.testing.assert_allclose(model.transform(in_g), features, atol=2e-3 * np.abs(features).max())
    often = worn(watch, tmp_path / "often", tripled, fps=90.0)
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    moved = np.linalg.norm(model.transform(often) - features, axis=1)
    assert np.median(moved) < np.median(apart[apart > 0]) / 4
    assert model.frames(often, 2).shape == (3 * int(watch.lengths[2]), features.shape[1])


@pytest.mark.filterwarnings("ignore:.* holds several sensors, of which")
def test_wrist_turned_or_without_a_gyroscope(watch: MotionArchive, tmp_path: Path) -> None:
    """Worn another way by 20 degrees, or half of it gone: a clip's features stay nearer than those of another clip."""
    model = motet.load("wrist")
    features = model.transform(watch)
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    typical = np.median(apart[apart > 0])
    sine, cosine = np.sin(np.radians(20)), np.cos(np.radians(20))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    turned = worn(watch, tmp_path / "turned", lambda x: x @ turn.T)
    assert np.median(np.linalg.norm(model.transform(turned) - features, axis=1)) < typical / 2
    half = worn(watch, tmp_path / "half", lambda x: x[:, :, :1], skeleton=sensor("acc"))
    assert np.median(np.linalg.norm(model.transform(half) - features, axis=1)) < typical


@pytest.mark.filterwarnings("ignore:.* holds several sensors, of which")
def test_wrist_tells_actions_apart(watch: MotionArchive) -> None:
    labels, people = watch.labels, watch.clips["subject"].to_numpy()
    features, side = motet.load("wrist").transform(watch), people % 2 == 0
    score = motet.evaluate.knn_accuracy(features[side], labels[side], features[~side], labels[~side])
    assert score >= 0.8


@pytest.mark.filterwarnings("ignore:.* holds several sensors, of which")
def test_a_training_starts_from_wrist(watch: MotionArchive, tmp_path: Path) -> None:
    run = motet.pretrain("cmd", watch, tmp_path / "run", start="wrist", steps=1, batch_size=8, progress=False)
    model = motet.load(run.path)
    assert model.skeleton.name == "inertial"
    assert model.transform(watch).shape == motet.load("wrist").transform(watch).shape


def test_a_sensor_next_to_a_body_is_named(
    kinect: MotionArchive, watch: MotionArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MotionArchive, "sensors", property(lambda archive: {"watch": watch}))
    with pytest.raises(ConfigError, match=rf"the model reads inertial with 3; for its sensor name {watch.path}; body"):
        motet.load("wrist").transform(kinect)


def test_wrist_refuses_a_body(kinect: MotionArchive) -> None:
    with pytest.raises(ConfigError, match=r"holds kinect-v2 with .*the model reads inertial with 3; body reads bodies"):
        motet.load("wrist").transform(kinect)
    with pytest.raises(ConfigError, match=r"; body reads bodies in 3D; --start none trains new encoders$"):
        Start.open("wrist").check(kinect)


def test_weights_of_the_package_go_by_their_name(kinect: MotionArchive, watch: MotionArchive, tmp_path: Path) -> None:
    assert called(FOLDER / "body") == "body"
    assert called(tmp_path / "body") == str(tmp_path / "body")
    with pytest.raises(RunError, match=r"^body holds weights without their recordings"):
        motet.evaluate.run("body", ["knn"], progress=False)
    for archive, model in ((watch, "body"), (kinect, "wrist")):  # transfer does not convert these either
        with pytest.raises(ConfigError, match=r"of any kind$"):
            motet.evaluate.run(model, ["knn"], data=archive, progress=False)


def test_random_convolutions_without_a_training(kinect: MotionArchive) -> None:
    model = motet.load("rocket")
    features = model.transform(kinect)
    assert features.shape == (24, 3 * rocket.KERNELS)
    assert ((features >= 0) & (features <= 1)).all()
    np.testing.assert_array_equal(features, motet.load("rocket").transform(kinect))
    # thresholds stay those of the first recordings
    before = [e.threshold.clone() for e in model.model.encoders]
    assert model.frames(kinect, 0).shape == (int(kinect.lengths[0]), 3 * rocket.KERNELS)
    assert all(torch.equal(a, e.threshold) for a, e in zip(before, model.model.encoders, strict=True))


def test_frames_follow_the_recording(kinect: MotionArchive) -> None:
    model = motet.load("body")
    frames = model.frames(kinect, 2, seconds=1.0)
    assert frames.shape == (int(kinect.lengths[2]), 1440)
    np.testing.assert_array_equal(frames, model.frames(kinect.path, kinect.clips["name"][2], seconds=1.0))
    assert np.isfinite(frames).all()
    assert np.abs(np.diff(frames, axis=0)).max() > 0
    # a window as long as the clip says the same of every frame
    whole = model.frames(kinect, 2, seconds=1000.0)
    np.testing.assert_array_equal(whole, np.repeat(whole[:1], len(whole), axis=0))
    with pytest.raises(ConfigError, match="an archive or its path is wanted, not ndarray; ArchiveWriter makes one"):
        model.transform(kinect.clip(0))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"has no clip \[.{,45}: it holds 24"):
        model.frames(kinect, kinect.clip(0))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no clip 99: it holds 24"):
        model.frames(kinect, 99)
    with pytest.raises(ConfigError, match="no clip 'clip-99'; a number or a name is wanted, such as sim-"):
        model.frames(kinect, "clip-99")
    with pytest.raises(ConfigError, match="must have a length"):
        model.frames(kinect, 0, seconds=0)


def test_frames_without_a_rate_say_what_is_taken(kinect: MotionArchive, tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "timeless", skeleton=kinect.skeleton, fps=None) as writer:
        writer.add(kinect.clip(0), name="a")
    with pytest.warns(MotetNote, match="rate is unknown, so 30 frames are taken for 1 s; import with --fps"):
        found = motet.load("body").frames(tmp_path / "timeless", 0, seconds=1.0)
    np.testing.assert_array_equal(found, motet.load("body").frames(kinect, 0, seconds=1.0))


def test_between_windows() -> None:
    features, centres = torch.tensor([[0.0], [2.0], [6.0]]), torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64)
    found = _between(features, centres, torch.arange(8.0).double())[:, 0].tolist()
    assert found == [0.0, 0.0, 1.0, 2.0, 4.0, 6.0, 6.0, 6.0]
    assert _between(features[:1], centres[:1], torch.arange(3.0).double())[:, 0].tolist() == [0.0] * 3


def test_embed_by_name(kinect: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, width in (("body", 1440), ("rocket", 3 * rocket.KERNELS)):
        out = tmp_path / f"{name}.npz"
        assert cli.main(["embed", name, str(kinect.path), "--out", str(out)]) == 0
        with np.load(out) as table:
            assert table["features"].shape == (24, width)
            np.testing.assert_allclose(
                table["features"],
                motet.load(name).transform(kinect),
                atol=1e-5 * max(1, np.abs(table["features"]).max()),
            )
        assert f"24 clips × {width:,} features" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        *(("body", "shared-15"), ("hand", "hand-21"), ("picture", "shared-15"), ("hand-picture", "hand-21")),
        ("wrist", "inertial"),
    ],
)
def test_weights_from_nothing(name: str, layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["weights", "train", name, "--out", str(tmp_path), "--clips", "40", "--actors", "4", "--steps", "2"]
    assert cli.main([*words, "--quiet"]) == 0
    model = motet.load(tmp_path / "weights")
    config = json.loads((tmp_path / "weights" / "config.json").read_text())
    assert config["data"]["simulated"] is True
    shipped = motet.load(name).recipe
    assert (model.skeleton.name, model.recipe.recipe, model.recipe.epochs) == (layout, shipped.recipe, 2)
    assert model.recipe.encoder == shipped.encoder
    capsys.readouterr()
    assert cli.main(words) == 0  # nothing is done again
    assert f"next: motet embed {tmp_path / 'weights'} ARCHIVE" in capsys.readouterr().out
    assert cli.main(["embed", str(tmp_path), "archive", "--out", str(tmp_path / "e.npz")]) == 2
    assert f"not a run; name {tmp_path / 'weights'}" in capsys.readouterr().err
    # nor are other weights taken for these
    for option, value, said in (
        *(("--clips", "50", "clips 40, not 50"), ("--actors", "5", "actors 4, not 5")),
        *(("--seed", "7", f"seed {PLANS[name].seed}, not 7"), ("--steps", "9", "steps 2, not 9")),
    ):
        assert cli.main([*words, option, value]) == 2
        assert f"holds another training ({said}); choose another --out" in capsys.readouterr().err
    words[2] = "wrist" if name == "body" else "body"
    assert cli.main(words) == 2
    assert f"(recordings {name}, not {words[2]}; weights {name}, not" in capsys.readouterr().err


def test_no_such_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weights", "train", "soul", "--out", str(tmp_path / "x"), "--quiet"]) == 2
    assert "choose from body, hand, picture, hand-picture, wrist" in capsys.readouterr().err


def test_other_weights_of_the_name_than_a_run_began_at(
    kinect: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"epochs": 1, "batch_size": 8, "progress": False, "start": "body"}
    (run,) = train_seeds("moco", kinect, tmp_path / "runs", [1], **short)
    train_seeds("moco", kinect, tmp_path / "runs", [1], **short)  # the same
    monkeypatch.setattr(Start, "digest", "another")
    with pytest.raises(RunError, match="it started from other weights body"):
        train_seeds("moco", kinect, tmp_path / "runs", [1], **short)
    with pytest.raises(RunError, match="began at other weights body than those that are there now; train again"):
        Start.of_run(run)


def test_a_small_recipe_starts_from_weights_that_read_the_recordings(kinect: MotionArchive, tmp_path: Path) -> None:
    short = {"epochs": 1, "batch_size": 8, "progress": False}
    with pytest.warns(MotetNote, match="starts from the weights body, .* --start none trains new encoders"):
        (run,) = train_seeds("moco", kinect, tmp_path / "runs", [1], lr=1e-30, **short)
    assert run.config["start"] == "body"
    trained, body = run.model(), motet.load("body")
    assert isinstance(trained, Model)
    assert isinstance(body, Model)
    both = zip(trained.encoders.parameters(), body.encoders.parameters(), strict=True)
    assert all(torch.allclose(ours, theirs) for ours, theirs in both)
    assert (trained.recipe.whiten_by, trained.recipe.keep_start) == ("both", 0.5)
    (again,) = train_seeds("moco", kinect, tmp_path / "runs", [1], lr=1e-30, **short)  # the same training
    assert again.path == run.path
    with pytest.raises(RunError, match="it started from body"):
        train_seeds("moco", kinect, tmp_path / "runs", [1], start="none", lr=1e-30, **short)


@pytest.fixture
def two_hands(tmp_path: Path) -> MotionArchive:
    clip = np.random.default_rng(0).normal(size=(9, 2, 21, 3))
    with ArchiveWriter(tmp_path / "two", skeleton=layouts.get("hand-21"), persons=2, fps=30.0) as writer:
        for n in range(12):
            writer.add(clip, name=f"c{n}", label=n % 2, subject=n // 2)
    return MotionArchive.open(tmp_path / "two")


READING: dict[str, Callable[[MotionArchive, Path], object]] = {
    "features": lambda two, _: motet.load("hand").transform(two),
    "moments": lambda two, _: features_named("hand", two),
    "a training": lambda two, out: pretrain("cmd", two, out, start="hand", epochs=0, progress=False),
    "a training on several": lambda two, out: gathered([one_hand(two, out), two], motet.load("hand")).__enter__(),
    "discovery": lambda two, _: adopt(SETTINGS["hand"], two, two),
    "transfer": lambda two, out: adapted(two, motet.load("hand"), out),
}


def one_hand(archive: MotionArchive, out: Path) -> MotionArchive:
    select(archive, out.with_name("one"), persons=(2,))
    return MotionArchive.open(out.with_name("one"))


@pytest.mark.parametrize("what", READING)
def test_what_reads_one_of_two_hands_says_so(what: str, two_hands: MotionArchive, tmp_path: Path) -> None:
    with pytest.warns(MotetNote) as notes:
        READING[what](two_hands, tmp_path / "out")
    said = {str(n.message) for n in notes if "2 hands" in str(n.message)}
    (line,) = said
    assert f"{two_hands.path} holds clips of 2 hands, of which the first is read; `motet data select" in line
    assert "--persons 2` takes another, `--side`" in line


@pytest.mark.parametrize("what", ["features", "a training", "a conversion"])
def test_what_reads_one_of_several_sensors_says_so(what: str, tmp_path: Path) -> None:
    names = ["chest_acc", "chest_gyr", "wrist_acc", "wrist_gyr", "wrist_mag"]
    nodes, random = layouts.build("worn", names, [-1] * 5, kind="sensor"), np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "worn", skeleton=nodes, fps=30.0, units="g, deg/s") as writer:
        for n in range(12):
            writer.add(random.normal(size=(40, 5, 3)), name=f"c{n}", label=n % 2, subject=n // 2)
    worn, out = MotionArchive.open(tmp_path / "worn"), tmp_path / "out"
    reading: dict[str, Callable[[], object]] = {
        "features": lambda: motet.load("wrist").transform(worn),
        "a training": lambda: pretrain("cmd", worn, out, start="wrist", epochs=0, progress=False),
        "a conversion": lambda: convert(worn, out, layout="inertial"),
    }
    with pytest.warns(
        MotetNote, match=r"several sensors, of which wrist_acc and wrist_gyr are read; .*--without wrist_a"
    ):
        reading[what]()
    one = select(worn, tmp_path / "one", without=["chest_acc", "chest_gyr"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        motet.load("wrist").transform(one)  # what a magnetometer says is no other sensor's


def test_an_evaluation_keeps_what_was_said_of_two_hands(
    two_hands: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "hand", "--data", "two", "--protocols", "knn", "--json", "found.json"]) == 0
    assert capsys.readouterr().err.count("of which the first is read") == 1
    assert any("of which the first is read" in note for note in json.loads(Path("found.json").read_text())["notes"])


def test_of_two_hands_nothing_is_said_where_weights_are_only_looked_for(
    two_hands: MotionArchive, tmp_path: Path
) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert fitting_weights(two_hands) == ["hand"]
        motet.load("hand").transform(one_hand(two_hands, tmp_path / "out"))
    assert not seen


def test_a_usual_start_names_what_reads_both_hands(two_hands: MotionArchive) -> None:
    with pytest.warns(MotetNote, match="weights hand, which read these .* new encoders on all 2 of a clip"):
        usual_start("cmd", [two_hands], None, {"companions": ()})


def test_a_folder_named_as_weights(kinect: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`motet weights train body --out body` leaves one; a run of that name comes first, but for the usual start."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "body").mkdir()
    shipped_recipe = motet.load("body").recipe.recipe
    assert shipped_recipe == "cmd/body"
    (tmp_path / "body").rmdir()
    options = {"epochs": 1, "batch_size": 8, "progress": False, "width": 4, "streams": ("joint",)}
    pretrain("moco/small", kinect, "body", start="none", **options)
    assert motet.load("body").recipe.recipe == "moco/small"
    assert Start.open("body").place == str(tmp_path / "body")
    usual = Start.usual(recipes.get("moco/small"), [kinect], {})
    assert usual is not None
    assert (usual.place, usual.model.recipe.recipe) == ("body", "cmd/body")
    assert Start.stored(usual.place).model.recipe.recipe == "cmd/body"


def test_weights_lie_between_the_start_and_the_last_step(kinect: MotionArchive, tmp_path: Path) -> None:
    """Every weight and running statistic; those of the last step are what the same training without a share keeps."""
    short = {"epochs": 1, "batch_size": 8, "progress": False, "start": "body", "streams": ("bone",), "whiten": 0.0}
    kept, last = (pretrain("moco/small", kinect, tmp_path / str(s), keep_start=s, **short).model() for s in (0.25, 0.0))
    begun = motet.load("body").weights()
    for name, value in last.weights().items():
        if value.is_floating_point():
            torch.testing.assert_close(kept.weights()[name], 0.75 * value + 0.25 * begun[name])
    moved = [n for n, value in last.weights().items() if not torch.allclose(value, begun[n], atol=1e-3)]
    assert any("running" in name for name in moved)
    assert any("weight" in name for name in moved)


def test_when_new_encoders_are_trained(
    kinect: MotionArchive, hands: MotionArchive, watch: MotionArchive, small_archive: MotionArchive
) -> None:
    def start(recipe: str | Recipe, archive: MotionArchive, **options: Any) -> str | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotetNote)
            found = usual_start(recipe, [archive], options.pop("start", None), {"companions": None, **options})
        return None if found is None else found.name

    assert start("cmd", kinect) == "body"
    assert start("moco", hands) == "hand"
    assert start("moco", watch) == "wrist"
    assert start("moco", watch, streams=("acceleration",)) is None
    assert start("halp/small", kinect, lr=0.1, epochs=3, streams=("bone", "joint")) == "body"
    for options in ({"width": 8}, {"preprocess": "yaw"}, {"frames": 16}, {"streams": ("joint", "acceleration")}):
        assert start("cmd", kinect, **options) is None, options
    assert start("cmd", kinect, start="none") is None
    assert start("cmd", kinect, companions={"watch": kinect}) is None
    assert start("cmd/small-gru", kinect) is None
    assert start("cmd/ntu60-xsub", kinect, split="odd-even") is None
    assert start(recipes.get("cmd/small"), kinect) is None
    assert start("cmd", small_archive) is None  # no shoulders
