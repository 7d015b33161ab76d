"""A run directory: what any training leaves behind and how it is found again.

::

    config.json          which verb, its options, what it was trained on, motet version, a digest of all this
    environment.json     versions, hardware, command line
    metrics.jsonl        one line per epoch
    checkpoints/         step-<n>.pt, the latest few; everything that a bit-exact resume needs
    model.safetensors    what has been learned, written when training has finished
    result.json/.md      what the verb found, where it looks itself (discover, distill, graphs)
    evaluation.json/.md  written by `motet evaluate`
    report.html          written by `motet report`

A directory of several such directories (``--seeds``) is one experiment; :func:`collect` finds its runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from motet._version import __version__
from motet.core.errors import ConfigError, DataError, MotetError, RunError
from motet.core.files import write_json
from motet.core.forms import checked
from motet.core.locks import LOCK, one_writer
from motet.core.places import CLASSIFIER, guessed, kind_of, mistaken, verb_of
from motet.core.text import in_line, pasted
from motet.core.workers import first_process
from motet.data.archive import MotionArchive
from motet.data.splits import split
from motet.engine.forms import MetricsLine
from motet.engine.hub import called
from motet.engine.identity import changes, unpacked

if TYPE_CHECKING:
    import torch

# where runs of earlier versions, which do not say it themselves, are read
_EARLIER = {
    "pretrain": "motet.methods.pretrain",
    "discover": "motet.methods.discovery.run",
    "distill": "motet.methods.distillation.run",
    "distill-raw": "motet.methods.distillation.raw.run",
    "graphs": "motet.methods.graphs.run",
}
MISFITS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""what values of the right kind raise that do not fit each other"""
_RENAMED = {
    "watched": "diagnostics",
    "peak_memory_mb": "memory_mb",
    "lanes": "replicas",
    "judged": "scored",
    "rivals": "baselines",
    "odd_below": "outlier_below",
}
"""entries of metrics.jsonl and result.json that had another name in earlier versions."""


def _renamed(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in entries.items()}


