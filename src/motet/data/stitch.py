"""Long recordings with known labels from clips of one person: sets of trimmed clips as a test of what finds bouts.

The recipe: the labelled clips of each person come in an order drawn from the seed and are joined, until a recording
lasts ``seconds``. A body is moved over the ground so that it continues where the last clip ended; ``gap`` seconds of
linear interpolation lie between clips and are unlabelled. Nothing else is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.tracks import rate
from motet.data.worn import SIDE, worn_left

Float = npt.NDArray[np.floating[Any]]


def stitch(
    archive: str | Path | MotionArchive,
    destination: str | Path,
    *,
    seconds: float = 60.0,
    gap: float = 0.3,
    track: str = "labels",
    seed: int = 0,
    overwrite: bool = False,
) -> MotionArchive:
    """Join the labelled clips of each person, of each side apart, to long recordings with a label track.

    Args:
        archive: labelled clips whose person (column ``subject``) is known.
        destination: archive to create.
        seconds: a recording ends with the clip that brings it to this length.
        gap: seconds of interpolation between two clips.
        track: label track that says which clip lies where.
        seed: of the order of clips.
        overwrite: replace an archive that is there.

    Raises:
        ConfigError: an unknown person or rate, or lengths that make no sense.
        DataError: no clip has a label.
    """
    source = MotionArchive.open(archive)
    if not seconds > 0 or not gap >= 0:
        raise ConfigError(f"seconds is {seconds}, gap {gap}; seconds must be positive, and gap not negative")
    fps = rate(source)
    people = source.clips["subject"]
    if people.null_count():
        raise ConfigError(f"{source.path}: the person of a clip is unknown; add a column subject by `motet data label`")
    used, sides = np.flatnonzero(source.labels >= 0), worn_left(source)
    if not len(used):
        raise DataError(f"{source.path}: no clip has a label, so nothing can be stitched; label clips first")
    draw = np.random.default_rng(seed)
    with ArchiveWriter(
        destination,
        skeleton=source.skeleton,
        persons=source.persons,
        fps=fps,
        units=source.units,
        channels=source.channels,
        class_names=source.class_names,
        source={**source.source, "stitch": str(source.path.name), "seed": seed, "seconds": seconds, "gap": gap},
        licence=source.licence,
        simulated=source.simulated,
        overwrite=overwrite,
    ) as writer:
        for person in sorted(set(people.gather(used).to_list())):
            own = [i for i in used if people[int(i)] == person]
            groups = [draw.permutation([i for i in own if sides[i] == side]) for side in dict.fromkeys(sides[own])]
            parts = [part for group in groups for part in _parts(group, source.lengths, seconds * fps)]
            for number, part in enumerate(parts):
                frames, labels = _joined(source, part, round(gap * fps))
                columns = {SIDE: source.clips[SIDE][part[0]]} if SIDE in source.clips.columns else {}
                name = f"p{person:03d}_{number:02d}"
                writer.add(frames, name=name, subject=person, tracks={track: labels}, **columns)
    return MotionArchive.open(destination)


def _parts(clips: npt.NDArray[np.int64], lengths: npt.NDArray[Any], frames: float) -> list[list[int]]:
    """Clips of each recording; a rest that is shorter than half a recording is joined to the last one."""
    parts: list[list[int]] = [[]]
    for clip in clips.tolist():
        if lengths[parts[-1]].sum() >= frames:
            parts.append([])
        parts[-1].append(clip)
    if len(parts) > 1 and lengths[parts[-1]].sum() < frames / 2:
        rest = parts.pop()
        parts[-1] += rest
    return parts


def _joined(source: MotionArchive, clips: list[int], gap: int) -> tuple[Float, list[str | None]]:
    made: list[Float] = []
    labels: list[str | None] = []
    for clip in clips:
        frames: Float = np.array(source.clip(clip), dtype=np.float64)
        if made:
            frames = _moved(frames, made[-1][-1], source)
            made.append(_between(made[-1][-1], frames[0], gap))
            labels += [None] * gap
        made.append(frames)
        labels += [source.class_names[source.labels[clip]]] * len(frames)
    return np.concatenate(made).astype(np.float32), labels


def _moved(frames: Float, last: Float, source: MotionArchive) -> Float:
    """A body moved over the ground so that its centre joint begins where (P, V, C) ``last`` has it; absent stays so."""
    skeleton = source.skeleton
    if skeleton.kind == "sensor" or skeleton.up is None or frames.shape[-1] < 3:
        return frames
    step = last[0, skeleton.center] - frames[0, 0, skeleton.center]
    step["xyz".index(skeleton.up[1])] = 0
    seen = frames.any(axis=-1, keepdims=True)
    return np.where(seen, frames + step, 0.0)


def _between(before: Float, after: Float, count: int) -> Float:
    """(count, P, V, C) poses on the straight way; a joint that is absent on one side is absent."""
    share = ((np.arange(count) + 1) / (count + 1))[:, None, None, None]
    seen = before.any(axis=-1, keepdims=True) & after.any(axis=-1, keepdims=True)
    return np.asarray(np.where(seen, before * (1 - share) + after * share, 0.0))
