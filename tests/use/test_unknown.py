"""Activities that were never learnt: noticed as "none of these", at a stated price, and sure in the right way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from motet.core.errors import ConfigError, MotetWarning
from motet.data.archive import MotionArchive
from motet.data.edit import select
from motet.data.simulate import simulate
from motet.data.stitch import stitch
from motet.use.fit import fit, said_of_unknown, save
from motet.use.material import NONE, gather
from motet.use.predict import Live, predict
from motet.use.predictor import Novelty, Predictor, load_predictor
from motet.use.unknown import View, _noticed, _played, _steady, learn
from motet.use.windows import WINDOWED
from tests.use.made import recordings

QUICK = ("statistics+linear",)
REJECT = 0.1


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_PLAYED", 8), ("_EACH", 1000)):  # as users have
            patch.setattr(f"motet.use.unknown.{name}", value)
        yield


@pytest.fixture(scope="module")
def actors(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """Clips of wrists and hips of six actors, six classes."""
    path = tmp_path_factory.mktemp("actors") / "a"
    simulate(path, clips=180, actions=6, actors=6, imu=True, progress=False)
    return MotionArchive.open(f"{path}-imu")


@pytest.fixture(scope="module")
def lacking(actors: MotionArchive) -> str:
    return actors.class_names[2]


@pytest.fixture(scope="module")
def model(actors: MotionArchive, lacking: str, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Four actors, one class left out, in recordings of a minute."""
    folder = tmp_path_factory.mktemp("model")
    clips = select(actors, folder / "clips", where=f"subject <= 4 AND class != '{lacking}'")
    return fit(stitch(clips, folder / "long", seed=0), folder / "m", candidates=QUICK, progress=False)


