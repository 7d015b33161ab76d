from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.rng import CounterRNG
from motet.data import layouts, loader
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.augment import Augment, augment
from motet.data.loader import (
    ClipStore,
    augmented_views,
    batches,
    center_crop,
    cut_off,
    random_crop,
    resize_positions,
    warn_cut_off,
)
from motet.data.preprocess import EGOCENTRIC, METHODS, preprocess
from tests.data import feeder_oracle as oracle

KINECT = layouts.get("kinect-v2")
LENGTHS = (12, 1, 70, 33, 400, 5, 64)


def _write(path: Path, lengths: tuple[int, ...] = LENGTHS, dtype: type = np.float32) -> MotionArchive:
    rng = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=KINECT, persons=2, dtype=dtype) as writer:
        for i, length in enumerate(lengths):
            clip = rng.normal(size=(length, 2, 25, 3))
            clip[length // 2 :, 1] = 0
            writer.add(clip, name=f"clip{i}", label=i % 3 if i else None)
    return MotionArchive.open(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return _write(tmp_path_factory.mktemp("data") / "archive")


def _interpolate(clip: Tensor, frames: int) -> Tensor:
    """(T, P, V, C) by torch's own linear interpolation."""
    flat = clip.flatten(1).T[None]
    return torch.nn.functional.interpolate(flat, frames, mode="linear", align_corners=False)[0].T.view(
        frames, *clip.shape[1:]
    )


def test_the_store_holds_the_preprocessed_clips(archive: MotionArchive) -> None:
    store = ClipStore(archive, max_frames=300)
    assert len(store) == len(LENGTHS)
    assert store.lengths.tolist() == [min(n, 300) for n in LENGTHS]
    assert store.labels.tolist() == [-1, 1, 2, 0, 1, 2, 0]
    start = 0
    for i, length in enumerate(store.lengths.tolist()):
        clip = torch.from_numpy(archive.clip(i)[:300].copy())[None]
        expected = preprocess(clip, torch.tensor([length]), KINECT, "cmd")[0]
        torch.testing.assert_close(store.data[start : start + length], expected, rtol=1e-5, atol=1e-5)
        start += length
    assert len(store.data) == start
    assert store.skeleton.up == "+z"


def pictures(archive: MotionArchive, path: Path) -> MotionArchive:
    """The same clips without their depth."""
    with ArchiveWriter(path, skeleton=archive.skeleton, persons=archive.persons, channels=("x", "y")) as writer:
        for number, clip in enumerate(archive):
            writer.add(clip[..., :2], name=str(number), persons=archive.persons)
    return MotionArchive.open(path)


@pytest.mark.parametrize("method", METHODS)
def test_chunks_do_not_change_the_clips(
    archive: MotionArchive, monkeypatch: pytest.MonkeyPatch, method: str, tmp_path: Path
) -> None:
    archive = pictures(archive, tmp_path / "pictures") if method == EGOCENTRIC else archive
    whole = ClipStore(archive, preprocess=method)
    monkeypatch.setattr(loader, "_CHUNK_BYTES", 1)
    torch.testing.assert_close(ClipStore(archive, preprocess=method).data, whole.data, rtol=1e-5, atol=1e-5)


def test_a_subset_speaks_of_clips_by_archive_row(archive: MotionArchive) -> None:
    whole = ClipStore(archive, preprocess="none")
    part = ClipStore(archive, [5, 2, 3], preprocess="none")
    ids = torch.tensor([3, 5])
    assert part.ids.tolist() == [5, 2, 3]
    assert part.lengths.tolist() == [5, 70, 33]
    assert part.lengths_of(ids).tolist() == [33, 5]
    assert part.labels_of(ids).tolist() == [0, 2]
    start, length = torch.tensor([1, 0]), torch.tensor([30, 5])
    assert torch.equal(part.windows(ids, start, length, 8), whole.windows(ids, start, length, 8))
    for absent in (4, 7, -1):
        with pytest.raises(ConfigError, match=f"clip {absent} is not among the 3 clips"):
            part.windows(torch.tensor([3, absent]), start, length, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_windows_equal_torchs_interpolation(archive: MotionArchive, dtype: torch.dtype) -> None:
    store = ClipStore(archive, preprocess="none", dtype=dtype)
    ids = torch.tensor([2, 3, 6, 1, 4])
    start, length = torch.tensor([3, 0, 0, 0, 14]), torch.tensor([64, 33, 50, 1, 286])
    out = store.windows(ids, start, length, 64)
    assert out.dtype == torch.float32
    assert out.shape == (5, 64, 2, 25, 3)
    for row, clip in enumerate(ids.tolist()):
        frames = torch.from_numpy(archive.clip(clip)[start[row] : start[row] + length[row]].copy()).to(dtype).float()
        torch.testing.assert_close(out[row], _interpolate(frames, 64), rtol=1e-5, atol=1e-5)
        plain = oracle.resize(archive.clip(clip), int(start[row]), int(length[row]), 64)
        tolerance = 1e-5 if dtype == torch.float32 else 2e-3
        np.testing.assert_allclose(out[row].numpy(), plain, rtol=tolerance, atol=tolerance)
    # 64 frames to 64 frames is the identity, to the last bit
    assert torch.equal(out[0], torch.from_numpy(archive.clip(2)[3:67].copy()).to(dtype).float())


def test_a_window_never_reads_a_neighbouring_clip(archive: MotionArchive) -> None:
    store = ClipStore(archive, preprocess="none")
    ids = torch.tensor([2, 2, 2, 2])
    out = store.windows(ids, torch.tensor([-5, 60, 100, 0]), torch.tensor([70, 64, 9, 500]), 70)
    clip = torch.from_numpy(archive.clip(2).copy())
    torch.testing.assert_close(out[0], clip)
    torch.testing.assert_close(out[1], _interpolate(clip[60:], 70), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[2], clip[-1:].expand_as(out[2]))
    torch.testing.assert_close(out[3], clip)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (128, {0: 0.5, 1: 2.5, 2: 4.5}),
        (32, {0: 0, 1: 0.25, 2: 0.75, 3: 1.25, 62: 30.75, 63: 31}),
        (64, {i: i for i in range(64)}),
        (300, {0: 1.84375, 1: 6.53125, 63: 297.15625}),
        (1, {0: 0, 63: 0}),
    ],
)
def test_golden_resize(length: int, expected: dict[int, float]) -> None:
    early, late, weight = resize_positions(torch.tensor([length]), 64)
    source = (early * (1 - weight) + late * weight)[0]
    for frame, value in expected.items():
        assert source[frame].item() == pytest.approx(value, abs=1e-12)
    assert early.min() >= 0
    assert late.max() <= length - 1


@pytest.mark.parametrize(
    ("length", "start", "kept", "first", "last"),
    [
        (20, 0, 20, None, None),
        (40, 1, 38, 1.0, 38.0),
        (64, 1, 62, None, None),
        (100, 2, 96, 2.25, 96.75),
        (128, 3, 122, None, None),
        (300, 7, 286, 8.734375, 290.265625),
    ],
)
def test_golden_center_crop(length: int, start: int, kept: int, first: float | None, last: float | None) -> None:
    begin, size = center_crop(torch.tensor([length]))
    assert (begin.item(), size.item()) == (start, kept)
    if first is not None:
        early, late, weight = resize_positions(size, 64)
        source = (begin + early * (1 - weight) + late * weight)[0]
        assert source[0].item() == pytest.approx(first)
        assert source[-1].item() == pytest.approx(last)


@given(st.integers(1, 400), st.integers(1, 80))
@settings(max_examples=60)
def test_resize_is_torchs_for_any_length(length: int, frames: int) -> None:
    ramp = torch.arange(length, dtype=torch.float64)
    early, late, weight = resize_positions(torch.tensor([length]), frames)
    source = ramp[early[0]] * (1 - weight[0]) + ramp[late[0]] * weight[0]
    torch.testing.assert_close(source, _interpolate(ramp[:, None, None, None], frames).flatten(), rtol=1e-6, atol=1e-5)


def test_random_crops_follow_the_published_rule() -> None:
    n = 6000
    keyed = CounterRNG(1, 2, torch.arange(n), 0)
    for length, shortest, longest in ((100, 64, 99), (300, 64, 299), (64, 64, 64), (20, 20, 20), (1, 1, 1)):
        start, kept = random_crop(keyed, torch.full((n,), length), minimum_ratio=0.1, frames=64)
        assert kept.min() == shortest
        assert kept.max() == longest
        assert start.min() == 0
        assert (start + kept).max() == length
    start, kept = random_crop(keyed, torch.full((n,), 300), minimum_ratio=0.1, frames=64)
    # L = 64 for every r below 65/300, then uniform
    assert (kept == 64).double().mean().item() == pytest.approx((65 / 300 - 0.1) / 0.9, abs=0.02)
    assert (kept > 182).double().mean().item() == pytest.approx((1 - 183 / 300) / 0.9, abs=0.02)
    place = start.double() / (300 - kept)
    assert place.mean().item() == pytest.approx(0.5, abs=0.02)
    assert place.var().item() == pytest.approx(1 / 12, abs=0.01)
    assert abs(torch.corrcoef(torch.stack([place, kept.double()]))[0, 1]) < 0.06


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.floats(0, 1), st.integers(1, 100))
@settings(max_examples=60)
def test_random_crops_lie_inside(lengths: list[int], ratio: float, frames: int) -> None:
    n = torch.tensor(lengths)
    keyed = CounterRNG(0, 0, torch.arange(len(n)), 0)
    start, kept = random_crop(keyed, n, minimum_ratio=ratio, frames=frames)
    assert (start >= 0).all()
    assert (start + kept <= n).all()
    assert (kept >= n.clamp_max(frames)).all()
    _, short = random_crop(keyed, n, minimum_ratio=ratio, frames=frames, shortest=1)
    assert (short <= kept).all()
    assert (short >= 1).all()
    start, kept = center_crop(n, max(ratio, 0.01))
    assert (kept >= 1).all()
    assert (start + kept <= n).all()


