"""Training on a set of graphs, and the encoder that comes of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from motet._version import __version__
from motet.core.chance import Chance
from motet.core.distributed import from_first, own_part, whole
from motet.core.errors import ConfigError, RunError
from motet.core.files import written
from motet.core.forms import checked
from motet.core.options import Count, Layers
from motet.core.rng import CounterRNG
from motet.core.shards import Shard
from motet.core.text import counted
from motet.engine.examples import Examples
from motet.engine.learner import Learner, Position, Stage
from motet.engine.model import Card, Embedding, Model, Network, filled
from motet.engine.monitor import online_knn, spread
from motet.engine.options import Loop
from motet.engine.run import Run, reading
from motet.engine.tensors import check_size, read_tensors, save_tensors
from motet.engine.trainer import Trainer
from motet.methods.graphs.augment import Draw, augment, with_loops
from motet.methods.graphs.data import Batch, Graphs, read_tu
from motet.methods.graphs.method import GraphCL
from motet.methods.graphs.network import GIN, GraphNetwork

_ROWS = 256
_LOOKS = 5  # at the features of a seed, where no interval is given
_MONITORED = 4000  # graphs that are looked at, at most
STREAM = "graph"
"""what the features of a graph are called in tables and files"""
FIFTH = "kfold:5/1"
"""how graphs are divided where a protocol needs two sides"""
History = list[dict[str, float]]


class _Facts(TypedDict):
    """What a file says of its encoder."""

    node_labels: Count
    hidden: Count
    layers: Layers
    self_loops: bool


@dataclasses.dataclass(frozen=True, eq=False)
class GraphModel(Model):
    """A trained encoder.

    Attributes:
        encoder: of a batch of graphs.
        node_labels: how many node labels the graphs must have.
        self_loops: whether graphs get loops first, see :class:`motet.methods.graphs.augment.ViewOptions`.
    """

    trained_by = "graphs"

    encoder: GIN
    node_labels: int
    self_loops: bool = False

    def transform(self, graphs: Graphs | str | Path) -> npt.NDArray[np.float32]:
        """(N, feature_size) features of whole graphs: neither projected nor scaled.

        Args:
            graphs: a set, or the folder of one.

        Raises:
            ConfigError: another number of node labels than the encoder was trained with.
        """
        graphs = graphs if isinstance(graphs, Graphs) else read_tu(graphs)
        if graphs.node_labels != self.node_labels:
            raise ConfigError(
                f"{graphs.name} has {graphs.node_labels} node labels, the encoder was trained with {self.node_labels}"
            )
        return self.encoded(graphs, torch.arange(len(graphs))).numpy()

    @torch.no_grad()
    def encoded(self, graphs: Graphs, ids: Tensor) -> Tensor:
        """(n, feature_size) features of some graphs of a set, on the CPU; the mode of the encoder stays."""
        device, training = next(self.encoder.parameters()).device, self.encoder.training
        self.encoder.eval()
        parts = [_whole(graphs, some, self.self_loops).to(device) for some in torch.split(ids, _ROWS)]
        found = torch.cat([self.encoder(part).cpu() for part in parts])
        self.encoder.train(training)
        return found

    def embedding(self, source: str | Path, *, block_bytes: int = 0, shard: Shard | None = None) -> Embedding:
        """Features of the graphs of a folder, which have numbers from 1 for names."""
        graphs = read_tu(source)
        return Embedding(
            names=names_of(graphs),
            labels=graphs.labels.numpy(),
            streams=(STREAM,),
            widths=(self.encoder.feature_size,),
            fill=filled(self.transform(graphs)),
            more={"class_names": np.array(graphs.class_names)},
            class_names=graphs.class_names,
        )

    def examples(self, run: Run, data: str | Path | None, split: str | None) -> Examples:
        """The graphs of a folder; one of five stratified parts tests."""
        place = data or run.config["data"]["path"]
        if not place:
            raise RunError(f"{run.path} does not say where its graphs are; name their folder by --data")
        graphs = read_tu(place)
        if split not in (None, FIFTH):
            raise ConfigError(f"graphs are divided by {FIFTH} alone; leave --split out")
        labels = graphs.labels.numpy()
        train, test = next(StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels))
        return Examples(
            path=Path(place),
            hash=graphs.hash,
            names=names_of(graphs),
            labels=labels,
            class_names=graphs.class_names,
            features={STREAM: self.transform(graphs)},
            raw={STREAM: graphs.counts().numpy()},
            train=train.astype(np.int64),
            test=test.astype(np.int64),
            rule=FIFTH,
            method=run.handler.options(run).title,
            notes=["the encoder saw all graphs in training, without their labels"],
        )

    def exportable(self) -> Network:
        """The encoder: one-hot node labels (nodes, F), edges (2, E) in both directions, the graph of each node (nodes,)
        and the numbers 0, 1, … of the graphs (graphs,) → (graphs, feature_size). Where the facts say ``self_loops``,
        edges must hold those of :func:`motet.methods.graphs.augment.with_loops`."""
        return Network(
            module=_Tensors(self.encoder).eval().cpu(),
            inputs=("nodes", "edges", "graph", "graphs"),
            outputs=("features",),
            free={"nodes": {0: "nodes"}, "edges": {1: "edges"}, "graph": {0: "nodes"}, "graphs": {0: "graphs"}},
            example=self._example,
            facts={"motet": __version__, "node_labels": str(self.node_labels), "self_loops": str(self.self_loops)},
        )

    def _example(self, rows: int, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """``rows`` rings of ``steps`` nodes."""
        kinds = torch.randint(self.node_labels, (rows * steps,), generator=generator)
        node = torch.arange(rows * steps)
        graph, place = node // steps, node % steps
        following = graph * steps + (place + 1) % steps
        edges = torch.stack([torch.cat([node, following]), torch.cat([following, node])])
        return torch.nn.functional.one_hot(kinds, self.node_labels).float(), edges, graph, torch.arange(rows)

    def card(self, run: Run) -> Card:
        """What a model card says of the weights."""
        config, options = run.config, run.handler.options(run)
        return Card(
            f"{options.title} on graphs with {self.node_labels} node labels",
            f"A graph isomorphism network, trained without labels by `motet graphs` of motet {__version__}.",
            [
                ("input", f"graphs with {self.node_labels} node labels"),
                ("encoder", f"{counted(options.layers, 'layer')} of {options.hidden}"),
                ("seeds, epochs", f"{', '.join(map(str, config['seeds']))}; {options.epochs}"),
            ],
            'features = model.transform("folder of a TU set")',
        )

    def save(self, path: Path) -> None:
        """Write the encoder, whole or not at all."""
        encoder = self.encoder
        shape = {"hidden": encoder.norms[0].num_features, "layers": len(encoder.norms)}
        facts = {"node_labels": self.node_labels, "self_loops": self.self_loops, **shape}
        with written(path) as partial:
            save_tensors(partial, encoder.state_dict(), {"gin": json.dumps(facts)})

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> GraphModel:
        """Read what :meth:`save` wrote.

        Raises:
            RunError: not such a file.
        """
        with reading(path):
            tensors, stored = read_tensors(Path(path))
            facts = json.loads(stored["gin"])
            checked(_Facts, facts, path)
            sizes = facts["node_labels"], facts["hidden"], facts["layers"]
            check_size(lambda: GIN(*sizes), tensors)
            encoder = GIN(*sizes)
            encoder.load_state_dict(tensors)
        return cls(encoder.to(device), facts["node_labels"], facts["self_loops"])


class _Tensors(torch.nn.Module):
    """The encoder on tensors alone, for a file of its graph."""

    def __init__(self, encoder: GIN) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, nodes: Tensor, edges: Tensor, graph: Tensor, graphs: Tensor) -> tuple[Tensor, ...]:
        rows = torch.zeros_like(graph)
        batch = Batch(nodes, edges, graph, graphs, rows, torch.zeros_like(edges[0]))
        return (self.encoder(batch),)


def names_of(graphs: Graphs) -> npt.NDArray[np.str_]:
    """(N,) numbers of the graphs, from 1."""
    return np.arange(1, len(graphs) + 1).astype(np.str_)


def fresh(graphs: Graphs, options: GraphCL, seed: int) -> GraphNetwork:
    """A network with the initial weights of a seed; the generator of the process stays as it was."""
    with Chance(seed):
        return GraphNetwork(graphs.node_labels, options.hidden, options.layers)


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step sees: both views of this process's graphs, numbers of all graphs of the step, its draw and how many
    steps were before it."""

    views: tuple[Batch, Batch]
    ids: Tensor
    draw: Draw
    number: int


