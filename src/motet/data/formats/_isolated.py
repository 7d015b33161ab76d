"""Files of foreign binary formats are read in a process of their own.

A crash, a loop or a flood of memory ends there as one line about the file.

The process is started on first use, serves until its caller ends, and is replaced after it died. It is handed the
content of a file, never its name, and answers with plain data and arrays.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import json
import pickle
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from motet.core.errors import DataError

SECONDS = 120.0
WORK = 3.0, 2e-6  # seconds of processor time, and more for each byte of the file: a damaged one can be a loop
MEMORY = 2**30  # bytes beyond 20 times the size of the file
MOST_ANSWER = 2**32
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {0} import serve; serve()"
_process: subprocess.Popen[bytes] | None = None
_endless: set[str] = set()  # digests of requests that did not come to an end, which are not tried again


def call(module: str, function: str, path: Path, data: bytes, *arguments: Any, seconds: float = SECONDS) -> Any:
    """``function(data, *arguments)`` of a module of this package, run apart.

    Args:
        module, function: what reads the content of a file.
        path: of the file, for messages.
        data: its content.
        arguments: further plain arguments.
        seconds: after which it is given up.

    Raises:
        DataError: it failed, crashed, or took too long or too much memory; names the file.
    """
    global _process
    bounds = MEMORY + 20 * len(data), WORK[0] + WORK[1] * len(data)
    request = pickle.dumps((module, function, data, arguments, bounds))
    known = hashlib.sha256(request).hexdigest()
    if known in _endless:
        raise DataError(f"{path} cannot be read: its reader does not come to an end")
    if _process is None or _process.poll() is not None:
        _process = _started()
    worker = _process
    try:
        assert worker.stdout is not None
        _send(worker.stdin, request)
        if not select.select([worker.stdout], [], [], seconds)[0]:
            raise DataError(f"{path} cannot be read: its reader did not end within {seconds:g} seconds")
        worked, answer = pickle.loads(_receive(worker.stdout))  # our own process wrote it
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(1)
        stop()
        if worker.returncode == -getattr(signal, "SIGPROF", 0):
            _endless.add(known)
            raise DataError(f"{path} cannot be read: its reader does not come to an end") from error
        raise DataError(f"{path} cannot be read: it made the reader of its format crash") from error
    except BaseException:
        stop()
        raise
    if not worked:
        raise DataError(f"{path} cannot be read as it should ({answer})")
    return answer


def _started() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _START.format(__name__), json.dumps(sys.path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@atexit.register
def stop() -> None:
    """End the process, if there is one."""
    global _process
    worker, _process = _process, None
    if worker is not None:
        worker.kill()
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _send(stream: IO[bytes] | None, data: bytes) -> None:
    assert stream is not None
    stream.write(struct.pack("<Q", len(data)))
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    head = stream.read(8)
    size = struct.unpack("<Q", head)[0] if len(head) == 8 else MOST_ANSWER + 1
    if size > MOST_ANSWER:
        raise EOFError
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _bounded(memory: int, seconds: float) -> None:
    """Limit memory, and the processor time from now on: the system ends the process that goes beyond."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    except (ImportError, ValueError, OSError):  # Windows, or a system without such a limit
        return


def _try(data: bytes, module: str, function: str, arguments: tuple[Any, ...]) -> Any:
    """Call anything; the tests break the process with it."""
    return getattr(importlib.import_module(module), function)(*arguments)


def serve() -> None:
    """The loop of the process: a request after the other until the caller is gone."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a package prints must not get among the answers
    while True:
        try:
            module, function, data, arguments, bounds = pickle.loads(_receive(requests))
        except EOFError:
            return
        _bounded(*bounds)
        answer: tuple[bool, Any]
        try:
            answer = True, getattr(importlib.import_module(f"motet.data.formats.{module}"), function)(data, *arguments)
            packed = pickle.dumps(answer, protocol=5)
        except BaseException as error:  # a damaged file may bring about anything, an exit too
            said = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error!s:.100}"
            packed = pickle.dumps((False, said))
        try:
            _send(answers, packed)
        except OSError:
            return
