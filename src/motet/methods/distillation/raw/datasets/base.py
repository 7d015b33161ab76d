"""What an index of a folder gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from motet.methods.distillation.raw.manifest import Manifest

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Found:
    """Recordings of a data set.

    Attributes:
        manifest: of what is there.
        missing: what is not, one sentence each; empty if all is there.
        notes: what else is worth knowing.
    """

    manifest: Manifest
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def instead(what: str, found: int, wanted: int) -> list[str]:
    """A sentence if the number is not the published one."""
    return [] if found == wanted else [f"{found:,} {what} instead of {wanted:,}"]
