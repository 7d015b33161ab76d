"""What verbs ask of students: features as a file, a network of tensors, a model card."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from motet._version import __version__
from motet.core.errors import MotetNote, MotetWarning
from motet.core.text import counted
from motet.engine.model import Card, Embedding, Network, filled
from motet.engine.run import Run
from motet.methods.distillation.networks import Inputs, Student
from motet.methods.distillation.table import FeatureTable, renumbered


def embedding(
    features: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    names: npt.NDArray[np.str_],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    targets: Sequence[str],
    trained: npt.NDArray[np.bool_] | None = None,
) -> Embedding:
    """Features of a student with its probabilities, the classes that it counts, and which rows trained it."""
    more: dict[str, npt.NDArray[Any]] = {"probabilities": probabilities, "class_names": np.array(list(class_names))}
    more |= {} if trained is None else {"trained": trained}
    return Embedding(
        names=names,
        labels=labels,
        streams=["+".join(targets)],
        widths=[features.shape[1]],
        fill=filled(features),
        more=more,
        class_names=class_names,
    )


def row_keys(table: FeatureTable, targets: Sequence[str]) -> npt.NDArray[np.int64]:
    """(N,) what a row is known by again: the numbers of its targets; where all come from archives its clip's name.

    Frames of an archive are preprocessed, which another machine may do a little otherwise.
    """
    stored = [table.modalities[name] for name in targets if table.modalities[name].layout is None]

    def key(row: int) -> bytes:
        parts = [m.values[row].tobytes() for m in stored] or [str(table.ids[row]).encode()]
        return hashlib.blake2b(b"".join(parts), digest_size=8).digest()

    return np.frombuffer(b"".join(map(key, range(len(table)))), dtype=np.int64)


def labels_of(
    source: str | Path, labels: npt.NDArray[np.int64], theirs: Sequence[str], ours: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Labels of a source as the student counts classes, by their names; -1 for classes that it does not know."""
    found = renumbered(labels, theirs, ours)
    foreign = (found < 0) & (labels >= 0)
    if foreign.any():
        names = ", ".join(str(theirs[k]) for k in np.unique(labels[foreign]))
        warnings.warn(
            f"{source}: the student does not know the classes {names}; its label of these "
            f"{counted(int(foreign.sum()), 'row')} is -1 (it knows {', '.join(ours)})",
            MotetWarning,
            stacklevel=3,
        )
    return found


def note_absent(absent: Mapping[str, npt.NDArray[np.bool_]], count: int) -> None:
    """How many rows lack which target."""
    for name, rows in absent.items():
        if rows.any():
            warnings.warn(
                f"{int(rows.sum()):,} of {counted(count, 'row')} lack {name}: NaN in features and probabilities",
                MotetNote,
                stacklevel=3,
            )


def digest_of(table: FeatureTable) -> str:
    """Digest of a table's rows: names, labels, and the numbers of its modalities."""
    sha = hashlib.sha256("\n".join([*table.ids.tolist(), *table.class_names]).encode() + table.labels.tobytes())
    for name, modality in table.modalities.items():
        sha.update(name.encode() + np.ascontiguousarray(modality.values).tobytes())
    return sha.hexdigest()


OUTPUTS = ("features", "probabilities")


class Answers(nn.Module):
    """A student and its classifier on tensors alone: of each target modality (B, …) → (B, D) features and (B, C)
    probabilities.

    Args:
        student: of one replica.
        classifier: likewise.
        ready: by modality, what is done to (1, B, …) inputs first.
    """

    def __init__(
        self, student: Student, classifier: nn.Module, ready: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> None:
        super().__init__()
        self.student, self.classifier, self.ready = student, classifier, dict(ready)

    def forward(self, *modalities: Tensor) -> tuple[Tensor, ...]:
        values = {name: x[None] for name, x in zip(self.student.modalities, modalities, strict=True)}
        values = {name: self.ready[name](x) if name in self.ready else x for name, x in values.items()}
        features: Tensor = self.student(Inputs(values, {}))
        return features[0], self.classifier(features)[0].softmax(dim=-1)


def input_names(modalities: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """What the inputs of modalities are called in a file in which some names are taken: each another name.

    >>> input_names(["a.b", "a b", "a_b", "eye"], ["eye"])
    {'a_b': 'a_b', 'eye': 'eye_2', 'a.b': 'a_b_2', 'a b': 'a_b_3'}
    """
    safe = {name: name.replace(".", "_").replace(" ", "_") for name in modalities}
    found: dict[str, str] = {}
    for name in sorted(safe, key=lambda name: safe[name] != name):  # those that can keep theirs first
        names = (safe[name], *(f"{safe[name]}_{k}" for k in range(2, len(safe) + len(taken) + 2)))
        found[name] = next(n for n in names if n not in (*taken, *found.values()))
    return found


def network(
    answers: Answers,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    steps: bool,
    facts: Mapping[str, str],
    draw: Callable[[tuple[int, ...], torch.Generator], Tensor] | None = None,
) -> Network:
    """A student as a network of tensors; its facts list the modalities in the order of the inputs.

    Args:
        answers: student and classifier.
        shapes: by target modality, the axes of an input behind the rows; 0 is a length that is free.
        steps: whether the free length is that of the example; otherwise it is fixed by ``shapes``.
        facts: what a reader of the file has to know.
        draw: an example of some shape; numbers of a normal distribution by default.
    """
    made = draw or (lambda shape, generator: torch.randn(shape, generator=generator))

    def example(rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return tuple(made((rows, *(n or length for n in shape)), generator) for shape in shapes.values())

    named = input_names(list(shapes), OUTPUTS)
    free = {named[n]: {0: "batch"} | ({1: "frames"} if 0 in shape else {}) for n, shape in shapes.items()}
    sizes = ((1, 4), (3, 7), (5, 64), (2, 33)) if steps else ((1, 4), (3, 4), (5, 4))
    return Network(
        module=answers.eval().cpu(),
        inputs=[named[name] for name in shapes],
        outputs=OUTPUTS,
        free=free,
        example=example,
        facts={"motet": __version__, "modalities": json.dumps(list(shapes)), **facts},
        sizes=sizes,
    )


def card(run: Run, targets: Sequence[str], class_names: Sequence[str], rows: Sequence[tuple[str, str]]) -> Card:
    """What a model card says of a student."""
    plan, settings = run.config["plan"], run.handler.options(run)
    helped = ", ".join(plan["auxiliary"]) or "nothing else"
    return Card(
        f"{' + '.join(targets)} taught by {helped}",
        f"A student of {', '.join(targets)}, trained by `motet {run.verb}` of motet {__version__} with the method "
        f"{settings.name}; the other modalities helped in training alone.",
        [
            ("sees", ", ".join(targets)),
            ("helped in training", helped),
            ("classes", ", ".join(class_names)),
            *rows,
            ("seeds, epochs", f"{', '.join(map(str, plan['seeds']))}; {settings.training.epochs}"),
        ],
        "probabilities = model.probabilities(recordings)",
    )
