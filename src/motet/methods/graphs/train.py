"""Training on a set of graphs, and the encoder that comes of it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from motet.core.errors import ConfigError, RunError
from motet.core.files import written
from motet.core.rng import CounterRNG
from motet.methods.graphs.augment import Draw, augment, with_loops
from motet.methods.graphs.data import Batch, Graphs
from motet.methods.graphs.method import GraphCL
from motet.methods.graphs.network import GIN, GraphNetwork

_ROWS = 256
History = list[dict[str, float]]


@dataclasses.dataclass(frozen=True, eq=False)
class GraphModel:
    """A trained encoder.

    Attributes:
        encoder: of a batch of graphs.
        node_labels: how many node labels the graphs must have.
        self_loops: whether graphs get loops first, see :class:`motet.methods.graphs.augment.ViewOptions`.
    """

    encoder: GIN
    node_labels: int
    self_loops: bool = False

    @torch.no_grad()
    def transform(self, graphs: Graphs) -> Tensor:
        """(N, feature_size) float32 on the CPU, features of whole graphs: neither projected nor scaled.

        Raises:
            ConfigError: another number of node labels than the encoder was trained with.
        """
        if graphs.node_labels != self.node_labels:
            raise ConfigError(
                f"{graphs.name} has {graphs.node_labels} node labels, the encoder was trained with {self.node_labels}"
            )
        device = next(self.encoder.parameters()).device
        self.encoder.eval()
        found = []
        for ids in torch.split(torch.arange(len(graphs)), _ROWS):
            found.append(self.encoder(_whole(graphs, ids, self.self_loops).to(device)).cpu())
        return torch.cat(found)

    def save(self, path: Path) -> None:
        """Write the encoder, whole or not at all."""
        encoder = self.encoder
        shape = {"hidden": encoder.norms[0].num_features, "layers": len(encoder.norms)}
        facts = {"node_labels": self.node_labels, "self_loops": self.self_loops, **shape}
        with written(path) as partial:
            save_file(
                {k: v.cpu().contiguous() for k, v in encoder.state_dict().items()}, partial, {"gin": json.dumps(facts)}
            )

    @classmethod
    def load(cls, path: str | Path) -> GraphModel:
        """Read what :meth:`save` wrote.

        Raises:
            RunError: not such a file.
        """
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["gin"])
                encoder = GIN(facts["node_labels"], facts["hidden"], facts["layers"])
                encoder.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(f"{path} is not an encoder of graphs ({error}); `motet graphs` writes them") from error
        return cls(encoder, facts["node_labels"], facts["self_loops"])


def fresh(graphs: Graphs, options: GraphCL, seed: int) -> GraphNetwork:
    """A network with the initial weights of a seed; the generator of the process stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GraphNetwork(graphs.node_labels, options.hidden, options.layers)


def train(
    graphs: Graphs,
    options: GraphCL,
    *,
    seed: int = 0,
    device: str = "cpu",
    watch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[GraphModel, History]:
    """Train on all graphs, without their labels.

    On a CPU the result is a function of graphs, options and seed, whatever the process drew before.

    Args:
        graphs: the set.
        options: of the method.
        seed: of initial weights, batches, views and positives.
        device: of the training.
        watch: called with every line of the history.

    Returns:
        Model and history: ``epoch``, ``loss``, ``contrast`` and, with HaLP, ``hallucination`` and ``retained``, means
        over the steps of an epoch.

    Raises:
        ConfigError: options that do not fit.
        RunError: the loss is no longer finite.
    """
    options.validate()
    network = fresh(graphs, options, seed).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=options.lr)
    history: History = []
    step = 0
    for epoch in range(options.epochs):
        lines = []
        for ids in torch.split(_order(graphs, options, seed, epoch), options.batch_size):
            lines.append(_step(network, optimiser, _whole(graphs, ids, options.self_loops), options, seed, epoch, step))
            step += 1
            if not math.isfinite(lines[-1]["loss"]):
                raise RunError(f"the loss is {lines[-1]['loss']} in epoch {epoch + 1}, step {step}; lower --lr")
        # positives are missing in a batch too small for prototypes
        names = sorted({name for line in lines for name in line})
        means = {name: fmean(line[name] for line in lines if name in line) for name in names}
        history.append({"epoch": epoch + 1, **means})
        if watch is not None:
            watch(history[-1])
    return GraphModel(network.encoder, graphs.node_labels, options.self_loops), history


def _step(
    network: GraphNetwork,
    optimiser: torch.optim.Optimizer,
    whole: Batch,
    options: GraphCL,
    seed: int,
    epoch: int,
    step: int,
) -> dict[str, float]:
    network.train()
    device = next(network.parameters()).device
    views = [whole if options.first_view == "whole" else augment(whole, Draw(seed, epoch, 0), options)]
    views.append(augment(whole, Draw(seed, epoch, 1), options))
    first, second = (network(view.to(device)) for view in views)
    losses = options.losses(first, second, Draw(seed, epoch, 2), whole.ids.to(device), step)
    optimiser.zero_grad(set_to_none=True)
    losses.total.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    parts = {
        "loss": losses.total,
        "contrast": losses.contrast,
        "hallucination": losses.hallucination,
        "retained": losses.retained,
    }
    return {name: float(value.detach()) for name, value in parts.items() if value is not None}


def _whole(graphs: Graphs, ids: Tensor, self_loops: bool) -> Batch:
    batch = graphs.batch(ids)
    return with_loops(batch) if self_loops else batch


def _order(graphs: Graphs, options: GraphCL, seed: int, epoch: int) -> Tensor:
    return CounterRNG(seed, epoch if options.reshuffle else 0, torch.arange(len(graphs))).order("order")
