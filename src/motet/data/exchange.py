"""Labels and frames in and out of an archive, for other programs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.files import folder_written, refuse_existing, written
from motet.core.text import counted, file_name, first_of, pasted
from motet.data import frame_labels, layouts, track_files
from motet.data.apart import names_of
from motet.data.archive import MotionArchive
from motet.data.clip_table import csv_text
from motet.data.formats._compact import ABSENT, KNOWN, own_array
from motet.data.pieces import OWN
from motet.data.tracks import check, not_there, pass_over, rate, table, warn_of_variants

WHOLE = ("subject", "camera", "setup", "repetition")
"""columns of clips that are whole numbers, or names with a number each."""
_OTHERWISE = 0.02  # share by which a film and its recording may differ in length


def labelled(
    archive: MotionArchive,
    path: str | Path,
    track: str,
    *,
    form: str | None = None,
    recording: str | None = None,
    rater: str | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Add files of labels to an archive as a label track; where they name several, the one of that name, else all of
    them as ``TRACK name``.

    Args:
        archive: whose recordings they label.
        path: intervals (CSV, TSV, ELAN, BORIS, Audacity) or one label a frame; or a folder of such files, all of which
            are read.
        track: name of the track.
        form: of the files; seen in them by default.
        recording: recording that the file is about, where it does not say, or calls it otherwise.
        rater: whose labels they are, where a file does not say.
        overwrite: replace labels of the same recordings by the same raters; all others are kept.

    Returns:
        Intervals added to each track.

    Raises:
        ConfigError: the track has labels of these recordings by these raters already, or ``recording`` is given and
            the file is about several.
        DataError: names the first interval that does not fit its recording, or says that there is none; nothing is
            written.

    Warns:
        MotetWarning: names recordings that the archive does not have, where it has others of the files.
    """
    files = [Path(path)]
    if files[0].is_dir():
        files = sorted(f for f in files[0].iterdir() if f.is_file() and f.name[0] != "." and f.stat().st_size)
        if not files:
            raise DataError(f"{path} is a folder without files of labels")
    found = _read(archive, files, form, recording, rater)
    who = _parted(archive, found, path)
    if track in found:
        found = {name: rows for name, rows in found.items() if name in ("", track)}
    several = len({name for name in found if name}) > 1 or not who.isdisjoint(found)
    fresh: dict[str, list[dict[str, Any]]] = {}
    if not any(found.values()):
        raise DataError(f"{path} has no labels; nothing is added")
    for name, rows in found.items():
        own = f"{track} {name}" if several and name and not f" {track}".endswith(f" {name}") else track
        fresh.setdefault(own, []).extend(rows)
    added = {own: len(rows) for own, rows in fresh.items()}
    for own, rows in fresh.items():
        rows += _others(archive, own, rows, overwrite)
        check(table(rows), archive.tracks.durations, str(path), frame=1 / rate(archive))
    for own, rows in fresh.items():
        archive.tracks.save(own, rows, where=str(path))
        warn_of_variants(archive.tracks.classes(own), path)
    return added


def _parted(archive: MotionArchive, found: dict[str, list[dict[str, Any]]], path: str | Path) -> set[str]:
    """Part the states of BORIS in ``found`` into tracks, which is said; who is seen in recordings of several."""
    who = {name for row in range(len(archive)) for name in names_of(archive, row)} if archive.persons > 1 else set()
    for name in [name for name, rows in found.items() if any({*track_files.APART} & {*row} for row in rows)]:
        parted, way = track_files.apart(found.pop(name), 1 / rate(archive), who)
        found |= parted
        if way:
            each = " and ".join("behaviour" if key == "label" else key for key in way)
            why = "subjects are individuals of the recordings" if who & parted.keys() else "states overlap"
            said = f"{path}: {why}, so there is a track for each {each} ({', '.join(parted)})"
            warnings.warn(said, MotetNote, stacklevel=2)
    return who


