"""How the processor's memory is used."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from motet.core import devices

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_freed_memory_is_used_again() -> None:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=given, capture_output=True, text=True, check=True)
    kept, pages = done.stdout.split()
    assert kept == "True"
    assert int(pages) < 100  # 0; every array that is given back costs 10,000 pages of 4 kB, or 20 of 2 MB


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_settings_of_the_user_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in [n for n in os.environ if n.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(other)
    done: list[tuple[int, ...]] = []
    library = SimpleNamespace(mallopt=lambda *given: done.append(given) or 1)
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: library)
    with monkeypatch.context() as patch:
        patch.setenv(name, "2")
        assert not devices.keep_freed_memory()
        assert done == []
    assert devices.keep_freed_memory() == (len(done) == 2) == (os.name == "posix")
