"""A trained (or fresh) set of stream encoders that turns clips into features."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from motet._version import __version__
from motet.core.chance import Chance
from motet.core.errors import ConfigError, MotetWarning, RunError
from motet.core.shards import Shard
from motet.core.text import counted, pasted
from motet.core.units import stated, unit_name
from motet.data import inertial
from motet.data.adapt import check_adaptable, differ, unit_remedy
from motet.data.adapted import in_layout
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore, center_crop, warn_cut_off
from motet.data.preprocess import WHOLE, check_method
from motet.data.skeletons import Skeleton, coordinates
from motet.data.views import View
from motet.encoders import build_encoder, encode_together
from motet.encoders.clips import Folding
from motet.encoders.statistics import PER_SERIES, with_statistics
from motet.engine.checkpoint import load_checkpoint
from motet.engine.hub import is_hub_id
from motet.engine.model import Card, Embedding, Network
from motet.engine.model import Model as Face
from motet.engine.options import encoder_options
from motet.engine.run import Run, reading
from motet.engine.tensors import check_size, read_tensors, save_tensors
from motet.methods import faces
from motet.methods.frames import SECONDS, frame_features
from motet.methods.positives import views_of_neighbours
from motet.methods.recipe import Recipe
from motet.methods.whitening import Whitening

if TYPE_CHECKING:
    from typing import Self


_NUMBERS = 2**26
"""of the clips that pass the encoders at once"""
WHITENING = "whitening"
"""name below which weights keep the last map of a stream's features"""


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The module's weights in a checkpoint of a pretraining, of this version or the one before."""
    found: dict[str, Tensor] = checkpoint.get("learner", checkpoint)["host"]
    return found


