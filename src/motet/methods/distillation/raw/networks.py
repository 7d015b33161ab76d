"""Networks of the kinds of raw input: what they read from a file, and how it becomes features.

Every network has the same face. ``load(item)`` reads all that is needed in use, ``drawn(item, draw)`` what one training
step needs; both give arrays for ``together``, which makes a batch of them; the module itself turns the batch into
(B, F) features or, asked for a sequence, into (B, T, F) with (B,) valid frames.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError, DataError
from motet.methods.distillation.extractors import Cnn14, DenseNet, R2Plus1D, log_mel, normalise, normalise_pictures
from motet.methods.distillation.extractors.audio import RATE
from motet.methods.distillation.raw import media
from motet.methods.distillation.raw.checkpoints import read_weights
from motet.methods.distillation.raw.manifest import Item
from motet.methods.distillation.raw.options import (
    RANDOM,
    Audio,
    Face,
    KindOptions,
    RawOptions,
    Speech,
    Text,
    Video,
    kind_of,
)
from motet.methods.distillation.raw.sampling import Draw, evenly, looped, middle_crop, random_crop, sliding, start_of

_LEAST_SOUND = 32 * 320  # samples that leave CNN14 one frame after its five poolings
_SPEECH_RATE = 16000


class RawNetwork(nn.Module):
    """A network with what it reads.

    Attributes:
        feature_size: F.
        sequence: whether the features of a table are sequences.
    """

    kind: ClassVar[str]
    feature_size: int
    sequence: bool

    def load(self, item: Item, windows: int | None = None) -> list[Tensor]:
        """The parts of an item that are classified one by one and then averaged; ``windows`` limits their number."""
        raise NotImplementedError

    def drawn(self, item: Item, draw: Draw) -> Tensor:
        """What one training step sees."""
        raise NotImplementedError

    def together(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """A batch (B, …), and (B,) lengths where its rows are padded."""
        raise NotImplementedError

    def features(self, parts: Sequence[Tensor]) -> Tensor:
        """(T, F) of a whole item, as :meth:`load` gave it, or (1, F) if no sequence is wanted."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def _run(self, parts: Sequence[Tensor]) -> Tensor:
        x, lengths = self.together(parts)
        lengths = None if lengths is None else lengths.to(self.device)
        found: Tensor = self(x.to(self.device), lengths)
        return found


