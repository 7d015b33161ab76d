"""From an archive to batches: preprocessed clips resident on the device, random windows of them, the order of an epoch.

There are no worker processes: the whole (preprocessed) set is one ragged tensor, a batch is one gather from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.rng import CounterRNG
from motet.core.text import counted, pasted
from motet.data.archive import MotionArchive
from motet.data.augment import Augment, augment
from motet.data.preprocess import check_method, oriented, preprocess
from motet.data.skeletons import coordinates
from motet.data.worn import axis_in, digest_of, to_one_side

_CHUNK_BYTES = 8 << 20  # padded clips that are preprocessed together
_HELD_BYTES = 256 << 20  # pages of mapped files that preprocessing holds
_CACHE_VERSION = 2
MAX_FRAMES = 300
"""frames of a clip that are read, as in CMD's release"""
_FAST = 45.0  # frames per second from which a lower rate shows more of a clip
_LONGER = 1.1  # times as long, and all clips that are cut off are said


def warn_cut_off(archive: MotionArchive, fps: float | None = None) -> None:
    """Say :func:`cut_off` of all clips."""
    if said := cut_off(archive, fps=fps):
        warnings.warn(said, MotetWarning, stacklevel=3)


def cut_off(
    archive: MotionArchive, ids: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None, fps: float | None = None
) -> str:
    """What a reader must know of clips that are read in part; empty where hardly any of them is lost.

    Args:
        archive: recordings.
        ids: archive rows that are read; all by default.
        fps: frames per second to which they are brought.
    """
    lengths = archive.lengths if ids is None else archive.lengths[np.asarray(ids)]
    scale = fps / archive.fps if fps and archive.fps else 1.0
    frames = lengths * scale
    if frames.max(initial=0) <= _LONGER * MAX_FRAMES:
        return ""
    count = int((frames > MAX_FRAMES).sum())
    rate = fps or archive.fps
    most, seconds = (f"{MAX_FRAMES / rate:.3g} s", MAX_FRAMES / rate) if rate else (f"{MAX_FRAMES} frames", 4.0)
    windows = pasted(archive.path, f"{archive.path}-windows", "--seconds", f"{min(4.0, seconds):.2g}")
    slower = (
        f", or read ten seconds at 30 frames a second (`motet data convert {pasted(archive.path, 'SLOW')} --fps 30`)"
    )
    return (
        f"only the first {most} of {count} of {counted(len(lengths), 'clip')} of {archive.path} are read: cut longer "
        f"recordings into windows (`motet data split {windows}`){slower * (not fps and (rate or 0) > _FAST)}"
    )


