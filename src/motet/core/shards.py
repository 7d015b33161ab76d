"""Parts of a job that a cluster runs apart: ``i/n`` is the i-th of n, and all of them joined are the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from motet.core.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """The ``number``-th of ``count`` contiguous parts, counted from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``"3/8"``.

        Raises:
            ConfigError: anything else.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"shard is {text!r}; it must be i/n with i from 1 to n, e.g. 3/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def part(self, total: int) -> slice:
        """Which of ``total`` things are its own; parts differ by one thing at most."""
        return slice(total * (self.number - 1) // self.count, total * self.number // self.count)


def in_order(shards: Sequence[str | None], names: Sequence[str]) -> list[int] | None:
    """Positions of shards in their order; None where these are no shards of one job.

    Raises:
        ConfigError: one of them is missing, or is there twice.
    """
    known = [Shard.parse(s) for s in shards if s]
    if len(known) < len(shards) or len({s.count for s in known}) != 1:
        return None
    order = sorted(range(len(known)), key=lambda i: known[i].number)
    numbers = [s.number for s in known]
    for number in range(1, known[0].count + 1):
        if numbers.count(number) != 1:
            said = "is missing" if number not in numbers else "comes twice"
            raise ConfigError(
                f"shard {number}/{known[0].count} {said} among {', '.join(names)}; merge needs each of them once"
            )
    return order
