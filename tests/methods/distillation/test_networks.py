"""The golden network: values, gradient flow and one step of AMID."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from motet.methods.distillation.methods import amid
from motet.methods.distillation.methods.amid import Amid, AmidMethod
from motet.methods.distillation.networks import Ensemble, Inputs, Networks, Outputs, Shape
from tests.methods.distillation.toys import batch, context, fill, grid

close = pytest.approx
PARTS = ("student", "auxiliary", "fuse", "classifier", "fundamental", "enhanced")


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> tuple[Ensemble, AmidMethod, Inputs]:
    monkeypatch.setattr(amid, "critic_widths", lambda _: ((8, 8, 8, 8), (8, 8)))
    shape = Shape({"t": 5, "a": 3}, frozenset(), ("t",), ("a",), 3)
    options = Networks(features=4, hidden=(), fuse_hidden=6, straight=False, slope=0.2)
    networks = Ensemble((0,), shape, options)
    method = AmidMethod(Amid(warm_up=0, critic_lr=0.1, critic_optimiser="sgd"), context())
    networks.double(), method.double()
    for layer, number in zip(dense(networks, method), range(1, 14), strict=True):
        fill(layer, number)
    (i, j), (k, c) = grid(6, 5), grid(6, 3)
    inputs = Inputs({"t": torch.sin(0.7 * (5 * i + j) + 0.3)[None], "a": torch.cos(0.5 * (3 * k + c) + 0.1)[None]}, {})
    return networks, method, inputs


def dense(networks: Ensemble, method: AmidMethod) -> list[nn.Module]:
    assert networks.auxiliary is not None
    assert networks.fuse is not None
    found = [networks.student.extractors["t"].layers[0], networks.auxiliary.extractors["a"].layers[0]]  # type: ignore[union-attr, index]
    found += [*networks.fuse.layers, networks.classifier]
    return [*found, *method.fundamental.net.layers, *method.enhanced.net.layers]


def parameters(networks: Ensemble, method: AmidMethod) -> dict[str, list[nn.Parameter]]:
    homes: dict[str, nn.Module] = {"fundamental": method.fundamental, "enhanced": method.enhanced}
    for name in PARTS[:4]:
        homes[name] = getattr(networks, name)
    return {name: list(homes[name].parameters()) for name in PARTS}


def norms(loss: Tensor, parts: dict[str, list[nn.Parameter]]) -> list[float | None]:
    found: list[float | None] = []
    for members in parts.values():
        gradients = torch.autograd.grad(loss.sum(), members, retain_graph=True, allow_unused=True)
        some = [g.flatten() for g in gradients if g is not None]
        found.append(torch.cat(some).norm().item() if some else None)
    return found


def test_golden_outputs(golden: tuple[Ensemble, AmidMethod, Inputs]) -> None:
    networks, method, inputs = golden
    out: Outputs = networks(inputs)
    wanted = {
        "student": [-0.060838, -0.274567, -0.439128, -0.496742],
        "teacher": [0.089951, -0.069052, -0.069812, 0.154913],
        "student_logits": [-0.281732, -0.061539, 0.237853],
        "teacher_logits": [-0.010322, 0.164087, 0.177862],
    }
    for name, values in wanted.items():
        assert getattr(out, name)[0, 0].tolist() == close(values, abs=1e-6)
    assert out.auxiliary[0][0, 0].tolist() == close([0.120299, 0.223613, -0.695667, 0.620868], abs=1e-6)
    assert method.fundamental(out.student)[0, 0].item() == close(0.011572, abs=1e-6)
    assert method.enhanced(out.student)[0, 0].item() == close(0.324977, abs=1e-6)
    assert method.fundamental(out.teacher)[0, 0].item() == close(0.012750, abs=1e-6)


def total_of(method: AmidMethod, terms: Mapping[str, Tensor], epoch: int) -> Tensor:
    """The weighted sum that the loop takes the gradient of."""
    weights = method.weights(epoch)
    return torch.stack([weights[n] * value for n, value in terms.items() if weights[n]]).sum()


def test_gradient_flow(golden: tuple[Ensemble, AmidMethod, Inputs]) -> None:
    """Who is moved by which term, and how much; the critics' term of the student must not move the critics."""
    networks, method, inputs = golden
    parts, out, step = parameters(networks, method), networks(inputs), batch()
    found = method.terms(out, step)
    wanted: dict[str, tuple[float, list[float | None]]] = {
        "agreement": (0.003265, [0.013066, 0.004537, 0.018102, 0.018041, None, None]),
        "contrast_student": (5.689242, [7.838387, 2.081197, 8.259601, None, None, None]),
        "contrast_auxiliary": (5.493502, [1.153086, 1.799075, 4.811909, None, None, None]),
        "adversarial": (0.604892, [0.067777, None, None, None, None, None]),
    }
    for name, (value, gradients) in wanted.items():
        assert found[name].item() == close(value, abs=1e-6)
        for measured, golden_norm in zip(norms(found[name], parts), gradients, strict=True):
            assert (measured is None) == (golden_norm is None), name
            assert measured is None or measured == close(golden_norm, abs=1e-5)
    classification = found["student"] + found["teacher"]
    assert classification.item() == close(2.321199, abs=1e-6)
    assert norms(classification, parts)[:4] == close([0.544523, 0.082675, 0.311587, 0.711674], abs=1e-5)
    assert norms(found["student"], parts)[1:3] == [None, None]
    total = total_of(method, found, 0)
    assert total.item() == close(34.475926, abs=1e-6)
    assert norms(total, parts)[:4] == close([31.036532, 10.034814, 30.539078, 0.720024], abs=1e-5)
    critics = method.critic_loss(out, step)
    assert critics.item() == close(1.407920, abs=1e-6)
    measured = norms(critics, parts)
    assert measured[:4] == [None] * 4
    assert measured[4:] == close([0.025317, 0.210301], abs=1e-5)


