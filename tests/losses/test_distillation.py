from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.losses import consensus_distillation, mutual_distillation, neighbour_distillation
from tests.losses.golden import STREAMS, raw, toy, unit

close = pytest.approx


@pytest.mark.parametrize(("top_k", "want"), [(1, 0.0), (2, 15.870913), (3, 19.998877), (4, 23.368713), (8, 24.126988)])
def test_golden_loss_by_number_of_neighbours(top_k: int, want: float) -> None:
    assert mutual_distillation(*toy(), top_k=top_k).item() == close(want, rel=1e-6, abs=1e-12)


def test_golden_pairs() -> None:
    z, k, q = toy()
    want = {
        ("joint", "motion"): 0.226851,
        ("joint", "bone"): 1.923989,
        ("motion", "joint"): 5.173445,
        ("motion", "bone"): 0.448185,
        ("bone", "joint"): 10.654395,
        ("bone", "motion"): 4.941846,
    }
    for (teacher, student), value in want.items():
        got = neighbour_distillation(z[student], q[student], k[teacher], q[teacher], top_k=4)
        assert got.item() == close(value, abs=2e-6)


@pytest.mark.parametrize(
    ("teacher", "student", "four", "eight"),
    [
        (0.05, 0.05, 46.029007, 46.649977),
        (0.1, 0.1, 22.543919, 23.289056),
        (0.01, 0.1, 24.255385, 25.013771),
        (0.02, 0.1, 23.986733, 24.745119),
        (0.05, 0.5, 7.704147, 9.906952),
        (0.05, 1.0, 7.115820, 10.167372),
        (1e-4, 0.1, 24.322333, 25.080718),
    ],
)
def test_golden_temperatures(teacher: float, student: float, four: float, eight: float) -> None:
    for top_k, want in ((4, four), (8, eight)):
        got = mutual_distillation(*toy(), top_k=top_k, teacher_temperature=teacher, student_temperature=student)
        assert got.item() == close(want, rel=1e-6)


def test_golden_gradient_reaches_queries_only() -> None:
    queries, keys = raw(0.0), raw(0.4)
    _, _, queues = toy()
    for tensors in (queries, keys, queues):
        for tensor in tensors.values():
            tensor.requires_grad_()
    mutual_distillation(unit(queries), unit(keys), queues, top_k=4).backward()
    norms = {"joint": 7.884479, "motion": 4.267312, "bone": 2.830142}
    first = {"joint": -1.120722, "motion": -0.789356, "bone": -0.368978}
    for name in STREAMS:
        gradient = queries[name].grad
        assert gradient is not None
        assert gradient.norm().item() == close(norms[name], rel=1e-6)
        assert gradient[0, 0].item() == close(first[name], rel=2e-6)
        assert keys[name].grad is None
        assert queues[name].grad is None


def test_gradient_with_respect_to_similarities_is_the_difference_of_distributions() -> None:
    _, k, q = toy()
    # a student whose similarities are free variables: an identity queue
    similarity = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    identity = torch.eye(8, dtype=torch.float64)
    neighbour_distillation(similarity, identity, k["joint"], q["joint"], top_k=8).backward()
    teacher = torch.softmax(k["joint"] @ q["joint"].T / 0.05, dim=1)
    student = torch.softmax(similarity.detach() / 0.1, dim=1)
    assert similarity.grad is not None
    torch.testing.assert_close(similarity.grad, (student - teacher) / (0.1 * 3), rtol=1e-10, atol=1e-12)


def test_queues_must_be_slot_aligned() -> None:
    z, k, q = toy()
    order = torch.tensor([3, 7, 1, 0, 6, 2, 5, 4])
    together = {s: t[order] for s, t in q.items()}
    assert mutual_distillation(z, k, together, top_k=4).item() == close(23.368713, rel=1e-6)
    apart = {**q, "joint": q["joint"][order]}
    assert mutual_distillation(z, k, apart, top_k=4).item() == close(13.035109, rel=1e-6)


def test_identical_streams() -> None:
    z, k, q = toy()
    same = dict.fromkeys(STREAMS, k["joint"])
    queues = dict.fromkeys(STREAMS, q["joint"])
    equal = mutual_distillation(same, same, queues, top_k=4, teacher_temperature=0.1)
    assert equal.item() == close(0.0, abs=1e-12)
    queries = dict.fromkeys(STREAMS, z["joint"])
    keys = dict.fromkeys(STREAMS, z["joint"])
    assert mutual_distillation(queries, keys, queues, top_k=4).item() == close(0.232363, abs=1e-6)


