"""What has been renamed or changed on purpose since the record was made."""

from __future__ import annotations

import math
from typing import NamedTuple


class Intended(NamedTuple):
    """A difference that is meant.

    Attributes:
        run: pattern of the run's name, from its beginning.
        place: pattern anywhere in the place.
        reason: why it is meant.
        tolerance: relative (absolute below 1) difference that a number may have; any by default, and the place may go.
    """

    run: str
    place: str
    reason: str
    tolerance: float = math.inf


RENAMED: tuple[tuple[str, str], ...] = (
    ("labelling/prices", "labelling/scalings"),
    (r"\bwatched\b", "diagnostics"),
    (r"\blanes\b", "replicas"),
    (r"\blane\.json\b", "replica.json"),
    (r"\bcosine_mates\b", "cosine_class"),
    (r"\bjudged\b", "scored"),
    (r"\bodd_below\b", "outlier_below"),
)
"""(pattern, replacement) for places of the stored record, applied in this order by :func:`re.sub`."""

COLUMNS: tuple[tuple[str, str], ...] = (("B0_outlier", "B0_odd"), ("B1_outlier", "B1_odd"))
"""what columns of tables are called now, and in the stored record."""

INTENDED: tuple[Intended, ...] = (
    Intended(
        "(interrupted/)?discover|evaluate/cluster|reproduce",
        "nmi|ari",
        "computed by scikit-learn, in another order",
        1e-12,
    ),
    Intended("(interrupted/)?distill", r"\benhanced\b", "the rows of the second critic are called repeated"),
    Intended("(interrupted/)?distill", "/terms/", "means over an epoch are taken in double precision", 2e-6),
    Intended("distill-raw", r"replicas/.*/(replica\.json/curves|metrics\.jsonl)", "a run has one metrics.jsonl"),
    Intended("distill/amid-(ucf51|iemocap)", "", "published settings take the features of frozen networks as they are"),
    Intended("pretrain/moco-bf16", "", "clips are no longer rounded to bfloat16 before the encoder reads them"),
    Intended(
        "use/export",
        r"checks/\d+/largest",
        "a trace of eight frames leaves other draws for the clips that are compared",
    ),
    Intended("use/report", r"report\.html", "the title says which archive, by the name of its data set"),
    Intended("data/inspect", "faults/0/examples", "what most clips have is a fault of the set, and names none of them"),
    Intended("evaluate/cluster", r"rows/\d+/(values|mean)", "nmi and ari are computed by scikit-learn", 1e-12),
)
