"""Decoding of video and sound by PyAV: the frames of a window, every frame in turn, a sound at some rate.

Frames are numbered in the order in which they are shown. A window is reached by seeking to the key frame before it; the
result is that of decoding from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.methods.distillation.raw.manifest import Item

if TYPE_CHECKING:
    from fractions import Fraction

Picture = npt.NDArray[np.uint8]
_REMEMBERED = 20_000  # videos whose frame times are kept


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ConfigError("video and sound need PyAV: pip install '.[raw]' in the folder of motet") from error
    return av


@contextmanager
def _opened(item: Item, kind: str) -> Iterator[tuple[Any, Any]]:
    """Container and first stream of a kind; what libav finds wrong becomes an error with the file's name."""
    av = _av()
    try:
        with av.open(item.content, metadata_errors="replace") as container:
            streams = getattr(container.streams, kind)
            if not streams:
                raise DataError(f"{item.content} has no {'picture' if kind == 'video' else 'sound'}")
            if streams[0].codec_context is None:
                raise DataError(f"{item.content} is coded in a way that PyAV does not know; convert it")
            if kind == "video":
                streams[0].codec_context.thread_count = 1  # several files are decoded side by side instead
            yield container, streams[0]
    except (av.FFmpegError, OSError) as error:
        if not Path(item.content).exists():
            raise DataError(f"there is no file {item.content}") from error
        raise DataError(f"{item} cannot be decoded ({error.strerror or error}); the file is damaged") from error


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """Presentation times of the frames of a video, in units of ``base`` seconds; ``first`` is where the file begins."""

    pts: npt.NDArray[np.int64]
    base: Fraction
    first: int


@lru_cache(maxsize=_REMEMBERED)
def frame_times(item: Item) -> FrameTimes:
    """Of every frame between the item's start and end.

    They are read from the packets, without decoding, where the file tells them there.

    Raises:
        DataError: not a video, damaged, or no frame in that part.
    """
    with _opened(item, "video") as (container, stream):
        packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
        pts = [p.pts for p in packets]
        base = stream.time_base
    if None in pts or len(set(pts)) != len(pts):  # AVI has no presentation times
        with _opened(item, "video") as (container, stream):
            pts = [frame.pts for frame in container.decode(stream)]
        if None in pts or len(set(pts)) != len(pts):
            raise DataError(f"{item.content}: its frames have no times; write the file again with another container")
    if not pts:
        raise DataError(f"{item.content} has no frame")
    return _between(item, np.sort(np.array(pts, dtype=np.int64)), base)


def _between(item: Item, pts: npt.NDArray[np.int64], base: Fraction) -> FrameTimes:
    first = int(pts[0])
    low = first + (item.start or 0) / base
    high = float("inf") if item.end is None else first + item.end / base
    kept = pts[(pts >= low) & (pts < high)]
    if not len(kept):
        raise DataError(f"{item} has no frame")
    return FrameTimes(kept, base, first)


def frame_count(item: Item) -> int:
    """Number of frames; errors as :func:`frame_times`."""
    return len(frame_times(item).pts)


def window(item: Item, first: int, count: int) -> list[Picture]:
    """Frames ``first`` to ``first + count - 1``, each (H, W, 3) uint8 red green blue.

    Raises:
        DataError: the file is damaged, or has not so many frames.
    """
    wanted = frame_times(item).pts[first : first + count].tolist()
    if not wanted:
        raise DataError(f"{item} has no frame {first}")
    with _opened(item, "video") as (container, stream):
        if first:
            container.seek(wanted[0], stream=stream, backward=True)
        found = _collect(container, stream, wanted)
    if len(found) < len(wanted):  # some files seek to a place behind the key frame
        with _opened(item, "video") as (container, stream):
            found = _collect(container, stream, wanted)
    if len(found) < len(wanted) or len(wanted) < count:
        raise DataError(f"{item} ends before frame {first + count}; the file is damaged or was cut")
    pictures = [found[pts] for pts in wanted]
    if len({p.shape for p in pictures}) > 1:
        raise DataError(
            f"{item}: the size of the picture changes between frame {first} and {first + count}; convert it"
        )
    return pictures


def _collect(container: Any, stream: Any, wanted: list[int]) -> dict[int, Picture]:
    asked, last = set(wanted), wanted[-1]
    found: dict[int, Picture] = {}
    for frame in container.decode(stream):
        if frame.pts in asked:
            found[frame.pts] = frame.to_ndarray(format="rgb24")
            if len(found) == len(asked):
                break
        elif frame.pts is not None and frame.pts > last:
            break
    return found


def every_frame(item: Item) -> Iterator[Picture]:
    """All frames in turn, each (H, W, 3) uint8; errors as :func:`window`."""
    times = frame_times(item)
    wanted, last, seen = set(times.pts.tolist()), int(times.pts[-1]), 0
    with _opened(item, "video") as (container, stream):
        if times.pts[0] != times.first:
            container.seek(int(times.pts[0]), stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts in wanted:
                seen += 1
                yield frame.to_ndarray(format="rgb24")
            elif frame.pts is not None and frame.pts > last:
                break
    if seen < len(times.pts):
        raise DataError(
            f"{item}: {len(times.pts) - seen} of {counted(len(times.pts), 'frame')} are lost; the file is damaged"
        )


def sound(item: Item, rate: int) -> npt.NDArray[np.float32]:
    """(samples,) of the first sound stream at ``rate`` Hz, in [−1, 1]; several channels are averaged.

    Raises:
        DataError: no sound, damaged, or nothing in that part.
    """
    av = _av()
    parts: list[npt.NDArray[np.float32]] = []
    begins: float | None = None
    with _opened(item, "audio") as (container, stream):
        origin = float((stream.start_time or 0) * stream.time_base)
        start = item.start or 0.0
        if start:
            container.seek(int((origin + start) / stream.time_base), stream=stream, backward=True)
        resampler = av.AudioResampler(format="fltp", rate=rate)
        for frame in container.decode(stream):
            if begins is None:
                begins = (frame.time if frame.time is not None else origin) - origin
            if item.end is not None and frame.time is not None and frame.time - origin >= item.end:
                break
            parts += [part.to_ndarray().mean(axis=0) for part in resampler.resample(frame)]
        if begins is not None:
            parts += [part.to_ndarray().mean(axis=0) for part in resampler.resample(None)]
    whole = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    low = max(0, round((start - (begins or 0.0)) * rate))
    high = None if item.end is None else low + round((item.end - start) * rate)
    part = whole[low:high]
    if not len(part):
        raise DataError(f"{item} has a sound stream without a sample")
    if not np.isfinite(part).all():
        raise DataError(f"{item}: its sound is not finite; the file is damaged")
    return np.ascontiguousarray(part, dtype=np.float32)


def check(item: Item, kind: str) -> None:
    """Open a recording and look for what a modality of this kind needs; errors as of reading it."""
    if kind in ("video", "face"):
        frame_count(item)
    elif not has(item, "audio"):
        raise DataError(f"{item.content} has no sound")


def has(item: Item, kind: str) -> bool:
    """Whether a file has a stream of a kind (``video`` or ``audio``).

    Raises:
        DataError: it cannot be opened.
    """
    av = _av()
    try:
        with av.open(item.content, metadata_errors="replace") as container:
            return bool(getattr(container.streams, kind))
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{item.content} cannot be decoded ({error.strerror or error}); it is damaged") from error
