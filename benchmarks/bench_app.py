"""The application: time to the first picture, time of an edit, many moments, clicks until a set is labelled.

    python -m benchmarks.bench_app times [ARCHIVE]             # 1,000 simulated recordings by default
    python -m benchmarks.bench_app many --moments 50000        # the map and the list in a browser
    python -m benchmarks.bench_app clicks [ARCHIVE] --out F    # labelled clips; 2,000 simulated ones by default

`clicks`: a script answers proposals as a person would: a click accepts a right one, two clicks correct a wrong one.
Next to it the same classifier asked in random order. Agreement: share of all clips whose label (given or predicted) is
right.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean, median, pstdev
from typing import Any

import numpy as np

from motet.application import app
from motet.application.features import OfStatistics, default
from motet.application.labels import Labels
from motet.application.moments import Moments
from motet.application.teach import Teacher
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.layouts import get as layout
from motet.data.simulate import simulate

WANTED = 0.95
ROUND = 10  # proposals that are answered between two fits
FEATURES = {"default": default, "statistics": OfStatistics}


def clicks(archive: MotionArchive, moments: Moments, *, proposals: bool, seed: int, name: str) -> dict[str, Any]:
    """Clicks until :data:`WANTED`, and what held when the page first said that more labels would hardly help."""
    labels = Labels(archive, name)
    teacher = Teacher(archive, labels, moments)
    teacher.close()  # fits are asked for, one a round
    truth = [archive.class_names[n] for n in archive.labels]
    ends = (archive.lengths / (archive.fps or 30)).tolist()
    random = np.random.default_rng(seed)
    order = random.permutation(len(archive)).tolist()
    given: dict[int, str] = {}
    count, trail, stop = 0, [], None

    def answer(clip: int, proposed: str | None) -> None:
        nonlocal count
        count += 1 if proposed == truth[clip] else 2
        given[clip] = truth[clip]
        labels.edit([{"do": "add", "clip": clip, "start": 0.0, "end": ends[clip], "label": truth[clip]}], "script")

    first = order[:ROUND]
    if proposals:
        teacher.fit()
        first = [p["clip"] for p in teacher.state("")["proposals"][:ROUND]]
    for clip in first:
        answer(clip, None)
    while True:
        teacher.fit()
        predicted = {row[0]: row[3] for row in teacher.predictions()}
        agreement = float(np.mean([given.get(c, predicted.get(c)) == truth[c] for c in range(len(archive))]))
        trail.append((count, agreement))
        if stop is None and teacher.finished:
            rest = [predicted[c] == truth[c] for c in range(len(archive)) if c not in given]
            stop = {"clicks": count, "agreement": agreement, "said": teacher.curve[-1][1], "rest": float(np.mean(rest))}
        if len(given) == len(archive) or (agreement >= WANTED and (stop or not proposals)):
            break
        asked = [(p["clip"], p["label"]) for p in teacher.state("")["proposals"][:ROUND]]
        if not proposals:
            asked = [(c, predicted.get(c)) for c in order if c not in given][:ROUND]
        for clip, label in asked:
            answer(clip, label)
    reached = next(c for c, agreement in trail if agreement >= WANTED)
    return {"clicks": reached, "stop": stop, "trail": trail}


@contextmanager
def browser() -> Iterator[Any]:
    """A page of a running browser."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found.new_page(viewport={"width": 1280, "height": 800})
        found.close()


def picture(archive: Path) -> tuple[float, float]:
    """Seconds from the command `motet app` to a drawn page, and median milliseconds until an edit is answered."""
    command = [sys.executable, "-m", "motet", "app", str(archive), "--no-browser", "--track", "bench"]
    with browser() as page:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            words = iter(process.stdout.readline, "")
            page.goto(next(w for line in words for w in line.split() if w.startswith("http://")))
            page.wait_for_selector("body[data-ready]")
            first = time.perf_counter() - began
            return first, median(page.evaluate(_EDITS))
        finally:
            process.terminate()
            process.wait()


