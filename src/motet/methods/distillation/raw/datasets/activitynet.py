"""ActivityNet 1.3 (Heilbron et al., CVPR 2015): 200 classes, whole videos; its validation videos are the test side.

The folder holds the annotations, ``activity_net.v1-3.min.json``, and the videos ``v_<id>.mp4`` (or .mkv, .webm), at any
depth. How AMID cut its videos is not published: here a sample is a whole video, and its class the one that is annotated
for the longest time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from motet.core.errors import DataError
from motet.core.text import counted
from motet.methods.distillation.raw.datasets.base import Found, instead, some
from motet.methods.distillation.raw.datasets.folders import VIDEO
from motet.methods.distillation.raw.manifest import Item, Manifest

ANNOTATIONS = "activity_net.v1-3.min.json"
SIZES = {"training": 10_024, "validation": 4_926}
CLASSES = 200
_SIDES = {"training": "train", "validation": "test"}


def find(source: Path) -> Found:
    """Index of ActivityNet; sound is that of the video files.

    Raises:
        DataError: the annotations are not there, or are not those of ActivityNet.
    """
    path = source / ANNOTATIONS
    if not path.is_file():
        raise DataError(f"{source} has no {ANNOTATIONS}; the site of ActivityNet offers it")
    try:
        database: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["database"]
        labelled = {n: (e["subset"], _label(e["annotations"])) for n, e in database.items() if e["subset"] in _SIDES}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the annotations of ActivityNet 1.3 ({error!r})") from error
    files = {p.stem.removeprefix("v_"): p for p in sorted(source.rglob("*")) if p.suffix.lower() in VIDEO}
    missing: list[str] = []
    for subset, wanted in SIZES.items():
        missing += instead(
            f"{subset} videos in the annotations", sum(s == subset for s, _ in labelled.values()), wanted
        )
    missing += instead("classes", len({label for _, label in labelled.values()}), CLASSES)
    absent = sorted(name for name in labelled if name not in files)
    if absent:
        missing.append(f"{counted(len(absent), 'video')} not there ({some([f'v_{n}' for n in absent])})")
    ids = sorted(name for name in labelled if name in files)
    items: list[Item | None] = [Item(str(files[name].resolve())) for name in ids]
    manifest = Manifest(
        str(source),
        ids,
        [labelled[name][1] for name in ids],
        {"video": items, "audio": list(items)},
        [_SIDES[labelled[name][0]] for name in ids],
    )
    return Found(
        manifest, tuple(missing), (f"{counted(len(ids), 'video')} of {counted(len(manifest.class_names), 'class')}",)
    )


def _label(annotations: list[dict[str, Any]]) -> str:
    """Class with the longest annotated time; of equal ones the first by name."""
    seconds: dict[str, float] = defaultdict(float)
    for one in annotations:
        begin, end = one["segment"]
        seconds[str(one["label"])] += float(end) - float(begin)
    if not seconds:
        raise KeyError("a video of training or validation without an annotation")
    return min(seconds, key=lambda name: (-seconds[name], name))
