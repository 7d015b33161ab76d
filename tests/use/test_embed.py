from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import motet
from motet import cli
from motet.core.errors import ConfigError, DataError, MotetNote
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive, Sensor
from motet.data.loader import ClipStore
from motet.engine.options import Encoder
from motet.engine.run import Run
from motet.methods import recipes
from motet.methods.faces import blocks
from motet.methods.learner import create_run
from motet.methods.model import Model
from motet.use.joined import join


@pytest.fixture(scope="module")
def run(small_archive: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = replace(
        recipes.get("cmd/small-gru"), streams=("joint", "motion"), encoder=Encoder(hidden=4, layers=1), frames=8
    )
    run = create_run(tmp_path_factory.mktemp("runs") / "run", recipe, small_archive, {"split": "odd-even"})
    Model.fresh(recipe, small_archive).save(run.path / "model.safetensors")
    return run


def test_blocks_hold_every_clip_once(small_archive: MotionArchive) -> None:
    frame = 8 * 3 * 4
    for limit in (1, 100 * frame, 10**9):
        parts = list(blocks(small_archive, np.arange(48), limit))
        assert np.concatenate(parts).tolist() == list(range(48))
        frames = [small_archive.lengths[ids].sum() for ids in parts]
        assert all(n * frame <= limit or len(ids) == 1 for n, ids in zip(frames, parts, strict=True))
    assert len(parts) == 1


def test_blocks_give_the_features_of_the_whole(
    run: Run, small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    real = ClipStore.__init__

    def counted(self: ClipStore, archive: MotionArchive, ids: np.ndarray, **options: object) -> None:
        held.append(int(archive.lengths[ids].sum()))
        real(self, archive, ids, **options)  # type: ignore[arg-type]

    given_back: list[int] = []
    monkeypatch.setattr("motet.methods.faces.release_pages", lambda array: given_back.append(array.ndim))
    expected = run.model().transform(small_archive)
    monkeypatch.setattr(ClipStore, "__init__", counted)
    shape = motet.embed(run.path, small_archive.path, tmp_path / "deep" / "f.npz", block_bytes=150 * 8 * 3 * 4)
    assert shape == (48, 16)
    assert max(held) <= 150
    assert given_back == [4, 2] * len(held)  # the pages of the archive and of the table, after every block
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["f.npz"]
    with np.load(tmp_path / "deep" / "f.npz") as found:
        np.testing.assert_allclose(found["features"], expected, atol=1e-6)
        assert found["columns"].tolist() == [0, 8, 16]
        assert found["label"].tolist() == small_archive.labels.tolist()


def test_shards_joined_are_the_whole(run: Run, small_archive: MotionArchive, tmp_path: Path) -> None:
    motet.embed(run.path, small_archive.path, tmp_path / "whole.npz")
    parts = [tmp_path / f"part{i}.npz" for i in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        words = ["embed", str(run.path), str(small_archive.path), "--out", str(part), "--shard", f"{number}/3"]
        assert cli.main(words) == 0
    assert cli.main(["data", "merge", *map(str, (parts[2], parts[0], parts[1])), str(tmp_path / "joined.npz")]) == 0
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "joined.npz") as joined:
        assert list(whole) == list(joined)
        for key in whole:
            assert (
                np.allclose(whole[key], joined[key], atol=1e-6)
                if key == "features"
                else (whole[key] == joined[key]).all()
            )
    with pytest.raises(ConfigError, match="shard 2/3 is missing"):
        join([parts[0], parts[2]], tmp_path / "x.npz")
    with pytest.raises(ConfigError, match="shard 3/3 is missing"):
        join(parts[:2], tmp_path / "x.npz")
    with pytest.raises(ConfigError, match="shard 1/3 comes twice"):
        join([parts[0], parts[0]], tmp_path / "x.npz")
    with pytest.raises(ConfigError, match="too few for shard 1/49"):
        motet.embed(run.path, small_archive.path, tmp_path / "x.npz", shard="1/49")
    with pytest.raises(ConfigError, match="it must be i/n"):
        motet.embed(run.path, small_archive.path, tmp_path / "x.npz", shard="0/3")
    with np.load(tmp_path / "whole.npz") as whole:
        plain = dict(whole)
    for changes, said in (
        ({"class_names": plain["class_names"][::-1]}, "other classes"),
        ({"centre_by": "a"}, "centred"),
    ):
        np.savez(tmp_path / "changed.npz", **{**plain, **changes})
        for pair in (["whole.npz", "changed.npz"], ["changed.npz", "whole.npz"]):
            with pytest.raises(ConfigError, match=f"{pair[1]} .*{said}.* than .*{pair[0]}; embed all of them with one"):
                join([tmp_path / name for name in pair], tmp_path / "x.npz")
    (tmp_path / "no.npz").write_text("no")
    with pytest.raises(DataError, match="cannot be read"):
        join([parts[0], tmp_path / "no.npz"], tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_another_layout_is_refused_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    from motet.data.archive import ArchiveWriter
    from motet.data.skeletons import Skeleton

    with ArchiveWriter(tmp_path / "other", skeleton=Skeleton("two", ("a", "b"), (-1, 0))) as writer:
        writer.add(np.ones((5, 2, 3)), name="x")
    with pytest.raises(ConfigError, match="the model was trained on stick"):
        motet.embed(run.path, tmp_path / "other", tmp_path / "f.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


def test_a_file_that_is_there_is_kept_unless_asked(
    run: Run, small_archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "f.npz"
    out.write_text("mine")
    line = ["embed", str(run.path), str(small_archive.path), "--out", str(out)]
    assert cli.main(line) == 2
    assert capsys.readouterr().err == f"error: {out} exists already; choose another --out or pass --overwrite\n"
    assert out.read_text() == "mine"
    assert cli.main([*line, "--overwrite"]) == 0
    with np.load(out) as found:
        assert len(found["features"]) == 48


@pytest.mark.parametrize("name", ["f.csv", "f.npy"])
def test_features_are_not_written_under_the_ending_of_something_else(
    run: Run, small_archive: MotionArchive, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"written as \.npz or \.parquet"):
        motet.embed(run, small_archive, tmp_path / name)
    assert not list(tmp_path.glob("f.*"))


def test_points_without_bones_are_embedded_without_the_stream_of_bones(tmp_path: Path) -> None:
    points = layouts.build("points", ["a", "b", "c"], [-1] * 3, up="+y")
    with ArchiveWriter(tmp_path / "p", skeleton=points, fps=30.0) as writer:
        for name in "pq":
            writer.add(np.random.default_rng(0).normal(size=(20, 3, 3)), name=name)
    with pytest.warns(
        MotetNote, match="points has no bones, so it goes without the stream bone; import it with --skel"
    ):
        assert motet.embed("rocket", tmp_path / "p", tmp_path / "f.npz")[0] == 2
    assert np.load(tmp_path / "f.npz")["streams"].tolist() == ["joint", "motion"]


def test_parquet_has_a_row_for_each_clip_with_its_features(
    run: Run, small_archive: MotionArchive, tmp_path: Path
) -> None:
    motet.embed(run.path, small_archive.path, tmp_path / "f.parquet")
    motet.embed(run.path, small_archive.path, tmp_path / "f.npz")
    table, arrays = pl.read_parquet(tmp_path / "f.parquet"), np.load(tmp_path / "f.npz")
    assert table["name"].to_list() == arrays["name"].tolist()
    assert np.array_equal(table["features"].to_numpy(), arrays["features"])
    assert table["class"].to_list() == [small_archive.class_names[n] for n in small_archive.labels]
    assert table["subject"].to_list() == small_archive.clips["subject"].to_list()


def test_an_encoder_of_sensors_names_those_next_to_skeletons(tmp_path: Path) -> None:
    kinds = {"watch": Sensor(layouts.get("imu-2"), fps=50.0)}
    with ArchiveWriter(tmp_path / "both", skeleton=layouts.get("coco-17"), sensors=kinds) as writer:
        writer.add(np.ones((9, 17, 3)), name="a", sensors={"watch": np.ones((9, 2, 3))})
    archive = MotionArchive.open(tmp_path / "both")
    model = Model.fresh(replace(recipes.get("cmd/small"), streams=("joint", "motion")), archive.sensors["watch"])
    with pytest.raises(
        ConfigError, match=rf"gyroscope; 1 person, 3 channels\); for its sensor name .*{Path('sensors') / 'watch'}$"
    ):
        model.check(archive)
    body = Model.fresh(replace(recipes.get("cmd/small-gru"), streams=("joint", "motion")), archive)
    with pytest.raises(ConfigError, match=r"3 channels\)$"):
        body.check(archive.sensors["watch"])


def test_encoders_of_sensors_say_which_nodes_they_read_and_how_others_come_to_them(tmp_path: Path) -> None:
    """Layouts of tables have one name and as many nodes; units can be converted."""
    archives = []
    for name, nodes, units in (
        ("a", "acc gyr", "g, deg/s"),
        ("b", "Acceleration Gyroscope", "g, deg/s"),
        ("c", "acc gyr", "g, rad/s"),
    ):
        skeleton = layouts.build("sensor-2", nodes.split(), [-1, -1], up=None, kind="sensor")
        with ArchiveWriter(tmp_path / name, skeleton=skeleton, fps=50.0, units=units) as writer:
            writer.add(np.ones((9, 2, 3)), name="a")
        archives.append(MotionArchive.open(tmp_path / name))
    model = Model.fresh(replace(recipes.get("cmd/small"), streams=("joint", "motion")), archives[0])
    said = r"clips of sensor-2 \(Acceleration, Gyroscope; .*on sensor-2 \(acc, gyr; .* DESTINATION --layout inertial`"
    with pytest.raises(ConfigError, match=said):
        model.check(archives[1])
    with pytest.raises(
        ConfigError, match=r"meaningless; convert them with `motet data convert .*c-converted --units 'g, d"
    ):
        model.check(archives[2])


def test_embedding_says_that_it_runs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bool] = []
    monkeypatch.setattr("motet.use.embed.working", lambda what, show: said.append(show) or nullcontext())
    archive = run.config["data"]["path"]
    motet.embed(run.path, archive, tmp_path / "a.npz")
    assert cli.main(["embed", str(run.path), archive, "--out", str(tmp_path / "b.npz"), "--quiet"]) == 0
    assert said == [True, False]
