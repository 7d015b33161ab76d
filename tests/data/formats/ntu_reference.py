"""NTU files for tests and benchmarks, and the straightforward line-by-line reader they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Body = tuple[int, np.ndarray]  # body id, (25, 3) coordinates


def skeleton_text(frames: Sequence[Sequence[Body]], digits: int = 7) -> str:
    """Text of a ``.skeleton`` file with the given bodies in each frame."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, points in bodies:
            lines.append(f"{body} 0 1 1 1 1 0 0.02764709 0.05745083 2")
            lines.append(str(len(points)))
            lines += [
                " ".join(f"{v:.{digits}f}" for v in p) + " 277.419 191.8218 1036.233 519.1677 -0.2059419 0.05349901 "
                "0.9692109 -0.1239193 2"
                for p in points
            ]
    return "\n".join(lines) + "\n"


def random_clip(rng: np.random.Generator, frames: int, bodies: int) -> list[list[Body]]:
    """Bodies that wander, with 64-bit ids as the Kinect gives them."""
    ids = [72057594037931101 + 97 * i for i in range(bodies)]
    pose = rng.normal(size=(bodies, 1, 25, 3)) + np.array([0.0, 0.0, 3.0])
    motion = np.cumsum(rng.normal(scale=0.01, size=(bodies, frames, 25, 3)), axis=1)
    return [[(ids[b], (pose + motion)[b, f]) for b in range(bodies)] for f in range(frames)]


def read_line_by_line(path: Path) -> list[list[dict[str, Any]]]:
    """Per frame, per body: its id and joints, every value converted."""
    header = ["bodyID", *(f"state{i}" for i in range(9))]
    fields = ["x", "y", "z", *(f"other{i}" for i in range(9))]
    sequence = []
    with path.open() as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                tokens = file.readline().split()
                body: dict[str, Any] = {"id": tokens[0]}
                body |= {k: float(v) for k, v in zip(header, tokens, strict=True)}
                body["joints"] = []
                for _ in range(int(file.readline())):
                    joint = {k: float(v) for k, v in zip(fields, file.readline().split(), strict=True)}
                    body["joints"].append(joint)
                bodies.append(body)
            sequence.append(bodies)
    return sequence


def released_selection(sequence: list[list[dict[str, Any]]]) -> np.ndarray:
    """(T, 2, 25, 3) as the released CMD and ISC code fills and ranks its slots (listing order, energy)."""
    data = np.zeros((4, len(sequence), 25, 3))
    for f, bodies in enumerate(sequence):
        for slot, body in enumerate(bodies[:4]):
            for j, joint in enumerate(body["joints"]):
                data[slot, f, j] = joint["x"], joint["y"], joint["z"]

    def energy(s: np.ndarray) -> float:
        seen = s[s.sum(-1).sum(-1) != 0]
        return float(sum(seen[:, :, c].std() for c in range(3))) if len(seen) else 0.0

    order = sorted(range(4), key=lambda slot: -energy(data[slot]))[:2]
    return data[order].transpose(1, 0, 2, 3)
