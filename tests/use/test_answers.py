"""States, search, repetitions, comparisons on made recordings, and the verbs that give them."""

from __future__ import annotations

import json
import tracemalloc
from io import BytesIO, TextIOWrapper
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import select
from motet.data.exchange import export, labelled
from motet.evaluate import segmentation_scores
from motet.use.compare import _adjusted, _of_bouts, compare, in_deviations
from motet.use.count import count
from motet.use.forest import draw
from motet.use.search import search
from motet.use.segment import (
    clustered,
    embedded,
    largest_number,
    merged,
    moments,
    nearest,
    recurring,
    refined,
    segment,
    spread,
    unevenness,
    watcher,
)
from motet.use.signals import Layout, signals
from tests.use.made import CLASSES, FPS, movement, recordings


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return recordings(tmp_path_factory.mktemp("made") / "a.motet")


# ------------------------------------------------------------------------------------ states


@pytest.mark.parametrize("states", [3, None])
def test_states_are_the_classes_that_nobody_named(archive: MotionArchive, states: int | None, tmp_path: Path) -> None:
    found = segment(archive, tmp_path / "s.csv", states=states, shortest=2.0)
    truth = archive.tracks.all_frames("activity", list(CLASSES))
    said = [np.repeat(y, found.layout.hop)[: len(t)] for y, t in zip(found.labels, truth, strict=True)]
    if states:
        assert segmentation_scores(truth, said, matched=True)["frames"] > 0.8
    else:
        assert found.count >= 3
        assert found.evidence[3] == 1.0
    written = pl.read_csv(tmp_path / "s.csv")
    assert written.columns == ["recording", "start", "end", "state"]
    assert written.filter(recording="r00")["end"][-1] == pytest.approx(archive.lengths[0] / FPS)


def test_tables_of_answers_are_read_as_label_tracks(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "a.motet", people=2, each=1)
    segment(archive, tmp_path / "s.csv", states=3, track="states")
    labelled(archive, tmp_path / "s.csv", "again")
    found, again = (archive.tracks[name].drop("rater") for name in ("states", "again"))
    assert again.equals(found.with_columns(pl.col(pl.Float64).round(4)))
    counted = count(archive, tmp_path / "c.csv")
    assert sum(labelled(archive, tmp_path / "c.csv", "counted").values()) == len(counted) > 0
    assert set(archive.tracks["counted"]["label"]) == {"repetition"}


def test_neighbours_are_merged_where_it_costs_least() -> None:
    x = np.concatenate([np.zeros(9), np.full(9, 5.0), np.full(6, 5.5), np.full(9, -3.0)])[:, None]
    assert merged(x, 4) == [(0, 9), (9, 18), (18, 24), (24, 33)]
    assert merged(x, 3) == [(0, 9), (9, 24), (24, 33)]
    assert merged(x, 1) == [(0, 33)]


def test_a_state_recurs_in_another_recording() -> None:
    pieces = [(0, 0, 10), (0, 10, 20), (1, 0, 10), (1, 10, 30)]
    assert recurring(pieces, np.array([0, 1, 0, 2]), 2) == pytest.approx(20 / 50)
    assert recurring([(0, 0, 10), (0, 10, 20), (0, 20, 40)], np.array([0, 1, 0]), 1) == pytest.approx(30 / 40)


def test_the_last_state_explains_something(archive: MotionArchive) -> None:
    x = np.repeat([[0.0], [10.0], [24.0]], 40, axis=0) + np.random.default_rng(0).normal(0, 0.3, (240, 120, 8))[0]
    x = [x + np.random.default_rng(r).normal(0, 0.3, x.shape) for r in (1, 2)]
    pieces = [(r, a, a + 1) for r in (0, 1) for a in range(120)]
    best, evidence, worth, own = clustered(x, pieces, None, archive, most=40)
    assert set(evidence) == set(worth) == set(range(2, 41))
    assert evidence[4] >= 0.98, "noise recurs"
    assert worth[3] > 1
    assert worth[4] < 0.028, "but there is little in it"
    assert best == len(np.unique(own)) == 3
    noisy = [y + 4 * np.random.default_rng(r).normal(size=y.shape) for r, y in enumerate(x)]
    best, evidence, worth, own = clustered(noisy, pieces, None, archive, most=40)
    assert worth[best] >= 0.028 > worth[best + 1]


