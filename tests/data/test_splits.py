from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.core.errors import ConfigError
from motet.data import splits
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.data.splits import Split, default_rule, split, validation

POINT = Skeleton("point", ("a",), (-1,))


def build(path: Path, rows: list[dict[str, Any]], source: dict[str, Any] | None = None) -> MotionArchive:
    with ArchiveWriter(path, skeleton=POINT, source=source) as writer:
        for i, row in enumerate(rows):
            writer.add(np.full((2, 1, 3), i + 1.0), name=f"clip{i}", **row)
    return MotionArchive.open(path)


def people(path: Path, subjects: list[int], labels: list[int] | None = None, **source: Any) -> MotionArchive:
    labels = labels or [0] * len(subjects)
    return build(path, [{"subject": s, "label": y} for s, y in zip(subjects, labels, strict=True)], source)


@pytest.fixture
def ntu(tmp_path: Path) -> MotionArchive:
    rows = [
        {"setup": 1 + i % 32, "camera": 1 + i % 3, "subject": 1 + i % 106, "label": i % 120} for i in range(106 * 6)
    ]
    return build(tmp_path / "ntu", rows, {"split": "ntu120-xsub"})


def values(archive: MotionArchive, ids: np.ndarray, column: str) -> set[int]:
    return set(archive.clips[column].to_numpy()[ids].tolist())


def test_ntu_rules(ntu: MotionArchive) -> None:
    assert len(set(splits.NTU60_TRAIN_SUBJECTS)) == 20
    assert len(set(splits.NTU120_TRAIN_SUBJECTS)) == 53
    found = split(ntu, "ntu120-xsub")
    assert values(ntu, found.train, "subject") == set(splits.NTU120_TRAIN_SUBJECTS)
    assert values(ntu, found.test, "subject") == set(range(1, 107)) - set(splits.NTU120_TRAIN_SUBJECTS)
    assert len(found.train) + len(found.test) == len(ntu)
    found = split(ntu, "ntu120-xset")
    assert values(ntu, found.train, "setup") == set(range(2, 33, 2))
    found = split(ntu, "ntu60-xview")
    assert values(ntu, found.train, "camera") == {2, 3}
    assert values(ntu, found.test, "camera") == {1}
    found = split(ntu, "ntu60-xsub")
    assert values(ntu, found.train, "subject") == set(splits.NTU60_TRAIN_SUBJECTS)
    # clips of the later setups belong to the 120-class set only
    assert values(ntu, np.concatenate([found.train, found.test]), "setup") == set(range(1, 18))
    assert default_rule(ntu) == "ntu120-xsub"


def test_nw_ucla_and_pku(tmp_path: Path) -> None:
    archive = build(tmp_path / "a", [{"camera": 1 + i % 3} for i in range(9)])
    found = split(archive, "nw-ucla")
    assert (found.train.tolist(), found.test.tolist()) == ([0, 1, 3, 4, 6, 7], [2, 5, 8])
    with pytest.raises(ConfigError, match=r"import .* again with the option cross_view"):
        split(archive, "pku-xview")
    given = build(tmp_path / "b", [{"cross_view": v, "subject": 1} for v in ("train", "test", "train")])
    assert split(given, "pku-xview").test.tolist() == [1]
    second = people(tmp_path / "c", [1, 2, 3, 7, 8])
    assert split(second, "pku-xsub").test.tolist() == [1, 2, 3]


def test_subject_rules(tmp_path: Path) -> None:
    archive = people(tmp_path / "a", [1, 2, 3, 4, 5, 1, 2])
    assert split(archive, "odd-even").train.tolist() == [0, 2, 4, 5]
    assert split(archive, "subjects:1,3").train.tolist() == [0, 2, 5]
    assert split(archive, "test-subjects:2,4").test.tolist() == [1, 3, 6]
    for rule in ("subjects:1,9", "test-subjects:9"):
        with pytest.raises(ConfigError, match="no subject 9; it has subject 1, 2, 3, 4, 5"):
            split(archive, rule)
    with pytest.raises(ConfigError, match=r"no clip of .* is left to test"):
        split(archive, "subjects:1,2,3,4,5")
    with pytest.raises(ConfigError, match="whole numbers separated by commas"):
        split(archive, "subjects:1-3")


