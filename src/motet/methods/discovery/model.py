"""A finished discovery: features and clusters of new recordings."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from motet._version import __version__
from motet.core.chance import Chance
from motet.core.errors import ConfigError, MotetNote, RunError
from motet.core.files import written
from motet.core.shards import Shard
from motet.core.text import counted, pasted
from motet.core.units import METRES, stated
from motet.data.adapt import check_adaptable
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore
from motet.data.skeletons import SCORE, Skeleton, coordinates
from motet.data.worn import note_of
from motet.engine.examples import Examples, of_archive
from motet.engine.identity import changes
from motet.engine.model import Card, Embedding, Model, Network, filled
from motet.engine.run import Run, reading
from motet.engine.tensors import check_size, read_tensors, save_tensors
from motet.methods import recipes
from motet.methods.discovery.baselines import reference
from motet.methods.discovery.checks import check_recordings
from motet.methods.discovery.clusters import features, joined
from motet.methods.discovery.joints import CommonLayout, Retargeted, check_axes
from motet.methods.discovery.names import cluster_words, read_names
from motet.methods.discovery.scores import BRANCHES, predict
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.stored import KIND, read_result
from motet.methods.discovery.streams import StreamEncoder
from motet.methods.discovery.views import whole_clips
from motet.methods.model import Model as ClipModel
from motet.methods.whitening import Whitening


class Students(nn.Module):
    """Encoders and target classifiers of both branches: clips in two forms → features and logits of both."""

    def __init__(self, discovery: Discovery) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(b.student["encoder"] for b in discovery.pair)
        self.clusters = nn.ModuleList(b.student["clusters"] for b in discovery.pair)

    def forward(self, common: Tensor, own: Tensor) -> tuple[Tensor, ...]:
        features = [encoder(clips) for encoder, clips in zip(self.encoders, (common, own), strict=True)]
        return (*features, *(layer(x) for layer, x in zip(self.clusters, features, strict=True)))


def save_model(path: Path, discovery: Discovery, centres: Sequence[Tensor]) -> None:
    """Write both branches and their clusters' mean directions; what only training needs stays in the checkpoints."""
    kept = {k: v for k, v in discovery.branches.state_dict(prefix="branches.").items() if not k.endswith(".bank")}
    kept |= {f"centres.{name}": x for name, x in zip(BRANCHES, centres, strict=True)}
    with written(path) as partial:
        save_tensors(partial, kept)


