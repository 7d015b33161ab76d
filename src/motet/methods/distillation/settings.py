"""Options of a distillation, and the named settings they start from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Momentum, Natural, NotNegative, Options, Positive
from motet.engine.options import Loop
from motet.methods.distillation.methods import METHODS, changes, owners
from motet.methods.distillation.methods import Options as MethodOptions
from motet.methods.distillation.networks import Networks


@dataclass(frozen=True)
class Training(Options):
    """How the networks move."""

    epochs: Count = 20
    """how often every training row is seen, in each stage"""
    batch_size: Annotated[int, Bounds(least=2)] = 64
    """rows per step; at most the smallest training side. The rest of an epoch that fills no batch is left out."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 2e-3
    """rate at the start"""
    momentum: Momentum = 0.9
    """of SGD"""
    weight_decay: NotNegative = 1e-2
    schedule: Literal["cosine", "steps"] = "cosine"
    """of the rate: half a cosine to zero, or the milestones"""
    milestones: Annotated[tuple[int, ...], Bounds(least=0)] = ()
    """epochs (counted from 0) from which the rate is multiplied by gamma, once each"""
    gamma: Positive = 0.1
    """factor of the milestones"""
    per_class: Natural = 0
    """rows of a class that come together in a batch; 0 draws rows regardless of class"""

    def factor(self, epoch: int) -> float:
        """What the rate is multiplied by in an epoch, counted from 0."""
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.gamma ** sum(epoch >= m for m in self.milestones)


@dataclass(frozen=True)
class Settings(Options):
    """Everything that decides a distillation, apart from the table.

    Attributes:
        settings: name of the settings these started from.
        name: of the method.
        method: its options; the class says which method.
    """

    noun: ClassVar[str] = "the distillation"

    settings: str
    name: str
    method: MethodOptions
    networks: Networks = field(default_factory=Networks)
    training: Training = field(default_factory=Training)
    loop: Loop = field(default_factory=lambda: Loop(device="cpu"))

    def called(self) -> str:
        """The method, for messages."""
        return f"method {self.name}"

    def belongs_to(self, name: str) -> Sequence[str]:
        """Methods that have an option which this one lacks."""
        return owners(name)


# What the named settings change in every method; what they change in one stands in the method's file.
RECIPES: dict[str, dict[str, Any]] = {
    "table": {},
    # UCF51 and ActivityNet: §4.2 and supplementary B.1. Features are those of the video network's last layer.
    "ucf51": {
        "features": 512,
        "hidden": (),
        "fuse_hidden": 512,
        "straight": False,
        "standardise": False,
        "dropout": 0.0,
        "auxiliary_extractor": "table",
        "epochs": 450,
        "batch_size": 16,
        "optimiser": "sgd",
        "lr": 0.01,
        "weight_decay": 5e-4,
        "schedule": "steps",
        "milestones": (225, 325, 400),
    },
    # IEMOCAP: τ, batch, warm-up and width are published; the rate, the number of epochs and the weights are not.
    "iemocap": {
        "features": 768,
        "hidden": (768,),
        "fuse_hidden": 768,
        "straight": False,
        "standardise": False,
        "dropout": 0.0,
        "sequence": "gru",
        "sequence_hidden": 384,
        "epochs": 20,
        "batch_size": 128,
        "lr": 2e-4,
    },
}
RECIPES["activitynet"] = RECIPES["ucf51"]


def settings_for(method: str = "amid", settings: str = "table") -> Settings:
    """Settings of a method, by name.

    Args:
        method: a key of :data:`motet.methods.distillation.methods.METHODS`.
        settings: ``table`` for small tables of features, or a data set of the paper: ``ucf51``, ``activitynet``,
            ``iemocap``.

    Raises:
        ConfigError: no such name.
    """
    if method not in METHODS:
        raise ConfigError(f"there is no method {method!r}; choose one of {', '.join(METHODS)}")
    if settings not in RECIPES:
        raise ConfigError(f"there are no settings {settings!r}; choose one of {', '.join(RECIPES)}")
    start = Settings(settings, method, METHODS[method])
    return start.with_options(RECIPES[settings] | changes(settings, method))


def settings_from_dict(data: Mapping[str, Any]) -> Settings:
    """Inverse of :meth:`Settings.to_dict`; types and ranges are checked, and settings of earlier releases are read.

    Raises:
        ConfigError: fields are unknown, missing or do not fit.
    """
    try:
        start = settings_for(data["name"], data["settings"])
        method = {k: v for k, v in data["method"].items() if k not in ("module", "class")}
        networks, training, loop = dict(data["networks"]), dict(data["training"]), dict(data.get("loop", {}))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"stored settings cannot be read: {error!r}") from error
    if "loop" not in data:  # of an earlier release
        method = {k: "repeated" if (k, v) == ("enhanced", "class-mates") else v for k, v in method.items()}
        networks.setdefault("standardise", True)
        training = {k: v for k, v in training.items() if k not in ("checkpoint_every", "checks")}
    return start.with_options({**method, **networks, **training, **loop})
