from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="needs the extra raw")

from motet.cli import main
from motet.core.errors import DataError, MotetWarning, RunError
from motet.methods.distillation import FeatureTable
from motet.methods.distillation.raw import Manifest, Video, extract, open_source
from motet.methods.distillation.raw.extraction import built
from motet.methods.distillation.raw.networks import sequence_of
from tests.methods.distillation.raw.made import FLAGS, NETWORKS, films
from tests.methods.distillation.raw.media_files import pictures, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films(tmp_path_factory.mktemp("films"), 3, 1)


def test_a_table_from_the_command_line_and_on_to_distillation(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.npz"
    words = ["distill", "extract", str(folder), "--out", str(table), "--video.weights", "random"]
    assert main([*words, *FLAGS]) == 0
    opened = FeatureTable.open(table)
    assert {m: v.values.shape for m, v in opened.modalities.items()} == {"video": (8, 16), "audio": (8, 4)}
    assert opened.class_names == ("high", "low")
    assert opened.split is not None
    assert opened.split.tolist() == ["train"] * 6 + ["test"] * 2
    assert opened.ids[0] == "train/high/high0"
    assert not list(tmp_path.glob("*.parts"))
    said = capsys.readouterr().out.strip().splitlines()[-1]
    use = f"motet distill {table} --target video --auxiliary audio --out RUN"
    assert said == f"{table}: 8 rows; features: video 16, audio 4; continue with `{use}`"
    one = ["--modalities", "audio", *FLAGS]
    assert main(["distill", "extract", str(folder), "--out", str(tmp_path / "one.npz"), *one]) == 0
    said = capsys.readouterr().out
    assert "features: audio 4; continue with" in said
    assert "--target audio --method alone" in said
    assert "--auxiliary" not in said
    words = ["distill", str(table), "--target", "video", "--auxiliary", "audio", "--json", str(tmp_path / "r.json")]
    assert main([*words, "--epochs", "1", "--batch-size", "4", "--no-diagnose"]) == 0
    assert "**amid: video, taught with audio**" in capsys.readouterr().out


def test_features_are_those_of_the_clips(folder: Path, tmp_path: Path) -> None:
    options = replace(NETWORKS, video=replace(NETWORKS.video, output="sequence"))
    table = FeatureTable.open(extract(folder, tmp_path / "s.npz", ["video"], options, workers=0, progress=False))
    mean = FeatureTable.open(extract(folder, tmp_path / "m.npz", ["video"], NETWORKS, workers=0, progress=False))
    manifest = open_source(folder)
    video = built(["video"], options, "cpu", 0)["video"]
    lengths = table.modalities["video"].lengths
    assert lengths is not None
    assert len(set(lengths.tolist())) > 1
    for row, item in enumerate(manifest.items("video")):
        assert item is not None
        clips = torch.stack(video.load(item))
        with torch.no_grad():
            wanted = video(clips).numpy()
        found = table.modalities["video"].values[row]
        np.testing.assert_allclose(found[: lengths[row]], wanted, atol=1e-6)
        assert not found[lengths[row] :].any()
        np.testing.assert_allclose(mean.modalities["video"].values[row], wanted.mean(axis=0), atol=1e-6)


def test_an_interrupted_extraction_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from motet.methods.distillation.raw import extraction as module

    whole = extract(folder, tmp_path / "whole.npz", options=NETWORKS, workers=0, progress=False)
    monkeypatch.setattr(module, "_BLOCK", 3)
    seen: list[str] = []

    def counting(network: object, item: object, parts: object) -> np.ndarray:
        seen.append(str(item))
        if len(seen) == 9:
            raise KeyboardInterrupt
        return sequence_of(network, item, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "sequence_of", counting)
    out = tmp_path / "t.npz"
    with pytest.raises(KeyboardInterrupt):
        extract(folder, out, options=NETWORKS, workers=0, progress=False)
    assert not out.exists()
    assert len(list((tmp_path / "t.npz.parts").glob("block-*.npz"))) == 1
    other = replace(NETWORKS, video=replace(NETWORKS.video, stride=2))
    with pytest.raises(RunError, match="blocks of other samples, options or weights"):
        extract(folder, out, options=other, workers=0, progress=False)
    extract(folder, out, options=NETWORKS, workers=0, progress=False)
    assert len(seen) == 9 + 10  # three of eight samples with two recordings each were done
    with np.load(whole) as first, np.load(out) as second:
        assert first.files == second.files
        assert all(np.array_equal(first[n], second[n]) for n in first.files)
    with pytest.raises(RunError, match="exists already"):
        extract(folder, out, options=NETWORKS, workers=0, progress=False)


def test_a_damaged_block_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from motet.methods.distillation.raw import extraction as module

    out = tmp_path / "t.npz"
    with monkeypatch.context() as patch:
        patch.setattr(module, "_assemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extract(folder, out, options=NETWORKS, workers=0, progress=False)
    (tmp_path / "t.npz.parts" / "block-000000.npz").write_bytes(b"half")
    with pytest.raises(RunError, match=r"block-000000\.npz is damaged"):
        extract(folder, out, options=NETWORKS, workers=0, progress=False)


def test_recordings_that_cannot_be_read(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "films"
    shutil.copytree(folder, root)
    manifest = open_source(root)
    broken, silent = root / "train/low/low1.mp4", root / "train/high/high0.mp4"
    broken.write_bytes(broken.read_bytes()[:200])
    write(silent, pictures(6, 16, 24))
    path = tmp_path / "m.csv"
    manifest.write(path)
    words = ["distill", "extract", str(path), "--out", str(tmp_path / "t.npz"), "--video.weights", "random", *FLAGS]
    assert main([*words, "--quiet"]) == 2
    error = capsys.readouterr().err.strip()
    assert "low1.mp4 cannot be decoded" in error
    assert "repair it, or mark such recordings as absent by --mark-absent" in error
    assert "\n" not in error
    assert not (tmp_path / "t.npz").exists()
    shutil.rmtree(tmp_path / "t.npz.parts")
    with pytest.warns(MotetWarning, match=r"marked as absent: \d recordings? of modality (video|audio): .*mp4") as said:
        extract(path, tmp_path / "t.npz", options=NETWORKS, mark_absent=True, workers=0, progress=False)
    assert len(said) == 2
    table = FeatureTable.open(tmp_path / "t.npz")
    assert np.flatnonzero(~table.modalities["video"].available).tolist() == [4]
    assert np.flatnonzero(~table.modalities["audio"].available).tolist() == [0, 4]


def test_mark_absent_continues_with_the_finished_blocks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording that stopped an extraction is marked by the next, which reads no finished block again."""
    from motet.methods.distillation.raw import extraction as module

    monkeypatch.setattr(module, "_BLOCK", 3)
    root = tmp_path / "films"
    shutil.copytree(folder, root)
    path = tmp_path / "m.csv"
    manifest = open_source(root)
    manifest.write(path)
    last = Path(next(item.content for item in reversed(manifest.items("video")) if item is not None))
    last.write_bytes(last.read_bytes()[:200])
    out, seen = tmp_path / "t.npz", list[str]()

    def counting(network: object, item: object, parts: object) -> np.ndarray:
        seen.append(str(item))
        return sequence_of(network, item, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "sequence_of", counting)
    given = {"options": NETWORKS, "workers": 0, "progress": False}
    with pytest.raises(DataError, match="mark such recordings as absent"):
        extract(path, out, **given)  # type: ignore[arg-type]
    blocks = len(list((tmp_path / "t.npz.parts").glob("block-*.npz")))
    assert blocks == 2
    seen.clear()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_report", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extract(path, out, mark_absent=True, **given)  # type: ignore[arg-type]
    assert len(seen) <= 4  # the last block only
    with pytest.raises(DataError, match="mark such recordings by --mark-absent"):
        extract(path, out, **given)  # type: ignore[arg-type]
    with pytest.warns(MotetWarning, match="marked as absent"):
        extract(path, out, mark_absent=True, **given)  # type: ignore[arg-type]
    assert not FeatureTable.open(out).modalities["video"].available.all()


def test_bad_arguments(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no modality 'smell'"):
        extract(folder, tmp_path / "t.npz", ["smell"], NETWORKS, workers=0, progress=False)
    manifest = Manifest.read(_manifest(tmp_path / "m.csv", "id,label,video\na,x,gone.mp4\nb,y,gone2.mp4\n"))
    with pytest.raises(DataError, match=r"2 files of modality video are not there, the first is .*gone\.mp4"):
        extract(manifest, tmp_path / "t.npz", options=NETWORKS, workers=0, progress=False)
    assert not (tmp_path / "t.npz.parts").exists()
    assert Video().frames == 16


def _manifest(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