def test_unevenness_is_what_people_differ_by_beyond_chance() -> None:
    one = [(0, 0, 2)] * 48 + [(1, 0, 2)] * 16 + [(2, 0, 2)] * 64  # recordings 0 and 1 are of one person
    own = np.repeat([0, 1, 0, 1], [48, 16, 16, 48])
    assert unevenness(one, own, np.array([7, 7, 9])) == pytest.approx(np.sqrt(0.25 - 2 / 64))
    assert unevenness(one[::8], own[::8], np.array([7, 7, 9])) == 0, "so few pieces differ by chance"
    assert unevenness(one, own, np.array([7, 7, 7])) == 0


def test_states_of_some_people_are_styles(archive: MotionArchive) -> None:
    """Unless people do different things anyway."""
    people, draw = archive.clips["subject"].to_numpy(), np.random.default_rng(0)
    pieces = [(r, a, a + 1) for r in range(len(people)) for a in range(40)]

    def found(style: float, activity: float) -> int:
        every = [np.repeat([0.0, 30, 60, 90], [20, 8, 6, 6])[:, None] + draw.normal(0, 0.3, (40, 8)) for _ in people]
        for x, person in zip(every, people, strict=True):
            x[:20, 0] += style * (person % 2)
            x[:20, 1] += activity * (person % 2)
            x[20:, 1] -= activity * (person % 2)
        return clustered(every, pieces, None, archive)[0]

    assert found(0, 0) == 4
    assert found(40, 0) == 4
    assert found(40, 200) > 4


def test_a_number_of_states_that_is_doubtful_is_said(
    archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = {2: 1.0, 3: 1.0, 4: 1.0, 5: 0.99, 6: 0.9}
    worth = {2: 0.5, 3: 0.06, 4: 0.03, 5: 0.021, 6: 0.04}
    assert [largest_number(evidence, worth, least) for least in (0.6, 0.05, 0.028, 0.02)] == [2, 3, 4, 5]
    found = segment(archive, shortest=2.0)
    assert found.between == tuple(largest_number(found.evidence, found.worth, least) for least in (0.05, 0.02))
    few, many = found.between
    assert few <= found.count <= many > few
    verb = ["segment", str(archive.path), "--out", str(tmp_path / "s.csv"), "--json", str(tmp_path / "s.json")]
    assert main([*verb, "--shortest", "2"]) == 0
    assert f"doubtful: {few} to {many} states explain about as much" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["between"] == [few, many]
    assert main([*verb, "--states", "3", "--overwrite"]) == 0
    assert "doubtful" not in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["between"] is None


def test_pieces_move_to_the_nearest_state_and_long_ones_count_more() -> None:
    means, own = np.array([[0.0], [4.0], [7.0]]), np.array([0, 0, 1])
    assert nearest(means, np.array([1.0, 1, 1]), own).tolist() == [0, 0, 1]
    assert nearest(means, np.array([100.0, 1, 1]), own).tolist() == [0, 1, 1]


def test_a_sensor_is_seen_in_its_own_deviations(archive: MotionArchive) -> None:
    layout, random = Layout.of(archive), np.random.default_rng(0)
    frames = random.normal(5, [[2.0], [300.0]], (4000, 1, 2, 3))
    assert spread([frames, frames], layout) == pytest.approx([2, 2, 2, 300, 300, 300, 2, 300], rel=0.05)
    other = frames * np.array([9.81, 0.0175])[:, None]  # g and degrees to metres and radians
    seen, same = (watcher([f], archive, 1.0)(f) for f in (frames, other))
    assert np.allclose(seen, same, atol=1e-6)
    assert len(seen) == 10
    assert all((kind is seen[0]) == (i < 5) for i, kind in enumerate(seen)), "how it is held counts as much as movement"


def test_people_who_wear_a_sensor_differently_share_states(tmp_path: Path) -> None:
    random, order = np.random.default_rng(0), [np.repeat(p, 200) for p in ([0, 1, 0, 1], [1, 0, 1, 0])]
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS) as writer:
        for person, kinds in enumerate(order):
            worn = np.array([[0, 0, 9.8], [0, 0, 0]]) if person else np.array([[9.8, 0, 0], [0, 0, 0]])
            frames = worn + random.normal(0, 0.1 + kinds[:, None, None], (800, 2, 3))
            writer.add(frames, name=f"r{person}", subject=person)
    found = segment(tmp_path / "a", states=2, shortest=2.0)
    true = [k[:: found.layout.hop] for k in order]
    assert segmentation_scores(true, found.labels, matched=True)["frames"] > 0.9


