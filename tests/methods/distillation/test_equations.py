"""The public equations are what training runs: each method is trained for a step, and the calls are counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from motet import distill
from motet.core.errors import MotetWarning
from motet.losses import multimodal
from motet.methods.distillation.methods import METHODS
from tests.methods.distillation.toys import write_table

EQUATIONS = ("class_contrast", "jensen_shannon", "adversarial_student", "adversarial_critic")
CALLS = {
    "amid": set(EQUATIONS),
    "nce": set(EQUATIONS),
    "ccl": {"class_contrast", "jeffreys"},
    "kd": {"softened_answers"},
    "crcd": {"softened_answers"},
}
SPIED = (*EQUATIONS, "jeffreys", "softened_answers", "cross_entropy")


@pytest.mark.parametrize("method", list(METHODS))
def test_a_step_of_every_method_runs_the_public_equations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    seen: set[str] = set()

    def spy(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            seen.add(name)
            return function(*args, **kwargs)

        return called

    for name in SPIED:
        monkeypatch.setattr(multimodal, name, spy(name, getattr(multimodal, name)))
    options: dict[str, Any] = {"warm_up": 0} if method in ("amid", "nce") else {}
    path = write_table(tmp_path / "table.npz", rows=24)
    with pytest.warns(MotetWarning, match="warm-up") if options else pytest.MonkeyPatch.context():
        distill.run(
            path, "eye", "ear", method=method, split="all", epochs=1, batch_size=24, diagnose=False, progress=False,
            **options,
        )  # fmt: skip
    assert seen == CALLS.get(method, set()) | {"cross_entropy"}
