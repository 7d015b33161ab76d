"""The student on disk, and in use: it needs the target modalities and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from motet.archive import MotionArchive
from motet.distill.laned import Layout
from motet.distill.lanes import standardised
from motet.distill.layers import Dense
from motet.distill.motion import Motion, modality_of
from motet.distill.networks import Inputs, Shape
from motet.distill.networks import Student as StudentNetwork
from motet.distill.settings import settings_from_dict
from motet.distill.table import FeatureTable, Modality
from motet.distill.train import Trainer
from motet.errors import ConfigError, DataError, RunError
from motet.runs import written


def save_student(path: Path, trainer: Trainer, table: FeatureTable, motion: Motion) -> None:
    """Weights of the students of all lanes, how their inputs are standardised, and what is needed to rebuild them."""
    networks, shape, lanes = trainer.main.networks, trainer.shape, trainer.lanes
    tensors = {f"student.{k}": v for k, v in networks.student.state_dict().items()}
    tensors |= {f"classifier.{k}": v for k, v in networks.classifier.state_dict().items()}
    for name in shape.targets:
        for kind, value in zip(("center", "scale"), trainer.feeder.statistics[name], strict=True):
            tensors[f"input.{name}.{kind}"] = value.index_select(0, trainer.feeder.fold_of)
    facts = {
        "settings": trainer.settings.to_dict(),
        "sizes": {m: shape.sizes[m] for m in shape.targets},
        "sequences": sorted(shape.sequences & set(shape.targets)),
        "targets": list(shape.targets),
        "layouts": {m: shape.layouts[m].to_dict() for m in shape.targets if m in shape.layouts},
        "motion": asdict(motion),
        "classes": list(table.class_names),
        "folds": [fold.name for fold in lanes.lane_folds],
        "seeds": list(lanes.lane_seeds),
    }
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with written(path) as partial:
        save_file(kept, partial, {"student": json.dumps(facts)})


_ROWS = 512  # that pass the network at once

Source = FeatureTable | MotionArchive | str | Path | Mapping[str, MotionArchive]
Use = Callable[[Mapping[str, npt.ArrayLike], Mapping[str, npt.ArrayLike]], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Student:
    """A distilled student.

    Attributes:
        class_names: of its answers.
        targets: modalities that it takes.
        sizes: D of each.
        layouts: of the targets that come from motion archives.
        motion: how clips of these become rows.
    """

    class_names: tuple[str, ...]
    targets: tuple[str, ...]
    sizes: dict[str, int]
    sequences: frozenset[str]
    network: StudentNetwork
    classifier: Dense
    statistics: dict[str, tuple[Tensor, Tensor]]
    layouts: dict[str, Layout]
    motion: Motion

    def transform(self, source: Source) -> npt.NDArray[np.float32]:
        """(N, D) representation of every row of a table, or of every clip of a motion archive.

        Args:
            source: an open table, a table or archive by its path, an open archive, or several archives by the names
                that they had in training.

        Rows without a target modality are NaN.

        Raises:
            DataError: a target is missing or laid out otherwise.
        """
        return self._over(source, self.features, self.network_size)

    def probabilities(self, source: Source) -> npt.NDArray[np.float32]:
        """(N, C) probabilities; arguments, NaN and errors as :meth:`transform`."""
        return self._over(source, self.predict, len(self.class_names))

    @property
    def network_size(self) -> int:
        """D."""
        return int(self.classifier.weight.shape[1])

    def _over(self, source: Source, use: Use, size: int) -> npt.NDArray[np.float32]:
        modalities = self._modalities(source)
        seen = np.logical_and.reduce([m.available for m in modalities.values()])
        found = np.full((len(seen), size), np.nan, dtype=np.float32)
        for rows in np.array_split(np.flatnonzero(seen), max(1, -(-int(seen.sum()) // _ROWS))):
            values = {name: m.values[rows] for name, m in modalities.items()}
            lengths = {name: m.lengths[rows] for name, m in modalities.items() if m.lengths is not None}
            if len(rows):
                found[rows] = use(values, lengths)
        return found

    def _modalities(self, source: Source) -> dict[str, Modality]:
        if isinstance(source, str | Path):
            source = MotionArchive.open(source) if Path(source).is_dir() else FeatureTable.open(source)
        if isinstance(source, FeatureTable):
            return {name: source.modality(name) for name in self.targets}
        missing = [name for name in self.targets if name not in self.layouts]
        if missing:
            raise DataError(f"the student needs the modality {missing[0]}, which came from a table; give it a table")
        return {name: modality_of(source, name, self.motion, self.layouts[name]) for name in self.targets}

    def features(
        self,
        values: Mapping[str, npt.ArrayLike],
        lengths: Mapping[str, npt.ArrayLike] | None = None,
    ) -> npt.NDArray[np.float32]:
        """(N, D) representation.

        Args:
            values: (N, D) or (N, T, D) of every target modality.
            lengths: (N,) valid frames of padded sequences; by default all are valid.

        Raises:
            DataError: a target is missing, of another shape, or not finite.
        """
        with torch.no_grad():
            found: npt.NDArray[np.float32] = self.network(self._inputs(values, lengths or {}))[0].numpy()
        return found

    def predict(
        self,
        values: Mapping[str, npt.ArrayLike],
        lengths: Mapping[str, npt.ArrayLike] | None = None,
    ) -> npt.NDArray[np.float32]:
        """(N, C) probabilities of the classes; arguments and errors as :meth:`features`."""
        with torch.no_grad():
            logits: Tensor = self.classifier(self.network(self._inputs(values, lengths or {})))
            found: npt.NDArray[np.float32] = logits[0].softmax(dim=-1).numpy()
        return found

    def _inputs(self, values: Mapping[str, npt.ArrayLike], lengths: Mapping[str, npt.ArrayLike]) -> Inputs:
        ready, valid = {}, {}
        for name in self.targets:
            if name not in values:
                raise DataError(f"the student needs the modality {name}; given were {', '.join(values) or 'none'}")
            x = torch.as_tensor(np.asarray(values[name], dtype=np.float32))
            want = 3 if name in self.sequences else 2
            if x.ndim != want or x.shape[-1] != self.sizes[name]:
                shape = f"(N, {'T, ' if want == 3 else ''}{self.sizes[name]})"
                raise DataError(f"modality {name} is {tuple(x.shape)}; the student takes {shape}")
            if not bool(x.isfinite().all()):
                row = int((~x.isfinite()).flatten(1).any(dim=1).nonzero()[0])
                raise DataError(f"modality {name} is NaN or infinite in row {row}")
            length = None
            if want == 3:
                given = np.asarray(lengths.get(name, np.full(len(x), x.shape[1])), dtype=np.int64)
                length = torch.as_tensor(given)[None]
                valid[name] = length
            ready[name] = standardised(x[None], *self.statistics[name], length)
        return Inputs(ready, valid)


def embed(run: str | Path, source: str | Path, out: str | Path) -> tuple[int, int]:
    """Write what the first student of a run makes of a table or an archive, as one .npz.

    Args:
        run: directory of a finished distillation.
        source: table (.npz) with the targets, or motion archive.
        out: file to write: ``features`` (N, D) float32 and ``probabilities`` (N, C), NaN in rows without a target,
            ``class_names`` (C,), ``name`` (N,), ``label`` (N,) as the source counts classes, -1 for unknown,
            ``streams`` (1,) and ``columns`` (2,) as those of a pretraining.

    Returns:
        (N, D).
    """
    student = load(run)
    if Path(source).is_dir():
        opened: MotionArchive | FeatureTable = MotionArchive.open(source)
    else:
        opened = FeatureTable.open(source)
    features = student.transform(opened)
    names = opened.clips["name"].to_numpy().astype(np.str_) if isinstance(opened, MotionArchive) else opened.ids
    with written(Path(out)) as partial, partial.open("wb") as file:
        np.savez(
            file,
            features=features,
            probabilities=student.probabilities(opened),
            class_names=np.array(student.class_names),
            name=names,
            label=opened.labels,
            streams=np.array(["+".join(student.targets)]),
            columns=np.array([0, features.shape[1]]),
        )
    return features.shape[0], features.shape[1]


def load(path: str | Path, *, fold: str | None = None, seed: int | None = None) -> Student:
    """The student of a run directory.

    Args:
        path: run directory of `motet distill`, or a ``student.safetensors``.
        fold, seed: which one, of several; by default the first. With the rule ``all`` it learned from every row.

    Raises:
        RunError: there is none, or the file is damaged.
        ConfigError: no such fold or seed.
    """
    file = Path(path)
    file = file / "student.safetensors" if file.is_dir() else file
    try:
        with safe_open(file, framework="pt") as content:
            facts: dict[str, Any] = json.loads(content.metadata()["student"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{file} is not a student ({error}); `motet distill` writes one when it ends") from error
    lanes = list(zip(facts["folds"], facts["seeds"], strict=True))
    fits = [n for n, (f, s) in enumerate(lanes) if fold in (None, f) and seed in (None, s)]
    if not fits:
        raise ConfigError(f"{file} has no student of fold {fold!r} and seed {seed}; it has {lanes}")
    lane = slice(fits[0], fits[0] + 1)
    options = settings_from_dict(facts["settings"]).networks
    layouts = {m: Layout.from_dict(layout) for m, layout in facts.get("layouts", {}).items()}
    targets, sequences = tuple(facts["targets"]), frozenset(facts["sequences"])
    shape = Shape(facts["sizes"], sequences, targets, (), len(facts["classes"]), layouts)
    network = StudentNetwork((0,), "student", shape, shape.targets, options)
    classifier = Dense((0,), "classifier", options.features, shape.classes)
    _fill(network, "student.", tensors, lane)
    _fill(classifier, "classifier.", tensors, lane)
    return Student(
        tuple(facts["classes"]),
        shape.targets,
        dict(facts["sizes"]),
        shape.sequences,
        network.eval(),
        classifier,
        {m: (tensors[f"input.{m}.center"][lane], tensors[f"input.{m}.scale"][lane]) for m in shape.targets},
        layouts,
        Motion.from_dict(facts["motion"]) if "motion" in facts else Motion(),
    )


def _fill(module: nn.Module, prefix: str, tensors: Mapping[str, Tensor], lane: slice) -> None:
    module.load_state_dict({k.removeprefix(prefix): v[lane] for k, v in tensors.items() if k.startswith(prefix)})