class PictureNetwork(RawNetwork):
    """Of clips or pictures of one size."""

    options: Any

    def together(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        return torch.stack(list(parts)), None

    def features(self, parts: Sequence[Tensor]) -> Tensor:
        size = self.options.batch
        whole = torch.cat([self._run(parts[n : n + size]) for n in range(0, len(parts), size)])
        return whole if self.sequence else whole.mean(dim=0, keepdim=True)


class StateNetwork(RawNetwork):
    """Of what is heard or read one item at a time, with a state for each moment."""

    def states(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, T, F) hidden states, and (B,) how many are valid."""
        raise NotImplementedError

    def features(self, parts: Sequence[Tensor]) -> Tensor:
        x = parts[0][None].to(self.device)
        return self.states(x, None)[0][0] if self.sequence else self(x)


class VideoNetwork(PictureNetwork):
    """R(2+1)D on clips of frames."""

    kind = "video"

    def __init__(self, options: Video) -> None:
        super().__init__()
        self.options, self.sequence = options, options.output == "sequence"
        self.net = R2Plus1D(options.layers, slope=options.slope, style=options.style, width=options.width)
        self.feature_size = self.net.feature_size
        if options.weights not in ("", RANDOM):
            state = read_weights(options.weights)
            load_video(self.net, state, options.weights)

    def load(self, item: Item, windows: int | None = None) -> list[Tensor]:
        if windows is None:
            return list(self._clips(item))
        count = media.frame_count(item)
        found = []
        for index in evenly(count, self.options.frames, windows):
            first, last = int(index.min()), int(index.max())
            pictures = media.window(item, first, last - first + 1)
            small = torch.stack([middle_crop(p, self.options.size) for p in pictures])
            found.append(small[torch.from_numpy(index - first)])
        return found

    def _clips(self, item: Item) -> Iterator[Tensor]:
        """(frames, size, size, 3) bytes of every sliding window; a video is decoded once, whatever its length."""
        options = self.options
        index = sliding(media.frame_count(item), options.frames, options.stride)
        frames = (middle_crop(p, options.size) for p in media.every_frame(item))
        kept: dict[int, Tensor] = {}
        reached = 0
        for clip in index:
            last = int(clip.max())
            for picture in islice(frames, max(0, last + 1 - reached)):
                kept[reached] = picture
                reached += 1
            yield torch.stack([kept[int(n)] for n in clip])
            for old in range(int(clip.min()), min(int(clip.min()) + options.stride, reached)):
                kept.pop(old, None)

    def drawn(self, item: Item, draw: Draw) -> Tensor:
        count = media.frame_count(item)
        index = looped(start_of(draw, count, self.options.frames), count, self.options.frames)
        first, last = int(index.min()), int(index.max())
        clip = random_crop(media.window(item, first, last - first + 1), draw, self.options)
        return clip[torch.from_numpy(index - first)]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, size, size, 3) bytes → (B, F)."""
        found: Tensor = self.net(normalise(x))
        return found


class FaceNetwork(PictureNetwork):
    """DenseNet-121 on single pictures of a face."""

    kind = "face"

    def __init__(self, options: Face) -> None:
        super().__init__()
        self.options, self.sequence = options, options.output == "sequence"
        self.net = DenseNet(options.blocks, growth=options.growth, stem=2 * options.growth)
        self.feature_size = self.net.feature_size
        if options.weights not in ("", RANDOM):
            state = {key.removeprefix("net."): value for key, value in read_weights(options.weights).items()}
            with _named(options.weights):
                self.net.load_torchvision(state)

    def load(self, item: Item, windows: int | None = None) -> list[Tensor]:
        if windows is not None:
            places = evenly(media.frame_count(item), 1, windows)[:, 0].tolist()
            return [self._face(media.window(item, int(n), 1)[0]) for n in places]
        return [self._face(p) for p in islice(media.every_frame(item), 0, None, self.options.stride)]

    def _face(self, picture: media.Picture) -> Tensor:
        """(size, size, 3) bytes."""
        height, width = picture.shape[:2]
        left, top, right, bottom = self.options.region
        rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
        columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
        return middle_crop(picture[rows, columns], self.options.size)

    def drawn(self, item: Item, draw: Draw) -> Tensor:
        return self._face(media.window(item, start_of(draw, media.frame_count(item), 1), 1)[0])

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, size, size, 3) bytes → (B, F)."""
        found: Tensor = self.net(normalise_pictures(x))
        return found


class AudioNetwork(RawNetwork):
    """Log-mel spectrogram and CNN14."""

    kind = "audio"
    sequence = False

    def __init__(self, options: Audio) -> None:
        super().__init__()
        self.options = options
        self.net = Cnn14(options.features, width=options.width)
        self.feature_size = options.features
        if options.weights not in ("", RANDOM):
            state = read_weights(options.weights)
            own = {name.removeprefix("net."): value for name, value in state.items()}
            with _named(options.weights):
                self.net.load_panns(own)

    def load(self, item: Item, windows: int | None = None) -> list[Tensor]:
        return [_filled(torch.from_numpy(media.sound(item, RATE)), _LEAST_SOUND)]

    def drawn(self, item: Item, draw: Draw) -> Tensor:
        return _part(torch.from_numpy(media.sound(item, RATE)), draw, round(self.options.seconds * RATE), _LEAST_SOUND)

    def together(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        return _padded(parts)[0], None  # silence behind a sound is heard, as in the training of PANNs

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, samples) → (B, F)."""
        found: Tensor = self.net(log_mel(x))
        return found

    def features(self, parts: Sequence[Tensor]) -> Tensor:
        return self._run(parts)


