"""One tiny finished run of every kind, and the data that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from motet import cli
from tests.conftest import write_clips
from tests.methods.distillation.raw.made import FLAGS, QUICK, films
from tests.methods.graphs.made import write_tu
from tests.record.inputs import feature_table

TINY = "--epochs 2 --batch-size 8 --device cpu --quiet"
GRU = "--encoder gru --hidden 4 --layers 1"
SMALL = "--features 4 --fuse-hidden 4 --epochs 2 --batch-size 8 --device cpu --quiet --no-diagnose --method kd"


@dataclass(frozen=True)
class Kind:
    """A run of one kind.

    Attributes:
        kind: as config.json says.
        words: the command without ``--out``.
        data: what the run was trained on, and what its model takes.
        quick: whether a run takes a fraction of a second.
    """

    kind: str
    words: tuple[str, ...]
    data: Path
    quick: bool = True

    def run(self, out: Path, *more: str) -> int:
        """Train one, and give the exit status."""
        return cli.main([*self.words, "--out", str(out), *more])


def kinds(folder: Path) -> dict[str, Kind]:
    """The command of every kind by a short name, with its inputs made in a folder."""
    source, target = (write_clips(folder / n, clips=24, classes=3, seed=s).path for s, n in enumerate(("a", "b")))
    table = feature_table(folder / "table.npz", rows=24)
    graphs, recordings = write_tu(folder / "MADE"), films(folder / "films", train=2, test=2)
    pretrain = f"pretrain moco/small-gru --data {source} --streams joint --split odd-even --queue-size 16 --frames 8"
    discover = f"discover --source {source} --target {target} --clusters 3 --frames 8 --dim 4 --kmeans-restarts 1"
    found = {
        "pretrain": (f"{pretrain} --dim 8 --preprocess center {GRU} {TINY}", source),
        "discover": (f"{discover} --finetune-epochs 1 {GRU} {TINY} --target-split odd-even", target),
        "distill": (f"distill {table} --target eye --auxiliary ear {SMALL}", table),
        "motion": (f"distill {source} {folder / 'b'} --target a --auxiliary b", source),
        "raw": (f"distill raw {recordings} --target video --method alone --epochs 1", recordings),
        "graphs": (f"graphs {graphs} --seeds 0 1 --folds 3 --epochs 2 --batch-size 8 --hidden 4 --quiet", graphs),
    }
    found["motion"] = (
        f"distill a={source} b={target} --target a --auxiliary b --split odd-even --frames 8 {SMALL}",
        source,
    )
    quick = [*QUICK[:4], *QUICK[6:8], *QUICK[10:]]
    made = {}
    for name, (line, data) in found.items():
        words = (*line.split(), *((*FLAGS, *quick) if name == "raw" else ()))
        kind = {"motion": "distill", "raw": "distill-raw"}.get(name, name)
        made[name] = Kind(kind, words, data, quick=name != "raw")
    return made
