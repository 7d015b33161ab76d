from __future__ import annotations

import contextlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet import cli
from motet.core.errors import ConfigError, DataError, MotetError, MotetNote, MotetWarning
from motet.data.archive import MotionArchive
from motet.data.formats import deeplabcut, import_dataset
from motet.data.formats.base import Unit

pytestmark = [
    pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote"),
    pytest.mark.filterwarnings("ignore:.*guesses of DeepLabCut"),
]
SCORER = "DLC_resnet50_runJan1shuffle1_1000"
VALUES = np.random.default_rng(0).uniform(1, 99, (4, 6)).round(3)
VALUES[:, [2, 5]] = np.array([[0.9, 0.8], [0.2, 0.7], [1.0, 0.6], [0.5, 0.4]])
SINGLE = "\n".join(
    [
        f"scorer,{','.join([SCORER] * 6)}",
        "bodyparts,nose,nose,nose,tail,tail,tail",
        "coords,x,y,likelihood,x,y,likelihood",
        *(",".join([str(i), *map(str, row)]) for i, row in enumerate(VALUES.tolist())),
    ]
)


DETAIL = {"joints": ("nose", "tail"), "channels": 2, "fps": None, "columns": {}}


def load(folder: Path, text: str = SINGLE, name: str = f"m2_run{SCORER}.csv", **options: Any) -> MotionArchive:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_text(text)
    return import_dataset("deeplabcut", folder / "in", folder / "out", progress=False, overwrite=True, **options)


def test_one_animal(tmp_path: Path) -> None:
    archive = load(tmp_path, fps=50.0, pattern=r"m(?P<subject>\d)_(?P<label>[a-z]+)DLC", likelihood=0.45)
    assert (archive.skeleton.joints, archive.skeleton.up, archive.units) == (("nose", "tail"), "-y", "px")
    wanted = VALUES[:, [[0, 1], [3, 4]]] * (VALUES[:, [2, 5]] >= 0.45)[..., None]
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted, rtol=1e-6)
    np.testing.assert_allclose(archive.clip_confidence(0)[:, 0], VALUES[:, [2, 5]] * wanted.any(axis=-1), rtol=1e-6)  # type: ignore[index]
    assert archive.clips.select("name", "subject", "label").row(0) == ("m2_run", 2, 0)
    assert archive.class_names == ["run"]


def test_guesses_that_are_kept_are_said(tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match=r"m2_run.*below 0\.6 are guesses .* --likelihood 0\.6"):
        kept = load(tmp_path)
    assert kept.clip(0).all()
    sure = SINGLE.replace(",0.2", ",0.6").replace(",0.5", ",0.6").replace(",0.4", ",0.6")
    with warnings.catch_warnings():
        warnings.simplefilter("error", MotetWarning)
        warnings.simplefilter("ignore", MotetNote)
        load(tmp_path, sure)
        assert load(tmp_path, likelihood=0.0).clip(0).all()
        load(tmp_path, likelihood=0.6)


def test_an_unknown_rate_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(tmp_path)
    words = ["data", "import", "deeplabcut", str(tmp_path / "in"), str(tmp_path / "out"), "--overwrite"]
    assert cli.main(words) == 0
    assert "; frames per second unknown, so seconds are (--fps)" in capsys.readouterr().out
    assert cli.main([*words, "--fps", "30"]) == 0
    assert "unknown, so seconds" not in capsys.readouterr().out


def test_several_animals_and_cells_that_are_empty(tmp_path: Path) -> None:
    lines = SINGLE.splitlines()
    lines.insert(1, "individuals,a,a,a,a,a,a,b,b,b,b,b,b")
    lines = [line if line.startswith("individuals") else line + line[line.index(",") :] for line in lines]
    lines[-1] = "3,1,2,0.9,,,,3,4,0.8,5,6,0.7"
    archive = load(tmp_path, "\n".join(lines))
    clip = archive.clip(0)
    assert (clip.shape, archive.clips["individuals"][0]) == ((4, 2, 2, 2), "a, b")
    np.testing.assert_allclose(clip[3], [[[1, 2], [0, 0]], [[3, 4], [5, 6]]])
    np.testing.assert_allclose(clip[0, 0], clip[0, 1])


def test_three_coordinates_are_not_pixels(tmp_path: Path) -> None:
    text = SINGLE.replace("x,y,likelihood", "x,y,z")
    archive = load(tmp_path, text, unit="cm")
    assert (archive.units, archive.channels) == ("cm", ("x", "y", "z"))
    np.testing.assert_allclose(archive.clip(0)[:, 0], VALUES.reshape(4, 2, 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "not DeepLabCut's header"),
        (SINGLE[:-3], None),
        (SINGLE[: SINGLE.rindex(",")], "line 7: 6 cells where 7 are due"),
        (SINGLE.replace("0,", "0,x", 1).replace("\n1,", "\n1,q", 1), "could not convert"),
        (SINGLE.replace("coords,x,y,likelihood", "coords,x,z,likelihood"), "no column"),
        (SINGLE.replace("bodyparts,nose,nose,nose", "bodyparts,tail,tail,tail"), "two columns of one name"),
        ("\n".join(SINGLE.splitlines()[:3]), "no frames"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, said: str | None) -> None:
    if said is None:
        assert len(load(tmp_path, text)) == 1  # the last number is shorter, nothing else
        return
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path, text)
    assert SCORER in str(caught.value)