class ClipStore:
    """Preprocessed clips of an archive, end to end in one (sum T, P, V, C) tensor.

    The tensor lives on ``device``. A set larger than ``memory`` that stays on the CPU is a memory-mapped file in the
    cache directory instead, made once for each (content of the archive, clips, method, dtype, max_frames), and the
    pages of it that the process holds are bounded by ``memory`` too.

    Args:
        archive: the recordings; each clip is compared with its digest when it is read.
        ids: archive rows of the clips, all by default.
        preprocess: method of :func:`motet.data.preprocess.preprocess`; ``mirror`` and the like read sensors worn on the
            left (:mod:`motet.data.worn`) as if they were worn on the right.
        device: where the clips live.
        max_frames: longer clips keep their first ``max_frames`` frames (300, as CMD's release).
        dtype: float32, or float16 to halve the memory.
        cache: directory for mapped files; by default ``$MOTET_CACHE`` or ``~/.cache/motet``.
        memory: bytes up to which clips are held in memory.

    Attributes:
        ids: (N,) int64 archive rows, as given.
        lengths, labels: (N,) int64 in the order of ``ids``; a label of -1 is unknown.
        skeleton: layout in the orientation that preprocessing gives (hand this one to ``augment``).
        data: (sum T, P, V, C).

    Raises:
        ConfigError: a method that does not fit the layout, ids that are not rows, or no clips at all.
        DataError: a clip whose data are not those that were written (its name is in the message).
    """

    def __init__(
        self,
        archive: MotionArchive,
        ids: Sequence[int] | npt.NDArray[np.integer[Any]] | Tensor | None = None,
        *,
        preprocess: str = "cmd",
        device: str | torch.device = "cpu",
        max_frames: int = MAX_FRAMES,
        dtype: torch.dtype = torch.float32,
        cache: str | Path | None = None,
        memory: int = 2 << 30,
    ) -> None:
        self.ids = _rows(archive, ids)
        self.coordinates = coordinates(archive.channels)
        check_method(preprocess, archive.skeleton, self.coordinates)
        if max_frames < 1:
            raise ConfigError(f"max_frames is {max_frames}; it must be at least 1")
        if dtype not in (torch.float32, torch.float16):
            raise ConfigError(f"clips are kept in float32 or float16, not {dtype}")
        self.device = torch.device(device)
        self.skeleton = oriented(archive.skeleton, preprocess)
        lengths = archive.lengths if preprocess != "crossclr" else _seen(archive)
        self.lengths = torch.from_numpy(lengths)[self.ids].clamp_max(max_frames)
        self.labels = torch.from_numpy(archive.labels)[self.ids]
        self._map: mmap.mmap | None = None
        self._memory, self._touched = memory, 0
        shape = (int(self.lengths.sum()), archive.persons, len(archive.skeleton), len(archive.channels))
        size = int(np.prod(shape)) * dtype.itemsize
        if self.device.type != "cpu" or size <= memory:
            self.data = torch.empty(shape, dtype=dtype, device=self.device)
            _fill(self.data, archive, self.ids, self.lengths, preprocess)
        else:
            path = _cache_path(archive, self.ids, preprocess, dtype, max_frames, cache)
            if not path.exists():
                _write_cache(path, shape, dtype, archive, self.ids, self.lengths, preprocess)
            self.data, self._map = _map_file(path, shape, dtype)
        # by archive row, so that callers speak of clips by their ids alone
        position = torch.full((len(archive),), -1)
        position[self.ids] = torch.arange(len(self.ids))
        self._position = position
        starts = self.lengths.cumsum(0) - self.lengths
        self._offsets, self._lengths = starts.to(self.device), self.lengths.to(self.device)

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, ids: Tensor) -> Tensor:
        """Places of clips (archive rows, any shape) in ``.ids``, ``.lengths`` and ``.labels``; on the CPU.

        Raises:
            ConfigError: a clip that the store does not hold.
        """
        rows = ids.cpu()
        try:
            found = self._position[rows]
        except IndexError:
            found = self._position[rows.clamp(max=len(self._position) - 1)].where(rows < len(self._position), -1)
        if rows.numel() and (int(found.min()) < 0 or int(rows.min()) < 0):
            absent = rows[(found < 0) | (rows < 0)]
            raise ConfigError(f"clip {int(absent[0])} is not among the {counted(len(self), 'clip')} of this store")
        return found

    def lengths_of(self, ids: Tensor) -> Tensor:
        """Frames of clips (archive rows), on the device of the store."""
        return self.lengths[self.positions(ids)].to(self.device)

    def labels_of(self, ids: Tensor) -> Tensor:
        """Labels of clips (archive rows), on the device of the store."""
        return self.labels[self.positions(ids)].to(self.device)

    def windows(self, ids: Tensor, start: Tensor, length: Tensor, frames: int) -> Tensor:
        """Cut a window out of each clip and resize it linearly, see :func:`resize_positions`.

        Args:
            ids: (B,) archive rows.
            start, length: (B,) int64 frames of the window, cut to the clip where it would reach beyond it.
            frames: number of frames to resize to.

        Returns:
            (B, frames, P, V, C) float32 on the device of the store.
        """
        place = self.positions(ids).to(self.device)
        whole = self._lengths[place]
        start = start.to(self.device).clamp_min(0).minimum(whole - 1)
        length = length.to(self.device).minimum(whole - start).clamp_min_(1)
        early, late, weight = resize_positions(length, frames)
        first = (self._offsets[place] + start)[:, None]
        early, late = early.add_(first), late.add_(first)
        out = _mix_rows(self.data.flatten(1), early.view(-1), late.view(-1), weight.view(-1).float())
        self._bound_pages(out.numel() * 2 * self.data.element_size())
        return out.view(len(place), frames, *self.data.shape[1:])

    def _bound_pages(self, touched: int) -> None:
        """Give pages of a mapped file back once about ``memory`` bytes were read; the system still caches them."""
        if self._map is None:
            return
        self._touched += touched
        if self._touched > self._memory:
            self._touched = 0
            _release(self._map)


