"""SLEAP: nodes of animals or people in a video, from its analysis files (``.analysis.h5``), one file a clip.

``tracks`` (individuals, 2, nodes, frames) in pixels, NaN where a node was not seen; ``point_scores`` (individuals,
nodes, frames); ``node_names``; ``edge_inds`` (edges, 2) of the skeleton, which become the bones. Read with ``h5py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.formats._files import find_files
from motet.data.formats._h5 import opened, texts
from motet.data.formats._names import NamePattern
from motet.data.formats._people import Sighting, follow
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton


@dataclass(frozen=True)
class Options:
    """Options of the ``sleap`` format.

    Attributes:
        skeleton: layout (TOML file) with the nodes; by default those of the files, with their edges as bones.
        persons: individuals kept of a clip, those seen best; by default as many as the file with most has.
        fps: frames per second of the videos.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    skeleton: str | None = None
    persons: int | None = None
    fps: float | None = None
    pattern: str | None = None
    licence: str = "unknown"


@dataclass(frozen=True)
class Tracks:
    """What a file holds: (T, individuals, nodes, 2) pixels, (T, individuals, nodes) scores, names and edges."""

    points: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


def read_tracks(path: Path) -> Tracks:
    """Nodes of every frame; an unseen node is zero.

    Raises:
        ConfigError: the package ``h5py`` is not installed.
        DataError: no analysis file of SLEAP.
    """
    with opened(path) as file:
        if "tracks" not in file or "node_names" not in file:
            raise DataError(f"{path}: no tracks and node_names; in SLEAP, export the predictions as analysis HDF5")
        points = np.asarray(file["tracks"], dtype=np.float64)
        nodes = tuple(texts(np.asarray(file["node_names"]).ravel().tolist()))
        edges = np.asarray(file["edge_inds"], dtype=np.int64).reshape(-1, 2).tolist() if "edge_inds" in file else []
        scores = np.asarray(file["point_scores"], dtype=np.float64) if "point_scores" in file else None
    if points.ndim != 4 or points.shape[1] != 2 or points.shape[2] != len(nodes) or 0 in points.shape:
        raise DataError(f"{path}: tracks of shape {points.shape} do not fit (individuals, 2, {len(nodes)}, frames)")
    points = points.transpose(3, 0, 2, 1)
    seen = np.asarray(np.isfinite(points).all(axis=-1))
    if scores is None:
        scores = np.ones((points.shape[1], len(nodes), len(points)))
    if scores.shape != (points.shape[1], len(nodes), len(points)):
        raise DataError(f"{path}: point_scores of shape {scores.shape} do not fit the tracks")
    certain = np.where(seen, np.nan_to_num(scores.transpose(2, 0, 1), posinf=1.0), 0).clip(0, None)
    pairs = tuple((a, b) for a, b in edges)
    if len(set(nodes)) < len(nodes) or any(not (0 <= n < len(nodes)) for pair in pairs for n in pair):
        raise DataError(f"{path}: its nodes or edges are not those of a skeleton")
    return Tracks(np.where(seen[..., None], points, 0), certain, nodes, pairs)


def parents_of(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Parent of each node in the forest that edges make, without edges that close a loop.

    >>> parents_of(4, [(1, 0), (1, 2)])
    [1, -1, 1, -1]
    """
    parents = [-1] * count

    def root(node: int) -> int:
        while parents[node] >= 0:
            node = parents[node]
        return node

    for start, end in edges:
        if parents[end] < 0 and root(start) != end:
            parents[end] = start
    return parents


def _skeleton(tracks: Tracks, options: Options) -> Skeleton:
    if options.skeleton is not None:
        return layouts.get(options.skeleton)
    parents = parents_of(len(tracks.nodes), tracks.edges)
    return layouts.build(f"sleap-{len(tracks.nodes)}", tracks.nodes, parents, up="-y")


def discover(source: Path, options: Options) -> Plan:
    if options.persons is not None and options.persons < 1:
        raise ConfigError(f"option persons is {options.persons}; it must be at least 1")
    files = find_files(source, r"(?i).+\.(h5|hdf5)", what="analysis files of SLEAP (*.analysis.h5)")
    units = units_of(files, source)
    names = NamePattern(options.pattern, [u.name for u in units])
    first, persons, reason = None, 1, None
    for unit in units:
        try:
            tracks = read_tracks(unit.path)
        except DataError as error:
            reason = reason or error  # *read* will say so again, and can be told to go on
            continue
        first, persons = first or tracks, max(persons, tracks.points.shape[1])
    if first is None:
        raise reason or DataError(f"{source} holds no analysis files")
    skeleton = _skeleton(first, options)
    slots = options.persons or persons
    return Plan(
        units=[
            Unit(u.name, u.path, {"nodes": skeleton.joints, "persons": slots, "columns": names.columns(u.name)})
            for u in units
        ],
        skeleton=skeleton,
        persons=slots,
        fps=options.fps,
        measure="px",
        channels=("x", "y"),
        class_names=tuple(names.class_names),
        licence=options.licence,
        confidence=True,
        facts={"split": "odd-even"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    tracks, nodes = read_tracks(unit.path), unit.detail["nodes"]
    missing = [n for n in nodes if n not in tracks.nodes]
    if missing:
        raise DataError(f"{unit.path} lacks the nodes {', '.join(missing)}; it has {', '.join(tracks.nodes)}")
    order = [tracks.nodes.index(n) for n in nodes]
    points, scores = tracks.points[:, :, order], tracks.scores[:, :, order]
    frames = [
        [Sighting(p, s, who) for who, (p, s) in enumerate(zip(*now, strict=True)) if p.any()]
        for now in zip(points, scores, strict=True)
    ]
    if not any(frames):
        raise DataError(f"{unit.path}: nobody is seen in any frame")
    people = follow(frames, len(nodes), 2, unit.detail["persons"])
    columns = {**unit.detail["columns"], "people": people.tracks}
    name = re.sub(r"(?i)(\.analysis)?\.(h5|hdf5)$", "", unit.name)
    return [RawClip(name, people.frames, people.confidence, columns)]


FORMAT = Format(description="SLEAP analysis files (.h5)", options=Options, discover=discover, read=read)
