"""Own recordings: one folder per class, perhaps under ``train`` and ``test``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from motet.core.errors import DataError
from motet.methods.distillation.raw import media
from motet.methods.distillation.raw.datasets.base import Found
from motet.methods.distillation.raw.manifest import Item, Manifest

VIDEO = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg")
AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")
_SPLITS = ("train", "val", "test")


def find(source: Path) -> Found:
    """Files of one name are one sample: a video, a sound next to it (else that of the video), a ``.txt`` with words.

    Raises:
        DataError: two videos or two sounds of one name, or a text that is not UTF-8.
    """
    split = any((source / name).is_dir() for name in _SPLITS)
    roots = [(name, source / name) for name in _SPLITS if (source / name).is_dir()] if split else [("", source)]
    ids: list[str] = []
    labels: list[str] = []
    sides: list[str] = []
    found: dict[str, list[Item | None]] = {"video": [], "audio": [], "text": []}
    for side, root in roots:
        for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
            for stem, files in sorted(_samples(folder).items()):
                ids.append("/".join(part for part in (side, folder.name, stem) if part))
                labels.append(folder.name)
                sides.append(side)
                for modality, item in _items(files).items():
                    found[modality].append(item)
    modalities = {name: items for name, items in found.items() if any(items)}
    if not modalities:
        raise DataError(f"{source} has no recordings; there must be one folder of them per class")
    return Found(Manifest(str(source), ids, labels, modalities, split=sides if split else None))


def _samples(folder: Path) -> dict[str, dict[str, Path]]:
    """Stem → kind of file → path."""
    samples: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        kind = "video" if suffix in VIDEO else "audio" if suffix in AUDIO else "text" if suffix == ".txt" else None
        if kind is None or path.name.startswith("."):
            continue
        if kind in samples[path.stem]:
            raise DataError(f"{samples[path.stem][kind]} and {path} have one name; two samples cannot share it")
        samples[path.stem][kind] = path
    return dict(samples)


def _items(files: dict[str, Path]) -> dict[str, Item | None]:
    found: dict[str, Item | None] = {kind: _item(files, kind) for kind in ("video", "audio")}
    video = found["video"]
    if found["audio"] is None and video is not None and media.has(video, "audio"):
        found["audio"] = video
    found["text"] = None
    if "text" in files:
        try:
            words = files["text"].read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{files['text']} is not UTF-8 text") from error
        found["text"] = Item(words) if words else None
    return found


def _item(files: dict[str, Path], kind: str) -> Item | None:
    return Item(str(files[kind].resolve())) if kind in files else None
