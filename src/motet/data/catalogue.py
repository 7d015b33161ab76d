"""Named data sets: where they come from, on which terms, how they are split, and what to look out for.

Nothing is downloaded from here; most of these sets ask for a registration. Figures are the recordings as released;
``None`` is "not known for sure".
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError


@dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes:
        key: short name, unique.
        title: full name.
        modality: what was recorded.
        clips, classes, subjects: how many, None if not known for sure.
        origin: where to get it.
        licence: terms, as far as known.
        format: format of ``motet data import`` that reads it, None if none does yet.
        splits: rules of :mod:`motet.data.splits` that its users report, the usual one first.
        notes: traps.
    """

    key: str
    title: str
    modality: str
    clips: int | None
    classes: int | None
    subjects: int | None
    origin: str
    licence: str
    format: str | None = None
    splits: tuple[str, ...] = ()
    notes: str = ""


_RESEARCH = "academic research only, on request from the authors"
_NONE = "none stated by the authors"

_ENTRIES = (
    Entry(
        key="ntu60",
        title="NTU RGB+D (60 actions)",
        modality="Kinect v2 skeleton, 25 joints, 1-2 persons, 30 fps",
        clips=56880,
        classes=60,
        subjects=40,
        origin="rose1.ntu.edu.sg/dataset/actionRecognition",
        licence=_RESEARCH,
        format="ntu",
        splits=("ntu60-xsub", "ntu60-xview"),
        notes="302 samples have missing skeletons; give the authors' list with --exclude (56,578 remain). Body order "
        "changes between frames of a file; bodies are distinguished by their id.",
    ),
    Entry(
        key="ntu120",
        title="NTU RGB+D 120",
        modality="Kinect v2 skeleton, 25 joints, 1-2 persons, 30 fps",
        clips=114480,
        classes=120,
        subjects=106,
        origin="rose1.ntu.edu.sg/dataset/actionRecognition",
        licence=_RESEARCH,
        format="ntu",
        splits=("ntu120-xsub", "ntu120-xset", "ntu60-xsub", "ntu60-xview"),
        notes="Contains NTU RGB+D 60 (setups up to 17). 535 samples have missing skeletons; give the authors' list "
        "with --exclude (113,945 remain).",
    ),
    Entry(
        key="pku-mmd-1",
        title="PKU-MMD part I",
        modality="Kinect v2 skeleton, 25 joints, 2 persons, 30 fps, 1,076 long videos",
        clips=21545,
        classes=51,
        subjects=66,
        origin="www.icst.pku.edu.cn/struct/Projects/PKUMMD.html",
        licence=_RESEARCH,
        format="pku-mmd",
        splits=("pku-xsub", "pku-xview"),
        notes="Labels count classes from 1 and frames from 0, the end is not part of the clip.",
    ),
    Entry(
        key="pku-mmd-2",
        title="PKU-MMD part II",
        modality="Kinect v2 skeleton, 25 joints, 2 persons, 30 fps, 1,009 long videos",
        clips=None,
        classes=41,
        subjects=13,
        origin="www.icst.pku.edu.cn/struct/Projects/PKUMMD.html",
        licence=_RESEARCH,
        format="pku-mmd",
        splits=("pku-xsub", "pku-xview"),
        notes="Class numbers are those of part I (1..51); the ten two-person classes do not occur.",
    ),
    Entry(
        key="nw-ucla",
        title="Northwestern-UCLA Multiview Action 3D",
        modality="Kinect v1 skeleton, 20 joints, three views",
        clips=None,
        classes=10,
        subjects=10,
        origin="JSON files as used by skeleton recognition code (aAA_sSS_eEE_vVV.json)",
        licence=_NONE,
        format="nw-ucla",
        splits=("nw-ucla",),
        notes="Action numbers are 1-6, 8, 9, 11, 12 without 7 and 10.",
    ),
    Entry(
        key="ui-prmd",
        title="UI-PRMD rehabilitation movements",
        modality="Kinect v2 (22 joints, 30 fps) and Vicon (39 markers, 100 fps)",
        clips=2000,
        classes=10,
        subjects=10,
        origin="University of Idaho, Physical Rehabilitation Movements Data Set",
        licence="PDDL 1.0 (public domain)",
        format="ui-prmd",
        splits=("odd-even",),
        notes="Each repetition is correct or incorrect (column quality). Kinect files are parent-relative and need "
        "their angles. Kinect and Vicon files of one name are paired, not synchronous.",
    ),
    Entry(
        key="kard",
        title="KARD Kinect Activity Recognition Dataset",
        modality="NITE skeleton, 15 joints, 30 fps",
        clips=540,
        classes=18,
        subjects=10,
        origin="Gaglio, Lo Re and Morana, IEEE Transactions on Human-Machine Systems 2015",
        licence="CC BY 4.0, to be confirmed with the authors",
        format="kard",
        splits=("odd-even",),
        notes="NITE's x axis points to the sensor's right, the Kinect SDK's to its left: mirror before mixing sets "
        "(conversion between layouts does it).",
    ),
    Entry(
        key="utd-mhad",
        title="UTD-MHAD",
        modality="Kinect v1 skeleton, 20 joints, 30 fps; wrist or thigh IMU, 50 Hz; depth",
        clips=861,
        classes=27,
        subjects=8,
        origin="personal.utdallas.edu/~kehtar/UTD-MHAD.html",
        licence="public domain according to its paper",
        format="utd-mhad",
        splits=("odd-even",),
    ),
    Entry(
        key="utkinect",
        title="UTKinect-Action3D",
        modality="Kinect v1 skeleton, 20 joints, 15 fps",
        clips=200,
        classes=10,
        subjects=10,
        origin="cvrc.ece.utexas.edu/KinectDatasets/HOJ3D.html",
        licence=_NONE,
        format="utkinect",
        splits=("odd-even",),
    ),
    Entry(
        key="florence3d",
        title="Florence 3D Actions",
        modality="Kinect skeleton, 15 joints",
        clips=215,
        classes=9,
        subjects=10,
        origin="MICC, University of Florence",
        licence=_NONE,
        format="npz",
        splits=("odd-even",),
        notes="The file says 30 frames a second, the motion suggests about 8.",
    ),
    Entry(
        key="shrec17",
        title="SHREC'17 hand gestures",
        modality="depth camera hand skeleton, 22 joints, 30 fps",
        clips=2800,
        classes=14,
        subjects=28,
        origin="www-rech.telecom-lille.fr/shrec2017-hand",
        licence=_NONE,
        format="shrec17",
        splits=("odd-even",),
        notes="1,960 clips are the published training half. The published halves do not share people, so they are "
        "a test on new ones.",
    ),
    Entry(
        key="kinetics-skeleton",
        title="Kinetics-skeleton",
        modality="OpenPose on Kinetics-400, 18 joints in pictures, up to 2 persons, 30 fps",
        clips=None,
        classes=400,
        subjects=None,
        origin="Yan et al., Spatial Temporal Graph Convolutional Networks, AAAI 2018 (github.com/yysijie/st-gcn)",
        licence="not stated for the skeletons",
        format="kinetics",
        splits=("column:split=train,val",),
        notes="Clips without a skeleton are marked in the label files and left out. People are not distinguished.",
    ),
    Entry(
        key="bandai-1",
        title="Bandai-Namco Research Motion Dataset 1",
        modality="optical motion capture, BVH, 22 joints, 30 fps",
        clips=174,
        classes=16,
        subjects=3,
        origin="github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset",
        licence="CC BY-NC 4.0",
        format="bvh",
        splits=("random:0.3@0",),
        notes="15 styles; the files do not name people.",
    ),
    Entry(
        key="bandai-2",
        title="Bandai-Namco Research Motion Dataset 2",
        modality="optical motion capture, BVH, 22 joints, 30 fps",
        clips=2902,
        classes=10,
        subjects=3,
        origin="github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset",
        licence="CC BY-NC 4.0",
        format="bvh",
        splits=("random:0.3@0",),
        notes="7 styles; the files do not name people. A few clips were cut from one take with most of their "
        "frames in common: a split by clip can put them on both sides.",
    ),
    Entry(
        key="smartfallmm",
        title="SmartFallMM (young participants)",
        modality="Azure Kinect skeleton, 32 joints, 30 fps; watch accelerometer and gyroscope",
        clips=751,
        classes=14,
        subjects=14,
        origin="SmartFall project, Texas State University",
        licence=_NONE,
        format="smartfallmm",
        splits=("odd-even",),
        notes="Falls included. y points down, millimetres. The sensors are not sample-aligned. Two "
        "pairs of trials of one person share frames.",
    ),
    Entry(
        key="hdm05",
        title="HDM05 motion capture database",
        modality="optical motion capture, ASF/AMC, 120 fps",
        clips=None,
        classes=None,
        subjects=5,
        origin="resources.mpi-inf.mpg.de/HDM05",
        licence="CC BY-SA 3.0, to be confirmed with the authors",
        format="amc",
    ),
    Entry(
        key="cmu-mocap",
        title="CMU Graphics Lab motion capture database",
        modality="optical motion capture, BVH conversions",
        clips=None,
        classes=None,
        subjects=None,
        origin="mocap.cs.cmu.edu",
        licence="free for all uses, not to be resold as data",
        format="bvh",
        notes="BVH conversions differ in hierarchy (38 to 141 nodes) and unit; some start with a T-pose.",
    ),
    Entry(
        key="watch",
        title="Smart-watch exercises (seglearn)",
        modality="wrist accelerometer and gyroscope, 50 Hz, 140 series",
        clips=None,
        classes=7,
        subjects=None,
        origin="PyPI package seglearn 1.2.5: pip install seglearn",
        licence="BSD 3-Clause (of the package)",
        format="watch",
        splits=("odd-even", "kfold:10/1"),
        notes="Clips are windows that overlap: split by subject, never by window.",
    ),
)


