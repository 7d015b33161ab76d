"""What is drawn from torch's global generators is the same alone and next to other threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from motet.core.chance import Chance


def test_it_continues_where_it_was_and_leaves_the_program_alone() -> None:
    torch.manual_seed(5)
    alone = torch.rand(4)
    torch.manual_seed(1)
    program = torch.rand(4)
    torch.manual_seed(1)
    chance, found = Chance(5), [torch.rand(1)]
    with chance:
        drawn = [torch.rand(1), torch.rand(1)]
        with chance, Chance(9):
            torch.rand(3)
    found.append(torch.rand(1))
    with chance:
        drawn.append(torch.rand(1))
        chance.rest()
        drawn.append(torch.rand(1))
    found += [torch.rand(1), torch.rand(1)]
    assert torch.equal(torch.cat(drawn), alone)
    assert torch.equal(torch.cat(found), program)


def test_threads_do_not_take_each_others_draws() -> None:
    both = threading.Barrier(2)

    def draws(seed: int) -> torch.Tensor:
        both.wait()
        with Chance(seed) as chance:
            found = []
            for _ in range(200):
                found.append(torch.rand(1))
                chance.rest()
        return torch.cat(found)

    with ThreadPoolExecutor(2) as pool:
        side_by_side = list(pool.map(draws, (1, 2)))
    for seed, found in zip((1, 2), side_by_side, strict=True):
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(found, torch.cat([torch.rand(1, generator=generator) for _ in range(200)]))
