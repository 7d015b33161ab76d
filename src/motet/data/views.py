"""Views of a clip: joints, bones, their first differences, accelerations; of the whole layout or a part of it.

A view is what one stream sees (Mao et al., CMD, ECCV 2022, Sec. 3.1: joint, bone, motion). It is computed from the
augmented joints, so all streams of a clip see the same augmentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton

KINDS = ("joint", "bone", "motion", "bone_motion", "acceleration")
_PATTERN = re.compile(r"\s*(?P<kind>[a-z_]+)\s*(?:\[(?P<parts>[^\[\]]*)\])?\s*")


@dataclass(frozen=True)
class View:
    """One view of clips of a layout; build it with :meth:`parse` and call it on a batch.

    Attributes:
        kind: ``joint`` x; ``bone`` x_child − x_parent (a root's bone is zero); ``motion`` x_{t+1} − x_t, last frame
            zero; ``bone_motion`` the motion of the bones; ``acceleration`` x_{t+2} − 2 x_{t+1} + x_t, last
            two frames zero.
        nodes: indices of the joints that the view keeps, in storage order.
        name: normalised text, e.g. ``"bone[left_arm+head]"``; parsing it gives the view again.
        source: layout of the clips that the view is called on.
    """

    kind: str
    nodes: tuple[int, ...]
    name: str
    source: Skeleton

    @classmethod
    def parse(cls, text: str, skeleton: Skeleton) -> View:
        """Read ``kind`` or ``kind[part+joint+…]``; parts and joints by their names (a sensor's nodes by theirs).

        Raises:
            ConfigError: no such kind, part or joint; or bones of a layout that has none.
        """
        match = _PATTERN.fullmatch(text)
        if match is None or match["kind"] not in KINDS:
            raise ConfigError(f"view {text!r} is none of {', '.join(KINDS)}, optionally with [part+part…]")
        kind = match["kind"]
        if kind.startswith("bone") and not skeleton.bones:
            what = "a sensor" if skeleton.kind == "sensor" else "a layout without parents"
            raise ConfigError(f"view {text!r} needs bones, but {skeleton.name!r} is {what}; use --streams joint motion")
        if match["parts"] is None:
            return cls(kind, tuple(range(len(skeleton))), kind, skeleton)
        parts = [part.strip() for part in match["parts"].split("+")]
        if "" in parts:
            raise ConfigError(f"view {text!r} names no part between its brackets; {_offer(skeleton)}")
        for part in parts:
            if part not in skeleton.parts and part not in skeleton.joints and part not in skeleton.canonical:
                raise ConfigError(f"view {text!r}: {skeleton.name!r} has no {part!r}; {_offer(skeleton)}")
        return cls(kind, skeleton.select(parts), f"{kind}[{'+'.join(parts)}]", skeleton)

    @cached_property
    def skeleton(self) -> Skeleton:
        """Layout of the result: the kept joints, each linked to its nearest kept ancestor."""
        return sub_skeleton(self.source, self.nodes)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) -> (B, T, P, len(nodes), C)."""
        whole = len(self.nodes) == x.shape[3]
        nodes = torch.tensor(self.nodes, device=x.device)
        kept = x if whole else x.index_select(3, nodes)
        if self.kind.startswith("bone"):
            # parents may lie outside the kept nodes, so they are taken from the whole clip
            parents = torch.as_tensor(self.source.parent_index, device=x.device)[nodes]
            kept = kept - x.index_select(3, parents)
        if self.kind in ("motion", "bone_motion"):
            return difference(kept)
        return difference(kept, order=2) if self.kind == "acceleration" else kept


def split_stream(name: str) -> tuple[str, str]:
    """(sensor, view) of a stream: ``"inertial:motion"``; the sensor of a plain ``"motion"`` is the empty text."""
    before, bracket, after = name.partition("[")  # joints may have a colon in their names
    sensor, colon, view = before.rpartition(":")
    return (sensor.strip() if colon else "", f"{view}{bracket}{after}")


def difference(x: Tensor, order: int = 1) -> Tensor:
    """Forward difference over time (dim 1) of the same shape; the last ``order`` frames are zero."""
    out = torch.zeros_like(x)
    if x.shape[1] > order:
        out[:, :-order] = torch.diff(x, n=order, dim=1)
    return out


def sub_skeleton(skeleton: Skeleton, nodes: Sequence[int]) -> Skeleton:
    """The layout of some joints; a joint hangs on its nearest kept ancestor, or is a root if it has none."""
    if tuple(nodes) == tuple(range(len(skeleton))):
        return skeleton
    place = {node: i for i, node in enumerate(nodes)}

    def parent(node: int) -> int:
        above = skeleton.parents[node]
        while above not in (-1, node):
            if above in place:
                return place[above]
            node, above = above, skeleton.parents[above]
        return -1

    parts = {name: tuple(place[j] for j in joints if j in place) for name, joints in skeleton.parts.items()}
    return replace(
        skeleton,
        name=f"{skeleton.name}[{len(nodes)}]",
        joints=tuple(skeleton.joints[j] for j in nodes),
        parents=tuple(parent(j) for j in nodes),
        parts={name: joints for name, joints in parts.items() if joints},
        mirror=tuple((place[a], place[b]) for a, b in skeleton.mirror if a in place and b in place),
        center=place.get(skeleton.center, 0),
        canonical=tuple(skeleton.canonical[j] for j in nodes),
    )


def _offer(skeleton: Skeleton) -> str:
    parts = f"parts {', '.join(skeleton.parts)}; " if skeleton.parts else ""
    return f"it has {parts}joints {', '.join(skeleton.joints)}"
