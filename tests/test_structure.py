"""The house: few modules at the root, rooms that know only rooms before them, no cycles, files that can be read."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from benchmarks import house

import motet

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "motet"
ROOMS = (
    "core",
    "data",
    "losses",
    "encoders",
    "memory",
    "metrics",
    "engine",
    "methods",
    "evaluate",
    "use",
    "report",
    "application",
)
ROOMS = (*ROOMS, "reproduce", "cli")
# imports that still point the wrong way; this set only ever shrinks
AGAINST: set[tuple[str, str]] = set()
# edges of cycles that are left; this set only ever shrinks
CIRCLES: set[tuple[str, str]] = set()


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("motet", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _modules() -> frozenset[str]:
    return frozenset(map(_module, _files()))


@cache
def _imports(path: Path) -> frozenset[str]:
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports anywhere, inside functions too; not for type checking alone."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(inner for part in node.body for inner in ast.walk(part))
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "motet":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in _modules() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "motet")


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def test_few_modules_at_the_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 5
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert rooms == set(ROOMS)


def test_imports_point_one_way() -> None:
    found = set()
    for path in _files():
        own = _room(_module(path))
        for module in _imports(path):
            other = _room(module)
            if own and other and ROOMS.index(other) > ROOMS.index(own):
                found.add((path.relative_to(PACKAGE).as_posix(), other))
    assert found == AGAINST


def test_no_import_cycle() -> None:
    """Between modules, lazy imports counted; a package's own ``__init__`` may gather its modules."""
    graph: dict[str, set[str]] = {}
    for path in _files():
        own = _module(path)
        inside = f"{own}." if path.name == "__init__.py" else "-"
        against = {room for name, room in AGAINST if name == path.relative_to(PACKAGE).as_posix()}
        graph[own] = {
            m
            for m in _imports(path)
            if m in _modules()
            and m != own
            and not m.startswith(inside)
            and _room(m) not in against
            and (own, m) not in CIRCLES
        }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            pytest.fail(" -> ".join((*trail[trail.index(module) :], module)))
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize(
    "module", ["data.edit", "data.exchange", "data.inspection", "data.doctor", "data.stitch", "application.server"]
)
def test_verbs_of_archives_and_the_application_start_without_torch(module: str) -> None:
    """What is imported with a module, functions aside."""
    found, left = set[str](), [f"motet.{module}"]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        path = PACKAGE.parent / name.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if source.exists():
            left += [name.rpartition(".")[0], *_at_once(source)]
    assert "numpy" in found
    assert not {name.split(".")[0] for name in found} & {"torch", "scipy", "sklearn", "lightning_fabric", "onnx"}


def _at_once(path: Path) -> Iterator[str]:
    for node in _tree(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def test_no_function_is_longer_than_sixty_lines_without_its_docstring() -> None:
    long = {
        f"{path.relative_to(PACKAGE).as_posix()}: {one.name}"
        for path in _files()
        for one in house.functions_of(_tree(path))
        if house.lines_of(one, docstring=False) > 60
    }
    assert long == set()


def test_files_can_be_read() -> None:
    long = {p.relative_to(PACKAGE).as_posix() for p in _files() if len(p.read_text("utf-8").splitlines()) > 500}
    assert not long


def test_the_conda_recipe_asks_for_what_the_wheel_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = (ROOT / "packaging" / "recipe.yaml").read_text()
    run = re.findall(r"^    - (.+)$", recipe.split("  run:\n")[1].split("tests:\n")[0], flags=re.MULTILINE)
    asked = [*project["dependencies"], *project["optional-dependencies"]["app"], f"python{project['requires-python']}"]
    assert sorted(one.replace("pytorch", "torch").replace(" ", "") for one in run) == sorted(asked)
    assert f'version: "{motet.__version__}"' in recipe
