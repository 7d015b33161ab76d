from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.evaluate.probe import ORDER_VIEW, Chunk, Probes, Schedule, fusion_weight, train

STREAMS = ("joint", "motion", "bone[trunk]")
CLASSES, WIDTH, CLIPS = 6, 5, 37


def toy(sets: int = 2, clips: int = CLIPS, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (clips,), generator=generator)
    noise = torch.randn(sets, len(STREAMS), clips, WIDTH, generator=generator, dtype=torch.float64)
    centres = torch.randn(sets, len(STREAMS), CLASSES, WIDTH, generator=torch.Generator().manual_seed(9)).double()
    return noise + centres[:, :, labels], labels


def one_by_one(
    x: Tensor, y: Tensor, start: Tensor, schedule: Schedule, lr: float, seed: int, joint: bool
) -> list[nn.Linear]:
    """The plain form: torch's layers, loss and optimiser. x (S, n, F); one layer a stream; joint: mean of logits."""
    layers = [nn.Linear(WIDTH, CLASSES, dtype=torch.float64) for _ in x]
    for layer, weight in zip(layers, start, strict=True):
        layer.weight.data = weight.T.clone()
        nn.init.zeros_(layer.bias)
    parameters = [p for layer in layers for p in layer.parameters()]
    sgd = torch.optim.SGD(parameters, lr=lr, momentum=schedule.momentum, weight_decay=schedule.weight_decay)
    for epoch in range(schedule.epochs):
        for group in sgd.param_groups:
            group["lr"] = lr * 0.1 ** sum(epoch >= drop for drop in schedule.drops or ())
        order = CounterRNG(seed, epoch, torch.arange(len(y)), ORDER_VIEW).order("probe")
        for rows in order.split(schedule.batch_size):
            logits = [layer(x[s, rows]) for s, layer in enumerate(layers)]
            losses = [torch.stack(logits).mean(dim=0)] if joint else logits
            sgd.zero_grad()
            sum(nn.functional.cross_entropy(found, y[rows]) for found in losses).backward()  # type: ignore[union-attr]
            sgd.step()
    return layers


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_batched_probes_equal_the_loop(weight_decay: float) -> None:
    features, labels = toy()
    schedule = Schedule(epochs=4, batch_size=8, lr=(0.1, 0.02), drops=(2, 3), weight_decay=weight_decay)
    units = [(0, 0), (0, 3), (1, 0)]
    options = {"streams": STREAMS, "width": WIDTH, "classes": CLASSES, "schedule": schedule, "dtype": torch.float64}
    probes = Probes([u[0] for u in units], [u[1] for u in units], **options)  # type: ignore[arg-type]
    start = probes.weight.view(3, 3, WIDTH, 2, 2, CLASSES).clone()
    assert torch.equal(start[0], start[2])  # same seed
    assert not torch.equal(start[0], start[1])
    test, test_labels = toy(clips=23, seed=5)
    chunk = Chunk(torch.arange(CLIPS), features, labels)
    result = train(probes, lambda epoch: [chunk], test, test_labels)
    scores = probes.heads(test)
    for u, (q, seed) in enumerate(units):
        for i, lr in enumerate(schedule.lr):
            weights = [start[u, :, :, kind, i] for kind in (0, 1)]
            alone = one_by_one(features[q], labels, weights[0], schedule, lr, seed, joint=False)
            joint = one_by_one(features[q], labels, weights[1], schedule, lr, seed, joint=True)
            with torch.no_grad():
                expected = [layer(test[q, s]) for s, layer in enumerate(alone)]
                late = 0.6 * expected[0] + 0.4 * expected[1] + 0.6 * expected[2]
                mean = torch.stack([layer(test[q, s]) for s, layer in enumerate(joint)]).mean(dim=0)
            expected += [mean, late]
            for head, want in enumerate(expected):
                torch.testing.assert_close(scores[u, head, i], want, rtol=1e-10, atol=1e-10)
                right = (want.argmax(dim=1) == test_labels).double().mean()
                assert result.last.top1[u, head, i] == pytest.approx(right.item())
                top = (want.topk(5).indices == test_labels[:, None]).any(dim=1).double().mean()
                assert result.last.top5[u, head, i] == pytest.approx(top.item())
    assert [name for _, name in result.heads] == [None, None, None, "mean-logits", "late-fusion"]
    counts = result.confusion
    assert (counts.sum(dim=(-1, -2)) == 23).all()
    diagonal = counts.diagonal(dim1=-2, dim2=-1).sum(dim=-1).double() / 23
    torch.testing.assert_close(diagonal, result.last.top1)
    assert torch.equal(counts[0, 0, 0].sum(dim=1), torch.bincount(test_labels, minlength=CLASSES))


