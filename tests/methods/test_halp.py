"""HaLP on the contrastive host: when it acts, on what, and what it leaves alone."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError, Interrupted, MotetWarning
from motet.data.archive import MotionArchive
from motet.engine.checkpoint import load_checkpoint
from motet.losses import hallucinate, hallucination_loss, in_batch_nce, info_nce
from motet.memory.kmeans import spherical_kmeans
from motet.methods import hallucination as module
from motet.methods import recipes
from motet.methods.cmd import CMD
from motet.methods.contrastive import Contrastive, ContrastiveStreams, StepOutput
from motet.methods.halp import HaLP, HaLPCMD, analysis
from motet.methods.moco import MoCo
from motet.methods.pretrain import resolve, resume
from tests.losses.test_hallucination import golden_step
from tests.methods.test_contrastive import Any3, clips, host
from tests.methods.test_pretrain import assert_same, stop_at, tiny

SMALL: dict[str, Any] = {"dim": 5, "queue_size": 12, "key_momentum": 0.9}
HALP: dict[str, Any] = {**SMALL, "prototypes": 4, "recent": 8, "positives": 6, "refresh": 2, "halp_start": 0}


def run(
    options: Contrastive, steps: int, streams: tuple[str, ...] = ("joint",)
) -> tuple[ContrastiveStreams, list[Any]]:
    model = host(options, streams)
    torch.manual_seed(1)
    return model, [model(clips(i), clips(i + 50), 0) for i in range(steps)]


def test_never_before_the_first_fit_and_then_every_step() -> None:
    model, losses = run(HaLP(**HALP), 5)
    values = [step["hallucination/joint"].item() for step in losses]
    assert values[:2] == [0.0, 0.0]  # eight keys of four clips each have come in after the second step
    assert all(v != 0 for v in values[2:])
    assert all(abs(v) <= 1 / 0.07 for v in values)
    assert model.prototypes is not None
    assert model.prototypes.fits == 2
    norms = model.prototypes.centres.norm(dim=2)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_one_term_is_the_algorithm_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prototypes of the recent keys before the step, the drawn positives, the filter, the global mean."""
    model, _ = run(HaLP(**HALP), 3)
    seen: list[Any] = []
    original = hallucinate

    def spy(anchor: Tensor, prototypes: Tensor, chosen: Tensor, shrink: Tensor, **options: float) -> Any:
        seen.append((anchor, prototypes.clone(), chosen, shrink))
        return original(anchor, prototypes, chosen, shrink, **options)

    monkeypatch.setattr(module, "hallucinate", spy)
    twin = copy.deepcopy(model)
    losses = model(clips(8), clips(9), 0)
    [(anchor, prototypes, chosen, shrink)] = seen
    query = twin._embed(twin.encoders, twin.heads, clips(8))["joint"]
    torch.testing.assert_close(prototypes, twin.prototypes.current()["joint"], rtol=0, atol=0)  # type: ignore[union-attr]
    torch.testing.assert_close(anchor, model.queue.recent(4)["joint"])
    assert (chosen != (anchor @ prototypes.T).argmax(1, keepdim=True)).all()
    assert shrink.min() >= 1e-3
    assert shrink.max() < 0.8
    points = hallucinate(anchor, prototypes, chosen, shrink).points()
    own, nearest = (points @ prototypes.T).argmax(2), (anchor @ prototypes.T).argmax(1, keepdim=True)
    want = hallucination_loss(query, points, own == nearest)
    torch.testing.assert_close(losses["hallucination/joint"], want)


def golden_output(*phases: float) -> tuple[tuple[str, ...], StepOutput, dict[str, Tensor]]:
    """Streams, what they produced, and the draws of a step whose losses the official code has printed."""
    streams = ("joint", "motion", "bone")[: len(phases)]
    steps = {s: golden_step(phase) for s, phase in zip(streams, phases, strict=True)}
    queries = {s: normalize(step["query"], dim=1) for s, step in steps.items()}
    keys, queues, prototypes = ({s: x[n] for s, x in steps.items()} for n in ("key", "queue", "prototypes"))
    return streams, StepOutput(queries, keys, queues, 0, 256, prototypes), steps["joint"]


