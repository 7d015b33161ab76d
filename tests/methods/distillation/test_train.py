from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from motet.core.errors import ConfigError, DataError, Interrupted, MotetWarning, RunError
from motet.core.progress import TrainingProgress
from motet.methods import distillation as distill
from motet.methods.distillation import FeatureTable
from motet.methods.distillation.methods import METHODS
from motet.methods.distillation.networks import Inputs
from motet.methods.distillation.optimise import ReplicaOptimiser
from motet.methods.distillation.replicas import Replicas, batches
from motet.methods.distillation.run import Plan, _warn_of_collapse, trainer_of
from motet.methods.distillation.settings import RECIPES, settings_for, settings_from_dict
from motet.methods.distillation.train import Trainer
from tests.methods.distillation.toys import write_table

TINY: dict[str, Any] = {"epochs": 3, "batch_size": 16, "features": 8, "hidden": (8,), "fuse_hidden": 8}
CONTRASTS = {"crd": {"negatives": 8, "projection": 4}, "crcd": {"negatives": 4, "projection": 4}}
METHOD_OPTIONS: dict[str, dict[str, Any]] = {"amid": {"warm_up": 1}, "nce": {"warm_up": 1}, **CONTRASTS}


def tiny(method: str, **options: Any) -> Any:
    return settings_for(method).with_options(TINY | METHOD_OPTIONS.get(method, {}) | options)


