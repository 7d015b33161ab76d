"""Text and speech through transformers, with small random networks that it writes into a folder itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="needs the extra raw")
pytest.importorskip("transformers", reason="needs the extra text")

import transformers

from motet.cli import main
from motet.core.errors import DataError
from motet.methods.distillation import FeatureTable
from motet.methods.distillation.raw import Item, RawOptions, Speech, Text, extract, train
from motet.methods.distillation.raw.networks import build, sequence_of
from motet.methods.distillation.raw.sampling import draws
from motet.reproduce import all_tables, reproduce
from tests.methods.distillation.raw.made import SMALL
from tests.methods.distillation.raw.media_files import pictures, tone, write

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "am", "so", "happy", "sad", "today", "it", "rains", "again"),
    *("what", "a", "joy"),
]
SPEECH: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "conv_dim": (4, 4),
    "conv_kernel": (10, 8),
    "conv_stride": (5, 320),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    return folder


@pytest.fixture(scope="module", params=["group", "layer"])
def wav2vec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wav2vec")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(feat_extract_norm=request.param, **SPEECH)
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    return folder


def test_text(bert: Path) -> None:
    network = build("text", RawOptions(text=Text(weights=str(bert), output="sequence")), frozen=True).eval()
    found = sequence_of(network, Item("I am so happy today"))
    tokens = torch.tensor([[2, 5, 6, 7, 8, 10, 3]])
    with torch.no_grad():
        wanted = transformers.BertModel.from_pretrained(bert).eval()(tokens).last_hidden_state[0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    mean = build("text", RawOptions(text=Text(weights=str(bert))), frozen=True).eval()
    np.testing.assert_allclose(sequence_of(mean, Item("I am so happy today"))[0], wanted.mean(axis=0), atol=1e-6)
    short = build("text", RawOptions(text=Text(weights=str(bert), tokens=4, output="sequence"))).eval()
    assert sequence_of(short, Item("I am so happy today")).shape == (4, 8)


def test_padding_changes_nothing(bert: Path, wav2vec: Path, tmp_path: Path) -> None:
    text = build("text", RawOptions(text=Text(weights=str(bert)))).eval()
    texts = [Item("joy"), Item("it rains again what a joy")]
    speech = build("speech", RawOptions(speech=Speech(weights=str(wav2vec)))).eval()
    sounds = [Item(str(write(tmp_path / f"{n}.wav", wave=tone(s, 300)))) for n, s in enumerate((0.4, 0.9))]
    for network, items in ((text, texts), (speech, sounds)):
        parts = [network.load(item)[0] for item in items]
        with torch.no_grad():
            together = network(*network.together(parts))
            for row, item in enumerate(items):
                alone = torch.from_numpy(sequence_of(network, item))[0]
                # networks that normalise over time (group) see the silence behind a sound
                close = 1e-5 if network is text or network.masked else 0.2
                torch.testing.assert_close(together[row], alone, atol=close, rtol=0)


def test_speech(wav2vec: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "s.wav", wave=tone(1.0, 300))
    options = Speech(weights=str(wav2vec), output="sequence")
    network = build("speech", RawOptions(speech=options), frozen=True).eval()
    found = sequence_of(network, Item(str(path)))
    wave = torch.from_numpy(tone(1.0, 300)[0]).mul(32767).round() / 32768
    wave = (wave - wave.mean()) / torch.sqrt(wave.var(correction=0) + 1e-7)
    with torch.no_grad():
        wanted = transformers.Wav2Vec2Model.from_pretrained(wav2vec).eval()(wave[None]).last_hidden_state[0].numpy()
    assert found.shape == wanted.shape == (10, 8)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    brief = build("speech", RawOptions(speech=replace(options, seconds=0.5))).eval()
    assert len(sequence_of(brief, Item(str(path)))) == 5
    blink = Item(str(write(tmp_path / "blink.wav", wave=tone(0.002))))
    assert np.isfinite(sequence_of(network, blink)).all()
    part = brief.drawn(Item(str(path)), draws(0, 0, torch.tensor([1]), "speech")[0])
    assert part.shape == (8000,)


def test_folders_that_hold_no_network(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no config\.json"):
        build("text", RawOptions(text=Text(weights=str(tmp_path))))
    with pytest.raises(DataError, match="has no conv_kernel; it is not a network of speech"):
        build("speech", RawOptions(speech=Speech(weights=str(bert))))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match="cannot be loaded as a network of text"):
        build("text", RawOptions(text=Text(weights=str(tmp_path))))


def spoken(tmp_path: Path) -> Path:
    """Eight utterances of two speakers, with words and sound."""
    lines = ["label,group,speech,text"]
    for number in range(8):
        label = ("joy", "grief")[number % 2]
        write(tmp_path / f"u{number}.wav", wave=tone(0.3 + 0.02 * number, 300 + 500 * (number % 2)))
        said = "i am so happy" if label == "joy" else "it rains again sad"
        lines.append(f"{label},{'ab'[number // 4]},u{number}.wav,{said}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "m.csv"


def test_a_table_of_sequences(bert: Path, wav2vec: Path, tmp_path: Path) -> None:
    options = RawOptions(
        speech=Speech(weights=str(wav2vec), output="sequence"), text=Text(weights=str(bert), output="sequence")
    )
    table = FeatureTable.open(extract(spoken(tmp_path), tmp_path / "t.npz", options=options, workers=0, progress=False))
    text, speech = table.modalities["text"], table.modalities["speech"]
    assert text.values.shape == (8, 6, 8)
    assert text.lengths is not None
    assert speech.lengths is not None
    assert text.lengths.tolist() == [6] * 8
    assert len(set(speech.lengths.tolist())) > 1
    assert table.group is not None
    assert table.group.tolist() == ["a"] * 4 + ["b"] * 4


def test_speech_student_taught_with_text(bert: Path, wav2vec: Path, tmp_path: Path) -> None:
    options = RawOptions(speech=Speech(weights=str(wav2vec)), text=Text(weights=str(bert)))
    given = {**SMALL, "networks": options, "workers": 0, "progress": False, "split": "leave-one-group-out"}
    found = train(spoken(tmp_path), "speech", "text", tmp_path / "frozen", **given)
    assert len(found["replicas"]) == 2
    both = train(spoken(tmp_path), "speech", "text", tmp_path / "both", train_auxiliary=True, **given)
    assert both["trained"] == ["speech", "text"]
    from motet.methods.distillation.raw import load

    student = load(tmp_path / "both/replicas/group-a-seed-0")
    assert student.predict({"speech": [tmp_path / "u0.wav"]}).shape == (1, 2)


def sessions(root: Path) -> Path:
    """Two sessions as IEMOCAP has them: a film of a dialogue, eight turns of four emotions, their sounds and words."""
    for session in (1, 2):
        place, film = root / f"Session{session}", f"Ses{session:02d}F_impro00"
        said, words = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        for turn, emotion in enumerate(("ang", "exc", "neu", "sad") * 2):
            name, start = f"{film}_M{turn:03d}", 0.2 * turn
            said += [f"[{start:.4f} - {start + 0.2:.4f}]\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]", ""]
            words.append(f"{name} [{start:08.4f}-{start + 0.2:08.4f}]: it rains again" + " so" * (turn % 3))
            write(place / "sentences/wav" / film / f"{name}.wav", wave=tone(0.25, 300 + 200 * turn))
        write(place / f"dialog/avi/DivX/{film}.avi", pictures(45, 16, 24), tone(1.8))
        for folder, lines in (("EmoEvaluation", said), ("transcriptions", words)):
            (place / "dialog" / folder).mkdir()
            (place / "dialog" / folder / f"{film}.txt").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize("wav2vec", ["group"], indirect=True)
def test_the_table_of_emotions_from_recordings(bert: Path, wav2vec: Path, tmp_path: Path) -> None:
    """Films, sounds and words to an index, features of frozen networks, and rows of amid/iemocap."""
    manifest, features = tmp_path / "iemocap.csv", tmp_path / "iemocap.npz"
    index = ["distill", "index", "iemocap", str(sessions(tmp_path / "in")), "--out", str(manifest), "--partial"]
    assert main([*index, "--quiet"]) == 0
    words = ["distill", "extract", str(manifest), "--out", str(features), "--modalities", "speech", "text", "face"]
    words += ["--face.weights=random", "--face.blocks", "1", "1", "1", "1", "--face.growth=4", "--face.size=32"]
    words += [f"--{kind}.output=sequence" for kind in ("face", "speech", "text")]
    assert main([*words, f"--speech.weights={wav2vec}", f"--text.weights={bert}", "--workers=0", "--quiet"]) == 0
    table = FeatureTable.open(features)
    face = table.modalities["face"]
    assert (face.values.shape[0], face.values.shape[2]) == (16, 8)
    assert face.lengths is not None
    assert set(face.lengths.tolist()) == {1}  # of the five pictures of a turn the first
    every = all_tables()["amid/iemocap"]
    some = replace(every, rows=(every.rows[0], every.rows[4], every.rows[-1]))
    tiny = {"epochs": 2, "warm_up": 1, "features": 4, "fuse_hidden": 4, "critic_width": 4, "hidden": (4,)}
    asked: dict[str, Any] = {"target": "face", "auxiliary": ("speech", "text"), "seeds": 1, "progress": False}
    found = reproduce(some, features, tmp_path / "out", sequence_hidden=4, batch_size=4, **asked, **tiny)
    assert found["complete"]
    for row in found["rows"]:
        assert set(row["values"]) == {"student", "UA"}
        assert all(0 <= value["mean"] <= 100 for value in row["values"].values())
