"""What the small recipes take from the data they meet: streams, frames, heading, batch, queue and length."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from motet.core.errors import ConfigError, MotetNote
from motet.data.archive import MotionArchive
from motet.data.heading import all_ways, turned_animals
from motet.data.inertial import views_of_kinds
from motet.data.preprocess import ANIMAL, EGOCENTRIC, SENSED, SIZED, check_method
from motet.data.skeletons import coordinates
from motet.data.splits import Split
from motet.data.worn import BRIDGE, MIRRORS, method_for, note_of, note_on
from motet.methods.recipe import Recipe
from motet.methods.recipes.shipped import SKELETONS

CROSS_VIEW_DEGREES = 40.0
"""headings drawn where test clips come from other cameras than the training clips."""
TURNED = ("yaw", "body", "cmd", "crossclr")
"""preprocessing that turns clips to one heading."""
SENSOR_FRAMES = 96
"""frames of inertial recordings, which move faster than joints."""


def is_small(recipe: Recipe) -> bool:
    """Whether a recipe is one for hundreds or thousands of clips, which fits itself to the data."""
    return recipe.recipe.partition("/")[2] in ("small", "small-gru", *SKELETONS, "wrist")


def cross_view(archive: MotionArchive, parts: Split) -> bool:
    """Whether the split tests on cameras that no training clip came from."""
    if "camera" not in archive.clips.columns:
        return False
    cameras = archive.clips["camera"].fill_null(-1).to_numpy()
    seen, asked = np.unique(cameras[parts.train]), np.unique(cameras[parts.test])
    return bool(len(asked)) and -1 not in asked and not np.isin(asked, seen).any()


def sensor_form(recipe: Recipe) -> dict[str, Any]:
    """Options of inertial recordings in a recipe of bodies: what they have no heading for, and what small ones like.

    Causal encoders are for streams, which have no whole clips to take statistics of.
    """
    form: dict[str, Any] = {"preprocess": "none"}
    if recipe.whiten and not recipe.encoder.causal:
        form["statistics"] = True
    if is_small(recipe) and not recipe.recipe.endswith("-gru"):
        form |= {"preprocess": BRIDGE, "frames": SENSOR_FRAMES, "encode_frames": None}
    return form


def fit_to_layout(
    recipe: Recipe, archive: MotionArchive, parts: Split, *, named: bool = True, live: bool = False
) -> Recipe:
    """A small recipe in the form that the layout allows.

    What has no bones has no streams of bones. Sensors have no heading and no position to centre, their statistics
    say much, lost samples are bridged, accelerations and turns are streams of their own next to both together, and
    where they were worn on both sides, readings of the left are mirrored. Bodies without a heading (2D, hands, no
    vertical) are centred by their first frame, animals that point in all directions turned to their heading; what is
    not in metres is brought to one size. Where the split crosses cameras, bodies are turned to one heading, and
    headings are drawn from a wider range. An own recipe, which is not ``named``, has its own streams, and what is for
    ``live`` streams keeps what is measured on whole clips.
    """
    skeleton, channels = archive.skeleton, len(archive.channels)
    left_out = () if skeleton.bones else tuple(s for s in recipe.streams if s.startswith("bone"))
    if left_out:
        recipe = replace(recipe, streams=tuple(s for s in recipe.streams if s not in left_out))
        if skeleton.kind != "sensor":
            warnings.warn(
                f"{archive.path}: {skeleton.name} has no bones, so it goes without the stream "
                f"{' and '.join(left_out)}; import it with --skeleton layout.toml to have them",
                MotetNote,
                stacklevel=2,
            )
    if skeleton.kind == "sensor":
        if recipe.preprocess not in (*SENSED, "none"):  # a recipe of bodies
            recipe = recipe.with_options(sensor_form(recipe))
        if named and is_small(recipe) and recipe.preprocess in (BRIDGE, "none"):
            recipe = recipe.with_options({"preprocess": method_for(archive, parts.train)})
        usual = recipe.encoder.encoder == "tcn" and recipe.streams == ("joint", "motion")
        if named and is_small(recipe) and usual:
            recipe = replace(recipe, streams=(*recipe.streams, *views_of_kinds(archive)))
    elif recipe.preprocess in ("yaw", "first-frame"):
        if not _has_heading(archive):
            above = named and recipe.preprocess == "yaw" and all_ways(archive, parts.train)
            recipe = replace(recipe, preprocess=EGOCENTRIC if above else "first-frame")
        elif cross_view(archive, parts):
            recipe = replace(recipe, preprocess="yaw")
        if named and recipe.recipe.endswith("/small") and not live:
            recipe = recipe.with_options({"preprocess": sized(recipe.preprocess, archive)})
    if not recipe.augment.rotate:
        return recipe
    if channels % 3 or (skeleton.up is not None and channels != 3):
        return recipe.with_options({"rotate": 0.0})
    return recipe.with_options({"rotate": CROSS_VIEW_DEGREES}) if cross_view(archive, parts) else recipe


def sized(method: str, archive: MotionArchive) -> str:
    """The method, or what it is called if it brings clips to one size.

    So are pictures, where who stands nearer is larger, animals, and what is not in metres: encoders learn little from
    numbers of hundreds. A joint alone has no size.
    """
    people = archive.units == "m" and coordinates(archive.channels) == 3 and method != EGOCENTRIC
    able = method in SIZED and len(archive.skeleton) > 1 and (archive.skeleton.bones or method != "yaw")
    return SIZED[method] if able and not people else method


def _has_heading(archive: MotionArchive) -> bool:
    try:
        check_method("yaw", archive.skeleton, coordinates(archive.channels))
    except ConfigError:
        return False
    return True


def described_views(recipe: Recipe, archive: MotionArchive, parts: Split) -> str:
    """What is done about sensors worn on both sides, or about cameras that no training clip came from, in one line;
    empty where there are none."""
    if recipe.preprocess in MIRRORS:
        said = note_of(recipe.preprocess, archive)
        return f"{said} (--preprocess {recipe.preprocess})" if said else ""
    if archive.skeleton.kind == "sensor":
        return note_on(None, archive) if method_for(archive, parts.train) == BRIDGE else ""
    if recipe.preprocess in (EGOCENTRIC, ANIMAL):
        return turned_animals(recipe.preprocess)
    if not cross_view(archive, parts):
        return ""
    turned = recipe.preprocess in TURNED
    drawn = f", headings are drawn from ±{recipe.augment.rotate:g}° in training" if recipe.augment.rotate else ""
    if turned:
        return (
            "the test clips come from cameras that no training clip came from: every clip is turned to one heading "
            f"(--preprocess {recipe.preprocess}){drawn}"
        )
    remedy = "; --preprocess yaw turns every clip to one heading" if _has_heading(archive) else ""
    return (
        "the test clips come from cameras that no training clip came from, and clips are not turned to one heading "
        f"(--preprocess {recipe.preprocess}){drawn}{remedy}"
    )


def fit_to_size(recipe: Recipe, clips: int, options: Mapping[str, Any], *, named: bool) -> Recipe:
    """A small recipe with batch and queue no larger than the training set allows.

    Args:
        recipe: with the given options in force.
        clips: how many clips train.
        options: what was given; it stays.
        named: whether the recipe was given by its name; one that fitted another set as it is keeps its queue.
    """
    processes = recipe.loop.processes
    shared = clips // processes * processes or processes
    fits: dict[str, Any] = {"batch_size": min(recipe.batch_size, shared)}
    if named or recipe.batch_size > shared:
        fits |= recipe.method.fitted(clips, fits["batch_size"])
    return recipe.with_options({k: v for k, v in fits.items() if k not in options})


def fit_to_steps(recipe: Recipe, clips: int) -> Recipe:
    """The recipe with as many epochs as its steps take."""
    return replace(recipe, epochs=math.ceil(recipe.steps / max(1, clips // recipe.batch_size)))
