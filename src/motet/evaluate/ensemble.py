"""Several streams as one classifier, in the forms that published tables call "3s".

* ``mean-logits``: the streams' linear layers trained jointly on the mean of their logits (three-stream rows of CrosSCLR
  and CMD).
* ``late-fusion``: layers trained apart, scores added with weights: .6 joint, .6 bone, .4 motion (AimCLR, Guo et al.,
  AAAI 2022), or those that are given.
* ``late-mean``: the same with equal weights (the "late test-time ensemble" of HaLP, Shah et al., CVPR 2023).

The layers are trained by the linear protocol (:mod:`motet.evaluate.linear`) or, ``cached``, on features of centre crops
that are encoded once and standardised (:mod:`motet.evaluate.linear_cached`); small recipes do the latter by default.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.engine.table import Row
from motet.evaluate import linear, linear_cached
from motet.evaluate.context import Context
from motet.evaluate.linear import probe_rows


@dataclass(frozen=True)
class Options(linear.Options):
    """Options of the protocol."""

    cached: bool | None = None
    """encode once and standardise (not the official protocol); by default for small recipes."""
    weights: tuple[float, ...] = ()
    """weight of each stream in late fusion, in the order of the streams; by default .6, motion .4."""


def check(context: Context, options: Options) -> None:
    """Refuse what cannot be evaluated, before anything is computed.

    Raises:
        ConfigError: the runs have one stream only, or the weights do not fit the streams.
    """
    streams = context.streams
    if len(streams) < 2:
        raise ConfigError(f"the run has one stream ({streams[0]}); an ensemble needs several: evaluate knn or linear")
    if options.weights and len(options.weights) != len(streams):
        raise ConfigError(
            f"--ensemble.weights has {counted(len(options.weights), 'number')} for {counted(len(streams), 'stream')} "
            f"({', '.join(streams)})"
        )


def evaluate(context: Context, options: Options) -> list[Row]:
    """A row for each form and kind of features.

    Raises:
        ConfigError: see :func:`check`.
    """
    check(context, options)
    streams = context.streams
    fusions = {
        "late-fusion": options.weights or tuple(context.fusion_weights.values()),
        "late-mean": (1 / len(streams),) * len(streams),
    }
    plain = {f.name: asdict(options)[f.name] for f in fields(linear.Options)}
    if context.small if options.cached is None else options.cached:
        cached = linear_cached.Options(**plain | {"standardise": True})
        rows = probe_rows("ensemble", context, cached, linear_cached.epochs(cached), fusions=fusions)
    else:
        official = linear.Options(**plain)
        rows = probe_rows("ensemble", context, official, linear.epochs(official), fusions=fusions)
    return [row for row in rows if row.ensemble]
