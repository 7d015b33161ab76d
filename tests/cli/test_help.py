"""Help of all verbs: quick, readable, the same everywhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from motet import cli
from motet.cli.light import HEAVY
from motet.methods.start import USUAL

Capture = pytest.CaptureFixture[str]
CHOSEN = {"data import": ["data import csv", "data import bvh"], "pretrain": ["pretrain halp", "pretrain aimclr"]}
CALLS = sorted(call for verb in cli.VERBS for call in CHOSEN.get(verb, [verb]))
TRAINING = ("pretrain moco", "discover", "distill", "distill raw", "graphs")
EVERYWHERE = {
    *("--out", "--json", "--quiet", "--seeds", "--epochs", "--batch-size", "--lr"),
    *("--device", "--devices", "--nodes", "--precision", "--trackers", "--tensorboard"),
    *("--checkpoint-every", "--checkpoint-steps", "--keep-checkpoints"),
}
"""options that every verb that trains has"""
NO_RESULT = {"app"}
"""verbs that show a page in place of a result."""


def said(call: str, capsys: Capture, flag: str = "--help") -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main([*call.split(), flag])
    assert not stop.value.code
    return capsys.readouterr().out


def test_help_imports_nothing_that_computes() -> None:
    code = f"""
import contextlib, io, sys
from motet import cli
with contextlib.redirect_stdout(io.StringIO()):
    cli.main(["data", "import", "--help"])
assert "motet.data.formats.bvh" not in sys.modules  # no format is imported to list them
for call in {[*CALLS, *CHOSEN]!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli.main([*call.split(), "--help"])
    found = sorted(set({HEAVY!r}) & {{name.split(".")[0] for name in sys.modules}})
    assert not found, (call, found)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def flags_of(text: str) -> set[str]:
    return set(re.findall(r"^  (--[a-z][a-z0-9.-]*)", text, flags=re.M))


@pytest.mark.parametrize("call", TRAINING)
def test_every_training_has_the_same_options_of_the_loop(call: str, capsys: Capture) -> None:
    assert not EVERYWHERE - flags_of(said(call, capsys, "--help-all"))


@pytest.mark.parametrize("call", CALLS)
def test_help_is_short_and_says_how_to_see_the_rest(
    call: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    short, whole = said(call, capsys), said(call, capsys, "--help-all")
    flags = [flags_of(short), flags_of(whole)]
    assert flags[0] <= flags[1]
    assert (flags[0] == flags[1]) == (f"`motet {call} --help-all`" not in short)
    assert len(flags[0]) < 40
    assert {"--json", "--quiet"} <= flags[0] or call in NO_RESULT


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("flag", ["--help", "--help-all"])
def test_help_is_plain_text_that_fits(call: str, flag: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = said(call, capsys, flag)
    leak = re.search(r"\{None|default None|\b(INT|STR|FLOAT)\b|:(mod|class|func):|``|type: ignore", text)
    assert leak is None, leak
    body = text.partition("\nexamples:\n")[0]
    wide = [
        line for line in body.splitlines() if len(line) > 60 and " " in line.strip() and not line.startswith("  --")
    ]
    assert not wide
    for choices in re.findall(r"(?<= )[\w-]+(?:\|[\w-]+)+", body):
        assert f"one of {choices.replace('|', ', ')}" not in " ".join(body.split())


@pytest.mark.parametrize("call", CALLS)
def test_examples_name_options_that_exist(call: str, capsys: Capture) -> None:
    whole = said(call, capsys, "--help-all")
    flags = set(re.findall(r"--[a-z][a-z0-9.-]*", whole.partition("\nexamples:\n")[0]))
    examples = [shlex.split(line) for line in whole.partition("\nexamples:\n")[2].splitlines()]
    assert examples
    for line in examples:
        words = line[line.index("|") + 1 :] if "|" in line else line  # what another program sends
        assert words[0] == "motet"
        assert " ".join(words[1:]).startswith(call.split("/")[0].rsplit(" ", call.startswith("pretrain"))[0])
        used = {word for word in words if word.startswith("--")}
        assert used <= flags | {"--method"}, words


@pytest.mark.parametrize("call", CALLS)
def test_no_option_names_body_as_if_it_were_the_only_weights(call: str, capsys: Capture) -> None:
    text = said(call, capsys, "--help-all").partition("\nexamples:\n")[0]
    for option in re.split(r"\n  (?=\S)", text)[1:]:
        named = {name for name in USUAL if re.search(rf"\b{name}\b", option)}
        assert named != {"body"} or not re.search(r"\b(features|run|runs|weights)\b", option), option


def test_data_verbs_are_quiet_and_write_json(tmp_path: object, capsys: Capture) -> None:
    import json
    from pathlib import Path

    folder, written = Path(str(tmp_path)), Path(str(tmp_path)) / "said.json"
    archive = folder / "a"
    tell = ["--quiet", "--json", str(written)]
    calls = {
        f"data simulate {archive} --clips 12 --actions 3 --actors 3": "clips",
        f"data inspect {archive} --doctor": "doctor",
        "data list": "datasets",
        f"data select {archive} {folder / 's'} --where label=0": "clips",
        f"data merge {archive} {folder / 's'} {folder / 'm'}": None,
        f"data split {archive} {folder / 'w'} --seconds 1": "clips",
        f"data convert {archive} {folder / 'c'} --fps 15": "layout",
        f"data export {archive} {folder / 'x'}": "clips",
        f"embed rocket {archive} --out {folder / 'f.npz'}": "features",
        "reproduce --list": "tables",
    }
    for call, key in calls.items():
        written.unlink(missing_ok=True)
        status = cli.main([*call.split(), *tell])
        told = capsys.readouterr()
        assert told.out == "", call
        if key is None:
            continue  # the same names twice are refused
        assert status == 0, (call, told.err)
        assert key in json.loads(written.read_text()), call


def test_what_the_weights_set_is_said_beside_the_default(capsys: Capture) -> None:
    from motet.methods.start import Start

    told = " ".join(said("pretrain moco", capsys, "--help-all").split())
    began, worn = (Start.open(name).model.recipe for name in ("body", "wrist"))
    assert began.whiten_by == "actor"  # what starts from it has both
    both, flat = "from the weights body and hand", "from the weights picture and hand-picture"
    for option, values in {
        "neighbour-views": f"default 0; {began.neighbour_views} {both}",
        "keep-start": f"default 0; 0.5 {both}, 0.75 {flat}",
        "whiten-by": f"default view; both {both}, actor {flat}",
        "preprocess": "default yaw; "
        + ", ".join(
            f"{own} from the weights {name}"
            for own, name in (("body", "body"), ("hand", "hand"), ("sized", "picture and hand-picture"))
        ),
        "width": f"{began.encoder.width} from the weights body, hand, picture and hand-picture",
        "frames": f"default 32; {worn.frames} from the weights wrist",
        "encode-frames": "default 48; as in training from the weights wrist",
    }.items():
        assert f"({values})" in told.split(f"--{option} ")[1].split(" --")[0], option
    assert worn.encode_frames is None
    assert (told.count("from the weights body"), told.count("from the weights wrist")) == (5, 2)
    assert "from the weights body" not in said("pretrain moco/small-gru", capsys, "--help-all")
