from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra raw")

from motet.core.errors import DataError
from motet.methods.distillation.raw import media
from motet.methods.distillation.raw.manifest import Item
from tests.methods.distillation.raw.media_files import brightness, pictures, tone, write


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "mpeg4"), (".avi", "mpeg4"), (".mkv", "libx264"), (".mp4", "libx264")]
)
def test_a_window_is_what_decoding_from_the_beginning_gives(tmp_path: Path, suffix: str, codec: str) -> None:
    item = Item(str(write(tmp_path / f"v{suffix}", pictures(40), codec=codec)))
    whole = list(media.every_frame(item))
    assert len(whole) == media.frame_count(item) == 40
    assert [brightness(p) for p in whole] == list(range(40))
    for first, count in ((0, 3), (7, 16), (24, 16), (39, 1)):
        found = media.window(item, first, count)
        assert all(np.array_equal(a, b) for a, b in zip(found, whole[first : first + count], strict=True))
    with pytest.raises(DataError, match="ends before frame 45"):
        media.window(item, 35, 10)


def test_part_of_a_video(tmp_path: Path) -> None:
    path = str(write(tmp_path / "v.mp4", pictures(50)))
    part = Item(path, 0.4, 1.2)  # 25 frames a second
    assert [brightness(p) for p in media.every_frame(part)] == list(range(10, 30))
    assert [brightness(p) for p in media.window(part, 5, 3)] == [15, 16, 17]
    with pytest.raises(DataError, match=r"v\.mp4 \(7 s to the end\) has no frame"):
        media.frame_count(Item(path, 7.0))


@pytest.mark.parametrize("suffix", [".wav", ".avi", ".mp4"])
def test_sound_is_resampled_and_mixed(tmp_path: Path, suffix: str) -> None:
    wave = tone(1.0, channels=2) * np.array([[1.0], [0.5]], dtype=np.float32)
    frames = None if suffix == ".wav" else pictures(25)
    item = Item(str(write(tmp_path / f"s{suffix}", frames, wave)))
    found = media.sound(item, 32000)
    assert abs(len(found) - 32000) < 2500  # AAC pads
    spectrum = np.abs(np.fft.rfft(found[4000:28000]))
    assert abs(spectrum.argmax() * 32000 / 24000 - 440) < 2
    assert np.abs(found[4000:28000]).max() == pytest.approx(0.375, abs=0.02)  # 0.5 · mean of 1 and 0.5


def test_part_of_a_sound(tmp_path: Path) -> None:
    wave = np.concatenate([tone(1.0, 300), tone(1.0, 1000)], axis=1)
    path = str(write(tmp_path / "s.wav", wave=wave))
    found = media.sound(Item(path, 1.2, 1.7), 16000)
    assert len(found) == 8000
    assert np.abs(np.fft.rfft(found)).argmax() * 2 == 1000
    assert np.array_equal(media.sound(Item(path), 16000)[19200:27200], found)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    silent = Item(str(write(tmp_path / "silent.mp4", pictures(5))))
    with pytest.raises(DataError, match=r"silent\.mp4 has no sound"):
        media.sound(silent, 16000)
    assert not media.has(silent, "audio")
    blind = Item(str(write(tmp_path / "blind.wav", wave=tone(0.2))))
    with pytest.raises(DataError, match=r"blind\.wav has no picture"):
        media.frame_count(blind)
    (tmp_path / "noise.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(DataError, match=r"noise\.mp4 cannot be decoded"):
        media.frame_count(Item(str(tmp_path / "noise.mp4")))
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.wav cannot be decoded"):
        media.sound(Item(str(tmp_path / "empty.wav")), 16000)
    coded = bytearray(write(tmp_path / "coded.avi", pictures(5)).read_bytes())
    coded[:] = coded.replace(b"FMP4", b"????")
    (tmp_path / "coded.avi").write_bytes(coded)
    with pytest.raises(DataError, match=r"coded\.avi"):
        media.frame_count(Item(str(tmp_path / "coded.avi")))
    whole = write(tmp_path / "whole.mp4", pictures(60)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.mp4"):
        media.frame_count(Item(str(tmp_path / "cut.mp4")))


def test_damage_never_ends_in_anything_but_a_named_error(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    good = [
        write(tmp_path / "a.mp4", pictures(12, 16, 16), tone(0.3)),
        write(tmp_path / "b.mkv", pictures(12, 16, 16), tone(0.3), codec="libx264"),
        write(tmp_path / "c.avi", pictures(12, 16, 16), tone(0.3)),
    ]
    seen = {"read": 0, "refused": 0}
    for number in range(60):
        source = good[number % 3]
        content = bytearray(source.read_bytes())
        if number % 2:
            content = content[: int(random.integers(len(content)))]
        for place in random.integers(len(content) or 1, size=20 if number % 2 == 0 and content else 0):
            content[place] = random.integers(256)
        item = Item(str(tmp_path / f"damaged{number}{source.suffix}"))
        Path(item.content).write_bytes(content)
        for read in (
            lambda i: media.window(i, 3, 5),
            lambda i: list(media.every_frame(i)),
            lambda i: media.sound(i, 8000),
        ):
            try:
                read(item)
                seen["read"] += 1
            except DataError as error:
                seen["refused"] += item.content in str(error)
    assert min(seen.values()) > 10
    assert sum(seen.values()) == 3 * 60
