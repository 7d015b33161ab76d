"""Tables of HaLP's supplement (Shah et al., CVPR 2023)."""

from __future__ import annotations

from motet.reproduce.declare import Measure, Row, Share, Table, Training, across, on_set
from motet.reproduce.tables.cmd import (
    AIMCLR_PROBE,
    BEST_NOTE,
    ENSEMBLE_NOTE,
    ENSEMBLE_ROWS,
    FIVE,
    FUSED,
    HALP,
    HALP_CMD,
    HALP_PROBE,
    N60,
    SEMI,
    SEMI_NOTE,
    SEMI_ROWS,
    THREE,
    semi_row,
)

SOURCE = "HaLP (Shah et al., CVPR 2023), supplement"
OFF = Training("halp", {"halp_weight": 0.0})
# the linear rate of HaLP's scripts: .005 on NTU, .001 on PKU-MMD
LINEAR = Measure("linear", {"protocol": "linear", "stream": "joint"}, HALP_PROBE)
SINGLE = f"Published figures are single runs; differences of a few tenths mean nothing. {BEST_NOTE}"


def _halp(**options: object) -> Training:
    return Training("halp", options)


SEMIS = Table(
    "halp/semi",
    "Semi-supervised: shares of the labels",
    "pretrain",
    f"{SOURCE}, Table 1",
    SEMI,
    (
        semi_row("HaLP", HALP, (48.7, 71.5, 77.1, 82.4), (46.6, 66.9, 72.6, 76.1)),
        semi_row("HaLP + CMD", HALP_CMD, (53.0, 75.3, 80.4, 84.6), (52.6, 71.4, 76.0, 79.2)),
        *SEMI_ROWS,
    ),
    notes=(SEMI_NOTE,),
)

FILTERS = Table(
    "halp/filters",
    "Which positives count",
    "pretrain",
    f"{SOURCE}, Table 2",
    (LINEAR, Measure("retained", {"diagnostic": "hallucination/joint/retained"})),
    (
        Row("without HaLP", OFF, on_set(N60, linear=78.0)),
        Row("rank filter", HALP, on_set(N60, linear=79.7, retained=91.0)),
        Row("variant 1", _halp(filter="variant-1"), on_set(N60, linear=79.5, retained=16.0)),
        Row("variant 2", _halp(filter="variant-2"), on_set(N60, linear=79.6, retained=100.0)),
    ),
    notes=(SINGLE, "Retained: share of the positives that count, mean of the last epoch."),
)

WEIGHTS = Table(
    "halp/mu",
    "Weight μ of the hallucinated positives",
    "pretrain",
    f"{SOURCE}, Table 3",
    (LINEAR,),
    tuple(
        Row(f"μ = {weight:g}", _halp(halp_weight=weight), on_set(N60, linear=linear))
        for weight, linear in ((0.0, 78.0), (0.5, 78.8), (1.0, 79.7), (1.5, 79.9), (2.0, 80.0))
    ),
    notes=(SINGLE,),
)

POSITIVES = Table(
    "halp/positives",
    "Number G of positives per clip",
    "pretrain",
    f"{SOURCE}, Table 4",
    (LINEAR,),
    (
        Row("G = 0", OFF, on_set(N60, linear=77.96)),
        *(
            Row(f"G = {count}", _halp(positives=count), on_set(N60, linear=linear))
            for count, linear in ((1, 79.59), (5, 79.63), (10, 79.50), (50, 79.56), (100, 79.71), (150, 79.43))
        ),
    ),
    notes=(SINGLE,),
)

STARTS = Table(
    "halp/start-epoch",
    "Epoch in which the positives begin",
    "pretrain",
    f"{SOURCE}, Table 5",
    (LINEAR,),
    (
        *(
            Row(f"epoch {epoch} of 450", _halp(halp_start=Share(epoch / 450)), on_set(N60, linear=linear))
            for epoch, linear in ((50, 79.6), (100, 79.6), (200, 79.7), (300, 78.7), (400, 78.3))
        ),
        Row("never", OFF, on_set(N60, linear=78.0)),
    ),
    notes=(SINGLE, "In a run of another length the same share of the epochs."),
)

