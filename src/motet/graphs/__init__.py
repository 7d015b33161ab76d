"""Graphs with node labels: GraphCL, and HaLP on it.

A room of its own beside the skeletons: it shares the equations (:mod:`motet.losses`, :mod:`motet.cluster`), the keyed
draws and the way that results are kept, and neither archive nor encoders.
"""

from motet.graphs.augment import AUGMENTATIONS, Draw, ViewOptions, augment
from motet.graphs.data import Batch, Graphs, build, read_tu
from motet.graphs.method import GraphCL, HaLPGraphCL, graph_contrast
from motet.graphs.network import GIN
from motet.graphs.run import RANDOM, RAW, load, report, resume, run
from motet.graphs.svm import svm_accuracy
from motet.graphs.train import GraphModel, train

__all__ = [
    "AUGMENTATIONS",
    "GIN",
    "RANDOM",
    "RAW",
    "Batch",
    "Draw",
    "GraphCL",
    "GraphModel",
    "Graphs",
    "HaLPGraphCL",
    "ViewOptions",
    "augment",
    "build",
    "graph_contrast",
    "load",
    "read_tu",
    "report",
    "resume",
    "run",
    "svm_accuracy",
    "train",
]
