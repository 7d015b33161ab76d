"""Which axis points up in a set of recordings: what its files declare, how their skeletons rest, how bodies stand."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.data.convert import estimate_handedness, estimate_up
from motet.data.skeletons import Skeleton

Up = Literal["auto", "+x", "-x", "+y", "-y", "+z", "-z"]
Float = npt.NDArray[np.floating[Any]]

PROBED_FILES = 100  # evenly over the set
PROBED_FRAMES = 300  # of each of them
MAJORITY = 2 / 3  # share of the files in which bodies stand that overrules a rest pose


def probed(items: Sequence[Any]) -> list[Any]:
    """At most :data:`PROBED_FILES` items, evenly over all."""
    picks = np.unique(np.linspace(0, len(items) - 1, min(len(items), PROBED_FILES)).round().astype(int))
    return [items[i] for i in picks.tolist()] if len(items) else []


def some_frames(frames: Float) -> Float:
    """At most :data:`PROBED_FRAMES` frames, evenly over a clip."""
    return frames[:: max(1, -(-len(frames) // PROBED_FRAMES))]


def decide_up(
    clips: Mapping[str, Float],
    skeleton: Skeleton,
    *,
    asked: str = "auto",
    stated: str | None = None,
    rest: str | None = None,
    otherwise: str | None = None,
) -> str:
    """The axis that points up in a set of recordings; what speaks against it is said.

    Args:
        clips: frames (…, V, C) of each file; see :func:`probed` and :func:`some_frames`.
        skeleton: their joints.
        asked: the option ``up``; counts before everything else unless it is ``auto``.
        stated: what the files declare.
        rest: the axis along which the skeleton stands when nothing moves.
        otherwise: where nothing speaks; by default the skeleton's.
    """
    votes = {name: found for name, frames in clips.items() if (found := estimate_up(frames, skeleton))}
    counts = Counter(votes.values())
    seen, most = counts.most_common(1)[0] if counts else (None, 0)
    # a sure majority of files, or the rest pose, or what most files show
    majority = seen if most >= max(3, MAJORITY * len(votes)) else None
    found = (asked if asked != "auto" else None) or stated or majority or rest or seen
    if found is None:
        return otherwise or skeleton.up or "+y"
    against = [f"{name} stands along {axis}" for name, axis in votes.items() if axis != found]
    if rest is not None and rest != found:
        against.insert(0, f"the rest pose stands along {rest}")
    if against and asked == "auto":
        much = len(against) > len(votes) / 2
        listed = "; ".join(against[:3]) + (f"; and {len(against) - 3} more" if len(against) > 3 else "")
        warnings.warn(
            f"{found} is taken for up ({_reason(found, stated, majority, rest, most, len(votes))}), but {listed}; say "
            "which holds with --up",
            MotetWarning if much else MotetNote,
            stacklevel=3,
        )
    return found


def up_in_pictures(skeleton: Skeleton, asked: str) -> str | None:
    """The axis of a picture that points up: as asked, else as the layout says.

    Raises:
        ConfigError: z, which pictures have not.
    """
    if asked[1:] == "z":
        raise ConfigError(f"--up {asked}: the recordings have two coordinates, x and y; choose +y or -y")
    return skeleton.up if asked == "auto" else asked


def _reason(found: str, stated: str | None, majority: str | None, rest: str | None, most: int, votes: int) -> str:
    if found == stated:
        return "as the files declare"
    if found == majority:
        return f"as bodies stand in {most} of {counted(votes, 'file')}"
    return "as the skeleton rests" if found == rest else f"as bodies stand in {most} of {counted(votes, 'file')}"


def decide_handedness(clips: Mapping[str, Float], skeleton: Skeleton, asked: bool | None) -> bool:
    """Whether axes are right-handed: as asked, else as most files show it, else as the layout says; others are said."""
    if asked is not None:
        return asked
    seen = {name: estimate_handedness(frames, skeleton) for name, frames in clips.items()}
    votes = [vote for vote in seen.values() if vote is not None]
    share = sum(votes) / len(votes) if votes else 0.5
    found = skeleton.right_handed if share == 0.5 else share > 0.5
    against = [name for name, vote in seen.items() if vote is not None and vote != found]
    if against:
        listed = ", ".join(against[:3]) + (f" and {len(against) - 3} more" if len(against) > 3 else "")
        warnings.warn(
            f"the axes are taken for {'right' if found else 'left'}-handed, as most files show, but {listed} "
            f"{'is' if len(against) == 1 else 'are'} mirrored: import what is mirrored apart, with --right-handed "
            f"{'false' if found else 'true'}",
            MotetNote,
            stacklevel=3,
        )
    return found
