"""Options of the networks that see raw recordings, one class for each kind of input."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Frames, Momentum, Options, Positive

KINDS = ("video", "face", "audio", "speech", "text")
RANDOM = "random"
Pixels = Annotated[int, Bounds(least=1, most=4096)]


def kind_of(modality: str) -> str:
    """The kind of a modality: its name up to the first underscore (``video``, ``video_left``, ``audio`` …).

    Raises:
        ConfigError: none of the kinds.
    """
    kind = modality.split("_")[0]
    if kind not in KINDS:
        raise ConfigError(f"modality {modality!r} is of no known kind; its name must begin with {', '.join(KINDS)}")
    return kind


@dataclass(frozen=True)
class Video(Options):
    """R(2+1)D-18, and how clips are cut out of a video (CCL and AMID: 16 frames of 112 × 112)."""

    layers: Annotated[tuple[int, int, int, int], Bounds(least=1, most=1000)] = (2, 2, 2, 2)
    """blocks of the four stages; the public code of CCL has 1 1 1 1"""
    style: Literal["compact", "torchvision"] = "compact"
    """torchvision: laid out and named as its r2plus1d_18, so that its weights fit"""
    width: Count = 64
    """channels of the first stage; each stage doubles them"""
    slope: Momentum = 0.01
    """of LeakyReLU; 0 is ReLU"""
    weights: str = ""
    """checkpoint to start from, or `random` where a frozen network is wanted without one"""
    frames: Frames = 16
    """of a clip"""
    stride: Frames = 16
    """frames from one clip to the next in use"""
    size: Pixels = 112
    """pixels, side of the square that the network sees"""
    scale: tuple[float, float] = (0.25, 1.0)
    """share of the picture that a training crop covers"""
    ratio: tuple[float, float] = (0.75, 4 / 3)
    """width by height of a training crop"""
    flip: bool = True
    """mirror half of the training clips"""
    batch: Count = 16
    """clips that go through the network at once in use"""
    output: Literal["vector", "sequence"] = "vector"
    """what a table gets: the mean over the clips, or one vector per clip"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(f"scale is {self.scale}; it must be two numbers in (0, 1], the smaller one first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigError(f"ratio is {self.ratio}; it must be two numbers above 0, the smaller one first")


@dataclass(frozen=True)
class Face(Options):
    """DenseNet-121 on pictures of a face, which a video shows or a part of its picture."""

    weights: str = ""
    """checkpoint to start from (torchvision's densenet121), or `random` where a frozen network is wanted without one"""
    blocks: Annotated[tuple[int, int, int, int], Bounds(least=1, most=1000)] = (6, 12, 24, 16)
    """layers of the four dense blocks"""
    growth: Count = 32
    """channels that each layer adds"""
    size: Pixels = 224
    """pixels, side of the square that the network sees"""
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """left, top, right and bottom of the face as shares of the picture"""
    stride: Count = 5
    """frames from one picture to the next in use"""
    batch: Count = 16
    """pictures that go through the network at once in use"""
    output: Literal["vector", "sequence"] = "vector"
    """what a table gets: the mean over the pictures, or one vector per picture"""

    def __post_init__(self) -> None:
        super().__post_init__()
        left, top, right, bottom = self.region
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ConfigError(
                f"region is {self.region}; it must be left, top, right, bottom in [0, 1] with a part between"
            )


@dataclass(frozen=True)
class Audio(Options):
    """CNN14 of PANNs on the log-mel spectrogram of sound at 32 kHz."""

    features: Count = 512
    """512 as the published variant that AMID takes, or 2048"""
    width: Count = 64
    """channels of the first block; each block doubles them"""
    weights: str = ""
    """checkpoint to start from, or `random` where a frozen network is wanted without one"""
    seconds: Positive = 10.0
    """of the part that a training step hears; shorter sounds are filled with silence. In use the whole is heard."""


@dataclass(frozen=True)
class Speech(Options):
    """wav2vec 2.0 through `transformers`, on sound at 16 kHz."""

    weights: str = ""
    """folder with config.json and weights"""
    seconds: Positive = 20.0
    """longer sounds are cut: a random part in training, the beginning in use"""
    output: Literal["vector", "sequence"] = "vector"
    """what a table gets: the mean over the frames, or every frame"""


@dataclass(frozen=True)
class Text(Options):
    """BERT or another encoder through `transformers`."""

    weights: str = ""
    """folder with config.json, tokenizer and weights"""
    tokens: Count = 128
    """longer texts are cut"""
    output: Literal["vector", "sequence"] = "vector"
    """what a table gets: the mean over the tokens, or every token"""


KindOptions = Video | Face | Audio | Speech | Text


@dataclass(frozen=True)
class RawOptions:
    """Options of every kind; modalities of one kind share them."""

    video: Video = field(default_factory=Video)
    audio: Audio = field(default_factory=Audio)
    speech: Speech = field(default_factory=Speech)
    text: Text = field(default_factory=Text)
    face: Face = field(default_factory=Face)

    def of(self, modality: str) -> KindOptions:
        """Options of a modality."""
        found: KindOptions = getattr(self, kind_of(modality))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :meth:`from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RawOptions:
        """Inverse of :meth:`to_dict`.

        Raises:
            ConfigError: fields are unknown.
        """
        classes: dict[str, type[Options]] = {
            **{"video": Video, "face": Face},
            **{"audio": Audio, "speech": Speech, "text": Text},
        }
        try:
            parts: dict[str, Any] = {kind: classes[kind].from_dict(own) for kind, own in data.items()}
            return cls(**parts)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"stored options of raw inputs cannot be read: {error!r}") from error
