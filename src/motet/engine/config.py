"""Typed configuration: what a recipe is made of, how it is changed and how it is stored.

A recipe is one flat space of options: nested dataclasses group them, but every option's name is unique, so that
``--hidden 256`` on the command line and ``pretrain(..., hidden=256)`` in Python mean the same thing.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, Literal, TypeVar

import tyro

from motet.core.errors import ConfigError
from motet.data.augment import Augment
from motet.data.views import split_stream
from motet.methods.contrastive import Contrastive

D = TypeVar("D")


@dataclass(frozen=True)
class Encoder:
    """Which encoder every stream gets."""

    encoder: Literal["gru", "stgcn"] = "gru"
    """gru: the recurrent encoder of CMD and HaLP; stgcn: the graph encoder of CrosSCLR, AimCLR and CoDT."""
    hidden: int = 1024
    """units per direction of the GRU; its feature has twice as many."""
    layers: int = 3
    """layers of the GRU."""
    mode: Literal["causal", "bidirectional"] = "causal"
    """causal: both halves run forward in time, as released; bidirectional: as torch's nn.GRU."""
    width: int = 16
    """channels of the first blocks of the ST-GCN; later ones have two and four times as many."""
    feature_size: int = 256
    """channels of the last block of the ST-GCN."""
    dropout: float = 0.5
    """share of values dropped in the blocks of the ST-GCN."""


