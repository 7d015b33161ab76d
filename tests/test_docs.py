"""The documentation is true: marked examples run, links lead somewhere, and every name and option exists.

A fenced block after the comment ``<!-- run -->`` is executed; the blocks of one page share a folder, in which
:func:`recordings` has laid out what a reader would bring along. To keep this quick, options of :data:`SMALL` are put
in place of a command's own, and numbers of epochs and clips in Python shrink. After ``<!-- run: fails -->`` the block
must end with an error that motet raises on purpose.
"""

from __future__ import annotations

import ast
import io
import os
import pkgutil
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import cli
from motet.core.errors import MotetError
from motet.data import formats, layouts, splits
from motet.data.augment import Augment
from motet.data.views import KINDS
from motet.evaluate import protocols
from motet.methods import recipes
from motet.reproduce import all_tables

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
# options that make an example quick; they replace the same options of the example
SMALL = {
    "pretrain": "--epochs 1 --hidden 8 --layers 1 --batch-size 4 --queue-size 8 --device cpu --precision 32 --quiet",
    "evaluate": "--linear.epochs 2 --linear-cached.epochs 2 --quiet",
    "data simulate": "--clips 24 --actions 3 --actors 4 --quiet",
    "data import": "--workers 1 --quiet",
    "discover": "--epochs 1 --finetune-epochs 1 --frames 8 --hidden 8 --layers 1 --kmeans-restarts 1 --quiet",
    "reproduce": "--options epochs=1 hidden=4 layers=1 frames=8 dim=8 --quiet",
}
VERBS = list(cli.VERBS)
# pages whose examples need more than motet itself
NEEDS = {"distill_inputs.md": ("av", "raw")}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    mark: str | None
    file: str = ""
    """the module of motet whose whole text it is, as the heading says"""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block, with what its ``<!-- run… -->`` comment says."""
    found, lines, mark = [], page.read_text(encoding="utf-8").splitlines(), None
    number, file = 0, ""
    while number < len(lines):
        line = lines[number]
        if line.startswith("#"):
            named = re.search(r"`src/(motet/.+)\.py`", line)
            file = named[1].replace("/", ".") if named else ""
        comment = re.fullmatch(r"<!-- (run.*?) -->", line.strip())
        opening = re.match(r"( *)```(\w*)", line)
        if comment:
            mark = comment[1]
        elif opening:
            end = next(i for i in range(number + 1, len(lines)) if lines[i].strip() == "```")
            text = "\n".join(body.removeprefix(opening[1]) for body in lines[number + 1 : end])
            found.append(Block(page, number + 1, opening[2], text, mark, file))
            number, mark, file = end, None, ""
        elif line.strip():
            assert mark is None, f"{page.name}, line {number + 1}: a run mark with no block after it"
        number += 1
    return found


def commands(block: Block) -> Iterator[list[str]]:
    """The words of every motet command of a block of shell."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "motet":
            yield words[1:]


def verb_of(words: list[str]) -> str:
    return next((v for v in (" ".join(words[:2]), " ".join(words[:1])) if v in VERBS), "")


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
    monkeypatch.setattr(import_module("motet.methods.distillation.diagnose"), "_STEPS", 20)  # of every linear probe
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


# ------------------------------------------------------------------------------------ names and options exist


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """Options of every verb, as its help says; formats and recipes as further words (``data import csv``)."""
    calls = [["data", "import", f] for f in formats.names()]
    calls += [["pretrain", f"{name}/small"] for name in sorted({n.split("/")[0] for n in recipes.names()})]
    calls += [v.split() for v in VERBS if v not in ("data import", "pretrain")]
    found: dict[str, set[str]] = {}
    for call in calls:
        found[" ".join(call).removesuffix("/small")] = set(re.findall(r"--[a-z][a-z0-9.-]*", _help(call)))
    found["pretrain"] = set().union(*(o for c, o in found.items() if c.startswith("pretrain "))) | {"--resume"}
    found["data import"] = set().union(*(o for c, o in found.items() if c.startswith("data import ")))
    return found


def _help(call: list[str]) -> str:
    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        cli.main([*call, "--help-all"])
    return said.getvalue()


def _key(words: list[str]) -> str:
    """The entry of ``options`` that a command belongs to."""
    verb = verb_of(words)
    if verb == "data import" and len(words) > 2 and words[2] in formats.names():
        return f"data import {words[2]}"
    if verb == "pretrain" and len(words) > 1 and not words[1].startswith("-"):
        return f"pretrain {words[1].split('/')[0]}"
    return verb


