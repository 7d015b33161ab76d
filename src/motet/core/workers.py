"""Processes that work together: which one is the first, and that helpers end when it does."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

EVERY = 0.5
"""seconds between looks at the parent"""


def end_with_parent() -> None:
    """End this process soon after the one that started it has ended, even where that was killed.

    A thread looks at the number of the parent, which changes when the parent is gone; on Windows nothing is done.
    """
    if os.name == "nt":
        return
    parent, started_by = os.getppid(), multiprocessing.parent_process()  # known even if it has ended meanwhile
    if started_by is not None and started_by.pid is not None and not started_by.is_alive():
        parent = started_by.pid  # else a server may have forked this process, which ends when the parent does
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(EVERY)
    os._exit(1)


def first_process() -> bool:
    """Whether this process says and writes what concerns all that work together; known before they have met."""
    found = os.environ
    if int(found.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in found:
        return found["SLURM_PROCID"] == "0"
    if "RANK" in found:
        return found["RANK"] == "0"
    return found.get("LOCAL_RANK", "0") == found.get("NODE_RANK", "0") == "0"
