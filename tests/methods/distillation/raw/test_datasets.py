"""The recipes of the paper's data sets, on trees of empty files with the right names and numbers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from motet.cli import main
from motet.core.errors import ConfigError, DataError
from motet.methods.distillation.raw import Manifest, index
from motet.methods.distillation.raw.datasets import activitynet as anet
from motet.methods.distillation.raw.datasets import iemocap as iemo
from motet.methods.distillation.raw.datasets import ucf51 as ucf
from motet.methods.distillation.raw.datasets.ucf51 import CLASSES, SPLITS


def share(total: int, parts: int) -> list[int]:
    return [total // parts + (n < total % parts) for n in range(parts)]


def tree_of_ucf(root: Path, *, leave_out: int = 0) -> Path:
    """UCF101's folders and lists: the 51 classes with the published numbers of clips, and one class besides."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for label, train, test in zip(CLASSES, share(SPLITS[1][0], 51), share(SPLITS[1][1], 51), strict=True):
        folder = root / "UCF-101" / label
        folder.mkdir(parents=True)
        spelt = label.replace("HandstandPushups", "HandStandPushups")
        for side, count, group in (("test", test, 1), ("train", train, 8)):
            for clip in range(count):
                name = f"v_{spelt}_g{group + clip // 9:02d}_c{clip % 9 + 1:02d}.avi"
                lines[side].append(f"{label}/{name}" + (" 1" if side == "train" else ""))
                if leave_out:
                    leave_out -= 1
                else:
                    (folder / name).touch()
    lines["train"].append("YoYo/v_YoYo_g08_c01.avi 101")
    for side, text in lines.items():
        (lists / f"{side}list01.txt").write_text("\r\n".join(text) + "\r\n")
    return root


