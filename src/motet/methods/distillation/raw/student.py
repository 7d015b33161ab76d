"""The student that sees recordings, on disk and in use: files in, probabilities out."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import DataError, MotetNote, RunError
from motet.core.files import written
from motet.core.forms import checked
from motet.core.shards import Shard
from motet.core.text import counted
from motet.engine.examples import Examples
from motet.engine.model import Card, Embedding, Model
from motet.engine.run import Run, reading
from motet.engine.tensors import check_size, read_tensors, save_tensors
from motet.methods.distillation import faces
from motet.methods.distillation.folds import default_rule, folds
from motet.methods.distillation.layers import Dense
from motet.methods.distillation.networks import Inputs, Shape
from motet.methods.distillation.networks import Student as StudentNetwork
from motet.methods.distillation.raw.datasets import open_source
from motet.methods.distillation.raw.manifest import Item, Manifest
from motet.methods.distillation.raw.networks import build
from motet.methods.distillation.raw.options import RawOptions, kind_of
from motet.methods.distillation.raw.trainer import Extractor, RawDistillation
from motet.methods.distillation.settings import settings_from_dict
from motet.methods.distillation.student import no_student
from motet.methods.distillation.table import with_labels


def save_student(path: Path, learner: RawDistillation, class_names: Sequence[str]) -> None:
    """Weights of student and classifier, and what is needed to rebuild them."""
    networks, shape = learner.main.networks, learner.shape
    tensors = {f"student.{k}": v for k, v in networks.student.state_dict().items()}
    tensors |= {f"classifier.{k}": v for k, v in networks.classifier.state_dict().items()}
    facts = {
        "settings": learner.settings.to_dict(),
        "networks": learner.options.to_dict(),
        "targets": list(shape.targets),
        "classes": list(class_names),
    }
    with written(path) as partial:
        save_tensors(partial, tensors, {"raw student": json.dumps(facts)})


class _Facts(TypedDict):
    """What a file says of its student."""

    settings: dict[str, Any]
    networks: dict[str, Any]
    targets: list[str]
    classes: list[str]


@dataclass(frozen=True, eq=False)
class RawStudent(Model):
    """A student of recordings.

    Attributes:
        class_names: of its answers.
        targets: modalities that it takes.
        of_several: which it is, where its run has several; said when it is used.
    """

    trained_by = "distill raw"

    class_names: tuple[str, ...]
    targets: tuple[str, ...]
    network: StudentNetwork
    classifier: Dense
    of_several: str = ""

    def to(self, device: str | torch.device) -> RawStudent:
        """The same on a device; features and probabilities come back to the processor."""
        return dataclasses.replace(self, network=self.network.to(device), classifier=self.classifier.to(device))

    def embedding(self, source: str | Path, *, block_bytes: int = 0, shard: Shard | None = None) -> Embedding:
        """Features and probabilities of the samples of a manifest (CSV) or a folder."""
        manifest = open_source(source)
        table = manifest.table({})
        features, answers, absent = self.over(manifest)
        if self.of_several:
            warnings.warn(self.of_several, MotetNote, stacklevel=3)
        faces.note_absent(absent, len(table))
        labels = faces.labels_of(source, table.labels, table.class_names, self.class_names)
        return faces.embedding(features, answers, table.ids, labels, self.class_names, self.targets)

    def examples(self, run: Run, data: str | Path | None, split: str | None) -> Examples:
        """Samples with the targets, divided as the first student's training was."""
        plan = run.config["plan"]
        if data is None and not plan["source"]:
            raise RunError(f"{run.path} holds weights without their recordings; name a manifest or a folder by --data")
        place = Path(data or plan["source"])
        manifest = open_source(place)
        features, _, absent = self.over(manifest)
        seen = np.flatnonzero(~np.logical_or.reduce(list(absent.values())))
        table = with_labels(manifest.table({}).rows(seen))
        own = data is None and split is None
        rule = split or plan["split"] or default_rule(table)
        part = folds(table, rule, plan["folds"], validate=own and plan["validate"])[0]
        return Examples(
            path=place,
            hash=manifest.digest(self.targets),
            names=table.ids,
            labels=table.labels,
            class_names=table.class_names,
            features={"+".join(self.targets): features[seen]},
            raw={},
            train=part.train,
            test=part.test,
            rule=rule,
            method=run.handler.options(run).name,
            notes=[self.of_several] if self.of_several else [],
        )

    def card(self, run: Run) -> Card:
        """What a model card says of the student."""
        return faces.card(run, self.targets, self.class_names, [("input", "recordings, by their files")])

    def transform(self, source: str | Path | Manifest) -> npt.NDArray[np.float32]:
        """(N, D) representations of the samples of a manifest or a folder; NaN for those that lack a target."""
        return self.over(source if isinstance(source, Manifest) else open_source(source))[0]

    def over(
        self, manifest: Manifest
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], dict[str, npt.NDArray[np.bool_]]]:
        """Representations and probabilities of all samples, NaN without a target, and which lack which target."""
        items = {name: manifest.items(name) for name in self.targets}
        absent = {name: np.array([one is None for one in column]) for name, column in items.items()}
        seen = np.flatnonzero(~np.logical_or.reduce(list(absent.values())))
        count = len(next(iter(items.values())))
        features = np.full((count, self.classifier.weight.shape[1]), np.nan, dtype=np.float32)
        answers = np.full((count, len(self.class_names)), np.nan, dtype=np.float32)
        if len(seen):
            files = {n: [one for row in seen if (one := column[row]) is not None] for n, column in items.items()}
            features[seen], answers[seen] = self.answers(files)
        return features, answers, absent

    def features(self, files: Mapping[str, Sequence[str | Path | Item]]) -> npt.NDArray[np.float32]:
        """(N, D) representations, each the mean over the clips of a sample.

        Args:
            files: of every target modality N paths (of a text modality N texts).

        Raises:
            DataError: a target is missing, a file cannot be read, or numbers of files differ.
        """
        return self.answers(files)[0]

    def predict(self, files: Mapping[str, Sequence[str | Path | Item]]) -> npt.NDArray[np.float32]:
        """(N, C) probabilities, each the mean over the clips of a sample; arguments and errors as :meth:`features`."""
        return self.answers(files)[1]

    def answers(
        self, files: Mapping[str, Sequence[str | Path | Item]]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Representations and probabilities of one reading; arguments and errors as :meth:`features`."""
        if not isinstance(files, Mapping):
            shape = ", ".join(f"{name!r}: [file, …]" for name in self.targets)
            raise DataError(f"the student takes its modalities by name: give {{{shape}}}")
        for name in self.targets:
            if name not in files:
                raise DataError(f"the student needs the modality {name}; given were {', '.join(files) or 'none'}")
            if isinstance(files[name], str | Path | Item):
                raise DataError(f"modality {name} is one file, {files[name]}; give a list of them, even of one")
        counts = {name: len(files[name]) for name in self.targets}
        if len(set(counts.values())) != 1 or not counts[self.targets[0]]:
            raise DataError(f"the student needs as many files of every modality, and at least one, not {counts}")
        found = [self._one({n: _item(files[n][row]) for n in self.targets}) for row in range(counts[self.targets[0]])]
        features, answers = (torch.stack(part).cpu().numpy() for part in zip(*found, strict=True))
        return features, answers

    @torch.no_grad()
    def _one(self, items: Mapping[str, Item]) -> tuple[Tensor, Tensor]:
        networks = {name: self.network.extractors[name].network for name in self.targets}
        loaded = {name: networks[name].load(item) for name, item in items.items()}  # type: ignore[operator, union-attr]
        count = max(len(parts) for parts in loaded.values())
        states, answers, device = [], [], self.classifier.weight.device
        for clip in range(count):
            inputs = Inputs({}, {})
            for name, parts in loaded.items():
                x, lengths = networks[name].together([parts[clip * len(parts) // count]])  # type: ignore[operator, union-attr]
                inputs.values[name] = x[None].to(device)
                if lengths is not None:
                    inputs.lengths[name] = lengths[None].to(device)
            state = self.network(inputs)
            states.append(state[0, 0])
            answers.append(self.classifier(state)[0, 0].softmax(dim=-1))
        return torch.stack(states).mean(dim=0), torch.stack(answers).mean(dim=0)


def _item(given: str | Path | Item) -> Item:
    return given if isinstance(given, Item) else Item(str(given))


def load(path: str | Path) -> RawStudent:
    """The student of one fold and seed.

    Args:
        path: ``student.safetensors``, its folder, or a run directory; of several students the first, which says so
            when it is used.

    Raises:
        RunError: there is none, or the file is damaged.
    """
    files = _files(Path(path))
    file = files[0]
    with reading(file):
        tensors, stored = read_tensors(file)
        facts: dict[str, Any] = json.loads(stored["raw student"])
        checked(_Facts, facts, file)
    options, targets = RawOptions.from_dict(facts["networks"]), tuple(facts["targets"])
    settings = settings_from_dict(facts["settings"]).networks
    shape = Shape(dict.fromkeys(targets, 1), frozenset(), targets, (), len(facts["classes"]))

    def built() -> tuple[StudentNetwork, Dense]:
        network = StudentNetwork((0,), "student", shape, targets, settings)
        for name in targets:
            network.extractors[name] = Extractor(build(name, _without_weights(options, name)), settings.features)
        return network, Dense((0,), "classifier", settings.features, shape.classes)

    if not any(kind_of(name) in ("speech", "text") for name in targets):  # their sizes come from a folder
        check_size(lambda: torch.nn.ModuleList(built()), tensors)
    network, classifier = built()
    _fill(network, "student.", tensors)
    _fill(classifier, "classifier.", tensors)
    several = ""
    if len(files) > 1:
        several = (
            f"{path} has {counted(len(files), 'student')}, of several folds or seeds; this is the one in "
            f"{file.parent} (name another folder for another). A student for use learns from every sample: --split "
            f"all with one seed"
        )
    return RawStudent(tuple(facts["classes"]), targets, network.eval(), classifier, several)


def _files(path: Path) -> list[Path]:
    """Files of the students of a run directory, or of one of its folders."""
    if path.is_file():
        return [path]
    found = sorted(path.glob("student.safetensors")) or sorted(
        [*path.glob("replicas/*/student.safetensors"), *path.glob("lanes/*/student.safetensors")]
    )
    if not found:
        raise RunError(no_student(path) or f"{path} has no student; `motet distill raw` writes one when it ends")
    return found


def _without_weights(options: RawOptions, modality: str) -> RawOptions:
    """What it learned is in the file; text and speech still take configuration and tokenizer from their folder."""
    kind = kind_of(modality)
    if kind in ("speech", "text"):
        return options
    return dataclasses.replace(options, **{kind: dataclasses.replace(options.of(kind), weights="")})  # type: ignore[arg-type]


def _fill(module: torch.nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
