"""Options of a discovery, and the named sets of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from motet.core.errors import ConfigError
from motet.data.preprocess import METHODS as METHODS_OF_PREPROCESSING

METHODS: dict[str, str] = {
    "codt": "two branches exchange pair labels (CCM) on balanced pseudo-labels of their own (OCM)",
    "ocm": "balanced pseudo-labels, each branch for itself",
    "bm": "base losses only, then spherical k-means",
    "sela": "balanced labels of the whole set, made once an epoch (Asano et al., ICLR 2020)",
    "uno": "balanced within the batch, two views predict each other's (Fini et al., ICCV 2021)",
    "mmt": "teachers label for the other branch, hard and soft (Ge et al., ICLR 2020)",
    "autonovel": "pairs of equal top-ranked features (Han et al., ICLR 2020)",
}


@dataclass(frozen=True)
class Settings:
    """Everything that decides the training."""

    # the defaults are the values of the paper, CoDT, ECCV 2022
    name: Annotated[str, tyro.conf.Suppress] = "paper"
    method: Literal["codt", "ocm", "bm", "sela", "uno", "mmt", "autonovel"] = "codt"
    pairs: Literal["labels", "features", "cosine"] = "labels"
    """CCM: labels of the other branch mark pairs; features: CCM-FP, its top-ranked features do; cosine: CCM-PF, labels
    mark the pairs and the cosine of features is what must agree."""
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
    weight_labels: float = 5.0
    """λ of the loss on pseudo-labels."""
    weight_pairs: float = 10.0
    """λ of the pair consistency."""
    power: float = 10.0
    """ξ: larger makes the transport plan harder."""
    sinkhorn_iterations: int = 100
    sinkhorn_tolerance: float = 1e-2
    sinkhorn_warm: int = 5
    """iterations of a transport that begins at the prices of the step before; 0: begin anew in every step, as released.
    Where a step renews a hundredth of the bank or less, as in the paper, five bring clusters nearer to the wanted sizes
    than a hundred from nothing; where it renews more, take more."""
    balance: float = 1.0
    """1: clusters of equal size; less: sizes may depart from it, for targets whose classes are not balanced."""
    shares: tuple[float, ...] = ()
    """wanted shares of the clusters, in any order; the largest goes to the cluster that the logits make largest."""
    rounding: Literal["argmax", "balanced"] = "argmax"
    """balanced: the cheapest labels with exactly the wanted sizes."""
    rank_features: int = 5
    """CCM-FP and AutoNovel: how many of the largest features must be the same."""
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
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if get_origin(kind) is Literal and value not in get_args(kind):
                raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(get_args(kind))}")
            if kind in (int, float) and (isinstance(value, bool | str) or (kind is int and value != int(value))):
                raise ConfigError(f"{name} is {value!r}; it must be {'a whole' if kind is int else 'a'} number")
        positive = "frames batch_size lr finetune_lr width feature_size hidden layers dim temperature power"
        positive += " sinkhorn_iterations rank_features kmeans_restarts keep_checkpoints"
        for name in positive.split():
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")
        for name in (
            "epochs",
            "finetune_epochs",
            "sinkhorn_warm",
            "seed",
            "evaluate_every",
            "checkpoint_every",
            "weight_decay",
            "noise",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must not be negative")
        for name in ("ema", "mask", "mask_always", "dropout", "momentum", "weak_padding", "strong_padding", "scale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if self.preprocess not in METHODS_OF_PREPROCESSING:
            raise ConfigError(f"preprocess {self.preprocess!r} is none of {', '.join(METHODS_OF_PREPROCESSING)}")
        if not 0 < self.balance <= 1:
            raise ConfigError(f"balance is {self.balance}; it must lie in (0, 1]")
        if self.clusters is not None and self.clusters < 2:
            raise ConfigError(f"clusters is {self.clusters}; it must be at least 2")
        if self.shares and (min(self.shares) <= 0 or self.clusters != len(self.shares)):
            raise ConfigError(f"shares must be {self.clusters or 'as many as --clusters'} positive numbers")
        if self.rounding == "balanced" and self.balance < 1:
            raise ConfigError("rounding 'balanced' enforces the sizes that balance below 1 leaves open; drop one")

    def with_options(self, options: Mapping[str, Any]) -> Settings:
        """A copy with some options changed.

        Raises:
            ConfigError: no such option, or a value that it cannot have.
        """
        known = [f.name for f in fields(self)]
        for name in options:
            if name not in known:
                near = get_close_matches(name, known, n=3)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                raise ConfigError(f"discover has no option {name!r}{hint}")
        try:
            return replace(self, **options)
        except TypeError as error:
            raise ConfigError(f"an option has a value of the wrong type ({error})") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


# what pretraining does not depend on
AFTER_PRETRAINING = (
    *("name", "method", "pairs", "clusters", "finetune_epochs", "finetune_lr", "weight_labels", "weight_pairs"),
    *("power", "sinkhorn_iterations", "sinkhorn_tolerance", "sinkhorn_warm", "balance", "shares", "rounding"),
    "rank_features",
    *("strong_shear", "strong_padding", "mask", "initialise", "kmeans_restarts", "pretrained"),
    *("evaluate_every", "checkpoint_every", "keep_checkpoints"),
)


def settings_from_dict(data: Mapping[str, Any]) -> Settings:
    """Inverse of :meth:`Settings.to_dict`."""
    return Settings().with_options({k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


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
        sinkhorn_warm=100,  # of a few hundred clips they cost nothing
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
        sinkhorn_warm=0,
    )


@dataclass(frozen=True)
class Task:
    """A published or a small pair of sets: who is source, who is target, which of their classes count.

    Attributes:
        source, target: names of data sets, for readers.
        source_split, target_split: rules of :mod:`motet.data.splits`; None for an archive's own standard.
        source_classes, target_classes: labels that count, all if empty.
        clusters: K.
        settings: where to start.
        preprocess: as in :class:`Settings`.
        note: what must be known about it.
    """

    source: str
    target: str
    source_split: str | None = None
    target_split: str | None = None
    source_classes: tuple[int, ...] = ()
    target_classes: tuple[int, ...] = ()
    clusters: int | None = None
    settings: str = "small"
    preprocess: str | None = None
    note: str = ""


FIRST, SECOND = tuple(range(5)), tuple(range(5, 10))
TASKS: dict[str, Task] = {
    "ntu60-skeletics": Task("NTU RGB+D 60", "Skeletics", "ntu60-xview", None, clusters=30, settings="paper"),
    "skeletics-pku": Task("Skeletics", "PKU-MMD", None, "pku-xview", clusters=51, settings="paper"),
    "ntu60plus-pku": Task(
        "NTU RGB+D 120 without its first 60 classes",
        "PKU-MMD",
        "ntu120-xsub",
        "pku-xsub",
        source_classes=tuple(range(60, 120)),
        clusters=51,
        settings="paper",
        note="the paper prints 41 classes, but its numbers of clips are those of all 51",
    ),
    "finegym-skeletics": Task("FineGym (VIBE poses)", "Skeletics", clusters=30, settings="paper"),
    "kinetics-ntu60": Task(
        "Kinetics-400 (OpenPose)",
        "NTU RGB+D 60 (2D poses)",
        None,
        "ntu60-xsub",
        clusters=60,
        settings="paper",
        preprocess="center",
        note="the paper does not state the protocol of NTU-60 here",
    ),
    "vicon-kinect": Task("UI-PRMD Vicon", "UI-PRMD Kinect", "odd-even", "odd-even", FIRST, SECOND, 5),
    "vicon-kinect-reverse": Task("UI-PRMD Vicon", "UI-PRMD Kinect", "odd-even", "odd-even", SECOND, FIRST, 5),
    "kinect-vicon": Task("UI-PRMD Kinect", "UI-PRMD Vicon", "odd-even", "odd-even", FIRST, SECOND, 5),
    "kinect-vicon-reverse": Task("UI-PRMD Kinect", "UI-PRMD Vicon", "odd-even", "odd-even", SECOND, FIRST, 5),
    "kard-utkinect": Task("KARD", "UTKinect", "odd-even", "odd-even", clusters=10),
    "kard-florence": Task("KARD", "Florence 3D", "odd-even", "odd-even", clusters=9),
    "ui-prmd-kard": Task("UI-PRMD Kinect", "KARD", "odd-even", "odd-even", clusters=18),
    "smartfall-kard": Task("SmartFallMM, young", "KARD", "odd-even", "odd-even", clusters=18),
    "shrec-halves": Task(
        "SHREC'17",
        "SHREC'17",
        "odd-even",
        "odd-even",
        tuple(range(7)),
        tuple(range(7, 14)),
        7,
        preprocess="first-frame",
        note="hands; seven gestures of one file are the source, the others the target",
    ),
}

# layouts in which the sets of the tasks come
LAYOUTS: dict[str, tuple[str, ...]] = {
    "NTU RGB+D 60": ("kinect-v2",),
    "NTU RGB+D 120 without its first 60 classes": ("kinect-v2",),
    "PKU-MMD": ("kinect-v2",),
    "Skeletics": ("vibe-25",),
    "FineGym (VIBE poses)": ("vibe-25",),
    "Kinetics-400 (OpenPose)": ("openpose-18",),
    "NTU RGB+D 60 (2D poses)": ("coco-17",),
    "UI-PRMD Vicon": ("ui-prmd-39",),
    "UI-PRMD Kinect": ("ui-prmd-22",),
    "KARD": ("nite-15", "common-15"),
    "UTKinect": ("kinect-v1",),
    "Florence 3D": ("florence-15",),
    "SmartFallMM, young": ("azure-kinect-32",),
    "SHREC'17": ("hand-22",),
}