def test_one_step(golden: tuple[Ensemble, AmidMethod, Inputs]) -> None:
    networks, method, inputs = golden
    step = batch()
    optimiser = torch.optim.SGD(networks.parameters(), lr=0.01)
    out = networks(inputs)
    total_of(method, method.terms(out, step), 0).sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    method.after_step(out, step)
    after = networks(inputs)
    found = method.terms(after, step)
    wanted = {"agreement": 0.001861, "contrast_student": 5.045489, "contrast_auxiliary": 5.251737}
    for name, value in wanted.items():
        assert found[name].item() == close(value, abs=1e-6)
    assert (found["student"] + found["teacher"]).item() == close(2.461241, abs=1e-6)
    assert found["adversarial"].item() == close(0.609746, abs=1e-6)
    assert method.critic_loss(after, step).item() == close(1.386818, abs=1e-6)
    assert total_of(method, found, 0).item() == close(31.657583, abs=1e-6)


def test_warming_up_runs_no_critic_and_moves_no_weight_of_theirs(
    golden: tuple[Ensemble, AmidMethod, Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, _, inputs = golden
    method = AmidMethod(Amid(warm_up=5), context()).double()
    before = [p.clone() for p in method.parameters()]

    def refuse(*_: object, **__: object) -> Tensor:
        raise AssertionError("a critic was run")

    monkeypatch.setattr(method.fundamental, "forward", refuse)
    monkeypatch.setattr(method.enhanced, "forward", refuse)
    out, step = networks(inputs), batch(epoch=4)
    found = method.terms(out, step)
    assert total_of(method, found, 4).item() == close(2.324464, abs=1e-6)
    assert not method.after_step(out, step)
    assert not method.end_of_epoch(4)
    assert method.raw.tolist() == [[0.0, 1.0]]
    assert all(torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))


def test_no_repeated_class_leaves_the_second_critic_and_its_optimiser_alone(
    golden: tuple[Ensemble, AmidMethod, Inputs],
) -> None:
    networks, _, inputs = golden
    method = AmidMethod(Amid(warm_up=0), context()).double()
    first, second = ([p.clone() for p in c.parameters()] for c in (method.fundamental, method.enhanced))
    distinct = batch(labels=torch.arange(6)[None])
    out = networks(inputs)
    loss = torch.nn.functional.softplus(-method.fundamental(out.student)).mean() * method.shares()[0, 0]
    assert method._adversarial(out, distinct).item() == close(loss.item(), rel=1e-9)
    method.after_step(out, distinct)
    assert all(torch.equal(a, b) for a, b in zip(second, method.enhanced.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, method.fundamental.parameters(), strict=True))
    assert not method.optimisers["enhanced"].state_dict()["optimiser"]["state"]
    assert method.optimisers["fundamental"].state_dict()["optimiser"]["state"]


def ensemble(options: Networks, targets: tuple[str, ...] = ("t",), others: tuple[str, ...] = ("a", "b")) -> Ensemble:
    shape = Shape({"t": 5, "s": 4, "a": 3, "b": 7}, frozenset({"s"}), targets, others, 3)
    return Ensemble((0, 1), shape, options)


def made_up() -> Inputs:
    torch.manual_seed(0)
    sizes = {"t": (5,), "s": (9, 4), "a": (3,), "b": (7,)}
    values = {name: torch.randn(2, 6, *size) for name, size in sizes.items()}
    return Inputs(values, {"s": torch.tensor([[9, 8, 3, 2, 1, 5], [9, 1, 1, 2, 9, 9]])})


def test_initial_weights_depend_on_seed_and_name() -> None:
    from motet.methods.distillation.layers import initial

    drawn = [initial(seed, name, 50) for seed in (0, 1, 2**31) for name in ("a", "b")]
    assert torch.equal(drawn[0], initial(0, "a", 50))
    for place, one in enumerate(drawn):
        assert all(not torch.equal(one, other) for other in drawn[:place])
    networks = ensemble(Networks())
    for name, parameter in networks.named_parameters():
        assert not torch.equal(parameter[0], parameter[1]), name


@pytest.mark.parametrize("extractor", ["trained", "table"])
@pytest.mark.parametrize("several", ["joint", "averaged"])
def test_several_auxiliaries(several: str, extractor: str) -> None:
    networks = ensemble(Networks(features=8, several=several, auxiliary_extractor=extractor))  # type: ignore[arg-type]
    out: Outputs = networks(made_up())
    assert len(out.auxiliary) == (2 if several == "averaged" else 1)
    assert all(a.shape == (2, 6, 8) for a in out.auxiliary)
    assert out.teacher is not None
    assert out.teacher.shape == (2, 6, 8)


def test_a_projection_of_the_auxiliary_where_it_is_wanted() -> None:
    """Features behind a ReLU have no negative cosines; a projection gives them some."""
    plain = ensemble(Networks(features=7, auxiliary_extractor="table"), others=("b",))
    projected = ensemble(Networks(features=7, auxiliary_extractor="table", project=True), others=("b",))
    inputs = made_up()
    assert torch.equal(plain(inputs).auxiliary[0], inputs.values["b"])
    found = projected(inputs).auxiliary[0]
    assert found.shape == (2, 6, 7)
    assert found.requires_grad


@pytest.mark.parametrize("kind", ["conv", "gru"])
def test_several_targets_and_sequences_whose_padding_says_nothing(kind: str) -> None:
    networks = ensemble(Networks(features=8, sequence=kind, sequence_hidden=6), ("t", "s"), ("a",))  # type: ignore[arg-type]
    inputs = made_up()
    wanted = networks(inputs)
    behind = torch.arange(9) >= inputs.lengths["s"][..., None]
    assert wanted.student.shape == (2, 6, 8)
    longer = Inputs(dict(inputs.values), inputs.lengths)
    zero = inputs.values["s"].masked_fill(behind[..., None], 0)
    longer.values["s"] = torch.cat([zero, torch.zeros(2, 6, 7, 4)], dim=2)
    inputs.values["s"] = zero
    assert torch.allclose(networks(longer).student, networks(inputs).student, atol=1e-6)


def test_a_gru_is_torchs() -> None:
    from motet.methods.distillation.layers import Recurrence

    layer = Recurrence((3,), "x", 4, 5, 0.0)
    oracle = nn.GRU(4, 5, batch_first=True)
    with torch.no_grad():
        for ours, theirs in ((layer.inward, "ih"), (layer.onward, "hh")):
            getattr(oracle, f"weight_{theirs}_l0").copy_(ours.weight[0].T)
            getattr(oracle, f"bias_{theirs}_l0").copy_(ours.bias[0, 0])
    x, lengths = torch.randn(1, 3, 6, 4), torch.tensor([[6, 4, 1]])
    found = layer(x, lengths)
    for row, length in enumerate(lengths[0].tolist()):
        states, last = oracle(x[0, row : row + 1, :length])
        assert torch.allclose(found[0, row, :5], last[0, 0], atol=1e-6)
        assert torch.allclose(found[0, row, 5:], states[0].amax(dim=0), atol=1e-6)


def test_an_auxiliary_of_the_table_cannot_be_a_sequence() -> None:
    from motet.core.errors import ConfigError

    with pytest.raises(ConfigError, match="sequences need an extractor"):
        ensemble(Networks(auxiliary_extractor="table"), ("t",), ("s",))