def test_a_single_stream_has_a_single_head() -> None:
    features, labels = toy(sets=1)
    probes = Probes([0], [0], STREAMS[:1], WIDTH, CLASSES, Schedule(epochs=3), dtype=torch.float64)
    result = train(probes, lambda epoch: [Chunk(torch.arange(CLIPS), features[:, :1], labels)], features[:, :1], labels)
    assert result.heads == [("joint", None)]
    assert result.last.top1.shape == (1, 1, 1)
    assert result.last.top1 > 0.5


def test_padding_of_narrow_streams_changes_nothing() -> None:
    features, labels = toy(sets=1)
    padded = nn.functional.pad(features, (0, 3))
    found = []
    for x in (features, padded):
        probes = Probes([0], [0], STREAMS, x.shape[-1], CLASSES, Schedule(epochs=2), dtype=torch.float64)
        start = torch.zeros_like(probes.weight)
        probes.weight.copy_(start)
        train(probes, lambda epoch, x=x: [Chunk(torch.arange(CLIPS), x, labels)], x, labels)  # type: ignore[misc]
        found.append(probes.weight[:, :WIDTH])
        assert not probes.weight[:, WIDTH:].any()
    torch.testing.assert_close(found[0], found[1])


def test_the_default_schedule_is_the_official_one() -> None:
    schedule = Schedule()
    assert (schedule.epochs, schedule.batch_size, schedule.lr) == (80, 64, (0.1,))
    assert (schedule.momentum, schedule.weight_decay) == (0.9, 0.0)
    factors = [schedule.factor(epoch) for epoch in (0, 49, 50, 69, 70, 79)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert [e + 1 for e in range(80) if schedule.checks(e)] == list(range(5, 81, 5))
    probes = Probes([0], [4], ("joint",), 2000, 60, schedule)
    assert probes.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert probes.weight.mean().abs().item() < 1e-4
    assert not probes.bias.any()


def test_best_epoch_is_the_first_best_look() -> None:
    features, labels = toy(sets=1)
    schedule = Schedule(epochs=11, check_every=2)
    probes = Probes([0], [0], STREAMS, WIDTH, CLASSES, schedule, dtype=torch.float64)
    seen = []
    evaluate = probes.evaluate
    probes.evaluate = lambda *a: seen.append(evaluate(*a)) or seen[-1]  # type: ignore[method-assign,func-returns-value]
    result = train(probes, lambda epoch: [Chunk(torch.arange(CLIPS), features, labels)], features, labels)
    table = torch.stack([scores.top1 for scores, _ in seen])
    assert len(seen) == 6  # after 2, 4, 6, 8, 10 and 11
    assert torch.equal(result.best, table.max(dim=0).values)
    assert torch.equal(result.last.top1, table[-1])
    first = (table == result.best).double().argmax(dim=0)
    assert torch.equal(result.best_epoch, torch.tensor([2, 4, 6, 8, 10, 11])[first])


def test_divergence_is_an_error_not_a_number() -> None:
    features, labels = toy(sets=1)
    probes = Probes([0], [0], STREAMS, WIDTH, CLASSES, Schedule(epochs=3, lr=(1e30,)))
    chunk = Chunk(torch.arange(CLIPS), features.float() * 1e30, labels)
    with pytest.raises(ConfigError, match="diverged"):
        train(probes, lambda epoch: [chunk], features.float(), labels)


def test_bad_schedules() -> None:
    for bad, match in (
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": ()}, "lr is"),
        ({"lr": (0.1, -1.0)}, "lr is"),
        ({"momentum": 1.0}, "momentum"),
        ({"check_every": 0}, "check_every"),
    ):
        with pytest.raises(ConfigError, match=match):
            Schedule(**bad)  # type: ignore[arg-type]


def test_motion_weighs_less_in_late_fusion() -> None:
    streams = ("joint", "bone[left_arm]", "motion", "motion[head]", "bone_motion", "acceleration")
    assert [fusion_weight(s) for s in streams] == [0.6, 0.6, 0.4, 0.4, 0.4, 0.4]
