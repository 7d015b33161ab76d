"""A finished discovery: features and clusters of new recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from motet.archive import MotionArchive
from motet.discover.clusters import features, joined
from motet.discover.joints import Meeting, Retargeted
from motet.discover.judge import predict
from motet.discover.settings import settings_from_dict
from motet.discover.step import Discovery
from motet.discover.views import whole_clips
from motet.errors import ConfigError, RunError
from motet.loader import ClipStore
from motet.runs import written
from motet.skeletons import Skeleton


def save_model(path: Path, discovery: Discovery) -> None:
    """Write both branches; banks and heads that only training needs stay in the checkpoints."""
    kept = {k: v for k, v in discovery.branches.state_dict(prefix="branches.").items() if not k.endswith(".bank")}
    weights = {k: v.cpu().contiguous() for k, v in kept.items()}
    with written(path) as partial:
        save_file(weights, partial)


class Found:
    """A finished discovery, ready for recordings of the target's layout.

    Attributes:
        discovery: both branches, in eval mode.
        skeleton: the target's layout.
        clusters: K.
    """

    def __init__(self, discovery: Discovery, meeting: Meeting, skeleton: Skeleton, preprocess: str) -> None:
        self.discovery, self.meeting = discovery.eval(), meeting
        self.skeleton, self.preprocess = skeleton, preprocess

    @property
    def clusters(self) -> int:
        """K."""
        return self.discovery.pair[0].clusters

    def _features(self, archive: MotionArchive) -> tuple[torch.Tensor, torch.Tensor]:
        if archive.skeleton.canonical != self.skeleton.canonical:
            raise ConfigError(
                f"{archive.path} has the layout {archive.skeleton.name!r}, but the clusters were found on "
                f"{self.skeleton.name!r}; convert its joints first"
            )
        stores = [ClipStore(a, preprocess=self.preprocess) for a in (Retargeted(archive, self.meeting), archive)]
        return features(self.discovery, stores, stores[0].ids)

    def shared(self, archive: MotionArchive) -> npt.NDArray[np.float32]:
        """(N, F0) features of the shared branch for recordings of any layout that has the common joints."""
        store = ClipStore(Retargeted(archive, self.meeting), preprocess=self.preprocess)
        encoder = self.discovery.pair[0].student["encoder"]
        parts = [
            encoder(whole_clips(store, ids, self.discovery.settings.frames)) for ids in torch.split(store.ids, 256)
        ]
        return np.asarray(torch.cat(parts).detach().numpy(), dtype=np.float32)

    def transform(self, archive: MotionArchive) -> npt.NDArray[np.float32]:
        """(N, F0 + F1) unit features of both branches side by side, by clip."""
        return np.asarray(joined(self._features(archive)).numpy(), dtype=np.float32)

    def assign(self, archive: MotionArchive) -> dict[str, npt.NDArray[np.int64]]:
        """``{"B0": (N,), "B1": (N,)}`` clusters of every clip by each branch."""
        found = predict(self.discovery, self._features(archive))
        return {name: c.numpy().astype(np.int64) for name, c in zip(("B0", "B1"), found, strict=True)}


def load(path: str | Path) -> Found:
    """Open a finished discovery.

    Raises:
        RunError: not a discovery, not finished, or damaged.
    """
    from motet.discover.run import read_config

    folder = Path(path)
    config = read_config(folder)
    weights_path = folder / "model.safetensors"
    if not weights_path.exists():
        raise RunError(f"{folder} has not finished; go on with `motet discover --resume {folder}`")
    settings = settings_from_dict(config["settings"])
    form: dict[str, Any] = config["common"]
    meeting = Meeting(
        Skeleton.from_dict(form["skeleton"]), tuple(form["channels"]), int(form["persons"]), str(form["scale"])
    )
    target = config["target"]
    skeleton = Skeleton.from_dict(target["skeleton"])
    with torch.random.fork_rng(devices=[]):
        discovery = Discovery.build(
            settings,
            meeting.skeleton,
            skeleton,
            persons=(meeting.persons, target["persons"]),
            channels=(len(meeting.channels), len(target["channels"])),
            clips=1,
            source_classes=len(config["known"]),
        )
    try:
        weights = load_file(weights_path)
        for number, branch in enumerate(discovery.pair):
            branch.add_classifier(weights[f"branches.{number}.student.clusters.weight"])
        missing = discovery.load_state_dict(weights, strict=False)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise RunError(f"{weights_path} cannot be read ({error}); discover again") from error
    if missing.unexpected_keys or any(not k.endswith(".bank") for k in missing.missing_keys):
        raise RunError(f"{weights_path} does not fit {folder}/config.json; discover again")
    return Found(discovery, meeting, skeleton, settings.preprocess)