def _read(
    archive: MotionArchive, files: Sequence[Path], form: str | None, recording: str | None, rater: str | None
) -> dict[str, list[dict[str, Any]]]:
    """Rows of files by track, each with its recording and rater, on the time of the archive."""
    known, found = track_files.file_names(archive.clips["name"]), dict[str, list[dict[str, Any]]]()
    frames = dict(zip(archive.clips["name"], archive.lengths.tolist(), strict=True))
    durations = archive.tracks.durations
    longest = max(durations.values())
    foreign: dict[str, str] = {}
    for file in files:
        own = frames.get(recording or track_files.named_by(file.stem, known)[0])
        for name, rows in track_files.read(file, form=form, fps=archive.fps, frames=own, longest=longest).items():
            named, abouts = [], {r: track_files.named_by(r, known) for r in dict.fromkeys(r["recording"] for r in rows)}
            if recording and len(abouts) > 1:
                raise ConfigError(
                    f"{file} is about several recordings ({first_of([*abouts], 'recording')}), so --recording "
                    f"{recording} would give it the labels of all: leave it out, or keep its rows only"
                )
            for row in rows:
                about, by = abouts[row["recording"]]
                about = recording or about
                if about not in frames:
                    remedy = "; say which one it is about with --recording" * (row["recording"] == file.stem)
                    foreign.setdefault(about, not_there(about, frames, str(file)) + remedy)
                    continue
                named.append(row | {"recording": about, "rater": row.get("rater") or by or rater})
            _warn_of_rate(archive, named, durations, file)
            found.setdefault(name, []).extend(frame_labels.placed(named, durations, 1 / rate(archive), str(file)))
    if foreign and not any(found.values()):
        raise DataError(next(iter(foreign.values())))
    pass_over([*foreign], files[0] if len(files) == 1 else files[0].parent)
    return found


def _warn_of_rate(
    archive: MotionArchive, rows: Sequence[Mapping[str, Any]], durations: Mapping[str, float], file: Path
) -> None:
    """Warn of recordings that last otherwise than their films do by BORIS: labels lie at other moments there."""
    films = {row["recording"]: row["film"] for row in rows if re.fullmatch(r"\d+(\.\d+)?", row.get("film", ""))}
    off = [n for n, film in films.items() if float(film) > 0 and abs(durations[n] / float(film) - 1) > _OTHERWISE]
    if off:
        film, lasts = float(films[off[0]]), durations[off[0]]
        warnings.warn(
            f"{file}: the film of {first_of(off, 'recording')} lasts {film:g} s, the recording {lasts:g} s: unless it "
            f"is a part, its frame rate is {rate(archive) * lasts / film:.4g} instead of {rate(archive):g}, and labels "
            "lie at other moments; import it again with --fps",
            MotetWarning,
            stacklevel=4,
        )


def _others(archive: MotionArchive, track: str, rows: list[dict[str, Any]], overwrite: bool) -> list[dict[str, Any]]:
    """What a track keeps when the rows of some recordings and raters come."""
    fresh = {(r["recording"], r["rater"]) for r in rows}
    before = archive.tracks[track].to_dicts() if track in archive.tracks else []
    twice = next((r for r in before if (r["recording"], r["rater"]) in fresh), None)
    if twice is not None and not overwrite:
        by = f" by {twice['rater']}" if twice["rater"] else ""
        raise ConfigError(
            f"{archive.path}: track {track!r} has labels of {twice['recording']}{by} already; pass --overwrite to "
            "replace them, or say who made these with --rater"
        )
    return [r for r in before if (r["recording"], r["rater"]) not in fresh]


def export(
    archive: MotionArchive,
    destination: str | Path,
    *,
    form: str = "csv",
    track: str | None = None,
    overwrite: bool = False,
) -> int:
    """Frames as one CSV a clip or one ``.npz``, or a label track frame by frame or in the form of another program.

    Args:
        archive: what to write.
        destination: folder to create; a file for ``npz``.
        form: ``csv``, ``npz``, ``frames`` (one label a frame, a CSV a recording), or a form of
            :func:`motet.data.track_files.write`.
        track: label track; the only one by default. ``csv`` and ``npz`` hold all of them.
        overwrite: replace what is there.

    Returns:
        Clips or intervals written.

    Raises:
        ConfigError: something is there, no such form or track, or a name for ``npz`` that does not end in it.
    """
    out = Path(destination)
    refuse_existing(out, overwrite, *[".npz"] * (form == "npz"))
    if form == "npz":
        if out.suffix.lower() != ".npz":
            raise ConfigError(f"{out}: --form npz writes one file whose name ends in .npz; call it {out.name}.npz")
        _npz(archive, out)
        return len(archive)
    with folder_written(out) as partial:
        if form == "csv":
            taken: set[str] = set()
            count = len(archive)
            for index, name in enumerate(archive.clips["name"]):
                text = csv_text(_csv(archive, index))
                (partial / f"{file_name(name, taken)}.csv").write_text(text, encoding="utf-8")
            (partial / "README.md").write_text(_readme(archive, out), encoding="utf-8")
            for track, rows in archive.tracks.items():
                (partial / f"{track}.intervals").write_text(csv_text(rows), encoding="utf-8")
        elif form == "frames":
            count = len(archive)
            for file, text in _frames(archive, archive.tracks.one(track)).items():
                (partial / file).write_text(text, encoding="utf-8")
        else:
            name = archive.tracks.one(track)
            rows = archive.tracks[name]
            count = len(rows)
            for file, text in track_files.write(rows, form, name=name, durations=archive.tracks.durations).items():
                (partial / file).write_text(text, encoding="utf-8")
    return count