def resize_positions(length: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where a linear resize of ``length`` (B,) frames to ``frames`` reads: two frames and the weight of the second.

    Half-pixel centres, no antialias, clamped at the edges, as ``interpolate(mode="linear", align_corners=False)``.

    Returns:
        (B, frames) int64, (B, frames) int64, (B, frames) float64.
    """
    centre = torch.arange(frames, device=length.device, dtype=torch.float64) + 0.5
    last = length[:, None] - 1
    source = (centre * (length[:, None] / frames) - 0.5).clamp_min_(0).minimum(last.double())
    early = source.floor()
    weight = source - early
    early = early.long()
    return early, (early + 1).minimum(last), weight


def random_crop(
    keyed: CounterRNG, lengths: Tensor, *, minimum_ratio: float, frames: int, shortest: int | None = None
) -> tuple[Tensor, Tensor]:
    """Draw the temporal crop of CMD's release: r ~ U(minimum_ratio, 1), then a start, both uniform.

    A crop of a clip of n frames has L = min(max(⌊n·r⌋, shortest), n) frames; its start is uniform on 0 … n − L.

    Args:
        keyed: draws for the B clips.
        lengths: (B,) int64 frames of the clips, on the device of ``keyed``.
        minimum_ratio: smallest share of a clip, 0 … 1.
        frames: number of frames that the crop will be resized to.
        shortest: fewest frames of a crop; None is ``frames``, as released, so that clips with n <= frames stay whole.

    Returns:
        start, length: (B,) int64.

    Raises:
        ConfigError: minimum_ratio outside 0 … 1.
    """
    if not 0 <= minimum_ratio <= 1:
        raise ConfigError(f"a crop's minimum ratio is {minimum_ratio}; it must lie between 0 and 1")
    drawn = keyed.uniform("crop", 2)
    # in double precision: n·r of a float32 r just below 1 would round up to n
    ratio = minimum_ratio + (1 - minimum_ratio) * drawn[:, 0].double()
    length = (lengths * ratio).long().clamp_min_(frames if shortest is None else shortest).minimum(lengths)
    return (drawn[:, 1].double() * (lengths - length + 1)).long(), length


def center_crop(lengths: Tensor, ratio: float = 0.95) -> tuple[Tensor, Tensor]:
    """Central crop: s = ⌊(1 − ratio)·n / 2⌋, frames s … n − s − 1 (CMD's release, for test clips and kNN).

    Args:
        lengths: (B,) int64.
        ratio: share of the clip to keep, in (0, 1].

    Returns:
        start, length: (B,) int64.
    """
    start = ((1 - ratio) * lengths.double() / 2).floor().long()
    return start, lengths - 2 * start


def augmented_views(
    store: ClipStore,
    ids: Tensor,
    options: Augment,
    *,
    seed: int,
    epoch: int,
    frames: int,
    views: int = 2,
    keys: Tensor | None = None,
    second: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Random crop, resize and augmentation of each clip, independently for each view.

    The same numbers as view by view with ``CounterRNG(seed, epoch, ids, view)``, :func:`random_crop`,
    :meth:`ClipStore.windows` and :func:`motet.data.augment.augment`; all views together cost fewer calls.

    Args:
        store: the clips.
        ids: (B,) int64 archive rows.
        options: what to draw.
        seed, epoch: key of the draws.
        frames: number of frames to resize to.
        views: number of views.
        keys: (B,) int64 that the draws are keyed by; the ids by default. Recordings of one performance by two sensors
            are cropped in the same way when they have the same.
        second: (B,) rows of the clips that the second views are cut from; the same by default.

    Returns:
        ``views`` tensors (B, frames, P, V, C) float32 on the device of the store.
    """
    rows = (ids if keys is None else keys).to(store.device).repeat(views)
    view = torch.arange(views, device=store.device).repeat_interleave(len(ids))
    keyed = CounterRNG(seed, epoch, rows, view)
    clips = ids.repeat(views) if second is None else torch.cat([ids, second, ids.repeat(views - 2)])
    start, length = random_crop(
        keyed,
        store.lengths_of(clips),
        minimum_ratio=options.crop_minimum,
        frames=frames,
        shortest=options.crop_frames,
    )
    windows = store.windows(clips, start, length, frames)
    return augment(windows, keyed, options, store.skeleton).chunk(views)


class Batches(Sequence[Tensor]):
    """The batches of one epoch: a permutation of the clips that depends on (seed, epoch) and the set of ids alone.

    ``batches[i]`` is the (n,) int64 ids of step i, so training resumes at any step; a slice gives the rest of an epoch.

    Args:
        ids: (N,) int64 archive rows.
        batch_size: clips of a global batch.
        seed, epoch: key of the permutation.
        drop_last: leave out a last batch that is not full.
        rank, world: this process's part; every rank gets a contiguous part of each global batch.

    Raises:
        ConfigError: an epoch without a batch, or a batch that cannot be shared equally.
    """

    def __init__(
        self,
        ids: Tensor,
        batch_size: int,
        *,
        seed: int,
        epoch: int,
        drop_last: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
        if batch_size % world:
            raise ConfigError(
                f"batch_size {batch_size} cannot be shared by {counted(world, 'process')}; choose a multiple"
            )
        if not 0 <= rank < world:
            raise ConfigError(f"rank {rank} is outside 0..{world - 1}")
        full = len(ids) // batch_size
        count = full if drop_last else -(-len(ids) // batch_size)
        if count == 0:
            raise ConfigError(
                f"no batch of {batch_size} from {counted(len(ids), 'clip')}; lower --batch-size to at most {len(ids)}"
            )
        self.ids, self.batch_size, self.seed, self.epoch = ids, batch_size, seed, epoch
        self.drop_last, self.rank, self.world = drop_last, rank, world
        self._count = count
        ordered = ids.sort().values
        self._order = ordered[CounterRNG(seed, epoch, ordered, -1).order("batches")]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"step {index} of an epoch of {len(self)}")
        start = (index % len(self)) * self.batch_size
        return self._order[start : start + self.batch_size].tensor_split(self.world)[self.rank]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def shard(self, rank: int, world: int) -> Batches:
        """The same global batches as one of ``world`` processes sees them."""
        options = {"seed": self.seed, "epoch": self.epoch, "drop_last": self.drop_last}
        return Batches(self.ids, self.batch_size, rank=rank, world=world, **options)  # type: ignore[arg-type]


def batches(ids: Tensor, batch_size: int, *, seed: int, epoch: int, drop_last: bool = True) -> Batches:
    """Batches of ids for one epoch, see :class:`Batches`."""
    return Batches(ids, batch_size, seed=seed, epoch=epoch, drop_last=drop_last)


def _mix_rows(rows: Tensor, early: Tensor, late: Tensor, weight: Tensor) -> Tensor:
    """(1 − weight)·rows[early] + weight·rows[late] in float32."""
    if rows.dtype == torch.float32 and rows.device.type == "cpu":
        # a weighted bag of two rows reads both and writes their mean in one pass
        pairs = torch.stack([early, late], dim=1)
        weights = torch.stack([1 - weight, weight], dim=1)
        return functional.embedding_bag(pairs, rows, per_sample_weights=weights, mode="sum")
    lower, upper = rows.index_select(0, early).float(), rows.index_select(0, late).float()
    return lower.lerp_(upper, weight[:, None])


def _rows(archive: MotionArchive, ids: Sequence[int] | npt.NDArray[np.integer[Any]] | Tensor | None) -> Tensor:
    rows = torch.arange(len(archive)) if ids is None else torch.as_tensor(ids).detach().cpu().long().clone()
    if rows.ndim != 1 or len(rows) == 0:
        raise ConfigError(f"{archive.path}: no clips were chosen; check the split and its options")
    outside = rows[(rows < 0) | (rows >= len(archive))]
    if len(outside):
        raise ConfigError(f"{archive.path}: clip {int(outside[0])} is outside 0..{len(archive) - 1}")
    if len(np.unique(rows.numpy())) != len(rows):
        raise ConfigError(f"{archive.path}: a clip was chosen twice")
    return rows


def _seen(archive: MotionArchive) -> npt.NDArray[np.int64]:
    """(N,) frames in which the first joint of the first person is not zero, at least one: CrosSCLR's valid length."""
    seen = np.array([int(archive.clip(i)[:, 0, 0].any(axis=-1).sum()) for i in range(len(archive))], dtype=np.int64)
    return np.maximum(seen, 1)


def _fill(
    data: Tensor, archive: MotionArchive, ids: Tensor, lengths: Tensor, method: str, mapped: mmap.mmap | None = None
) -> None:
    """Preprocess clips in chunks of similar length (little padding) and write each to its place in ``data``."""
    starts, counts = (lengths.cumsum(0) - lengths).tolist(), lengths.tolist()
    row_bytes, places = 4 * data[:1].numel(), coordinates(archive.channels)
    read, turned = 0, to_one_side(archive, axis_in(method, archive))
    order = lengths.argsort(stable=True).tolist()
    while order:
        chunk = [order.pop()]
        longest = counts[chunk[0]]
        while order and (len(chunk) + 1) * longest * row_bytes <= _CHUNK_BYTES:
            chunk.append(order.pop())
        padded = np.zeros((len(chunk), longest, *data.shape[1:]), dtype=np.float32)
        for row, place in enumerate(chunk):
            clip = int(ids[place])
            padded[row, : counts[place]] = turned(clip, archive.verified(clip))[: counts[place]]
        frames = torch.from_numpy(padded).to(data.device)
        moved = preprocess(frames[..., :places], lengths[chunk].to(data.device), archive.skeleton, method)
        done = moved if places == frames.shape[-1] else torch.cat([moved, frames[..., places:]], dim=-1)
        for row, place in enumerate(chunk):
            data[starts[place] : starts[place] + counts[place]] = done[row, : counts[place]]
        read += padded.nbytes
        if read > _HELD_BYTES:
            read = 0
            release_pages(archive.frames)
            if mapped is not None:
                _release(mapped)


def _cache_path(
    archive: MotionArchive, ids: Tensor, method: str, dtype: torch.dtype, max_frames: int, cache: str | Path | None
) -> Path:
    root = Path(cache or os.environ.get("MOTET_CACHE") or Path.home() / ".cache" / "motet")
    key = f"{_CACHE_VERSION} {digest_of(archive)} {method} {dtype} {max_frames}".encode()
    return root / f"clips-{hashlib.sha256(key + ids.numpy().tobytes()).hexdigest()[:32]}.bin"


def _write_cache(
    path: Path,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    archive: MotionArchive,
    ids: Tensor,
    lengths: Tensor,
    method: str,
) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.truncate(int(np.prod(shape)) * dtype.itemsize)
        data, mapped = _map_file(partial, shape, dtype)
        _fill(data, archive, ids, lengths, method, mapped)
        mapped.flush()
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{path.parent}: preprocessed clips cannot be written ({error.strerror}); name another directory with "
            "MOTET_CACHE or raise the memory limit"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _map_file(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, mmap.mmap]:
    # writable because torch knows no read-only tensors
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    if len(mapped) != int(np.prod(shape)) * dtype.itemsize:
        raise DataError(f"{path} holds {counted(len(mapped), 'byte')}, not those of {shape}; delete it")
    return torch.frombuffer(mapped, dtype=dtype).reshape(shape), mapped


def _release(mapped: mmap.mmap) -> None:
    """Take a mapping's pages off this process; a shared mapping loses nothing by it."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def release_pages(array: npt.NDArray[Any]) -> None:
    """Take the pages of a memory-mapped array off this process; they are read again when they are needed."""
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None:
        _release(base)