class SpeechNetwork(StateNetwork):
    """wav2vec 2.0: the mean of its last hidden states, or the states."""

    kind = "speech"

    def __init__(self, options: Speech) -> None:
        super().__init__()
        self.options, self.sequence = options, options.output == "sequence"
        self.net, config = _pretrained(options.weights, "speech")
        config.apply_spec_augment = False  # it fails on short utterances, and its draws are out of our hands
        self.feature_size = int(config.hidden_size)
        self.steps = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.masked = config.feat_extract_norm == "layer"  # the others were trained without a mask
        self.least = _needed(self.steps, 2)

    def load(self, item: Item, windows: int | None = None) -> list[Tensor]:
        x = torch.from_numpy(media.sound(item, _SPEECH_RATE))[: round(self.options.seconds * _SPEECH_RATE)]
        return [_standard(_filled(x, self.least))]

    def drawn(self, item: Item, draw: Draw) -> Tensor:
        x = torch.from_numpy(media.sound(item, _SPEECH_RATE))
        longest = round(self.options.seconds * _SPEECH_RATE)
        start = start_of(draw, len(x), longest)
        return _standard(_filled(x[start : start + longest], self.least))

    def together(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        return _padded(parts)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, samples) and (B,) valid samples → (B, F)."""
        states, valid = self.states(x, lengths)
        return _mean(states, valid)

    def states(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, T, F) hidden states, and (B,) how many are valid."""
        lengths = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        mask = (torch.arange(x.shape[1], device=x.device) < lengths[:, None]).long() if self.masked else None
        states: Tensor = self.net(x, attention_mask=mask).last_hidden_state
        valid = lengths
        for kernel, stride in self.steps:
            valid = torch.div(valid - kernel, stride, rounding_mode="floor") + 1
        return states, valid.clamp(1, states.shape[1])


class TextNetwork(StateNetwork):
    """BERT: the mean of its last hidden states, or the states; the first and last token are among them."""

    kind = "text"

    def __init__(self, options: Text) -> None:
        super().__init__()
        self.options, self.sequence = options, options.output == "sequence"
        self.net, config = _pretrained(options.weights, "text")
        self.feature_size = int(config.hidden_size)
        with _quiet(options.weights, "text"):
            self.tokenizer = _transformers().AutoTokenizer.from_pretrained(options.weights, local_files_only=True)

    def load(self, item: Item, windows: int | None = None) -> list[Tensor]:
        words = self.tokenizer(item.content, truncation=True, max_length=self.options.tokens)["input_ids"]
        if not words:
            raise DataError(f"the text {item.content!r} has no token")
        return [torch.tensor(words)]

    def drawn(self, item: Item, draw: Draw) -> Tensor:
        return self.load(item)[0]

    def together(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        return _padded(parts, self.tokenizer.pad_token_id or 0)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, L) tokens and (B,) valid ones → (B, F)."""
        return _mean(*self.states(x, lengths))

    def states(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, L, F) hidden states, and (B,) how many are valid."""
        lengths = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        mask = (torch.arange(x.shape[1], device=x.device) < lengths[:, None]).long()
        return self.net(x, attention_mask=mask).last_hidden_state, lengths


def build(modality: str, options: RawOptions, *, frozen: bool = False) -> RawNetwork:
    """The network of a modality, with its weights.

    Args:
        modality: name; its kind decides.
        options: of every kind.
        frozen: it will not learn, so weights must be named.

    Raises:
        ConfigError: a frozen network without weights, or a package that is missing.
        DataError: weights that cannot be read or do not fit.
    """
    kind, own = kind_of(modality), options.of(modality)
    if not own.weights and (frozen or kind in ("speech", "text")):
        what = "FOLDER" if kind in ("speech", "text") else f"FILE (or `{RANDOM}`)"
        raise ConfigError(
            f"the {'frozen ' if frozen else ''}network of {modality} has no weights; name them by "
            f"--{kind}.weights {what}"
        )
    makers: dict[str, Any] = {
        "video": VideoNetwork,
        "face": FaceNetwork,
        "audio": AudioNetwork,
        "speech": SpeechNetwork,
        "text": TextNetwork,
    }
    network: RawNetwork = makers[kind](own)
    return network