def _frames(archive: MotionArchive, track: str) -> dict[str, str]:
    """A file for each recording, one label a frame."""
    classes, fps = archive.tracks.classes(track), rate(archive)
    files, found = track_files.file_names(archive.clips["name"]), dict[str, str]()
    for name, numbers in zip(archive.clips["name"], archive.tracks.all_frames(track, classes), strict=True):
        labels = [classes[n] if n >= 0 else None for n in numbers.tolist()]
        columns = {"frame": range(len(labels)), "time": np.arange(len(labels)) / fps, "label": labels}
        found[f"{files[name]}.csv"] = csv_text(pl.DataFrame(columns, schema_overrides={"label": pl.String}))
    return found


def _csv(archive: MotionArchive, index: int) -> pl.DataFrame:
    """One row a frame: time, joints, confidences, what is known of the clip, labels of tracks; absent is empty."""
    frames, certain = archive.clip(index), archive.clip_confidence(index)
    there = (frames != 0).any(axis=-1)
    columns: dict[str, Any] = {"frame": np.arange(len(frames))}
    if archive.fps is not None:
        columns["time"] = np.arange(len(frames)) / archive.fps
    for person in range(archive.persons):
        prefix = f"person{person}_" if archive.persons > 1 else ""
        for j, joint in enumerate(archive.skeleton.joints):
            for c, channel in enumerate(archive.channels):
                values = pl.Series(frames[:, person, j, c].astype(np.float64))
                columns[f"{prefix}{joint}_{channel}"] = values.set(pl.Series(~there[:, person, j]), None)
            if certain is not None:
                columns[f"{prefix}{joint}_confidence"] = certain[:, person, j].astype(np.float64)
    columns |= {name: [values[index]] * len(frames) for name, values in _known(archive).items()}
    for name in archive.tracks if archive.fps is not None else ():
        classes = archive.tracks.classes(name)
        frames_of = archive.tracks.frames(name, index, classes)
        column = f"{name} (track)" if name in columns or name in WHOLE else name
        columns[column] = [None if k < 0 else classes[k] for k in frames_of]
    return pl.DataFrame(columns)


def _known(archive: MotionArchive) -> dict[str, list[Any]]:
    """What is known of clips by column, as ``motet data import csv`` reads it: labels and people by their names."""
    clips = archive.clips
    found = {"label": [None if k < 0 else archive.class_names[k] for k in archive.labels.tolist()]}
    for name in clips.columns:
        if name not in (*OWN, "label", "source") and not (name.endswith("_name") and name[:-5] in WHOLE):
            found[name] = clips[f"{name}_name" if f"{name}_name" in clips.columns else name].to_list()
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def _readme(archive: MotionArchive, out: Path) -> str:
    """What the files of an export as CSV hold, and the commands that bring it back."""
    skeleton, further = archive.skeleton, [name for name in _known(archive) if name not in ("label", *WHOLE)]
    sensor = skeleton.kind == "sensor"
    options = ["--kind", "sensor" if sensor else "body", "--unit", archive.units]
    if not sensor and skeleton.up is not None and len(archive.channels) == 3:
        options += ["--up", skeleton.up, "--right-handed", str(skeleton.right_handed).lower()]
    if skeleton.name in layouts.names():
        options += ["--skeleton", skeleton.name]
    prefix = "person{person}_" * (archive.persons > 1)
    if prefix:
        options += ["--joints", f"{prefix}{{joint}}_{{axis}}"]
    if archive.confidence is not None:
        options += ["--confidence", f"{prefix}{{joint}}_confidence"]
    if archive.fps is not None:
        options += ["--fps", f"{archive.fps:.12g}"]
    if further:
        options += ["--columns", *further]
    if len(archive.tracks):
        options += ["--tracks", ""]  # their tables hold more than a label a frame
    lines = [f"motet data import csv {pasted(out)} again {pasted(*options)}"]
    for name in archive.tracks:
        lines.append(f"motet data label again {pasted(f'{out}/{name}.intervals')} --track {pasted(name)}")
    commands = "\n".join(lines)
    return (
        f"# {archive.path.name}\n\n{counted(len(archive), 'clip')}, a file each, a row a frame; layout "
        f"{skeleton.name}; values in {archive.units}. Columns of label tracks hold the label of each frame; their "
        "intervals, with raters and certainty, are the tables `TRACK.intervals`.\n\n"
        f"This makes an archive of it again:\n\n```bash\n{commands}\n```\n"
    )


