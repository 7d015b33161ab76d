"""Simulated recordings of hands, written into an archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track as progress_of

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.convert import convert
from motet.data.simulate.cameras import hand_view, project, see
from motet.data.simulate.draws import generator
from motet.data.simulate.hands.anatomy import LAYOUT, Array
from motet.data.simulate.hands.gestures import WRITTEN
from motet.data.simulate.hands.invented import invented as invented_gestures
from motet.data.simulate.hands.performance import make_performer, perform, track
from motet.data.simulate.options import Options, layout_of, written
from motet.data.simulate.sensors import OPTICAL_NOISE, PIXELS


def simulate_hands(destination: str | Path, options: Options, *, overwrite: bool, progress: bool) -> MotionArchive:
    """Make a labelled set of simulated recordings of one hand; no sensor recorded anything of it.

    Clip ``i`` is of class ``i % classes``, by actor ``(i // classes + i % classes) % actors``; written gestures come
    first, then invented ones. A clip depends on the seed and its number alone.

    Args:
        destination: directory of the archive.
        options: checked already but for ``actions`` and ``layout``.
        overwrite, progress: as of :func:`motet.simulate.simulate`.

    Raises:
        ConfigError: more actions than there are, or a layout that is not of a hand.
    """
    if not 0 <= options.actions <= len(WRITTEN) or not options.actions + options.invented:
        raise ConfigError(f"actions must be between 1 and {len(WRITTEN)} for hands, not {options.actions}")
    source, layout = layouts.get(LAYOUT), layout_of(options)
    convert(np.zeros((1, len(source.joints), 3), np.float32), source, layout)  # says now what cannot be derived
    gestures = (*WRITTEN[: options.actions], *invented_gestures(options.seed, options.invented))
    actors = [make_performer(options.seed, number) for number in range(options.actors)]
    console = Console(stderr=True)
    shown = progress and console.is_terminal
    names = [g.name for g in gestures]
    with written(destination, options, layout, names, source={"hands": True}, overwrite=overwrite) as writer:
        for clip in progress_of(range(options.clips), "simulating", console=console, disable=not shown):
            label, repetition = clip % len(gestures), clip // len(gestures)
            actor = (repetition + label) % len(actors)
            draw = generator(options.seed, "gesture", clip)
            hand = perform(draw, gestures[label], actors[actor], options.fps)
            seen = _seen(generator(options.seed, "hand tracker", clip), hand, options.sensor)
            writer.add(
                convert(seen[:, None].astype(np.float32), source, layout) if layout != source else seen[:, None],
                name=f"sim-P{actor + 1:03d}R{repetition + 1:03d}A{label + 1:03d}",
                label=label,
                subject=actor + 1,
                repetition=repetition + 1,
                source="simulated",
            )
    return MotionArchive.open(destination)


def _seen(draw: np.random.Generator, hand: Array, sensor: str) -> Array:
    """(F, 21, 3) in the camera's axes: x right, y down, z away from it; in pictures (F, 21, 2) pixels."""
    if sensor == "picture":
        read = track(draw, hand).transpose(1, 2, 0)
        pixels = project(see(read, [hand_view(draw)], np.zeros(len(hand), np.int64)).transpose(2, 0, 1), draw)
        return np.asarray(pixels + PIXELS * draw.normal(size=pixels.shape))
    where = np.array([draw.normal(0, 0.12), draw.normal(0, 0.10), -draw.uniform(0.3, 0.7)])
    read = track(draw, hand) if sensor == "depth" else hand + OPTICAL_NOISE * draw.normal(size=hand.shape)
    out: Array = (read + where) * [1, -1, -1]
    return out