_EDITS = """async () => {
  const { post } = await import("/static/api.js"), taken = [];
  for (let i = 0; i < 50; i++) {
    const add = { do: "add", clip: i % 20, start: (i % 25) / 25, end: (i % 25 + 1) / 25, label: "a" };
    const began = performance.now();
    await post("/api/labels", { operations: [add], rater: "script", since: i });
    taken.push(performance.now() - began);
  }
  return taken;
}"""
_ZOOMS = """async (id) => {
  const node = document.getElementById(id), box = node.getBoundingClientRect(), taken = [];
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (let i = 0; i < 40; i++) {
    const began = performance.now();
    if (id === "plane")
      node.dispatchEvent(new WheelEvent("wheel",
        { deltaY: i < 20 ? -60 : 60, clientX: box.x + 99, clientY: box.y + 99, cancelable: true }));
    else node.scrollTop = (i * 7919 * 46) % node.scrollHeight;
    await frame();
    taken.push(performance.now() - began);
  }
  return taken.sort((a, b) => a - b);
}"""


def many(path: Path) -> dict[str, float]:
    """Milliseconds of a frame while the map zooms and the list jumps (median and 95th of 100)."""
    with browser() as page, app(path, "statistics", browser=False, track="bench", rater="script") as running:
        began = time.perf_counter()
        page.goto(running.address)
        page.wait_for_selector("body[data-ready]")
        found = {"first picture (s)": time.perf_counter() - began}
        running.session.moments.ready.wait()
        found["features (s)"] = time.perf_counter() - began
        page.click("#tab-map")
        page.wait_for_function("() => document.getElementById('map-state').textContent.includes('moments;')")
        for name, node in (("map", "plane"), ("list", "list")):
            taken = page.evaluate(_ZOOMS, node)
            found[f"{name} frame (ms)"], found[f"{name} frame, 95 % (ms)"] = (
                median(taken),
                taken[int(0.95 * len(taken))],
            )
    return found


def short_clips(path: Path, count: int) -> None:
    """So many recordings of two seconds of a wrist, drawn at random."""
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=layout("imu-2"), fps=10.0, units="g, rad/s") as writer:
        for number in range(count):
            writer.add(random.normal(size=(20, 1, 2, 3)) + number % 7, name=f"c{number:05d}", subject=number % 50)


def label(path: Path, seeds: int, kinds: Sequence[str]) -> dict[str, Any]:
    """Clicks for each kind of features, in the order of proposals and in random order."""
    archive = MotionArchive.open(path)
    result: dict[str, Any] = {"clips": len(archive), "classes": len(archive.class_names)}
    for kind in kinds:
        began = time.process_time()
        moments = Moments(archive, partial(FEATURES[kind], archive))
        moments.begin()
        while moments.features is None:
            time.sleep(0.2)
        result[kind] = {"features, CPU seconds": time.process_time() - began}

        def run(proposals: bool, seed: int, kind: str = kind, moments: Moments = moments) -> dict[str, Any]:
            return clicks(archive, moments, proposals=proposals, seed=seed, name=f"{kind}-{proposals}-{seed}")

        for proposals in (True, False):
            runs = [run(proposals, seed) for seed in range(1 if proposals else seeds)]  # proposals draw nothing
            counts = [one["clicks"] for one in runs]
            order = "most informative first" if proposals else "random order"
            result[kind][order] = {"clicks": counts, "stop": [one["stop"] for one in runs]}
            print(
                f"{kind}, {order}: {mean(counts):.0f} ± {pstdev(counts):.0f} clicks to {WANTED:.0%} {counts}",
                flush=True,
            )
            for one in runs:
                print(f"  when it says stop: {one['stop']}", flush=True)
        moments.close()
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("times", "many", "clicks"))
    parser.add_argument("archive", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--moments", type=int, default=50_000)
    parser.add_argument("--features", nargs="+", choices=tuple(FEATURES), default=list(FEATURES))
    parser.add_argument("--out", type=Path, help="JSON to write")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recordings.motet"
        if given.what == "many":
            short_clips(path, given.moments)
        elif given.archive:
            shutil.copytree(given.archive, path)  # labels are written into it
        else:
            clips = 1000 if given.what == "times" else 2000
            simulate(path, clips=clips, actions=10, actors=10, seed=0, progress=False)
        result: dict[str, Any]
        if given.what == "times":
            first, edit = picture(path)
            result = {"first picture (s)": first, "edit (ms)": edit}
        else:
            result = many(path) if given.what == "many" else label(path, given.seeds, given.features)
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