def _npz(archive: MotionArchive, out: Path) -> None:
    """The compact layout that ``motet data import npz`` reads."""
    frames, skeleton = np.asarray(archive.frames), archive.skeleton
    arrays: dict[str, Any] = {
        "pos": frames[:, 0] if archive.persons == 1 else frames,
        "offset": np.concatenate([[0], np.cumsum(archive.lengths)]),
        "joint_names": np.array(skeleton.joints),
        "canonical_names": np.array(skeleton.canonical),
        "parents": np.array(skeleton.parents),
        "channel_names": np.array(archive.channels),
        "kind": np.array(skeleton.kind),
        "unit": np.array(archive.units),
        "label": archive.labels,
        "class_names": np.array(archive.class_names, dtype=np.str_),
        "name": np.array(archive.clips["name"].to_list()),
        "licence": np.array(archive.licence),
    }
    if skeleton.up is not None:
        arrays |= {"up": np.array(skeleton.up), "right_handed": np.array(skeleton.right_handed)}
    if archive.fps is not None:
        arrays["fps"] = np.array(archive.fps)
    if archive.confidence is not None:
        sure = np.asarray(archive.confidence)
        arrays["confidence"] = sure[:, 0] if archive.persons == 1 else sure
    arrays |= _npz_tracks(archive)
    for name in archive.sensors:
        arrays |= _npz_sensor(archive, name, arrays)
    arrays |= _npz_columns(archive, arrays)
    with written(out) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _npz_tracks(archive: MotionArchive) -> dict[str, Any]:
    """Intervals of all label tracks."""
    rows = [{"track": name, **row} for name, own in archive.tracks.items() for row in own.iter_rows(named=True)]
    if not rows:
        return {}
    clip = {name: n for n, name in enumerate(archive.clips["name"])}
    return {
        **{f"interval_{k}": np.array([r[k] for r in rows]) for k in ("track", "start", "end", "label")},
        "interval_clip": np.array([clip[r["recording"]] for r in rows]),
        "interval_rater": np.array([r["rater"] or "" for r in rows]),
        "interval_certainty": np.array([r["certainty"] for r in rows], dtype=np.float64),
    }


def _npz_sensor(archive: MotionArchive, name: str, taken: Collection[str]) -> dict[str, Any]:
    """A sensor that recorded next to the skeletons.

    Raises:
        ConfigError: its name is that of an array of the layout.
    """
    sensor, rows = archive.sensors[name], archive.sensor_rows(name).tolist()
    lengths = [0 if row < 0 else int(sensor.lengths[row]) for row in rows]
    arrays: dict[str, Any] = {
        name: np.concatenate([sensor.clip(row)[:, 0] for row in rows if row >= 0]),
        f"{name}_offset": np.concatenate([[0], np.cumsum(lengths)]),
        f"{name}_node_names": np.array(sensor.skeleton.joints),
        f"{name}_channel_names": np.array(sensor.channels),
        f"{name}_unit": np.array(sensor.units),
    }
    if sensor.fps is not None:
        arrays[f"{name}_fps"] = np.array(sensor.fps)
    if {*arrays} & {*KNOWN, *taken, "file", "allow_pickle"}:
        raise ConfigError(
            f"{archive.path}: the sensor {name!r} is called like an array of the compact layout; rename it"
        )
    return arrays


def _npz_columns(archive: MotionArchive, taken: Collection[str]) -> dict[str, Any]:
    """Further columns of clips: numbers as they are, texts as indices of their names."""
    arrays, titles = dict[str, Any](), list[str]()
    for values in archive.clips:
        column = values.name
        if column in (*OWN, "label") or values.null_count() == len(values):
            continue
        whole = column == "subject" and not (archive.clips["subject"] < 0).any()
        name = column
        if not whole and not own_array(column, {*taken, *arrays}):
            name = f"column_{len(titles)}"
            titles.append(column)
        if values.dtype == pl.String:
            names = values.drop_nulls().unique(maintain_order=True).to_list()
            number = {text: n for n, text in enumerate(names)}
            arrays[f"{name}_names"] = np.array(names)
            arrays[name] = np.array([-1 if v is None else number[v] for v in values])
        else:
            missing = -1 if whole else ABSENT
            arrays[name] = (values if values.dtype.is_float() else values.fill_null(missing)).to_numpy()
    return arrays | ({"column_titles": np.array(titles)} if titles else {})
