"""Features of a side, stream by stream and all streams together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from motet.metrics.neighbours import unit_rows


def together(streams: Sequence[str]) -> tuple[str, ...]:
    """Name of all streams together, none where there is one stream only."""
    return ("+".join(streams),) if len(streams) > 1 else ()


def with_concat(features: Mapping[str, Tensor], streams: Sequence[str]) -> dict[str, Tensor]:
    """(n, F) per stream, and side by side with each stream's rows scaled to length one; in the order of ``streams``."""
    found = {s: features[s] for s in streams}
    for name in together(streams):
        found[name] = torch.cat([unit_rows(features[s].float()) for s in streams], dim=1)
    return found