def test_options_and_other_body_parts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="likelihood"):
        load(tmp_path, likelihood=2.0)
    with pytest.raises(DataError, match=r"zz\.csv lacks tail; it has foot beyond the others: name a layout"):
        load(tmp_path, SINGLE.replace("tail", "foot"), "zz.csv")
    (tmp_path / "in" / "zz.csv").unlink()
    with pytest.raises(DataError, match=r"with a likelihood of at least 1"):
        load(tmp_path, SINGLE.replace(",1.0,", ",0.9,"), likelihood=1.0)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(SINGLE.encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=12))
    path = tmp_path / "a.csv"
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(deeplabcut.FORMAT.read(Unit("a", path, DETAIL), deeplabcut.Options())[0].frames).all()


def test_frames_that_are_missing_are_absent(tmp_path: Path) -> None:
    archive = load(tmp_path, SINGLE.replace("\n2,", "\n6,").replace("\n3,", "\n7,"))
    assert archive.lengths.tolist() == [8]
    np.testing.assert_array_equal(archive.clip(0).any(axis=(1, 2, 3)), [1, 1, 0, 0, 0, 0, 1, 1])


def test_the_filtered_one_of_two_is_read(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.warns(MotetNote, match="1 raw file left out"):
        archive = load(tmp_path, SINGLE.replace("\n0,", "\n0,1"), f"m2_run{SCORER}_filtered.csv")
    assert archive.clips["name"].to_list() == ["m2_run"]
    assert archive.clip(0)[0, 0, 0, 0] == pytest.approx(float(f"1{VALUES[0, 0]}"))


def test_parts_of_no_individual_are_kept(tmp_path: Path) -> None:
    lines = SINGLE.splitlines()
    lines.insert(1, "individuals,a,a,a,single,single,single")
    clip = load(tmp_path, "\n".join(lines)).clip(0)
    np.testing.assert_allclose(clip[:, 0], VALUES[:, [[0, 1], [3, 4]]], rtol=1e-6)


def test_labelled_data_of_today(tmp_path: Path) -> None:
    lines = [line.replace(",", ",,,", 1) for line in SINGLE.splitlines()]
    lines[3:] = [f"labeled-data,run,img{i:03d}.png{line[line.index(',,,') + 2 :]}" for i, line in enumerate(lines[3:])]
    lines[-1] = lines[-1].replace("img003", "img005")
    archive = load(tmp_path, "\n".join(lines), "CollectedData_Ann.csv")
    np.testing.assert_allclose(archive.clip(0)[[0, 1, 2, 5], 0], VALUES[:, [[0, 1], [3, 4]]], rtol=1e-6)
    assert not archive.clip(0)[3:5].any()


def test_a_header_line_twice_ends(tmp_path: Path) -> None:
    lines = SINGLE.splitlines()
    with pytest.raises(DataError, match="line 4: a second header line coords"):
        load(tmp_path, "\n".join([*lines[:3], *lines[2:]]))


@pytest.mark.parametrize("form", ["table", "fixed"])
def test_hdf5_holds_the_same(tmp_path: Path, form: str) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    names = [(SCORER, part, axis) for part in ("nose", "tail") for axis in ("x", "y", "likelihood")]
    (tmp_path / "in").mkdir()
    with h5py.File(tmp_path / "in" / f"m2_run{SCORER}.h5", "w") as file:
        group = file.create_group("df_with_missing")
        if form == "table":
            group.attrs["non_index_axes"] = np.bytes_(pickle.dumps([(1, names)], protocol=0))
            rows = np.zeros(4, dtype=[("index", "i8"), ("values_block_0", "f8", (6,))])
            rows["index"], rows["values_block_0"] = range(4), VALUES
            group["table"] = rows
        else:
            group["block0_values"], group["axis1"] = VALUES, np.arange(4)
            for level, texts in enumerate(zip(*names, strict=True)):
                distinct = list(dict.fromkeys(texts))
                group[f"axis0_level{level}"] = np.array(distinct, dtype="S")
                group[f"axis0_label{level}"] = np.array([distinct.index(t) for t in texts])
    hdf5 = import_dataset("deeplabcut", tmp_path / "in", tmp_path / "h5", progress=False)
    np.testing.assert_allclose(hdf5.clip(0)[:, 0], VALUES[:, [[0, 1], [3, 4]]], rtol=1e-6)
    load(tmp_path)  # the table next to it goes before it
    assert MotionArchive.open(tmp_path / "out").hash == hdf5.hash


def test_files_of_another_program_are_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(SINGLE)
    with pytest.raises(DataError, match=r"two columns are called .*; it is a table of DeepLabCut: import it as"):
        import_dataset("csv", tmp_path / "in", tmp_path / "out", progress=False)
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    (tmp_path / "in" / "a.csv").unlink()
    with h5py.File(tmp_path / "in" / "a.h5", "w") as file:
        file["tracks"], file["node_names"] = np.zeros((1, 2, 1, 3)), np.array([b"nose"])
    with pytest.raises(DataError, match="import it as sleap"):
        import_dataset("deeplabcut", tmp_path / "in", tmp_path / "out", progress=False)
    with h5py.File(tmp_path / "in" / "a.h5", "w") as file:
        file.create_group("df_with_missing").attrs["non_index_axes"] = b"x"
    with pytest.raises(DataError, match="import it as deeplabcut"):
        import_dataset("sleap", tmp_path / "in", tmp_path / "out", progress=False)
