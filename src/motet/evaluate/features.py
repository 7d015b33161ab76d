"""Where the rows of a table get their features: a trained model, an untrained one, or no model at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor

from motet.core.distributed import agreed, gather_parts, rank, world_size
from motet.core.errors import RunError
from motet.core.files import written
from motet.data.adapted import REVISION
from motet.data.loader import ClipStore, center_crop
from motet.engine.run import Run
from motet.engine.tensors import read_tensors, save_tensors

if TYPE_CHECKING:
    from motet.methods.model import Model

_BATCH = 256
_HELD_BYTES = 256 << 20  # features up to this size stay in memory between protocols; larger ones are read again


class FeatureSet(Protocol):
    """Features of clips, per stream; ids are archive rows."""

    def centre(self, ids: Tensor) -> dict[str, Tensor]:
        """stream → (n, F) of the centre 95 % of each clip."""
        ...

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        """stream → (n, F) of one crop of each clip."""
        ...

    def earlier(self) -> list[FeatureSet]:
        """The same from earlier checkpoints, where some were kept."""
        ...


class Encoded:
    """Features of an encoder. Those of the centre crops are kept in a file named by the hash of all that decides them.

    Args:
        model: the encoder.
        store: its preprocessed clips.
        archive_hash: content of the archive.
        folder: where features are kept; None keeps none.
        run: the run whose earlier checkpoints may be asked for.
    """

    def __init__(
        self, model: Model, store: ClipStore, *, archive_hash: str, folder: Path | None = None, run: Run | None = None
    ) -> None:
        self.model, self.store, self.folder, self.run = model, store, folder, run
        self.archive_hash = archive_hash
        self._weights = model.weights()
        self._key: str | None = None
        self._held: dict[str, Tensor] | None = None
        self._earlier: list[FeatureSet] | None = None

    def weights_digest(self) -> str:
        """Digest of names and values of all weights."""
        sha = hashlib.sha256()
        for name, tensor in self._weights.items():
            sha.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return sha.hexdigest()

    def key(self) -> str:
        """Digest of archive, clips, their form, crop, preprocessing and weights."""
        if self._key is not None:
            return self._key
        sha = hashlib.sha256()
        recipe = self.model.recipe
        facts: tuple[Any, ...] = (
            self.archive_hash,
            recipe.preprocess,
            self.model.clip_frames,
            self.model.streams,
            "centre .95",
            recipe.encoder,
        )
        facts += (REVISION,) if self.model.adapts else ()
        sha.update(repr(facts).encode())
        sha.update(self.store.ids.numpy().tobytes())
        sha.update(self.weights_digest().encode())
        self._key = sha.hexdigest()
        return self._key

    def centre(self, ids: Tensor) -> dict[str, Tensor]:
        everything = self._centre_all()
        rows = self.store.positions(ids)
        return {s: f[rows].to(self.model.device) for s, f in everything.items()}

    def _centre_all(self) -> dict[str, Tensor]:
        if self._held is not None:
            return self._held
        features = self._centre_from_disk()
        if sum(f.numel() * f.element_size() for f in features.values()) <= _HELD_BYTES:
            self._held = features
        return features

    def _centre_from_disk(self) -> dict[str, Tensor]:
        path = None if self.folder is None else self.folder / f"{self.key()[:24]}.safetensors"
        kept: dict[str, Tensor] | None = None
        if path is not None and path.exists():
            try:
                kept = read_tensors(path)[0]
            except (SafetensorError, OSError, RuntimeError):
                path.unlink(missing_ok=True)  # damaged: encode again
        if agreed(kept is not None):
            return read_tensors(path)[0] if kept is None and path is not None else kept or {}
        ids = self.store.ids
        features = {s: f.cpu() for s, f in self._encode(ids, *center_crop(self.store.lengths_of(ids))).items()}
        if path is not None and rank() == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written(path) as partial:
                save_tensors(partial, features)
        return features

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        return self._encode(ids, start, length)

    def _encode(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        """Every process encodes its part."""
        if world_size() == 1 or len(ids) < world_size():
            return self.model.encode(self.store, ids, start=start, length=length)
        parts = [x.tensor_split(world_size())[rank()] for x in (ids, start, length)]
        own = self.model.encode(self.store, parts[0], start=parts[1], length=parts[2])
        return {s: gather_parts(f, len(ids)) for s, f in own.items()}

    def earlier(self) -> list[FeatureSet]:
        if self._earlier is None:  # once for all protocols
            self._earlier = [] if self.run is None else self._of_checkpoints(self.run)
        return self._earlier

    def _of_checkpoints(self, run: Run) -> list[FeatureSet]:
        from motet.engine.checkpoint import load_checkpoint
        from motet.methods.model import encoder_state, network_state

        found: list[FeatureSet] = []
        for path in run.checkpoints:
            try:
                state = network_state(load_checkpoint([path]))
            except RunError:
                continue  # load_checkpoint has warned; the final weights are evaluated anyway
            model = self.model.untrained(0)
            model.encoders.load_state_dict(encoder_state(state, len(model.encoders)))
            if any(not torch.equal(v, self._weights[k]) for k, v in model.weights().items()):
                found.append(Encoded(model, self.store, archive_hash=self.archive_hash))
        return found


class Raw:
    """The streams' views of the preprocessed, resized clips, flattened: what an encoder has to beat."""

    def __init__(self, model: Model, store: ClipStore) -> None:
        self.model, self.store = model, store

    def centre(self, ids: Tensor) -> dict[str, Tensor]:
        return self.crops(ids, *center_crop(self.store.lengths_of(ids)))

    def described(self, clips: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, F)."""
        return clips.flatten(1)

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        parts: list[Mapping[str, Tensor]] = []
        for at in range(0, len(ids), _BATCH):
            rows = slice(at, at + _BATCH)
            clips = self.store.windows(ids[rows], start[rows], length[rows], self.model.clip_frames)
            views = zip(self.model.streams, self.model.views, strict=True)
            parts.append({s: self.described(view(clips)) for s, view in views})
        return {s: torch.cat([p[s] for p in parts]) for s in self.model.streams}

    def earlier(self) -> list[FeatureSet]:
        return []