def load_video(net: R2Plus1D, state: Mapping[str, Tensor], name: str) -> None:
    """Weights of torchvision's ``r2plus1d_18``, or of this library's own network; the classifier is left out."""
    own = {key.removeprefix("net."): value for key, value in state.items()}
    with _named(name):
        net.load_torchvision(own)


def weights_of(options: KindOptions) -> str:
    """Path of the weights; empty where none are read."""
    return "" if options.weights == RANDOM else options.weights


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("text and speech need transformers: pip install '.[text]' in the folder of motet") from error
    return transformers


@contextmanager
def _quiet(folder: str, kind: str) -> Iterator[None]:
    """Loading without chatter; whatever goes wrong is one error with the folder's name."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    bars = _transformers().utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{folder} cannot be loaded as a network of {kind} ({reason})") from error
    finally:
        logger.setLevel(before)
        if shown:
            bars.enable_progress_bar()


def _pretrained(folder: str, kind: str) -> tuple[nn.Module, Any]:
    if not (Path(folder) / "config.json").is_file():
        raise DataError(f"{folder} is no folder of weights: it has no config.json (name one by --{kind}.weights)")
    library = _transformers()
    with _quiet(folder, kind):
        net = library.AutoModel.from_pretrained(folder, local_files_only=True)
    needed = (
        ("hidden_size", "conv_kernel", "conv_stride", "feat_extract_norm") if kind == "speech" else ("hidden_size",)
    )
    for name in needed:
        if not hasattr(net.config, name):
            raise DataError(f"{folder}: its configuration has no {name}; it is not a network of {kind} that is known")
    return net, net.config


def _filled(x: Tensor, least: int) -> Tensor:
    """A sound with silence behind it, up to a least length."""
    return nn.functional.pad(x, (0, max(0, least - len(x))))


def _part(x: Tensor, draw: Draw, length: int, least: int) -> Tensor:
    start = start_of(draw, len(x), length)
    return _filled(x[start : start + length], max(length, least))


def _standard(x: Tensor) -> Tensor:
    """Mean 0 and deviation 1, as wav2vec 2.0 expects."""
    return (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-7)


def _padded(parts: Sequence[Tensor], fill: int = 0) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(p) for p in parts])
    return nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=fill), lengths


def _mean(states: Tensor, valid: Tensor) -> Tensor:
    """(B, F) over the valid frames."""
    mask = (torch.arange(states.shape[1], device=states.device) < valid[:, None])[..., None]
    return (states * mask).sum(dim=1) / valid[:, None].clamp_min(1)


def _needed(steps: Sequence[tuple[int, int]], frames: int) -> int:
    """Samples that leave so many frames after the convolutions."""
    for kernel, stride in reversed(steps):
        frames = (frames - 1) * stride + kernel
    return frames


def sequence_of(network: RawNetwork, item: Item, parts: Sequence[Tensor] | None = None) -> np.ndarray:
    """(T, F) float32 features of an item for a table.

    Args:
        network: in evaluation mode.
        item: what is seen.
        parts: what :meth:`RawNetwork.load` gave, if it was read before.

    Raises:
        DataError: the item cannot be read, or its features are not finite.
    """
    with torch.no_grad():
        found: np.ndarray = network.features(network.load(item) if parts is None else parts).float().cpu().numpy()
    if not np.isfinite(found).all():
        raise DataError(f"{item}: its features are not finite; the weights of the {network.kind} network are damaged")
    return found
