"""UCF51: the 51 classes of UCF101 whose videos have sound, with its official splits (Chen et al., CVPR 2021 and 2023).

The folder holds the class folders, directly or below ``UCF-101``, and the official lists ``trainlist01.txt`` and
``testlist01.txt``, directly or below ``ucfTrainTestlist``.
"""

from __future__ import annotations

import re
from pathlib import Path

from motet.core.errors import DataError
from motet.core.text import counted
from motet.methods.distillation.raw.datasets.base import Found, instead, some
from motet.methods.distillation.raw.manifest import Item, Manifest

# fmt: off
CLASSES = (
    "ApplyEyeMakeup", "ApplyLipstick", "Archery", "BabyCrawling", "BalanceBeam", "BandMarching", "BasketballDunk",
    "BlowDryHair", "BlowingCandles", "BodyWeightSquats", "Bowling", "BoxingPunchingBag", "BoxingSpeedBag",
    "BrushingTeeth", "CliffDiving", "CricketBowling", "CricketShot", "CuttingInKitchen", "FieldHockeyPenalty",
    "FloorGymnastics", "FrisbeeCatch", "FrontCrawl", "Haircut", "HammerThrow", "Hammering", "HandstandPushups",
    "HandstandWalking", "HeadMassage", "IceDancing", "Knitting", "LongJump", "MoppingFloor", "ParallelBars",
    "PlayingCello", "PlayingDaf", "PlayingDhol", "PlayingFlute", "PlayingSitar", "Rafting", "ShavingBeard", "Shotput",
    "SkyDiving", "SoccerPenalty", "StillRings", "SumoWrestling", "Surfing", "TableTennisShot", "Typing", "UnevenBars",
    "WallPushups", "WritingOnBoard",
)
# fmt: on
SPLITS = {1: (4901, 1944), 2: (4930, 1915), 3: (4945, 1900)}  # training and test clips
_CLIP = re.compile(r"v_\w+?_g(\d\d)_c\d\d")


def find(source: Path, number: int = 1) -> Found:
    """Index of UCF51; sound is that of the video files.

    Args:
        source: folder.
        number: of the official split.

    Raises:
        DataError: the lists are not there, or name something else.
    """
    lists = next(
        (p for p in (source, source / "ucfTrainTestlist") if (p / f"trainlist{number:02d}.txt").is_file()), None
    )
    if lists is None:
        raise DataError(
            f"{source} has no trainlist{number:02d}.txt, nor has ucfTrainTestlist in it; UCF101 brings them"
        )
    clips = next((p for p in (source / "UCF-101", source) if (p / CLASSES[0]).is_dir()), source).resolve()
    ids: list[str] = []
    labels: list[str] = []
    sides: list[str] = []
    groups: list[str] = []
    items: list[Item | None] = []
    absent: list[str] = []
    sizes = []
    for side, name in (("train", "trainlist"), ("test", "testlist")):
        path = lists / f"{name}{number:02d}.txt"
        listed = _listed(path)
        sizes.append(len(listed))
        for label, clip in listed:
            match = _CLIP.match(clip)
            if match is None:
                raise DataError(f"{path}: {label}/{clip} is not named as a clip of UCF101 (v_Class_g01_c01.avi)")
            file = clips / label / clip
            if not file.is_file():
                absent.append(f"{label}/{clip}")
                continue
            ids.append(Path(clip).stem)
            labels.append(label)
            sides.append(side)
            groups.append(f"{label} g{match[1]}")
            items.append(Item(str(file)))
    missing = instead("training clips in the list", sizes[0], SPLITS[number][0])
    missing += instead("test clips in the list", sizes[1], SPLITS[number][1])
    if absent:
        missing.append(f"{counted(len(absent), 'clip')} not there ({some(absent)})")
    manifest = Manifest(str(source), ids, labels, {"video": items, "audio": list(items)}, sides, None, groups)
    notes = (f"{counted(len(ids), 'clip')} of {counted(len(manifest.class_names), 'class')}, split {number}",)
    return Found(manifest, tuple(missing), notes)


def _listed(path: Path) -> list[tuple[str, str]]:
    """(class, file) of the lines that name one of the 51 classes."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        label, slash, clip = words[0].partition("/")
        if not slash:
            raise DataError(f"{path}, line {number}: {line!r} is not CLASS/CLIP")
        if label in CLASSES:
            found.append((label, clip))
    return found
