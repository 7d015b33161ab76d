from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError
from motet.losses import info_nce, mutual_distillation
from motet.memory.queue import Queue
from tests.losses.golden import STREAMS, toy


def filled_queue() -> Queue:
    queue = Queue(STREAMS, 8, 4).double()
    _, _, rings = toy()
    for stream in STREAMS:
        queue.ring(stream).copy_(rings[stream])
    return queue


def test_golden_two_steps_and_a_wrap() -> None:
    z, k, _ = toy()
    queue = filled_queue()
    old = queue.snapshot()
    queue.enqueue(k)
    assert int(queue.pointer) == 3
    for stream in STREAMS:
        torch.testing.assert_close(queue.ring(stream)[:3], k[stream], rtol=0, atol=0)
        torch.testing.assert_close(queue.ring(stream)[3:], old[stream][3:], rtol=0, atol=0)
    second = queue.snapshot()
    assert mutual_distillation(z, k, second, top_k=4).item() == pytest.approx(6.045822, rel=1e-6)
    contrast = sum(info_nce(z[s], k[s], second[s]).item() for s in STREAMS)
    assert contrast == pytest.approx(3.371073, rel=1e-6)
    queue.enqueue(k)
    queue.enqueue(k)
    assert int(queue.pointer) == 1


@settings(max_examples=60)
@given(st.integers(1, 9), st.lists(st.integers(1, 23), min_size=1, max_size=6))
def test_holds_the_last_keys_in_aligned_slots(size: int, batches: list[int]) -> None:
    queue = Queue(("a", "b"), size, 1)
    written: list[float] = []
    for count in batches:
        values = torch.arange(len(written), len(written) + count, dtype=torch.float32)[:, None]
        queue.enqueue({"a": values, "b": -values})
        written += values[:, 0].tolist()
    total = len(written)
    assert int(queue.pointer) == total % size
    assert int(queue.filled) == min(total, size)
    for age, value in enumerate(reversed(written[-size:])):
        slot = (total - 1 - age) % size
        assert queue.ring("a")[slot].item() == value
        assert queue.ring("b")[slot].item() == -value


def test_refusals() -> None:
    queue = Queue(("a", "b"), 4, 2)
    with pytest.raises(ConfigError, match="queue of"):
        queue.enqueue({"a": torch.ones(1, 2)})
    with pytest.raises(ConfigError, match="alignment"):
        queue.enqueue({"a": torch.ones(1, 2), "b": torch.ones(2, 2)})
    with pytest.raises(ConfigError, match="slot"):
        Queue(("a",), 0, 2)


def test_a_queue_knows_whose_keys_it_holds() -> None:
    queue = Queue(["a", "b"], 4, 2, owners=1)
    assert not queue.left_out(torch.tensor([-1 + 1, 7])).any()
    keys = torch.eye(2).repeat(2, 1)[:3]
    queue.enqueue({"a": keys, "b": keys}, ids=torch.tensor([7, 3, 7]))
    assert queue.left_out(torch.tensor([3, 7, 9])).tolist() == [
        [False, True, False, False],
        [True, False, True, False],
        [False] * 4,
    ]
    queue.enqueue({"a": keys, "b": keys}, ids=torch.tensor([9, 9, 1]))  # wraps
    assert queue.left_out(torch.tensor([7, 9])).tolist() == [[False, False, True, False], [True, False, False, True]]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 2)), max_size=9),
    st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 2)), min_size=1, max_size=4),
)
def test_a_queue_knows_whose_keys_are_of_the_same_person(
    held: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    queue = Queue(["a"], 6, 2, owners=2)
    if held:
        queue.enqueue({"a": torch.zeros(len(held), 2)}, ids=torch.tensor(held))
    slots: list[tuple[int, int] | None] = [None] * 6  # of noise
    for number, owner in enumerate(held):
        slots[number % 6] = owner

    def out(clip: int, person: int, slot: tuple[int, int] | None) -> bool:
        if slot is None:
            return False
        return clip == slot[0] or (person != slot[1] and person >= 0 and slot[1] >= 0)

    wanted = [[out(*who, slot) for slot in slots] for who in asked]
    assert queue.left_out(torch.tensor(asked)).tolist() == wanted