def encoder_state(state: Mapping[str, Any], count: int) -> dict[str, Tensor]:
    """Weights of the first ``count`` query encoders of a network's state; those of other sensors come after them."""
    named = {k.removeprefix("encoders."): v for k, v in state.items() if k.startswith("encoders.")}
    return {k: v for k, v in named.items() if int(k.split(".")[0]) < count}


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Modules in eval mode, each as it was afterwards."""
    before = [(module, module.training) for module in modules]
    for module, _ in before:
        module.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.train(training)


def _below(weights: Mapping[str, Tensor], place: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{place}/"): v for k, v in weights.items() if k.startswith(f"{place}/")}


class Model(Face):
    """Stream encoders with the preprocessing and the views they were trained on.

    Attributes:
        recipe: configuration of the training.
        skeleton, persons, channels: what a clip looks like.
        streams: names of the streams; features come per stream.
        views: what each of them reads of a clip, in the same order.
        encoders: the query encoders; in eval mode but for those that a training is at.
        units: unit of the coordinates, None if unknown.
        by_name: whether it was trained on joints taken by their names from several layouts.
        whitening: what the features of each stream pass at last; empty unless the weights come with it.
    """

    trained_by = "pretrain"
    shards = True

    def __init__(
        self,
        recipe: Recipe,
        skeleton: Skeleton,
        persons: int,
        channels: int,
        *,
        encoders: Sequence[nn.Module] | None = None,
        device: str | torch.device = "cpu",
        units: str | None = None,
        by_name: bool = False,
    ) -> None:
        recipe = recipe.for_sensor("")  # streams of other sensors are models of their own
        self.recipe, self.skeleton, self.units = recipe, skeleton, unit_name(units) if units else units
        self.by_name = by_name
        self.persons, self.channels = persons, channels
        self.streams = recipe.streams
        self.views = [View.parse(s, skeleton) for s in self.streams]
        self.device = torch.device(device)
        if encoders is None:
            encoders = [
                build_encoder(
                    skeleton=v.skeleton, persons=persons, channels=channels, **encoder_options(recipe.encoder)
                )
                for v in self.views
            ]
            for encoder in encoders:
                encoder.eval()
        self.encoders = nn.ModuleList(encoders).to(self.device)
        self.whitening: dict[str, Whitening] = {}

    def __repr__(self) -> str:
        widths = sorted(set(self.sizes.values()))
        who = counted(self.persons, "person")
        return (
            f"Model({self.recipe.recipe}: {', '.join(self.streams)} of {self.skeleton.name}, {who}; "
            f"{' to '.join(map(str, (widths[0], widths[-1])[: len(widths)]))} features a stream on {self.device})"
        )

    @classmethod
    def fresh(cls, recipe: Recipe, archive: MotionArchive, seed: int = 0, device: str | torch.device = "cpu") -> Self:
        """An untrained model for an archive, initialised from ``seed``."""
        with Chance(seed):
            return cls(
                recipe, archive.skeleton, archive.persons, len(archive.channels), device=device, units=archive.units
            )

    @classmethod
    def from_run(cls, run: Run, device: str | torch.device = "cpu") -> Self:
        """The final weights of a run, or the latest checkpoint's if it has not finished.

        Raises:
            RunError: no weights, or damaged ones.
        """
        data = run.config["data"]

        shape = run.recipe, Skeleton.from_dict(data["skeleton"]), data["persons"], len(data["channels"])
        path = run.path / "model.safetensors"
        with reading(path):
            if path.exists():
                weights = read_tensors(path)[0]
                check_size(lambda: cls(*shape, device="meta").encoders, weights)
            with Chance():
                model = cls(*shape, units=data.get("units"), by_name=bool(data.get("by_name")))
            if path.exists():
                model.load_weights(weights)
            elif run.checkpoints:
                checkpoint = load_checkpoint(run.checkpoints)
                done, epochs = checkpoint["epoch"], run.recipe.epochs
                warnings.warn(
                    f"{run.path} has not finished: its weights are those after epoch {done} of {epochs}; continue "
                    f"with `motet resume {pasted(run.path)}`",
                    MotetWarning,
                    stacklevel=3,
                )
                state = network_state(checkpoint)
                model.encoders.load_state_dict(encoder_state(state, len(model.encoders)))
            else:
                raise RunError(f"{run.path} has no weights yet; continue with `motet resume {pasted(run.path)}`")
        model.device = torch.device(device)
        model.encoders.to(model.device)
        model.whitening = {s: part.to(model.device) for s, part in model.whitening.items()}
        return model

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers by ``stream/name``."""
        parts = [(s, encoder) for s, encoder in zip(self.streams, self.encoders, strict=True)]
        parts += [(f"{s}/{WHITENING}", part) for s, part in self.whitening.items()]
        return {
            f"{place}/{name}": tensor.detach().cpu().contiguous()
            for place, part in parts
            for name, tensor in part.state_dict().items()
        }

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Inverse of :meth:`weights`; raises RuntimeError where names or shapes differ."""
        self.whitening = {}
        for stream, encoder in zip(self.streams, self.encoders, strict=True):
            own = _below(weights, stream)
            if last := _below(own, WHITENING):
                self.whitening[stream] = Whitening(self.sizes_whitened()[stream]).to(self.device)
                self.whitening[stream].load_state_dict(last)
            encoder.load_state_dict({k: v for k, v in own.items() if not k.startswith(f"{WHITENING}/")})

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        save_tensors(path, self.weights())

    def untrained(self, seed: int) -> Self:
        """The same architecture freshly initialised: the random-encoder row of a table."""
        with Chance(seed):
            return type(self)(
                self.recipe,
                self.skeleton,
                self.persons,
                self.channels,
                device=self.device,
                units=self.units,
                by_name=self.by_name,
            )

    @property
    def clip_frames(self) -> int:
        """Frames that a whole clip is resized to."""
        return self.recipe.encode_frames or self.recipe.frames

    @property
    def adapts(self) -> bool:
        """Whether any layout that has the joints will do: those of clips in one form (:attr:`of_one_form`), and of
        several archives."""
        return self.of_one_form or self.by_name

    @property
    def of_one_form(self) -> bool:
        """Whether clips are brought to a form of the weights' own: bodies, hands and animals without size, readings of
        sensors."""
        return self.recipe.preprocess in WHOLE or self.skeleton.name == inertial.LAYOUT

    def check(self, archive: MotionArchive) -> None:
        """Refuse an archive whose clips are not laid out like those the model was trained on.

        Raises:
            ConfigError: says what differs.
        """
        if self.adapts:
            check_adaptable(archive, self)
            check_method(self.recipe.preprocess, self.skeleton, coordinates(archive.channels))
            if not self.of_one_form:
                self._check_units(archive, axes=False)
            return
        ours = (self.skeleton.joints, self.persons, self.channels)
        theirs = (archive.skeleton.joints, archive.persons, len(archive.channels))
        if ours != theirs:
            raise ConfigError(differ(archive, self))
        self._check_units(archive, axes=True)

    def _check_units(self, archive: MotionArchive, *, axes: bool) -> None:
        kind = archive.skeleton.kind
        facts = [("unit", stated(self.units, kind), stated(archive.units, kind))]
        if axes:
            facts.append(("up axis", self.skeleton.up, archive.skeleton.up))
            facts.append(("handedness", self.skeleton.handedness, archive.skeleton.handedness))
        for what, mine, other in facts:
            if None not in (mine, other) and mine != other:
                remedy = "import the recordings again in the axes of the training"
                if what == "unit":
                    place = archive.path.with_name(f"{archive.path.name}-converted")
                    remedy = unit_remedy(archive.skeleton, str(other), str(mine), archive.path, place)
                raise ConfigError(
                    f"the {what} of {archive.path} is {other}, that of the training clips {mine}: features would be "
                    f"meaningless; {remedy}"
                )

    def store(self, archive: MotionArchive, ids: npt.NDArray[np.int64] | Tensor | None = None) -> ClipStore:
        """The archive's clips, preprocessed as in training and resident on the model's device."""
        self.check(archive)
        with self.reading(archive) as source:
            return ClipStore(source, ids, preprocess=self.recipe.preprocess, device=self.device)

    @property
    def rate(self) -> float | None:
        """Frames per second to which clips are brought; None: as they are."""
        return inertial.RATE if self.skeleton.name == inertial.LAYOUT else None

    def reading(
        self, archive: MotionArchive, ids: Sequence[int] | None = None
    ) -> AbstractContextManager[MotionArchive]:
        """The archive in the layout of the model, while the context lasts; a copy holds clips ``ids`` alone."""
        return in_layout(archive, self, ids) if self.adapts else nullcontext(archive)

    def _windows(self, store: ClipStore, ids: Tensor, start: Tensor | None, length: Tensor | None) -> Tensor:
        if start is None or length is None:
            start, length = center_crop(store.lengths_of(ids))
        return store.windows(ids, start, length, self.clip_frames)

    def only(self, streams: Sequence[str], names: Sequence[str] | None = None) -> Self:
        """This model with some of its streams; in tables of another model by the names that these have there."""
        made, places = copy(self), [self.streams.index(s) for s in streams]
        made.recipe, made.streams = replace(self.recipe, streams=tuple(streams)), tuple(names or streams)
        made.views = [self.views[i] for i in places]
        made.encoders = nn.ModuleList(self.encoders[i] for i in places)
        made.whitening = {
            n: self.whitening[s] for s, n in zip(streams, made.streams, strict=True) if s in self.whitening
        }
        return made

    def folded(self) -> Self:
        """This model for many clips: the same features up to rounding, faster where an encoder can be."""
        made = copy(self)
        made.encoders = nn.ModuleList(e.folded() if isinstance(e, Folding) else e for e in self.encoders)
        return made

    def features(self, clips: Tensor, *, overlap: tuple[int, int] | None = None) -> list[Tensor]:
        """(B, T, P, V, C) clips of `clip_frames` frames → one (B, F) tensor per stream; eval mode, no gradient.

        ``overlap`` is ``every`` and ``shift`` of :class:`motet.encoders.clips.Sharing`, for encoders that are such.
        """
        with evaluating(self.encoders), torch.inference_mode():
            seen = [view(clips) for view in self.views]
            encoders = list(self.encoders)
            if overlap is None:
                made = encode_together(encoders, seen)
            else:
                made = [e.overlapping(x, *overlap) for e, x in zip(encoders, seen, strict=True)]  # type: ignore[operator]
            found = zip(self.streams, made, seen, strict=True)
            return [self.last(*part) for part in found]

    def last(self, stream: str, feature: Tensor, clips: Tensor) -> Tensor:
        """(B, F) of an encoder and the clips that it read → (B, :attr:`sizes`) of the stream.

        Where the weights come with a whitening, it is whitened, with the statistics of the clips next to it.
        """
        feature = feature.float()
        if stream not in self.whitening:
            return feature
        last = self.whitening[stream]
        whitened: Tensor = last(with_statistics(feature, clips, last.mean) if self.recipe.statistics else feature)
        return whitened

    @property
    def sizes(self) -> dict[str, int]:
        """stream → how many features a clip has."""
        return self.sizes_whitened() if self.whitening else self._learned()

    def sizes_whitened(self) -> dict[str, int]:
        """stream → how many features a clip has once they are whitened, its statistics among them."""
        more = self.persons * (self.channels + 1) * PER_SERIES if self.recipe.statistics else 0
        nodes = [len(view.skeleton) for view in self.views]
        return {s: size + more * n for (s, size), n in zip(self._learned().items(), nodes, strict=True)}

    def _learned(self) -> dict[str, int]:
        return {s: int(e.feature_size) for s, e in zip(self.streams, self.encoders, strict=True)}  # type: ignore[arg-type]

    def encode(
        self,
        store: ClipStore,
        ids: Tensor,
        *,
        start: Tensor | None = None,
        length: Tensor | None = None,
        batch_size: int = 256,
    ) -> dict[str, Tensor]:
        """Features of some clips, before any head, not normalised.

        Args:
            store: clips from :meth:`store`.
            ids: (n,) archive rows.
            start, length: (n,) crop of every clip in frames; the centre 95 % by default, as in the test protocol.
            batch_size: clips per forward pass, fewer where they are long.

        Returns:
            stream → (n, F) float32 on the model's device.
        """
        parts: list[list[Tensor]] = []
        ids = torch.as_tensor(ids, device=self.device)
        clip = self.clip_frames * self.persons * len(self.skeleton) * self.channels
        batch_size = max(1, min(batch_size, _NUMBERS // clip))
        for at in range(0, len(ids), batch_size):
            rows = slice(at, at + batch_size)
            crop = (None, None) if start is None or length is None else (start[rows], length[rows])
            parts.append(self.features(self._windows(store, ids[rows], *crop)))
        if not parts:
            raise ConfigError("there are no clips to encode")
        return {s: torch.cat([p[i] for p in parts]) for i, s in enumerate(self.streams)}

    def raw(self, store: ClipStore, ids: Tensor) -> dict[str, Tensor]:
        """stream → (n, T·P·V·C) the stream's view of the centre crop, flattened: the raw-feature row of a table."""
        clips = self._windows(store, torch.as_tensor(ids, device=self.device), None, None)
        return {s: view(clips).flatten(1) for s, view in zip(self.streams, self.views, strict=True)}

    def transform(self, archive: str | Path | MotionArchive) -> npt.NDArray[np.float32]:
        """(N, F) features of every clip of an archive, all streams side by side."""
        source = MotionArchive.open(archive)
        warn_cut_off(source, self.rate)
        faces.note_sides(self, source)
        store = self.store(source)
        features = self.encode(store, store.ids)
        return torch.cat(list(features.values()), dim=1).cpu().numpy()

    def frames(
        self, archive: str | Path | MotionArchive, index: int | str, *, seconds: float = SECONDS
    ) -> npt.NDArray[np.float32]:
        """(T, F) features of every frame of a recording, by number or name.

        See :func:`motet.methods.frames.frame_features`.
        """
        source = MotionArchive.open(archive)
        faces.note_sides(self, source)
        return frame_features(self, source, index, seconds=seconds)

    def embedding(self, source: str | Path, *, block_bytes: int = 0, shard: Shard | None = None) -> Embedding:
        """Features of an archive by its path, made a block at a time."""
        return faces.embedding(self, MotionArchive.open(source), block_bytes, shard)

    def exportable(self) -> Network:
        """Views and encoders as a module of tensors."""
        return faces.network(self)

    def streaming(self) -> Self:
        """This model; whether its encoders are causal shows where they are used."""
        return self

    def card(self, run: Run) -> Card:
        """What a model card says of the weights."""
        recipe, data = self.recipe, run.config["data"]
        simulated = " (simulated: no person was recorded)" if data.get("simulated") else ""
        trained = (
            f"{counted(run.config.get('train_clips', '?'), 'clip')}, split {run.split}"
            if run.split
            else "unknown clips"
        )
        labels = "with second views by class" if recipe.class_views else "without labels"
        began = []
        if "start" in run.config:  # a path stays on the machine that it is of; the digest says which weights they were
            place, digest = run.config["start"], run.config.get("start_digest")
            name = place if is_hub_id(place) else Path(place).name
            began.append(("started from", f"`{name}`" + (f", digest of the weights {digest}" if digest else "")))
            places = []
            if views_of_neighbours(recipe, run.config.get("sensors", ())):
                places.append(f"in {recipe.neighbour_views:g} of the second views")
            if recipe.neighbour_views and recipe.whiten:
                places.append("in the last map of the features")
            if places:
                labels += " but knowing who is who"
                near = "clips of other people (column `subject`) that are near in the features of the start count as"
                began.append(("neighbours", f"{near} one movement, {' and '.join(places)}"))
        return Card(
            f"{recipe.recipe} on {self.skeleton.name}",
            f"Encoders of {', '.join(recipe.streams)}, trained {labels} by `{recipe.recipe}` of motet {__version__}.",
            [
                ("trained on", f"{trained}{simulated}"),
                *began,
                ("terms of the recordings", data.get("licence", "unknown")),
                (
                    "input",
                    f"{counted(recipe.frames, 'frame')}, {counted(self.persons, 'person')}, "
                    f"{counted(len(self.skeleton.joints), 'joint')}, {', '.join(data['channels'])}",
                ),
                ("preprocessing", recipe.preprocess),
                ("encoder", str(recipe.encoder)),
                ("seed, epochs", f"{recipe.seed}, {recipe.epochs}"),
            ],
        )
