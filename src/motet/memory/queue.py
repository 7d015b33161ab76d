"""The FIFO queue of past keys, slot-aligned across streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.core.text import counted


class Queue(nn.Module):
    """One ring of K slots per stream; slot j of every ring holds the key of the same clip.

    Rings start as random unit vectors, independent per stream, as in MoCo and CMD; ``filled`` tells how many slots
    hold real keys.

    Args:
        streams: names of the streams.
        size: K, slots per ring.
        dim: D, embedding size.
        generator: source of the initial noise.
        gaps: whether a clip may lack a stream; its slot then holds zeros there, and :meth:`held` tells.
        owners: what to remember of each slot's key, for :meth:`left_out`: 1 its clip, 2 its clip and its person.
    """

    pointer: Tensor
    filled: Tensor
    owner: Tensor

    def __init__(
        self,
        streams: Sequence[str],
        size: int,
        dim: int,
        *,
        generator: torch.Generator | None = None,
        gaps: bool = False,
        owners: int = 0,
    ) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f"a queue needs at least one slot, not {size}")
        self.streams, self.size, self.gaps = tuple(streams), size, gaps
        for number, _ in enumerate(self.streams):
            noise = normalize(torch.randn(size, dim, generator=generator), dim=1)
            self.register_buffer(f"ring_{number}", noise)
            if gaps:
                self.register_buffer(f"held_{number}", torch.ones(size, dtype=torch.bool))
        self.owners = owners
        if owners:
            self.register_buffer("owner", torch.full((size,) if owners == 1 else (size, owners), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def ring(self, stream: str) -> Tensor:
        """(K, D) live buffer of one stream."""
        ring: Tensor = getattr(self, f"ring_{self.streams.index(stream)}")
        return ring

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of all rings; they stay as they are when new keys come in."""
        return {s: self.ring(s).clone() for s in self.streams}

    def held(self) -> dict[str, Tensor]:
        """stream → (K,) bool, copies: slots whose clip has the stream (or that hold their initial noise still).

        Empty for a queue without gaps.
        """
        if not self.gaps:
            return {}
        return {s: getattr(self, f"held_{number}").clone() for number, s in enumerate(self.streams)}

    def left_out(self, ids: Tensor) -> Tensor:
        """(B, K) bool: slots that hold an older key of the clip itself or, where people are remembered, a key of
        somebody else.

        Args:
            ids: (B,) the clips of a step, or (B, 2) clips and people; nobody is somebody else of an unknown person, -1.
        """
        asked, held = ids.to(self.owner.device).reshape(len(ids), 1, -1), self.owner.reshape(self.size, -1)
        found = asked[..., 0] == held[:, 0]
        if self.owners > 1:
            person, others = asked[..., 1], held[:, 1]
            found = found | ((person != others) & (person >= 0) & (others >= 0))
        return found

    def recent(self, count: int) -> dict[str, Tensor]:
        """The ``count`` keys that came in last, the oldest of them first: stream → (count, D) copies.

        Raises:
            ConfigError: the queue has fewer slots.
        """
        if not 1 <= count <= self.size:
            raise ConfigError(f"{count} recent keys of a queue of {counted(self.size, 'slot')}; raise --queue-size")
        slots = (self.pointer + torch.arange(-count, 0, device=self.pointer.device)) % self.size
        return {s: self.ring(s)[slots] for s in self.streams}

    @torch.no_grad()
    def enqueue(
        self, keys: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None, ids: Tensor | None = None
    ) -> None:
        """Write a batch of keys into every ring at the same slots, wrapping at the end.

        Args:
            keys: stream name → (B, D), for every stream; with B > K only the last K are kept.
            present: stream name → (B,) bool, which clips have the stream; all, where it is left out.
            ids: (B,) clips, or (B, 2) clips and people, for a queue that remembers them.

        Raises:
            ConfigError: a stream is missing, or batches differ in size.
        """
        if set(keys) != set(self.streams):
            raise ConfigError(f"keys of {sorted(keys)} for a queue of {sorted(self.streams)}")
        rows = {len(k) for k in keys.values()}
        if len(rows) != 1:
            raise ConfigError(f"streams brought batches of different sizes {sorted(rows)}; slots would lose alignment")
        count = rows.pop()
        first = max(0, count - self.size)
        pointer = self.pointer.clone()
        slots = (pointer + torch.arange(first, count, device=pointer.device)) % self.size
        for stream, key in keys.items():
            ring = self.ring(stream)
            ring[slots] = key[first:].to(ring.dtype)
            if self.gaps:
                there = (present or {}).get(stream)
                held: Tensor = getattr(self, f"held_{self.streams.index(stream)}")
                held[slots] = True if there is None else there[first:]
        if self.owners:
            self.owner[slots] = -1 if ids is None else ids[first:].to(self.owner.device)
        self.pointer.copy_((pointer + count) % self.size)
        self.filled.copy_((self.filled + count).clamp_max(self.size))
