"""When prototypes are fitted, to what, and that they travel with a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.memory import Prototypes, Queue
from motet.memory.kmeans import spherical_kmeans

STREAMS = ("joint", "bone")


def keys(count: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {s: normalize(torch.randn(count, 6, generator=generator), dim=1) for s in STREAMS}


def queue(size: int = 32) -> Queue:
    return Queue(STREAMS, size, 6, generator=torch.Generator().manual_seed(0))


def test_recent_slots_wrap_around_as_published() -> None:
    ring = Queue(["x"], 16384, 1)
    ring.ring("x").copy_(torch.arange(16384.0)[:, None])
    for pointer, want in ((192, [*range(16320, 16384), *range(192)]), (0, list(range(16128, 16384)))):
        ring.pointer.fill_(pointer)
        assert ring.recent(256)["x"][:, 0].tolist() == want
    with pytest.raises(ConfigError, match="16385 recent keys"):
        ring.recent(16385)


def test_the_newest_keys_come_last() -> None:
    ring, batch = queue(8), keys(6, 1)
    ring.enqueue(keys(5, 0))
    ring.enqueue(batch)
    for s in STREAMS:
        assert torch.equal(ring.recent(6)[s], batch[s])


def step(memory: Prototypes, ring: Queue, number: int, epoch: int = 0, rows: int = 8) -> bool:
    """One step of a host; whether there were prototypes in it."""
    memory.prepare(ring, epoch=epoch, filled=int(ring.filled))
    had = bool(memory.current())
    ring.enqueue(keys(rows, number))
    memory.advance(ring, epoch=epoch, rows=rows)
    return had


def test_never_before_enough_real_keys_came_in() -> None:
    memory, ring = Prototypes(STREAMS, 3, 6, recent=16), queue()
    assert [step(memory, ring, i) for i in range(4)] == [False, False, True, True]


def test_never_before_its_epoch_and_at_once_then() -> None:
    memory, ring = Prototypes(STREAMS, 3, 6, recent=16, start=2), queue()
    assert [step(memory, ring, i, epoch=i // 3) for i in range(9)] == [False] * 6 + [True] * 3
    assert memory.steps == 3


def test_the_released_wait() -> None:
    """2K + 1 keys with K = 16384 and batches of 64: the 514th step is the first that has prototypes."""
    memory, ring = Prototypes(["x"], 1, 1, recent=1, wait=2 * 16384 + 1, refresh=10**6), Queue(["x"], 16384, 1)
    ring.filled.fill_(16384)
    had = []
    for _ in range(516):
        memory.prepare(ring, epoch=0, filled=16384)
        had.append(bool(memory.current()))
        memory.advance(ring, epoch=0, rows=64)
    assert had.index(True) == 513


def test_fits_are_of_the_recent_keys_after_they_were_enqueued() -> None:
    memory, ring = Prototypes(STREAMS, 3, 6, recent=16, refresh=2, seed=7), queue()
    fits = []
    for i in range(8):
        step(memory, ring, i)
        fits.append(memory.fits)
    assert fits == [0, 0, 1, 2, 2, 3, 3, 4]  # first in the third step, then every second
    recent = torch.stack([ring.recent(16)[s] for s in STREAMS])
    want = spherical_kmeans(recent, 3, seed=(7 << 32) + 3).centres
    for i, s in enumerate(STREAMS):
        assert torch.equal(memory.current()[s], want[i])


def test_a_warm_start_continues() -> None:
    cold, warm = (Prototypes(STREAMS, 3, 6, recent=16, refresh=1, warm=w, iterations=1) for w in (False, True))
    ring = queue()
    ring.enqueue(keys(32, 0))
    for memory in (cold, warm):
        memory.prepare(ring, epoch=0, filled=32)
    assert torch.equal(cold.centres, warm.centres)
    before = warm.centres.clone()
    for memory in (cold, warm):
        memory.advance(ring, epoch=0, rows=0)
    recent = torch.stack([ring.recent(16)[s] for s in STREAMS])
    assert torch.equal(warm.centres, spherical_kmeans(recent, 3, start=before, iterations=1).centres)
    assert not torch.equal(cold.centres, warm.centres)


def test_state_travels() -> None:
    memory, ring = Prototypes(STREAMS, 3, 6, recent=16, refresh=3), queue()
    for i in range(4):
        step(memory, ring, i)
    other, twin = Prototypes(STREAMS, 3, 6, recent=16, refresh=3), queue()
    other.load_state_dict(memory.state_dict())
    twin.load_state_dict(ring.state_dict())
    for i in range(4, 9):
        step(memory, ring, i)
        step(other, twin, i)
    for name, value in memory.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize(("count", "options", "message"), [(0, {}, "0 prototypes"), (9, {"recent": 8}, "9 prototypes")])
def test_refusals(count: int, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Prototypes(STREAMS, count, 6, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="refreshed every 0"):
        Prototypes(STREAMS, 2, 6, refresh=0)