def test_folds_are_groups_and_balanced(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(12), rng.integers(3, 30, size=12)).tolist()
    archive = people(tmp_path / "a", subjects)
    tests = [split(archive, f"kfold:4/{i}").test for i in (1, 2, 3, 4)]
    assert sorted(np.concatenate(tests).tolist()) == list(range(len(archive)))
    held = [values(archive, t, "subject") for t in tests]
    assert sum(len(h) for h in held) == 12
    sizes = [len(t) for t in tests]
    assert max(sizes) - min(sizes) <= max(subjects.count(s) for s in set(subjects)) / 2
    every = [split(archive, f"kfold:12/{i + 1}").test for i in range(12)]
    assert all(len(values(archive, t, "subject")) == 1 for t in every)
    for rule, said in (
        ("kfold:13/1", "so 2 to 12 folds are possible"),
        ("kfold:4/5", r"1\.\.4"),
        ("kfold:4", "kfold:K/I"),
    ):
        with pytest.raises(ConfigError, match=said):
            split(archive, rule)


def test_one_person_has_no_folds(tmp_path: Path) -> None:
    archive = people(tmp_path / "a", [4] * 6)
    for rule in ("kfold:2/1", "random-subjects:0.3@0"):
        with pytest.raises(ConfigError, match=r"one subject only; random:0\.3@0 draws clips"):
            split(archive, rule)
    with pytest.raises(ConfigError, match="has 2 subjects, so 2 folds are possible"):
        split(people(tmp_path / "b", [1, 2] * 3), "kfold:5/1")


def test_random_rules(tmp_path: Path) -> None:
    archive = people(tmp_path / "a", [i % 10 for i in range(200)], [i % 4 for i in range(200)])
    found = split(archive, "random-subjects:0.3@1")
    assert len(values(archive, found.test, "subject")) == 3
    assert not found.warning
    np.testing.assert_array_equal(found.test, split(archive, "random-subjects:0.3@1").test)
    others = {tuple(split(archive, f"random-subjects:0.3@{seed}").test) for seed in range(6)}
    assert len(others) > 1
    drawn = split(archive, "random:0.2@3")
    assert np.bincount(archive.labels[drawn.test]).tolist() == [10, 10, 10, 10]
    assert "10 people are both in training and in test" in drawn.warning
    assert len(split(archive, "random:0.3").test) == 60  # seed 0
    for rule in ("random:2@0", "random:x@0", "random:0.3@-1", "random-subjects:0@1"):
        with pytest.raises(ConfigError, match=rule.split(":")[0]):
            split(archive, rule)


def test_column_rule(tmp_path: Path) -> None:
    archive = build(tmp_path / "a", [{"domain": d, "fold": f} for d, f in (("kinect", 1), ("vicon", 2), ("imu", 1))])
    found = split(archive, "column:domain=vicon,kinect")
    assert (found.train.tolist(), found.test.tolist()) == ([1], [0])
    assert split(archive, "column:fold=1,2").train.tolist() == [0, 2]
    with pytest.raises(ConfigError, match=r"no column 'sensor'; it has name, .*domain, fold"):
        split(archive, "column:sensor=a,b")
    with pytest.raises(ConfigError, match="never says 'xsens', but imu, kinect, vicon"):
        split(archive, "column:domain=kinect,xsens")
    with pytest.raises(ConfigError, match=r"NAME=TRAIN,TEST; column 'domain' of .* says imu, kinect, vicon"):
        split(archive, "column:domain=kinect")


