from __future__ import annotations

from pathlib import Path

import pytest
import torch

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # two OpenMP threads under contention can be many times slower than one
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout; skips where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip("real recordings are not beside this checkout")
    return REAL_DATA
