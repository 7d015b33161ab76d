"""Northwestern-UCLA Multiview Action 3D (Wang et al., CVPR 2014) as JSON, one file a clip.

``{"file_name": …, "skeletons": [T][20][3]}`` in metres; the file name is ``aAA_sSS_eEE_vVV`` (action, subject,
episode, view).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motet.core.errors import DataError
from motet.data import layouts
from motet.data.formats._files import bare, find_files, read_text
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of

JOINTS = 20
# the action numbers of the data set are not consecutive
CLASSES = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}
_LABELS = {action: label for label, action in enumerate(CLASSES)}
_NAME = re.compile(r"(?i)a(\d{2})_s(\d{2})_e(\d{2})_v(\d{2})")


@dataclass(frozen=True)
class Options:
    """The ``nw-ucla`` format has no options."""


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, r"a\d+_s\d+_e\d+_v\d+\.json", what="NW-UCLA files (aAA_sSS_eEE_vVV.json)")
    return Plan(
        units=units_of(files, source),
        skeleton=layouts.get("kinect-v1"),
        fps=30.0,
        class_names=tuple(CLASSES.values()),
        licence="none stated by the authors",
        facts={"split": "nw-ucla"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    path = unit.path
    found = _NAME.fullmatch(bare(path).stem)
    if found is None or int(found[1]) not in CLASSES:
        actions = ", ".join(str(a) for a in CLASSES)
        raise DataError(f"{path}: the name is not aAA_sSS_eEE_vVV with an action of {actions}")
    action, subject, episode, view = (int(g) for g in found.groups())
    text = read_text(path)
    try:
        content = json.loads(text)
        frames = np.array(content["skeletons"], dtype=np.float64)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path}: no JSON object with numbers under 'skeletons' ({error!s:.80})") from error
    if frames.ndim != 3 or not len(frames) or frames.shape[1:] != (JOINTS, 3):
        raise DataError(f"{path}: skeletons of shape {frames.shape} instead of (frames, {JOINTS}, 3)")
    if not np.isfinite(frames).all():
        frame = int(np.argmin(np.isfinite(frames).all(axis=(1, 2))))
        raise DataError(f"{path}, frame {frame}: a coordinate is NaN or infinite")
    columns = {"label": _LABELS[action], "subject": subject, "camera": view, "repetition": episode}
    return [RawClip(bare(path).stem, frames, columns=columns)]


FORMAT = Format(description="Northwestern-UCLA JSON files", options=Options, discover=discover, read=read)
