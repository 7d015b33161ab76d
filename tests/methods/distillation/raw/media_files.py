"""Small recordings, written by PyAV itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

av = pytest.importorskip("av", reason="needs the extra raw")


def pictures(frames: int, height: int = 32, width: int = 48) -> npt.NDArray[np.uint8]:
    """Grey pictures whose brightness is the number of the frame, with a bright bar that tells left from right."""
    found = np.zeros((frames, height, width, 3), dtype=np.uint8)
    found += (np.arange(frames) * 4 % 200)[:, None, None, None].astype(np.uint8)
    found[:, :, : width // 6] = 200
    return found


def tone(seconds: float, hertz: float = 440.0, rate: int = 16000, channels: int = 1) -> npt.NDArray[np.float32]:
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hertz * time)
    return np.repeat(wave[None], channels, axis=0).astype(np.float32)


def write(
    path: Path,
    frames: npt.NDArray[np.uint8] | None = None,
    wave: npt.NDArray[np.float32] | None = None,
    *,
    fps: int = 25,
    rate: int = 16000,
    codec: str = "mpeg4",
    keys: int = 5,
) -> Path:
    """A file with pictures, sound, or both; a key frame every few pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video: Any = None
        audio: Any = None
        if frames is not None:
            video = container.add_stream(codec, rate=fps)
            video.height, video.width, video.pix_fmt = *frames.shape[1:3], "yuv420p"
            video.bit_rate, video.gop_size = 4_000_000, keys
        if wave is not None:
            pcm = path.suffix in (".wav", ".avi", ".mkv")
            audio = container.add_stream("pcm_s16le" if pcm else "aac", rate=rate)
            audio.layout = "stereo" if len(wave) == 2 else "mono"
        for picture in () if frames is None else frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if video is not None:
            container.mux(video.encode(None))
        if wave is not None:
            _sound(container, audio, wave, rate)
    return path


def _sound(container: Any, stream: Any, wave: npt.NDArray[np.float32], rate: int) -> None:
    layout = "stereo" if len(wave) == 2 else "mono"
    whole = (wave * 32767).round().astype(np.int16)
    for start in range(0, whole.shape[1], 1024):
        part = np.ascontiguousarray(whole[:, start : start + 1024].T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def brightness(picture: npt.NDArray[np.uint8]) -> int:
    """Number of the frame, of a picture of :func:`pictures`."""
    height, width = picture.shape[:2]
    return round(float(picture[height // 4 : -height // 4, width // 2 : -width // 6].mean()) / 4)
