"""What a result was made on: versions, hardware, command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from motet._version import __version__


def hardware() -> dict[str, Any]:
    """What this machine is: for tables and for environment.json."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu}


def environment() -> dict[str, Any]:
    """Versions, hardware and the command that was given."""
    return {
        "motet": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": shlex.join(["motet", *sys.argv[1:]]) if Path(sys.argv[0]).name == "motet" else None,
        **hardware(),
    }
