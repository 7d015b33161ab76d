"""Options of a distillation, and the named settings they start from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

from motet.core.errors import ConfigError
from motet.methods.distillation.methods import METHODS, Options, changes, owners
from motet.methods.distillation.networks import Networks
from motet.methods.distillation.ranges import within


@dataclass(frozen=True)
class Training:
    """How the networks move."""

    epochs: int = 20
    """how often every training row is seen, in each stage"""
    batch_size: int = 64
    """rows per step; at most the smallest training side. The rest of an epoch that fills no batch is left out."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = 2e-3
    """rate at the start"""
    momentum: float = 0.9
    """of SGD"""
    weight_decay: float = 1e-2
    schedule: Literal["cosine", "steps"] = "cosine"
    """of the rate: half a cosine to zero, or the milestones"""
    milestones: tuple[int, ...] = ()
    """epochs (counted from 0) from which the rate is multiplied by gamma, once each"""
    gamma: float = 0.1
    """factor of the milestones"""
    per_class: int = 0
    """rows of a class that come together in a batch; 0 draws rows regardless of class"""
    checkpoint_every: int = 10
    """epochs between checkpoints"""
    checks: int = 20
    """how often in a training the test rows are looked at, for the curves only"""

    def __post_init__(self) -> None:
        within(self, "epochs", "checkpoint_every", "checks", least=1)
        within(self, "batch_size", least=2)
        within(self, "lr", "gamma", above=0)
        within(self, "weight_decay", "per_class", "milestones", least=0)
        within(self, "momentum", least=0, below=1)

    def factor(self, epoch: int) -> float:
        """What the rate is multiplied by in an epoch, counted from 0."""
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.gamma ** sum(epoch >= m for m in self.milestones)


@dataclass(frozen=True)
class Settings:
    """Everything that decides a distillation, apart from the table.

    Attributes:
        settings: name of the settings these started from.
        method: its options; the class says which method.
    """

    settings: str
    name: str
    method: Options
    networks: Networks = field(default_factory=Networks)
    training: Training = field(default_factory=Training)

    def with_options(self, options: Mapping[str, Any]) -> Settings:
        """A copy with some options changed, each by its unique name.

        Raises:
            ConfigError: no such option (with the nearest names) or a value that does not fit.
        """
        homes = {f.name: part for part in ("method", "networks", "training") for f in fields(getattr(self, part))}
        changed: dict[str, dict[str, Any]] = {}
        for name, value in options.items():
            if name not in homes:
                near = get_close_matches(name, homes, n=3)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                hint = f"; it belongs to {' or '.join(owners(name))}" if owners(name) else hint
                raise ConfigError(f"method {self.name} has no option {name!r}{hint}")
            before = getattr(getattr(self, homes[name]), name)
            changed.setdefault(homes[name], {})[name] = _fitting(name, before, value)
        return replace(self, **{part: replace(getattr(self, part), **values) for part, values in changed.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :func:`settings_from_dict` is its inverse."""
        return asdict(self)


def _fitting(name: str, before: Any, value: Any) -> Any:
    if isinstance(before, tuple):
        value = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        kinds: tuple[type, ...] = (tuple,)
    elif isinstance(before, bool):
        kinds = (bool,)
    elif isinstance(before, int):
        kinds = (int,)
    elif isinstance(before, float):
        kinds, value = (float,), float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    elif name == "denominator":
        kinds = (str, float, int)
    else:
        kinds = (type(before),)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ConfigError(f"option {name} is {value!r}; it must be of type {kinds[0].__name__}")
    return value


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
    """Inverse of :meth:`Settings.to_dict`.

    Raises:
        ConfigError: fields are unknown or missing.
    """
    try:
        start = settings_for(data["name"], data["settings"])
        method = dict(data["method"])
        if method.get("enhanced") == "class-mates":  # of earlier releases
            method["enhanced"] = "repeated"
        networks = {"standardise": True, **data["networks"]}  # earlier releases always did
        return start.with_options({**method, **networks, **data["training"]})
    except (KeyError, TypeError) as error:
        raise ConfigError(f"stored settings cannot be read: {error!r}") from error
