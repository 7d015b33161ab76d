from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import DataError
from motet.data.formats import import_dataset

FRAMES = np.random.default_rng(0).normal(size=(3, 22, 3)).round(6)


def put(folder: Path, gesture: int, finger: int, subject: int, trial: int, text: str | None = None) -> Path:
    place = folder / f"gesture_{gesture}" / f"finger_{finger}" / f"subject_{subject}" / f"essai_{trial}"
    place.mkdir(parents=True)
    rows = FRAMES.reshape(3, 66)
    plain = "".join(" ".join(f"{v:.6f}" for v in row) + "\n" for row in rows)
    (place / "skeletons_world.txt").write_text(plain if text is None else text)
    (place / "skeletons_image.txt").write_text("".join(" ".join(f"{v:.3f}" for v in row[:44]) + "\n" for row in rows))
    return place


def test_import(tmp_path: Path) -> None:
    source = tmp_path / "in"
    put(source, 13, 2, 20, 3)
    put(source, 2, 1, 3, 1)
    archive = import_dataset("shrec17", source, tmp_path / "out", progress=False)
    np.testing.assert_array_equal(archive.clip(0)[:, 0], FRAMES.astype(np.float32))
    columns = archive.clips.select("name", "label", "subject", "repetition", "fingers")
    assert columns.rows() == [("g02_f1_s03_e01", 1, 3, 1, 1), ("g13_f2_s20_e03", 12, 20, 3, 2)]
    assert (archive.skeleton.name, archive.class_names[12], archive.source["split"]) == (
        "hand-22",
        "Swipe V",
        "odd-even",
    )


def test_both_tasks_both_spaces_and_the_split_of_the_challenge(tmp_path: Path) -> None:
    source = tmp_path / "in"
    put(source, 1, 1, 1, 1)
    put(source, 1, 2, 1, 1)
    (source / "train_gestures.txt").write_text("1 1 1 1 1 1 3\n")
    (source / "test_gestures.txt").write_text("1 2 1 1 1 2 3\n")
    archive = import_dataset("shrec17", source, tmp_path / "out", progress=False, classes=28)
    assert archive.clips["label"].to_list() == [0, 1]
    assert archive.class_names[:2] == ["Grab, one finger", "Grab, whole hand"]
    assert (archive.clips["split"].to_list(), archive.source["split"]) == (
        ["train", "test"],
        "column:split=train,test",
    )
    picture = import_dataset("shrec17", source, tmp_path / "picture", progress=False, space="image")
    assert (picture.units, picture.channels, picture.skeleton.up) == ("px", ("x", "y"), "-y")
    np.testing.assert_allclose(picture.clip(0)[:, 0], FRAMES.reshape(3, 66)[:, :44].reshape(3, 22, 2), atol=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("1 2 3\n", "line 1: 3 numbers where 66 are due"), ("x " * 66, "line 1: could")],
)
def test_bad_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    place = put(tmp_path / "in", 1, 1, 1, 1, text)
    with pytest.raises(DataError, match=said) as caught:
        import_dataset("shrec17", tmp_path / "in", tmp_path / "out", progress=False)
    assert str(place) in str(caught.value)


def test_places_and_lists_that_say_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in"
    put(source, 15, 1, 1, 1)
    with pytest.raises(DataError, match=r"does not lie in gesture_1\.\.14"):
        import_dataset("shrec17", source, tmp_path / "out", progress=False)
    for side in ("train", "test"):
        (source / f"{side}_gestures.txt").write_text("1 1 1 1 1 1 3\n")
    with pytest.raises(DataError, match=r"which train_gestures\.txt lists too"):
        import_dataset("shrec17", source, tmp_path / "out", progress=False)


def test_the_other_space_is_named(tmp_path: Path) -> None:
    (tmp_path / "skeletons_world.txt").write_text("0\n")
    with pytest.raises(DataError, match=r"skeletons_image.txt; --space world reads skeletons_world.txt"):
        import_dataset("shrec17", tmp_path, tmp_path / "out", space="image", progress=False)


@pytest.mark.real_data
def test_recordings_equal_the_compact_copy(shared_data: Path, tmp_path: Path) -> None:
    archive = import_dataset("shrec17", shared_data / "raw" / "shrec17", tmp_path / "out", progress=False)
    compact = dict(np.load(shared_data / "skeleton" / "shrec17_hand_train.npz"))
    names = [str(n) for n in compact["class_names"]]
    people = [str(n) for n in compact["subject_names"]]
    checked = 0
    for i, row in enumerate(archive.clips.iter_rows(named=True)):
        wanted = (compact["label"] == names.index(archive.class_names[row["label"]])) & (
            compact["subject"] == people.index(str(row["subject"]))
        )
        wanted &= (compact["rep"] == str(row["repetition"])) & (compact["view"] == row["fingers"] - 1)
        if wanted.any():
            (index,) = np.flatnonzero(wanted)
            clip = compact["pos"][slice(*compact["offset"][index : index + 2])]
            np.testing.assert_allclose(archive.clip(i)[:, 0], clip, atol=1e-3)
            checked += 1
    assert (checked, len(archive)) == (6, 6)


@pytest.mark.real_data
def test_hands_are_right_ones(shared_data: Path, tmp_path: Path) -> None:
    """Across the palm times along it points out of the palm of a right hand, whither its fingers bend; and who swipes
    to the right moves the hand to the camera's left."""
    archive = import_dataset(
        "npz", shared_data / "skeleton" / "shrec17_hand_train.npz", tmp_path / "out", progress=False
    )
    assert archive.skeleton.right_handed
    joint = archive.skeleton.index
    right, swipes = [], []
    for index in range(0, len(archive), 10):
        hand = archive.clip(index)[:, 0].astype(np.float64)
        across, along = hand[:, joint("index_1")] - hand[:, joint("pinky_1")], hand[:, joint("middle_1")] - hand[:, 0]
        palm = np.cross(across, along)
        bends = ((hand[:, joint("middle_4")] - hand[:, joint("middle_1")]) * palm).sum(axis=1)
        right.append(bends[np.abs(bends).argmax()] > 0)
    for index in np.flatnonzero(archive.labels == archive.class_names.index("Swipe Right")):
        steps = np.diff(archive.clip(int(index))[:, 0, joint("palm"), 0].astype(np.float64))
        swipes.append(steps[np.abs(steps).argmax()] > 0)
    assert np.mean(right) > 0.8
    assert np.mean(swipes) > 0.7
