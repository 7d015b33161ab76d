"""The equations of the papers: pure functions, tensors in, scalar out; no state."""

from motet.losses.clustering import balanced_assignment, pair_consistency, pair_likelihood, rank_statistics_pairs
from motet.losses.contrast import cross_positive_mining, info_nce, mutual_contrast
from motet.losses.distillation import consensus_distillation, mutual_distillation, neighbour_distillation
from motet.losses.hallucination import hallucination_loss, rank_filter, rank_limit, slerp
from motet.losses.multimodal import adversarial_critic, adversarial_student, class_contrast, jensen_shannon

__all__ = [
    "adversarial_critic",
    "adversarial_student",
    "balanced_assignment",
    "class_contrast",
    "consensus_distillation",
    "cross_positive_mining",
    "hallucination_loss",
    "info_nce",
    "jensen_shannon",
    "mutual_contrast",
    "mutual_distillation",
    "neighbour_distillation",
    "pair_consistency",
    "pair_likelihood",
    "rank_filter",
    "rank_limit",
    "rank_statistics_pairs",
    "slerp",
]
