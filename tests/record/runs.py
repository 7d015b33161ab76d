"""What is run for the record: command lines, one group for each verb and method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.methods.distillation.raw.made import FLAGS, QUICK
from tests.record import inputs

Words = tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A group of command lines that leaves a folder to be recorded.

    Attributes:
        name: ``verb/variant``.
        commands: lines of the command line; ``{in}`` is the folder of inputs, ``{out}`` the one that is recorded,
            ``{runs}`` the parent of all recorded folders.
        after: name of a run whose folder is copied first; what it holds is not recorded again.
        fast: whether it belongs to the subset that the tests run.
        stopped: the first command runs as a process of its own and is sent SIGTERM once it has written a metric.
    """

    name: str
    commands: tuple[Words, ...]
    after: str = ""
    fast: bool = False
    stopped: bool = False


def _line(text: str, *more: str) -> Words:
    return (*text.split(), *more)


def _inputs() -> dict[str, Callable[[Path], object]]:
    """Inputs by name, each made by a function of its path."""
    return {
        "table.npz": inputs.feature_table,
        "sequence.npz": lambda path: inputs.feature_table(path, frames=4, seed=1),
        "gaps.npz": inputs.gapped_table,
        "source-csv": lambda path: inputs.clips(path, 32, 4, 2, seed=1),
        "target-csv": lambda path: inputs.clips(path, 36, 3, 4, seed=2),
        "compact.npz": inputs.compact,
        "bvh": inputs.bvh,
        "openpose": inputs.openpose,
        "graphs": inputs.graphs,
        "films": inputs.films,
    }


INPUTS = _inputs()
IMPORTED: tuple[Words, ...] = (
    _line("data simulate {in}/sim --clips 48 --actions 4 --actors 4 --imu --seed 3 --quiet"),
    _line("data simulate {in}/other --clips 24 --actions 3 --actors 4 --sensor optical --seed 9 --quiet"),
    _line("data import csv {in}/source-csv {in}/source --skeleton {in}/stick.toml --fps 30 --workers 1 --quiet"),
    _line("data import csv {in}/target-csv {in}/target --skeleton {in}/stick.toml --fps 30 --workers 1 --quiet"),
    _line("data import npz {in}/compact.npz {in}/worn --workers 1 --quiet"),
)

TINY = "--split odd-even --batch-size 8 --queue-size 16 --frames 8 --dim 8 --preprocess center --device cpu --quiet"
GRU = "--encoder gru --hidden 4 --layers 1"
# the small recipe as it was when the record was made
BEFORE = (
    "encoder=gru head_norm=false head_width=null mask_own=false encode_frames=null schedule=milestones milestones=[75] "
    "steps=0 speed=0.0 rotate=0.0 bones=0.0 lr=0.003 optimiser=adam temperature=0.07 whiten=0.0"
)
GRAPH = "--encoder stgcn --width 8 --feature-size 16"


def _pretrain(name: str, recipe: str, words: str, *, fast: bool = False, epochs: int = 2, data: str = "sim") -> Run:
    size = "" if "aimclr" in recipe else "/small-gru"
    line = f"pretrain {recipe}{size} --data {{in}}/{data} --out {{out}}/run --epochs {epochs} {TINY} {words}"
    return Run(f"pretrain/{name}", (_line(line),), fast=fast)