def uneven(tmp_path: Path, **columns: Any) -> FeatureTable:
    """Folds of different sizes: epochs of different lengths."""
    fold = np.minimum(np.arange(120) // 3 % 4, 2)
    return FeatureTable.open(write_table(tmp_path / "t.npz", fold=fold, **columns))


def plan(**changes: Any) -> Plan:
    return Plan(**({"tables": ("t",), "target": ("eye",), "auxiliary": ("ear",)} | changes))


def trained(trainer: Trainer) -> Trainer:
    trainer.run(None, TrainingProgress(1, 1, 0, show=False))
    return trainer


def alone(trainer: Trainer, replica: int) -> Trainer:
    """A trainer of one replica of another, with its batch size."""
    replicas = trainer.replicas
    single = Replicas((replicas.replica_folds[replica],), (replicas.replica_seeds[replica],))
    from motet.methods.distillation.replicas import Feeder

    table = FeatureTable.open(TABLES[trainer])
    feeder = Feeder(table, trainer.shape, single, torch.device("cpu"), trainer.dtype)
    return Trainer(trainer.settings, trainer.shape, feeder, single, batch_size=trainer.batch_size, dtype=trainer.dtype)


TABLES: dict[Trainer, Path] = {}


def batched(path: Path, settings: Any, **changes: Any) -> Trainer:
    """All replicas in one pass, in double precision."""
    table = FeatureTable.open(path)
    single, shape = trainer_of(table, plan(**changes), settings)
    from motet.methods.distillation.replicas import Feeder

    feeder = Feeder(table, shape, single.replicas, torch.device("cpu"), torch.float64)
    trainer = Trainer(settings, shape, feeder, single.replicas, dtype=torch.float64)
    TABLES[trainer] = path
    return trainer


@pytest.mark.parametrize("method", list(METHODS))
def test_all_replicas_at_once_equal_one_by_one(tmp_path: Path, method: str) -> None:
    """Folds of three sizes, two seeds, rows that lack the ear, sequences, dropout: nothing of a replica leaks."""
    random = np.random.default_rng(3)
    walk = random.normal(size=(120, 6, 2))
    path = write_table(
        tmp_path / "t.npz",
        fold=np.minimum(np.arange(120) // 3 % 4, 2),
        available_ear=random.uniform(size=120) > 0.2,
        walk=walk,
        length_walk=random.integers(1, 7, 120),
    )
    settings = tiny(method, dropout=0.2, sequence_hidden=4, sequence_frames=3)
    together = trained(batched(path, settings, seeds=(1, 5), auxiliary=("ear", "walk")))
    assert len(set((together.replicas.train_counts // together.batch_size).tolist())) > 1
    for replica in (0, 3, 5):
        single = trained(alone(together, replica))
        for ours, theirs in zip(together.stages, single.stages, strict=True):
            for (name, a), (_, b) in zip(
                ours.modules().named_parameters(), theirs.modules().named_parameters(), strict=True
            ):
                assert torch.allclose(a[replica], b[0], rtol=1e-8, atol=1e-10), (replica, ours.name, name)
        last, one = together.history[-1], single.history[-1]
        for name, values in last["terms"].items():
            assert values[replica] == pytest.approx(one["terms"][name][0], abs=2e-6)
        assert last["curve"]["student"][replica] == one["curve"]["student"][0]


def test_a_replica_that_has_had_its_epoch_sits_out() -> None:
    orders = torch.arange(10).repeat(2, 1)
    taken = list(batches(orders, torch.tensor([10, 7]), 3))
    assert [active for _, active in taken] == [[True, True], [True, True], [True, False]]
    assert taken[2][0].tolist() == [[6, 7, 8], [0, 1, 2]]


@pytest.mark.parametrize("method", ["amid", "crd", "kd", "ccl"])
def test_a_resumed_run_is_bit_identical(tmp_path: Path, method: str) -> None:
    path = write_table(tmp_path / "t.npz")
    settings = tiny(method, epochs=4, checkpoint_every=1)
    given: dict[str, Any] = {"settings": settings, "seeds": (0, 1), "progress": False, "diagnose": False}
    whole = distill.run(path, "eye", "ear", tmp_path / "whole", **given)
    table, out = FeatureTable.open(path), tmp_path / "parts"
    distill.run(path, "eye", "ear", out, **given)
    # go back to the checkpoint of an earlier moment, as a killed process would find it
    for name in ("result.json", "result.md", "student.safetensors"):
        (out / name).unlink()
    for file in (out / "checkpoints").iterdir():
        file.unlink()
    first, _ = trainer_of(table, plan(seeds=(0, 1)), settings)
    show = TrainingProgress(1, 1, 0, show=False)
    for _ in range(2):
        first._one_epoch(show)
    first.save(out)
    again = distill.resume(out, progress=False)
    assert again["replicas"] == whole["replicas"]
    assert again["curves"] == whole["curves"]
    assert (out / "student.safetensors").read_bytes() == (tmp_path / "whole" / "student.safetensors").read_bytes()


def test_a_checkpoint_holds_the_dynamic_weights_and_the_critics(tmp_path: Path) -> None:
    table = uneven(tmp_path)
    first, _ = trainer_of(table, plan(), tiny("amid"))
    trained(first).save(_folder(tmp_path))
    second, _ = trainer_of(table, plan(), tiny("amid"))
    second.restore(tmp_path / "out")
    method: Any = first.main.method
    other: Any = second.main.method
    assert not torch.equal(method.raw, torch.tensor([[0.0, 1.0]] * 3, dtype=torch.float64))
    assert torch.equal(method.raw, other.raw)
    for name in ("fundamental", "enhanced"):
        state = other.optimisers[name].state_dict()["optimiser"]["state"]
        for key, value in method.optimisers[name].state_dict()["optimiser"]["state"].items():
            assert torch.equal(value["exp_avg"], state[key]["exp_avg"])


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    path = write_table(tmp_path / "t.npz")
    epoch = Trainer._one_epoch

    def interrupted(self: Trainer, show: TrainingProgress) -> None:
        epoch(self, show)
        if self.epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    given: dict[str, Any] = {"settings": tiny("alone"), "progress": False, "diagnose": False}
    monkeypatch.setattr(Trainer, "_one_epoch", interrupted)
    with pytest.raises(Interrupted, match="--resume") as error:
        distill.run(path, "eye", "ear", tmp_path / "out", **given)
    assert error.value.status == 143
    monkeypatch.undo()
    again = distill.resume(tmp_path / "out", progress=False)
    assert again["replicas"] == distill.run(path, "eye", "ear", **given)["replicas"]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_an_optimiser_of_replicas_is_one_of_each(kind: str) -> None:
    """Whoever sits out whatever step, every replica moves as under an optimiser of its own, also after a reload."""

    def make(parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        if kind == "sgd":
            return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)
        return torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1, fused=True)

    torch.manual_seed(0)
    start = torch.randn(4, 3, 2, dtype=torch.float64)
    parameter = torch.nn.Parameter(start.clone())
    together = ReplicaOptimiser([parameter], make)
    alone = [torch.nn.Parameter(replica.clone()) for replica in start]
    optimisers = [make([p]) for p in alone]
    for number, active in enumerate(
        ([1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1])
    ):
        gradient = torch.randn_like(start)
        parameter.grad = gradient.clone()
        together.set_rate(0.1 / (number + 1))
        together.step([bool(a) for a in active])
        for replica, moves in enumerate(active):
            optimisers[replica].param_groups[0]["lr"] = 0.1 / (number + 1)
            alone[replica].grad = gradient[replica].clone() if moves else None
            optimisers[replica].step()
        if number == 3:
            fresh = ReplicaOptimiser([parameter], make)
            fresh.load_state_dict(together.state_dict())
            together = fresh
        for replica in range(4):
            assert torch.allclose(parameter[replica], alone[replica], rtol=1e-12, atol=0)
    assert together.runs == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_batches_of_class_mates(tmp_path: Path) -> None:
    table = uneven(tmp_path)
    trainer, _ = trainer_of(table, plan(seeds=(0, 1)), tiny("alone"))
    labels = torch.as_tensor(table.labels)
    orders = trainer.replicas.orders(0, labels, 4)
    for replica in range(len(trainer.replicas)):
        count = int(trainer.replicas.train_counts[replica])
        order = orders[replica, :count]
        assert sorted(order.tolist()) == list(range(count))
        classes = labels[trainer.replicas.train[replica, order]]
        changes = int((classes[1:] != classes[:-1]).sum())
        assert changes <= count / 4 + 3
    assert not torch.equal(orders[0], orders[1])


def test_frozen_auxiliary_extractors_are_learned_first_and_then_stay(tmp_path: Path) -> None:
    table = uneven(tmp_path)
    trainer, _ = trainer_of(table, plan(), tiny("amid", auxiliary_extractor="frozen"))
    assert [s.name for s in trainer.stages] == ["auxiliary", "main"]
    trained(trainer)
    source = trainer.stages[0].networks.student.extractors.state_dict()
    auxiliary = trainer.main.networks.auxiliary
    assert auxiliary is not None
    for name, value in auxiliary.extractors.state_dict().items():
        assert torch.equal(value, source[name])


@pytest.mark.parametrize(("method", "options"), [("kd", {}), ("amid", {"auxiliary_extractor": "frozen"})])
def test_what_is_frozen_sees_every_feature(tmp_path: Path, method: str, options: dict[str, Any]) -> None:
    """Dropout is for networks that learn."""
    table = uneven(tmp_path)
    trainer, _ = trainer_of(table, plan(), tiny(method, dropout=0.5, **options))
    seen: dict[str, torch.Tensor] = {}
    frozen = (trainer.stages[0] if method == "kd" else trainer.main).networks.auxiliary
    assert frozen is not None
    frozen.extractors["ear"].register_forward_pre_hook(lambda _, given: seen.update(ear=given[0]))
    place = torch.arange(16).expand(3, 16)
    trainer.stage = 1
    trainer.optimiser = trainer._optimiser()
    trainer.step(trainer.main, place, [True] * 3)
    rows = trainer.train_rows.gather(1, place)
    assert torch.equal(seen["ear"], trainer.feeder.inputs(rows).values["ear"])


def test_a_fixed_teacher_is_not_moved_by_the_student(tmp_path: Path) -> None:
    table = uneven(tmp_path)
    settings = tiny("amid", fixed_teacher=True)
    trainer, _ = trainer_of(table, plan(), settings)
    show = TrainingProgress(1, 1, 0, show=False)
    while trainer.stage == 0 and trainer.epoch < settings.training.epochs:
        trainer._one_epoch(show)
    before = {name: value.clone() for name, value in trainer.stages[0].networks.state_dict().items()}
    trained(trainer)
    for name, value in trainer.stages[0].networks.state_dict().items():
        assert torch.equal(value, before[name])
    assert trainer.main.networks.fuse is None
    assert "teacher" not in trainer.history[-1]["terms"]


def test_rows_without_the_auxiliary_still_teach_the_student(tmp_path: Path) -> None:
    """With the ear absent from half of the rows the teacher's terms are those of the other half."""
    path = write_table(tmp_path / "t.npz", available_ear=np.arange(120) % 2 == 0)
    table = FeatureTable.open(path)
    trainer, _ = trainer_of(table, plan(), tiny("amid", warm_up=0))
    here = trainer.main
    seen: dict[str, Any] = {}
    method: Any = here.method
    plain = method.terms

    def spied(outputs: Any, batch: Any) -> Any:
        seen["outputs"], seen["batch"] = outputs, batch
        return plain(outputs, batch)

    method.terms = spied
    trainer._one_epoch(TrainingProgress(1, 1, 0, show=False))
    rows = seen["batch"].rows
    assert 0 < rows.sum() < rows.numel()
    from motet import losses

    replica, mask = 0, rows[0]
    m, s = seen["outputs"].teacher[replica, mask], seen["outputs"].student[replica, mask]
    found = plain(seen["outputs"], seen["batch"])
    wanted = losses.class_contrast(m, s, seen["batch"].labels[replica, mask])
    assert found["contrast_student"][replica].item() == pytest.approx(wanted.item(), rel=1e-4)
    error = torch.nn.functional.cross_entropy(seen["outputs"].student_logits[replica], seen["batch"].labels[replica])
    assert found["student"][replica].item() == pytest.approx(error.item(), rel=1e-5)


def test_a_term_that_is_not_finite_names_itself(tmp_path: Path) -> None:
    table = uneven(tmp_path)
    trainer, _ = trainer_of(table, plan(seeds=(4,)), tiny("alone"))
    with torch.no_grad():
        trainer.main.networks.classifier.weight[1] = torch.nan
    with pytest.raises(RunError, match=r"term student is not finite in epoch 1 \(fold 1, seed 4\)"):
        trainer._one_epoch(TrainingProgress(1, 1, 0, show=False))


# ---------------------------------------------------------------------------- the public function


def test_the_ear_helps_the_eye_to_a_result_on_disk(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz", rows=240)
    found = distill.run(path, "eye", "ear", tmp_path / "out", seeds=(0, 1), progress=False, warm_up=1, **TINY)
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == json.loads(json.dumps(found))
    assert {"student", "teacher", "recalls"} <= set(found["summary"])
    replica = found["replicas"][0]
    assert np.sum(replica["student"]["confusion"]) == replica["test"]
    assert replica["student"]["accuracy"] == np.trace(replica["student"]["confusion"]) / replica["test"]
    assert len(found["replicas"]) == 4
    mean = np.mean([one["student"]["accuracy"] for one in found["replicas"] if one["seed"] == 1])
    assert found["summary"]["student"]["accuracy"]["values"][1] == pytest.approx(mean)
    assert found["curves"][-1]["curve"]["student"] == [one["student"]["accuracy"] for one in found["replicas"]]
    assert found["forecast"]["forecast"] in ("unlikely", "possible", "likely")

    student = distill.load(tmp_path / "out", fold="fold 1", seed=1)
    table = FeatureTable.open(path)
    assert table.fold is not None
    tested = np.flatnonzero(table.fold == 1)
    answers = student.predict({"eye": table.modalities["eye"].values[tested]})
    assert answers.sum(axis=1) == pytest.approx(np.ones(len(tested)), abs=1e-5)
    own = next(one for one in found["replicas"] if one["fold"] == "fold 1" and one["seed"] == 1)
    assert np.mean(answers.argmax(axis=1) == table.labels[tested]) == own["student"]["accuracy"]
    assert student.features({"eye": table.modalities["eye"].values[tested]}).shape == (len(tested), 8)
    with pytest.raises(DataError, match="needs the modality eye"):
        student.predict({"ear": np.zeros((2, 5))})
    with pytest.raises(DataError, match=r"takes \(N, 6\)"):
        student.predict({"eye": np.zeros((2, 5))})
    with pytest.raises(DataError, match="row 1"):
        student.predict({"eye": np.array([[0.0] * 6, [np.nan] * 6])})
    with pytest.raises(ConfigError, match="no student of fold"):
        distill.load(tmp_path / "out", seed=9)


def test_a_student_of_sequences_in_use(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    walk, length = random.normal(size=(120, 6, 2)), random.integers(1, 7, 120)
    path = write_table(tmp_path / "t.npz", walk=walk, length_walk=length)
    found = distill.run(
        path, ["walk", "eye"], "ear", tmp_path / "out", split="all", progress=False, diagnose=False, warm_up=1, **TINY
    )
    assert found["replicas"] == []
    student = distill.load(tmp_path / "out")
    eye = FeatureTable.open(path).modalities["eye"].values
    padded = np.concatenate([walk, np.full((120, 3, 2), 7.0)], axis=1)
    first = student.predict({"walk": walk, "eye": eye}, {"walk": length})
    assert np.allclose(first, student.predict({"walk": padded, "eye": eye}, {"walk": length}), atol=1e-6)


def test_a_training_that_goes_wrong_is_told(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz")
    quick: dict[str, Any] = {"progress": False, "diagnose": False} | TINY
    with pytest.warns(MotetWarning, match="without a warm-up"):
        distill.run(path, "eye", "ear", warm_up=0, **quick)
    trainer, _ = trainer_of(FeatureTable.open(path), plan(seeds=(4,)), tiny("amid"))
    trainer.history = [{"terms": {"cosine_others": [0.2, 0.999]}}]
    with pytest.warns(MotetWarning, match=r"nearly one representation .* 0.999 in fold 1, seed 4; 1 of 2 trainings"):
        _warn_of_collapse(trainer)


def test_bad_calls(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz")
    quick: dict[str, Any] = {"progress": False, "diagnose": False, **TINY}
    for error, said, call in (
        (ConfigError, "no method 'magic'", {"method": "magic"}),
        (ConfigError, "no settings", {"settings": "magic"}),
        (ConfigError, "has no option 'temprature'; did you mean temperature", {"temprature": 1}),
        (ConfigError, "must be of type int", {"epochs": "many"}),
        (ConfigError, "epochs is 0", {"epochs": 0}),
        (ConfigError, "temperature is 0", {"temperature": 0}),
        (ConfigError, "seeds are", {"seeds": (1, 1)}),
        (ConfigError, "'crd'; it belongs to crd", {"crd": 1.0}),
        (ConfigError, "device is 'tpu'", {"device": "tpu"}),
        (ConfigError, "needs an auxiliary", {"auxiliary": ()}),
        (DataError, "no modality", {"target": "nose"}),
        (RunError, "exists already", {"out": tmp_path}),
    ):
        given = {"target": "eye", "auxiliary": "ear"} | quick | call
        with pytest.raises(error, match=said):
            distill.run(path, **given)
    with pytest.raises(RunError, match="not the directory of a distillation"):
        distill.resume(tmp_path)
    with pytest.raises(RunError, match="is not a student"):
        distill.load(tmp_path)


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("method", list(METHODS))
def test_settings_survive_json(recipe: str, method: str) -> None:
    settings = settings_for(method, recipe)
    assert settings_from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_published_settings() -> None:
    ucf = settings_for("amid", "ucf51")
    method: Any = ucf.method
    assert (method.contrast_student, method.contrast_auxiliary, method.adversarial) == (4.0, 1.6, 1.0)
    assert (method.temperature, method.warm_up, method.beta) == (0.5, 20, 0.9)
    assert [ucf.training.factor(e) for e in (0, 224, 225, 325, 400)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])
    assert (ucf.training.batch_size, ucf.networks.features) == (16, 512)
    iemocap = settings_for("amid", "iemocap")
    method = iemocap.method
    assert (method.temperature, method.warm_up) == (0.6, 5)
    assert (iemocap.training.batch_size, iemocap.networks.features) == (128, 768)
    assert not ucf.networks.standardise
    assert not iemocap.networks.standardise


def test_features_are_seen_as_they_are_unless_asked(tmp_path: Path) -> None:
    """Frozen features reach the networks untouched, in training and in use; with --standardise they do not."""
    path = write_table(tmp_path / "table.npz", eye=50 + 30 * np.random.default_rng(0).normal(size=(120, 6)))
    table = distill.FeatureTable.open(path)
    given: dict[str, Any] = {"progress": False, "diagnose": False, "epochs": 1, "split": "all", "method": "alone"}
    for standardise in (False, True):
        settings = settings_for("alone", "table").with_options({"standardise": standardise})
        trainer, _ = trainer_of(table, Plan(("x",), ("eye",), (), split="all"), settings)
        seen = trainer.feeder.inputs(torch.arange(120)[None]).values["eye"][0].numpy()
        raw = table.modalities["eye"].values
        assert np.array_equal(seen, raw) is not standardise
        assert (np.abs(seen.mean(axis=0)) < 1e-4).all() == standardise
        out = tmp_path / f"run-{standardise}"
        distill.run(path, "eye", (), out, standardise=standardise, **given)
        student = distill.load(out)
        x = torch.as_tensor(seen)[None]
        with torch.no_grad():
            wanted = student.network(Inputs({"eye": x}, {}))[0].numpy()
        assert np.allclose(student.features({"eye": raw}), wanted, atol=1e-5)


@pytest.mark.parametrize("recipe", ["ucf51", "activitynet", "iemocap"])
def test_settings_of_the_paper_run_on_a_table_of_features(tmp_path: Path, recipe: str) -> None:
    random = np.random.default_rng(0)
    sequences = {"walk": random.normal(size=(120, 5, 4)), "length_walk": random.integers(1, 6, 120)}
    path = write_table(tmp_path / "t.npz", **(sequences if recipe == "iemocap" else {}))
    target = "walk" if recipe == "iemocap" else "eye"
    # narrow only where the width says nothing about whether it runs
    small: dict[str, Any] = {"epochs": 2, "warm_up": 1, "batch_size": 16, "features": 16, "fuse_hidden": 16}
    small |= {"sequence_hidden": 8, "hidden": (16,)} if recipe == "iemocap" else {}
    found = distill.run(path, target, "ear", settings=recipe, progress=False, diagnose=False, **small)
    assert {"contrast_student", "critics", "lambda_enhanced"} <= set(found["curves"][-1]["terms"])
    assert found["settings"]["settings"] == recipe


# ---------------------------------------------------------------------------- will it help?


def test_the_estimate_tells_a_helpful_auxiliary_from_noise(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(240, 5))
    label = np.arange(240) % 3
    # the eye is blind to the third class but for chance
    eye = np.eye(2)[np.minimum(label, 1)] + random.normal(0, 0.5, (240, 2))
    ear = np.eye(3)[label] + random.normal(0, 0.5, (240, 3))
    table = FeatureTable.open(write_table(tmp_path / "t.npz", rows=240, eye=eye, ear=ear, noise=noise))
    helpful, useless = distill.diagnose(table, ["eye"], ["ear"]), distill.diagnose(table, ["eye"], ["noise"])
    assert helpful["information"]["mean"] > 3 * helpful["information"]["error"] > 0
    assert helpful["gap"] > 0.1
    assert useless["information"]["mean"] < 0.05
    assert useless["forecast"] == "unlikely"
    assert helpful["forecast"] != "unlikely"
    assert helpful["probes"]["target"] == helpful["probes"]["eye"]


def test_the_estimate_needs_rows(tmp_path: Path) -> None:
    few = np.arange(120) < 8
    table = FeatureTable.open(write_table(tmp_path / "t.npz", available_ear=few))
    with pytest.raises(DataError, match=r"only 0 rows have eye, ear and a class with at least 5 .* takes 20 rows of 2"):
        distill.diagnose(table, "eye", "ear")