def test_states_of_bodies_do_not_depend_on_their_unit(tmp_path: Path) -> None:
    random, found = np.random.default_rng(0), []
    skeleton = layouts.get("shared-15")
    frames = random.normal(size=(400, 15, 3)).cumsum(axis=0) * 0.02 * np.repeat([0, 1, 0, 1], 100)[:, None, None]
    for units, scale in (("m", 1.0), ("mm", 1000.0)):
        with ArchiveWriter(tmp_path / units, skeleton=skeleton, fps=30.0, units=units) as writer:
            writer.add(frames * scale + 1, name="a")
        source = MotionArchive.open(tmp_path / units)
        found.append(embedded([watcher([], source, 1.0)(source.clip(0))])[0])
    assert np.allclose(np.abs(found[0]), np.abs(found[1]), atol=1e-3)


def test_moments_are_windows_of_signals_and_take_little_memory() -> None:
    layout = Layout(layouts.get("imu-2"), 1, 3, 50.0)
    frames = np.random.default_rng(0).normal(3, 1, (100_000, 1, 2, 3)).astype(np.float32)
    tracemalloc.start()
    mean, spread_, change = moments(frames, layout, 0.4, (0.1,), scale=2.0, floor=0.5)
    peak = tracemalloc.get_traced_memory()[1] - mean.nbytes * 3
    tracemalloc.stop()
    x = signals(frames, layout).astype(np.float64) / 2
    assert peak < 1.6 * x.nbytes, "what is made of one signal at a time"
    at = layout.hop // 2 + 40 * layout.hop
    window = slice(at - 10, at + 10)
    assert mean[40] == pytest.approx(x[window].mean(axis=0))
    assert spread_[40] == pytest.approx(np.log(x[window].std(axis=0) + 0.5))
    step = x[window] - x[window.start - 5 : window.stop - 5]
    assert change[40] == pytest.approx(np.log(np.sqrt((step**2).mean(axis=0)) + 0.5))


def test_states_that_cannot_be_found(archive: MotionArchive) -> None:
    with pytest.raises(ConfigError, match=r"too few pieces \(\d+\) for 500 states; lower --shortest"):
        segment(archive, states=500)
    with pytest.raises(DataError, match=r"recording r00 lasts .* shorter than a window"):
        segment(archive, shortest=1000.0)
    for options in ({"states": 1}, {"shortest": 0.0}):
        with pytest.raises(ConfigError, match="must be"):
            segment(archive, **options)


def test_names_that_are_paths_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    with ArchiveWriter("in", skeleton=layouts.get("imu-2"), fps=FPS, class_names=["../../sit"]) as writer:
        for number, name in enumerate(("../../x", "CON")):
            frames = np.concatenate([movement(c, 80, np.random.default_rng(number)) for c in CLASSES])
            writer.add(frames, name=name, label=0, subject_name="../../person", tracks={"t": ["../../sit"] * 240})
    source = MotionArchive.open("in")
    segment(source, out="s.csv", states=2, track="states", features="statistics")
    assert set(source.tracks["states"]["recording"]) == {"../../x", "CON"}
    count(source, out="c.csv", measures="m.csv")
    for form in ("csv", "audacity"):
        assert export(source, f"{form}.d", form=form, track="t") == 2
    with pytest.raises(ConfigError, match="a track is named with letters"):
        segment(source, out="no.csv", track="../../x")
    assert not Path("no.csv").exists()
    assert sorted(p.name for p in tmp_path.rglob("*") if inside not in p.parents) == ["a", "b", "c"]


