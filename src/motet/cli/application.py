"""The app verb."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from motet.cli.entries import Positional
from motet.cli.parse import parse


@dataclass
class Arguments:
    """Look at recordings, label them and teach a classifier, in a browser page that this machine serves.

    Examples:
    motet app archive
    motet app archive runs/cmd --track behaviour
    motet app archive classifier
    """

    archive: Positional[Path]
    """motion archive"""
    model: Positional[str | None] = None
    """run or weights whose features the page uses (default: the shipped weights where they fit, else statistics), or a
    classifier whose answers it shows"""
    port: int = 0
    """of the server; 0 takes a free one"""
    host: str = "127.0.0.1"
    """address to listen on; anything but the loopback address lets other machines in"""
    no_browser: bool = False
    """print the address instead of opening it"""
    track: str = "labels"
    """label track that is edited"""
    rater: str | None = None
    """whose labels they are, unless the page says another name (default: the user)"""


def app(args: Sequence[str]) -> int:
    """motet app ARCHIVE [RUN|MODEL]"""
    given = parse(Arguments, args, "motet app")
    from motet.application import app as start

    with start(
        given.archive,
        given.model,
        port=given.port,
        host=given.host,
        browser=not given.no_browser,
        track=given.track,
        rater=given.rater,
    ) as running:
        print(f"{given.archive}: {running.address}\nCtrl-C ends it; every label is on disk already.", flush=True)
        with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            running.wait()
    return 0
