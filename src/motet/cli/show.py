"""Verbs that show what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from motet.cli.parse import parse


@dataclass
class Embed:
    """Features of every clip of an archive, as one .npz: features, names, labels and the place of each stream."""

    run: tyro.conf.Positional[Path]
    archive: tyro.conf.Positional[Path]
    out: Path
    device: str = "cpu"


def embed(args: Sequence[str]) -> int:
    """motet embed RUN ARCHIVE --out FILE.npz"""
    given = parse(Embed, args, "motet embed")
    from motet.embedding import embed as make

    shape = make(given.run, given.archive, given.out, device=given.device)
    print(f"{given.out}: {shape[0]} clips × {shape[1]} features")
    return 0


@dataclass
class Report:
    """Write one self-contained HTML page about a run."""

    run: tyro.conf.Positional[Path]
    out: Path
    data: Path | None = None
    """archive to show, if the one that trained the run has moved"""
    split: str | None = None
    seed: int = 0


def report(args: Sequence[str]) -> int:
    """motet report RUN --out report.html"""
    given = parse(Report, args, "motet report")
    from motet import report as page

    print(page.write(given.run, given.out, data=given.data, split=given.split, seed=given.seed))
    return 0


@dataclass
class Demo:
    """Pretrain, evaluate and report on simulated skeletons and on a real smart-watch set from PyPI."""

    out: Path = Path("demo")
    """folder for archives, runs and reports; what is there already is not done again"""
    quiet: bool = False


def demo(args: Sequence[str]) -> int:
    """motet demo"""
    given = parse(Demo, args, "motet demo")
    from motet.demo import demo as show

    show(given.out, progress=not given.quiet)
    return 0
