"""The documentation is true: marked examples run, and links lead somewhere.

A fenced block after the comment ``<!-- run -->`` is executed; the blocks of one page share a folder, in which
:func:`recordings` has laid out what a reader would bring along. To keep this quick, options of :data:`SMALL` are put
in place of a command's own, and numbers of epochs and clips in Python shrink. After ``<!-- run: fails -->`` the block
must end with an error that motet raises on purpose.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import types
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import cli
from motet.core.errors import MotetError
from motet.data import layouts
from tests.pages import PAGES, ROOT, Block, blocks, commands, verb_of

# options that make an example quick; they replace the same options of the example
SMALL = {
    "pretrain": "--epochs 1 --hidden 8 --layers 1 --batch-size 4 --queue-size 8 --device cpu --precision 32 --quiet",
    "evaluate": "--linear.epochs 2 --linear-cached.epochs 2 --quiet",
    "data simulate": "--clips 24 --actions 3 --actors 4 --quiet",
    "data import": "--workers 1 --quiet",
    "discover": "--epochs 1 --finetune-epochs 1 --frames 8 --hidden 8 --layers 1 --kmeans-restarts 1 --quiet",
    "reproduce": "--options epochs=1 hidden=4 layers=1 frames=8 dim=8 --quiet",
}
AS_IT_STANDS = "recordings_tutorials.md"
"""the page whose simulated actors are as many as it says"""
# pages whose examples need more than motet itself
NEEDS = {"distill_inputs.md": ("av", "raw")}


# ------------------------------------------------------------------------------------ examples are executed


def table(path: Path, subject: int, label: str, random: np.random.Generator) -> None:
    """A CSV file as a pose estimator may write it: COCO key points, pixels."""
    joints = layouts.get("coco-17").joints
    xy = random.normal(size=(len(joints), 2)) * 40 + 300
    head = ["frame", "label", "subject", *(f"{j}_{a}" for j in joints for a in "xy")]
    rows = [",".join(head)]
    for frame in range(random.integers(16, 24)):
        xy += np.sin(0.4 * frame) * (3 if label == "wave" else -1)
        rows.append(",".join(map(str, [frame, label, subject, *xy.round(2).ravel().tolist()])))
    path.write_text("\n".join(rows) + "\n")


def mocap(path: Path, random: np.random.Generator) -> None:
    """A BVH file: hips, spine and two arms."""
    end = "End Site\n{\nOFFSET 0 10 0\n}\n"
    rotation = "CHANNELS 3 Zrotation Xrotation Yrotation\n"
    arms = "".join(
        f"JOINT {side}Arm\n{{\nOFFSET {x} 20 0\n{rotation}JOINT {side}Hand\n{{\nOFFSET {x} 0 5\n{rotation}{end}}}\n}}\n"
        for side, x in (("Left", 20), ("Right", -20))
    )
    hierarchy = (
        "HIERARCHY\nROOT Hips\n{\nOFFSET 0 90 0\n"
        "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        f"JOINT Head\n{{\nOFFSET 0 60 0\n{rotation}{end}}}\n{arms}}}\n"
    )
    rows = random.normal(size=(20, 21)).cumsum(axis=0) * 2 + [0, 90, 0, *([0] * 18)]
    numbers = "\n".join(" ".join(f"{v:.3f}" for v in row) for row in rows)
    path.write_text(f"{hierarchy}MOTION\nFrames: 20\nFrame Time: 0.0333333\n{numbers}\n")


def skeleton(path: Path, random: np.random.Generator) -> None:
    """An NTU .skeleton file of one body."""
    lines = ["16"]
    joints = random.normal(size=(25, 3))
    for _ in range(16):
        joints = joints + random.normal(size=(25, 3)) * 0.02
        lines += ["1", "72057594037931101 0 1 1 1 1 0 0.1 0.2 2", "25"]
        lines += [" ".join([*(f"{v:.5f}" for v in joint), *["0"] * 8, "2"]) for joint in joints]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the readers of the pages have on their disks."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("reader")
    for name in ("recordings", "mocap", "nturgb+d_skeletons"):
        (folder / name).mkdir()
    for subject in range(1, 5):
        for label in ("wave", "rest"):
            for repetition in (1, 2):
                table(folder / "recordings" / f"{label}_{subject}_{repetition}.csv", subject, label, random)
            mocap(folder / "mocap" / f"{label}_{subject:02d}.bvh", random)
    for subject in (1, 2, 3, 6):
        for action in (1, 2, 3):
            name = f"S001C00{1 + action % 3}P{subject:03d}R001A{action:03d}.skeleton"
            skeleton(folder / "nturgb+d_skeletons" / name, random)
    (folder / "missing_skeletons.txt").write_text("S001C002P005R002A008\n")
    (folder / "my-suit.toml").write_text(
        next(b.text for b in blocks(ROOT / "docs/data/layouts.md") if b.language == "toml")
    )
    return folder


def quick(words: list[str]) -> list[str]:
    """The command with the options of :data:`SMALL`."""
    verb = verb_of(words)
    small = shlex.split(SMALL.get(verb, ""))
    if {"--help", "--resume"} & set(words):
        small = [w for w in small if w == "--quiet"] if "--resume" in words else []
    flags = {w for w in small if w.startswith("--")}
    kept, skip = [], False
    for word in words:
        if word.startswith("--"):
            skip = word in flags
        if not skip:
            kept.append(word)
    return [*kept, *small]


def shell(block: Block) -> None:
    for words in commands(block):
        try:
            status = cli.main(quick(words))
        except SystemExit as stop:  # --help
            status = 0 if stop.code is None else int(stop.code)
        wanted = 2 if block.mark == "run: fails" else 0
        assert status == wanted, f"{block}: `motet {' '.join(words)}` ended with {status}"


class Here:
    """In place of a process that runs a motet command: this one runs it."""

    def __init__(self, command: list[str], check: bool = False) -> None:
        assert command[:3] == [sys.executable, "-m", "motet"]
        self.status = cli.main(quick(command[3:]))
        assert not (check and self.status)

    def wait(self) -> int:
        return self.status


def python(block: Block, names: dict[str, Any]) -> None:
    text = re.sub(r"\bepochs=\d+", 'epochs=1, hidden=8, layers=1, batch_size=4, queue_size=8, device="cpu"', block.text)
    text = re.sub(r"(motet\.fit\()((?:(?!candidates)[^)\n])*)\)", r"\1\2, candidates=('statistics+linear',))", text)
    if block.page.name != AS_IT_STANDS:
        text = re.sub(r"\bclips=\d+", "clips=24, actions=3, actors=4", text)
    text = re.sub(r"(evaluate\.run\()(.*?)\)$", r"\1\2, linear={'epochs': 2}, progress=False)", text, flags=re.M)
    text = re.sub(r"\bsubprocess\.(run|Popen)\(", "Here(", text)
    names["Here"] = Here
    code = compile(text, str(block), "exec", dont_inherit=True)
    if block.mark == "run: fails":
        with pytest.raises(MotetError):
            exec(code, names)
    else:
        exec(code, names)


RUNNABLE = [page for page in PAGES if any(b.mark for b in blocks(page))]


@pytest.mark.filterwarnings("default::motet.core.errors.MotetWarning")
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_marked_examples_run(
    page: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if page.name in NEEDS:
        package, extra = NEEDS[page.name]
        pytest.importorskip(package, reason=f"needs the extra {extra}")
    few = {"clips": 48, "actions": 3, "actors": 4}
    monkeypatch.setattr(import_module("motet.reproduce.run"), "SIMULATED", few)
    shutil.copytree(recordings, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("example_of_a_page")  # a real one: dataclasses look their module up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(page):
        if block.mark and block.language == "bash":
            shell(block)
        elif block.mark and block.file:
            alone = types.ModuleType(block.file)  # nothing but what the reader puts into this file
            monkeypatch.setitem(sys.modules, block.file, alone)
            python(block, vars(alone))
            vars(module).update({k: v for k, v in vars(alone).items() if not k.startswith("__")})
        elif block.mark:
            assert block.language == "python", f"{block} is marked to run, but is neither bash nor python"
            python(block, vars(module))


def test_the_pages_that_newcomers_read_have_examples_that_run() -> None:
    assert {ROOT / "README.md", ROOT / "docs/quickstart.md", ROOT / "docs/api.md"} <= set(RUNNABLE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_python_of_a_page_is_python(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(block), "exec")


# ------------------------------------------------------------------------------------ links


def slug(heading: str) -> str:
    """The anchor that MkDocs gives a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    text = re.sub(r"[^\w\s-]", "", text.encode("ascii", "ignore").decode()).strip().lower()
    return re.sub(r"[-\s]+", "-", text)


