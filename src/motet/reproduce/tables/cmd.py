"""Tables of CMD (Mao et al., ECCV 2022) and of its supplement.

Where the paper's own page was not at hand, a row says who printed the figure. Figures that nobody could be found to
have printed are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motet.reproduce.declare import BySplit, Figure, Measure, Row, Share, Table, Training, across, on_set

SUPPLEMENT = "CMD (Mao et al., ECCV 2022), supplement"
HALP_TABLE_1 = "HaLP (Shah et al., CVPR 2023), supplement, Table 1"
HALP_TABLE_7 = "HaLP (Shah et al., CVPR 2023), supplement, Table 7"
ISC_FIGURE = "ISC (Thoker et al., ACM MM 2021), table in its repository"
CROSSCLR_README = "README of CrosSCLR (Li et al., CVPR 2021)"
AIMCLR_README = "README of AimCLR (Guo et al., AAAI 2022)"
THIRD_PARTY = "table in the README of SOfA, a third party"

N60, N60V, N120, N120S = "NTU-60 xsub", "NTU-60 xview", "NTU-120 xsub", "NTU-120 xset"
PKU1, PKU2 = "PKU-MMD I xsub", "PKU-MMD II xsub"
NTU = (N60, N60V, N120, N120S)
SIX = (*NTU, PKU1, PKU2)
FIVE = (*NTU, PKU2)

# probes as each paper's scripts have them; AimCLR's sees whole clips, the same in every epoch
HALP_PROBE = {"lr": BySplit((0.005,), {"pku": (0.001,)})}
AIMCLR_PROBE = {"lr": (3.0,), "epochs": 100, "batch_size": 128, "drops": (80,), "minimum_ratio": 1.0}
BEST_NOTE = "The released scripts report the best epoch on the test clips; ours shows the last next to the best."

BASE = Training("moco", {"streams": ("joint",)})
AIMCLR = Training("aimclr")
AIMCLR_3S = Training("aimclr", {"streams": ("joint", "bone", "motion")})
CROSSCLR = Training("crossclr-stgcn")
CROSSCLR_2S = Training("crossclr-stgcn", {"streams": ("joint", "motion")})
SKELETONCLR = Training("moco-stgcn", {"streams": ("joint",)})
STGCN_OURS = "the start of the heads, and of key encoders as copies"
CMD, MCL, CROSS = Training("cmd"), Training("mcl"), Training("crossclr")
HALP, HALP_CMD = Training("halp"), Training("halp-cmd")
THREE = {"protocol": "ensemble", "stream": "all", "ensemble": "mean-logits"}
FUSION = {**THREE, "ensemble": "late-fusion"}

LINEAR = Measure("linear", {"protocol": "linear", "stream": "joint"})
KNN = Measure("knn", {"protocol": "knn", "stream": "joint"})


def _temperature(teacher: float, student: float, linear: float) -> Row:
    options = {"teacher_temperature": teacher, "student_temperature": student}
    return Row(f"τt = {teacher:g}, τs = {student:g}", Training("cmd", options), on_set(N60, linear=linear))


TEMPERATURES = Table(
    "cmd/temperatures",
    "Temperatures of the distillation",
    "pretrain",
    SUPPLEMENT,
    (LINEAR,),
    tuple(
        _temperature(*entry)
        for entry in (
            (0.05, 0.05, 77.8),
            (0.07, 0.07, 78.0),
            (0.1, 0.1, 77.5),
            (0.01, 0.1, 79.7),
            (0.01, 0.5, 78.2),
            (0.01, 1.0, 76.8),
            (0.02, 0.1, 79.7),
            (0.02, 0.5, 77.8),
            (0.02, 1.0, 76.5),
            (0.05, 0.1, 79.8),
            (0.05, 0.5, 78.0),
            (0.05, 1.0, 76.8),
        )
    ),
    notes=("The supplement prints 79.8 here and 79.4 in its other tables for the same setting.", BEST_NOTE),
)

STAGES = Table(
    "cmd/stages",
    "One stage or two",
    "pretrain",
    SUPPLEMENT,
    (LINEAR,),
    (
        Row("CrosSCLR-B, one stage", Training("crossclr", {"cross_start": 0}), on_set(N60, linear=57.6)),
        Row("CrosSCLR-B, two stages", CROSS, on_set(N60, linear=77.3)),
        Row("CMD, one stage", CMD, on_set(N60, linear=79.4)),
        Row("CMD, two stages", Training("cmd", {"distill_start": Share(0.5)}), on_set(N60, linear=79.2)),
    ),
    notes=("The supplement does not say when the second stage begins; here it is half-way, as in CrosSCLR.",),
)

MUTUAL = Table(
    "cmd/mcl",
    "Distillation against mutual contrast",
    "pretrain",
    SUPPLEMENT,
    (LINEAR, KNN),
    (
        Row("Base", BASE, on_set(N60, linear=76.1, knn=63.4)),
        Row("MCL", MCL, on_set(N60, linear=77.3, knn=64.3)),
        Row("CMD", CMD, on_set(N60, linear=79.4, knn=70.6)),
    ),
    notes=("The supplement gives no formula of MCL; what is trained is a reading (see the page of MCL).",),
)


def _linear(
    name: str,
    training: Training | None,
    cite: str,
    *figures: float | None,
    pick: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    ours: str = "",
) -> Row:
    return Row(name, training, across("linear", SIX, *figures), pick or {}, options or {}, cite, ours)


def _aimclr(stream: str, *figures: float | None) -> Row:
    training = Training("aimclr", {"streams": (stream,)})
    pick = {"stream": stream}
    return _linear(f"AimCLR, {stream}", training, AIMCLR_README, *figures, pick=pick, options=AIMCLR_PROBE)


LINEARS = Table(
    "cmd/linear",
    "Linear evaluation",
    "pretrain",
    "CMD (Mao et al., ECCV 2022) and its baselines, from the sources named at each row",
    (LINEAR,),
    (
        _linear("Base (joint MoCo)", BASE, SUPPLEMENT, 76.1, None, None, None, None, None),
        _linear(
            *("Base as HaLP trains its probe", BASE, "HaLP, supplement", 78.0, None, None, None, None, None),
            options=HALP_PROBE,
        ),
        _linear("CMD", CMD, THIRD_PARTY, 79.8, 86.9, 70.3, 71.5, None, 43.0),
        _linear("HaLP", HALP, THIRD_PARTY, 79.7, 86.8, 71.1, 72.2, None, 43.5, options=HALP_PROBE),
        _linear("3s-CrosSCLR-B", CROSS, HALP_TABLE_7, 82.1, 89.2, 71.6, 73.4, None, 51.0, pick=THREE),
        _linear("3s-CMD", CMD, HALP_TABLE_7, 84.1, 90.9, 74.7, 76.1, None, 52.6, pick=THREE),
        _linear(
            *("3s-HaLP", HALP_CMD, HALP_TABLE_7, 85.1, 91.0, 75.5, 76.8, None, 53.4), pick=THREE, options=HALP_PROBE
        ),
        _aimclr("joint", 74.34, 79.68, None, None, 83.43, None),
        _aimclr("motion", 68.68, 71.83, None, None, 72.00, None),
        _aimclr("bone", 71.87, 77.02, None, None, 82.03, None),
        _linear(
            *("3s-CrosSCLR (ST-GCN)", CROSSCLR, HALP_TABLE_7, 77.8, 83.4, 67.9, 66.7, None, 21.2),
            pick=THREE,
            options=AIMCLR_PROBE,
            ours=STGCN_OURS,
        ),
        _linear(
            *("3s-AimCLR", AIMCLR_3S, HALP_TABLE_7, 78.9, 83.8, 68.2, 68.8, None, 39.5),
            pick=FUSION,
            options=AIMCLR_PROBE,
        ),
        _linear(
            *("2s-CrosSCLR", CROSSCLR_2S, CROSSCLR_README, 74.5, 82.1, None, None, None, None),
            pick=THREE,
            options=AIMCLR_PROBE,
            ours=STGCN_OURS,
        ),
        _linear(
            *("SkeletonCLR", SKELETONCLR, CROSSCLR_README, 68.3, 76.4, None, None, None, None),
            options=AIMCLR_PROBE,
            ours=STGCN_OURS,
        ),
        _linear("ISC", None, ISC_FIGURE, 76.3, 85.2, 67.1, 67.9, 80.9, 36.0),
        _linear("P&C", None, ISC_FIGURE, 56.1, 59.3, 41.1, 44.1, 59.9, 25.5),
        _linear("LongT GAN", None, ISC_FIGURE, 52.1, 56.4, 35.6, 39.7, 68.7, 26.5),
        _linear("MS²L", None, ISC_FIGURE, 52.5, None, None, None, 64.8, 27.6),
    ),
    notes=(
        "3s and 2s rows are streams whose layers are trained on the mean of their logits; 3s-AimCLR adds scores of "
        "layers trained apart, .6 joint, .6 bone, .4 motion.",
        "Probes: rate .1 (CMD), .005 and on PKU-MMD .001 (HaLP), 3 without augmentation (AimCLR, CrosSCLR).",
        BEST_NOTE,
    ),
)

NEIGHBOURS = Table(
    "cmd/knn",
    "Nearest neighbour (k = 1)",
    "pretrain",
    "CMD's supplement for NTU-60 xsub; others as named",
    (KNN,),
    (
        Row("Base", BASE, across("knn", NTU, 63.4, None, None, None)),
        Row("MCL", MCL, across("knn", NTU, 64.3, None, None, None)),
        Row("CMD", CMD, across("knn", NTU, 70.6, None, None, None)),
        Row("ISC", None, across("knn", NTU, 62.5, 82.6, 50.6, 52.3), cite=ISC_FIGURE),
        Row("P&C", None, across("knn", NTU, 50.7, 76.3, 39.5, 41.8), cite=ISC_FIGURE),
        Row("LongT GAN", None, across("knn", NTU, 39.1, 48.1, 31.5, 35.5), cite=ISC_FIGURE),
    ),
)

SHARES = (0.01, 0.05, 0.1, 0.2)
SEMI = tuple(Measure(f"{100 * r:g} %", {"protocol": "semi", "stream": "joint", "ratio": r}) for r in SHARES)


def semi_row(
    name: str, training: Training | None, view: tuple[float | None, ...], sub: tuple[float | None, ...]
) -> Row:
    """Shares of 1, 5, 10 and 20 % on NTU-60 xview and xsub."""
    figures: dict[tuple[str, str], Figure] = {}
    for data_set, values in ((N60V, view), (N60, sub)):
        named = zip((m.name for m in SEMI), values, strict=True)
        figures |= {(m, data_set): v for m, v in named if v is not None}
    return Row(name, training, figures)


SEMI_ROWS = (
    semi_row("CMD", CMD, (53.0, 75.3, 80.2, 84.3), (50.6, 71.0, 75.4, 78.7)),
    semi_row("CrosSCLR-B", CROSS, (49.8, 70.6, 77.0, 81.9), (48.6, 67.7, 72.4, 76.1)),
    semi_row("HaLP's baseline (joint MoCo)", BASE, (45.4, 69.0, 75.2, 81.0), (42.6, 64.3, 70.0, 74.7)),
    semi_row("ISC", None, (38.1, 65.7, 72.5, 78.2), (35.7, 59.6, 65.9, 70.8)),
    semi_row("LongT GAN", None, (None, None, None, None), (35.2, None, 62.0, None)),
    semi_row("MS²L", None, (None, None, None, None), (33.1, None, 65.1, None)),
    semi_row("ASSL", None, (None, 63.6, 69.8, 74.7), (None, 57.3, 64.3, 68.0)),
    semi_row("AimCLR", AIMCLR, (47.2, None, 74.6, None), (45.7, None, 71.4, None)),
)
SEMI_NOTE = "Uniform shares of the training side, five draws, the whole network fine-tuned, joint stream."

SEMIS = Table(
    "cmd/semi", "Semi-supervised: shares of the labels", "pretrain", HALP_TABLE_1, SEMI, SEMI_ROWS, notes=(SEMI_NOTE,)
)

FUSED = (
    Measure("3 streams", THREE),
    Measure("3 streams, late mean", {**THREE, "ensemble": "late-mean"}),
)
ENSEMBLE_ROWS = (
    Row(
        "3s-CrosSCLR",
        CROSSCLR,
        across("3 streams", FIVE, 77.8, 83.4, 67.9, 66.7, 21.2),
        options=AIMCLR_PROBE,
        ours=STGCN_OURS,
    ),
    Row(
        "3s-AimCLR",
        AIMCLR_3S,
        across("3 streams", FIVE, 78.9, 83.8, 68.2, 68.8, 39.5),
        {"ensemble": "late-fusion"},
        AIMCLR_PROBE,
    ),
    Row("3s-CrosSCLR-B", CROSS, across("3 streams", FIVE, 82.1, 89.2, 71.6, 73.4, 51.0)),
    Row("3s-CMD", CMD, across("3 streams", FIVE, 84.1, 90.9, 74.7, 76.1, 52.6)),
)
ENSEMBLE_NOTE = (
    "The form of the published ensembles is not stated; both are shown: layers trained on the mean of the logits, and "
    "layers trained apart whose answers are averaged."
)

ENSEMBLES = Table(
    "cmd/ensembles",
    "Three streams together",
    "pretrain",
    HALP_TABLE_7,
    FUSED,
    ENSEMBLE_ROWS,
    notes=(ENSEMBLE_NOTE,),
)

TRANSFER = Table(
    "cmd/transfer",
    "Transfer: pretrained on one set, fine-tuned on another",
    "pretrain",
    "protocol of CMD (Mao et al., ECCV 2022)",
    (Measure("transfer", {"protocol": "transfer", "stream": "joint"}),),
    (Row("Base", BASE), Row("CrosSCLR-B", CROSS), Row("CMD", CMD)),
    target=True,
    notes=("The printed figures were not at hand, so there is no published column.",),
)

TABLES = (TEMPERATURES, STAGES, MUTUAL, LINEARS, NEIGHBOURS, SEMIS, ENSEMBLES, TRANSFER)