RECENT = Table(
    "halp/recent",
    "Newest keys of the queue that are clustered",
    "pretrain",
    f"{SOURCE}, Table 6 (its header says prototypes)",
    (LINEAR,),
    tuple(
        Row(
            f"{count} keys",
            Training("halp", {"recent": count}, {"recent": "queue_size"}),
            on_set(N60, linear=linear),
        )
        for count, linear in ((256, 79.7), (512, 79.5), (1024, 79.4), (2048, 79.5), (3072, 79.7))
    ),
    notes=(SINGLE,),
)

ENSEMBLES = Table(
    "halp/ensembles",
    "Three streams together",
    "pretrain",
    f"{SOURCE}, Table 7",
    FUSED,
    (*ENSEMBLE_ROWS, Row("3s-HaLP", HALP_CMD, across("3 streams", FIVE, 85.1, 91.0, 75.5, 76.8, 53.4))),
    notes=(ENSEMBLE_NOTE,),
)

_SETS = ("NCI1", "PROTEINS", "DD", "MUTAG")
GRAPHS = Table(
    "halp/graphs",
    "HaLP on GraphCL",
    "graphs",
    f"{SOURCE}, Table 8",
    (Measure("accuracy"),),
    (
        Row(
            "GraphCL",
            Training("graphcl"),
            across("accuracy", _SETS, (77.87, 0.41), (74.39, 0.45), (78.62, 0.40), (86.80, 1.3)),
        ),
        Row(
            "GraphCL + HaLP",
            Training("halp-graphcl"),
            across("accuracy", _SETS, (78.88, 0.41), (74.65, 0.70), (79.20, 0.60), (89.35, 1.2)),
        ),
    ),
    ours="the augmentations of each set, and with HaLP also μ, N and the start",
    notes=("Support vector machine, 10-fold cross-validation.",),
)

NO_QUEUE = Table(
    "halp/no-queue",
    "Without queue and momentum encoder",
    "pretrain",
    f"{SOURCE}, B.7",
    (Measure("knn", {"protocol": "knn", "stream": "joint"}),),
    (
        Row("without HaLP", _halp(prototypes_from="batch", halp_weight=0.0), on_set(N60, knn=58.9)),
        Row("HaLP", _halp(prototypes_from="batch"), on_set(N60, knn=64.2)),
    ),
    ours="encoder, negatives and number of prototypes of this variant",
)

AIMCLR = Table(
    "halp/aimclr",
    "HaLP on AimCLR",
    "pretrain",
    f"{SOURCE}, E",
    (
        Measure(
            "linear",
            {"protocol": "linear", "stream": "joint"},
            AIMCLR_PROBE,
        ),
    ),
    (
        Row("AimCLR", Training("aimclr"), on_set(N60, linear=74.34)),
        Row(
            "AimCLR + HaLP",
            Training("halp-aimclr"),
            on_set(N60, linear=75.24),
            ours="all of HaLP's settings on AimCLR: where positives lie, their weight, number and start",
        ),
    ),
    notes=(BEST_NOTE,),
)

STREAMS = Table(
    "halp/linear",
    "Linear evaluation of HaLP",
    "pretrain",
    f"{SOURCE} and, for one stream, a table in the README of SOfA, a third party",
    (LINEAR,),
    (
        Row("joint MoCo", OFF, on_set(N60, linear=78.0)),
        Row("HaLP", HALP, across("linear", FIVE, 79.7, 86.8, 71.1, 72.2, 43.5)),
        Row("3s-HaLP", HALP_CMD, across("linear", FIVE, 85.1, 91.0, 75.5, 76.8, 53.4), THREE),
    ),
)

TABLES = (SEMIS, FILTERS, WEIGHTS, POSITIVES, STARTS, RECENT, ENSEMBLES, GRAPHS, NO_QUEUE, AIMCLR, STREAMS)
