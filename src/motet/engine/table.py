"""One table of results: rows of one schema, whatever verb they come from, and mean ± sd of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean, stdev
from typing import Any

from motet.core.errors import RunError

RANDOM = "random encoder"
RAW = "raw"
ROCKET = "random convolutions"
STATISTICS = "statistics and spectrum"
UNTRAINED = (RAW, STATISTICS, RANDOM, ROCKET)
"""features that nothing was learned for"""
FRESH = "untrained"
"""what rows call a run of no epochs that started from new encoders"""
WEIGHTS = "weights "
"""how the features of weights that come with the package begin: ``"weights body"``"""


def is_baseline(features: str) -> bool:
    """Whether features can be had without a training."""
    return features in UNTRAINED or features.startswith(WEIGHTS)


@dataclass(frozen=True)
class Row:
    """One line of a table: some features, evaluated by some protocol.

    Attributes:
        protocol: name of the protocol.
        features: what was evaluated: the recipe's method, ``"random encoder"`` or ``"raw"``.
        stream: stream, branch or modality, or several joined by ``+``.
        ensemble: how several streams became one answer (``"mean-logits"``, ``"late-fusion"``, ``"concat"``), or None.
        metric: what ``values`` are; ``"accuracy"`` is top-1 on the test clips.
        values: last epoch, fractions, one for each of ``details["over"]`` (runs, probe seeds or initialisations).
        best_values: best epoch, likewise; empty where there are no epochs to choose from.
        details: further facts (learning rate, top-5 …).
        confusion: counts [true][predicted], for the row that a report shows.
    """

    protocol: str
    features: str
    stream: str
    values: tuple[float, ...]
    ensemble: str | None = None
    metric: str = "accuracy"
    best_values: tuple[float, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    confusion: list[list[int]] | None = None

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def label(self) -> str:
        """The protocol with what distinguishes its rows: learning rate, share of the labels, algorithm …"""
        words = [f"lr {self.details['lr']:g}"] if "lr" in self.details else []
        words += distinctions(self.details)
        words += ["standardised"] if self.details.get("standardised") else []
        return ", ".join([self.protocol, *words])

    @property
    def sd(self) -> float | None:
        """Sample standard deviation, None for a single value."""
        return deviation(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; mean and sd are included for readers that do no arithmetic."""
        data = asdict(self) | {"mean": self.mean, "sd": self.sd}
        data["values"], data["best_values"] = list(self.values), list(self.best_values)
        del data["confusion"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        """Inverse of :meth:`to_dict`, but for the confusion matrix; entries that only one verb writes are left out."""
        kept = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        return cls(**{**kept, "values": tuple(data["values"]), "best_values": tuple(data.get("best_values", ()))})


def read_rows(content: Mapping[str, Any], file: object) -> list[Row]:
    """The rows of a stored result of any verb.

    Args:
        content: of ``result.json`` or ``evaluation.json``.
        file: where it was read, for errors.

    Raises:
        RunError: rows of another form; names the row and what is wrong with it.
    """
    found = []
    for number, data in enumerate(content.get("rows", ())):
        try:
            row = Row.from_dict(data)
            if {"mean": data["mean"], "sd": data["sd"]} != {"mean": row.mean, "sd": row.sd}:
                raise ValueError("mean and sd are not those of its values")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{file}: row {number} is damaged ({error!r}); make the result again") from error
        found.append(row)
    return found


def distinctions(details: Mapping[str, Any]) -> list[str]:
    """What tells rows of one protocol apart: share of the labels, set that was transferred to, algorithm, subset of the
    test clips …, and the options that are not the protocol's own."""
    words = [f"{100 * details['ratio']:g} %"] if "ratio" in details else []
    words += [f"{details['per_class']} per class"] if "per_class" in details else []
    words += [str(details[k]) for k in ("target", "tuned", "algorithm", "episodes", "subset") if k in details]
    return words + list(details.get("options", ()))


def percent(values: Sequence[float]) -> str:
    """``71.2 ± 0.8`` of fractions; an en dash for none."""
    if not values:
        return "–"
    text = f"{100 * fmean(values):.1f}"
    return text if len(values) == 1 else f"{text} ± {100 * stdev(values):.1f}"


def spread(values: Sequence[float]) -> dict[str, Any]:
    """``values``, their ``mean`` and sample standard deviation ``sd``, which is None for a single value."""
    return {"values": list(values), "mean": fmean(values), "sd": deviation(values)}


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation, None for a single value."""
    return stdev(values) if len(values) > 1 else None
