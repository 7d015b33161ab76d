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
            changes = {"recording": row["name"], **piece.changes, "name": f"{row['name']}_{who}", "individual": who}
            yield replace(piece, changes=changes, slots=(slot,), tracks=_tracks(piece.archive, names, who))


def names_of(archive: MotionArchive, row: int) -> list[str]:
    """Of the persons of a clip, in their order; ``person1`` … where they are not known."""
    said = archive.clips[_NAMES][row] if _NAMES in archive.clips.columns else None
    names = str(said or "").split(", ")
    known = names if len(set(names)) == len(names) == archive.clips["persons"][row] else []
    return [*known, *(f"person{n + 1}" for n in range(len(known), archive.persons))]


def _tracks(archive: MotionArchive, names: Sequence[str], who: str) -> dict[str, str]:
    """Tracks that a person has, and what they are called then."""
    found = {}
    for track in archive.tracks:
        owner = next((name for name in names if track.endswith(f" {name}")), None)
        if owner in (None, who):
            found[track] = track if owner is None else track.removesuffix(f" {owner}")
    return found
