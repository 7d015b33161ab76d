"""The clusters verb."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from motet.cli.entries import Arg, Positional
from motet.cli.parse import parse
from motet.cli.result import Replacing
from motet.core.errors import ConfigError
from motet.core.text import counted

_BRANCHES = {"B0": "trained with the labels of the source", "B1": "of the target alone"}


@dataclass
class Clusters(Replacing):
    """Name, merge and export what `motet discover` has found, or label new recordings with it.

    Examples:
    motet clusters runs/found --name 0=wave 3=wave --out labels.csv
    motet clusters runs/found --archive new --into labelled
    """

    run: Positional[Path]
    """directory of a finished discovery"""
    branch: str = "B0"
    """B0: the branch trained with the labels of the source; B1: that of the target alone"""
    name: tuple[str, ...] = ()
    """names such as 0=wave 3=wave; the run remembers them, clusters of one name are one class, 0= forgets a name"""
    out: Path | None = None
    """write labels here, .parquet or .csv: name, label, class, cluster, similarity of each clip"""
    into: Path | None = None
    """write the recordings again with these labels, as an archive to pretrain on, to evaluate or as the next source"""
    archive: Path | None = None
    """label these recordings, of the target's layout, instead of the clips among which the clusters were found"""
    outliers: Annotated[bool, Arg(earlier="odd")] = True
    """label clips that fit nowhere too"""


def clusters(args: Sequence[str]) -> int:
    """motet clusters RUN --name 0=wave 3=wave --out labels.parquet"""
    given = parse(Clusters, args, "motet clusters")
    from motet.methods.discovery.describe import resembling
    from motet.methods.discovery.labels import export_labels, label_archive, name_clusters
    from motet.methods.discovery.names import cluster_words
    from motet.methods.discovery.stored import read_result

    if given.archive is not None and given.out is None and given.into is None:
        raise ConfigError("--archive labels new recordings; say by --out where the labels go, or by --into the archive")
    names = name_clusters(given.run, dict(map(_pair, given.name)), branch=given.branch)
    found = read_result(given.run)["clusters"][given.branch]
    words = dict(enumerate(cluster_words(names, len(found))))
    options = {k: getattr(given, k) for k in ("branch", "outliers", "archive", "overwrite")}
    result: dict[str, Any] = {"branch": given.branch, "names": words, "sizes": {c["cluster"]: c["size"] for c in found}}
    lines: list[str] = []
    # written first: an error is not to follow a list that looks like success
    if given.out is not None:
        table = export_labels(given.run, given.out, **options)
        counts = {word: int((table["class"] == word).sum()) for word in dict.fromkeys(words.values())}
        bare = table["class"].null_count()
        lines.append(
            f"{given.out}: {counted(len(table), 'clip')}; " + ", ".join(f"{word} {n}" for word, n in counts.items())
        )
        lines[-1] += f"; {bare} fit nowhere, unlabelled" if bare else ""
        result |= {"out": str(given.out), "clips": len(table), "classes": counts, "unlabelled": bare}
    if given.into is not None:
        made = label_archive(given.run, given.into, **options)
        bare = int((made.labels < 0).sum())
        lines.append(
            f"{given.into}: archive of {counted(len(made), 'clip')} with these labels"
            + (f", {bare} without" * (bare > 0))
        )
        result |= {"into": str(given.into), "clips": len(made), "unlabelled": bare}
    shown = [f"clusters of branch {given.branch}, {_BRANCHES[given.branch]}:"]
    for c in found:
        like = resembling(c)
        shown.append(f"{c['cluster']:>4}  {c['size']:>6} clips  {words[c['cluster']]:<24} resembles {like}")
    return given.done("\n".join(shown + lines), result)


def _pair(text: str) -> tuple[int, str]:
    number, equals, name = text.partition("=")
    if not equals or not number.isdecimal():
        raise ConfigError(f"--name {text} is not of the form NUMBER=NAME, such as 3=wave")
    return int(number), name
