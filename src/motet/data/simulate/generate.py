"""Simulated recordings, written chunk by chunk into archives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from rich.console import Console
from rich.progress import track

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import convert
from motet.data.simulate.actions import PAIRS, SOLO, Interaction
from motet.data.simulate.actors import SIZES, Actor, make_actor
from motet.data.simulate.body import JOINT, JOINTS, Array, leg_length
from motet.data.simulate.cameras import CAMERAS, NEAREST, SETUPS, View, depth_view, film_view, optical_view, see
from motet.data.simulate.draws import generator
from motet.data.simulate.hands import anatomy
from motet.data.simulate.hands import generate as hand
from motet.data.simulate.imu import SENSORS, measure, sense
from motet.data.simulate.invented import invented as invented_actions
from motet.data.simulate.options import BodyOptions, Options, Sensor, layout_of, written
from motet.data.simulate.performance import Performance, Stage, perform, stage
from motet.data.simulate.programme import Programme, Table, compile_all
from motet.data.simulate.sensors import depth, optical, picture, roles
from motet.data.skeletons import Skeleton

LAYOUT = "kinect-v2"
LAYOUTS = {"body": LAYOUT, "hand": anatomy.LAYOUT}
"""what actors have"""
SHARE_OF_PAIRS = 0.18
"""Share of the classes that are interactions where there are two people (11 of 60 in NTU RGB+D)."""


@dataclass(frozen=True)
class Cell:
    """Where a clip stands in the design: every action by every actor, cameras and setups in turn."""

    clip: int
    label: int
    actor: int
    repetition: int
    camera: int
    setup: int

    @property
    def name(self) -> str:
        """NTU-like name that says simulated."""
        return (
            f"sim-S{self.setup:03d}C{self.camera:03d}P{self.actor + 1:03d}R{self.repetition:03d}A{self.label + 1:03d}"
        )


def cell(clip: int, actions: int, actors: int) -> Cell:
    """The design cell of a clip number."""
    label, actor, repetition = clip % actions, clip // actions % actors, clip // (actions * actors)
    return Cell(
        clip,
        label,
        actor,
        repetition + 1,
        camera=1 + (actor + label + repetition) % len(CAMERAS),
        setup=1 + (actor + 3 * repetition) % SETUPS,
    )


def action_classes(actions: int, persons: int) -> tuple[tuple[Programme, ...], tuple[Interaction, ...]]:
    """The written classes of an archive: actions of one person, then interactions where there are two.

    Raises:
        ConfigError: more actions than there are.
    """
    pairs = min(len(PAIRS), round(SHARE_OF_PAIRS * actions)) if persons == 2 else 0
    most = len(SOLO) + (len(PAIRS) if persons == 2 else 0)
    if not 1 <= actions <= most:
        raise ConfigError(f"actions must be between 1 and {most} for {persons} person(s), not {actions}")
    pairs = max(pairs, actions - len(SOLO))
    return SOLO[: actions - pairs], PAIRS[:pairs]


def _check(options: BodyOptions) -> Skeleton:
    for name, least in (("clips", 1), ("actors", 1), ("invented", 0)):
        if getattr(options, name) < least:
            raise ConfigError(f"{name} must be at least {least}, not {getattr(options, name)}")
    if options.sensor not in get_args(Sensor):
        raise ConfigError(f"sensor {options.sensor!r} is none of {', '.join(get_args(Sensor))}")
    if options.persons not in (1, 2):
        raise ConfigError(f"persons must be 1 or 2, not {options.persons}")
    if not 0 <= options.seed < 2**63:
        raise ConfigError(f"seed must be a whole number from 0 to 2^63 - 1, not {options.seed}")
    if not 5 <= options.fps <= 240:
        raise ConfigError(f"fps must be between 5 and 240, not {options.fps}")
    if options.dtype not in ("float32", "float16"):
        raise ConfigError(f"an archive stores float32 or float16, not {options.dtype}")
    if options.second_layout == options.layout:
        raise ConfigError(f"second_layout {options.second_layout!r} is the layout itself; choose another or none")
    return layout_of(options)


def _of_hands(options: BodyOptions) -> Options:
    """The options that hands have.

    Raises:
        ConfigError: one that they have not.
    """
    others = {"persons": options.persons != 1, "imu": options.imu, "second_layout": options.second_layout is not None}
    for name, given in others.items():
        if given:
            raise ConfigError(f"hands are simulated one at a time and by one camera; leave {name} out")
    return Options(**{f.name: getattr(options, f.name) for f in fields(Options)})


class _Company:
    """Actors, classes and compiled programmes of one simulation."""

    def __init__(self, options: BodyOptions) -> None:
        self.options = options
        solo, pairs = action_classes(options.actions, options.persons)
        others = invented_actions(options.seed, options.invented)
        self.names = [*(p.name for p in solo), *(p.name for p in pairs), *(p.name for p in others)]
        self.firsts: tuple[Programme, ...] = (*solo, *(p.first for p in pairs), *others)
        self.seconds = {len(solo) + i: pair for i, pair in enumerate(pairs)}
        self.programmes = (*self.firsts, *(p.second for p in pairs))
        self.table: Table = compile_all(self.programmes)
        self.actors: list[Actor] = [make_actor(options.seed, i) for i in range(options.actors)]
        self.sizes: Array = np.stack([a.size for a in self.actors])

    def cast(self, where: Cell) -> list[Performance]:
        """Who performs in a clip: one, or two for an interaction."""
        options, draw = self.options, generator(self.options.seed, "performance", where.clip)
        first = perform(
            draw, where.label, self.programmes[where.label], where.actor, self.actors[where.actor], options.fps
        )
        if where.label not in self.seconds:
            return [first]
        index = len(self.firsts) + list(self.seconds).index(where.label)
        other = (where.actor + int(draw.integers(1, max(2, options.actors)))) % options.actors
        second = perform(draw, index, self.programmes[index], other, self.actors[other], options.fps)
        # both keep the same time; and people give each other the right hand
        shared = {n: getattr(first, n) for n in ("frames", "cycles", "start", "trim", "warp", "sway_rate")}
        return [
            Performance(**{**vars(first), "mirrored": False}),
            Performance(**{**vars(second), **shared, "mirrored": False}),
        ]


@dataclass(frozen=True)
class Shot:
    """One clip, as it truly was and as its camera sees it without error.

    Attributes:
        cell: its place in the design.
        seen: (T, P, 25, 3) metres, camera frame.
        inertial: (T, 4, 3) true readings of the inertial sensors, or None.
    """

    cell: Cell
    seen: Array
    inertial: Array | None


def _place(company: _Company, cells: list[Cell], casts: list[list[Performance]], staged: Stage) -> Array:
    """(25, 3, F) body frames with partners turned round and set before the first."""
    positions = staged.posed.positions
    index = 0
    for where, cast in zip(cells, casts, strict=True):
        if len(cast) == 2:
            legs = company.sizes[where.actor]
            apart = company.seconds[where.label].distance * float(leg_length(_named(legs)))
            for person, sign in enumerate((1.0, -1.0)):
                start = staged.starts[index + person]
                part = positions[:, :, start : start + staged.lengths[index + person]]
                part[:, 0] *= np.float32(sign)
                part[:, 2] = np.float32(sign) * part[:, 2] - np.float32(sign * apart / 2)
        index += len(cast)
    return positions


def _named(sizes: Array) -> dict[str, float]:
    return dict(zip(SIZES, sizes.tolist(), strict=True))


def _view(options: BodyOptions, where: Cell, sideways: bool) -> View:
    draw = generator(options.seed, "camera", where.clip)
    if options.sensor == "optical":
        return optical_view(draw, sideways=sideways)
    view = film_view if options.sensor == "picture" else depth_view
    return view(draw, where.camera, where.setup, sideways=sideways)


def shoot(company: _Company, cells: list[Cell]) -> Iterator[Shot]:
    """Perform and film clips together; what a clip becomes does not depend on its company."""
    options = company.options
    casts = [company.cast(where) for where in cells]
    staged = stage([p for cast in casts for p in cast], company.table, company.sizes)
    inertial = _inertial(staged, [p for cast in casts for p in cast], options.fps) if options.imu else None
    positions = _place(company, cells, casts, staged)
    views = [_view(options, where, len(cast) == 2) for where, cast in zip(cells, casts, strict=True) for _ in cast]
    own = np.repeat(np.arange(len(views)), staged.lengths)
    seen = np.ascontiguousarray(see(positions, views, own).transpose(2, 0, 1))
    index = 0
    for where, cast in zip(cells, casts, strict=True):
        rows = [slice(staged.starts[i], staged.starts[i] + staged.lengths[i]) for i in range(index, index + len(cast))]
        clip = np.stack([seen[r] for r in rows], axis=1)
        if options.sensor != "optical":
            clip[..., 2] += max(0.0, NEAREST - float(clip[..., 2].min()))
        readings = None if inertial is None else np.ascontiguousarray(inertial[:, :, rows[0]].transpose(2, 0, 1))
        yield Shot(where, clip, readings)
        index += len(cast)


def _inertial(staged: Stage, performances: list[Performance], fps: float) -> Array:
    """(4, 3, F) true readings at the leading wrist and at the hip."""
    posed = staged.posed
    lengths, starts = staged.lengths, staged.starts
    leading = np.repeat([p.mirrored for p in performances], lengths)
    position = np.where(leading, posed.positions[JOINT["left_wrist"]], posed.positions[JOINT["right_wrist"]])
    frame = np.where(leading, posed.left_hand, posed.right_hand)
    hip = posed.positions[JOINT["spine_base"]]
    return np.concatenate(
        [measure(position, frame, starts, lengths, fps), measure(hip, posed.pelvis, starts, lengths, fps)]
    )


def simulate(
    destination: str | Path,
    *,
    clips: int = 500,
    actions: int = 24,
    invented: int = 0,
    actors: int = 20,
    sensor: Sensor = "depth",
    persons: int = 1,
    imu: bool = False,
    hands: bool = False,
    layout: str | None = None,
    second_layout: str | None = None,
    seed: int = 0,
    fps: float = 30,
    overwrite: bool = False,
    progress: bool = True,
    dtype: str = "float32",
    chunk: int = 256,
) -> MotionArchive:
    """Make a labelled set of simulated skeleton recordings; no sensor recorded anything of it.

    Actions are programmes of joint angles, feet and pelvis (:mod:`motet.data.simulate.actions`), performed by actors of
    differing build, tempo, amplitude, handedness and posture, never twice the same. Clip ``i`` is of class
    ``i % classes`` by actor ``(i // classes) % actors``; a clip depends on the seed and its number alone.

    Args:
        destination: directory of the archive. Further archives of the same performances lie next to it, with the same
            clip names: ``<destination>-<second_layout>`` and ``<destination>-imu``.
        clips: how many.
        actions: how many written classes; with two persons about one in six is an interaction.
        invented: how many further classes, of one person each: random key poses, cycles and gaits
            (:mod:`motet.data.simulate.invented`).
        actors: how many people; ``subject`` counts from 1.
        sensor: ``"depth"``: one of three depth cameras (column ``camera``) at −45, 0 and 45 degrees and of eight
            setups, with its noise, occlusion, drop-outs and limb swaps; ``"optical"``: sub-millimetre noise in a
            laboratory frame, ``camera`` and ``setup`` unknown; ``"picture"``: x and y in pixels, y down, as a pose
            estimator finds joints in films of cameras that stand farther to the side, too; of bodies two in five show
            the upper part alone.
        persons: person slots, 1 or 2.
        imu: also write what inertial sensors at the leading wrist and the hip measure (m/s², rad/s).
        hands: one hand in place of a body. ``actions`` are gestures (:mod:`motet.data.simulate.hands.gestures`),
            ``depth`` is a camera's hand tracker; clip ``i`` is by actor ``(i // classes + i % classes) % actors``.
        layout: joint layout of the archive, by name; ``kinect-v2`` by default, ``hand-21`` of hands.
        second_layout: also write the performances as a second sensor of this layout sees them, from the same place
            with errors of its own, in pictures through another lens.
        seed: from 0 to 2^63 − 1.
        fps: frames a second.
        overwrite: replace archives of these names.
        progress: show a bar on stderr.
        dtype: ``"float32"`` or ``"float16"``; inertial readings are float32 always.
        chunk: clips computed together; bounds the memory and changes nothing else.

    Returns:
        the archive at ``destination``, in metres: y up, x to the camera's left, z away from it; of hands y down, x to
        its right; in pictures x right, y down.

    Raises:
        ConfigError: an option out of range, an unknown layout or one that cannot be derived, or an archive in the way.
    """
    layout = layout or (anatomy.LAYOUT if hands else LAYOUT)
    shared = clips, actions, invented, actors, sensor, layout, seed, fps, dtype
    options = BodyOptions(*shared, persons, imu, second_layout)
    if chunk < 1:
        raise ConfigError(f"chunk must be at least 1, not {chunk}")
    main = _check(options)
    if hands:
        asked = _of_hands(options)
        return hand.simulate_hands(destination, asked, overwrite=overwrite, progress=progress)
    return _simulate_bodies(Path(destination), options, main, overwrite=overwrite, progress=progress, chunk=chunk)


def _simulate_bodies(
    destination: Path, options: BodyOptions, main: Skeleton, *, overwrite: bool, progress: bool, chunk: int
) -> MotionArchive:
    company = _Company(options)
    source = layouts.get(LAYOUT)
    second = None if options.second_layout is None else layout_of(options, options.second_layout)
    for target in [main] if second is None else [main, second]:
        convert(np.zeros((1, len(JOINTS), 3), np.float32), source, target)  # says now what cannot be derived
    with ExitStack() as stack:

        def writer(suffix: str, skeleton: Skeleton, **changes: Any) -> ArchiveWriter:
            path = destination.with_name(destination.name + suffix)
            more = {"persons": options.persons, "overwrite": overwrite, **changes}
            return stack.enter_context(written(path, options, skeleton, company.names, **more))

        films = [_Film.of(writer("", main), source, "sensor")]
        if second is not None:
            films.append(_Film.of(writer(f"-{second.name}", second), source, f"sensor of {second.name}"))
        inertial = None
        if options.imu:
            worn = {"dtype": "float32", "units": "m/s^2, rad/s", "channels": ("x", "y", "z")}
            inertial = writer("-imu", SENSORS, persons=1, **worn)
        _shoot_all(company, source, films, inertial, chunk, progress)
    return MotionArchive.open(destination)


def _shoot_all(
    company: _Company,
    source: Skeleton,
    films: list[_Film],
    inertial: ArchiveWriter | None,
    chunk: int,
    progress: bool,
) -> None:
    options = company.options
    chunks = range(0, options.clips, chunk)
    console = Console(stderr=True)
    for start in track(chunks, "simulating", console=console, disable=not (progress and console.is_terminal)):
        numbers = range(start, min(options.clips, start + chunk))
        for shot in shoot(company, [cell(i, len(company.names), options.actors) for i in numbers]):
            columns = _columns(shot.cell, options.sensor)
            for film in films:
                film.archive.add(film.expose(shot, source, options), **columns)
            if inertial is not None and shot.inertial is not None:
                draw = generator(options.seed, "inertial", shot.cell.clip)
                inertial.add(sense(shot.inertial, draw), **columns)


@dataclass(frozen=True)
class _Film:
    """An archive being written, and the layout as the sensor's own axes have it."""

    archive: ArchiveWriter
    seen: Skeleton
    purpose: str

    @classmethod
    def of(cls, archive: ArchiveWriter, source: Skeleton, purpose: str) -> _Film:
        seen = replace(archive.skeleton, up=source.up, right_handed=source.right_handed)
        return cls(archive, seen, purpose)

    def expose(self, shot: Shot, source: Skeleton, options: BodyOptions) -> Array:
        """(T, P, V, C) of a clip as the sensor gives it."""
        draw = generator(options.seed, self.purpose, shot.cell.clip)
        clip = shot.seen if self.seen == source else convert(shot.seen, source, self.seen)
        if options.sensor == "picture":
            return picture(clip, draw, roles(self.seen))
        filmed = optical(clip, draw) if options.sensor == "optical" else depth(clip, draw, roles(self.seen))
        # errors belong to the camera's axes, so the layout's own axes come last
        skeleton = self.archive.skeleton
        return filmed if self.seen == skeleton else convert(filmed, self.seen, skeleton)


def _columns(where: Cell, sensor: Sensor) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "name": where.name,
        "label": where.label,
        "subject": where.actor + 1,
        "repetition": where.repetition,
        "source": "simulated",
    }
    if sensor != "optical":
        columns |= {"camera": where.camera, "setup": where.setup}
    return columns