EARLY = "--halp-start 1 --prototypes 3 --positives 4 --recent 16 --refresh 2"
PRETRAINING = (
    _pretrain("moco", "moco", f"{GRU} --streams joint", fast=True),
    _pretrain("moco-sgd", "moco", f"{GRU} --streams joint --optimiser sgd --milestones 1 --lr 0.05", epochs=3),
    _pretrain("moco-bidirectional", "moco", "--encoder gru --hidden 4 --layers 2 --mode bidirectional --streams joint"),
    _pretrain("moco-stgcn", "moco", f"{GRAPH} --streams joint motion"),
    _pretrain("moco-released", "moco", f"{GRU} --as-released"),
    _pretrain("moco-bf16", "moco", f"{GRU} --streams joint --precision bf16"),
    _pretrain("mcl", "mcl", GRU),
    _pretrain("crossclr", "crossclr", GRU, epochs=4),
    _pretrain("crossclr-released", "crossclr", f"{GRU} --as-released", epochs=3),
    _pretrain("cmd", "cmd", f"{GRU} --neighbours 4", fast=True),
    _pretrain("cmd-consensus", "cmd", f"{GRU} --neighbours 4 --teachers consensus"),
    _pretrain("cmd-stgcn", "cmd", f"{GRAPH} --streams joint motion --neighbours 4"),
    _pretrain("cmd-released", "cmd", f"{GRU} --as-released"),
    _pretrain("cmd-resampled-parts", "cmd", f"{GRU} --streams joint bone joint[left_arm+right_arm] --neighbours 4"),
    _pretrain("halp", "halp", f"{GRU} {EARLY}", epochs=3),
    _pretrain("halp-batch", "halp", f"{GRU} {EARLY} --prototypes-from batch", epochs=3),
    _pretrain("halp-keys", "halp", f"{GRU} {EARLY} --prototypes-from keys", epochs=3),
    _pretrain("halp-released", "halp", f"{GRU} {EARLY} --as-released", epochs=3),
    _pretrain("halp-cmd", "halp-cmd", f"{GRU} {EARLY} --neighbours 4", epochs=3),
    _pretrain("aimclr", "aimclr", f"{GRAPH} --mine-start 1", epochs=3),
    _pretrain("aimclr-gru", "aimclr", f"{GRU} --no-attention-drop"),
    _pretrain("aimclr-released", "aimclr", f"{GRAPH} --as-released", epochs=2),
    _pretrain("halp-aimclr", "halp-aimclr", f"{GRAPH} --mine-start 1 {EARLY}", epochs=3),
    _pretrain(
        "sensors", "cmd", f"{GRU} --neighbours 4 --streams joint imu:joint imu:motion --beside imu={{in}}/sim-imu"
    ),
    _pretrain("worn", "mcl", f"{GRU} --streams joint inertial:joint", data="worn", epochs=2),
    _pretrain("seeds", "moco", f"{GRU} --streams joint --seeds 0 1"),
)

BASE = "pretrain/cmd"
PROTOCOLS = {
    "knn": "",
    "linear": "--linear.epochs 4 --linear.batch-size 8 --linear.lr 0.1 0.3",
    "linear-cached": "--linear-cached.epochs 4 --linear-cached.crops 1",
    "ensemble": "--ensemble.epochs 4",
    "semi": "--semi.epochs 2 --semi.ratios 0.5 --semi.repeats 2",
    "semi-balanced": "--semi.epochs 2 --semi.ratios 0.5 --semi.repeats 2 --semi.sampling balanced --semi.tuned head",
    "finetune": "--finetune.epochs 2 --finetune.check-every 1 --finetune.streams joint motion",
    "transfer": "--transfer.epochs 2 --transfer.data {in}/other --transfer.split odd-even",
    "retrieval": "",
    "cluster": "--cluster.restarts 2 --cluster.min-cluster-size 3",
    "fewshot": "--fewshot.episodes 20 --fewshot.way 3 --fewshot.queries 3",
}


def _evaluate(protocol: str, words: str, base: str = BASE) -> Run:
    where = "" if base == BASE else f"-{base.split('/')[1]}"
    line = f"evaluate {{out}}/run --protocols {protocol.removesuffix('-balanced')} --device cpu --quiet {words}"
    return Run(f"evaluate/{protocol}{where}", (_line(line),), after=base, fast=protocol in ("knn", "retrieval"))


EVALUATION = (
    *(_evaluate(protocol, words) for protocol, words in PROTOCOLS.items()),
    _evaluate("knn", "", "pretrain/aimclr"),
    _evaluate("linear", PROTOCOLS["linear"], "pretrain/aimclr"),
    _evaluate("finetune", PROTOCOLS["finetune"].replace(" motion", ""), "pretrain/moco-stgcn"),
    _evaluate("knn", "", "pretrain/sensors"),
)

DISCOVERY = (
    "--source {in}/source --target {in}/target --out {out}/run --clusters 3 --quiet --frames 8 --dim 4 --batch-size 8 "
    "--kmeans-restarts 1 --device cpu"
)
SMALL_GRU = "--encoder gru --hidden 4 --layers 1"


def _discover(name: str, words: str, *, encoder: str = SMALL_GRU, epochs: str = "2", fast: bool = False) -> Run:
    line = f"discover {DISCOVERY} --epochs {epochs} --finetune-epochs {epochs} {encoder} {words}"
    return Run(f"discover/{name}", (_line(line),), fast=fast)


