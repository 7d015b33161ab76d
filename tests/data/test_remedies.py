"""Every finding of `motet data inspect` and its doctor: its remedy, run as it is printed, removes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from motet import cli
from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.data import doctor, formats, inspection, layouts
from motet.data.archive import MotionArchive
from motet.data.edit import select, split
from motet.data.findings import OF_CLIPS
from motet.data.formats import import_dataset
from motet.data.inspection.frames import _remedy
from motet.data.inspection.remedies import NOTHING, made, next_to
from motet.data.inspection.render import _together
from motet.data.simulate import simulate
from tests.data.test_doctor import as_tables, rewrite
from tests.data.test_inspection import build, motion
from tests.data.test_sizes import mice
from tests.data.test_swaps import two_mice
from tests.data.test_turns import worn as wrists

Make = Callable[[MotionArchive, Path], MotionArchive]
CASES: dict[str, Make] = {}
"""what makes an archive with a finding, by its source and name"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return simulate(tmp_path_factory.mktemp("remedies") / "a", clips=48, actions=6, actors=4, progress=False)


def case(*names: str) -> Callable[[Make], Make]:
    return lambda make: CASES.update(dict.fromkeys(names, make)) or make


def sound(count: int = 4, frames: int = 40) -> dict[str, np.ndarray]:
    return {f"c{i}": motion(frames, seed=i) for i in range(count)}


def spoilt(clip: np.ndarray, where: Any, value: float | None = 0.0) -> np.ndarray:
    """The clip with some values changed; None repeats the first frame of them."""
    clip = clip.copy()
    clip[where] = clip[where][0] if value is None else clip[where] + value if value else 0
    return clip


SPOILT: dict[str, tuple[Any, float | None]] = {
    "empty ends": (np.s_[:5], 0.0),
    "all-zero frames": (np.s_[5:9], 0.0),
    "frozen frames": (np.s_[5:15], None),
    "stuttering frames": (np.s_[5:8], None),
    "missing joints": (np.s_[5:9, 3], 0.0),
    "bone-length jumps": (np.s_[5:9, 6], 3.0),
}
for name, (frames, value) in SPOILT.items():
    case(f"inspect {name}")(
        lambda clean, path, frames=frames, value=value: build(
            path, sound() | {"bad": spoilt(motion(seed=4), frames, value)}
        )
    )


@case("inspect not finite")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    archive = build(path, sound())
    raw = bytearray((archive.path / "frames.npy").read_bytes())
    raw[128:132] = np.float32(np.nan).tobytes()
    (archive.path / "frames.npy").write_bytes(bytes(raw))
    return MotionArchive.open(archive.path)


@case("inspect missing bodies")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    pair = np.stack([motion(seed=6), motion(seed=7)], axis=1)
    return build(path, sound() | {"pair": spoilt(pair, np.s_[30:35, 1])})


def readings() -> np.ndarray:
    """(4, 80, 2, 3) of a wrist."""
    return np.random.default_rng(0).normal(size=(4, 80, 2, 3)).astype(np.float32)


def worn(path: Path, clips: np.ndarray) -> MotionArchive:
    return build(path, {f"c{i}": c for i, c in enumerate(clips)}, skeleton=layouts.get("imu-2"), persons=1, units="g")


@case("inspect silent sensor")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    clips = readings()
    clips[1, :, 1] = 0
    return worn(path, clips)


@case("inspect stuck readings")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    clips = readings()
    clips[1, 20:60, 0, 2] = clips[1, 20, 0, 2]
    return worn(path, clips)


@case("inspect clipped readings")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    clips = readings()
    clips[2, 30:34, 1, 0] *= 9
    return worn(path, clips.clip(-4, 4))


@case("inspect lost joints")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    points = layouts.build("points", ["a", "b", "c"], [-1] * 3, up="+z")
    clips = np.random.default_rng(0).normal(1, 0.01, size=(4, 60, 3, 3)).cumsum(axis=1)
    clips[3, 20:30, 1] = clips[3, 20, 1]
    return build(path, {f"c{i}": c for i, c in enumerate(clips)}, skeleton=points)


@case("inspect never seen")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    points = layouts.build("points", ["a", "b", "c"], [-1] * 3, up="+z")
    clip = spoilt(np.random.default_rng(0).normal(size=(8, 3, 3)), np.s_[:, 1])
    return build(path, {"x": clip}, skeleton=points)


@case("inspect single frames")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return build(path, sound() | {"still": motion(1, seed=4)})


@case("inspect duplicate clips")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return build(path, sound(2) | {"again": motion(seed=0)})


