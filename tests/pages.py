"""Pages of the documentation, their blocks of code, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from motet import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
VERBS = list(cli.VERBS)


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