@cache
def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return {slug(h) for h in re.findall(r"^#+ (.+)$", text, flags=re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{page.name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(other), f"{page.name} links to {target}, which has no such heading"


def test_nothing_is_fetched_from_a_network() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in config
    assert "http" not in config
    for page in PAGES:
        assert not re.search(r"!\[[^]]*\]\(https?:|<script|<iframe|<img", page.read_text(encoding="utf-8")), page


def test_papers_of_docstrings_are_links() -> None:
    hook = runpy.run_path(str(ROOT / "docs" / "site_roles.py"))["on_page_content"]
    linked = '<p><a href="https://arxiv.org/abs/1">arXiv:2208.12448</a> <code>x</code></p>'
    assert hook(linked) == linked
    said = hook(
        "<p>:func:<code>f</code> (arXiv:2304.00387), https://arxiv.org/abs/2306.07646. doi:10.1145/325334.325242)</p>"
    )
    assert re.findall('href="(.*?)"', said) == [
        "https://arxiv.org/abs/2304.00387",
        "https://arxiv.org/abs/2306.07646",
        "https://doi.org/10.1145/325334.325242",
    ]
    assert (
        re.sub("<.*?>", "", said)
        == "f (arXiv:2304.00387), https://arxiv.org/abs/2306.07646. doi:10.1145/325334.325242)"
    )


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    pytest.importorskip("material", reason="needs the extra docs")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["'](?:https?:)?//[^"']+""", page.read_text())
        assert not fetched, f"{page.name} fetches {fetched[0]}"
