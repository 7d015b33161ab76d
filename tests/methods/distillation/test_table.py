from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.methods.distillation.folds import folds
from motet.methods.distillation.table import FeatureTable, usable, warn_of_constants
from tests.methods.distillation.toys import write_table


def test_a_table_is_read(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    walk = random.normal(size=(120, 7, 2))
    length = random.integers(1, 8, 120)
    names = np.array(["a", "b", "c"])
    table = FeatureTable.open(
        write_table(
            tmp_path / "t.npz", walk=walk, length_walk=length, class_names=names, available_ear=np.arange(120) > 9
        )
    )
    assert len(table) == 120
    assert set(table.modalities) == {"eye", "ear", "walk"}
    assert table.class_names == ("a", "b", "c")
    assert table.modalities["ear"].available.sum() == 110
    assert not table.modalities["ear"].values[:10].any()
    seen = table.modalities["walk"]
    assert seen.lengths is not None
    assert seen.lengths.tolist() == length.tolist()
    assert not seen.values[np.arange(7) >= length[:, None]].any()
    assert np.allclose(seen.values[3, : length[3]], walk[3, : length[3]])


def test_a_mask_moves_valid_frames_to_the_front(tmp_path: Path) -> None:
    walk = np.arange(120 * 4).reshape(120, 4, 1).astype(float)
    mask = np.ones((120, 4), dtype=bool)
    mask[0] = [False, True, False, True]
    mask[1] = False
    seen = FeatureTable.open(write_table(tmp_path / "t.npz", walk=walk, mask_walk=mask)).modalities["walk"]
    assert seen.values[0, :, 0].tolist() == [1, 3, 0, 0]
    assert seen.lengths is not None
    assert seen.lengths[:3].tolist() == [2, 0, 4]
    assert seen.available[:3].tolist() == [True, False, True]


def test_labels_may_be_texts(tmp_path: Path) -> None:
    label = np.array(["walk", "run"] * 60)
    table = FeatureTable.open(write_table(tmp_path / "t.npz", label=label, group=None, fold=None))
    assert table.class_names == ("run", "walk")
    assert table.labels[:2].tolist() == [1, 0]


NAMES = np.array([f"clip-{n}" for n in range(120)])


def hurt(eye: np.ndarray) -> np.ndarray:
    eye[17, 2] = np.nan
    return eye


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"label": None}, "no array `label`"),
        ({"eye": None, "ear": None}, "no modality"),
        ({"eye": np.zeros((119, 3))}, "eye has shape"),
        ({"eye": np.zeros(120)}, "eye is"),
        ({"eye": np.array(["x"] * 120)[:, None]}, "eye is"),
        ({"eye": hurt(np.zeros((120, 3)))}, r"modality eye is NaN.* in row 17; fix it"),
        ({"eye": hurt(np.zeros((120, 3))), "id": NAMES}, r"modality eye is NaN.* in row 17 \(id clip-17\); fix it"),
        ({"eye": np.full((120, 3), 1e38)}, "modality eye .* row 0"),
        ({"id": np.array(["x"] * 120)}, r": id 'x' stands in rows 0, 1, 2, 3, 4 and 115 more; give every row"),
        ({"id": np.where(np.arange(120) == 9, "clip-4", NAMES)}, r": id 'clip-4' stands in rows 4, 9; give every row"),
        ({"id": np.arange(120) // 2}, "id '0' stands in rows 0, 1; 60 ids stand more than once"),
        ({"id": np.zeros((120, 2))}, r"id has shape \(120, 2\)"),
        ({"label": np.full(120, -1)}, "row 0 has the label -1"),
        ({"label": np.arange(120) % 3 + 0.5}, "row 0 has the label 0.5; a label must be an integer or a text"),
        ({"label": np.where(np.arange(120) == 7, np.nan, 1.0)}, "row 7 has the label nan"),
        ({"label": np.arange(120).astype("datetime64[s]")}, "label is of type datetime64.*; it must be integers or"),
        ({"label": np.array([None] * 120)}, r"label is an array of Python objects .* as texts, label=np.array"),
        ({"group": np.array([None] * 120)}, r"group is an array of Python objects .* as texts, group=np.array"),
        ({"eye": np.array([[1.0]] * 120, dtype=object)}, "eye is an array of Python objects .* array of numbers"),
        ({"class_names": np.array(["one"])}, "has no name"),
        ({"fold": np.full(120, 0.5)}, "fold must be one integer"),
        ({"available_nose": np.ones(120)}, "available_nose speaks of a modality"),
        ({"available_eye": np.ones((120, 2))}, "available_eye has shape"),
        ({"available_eye": np.full(120, np.nan)}, "available_eye is nan in row 0; it must be 0 or 1"),
        ({"walk": np.zeros((120, 4, 2)), "length_walk": np.full(120, 5)}, "length_walk is 5 in row 0.* 0..4"),
        (
            {"walk": np.zeros((120, 4, 2)), "length_walk": -(np.arange(120) == 7).astype(int)},
            "length_walk is -1 in row 7",
        ),
        ({"walk": np.zeros((120, 4, 2)), "length_walk": np.full(120, 2.0)}, "length_walk must be one integer per row"),
        ({"walk": np.zeros((120, 4, 2)), "mask_walk": np.ones((120, 5))}, "mask_walk has shape"),
    ],
)
def test_bad_tables(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    path = write_table(tmp_path / "bad.npz", **columns)
    with pytest.raises(DataError, match=said) as error:
        FeatureTable.open(path)
    assert "bad.npz" in str(error.value)
    assert "\n" not in str(error.value)
    assert "np." not in str(error.value).replace("=np.array(", "")  # nothing as numpy writes it


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", label=np.array([{}, {}], dtype=object))
    for name in ("absent.npz", "text.npz", "one.npy", "objects.npz"):
        with pytest.raises(DataError, match=name):
            FeatureTable.open(tmp_path / name)


def test_tables_are_joined_by_id(tmp_path: Path) -> None:
    ids = np.array([f"clip-{i}" for i in range(120)])
    first = write_table(tmp_path / "eye.npz", id=ids, ear=None)
    order = np.random.default_rng(1).permutation(120)
    ear = np.arange(120.0)[:, None]
    second = write_table(
        tmp_path / "ear.npz", id=ids[order], ear=ear[order], eye=None, label=(np.arange(120) % 3)[order]
    )
    joined = FeatureTable.open(first, second)
    assert joined.modalities["ear"].values[:, 0].tolist() == list(range(120))
    for change, said in (
        ({"id": np.where(ids == "clip-7", "other", ids)}, "not of the same samples: id 'clip-7' is only in"),
        (
            {"id": ids, "label": np.roll(np.arange(120) % 3, 1)},
            r"labels differ: row 0 \(id clip-0\) is 0 in \S*eye.npz, 2 in \S*bad.npz",
        ),
        ({"id": ids, "eye": np.zeros((120, 2))}, "both have a modality 'eye'"),
        ({}, r"bad.npz has no array `id`, so its rows cannot be matched with those of .*eye.npz"),
    ):
        write_table(tmp_path / "bad.npz", **({"eye": None} | change))
        with pytest.raises(DataError, match=said):
            FeatureTable.open(first, tmp_path / "bad.npz")
    with pytest.raises(DataError, match=r"^\S*bad.npz has no array `id`.* those of \S*eye.npz, which have"):
        FeatureTable.open(write_table(tmp_path / "bad.npz", eye=None), first)


def test_tables_without_ids_are_joined_row_by_row(tmp_path: Path) -> None:
    first, second = write_table(tmp_path / "eye.npz", ear=None), write_table(tmp_path / "ear.npz", eye=None)
    assert set(FeatureTable.open(first, second).modalities) == {"eye", "ear"}
    write_table(tmp_path / "ear.npz", eye=None, label=np.roll(np.arange(120) % 3, 1))
    with pytest.raises(DataError, match=r"labels differ: row 0 is 0 in \S*eye.npz, 2 in \S*ear.npz"):
        FeatureTable.open(first, second)
    write_table(tmp_path / "ear.npz", 90, eye=None)
    with pytest.raises(DataError, match=r"eye.npz has 120 rows, \S*ear.npz has 90, and neither has an array `id`"):
        FeatureTable.open(first, second)


def test_modalities_must_exist_and_be_seen(tmp_path: Path) -> None:
    seen = np.arange(120) >= 20
    table = FeatureTable.open(write_table(tmp_path / "t.npz", available_eye=seen, available_ear=np.zeros(120)))
    for targets, others, said in (
        (["nose"], [], "no modality 'nose'; it has eye, ear"),
        (["eye"], ["ear"], "modality ear is absent in every row"),
        (["eye"], ["eye"], "named more than once"),
        ([], ["eye"], "no target"),
    ):
        with pytest.raises(DataError, match=said):
            usable(table, targets, others)
    assert len(usable(table, ["eye"], [])) == 100
    single = FeatureTable.open(write_table(tmp_path / "s.npz", label=np.zeros(120, dtype=int)))
    with pytest.raises(DataError, match="all of one class"):
        usable(single, ["eye"], [])


def test_modalities_that_differ_by_a_point_and_a_slash_are_not_mixed_up(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(120, 2))
    table = FeatureTable.open(write_table(tmp_path / "t.npz", **{"a.b": x, "a/b": x + 1}))
    for names in ((["a.b", "a/b"], []), (["a/b"], ["eye", "a.b"])):
        with pytest.raises(DataError, match=r"t.npz: a[./]b and a[./]b would be stored under one name; rename one"):
            usable(table, *names)
    assert len(usable(table, ["a.b"], ["eye"])) == len(usable(table, ["a/b"], ["eye"])) == 120


# ---------------------------------------------------------------------------- folds


def opened(tmp_path: Path, **columns: Any) -> FeatureTable:
    return FeatureTable.open(write_table(tmp_path / "t.npz", **columns))


@pytest.mark.parametrize("rule", ["fold", "group", "leave-one-group-out"])
@pytest.mark.parametrize("validate", [False, True])
def test_no_group_is_on_both_sides_and_every_row_is_tested_once(tmp_path: Path, rule: str, validate: bool) -> None:
    table = opened(tmp_path, fold=np.arange(120) // 3 % 4)
    assert table.group is not None
    outer = folds(table, rule, 4)
    assert sorted(np.concatenate([f.test for f in outer]).tolist()) == list(range(120))
    for fold, whole in zip(folds(table, rule, 4, validate=validate), outer, strict=True):
        assert not set(table.group[fold.train]) & set(table.group[fold.test])
        if validate:  # the outer test rows are not touched
            assert not set(whole.test) & (set(fold.train) | set(fold.test))
            assert set(fold.train) | set(fold.test) == set(whole.train)


def test_a_split_and_its_held_out_parts(tmp_path: Path) -> None:
    side = np.where(np.arange(120) // 3 % 4 < 3, "train", "test")
    table = opened(tmp_path, split=side, fold=None)
    [one] = folds(table)
    assert (side[one.train] == "train").all()
    assert (side[one.test] == "test").all()
    parts = folds(table, count=3, validate=True)
    assert sorted(np.concatenate([p.test for p in parts]).tolist()) == one.train.tolist()


def test_random_folds_share_out_the_classes(tmp_path: Path) -> None:
    table = opened(tmp_path, group=None, fold=None)
    found = folds(table, count=4)
    assert [np.bincount(table.labels[f.test]).tolist() for f in found] == [[10, 10, 10]] * 4
    assert all((a.test == b.test).all() for a, b in zip(found, folds(table, count=4), strict=True))


def test_all_rows(tmp_path: Path) -> None:
    [one] = folds(opened(tmp_path), "all")
    assert len(one.train) == 120
    assert len(one.test) == 0


def test_bad_folds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fold 0: group 0 is in training and in test, such as row 0; a person"):
        folds(opened(tmp_path, fold=np.arange(120) % 2))
    table = opened(tmp_path, fold=np.arange(120) % 2, id=NAMES, available_eye=np.arange(120) > 9)
    with pytest.raises(DataError, match=r"group 0 is in training and in test, such as row 12 \(id clip-12\)"):
        folds(usable(table, ["eye"], []))  # the row as the file counts it
    with pytest.warns(MotetWarning, match="is in training and in test"):
        folds(opened(tmp_path), "random")
    with pytest.raises(DataError, match="class 0 is tested but never trained: its 40 rows are all on one side; divide"):
        folds(opened(tmp_path, group=None, fold=(np.arange(120) % 3 == 2).astype(int)))
    with pytest.raises(ConfigError, match="no column for the rule split"):
        folds(opened(tmp_path), "split")
    with pytest.raises(ConfigError, match="there is no rule"):
        folds(opened(tmp_path), "by-hand")
    with pytest.raises(DataError, match="split of row 0 is 'dev', not train, val or test"):
        folds(opened(tmp_path, split=np.array(["dev"] * 120)), "split")
    with pytest.raises(DataError, match="no row tests"):
        folds(opened(tmp_path, split=np.array(["train"] * 120)), "split")
    with pytest.raises(ConfigError, match=r"t\.npz: 1 group cannot make 5 folds; --split random"):
        folds(opened(tmp_path, group=np.zeros(120, dtype=int), fold=None))


def test_a_class_of_one_row_and_what_to_do(tmp_path: Path) -> None:
    label = np.where(np.arange(120) == 0, "unique", "usual")
    table = opened(tmp_path, label=label, group=None, fold=None)
    with pytest.raises(DataError, match=r"class unique is tested .*: it has 1 row; .* leave the class out"):
        folds(table)


def test_groups_on_both_sides_of_random_folds_are_told_once(tmp_path: Path) -> None:
    with pytest.warns(MotetWarning) as told:
        folds(opened(tmp_path, fold=None), "random", 3)
    [said] = [str(one.message) for one in told]
    assert "rule random, fold 0: group 0 is in training and in test" in said
    assert "(the same in fold 1, fold 2)" in said


def test_a_modality_that_never_changes_is_told(tmp_path: Path) -> None:
    table = opened(tmp_path, ear=np.ones((120, 2)), available_ear=np.arange(120) > 5)
    with pytest.warns(MotetWarning, match="modality ear is the same in every row"):
        warn_of_constants(table, ("eye", "ear"))


def test_a_file_that_is_no_archive_of_arrays(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(
        DataError, match=r"text\.npz is not a table of arrays \(.npz\): it holds something else"
    ) as error:
        FeatureTable.open(tmp_path / "text.npz")
    assert "pickle" not in str(error.value)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"it holds one array without a name; numpy\.savez"):
        FeatureTable.open(tmp_path / "one.npy")
