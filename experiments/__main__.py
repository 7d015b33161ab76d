"""Fill the tables of a page of docs/results.

    python -m experiments PAGE --data DATA --dry-run     # which trainings, and how long they would take
    python -m experiments PAGE --data DATA               # train what is missing, write the tables to runs/PAGE
    python -m experiments PAGE --data DATA --publish     # and into docs/results

DATA is the folder of the recordings (skeleton/kard.npz, multimodal/ravdess.npz, graphs/MUTAG.tar.xz …); tables whose
recordings are not there are left out. It can be stopped and started at will. ``--only WORD`` takes some of
the tables; the others stay as they were published.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from motet.core.errors import MotetError
from motet.reproduce.page import fill, text

PAGES = ("foundation", "protocols", "cross_sensor", "halp", "codt", "amid", "amid_recordings", "graphs")
RESULTS = Path(__file__).parents[1] / "docs" / "results"


def main(args: Sequence[str] | None = None) -> int:
    """Fill a page; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", choices=PAGES)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--work", type=Path, help="folder of archives, trainings and tables [runs/PAGE]")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="tables whose names have one of the words"
    )
    parser.add_argument("--dry-run", action="store_true", help="train nothing")
    parser.add_argument("--publish", action="store_const", const=RESULTS, help="write the tables into docs/results")
    given = vars(parser.parse_args(args))
    page = import_module(f"experiments.{given.pop('page')}").PAGE
    try:
        found = fill(page, work=given.pop("work") or Path("runs", page.name), **given)
    except MotetError as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "status", 2)
    if not given["dry_run"]:
        print(text(page, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
