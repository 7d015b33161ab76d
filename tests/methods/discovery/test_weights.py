"""Discoveries on convolutions and transformers, and those that start from weights of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import motet
from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.methods.discovery import METHODS
from motet.methods.discovery.forecast import forecast, memory
from motet.methods.discovery.run import Discovery, Plan, _begin, plan, resume
from motet.methods.discovery.settings import SETTINGS
from motet.methods.discovery.streams import NORM, StreamEncoder
from motet.methods.discovery.views import whole_clips
from tests.conftest import write_clips
from tests.methods.test_pretrain import tiny

Pair = tuple[MotionArchive, MotionArchive]


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("bodies")
    one = motet.simulate.simulate(folder / "a", clips=12, actions=3, actors=4, seed=1)
    return one, motet.simulate.simulate(folder / "b", clips=12, actions=4, actors=4, sensor="optical", seed=2)


def begun(found: Plan) -> Discovery:
    trainer = found.trainer(progress=False)
    _begin(trainer, found)
    assert isinstance(trainer.learner, Discovery)
    return trainer.learner


def test_the_default(
    bodies: Pair, small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = plan(*bodies)
    assert (found.settings.name, found.settings.start, found.settings.preprocess) == ("body", "body", "body")
    assert found.form is not None
    assert len(found.form.skeleton) == 15
    for options in ({"hidden": 8}, {"as_released": True}, {"recipe": "small"}, {"preprocess": "yaw"}):
        other = plan(*bodies, **options)
        assert (other.settings.name, other.settings.start, other.form) == ("small", "", None)
    assert plan(small_archive, write_clips(tmp_path / "c", seed=4)).settings.name == "small"  # not a body
    with pytest.raises(ConfigError, match="--hidden"):
        plan(*bodies, recipe="body", hidden=8)
    with pytest.raises(ConfigError, match="own layout"):
        plan(small_archive, write_clips(tmp_path / "d", seed=5), start="body")
    options = {"clips": 12, "actions": 3, "actors": 4, "hands": True, "progress": False}
    hands = [motet.simulate.simulate(tmp_path / layout, layout=layout, **options) for layout in ("hand-21", "hand-22")]
    for found in plan(*hands), plan(*hands, start="hand"):
        assert (found.settings.name, found.settings.start, found.settings.preprocess) == ("hand", "hand", "hand")
    (tmp_path / "body").mkdir()  # no run: the weights are meant
    assert plan(*bodies).settings.name == "body"


def test_branches_start_at_whitened_standardised_features_of_the_weights(bodies: Pair) -> None:
    learner = begun(plan(*bodies, clusters=3))
    model, store, ids = motet.load("body"), learner.clips.target[1], learner.clips.train
    assert learner.clips.target[0] is store  # one form, kept once
    clips = whole_clips(store, ids, 48)
    x = torch.cat(model.features(clips), dim=1).double()
    wanted = (x - x.mean(dim=0)) / x.std(dim=0, correction=0) * NORM / x.shape[1] ** 0.5
    for branch in learner.discovery.pair:
        for part in (branch.student, branch.teacher):
            made = part["encoder"].eval()(clips).detach().double()
            assert float((made - wanted).abs().max()) < 2e-3
    assert float(wanted.square().sum(dim=1).mean().sqrt()) == pytest.approx(NORM)


def test_a_run_from_weights_is_stored_resumed_and_labels_other_layouts(bodies: Pair, tmp_path: Path) -> None:
    out, options = tmp_path / "run", {"clusters": 3, "finetune_epochs": 2, "checkpoint_every": 1}
    result = motet.discover.run(*bodies, out, progress=False, **options)
    assert result["settings"]["streams"] == ["joint", "motion", "bone"]
    found = motet.discover.load(out)
    table = found.label(bodies[1])
    stored = (out / "clusters.csv").read_text().splitlines()
    assert len(stored) == 13
    assert [line.split(",")[2] for line in stored[1:]] == [str(k) for k in table["B0"]]
    assert found.transform(bodies[0]).shape == (12, 2 * 1440)
    alone = found.streaming()
    store = alone.store(bodies[1])
    clips = whole_clips(store, store.ids, 48)
    own = found.discovery.pair[1].student["encoder"]
    with torch.no_grad():
        assert torch.allclose(torch.cat(alone.features(clips), dim=1), own(clips), atol=1e-5)
    # the last epoch again from the checkpoint before it
    weights = (out / "model.safetensors").read_bytes()
    newest = max((out / "checkpoints").iterdir(), key=lambda p: int(p.stem.split("-")[1]))
    newest.unlink()
    for name in ("model.safetensors", "result.json"):
        (out / name).unlink()
    again = resume(out, progress=False)
    assert again["rows"] == result["rows"]
    assert (out / "model.safetensors").read_bytes() == weights


def worn(path: Path, units: str, factors: tuple[float, float], fps: float) -> MotionArchive:
    """Twelve clips of a device with its own units and rate."""
    generator = np.random.default_rng(0)
    scales = np.array(factors)[:, None]
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=fps, units=units, class_names=["a", "b", "c"]) as out:
        for i in range(12):
            time = np.arange(round(2 * fps) + i)[:, None, None] / fps
            clip = np.sin((2 + i % 3) * time + generator.uniform(size=(2, 3))) * 3 + np.array([[0, 0, 9.8], [0, 0, 0]])
            out.add((clip * scales)[:, None].astype(np.float32), name=f"{i}", label=i % 3)
    return MotionArchive.open(path)


def test_sensors_of_any_device_start_from_wrist(tmp_path: Path) -> None:
    source = worn(tmp_path / "a", "m/s^2, rad/s", (1, 1), 30.0)
    target = worn(tmp_path / "b", "g, deg/s", (1 / 9.80665, 180 / np.pi), 60.0)
    options = {"start": "wrist", "clusters": 3, "target_split": "all", "source_split": "all", "finetune_epochs": 1}
    result = motet.discover.run(source, target, tmp_path / "run", progress=False, **options)
    assert result["settings"]["name"] == "body"  # a few steps refine the features of a start
    learner, model = begun(plan(source, target, **options)), motet.load("wrist")
    for store, archive in ((learner.clips.source, source), (learner.clips.target[1], target)):
        wanted = model.store(archive)
        assert torch.equal(store.lengths, wanted.lengths)
        assert torch.allclose(store.data, wanted.data, atol=1e-5)
    assert motet.discover.load(tmp_path / "run").transform(target).shape[0] == 12


STARTS = {
    "stgcn": {"width": 2, "feature_size": 6},
    "gru": {"hidden": 3, "layers": 2},
    "tcn": {"width": 5, "layers": 2, "kernel": 3},
    "transformer": {"width": 8, "layers": 2, "heads": 2, "patch": 2},
}


@pytest.mark.parametrize("encoder", STARTS)
def test_a_run_of_any_encoder_and_size_is_a_start(encoder: str, small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("moco", small_archive, tmp_path / "run", epochs=1, encoder=encoder, **STARTS[encoder])
    learner = begun(plan(write_clips(tmp_path / "source", seed=4), small_archive, start=str(run.path), clusters=3))
    own, trained = learner.discovery.pair[1].student["encoder"], run.model().encoders[0].state_dict()
    found = own.state_dict()
    assert all(any(torch.equal(x, y) for y in found.values() if y.shape == x.shape) for x in trained.values())


def test_a_start_that_discovery_cannot_run(small_archive: MotionArchive, tmp_path: Path) -> None:
    for encoder, option, value in (("gru", "mode", "bidirectional"), ("tcn", "causal", True)):
        more = {"encoder": encoder, option: value, "epochs": 0}
        run = tiny("moco", small_archive, tmp_path / encoder, **more)
        with pytest.raises(ConfigError, match=rf"has encoders with --{option} {value}; discover runs those with"):
            plan(write_clips(tmp_path / f"to {encoder}", seed=4), small_archive, start=str(run.path))


@pytest.mark.parametrize("encoder", ["tcn", "transformer"])
def test_other_encoders(encoder: str, small_archive: MotionArchive, tmp_path: Path) -> None:
    other = write_clips(tmp_path / "other", seed=4)
    options = {
        "epochs": 1,
        "finetune_epochs": 1,
        "batch_size": 8,
        "hidden": 8,
        "layers": 1,
        "streams": ("joint", "motion"),
    }
    found = motet.discover.run(
        small_archive, other, tmp_path / "run", clusters=4, encoder=encoder, progress=False, **options
    )
    assert [row["by"] for row in found["rows"]].count("classifier") == 2
    model = motet.discover.load(tmp_path / "run")
    made = model.discovery.pair[0].student["encoder"]
    assert isinstance(made, StreamEncoder)
    assert model.transform(other).shape == (48, 2 * made.feature_size)
    before = SETTINGS["small"].with_options({"encoder": encoder, **options})
    assert before.hidden == 8


@pytest.mark.parametrize("method", METHODS)
def test_a_forecast_changes_nothing(method: str, bodies: Pair) -> None:
    options = {"encoder": "gru", "hidden": 4, "layers": 1, "epochs": 1, "frames": 8, "batch_size": 4}
    learner = begun(plan(*bodies, clusters=3, method=method, **options))
    before = {k: v.clone() for k, v in learner.discovery.state_dict().items()}
    chance = torch.get_rng_state()
    said = forecast(learner)
    assert said.startswith("about 0:")
    assert learner.fine is False
    assert torch.equal(chance, torch.get_rng_state())
    after = learner.discovery.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_twenty_thousand_clips_fit_into_four_gigabytes(bodies: Pair) -> None:
    learner = begun(plan(*bodies, clusters=3))
    parameters = sum(p.numel() for b in learner.discovery.pair for p in b.student.parameters())
    need = memory(
        clips=20_000,
        kept=2 * 20_000 * 120 * 15 * 3 * 4,  # source and target, 120 frames a clip
        features=sum(b.features for b in learner.discovery.pair),
        clusters=60,
        parameters=parameters,
        batch=6 * 64 * 48 * 45,
    )
    assert 1e9 < need < 4e9
