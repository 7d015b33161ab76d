"""The live pages of the gallery, made from nothing: ``python docs/gallery.py FOLDER``. About two minutes on one core.

They are not kept in the repository: each has one or two megabytes. `make docs` writes them into the site.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from motet import report
from motet.application.session import Session
from motet.core.devices import one_thread
from motet.data.archive import MotionArchive
from motet.data.simulate import simulate
from motet.engine.hub import found
from motet.evaluate.runner import run as evaluate
from motet.methods.pretrain import pretrain


def shipped(archive: MotionArchive, work: Path, page: Path) -> None:
    """The shipped weights on people that they have not met."""
    weights = work / "body"
    shutil.copytree(found("body"), weights)  # evaluations are kept beside the weights
    copy = weights / "evaluation.json"
    evaluate(weights, ["knn", "ridge", "cluster"], data=archive, split="odd-even", json=copy, progress=False)
    report.write(weights, page, data=archive, split="odd-even", clips=120)


def trained(archive: MotionArchive, work: Path, page: Path) -> None:
    """A short training of CMD."""
    run = pretrain("cmd", archive, work / "cmd", split="odd-even", steps=60, progress=False)
    evaluate(run, ["knn", "ridge"], progress=False)
    report.write(run, page, clips=120)


def labelled(archive: MotionArchive, page: Path) -> None:
    """The state of the application after two raters have labelled a third of the recordings."""
    session = Session(archive, None, track="labels", rater="ann")
    try:
        session.teacher.close()
        session.moments.begin()
        session.moments.ready.wait()
        for rater, clips in (("ann", range(0, len(archive), 3)), ("ben", range(0, len(archive), 9))):
            ends = archive.lengths / archive.fps
            names = [archive.class_names[n] for n in archive.labels]
            rows = [{"do": "add", "clip": c, "start": 0.0, "end": float(ends[c]), "label": names[c]} for c in clips]
            for at in range(0, len(rows), 12):
                session.labels.edit(rows[at : at + 12], rater)
                session.teacher.fit()
        page.write_bytes(session.export("report")[1])
    finally:
        session.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, one_thread():
        archive = simulate(Path(work) / "people.motet", clips=240, actions=8, actors=8, seed=11, progress=False)
        shipped(archive, Path(work), folder / "body.html")
        trained(archive, Path(work), folder / "cmd.html")
        labelled(archive, folder / "labels.html")
    for page in sorted(folder.glob("*.html")):
        print(page, f"{page.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