@case("inspect no labels")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    (path / "labels.csv").write_text("name,label\nc0,sit\nc1,stand\nc2,sit\nc3,stand\n")
    return build(path, sound(), columns=lambda i: {})


@case("inspect mixed units")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    clips = 0.1 * readings() + np.float32([[0, 0.6, 0.8], [0, 0, 0]])
    clips[2, :, 0] *= 9.8
    return worn(path, clips)


@case("inspect mixed sizes")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return mice(path / "a", [1, 1, 0.4])


@case("inspect swapped bodies")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return two_mice(path / "a", swaps={1: (60, 90)})


@case("inspect mixed gyroscopes")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return wrists(path / "a", "m/s^2, rad/s", {2})


@case("inspect guessed joints")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    head = "scorer,s,s,s\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n"
    rows = "\n".join(f"{n},{n % 7 + 1},{n % 5 + 1},{0.3 if n % 9 == 0 else 0.9}" for n in range(90))
    (path / "in").mkdir()
    (path / "in" / "a.csv").write_text(head + rows)
    with pytest.warns(MotetWarning, match="guesses|without bones"):
        return import_dataset("deeplabcut", path / "in", path / "a", fps=30.0, progress=False)


@case("inspect unlabelled clips")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return build(path, sound(), columns=lambda i: {"label": None if i == 2 else 0})


@case("inspect empty classes", "inspect label imbalance", "inspect licence")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    facts: dict[str, Any] = {"class_names": ["sit", "fly", "stand"], "licence": "unknown"}
    return build(path, sound(14, 10), columns=lambda i: {"label": 2 * (i == 3)}, **facts)


def tables(clean: MotionArchive, path: Path, factor: float) -> MotionArchive:
    source = as_tables(clean, path / "tables", factor)
    first = next(iter(sorted(source.iterdir())))
    (source / "z.csv").write_text("\n".join([*first.read_text().splitlines()[:2], "nonsense"]))
    options: dict[str, Any] = {"separator": ";", "pattern": r"((?P<label>[a-z])\d+_)?", "on_error": "skip"}
    archive = formats.import_dataset("csv", source, path / "archive", progress=False, workers=1, **options)
    (source / "z.csv").unlink()
    (path / "people.csv").write_text(
        "\n".join(["name,subject", *(f"{n},{i % 4}" for i, n in enumerate(names(archive)))])
    )
    return archive


def names(archive: MotionArchive) -> list[str]:
    return archive.clips["name"].to_list()


@case("inspect units", "inspect frame rate", "inspect skipped files")
@case("doctor scale", "doctor unknown frame rate")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return tables(clean, path, 1000)


@case("doctor unknown people")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    archive = rewrite(clean, path / "a", columns=lambda row: {**row, "subject": None}, source={})
    rows = [f"{n},{s}" for n, s in clean.clips.select("name", "subject").rows()]
    (path / "people.csv").write_text("\n".join(["name,subject", *rows]))
    return archive


@case("doctor frame rate")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    source = as_tables(clean, path / "tables", 1)
    options: dict[str, Any] = {"separator": ";", "fps": 600.0, "progress": False, "workers": 1}
    return formats.import_dataset("csv", source, path / "archive", **options)


def turned(clean: MotionArchive, path: Path, axes: list[int], **given: Any) -> MotionArchive:
    found = [clean.clip(i)[:, 0][..., axes] for i in range(len(clean))]
    np.savez(
        path / "a.npz",
        pos=np.concatenate(found),
        offset=np.cumsum([0, *map(len, found)]),
        joint_names=np.array(clean.skeleton.joints),
        label=clean.labels,
        subject=clean.clips["subject"].to_numpy(),
        fps=np.array(30.0),
    )
    return formats.import_dataset("npz", path / "a.npz", path / "archive", progress=False, **given)


@case("inspect up axis", "doctor up direction")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return turned(clean, path, [2, 0, 1], up="+y")


@case("inspect handedness", "doctor handedness")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return turned(clean, path, [0, 1, 2], right_handed=False)


def watch(path: Path, **options: Any) -> MotionArchive:
    """Four wrists that turn slowly, readings in g and deg/s."""
    lines = [f"{t / 50},{np.sin(t / 9)},{np.cos(t / 9)},1,{t % 7},2,3" for t in range(60)]
    (path / "watch").mkdir()
    for person in range(4):
        (path / "watch" / f"{person}.csv").write_text("\n".join(["time,ax,ay,az,gx,gy,gz", *lines[person:]]))
    return formats.import_dataset("csv", path / "watch", path / "archive", progress=False, workers=1, **options)


