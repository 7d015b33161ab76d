"""Protocols that evaluate features, and the tables they give.

One module per protocol (``knn``, ``linear``, ``linear_cached`` …), found by its name: it has ``Options``, a dataclass,
and ``evaluate(context, options) -> list of rows``. To add one, add a file.
"""

from motet.evaluate.retrieval import retrieval_scores
from motet.evaluate.runner import protocol, protocols, run
from motet.evaluate.segmentation import segmentation_scores
from motet.metrics.clusters import cluster_scores
from motet.metrics.knn import knn_accuracy, knn_predict

__all__ = [
    "cluster_scores",
    "knn_accuracy",
    "knn_predict",
    "protocol",
    "protocols",
    "retrieval_scores",
    "run",
    "segmentation_scores",
]
