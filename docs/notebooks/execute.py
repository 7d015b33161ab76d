"""Runs the notebooks of this folder and stores what they print: ``python docs/notebooks/execute.py [NOTEBOOK …]``.

Code cells run one after the other in an empty folder, without Jupyter. Cells tagged ``install`` are for services such
as Colab and are left out. A cell's output is what it prints and the value of its last expression.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def execute(notebook: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The notebook with the outputs of its cells; an exception of a cell ends it."""
    module = types.ModuleType("notebook")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    number = 0
    with contextlib.chdir(folder):
        for cell in notebook["cells"]:
            if cell["cell_type"] != "code" or "install" in cell["metadata"].get("tags", ()):
                continue
            number += 1
            cell["execution_count"], cell["outputs"] = number, list(_outputs("".join(cell["source"]), module, number))
    return notebook


def _outputs(source: str, module: types.ModuleType, number: int) -> Iterator[dict[str, Any]]:
    tree, said, value = ast.parse(source), io.StringIO(), None
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(ast.Module(tree.body[: -1 if last else None], []), "<cell>", "exec"), vars(module))
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), vars(module))
    if said.getvalue():
        yield {"name": "stdout", "output_type": "stream", "text": said.getvalue().splitlines(keepends=True)}
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        html = getattr(value, "_repr_html_", None)
        if html is not None and html():
            data["text/html"] = html().splitlines(keepends=True)
        yield {"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"}


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(HERE.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            done = execute(json.loads(path.read_text(encoding="utf-8")), Path(folder))
        path.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