def test_a_crop_of_no_share_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"minimum ratio is 1\.5"):
        random_crop(CounterRNG(0, 0, torch.arange(2), 0), torch.tensor([3, 4]), minimum_ratio=1.5, frames=2)


@pytest.mark.parametrize("options", [Augment.published(), Augment.mild()])
def test_views_together_equal_views_one_by_one(archive: MotionArchive, options: Augment) -> None:
    store = ClipStore(archive)
    ids = torch.tensor([4, 0, 2])
    together = augmented_views(store, ids, options, seed=5, epoch=6, frames=16, views=2)
    for view in range(2):
        keyed = CounterRNG(5, 6, ids, view)
        crop = random_crop(
            keyed, store.lengths_of(ids), minimum_ratio=options.crop_minimum, frames=options.crop_frames or 16
        )
        alone = augment(store.windows(ids, *crop, 16), keyed, options, store.skeleton)
        torch.testing.assert_close(together[view], alone, rtol=1e-6, atol=1e-6)
    assert not torch.equal(*together)


def test_a_large_set_is_mapped_from_a_file(archive: MotionArchive, tmp_path: Path) -> None:
    resident = ClipStore(archive)
    mapped = ClipStore(archive, cache=tmp_path, memory=1000)
    files = list(tmp_path.iterdir())
    assert [f.suffix for f in files] == [".bin"]
    assert torch.equal(mapped.data, resident.data)
    ids = torch.arange(len(archive))
    crop = center_crop(mapped.lengths)
    for _ in range(5):  # beyond the memory limit, so pages are given back in between
        assert torch.equal(mapped.windows(ids, *crop, 64), resident.windows(ids, *crop, 64))
    # a second store takes the same file, another choice another one
    stamp = files[0].stat().st_mtime_ns
    ClipStore(archive, cache=tmp_path, memory=1000)
    assert [f.stat().st_mtime_ns for f in tmp_path.iterdir()] == [stamp]
    for other in ({"preprocess": "none"}, {"dtype": torch.float16}, {"max_frames": 50}, {"ids": [1, 2]}):
        count = len(list(tmp_path.iterdir()))
        store = ClipStore(archive, cache=tmp_path, memory=1000, **other)
        assert len(list(tmp_path.iterdir())) == count + 1
        assert torch.equal(store.data, ClipStore(archive, **other).data)