def test_uniform_student() -> None:
    z, k, q = toy()
    silent = {s: torch.zeros_like(t) for s, t in z.items()}
    got = mutual_distillation(silent, k, q, top_k=4).item()
    assert got == close(7.459046, rel=1e-6)
    entropy = 0.0
    for s in STREAMS:
        p = torch.softmax((k[s] @ q[s].T).topk(4).values / 0.05, dim=1)
        entropy -= (p * p.log()).sum(dim=1).mean().item()
    assert got == close(6 * math.log(4) - 2 * entropy, rel=1e-9)
    mute = {s: torch.zeros_like(t) for s, t in k.items()}
    assert mutual_distillation(silent, mute, q, top_k=4).item() == close(0.0, abs=1e-12)


def test_sharp_teacher_is_positive_mining() -> None:
    z, k, q = toy()
    want = 0.0
    for a, b in permutations(STREAMS, 2):
        slots = (k[a] @ q[a].T).topk(4).indices
        want -= torch.log_softmax((z[b] @ q[b].T).gather(1, slots) / 0.1, dim=1)[:, 0].mean().item()
    got = mutual_distillation(z, k, q, top_k=4, teacher_temperature=1e-4).item()
    assert got == close(want, abs=1e-9)


def test_float32_and_autocast() -> None:
    tensors = [{s: t.float() for s, t in group.items()} for group in toy()]
    assert mutual_distillation(*tensors, top_k=4).item() == close(23.368711, rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = mutual_distillation(*tensors, top_k=4)
    assert loss.dtype == torch.float32
    assert loss.item() == close(23.368711, rel=1e-5)


def test_refusals() -> None:
    z, k, q = toy()
    with pytest.raises(ConfigError, match="top_k is 9"):
        mutual_distillation(z, k, q, top_k=9)
    with pytest.raises(ConfigError, match="two streams"):
        mutual_distillation({"joint": z["joint"]}, {"joint": k["joint"]}, {"joint": q["joint"]}, top_k=4)
    for longer in ("joint", "motion"):  # the slots of a longer student would be read, too, without an error
        with pytest.raises(ConfigError, match=r"slots and the teacher .*; they must be the same"):
            mutual_distillation(z, k, {**q, longer: torch.cat([q[longer], q[longer][:2]])}, top_k=4)
    with pytest.raises(ConfigError, match=r"clips and the teacher"):
        mutual_distillation({**z, "joint": z["joint"][:1]}, k, q, top_k=4)
    with pytest.raises(ConfigError, match="streams differ"):
        mutual_distillation(z, {"joint": k["joint"], "bone": k["bone"]}, q, top_k=4)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 12))
def test_never_negative_and_basis_free(seed: int, streams: int, top_k: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(rows: int) -> dict[str, torch.Tensor]:
        return {
            str(s): normalize(torch.randn(rows, 6, generator=generator, dtype=torch.float64), dim=1)
            for s in range(streams)
        }

    z, k, q = draw(4), draw(4), draw(12)
    loss = mutual_distillation(z, k, q, top_k=top_k)
    assert loss >= -1e-12
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    turned = [{**group, "0": group["0"] @ basis} for group in (z, k, q)]
    torch.testing.assert_close(mutual_distillation(*turned, top_k=top_k), loss, rtol=1e-9, atol=1e-9)
    order = torch.randperm(4, generator=generator)
    shuffled = [{s: t[order] for s, t in group.items()} for group in (z, k)]
    torch.testing.assert_close(mutual_distillation(*shuffled, q, top_k=top_k), loss, rtol=1e-9, atol=1e-9)


def test_consensus_of_two_streams_is_mutual_distillation() -> None:
    two = [{s: group[s] for s in ("joint", "bone")} for group in toy()]
    for top_k in (2, 4, 8):
        want = mutual_distillation(*two, top_k=top_k)
        torch.testing.assert_close(consensus_distillation(*two, top_k=top_k), want, rtol=1e-9, atol=1e-9)


def test_consensus_over_the_whole_queue_has_the_gradient_of_all_pairs() -> None:
    gradients = []
    for loss in (mutual_distillation, consensus_distillation):
        z, k, q = toy()
        for tensor in z.values():
            tensor.requires_grad_()
        loss(z, k, q, top_k=8).backward()
        gradients.append(torch.stack([z[s].grad for s in STREAMS]))  # type: ignore[misc]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-9)
