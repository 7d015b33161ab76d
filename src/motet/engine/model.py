"""The face of everything that was trained: what a verb may ask of a run, whatever verb made it.

Every kind of run gives a :class:`Model`. What a kind can do it says by a method of its own; what it cannot do is
refused by the method of this class, so that the refusal is worded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import RunError
from motet.core.places import mistaken
from motet.core.shards import Shard
from motet.engine.examples import Examples
from motet.engine.hub import found, shipped
from motet.engine.run import Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Embedding:
    """Features of every clip or row of a source, for ``motet embed``.

    Attributes:
        names: (N,) of clips or rows.
        labels: (N,), -1 for unknown.
        streams: what the columns are of.
        widths: how many columns each stream has.
        fill: writes the (N, F) features into an array, which may be a file.
        more: further arrays of the file, by name.
        class_names: of the labels.
        facts: what an archive says of its clips, a row each.
    """

    names: npt.NDArray[np.str_]
    labels: Integers
    streams: Sequence[str]
    widths: Sequence[int]
    fill: Callable[[Floats], None]
    more: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    class_names: Sequence[str] = ()
    facts: pl.DataFrame | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, F)."""
        return len(self.names), sum(self.widths)


def filled(features: Floats) -> Callable[[Floats], None]:
    """The ``fill`` of an :class:`Embedding` whose features are at hand."""

    def fill(into: Floats) -> None:
        into[:] = features

    return fill


@dataclass(frozen=True)
class Network:
    """What ``motet export`` writes: a module of tensors, and examples of its inputs.

    Attributes:
        module: tensors in, a tuple of tensors out; in eval mode on the CPU.
        inputs: names.
        outputs: names.
        free: by input, the axes whose length is free and their names.
        example: (rows, steps, generator) → inputs of that size.
        facts: what a reader of the file has to know to feed it.
        sizes: (rows, steps) that are compared; the graph is made from another size.
    """

    module: nn.Module
    inputs: Sequence[str]
    outputs: Sequence[str]
    free: Mapping[str, Mapping[int, str]]
    example: Callable[[int, int, torch.Generator], tuple[Tensor, ...]]
    facts: Mapping[str, str]
    sizes: Sequence[tuple[int, int]] = ((1, 4), (3, 7), (5, 64), (2, 33), (7, 100))


@dataclass(frozen=True)
class Card:
    """What a stranger has to know about weights: heading, a sentence, and rows of a table."""

    title: str
    sentence: str
    rows: Sequence[tuple[str, str]]
    use: str = 'features = model.transform(motet.MotionArchive.open("recordings.motet"))'


class Model:
    """What every run gives back. :meth:`transform` each kind has; the others it has where they mean something.

    Attributes:
        trained_by: verb whose runs give such a model, as a person writes it.
        shards: whether it can encode a part of an archive.
    """

    trained_by: str = ""
    shards: bool = False

    def transform(self, data: Any) -> Any:
        """(N, F) features of every clip of an archive, or of every row of what else it was trained on."""
        raise NotImplementedError

    def embedding(self, source: str | Path, *, block_bytes: int = 0, shard: Shard | None = None) -> Embedding:
        """Features of a source by its path, with names and labels.

        Args:
            source: what :meth:`transform` takes, by its path.
            block_bytes: memory for preprocessed clips, where a kind encodes in blocks; 0 is its own choice.
            shard: which part, of a model with :attr:`shards`.
        """
        raise NotImplementedError

    def examples(self, run: Run, data: str | Path | None, split: str | None) -> Examples:
        """Labelled rows with their features and two sides, for protocols that see features alone.

        Args:
            run: whose model this is.
            data: the rows; by default those that the run was trained on.
            split: rule that divides them; by default that of the run.
        """
        self.refuse("evaluate", "features of labelled rows")

    def exportable(self) -> Network:
        """The network as a module of tensors.

        Raises:
            RunError: it has none that a file could hold.
        """
        self.refuse("export", "a network of tensors")

    def streaming(self) -> Any:
        """The model of clips whose encoders run frame by frame.

        Raises:
            RunError: it has none.
        """
        self.refuse("stream", "encoders that run frame by frame")

    def card(self, run: Run) -> Card:
        """What a model card says of the weights."""
        raise NotImplementedError

    @classmethod
    def refuse(cls, verb: str, needs: str) -> NoReturn:
        """Say in one line that this kind of run cannot do something, and which kind can."""
        takes = ", ".join(f"`motet {name}`" for name in CAN[verb])
        called = "motet.stream" if verb == "stream" else f"`motet {verb}`"
        raise RunError(
            f"{called} needs {needs}, and a run of `motet {cls.trained_by}` has none; it takes runs of {takes}"
        )


CAN: Mapping[str, tuple[str, ...]] = {
    "evaluate": ("pretrain", "discover", "distill", "distill raw", "graphs"),
    "export": ("pretrain", "discover", "distill", "graphs"),
    "stream": ("pretrain", "discover"),
}
"""which verbs' runs can do what not all can"""


def load(run_directory: str | PathLike[str], device: str | torch.device = "cpu", kinds: Sequence[str] = ()) -> Any:
    """Load a trained model.

    Args:
        run_directory: a run (:class:`motet.Run`) of any verb or its directory, a folder of weights
            (:func:`motet.use.weights.save_weights`), or, where there is none of that name, the name of what comes with
            the package (``"body"``, ``"hand"``, ``"picture"``, ``"hand-picture"``, ``"wrist"``; ``"rocket"``: random
            convolutions) or a hub id ``owner/name``, optionally ``@revision`` (extra ``hub``).
        device: where to put it: cpu, cuda, cuda:1 …, or ``"auto"``.
        kinds: verbs whose runs are wanted; all by default.

    Returns:
        What the method keeps: a :class:`motet.methods.model.Model` for a pretraining, and for other verbs what has the
        same :meth:`Model.transform`.

    Raises:
        ConfigError: a device that this machine does not have.
        RunError: none of these, or no weights in it.
    """
    from motet.core.devices import usable  # torch, which takes a second

    device = device if str(device) == "meta" else usable(str(device))
    place = found(run_directory)
    if not place.is_dir():
        raise RunError(f"{mistaken(place, 'run')}; the names that come with motet are {', '.join(shipped())}")
    if (place / "replica.json").exists() and (place.parent.parent / "config.json").exists():  # of one fold and seed
        return Run.open(place.parent.parent, *kinds).handler.load_student(place)
    return Run.open(place, *kinds).model(device)