@pytest.fixture(scope="module")
def others(actors: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """The other two actors, all classes."""
    folder = tmp_path_factory.mktemp("others")
    return stitch(select(actors, folder / "clips", where="subject > 4"), folder / "long", seed=0)


def shares(model: Predictor, archive: MotionArchive, lacking: str) -> tuple[float, float]:
    """What is "none of these" of the class that was left out, and of the others."""
    track = archive.tracks.one(None)
    classes = archive.tracks.classes(track)
    true = np.concatenate([y[model.layout.centres(len(y))] for y in archive.tracks.all_frames(track, classes)])
    read = model.reader(archive)
    none = np.concatenate([model.recording(read(i))[0] for i in range(len(archive))]) == len(model.classes)
    unknown = true == classes.index(lacking)
    return float(none[unknown].mean()), float(none[(true >= 0) & ~unknown].mean())


def test_an_activity_left_out_is_noticed_and_known_ones_stay(
    model: Predictor, others: MotionArchive, lacking: str
) -> None:
    noticed, given_away = shares(model.rejecting(REJECT), others, lacking)
    assert noticed > 0.5
    assert given_away < 2 * REJECT
    assert shares(model, others, lacking) == (0, 0)


def test_more_is_noticed_where_more_is_given_away(model: Predictor, others: MotionArchive, lacking: str) -> None:
    few, many = (shares(model.rejecting(r), others, lacking) for r in (0.02, 0.3))
    assert few[0] < many[0]
    assert few[1] < many[1]


@pytest.mark.parametrize("rounding", [0.0, 1e-5])
def test_what_never_moved_says_nothing_of_new_recordings(rounding: float) -> None:
    """As the middle of the hips seen from the hips, where one pose estimator makes it of them and another tracks it."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    features = random.normal(0, 3, (200, 20)).astype(np.float32) + labels[:, None] * np.float32(5)
    features[:, 7] = 2 + rounding * random.normal(size=200)
    moved = features + 40 * np.eye(20, dtype=np.float32)[7]
    novelty, view = Novelty.fit(features, labels, 2), View.fit(features, labels, np.ones(200, bool))
    np.testing.assert_allclose(novelty.distance(moved), novelty.distance(features), rtol=1e-5)
    np.testing.assert_allclose(view(moved), view(features), rtol=1e-4, atol=1e-4)
    other = features + 40 * np.eye(20, dtype=np.float32)[6]
    assert novelty.distance(other).mean() > 2 * novelty.distance(features).mean()


def test_recordings_that_are_strange_throughout_are_doubted(
    model: Predictor, others: MotionArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"label": [NONE] * 9 + [model.classes[0]]}
    monkeypatch.setattr(Predictor, "predict", lambda *_, **__: pl.DataFrame(answers))
    with pytest.warns(MotetWarning, match="90% of the answers are 'none of these': the recordings are unlike those"):
        predict(model, others)
    answers["label"][0] = model.classes[0]
    predict(model, others)  # and nothing is said


def test_none_of_these_is_as_sure_as_it_is_strange(model: Predictor, others: MotionArchive, tmp_path: Path) -> None:
    bouts = predict(model, others, tmp_path / "bouts.csv", track="found", reject=REJECT)
    none = bouts.filter(pl.col("label") == NONE)
    assert len(none)
    assert none["probability"].is_between(1 - REJECT, 1).all()
    assert none["probability"].n_unique() > 1
    stored = others.tracks["found"].filter(pl.col("label") == NONE)
    assert stored["certainty"].min() >= 1 - REJECT
    _, sure = model.rejecting(REJECT).recording(model.reader(others)(0))
    assert np.allclose(sure.sum(axis=1), 1)


def test_live_decisions_notice_the_same(model: Predictor, others: MotionArchive) -> None:
    frames = model.reader(others)(0)
    live = Live(model, lag=3.0, reject=REJECT)
    assert live.delay > Live(model, lag=3.0).delay
    decisions = [d for start in range(0, len(frames), 40) for d in live.push(frames[start : start + 40])]
    decisions += live.finish()
    labels, sure = model.rejecting(REJECT).recording(frames)
    none = np.array([d.label == NONE for d in decisions])
    assert none.any()
    assert (none == (labels == len(model.classes))).mean() > 0.99
    both = none & (labels == len(model.classes))
    assert np.allclose(np.array([d.probability for d in decisions])[both], sure[both, -1], atol=0.02)


def test_a_long_recording_in_pieces_is_as_strange(
    model: Predictor, others: MotionArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, rejecting = model.reader(others)(0), model.rejecting(REJECT)
    _, whole = rejecting.moments(frames)
    monkeypatch.setattr("motet.use.predictor._CHUNK", 9.1)
    assert np.allclose(rejecting.probabilities(frames)[1], whole, atol=0.002)


def test_what_is_strange_for_a_moment_is_not() -> None:
    scores = np.array([0, 9, 9, 9, 0, 0, 5, 5, 5, 5, 5, 5, 1, 9.0])
    assert _steady(scores, 0.1).tolist() == [0, 0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 1, 1]
    assert _steady(scores, 0.5).tolist() == scores.tolist()


def test_the_answer_travels_with_the_model_and_older_ones_say_so(
    model: Predictor, others: MotionArchive, lacking: str, tmp_path: Path
) -> None:
    save(model, tmp_path / "m")
    want = predict(model, others, reject=REJECT)
    assert predict(tmp_path / "m", others, reject=REJECT).equals(want)
    assert "about" in (tmp_path / "m" / "README.md").read_text()
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    del config["unknown"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    arrays = load_file(tmp_path / "m" / "model.safetensors")
    kept = {k: v for k, v in arrays.items() if not k.startswith(("unknown", "view"))}
    save_file(kept, tmp_path / "m" / "model.safetensors")
    assert predict(tmp_path / "m", others).equals(predict(model, others))
    with pytest.raises(ConfigError, match="is of an earlier motet; fit it again"):
        predict(tmp_path / "m", others, reject=REJECT)
    with pytest.raises(ConfigError, match=r"reject is 0\.9; it must lie between 0 and 0\.5"):
        predict(model, others, reject=0.9)


@pytest.mark.filterwarnings("ignore:.* holds several sensors, of which")
def test_an_encoder_that_no_member_has_is_kept(actors: MotionArchive, tmp_path: Path) -> None:
    few = select(actors, tmp_path / "few", where="subject <= 2 AND class LIKE '%a%'")
    fitted = fit(few, tmp_path / "m", candidates=("statistics+linear", "wrist+linear"), folds=2, progress=False)
    assert fitted.unknown is not None
    assert [dense.name for dense, _ in fitted.unknown.views] == ["statistics", "wrist"]
    for members in ("statistics+linear", "wrist+linear"):
        alone = replace(fitted, members=[m for m in fitted.members if m.name == members])
        if alone.members:
            save(alone, tmp_path / members)
            again = load_predictor(tmp_path / members).rejecting(REJECT)
            frames = fitted.reader(few)(0)
            assert np.allclose(again.moments(frames)[1], alone.rejecting(REJECT).moments(frames)[1], atol=1e-6)


def test_clips_are_none_of_these_as_a_whole(actors: MotionArchive, lacking: str, tmp_path: Path) -> None:
    train = select(actors, tmp_path / "train", where=f"subject <= 4 AND class != '{lacking}'")
    new = select(actors, tmp_path / "new", where="subject > 4")
    model = fit(train, tmp_path / "m", candidates=QUICK, progress=False)
    said = predict(model, new, reject=0.3).with_columns(true=pl.Series(new.labels))
    unknown = pl.col("true") == actors.class_names.index(lacking)
    none = pl.col("label") == NONE
    assert said.filter(unknown).select(none.mean()).item() > 0.6
    assert said.filter(~unknown).select(none.mean()).item() < 0.4
    assert said.filter(none)["probability"].min() >= 0.7


def test_two_classes_are_too_few(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "a.motet", people=2)
    rows = archive.tracks["activity"]
    archive.tracks.save("two", rows.filter(pl.col("label") != "sit").to_dicts())
    model = fit(archive, tmp_path / "m", track="two", candidates=QUICK, progress=False)
    assert "three classes or more are needed" in (tmp_path / "m" / "README.md").read_text()
    with pytest.raises(ConfigError, match="fit it again, on three classes or more"):
        model.rejecting(REJECT)


def test_what_is_expected_is_learnt_without_the_class(actors: MotionArchive) -> None:
    """Weights for a class are those of the other players, and the moments of the class are none of their known ones."""
    material = gather(actors, None, "ignore")
    dense = WINDOWED["statistics"]
    features = [dense(material.frames(i), material.layout) for i in range(len(material.rows))]
    fold = material.folds(2, 0)
    _, facts = learn(material, [(dense, features)], fold) or (None, {})
    seen = [(dense, np.concatenate(features))]
    games = [_played(material, seen, fold, k) for k in range(6)]
    assert all((g.known & g.unknown).sum() == 0 and g.unknown.sum() for g in games)
    first = _noticed(games[0], games, material)
    assert facts["classes"][material.classes[0]] == pytest.approx(first["0.05"])
    alone = [_noticed(g, [h for h in games if h is not g], material) for g in games]
    assert alone == [_noticed(g, games, material) for g in games]
    spoiled = replace(games[1], known=games[1].known & ~games[0].unknown)
    assert _noticed(games[0], [games[0], spoiled, *games[2:]], material) == first
    assert sorted(first.values()) == list(first.values())


def test_a_view_measures_distance_to_classes() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    x = (np.eye(3)[labels] * 8 + random.normal(size=(300, 3))).astype(np.float32)
    view = View.fit(x, labels, np.ones(300, dtype=bool))
    at = np.array([[8, 0, 0], [8 / 3, 8 / 3, 8 / 3], [30, 0, 0]], dtype=np.float32)
    found = view(at)
    assert found.shape == (3, View.measures)
    assert found[0, 0] < found[1, 0]
    assert found[0, 3] < -1 < found[1, 3] + 1  # one class is nearest, and then all are as near
    assert found[0, 5] < found[1, 5]
    assert found[1, 1] < found[0, 1] < found[2, 1]


def test_what_is_said_of_it() -> None:
    facts = {"noticed": {"0.05": 0.62}, "classes": {"walk": 0.4, "sit": 0.9}}
    words = "at most about 62 % of an activity that it never learnt (walk 40 % to sit 90 %), for 5 % of the known"
    assert said_of_unknown(facts) == f"with --reject 0.05 {words}"
    assert "too little to rely on" in said_of_unknown({**facts, "noticed": {"0.05": 0.3}})