case("doctor unit")(lambda clean, path: watch(path))
case("doctor gravity")(lambda clean, path: watch(path, unit="m/s^2, rad/s"))


@case("doctor no gravity")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    shaken = np.random.default_rng(0).normal(size=(4, 90, 1, 1, 3)).astype(np.float32)
    node = layouts.build("linear", ["acc"], [-1], up=None, kind="sensor")
    return build(path, {f"c{i}": clip for i, clip in enumerate(shaken)}, skeleton=node, persons=1, units="m/s^2")


@case("inspect sides")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    worn = watch(path, unit="g, deg/s")
    return rewrite(worn, path / "a", columns=lambda row: {**row, "side": "left"})


@case("doctor mixed scale")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(clean, path / "a", lambda clip, i: clip * 100 if i in (3, 30) else clip)


@case("doctor flat axis")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(clean, path / "a", lambda clip, i: clip * (1, 1, 0) + (0, 0, 2))


@case("doctor repeated frames")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(clean, path / "a", lambda clip, i: clip.repeat(2, axis=0), fps=60.0)


@case("doctor missing joints")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(clean, path / "a", lambda clip, i: spoilt(clip, np.s_[:, :, 22]))


@case("doctor static joints")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(clean, path / "a", lambda clip, i: spoilt(clip, np.s_[:, :, 7], None))


@case("doctor missing share")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    def hidden(clip: np.ndarray, i: int) -> np.ndarray:
        clip[np.random.default_rng(i).random(clip.shape[:3]) < (0.9 if i % 3 == 0 else 0.05)] = 0
        return clip

    return rewrite(clean, path / "a", hidden)


def copied(clean: MotionArchive, path: Path, further: int) -> MotionArchive:
    row = clean.clips.row(0, named=True)
    columns = {"label": row["label"], "subject": row["subject"] + further}
    return rewrite(clean, path / "a", extra=[("copy", clean.clip(0) + np.float32(0.5), columns)])


case("doctor duplicate clips")(lambda clean, path: copied(clean, path, 0))
case("doctor leaking clips")(lambda clean, path: copied(clean, path, 1))


@case("doctor shared people")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(clean, path / "a", source={"split": "random:0.3@0"})


def without_class(clean: MotionArchive, path: Path, side: int) -> MotionArchive:
    """A class that only people with even (0) or odd (1) numbers do, and another that is rare."""
    rows = clean.clips.select("label", "subject").rows()
    return rewrite(clean, path / "a", lambda c, i: None if rows[i][0] == 2 and rows[i][1] % 2 != side else c)


case("doctor classes without train")(lambda clean, path: without_class(clean, path, 0))
case("doctor classes without test")(lambda clean, path: without_class(clean, path, 1))


@case("doctor class imbalance")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(
        clean, path / "a", columns=lambda row: {**row, "label": int(row["label"] == 1 and row["subject"] == 1)}
    )


@case("doctor short clips")
def _(clean: MotionArchive, path: Path) -> MotionArchive:
    return rewrite(clean, path / "a", lambda clip, i: clip[:5] if i < 5 else clip)


def findings(source: str, archive: MotionArchive, rule: str | None = None) -> dict[str, str]:
    if source == "doctor":
        return {f.name: f.remedy for f in doctor.diagnose(archive, rule=rule)}
    return {f["name"]: f["remedy"] for f in inspection.inspect(archive, verify=False)["faults"]}


def test_every_finding_has_a_case() -> None:
    known = {f"inspect {name}" for name in (*inspection.OF_CLIPS, *inspection.OF_ARCHIVE)}
    known |= {f"doctor {name}" for name in (*doctor.OF_CLIPS, *doctor.OF_ARCHIVE)}
    assert known == set(CASES) - {"doctor unknown frame rate"}
    listed = re.findall(r'(?:fault|of_clips|Finding)\(\s*(?:archive, )?"([a-z -]+)"', _sources())
    assert {*listed, "duplicate clips"} <= {name.partition(" ")[2] for name in known}


def _sources() -> str:
    folders = (Path(package.__file__).parent for package in (inspection, doctor))
    return "\n".join(file.read_text() for folder in folders for file in sorted(folder.glob("*.py")))


