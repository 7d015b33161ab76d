"""A run directory: what a pretraining leaves behind and how it is found again.

::

    config.json          resolved recipe, data set, split, motet version
    environment.json     versions, hardware, command line
    metrics.jsonl        one line per epoch
    checkpoints/         step-<n>.pt, the latest few; everything that a bit-exact resume needs
    model.safetensors    query encoders, written when training has finished
    evaluation.json/.md  written by `motet evaluate`
    report.html          written by `motet report`

A directory of several such directories (``--seeds``) is one experiment; :func:`collect` finds its runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from motet._version import __version__
from motet.core.environment import environment
from motet.core.errors import RunError
from motet.core.files import write_json
from motet.data.archive import MotionArchive
from motet.engine.config import Recipe, recipe_from_dict

if TYPE_CHECKING:
    from motet.engine.model import Model


@dataclass(frozen=True)
class Run:
    """One pretraining on disk."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run directory.

        Raises:
            RunError: not a run directory, or one that was left half-written before training began.
        """
        run = cls(Path(path))
        if (run.path / "archive.json").exists():
            raise RunError(
                f"{path} is an archive of recordings, not a run: name the directory that `motet pretrain` made of it, "
                "and the archive by --data"
            )
        if not run.path.is_dir():
            raise RunError(f"{path} is not a run directory; `motet pretrain` makes one")
        if not (run.path / "config.json").exists():
            if run._only_begun():
                raise RunError(f"{path} has no config.json, so no training began in it; remove it and pretrain again")
            raise RunError(f"{path} is not a run directory (it has no config.json); `motet pretrain` makes one")
        run.config  # noqa: B018 - a broken file is reported here
        return run

    @classmethod
    def create(cls, path: str | Path, recipe: Recipe, archive: MotionArchive, facts: Mapping[str, Any]) -> Run:
        """Start a run directory; ``facts`` go into its config beside the recipe and the data set.

        Raises:
            RunError: the directory exists and holds something.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(
                f"{path} exists already; go on with `motet pretrain --resume {path}` or choose another --out"
            )
        (path / "checkpoints").mkdir(parents=True)
        write_json(path / "environment.json", environment())
        data = {
            "path": str(archive.path.resolve()),
            "hash": archive.hash,
            "clips": len(archive),
            "skeleton": archive.skeleton.to_dict(),
            "persons": archive.persons,
            "channels": list(archive.channels),
            "units": archive.units,
            "simulated": archive.simulated,
            "licence": archive.licence,
        }
        config = {"motet": __version__, "recipe": recipe.to_dict(), "data": data, **facts}
        write_json(path / "config.json", config)  # last: its presence says that the rest is there
        return cls(path)

    def _only_begun(self) -> bool:
        """Whether the directory holds nothing but what :meth:`create` makes before the configuration."""
        found = {p.name for p in self.path.iterdir() if not (p.name.startswith(".") and ".partial-" in p.name)}
        return "checkpoints" in found and found <= {"checkpoints", "environment.json"} and not self.checkpoints

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of config.json."""
        try:
            config: dict[str, Any] = json.loads((self.path / "config.json").read_text())
            if is_distillation(self.path) or is_raw_distillation(self.path):
                room = "motet.distill.raw" if is_raw_distillation(self.path) else "motet.distill"
                raise RunError(
                    f"{self.path} is a distillation, not a pretraining: its test results are in result.md, `motet "
                    f"report` shows them, `motet embed` and {room}.load use its student"
                )
            if is_discovery(self.path):
                raise RunError(
                    f"{self.path} is a discovery, not a pretraining: its scores are in result.md, `motet report`, "
                    "`motet clusters` and `motet embed` show and use what it found"
                )
            if is_graphs(self.path):
                raise RunError(
                    f"{self.path} is a run of `motet graphs`, not a pretraining: its table is in result.md, "
                    "motet.graphs.load gives its encoders"
                )
            config["recipe"], config["data"]["path"], config["split"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.path}/config.json is damaged ({error!r}); {self.renewal}") from error
        return config

    @property
    def packed(self) -> bool:
        """Whether this is a folder of weights without the history of their training."""
        return not (self.path / "environment.json").exists() and not (self.path / "checkpoints").exists()

    @property
    def renewal(self) -> str:
        """What to do where files are damaged."""
        return "download or pack the weights again" if self.packed else "pretrain again"

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return recipe_from_dict(self.config["recipe"])

    @property
    def data(self) -> Path:
        """Where the archive was when training began."""
        return Path(self.config["data"]["path"])

    @property
    def split(self) -> str:
        """Rule that said which clips train."""
        return str(self.config["split"])

    def archive(self, path: str | Path | None = None) -> MotionArchive:
        """The archive that trained the run, or another one of the same skeleton.

        Raises:
            RunError: the archive has moved or was changed since, or is unknown (weights that were shared).
        """
        if path is None and not self.config["data"]["path"]:
            raise RunError(f"{self.path} holds weights without their recordings; name an archive by --data")
        archive = MotionArchive.open(self.data if path is None else path)
        if path is None and archive.hash != self.config["data"]["hash"]:
            raise RunError(
                f"{self.data} is not the archive that {self.path} was trained on any more; name it by --data"
            )
        return archive

    @property
    def checkpoints(self) -> list[Path]:
        """Checkpoints on disk, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-*.pt"), key=lambda p: int(p.stem.split("-")[1]))

    @property
    def finished(self) -> bool:
        """Whether training reached its last epoch."""
        return (self.path / "model.safetensors").exists()

    def metrics(self) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl; a last one that a kill has cut short is left out.

        Raises:
            RunError: an earlier line is damaged.
        """
        path = self.path / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                if number < len(lines):
                    raise RunError(f"{path}, line {number} is damaged; remove the line") from error
        return found

    def model(self, device: str | torch.device = "cpu") -> Model:
        """The trained model: the final weights, or those of the latest checkpoint of an unfinished run."""
        from motet.engine.model import Model

        return Model.from_run(self, device)


def is_distillation(path: str | Path) -> bool:
    """Whether a directory is one of `motet distill`."""
    return _kind(path) == "distill"


def is_raw_distillation(path: str | Path) -> bool:
    """Whether a directory is one of `motet distill raw`."""
    return _kind(path) == "distill-raw"


def is_discovery(path: str | Path) -> bool:
    """Whether a directory is one of `motet discover`."""
    return _kind(path) == "discover"


def is_graphs(path: str | Path) -> bool:
    """Whether a directory is one of `motet graphs`."""
    return _kind(path) == "graphs"


def _kind(path: str | Path) -> str | None:
    try:
        config = json.loads((Path(path) / "config.json").read_text())
    except (OSError, ValueError):
        return None
    return config.get("kind") if isinstance(config, dict) else None


def collect(path: str | Path) -> list[Run]:
    """The run in a directory, or the runs in its subdirectories, in the order of their names."""
    path = Path(path)
    if path.is_dir() and not (path / "config.json").exists():
        below = [p.parent for p in path.glob("*/config.json")]
        if below:
            return [Run.open(p) for p in sorted(below, key=lambda p: (len(p.name), p.name))]
    return [Run.open(path)]
