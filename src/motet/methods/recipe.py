"""Everything that decides a pretraining."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from motet.core.errors import ConfigError
from motet.core.options import HIDDEN, Count, Fraction, Frames, Natural, NotNegative, Options, Positive
from motet.data.augment import Augment
from motet.data.views import split_stream
from motet.data.worn import BRIDGE, MIRRORS
from motet.engine.options import Encoder, Loop, Optimiser
from motet.methods.base import Method

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class Recipe(Options):
    """Everything that decides a pretraining; the defaults are CMD's paper values on NTU RGB+D."""

    recipe: Annotated[str, HIDDEN]
    """name this configuration started from."""
    method: Method
    streams: tuple[str, ...] = ("joint", "motion", "bone")
    """views of the clip: joint, bone, motion, bone_motion, acceleration; 'joint[left_arm+right_arm]' restricts one."""
    per_sensor: tuple[str, ...] = ()
    """options of one sensor's streams, such as inertial:frames=100; of frames, encode-frames, preprocess, encoder,
    augmentation. A small recipe gives inertial sensors what it gives them alone."""
    whiten: NotNegative = 0.0
    """λ of the last map of the features, by which what differs between augmented views of one training clip counts
    less; a multiple of the scatter's mean, the larger the milder. 0: no such map."""
    whiten_by: Literal["view", "actor", "both"] = "view"
    """whose differences count less: those of views of a training clip, of clips in which simulated actors do the same
    action, or both. Actors are for encoders that read bodies or hands, as all from ``body`` or ``hand`` do."""
    statistics: bool = False
    """let features hold statistics and spectrum of the clip next to what is learned, whitened with it; they take no
    part in the training. Small recipes do so for sensors. Needs whiten."""
    keep_start: Fraction = 0.0
    """share of the start in the weights that are kept, where a training starts from a run or from weights: each number
    is (1 − share)·trained + share·start. By default what the recipe of the start says."""
    class_views: Fraction = 0.0
    """share of the clips whose second view is cut from another clip of their class, whose keys are no negatives then.
    It uses labels: the weights of the package were trained so on simulated actors, whose actions cost nothing."""
    neighbour_views: Fraction = 0.0
    """share of the clips whose second view is cut from a clip of another person that seems to show the same movement:
    each of the two is among the three clips of its person nearest to the other in the features of the start. In
    whitened features what differs between such clips counts less, too. By default what the recipe of the start says;
    0 where no two people are known."""
    frames: Frames = 64
    """frames that the encoder sees; clips are cropped and resized to it."""
    encode_frames: Frames | None = None
    """frames that whole clips are resized to when they are encoded; as many as in training by default. Crops are a part
    of a clip, so a convolution has seen more frames to a movement than whole clips of as many frames have."""
    preprocess: Literal[
        "cmd", "crossclr", "yaw", "body", "egocentric", "animal", "center", "first-frame", "sized", "hand",
        "bridge", "mirror", "mirror-x", "mirror-y", "mirror-z", "none",
    ] = "cmd"  # fmt: skip
    """what is taken out of the clips before the encoder: place, heading, size; of sensors lost samples and the side."""
    split: str | None = None
    """rule that says which clips train; by default the archive's own standard."""
    epochs: Natural = 450
    steps: Natural = 0
    """length of the training in steps, in place of epochs: as many whole epochs as they take; 0: ``epochs`` counts."""
    set_weights: tuple[Positive, ...] = ()
    """with several archives: how often each is drawn from; by default the square root of its number of clips."""
    batch_size: Count = 64
    """clips per step over all processes."""
    seed: Natural = 42
    encoder: Encoder = field(default_factory=Encoder)
    optimiser: Optimiser = field(default_factory=Optimiser)
    augment: Augment = field(default_factory=Augment)
    loop: Loop = field(default_factory=Loop)
    as_released: bool = False
    """follow the released code where it departs from the paper (epochs and drop one later)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.streams:
            raise ConfigError("a recipe needs at least one stream")
        if len(set(self.streams)) != len(self.streams):
            raise ConfigError(f"streams {', '.join(self.streams)} name one view more than once")
        if self.statistics and not self.whiten:
            raise ConfigError("statistics are whitened with the learned features; set whiten above 0")

    def called(self) -> str:
        return f"recipe {self.recipe}"

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """As :meth:`Options.with_options`; epochs named without steps say how long it trains, now and when repeated."""
        by_epochs = self.steps and "epochs" in options and "steps" not in options
        return super().with_options({**options, "steps": 0} if by_epochs else options)

    def for_sensor(self, sensor: str) -> Recipe:
        """What the streams of one sensor are trained and evaluated with; of the main archive for the empty name.

        Raises:
            ConfigError: an entry of ``per_sensor`` is not SENSOR:NAME=VALUE, or names an option that all share.
        """
        named = [split_stream(s) for s in self.streams]
        own = tuple(view for name, view in named if name == sensor)
        changes: dict[str, Any] = {"streams": own, "per_sensor": ()}
        if sensor:  # a start, and actors in its layout, are of the main archive
            changes |= {"whiten_by": "view", "keep_start": 0.0, "neighbour_views": 0.0}
        parts = (f.name for part in (Encoder, Augment) for f in fields(part))
        allowed = {"frames", "encode_frames", "preprocess", "statistics", *parts}
        for text in self.per_sensor:
            name, colon, rest = text.partition(":")
            option, equals, value = rest.partition("=")
            option = option.replace("-", "_")
            if not (colon and equals) or option not in allowed:
                raise ConfigError(
                    f"--per-sensor {text!r} is not SENSOR:NAME=VALUE with a name among {', '.join(sorted(allowed))}"
                )
            if name == sensor:
                changes[option] = read_value(value)
        return self.with_options(changes)


def fixed_by_start(own: Recipe) -> dict[str, Any]:
    """Options that a training takes from the recipe of the encoders that it starts from, and cannot choose."""
    # bridged is what every small recipe does of sensors, and the axis of a mirror is that of the device
    form = {} if own.preprocess in (BRIDGE, MIRRORS[0]) else {"preprocess": own.preprocess}
    return {f.name: getattr(own.encoder, f.name) for f in fields(Encoder)} | form


def kept_by_start(own: Recipe) -> dict[str, Any]:
    """Options that it takes from there where nothing else is asked for."""
    kept = {n: getattr(own, n) for n in ("frames", "encode_frames", "keep_start", "neighbour_views")}
    # views of a clip show no other camera, by which pictures differ most
    both = own.whiten_by != "view" and own.preprocess != "sized"
    return kept | {"whiten_by": "both" if both else own.whiten_by}


def read_value(text: str) -> Any:
    """A number or truth value from text; other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def written_value(value: Any) -> str:
    """What :func:`read_value` reads."""
    return value if isinstance(value, str) else json.dumps(value)


def option_names(recipe: Recipe) -> list[str]:
    """Names of all options of a recipe."""
    return [name for name in recipe.names() if name != "recipe"]


def recipe_from_dict(data: Mapping[str, Any]) -> Recipe:
    """Rebuild a recipe from its :meth:`~motet.core.options.Options.to_dict`.

    Raises:
        ConfigError: fields are missing or unknown, or the method is not one of motet's.
    """
    return Recipe.from_dict(data)