def test_other_features_and_a_limit_that_is_said(
    archive: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = segment(archive, states=3, shortest=2.0)
    assert not usual.limited
    for features in ("raw", "statistics", "rocket"):
        found = segment(archive, states=3, shortest=2.0, features=features)
        assert any((a != b).any() for a, b in zip(found.labels, usual.labels, strict=True)), features
        assert segmentation_scores(usual.labels, found.labels, matched=True)["frames"] > 0.4, features
    verb = ["segment", str(archive.path), "--out", str(tmp_path / "s.csv"), "--shortest", "2"]
    assert main([*verb, "--most", "3"]) == 0
    assert "3 states" in (line := capsys.readouterr().out)
    assert "the largest number tried, so try more with --most" in line
    assert not segment(archive, shortest=2.0, most=40).limited
    assert max(segment(archive, shortest=2.0, most=40).evidence) > 20
    assert main([*verb, "--overwrite", "--features", "bodies"]) == 2
    assert "no features 'bodies'; choose from raw, statistics, rocket, body" in capsys.readouterr().err
    assert main([*verb, "--overwrite", "--features", "body"]) == 2
    assert "the model reads shared-15" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ search


def test_the_moments_most_like_an_example_are_of_its_class(archive: MotionArchive, tmp_path: Path) -> None:
    first = archive.tracks["activity"].filter(recording="r00", label="wave").row(0, named=True)
    like = f"r00:{first['start']:.2f}-{first['end']:.2f}"
    hits = search(archive, like, tmp_path / "h.csv", hits=6)
    assert hits.columns == ["recording", "start", "end", "distance"]
    assert hits["distance"].is_sorted()
    assert hits["distance"][0] < 0.5
    for row in hits.rows(named=True):
        middle = int((row["start"] + row["end"]) / 2 * FPS)
        index = archive.clips["name"].to_list().index(row["recording"])
        assert archive.tracks.frames("activity", index, ["wave"])[middle] == 0
        apart = row["start"] >= first["end"] - 3 or row["end"] <= first["start"] + 3
        assert row["recording"] != "r00" or apart


def test_an_example_is_found_again_by_every_kind_of_features(archive: MotionArchive) -> None:
    names = archive.clips["name"].to_list()
    first = archive.tracks["activity"].filter(recording="r00", label="wave").row(0, named=True)
    for features in ("raw", "statistics", "rocket"):
        hits = search(archive, f"r00:{first['start']:.2f}-{first['end']:.2f}", hits=4, features=features)
        middles = [(names.index(r["recording"]), int((r["start"] + r["end"]) / 2 * FPS)) for r in hits.to_dicts()]
        right = [archive.tracks.frames("activity", index, ["wave"])[at] == 0 for index, at in middles]
        assert sum(right) >= 3, features


@pytest.mark.parametrize(
    ("like", "words"),
    [
        ("zz", "has no clip 'zz', but r00, r01, r02 …; --like takes"),
        ("r00:5-4", "5 to 4 s is no part of r00"),
        ("r00:0-900", "is no part of r00, which lasts"),
    ],
)
def test_an_example_that_is_not_there(archive: MotionArchive, like: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        search(archive, like)


def test_where_nothing_was_recorded_nothing_is_found(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("imu-2"), fps=20.0) as writer:
        for name in ("a", "b"):
            frames = random.normal(0, 1, (1200, 2, 3)).cumsum(axis=0)
            frames[400:800] = 0
            writer.add(frames, name=name)
    archive = MotionArchive.open(tmp_path / "a.motet")
    found = search(archive, "a:2-8", hits=50)
    inside = found.filter((pl.col("start") > 17.5) & (pl.col("end") < 42.5))
    assert len(found) > 5
    assert inside.is_empty()
    with pytest.raises(ConfigError, match=r"--like a:25-31: nothing was recorded in most of that"):
        search(archive, "a:25-31")
    long = select(archive, tmp_path / "one.motet", keep=["a"])
    with pytest.raises(ConfigError, match=r"no other stretch is 60 s long; take a part of it: --like a:START-END"):
        search(long, "a", tmp_path / "h.csv")
    assert not (tmp_path / "h.csv").exists()


def test_recordings_shorter_than_the_example_are_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("imu-2"), fps=20.0) as writer:
        for name, seconds in (("a", 30), ("b", 1), ("c", 1.5), ("d", 8)):
            writer.add(random.normal(0, 1, (round(20 * seconds), 2, 3)).cumsum(axis=0), name=name)
    words = r"shorter than the example of 5 s: b \(1.00 s\), c \(1.50 s\); take a part of it: --like a:START-END"
    with pytest.warns(MotetWarning, match=words):
        found = search(tmp_path / "a.motet", "a:2-7", hits=50)
    assert {"a", "d"} == set(found["recording"])


# ------------------------------------------------------------------------------------ comparison


def people(effect: float, each: int = 6, paired: bool = False) -> pl.DataFrame:
    random = np.random.default_rng(1)
    base = random.normal(0, 1, each)
    rows = []
    for number, group in enumerate(("before", "after")):
        for i in range(each):
            person = f"p{i}" if paired else f"{group}{i}"
            value = (base[i] if paired else random.normal()) + effect * number
            rows += [
                {"person": person, "time": group, "speed": value + 0.1 * k, "noise": random.normal()} for k in (-1, 1)
            ]
    return pl.DataFrame(rows)


def test_people_are_the_unit_and_the_permutation_is_exact() -> None:
    result = compare(people(3.0, each=4), "time")
    assert result["groups"] == {"after": 4, "before": 4}
    assert not result["paired"]
    test = next(t for t in result["tests"] if t["measure"] == "speed")
    table = people(3.0, each=4).group_by("person", "time", maintain_order=True).agg(pl.col("speed").mean())
    values, group = table["speed"].to_numpy(), (table["time"] == "after").to_numpy()
    observed = abs(values[group].mean() - values[~group].mean())
    ways = [abs(values[list(c)].mean() - np.delete(values, list(c)).mean()) for c in combinations(range(8), 4)]
    assert test["p"] == pytest.approx(np.mean(np.array(ways) >= observed - 1e-9))
    a, b = values[group], values[~group]
    g = (b.mean() - a.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2) * (1 - 3 / (4 * 6 - 1))
    assert test["effect"] == pytest.approx(g)
    low, high = test["interval_95"]
    assert low < test["difference"] < high


def test_recordings_that_stand_for_people_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten recordings of one person are no ten people."""
    lines = [f"r{i};{0.5 * i + 1};{'ab'[i > 3]};p{i}" for i in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["recording;speed;group;who", *lines]))  # as Excel writes
    words = ["compare", str(tmp_path / "t.csv"), "--by", "group", "--out", str(tmp_path / "r.json"), "--overwrite"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "a (4 recordings), b (4 recordings)" in said.out
    assert "note: each recording counts as a person; where somebody has several, say who" in said.err
    for column in ("who", "recording"):
        assert main([*words, "--people", column]) == 0
        assert "counts as a person" not in capsys.readouterr().err


def test_an_archive_says_who_is_in_its_recordings(tmp_path: Path) -> None:
    rows = [{"name": f"r{i}", "subject": i // 2, "session": i % 2, "group": "ab"[i > 7]} for i in range(16)]
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=30.0, class_names=["rest"]) as writer:
        for row in rows:
            facts = {"subject_name": f"p{row['subject']}", "recording": "of another", "label": 0}
            writer.add(np.ones((20, 2, 3)), **{**row, **facts})
    table = pl.DataFrame([{"recording": f"r{i}", "speed": i + 0.5 * (i % 3)} for i in range(16)])
    found = compare(table, "group", recordings=tmp_path / "a")
    assert found["groups"] == {"a": 4, "b": 4}  # people, not recordings
    assert [test["measure"] for test in found["tests"]] == ["speed"]  # numbers of clips are no measurements
    with pytest.raises(ConfigError, match=r"recording, speed, session, group, subject, class \(join"):
        compare(table, "nothing", recordings=tmp_path / "a")


def test_the_same_people_twice_are_compared_within_themselves() -> None:
    result = compare(people(1.0, paired=True), "time")
    assert result["paired"]
    test = next(t for t in result["tests"] if t["measure"] == "speed")
    assert test["p"] == pytest.approx(2 / 2**6)  # all six rise: only all or none flipped is as extreme
    assert test["p_adjusted"] >= test["p"]


def test_corrections_and_the_picture(tmp_path: Path) -> None:
    p = [0.01, 0.02, 0.03, 0.5]
    assert _adjusted(p, "holm") == pytest.approx([0.04, 0.06, 0.06, 0.5])
    assert _adjusted(p, "bh") == pytest.approx([0.04, 0.04, 0.04, 0.5])
    assert _adjusted(p, "by")[0] == pytest.approx(0.04 * (1 + 1 / 2 + 1 / 3 + 1 / 4))
    assert _adjusted(p, "none") == p
    result = compare(people(9.0, each=6), "time", correction="holm", picture=tmp_path / "p.svg")
    picture = ElementTree.parse(tmp_path / "p.svg").getroot()
    circles = [c for c in picture.iter("{http://www.w3.org/2000/svg}circle") if len(c)]
    assert len(circles) == 2 * len(result["tests"])
    filled = sum(c.get("fill") == c.get("stroke") for c in circles)
    assert filled == 2 * sum(t["p_adjusted"] < 0.05 for t in result["tests"]) > 0
    words = [t.text or "" for t in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {
        "after (6 people)",
        "before (6 people)",
        "mean, corrected p < .05",
        "± one standard deviation of people",
    } <= {*words}
    with pytest.raises(ConfigError, match="it must be bh, by, holm or none"):
        compare(people(1.0), "time", correction="x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="exists already"):
        compare(people(1.0), "time", picture=tmp_path / "p.svg")
    with pytest.raises(ConfigError, match=r"p\.png is to be an SVG; call it p\.svg"):
        compare(people(1.0), "time", picture=tmp_path / "p.png")


def test_measures_of_one_quantity_share_an_axis(tmp_path: Path) -> None:
    rows = {"share of time: sit": (0.2, 0.4), "seconds": (1.0, 3.0), "share of time: walk": (0.6, 0.8)}
    tests = [
        {"measure": m, "means": dict(zip("ab", means, strict=True)), "sd": {"a": 0, "b": 0}, "effect": 1.0}
        | {"effect_is": "Hedges g", "p_adjusted": 0.5}
        for m, means in rows.items()
    ]
    draw({"tests": tests, "groups": {"a": 3, "b": 3}}, tmp_path / "p.svg")
    picture = ElementTree.parse(tmp_path / "p.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    texts = [(t.text, float(t.get("x", 0))) for t in picture.iter(f"{name}text")]
    assert [t for t, _ in texts if t in ("share of time", "sit", "walk", "seconds", "share", "s")] == [
        *("share of time", "share", "sit", "walk", "seconds", "s")
    ]
    axis = dict(texts)
    means = {
        float((c[0].text or "").split()[1]): float(c.get("cx", 0)) for c in picture.iter(f"{name}circle") if len(c)
    }
    for mean in (0.2, 0.4, 0.6, 0.8, 1.0, 3.0):
        assert means[mean] == pytest.approx(axis[f"{mean:g}"], abs=0.1), mean


def test_bouts_become_measures() -> None:
    rows = []
    for group, share in (("a", 8.0), ("b", 4.0)):
        for i in range(3):
            name = f"{group}{i}"
            rows += [(name, group, 0.0, share + 0.1 * i, "walk"), (name, group, share + 0.1 * i, 10.0, "sit")]
    table = pl.DataFrame(rows, schema=["recording", "group", "start", "end", "label"], orient="row")
    each = {"by": "group", "people": "recording"}
    result = compare(table, **each)
    test = next(t for t in result["tests"] if t["measure"] == "share of time: walk")
    assert test["means"] == pytest.approx({"a": 0.81, "b": 0.41})
    assert test["p"] == pytest.approx(2 / 20)
    number = pl.col("label").replace_strict({"walk": 0, "sit": 1}).alias("state")
    states = compare(table.with_columns(number).drop("label"), **each)
    named = {t["measure"].replace("state 0", "walk").replace("state 1", "sit"): t["p"] for t in states["tests"]}
    assert named == {t["measure"]: t["p"] for t in result["tests"]}
    joined = compare(table.drop("group"), **each, recordings=table.select("recording", "group").unique())
    raters = pl.concat([table.with_columns(rater=pl.lit(r)) for r in ("kim", "lee")])
    measures = [_of_bouts(bouts, ["walk", "sit"]) for bouts in (table, raters)]
    assert measures[1] == pytest.approx(measures[0]), "two raters who agree are as good as one"
    who = table.select(name="recording", group="group").unique()
    for again in (joined, compare(table.drop("group"), **each, recordings=who)):
        assert {t["measure"]: t["p"] for t in again["tests"]} == {t["measure"]: t["p"] for t in result["tests"]}


def test_an_effect_is_undefined_where_nobody_deviates(tmp_path: Path) -> None:
    people = [f"p{i}" for i in range(6) for _ in range(2)]
    table = pl.DataFrame({"person": people, "group": ["a"] * 6 + ["b"] * 6, "x": [0.1] * 6 + [0.3] * 6})
    table = table.with_columns(y=pl.Series([1.0, 2, 2, 3, 1, 3, 4, 4, 5, 6, 5, 7]))
    found = {t["measure"]: t for t in compare(table, "group", picture=tmp_path / "x.svg")["tests"]}
    assert found["x"]["effect"] is None
    assert found["y"]["effect"] > 1
    assert ">–</text>" in (tmp_path / "x.svg").read_text()
    assert [in_deviations(2.0, s) for s in (1e-12, 0.5)] == [None, 4.0]
    with pytest.warns(MotetWarning, match=r"x hardly varies within the groups.* left out"):
        mixed = compare(table, "group", model="mixed")
    assert [t["measure"] for t in mixed["tests"]] == ["y"]
    table.write_csv(tmp_path / "t.csv")
    assert main(["compare", str(tmp_path / "t.csv"), "--by", "group", "--out", str(tmp_path / "r.json")]) == 0


def test_bouts_that_end_before_they_start_are_refused() -> None:
    bouts = {"start": [0.0, 5.0] * 6, "end": [4.0, 9.0] * 5 + [4.0, 5.0], "label": ["a", "b"] * 6}
    table = pl.DataFrame({"person": [f"p{i // 2}" for i in range(12)], "group": ["x"] * 6 + ["y"] * 6, **bouts})
    with pytest.raises(DataError, match=r"row 12 of the table: a bout from 5.0 to 5.0 s does not end after it starts"):
        compare(table, "group")


def test_bouts_of_a_recording_that_overlap_are_refused() -> None:
    bouts = {"recording": [f"r{i // 2}" for i in range(12)], "start": [0.0, 5.0] * 6, "end": [5.0, 9.0] * 6}
    who = {"person": [f"p{i // 2}" for i in range(12)], "group": ["x"] * 6 + ["y"] * 6, "label": ["a", "b"] * 6}
    table = pl.DataFrame(who | bouts)
    compare(table, "group")  # one begins where the other ends
    late = table.with_row_index().with_columns(start=pl.when(pl.col("index") == 7).then(4.5).otherwise("start"))
    with pytest.raises(
        DataError, match=r"row 8 of the table: a bout of r3 that begins at 4.5 s overlaps the one before"
    ):
        compare(late.drop("index").reverse().reverse(), "group")
    raters = [
        late.drop("index").with_columns(rater=pl.when(pl.col("label") == "a").then(pl.lit("k")).otherwise(pl.lit("l")))
    ]
    compare(pl.concat(raters), "group")


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    table = people(1.0, each=2)
    with pytest.raises(ConfigError, match="group 'after' of column 'time' has 2 people; no test"):
        compare(table, "time", tmp_path / "r.json")
    with pytest.raises(ConfigError, match="no column 'dose'; it has person, time"):
        compare(table, "dose")
    with pytest.raises(ConfigError, match=r"'person' names both the groups \(--by\) and the people"):
        compare(table, "person")
    with pytest.raises(ConfigError, match="holds 1 group"):
        compare(table.filter(time="after"), "time")
    with pytest.raises(DataError, match="does not exist"):
        compare(tmp_path / "none.csv", "time")
    assert not (tmp_path / "r.json").exists()


# ------------------------------------------------------------------------------------ verbs


def test_the_verbs(
    archive: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(archive.path)
    assert main(["fit", path, "--out", "m", "--candidates", "statistics+linear", "--json", "f.json", "--quiet"]) == 0
    found = json.loads(Path("f.json").read_text())
    assert found["expected"]["accuracy"] > 0.9
    assert found["chosen"] == found["candidates"][0]["name"] == "statistics+linear"
    assert main(["predict", "m", path, "--out", "b.csv", "--json", "p.json"]) == 0
    assert main(["segment", path, "--out", "s.csv", "--states", "3", "--json", "s.json"]) == 0
    assert main(["search", path, "--like", "r00:0-3", "--out", "h.csv", "--hits", "3"]) == 0
    assert main(["count", path, "--out", "c.csv", "--json", "c.json"]) == 0
    groups = "\n".join(f"r{i:02d},{'old' if i < 4 else 'young'},{i}" for i in range(8))
    Path("who.csv").write_text(f"recording,group,person\n{groups}\nr99,old,9\n")
    capsys.readouterr()
    assert main(["compare", "b.csv", "--by", "group", "--out", "r.json", "--recordings", "who.csv"]) == 0
    assert len(pl.read_csv("h.csv")) == 3
    said = capsys.readouterr().err
    assert said == "note: the table has no rows of recordings that --recordings names, so they do not count: r99\n"
    assert main(["predict", "m", path, "--out", "b.csv"]) == 2
    assert "b.csv exists already" in capsys.readouterr().err
    assert main(["predict", "nothing", path, "--out", "x.csv"]) == 2
    assert "nothing is not a fitted model; make one with `motet fit" in capsys.readouterr().err
    lines = [json.dumps(f.ravel().tolist()).encode() + b"\n" for f in archive.clip(0)[:80]]
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"".join(lines))))
    assert main(["predict", "m"]) == 0
    whole = capsys.readouterr()
    assert len(whole.out.splitlines()) == 40
    assert whole.err == "a decision comes at most 3.65 s after its moment\n"
    for option, value in (("--json", "j.json"), ("--track", "t"), ("--out", "o.csv")):
        assert main(["predict", "m", option, value]) == 2
        assert f"error: {option} needs an archive" in capsys.readouterr().err
        assert not Path(value).exists()
    for option, value in (("--lag", "0.5"), ("--every", "1"), ("--state", "now.npz")):
        assert main(["predict", "m", path, "--out", "x.csv", option, value]) == 2
        assert f"error: {option} is of recordings from standard input" in capsys.readouterr().err
    live = ["predict", "m", "--state", "now.npz", "--lag", "0"]
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"".join(lines[:67]))))
    assert main(live) == 0
    assert capsys.readouterr().err.startswith("a decision comes at most 2.65 s")
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"".join([*lines[67:], b"\xff\n", *lines]))))
    assert main(live) == 2
    found = capsys.readouterr()
    assert found.err.startswith("frame 67 is next; a decision")
    assert "error: line 14 is not a frame of 6 numbers" in found.err
    assert json.loads(found.out.splitlines()[0])["time"] == pytest.approx(0.75)
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"")))
    assert main([*live, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["predict", "m", "--state", "now.npz", "--lag", "1"]) == 2
    assert "now.npz is of another model, lag, side or share of --reject" in capsys.readouterr().err


def test_borders_move_and_states_of_a_second_stay() -> None:
    random = np.random.default_rng(0)
    true = np.repeat(random.permutation(np.arange(120) % 3), 10)
    z = 2 * np.eye(3, 20)[true] + random.normal(size=(len(true), 20))
    shifted = np.roll(true, 3)  # every border three moments late
    starts = [0, *(np.flatnonzero(np.diff(shifted)) + 1).tolist(), len(true)]
    pieces = [(0, a, b) for a, b in pairwise(starts)]
    own = shifted[starts[:-1]]
    [found] = refined([z], pieces, own, 3, 6.0)
    assert (found == true).mean() > 0.93 > 0.85 > (shifted == true).mean()