@pytest.mark.filterwarnings("ignore:the unit of acc")
@pytest.mark.parametrize("what", sorted(CASES))
def test_the_remedy_removes_the_finding(
    clean: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source, _, name = what.replace("unknown frame", "frame").partition(" ")
    archive = CASES[what](clean, tmp_path)
    remedy = findings(source, archive)[name]
    if "motet data " in remedy:
        words = shlex.split(remedy[remedy.index("motet data ") :])[1:]
        assert cli.main([*words, "--quiet"]) == 0
        place = {"import": 4, "label": 5}.get(words[1], 3)
        assert name not in findings(source, MotionArchive.open(words[place]))
    elif "motet pretrain " in remedy:
        rule = remedy.partition("--split ")[2].partition(",")[0]
        assert name not in findings(source, archive, rule)
    else:
        assert remedy.startswith(NOTHING)
        assert name in ("empty classes", "label imbalance", "class imbalance", "licence", "no gravity", "sides")


def test_long_recordings_are_cut_where_they_are_bad(tmp_path: Path) -> None:
    long = motion(200, seed=5)
    for where, value in ((np.s_[60:64], 0.0), (np.s_[100:110], None), (np.s_[185:189], 0.0), (np.s_[:3], 0.0)):
        long = spoilt(long, where, value)
    archive = build(tmp_path, {"a": motion(200), "b": long, "c": motion(200, seed=2)}, columns=lambda i: {"subject": i})
    archive.tracks.save("gait", [{"recording": "b", "start": 1.0, "end": 6.0, "label": "walk"}])
    found = findings("inspect", archive)
    assert found["frozen frames"].endswith("--cut-finding 'frozen frames'")
    cut = select(archive, tmp_path / "cut", cut_finding=["all-zero frames", "frozen frames"])
    assert names(cut) == ["a", "b_000003", "b_000064", "b_000110", "c"]  # eleven frames at the end are too few
    assert cut.lengths.tolist() == [200, 57, 36, 75, 200]
    np.testing.assert_array_equal(cut.clip(3), archive.clip(1)[110:185])
    assert cut.clips["recording"].to_list() == [None, "b", "b", "b", None]
    walks = cut.tracks.track("gait").select("recording", "start", "end").rows()
    assert [(r, round(30 * a), round(30 * b)) for r, a, b in walks] == [
        *[("b_000003", 27, 57), ("b_000064", 0, 36), ("b_000110", 0, 70)],
    ]
    assert not {"all-zero frames", "frozen frames"} & set(findings("inspect", cut))
    trimmed = select(archive, tmp_path / "trimmed", cut_finding=["frozen frames"], trim=True)
    assert names(trimmed)[1:3] == ["b_000003", "b_000110"]


def test_every_clip_is_looked_at(clean: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SAMPLED_CLIPS", 4)
    archive = CASES["doctor repeated frames"](clean, tmp_path)
    assert len(select(archive, tmp_path / "all", finding=["repeated frames"])) == len(archive)


def test_leaks_are_those_of_a_split(clean: MotionArchive, tmp_path: Path) -> None:
    archive = copied(clean, tmp_path, 1)
    assert len(select(archive, tmp_path / "own", drop_finding=["leaking clips"])) == len(archive) - 1
    assert len(select(archive, tmp_path / "all", drop_finding=["leaking clips"], split="all")) == len(archive)


def test_clips_are_taken_by_finding(tmp_path: Path) -> None:
    bad = {"still": motion(1, seed=8), "again": motion(seed=0), "froze": spoilt(motion(seed=9), np.s_[5:15], None)}
    archive = build(tmp_path, sound() | bad)
    assert names(select(archive, tmp_path / "a", finding=["duplicate clips", "single frames"])) == [
        "c0",
        "still",
        "again",
    ]
    assert (
        cli.main(["data", "select", str(archive.path), str(tmp_path / "b"), "--finding", "frozen frames", "--quiet"])
        == 0
    )
    assert names(MotionArchive.open(tmp_path / "b")) == ["froze"]
    dropped = select(archive, tmp_path / "c", drop_finding=["duplicates", "single-frames"])
    assert names(dropped) == [*sound(), "froze"]


def test_several_findings_have_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {"still": motion(1, seed=8), "again": motion(seed=0), "froze": spoilt(motion(seed=9), np.s_[5:15], None)}
    archive = build(tmp_path, sound() | bad)
    assert cli.main(["data", "inspect", str(archive.path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(last.removeprefix("all at once: "))
    assert set(words[6:]) == {"frozen frames", "duplicate clips", "single frames"}
    assert cli.main([*words[1:], "--quiet"]) == 0
    assert names(MotionArchive.open(words[4])) == list(sound())


def test_classes_are_not_among_what_is_left_out_at_once(tmp_path: Path) -> None:
    archive = build(tmp_path, sound())
    names = ("frozen frames", "single frames", "classes without train", "classes without test")
    faults = [{"name": name, "remedy": made(archive, "select", "--drop-finding", name)} for name in names]
    said = _together({"path": str(archive.path), "faults": faults})
    assert said.endswith("--drop-finding 'frozen frames' 'single frames'")


def test_joints_that_are_left_out_take_no_bone_with_them(tmp_path: Path) -> None:
    archive = build(tmp_path, sound(1))
    made = select(archive, tmp_path / "a", without=["ElbowLeft", "SpineMid"])
    joints = list(made.skeleton.joints)
    assert len(joints) == 23
    bones = {(joints[a], joints[b]) for a, b in made.skeleton.bones}
    assert ("WristLeft", "ShoulderLeft") in bones
    kept = [j for j, name in enumerate(archive.skeleton.joints) if name in joints]
    np.testing.assert_array_equal(made.clip(0), archive.clip(0)[:, :, kept])
    assert made.skeleton.mirror
    assert all(joints[a].replace("Left", "Right") == joints[b] for a, b in made.skeleton.mirror)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"drop_finding": ["frosen frames"]}, "did you mean 'frozen frames'"),
        ({"drop_finding": ["missing"]}, "there is no finding 'missing'"),
        ({"drop_finding": ["licence"]}, "of the archive as a whole"),
        ({"cut_finding": ["duplicate clips"]}, "--drop-finding leaves out"),
        ({"without": ["ElbowLeft", "Tail"]}, "no joint or coordinate 'Tail'"),
        ({"without": ["x", "y", "z"]}, "leaves nothing"),
    ],
)
def test_what_cannot_be_selected_by(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    archive = build(tmp_path, sound(1))
    with pytest.raises(ConfigError, match=said):
        select(archive, tmp_path / "a", **given)
    assert not (tmp_path / "a").exists()
    assert set(OF_CLIPS) >= {"frozen frames", "leaking clips"}


def test_what_most_clips_have_is_no_command_to_type(clean: MotionArchive) -> None:
    most, all_of_them = (SimpleNamespace(rows=list(range(n))) for n in (len(clean) - 1, len(clean)))
    said = _remedy(clean, "identical frames", most)  # type: ignore[arg-type]
    assert said.startswith(f"{NOTHING} to single clips, as most have it: it is how they were recorded (`motet data sel")
    assert said.endswith(" --drop-finding 'identical frames'` keeps the others alone)")
    said = _remedy(clean, "identical frames", all_of_them)  # type: ignore[arg-type]
    assert said.endswith("it is how they were recorded")  # there are no others


def test_a_remedy_for_a_sensor_writes_next_to_the_whole_archive(tmp_path: Path) -> None:
    """And not among its sensors."""
    simulate(tmp_path / "a", clips=4, progress=False)
    worn = tmp_path / "a" / "sensors" / "watch"
    assert next_to(worn) == tmp_path / "a-watch-sound"
    assert next_to(tmp_path / "a") == tmp_path / "a-sound"
    assert next_to(tmp_path / "sensors" / "b") == tmp_path / "sensors" / "b-sound", "a folder of that name"


def test_what_was_made_of_another_archive_is_not_imported_over(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        rows = "\n".join(f"{n},{n % 7},{n % 5}" for n in range(90))
        (tmp_path / "in" / f"{name}.csv").write_text(f"frame,nose_x,nose_y\n{rows}\n")
    with pytest.warns(MotetNote, match="without bones"):
        archive = import_dataset("csv", tmp_path / "in", tmp_path / "a", unit="px", fps=30.0, progress=False)
    assert "motet data import csv" in findings("doctor", archive)["unknown people"]
    archive.tracks.save("gait", [{"recording": "a", "start": 0.0, "end": 1.0, "label": "walk"}])
    assert (
        "save the label tracks first (data export --form table): motet data import csv"
        in (findings("doctor", archive)["unknown people"])
    )
    part = select(archive, tmp_path / "part", drop=["b"])
    windows = split(select(archive, tmp_path / "both", keep=["a", "b"]), tmp_path / "windows", seconds=1)
    for derived in (part, windows):
        said = "; ".join((findings("inspect", derived) | findings("doctor", derived)).values())
        assert f"{next_to(derived.path)}" in said
        imported = re.search(r"data import csv (\S+) (\S+)", said)
        assert imported is None or imported[2] == str(next_to(derived.path))
        assert "--overwrite" not in said
        assert "save the label tracks" not in said
