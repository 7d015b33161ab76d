"""The equations of the papers: pure functions, tensors in, scalar out; no state."""

from motet.losses.contrast import cross_positive_mining, info_nce, mutual_contrast
from motet.losses.distillation import consensus_distillation, mutual_distillation, neighbour_distillation

__all__ = [
    "consensus_distillation",
    "cross_positive_mining",
    "info_nce",
    "mutual_contrast",
    "mutual_distillation",
    "neighbour_distillation",
]
