"""A pretraining that starts from encoders that are there: those of a run, of a folder of weights, of the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError, RunError
from motet.core.text import pasted
from motet.data.adapt import ANYTHING
from motet.data.archive import MotionArchive
from motet.data.preprocess import SENSED
from motet.data.views import split_stream
from motet.engine.hub import FOLDER, is_shipped, named, shipped
from motet.engine.model import load
from motet.engine.options import Encoder
from motet.engine.run import Run
from motet.engine.tensors import digest_of_bytes
from motet.methods.base import Streams
from motet.methods.model import Model
from motet.methods.recipe import Recipe, fixed_by_start, kept_by_start
from motet.methods.recipes.shipped import SKELETONS
from motet.methods.rocket import ROCKET

USUAL = (*SKELETONS, "wrist")
"""weights that small recipes start from: the first that read the recordings"""
FRESH = "none"
"""the name of a start from new encoders"""


@dataclass(frozen=True)
class Start:
    """Encoders to start from.

    Attributes:
        name: what was asked for: a run directory, a folder of weights, or the name of weights.
        model: its encoders, on the CPU.
        place: where it is found again from another working directory.
    """

    name: str
    model: Model
    place: str

    @classmethod
    def open(cls, name: str | PathLike[str]) -> Start:
        """Read the encoders of a run or of weights.

        Raises:
            ConfigError: random convolutions, which have no weights.
            RunError: no such run or weights.
        """
        name = named(name)
        if str(name) == ROCKET:
            raise ConfigError(f"random convolutions have no weights to start from; choose {', '.join(USUAL)} or a run")
        place = str(name) if is_shipped(name) or not Path(name).exists() else str(Path(name).resolve())
        return cls(str(name), load(name, "cpu", ("pretrain",)), place)

    @classmethod
    def stored(cls, place: str) -> Start:
        """What a run says that it started from: a path, or a name that is that of the package."""
        if place in shipped():
            return cls(place, load(FOLDER / place, "cpu", ("pretrain",)), place)
        return cls.open(place)

    @classmethod
    def of_run(cls, run: Run) -> Start | None:
        """What a run began at, to continue it.

        Raises:
            RunError: there are other weights of that name or in that place now.
        """
        if "start" not in run.config:
            return None
        found = cls.stored(run.config["start"])
        if run.config.get("start_digest", found.digest) != found.digest:
            raise RunError(
                f"{run.path} began at other weights {pasted(found.name)} than those that are there now; train again, "
                "or continue it with the version of motet that began it"
            )
        return found

    @property
    def digest(self) -> str:
        """Of the encoders' weights."""
        return digest_of_bytes(self.model.weights())

    @property
    def facts(self) -> dict[str, str]:
        """What a run remembers of it."""
        return {"start": self.place, "start_digest": self.digest}

    @classmethod
    def reading(cls, archives: Sequence[MotionArchive], names: Sequence[str] = USUAL) -> Iterator[Start]:
        """The weights of the package, of some names, that read all of some recordings."""
        return (found for found in map(cls.stored, names) if all(map(found.reads, archives)))

    @classmethod
    def usual(cls, recipe: Recipe, archives: Sequence[MotionArchive], options: Mapping[str, Any]) -> Start | None:
        """The first of the weights :data:`USUAL` that read the recordings, where nothing else is said.

        None where none does, or an option speaks of another encoder or another form of the clips.

        Args:
            recipe: a recipe as it is known by its name.
            archives: the recordings.
            options: what was asked for by name.
        """
        own = {f.name for f in fields(Encoder)} | {"preprocess", "frames", "encode_frames", "as_released"}
        given = {name for name, value in options.items() if value not in SENSED}
        if recipe.encoder.encoder != "tcn" or own & given:
            return None
        wanted = set(options.get("streams", ()))
        return next((found for found in cls.reading(archives) if wanted <= set(found.model.streams)), None)

    def reads(self, archive: MotionArchive) -> bool:
        """Whether the encoders can read recordings."""
        try:
            self.model.check(archive)
        except ConfigError:
            return False
        return True

    def check(self, archive: MotionArchive) -> None:
        """Refuse recordings in a layout that the encoders do not read.

        Raises:
            ConfigError: says what differs.
        """
        try:
            self.model.check(archive)
        except ConfigError as error:
            said = str(error).removesuffix(ANYTHING)  # which has no weights to start from
            raise ConfigError(f"--start {pasted(self.name)}: {said}; --start {FRESH} trains new encoders") from error

    def fitted(self, recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
        """The recipe with the encoder, preprocessing and frames of the start, and what it keeps at the end.

        Args:
            recipe: what will train.
            options: what was asked for by name.

        Raises:
            ConfigError: an option, an encoder or a stream that the start does not have.
        """
        own = self.model.recipe
        shared = tuple(s for s in recipe.streams if split_stream(s)[0] or s in self.model.streams)
        if "streams" not in options and shared:
            recipe = recipe.with_options({"streams": shared})
        lacking = [s for s in recipe.for_sensor("").streams if s not in self.model.streams]
        if lacking:
            raise ConfigError(
                f"--start {pasted(self.name)} has no stream {lacking[0]!r}; choose --streams from "
                f"{' '.join(self.model.streams)}"
            )
        fixed, kept = fixed_by_start(own), kept_by_start(own)
        needed = {"encoder", "preprocess", *own.encoder.keywords}
        for name, value in fixed.items():
            if name in needed and name in options and options[name] != value:
                raise ConfigError(
                    f"--start {pasted(self.name)} has {name} {value}, not {options[name]}; leave "
                    f"--{name.replace('_', '-')} out, or train without --start"
                )
        if recipe.encoder.encoder != own.encoder.encoder:
            raise ConfigError(
                f"{recipe.recipe} trains the encoder {recipe.encoder.encoder}, --start {pasted(self.name)} has "
                f"{own.encoder.encoder}; choose a recipe with that encoder or leave --start out"
            )
        return recipe.with_options(fixed | {n: value for n, value in kept.items() if n not in options})

    def into(self, streams: Streams) -> None:
        """Give the encoders of a fresh method the weights of the start; streams of other sensors stay as they are."""
        found = dict(zip(self.model.streams, self.model.encoders, strict=True))
        for stream, encoder in zip(streams.streams, streams.encoders, strict=True):
            if stream in found:
                encoder.load_state_dict(found[stream].state_dict())
        streams.restarted()

    def blended(self, model: Model, share: float) -> Model:
        """A trained model part of the way back to the start: weights and statistics (1 − share)·own + share·start.

        Between two such ends lies a model that is often better than either, above all where little was trained on
        (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, https://arxiv.org/abs/2109.01903).

        Args:
            model: encoders that were trained from this start; they stay as they are.
            share: of the start, in [0, 1].
        """
        made = copy(model)
        made.encoders = deepcopy(model.encoders)
        began = dict(zip(self.model.streams, self.model.encoders, strict=True))
        for stream, encoder in zip(made.streams, made.encoders, strict=True):
            if stream not in began:
                continue
            own = encoder.state_dict()
            for name, value in began[stream].state_dict().items():
                if value.is_floating_point():
                    own[name].lerp_(value.to(own[name]), share)
        return made
