from __future__ import annotations

from importlib import import_module

import pytest


@pytest.fixture(autouse=True)
def _no_baselines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # what plain k-means finds on three other kinds of features has tests of its own, and would take a third of the time
    if request.path.stem != "test_baselines":
        monkeypatch.setattr(import_module("motet.methods.discovery.run"), "baselines", lambda *_: [])
