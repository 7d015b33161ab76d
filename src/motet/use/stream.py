"""Features and predictions frame by frame.

The recurrent encoder of CMD (Mao et al., ECCV 2022) and the causal form of the temporal convolution run forward in time
only, so what they say about a clip that ends now needs one step more than what they said a frame ago. After every frame
a :class:`Stream` gives what the model would give for the whole clip up to here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError, DataError
from motet.data.archive import MotionArchive
from motet.data.preprocess import EGOCENTRIC, SENSED, WHOLE, preprocess, present_joints, present_readings
from motet.data.views import View
from motet.data.worn import axis_in, to_one_side
from motet.encoders.clips import Streaming
from motet.engine.hub import found
from motet.engine.model import Model as Face
from motet.engine.run import Run
from motet.evaluate.heads import Head, train_heads
from motet.evaluate.probe import Schedule
from motet.methods.model import Model, evaluating

if TYPE_CHECKING:
    from typing import Self

# how many last frames of a view are zero because the frames that they need have not come yet
_DELAY = {"joint": 0, "bone": 0, "motion": 1, "bone_motion": 1, "acceleration": 2}
_LENGTH = 8.0  # root mean square of a standardised row, which suits the rate of the linear protocol
_BATCH_FRAMES = 1 << 14


@dataclass(frozen=True)
class Classifier:
    """A linear layer on the features of all streams, side by side and standardised.

    Attributes:
        weight: (F, K).
        bias: (K,).
        shift, gain: (F,); a feature x enters as (x − shift) · gain.
        class_names: the K classes.
    """

    weight: Tensor
    bias: Tensor
    shift: Tensor
    gain: Tensor
    class_names: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        model: Model,
        archive: MotionArchive,
        ids: Sequence[int] | npt.NDArray[np.int64] | None = None,
        *,
        epochs: int = 80,
        batch_size: int = 16,
        lr: float = 0.1,
        seed: int = 0,
    ) -> Self:
        """Learn from labelled clips, encoded as a stream sees them: whole, at the rate they were recorded at.

        Args:
            model: the encoders, which stay as they are.
            archive: labelled recordings of the model's layout.
            ids: archive rows to learn from, all labelled ones by default.
            epochs, batch_size, lr, seed: of the linear protocol (:mod:`motet.evaluate.linear`).

        Raises:
            ConfigError: no labelled clips, or another layout.
        """
        model.check(archive)
        rows = np.arange(len(archive)) if ids is None else np.asarray(ids, dtype=np.int64)
        rows = rows[archive.labels[rows] >= 0]
        if len(rows) == 0:
            raise ConfigError(f"{archive.path}: none of the chosen clips has a label to learn from")
        classes, labels = np.unique(archive.labels[rows], return_inverse=True)
        turned = to_one_side(archive, axis_in(model.recipe.preprocess, archive))
        features = whole_clips(model, [turned(int(i), archive.clip(int(i))) for i in rows])
        shift, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
        active = deviation > 1e-6 * torch.maximum(deviation.max(), shift.abs())
        gain = torch.where(active, 1 / deviation.where(active, 1), 0) * _LENGTH / active.sum().clamp_min(1).sqrt()
        weight, bias = train_heads(
            ((features - shift) * gain)[None],
            torch.from_numpy(labels).to(features.device),
            [Head(0, torch.arange(len(rows)), seed)],
            classes=len(classes),
            schedule=Schedule(epochs=epochs, batch_size=batch_size, lr=(lr,)),
        )
        return cls(weight[0], bias[0, 0], shift, gain, tuple(archive.class_names[i] for i in classes))

    def __call__(self, features: Tensor) -> Tensor:
        """(…, F) features of all streams side by side → (…, K) probabilities."""
        return (((features - self.shift) * self.gain) @ self.weight + self.bias).softmax(dim=-1)


@dataclass(frozen=True)
class Moment:
    """What a stream says after a frame.

    Attributes:
        frame: its number, from 0.
        features: stream → (F,) features of the clip so far.
        probabilities: class → probability, largest first; None without a classifier.
    """

    frame: int
    features: dict[str, Tensor]
    probabilities: dict[str, float] | None = None

    @property
    def label(self) -> str | None:
        """The most probable class."""
        return None if self.probabilities is None else next(iter(self.probabilities))


class Stream:
    """A clip that is still continuing; make one with :func:`stream`.

    Preprocessing is causal where the recipe's is: what refers to the first frame (centre, turn of the body) is fixed
    when the first person appears, and frames before that count as empty. A person who leaves stays zero, whereas CMD's
    preprocessing of a whole clip repeats his frames; where everybody stays, both are equal.

    Args:
        model: causal encoders.
        classifier: for predictions.
    """

    def __init__(self, model: Model, classifier: Classifier | None = None) -> None:
        for name, encoder in zip(model.streams, model.encoders, strict=True):
            if not (isinstance(encoder, Streaming) and encoder.causal):
                raise ConfigError(
                    f"stream {name} has an encoder that sees the future; frame by frame needs --causal (a temporal "
                    "convolution) or --encoder gru --mode causal at pretraining"
                )
        if model.recipe.statistics:
            raise ConfigError("the features hold statistics of whole clips; train with --statistics false for a stream")
        if model.recipe.preprocess in WHOLE:
            raise ConfigError(
                "size is measured on a whole clip; frame by frame needs another --preprocess at pretraining, such "
                "as yaw or first-frame"
            )
        self.model, self.classifier = model, classifier
        model.encoders.eval()
        self._states = [_StreamState(v, e) for v, e in zip(model.views, model.encoders, strict=True)]  # type: ignore[arg-type]
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        self.frame = 0
        self._reference: Tensor | None = None
        for state in self._states:
            state.reset()

    def push(self, frame: npt.ArrayLike | Tensor) -> Moment:
        """Take the next frame.

        Args:
            frame: (P, V, C), or (V, C) for one person; raw coordinates as in an archive, zero where nothing was seen.

        Raises:
            DataError: another shape, or a value that is not finite.
        """
        given = frame if isinstance(frame, Tensor) else torch.from_numpy(np.array(frame, dtype=np.float32))
        x = given.to(self.model.device, torch.float32)
        x = x[None] if x.ndim == 2 else x
        expected = (self.model.persons, len(self.model.skeleton), self.model.channels)
        if x.shape != expected:
            raise DataError(f"frame {self.frame} has shape {tuple(x.shape)}, the model reads {expected}")
        if not bool(x.isfinite().all()):
            raise DataError(f"frame {self.frame} holds a value that is not finite; give zero for what was not seen")
        with torch.inference_mode():
            ready = self._prepared(x)
            pushed = zip(self.model.streams, self._states, strict=True)
            features = {s: self.model.last(s, state.push(ready)[None], ready)[0] for s, state in pushed}
            moment = Moment(self.frame, features, self._predicted(features))
        self.frame += 1
        return moment

    def _prepared(self, x: Tensor) -> Tensor:
        """(P, V, C) preprocessed as the last frame of the clip."""
        method = self.model.recipe.preprocess
        if method == "none":
            return x
        if method in SENSED:  # what comes after a lost sample is not known yet
            if self._reference is not None:
                there = present_readings(torch.stack([self._reference, x]), self.model.skeleton)[1, ..., None]
                x = torch.where(there, x, self._reference)
            self._reference = x
            return x
        center_seen = bool(x[0, self.model.skeleton.center].any())
        # "center" holds the last centre that was seen, the others refer to the first frame with a person
        if (self._reference is None and bool(x[0].any())) or (method == "center" and center_seen):
            self._reference = x
        if self._reference is None:
            return torch.zeros_like(x)
        if method == EGOCENTRIC:  # joints that the first frame does not show, where they are seen next
            self._reference = torch.where(present_joints(self._reference)[..., None], self._reference, x)
        pair = torch.stack([self._reference, x])[None]
        done = preprocess(pair, torch.tensor([2], device=x.device), self.model.skeleton, method)[0, 1]
        return done * present_joints(x)[..., None]

    def _predicted(self, features: dict[str, Tensor]) -> dict[str, float] | None:
        if self.classifier is None:
            return None
        values = self.classifier(torch.cat(list(features.values())))
        order = values.argsort(descending=True).tolist()
        shares = values.tolist()
        return {self.classifier.class_names[i]: shares[i] for i in order}


class _StreamState:
    """One stream: its view of the last frames and the state of its encoder."""

    def __init__(self, view: View, encoder: Streaming) -> None:
        self.view, self.encoder, self.delay = view, encoder, _DELAY[view.kind]
        self.reset()

    def reset(self) -> None:
        self.state: Any = self.encoder.start(1)
        self.recent: list[Tensor] = []

    def push(self, frame: Tensor) -> Tensor:
        self.recent = [*self.recent[-self.delay :], frame] if self.delay else [frame]
        inputs = self.view(torch.stack(self.recent)[None])
        feature: Tensor | None = None
        waiting = min(self.delay, len(self.recent))
        if len(self.recent) > self.delay:
            feature, self.state = self.encoder.step(inputs[:, 0], self.state)  # all that this frame needs has come
        state = self.state
        for late in range(waiting):
            # a difference whose next frame has not come is zero; the step is taken again when it has
            feature, state = self.encoder.step(inputs[:, len(self.recent) - waiting + late], state)
        assert feature is not None
        return feature[0]


def stream(run: Run | Model | str | Path, classifier: Classifier | None = None, *, device: str = "cpu") -> Stream:
    """Features and predictions frame by frame, equal to those of the clip so far.

    Args:
        run: a run, its directory, or a model; its encoders must be causal. Of a discovery the encoder of the target's
            own layout runs.
        classifier: for predictions, see :meth:`Classifier.fit`.
        device: where to run.

    Raises:
        ConfigError: an encoder that sees the future.
        RunError: a run without encoders of clips.
    """
    opened = Run.open(found(run)) if isinstance(run, str | Path) else run
    given: Face = opened.model(device) if isinstance(opened, Run) else opened
    return Stream(given.streaming(), classifier)


def whole_clips(model: Model, clips: Sequence[npt.NDArray[Any]]) -> Tensor:
    """(n, F) features of all streams side by side, of whole clips at their own rate: the last word of a stream.

    Args:
        model: causal encoders.
        clips: (T, P, V, C) raw coordinates each.
    """
    lengths = np.array([len(clip) for clip in clips])
    found: list[Tensor] = [torch.empty(0)] * len(clips)
    for length in np.unique(lengths):  # a clip's features are those of its own frames, so nothing is padded
        same = np.flatnonzero(lengths == length)
        for part in np.array_split(same, -(-len(same) * int(length) // _BATCH_FRAMES)):
            block = np.stack([np.asarray(clips[i], dtype=np.float32) for i in part])
            for i, feature in zip(part, _features(model, torch.from_numpy(block).to(model.device)), strict=True):
                found[i] = feature
    return torch.stack(found)


def _features(model: Model, clips: Tensor) -> Tensor:
    with evaluating(model.encoders), torch.inference_mode():
        lengths = torch.full((len(clips),), clips.shape[1], device=clips.device)
        ready = preprocess(clips, lengths, model.skeleton, model.recipe.preprocess)
        parts = zip(model.streams, model.views, model.encoders, strict=True)
        features = []
        for stream, view, encoder in parts:
            seen = view(ready)
            features.append(model.last(stream, encoder(seen), seen))
    return torch.cat(features, dim=1).clone()
