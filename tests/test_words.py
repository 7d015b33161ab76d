"""Plain words: what the field says, in docs, messages, help and docstrings; the words of an older dialect stay away."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLD = {
    r"told": "reported, given, known",
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix",
    r"(go|goes|going) on": "continue",
    r"judg(e|es|ed|ing|ements?)": "evaluate, score",
    r"alike": "similar, equal, in the same way",
    r"(?<!-)beside(?![=:\"'])": "next to, with, against",
    r"rivals?": "baseline",
    r"lanes?": "replica, head, stream",
}
RENAMED = {
    "ContrastiveHost": "ContrastiveStreams",
    "AimCLRHost": "AimCLRStreams",
    "LatentHost": "LatentContrastiveStreams",
    "make_twin": "momentum_encoder",
    "update_twins": "update_key_encoders",
    "moving_twins": "moving_key_encoders",
}
"""identifiers; the earlier ones stay as aliases at most"""
NAMES = {
    **dict.fromkeys(("told", "tell", "tells"), "reported, given, described"),
    **dict.fromkeys(("judge", "judges", "judged"), "evaluate, scored"),
    "beside": "companion, next_to",
    **dict.fromkeys(("lane", "lanes", "laned"), "replica, head, state"),
    **dict.fromkeys(("rival", "rivals"), "baselines"),
    **dict.fromkeys(("host", "hosts"), "network, streams"),
    "odd": "outlier",
    **dict.fromkeys(("mates", "prices"), "positives, scalings"),
    **dict.fromkeys(("alike", "anew", "mend", "heard"), "same, again, fix, received"),
    "meeting": "common layout",
}
"""words of identifiers"""
MEANT = {("stream", "tell"), ("accepts", "beside"), ("accepts", "odd"), ("def", "_odd_even"), (":", "_odd_even")}
"""identifiers, with what stands before them, that mean something else: a place in a file, earlier keywords, a rule"""
NOUNS = (
    "archives|bodies|bytes|cells|channels|classes|clips|clusters|columns|coordinates|digits|epochs|features|files|folds|"
    "frames|graphs|hits|intervals|items|joints|keys|labels|layers|lines|machines|nodes|numbers|options|people|persons|"
    "points|processes|prototypes|recordings|rows|samples|scores|seeds|shapes|states|steps|streams|subjects|tables|"
    "trials|values|videos|weights|windows"
)
UNCOUNTED = re.compile(rf" (training |test |label )?({NOUNS})\b(?! (a|per) |/s)")
COUNT = re.compile(r"len\(.*\)|sum\(.*\)|.*\.(shape\[-?\d\]|size|n_unique\(\)|sum\(\))|int\(.*\)")
"""expressions that give a count"""
ALIAS = re.compile(r"^(\w+) = \w+\n\"\"\"its earlier name\"\"\"", re.MULTILINE)
PATTERN = re.compile("|".join(rf"(?P<w{n}>\b{word}\b)" for n, word in enumerate(OLD)), re.IGNORECASE)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a page without its code."""
    text = re.sub(r"```.*?```", lambda m: "\n" * m[0].count("\n"), path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), 1):
        yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Sentences in the strings and comments of a module; what stands in braces or quotes is a name."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT) and " " in token.string:
            for number, line in enumerate(token.string.splitlines(), token.start[0]):
                yield number, re.sub(r"\{[^{}]*\}|``[^`]*``|`[^`]*`", "", line)


def old_words(lines: Iterator[tuple[int, str]], path: Path) -> Iterator[str]:
    for number, line in lines:
        for found in PATTERN.finditer(line):
            better = list(OLD.values())[int(str(found.lastgroup)[1:])] if found.lastgroup else ""
            yield f"{path.relative_to(ROOT)}:{number}: {found[0]!r}; say {better}"


def test_docs_speak_plainly() -> None:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")]
    pages += [page for kind in ("md", "ipynb") for page in sorted((ROOT / "docs").rglob(f"*.{kind}"))]
    assert [w for page in pages for w in old_words(prose(page), page)] == []


def test_messages_and_help_speak_plainly() -> None:
    modules = sorted((ROOT / "src").rglob("*.py"))
    assert [w for module in modules for w in old_words(strings(module), module)] == []


def test_identifiers_are_the_field_s() -> None:
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        if path.name == "__init__.py":  # names of a package's aliases
            continue
        text = path.read_text(encoding="utf-8")
        kept = set(ALIAS.findall(text))
        for old, new in RENAMED.items():
            uses = len(re.findall(rf"\b{old}\b", text)) - (old in kept)
            found += [f"{path.relative_to(ROOT)}: {old}; say {new}"] * uses
    assert found == []


def test_the_search_finds_them(tmp_path: Path) -> None:
    text = '"""It is judged anew."""\nx = f"{told} is shown"\n# goes on\nname = "beside"\n'
    found = [(n, w[0]) for n, line in _of(text, tmp_path) for w in PATTERN.finditer(line)]
    assert found == [(1, "judged"), (1, "anew"), (3, "goes on")]


def _of(text: str, folder: Path) -> Iterator[tuple[int, str]]:
    path = folder / "module.py"
    path.write_text(text)
    return strings(path)


def test_names_are_the_field_s() -> None:
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        served = "application" in (path.stem, path.parent.name)  # whose hosts are computers
        before, text = ["", ""], path.read_text(encoding="utf-8")
        if not any(word in text.lower() for word in NAMES):
            continue
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            words = set(token.string.lower().split("_")) & set(NAMES) if token.type == tokenize.NAME else set()
            meant = served or {(word, token.string) for word in before} & MEANT
            found += [
                f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}; say {NAMES[w]}" for w in words if not meant
            ]
            before = [before[1], token.string]
    assert found == []


def uncounted(text: str) -> Iterator[tuple[int, str]]:
    """Numbers in f-strings whose noun is always plural: ``{len(clips)} clips`` says "1 clips"."""
    for string in ast.walk(ast.parse(text)):
        parts = string.values if isinstance(string, ast.JoinedStr) else []
        for value, after in itertools.pairwise(parts):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            said = UNCOUNTED.match(str(after.value))
            if said and COUNT.fullmatch(ast.unparse(value.value)):
                yield value.lineno, f"{{{ast.unparse(value.value)}}}{said[0]}; say counted()"


def test_numbers_go_with_their_nouns() -> None:
    found = {p: list(uncounted(p.read_text(encoding="utf-8"))) for p in sorted((ROOT / "src").rglob("*.py"))}
    assert [f"{p.relative_to(ROOT)}:{line}: {said}" for p, these in found.items() for line, said in these] == []
    made = 'a = f"{len(x):,} training clips, {x.shape[0]} frames a second, {len(x)} clips"\nb = f"{n} rows"'
    assert [said.split("}")[1] for _, said in uncounted(made)] == [
        " training clips; say counted()",
        " clips; say counted()",
    ]