def test_ucf51(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tree_of_ucf(tmp_path / "UCF101")
    out = tmp_path / "ucf51.csv"
    assert main(["distill", "index", "ucf51", str(root), "--out", str(out), "--json", str(tmp_path / "f.json")]) == 0
    assert "6,845 clips of 51 classes, split 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text())["modalities"] == {"video": 6845, "audio": 6845}
    manifest = Manifest.read(out)
    assert manifest.split is not None
    assert manifest.group is not None
    assert Counter(manifest.split) == {"train": 4901, "test": 1944}
    assert len(CLASSES) == 51
    assert manifest.class_names == CLASSES  # the order of the folders
    row = next(n for n, name in enumerate(manifest.ids) if name.startswith("v_HandStandPushups_g01"))
    assert manifest.labels[row] == "HandstandPushups"
    assert manifest.group[row] == "HandstandPushups g01"
    sides = {(side, group) for side, group in zip(manifest.split, manifest.group, strict=True)}
    assert len(sides) == len(set(manifest.group))  # nobody on both sides
    assert main(["distill", "index", "ucf51", str(root), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_ucf51_says_what_is_missing(tmp_path: Path) -> None:
    root = tree_of_ucf(tmp_path / "UCF101", leave_out=2)
    said = r"is not all of ucf51: 2 clips not there \(ApplyEyeMakeup/v_Apply.*--partial"
    with pytest.raises(DataError, match=said):
        index("ucf51", root)
    assert len(index("ucf51", root, partial=True).manifest) == 6843
    with pytest.raises(DataError, match=r"has no trainlist02\.txt"):
        ucf.find(root, 2)
    lists = root / "ucfTrainTestlist/testlist01.txt"
    lists.write_text(lists.read_text().replace("_g01_c01.avi", ".avi", 1))
    with pytest.raises(DataError, match=r"testlist01\.txt: ApplyEyeMakeup/v_ApplyEyeMakeup\.avi is not named"):
        index("ucf51", root)
    assert sum(SPLITS[3]) == sum(SPLITS[2]) == 6845


def test_activitynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert anet.SIZES == {"training": 10_024, "validation": 4_926}
    monkeypatch.setattr(anet, "SIZES", {"training": 5, "validation": 2})
    monkeypatch.setattr(anet, "CLASSES", 3)
    database = {
        f"id-_{n}": {
            "subset": "training" if n < 5 else "validation" if n < 7 else "testing",
            "annotations": [{"label": f"class {n % 3}", "segment": [1.0, 9.0]}] if n < 7 else [],
        }
        for n in range(8)
    }
    database["id-_0"]["annotations"] = [  # of several classes the one that lasts longest
        {"label": "class 1", "segment": [0.0, 4.0]},
        {"label": "class 0", "segment": [4.0, 7.0]},
        {"label": "class 0", "segment": [8.0, 11.0]},
    ]
    (tmp_path / anet.ANNOTATIONS).write_text(json.dumps({"database": database, "taxonomy": []}))
    for n in range(7):
        folder = tmp_path / ("v1-2" if n % 2 else "v1-3/val")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"v_id-_{n}.{'mkv' if n == 3 else 'mp4'}").touch()
    found = index("activitynet", tmp_path)
    assert found.missing == ()
    assert found.manifest.split == ["train"] * 5 + ["test"] * 2
    assert found.manifest.labels == [f"class {n % 3}" for n in range(7)]
    (tmp_path / "v1-2/v_id-_3.mkv").unlink()
    with pytest.raises(DataError, match=r"1 video not there \(v_id-_3\)"):
        index("activitynet", tmp_path)
    monkeypatch.setattr(anet, "SIZES", {"training": 6, "validation": 2})
    with pytest.raises(DataError, match="5 training videos in the annotations instead of 6"):
        index("activitynet", tmp_path)
    (tmp_path / anet.ANNOTATIONS).write_text("{}")
    with pytest.raises(DataError, match="is not the annotations of ActivityNet"):
        index("activitynet", tmp_path)


def tree_of_iemocap(root: Path, sessions: int = 5) -> Path:
    """Five sessions with the published numbers of the four classes, among turns of other emotions."""
    names = {"anger": ["ang"], "happiness": ["hap", "exc"], "neutral": ["neu"], "sadness": ["sad"]}
    for session in range(1, sessions + 1):
        place = root / f"Session{session}"
        for folder in ("dialog/EmoEvaluation/Categorical", "dialog/transcriptions", "dialog/avi/DivX"):
            (place / folder).mkdir(parents=True)
        turns = [
            code for (_, codes), n in zip(names.items(), iemo.SIZES[session], strict=True) for code in (codes * n)[:n]
        ]
        turns += ["xxx", "fru", "sur", "oth"] * 9
        for dialogue in range(3):
            film = f"Ses{session:02d}F_impro{dialogue:02d}"
            wavs = place / "sentences/wav" / film
            wavs.mkdir(parents=True)
            (place / f"dialog/avi/DivX/{film}.avi").touch()
            (place / f"dialog/avi/DivX/._{film}.avi").touch()
            said = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            words = []
            for number, code in enumerate(turns[dialogue::3]):
                name, start = f"{film}_M{number:03d}", 2.5 * number
                said += [f"[{start:.4f} - {start + 2:.4f}]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]"]
                said += ["C-E2:\tNeutral;\t()", ""]
                words.append(f"{name} [{start:08.4f}-{start + 2:08.4f}]: Words of turn {number}.")
                (wavs / f"{name}.wav").touch()
            words.append("M: crosstalk")
            (place / f"dialog/EmoEvaluation/{film}.txt").write_text("\n".join(said))
            (place / f"dialog/EmoEvaluation/Categorical/{film}_e1_cat.txt").write_text("\n".join(said))
            (place / f"dialog/transcriptions/{film}.txt").write_text("\n".join(words))
    return root


def test_iemocap(tmp_path: Path) -> None:
    found = index("iemocap", tree_of_iemocap(tmp_path))
    assert found.missing == ()
    manifest = found.manifest
    assert len(manifest) == iemo.TOTAL == sum(map(sum, iemo.SIZES.values())) == 5531
    assert manifest.fold is not None
    assert Counter(manifest.fold) == {1: 1085, 2: 1023, 3: 1151, 4: 1031, 5: 1241}
    assert Counter(manifest.labels) == {"anger": 1103, "happiness": 1636, "neutral": 1708, "sadness": 1084}
    row = manifest.ids.index("Ses03F_impro01_M004")
    assert manifest.group is not None
    assert manifest.group[row] == "session 3"
    video, text, speech = (manifest.modalities[m][row] for m in ("video", "text", "speech"))
    assert video is not None
    assert (Path(video.content).name, video.start, video.end) == ("Ses03F_impro01.avi", 10.0, 12.0)
    assert text is not None
    assert text.content == "Words of turn 4."
    assert speech == manifest.modalities["audio"][row]
    # five folds by session, of the same table that `motet distill` takes
    from motet.methods.distillation.folds import folds
    from motet.methods.distillation.raw.feeder import stand_in

    divided = folds(manifest.table({"speech": stand_in(manifest.items("speech"))}))
    assert [len(f.test) for f in divided] == [1085, 1023, 1151, 1031, 1241]


def test_iemocap_says_what_is_missing(tmp_path: Path) -> None:
    root = tree_of_iemocap(tmp_path, 1)
    (root / "Session1/sentences/wav/Ses01F_impro00/Ses01F_impro00_M000.wav").unlink()
    (root / "Session1/dialog/avi/DivX/Ses01F_impro01.avi").unlink()
    evaluation = root / "Session1/dialog/EmoEvaluation/Ses01F_impro02.txt"
    evaluation.write_text(evaluation.read_text().replace("\tang\t", "\txxx\t", 1))
    with pytest.raises(DataError, match="is not all of iemocap") as error:
        index("iemocap", root)
    for said in (
        "228 utterances of anger in session 1 instead of 229",
        "1,084 utterances instead of 5,531",
        "1 wav files are not there (Ses01F_impro00_M000)",
        "1 films are not there (Ses01F_impro01)",
        "Session5 is not there",
    ):
        assert said in str(error.value)
    found = index("iemocap", root, partial=True)
    assert sum(item is None for item in found.manifest.modalities["speech"]) == 1
    with pytest.raises(DataError, match="has no utterance of IEMOCAP"):
        index("iemocap", tmp_path / "Session1", partial=True)


def test_folders_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data set 'imagenet'"):
        index("imagenet", tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        index("ucf51", tmp_path / "absent")
    with pytest.raises(DataError, match=r"has no trainlist01\.txt"):
        index("ucf51", tmp_path)
    with pytest.raises(DataError, match=r"has no activity_net\.v1-3"):
        index("activitynet", tmp_path)
    with pytest.raises(DataError, match="one folder of them per class"):
        index("folders", tmp_path)
    assert ucf.SPLITS[1] == (4901, 1944)


def test_own_folders(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra raw")
    from tests.methods.distillation.raw.media_files import pictures, tone, write

    write(tmp_path / "wave/one.mp4", pictures(3), tone(0.1))
    write(tmp_path / "wave/two.mp4", pictures(3))
    write(tmp_path / "rest/three.mp4", pictures(3), tone(0.1))
    write(tmp_path / "rest/three.wav", wave=tone(0.1))
    (tmp_path / "rest/three.txt").write_text(" sits still \n")
    (tmp_path / "rest/notes.pdf").touch()
    manifest = index("folders", tmp_path).manifest
    assert manifest.ids == ["rest/three", "wave/one", "wave/two"]
    assert manifest.split is None
    items = manifest.modalities.items()
    assert {m: [None if i is None else Path(i.content).name for i in own] for m, own in items} == {
        "video": ["three.mp4", "one.mp4", "two.mp4"],
        "audio": ["three.wav", "one.mp4", None],
        "text": ["sits still", None, None],
    }
    write(tmp_path / "wave/one.avi", pictures(3))
    with pytest.raises(DataError, match=r"one\.avi and .*one\.mp4 have one name"):
        index("folders", tmp_path)