def test_the_cache_directory_comes_from_the_environment(
    archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path / "here"))
    ClipStore(archive, memory=0)
    assert len(list((tmp_path / "here").iterdir())) == 1


def test_a_cache_that_cannot_be_written_leaves_nothing(archive: MotionArchive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(DataError, match="MOTET_CACHE"):
        ClipStore(archive, cache=tmp_path / "file" / "below", memory=0)


def test_an_interrupted_cache_is_not_taken_for_a_whole_one(
    archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loader, "preprocess", fail)
    with pytest.raises(KeyboardInterrupt):
        ClipStore(archive, cache=tmp_path, memory=0)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_cache_file_is_named(archive: MotionArchive, tmp_path: Path) -> None:
    ClipStore(archive, cache=tmp_path, memory=0)
    file = next(tmp_path.iterdir())
    with file.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(DataError, match=file.name):
        ClipStore(archive, cache=tmp_path, memory=0)


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_a_flipped_byte_names_the_clip(tmp_path: Path, memory: int) -> None:
    archive = _write(tmp_path / "archive", (4, 5, 6))
    file = archive.path / "frames.npy"
    raw = bytearray(file.read_bytes())
    raw[128 + 5 * 600] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DataError, match="clip1"):
        ClipStore(MotionArchive.open(archive.path), memory=memory, cache=tmp_path / "cache")


