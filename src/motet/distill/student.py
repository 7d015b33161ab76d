"""The student on disk, and in use: it needs the target modalities and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from motet.distill.lanes import standardised
from motet.distill.layers import Dense
from motet.distill.networks import Inputs, Shape
from motet.distill.networks import Student as StudentNetwork
from motet.distill.settings import settings_from_dict
from motet.distill.table import FeatureTable
from motet.distill.train import Trainer
from motet.errors import ConfigError, DataError, RunError
from motet.runs import written


def save_student(path: Path, trainer: Trainer, table: FeatureTable) -> None:
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
        "classes": list(table.class_names),
        "folds": [fold.name for fold in lanes.lane_folds],
        "seeds": list(lanes.lane_seeds),
    }
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with written(path) as partial:
        save_file(kept, partial, {"student": json.dumps(facts)})


@dataclass(frozen=True, eq=False)
class Student:
    """A distilled student.

    Attributes:
        class_names: of its answers.
        targets: modalities that it takes.
        sizes: D of each.
    """

    class_names: tuple[str, ...]
    targets: tuple[str, ...]
    sizes: dict[str, int]
    sequences: frozenset[str]
    network: StudentNetwork
    classifier: Dense
    statistics: dict[str, tuple[Tensor, Tensor]]

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
    shape = Shape(facts["sizes"], frozenset(facts["sequences"]), tuple(facts["targets"]), (), len(facts["classes"]))
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
    )


def _fill(module: nn.Module, prefix: str, tensors: Mapping[str, Tensor], lane: slice) -> None:
    module.load_state_dict({k.removeprefix(prefix): v[lane] for k, v in tensors.items() if k.startswith(prefix)})
