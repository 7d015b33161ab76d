"""The application: time to the first picture, time of an edit, and clicks until a set is labelled.

    python -m benchmarks.bench_app [ARCHIVE]       # labelled clips; 2,000 simulated ones by default

A script answers proposals as a person would: a click accepts a right one, two clicks correct a wrong one. Beside it the
same classifier asked in random order. Agreement: share of all clips whose label (given or predicted) is right.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from motet.application import app
from motet.application.labels import Labels
from motet.application.moments import Moments
from motet.application.teach import Teacher
from motet.data.archive import MotionArchive
from motet.data.simulate import simulate

WANTED = 0.95
ROUND = 10  # proposals that are answered between two fits


def clicks(archive: MotionArchive, moments: Moments, *, proposals: bool, seed: int) -> list[tuple[int, float]]:
    """(clicks, agreement) after every round, until :data:`WANTED` is reached."""
    labels = Labels(archive, f"bench-{proposals}-{seed}")
    teacher = Teacher(archive, labels, moments)
    teacher.close()  # fits are asked for, one a round
    truth = [archive.class_names[n] for n in archive.labels]
    ends = (archive.lengths / (archive.fps or 30)).tolist()
    random = np.random.default_rng(seed)
    order = random.permutation(len(archive)).tolist()
    given: dict[int, str] = {}
    count, trail = 0, []

    def name(clip: int, proposed: str | None) -> None:
        nonlocal count
        count += 1 if proposed == truth[clip] else 2
        given[clip] = truth[clip]
        labels.edit([{"do": "add", "clip": clip, "start": 0.0, "end": ends[clip], "label": truth[clip]}], "script")

    for clip in order[:ROUND]:
        name(clip, None)
    while True:
        teacher.fit()
        predicted = {row[0]: row[3] for row in teacher.predictions()}
        agreement = float(np.mean([given.get(c, predicted.get(c)) == truth[c] for c in range(len(archive))]))
        trail.append((count, agreement))
        if agreement >= WANTED or len(given) == len(archive):
            return trail
        asked = [(p["clip"], p["label"]) for p in teacher.state("")["proposals"][:ROUND]]
        if not proposals:
            asked = [(c, predicted.get(c)) for c in order if c not in given][:ROUND]
        for clip, label in asked:
            name(clip, label)


def picture(archive: Path) -> tuple[float, float]:
    """Seconds from the call to a drawn page, and median milliseconds until an edit is answered."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"]).new_page()
        began = time.perf_counter()
        with app(archive, browser=False, track="bench", rater="script") as running:
            page.goto(running.address)
            page.wait_for_selector("body[data-ready]")
            first = time.perf_counter() - began
            taken = page.evaluate(
                """async () => {
                  const { post } = await import("/static/api.js"), taken = [];
                  for (let i = 0; i < 50; i++) {
                    const add = { do: "add", clip: 0, start: i / 25, end: (i + 1) / 25, label: "a" };
                    const began = performance.now();
                    await post("/api/labels", { operations: [add], rater: "script", since: i });
                    taken.push(performance.now() - began);
                  }
                  return taken;
                }"""
            )
    return first, median(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-browser", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recordings.motet"
        if given.archive:
            shutil.copytree(given.archive, path)  # labels are written into it
        else:
            simulate(path, clips=2000, actions=10, actors=10, seed=0)
        archive = MotionArchive.open(path)
        if not given.no_browser:
            first, edit = picture(path)
            print(f"{len(archive):,} recordings: first picture {first:.2f} s, an edit {edit:.1f} ms")
        began = time.perf_counter()
        moments = Moments(archive)
        moments.ready.wait()
        print(f"features of all: {time.perf_counter() - began:.1f} s")
        for proposals in (True, False):
            ends = [clicks(archive, moments, proposals=proposals, seed=s)[-1] for s in range(given.seeds)]
            counts = [count for count, _ in ends]
            order = "most informative first" if proposals else "random order"
            print(f"{order}: {np.mean(counts):.0f} ± {np.std(counts):.0f} clicks to {100 * WANTED:.0f} % ({counts})")
        moments.close()


if __name__ == "__main__":
    main()
