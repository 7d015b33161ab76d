"""Choose the small recipe's settings on held-out *training* subjects; the test subjects are never looked at.

    python experiments/small_settings.py ARCHIVE… --steps 300 --out docs/results/small_settings.json

For every archive a third of the training subjects is set aside; each candidate setting is trained on the others and
judged by 1-NN on those set aside.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore
from motet.data.splits import default_rule, split, validation
from motet.evaluate import knn_accuracy
from motet.methods.learner import create_run
from motet.methods.pretrain import resolve, trainer_of

BASE: dict[str, Any] = {"hidden": 64, "crop_frames": 8, "mask": 0.0, "lr": 3e-3, "precision": "bf16", "scale": 0.0}
CANDIDATES: dict[str, dict[str, Any]] = {
    "base": {},
    "scale .2": {"scale": 0.2},
    "shear .6": {"shear": 0.6},
    "rotate 30": {"rotate": 30.0},
    "published augmentation": {"crop_minimum": 0.1, "corruption": 0.5, "shear": 1.0, "noise": 0.0},
    "queue 64": {"queue_size": 64},
    "temperature .2": {"temperature": 0.2},
    "crop .25": {"crop_minimum": 0.25},
    "hidden 128": {"hidden": 128},
    "key momentum .95": {"key_momentum": 0.95},
    "weight decay 0": {"weight_decay": 0.0},
    "mask .3": {"mask": 0.3},
    "preprocess center": {"preprocess": "center"},
    "preprocess yaw": {"preprocess": "yaw"},
    "noise .1": {"noise": 0.1},
    "linear head": {"mlp_head": False},
    "sgd .05": {"optimiser": "sgd", "lr": 0.05},
    "key momentum .999": {"key_momentum": 0.999},
}


def judge(archive: MotionArchive, options: dict[str, Any], steps: int, seed: int, method: str) -> dict[str, Any]:
    """Train on part of the training subjects, 1-NN on the others."""
    rule = default_rule(archive)
    parts = validation(split(archive, rule), archive, 1 / 3, 0)
    recipe, _ = resolve(f"{method}/small", archive, {**options, "seed": seed, "split": rule})
    epochs = math.ceil(steps / (len(parts.train) // recipe.batch_size))
    recipe = recipe.with_options({"epochs": epochs, "milestones": (round(0.75 * epochs),), "monitor_every": 10**6})
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(recipe, archive, parts, progress=False)
        trainer.learner.monitored = (torch.as_tensor(parts.train[:8]), torch.as_tensor(parts.test[:0]))
        began = time.perf_counter()
        run = create_run(Path(folder) / "run", recipe, archive, {"split": rule})
        trainer.fit(run)
        seconds = time.perf_counter() - began
        model = run.model()
    scores: dict[str, Any] = {"seconds": seconds}
    stores = [ClipStore(archive, ids, preprocess=recipe.preprocess) for ids in (parts.train, parts.test)]
    encoded = [model.encode(store, store.ids) for store in stores]
    for stream in model.streams:
        scores[stream] = knn_accuracy(encoded[0][stream], stores[0].labels, encoded[1][stream], stores[1].labels)
    both = [torch.cat([normalize(f, dim=1) for f in side.values()], dim=1) for side in encoded]
    scores["three"] = knn_accuracy(both[0], stores[0].labels, both[1], stores[1].labels)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--method", default="cmd")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found: list[dict[str, Any]] = json.loads(args.out.read_text()) if args.out.exists() else []
    for name, options in CANDIDATES.items():
        for path in args.archives:
            for seed in args.seeds:
                key = {"setting": name, "archive": path.name, "seed": seed, "steps": args.steps, "method": args.method}
                done = any(all(f[k] == v for k, v in key.items()) for f in found)
                if done or (args.only and name not in args.only):
                    continue
                try:
                    scores = judge(MotionArchive.open(path), {**BASE, **options}, args.steps, seed, args.method)
                except ConfigError as error:  # a setting that this layout cannot have
                    print(f"{name:24} {path.name:20} {error}")
                    continue
                found.append({**key, "options": options, **scores})
                args.out.write_text(json.dumps(found, indent=1) + "\n")
                shown = {k: round(100 * v, 1) for k, v in scores.items() if k != "seconds"}
                print(f"{name:24} {path.name:20} {shown} {scores['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
