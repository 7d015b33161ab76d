"""SLEAP: nodes of animals or people in a video, one file a clip.

Analysis files (``.analysis.h5``) hold ``tracks`` (individuals, 2, nodes, frames) in pixels, NaN where a node was not
seen, or the same with its axes in another order that the attribute ``dims`` names; ``point_scores``; ``node_names``;
``track_names``; ``edge_inds`` of the skeleton, which become the bones. Projects and predictions (``.slp``) hold
instances frame by frame; those a person labelled go before those that were predicted, and videos are recordings. Read
with ``h5py``.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.data.formats import _time
from motet.data.formats._files import natural_key, stem_of
from motet.data.formats._h5 import Item, array, edges, read_h5, texts
from motet.data.formats._people import Identities, People, Sighting, follow
from motet.data.formats._points import PointFormat, PointOptions, Recording

MOST_PERSONS = 50
_NUMBERED = re.compile(r"(?i)track[ _]?\d+")  # what SLEAP calls a track until somebody names it


@dataclass(frozen=True)
class Options(PointOptions):
    """Options of the ``sleap`` format.

    Attributes:
        persons: individuals kept of a clip, those seen best; by default as many as the file with most has. They are
            in the order of their names, of tracks that have none by how well they were seen.
        identities: those of the file as they are (``given``), or ``joined`` where one begins where another ended.
    """

    persons: int | None = None
    identities: Identities = "joined"


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


def _order(item: Item, shape: tuple[int, ...], nodes: int) -> tuple[int, ...]:
    """Positions of (frames, tracks, nodes, xy) among the axes of ``tracks``."""
    stated = texts(item.attributes.get("dims"))
    names = re.findall(r"\w+", stated[0]) if len(stated) == 1 else stated  # a list, or JSON of one
    wanted = ("frame", "track", "node", "xy")
    places = [next((i for i, n in enumerate(names) if str(n).lower().startswith(w)), None) for w in wanted]
    if len(shape) == 4 and sorted(p for p in places if p is not None) == [0, 1, 2, 3]:
        return tuple(p for p in places if p is not None)
    if len(shape) == 4 and shape[1] == 2 and shape[2] == nodes:
        return (3, 0, 2, 1)
    return (0, 1, 2, 3)


def _analysis(items: Mapping[str, Item], path: Path, persons: int | None) -> Recording:
    points = array(items, "tracks", path).astype(np.float64)
    nodes = texts(items["node_names"].values if "node_names" in items else None)
    if points.ndim != 4 or not nodes:
        raise DataError(f"{path}: tracks of shape {points.shape} and {len(nodes)} node_names are no analysis file")
    order = _order(items["tracks"], points.shape, len(nodes))
    points = points.transpose(order)
    if points.shape[2:] != (len(nodes), 2) or 0 in points.shape:
        raise DataError(f"{path}: tracks of shape {points.shape} do not fit (frames, individuals, {len(nodes)}, 2)")
    seen = np.isfinite(points).all(axis=-1)
    scores: npt.NDArray[Any] = seen.astype(np.float64)
    if "point_scores" in items and isinstance(items["point_scores"].values, np.ndarray):
        given = items["point_scores"].values
        # the axes of the scores are those of the tracks without x and y
        rest = [axis - (axis > order[3]) for axis in order[:3]]
        if given.ndim != 3 or given.transpose(rest).shape != seen.shape:
            raise DataError(f"{path}: point_scores of shape {given.shape} do not fit the tracks")
        scores = np.where(seen, np.nan_to_num(given.transpose(rest), posinf=1.0), 0).clip(0, None)
    names = texts(items["track_names"].values if "track_names" in items else None)
    pairs, there = edges(items, "edge_inds"), np.where(seen[..., None], points, 0)
    return _recording(path, nodes, pairs, there, scores, persons, dict(enumerate(names)))


def _recording(
    path: Path,
    nodes: Sequence[str],
    pairs: Sequence[Sequence[int]],
    points: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    persons: int | None,
    names: Mapping[Any, str],
) -> Recording:
    if len(set(nodes)) < len(nodes) or any(not 0 <= n < len(nodes) for pair in pairs for n in pair):
        raise DataError(f"{path}: its nodes or edges are not those of a skeleton")
    frames = [
        [Sighting(p, s, who) for who, (p, s) in enumerate(zip(*now, strict=True)) if p.any()]
        for now in zip(points, scores, strict=True)
    ]
    if not any(frames):
        raise DataError(f"{path}: nobody is seen in any frame")
    people = follow(frames, len(nodes), 2, persons or min(MOST_PERSONS, points.shape[1]), join=False)
    parents = parents_of(len(nodes), [(a, b) for a, b in pairs])
    return _of_people(people, names, joints=tuple(nodes), parents=tuple(parents) if pairs else None)


def _of_people(people: People, names: Mapping[Any, str], **about: Any) -> Recording:
    """People as a recording, with their names where tracks have some: then in the order of these."""
    known = [str(names.get(i, "")) for i in people.identities]
    order = [*range(len(known))]
    if all(known) and not any(map(_NUMBERED.fullmatch, known)):
        order.sort(key=lambda slot: natural_key(known[slot]))
    every = [*order, *range(len(order), people.frames.shape[1])]
    called = ", ".join(known[slot] or f"person{place + 1}" for place, slot in enumerate(order))
    columns = {"people": people.tracks} | ({"individuals": called} if any(known) else {})
    return Recording(points=people.frames[:, every], scores=people.confidence[:, every], columns=columns, **about)


def _fields(items: Mapping[str, Item], name: str, fields: Sequence[str], path: Path) -> npt.NDArray[Any]:
    found = items[name].values if name in items else None
    if not isinstance(found, np.ndarray) or not set(fields) <= set(found.dtype.names or ()):
        raise DataError(f"{path}: there is no table {name!r} with {', '.join(fields)}; it is no file of SLEAP")
    return found


def _project(items: Mapping[str, Item], path: Path, persons: int | None) -> list[Recording]:
    """Recordings of a ``.slp`` file, one a video."""
    try:
        stated = json.loads(texts(items["metadata"].attributes.get("json"))[0])
        names = [str(n["name"]) for n in stated["nodes"]]
        skeleton = stated["skeletons"][0]
        used = [n["id"] if isinstance(n["id"], int) else int(n["id"]["py/object"]) for n in skeleton["nodes"]]
        nodes = [names[i] for i in used]
        links = [(ln["source"], ln["target"]) for ln in skeleton.get("links", ()) if _is_body(ln.get("type"))]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{path}: its metadata have no nodes and skeleton ({type(error).__name__})") from error
    place = {node: at for at, node in enumerate(used)}
    pairs = [(place[a], place[b]) for a, b in links if isinstance(a, int) and a in place and b in place]
    frames = _fields(items, "frames", ("frame_id", "video", "frame_idx", "instance_id_start", "instance_id_end"), path)
    instances = _fields(items, "instances", ("instance_type", "track", "point_id_start", "point_id_end"), path)
    tables = {
        0: _fields(items, "points", ("x", "y", "visible"), path),
        1: _fields(items, "pred_points", ("x", "y", "visible"), path),
    }
    called = _track_names(items)
    clips: dict[int, dict[int, list[Sighting]]] = {}
    for row in frames:
        first, last = int(row["instance_id_start"]), int(row["instance_id_end"])
        if not 0 <= first <= last <= len(instances):
            raise DataError(f"{path}, frame {int(row['frame_idx'])}: its instances lie outside of the table")
        found = instances[first:last]
        own = found[found["instance_type"] == 0]
        moment = clips.setdefault(int(row["video"]), {}).setdefault(int(row["frame_idx"]), [])
        for one in own if len(own) else found:
            sighting = _instance(one, tables, len(nodes), path)
            moment += [] if sighting is None else [sighting]
    recordings = []
    for video, moments in sorted(clips.items()):
        timing = _time.of_numbers(moments, path)
        people: list[list[Sighting]] = [[] for _ in range(timing.count)]
        for at, sightings in zip(timing.place.tolist(), moments.values(), strict=True):
            people[at] = sightings
        most = persons or min(MOST_PERSONS, max(map(len, people)))
        if not most:
            continue
        tracked = follow(people, len(nodes), 2, most, join=False)
        parents = tuple(parents_of(len(nodes), pairs)) if pairs else None
        name = f"video{video}" if len(clips) > 1 else ""
        recordings.append(_of_people(tracked, called, joints=tuple(nodes), parents=parents, name=name))
    if not recordings:
        raise DataError(f"{path}: nobody is labelled or predicted in any frame")
    return recordings


def _track_names(items: Mapping[str, Item]) -> dict[Any, str]:
    """Names of a project's tracks by their numbers; each is JSON of the frame in which it begins and its name."""
    found = {}
    for number, text in enumerate(texts(items["tracks_json"].values if "tracks_json" in items else None)):
        with contextlib.suppress(ValueError):
            track = json.loads(text)
            name = (
                track[-1] if isinstance(track, list) and track else track.get("name") if isinstance(track, dict) else ""
            )
            found[number] = name if isinstance(name, str) else ""
    return found