class GraphLearner(Learner):
    """GraphCL on a set of graphs, without their labels: one stage for every seed.

    Args:
        graphs: the set.
        options: of the method.
        seeds: of initial weights, batches, views and positives.
        device: of the training.
        monitor_every: epochs between looks at the features; 0: a few over the training of a seed, None: none.

    Attributes:
        network: of the present seed.
        history: of the present seed, a line an epoch: means over its steps.
    """

    advice = "lower --lr"

    def __init__(
        self,
        graphs: Graphs,
        options: GraphCL,
        seeds: Sequence[int],
        device: torch.device,
        monitor_every: int | None = None,
    ) -> None:
        super().__init__()
        self.monitor_every = monitor_every
        self.graphs, self.options, self.seeds, self.device = graphs, options, tuple(seeds), device
        steps = -(-len(graphs) // options.batch_size)
        self.stages = [Stage(f"seed {seed}", options.epochs, steps, rows=options.batch_size) for seed in seeds]
        self._seen: list[dict[str, float]] = []

    def seed_of(self, stage: Stage) -> int:
        """The seed that a stage trains."""
        return self.seeds[[s.name for s in self.stages].index(stage.name)]

    def begin_stage(self, stage: Stage) -> None:
        self.network = fresh(self.graphs, self.options, self.seed_of(stage)).to(self.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.options.lr)
        self.history: History = []

    def begin_epoch(self, at: Position) -> None:
        self._seen = []

    def batch(self, at: Position) -> Step:
        graphs, options, seed = self.graphs, self.options, self.seed_of(at.stage)
        ids = torch.split(_order(graphs, options, seed, at.epoch), options.batch_size)[at.step]
        own = _whole(graphs, own_part(ids), options.self_loops)
        first = own if options.first_view == "whole" else augment(own, Draw(seed, at.epoch, 0), options)
        second = augment(own, Draw(seed, at.epoch, 1), options)
        views = first.to(self.device), second.to(self.device)
        return Step(views, ids.to(self.device), Draw(seed, at.epoch, 2), at.epoch * at.stage.steps + at.step)

    def terms(self, batch: Step) -> dict[str, Tensor]:
        first, second = (whole(self.network(view), len(batch.ids)) for view in batch.views)
        losses = self.options.losses(first, second, batch.draw, batch.ids, batch.number)
        found = {"contrast": losses.contrast}
        if losses.hallucination is not None and losses.retained is not None:
            found["hallucination"] = losses.hallucination
            self.observed["retained"] = losses.retained.detach()
        line = {"loss": losses.total, **found, **self.observed}
        self._seen.append({name: float(value.detach()) for name, value in line.items()})
        return found

    def weights(self, at: Position) -> dict[str, float]:
        return {"contrast": 1.0, "hallucination": getattr(self.options, "halp_weight", 0.0)}

    def rows(self, batch: Step) -> str:
        return (
            f"Graphs of the batch: {', '.join(str(int(i) + 1) for i in batch.ids[:10])}{' …' * (len(batch.ids) > 10)}."
        )

    def end_epoch(self, at: Position) -> dict[str, Any]:
        # positives are missing in a batch too small for prototypes
        names = sorted({name for line in self._seen for name in line})
        means = {name: fmean(line[name] for line in self._seen if name in line) for name in names}
        self.history.append({"epoch": at.epoch + 1, **means})
        if self.monitor_every is None or not at.every(self.monitor_every, times=_LOOKS):
            return {}
        return from_first(self._look)

    def _look(self) -> dict[str, Any]:
        """Spread of the features, and nearest neighbours of every fifth graph among the others; a monitor only."""
        ids = torch.arange(0, len(self.graphs), -(-len(self.graphs) // _MONITORED))
        features, labels = self.model().encoded(self.graphs, ids), self.graphs.labels[ids]
        test = torch.arange(len(ids)) % 5 == 4
        found: dict[str, Any] = {"spread": {STREAM: spread(features)}}
        if len(features[test]):
            train, others = ({STREAM: features[rows]} for rows in (~test, test))
            found["knn"] = online_knn(train, others, labels[~test], labels[test])
        return found

    def model(self) -> GraphModel:
        """The encoder of the present seed."""
        return GraphModel(self.network.encoder, self.graphs.node_labels, self.options.self_loops)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "history": self.history, "seen": self._seen}

    def restore(self, state: Mapping[str, Any], stage: Stage) -> None:
        super().restore(state, stage)
        self.history, self._seen = list(state["history"]), list(state["seen"])


def train(graphs: Graphs, options: GraphCL, *, seed: int = 0, device: str = "cpu") -> tuple[GraphModel, History]:
    """Train on all graphs, without their labels; nothing is written.

    On a CPU the result is a function of graphs, options and seed, whatever the process drew before.

    Args:
        graphs: the set.
        options: of the method.
        seed: of initial weights, batches, views and positives.
        device: auto, cpu, cuda or mps.

    Returns:
        Model and history: ``epoch``, ``loss``, ``contrast`` and, with HaLP, ``hallucination`` and ``retained``, means
        over the steps of an epoch.

    Raises:
        ConfigError: options that do not fit.
        RunError: the loss is no longer finite; names term, step and graphs.
    """
    options.validate()
    learners: list[GraphLearner] = []

    def make(place: torch.device) -> GraphLearner:
        learners.append(GraphLearner(graphs, options, (seed,), place))
        return learners[0]

    Trainer(make, Loop(device=device), progress=False).fit(None)
    return learners[0].model(), learners[0].history


def _whole(graphs: Graphs, ids: Tensor, self_loops: bool) -> Batch:
    batch = graphs.batch(ids)
    return with_loops(batch) if self_loops else batch


def _order(graphs: Graphs, options: GraphCL, seed: int, epoch: int) -> Tensor:
    return CounterRNG(seed, epoch if options.reshuffle else 0, torch.arange(len(graphs))).order("order")
