"""Names, commands and options that the documentation or a message speaks of exist, and what exists is documented."""

from __future__ import annotations

import ast
import io
import pkgutil
import re
import shlex
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from motet import cli
from motet.data import formats, layouts, splits
from motet.data.augment import Augment
from motet.data.views import KINDS
from motet.evaluate import protocol, protocols, results
from motet.methods import recipes
from motet.methods.distillation.result import ResultForm
from motet.reproduce import all_tables
from tests.pages import PAGES, ROOT, VERBS, blocks, commands, verb_of


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
    for file in re.findall(r"`((?:src|motet|tests|benchmarks|experiments)/[\w/]+\.\w+)`", text):
        there = (ROOT / file).exists() or (ROOT / "src" / file).exists() or "agree" in file  # which adding.md writes
        assert there, f"{page.name} speaks of the file {file}"
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


def test_the_table_of_kinds_of_runs_names_the_protocols_of_rows() -> None:
    lines = (ROOT / "docs/cli.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("| `motet evaluate RUN` | every protocol |"))
    said = row.split(" | ")[2].split(", ")
    assert sorted(said) == sorted(name for name in protocols() if hasattr(protocol(name), "FEATURES_ALONE"))


def _keys(page: str) -> set[str]:
    """Names in the first column of the first table of a page that describes an object."""
    text = (ROOT / "docs/api" / page).read_text(encoding="utf-8").partition("| key | meaning |")[2].partition("\n\n")[0]
    return {name for row in text.splitlines() for name in re.findall(r"`(\w+)`", row.partition(" | ")[0])}


def test_the_tables_of_results_hold_every_key() -> None:
    assert _keys("distillation.md") == {*ResultForm.__annotations__, "motet"}
    schema = (results.__doc__ or "").partition("::\n\n")[2].partition("\n\n")[0]
    named = {name for row in schema.splitlines() for name in re.split(r",? +", re.split(r" {2,}", row.strip())[0])}
    assert _keys("evaluation.md") == named


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
def test_the_table_of_contrastive_options_holds_the_values_of_the_recipes(option: str) -> None:
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