PLACEHOLDERS = {"FORMAT", "RECIPE", "SOURCE", "…", "recipe"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_of_a_page_exist(page: Path, options: dict[str, set[str]]) -> None:
    lines = [words for block in blocks(page) if block.language == "bash" for words in commands(block)]
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    lines += [shlex.split(span)[1:] for span in re.findall(r"`(motet [^`]+)`", prose)]
    for words in lines:
        if not words or words[0].startswith("-"):
            continue
        said = f"{page.name}: `motet {' '.join(words)}`"
        verb = verb_of(words)
        assert verb, f"{said} is no verb"
        if verb == "data import" and len(words) > 2 and words[2] not in PLACEHOLDERS:
            assert words[2].startswith("-") or words[2] in formats.names(), f"{said}: no such format"
        named = verb == "pretrain" and len(words) > 1 and words[1] not in PLACEHOLDERS
        if named and not words[1].startswith("-") and not words[1].endswith(".json"):
            recipes.get(words[1])
        known = options.get(_key(words), options[verb])
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0] in known | {"--help", "--help-all"}, f"{said}: no option {word}"


@cache
def _texts() -> list[tuple[Path, ast.Constant | ast.JoinedStr]]:
    """Texts of the code, those with something put in as a whole."""
    found: list[tuple[Path, ast.Constant | ast.JoinedStr]] = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        inner: set[ast.AST] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                inner.update(node.values)
                found.append((path, node))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
                found.append((path, node))
    return found


def _parts(text: ast.Constant | ast.JoinedStr) -> Sequence[ast.expr]:
    return text.values if isinstance(text, ast.JoinedStr) else (text,)


def test_commands_of_messages_exist(options: dict[str, set[str]]) -> None:
    """Every remedy that a message names is a command, with options that the verb has."""
    seen = 0
    for path, node in _texts():
        text = "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in _parts(node))
        for span in re.findall(r"`motet ([a-z][^`]+)`", text):
            words = span.split()
            verb = verb_of(words)
            group = len(words) == 1 and any(v.startswith(f"{words[0]} ") for v in VERBS)
            assert verb or group or "X" in words[:2], f"{path.name}: `motet {span}` is no verb"
            known = options.get(_key(words), options[verb]) if verb else set().union(*options.values())
            for word in words:
                option = re.match(r"--[a-z][a-z0-9.-]*", word)
                has = known | {"--help", "--help-all"}
                assert not option or option[0] in has, f"{path.name}: `motet {span}`: no option {word}"
            seen += 1
    assert seen > 100


def test_commands_of_messages_can_be_pasted() -> None:
    """What people have named stands in a command as a shell takes it: paths, rules of splits, tracks, modalities."""
    bare, quoted = [], 0
    for path, node in _texts():
        before = ""
        for part in _parts(node) if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant):
                before += str(part.value)
                continue
            found, command = ast.unparse(part).strip("{}f\"'"), before.rpartition("motet ")[2]
            given = re.search(r"--(split|track|skeleton|baseline|pattern|where|joints) $", before)
            named = re.search(r"\b(path|folder|source|destination|data|out)\b(?!\.trained)", found)
            inside = "motet " in before and not re.search(r"[`;:,)]|\. ", command)
            quoted += "pasted(" in found
            if (given or (inside and named)) and "pasted(" not in found:
                bare.append(f"{path.name}, line {part.lineno}: {before[-40:]}{{{found}}}")
            before += "X"
    assert not bare, bare
    assert quoted > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_names_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:moco|mcl|crossclr|cmd)/[a-z0-9-]+)`", text):
        assert name in recipes.names() or name in all_tables(), f"{page.name} speaks of the recipe {name}"
    for name in re.findall(r"^::: (motet[\w.]+)|`(motet(?:\.[A-Za-z_]\w*)+)`", text, flags=re.M):
        pkgutil.resolve_name("".join(name))
    for words in re.findall(r"--protocols ((?:[a-z-]+ ?)+)", text):
        for name in words.split():
            if name.startswith("--"):
                break
            assert name in protocols(), f"{page.name} speaks of the protocol {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_options_of_a_page_exist(page: Path, options: dict[str, set[str]]) -> None:
    known = set().union(*options.values()) | {"--help", "--help-all", "--version"}
    for option in re.findall(r"`(--[a-z][a-z0-9.-]*)", page.read_text(encoding="utf-8")):
        assert option in known, f"{page.name} speaks of {option}, which no verb has"


