"""IEMOCAP (Busso et al., 2008): four classes, 5,531 utterances, one fold per session.

Classes by the consensus of the annotators (``dialog/EmoEvaluation``): anger, sadness, neutral, and happiness together
with excitement. ``audio`` and ``speech`` are the wav file of the utterance, ``text`` its transcription, ``video`` its
part of the dialogue's film, which shows both speakers.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from motet.core.errors import DataError
from motet.core.text import counted
from motet.methods.distillation.raw.datasets.base import Found, instead, some
from motet.methods.distillation.raw.manifest import Item, Manifest

CLASSES = {"ang": "anger", "hap": "happiness", "exc": "happiness", "neu": "neutral", "sad": "sadness"}
# utterances of every session: anger, happiness, neutral, sadness
SIZES = {
    1: (229, 278, 384, 194),
    2: (137, 327, 362, 197),
    3: (240, 286, 320, 305),
    4: (327, 303, 258, 143),
    5: (170, 442, 384, 245),
}
TOTAL = 5531
_TURN = re.compile(r"\[(\d+\.?\d*) - (\d+\.?\d*)\]\t(\w+)\t(\w+)\t")
_WORDS = re.compile(r"(Ses\w+) \[[^]]*\]: ?(.*)")


def find(source: Path) -> Found:
    """Index of IEMOCAP: the folder with ``Session1`` … ``Session5``.

    Raises:
        DataError: no session is there.
    """
    source = source.resolve()
    ids: list[str] = []
    labels: list[str] = []
    folds: list[int] = []
    modalities: dict[str, list[Item | None]] = {**{"video": [], "face": [], "audio": [], "speech": [], "text": []}}
    absent: dict[str, list[str]] = {"wav files": [], "transcriptions": [], "films": []}
    missing: list[str] = []
    for session in SIZES:
        root = source / f"Session{session}"
        if not root.is_dir():
            missing.append(f"Session{session} is not there")
            continue
        counts: Counter[str] = Counter()
        words = _transcriptions(root)
        for path in sorted((root / "dialog/EmoEvaluation").glob("Ses*.txt")):
            for name, emotion, start, end in _turns(path):
                counts[emotion] += 1
                ids.append(name)
                labels.append(emotion)
                folds.append(session)
                wav = _there(root / "sentences/wav" / path.stem / f"{name}.wav")
                film = _there(root / "dialog/avi/DivX" / f"{path.stem}.avi")
                modalities["audio"].append(Item(wav) if wav else None)
                modalities["speech"].append(Item(wav) if wav else None)
                for kind in ("video", "face"):
                    modalities[kind].append(Item(film, start, end) if film else None)
                modalities["text"].append(Item(words[name]) if name in words else None)
                for what, found in (("wav files", wav), ("transcriptions", words.get(name)), ("films", film)):
                    if not found:
                        absent[what].append(name if what != "films" else path.stem)
        for emotion, wanted in zip(("anger", "happiness", "neutral", "sadness"), SIZES[session], strict=True):
            missing += instead(f"utterances of {emotion} in session {session}", counts[emotion], wanted)
    if not ids:
        raise DataError(
            f"{source} has no utterance of IEMOCAP; it must hold Session1 … Session5 with dialog/EmoEvaluation"
        )
    missing += instead("utterances", len(ids), TOTAL)
    for what, names in absent.items():
        if names:
            unlike = list(dict.fromkeys(names))
            missing.append(f"{len(unlike):,} {what} are not there ({some(unlike)})")
    groups = [f"session {fold}" for fold in folds]
    kept = {name: items for name, items in modalities.items() if any(items)}
    return Found(
        Manifest(str(source), ids, labels, kept, None, folds, groups),
        tuple(missing),
        (f"{counted(len(ids), 'utterance')} of {counted(len(set(folds)), 'session')}",),
    )


def _there(path: Path) -> str | None:
    return str(path) if path.is_file() else None


def _turns(path: Path) -> list[tuple[str, str, float, float]]:
    """(utterance, class, start, end in seconds) of the four classes, from lines ``[start - end] TAB name TAB …``."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _TURN.match(line)
        if match and match[4] in CLASSES:
            found.append((match[3], CLASSES[match[4]], float(match[1]), float(match[2])))
    return found


def _transcriptions(root: Path) -> dict[str, str]:
    """Utterance → words."""
    found = {}
    for path in sorted((root / "dialog/transcriptions").glob("Ses*.txt")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            match = _WORDS.match(line)
            if match and match[2].strip():
                found[match[1]] = match[2].strip()
    return found
