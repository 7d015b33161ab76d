from __future__ import annotations

import numpy as np
import pytest
import torch

from motet.core.errors import ConfigError
from motet.methods.distillation.raw import sampling
from motet.methods.distillation.raw.options import Video

LENGTH = 16


def test_sliding_windows() -> None:
    def starts(frames: int, stride: int = LENGTH) -> list[int]:
        return sampling.sliding(frames, LENGTH, stride)[:, 0].tolist()

    assert starts(16) == [0]
    assert starts(48) == [0, 16, 32]
    assert starts(40) == [0, 16, 32]
    assert starts(33, 8) == [0, 8, 16, 24]
    assert sampling.sliding(40, LENGTH, 16)[-1].tolist() == [32, 33, 34, 35, 36, 37, 38, 39] * 2
    assert sampling.sliding(3, LENGTH, 16).tolist() == [[0, 1, 2] * 5 + [0]]
    assert sampling.sliding(1, LENGTH, 16).tolist() == [[0] * 16]


@pytest.mark.parametrize("frames", range(1, 80, 3))
def test_every_frame_is_seen_and_none_that_is_not_there(frames: int) -> None:
    seen = sampling.sliding(frames, LENGTH, LENGTH)
    assert set(seen.ravel().tolist()) == set(range(frames))
    assert sampling.evenly(frames, LENGTH, 3).max() < frames


def test_evenly_spaced_windows() -> None:
    assert sampling.evenly(116, LENGTH, 3)[:, 0].tolist() == [0, 50, 100]
    assert sampling.evenly(17, LENGTH, 3)[:, 0].tolist() == [0, 1]
    assert sampling.evenly(16, LENGTH, 3)[:, 0].tolist() == [0]


def test_draws_belong_to_seed_epoch_sample_and_modality() -> None:
    first = sampling.draws(0, 3, torch.tensor([4, 9]), "video")
    alone = sampling.draws(0, 3, torch.tensor([9]), "video")
    assert first[1] == alone[0]
    others = [(1, 3, 9, "video"), (0, 4, 9, "video"), (0, 3, 8, "video"), (0, 3, 9, "audio")]
    for seed, epoch, sample, name in others:
        assert sampling.draws(seed, epoch, torch.tensor([sample]), name)[0] != alone[0]


def test_starts_are_uniform_and_end_with_the_video() -> None:
    many = sampling.draws(0, 0, torch.arange(3000), "video")
    starts = [sampling.start_of(d, 20, LENGTH) for d in many]
    share = np.bincount(starts, minlength=5) / len(starts)
    assert np.abs(share - 0.2).max() < 0.03
    assert {sampling.start_of(d, 10, LENGTH) for d in many} == {0}


def test_crops_lie_inside_and_have_the_published_sizes() -> None:
    options = Video()
    height, width = 240, 320
    area, shape, flips = [], [], 0
    for draw in sampling.draws(0, 0, torch.arange(2000), "video"):
        top, left, h, w = sampling.crop_box(draw, height, width, options)
        assert 0 <= top <= height - h
        assert 0 <= left <= width - w
        area.append(h * w / (height * width))
        shape.append(w / h)
        flips += draw.mirror
    assert 0.24 < min(area) < 0.3
    assert max(area) <= 1
    assert min(shape) > 0.74
    assert max(shape) < 1.35
    assert 900 < flips < 1100
    # what fits in no try is the middle of the picture
    tight = Video(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert sampling.crop_box(sampling.draws(0, 0, torch.tensor([0]), "v")[0], 100, 300, tight) == (0, 100, 100, 100)


def test_pictures_of_a_clip_are_cropped_alike() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None], (48, 64, 3))
    draw = sampling.draws(0, 0, torch.arange(50), "video")
    straight = next(d for d in draw if not d.mirror)
    mirrored = next(d for d in draw if d.mirror)
    for chance, rises in ((straight, True), (mirrored, False)):
        clip = sampling.random_crop([ramp, ramp], chance, Video(size=8))
        assert clip.shape == (2, 8, 8, 3)
        assert clip.dtype == torch.uint8
        assert torch.equal(clip[0], clip[1])
        steps = clip[0, 0, :, 0].int().diff()
        assert (steps > 0).all() if rises else (steps < 0).all()
    assert torch.equal(
        sampling.random_crop([ramp], mirrored, Video(size=8, flip=False)).flip(2),
        sampling.random_crop([ramp], mirrored, Video(size=8)),
    )


def test_the_middle_of_a_picture() -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    found = sampling.middle_crop(np.ascontiguousarray(ramp), 50)
    assert found.shape == (50, 50, 3)
    # every second column of the middle 100; each is the mean of its two
    assert found[10, :, 0].tolist() == pytest.approx([50.5 + 2 * n for n in range(50)], abs=1.0)
    assert sampling.middle_crop(np.zeros((3, 2, 3), dtype=np.uint8), 8).shape == (8, 8, 3)


@pytest.mark.parametrize(("name", "value"), [("frames", 0), ("scale", (0.5, 0.2)), ("ratio", (0.0, 1.0)), ("size", -1)])
def test_options_that_make_no_clip(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        Video(**{name: value})  # type: ignore[arg-type]