class Found(Model):
    """A finished discovery, ready for recordings of the target's layout.

    Args:
        discovery: both branches.
        common: the form of source and target.
        own: form of the target's clips in ``units``.
        units: the target's unit.
        preprocess: of both.

    Attributes:
        discovery: both branches, in eval mode.
        skeleton: the target's layout.
        clusters: K.
        centres: (K, F) mean direction of each branch's clusters.
        outlier_below: similarity to it below which a clip fits nowhere, by branch.
        names: names that a reader gave to clusters, by branch.
    """

    trained_by = "discover"

    def __init__(
        self,
        discovery: Discovery,
        common: CommonLayout,
        own: CommonLayout,
        units: str,
        preprocess: str,
        *,
        centres: Sequence[Tensor],
        outlier_below: Mapping[str, float],
        names: Mapping[str, Mapping[int, str]],
    ) -> None:
        self.discovery, self.common, self.own = discovery.eval(), common, own
        self.skeleton, self.units, self.preprocess = own.skeleton, units, preprocess
        self.centres, self.outlier_below, self.names = centres, outlier_below, names

    def to(self, device: str | torch.device) -> Found:
        """The same with the branches on a device."""
        self.discovery.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the branches are; features and clusters come back to the processor."""
        return next(self.discovery.parameters()).device

    @property
    def adapts(self) -> bool:
        """Whether any body that has the joints will do, as both branches read the form of weights."""
        return self.own is self.common

    @property
    def persons(self) -> int:
        """Persons of a clip."""
        return self.own.persons

    @property
    def channels(self) -> int:
        """Coordinates of a joint."""
        return len(self.own.channels)

    @property
    def clusters(self) -> int:
        """K."""
        return self.discovery.pair[0].clusters

    def features(self, archive: MotionArchive) -> tuple[Tensor, Tensor]:
        """(N, F0) and (N, F1): features of both branches, by clip.

        Axes and unit are brought from what the archive declares to the target's.

        Raises:
            ConfigError: recordings of another layout, other coordinates or more persons than the target's, or in a
                unit that has nothing to do with its.
            DataError: their axes are mirrored against their declaration, or all their coordinates are zero.
        """
        if self.adapts:
            check_adaptable(archive, self)
        elif archive.skeleton.canonical != self.skeleton.canonical:
            raise ConfigError(
                f"{archive.path} has the layout {archive.skeleton.name!r}, but the clusters were found on "
                f"{self.skeleton.name!r}; write its clips in "
                "that layout with motet.data.convert.convert (docs/data/layouts.md)"
            )
        if not self.adapts and (
            len(archive.channels) != coordinates(self.own.channels) or archive.persons > self.persons
        ):
            raise ConfigError(
                f"{archive.path} has coordinates {', '.join(archive.channels)} and room for "
                f"{counted(archive.persons, 'person')}, but the clusters were found with "
                f"{', '.join(self.own.channels)} and {self.own.persons}; import it again in that form"
            )
        if SCORE in self.own.channels and archive.confidence is None:
            raise ConfigError(f"{archive.path} has no confidences, with which the clusters were found")
        check_recordings(archive)
        check_axes(archive)
        if not self.adapts:
            self._check_unit(archive)
        if said := note_of(self.preprocess, archive):
            warnings.warn(said, MotetNote, stacklevel=3)
        stores = [store for _, store in self._stores(archive)]
        first, second = features(self.discovery, stores, stores[0].ids)
        return first.cpu(), second.cpu()

    def _stores(self, archive: MotionArchive) -> list[tuple[str, ClipStore]]:
        """The clips as each branch sees them."""
        shown = Retargeted(archive, self.common), Retargeted(archive, self.own, self.units)
        return [(name, self._store(a)) for name, a in zip(BRANCHES, shown, strict=True)]

    def _store(self, archive: MotionArchive) -> ClipStore:
        return ClipStore(archive, preprocess=self.preprocess, device=self.device)

    def _predicted(self, pair: Sequence[Tensor]) -> list[Tensor]:
        """(N,) cluster of every clip by each branch."""
        return [found.cpu() for found in predict(self.discovery, [x.to(self.device) for x in pair])]

    def _check_unit(self, archive: MotionArchive) -> None:
        ours, theirs = (stated(u, archive.skeleton.kind) for u in (self.units, archive.units))
        if None not in (ours, theirs) and ours != theirs and not {ours, theirs} <= set(METRES):
            raise ConfigError(
                f"{archive.path} is in {archive.units!r}, but the clusters were found in {self.units!r}; declare its "
                "unit when it is imported"
            )

    @torch.no_grad()
    def shared(self, archive: MotionArchive) -> npt.NDArray[np.float32]:
        """(N, F0) features of the shared branch for recordings of any layout that has the common joints."""
        check_recordings(archive)
        if self.common.scale == "metres":
            self._check_unit(archive)
        store = self._store(Retargeted(archive, self.common))
        encoder = self.discovery.pair[0].student["encoder"]
        parts = [
            encoder(whole_clips(store, ids, self.discovery.settings.frames)) for ids in torch.split(store.ids, 256)
        ]
        return np.asarray(torch.cat(parts).cpu().numpy(), dtype=np.float32)

    def embedding(self, source: str | Path, *, block_bytes: int = 0, shard: Shard | None = None) -> Embedding:
        """Features of recordings of the target's layout by both branches, and their clusters."""
        archive = MotionArchive.open(source)
        pair = self.features(archive)
        table = self.label(archive)
        more: dict[str, Any] = {f"cluster_{name}": table[name].to_numpy() for name in BRANCHES}
        more |= {f"class_{name}": table[f"{name}_class"].to_numpy().astype(np.str_) for name in BRANCHES}
        more |= {f"similarity_{name}": table[f"{name}_similarity"].to_numpy() for name in BRANCHES}
        return Embedding(
            names=archive.clips["name"].to_numpy().astype(np.str_),
            labels=archive.labels,
            streams=BRANCHES,
            widths=[x.shape[1] for x in pair],
            fill=filled(torch.cat(pair, dim=1).numpy()),
            more=more,
            class_names=archive.class_names,
            facts=archive.clips.select(pl.exclude("sha256", "offset")),
        )

    def exportable(self) -> Network:
        """Both encoders with their target classifiers: clips in the common form and in the target's own, preprocessed
        and brought to the frames that the facts name → features and logits of the clusters."""
        forms = {"common": self.common, "own": self.own}
        shapes = [(form.persons, len(form.skeleton), len(form.channels)) for form in forms.values()]

        def example(rows: int, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
            return tuple(torch.randn(rows, steps, *shape, generator=generator) for shape in shapes)

        return Network(
            module=Students(self.discovery).eval().cpu(),
            inputs=tuple(forms),
            outputs=[*BRANCHES, *(f"clusters_{name}" for name in BRANCHES)],
            free={name: {0: "batch", 1: "frames"} for name in forms},
            example=example,
            facts={
                "motet": __version__,
                "method": self.discovery.settings.method.name,
                "frames": str(self.discovery.settings.frames),
                "preprocess": self.preprocess,
                "scale": self.common.scale,
                "names": json.dumps({b: cluster_words(self.names[b], self.clusters) for b in BRANCHES}),
                **{name: json.dumps(form.skeleton.to_dict()) for name, form in forms.items()},
            },
        )

    def streaming(self) -> ClipModel:
        """The encoder of the target's own layout (branch B1) as a model of clips."""
        if SCORE in self.own.channels:
            self.refuse("stream", "encoders of positions alone")
        recipe = replace(recipes.get("moco/small-gru"), recipe="discover", streams=("joint",), encode_frames=None)
        settings = self.discovery.settings
        recipe = recipe.with_options({"frames": settings.frames, "preprocess": self.preprocess})
        form, encoder = self.own, self.discovery.pair[1].student["encoder"]
        layout = form.skeleton, form.persons, len(form.channels)
        if not isinstance(encoder, StreamEncoder):
            return ClipModel(recipe, *layout, encoders=[encoder], units=self.units)
        recipe = recipe.with_options({"encoder": settings.encoder, "streams": settings.streams})
        made = ClipModel(recipe, *layout, encoders=list(encoder.encoders), units=self.units)
        made.encoders.eval()
        made.whitening = dict(zip(made.streams, cast("list[Whitening]", list(encoder.lasts)), strict=True))
        return made

    def examples(self, run: Run, data: str | Path | None, split: str | None) -> Examples:
        """Clips of the target, with the features of both branches."""
        config = run.config["target"]
        if data is None and not config["path"]:
            raise RunError(f"{run.path} holds weights without their recordings; name an archive by --data")
        archive = MotionArchive.open(data or config["path"])
        if data is None and (differ := changes(config, archive)):
            raise RunError(
                f"{archive.path} is not the target that {run.path} began with: {', '.join(differ)} changed; name it by "
                "--data to use it as it is"
            )
        own = (
            run.config["target_split"]
            if archive.hash == config["hash"] and run.config["target_split"] != "all"
            else None
        )
        trained = archive.hash == config["hash"] and split not in (None, own)
        seen = "clips that test took part in the discovery, without their labels" if trained else ""
        pair = self.features(archive)
        return of_archive(
            archive,
            split or own,
            features={name: x.numpy() for name, x in zip(BRANCHES, pair, strict=True)},
            raw={name: store_rows(store, self.discovery.settings.frames) for name, store in self._stores(archive)},
            method=self.discovery.settings.method.name,
            notes=[seen] if seen else [],
            reference=reference(archive),
        )

    def card(self, run: Run) -> Card:
        """What a model card says of the weights."""
        config, settings = run.config, self.discovery.settings
        target = config["target"]
        simulated = " (simulated: no person was recorded)" if target.get("simulated") else ""
        return Card(
            f"{counted(self.clusters, 'cluster')} of {self.skeleton.name} by {settings.method.name}",
            f"Two encoders and their clusters, found by `motet discover` of motet {__version__} without labels of the "
            "target.",
            [
                ("target", f"{counted(target['clips'], 'clip')}, split {config['target_split']}{simulated}"),
                (
                    "source",
                    f"{counted(config['source']['clips'], 'clip')} with {counted(len(config['known']), 'class')}",
                ),
                (
                    "terms of the recordings",
                    f"{target.get('licence', 'unknown')}, {config['source'].get('licence', 'unknown')}",
                ),
                (
                    "input",
                    f"{counted(settings.frames, 'frame')}, {counted(self.own.persons, 'person')}, "
                    f"{counted(len(self.skeleton), 'joint')}, {', '.join(self.own.channels)}, in {self.units}",
                ),
                ("preprocessing", self.preprocess),
                ("encoder", settings.encoder),
                ("seed, epochs", f"{settings.seed}, {settings.epochs} + {settings.finetune_epochs}"),
            ],
        )

    def transform(self, archive: str | Path | MotionArchive) -> npt.NDArray[np.float32]:
        """(N, F0 + F1) unit features of both branches side by side, by clip."""
        return np.asarray(joined(self.features(MotionArchive.open(archive))).numpy(), dtype=np.float32)

    def assign(self, archive: MotionArchive) -> dict[str, npt.NDArray[np.int64]]:
        """``{"B0": (N,), "B1": (N,)}`` clusters of every clip by each branch."""
        found = self._predicted(self.features(archive))
        return {name: c.numpy().astype(np.int64) for name, c in zip(BRANCHES, found, strict=True)}

    def label(self, archive: MotionArchive) -> pl.DataFrame:
        """A row per clip: ``name``, and for each branch ``B0`` (cluster), ``B0_class`` (its name), ``B0_similarity``,
        ``B0_outlier`` (whether the clip fits nowhere); likewise B1.
        """
        pair = self.features(archive)
        columns: dict[str, Any] = {"name": archive.clips["name"]}
        rows = zip(BRANCHES, pair, self._predicted(pair), self.centres, strict=True)
        for name, x, found, centres in rows:
            fit = (normalize(x, dim=1) * centres[found]).sum(dim=1).numpy()
            words = cluster_words(self.names[name], self.clusters)
            columns |= {name: found.numpy(), f"{name}_class": [words[k] for k in found.tolist()]}
            columns |= {f"{name}_similarity": fit, f"{name}_outlier": fit < self.outlier_below[name]}
        return pl.DataFrame(columns)


def store_rows(store: ClipStore, frames: int) -> npt.NDArray[np.float32]:
    """(N, frames · P · V · C): whole clips, resized and flattened."""
    return whole_clips(store, store.ids, frames).flatten(1).cpu().numpy()


def load(path: str | Path) -> Found:
    """Open a finished discovery.

    Raises:
        RunError: not a discovery, not finished, or damaged.
    """
    folder = Path(path)
    run = Run.open(folder, KIND)
    config = run.config
    weights_path = folder / "model.safetensors"
    if not weights_path.exists():
        raise RunError(f"{folder} has not finished; continue it with `motet resume {pasted(folder)}`")
    settings = run.recipe
    common = CommonLayout.from_dict(config["common"])
    target = config["target"]
    own = common
    if not config.get("one_form"):
        layout = Skeleton.from_dict(target["skeleton"]), tuple(target["channels"]), int(target["persons"])
        own = CommonLayout(*layout, "metres")
        if settings.score:
            own = replace(own, channels=(*own.channels, SCORE))

    def built() -> Discovery:
        return Discovery.build(
            settings,
            common.skeleton,
            own.skeleton,
            persons=(common.persons, own.persons),
            channels=(len(common.channels), len(own.channels)),
            clips=1,
            source_classes=len(config["known"]),
        )

    with reading(weights_path):
        weights = read_tensors(weights_path)[0]
        check_size(built, weights)
        with Chance():
            discovery = built()
        centres = [weights.pop(f"centres.{name}") for name in BRANCHES]
        for number, branch in enumerate(discovery.pair):
            branch.add_classifier(weights[f"branches.{number}.student.clusters.weight"])
        missing = discovery.load_state_dict(weights, strict=False)
        if missing.unexpected_keys or any(not k.endswith(".bank") for k in missing.missing_keys):
            raise RuntimeError("config.json speaks of other networks")
    return Found(
        discovery,
        common,
        own,
        str(target["units"]),
        settings.preprocess,
        centres=centres,
        outlier_below=read_result(folder)["outlier_below"],
        names=read_names(folder),
    )
