from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from motet.core.errors import ConfigError, DataError, Interrupted, MotetWarning, RunError
from motet.methods import distillation as distill
from motet.methods.distillation import FeatureTable
from motet.methods.distillation.methods import METHODS
from motet.methods.distillation.networks import Inputs
from motet.methods.distillation.optimise import ReplicaOptimiser
from motet.methods.distillation.replicas import Feeder, Replicas, batches
from motet.methods.distillation.run import Plan, _warn_of_collapse, learner_of
from motet.methods.distillation.settings import RECIPES, settings_for, settings_from_dict
from motet.methods.distillation.train import Distillation
from tests.methods.distillation.toys import fitted, loop_of, stopped_at, write_table

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


def in_double(path: Path, settings: Any, replicas: Replicas | None = None, **changes: Any) -> Distillation:
    """All replicas in one pass, or some, in double precision; always with the batch size of all."""
    table = FeatureTable.open(path)
    single = learner_of(table, plan(**changes), settings)
    feeder = Feeder(table, single.shape, replicas or single.folded, torch.device("cpu"), torch.float64)
    given: dict[str, Any] = {"batch_size": single.batch_size, "dtype": torch.float64}
    return Distillation(settings, single.shape, feeder, replicas or single.folded, **given)


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
    settings = tiny(method, epochs=2, dropout=0.2, sequence_hidden=4, sequence_frames=3)
    given: dict[str, Any] = {"seeds": (1, 5), "auxiliary": ("ear", "walk")}
    together = in_double(path, settings, **given)
    lines = fitted(together).lines
    all_of = together.folded
    assert len(set((all_of.train_counts // together.batch_size).tolist())) > 1
    for replica in (0, 5):  # other seeds, and folds of other sizes
        only = Replicas((all_of.replica_folds[replica],), (all_of.replica_seeds[replica],))
        single = in_double(path, settings, only, **given)
        last, one = lines[-1], fitted(single).lines[-1]
        parameters = zip(together.named_parameters(), single.named_parameters(), strict=True)
        for (name, a), (_, b) in parameters:
            assert torch.allclose(a[replica], b[0], rtol=1e-8, atol=1e-10), (replica, name)
        for name, values in last["terms"].items():
            assert values[replica] == pytest.approx(one["terms"][name][0], abs=2e-6)
        assert last["curve"]["student"][replica] == one["curve"]["student"][0]


def test_a_replica_that_has_had_its_epoch_sits_out() -> None:
    orders = torch.arange(10).repeat(2, 1)
    taken = list(batches(orders, torch.tensor([10, 7]), 3))
    assert [active for _, active in taken] == [[True, True], [True, True], [True, False]]
    assert taken[2][0].tolist() == [[6, 7, 8], [0, 1, 2]]


@pytest.mark.parametrize("method", ["amid", "crd", "kd", "ccl", "fitnets"])
def test_a_run_stopped_inside_an_epoch_continues_bit_for_bit(tmp_path: Path, method: str) -> None:
    """After the step that was under way; in the first stage, and in the last."""
    path = write_table(tmp_path / "t.npz", available_ear=np.arange(120) % 7 > 0)
    settings = tiny(method, epochs=3)
    given: dict[str, Any] = {"settings": settings, "seeds": (0, 1), "progress": False, "diagnose": False}
    whole, out = distill.run(path, "eye", "ear", tmp_path / "whole", **given), tmp_path / "parts"
    steps = 60 // 16
    with stopped_at(steps + 2), pytest.raises(Interrupted, match="after step 2 of 3; continue with") as error:
        distill.run(path, "eye", "ear", out, **given)
    assert error.value.status == 143
    with stopped_at(steps), pytest.raises(Interrupted, match="after step 2 of 3"):
        distill.resume(out, progress=False)
    again = distill.resume(out, progress=False)
    assert again["replicas"] == whole["replicas"]
    assert again["curves"] == whole["curves"]
    assert (out / "student.safetensors").read_bytes() == (tmp_path / "whole" / "student.safetensors").read_bytes()
    assert distill.resume(out, progress=False) == again  # it has finished


def test_another_table_is_not_continued_on(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz")
    given: dict[str, Any] = {"settings": tiny("alone"), "progress": False, "diagnose": False}
    with stopped_at(1), pytest.raises(Interrupted):
        distill.run(path, "eye", "ear", tmp_path / "out", **given)
    label = np.arange(120) % 3
    label[5] = 0
    write_table(path, label=label)
    with pytest.raises(RunError, match=r"is not the table that .* was trained on any more \(labels changed\)"):
        distill.resume(tmp_path / "out", progress=False)
    with np.load(write_table(path)) as made:
        eye = made["eye"].copy()
    eye[3, 1] += 1e-3
    write_table(path, eye=eye)
    with pytest.raises(RunError, match=r"any more \(eye changed\)"):
        distill.resume(tmp_path / "out", progress=False)
    write_table(path)
    assert distill.resume(tmp_path / "out", progress=False)["replicas"]


def test_a_checkpoint_holds_the_dynamic_weights_and_the_critics(tmp_path: Path) -> None:
    table = uneven(tmp_path)
    first, second = (loop_of(learner_of(table, plan(), tiny("amid"))) for _ in range(2))
    first.fit(None)
    second.restore(first.state() | {"version": 2})
    method, other = (trainer.learner.main.method for trainer in (first, second))  # type: ignore[union-attr]
    assert not torch.equal(method.raw, torch.tensor([[0.0, 1.0]] * 3, dtype=torch.float64))
    assert torch.equal(method.raw, other.raw)
    for name in ("fundamental", "enhanced"):
        state = other.optimisers[name].state_dict()["optimiser"]["state"]
        for key, value in method.optimisers[name].state_dict()["optimiser"]["state"].items():
            assert torch.equal(value["exp_avg"], state[key]["exp_avg"])


@pytest.mark.parametrize("method", list(METHODS))
def test_half_precision_trains_every_method(tmp_path: Path, method: str) -> None:
    path = write_table(tmp_path / "t.npz")
    settings = tiny(method, precision="bf16", epochs=2)
    found = distill.run(path, "eye", "ear", settings=settings, progress=False, diagnose=False)
    assert all(np.isfinite(v).all() for line in found["curves"] for v in line["terms"].values())


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


def test_batches_of_rows_of_a_class(tmp_path: Path) -> None:
    table = uneven(tmp_path)
    replicas = learner_of(table, plan(seeds=(0, 1)), tiny("alone")).folded
    labels = torch.as_tensor(table.labels)
    orders = replicas.orders(0, labels, 4)
    for replica in range(len(replicas)):
        count = int(replicas.train_counts[replica])
        order = orders[replica, :count]
        assert sorted(order.tolist()) == list(range(count))
        classes = labels[replicas.train[replica, order]]
        changes = int((classes[1:] != classes[:-1]).sum())
        assert changes <= count / 4 + 3
    assert not torch.equal(orders[0], orders[1])


def test_frozen_auxiliary_extractors_are_learned_first_and_then_stay(tmp_path: Path) -> None:
    learner = learner_of(uneven(tmp_path), plan(), tiny("amid", auxiliary_extractor="frozen"))
    assert [s.name for s in learner.stages] == ["auxiliary", "main"]
    fitted(learner)
    source = learner.phases[0].networks.student.extractors.state_dict()
    auxiliary = learner.main.networks.auxiliary
    assert auxiliary is not None
    for name, value in auxiliary.extractors.state_dict().items():
        assert torch.equal(value, source[name])


@pytest.mark.parametrize(("method", "options"), [("kd", {}), ("amid", {"auxiliary_extractor": "frozen"})])
def test_what_is_frozen_sees_every_feature(tmp_path: Path, method: str, options: dict[str, Any]) -> None:
    """Dropout is for networks that learn."""
    learner = learner_of(uneven(tmp_path), plan(), tiny(method, dropout=0.5, **options))
    seen: dict[str, torch.Tensor] = {}
    frozen = (learner.phases[0] if method == "kd" else learner.main).networks.auxiliary
    assert frozen is not None
    frozen.extractors["ear"].register_forward_pre_hook(lambda _, given: seen.update(ear=given[0]))
    trainer = loop_of(learner)
    trainer._enter(1)
    learner.enter_epoch(trainer.at)
    batch = learner.batch(trainer.at)
    trainer.one_step()
    rows = learner.train_rows.gather(1, batch.index)
    assert torch.equal(seen["ear"], learner.feeder.inputs(rows).values["ear"])


def test_a_fixed_teacher_is_not_moved_by_the_student(tmp_path: Path) -> None:
    learner = learner_of(uneven(tmp_path), plan(), tiny("amid", fixed_teacher=True))
    before: dict[str, torch.Tensor] = {}
    teacher = learner.phases[0].networks

    def keep(stage: Any, run: Any) -> None:
        if stage.name == "teacher":
            before.update({name: value.clone() for name, value in teacher.state_dict().items()})

    learner.end_stage = keep  # type: ignore[method-assign]
    lines = fitted(learner).lines
    assert before
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])
    assert learner.main.networks.fuse is None
    assert "teacher" not in lines[-1]["terms"]


def test_rows_without_the_auxiliary_still_teach_the_student(tmp_path: Path) -> None:
    """With the ear absent from half of the rows the teacher's terms are those of the other half."""
    path = write_table(tmp_path / "t.npz", available_ear=np.arange(120) % 2 == 0)
    learner = learner_of(FeatureTable.open(path), plan(), tiny("amid", warm_up=0, epochs=1))
    seen: dict[str, Any] = {}
    method: Any = learner.main.method
    plain = method.terms

    def spied(outputs: Any, batch: Any) -> Any:
        seen["outputs"], seen["batch"] = outputs, batch
        return plain(outputs, batch)

    method.terms = spied
    fitted(learner)
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


def test_a_loss_that_is_not_finite_names_term_step_and_rows_and_moves_nothing(tmp_path: Path) -> None:
    learner = learner_of(uneven(tmp_path), plan(seeds=(4,)), tiny("alone"))
    weight = learner.main.networks.classifier.weight
    with torch.no_grad():
        weight[1] = torch.nan
    before = {name: value.clone() for name, value in learner.state_dict().items() if isinstance(value, torch.Tensor)}
    wanted = r"the loss is not finite \(student = nan in fold 1, seed 4\) in epoch 1, step 1. Rows of fold 0, seed 4: "
    with pytest.raises(RunError, match=wanted):
        fitted(learner)
    for name, value in learner.state_dict().items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value.nan_to_num(7), before[name].nan_to_num(7))


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
    learner = learner_of(FeatureTable.open(path), plan(seeds=(4,)), tiny("amid"))
    lines = [{"terms": {"cosine_others": [0.2, 0.999]}}]
    with pytest.warns(MotetWarning, match=r"nearly one representation .* 0.999 in fold 1, seed 4; 1 of 2 trainings"):
        _warn_of_collapse(learner, lines)


def test_bad_calls(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz")
    quick: dict[str, Any] = {"progress": False, "diagnose": False, **TINY}
    for error, said, call in (
        (ConfigError, "no method 'magic'", {"method": "magic"}),
        (ConfigError, "no settings", {"settings": "magic"}),
        (ConfigError, "has no option 'temprature'; did you mean temperature", {"temprature": 1}),
        (ConfigError, "it must be a whole number", {"epochs": "many"}),
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
    with pytest.raises(RunError, match="is not a run directory"):
        distill.resume(tmp_path)
    with pytest.raises(RunError, match="is not a student"):
        distill.load(tmp_path)


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("method", list(METHODS))
def test_settings_survive_json(recipe: str, method: str) -> None:
    settings = settings_for(method, recipe)
    stored = json.loads(json.dumps(settings.to_dict()))
    assert settings_from_dict(stored) == settings
    for loop in ("x", 3, ["x"]):
        with pytest.raises(ConfigError, match="stored settings cannot be read"):
            settings_from_dict(stored | {"loop": loop})


def test_published_settings() -> None:
    ucf = settings_for("amid", "ucf51")
    method: Any = ucf.method
    assert (method.contrast_student, method.contrast_auxiliary, method.adversarial) == (4.0, 1.6, 1.0)
    assert (method.temperature, method.warm_up, method.beta) == (0.5, 20, 0.9)
    assert [ucf.training.factor(e) for e in (0, 224, 225, 325, 400)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])
    cosine = settings_for("amid").with_options({"epochs": 4}).training
    assert [cosine.factor(e) for e in range(4)] == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
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
        learner = learner_of(table, Plan(("x",), ("eye",), (), split="all"), settings)
        seen = learner.feeder.inputs(torch.arange(120)[None]).values["eye"][0].numpy()
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
    with pytest.raises(DataError, match=r"only 0 rows with eye, ear and a class with at least 5 .* takes 20 rows of 2"):
        distill.diagnose(table, "eye", "ear")