@dataclass(frozen=True)
class Optimiser:
    """How the query encoders move."""

    optimiser: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    """learning rate at the start."""
    momentum: float = 0.9
    """momentum of SGD."""
    weight_decay: float = 1e-4
    milestones: tuple[int, ...] = (350,)
    """epochs (counted from 0) from which the rate is multiplied by gamma, once each."""
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ConfigError(f"lr is {self.lr}, it must be a positive number")
        for name, low in (("momentum", 1.0), ("weight_decay", math.inf), ("gamma", math.inf)):
            value = getattr(self, name)
            if not 0 <= value < low:
                raise ConfigError(f"{name} is {value}, it must be at least 0" + (" and below 1" if low == 1 else ""))
        if any(m < 0 for m in self.milestones):
            raise ConfigError(f"milestones {self.milestones} hold a negative epoch")

    def lr_at(self, epoch: int) -> float:
        """Learning rate in an epoch, counted from 0."""
        return self.lr * self.gamma ** sum(epoch >= m for m in self.milestones)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a pretraining; the defaults are CMD's paper values on NTU RGB+D."""

    recipe: Annotated[str, tyro.conf.Suppress]
    """name this configuration started from."""
    method: Contrastive
    streams: tuple[str, ...] = ("joint", "motion", "bone")
    """views of the clip: joint, bone, motion, bone_motion, acceleration; 'joint[left_arm+right_arm]' restricts one."""
    per_sensor: tuple[str, ...] = ()
    """options of one sensor's streams, such as inertial:frames=100; of frames, preprocess, encoder, augmentation."""
    frames: int = 64
    """frames that the encoder sees; clips are cropped and resized to it."""
    preprocess: Literal["cmd", "crossclr", "yaw", "center", "first-frame", "none"] = "cmd"
    split: str | None = None
    """rule that says which clips train; by default the archive's own standard."""
    epochs: int = 450
    batch_size: int = 64
    """clips per step over all processes."""
    seed: int = 42
    precision: Literal["32", "bf16"] = "32"
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: int = 1
    """processes on each machine; more than one trains data-parallel."""
    nodes: int = 1
    """machines; torchrun and srun say it themselves."""
    encoder: Encoder = field(default_factory=Encoder)
    optimiser: Optimiser = field(default_factory=Optimiser)
    augment: Augment = field(default_factory=Augment)
    as_released: bool = False
    """follow the released code where it departs from the paper (epochs and drop one later)."""
    monitor_every: int = 0
    """epochs between online kNN checks; 0 gives about twenty over the run."""
    checkpoint_every: int = 0
    """epochs between checkpoints; 0 gives about ten over the run; one is written too when ten minutes have passed."""
    keep_checkpoints: int = 2
    """how many of the latest checkpoints stay."""
    tensorboard: bool = False
    """also write TensorBoard event files."""

    def __post_init__(self) -> None:
        if not self.streams:
            raise ConfigError("a recipe needs at least one stream")
        if len(set(self.streams)) != len(self.streams):
            raise ConfigError(f"streams {', '.join(self.streams)} name one view more than once")
        for name in ("frames", "batch_size", "keep_checkpoints", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be 1 or more")
        for name in ("epochs", "monitor_every", "checkpoint_every", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must not be negative")

    def for_sensor(self, sensor: str) -> Recipe:
        """What the streams of one sensor are trained and judged with; of the main archive for the empty name.

        Raises:
            ConfigError: an entry of ``per_sensor`` is not SENSOR:NAME=VALUE, or names an option that all share.
        """
        named = [split_stream(s) for s in self.streams]
        own = tuple(view for name, view in named if name == sensor)
        changes: dict[str, Any] = {"streams": own, "per_sensor": ()}
        allowed = {"frames", "preprocess", *(f.name for part in (Encoder, Augment) for f in fields(part))}
        for text in self.per_sensor:
            name, colon, rest = text.partition(":")
            option, equals, value = rest.partition("=")
            option = option.replace("-", "_")
            if not (colon and equals) or option not in allowed:
                raise ConfigError(
                    f"--per-sensor {text!r} is not SENSOR:NAME=VALUE with a name among {', '.join(sorted(allowed))}"
                )
            if name == sensor:
                changes[option] = _read(value)
        return self.with_options(changes)

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.devices * self.nodes

    def with_options(self, options: Mapping[str, Any]) -> Recipe:
        """A copy with some options changed, each named by its unique name (``hidden``, ``lr``, ``teachers`` …).

        Raises:
            ConfigError: no such option (with the nearest names), or a value of the wrong type.
        """
        homes = _homes(self)
        changed: dict[tuple[str, ...], dict[str, Any]] = {}
        for name, value in options.items():
            if name not in homes:
                near = get_close_matches(name, homes, n=3)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                raise ConfigError(f"recipe {self.recipe} has no option {name!r}{hint}")
            path, kind = homes[name]
            changed.setdefault(path, {})[name] = _convert(kind, value, name)
        result = self
        for path, values in changed.items():
            result = _replace_in(result, path, values)
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :func:`recipe_from_dict` is its inverse."""
        data = asdict(self)
        data["method"] = {"module": type(self.method).__module__, "class": type(self.method).__qualname__} | data[
            "method"
        ]
        return data


def _read(text: str) -> Any:
    """A number or truth value from text; other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def option_names(recipe: Recipe) -> list[str]:
    """Names of all options of a recipe."""
    return [name for name in _homes(recipe) if name != "recipe"]


def flat_options(recipe: Recipe) -> dict[str, Any]:
    """Value of every option by its unique name, and the method's class as ``method``."""
    flat: dict[str, Any] = {"method": type(recipe.method).__qualname__}
    for name, (path, _) in _homes(recipe).items():
        node: Any = recipe
        for part in path:
            node = getattr(node, part)
        flat[name] = getattr(node, name)
    return flat


def _homes(recipe: Any) -> dict[str, tuple[tuple[str, ...], Any]]:
    found: dict[str, tuple[tuple[str, ...], Any]] = {}

    def visit(node: Any, path: tuple[str, ...]) -> None:
        hints = typing.get_type_hints(type(node))
        for entry in fields(node):
            value = getattr(node, entry.name)
            if is_dataclass(value):
                visit(value, (*path, entry.name))
            elif entry.name in found:
                raise AssertionError(f"two options are called {entry.name}")
            else:
                found[entry.name] = (path, hints[entry.name])

    visit(recipe, ())
    return found


def _replace_in(node: Any, path: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    if not path:
        return replace(node, **values)
    return replace(node, **{path[0]: _replace_in(getattr(node, path[0]), path[1:], values)})


def _convert(kind: Any, value: Any, name: str) -> Any:
    """``value`` as the annotated type ``kind``, or a ConfigError that names the option."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(kind):
            return None
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        return _convert(inner[0], value, name)
    if origin is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise ConfigError(f"option {name} is {value!r}, it must be one of {', '.join(map(str, choices))}")
        return value
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            value = (value,)
        item = typing.get_args(kind)[0]
        return tuple(_convert(item, v, name) for v in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise ConfigError(f"option {name} is {value!r}, it must be of type {kind.__name__}")
    return value


def _build(kind: type[D], data: Mapping[str, Any]) -> D:
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for entry in fields(kind):  # type: ignore[arg-type]
        if entry.name not in data:
            continue
        hint, value = hints[entry.name], data[entry.name]
        if isinstance(hint, type) and is_dataclass(hint):
            values[entry.name] = value if is_dataclass(value) else _build(hint, value)
        else:
            values[entry.name] = _convert(hint, value, entry.name)
    unknown = set(data) - {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise ConfigError(f"unknown option {', '.join(sorted(unknown))} in a stored configuration")
    return kind(**values)


def recipe_from_dict(data: Mapping[str, Any]) -> Recipe:
    """Rebuild a recipe from :meth:`Recipe.to_dict`.

    Raises:
        ConfigError: fields are missing or unknown, or the method is not one of motet's.
    """
    try:
        method = dict(data["method"])
        module, name = method.pop("module"), method.pop("class")
        if not module.startswith("motet.methods."):
            raise ConfigError(f"a stored configuration names the method {module}.{name}, which is not one of motet's")
        kind = getattr(import_module(module), name)
        return _build(Recipe, {**data, "method": _build(kind, method)})
    except (KeyError, TypeError, AttributeError, ImportError) as error:
        raise ConfigError(f"a stored configuration cannot be read: {error!r}") from error
