"""Options of a discovery, and the named sets of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import tyro

from motet.core.errors import ConfigError
from motet.data.preprocess import METHODS as METHODS_OF_PREPROCESSING
from motet.methods.discovery import methods
from motet.methods.discovery.methods import codt
from motet.methods.discovery.methods.base import Method, check_positive, check_shares, check_types


@dataclass(frozen=True)
class Settings:
    """Everything that decides the training."""

    # the defaults are the values of the paper, CoDT, ECCV 2022
    name: Annotated[str, tyro.conf.Suppress] = "paper"
    method: Method = field(default_factory=codt.Options)
    """how the target is labelled; its options are part of the same flat space."""
    clusters: Annotated[int | None, tyro.conf.arg(metavar="K", help_behavior_hint="")] = None
    """K; by default estimated after pretraining."""
    frames: int = 50
    """frames that a clip is resized to."""
    preprocess: str = "crossclr"
    """yaw, first-frame, center, none …; where it is not stated, one that both layouts allow is taken."""
    epochs: int = 150
    """of pretraining."""
    finetune_epochs: int = 150
    batch_size: int = 128
    """clips of the target per step, and as many of the source."""
    lr: float = 0.1
    finetune_lr: float = 0.01
    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    """momentum of SGD."""
    weight_decay: float = 1e-4
    encoder: Literal["stgcn", "gru"] = "stgcn"
    width: int = 16
    """ST-GCN: channels of the first block."""
    feature_size: int = 256
    """ST-GCN: channels of the last block."""
    dropout: float = 0.5
    """ST-GCN and decoder."""
    hidden: int = 256
    """GRU: units per direction."""
    layers: int = 3
    """GRU."""
    dim: int = 128
    """of the contrastive embedding."""
    ema: float = 0.999
    """momentum of the teachers."""
    precision: Literal["32", "bf16"] = "32"
    """of the encoders in training; losses, labels and judging are single precision."""
    temperature: float = 0.07
    """of the contrastive loss (the supplement prints 7, the released code 0.07)."""
    weight_source: float = 1.0
    """λ of the source classifier's loss."""
    weight_decoder: float = 20.0
    """λ of the decoder's loss."""
    weight_contrast: float = 1.0
    """λ of the contrastive loss."""
    weak_shear: float = 0.5
    weak_padding: float = 1 / 6
    """share of the clip that is mirrored at each end before it is cropped."""
    strong_shear: float = 1.0
    strong_padding: float = 1 / 3
    """strong: what the students see of the target in fine-tuning."""
    scale: float = 0.0
    """sizes of bodies are multiplied by U(1 − scale, 1 + scale), in every view."""
    noise: float = 0.0
    """standard deviation of noise on coordinates, relative to the clip's root mean square; in every view."""
    mask: float = 0.3
    """probability that a body part of a frame is zeroed; students, target, fine-tuning."""
    mask_always: float = 0.0
    """the same for students in pretraining and for source clips."""
    target_statistics: bool = True
    """running statistics of the shared branch's batch norms are the target's alone; otherwise, as released, a mixture
    of both sets', which fits neither when the target is judged."""
    initialise: bool = True
    """start the target classifiers at the centres of spherical k-means."""
    kmeans_restarts: int = 10
    start: str = ""
    """run of `motet pretrain` on the target, whose joint encoder starts the target's own branch, and the shared one
    where both archives have one layout; encoder, frames and preprocessing are then those of the run."""
    pretrained: str = ""
    """run of `motet discover` with the same archives, seed and options of pretraining, whose pretraining is taken over;
    the result is bit for bit that of pretraining again."""
    seed: int = 0
    device: str = "cpu"
    evaluate_every: int = 0
    """epochs between evaluations; 0: after pretraining and at the end."""
    checkpoint_every: int = 0
    """epochs between checkpoints; 0 gives about ten over the run."""
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        check_types(self)
        positive = "frames batch_size lr finetune_lr width feature_size hidden layers dim temperature kmeans_restarts"
        check_positive(self, (*positive.split(), "keep_checkpoints"))
        others = "epochs finetune_epochs seed evaluate_every checkpoint_every weight_decay noise"
        check_positive(self, others.split(), or_zero=True)
        check_shares(
            self, ["ema", "mask", "mask_always", "dropout", "momentum", "weak_padding", "strong_padding", "scale"]
        )
        if self.preprocess not in METHODS_OF_PREPROCESSING:
            raise ConfigError(f"preprocess {self.preprocess!r} is none of {', '.join(METHODS_OF_PREPROCESSING)}")
        if self.clusters is not None and self.clusters < 2:
            raise ConfigError(f"clusters is {self.clusters}; it must be at least 2")
        self.method.check(self.clusters)

    def with_options(self, options: Mapping[str, Any]) -> Settings:
        """A copy with some options changed, those of the method among them.

        Another ``method``, by its name, keeps what was changed of the options that both have.

        Raises:
            ConfigError: no such option, or a value that it cannot have.
        """
        method, own = self.method, {f.name for f in fields(self)} - {"method"}
        if (given := options.get("method", method.name)) != method.name:
            method = _same(methods.get(given), method)
        for name in options:
            if name not in own | _names(method) | {"method"}:
                raise ConfigError(_unknown(name, method, own))
        try:
            method = replace(method, **{k: v for k, v in options.items() if k in _names(method)})
            return replace(self, method=method, **{k: v for k, v in options.items() if k in own})
        except TypeError as error:
            raise ConfigError(f"an option has a value of the wrong type ({error})") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: one flat object, the method by its name."""
        return {
            **{k: v for k, v in asdict(self).items() if k != "method"},
            **asdict(self.method),
            "method": self.method.name,
        }


def _names(method: Method | type[Method]) -> set[str]:
    return {f.name for f in fields(method)}


def _same(kind: type[Method], given: Method) -> Method:
    """Another method with what ``given`` has changed of the options that both have."""
    changed = {f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name) != f.default}
    return kind(**{k: v for k, v in changed.items() if k in _names(kind)})


def _unknown(name: str, method: Method, own: set[str]) -> str:
    owners = methods.owners(name)
    if owners:
        return f"method {method.name} has no option {name!r}; {', '.join(owners)} {'have' if owners[1:] else 'has'} it"
    near = get_close_matches(name, own | _names(method), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"discover has no option {name!r}{hint}"


# what pretraining does not depend on
AFTER_PRETRAINING = (
    *("name", "method", "clusters", "finetune_epochs", "finetune_lr"),
    *("strong_shear", "strong_padding", "mask", "initialise", "kmeans_restarts", "pretrained"),
    *("evaluate_every", "checkpoint_every", "keep_checkpoints"),
    *methods.option_names(),
)


def settings_from_dict(data: Mapping[str, Any]) -> Settings:
    """Inverse of :meth:`Settings.to_dict`; runs of earlier releases hold the options of other methods too."""
    others = set(methods.option_names()) - _names(methods.get(data.get("method", "codt")))
    kept = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k not in others}
    return Settings().with_options(kept)


SETTINGS: dict[str, Settings] = {
    "paper": Settings(),
    # hundreds of clips instead of tens of thousands: a light encoder, teachers that keep up, changes of body size, a
    # contrast soft enough not to set every clip apart (docs/results/codt.md says how this was chosen)
    "small": Settings(
        name="small",
        preprocess="yaw",
        encoder="gru",
        hidden=48,
        layers=2,
        frames=24,
        epochs=40,
        finetune_epochs=15,
        batch_size=64,
        optimiser="adam",
        lr=3e-3,
        finetune_lr=1e-3,
        ema=0.95,
        temperature=0.5,
        dropout=0.1,
        weak_shear=0.3,
        strong_shear=0.5,
        strong_padding=1 / 4,
        scale=0.2,
        noise=0.02,
        method=codt.Options(sinkhorn_warm=100),  # of a few hundred clips they cost nothing
        mask=0.0,
    ),
}


def as_released(settings: Settings) -> Settings:
    """The behaviour of the released code where it is well defined.

    Part masks of 0.1 on every student and on the source in both stages, weak augmentation throughout, classifiers that
    start at random, mixed running statistics, a transport from nothing in every step. What only breaks it (NaN by
    underflow, augmented clips at test time, one augmentation stream for all epochs, teachers and banks that start at
    random, masks of one branch on the joints of the other) is not offered.
    """
    return replace(
        settings,
        mask=0.1,
        mask_always=0.1,
        strong_shear=settings.weak_shear,
        strong_padding=settings.weak_padding,
        initialise=False,
        target_statistics=False,
        method=settings.method.released(),
    )