@dataclass(frozen=True)
class Run:
    """One training on disk."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    @classmethod
    def open(cls, path: str | PathLike[str], *kinds: str) -> Run:
        """Open a run directory.

        Args:
            path: the directory.
            kinds: verbs whose runs are wanted (``"pretrain"``, ``"distill-raw"``); all by default.

        Raises:
            RunError: not a run directory, one that was left half-written before training began, or of another verb.
        """
        run = cls(path := Path(path))
        if not (run.path / "config.json").exists():
            if run.path.is_dir() and run._only_begun():
                raise RunError(
                    f"{path} has no config.json, so no training began in it; start the training again with the same "
                    "command"
                )
            raise RunError(mistaken(path, "run"))
        if (run.path / "archive.json").exists() or kind_of(path) == CLASSIFIER:
            raise RunError(mistaken(path, "run"))
        found = kind_of(path)
        if kinds and found not in (None, *kinds):
            wanted = " or ".join(f"`motet {verb_of(kind)}`" for kind in kinds)
            raise RunError(
                f"{path} is a run of `motet {verb_of(str(found))}`, and this needs one of {wanted}; `motet resume`, "
                "`motet report` and `motet embed` take any run"
            )
        run.config  # noqa: B018 - a broken file is reported here
        return run

    @classmethod
    def create(cls, path: str | Path, kind: str, module: str, config: Mapping[str, Any]) -> Run:
        """Start a run directory; of several processes the first one does.

        Args:
            path: directory to create; what a killed start has left there is used.
            kind: the verb, with a dash for a space.
            module: where its runs are read, see :attr:`handler`.
            config: what config.json holds besides.

        Raises:
            RunError: the directory exists and holds something.
        """
        run = cls(Path(path))
        if not first_process():
            return run
        run.check_free()
        (run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        with run.lock():
            from motet.core.environment import environment

            write_json(run.path / "environment.json", environment())
            # last: its presence says that the rest is there
            write_config(run.path, {"motet": __version__, "kind": kind, "module": module, **config})
        return run

    def check_free(self) -> None:
        """Refuse to start a run where something is already; of several processes the first one does.

        Raises:
            RunError: says how to continue what is there.
        """
        path = self.path
        if (
            first_process()
            and path.exists()
            and (not path.is_dir() or (any(path.iterdir()) and not self._only_begun()))
        ):
            there = (path / "config.json").exists()
            hint = f"continue it with `motet resume {pasted(path)}` or choose" if there else "choose"
            raise RunError(f"{path} exists already; {hint} another --out")

    def lock(self) -> AbstractContextManager[None]:
        """One writer at a time; what dead ones left half-written is removed.

        Raises:
            RunError: another process writes into the run.
        """
        return one_writer(self.path)

    def _only_begun(self) -> bool:
        """Whether the directory holds nothing but what :meth:`create` makes before the configuration."""
        found = {p.name for p in self.path.iterdir() if not (p.name.startswith(".") and ".partial-" in p.name)}
        return "checkpoints" in found and found <= {"checkpoints", "environment.json", LOCK} and not self.checkpoints

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of config.json."""
        path = self.path / "config.json"
        try:
            config = json.loads(path.read_text())
            kind = config["kind"] = str(config.get("kind") or guessed(config))
            module = config.setdefault("module", _EARLIER.get(kind, ""))
            if not (isinstance(module, str) and module.startswith("motet.methods.")):
                raise ValueError(f"it is read by {module!r:.60}, which is none of motet's methods")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path} is damaged ({error!r}); {self.renewal}") from error
        stated = config.get("digest")
        if stated is not None and stated != _digest(json.loads(path.read_text())):
            raise RunError(f"{path} is not what was written when the run began; restore it, or {self.renewal}")
        handler = self._handler(module)
        if getattr(handler, "KIND", None) != kind:
            raise RunError(f"{path} is damaged: {module} reads no run of kind {kind!r:.60}; {self.renewal}")
        self._check(handler.CONFIG, config, path)
        return dict(config)

    def _handler(self, module: str) -> ModuleType:
        try:
            return import_module(module)
        except ImportError as error:
            raise RunError(f"{self.path} is read by {module}, which this motet does not have") from error

    def _check(self, form: Any, content: Any, path: Path | str) -> None:
        """Compare what a file holds with its form: a digest can be forged, and a file of another version differ."""
        try:
            checked(form, content, path)
        except ConfigError as error:
            said = str(error).removeprefix(f"{path}: ")
            raise RunError(f"{path} is damaged ({said}); {self.renewal}") from error

    @property
    def kind(self) -> str:
        """Which verb made it: pretrain, discover, distill, distill-raw, graphs."""
        return str(self.config["kind"])

    @property
    def verb(self) -> str:
        """The verb, as a person writes it."""
        return verb_of(self.kind)

    @property
    def handler(self) -> ModuleType:
        """The module that reads the runs of this kind.

        It has ``KIND``, the forms ``CONFIG`` and ``RESULT`` of config.json and result.json (:mod:`motet.core.forms`),
        ``options(run)``, ``resume(run, …)`` and ``load(run, device)``.
        """
        return self._handler(self.config["module"])

    @property
    def packed(self) -> bool:
        """Whether this is a folder of weights without the history of their training."""
        return not (self.path / "environment.json").exists() and not (self.path / "checkpoints").exists()

    def need_history(self, remedy: str = "`motet embed`, `motet evaluate` and `motet export` take them") -> None:
        """Refuse weights without the history of their training.

        Args:
            remedy: what to do instead.

        Raises:
            RunError: says so.
        """
        if self.packed:
            raise RunError(f"{self.path} holds weights without the history of their training; {remedy}")

    @property
    def renewal(self) -> str:
        """What to do where files are damaged."""
        return "download or pack the weights again" if self.packed else "start again with another --out"

    @cached_property
    def recipe(self) -> Any:
        """The options that it was trained with; of a pretraining its :class:`~motet.methods.recipe.Recipe`."""
        try:
            return self.handler.options(self)
        except MISFITS as error:  # ConfigError among them
            raise RunError(f"{self.path}/config.json is damaged ({error!s:.300}); {self.renewal}") from error

    @property
    def data(self) -> Path:
        """Where the archive was when training began."""
        return Path(self.config["data"]["path"])

    @property
    def split(self) -> str:
        """Rule that said which clips train."""
        return str(self.config["split"])

    def trained_on(self, archive: MotionArchive) -> npt.NDArray[np.int64]:
        """Rows of an archive that trained the run, whatever its clips table says today; none of other recordings.

        Raises:
            RunError: the configuration is damaged.
        """
        entries = [e for e in self.config.get("sets", ()) if e.get("hash") == archive.hash]
        if not entries and (not self.split or archive.hash != self.config["data"].get("hash")):
            return np.zeros(0, dtype=np.int64)
        stored = (entries[0] if entries else self.config).get("train_rows")
        if stored is None:  # of an earlier version
            return split(archive, self.split).train
        try:
            return unpacked(stored, len(archive))
        except (TypeError, ValueError) as error:
            raise RunError(f"{self.path}/config.json is damaged ({error}); {self.renewal}") from error

    def archive(self, path: str | Path | None = None) -> MotionArchive:
        """The archive that trained the run, or another one of the same skeleton.

        Raises:
            RunError: the archive has moved or was changed since, or is unknown (weights that were shared).
        """
        data = self.config.get("data")
        if not isinstance(data, dict) or "path" not in data:
            raise RunError(
                f"{self.path} is a run of `motet {self.verb}`, which was not trained on one archive; `motet report` "
                "and `motet embed` take it"
            )
        if path is None and "sets" in self.config:
            raise RunError(f"{self.path} was trained on several archives; name one by --data")
        if path is None and not data["path"]:
            raise RunError(f"{called(self.path)} holds weights without their recordings; name an archive by --data")
        try:
            archive = MotionArchive.open(self.data if path is None else path)
        except DataError as error:
            if path is not None or self.data.exists():
                raise
            gone = f"{self.data}, on which {called(self.path)} was trained, has moved or is gone"
            raise RunError(f"{gone}; name it by --data") from error
        differ = changes(data, archive) if path is None else []
        if differ:
            raise RunError(
                f"{self.data} is not the archive that {self.path} was trained on any more: {', '.join(differ)} "
                "changed; name it by --data to use it as it is"
            )
        return archive

    @property
    def checkpoints(self) -> list[Path]:
        """Checkpoints on disk, oldest first."""
        found = (self.path / "checkpoints").glob("step-*.pt")
        return sorted((p for p in found if p.stem[5:].isdigit()), key=lambda p: int(p.stem[5:]))

    def room(self) -> AbstractContextManager[None]:
        """Refuse to build networks that the latest checkpoint cannot fill, see :func:`motet.engine.tensors.room`."""
        from motet.engine.tensors import room

        most = 2 * self.checkpoints[-1].stat().st_size + 2**20 if self.checkpoints else None
        return room(most, f"{self.path}/config.json")

    @property
    def finished(self) -> bool:
        """Whether training reached its end."""
        return self.packed or (self.path / ("model.safetensors" if self.kind == "pretrain" else "result.json")).exists()

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
                found.append(_renamed(json.loads(line)))
            except (ValueError, AttributeError) as error:
                if number < len(lines):
                    raise RunError(f"{path}, line {number} is damaged; remove the line") from error
                continue
            self._check(MetricsLine, found[-1], f"{path}, line {number}")
        return found

    def result(self) -> dict[str, Any]:
        """Content of result.json.

        Raises:
            RunError: the run has not finished, or the file is damaged.
        """
        path = self.path / "result.json"
        try:
            found = _renamed(json.loads(path.read_text()))
            if isinstance(found.get("target"), dict):
                found["target"] = _renamed(found["target"])
        except OSError as error:
            self.need_history()
            raise RunError(
                f"{self.path} has no result yet; continue it with `motet resume {pasted(self.path)}`"
            ) from error
        except (ValueError, AttributeError) as error:
            raise RunError(f"{path} is damaged ({error!r}); {self.renewal}") from error
        self._check(self.handler.RESULT, found, path)
        return found

    def model(self, device: str | torch.device = "cpu") -> Any:
        """The trained model: the final weights, or those of the latest checkpoint of an unfinished run.

        Raises:
            RunError: there are no weights, or the files of the run do not fit together.
        """
        with self.fitting("loaded"):
            try:
                return self.handler.load(self, device)
            except ConfigError as error:
                raise RunError(f"{self.path} is damaged ({error}); {self.renewal}") from error

    @contextmanager
    def fitting(self, done: str) -> Iterator[None]:
        """Say in one line that what the files of the run say does not fit together.

        Args:
            done: what cannot be done with the run.
        """
        try:
            yield
        except MotetError:
            raise
        except MISFITS as error:
            raise RunError(
                f"{self.path} cannot be {done} ({type(error).__name__}: {in_line(error)}); if its files are damaged, "
                f"{self.renewal}"
            ) from error


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Say in one line that a file of weights cannot be read, and what to do.

    Raises:
        RunError: the file is missing or damaged, or does not fit what stands next to it.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, *MISFITS) as error:
        run = next((Run(p) for p in Path(path).absolute().parents if (p / "config.json").exists()), None)
        remedy = "name another file" if run is None else run.renewal
        raise RunError(f"{path}: the weights cannot be read ({in_line(error)}); {remedy}") from error


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json with a digest of itself."""
    plain = json.loads(json.dumps({k: v for k, v in config.items() if k != "digest"}))
    write_json(folder / "config.json", {**plain, "digest": _digest(plain)})


def _digest(config: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in config.items() if name != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def collect(path: str | Path, *kinds: str) -> list[Run]:
    """The run in a directory, or the runs in its subdirectories, in the order of their names."""
    path = Path(path)
    if path.is_dir() and not (path / "config.json").exists():
        below = [p.parent for p in path.glob("*/config.json")]
        if below:
            return [Run.open(p, *kinds) for p in sorted(below, key=lambda p: (len(p.name), p.name))]
    return [Run.open(path, *kinds)]


def repeated(
    out: str | Path,
    seeds: Sequence[int],
    start: Callable[[int, Path], Any],
    same: Callable[[Run, int], None],
    proceed: Callable[[Run], Any],
) -> list[Run]:
    """One run for every seed in ``out/seed-<n>``: finished ones are kept, interrupted ones continued.

    Args:
        out: the directory of all.
        seeds: different numbers, not negative.
        start: begins the run of a seed in a directory.
        same: raises RunError where a run that is there is of another training than that of a seed.
        proceed: continues a run.

    Raises:
        ConfigError: seeds that repeat or are negative.
        RunError: the directory itself is a run.
    """
    from motet.core.distributed import agreed

    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ConfigError(f"seeds are {tuple(seeds)}; they must be different and not negative")
    if (Path(out) / "config.json").exists():
        raise RunError(f"{out} is one run; choose another --out for several seeds")
    runs = []
    for seed in seeds:
        folder = Path(out) / f"seed-{seed}"
        if agreed((folder / "config.json").exists()):
            run = Run.open(folder)
            same(run, seed)
            if not run.finished:
                proceed(run)
        else:
            start(seed, folder)
        runs.append(Run.open(folder))
    return runs
