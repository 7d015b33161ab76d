"""The clusters verb."""

# no postponed annotations here: tyro reads them when the verb runs

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from motet.cli.parse import parse, write_result
from motet.errors import ConfigError


@dataclass
class Clusters:
    """Name, merge and export what `motet discover` has found, or label new recordings with it."""

    run: tyro.conf.Positional[Path]
    """directory of a finished discovery"""
    branch: str = "B0"
    """B0: the branch that the source has taught; B1: the target's own"""
    name: tuple[str, ...] = ()
    """names such as 0=wave 3=wave; the run remembers them, clusters of one name are one class, 0= forgets a name"""
    out: Path | None = None
    """write labels here, .parquet or .csv: name, label, class, cluster, similarity of each clip"""
    archive: Path | None = None
    """label these recordings, of the target's layout, instead of the clips among which the clusters were found"""
    odd: bool = True
    """label clips that fit nowhere too"""
    json: Path | None = None
    """write branch, names and numbers of clips as one JSON object"""


def clusters(args: Sequence[str]) -> int:
    """motet clusters RUN --name 0=wave 3=wave --out labels.parquet"""
    given = parse(Clusters, args, "motet clusters")
    from motet.discover.labels import export_labels, name_clusters
    from motet.discover.run import read_result

    if given.archive is not None and given.out is None:
        raise ConfigError("--archive labels new recordings; say by --out where the labels go")
    names = name_clusters(given.run, dict(map(_pair, given.name)), branch=given.branch)
    found = read_result(given.run)["clusters"][given.branch]
    words = {c["cluster"]: names.get(c["cluster"], f"cluster {c['cluster']}") for c in found}
    for c in found:
        like = ", ".join(f"{r['class']} {100 * r['share']:.0f} %" for r in c["resembles"])
        print(f"{c['cluster']:>4}  {c['size']:>6} clips  {words[c['cluster']]:<24} resembles {like or 'nothing'}")
    told: dict[str, Any] = {"branch": given.branch, "names": words, "sizes": {c["cluster"]: c["size"] for c in found}}
    if given.out is not None:
        table = export_labels(given.run, given.out, branch=given.branch, odd=given.odd, archive=given.archive)
        counts = {word: int((table["class"] == word).sum()) for word in dict.fromkeys(words.values())}
        print(f"{given.out}: {len(table)} clips; " + ", ".join(f"{word} {n}" for word, n in counts.items()))
        told |= {"out": str(given.out), "clips": len(table), "classes": counts}
    write_result(given.json, told)
    return 0


def _pair(text: str) -> tuple[int, str]:
    number, equals, name = text.partition("=")
    if not equals or not number.isdecimal():
        raise ConfigError(f"--name {text} is not of the form NUMBER=NAME, such as 3=wave")
    return int(number), name
