"""Graphs with node labels: GraphCL, and HaLP on it.

A room of its own next to the skeletons: it shares the equations (:mod:`motet.losses`, :mod:`motet.memory.kmeans`), the
keyed
draws and the way that results are kept, and neither archive nor encoders.
"""

from motet.methods.graphs.augment import AUGMENTATIONS, Draw, ViewOptions, augment
from motet.methods.graphs.data import Batch, Graphs, build, read_tu
from motet.methods.graphs.method import GraphCL, HaLPGraphCL
from motet.methods.graphs.network import GIN
from motet.methods.graphs.run import RANDOM, RAW, load, report, resume, run
from motet.methods.graphs.svm import svm_accuracy
from motet.methods.graphs.train import GraphModel, train

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
    "load",
    "read_tu",
    "report",
    "resume",
    "run",
    "svm_accuracy",
    "train",
]
