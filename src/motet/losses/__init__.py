"""The equations of the papers: pure functions, tensors in, scalar out; no state. They are what training runs."""

from motet.losses.clustering import balanced_assignment, pair_consistency, pair_likelihood, rank_statistics_pairs
from motet.losses.contrast import cross_positive_mining, graph_contrast, in_batch_nce, info_nce, mutual_contrast
from motet.losses.distillation import consensus_distillation, mutual_distillation, neighbour_distillation
from motet.losses.extremes import distributional_divergence, neighbour_mining
from motet.losses.hallucination import (
    candidates,
    hallucinate,
    hallucination_loss,
    rank_filter,
    rank_limit,
    retained,
    slerp,
)
from motet.losses.multimodal import adversarial_critic, adversarial_student, class_contrast, jensen_shannon

__all__ = [
    "adversarial_critic",
    "adversarial_student",
    "balanced_assignment",
    "candidates",
    "class_contrast",
    "consensus_distillation",
    "cross_positive_mining",
    "distributional_divergence",
    "graph_contrast",
    "hallucinate",
    "hallucination_loss",
    "in_batch_nce",
    "info_nce",
    "jensen_shannon",
    "mutual_contrast",
    "mutual_distillation",
    "neighbour_distillation",
    "neighbour_mining",
    "pair_consistency",
    "pair_likelihood",
    "rank_filter",
    "rank_limit",
    "rank_statistics_pairs",
    "retained",
    "slerp",
]