def test_golden_step_from_terms_to_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, out, step = golden_output(0.0)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: step["picks"])
    monkeypatch.setattr(torch, "rand", lambda *_, **__: step["shrink"] / 0.8)
    terms = {t.name: t.loss(out) for t in HaLP(prototypes=5, positives=6).terms(streams, 450)}
    assert terms["contrast/joint"].item() == pytest.approx(0.120555, abs=2e-5)
    assert terms["hallucination/joint"].item() == pytest.approx(-11.875092, abs=2e-5)
    assert out.observed["hallucination/joint/retained"].item() == pytest.approx(20 / 24)
    torch.stack(list(terms.values())).sum().backward()
    assert step["query"].grad is not None
    assert step["query"].grad.norm().item() == pytest.approx(0.447554, abs=2e-5)


def test_golden_step_on_cmd(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, out, step = golden_output(0.0, 0.5, 1.0)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: step["picks"])
    monkeypatch.setattr(torch, "rand", lambda *_, **__: step["shrink"] / 0.8)
    method = HaLPCMD(prototypes=5, positives=6, queue_size=256, neighbours=16)
    terms = {t.name: t.weight_at(449) * t.loss(out) for t in method.terms(streams, 450)}
    assert terms["distillation"].item() == pytest.approx(1.536196, abs=2e-5)
    aligned = sum(terms[f"hallucination/{s}"].item() for s in streams)
    assert aligned == pytest.approx(-35.061195, abs=5e-5)
    assert sum(t.item() for t in terms.values()) == pytest.approx(-32.958623, abs=1e-4)


@pytest.mark.parametrize("options", [{"halp_weight": 0.0}, {"halp_start": 1}])
def test_without_it_the_host_is_the_baseline_to_the_last_bit(options: dict[str, Any]) -> None:
    base, plain = run(MoCo(**SMALL), 4)
    model, silent = run(HaLP(**{**HALP, **options}), 4)
    assert_same([dict(x) for x in plain], [dict(x) for x in silent])
    torch.stack(list(plain[-1].values())).sum().backward()
    torch.stack(list(silent[-1].values())).sum().backward()
    for a, b in zip(base.encoders.parameters(), model.encoders.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]
    assert torch.equal(base.queue.ring("joint"), model.queue.ring("joint"))


def test_on_cmd_every_stream_hallucinates_and_the_rest_stays() -> None:
    cmd, plain = run(CMD(**SMALL, neighbours=4), 3, Any3)
    model, both = run(HaLPCMD(**HALP, neighbours=4), 3, Any3)
    extra = {f"hallucination/{s}" for s in Any3}
    assert set(both[-1]) == set(plain[-1]) | extra
    for name in plain[-1]:
        assert torch.equal(plain[-1][name], both[-1][name])
    assert all(both[-1][name] != 0 for name in extra)
    assert len({both[-1][name].item() for name in extra}) == 3
    for s in Any3:
        assert torch.equal(cmd.queue.ring(s), model.queue.ring(s))


def test_positives_are_made_within_a_stream() -> None:
    """Changing one stream's prototypes changes that stream's term only."""
    model, _ = run(HaLPCMD(**HALP, neighbours=4), 3, Any3)
    other = copy.deepcopy(model)
    assert other.prototypes is not None
    other.prototypes.centres[1] = normalize(torch.randn(4, 5, dtype=torch.float64), dim=1)
    torch.manual_seed(5)
    one = model(clips(8), clips(9), 0)
    torch.manual_seed(5)
    two = other(clips(8), clips(9), 0)
    assert {n for n in one if not torch.equal(one[n], two[n])} == {"hallucination/motion"}