def test_what_there_is_is_documented(options: dict[str, set[str]]) -> None:
    text = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
    assert f"{len(formats.names())} [formats](docs/data/formats.md)" in text["README.md"]
    for name in formats.names():
        section = _section(text["docs/data/formats.md"], name)
        for option in fields(formats.get(name).options):
            assert f"`--{option.name.replace('_', '-')}`" in section, f"formats.md, {name}: option {option.name}"
    for name in layouts.names():
        assert f"`{name}`" in text["docs/data/layouts.md"], name
    for rule in splits.RULES:
        assert f"`{rule}`" in text["docs/data/splits.md"], rule
    for name in recipes.names():
        assert f"`{name.split('/')[-1]}`" in text["docs/recipes.md"], name
    for kind in KINDS:
        assert f"`{kind}`" in text["docs/data/transforms.md"], kind
    for name in protocols():
        assert f"`{name}`" in text["docs/evaluation.md"], name
    settings = text["docs/recipes.md"] + text["docs/data/transforms.md"] + text["docs/concepts.md"]
    settings += "".join(t for name, t in text.items() if name.startswith("docs/methods/"))
    for option in sorted(options["pretrain"] - {"--help"}):
        if not option.startswith("--no-"):
            assert f"`{option}`" in settings + text["docs/training.md"], f"{option} of pretrain is on no page"


def _cells(page: str, option: str) -> list[str]:
    """Cells of the row of a page that begins with an option."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| `--{option}` |"))
    return [cell.strip() for cell in row.strip("|").split(" | ")]


@pytest.mark.parametrize("option", [f.name for f in fields(Augment)])
def test_the_table_of_augmentations_holds_the_values_of_the_recipes(option: str) -> None:
    *_, paper, small = _cells("data/transforms.md", option.replace("_", "-"))
    for cell, recipe in ((paper, recipes.get("cmd/paper")), (small, recipes.get("cmd/small"))):
        value = getattr(recipe.augment, option)
        assert cell == ("that of the encoder" if value is None else f"{value:g}"), f"--{option} of {recipe.recipe}"


@pytest.mark.parametrize("option", ["dim", "queue_size", "key_momentum", "temperature"])
def test_the_table_of_the_host_holds_the_values_of_the_recipes(option: str) -> None:
    *_, paper, small = _cells("concepts.md", option.replace("_", "-"))
    for cell, recipe in ((paper, recipes.get("cmd/paper")), (small, recipes.get("cmd/small"))):
        assert re.match(r"[\d.]+", cell)[0] == f"{getattr(recipe.method, option):g}", f"--{option} of {recipe.recipe}"  # type: ignore[index]


def test_the_table_of_sizes_holds_the_values_of_the_recipes() -> None:
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    for column, name in ((2, "cmd/paper"), (3, "cmd/small"), (4, "cmd/small-gru")):
        recipe = recipes.get(name)
        cells = {
            row.split("|")[1].strip(): row.split("|")[column].strip()
            for row in _section(text, "Sizes").splitlines()
            if row.count("|") == 5
        }
        encoder, optimiser, method = recipe.encoder, recipe.optimiser, recipe.method
        gru = f"{encoder.mode} GRU, {encoder.layers} layers of {encoder.hidden}"
        assert cells["encoder"] == (gru if encoder.encoder == "gru" else f"TCN, {encoder.layers} blocks of 64")
        assert cells["frames"].split(";")[0] == str(recipe.frames)
        assert cells["preprocess"].split(";")[0] == f"`{recipe.preprocess}`"
        queue, momentum = cells["queue, momentum"].split(", ")
        assert (queue.split(" ")[0], momentum) == (str(method.queue_size), f"{method.key_momentum:g}")
        long = f"{recipe.steps} steps" if recipe.steps else f"{recipe.epochs} epochs, drop at {optimiser.milestones[0]}"
        assert cells["batch, length"] == f"{recipe.batch_size}, {long}"
        assert cells["optimiser"].lower().startswith(optimiser.optimiser)
        assert f"rate {optimiser.lr:g}" in cells["optimiser"]


def _section(text: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\b.*?(?=^## |\Z)", text, flags=re.S | re.M)
    assert found, f"no section {heading!r}"
    return found[0]