def test_half_precision_archives(tmp_path: Path) -> None:
    archive = _write(tmp_path / "archive", (4, 5, 6), np.float16)
    store = ClipStore(archive, preprocess="none")
    assert torch.equal(store.data[:4], torch.from_numpy(archive.clip(0)))


def _refused(**options: object) -> Callable[[MotionArchive], ClipStore]:
    return lambda archive: ClipStore(archive, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_refused(ids=[]), "no clips were chosen"),
        (_refused(ids=[0, 7]), r"clip 7 is outside 0\.\.6"),
        (_refused(ids=[1, 1]), "chosen twice"),
        (_refused(preprocess="normal"), "is none of cmd"),
        (_refused(max_frames=0), "max_frames"),
        (_refused(dtype=torch.float64), "float32 or float16"),
    ],
)
def test_stores_that_make_no_sense_are_refused(
    archive: MotionArchive, make: Callable[[MotionArchive], ClipStore], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(archive)


@given(
    st.sets(st.integers(0, 1000), min_size=4, max_size=60),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 5),
)
@settings(max_examples=40)
def test_an_epoch_is_a_permutation(ids: set[int], size: int, drop_last: bool, epoch: int) -> None:
    given_ids = torch.tensor(sorted(ids))
    epoch_batches = batches(given_ids, size, seed=1, epoch=epoch, drop_last=drop_last)
    steps = list(epoch_batches)
    assert len(steps) == len(epoch_batches)
    seen = torch.cat(steps).tolist()
    assert len(set(seen)) == len(seen)
    assert set(seen) <= ids
    assert len(seen) == (len(ids) // size * size if drop_last else len(ids))
    # the order of the argument does not matter, the epoch does
    again = batches(given_ids.flip(0), size, seed=1, epoch=epoch, drop_last=drop_last)
    assert all(torch.equal(a, b) for a, b in zip(steps, again, strict=True))
    # resumed at any step
    for position in (0, len(steps) // 2, len(steps) - 1):
        assert torch.equal(epoch_batches[position], steps[position])
        assert all(torch.equal(a, b) for a, b in zip(epoch_batches[position:], steps[position:], strict=True))


def test_epochs_and_seeds_differ() -> None:
    ids = torch.arange(200)
    first = [torch.cat(list(batches(ids, 50, seed=s, epoch=e))) for s, e in ((0, 0), (0, 1), (1, 0))]
    for i in range(3):
        for j in range(i):
            assert (first[i] == first[j]).double().mean() < 0.1


def test_processes_share_each_global_batch() -> None:
    whole = batches(torch.arange(103), 12, seed=0, epoch=0)
    parts = [whole.shard(rank, 3) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([part[step] for part in parts]), batch)
        assert {len(part[step]) for part in parts} == {4}
    with pytest.raises(ConfigError, match="cannot be shared by 5"):
        whole.shard(0, 5)
    with pytest.raises(ConfigError, match="rank 3"):
        whole.shard(3, 3)


def test_epochs_without_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="lower --batch-size to at most 5"):
        batches(torch.arange(5), 6, seed=0, epoch=0)
    assert len(batches(torch.arange(5), 6, seed=0, epoch=0, drop_last=False)) == 1
    with pytest.raises(ConfigError, match="batch_size is 0"):
        batches(torch.arange(5), 0, seed=0, epoch=0)
    with pytest.raises(IndexError):
        batches(torch.arange(5), 5, seed=0, epoch=0)[1]


def test_clips_that_are_read_in_part_are_said(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=KINECT, fps=50.0) as writer:
        for name, frames in (("short", 300), ("longer", 450), ("long", 500), ("longest", 1000)):
            writer.add(np.ones((frames, 25, 3)), name=name)
    archive = MotionArchive.open(tmp_path / "a")
    assert cut_off(archive).startswith("only the first 6 s of 3 of 4 clips of")
    windows, slower = cut_off(archive).split(", or read ten seconds at 30 frames a second")
    assert windows.endswith("a-windows --seconds 4`)")
    assert slower.endswith("a SLOW --fps 30`)")
    assert cut_off(archive, fps=120.0).endswith("a-windows --seconds 2.5`)")
    assert cut_off(archive, fps=30.0).startswith("only the first 10 s of 1 of 4 clips of")
    assert cut_off(archive, [0, 1]).startswith("only the first 6 s of 1 of 2 clips of")  # a third of it is lost
    assert cut_off(archive, [0, 1], fps=36.0) == ""  # 324 frames of 300
    with pytest.warns(MotetWarning, match="only the first 6 s of 3 of 4"):
        warn_cut_off(archive)
