"""k nearest neighbours by cosine similarity: the protocol of CMD (Mao et al., ECCV 2022), k = 1, centre crops.

Nothing is trained: each test clip takes the majority label of its k most similar training clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.features import FeatureSet
from motet.evaluate.flags import flag
from motet.evaluate.results import confusion_matrix
from motet.evaluate.streamwise import together, with_concat
from motet.metrics.knn import Integers, knn_predict, standardisation

FEATURES_ALONE = True
"""it asks for features of whole clips or rows and for nothing else, so it takes every kind of run"""


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    k: int = 1
    """number of neighbours that vote."""
    checkpoints: bool = True
    """also evaluate the checkpoints that the run kept, for the best-epoch column."""
    standardised: bool = True
    """also give every feature the same variance on the training clips before distances are taken."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"{flag(self, 'k')} is {self.k}; it must be at least 1")


def check(context: Context, options: Options) -> None:
    """Refuse more neighbours than there are training clips, before anything is computed."""
    if options.k > len(context.train):
        raise ConfigError(
            f"k is {options.k}, more than the {counted(len(context.train), 'training clip')}; lower --knn.k"
        )


def evaluate(context: Context, options: Options) -> list[Row]:
    """One row for each stream and one for all streams together (``concat``: L2-normalised, side by side), of the
    features as they are and standardised.

    Last epoch: the final weights. Best epoch: the best of these and of the checkpoints on disk, chosen on the test
    clips.
    """
    check(context, options)
    kinds = (False, True) if options.standardised else (False,)
    return [row for standardised in kinds for row in _rows(context, options, standardised)]


def _rows(context: Context, options: Options, standardised: bool) -> list[Row]:
    rows, classes = [], len(context.class_names)
    for kind, sets in context.groups():
        names = (*context.streams, *together(context.streams))
        values: dict[str, list[float]] = {name: [] for name in names}
        best: dict[str, list[float]] = {name: [] for name in names}
        confusion = {name: np.zeros((classes, classes), dtype=np.int64) for name in names}
        for features in context.track(sets, f"knn: {kind}"):
            found = _predictions(context, features, options.k, standardised)
            for name in names:
                values[name].append(_share(context, found[name]))
                confusion[name] += confusion_matrix(context.test_labels, found[name], classes)
            earlier = features.earlier() if options.checkpoints else []
            tried = [_predictions(context, other, options.k, standardised) for other in earlier]
            for name in names if tried else ():
                best[name].append(max([values[name][-1], *(_share(context, t[name]) for t in tried)]))
        for name in names:
            shown = kind == context.method and name == names[-1] and not standardised
            rows.append(
                context.row(
                    "knn",
                    kind,
                    name,
                    values[name],
                    best_values=tuple(best[name]),
                    details={
                        "k": options.k,
                        "over": context.over(kind, probe_seeds=False),
                        **({"standardised": True} if standardised else {}),
                    },
                    confusion=confusion[name].tolist() if shown else None,
                )
            )
    return rows


def _share(context: Context, predicted: Integers) -> float:
    return float((predicted == context.test_labels).mean())


def _predictions(context: Context, features: FeatureSet, k: int, standardised: bool) -> dict[str, Integers]:
    """Predicted labels of the test clips by stream and for all streams together."""
    train, test = sides(context, features, standardised)
    return {name: knn_predict(train[name], context.train_labels, test[name], k=k) for name in train}


def sides(context: Context, features: FeatureSet, standardised: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features of the training and of the test clips by stream and for all together; standardised on the former."""
    train, test = (features.centre(ids) for ids in (context.train, context.test))
    if standardised:
        for stream in context.streams:
            shift, gain = standardisation(train[stream])
            train[stream], test[stream] = ((side[stream] - shift) * gain for side in (train, test))
    return with_concat(train, context.streams), with_concat(test, context.streams)