def test_gradient_reaches_the_query_side_only() -> None:
    model, _ = run(HaLP(**HALP), 3)
    model(clips(8), clips(9), 0)["hallucination/joint"].backward()
    for name, parameter in model.named_parameters():
        if name.startswith("key_"):
            assert parameter.grad is None
        else:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all()
    assert model.encoders[0].gru.weight_ih_l0.grad.abs().max() > 0  # type: ignore[union-attr]


def test_weight_start_and_ramp() -> None:
    model = host(HaLP(**{**HALP, "halp_start": 1, "halp_ramp": 2, "halp_weight": 3.0}), ("joint",), epochs=4)
    [term] = [t for t in model.terms if t.name.startswith("hallucination")]
    assert [term.weight_at(e) for e in range(4)] == [0.0, 1.5, 3.0, 3.0]
    assert HaLP().start(450) == 200
    assert HaLP(halp_start=7).start(450) == 7
    with pytest.warns(MotetWarning, match="so never"):
        host(HaLP(**{**HALP, "halp_start": 4}), ("joint",), epochs=4)


@pytest.mark.parametrize("options", [{"hardness": 0.0}, {"halt": 0.01}, {"filter": "none"}, {"filter": "variant-1"}])
def test_forms_of_the_ablations(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[tuple[Any, float]] = []
    original = hallucinate

    def spy(anchor: Tensor, prototypes: Tensor, chosen: Tensor, shrink: Any, *, margin: float = 0.0) -> Any:
        shares.append((shrink, margin))
        return original(anchor, prototypes, chosen, shrink, margin=margin)

    monkeypatch.setattr(module, "hallucinate", spy)
    model, losses = run(HaLP(**{**HALP, **options}), 4)
    assert losses[-1]["hallucination/joint"].isfinite()
    share = model.observed["hallucination/joint/retained"].item()
    if options == {"hardness": 0.0}:  # just short of the limit, where the filter is not a matter of rounding
        assert shares[-1][0].unique().tolist() == [pytest.approx(1e-3)]
    elif "halt" in options:
        assert shares[-1] == (0.0, 0.01)
    elif options["filter"] == "none":
        assert share == 1


def test_with_one_candidate_or_none() -> None:
    """Two prototypes leave one to walk to; a queue of one key leaves one prototype, and nothing to do."""
    _, losses = run(HaLP(**{**HALP, "prototypes": 2}), 4)
    assert losses[-1]["hallucination/joint"].item() != 0
    _, single = run(HaLP(**{**HALP, "queue_size": 1}), 4)
    assert single[-1]["hallucination/joint"].item() == 0


@pytest.mark.parametrize("rule", ["rank", "variant-1", "variant-2", "none"])
@pytest.mark.parametrize("form", ["queue", "batch", "keys"])
def test_keys_that_are_all_alike_have_finite_losses(form: Any, rule: Any) -> None:
    """A collapsed encoder: every prototype is the anchor, every positive too."""
    [_, term] = HaLP(**{**HALP, "prototypes_from": form, "filter": rule}).terms(("joint",), 4)
    key = normalize(torch.ones(6, 5), dim=1)
    query = normalize(torch.randn(6, 5), dim=1).requires_grad_()
    fitted = {"joint": spherical_kmeans(key, 4).centres}
    out = StepOutput({"joint": query}, {"joint": key}, {"joint": key}, 0, 6, fitted)
    loss = term.loss(out)
    loss.backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()
    assert out.observed["hallucination/joint/retained"].isfinite()
    if rule != "variant-1":  # every positive is the key: nothing is rejected, the loss is the mean similarity to it
        assert loss.item() == pytest.approx(-(query @ key.T).mean().item() / 0.07, abs=1e-4)


def test_a_short_queue_is_clustered_whole() -> None:
    model = host(HaLP(**{**HALP, "recent": 100, "prototypes": 50}), ("joint",))
    assert model.prototypes is not None
    assert (model.prototypes.recent, model.prototypes.centres.shape[1]) == (12, 12)


# ------------------------------------------------------------------------------------ without a queue


def test_in_batch_contrast() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (normalize(torch.randn(5, 4, generator=generator).double(), dim=1) for _ in range(2))
    rows = [
        info_nce(query[i : i + 1], key[i : i + 1], torch.cat([key[:i], key[i + 1 :]]), temperature=0.2)
        for i in range(5)
    ]
    torch.testing.assert_close(in_batch_nce(query, key, temperature=0.2), torch.stack(rows).mean())


@pytest.mark.parametrize("form", ["batch", "keys"])
def test_without_a_queue(form: Any) -> None:
    options = HaLP(**{**HALP, "prototypes_from": form})
    model, losses = run(options, 2)
    assert model.prototypes is None
    assert losses[0]["hallucination/joint"].item() != 0  # nothing to wait for
    before = [p.clone() for p in model.key_encoders.parameters()]
    query, key = (model._embed(model.encoders, model.heads, c)["joint"] for c in (clips(3), clips(4)))
    step = model(clips(3), clips(4), 0)
    torch.testing.assert_close(step["contrast/joint"], in_batch_nce(query, key))
    assert all(torch.equal(a, b) for a, b in zip(before, model.key_encoders.parameters(), strict=True))
    torch.stack(list(step.values())).sum().backward()
    assert model.encoders[0].gru.weight_ih_l0.grad.abs().max() > 0  # type: ignore[union-attr]


def test_keys_are_constants_of_the_hallucination_without_a_queue() -> None:
    [_, term] = HaLP(**{**HALP, "prototypes_from": "keys"}).terms(("joint",), 4)
    generator = torch.Generator().manual_seed(0)
    query, key = (normalize(torch.randn(4, 5, generator=generator), dim=1).requires_grad_() for _ in range(2))
    out = StepOutput({"joint": query}, {"joint": key}, {"joint": torch.eye(5)}, 0, 0)
    term.loss(out).backward()
    assert key.grad is None
    assert query.grad is not None


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_tiny_batches_without_a_queue(batch: int) -> None:
    for form in ("batch", "keys"):
        [_, term] = HaLP(**{**HALP, "prototypes_from": form}).terms(("joint",), 4)
        rows = normalize(torch.randn(batch, 5), dim=1)
        out = StepOutput({"joint": rows.clone().requires_grad_()}, {"joint": rows}, {"joint": torch.eye(5)}, 0, 0)
        assert term.loss(out).isfinite()


# ------------------------------------------------------------------------------------ analyses


def test_analysis_against_loops() -> None:
    generator = torch.Generator().manual_seed(3)
    query, key, queue, prototypes = (
        normalize(torch.randn(n, 6, generator=generator).double(), dim=1) for n in (4, 4, 9, 5)
    )
    chosen = torch.randint(5, (4, 3), generator=generator)
    positives = hallucinate(key, prototypes, chosen, 0.3 * torch.rand(4, 3, generator=generator).double())
    keep = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0]]).bool()
    found = analysis(query, key, queue, prototypes, positives, keep)
    points = positives.points()
    good = [(b, g) for b in range(4) for g in range(3) if keep[b, g]]
    bad = [(b, g) for b in range(4) for g in range(3) if not keep[b, g]]

    def mean(values: list[Tensor]) -> float:
        return float(torch.stack(values).mean())

    own = [prototypes[(prototypes @ k).argmax()] for k in key]
    want = {
        "retained": len(good) / 12,
        "query_real": mean([query[b] @ key[b] for b in range(4)]),
        "query_hallucinated": mean([points[i] @ query[i[0]] for i in good]),
        "queue_real": mean([k @ q for k in key for q in queue]),
        "queue_hallucinated": mean([points[i] @ q for i in good for q in queue]),
        "prototype_good": mean([points[i] @ own[i[0]] for i in good]),
        "prototype_bad": mean([points[i] @ own[i[0]] for i in bad]),
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(want)
    none = analysis(query, key, queue, prototypes, positives, torch.zeros_like(keep))
    assert none["query_hallucinated"].isnan()


# ------------------------------------------------------------------------------------ options, recipes, runs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prototypes": 1}, "prototypes is 1"),
        ({"recent": 10, "prototypes": 20}, "raise --recent"),
        ({"positives": 0}, "positives is 0"),
        ({"refresh": 0}, "refresh is 0"),
        ({"skip_nearest": 0}, "skip_nearest is 0"),
        ({"skip_nearest": 20}, "leaves none"),
        ({"candidates": 0}, "candidates is 0"),
        ({"hardness": 1.5}, "--halt 0.01"),
        ({"halt": -0.1}, "halt is -0.1"),
        ({"halt": 0.01, "hardness": 0.5}, "hardness 0.5 would have no effect"),
        ({"halp_weight": -1.0}, "halp_weight is -1"),
        ({"halp_weight": float("nan")}, "halp_weight is nan"),
        ({"halp_start": -1}, "halp_start is -1"),
        ({"prototypes_from": "batch", "warm_start": True}, "warm_start needs.*--no-warm-start"),
        ({"prototypes_from": "keys", "halp_wait": 5}, "halp_wait needs.*--halp-wait 0"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        host(HaLP(**options), ("joint",))


def test_hosts_that_need_a_queue_say_so() -> None:
    with pytest.raises(ConfigError, match=r"HaLP\+CMD needs one"):
        host(HaLPCMD(prototypes_from="batch"), Any3)
    with pytest.raises(ConfigError, match="two or more"):
        host(HaLPCMD(), ("joint",))


def test_paper_values_and_the_released_ones() -> None:
    paper = recipes.get("halp/paper")
    method = paper.method
    assert isinstance(method, HaLP)
    assert (method.prototypes, method.positives, method.recent, method.refresh) == (20, 100, 256, 5)
    assert (method.hardness, method.halp_weight, method.start(paper.epochs), method.queue_size) == (0.8, 1, 200, 16384)
    assert (paper.streams, paper.epochs, paper.optimiser.lr) == (("joint",), 450, 0.01)
    large = recipes.get("halp-cmd/ntu120-xset").method
    assert isinstance(large, HaLPCMD)
    assert (large.prototypes, large.halp_weight) == (40, 2)
    pku = recipes.get("halp/pku2-xsub")
    assert (pku.epochs, pku.method.start(1000)) == (1000, 200)  # type: ignore[attr-defined]
    released = recipes.as_released(recipes.get("halp/ntu60-xsub"))
    assert (released.epochs, released.optimiser.milestones) == (451, (351,))
    assert released.method == HaLP(refresh=10, candidates=20, halp_weight=2.0, halp_start=201, halp_wait=32769)
    assert recipes.as_released(paper).method == released.method
    assert recipes.as_released(recipes.get("halp/small")).method.halp_start is None  # type: ignore[attr-defined]
    later = recipes.as_released(pku).method
    assert later == replace(released.method, halp_weight=1.0, halp_start=501)


def test_the_released_wait_follows_the_queue_in_force(small_archive: MotionArchive) -> None:
    """A queue that shrinks with the data would otherwise leave a wait that no small run reaches."""

    def method(**options: Any) -> HaLP:
        found = resolve("halp", small_archive, {"as_released": True, **options})[0].method
        assert isinstance(found, HaLP)
        return found

    shrunk = method()
    assert shrunk.queue_size < 512
    assert shrunk.halp_wait == 2 * shrunk.queue_size + 1
    assert method(batch_size=8, queue_size=20).halp_wait == 41
    assert method(halp_wait=7).halp_wait == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [({"halp_wait": 1000}, "wait for 1,000 keys from epoch 1 on, but 28 come in"), ({"halp_wait": 28}, None)],
)
def test_a_run_too_short_for_the_first_fit_is_told_of(options: dict[str, Any], message: str | None) -> None:
    method = HaLP(**HALP | options)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        method.check_schedule(steps=4, epochs=2, batch_size=4)
    assert [message in str(w.message) for w in told] == ([True] if message else [])


def test_fewer_prototypes_than_asked_for_are_told() -> None:
    method = HaLP(prototypes=20, prototypes_from="batch")
    method.check_schedule(steps=4, epochs=2, batch_size=40)
    with pytest.warns(MotetWarning, match="a batch of 39 gives 19 prototypes, not 20"):
        method.check_schedule(steps=4, epochs=2, batch_size=39)
    with pytest.warns(MotetWarning, match="12 recent keys give 12 prototypes, not 20"):
        HaLP().with_queue(12).check_schedule(steps=4, epochs=2, batch_size=4)


def test_the_trainer_tells_of_it(small_archive: MotionArchive, tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match="there are none in this run; lower --halp-wait"):
        run = tiny("halp", small_archive, tmp_path / "run", **TINY_HALP, halp_wait=1000, epochs=1)
    assert "watched" not in run.metrics()[-1]


TINY_HALP = {"prototypes": 4, "recent": 8, "positives": 5, "refresh": 2, "halp_start": 0}


@pytest.mark.parametrize("call", [3, 5])
def test_resume_is_bit_exact(
    small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    whole = tiny("halp-cmd", small_archive, tmp_path / "whole", **TINY_HALP)
    with monkeypatch.context() as patch:
        stop_at(patch, call)
        with pytest.raises(Interrupted):
            tiny("halp-cmd", small_archive, tmp_path / "parts", **TINY_HALP)
    parts = resume(tmp_path / "parts", progress=False)
    assert_same(load_checkpoint(whole.checkpoints), load_checkpoint(parts.checkpoints))
    assert_same(whole.metrics(), parts.metrics())


def test_a_run_logs_the_analyses(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = tiny("halp", small_archive, tmp_path / "run", **{**TINY_HALP, "halp_start": 1})
    first, *rest = run.metrics()
    assert "watched" not in first
    for line in rest:
        watched = line["diagnostics"]
        assert 0 <= watched["hallucination/joint/retained"] <= 1
        assert {n.rsplit("/")[-1] for n in watched} >= {"query_real", "queue_hallucinated", "prototype_good"}
        assert line["terms"]["hallucination/joint"] < 0


@pytest.mark.parametrize("recipe", ["halp-cmd", "halp-aimclr"])
def test_half_precision(small_archive: MotionArchive, tmp_path: Path, recipe: str) -> None:
    run = tiny(recipe, small_archive, tmp_path / "run", **TINY_HALP, precision="bf16", epochs=2, frames=12)
    terms = run.metrics()[-1]["terms"]
    aligned = [value for name, value in terms.items() if name.startswith("hallucination/")]
    assert aligned
    assert all(-1 / 0.07 <= value < 0 for value in aligned)


@pytest.mark.parametrize("form", ["queue", "batch"])
def test_it_learns(small_archive: MotionArchive, tmp_path: Path, form: str) -> None:
    """Clips whose class is a frequency and a limb: neighbours are mostly of one class after a few epochs."""
    sizes = {"epochs": 12, "hidden": 24, "lr": 0.01, "frames": 16, "optimiser": "adam", "streams": ("motion",)}
    options = {**TINY_HALP, **sizes, "halp_start": 4, "prototypes_from": form}
    run = tiny("halp", small_archive, tmp_path / "run", **options)
    lines = run.metrics()
    assert lines[-1]["knn"]["motion"] > 0.6  # four classes
    aligned = [line["terms"].get("hallucination/motion") for line in lines]
    assert aligned[:4] == [None] * 4
    assert aligned[-1] < aligned[5] < 0
