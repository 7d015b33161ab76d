"""The student on disk, and in use: it needs the target modalities and nothing else."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError, DataError, MotetNote, RunError
from motet.core.files import written
from motet.core.forms import checked
from motet.core.options import Count, Natural
from motet.core.places import kind_of
from motet.core.shards import Shard
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.engine.examples import Examples
from motet.engine.forms import Channels, Persons, StoredSkeleton
from motet.engine.model import Card, Embedding, Model, Network
from motet.engine.run import Run, reading
from motet.engine.tensors import check_size, read_tensors, save_tensors
from motet.methods.distillation import faces
from motet.methods.distillation.folds import folds
from motet.methods.distillation.layers import Dense, Recurrence
from motet.methods.distillation.methods import METHODS
from motet.methods.distillation.motion import AUTO, Motion, is_archive, modality_of
from motet.methods.distillation.networks import Inputs, Shape
from motet.methods.distillation.networks import Student as StudentNetwork
from motet.methods.distillation.replicas import standardised
from motet.methods.distillation.replicated import Layout
from motet.methods.distillation.settings import settings_from_dict
from motet.methods.distillation.table import FeatureTable, Modality
from motet.methods.distillation.train import Distillation


def save_student(path: Path, learner: Distillation, table: FeatureTable, motion: Motion) -> None:
    """Weights of the students of all replicas, how inputs are standardised, and what is needed to rebuild them."""
    networks, shape, replicas = learner.main.networks, learner.shape, learner.folded
    tensors = {f"student.{k}": v for k, v in networks.student.state_dict().items()}
    tensors |= {f"classifier.{k}": v for k, v in networks.classifier.state_dict().items()}
    for name in shape.targets:
        if (statistics := learner.feeder.of_replicas(name)) is not None:
            tensors[f"input.{name}.center"], tensors[f"input.{name}.scale"] = statistics
    keys = faces.row_keys(table, shape.targets)
    for number, fold in enumerate(replicas.folds):
        tensors[f"trained.{number}"] = torch.from_numpy(keys[fold.train])
    facts = {
        "settings": learner.settings.to_dict(),
        "sizes": {m: shape.sizes[m] for m in shape.targets},
        "sequences": sorted(shape.sequences & set(shape.targets)),
        "targets": list(shape.targets),
        "layouts": {m: shape.layouts[m].to_dict() for m in shape.targets if m in shape.layouts},
        "motion": asdict(motion),
        "classes": list(table.class_names),
        "folds": [fold.name for fold in replicas.replica_folds],
        "seeds": list(replicas.replica_seeds),
    }
    with written(path) as partial:
        save_tensors(partial, tensors, {"student": json.dumps(facts)})


_ROWS = 512  # that pass the network at once

Source = FeatureTable | MotionArchive | str | Path | Mapping[str, MotionArchive]
Use = Callable[[Mapping[str, npt.ArrayLike], Mapping[str, npt.ArrayLike]], npt.NDArray[np.float32]]


class LayoutForm(TypedDict):
    """:meth:`motet.methods.distillation.replicated.Layout.to_dict`."""

    skeleton: StoredSkeleton
    persons: Persons
    channels: Channels
    preprocess: NotRequired[str]


class FactsForm(TypedDict):
    """What a file of students says of them."""

    settings: dict[str, Any]
    sizes: dict[str, Count]
    sequences: list[str]
    targets: list[str]
    layouts: NotRequired[dict[str, LayoutForm]]
    motion: NotRequired[dict[str, Any]]
    classes: list[str]
    folds: list[str]
    seeds: list[Natural]


@dataclass(frozen=True, eq=False)
class Student(Model):
    """A distilled student.

    Attributes:
        class_names: of its answers.
        targets: modalities that it takes.
        sizes: D of each.
        layouts: of the targets that come from motion archives.
        motion: how clips of these become rows.
        fold, seed: of its training.
        trained: keys of the rows that trained it (:func:`motet.methods.distillation.faces.row_keys`); None in files of
            older versions.
        of_several: which it is, where its run has several; said when it is used.
    """

    trained_by = "distill"

    class_names: tuple[str, ...]
    targets: tuple[str, ...]
    sizes: dict[str, int]
    sequences: frozenset[str]
    network: StudentNetwork
    classifier: Dense
    statistics: dict[str, tuple[Tensor, Tensor]]
    layouts: dict[str, Layout]
    motion: Motion
    fold: str
    seed: int
    trained: npt.NDArray[np.int64] | None = None
    of_several: str = ""

    def to(self, device: str | torch.device) -> Student:
        """The same on a device; features and probabilities come back to the processor."""
        statistics = {name: (a.to(device), b.to(device)) for name, (a, b) in self.statistics.items()}
        return replace(
            self, network=self.network.to(device), classifier=self.classifier.to(device), statistics=statistics
        )

    def transform(self, source: Source) -> npt.NDArray[np.float32]:
        """(N, D) representation of every row of a table, or of every clip of a motion archive.

        Args:
            source: an open table, a table or archive by its path, an open archive, or several archives by the names
                that they had in training. Labels are not needed.

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
        modalities = self.modalities(source)
        seen = np.logical_and.reduce([m.available for m in modalities.values()])
        found = np.full((len(seen), size), np.nan, dtype=np.float32)
        for rows in np.array_split(np.flatnonzero(seen), max(1, -(-int(seen.sum()) // _ROWS))):
            values = {name: m.values[rows] for name, m in modalities.items()}
            lengths = {name: m.lengths[rows] for name, m in modalities.items() if m.lengths is not None}
            if len(rows):
                found[rows] = use(values, lengths)
        return found

    def embedding(self, source: str | Path, *, block_bytes: int = 0, shard: Shard | None = None) -> Embedding:
        """Features and probabilities of a table (.npz) or of an archive; labels are not needed."""
        opened = _opened(source)
        plain = self._plain(opened, str(source))
        if self.of_several:
            warnings.warn(self.of_several, MotetNote, stacklevel=3)
        faces.note_absent({name: ~m.available for name, m in plain.modalities.items()}, len(plain))
        return faces.embedding(
            self.transform(opened),
            self.probabilities(opened),
            plain.ids,
            faces.labels_of(source, plain.labels, plain.class_names, self.class_names),
            self.class_names,
            self.targets,
            None if self.trained is None else self._has_trained(plain),
        )

    def _plain(self, opened: MotionArchive | FeatureTable, name: str) -> FeatureTable:
        """The targets of a source as a table, with what it says of its rows."""
        modalities = self.modalities(opened)
        if isinstance(opened, FeatureTable):
            return replace(opened, name=name, modalities=modalities)
        ids = opened.clips["name"].to_numpy().astype(np.str_)
        return FeatureTable(name, modalities, opened.labels, tuple(opened.class_names), ids)

    def _has_trained(self, plain: FeatureTable) -> npt.NDArray[np.bool_]:
        """(N,) whether a row trained this student; False where the file does not say."""
        if self.trained is None:
            return np.zeros(len(plain), dtype=np.bool_)
        return np.isin(faces.row_keys(plain, self.targets), self.trained)

    def examples(self, run: Run, data: str | Path | None, split: str | None) -> Examples:
        """Rows that have the targets: those that trained this student, and those that did not."""
        place = str(data) if data is not None else self._own(run)
        opened = _opened(place)
        plain = self._plain(opened, place)
        seen = np.flatnonzero(np.logical_and.reduce([m.available for m in plain.modalities.values()]))
        plain = plain.rows(seen)
        trained = self._has_trained(plain)
        known = np.flatnonzero(plain.labels >= 0)
        rule, notes = f"rows that trained {self.fold}", [self.of_several] if self.of_several else []
        if split is None and 0 < int(trained[known].sum()) < len(known):
            train, test = known[trained[known]], known[~trained[known]]
        else:
            rule = split or "random"
            part = folds(plain.rows(known), rule)[0]
            train, test = known[part.train], known[part.test]
            if trained[test].any():
                notes.append(
                    f"{int(trained[test].sum())} of {counted(len(test), 'test row')} trained the student: figures "
                    f"are too good"
                )
        features = self.transform(plain)
        flat = {name: m.values.reshape(len(plain), -1) for name, m in plain.modalities.items()}
        stream = "+".join(self.targets)
        archive = opened if isinstance(opened, MotionArchive) else None
        return Examples(
            path=Path(place),
            hash=faces.digest_of(plain),
            names=plain.ids,
            labels=plain.labels,
            class_names=plain.class_names,
            features={stream: features},
            raw={stream: np.concatenate([flat[name] for name in self.targets], axis=1)},
            train=train,
            test=test,
            rule=rule,
            method=run.handler.options(run).name,
            people=None if plain.group is None else np.unique(plain.group, return_inverse=True)[1].astype(np.int64),
            licence="unknown" if archive is None else archive.licence,
            simulated=archive is not None and archive.simulated,
            notes=notes,
        )

    def _own(self, run: Run) -> str:
        """The one table or archive that trained the run."""
        tables = [str(table) for table in run.config["plan"]["tables"]]
        if not all(tables):
            raise RunError(f"{run.path} holds weights without their table; name one by --data")
        named = [table for table in tables if table.partition("=")[0] in {name.split(".")[0] for name in self.targets}]
        holds = named or [table for table in tables if not is_archive(table)] or tables
        if len(holds) > 1:
            raise RunError(
                f"{run.path} was trained on {counted(len(tables), 'source')}; name the one that has "
                f"{', '.join(self.targets)} by --data"
            )
        return holds[0].partition("=")[2] or holds[0] if not Path(holds[0]).exists() else holds[0]

    def exportable(self) -> Network:
        """Student and classifier: rows or whole sequences of each target as the source has them, preprocessed as in
        training → features and probabilities."""
        fixed = any(isinstance(m, Recurrence) for m in self.network.modules())
        length = self.motion.frames if fixed else 0
        shapes: dict[str, tuple[int, ...]] = {}
        for name in self.targets:
            sensor = name in self.layouts and self.layouts[name].skeleton.kind == "sensor"
            frames = (self.motion.sensor_frames if sensor else length) if fixed else 0
            shapes[name] = (frames, self.sizes[name]) if name in self.sequences else (self.sizes[name],)
        ready = {name: partial(standardised, statistics=s, lengths=None) for name, s in self.statistics.items()}
        facts = {"classes": json.dumps(list(self.class_names)), "frames": str(self.motion.frames)}
        laid = [self.layouts[name] for name in self.targets if name in self.layouts]
        bodies = sorted({layout.preprocess for layout in laid if layout.skeleton.kind != "sensor"})
        known = ", ".join(bodies) if bodies and self.motion.preprocess == AUTO else self.motion.preprocess
        facts |= {"sensor_frames": str(self.motion.sensor_frames), "preprocess": known}
        facts |= {"layouts": json.dumps({name: layout.to_dict() for name, layout in self.layouts.items()})}
        answers = faces.Answers(self.network, self.classifier, ready)
        return faces.network(answers, shapes, steps=not fixed, facts=facts)

    def card(self, run: Run) -> Card:
        """What a model card says of the student."""
        sizes = ", ".join(f"{name}: {counted(self.sizes[name], 'number')}" for name in self.targets)
        sizes += " a frame" if self.sequences else ""
        return faces.card(run, self.targets, self.class_names, [("input", sizes)])

    def modalities(self, source: Source) -> dict[str, Modality]:
        """The targets as the source has them; errors as :meth:`transform`."""
        if isinstance(source, str | Path):
            source = _opened(source)
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
            values: (N, D) or (N, T, D) of every target modality; N may be 0.
            lengths: (N,) valid frames of padded sequences; by default all are valid.

        Raises:
            DataError: a target is missing, of another shape, or not finite, or numbers of rows differ.
        """
        inputs = self._inputs(values, lengths or {})
        if not _rows_of(inputs):
            return np.zeros((0, self.network_size), dtype=np.float32)
        with torch.no_grad():
            found: npt.NDArray[np.float32] = self.network(inputs)[0].cpu().numpy()
        return found

    def predict(
        self,
        values: Mapping[str, npt.ArrayLike],
        lengths: Mapping[str, npt.ArrayLike] | None = None,
    ) -> npt.NDArray[np.float32]:
        """(N, C) probabilities of the classes; arguments and errors as :meth:`features`."""
        inputs = self._inputs(values, lengths or {})
        if not _rows_of(inputs):
            return np.zeros((0, len(self.class_names)), dtype=np.float32)
        with torch.no_grad():
            logits: Tensor = self.classifier(self.network(inputs))
            found: npt.NDArray[np.float32] = logits[0].softmax(dim=-1).cpu().numpy()
        return found

    def _inputs(self, values: Mapping[str, npt.ArrayLike], lengths: Mapping[str, npt.ArrayLike]) -> Inputs:
        if not isinstance(values, Mapping):
            raise DataError(
                f"the student takes its modalities by name: give {{{', '.join(f'{n!r}: array' for n in self.targets)}}}"
            )
        ready, valid, device = {}, {}, self.classifier.weight.device
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
                length = torch.as_tensor(given, device=device)[None]
                valid[name] = length
            ready[name] = standardised(x[None].to(device), self.statistics.get(name), length)
        counts = {name: x.shape[1] for name, x in ready.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DataError(f"every modality needs as many rows, not {listed}")
        return Inputs(ready, valid)


def _rows_of(inputs: Inputs) -> int:
    return next(iter(inputs.values.values())).shape[1]


def _opened(source: str | Path) -> MotionArchive | FeatureTable:
    """What a student is used on; it needs no labels."""
    return MotionArchive.open(source) if Path(source).is_dir() else FeatureTable.open(source, labelled=False)


def load(path: str | Path, *, fold: str | None = None, seed: int | None = None) -> Student:
    """The student of a run directory.

    Args:
        path: run directory of `motet distill`, or a ``student.safetensors``.
        fold, seed: which one, of several; by default the first. With the rule ``all`` it learned from every row.

    Raises:
        RunError: there is none (of the method ``teacher`` there never is), or the file is damaged.
        ConfigError: no such fold or seed.
    """
    tensors, facts = _read(file := _file(Path(path)))
    if (said := no_student(file.parent, facts["settings"]["name"])) is not None:
        raise RunError(said)
    replicas = list(zip(facts["folds"], facts["seeds"], strict=True))
    fits = [n for n, (f, s) in enumerate(replicas) if fold in (None, f) and seed in (None, s)]
    if not fits:
        raise ConfigError(f"{file} has no student of fold {fold!r} and seed {seed}; it has {replicas}")
    replica = slice(fits[0], fits[0] + 1)
    options = settings_from_dict(facts["settings"]).networks
    layouts = {m: Layout.from_dict(layout) for m, layout in facts.get("layouts", {}).items()}
    targets, sequences = tuple(facts["targets"]), frozenset(facts["sequences"])
    shape = Shape(facts["sizes"], sequences, targets, (), len(facts["classes"]), layouts)

    def built() -> tuple[StudentNetwork, Dense]:
        network = StudentNetwork((0,), "student", shape, shape.targets, options)
        return network, Dense((0,), "classifier", options.features, shape.classes)

    check_size(lambda: nn.ModuleList(built()), tensors)
    network, classifier = built()
    _fill(network, "student.", tensors, replica)
    _fill(classifier, "classifier.", tensors, replica)
    return Student(
        tuple(facts["classes"]),
        shape.targets,
        dict(facts["sizes"]),
        shape.sequences,
        network.eval(),
        classifier,
        {
            m: (tensors[f"input.{m}.center"][replica], tensors[f"input.{m}.scale"][replica])
            for m in shape.targets
            if f"input.{m}.center" in tensors
        },
        layouts,
        Motion.from_dict(facts["motion"]) if "motion" in facts else Motion(),
        *replicas[fits[0]],
        _trained(tensors, facts, fits[0]),
        _of_several(Path(path), facts, replicas[fits[0]]) if fold is None and seed is None else "",
    )


def _of_several(run: Path, facts: Mapping[str, Any], chosen: tuple[str, int]) -> str:
    """Which student answers, if the run has several."""
    several = [f"{len(set(facts[what]))} {what}" for what in ("folds", "seeds") if len(set(facts[what])) > 1]
    if not several:
        return ""
    return (
        f"{run} has students of {' and '.join(several)}; this is the one of {chosen[0]}, seed {chosen[1]} "
        "(motet.distill.load takes others). A student for use learns from every row: --split all with one seed"
    )


def no_student(path: Path, method: str | None = None) -> str | None:
    """Why a run directory never has a student, if that is so.

    Args:
        path: the directory.
        method: of the run; by default what its configuration says.
    """
    try:
        found = method or json.loads((path / "config.json").read_text())["settings"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if found not in METHODS or METHODS[found].scored == "student":
        return None
    return (
        f"{path} trained the teacher alone, which needs every modality, so it has no student: its scores are in "
        "result.md; another --method trains a student"
    )


def _file(path: Path) -> Path:
    """The file of the students of a run directory, or the file itself."""
    if not path.is_dir():
        return path
    if kind_of(path) == "distill-raw" or (path / "replicas").is_dir():
        raise RunError(
            f"{path} is a distillation from recordings (`motet distill raw`): motet.distill.raw.load loads it"
        )
    file = path / "student.safetensors"
    if not file.exists() and (said := no_student(path)) is not None:
        raise RunError(said)
    return file


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file of students."""
    if not file.exists():
        raise RunError(f"{file} is not a student: there is no such file; `motet distill` writes one when it ends")
    with reading(file):
        tensors, stored = read_tensors(file)
        facts: dict[str, Any] = json.loads(stored["student"])
        checked(FactsForm, facts, file)
    return tensors, facts


def _trained(tensors: Mapping[str, Tensor], facts: Mapping[str, Any], replica: int) -> npt.NDArray[np.int64] | None:
    fold = list(dict.fromkeys(facts["folds"])).index(facts["folds"][replica])
    found = tensors.get(f"trained.{fold}")
    return None if found is None else found.numpy()


def _fill(module: nn.Module, prefix: str, tensors: Mapping[str, Tensor], replica: slice) -> None:
    module.load_state_dict({k.removeprefix(prefix): v[replica] for k, v in tensors.items() if k.startswith(prefix)})