def _is_body(kind: Any) -> bool:
    """Whether a link of a skeleton is a bone (1), not a symmetry (2)."""
    if isinstance(kind, dict):
        values = kind.get("py/reduce", [{}, {"py/tuple": [kind.get("py/id", 1)]}])
        kind = values[1].get("py/tuple", [1])[0] if len(values) > 1 and isinstance(values[1], dict) else 1
    return bool(kind != 2)


def _instance(one: Any, tables: Mapping[int, npt.NDArray[Any]], nodes: int, path: Path) -> Sighting | None:
    table = tables[1 if int(one["instance_type"]) else 0]
    rows = table[int(one["point_id_start"]) : int(one["point_id_end"])]
    if len(rows) != nodes:
        raise DataError(f"{path}: an instance has {counted(len(rows), 'point')}, its skeleton {nodes}")
    points = np.stack([rows["x"], rows["y"]], axis=1).astype(np.float64)
    seen = np.isfinite(points).all(axis=1) & rows["visible"].astype(bool)
    if not seen.any():
        return None
    scores = np.nan_to_num(rows["score"].astype(np.float64)) if "score" in (rows.dtype.names or ()) else np.ones(nodes)
    track = int(one["track"])
    return Sighting(
        np.where(seen[:, None], points, 0), np.where(seen, scores, 0).clip(0, None), None if track < 0 else track
    )