DISCOVERIES = (
    _discover("codt", "", fast=True),
    *(_discover(method, f"--method {method}") for method in ("ocm", "bm", "sela", "uno", "mmt", "autonovel")),
    _discover("codt-features", "--pairs features --rank-features 2"),
    _discover("codt-cosine", "--pairs cosine"),
    _discover("codt-sgd", "--optimiser sgd --lr 0.01 --finetune-lr 0.001 --sinkhorn-warm 5 --evaluate-every 1"),
    _discover("codt-unbalanced", "--balance 0.5"),
    _discover("codt-shares", "--shares 0.5 0.3 0.2 --rounding balanced"),
    _discover("codt-masked", "--mask 0.3 --mask-always 0.1 --no-initialise --no-target-statistics"),
    _discover("codt-stgcn", "", encoder=GRAPH),
    _discover("codt-released", "--as-released", encoder=GRAPH),
    _discover(
        "codt-paper", "--recipe paper --source-split odd-even --target-split odd-even", encoder=GRAPH, epochs="1"
    ),
    Run(
        "discover/start",
        (
            _line(
                f"pretrain cmd/small-gru --data {{in}}/target --out {{out}}/pretrained --epochs 2 {TINY} {GRU} "
                "--neighbours 4"
            ),
            _line(f"discover {DISCOVERY} --epochs 2 --finetune-epochs 2 --start {{out}}/pretrained"),
        ),
    ),
    Run(
        "clusters",
        (
            _line("clusters {out}/run --name 0=wave 2=wave --out {out}/labels.csv --into {out}/labelled"),
            _line("clusters {out}/run --archive {in}/source --out {out}/new.csv --branch B1"),
            _line("embed {out}/run {in}/target --out {out}/features.npz"),
        ),
        after="discover/codt",
    ),
)

SMALL = "--features 4 --fuse-hidden 4 --epochs 3 --batch-size 8 --device cpu --quiet"
AMID = "--critic-width 4 --warm-up 1"
SIDES = "--target eye --auxiliary ear"


def _distill(name: str, words: str, *, data: str = "table.npz", sides: str = SIDES, fast: bool = False) -> Run:
    line = f"distill {data if '{in}' in data else '{in}/' + data} {sides} --out {{out}}/run {SMALL} {words}"
    return Run(f"distill/{name}", (_line(line),), fast=fast)


MOTION = "kinect={in}/sim imu={in}/sim-imu"
BETWEEN = "--target imu --auxiliary kinect"
DISTILLATION = (
    _distill("amid", f"{AMID} --seeds 0 1", fast=True),
    _distill("nce", f"--method nce {AMID}"),
    _distill("kd", "--method kd"),
    _distill("crd", "--method crd --negatives 8 --projection 4"),
    _distill("crcd", "--method crcd --negatives 8 --projection 4"),
    _distill("gmc", "--method gmc --latent 4"),
    _distill("ccl", "--method ccl"),
    _distill("alone", "--method alone"),
    _distill("teacher", "--method teacher"),
    _distill("amid-steps", f"{AMID} --optimiser sgd --lr 0.01 --schedule steps --milestones 1 2 --enhanced all"),
    _distill("amid-groups", f"{AMID} --split leave-one-group-out"),
    _distill("amid-validate", f"{AMID} --validate --split leave-one-group-out"),
    _distill("amid-per-class", f"{AMID} --per-class 2"),
    _distill("amid-gaps", AMID, data="gaps.npz"),
    _distill("amid-sequence", AMID, data="sequence.npz"),
    _distill("amid-ucf51", f"{AMID} --settings ucf51 --milestones 1"),
    _distill("amid-iemocap", f"{AMID} --settings iemocap --sequence-hidden 4 --hidden 4", data="sequence.npz"),
    _distill("amid-motion", f"{AMID} --split odd-even", data=MOTION, sides=BETWEEN),
    _distill("alone-motion", "--method alone --split odd-even", data=MOTION, sides=BETWEEN),
    _distill("crd-motion", "--method crd --negatives 8 --projection 4 --split odd-even", data=MOTION, sides=BETWEEN),
    Run(
        "distill/diagnose", (_line(f"distill {{in}}/table.npz {SIDES} --diagnose-only --json {{out}}/d.json --quiet"),)
    ),
    Run(
        "distill/embed",
        (_line("embed {out}/run {in}/table.npz --out {out}/features.npz"),),
        after="distill/amid",
    ),
)

FILMS = "{in}/films --target video --auxiliary audio"


def _raw(name: str, words: str) -> Run:
    line = f"distill raw {FILMS} --out {{out}}/run {' '.join(FLAGS)} --epochs 2 {words}"
    quick = QUICK if not words.startswith("--method") else [*QUICK[:4], *QUICK[6:8], *QUICK[10:]]
    return Run(f"distill-raw/{name}", ((*_line(line), *quick),))


RAW = (
    _raw("amid", ""),
    _raw("alone", "--method alone"),
    _raw("kd", "--method kd"),
    _raw("crd", "--method crd --negatives 4 --projection 4"),
    Run(
        "distill-raw/extract",
        (
            _line("distill index folders {in}/films --out {out}/manifest.csv"),
            (*_line("distill extract {out}/manifest.csv --out {out}/table.npz --quiet --video.weights random"), *FLAGS),
        ),
    ),
)

