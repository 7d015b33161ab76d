"""Figures of a checkout's source: modules, lines, import cycles, loops, links. Nothing is imported or run.

python -m benchmarks.house             # this checkout
python -m benchmarks.house ../before   # another one
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median


def module_of(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(("motet", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def imports(tree: ast.Module, modules: set[str]) -> Iterator[str]:
    """Modules of the package that are imported anywhere, inside functions too; not for type checking alone."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(inner for part in node.body for inner in ast.walk(part))
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "motet":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def in_cycles(graph: dict[str, set[str]]) -> set[str]:
    """Modules that reach themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += graph[module]
        return seen

    return {module for module in graph if module in reached(module)}


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods, also those inside others."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef, *, docstring: bool = True) -> int:
    """From ``def`` to the last line, its docstring included or not."""
    count, first = (function.end_lineno or function.lineno) - function.lineno + 1, function.body[0]
    if docstring or ast.get_docstring(function) is None:
        return count
    return count - ((first.end_lineno or first.lineno) - first.lineno + 1)


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])
    package = root / "src" / "motet"
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    modules = {module_of(path, package) for path in texts}
    graph = {}
    for path, tree in trees.items():
        own = module_of(path, package)
        inside = f"{own}." if path.name == "__init__.py" else "-"  # a package may gather its modules
        graph[own] = {m for m in imports(tree, modules) if m in modules and m != own and not m.startswith(inside)}
    functions = [lines_of(node) for tree in trees.values() for node in functions_of(tree)]
    bare = sum(lines_of(node, docstring=False) > 60 for tree in trees.values() for node in functions_of(tree))
    loops = [path.relative_to(package).as_posix() for path, text in texts.items() if ".backward(" in text]
    pages = [root / "README.md", *(root / "docs" / "methods").rglob("*.md")]
    linked = "".join(p.read_text(encoding="utf-8") for p in [*(package / "losses").rglob("*.py"), *pages])
    lengths = [len(text.splitlines()) for text in texts.values()]
    named = r"isinstance\([^)]*\b(STGCN|SkeletonGRU|CausalGRU|TCN|Transformer)\b"
    outside = {p: t for p, t in texts.items() if "encoders" not in p.parts}
    print(f"modules at the root: {len(list(package.glob('*.py')))}")
    print(f"files above 500 lines: {sum(n > 500 for n in lengths)} of {len(lengths)}; lines: {sum(lengths)}")
    print(f"modules in import cycles: {len(in_cycles(graph))}")
    print(f"lines of a function: median {median(functions):g}, p99 {sorted(functions)[int(0.99 * len(functions))]}")
    print(f"functions above 60 lines without docstring: {bare}")
    print(f"modules that go backward: {len(loops)} ({', '.join(loops)})")
    print(f"isinstance of an encoder outside its room: {sum(len(re.findall(named, t)) for t in outside.values())}")
    asked = r"encoder\"?\]? (==|!=|in) [(\"]"
    by_name = sum(len(re.findall(asked, t)) for t in outside.values())
    print(f"comparisons with the name of an encoder outside its room: {by_name}")
    comparisons = sum(len(re.findall(r'method == "', t)) for t in texts.values())
    print(f"comparisons with the name of a method: {comparisons}")
    print(f"links to papers in losses, README and method pages: {len(re.findall('arxiv|doi[:.]', linked.lower()))}")
    print(f"lines of experiments/: {sum(len(p.read_text().splitlines()) for p in root.glob('experiments/*.py'))}")


if __name__ == "__main__":
    main()
