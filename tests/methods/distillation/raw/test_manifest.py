from __future__ import annotations

from pathlib import Path

import pytest

from motet.core.errors import ConfigError, DataError
from motet.methods.distillation.raw import Item, Manifest, RawOptions, Video


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in" / "a, b.mp4", tmp_path / "beside.wav"
    manifest = Manifest(
        "made",
        ["one", "two"],
        ["wave", "rest"],
        {
            "video_left": [Item(str(inside), 0.5, 2.25), None],
            "audio": [Item(str(outside)), Item(str(outside), 1.0)],
            "text": [None, Item('he said "hello",\nthen left')],
        },
        ["train", "test"],
        [1, 2],
        ["anna", "ben"],
    )
    path = tmp_path / "in" / "m.csv"
    manifest.write(path)
    assert "a, b.mp4" in path.read_text()
    assert str(inside) not in path.read_text()
    again = Manifest.read(path)
    for name in ("ids", "labels", "modalities", "split", "fold", "group", "class_names"):
        assert getattr(again, name) == getattr(manifest, name)
    assert again.digest(["audio"]) == manifest.digest(["audio"])
    again.modalities["audio"][0] = None
    assert again.digest(["audio"]) != manifest.digest(["audio"])
    assert again.digest(["text"]) == manifest.digest(["text"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,video\na,x.mp4\n", "has no column label"),
        ("id,label\na,x\n", "has no modality"),
        ("label,video\n", "has no row"),
        ("label,smell\nx,a\n", "column 'smell' is neither"),
        ("label,video\n,a.mp4\n", "line 2: the label is empty"),
        ("label,video\nx\n", "line 2: it has not as many fields"),
        ("id,label,video\na,x,v\na,x,v\n", "line 3: id 'a' is there already"),
        ("label,video,split\nx,v,maybe\n", "line 2: split is 'maybe'"),
        ("label,video,fold\nx,v,one\n", "line 2: fold is 'one'"),
        ("label,video,start_video\nx,v,-1\n", "line 2: start_video is '-1'"),
        ("label,video,start_video,end_video\nx,v,3,2\n", "line 2: video ends at 2 s, before it starts"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"m\.csv.*{said}"):
        Manifest.read(write(tmp_path / "m.csv", text))


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("m.csv", "absent.csv"):
        with pytest.raises(DataError, match=rf"{name} cannot be read as a manifest"):
            Manifest.read(tmp_path / name)


def test_files_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "label,video,audio,text\nx,v.mp4,,hello\ny,w.mp4,,bye\n")
    manifest = Manifest.read(path)
    with pytest.raises(DataError, match=r"2 files of modality video are not there, the first is .*v\.mp4"):
        manifest.items("video")
    with pytest.raises(DataError, match="audio is absent in every row"):
        manifest.items("audio")
    with pytest.raises(DataError, match="no modality 'speech'; it has video, audio, text"):
        manifest.items("speech")
    assert manifest.items("text") == [Item("hello"), Item("bye")]


def test_options_go_to_json_and_back() -> None:
    options = RawOptions(video=Video(layers=(1, 1, 1, 1), weights="w.pth"))
    assert RawOptions.from_dict(options.to_dict()) == options
    with pytest.raises(ConfigError, match="cannot be read"):
        RawOptions.from_dict({"video": {"magic": 1}})
