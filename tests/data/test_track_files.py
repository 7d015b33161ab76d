"""Labels of other programs: read as those programs mean them, and written so that they come back."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.data.track_files import WRITERS, read, write
from motet.data.tracks import table

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
 <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
 <TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2250"/>
 <TIME_SLOT TIME_SLOT_ID="ts3"/></TIME_ORDER>
 <TIER ANNOTATOR="anna" LINGUISTIC_TYPE_REF="d" TIER_ID="gait"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1"
  TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>walk &amp; turn</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>
  </ANNOTATION><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
  <ANNOTATION_VALUE>unaligned</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
 <TIER LINGUISTIC_TYPE_REF="d" TIER_ID="empty"/>
</ANNOTATION_DOCUMENT>
"""


def row(recording: str, start: float, end: float, label: str, rater: str | None = None, certainty: Any = None) -> Any:
    values = {"recording": recording, "start": start, "end": end, "label": label, "rater": rater}
    return {**values, "certainty": certainty}


def put(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.filterwarnings("ignore:.* 1 POINT event left out")
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.csv",
            "recording,start,end,label\nr1,0.5,2,walk\nr2,1,3,sit\n",
            [row("r1", 0.5, 2, "walk"), row("r2", 1, 3, "sit")],
        ),
        ("a.tsv", "\ufeffOnset\tOffset\tActivity\n1:02.5\t0:01:10\twalk\n\n", [row("a", 62.5, 70, "walk")]),
        ("a.csv", "begin;stop;class;coder;confidence\n0,5;1,5;up;bo;0,9\n", [row("a", 0.5, 1.5, "up", "bo", 0.9)]),
        (
            "rec.txt",
            "0.500000\t1.250000\twalk slowly\n\\\t100\t200\n2.0\t3.0\tsit\n",
            [row("rec", 0.5, 1.25, "walk slowly"), row("rec", 2, 3, "sit")],
        ),
        (
            "b.csv",
            "Observation id,Subject,Behavior,Behavior type,Start (s),Stop (s)\nobs1,mouse,rear,STATE,1.5,2.5\n",
            [row("obs1", 1.5, 2.5, "rear") | {"subject": "mouse"}],
        ),
        (
            "b.tsv",
            "Observation id\tTime\tBehavior\tStatus\no\t1\trear\tSTART\no\t1.5\tgroom\tSTART\no\t2\trear\tSTOP\n"
            "o\t2.2\tsniff\tPOINT\no\t4\tgroom\tSTOP\n",
            [row("o", 1, 2, "rear"), row("o", 1.5, 4, "groom")],
        ),
        (
            "c.tsv",
            "Observation id\tSubject\tBehavior\tBehavior type\tTime\no\t\trear\tSTART\t1\no\t\tsniff\tPOINT\t1.5\n"
            "o\t\trear\tSTOP\t2\n",
            [row("o", 1, 2, "rear")],
        ),
        (
            "d.csv",
            "Observation id,w1,,\nMedia file(s),,,\n,,,\nTime,Subject,Behavior,Status\n1,,rear,START\n2,,rear,STOP\n",
            [row("w1", 1, 2, "rear")],
        ),
        ("e.csv", "recording,from,to,what\nr1,0,5,sit\n", [row("r1", 0, 5, "sit")]),
    ],
)
def test_tables_are_read_as_they_are_meant(tmp_path: Path, name: str, text: str, expected: list[Any]) -> None:
    assert read(put(tmp_path, name, text)) == {"": expected}


def test_elan_tiers_are_tracks(tmp_path: Path) -> None:
    assert read(put(tmp_path, "visit 1.eaf", EAF)) == {"gait": [row("visit 1", 0.5, 2.25, "walk & turn", "anna")]}


def test_one_label_a_frame(tmp_path: Path) -> None:
    short = {"recording": "v", "start": 0.2, "end": 0.4, "label": "b"}
    found = read(put(tmp_path, "v.txt", "label\na\na\nb\nb\n\na\n"), fps=10.0)[""]
    assert found[1] == short
    assert [(r["start"], r["end"], r["label"]) for r in found] == [(0, 0.2, "a"), (0.2, 0.4, "b"), (0.5, 0.6, "a")]
    both = read(put(tmp_path, "v.csv", "frame,arm,leg\n0,up,\n1,up,kick\n"), fps=2.0)
    assert both["arm"] == [{"recording": "v", "start": 0.0, "end": 1.0, "label": "up"}]
    assert both["leg"] == [{"recording": "v", "start": 0.5, "end": 1.0, "label": "kick"}]
    with pytest.raises(ConfigError, match="--fps"):
        read(tmp_path / "v.txt")