def entries() -> tuple[Entry, ...]:
    """All data sets, those with a public benchmark first."""
    return _ENTRIES


def get(key: str) -> Entry:
    """The data set of that key.

    Raises:
        ConfigError: there is none.
    """
    for entry in _ENTRIES:
        if entry.key == key:
            return entry
    raise ConfigError(f"there is no data set {key!r}; there are {', '.join(e.key for e in _ENTRIES)}")


def title(name: str, source: Mapping[str, Any]) -> str:
    """What the recordings of an archive are called: the data set's title where the format or the file that was read
    says which one it is, else the archive's name, or where that says nothing (``archive``) that of what was read.

    Args:
        name: name of the archive's folder.
        source: what the archive says it was read from (:attr:`motet.data.MotionArchive.source`).
    """
    if source.get("simulated"):
        return "simulated actors"
    read = Path(str(source.get("path", ""))).stem
    keys = {str(source.get("format")), read.replace("_", "-").lower()}
    known = [entry.title for entry in _ENTRIES if entry.key in keys]
    return known[0] if known else read if name in _NAMELESS and read else name


_NAMELESS = ("archive", "data")


def render() -> str:
    """The catalogue as plain text: a line of figures for each data set, below it what it is, its terms and traps."""
    lines = [f"{'data set':12} {'clips':>7} {'classes':>7} {'people':>6}  {'format':8} split rules"]
    for entry in _ENTRIES:
        clips, classes, people = ("?" if n is None else f"{n:,}" for n in (entry.clips, entry.classes, entry.subjects))
        rules = ", ".join(entry.splits) or "–"
        lines.append(f"{entry.key:12} {clips:>7} {classes:>7} {people:>6}  {entry.format or '–':8} {rules}")
        said = [f"{entry.title}: {entry.modality}", f"{entry.origin}; licence: {entry.licence}", entry.notes]
        for text in filter(None, said):
            lines += textwrap.wrap(text, 100, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)
