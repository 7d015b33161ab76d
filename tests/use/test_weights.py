"""Weights that travel, and those of the released checkpoints, on files made here with their names and shapes."""

from __future__ import annotations

import os
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import motet
from motet import cli, evaluate
from motet.core.errors import ConfigError, MotetWarning, RunError
from motet.core.files import written
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.engine.options import Encoder
from motet.engine.run import Run
from motet.methods import recipes
from motet.methods.learner import create_run
from motet.methods.model import Model
from motet.use.weights import convert_checkpoint, save_weights


def finished(path: Path, archive: MotionArchive) -> Run:
    recipe = replace(
        recipes.get("cmd/small-gru"), streams=("joint", "motion"), encoder=Encoder(hidden=4, layers=1), frames=8
    )
    run = create_run(path, recipe, archive, {"split": "odd-even", "train_clips": 24, "test_clips": 24})
    Model.fresh(recipe, archive).save(run.path / "model.safetensors")
    return run


# -------------------------------------------------------------------------------------------------- a folder


def test_a_folder_opens_as_a_run_does(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", small_archive)
    evaluate.run(run, ("knn",))
    folder = save_weights(run, tmp_path / "shared", licence="cc-by-4.0")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert str(tmp_path) not in (folder / "config.json").read_text()
    found, expected = (motet.load(p).transform(small_archive) for p in (folder, run.path))
    np.testing.assert_array_equal(found, expected)
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: motet\nlicense: cc-by-4.0\n")
    assert "24 clips, split odd-even" in card
    assert "| knn | cmd | joint |" in card
    assert "- Command: `motet evaluate shared --data archive --protocols knn`" in card
    assert "- Data: archive, 48 clips" in card
    assert "- Split: odd-even, 24 training and 24 test clips, 4 classes" in card
    assert str(tmp_path) not in card
    # it can be evaluated, but only on recordings that are named
    with pytest.raises(RunError, match="name an archive by --data"):
        evaluate.run(folder, ("knn",))
    rows = evaluate.run(folder, ("knn",), data=small_archive)["rows"]
    assert rows == evaluate.run(run, ("knn",))["rows"]


def test_the_card_names_what_was_changed(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", small_archive)
    evaluate.run(run, ("knn", "fewshot"), fewshot={"episodes": 5, "way": 3})
    evaluate.run(run, ("knn",), knn={"k": 3, "checkpoints": False}, data=small_archive, baselines=False)
    card = (save_weights(run, tmp_path / "shared") / "README.md").read_text()
    assert "| knn, k 3, checkpoints off | cmd | joint |" in card
    assert "| knn | cmd" not in card
    assert "| fewshot, 3-way 1-shot, episodes 5 | cmd | joint |" in card
    assert "motet evaluate shared --protocols knn --data archive --no-baselines --knn.k 3 --knn.no-checkpoints" in card
    assert str(tmp_path) not in card
    assert str(small_archive.path) not in card
    (run.path / "evaluation.json").write_text("{}")
    with pytest.raises(RunError, match=r"evaluation\.json is damaged"):
        save_weights(run, tmp_path / "other")


def test_files_have_the_permissions_of_the_umask(small_archive: MotionArchive, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        run = finished(tmp_path / "run", small_archive)
        with written(run.path / "model.safetensors") as partial:
            run.model().save(partial)
        evaluate.run(run, ("knn",))
        folder = save_weights(run, tmp_path / "shared")
    finally:
        os.umask(before)
    files = [p for p in (*run.path.rglob("*"), *folder.iterdir()) if p.is_file()]
    assert [p.suffix for p in files].count(".safetensors") >= 3  # of the run, its features, the folder
    assert {oct(p.stat().st_mode & 0o777) for p in files} == {"0o640"}


def test_damaged_weights_say_how_to_get_them_again(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", small_archive)
    folder = save_weights(run, tmp_path / "shared")
    for place, remedy in ((run.path, "start again with another --out"), (folder, "download or pack the weights again")):
        (place / "model.safetensors").write_bytes(b"cut short")
        with pytest.raises(RunError, match=rf"the weights cannot be read .*; {remedy}$"):
            motet.load(place)
    (folder / "config.json").write_text("{}")
    with pytest.raises(RunError, match=r"config\.json is damaged .*; download or pack"):
        motet.load(folder)


def test_weights_are_transferred_without_the_recordings_they_come_from(
    small_archive: MotionArchive, tmp_path: Path
) -> None:
    folder = save_weights(finished(tmp_path / "run", small_archive), tmp_path / "shared")
    names = (*reversed(small_archive.skeleton.joints), "tail")
    far = Skeleton("far", names, (-1, *[0] * 8))  # another order of the joints, one more, two persons, millimetres
    with ArchiveWriter(tmp_path / "far", skeleton=far, persons=2, units="mm", class_names=("a", "b")) as writer:
        for i in range(16):
            frames = np.zeros((20, 2, 9, 3))
            frames[:, :1, :8] = 1000 * small_archive.clip(i)[:20, :, ::-1]
            writer.add(frames, name=str(i), label=i % 2, subject=i // 4 + 1)
    brief = {"tuned": "head", "epochs": 2}
    said = "far: joints of far converted to stick, mm scaled to m, 2 persons made 1"
    with pytest.warns(MotetWarning):
        by_option = evaluate.run(folder, "transfer", transfer=brief | {"data": (str(tmp_path / "far"),)})
    with pytest.warns(MotetWarning, match=said):
        by_data = evaluate.run(folder, "transfer", data=tmp_path / "far", transfer=brief)
    assert {row["details"]["target"] for row in by_option["rows"] + by_data["rows"]} == {"to far"}
    assert [r["values"] for r in by_option["rows"]] == [r["values"] for r in by_data["rows"]]
    assert by_data["split"] == {"rule": "odd-even", "train": 8, "test": 8, "classes": 2}
    assert said in by_option["protocols"][0]["notes"]
    assert by_option["notes"] == []
    assert said in by_data["notes"]
    with pytest.warns(MotetWarning, match="converted"):
        third = evaluate.run(folder, "transfer", data=tmp_path / "far", transfer=brief | {"split": "subjects:1"})
    assert third["split"]["rule"] == "subjects:1"
    # other protocols are told of it, before the split is tried
    with pytest.raises(ConfigError, match=r"9 joints.*--protocols transfer --transfer\.data .*far"):
        evaluate.run(folder, ("knn", "transfer"), data=tmp_path / "far", split="subjects:77")
    with pytest.raises(RunError, match="name an archive by --data"):
        evaluate.run(folder, ("knn", "transfer"), transfer={"data": (str(tmp_path / "far"),)})


def test_what_cannot_be_packed(small_archive: MotionArchive, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", small_archive)
    with pytest.raises(ConfigError, match="exists already"):
        save_weights(run, run.path)
    (run.path / "model.safetensors").unlink()
    with pytest.raises(RunError, match="has not finished"):
        save_weights(run, tmp_path / "shared")
    assert not (tmp_path / "shared").exists()


# --------------------------------------------------------------------------------------------------- the hub


def test_a_hub_id(small_archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_weights(finished(tmp_path / "run", small_archive), tmp_path / "shared")
    asked: list[tuple[str, Any]] = []
    hub = types.ModuleType("huggingface_hub")

    def snapshot_download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        if "missing" in name:
            raise OSError("404\n  not found" + 900 * "!")
        assert allow_patterns == ["*.json", "*.safetensors", "README.md"]
        return str(folder)

    hub.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.chdir(tmp_path)
    assert motet.load("owner/name@v1").streams == ("joint", "motion")
    assert motet.load("owner/name").streams == ("joint", "motion")
    assert asked == [("owner/name", "v1"), ("owner/name", None)]
    with pytest.raises(RunError, match=r"owner/missing is not a run directory here; .*: 404 not found!{1,120}$"):
        motet.load("owner/missing")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "here").symlink_to(folder)
    motet.load("runs/here")  # a directory is a directory
    assert len(asked) == 3
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RunError, match=r"pip install '\.\[hub\]'"):
        motet.load("owner/name")
    with pytest.raises(RunError, match=r"is not a run directory.*; the names that come with motet are body, hand"):
        motet.load("nowhere")


# ------------------------------------------------------------------------------------- released checkpoints


class Released(nn.Module):
    """The released encoder as its checkpoints name it: batch norm, GRU, projection head."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(150)
        self.gru = nn.GRU(150, hidden, layers, batch_first=True, bidirectional=True)
        self.fc = nn.Sequential(nn.Linear(2 * hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, 128))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 150) → (B, 2 · hidden), one frame after the other with the state carried along."""
        x = self.bn(x.transpose(1, 2)).transpose(1, 2)
        state = None
        for t in range(x.shape[1]):
            out, state = self.gru(x[:, t : t + 1], state)
        return out[:, -1]


def checkpoint(path: Path, names: dict[str, Released], prefix: str = "", **extra: Any) -> Path:
    state = {}
    for name, encoder in names.items():
        for side in (name, name.replace("encoder_q", "encoder_k")):
            state |= {f"{prefix}{side}.{k}": v for k, v in encoder.state_dict().items()}
        state[f"{prefix}{name.replace('encoder_q', 'queue')}"] = torch.randn(128, 16)
    torch.save({"epoch": 451, "arch": "x", "state_dict": state, "optimizer": {"state": {}, **extra}}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_weights_compute_what_they_did(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(0)
    names = {n: Released(6, 2) for n in ("encoder_q", "encoder_q_motion", "encoder_q_bone")}
    for encoder in names.values():
        encoder(torch.randn(8, 5, 150))  # the norm sees data
        encoder.eval()
    run = convert_checkpoint(checkpoint(tmp_path / "c.pth.tar", names, prefix), tmp_path / "w")
    model = motet.load(run.path)
    assert model.streams == ("joint", "motion", "bone")
    assert (model.recipe.frames, model.recipe.preprocess, model.recipe.encoder.layers) == (64, "cmd", 2)
    clips = torch.randn(3, 7, 2, 25, 3)
    for view, encoder, found in zip(model.views, names.values(), model.features(clips), strict=True):
        rows = view(clips).permute(0, 1, 3, 4, 2).reshape(3, 7, 150)  # joint, then coordinate, then person
        with torch.no_grad():
            torch.testing.assert_close(found, encoder(rows), atol=1e-6, rtol=0)
    # and they can be evaluated
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("kinect-v2"), persons=2) as writer:
        for i in range(8):
            writer.add(np.random.default_rng(i).normal(size=(9, 1, 25, 3)), name=str(i), label=i % 2, subject=i // 2)
    rows = evaluate.run(run, ("knn",), data=tmp_path / "a", baselines=False)["rows"]
    assert [row["stream"] for row in rows] == 2 * ["joint", "motion", "bone", "joint+motion+bone"]  # and standardised


def test_a_single_view(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "halp.pth", {"encoder_q": Released(4, 1)})
    assert convert_checkpoint(path, tmp_path / "w", stream="bone").recipe.streams == ("bone",)
    assert cli.main(["weights", "convert", str(path), "--out", str(tmp_path / "v")]) == 0
    assert Run.open(tmp_path / "v").recipe.streams == ("joint",)
    assert cli.main(["weights", "pack", str(tmp_path / "v"), "--out", str(tmp_path / "u")]) == 0


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def test_no_code_runs_and_errors_are_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = {"encoder_q": Released(4, 1)}

    def fails(match: str, path: Path, **options: Any) -> None:
        with pytest.raises((RunError, ConfigError), match=match):
            convert_checkpoint(path, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()

    fails("cannot be read as a checkpoint", checkpoint(tmp_path / "evil.pth", good, evil=Evil()))
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    fails("cannot be read as a checkpoint", tmp_path / "plain.pth")
    assert not (tmp_path / "evil").exists()
    (tmp_path / "cut.pth").write_bytes((tmp_path / "evil.pth").read_bytes()[:500])
    fails("cannot be read as a checkpoint", tmp_path / "cut.pth")
    np.savez(tmp_path / "table.npz", a=np.ones(3))
    fails(r"table\.npz cannot be read as a checkpoint of tensors: it is damaged or holds", tmp_path / "table.npz")
    fails(r"nowhere\.pth does not exist", tmp_path / "nowhere.pth")
    fails("is a folder", tmp_path)
    (tmp_path / "page.pth").write_text("<html>\n<head>… 404")
    fails(r"page\.pth is a text file, not a checkpoint", tmp_path / "page.pth")
    (tmp_path / "image.pth").write_bytes(b"\x89PNG\0\0\1")
    fails("neither a zip archive nor a pickle", tmp_path / "image.pth")
    (tmp_path / "empty.pth").touch()
    fails("is empty", tmp_path / "empty.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    fails("holds a list", tmp_path / "list.pth")
    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "other.pth")
    fails("has no query encoder", tmp_path / "other.pth")
    torch.save({"encoder_q.conv.weight": torch.ones(2)}, tmp_path / "conv.pth")
    fails("has no recurrent layers", tmp_path / "conv.pth")
    path = checkpoint(tmp_path / "good.pth", good)
    fails(r"is \(150,\), layout kinect-v2 needs \(75,\)", path, persons=1)
    state = torch.load(path)["state_dict"]
    del state["encoder_q.gru.bias_hh_l0_reverse"]
    torch.save(state, tmp_path / "part.pth")
    fails("lacks 1 tensor of the encoder, the first is joint/gru.bias_hh_l0_reverse", tmp_path / "part.pth")
