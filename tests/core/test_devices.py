"""How the processor's memory is used."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from motet.core.devices import keep_freed_memory
print(keep_freed_memory())
def step():
    a = torch.ones(10_000_000)  # 40 MB, 10,000 pages
    b = torch.ones(100_000)
    del a, b
for _ in range(20):
    step()  # until there is room for both, wherever they come to lie
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(**more: str) -> tuple[str, int]:
    """Whether memory is kept, and the pages that ten steps of 40 MB ask for."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, env={**given, **more}, capture_output=True, text=True, check=True)
    kept, pages = done.stdout.split()
    return kept, int(pages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_freed_memory_is_used_again() -> None:
    kept, pages = _faults()
    assert kept == "True"
    assert pages < 100  # 0; every array that is given back costs 10,000 pages of 4 kB, or 20 of 2 MB


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_settings_of_the_user_are_left_alone(name: str) -> None:
    kept, _ = _faults(**{name: {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}[name]})
    assert kept == "False"
