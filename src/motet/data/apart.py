"""Recordings of several people or animals as one clip for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from motet.data.archive import MotionArchive
from motet.data.pieces import Piece

_NAMES = "individuals"  # column in which an import keeps their names, with ", " between


def apart(pieces: Iterable[Piece], slots: Sequence[int]) -> Iterator[Piece]:
    """A piece for each person of a piece, of those in ``slots``, that it shows.

    It is called after the piece and the person, whose name is in the column ``individual``. Of tracks that are called
    after a person (``behaviour mouse1``) it has its own, without that name; it has all that are of nobody.
    """
    for piece in pieces:
        names = names_of(piece.archive, piece.index)
        frames = piece.archive.clip(piece.index)[piece.first : piece.last]
        for slot in slots:
            if not frames[:, slot].any():
                continue
            row, who = piece.row, names[slot]
            changes = {**piece.changes, "name": f"{row['name']}_{who}", "recording": piece.recording, "individual": who}
            yield replace(piece, changes=changes, slots=(slot,), tracks=_tracks(piece.archive, names, who))


def named(pieces: Iterable[Piece], slots: Sequence[int]) -> Iterator[Piece]:
    """Pieces with the names of those who are taken, where the import knew who is who."""
    for piece in pieces:
        who = ", ".join(names_of(piece.archive, piece.index)[slot] for slot in slots)
        yield replace(piece, changes={**piece.changes, _NAMES: who}) if piece.row.get(_NAMES) else piece


def names_of(archive: MotionArchive, row: int) -> list[str]:
    """Of the persons of a clip, in their order; ``person1`` … where they are not known."""
    said = archive.clips[_NAMES][row] if _NAMES in archive.clips.columns else None
    names = str(said).split(", ") if said else []
    several = archive.clips["persons"][row] <= len(names) <= archive.persons  # some may never be seen
    known = names if several and len(set(names)) == len(names) else []
    return [*known, *(f"person{n + 1}" for n in range(len(known), archive.persons))]


def _tracks(archive: MotionArchive, names: Sequence[str], who: str) -> dict[str, str]:
    """Tracks that a person has, and what they are called then: where that is a track of nobody, as they are."""
    found = {}
    for track in archive.tracks:
        owner = max((name for name in names if track.endswith(f" {name}")), key=len, default=None)
        if owner in (None, who):
            short = track if owner is None else track.removesuffix(f" {owner}")
            found[track] = track if short in archive.tracks else short
    return found