def test_missing_information_is_named(tmp_path: Path) -> None:
    archive = build(tmp_path / "a", [{"label": 0}, {"label": 1}])
    with pytest.raises(ConfigError, match=r"needs the subject of every clip, but none of .*a has one"):
        split(archive, "odd-even")
    partly = build(tmp_path / "b", [{"subject": 1}, {}])
    said = r"but that of clip1 in .*b is not known; fill it .* out \(`motet data select .* 'subject IS NOT NULL'`\)$"
    with pytest.raises(ConfigError, match=said):
        split(partly, "odd-even")
    for rule in ("xsub", "kfold", "odd-even:3", ""):
        with pytest.raises(ConfigError, match=r"no split rule .* choose from ntu60-xsub"):
            split(archive, rule)
    assert split(archive, "all").train.tolist() == split(archive, "all").test.tolist() == [0, 1]


def test_default_rule(tmp_path: Path) -> None:
    assert default_rule(people(tmp_path / "a", [1, 2, 3])) == "odd-even"
    assert default_rule(people(tmp_path / "b", [1, 3])) == "random:0.3@0"
    assert default_rule(build(tmp_path / "c", [{"label": 0}] * 3)) == "random:0.3@0"
    # a rule that leaves one side empty is passed over
    assert default_rule(people(tmp_path / "d", [1, 2], split="nw-ucla")) == "odd-even"


def test_validation_never_sees_the_test_side(tmp_path: Path) -> None:
    archive = people(tmp_path / "a", [i % 10 for i in range(100)], [i % 3 for i in range(100)])
    given = split(archive, "odd-even")
    found = validation(given, archive, 0.25, seed=1)
    assert sorted([*found.train.tolist(), *found.test.tolist()]) == given.train.tolist()
    assert not values(archive, found.train, "subject") & values(archive, found.test, "subject")
    assert len(values(archive, found.test, "subject")) == 2
    assert found.description.startswith("training subjects")
    np.testing.assert_array_equal(found.test, validation(given, archive, 0.25, seed=1).test)
    assert len({tuple(validation(given, archive, 0.25, seed=s).test) for s in range(5)}) > 1
    most = validation(given, archive, 0.99)
    assert len(values(archive, most.train, "subject")) == 1


def test_validation_without_people(tmp_path: Path) -> None:
    archive = build(tmp_path / "a", [{"label": i % 2} for i in range(20)])
    found = validation(split(archive, "random:0.5@0"), archive, 0.2)
    assert (len(found.train), len(found.test)) == (8, 2)
    assert "optimistic" in found.warning
    distinct = build(tmp_path / "b", [{"label": i} for i in range(5)])
    assert len(validation(split(distinct, "all"), distinct, 0.2).test) == 1
    with pytest.raises(ConfigError, match="between 0 and 1"):
        validation(split(archive, "all"), archive, 1.0)
    one = Split(np.array([0]), np.array([1]), "x", "")
    with pytest.raises(ConfigError, match="1 training clip cannot be divided"):
        validation(one, archive)


def test_windows_of_a_recording_stay_together(tmp_path: Path) -> None:
    rows = [{"label": i % 2, "recording": f"r{i // 4}"} for i in range(20)]
    windows = build(tmp_path / "w", rows)
    assert default_rule(windows) == "random-recordings:0.3@0"
    parts = split(windows, default_rule(windows))
    assert len(parts.test) == 8
    assert not {i // 4 for i in parts.train.tolist()} & {i // 4 for i in parts.test.tolist()}
    assert not parts.warning
    apart = split(windows, "random:0.3@0").warning
    assert "recordings are both in training and in test: scores are optimistic; random-recordings:0.3@0" in apart
    wide = validation(split(windows, "all"), windows, 0.2)
    assert not {i // 4 for i in wide.train.tolist()} & {i // 4 for i in wide.test.tolist()}
    assert "recordings were drawn: scores are optimistic" in wide.warning
    few = build(tmp_path / "few", rows[:12])  # of three recordings the one left out may be the only one of a class
    assert default_rule(few) == "random:0.3@0"
    with pytest.raises(ConfigError, match="no windows of two recordings"):
        split(build(tmp_path / "c", [{"label": 0}] * 3), "random-recordings:0.3@0")
    known = build(tmp_path / "k", [{**row, "subject": 1 + i // 8} for i, row in enumerate(rows)])
    assert default_rule(known) == "odd-even"