@pytest.mark.parametrize("form", sorted(WRITERS))
def test_what_is_written_comes_back(tmp_path: Path, form: str) -> None:
    rows = [
        row("r1", 0.5, 2.25, "walk", "anna"),
        row("r1", 2.25, 3, '<sit> & "rest"', "anna"),
        row("r,2", 1, 4, "=1+1", "anna"),
    ]
    written = write(table(rows), form, name="gait", durations={"r1": 5.0, "r,2": 5.0})
    back = []
    for name, text in written.items():
        for found in read(put(tmp_path, name, text), form=form).values():
            back += [(r["start"], r["end"], r["label"]) for r in found]
    assert sorted(back) == sorted((r["start"], r["end"], r["label"]) for r in rows)
    assert all("/" not in name and ".." not in name for name in written)


def test_raters_are_tiers_of_their_own(tmp_path: Path) -> None:
    rows = [row("r", 0, 2, "walk", "anna"), row("r", 1, 3, "sit", "bo")]
    text = write(table(rows), "elan", name="gait")["r.eaf"]
    assert [t.attrib["TIER_ID"] for t in ET.fromstring(text).iter("TIER")] == ["gait (anna)", "gait (bo)"]
    assert read(put(tmp_path, "r.eaf", text)) == {"gait": rows}
    for tier in ("gait_bo", "gait@bo", "gait bo"):
        assert read(put(tmp_path, "r.eaf", text.replace("gait (bo)", tier))) == {"gait": rows}
    watched = text.replace("ANNOTATOR", "PARTICIPANT")  # who is seen, not who rates
    assert {n: [r["rater"] for r in own] for n, own in read(put(tmp_path, "r.eaf", watched)).items()} == {
        "gait (anna)": [None],
        "gait (bo)": [None],
    }


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "start,end\n1,2\n", "no column label"),
        ("a.csv", "start,end,label\nx,2,walk\n", "line 2: 'x' is not a number"),
        ("a.csv", "start,end,label\n1:2:3:4,2,walk\n", "line 2: '1:2:3:4' is not a time"),
        ("a.txt", "1.0\t2.0\n", "line 1: .* is not start, end and label"),
        ("b.csv", "Time,Behavior,Status\n1,rear,STOP\n", "line 2: 'rear' stops without"),
        ("b.csv", "Time,Behavior,Status\n1,rear,START\n", "line 2: 'rear' starts and never stops"),
        ("c.eaf", "<ANNOTATION_DOCUMENT><TIER/>", "not a sound ELAN file"),
        ("c.eaf", '<!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT/>', "document type"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        read(put(tmp_path, name, text))
    assert str(tmp_path / name) in str(error.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"start,end,label\n1,2,\xff\xfe\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="no form 'excel'"):
        read(tmp_path / "a.csv", form="excel")


def test_points_of_boris_are_left_out_and_said(tmp_path: Path) -> None:
    text = "Observation id,Subject,Behavior,Behavior type,Start (s),Stop (s)\no,,rear,STATE,1,2\no,,sniff,POINT,2,2\n"
    with pytest.warns(MotetWarning, match="1 POINT event left out"):
        assert read(put(tmp_path, "a.csv", text)) == {"": [row("o", 1, 2, "rear")]}
    with pytest.raises(DataError, match="has POINT events only"):
        read(put(tmp_path, "a.csv", text.replace("STATE", "POINT")))


def test_states_that_start_twice_are_named(tmp_path: Path) -> None:
    head = "Observation id,Time,Subject,Behavior,Status\n"
    text = head + "o,1,m1,rear,START\no,2,m2,rear,START\no,3,m1,rear,STOP\no,4,m2,rear,STOP\n"
    times = [(r["subject"], r["start"], r["end"]) for r in read(put(tmp_path, "a.csv", text))[""]]
    assert times == [("m1", 1, 3), ("m2", 2, 4)]
    with pytest.raises(DataError, match="line 3: 'rear' starts again and has not stopped since line 2"):
        read(put(tmp_path, "a.csv", text.replace("m2", "m1")))
