"""docs/results/graphs.md: GraphCL and HaLP on it, on TU graph sets. The defaults for every set: nothing was tuned.

Published figures are those of HaLP's supplement, Table 8: mean and standard deviation over five seeds.
"""

from __future__ import annotations

from motet.reproduce import Measure, Row, Table, Training, all_tables
from motet.reproduce.page import Page, Part
from motet.reproduce.sources import tu

FORMS = {"": {"loss": "both-ways"}, " as published": {}, " as released": {"as_released": True}}
METHODS = {"GraphCL": "graphcl", "HaLP on GraphCL": "halp-graphcl"}


def of_set(name: str) -> Part:
    """Both methods in three forms: a symmetric loss, the paper's one-way loss, and the released code's quirks."""
    printed = dict(zip(METHODS, all_tables()["halp/graphs"].rows, strict=True))
    rows = []
    for form, options in FORMS.items():
        for title, method in METHODS.items():
            figures = {k: v for k, v in printed[title].published.items() if k[1] == name} if not options else {}
            rows.append(Row(f"{title}{form}", Training(method, options), figures))
    gains = tuple((f"HaLP on GraphCL{form}", f"GraphCL{form}") for form in FORMS)
    source = "HaLP (Shah et al., CVPR 2023), supplement, Table 8"
    return Part(
        Table(f"graphs/{name}", name, "graphs", source, (Measure("accuracy"),), tuple(rows), gains=gains), tu(name)
    )


PAGE = Page("graphs", "GraphCL, and HaLP on it", tuple(map(of_set, ("MUTAG", "PROTEINS", "DD", "NCI1"))))
