"""Options of a discovery, and the named sets of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from motet.core.errors import ConfigError
from motet.core.options import HIDDEN, Bounds, Count, Fraction, Frames, Layers, Natural, NotNegative, Options, Positive
from motet.data.preprocess import METHODS, SENSED
from motet.encoders import TrainedName
from motet.engine.options import Loop
from motet.methods.discovery import methods
from motet.methods.discovery.methods import codt
from motet.methods.discovery.methods.base import Method


@dataclass(frozen=True)
class Settings(Options):
    """Everything that decides the training."""

    # the defaults are the values of the paper, CoDT, ECCV 2022
    name: Annotated[str, HIDDEN] = "paper"
    method: Method = field(default_factory=codt.Options)
    """how the target is labelled; its options are part of the same flat space."""
    clusters: Annotated[int | None, Bounds(least=2, most=65_535)] = None
    """K; by default estimated after pretraining."""
    frames: Frames = 50
    """frames that a clip is resized to."""
    preprocess: str = "crossclr"
    """yaw, first-frame, center, none …; where it is not stated, one that both layouts allow is taken."""
    epochs: Natural = 150
    """of pretraining."""
    finetune_epochs: Natural = 150
    batch_size: Count = 128
    """clips of the target per step, and as many of the source."""
    lr: Positive = 0.1
    finetune_lr: Positive = 0.01
    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: Fraction = 0.9
    """momentum of SGD."""
    weight_decay: NotNegative = 1e-4
    encoder: TrainedName = "stgcn"
    streams: tuple[str, ...] = ("joint",)
    """views of the clips that a branch encodes side by side: joint, motion, bone …"""
    width: Count = 16
    """ST-GCN: channels of the first block."""
    feature_size: Count = 256
    """ST-GCN: channels of the last block."""
    dropout: Fraction = 0.5
    """ST-GCN and decoder."""
    hidden: Count = 256
    """GRU: units per direction; TCN, transformer and encoders of one width: channels."""
    layers: Layers = 3
    """GRU, TCN, transformer."""
    kernel: Count = 5
    """TCN: frames that a convolution reads."""
    heads: Count = 4
    """transformer: attention heads."""
    patch: Count = 4
    """transformer: frames between tokens."""
    dim: Count = 128
    """of the contrastive embedding."""
    ema: Fraction = 0.999
    """momentum of the teachers."""
    precision: Literal["32", "bf16"] = "32"
    """of the encoders in training; losses, labels and scores are single precision."""
    temperature: Positive = 0.07
    """of the contrastive loss (the supplement prints 7, the released code 0.07)."""
    weight_source: float = 1.0
    """λ of the source classifier's loss."""
    weight_decoder: float = 20.0
    """λ of the decoder's loss."""
    weight_contrast: float = 1.0
    """λ of the contrastive loss."""
    weak_shear: float = 0.5
    weak_padding: Fraction = 1 / 6
    """share of the clip that is mirrored at each end before it is cropped."""
    strong_shear: float = 1.0
    strong_padding: Fraction = 1 / 3
    """strong: what the students see of the target in fine-tuning."""
    scale: Fraction = 0.0
    """sizes of bodies are multiplied by U(1 − scale, 1 + scale), in every view."""
    noise: NotNegative = 0.0
    """standard deviation of noise on coordinates, relative to the clip's root mean square; in every view."""
    mask: Fraction = 0.3
    """probability that a body part of a frame is zeroed; students, target, fine-tuning."""
    mask_always: Fraction = 0.0
    """the same for students in pretraining and for source clips."""
    target_statistics: bool = True
    """running statistics of the shared branch's batch norms are the target's alone; otherwise, as released, a mixture
    of both sets', which fits neither when the target is scored."""
    initialise: bool = True
    """start the target classifiers at the centres of spherical k-means."""
    kmeans_restarts: Count = 10
    kmeans_components: Natural = 0
    """principal components of the features in which the classifiers' clusters are found; 0: all of them."""
    start: str = ""
    """weights that read any body, hand or sensor (body, wrist …), in whose form both branches then see
    the clips and from which both start; or a run of `motet pretrain` on the target, which starts the target's own
    branch, and the shared one where both archives have one layout. Encoder, frames and preprocessing are theirs."""
    pretrained: str = ""
    """run of `motet discover` with the same archives, seed and options of pretraining, whose pretraining is taken over;
    the result is bit for bit that of pretraining again."""
    score: bool = False
    """of recordings in the image, the confidence of each joint as a third coordinate; the published task from Kinetics
    does."""
    seed: Natural = 0
    device: str = "cpu"
    """auto, cpu, cuda or mps."""
    devices: Count = 1
    """processes on each machine; more than one trains data-parallel."""
    nodes: Count = 1
    """machines; torchrun and srun say it themselves."""
    evaluate_every: Natural = 0
    """epochs between evaluations; 0: after pretraining and at the end."""
    checkpoint_every: Natural = 0
    """epochs between checkpoints; 0 gives about ten over the run; one is written too when ten minutes have passed."""
    checkpoint_steps: Natural = 0
    """steps between further checkpoints inside an epoch; 0 writes none."""
    keep_checkpoints: Count = 2
    """how many of the latest checkpoints stay."""
    tensorboard: bool = False
    """also write TensorBoard event files; the same as --trackers tensorboard."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """where the numbers of every epoch go too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preprocess not in (*METHODS, *SENSED):
            raise ConfigError(f"preprocess {self.preprocess!r} is none of {', '.join((*METHODS, *SENSED))}")
        self.method.check(self.clusters)

    def called(self) -> str:
        return f"discover with the method {self.method.name}"

    def belongs_to(self, name: str) -> Sequence[str]:
        return methods.owners(name)

    @property
    def loop(self) -> Loop:
        """How the training runs; bfloat16 is a matter of the branches' encoders."""
        return Loop(device=self.device, **{name: getattr(self, name) for name in _LOOPED})

    def with_options(self, options: Mapping[str, Any]) -> Settings:
        """A copy with some options changed, those of the method among them.

        Another ``method``, by its name, keeps what was changed of the options that both have.

        Raises:
            ConfigError: no such option, or a value that it cannot have.
        """
        base, given = self, options.get("method", self.method.name)
        if given != self.method.name:
            kind, old = methods.get(given), self.method
            changed = {f.name: getattr(old, f.name) for f in fields(old) if getattr(old, f.name) != f.default}
            base = replace(self, method=kind(**{f.name: changed[f.name] for f in fields(kind) if f.name in changed}))
        return super(Settings, base).with_options({k: v for k, v in options.items() if k != "method"})

    def flat(self) -> dict[str, Any]:
        """Value of every option by its name, and the name of the method."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "method"}
        return {**own, **self.method.flat(), "method": self.method.name}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: one flat object; :func:`settings_from_dict` is its inverse."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self.flat().items()}


_LOOPED = (
    *("devices", "nodes", "tensorboard", "trackers"),
    *("checkpoint_every", "checkpoint_steps", "keep_checkpoints"),
)
"""options of :class:`motet.engine.options.Loop` besides the device"""

# what pretraining does not depend on
AFTER_PRETRAINING = (
    *("name", "method", "clusters", "finetune_epochs", "finetune_lr"),
    *("strong_shear", "strong_padding", "mask", "initialise", "kmeans_restarts", "kmeans_components"),
    *("pretrained",),
    *("evaluate_every", *_LOOPED),
    *methods.option_names(),
)


def settings_from_dict(data: Any) -> Settings:
    """Inverse of :meth:`Settings.to_dict`; runs of earlier releases hold the options of other methods too.

    Raises:
        ConfigError: options are unknown or do not fit.
    """
    try:
        own = methods.get(data.get("method", "codt"))
        others = set(methods.option_names()) - {f.name for f in fields(own)}
        return Settings().with_options({k: v for k, v in data.items() if k not in others})
    except (ConfigError, AttributeError, TypeError) as error:
        raise ConfigError(f"a stored configuration cannot be read: {error}") from error


_SMALL: dict[str, Any] = {
    "frames": 24,
    "batch_size": 64,
    "optimiser": "adam",
    "ema": 0.95,
    "temperature": 0.5,
    "dropout": 0.1,
    "weak_shear": 0.3,
    "strong_shear": 0.5,
    "strong_padding": 1 / 4,
    "scale": 0.2,
    "noise": 0.02,
    "mask": 0.0,
}
# both branches start from the weights of the package, clusters from k-means of their features, brought to equal
# sizes where that costs little; a few steps at a small rate refine them, because pretraining on a few hundred clips
# makes features worse
_BODY = Settings(
    **_SMALL | {"frames": 48},
    name="body",
    preprocess="body",
    encoder="tcn",
    streams=("joint", "motion", "bone"),
    hidden=64,
    start="body",
    epochs=0,
    finetune_epochs=5,
    lr=1e-4,
    finetune_lr=1e-4,
    kmeans_restarts=50,
    kmeans_components=20,
    method=codt.Options(start_rounds=20, equal_cost=0.05),
)
SETTINGS: dict[str, Settings] = {
    "body": _BODY,
    "hand": replace(_BODY, name="hand", preprocess="hand", start="hand"),
    "picture": replace(_BODY, name="picture", preprocess="sized", start="picture"),
    "hand-picture": replace(_BODY, name="hand-picture", preprocess="sized", start="hand-picture"),
    "paper": Settings(),
    # hundreds of clips instead of tens of thousands: a light encoder, teachers that keep up, changes of body size, a
    # contrast soft enough not to set every clip apart (docs/results/codt.md says how this was chosen)
    "small": Settings(
        **_SMALL,
        name="small",
        preprocess="yaw",
        encoder="gru",
        hidden=48,
        layers=2,
        epochs=40,
        finetune_epochs=15,
        lr=3e-3,
        finetune_lr=1e-3,
        method=codt.Options(sinkhorn_warm=100),  # of a few hundred clips they cost nothing
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
