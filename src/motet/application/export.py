"""What is taken away from a session: labels for other programs, the classifier, recordings for viewers."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event

import polars as pl

from motet.core.errors import ConfigError
from motet.data import track_files
from motet.data.archive import MotionArchive

FORMATS: Mapping[str, str] = {
    "table": "Labels (CSV)",
    "elan": "Labels (ELAN)",
    "boris": "Labels (BORIS)",
    "audacity": "Labels (Audacity)",
    "model": "Classifier (as of motet fit)",
    "report": "Report (one HTML page)",
    "figures": "Figures (SVG)",
    "glb": "This recording (glTF, .glb)",
}
"""exports by name, with the words on their buttons."""


def export(archive: MotionArchive, track: str, form: str, closing: Event) -> tuple[str, bytes]:
    """File name and content of labels or of the classifier.

    Args:
        archive: recordings with the label track.
        track: whose labels are exported.
        form: ``model``, or a form of label files.
        closing: ends what takes long.

    Raises:
        ConfigError: no labels yet, or no classifier can be fitted.
    """
    tracks = MotionArchive.open(archive.path).tracks  # as they are on disk now
    rows = tracks[track] if track in tracks else pl.DataFrame()
    if rows.is_empty():
        raise ConfigError("nothing is labelled yet, so there is nothing to export")
    name = file_name(archive.path.stem)
    if form == "model":
        return f"{name}-model.zip", _model(archive.path, track, closing)
    written = track_files.write(rows, form, name=track, durations=tracks.durations if form == "elan" else None)
    if len(written) == 1:
        [(file, text)] = written.items()
        return f"{name}-{file}", text.encode()
    return f"{name}-{form}.zip", zipped({file: text.encode() for file, text in written.items()})


def file_name(text: str) -> str:
    """Letters, digits and a few signs of a name, for a file."""
    return re.sub(r"[^\w.+-]", "_", text, flags=re.ASCII)[:80] or "recordings"


def scene(archive: MotionArchive, clip: int) -> tuple[str, bytes]:
    """File name and content of one recording as ``.glb``.

    Raises:
        ConfigError: sensors, flat recordings, or no such recording.
    """
    from motet.use.gltf import write_glb

    if not 0 <= clip < len(archive):
        raise ConfigError(f"there is no recording {clip}; the archive has {len(archive)}")
    with tempfile.TemporaryDirectory() as folder:
        content = write_glb(archive, clip, Path(folder) / "scene.glb").read_bytes()
    return f"{file_name(archive.clips['name'][clip])}.glb", content


def _model(path: Path, track: str, closing: Event) -> bytes:
    """What `motet fit --track` makes of the same labels; a process of its own, as it takes minutes."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        command = [sys.executable, "-m", "motet", "fit", str(path), "--out", str(model), "--track", track, "--quiet"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    said = child.communicate(timeout=0.2)[1]
                    break
                if closing.is_set():
                    child.kill()
        if child.returncode:
            raise ConfigError(said.strip().removeprefix("error: ") or "the classifier was not finished")
        return zipped({file.name: file.read_bytes() for file in sorted(model.iterdir())})


def zipped(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return buffer.getvalue()