def _read(path: Path, options: Options) -> list[Recording]:
    if options.persons is not None and options.persons < 1:
        raise ConfigError(f"option persons is {options.persons}; it must be at least 1")
    analysis = ("tracks", "track_names", "node_names", "edge_inds", "point_scores")
    items = read_h5(path, (*analysis, "tracks_json", "frames", "instances", "points", "pred_points"))
    if "tracks" in items and "node_names" in items:
        return [_analysis(items, path, options.persons)]
    if "metadata" in items and "instances" in items:
        return _project(items, path, options.persons)
    known = any("non_index_axes" in item.attributes for item in items.values())  # of pandas
    remedy = (
        "DeepLabCut writes such files: import it as deeplabcut"
        if known
        else "in SLEAP, export the predictions as analysis HDF5"
    )
    raise DataError(f"{path}: no tracks and node_names; {remedy}")


FORMAT = PointFormat(
    files=r".+\.(h5|hdf5|slp)",
    what="analysis files of SLEAP (*.analysis.h5) or its projects (*.slp)",
    read=_read,
    prefix="sleap",
    measure=lambda channels, options: "px",
    confidence=True,
    stem=lambda name: re.sub(r"(?i)\.analysis$", "", stem_of(name)),
).format("SLEAP analysis files (.h5) and projects (.slp)", Options)