GRAPHS = (
    "graphs {in}/graphs --out {out}/run --seeds 0 1 --folds 3 --epochs 2 --batch-size 8 --hidden 4 --layers 2 --quiet"
)
# the default of the loss has changed since the record was made
GRAPH_RUNS = (
    Run("graphs/graphcl", (_line(f"{GRAPHS} --loss both-ways"),), fast=True),
    Run("graphs/graphcl-released", (_line(f"{GRAPHS} --as-released"),)),
    Run(
        "graphs/graphcl-all",
        (_line(f"{GRAPHS} --loss both-ways --augmentations node-drop edge-perturb attribute-mask subgraph"),),
    ),
    Run("graphs/halp-graphcl", (_line(f"{GRAPHS} --loss both-ways --method halp-graphcl"),)),
    Run("graphs/halp-graphcl-released", (_line(f"{GRAPHS} --method halp-graphcl --as-released"),)),
)

USE = (
    Run("use/embed", (_line("embed {out}/run {in}/sim --out {out}/features.npz"),), after=BASE, fast=True),
    Run(
        "use/embed-sensors", (_line("embed {out}/run {in}/sim --out {out}/features.npz"),), after="pretrain/moco-stgcn"
    ),
    Run("use/export", (_line("export {out}/run --out {out}/model.onnx --json {out}/e.json --quiet"),), after=BASE),
    Run("use/pack", (_line("weights pack {out}/run --out {out}/folder"),), after=BASE),
    Run("use/report", (_line("report {out}/run --out {out}/report.html"),), after=BASE),
    Run("use/report-discovery", (_line("report {out}/run --out {out}/report.html"),), after="discover/codt"),
    Run("use/report-distillation", (_line("report {out}/run --out {out}/report.html"),), after="distill/amid"),
)

DATA = (
    Run("data/simulate", (_line("data simulate {out}/sim --clips 6 --actions 3 --actors 2 --imu --seed 5 --quiet"),)),
    Run("data/csv", (_line("data import csv {in}/target-csv {out}/a --skeleton {in}/stick.toml --fps 30 --quiet"),)),
    Run("data/npz", (_line("data import npz {in}/compact.npz {out}/a --quiet"),), fast=True),
    Run("data/bvh", (_line("data import bvh {in}/bvh {out}/a --pattern (?P<label>[a-z]+)_\\d --quiet"),)),
    Run("data/openpose", (_line("data import openpose {in}/openpose {out}/a --fps 30 --quiet"),)),
    Run("data/inspect", (_line("data inspect {in}/target --doctor --json {out}/i.json"),), fast=True),
    Run("data/inspect-simulated", (_line("data inspect {in}/sim --doctor --json {out}/i.json"),)),
    Run("data/list", (_line("data list --json {out}/l.json"),)),
)

SIMULATED = "--out {out}/all --seeds 1 --dry-run --quiet --json {out}/r.json"
REPRODUCED = (
    Run("reproduce/cmd-stages", (_line(f"reproduce cmd/mcl --data {{in}}/sim {SIMULATED} --options split=odd-even"),)),
    Run(
        "reproduce/trained",
        (
            _line(
                "reproduce cmd/mcl --data {in}/sim --out {out}/all --seeds 1 --quiet --json {out}/r.json --options "
                "split=odd-even epochs=1 batch_size=8 queue_size=16 hidden=4 layers=1 frames=8 dim=8 preprocess=center "
                f"{BEFORE}"
            ),
        ),
    ),
)


def _interrupted(verb: str, line: str) -> Run:
    return Run(f"interrupted/{verb}", (_line(line), _line(f"{verb} --resume {{out}}/run --quiet")), stopped=True)


INTERRUPTED = (
    _interrupted(
        "pretrain",
        f"pretrain cmd/small-gru --data {{in}}/sim --out {{out}}/run --epochs 40 {TINY} {GRU} --neighbours 4 "
        "--monitor-every 2",
    ),
    _interrupted("discover", f"discover {DISCOVERY} --epochs 30 --finetune-epochs 30 {SMALL_GRU}"),
    _interrupted(
        "distill",
        f"distill {{in}}/table.npz {SIDES} --out {{out}}/run {SMALL} {AMID} --epochs 30 --checkpoint-every 1",
    ),
)

RUNS = (
    *DATA,
    *PRETRAINING,
    *EVALUATION,
    *DISCOVERIES,
    *DISTILLATION,
    *RAW,
    *GRAPH_RUNS,
    *USE,
    *REPRODUCED,
    *INTERRUPTED,
)
