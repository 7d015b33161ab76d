from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import motet
from motet import evaluate
from motet.core.errors import ConfigError, MotetWarning
from motet.core.rng import CounterRNG
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.loader import random_crop
from motet.data.skeletons import Skeleton
from motet.data.splits import Split, split
from motet.engine.options import Encoder
from motet.engine.run import Run, write_config
from motet.engine.table import Row, percent
from motet.evaluate import linear, linear_cached
from motet.evaluate.clips import labelled_clips
from motet.evaluate.context import Context
from motet.evaluate.features import Encoded, Raw
from motet.evaluate.linear import CROP_VIEW
from motet.evaluate.probe import ORDER_VIEW, fusion_weight
from motet.evaluate.results import markdown
from motet.methods import recipes
from motet.methods.learner import create_run
from motet.methods.model import Model

SKELETON = Skeleton("stick", ("root", "left", "right", "head"), (-1, 0, 0, 0), parts={"top": (0, 3)})
STREAMS = ("joint", "motion", "bone[top]")
CLASSES, SUBJECTS = 3, 6
SHORT = {"epochs": 4, "batch_size": 8, "check_every": 2}


def write_archive(path: Path, **changes: Any) -> MotionArchive:
    """Three kinds of swing; subjects 1, 3, 5 train by the rule odd-even."""
    rng = np.random.default_rng(0)
    names = ("wave", "nod", "turn")
    with ArchiveWriter(path, skeleton=changes.pop("skeleton", SKELETON), class_names=names, simulated=True) as writer:
        for clip in range(36):
            label, subject = clip % CLASSES, clip // CLASSES % SUBJECTS + 1
            time = np.arange(12 + clip % 7)[:, None, None]
            shape = np.arange(4)[None, :, None] + 0.5 * np.arange(3)[None, None, :]
            frames = np.sin(0.25 * (label + 1) * time + shape) + 0.4 * rng.standard_normal((len(time), 4, 3))
            columns = {"label": label, "subject": subject} | {k: f(clip) for k, f in changes.items()}
            writer.add(frames, name=f"clip{clip}", **columns)
    return MotionArchive.open(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return write_archive(tmp_path_factory.mktemp("data") / "swings")


def write_run(path: Path, archive: MotionArchive, seed: int = 0, streams: tuple[str, ...] = STREAMS) -> Run:
    """A finished run whose weights come straight from their initialisation."""
    recipe = replace(
        recipes.get("cmd/small-gru"), streams=streams, frames=8, seed=seed, encoder=Encoder(hidden=6, layers=1)
    )
    run = create_run(path, recipe, archive, {"split": "odd-even"})
    Model.fresh(recipe, archive, seed=100 + seed).save(run.path / "model.safetensors")
    return run


@pytest.fixture
def run(tmp_path: Path, archive: MotionArchive) -> Run:
    return write_run(tmp_path / "run", archive)


def rows_of(result: dict[str, Any], **wanted: Any) -> list[Row]:
    rows = [Row.from_dict(row) for row in result["rows"]]
    return [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]


def test_the_table_has_every_row(run: Run) -> None:
    result = evaluate.run(run.path, ("knn", "linear", "linear-cached"), seeds=2, linear=SHORT, linear_cached=SHORT)
    together = "joint+motion+bone[top]"
    for features in ("cmd", "random encoder", "raw", "random convolutions"):
        for standardised in (False, True):
            rows = rows_of(result, protocol="knn", features=features)
            knn = [(r.stream, r.ensemble) for r in rows if r.details.get("standardised", False) == standardised]
            assert knn == [*((s, None) for s in STREAMS), (together, "concat")]
        if features == "random convolutions":
            continue
        for protocol in ("linear", "linear-cached"):
            found = rows_of(result, protocol=protocol, features=features)
            assert [(r.stream, r.ensemble) for r in found] == [
                *((s, None) for s in STREAMS),
                (together, "mean-logits"),
                (together, "late-fusion"),
            ]
            for row in found:
                assert len(row.values) == len(row.best_values) == 2
                assert all(0 <= last <= best <= 1 for last, best in zip(row.values, row.best_values, strict=True))
                assert len(row.details["top5"]) == 2
    assert len(rows_of(result, protocol="knn", features="random encoder", stream="joint")[0].values) == 2
    assert result["split"] == {"rule": "odd-even", "train": 18, "test": 18, "classes": 3}
    assert result["archive"]["simulated"]
    assert result["confusion"]["protocol"] == "linear"
    assert result["confusion"]["ensemble"] == "mean-logits"
    assert np.sum(result["confusion"]["matrix"]) == 2 * 18  # two probe seeds
    assert result["class_names"] == ["wave", "nod", "turn"]
    stored = json.loads((run.path / "evaluation.json").read_text())
    assert stored == json.loads(json.dumps(result))
    table = (run.path / "evaluation.md").read_text()
    assert "no person was recorded" in table
    assert table.split("Each class")[0].count("\n| ") == len(result["rows"]) + 1
    assert f"motet evaluate {run.path} --protocols knn linear linear-cached --seeds 2 --linear.epochs 4" in table
    assert not [p for p in run.path.iterdir() if "partial" in p.name]


def slow_official_protocol(run: Run, archive: MotionArchive, features: str) -> dict[str, float]:
    """The linear protocol clip by clip with torch's layer, loss and optimiser; accuracy per stream and ensemble."""
    model = run.model()
    if features == "random encoder":
        model = model.untrained(0)
    subjects, labels = archive.clips["subject"].to_numpy(), torch.from_numpy(archive.labels)
    train, test = (torch.from_numpy(np.flatnonzero(subjects % 2 == odd)) for odd in (1, 0))
    store = model.store(archive)
    generator = torch.Generator().manual_seed(0)
    width = model.encode(store, train[:1])["joint"].shape[1]
    start = torch.randn(3, 2, width, 3, generator=generator) * 0.01
    heads: list[list[nn.Linear]] = []
    for kind in (0, 1):  # each stream alone; all streams jointly
        layers = [nn.Linear(width, 3) for _ in STREAMS]
        for s, layer in enumerate(layers):
            layer.weight.data = start[s, kind].T.clone()
            nn.init.zeros_(layer.bias)
        heads.append(layers)
    sgd = torch.optim.SGD([p for layers in heads for la in layers for p in la.parameters()], lr=0.1, momentum=0.9)
    for epoch in range(SHORT["epochs"]):
        for group in sgd.param_groups:
            group["lr"] = 0.1 * 0.1 ** ((epoch >= 2) + (epoch >= 3))  # 5/8 and 7/8 of 4 epochs
        # one chunk: the set is small
        chunk = train[CounterRNG(0, epoch, train, CROP_VIEW).order("chunks")]
        chunk = chunk[CounterRNG(0, epoch, chunk, ORDER_VIEW).order("probe")]
        for ids in chunk.split(SHORT["batch_size"]):
            batch: dict[str, list[Tensor]] = {s: [] for s in STREAMS}
            for clip in ids:
                one = clip[None]
                keyed = CounterRNG(0, epoch, one, CROP_VIEW)
                crop = random_crop(keyed, store.lengths_of(one), minimum_ratio=0.5, frames=8)
                for s, f in model.encode(store, one, start=crop[0], length=crop[1]).items():
                    batch[s].append(f)
            logits = [[la(torch.cat(batch[s]).clone()) for s, la in zip(STREAMS, ls, strict=True)] for ls in heads]
            losses = [*logits[0], torch.stack(logits[1]).mean(dim=0)]
            sgd.zero_grad()
            torch.stack([nn.functional.cross_entropy(found, labels[ids]) for found in losses]).sum().backward()
            sgd.step()
    with torch.no_grad():
        x = {s: f.clone() for s, f in model.encode(store, test).items()}
        alone, joint = ([la(x[s]) for s, la in zip(STREAMS, layers, strict=True)] for layers in heads)
    scores = dict(zip(STREAMS, alone, strict=True))
    scores["mean-logits"] = torch.stack(joint).mean(dim=0)
    scores["late-fusion"] = sum((fusion_weight(s) * f for s, f in zip(STREAMS, alone, strict=True)), torch.zeros(()))
    return {name: (f.argmax(dim=1) == labels[test]).double().mean().item() for name, f in scores.items()}


@pytest.mark.parametrize("features", ["cmd", "random encoder"])
def test_linear_is_the_official_protocol(run: Run, archive: MotionArchive, features: str) -> None:
    result = evaluate.run(run, ("linear",), linear=SHORT)
    found = {row.ensemble or row.stream: row.values[0] for row in rows_of(result, features=features)}
    assert found == pytest.approx(slow_official_protocol(run, archive, features))


def test_chunks_hold_whole_batches_and_every_clip_once(
    run: Run, archive: MotionArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    keep = linear.Chunk
    monkeypatch.setattr(linear, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(linear.Bank.chunk_rows, "__defaults__", (1,))
    monkeypatch.setattr(linear, "Chunk", lambda *a: seen.append(a[0]) or keep(*a))
    evaluate.run(run, ("linear",), baselines=False, linear={"epochs": 2, "batch_size": 5})
    assert [len(ids) for ids in seen] == [5, 5, 5, 3] * 2
    epochs = [torch.cat(seen[:4]), torch.cat(seen[4:])]
    train = np.flatnonzero(archive.clips["subject"].to_numpy() % 2)
    for ids in epochs:
        assert sorted(ids.tolist()) == train.tolist()
    assert not torch.equal(*epochs)


def test_a_bank_of_crops_is_encoded_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    crops = Encoded.crops
    monkeypatch.setattr(Encoded, "crops", lambda self, ids, *a: calls.append(len(ids)) or crops(self, ids, *a))
    options = linear_cached.Options(epochs=6, batch_size=8, crops=3)
    result = evaluate.run(run, ("linear-cached",), baselines=False, linear_cached=options)
    assert calls == [18, 18, 18]
    assert {row.protocol for row in rows_of(result)} == {"linear-cached"}
    evaluate.run(run, ("linear-cached",), baselines=False, linear_cached={"epochs": 6})
    assert len(calls) == 3  # the centre crop alone needs none


def test_standardised_features_have_the_chosen_length(run: Run, archive: MotionArchive) -> None:
    clips = labelled_clips(archive, split(archive, "odd-even"))
    context = Context.build([run], [run.model()], archive, clips, seeds=1, baselines=True, show=False)
    for sets in (context.learned, context.raw):
        features = linear.Bank(context, sets, standardise=True).centre(context.train)[0]
        torch.testing.assert_close(features.mean(dim=1), torch.zeros_like(features[:, 0]), atol=1e-4, rtol=0)
        length = features.square().sum(dim=-1).mean(dim=-1).sqrt()
        torch.testing.assert_close(length, torch.full_like(length, linear.LENGTH), rtol=1e-4, atol=0)
    untouched = linear.Bank(context, context.learned, standardise=False).centre(context.train)[0, 0]
    assert torch.equal(untouched, context.learned[0].centre(context.train)["joint"])


def test_raw_features_are_the_views_of_the_centre_crop(run: Run, archive: MotionArchive) -> None:
    model = run.model()
    store = model.store(archive)
    ids = torch.tensor([3, 30, 7])
    found = Raw(model, store).centre(ids)
    assert {s: f.shape for s, f in found.items()} == {
        "joint": (3, 8 * 12), "motion": (3, 8 * 12), "bone[top]": (3, 8 * 6),
    }  # fmt: skip
    expected = model.raw(store, ids)
    for s in STREAMS:
        torch.testing.assert_close(found[s], expected[s])


def test_encoded_once_for_all_protocols(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode = Model.encode
    monkeypatch.setattr(Model, "encode", lambda *a, **k: calls.append(len(a[2])) or encode(*a, **k))
    protocols = ("knn", "linear-cached")
    first = evaluate.run(run, protocols, linear_cached=SHORT)
    # learned, random, and for kNN random convolutions: all clips of both sides
    assert calls == [36, 36, 36]
    again = evaluate.run(run, protocols, linear_cached=SHORT, again=True)
    assert len(calls) == 3
    assert first["rows"] == again["rows"]
    for path in (run.path / "features").iterdir():
        path.write_bytes(path.read_bytes()[:50])  # a damaged file is made again
    assert evaluate.run(run, protocols, linear_cached=SHORT, again=True)["rows"] == first["rows"]
    assert len(calls) == 6


def test_other_weights_have_other_features(tmp_path: Path, archive: MotionArchive) -> None:
    runs = [write_run(tmp_path / str(seed), archive, seed) for seed in range(2)]
    keys = set()
    for run in runs:
        model = run.model()
        store = model.store(archive)
        keys |= {Encoded(m, store, archive_hash=h).key() for m in (model, model.untrained(0)) for h in "ab"}
        keys.add(Encoded(model, model.store(archive, [1, 2]), archive_hash="a").key())
    assert len(keys) == 8  # the untrained encoder is the same for both runs


def test_features_of_clips_in_another_form_are_encoded_again(
    run: Run, archive: MotionArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for revision in (1, 2):
        monkeypatch.setattr("motet.evaluate.features.REVISION", revision)
        model = run.model()
        keys.append(Encoded(model, model.store(archive), archive_hash="a").key())
        model.by_name = True  # brings clips to its own layout
        keys.append(Encoded(model, model.store(archive), archive_hash="a").key())
    assert len(set(keys)) == 3
    assert keys[0] == keys[2]


def test_several_runs_give_one_value_each(tmp_path: Path, archive: MotionArchive) -> None:
    runs = [write_run(tmp_path / "all" / str(seed), archive, seed) for seed in range(3)]
    result = evaluate.run(tmp_path / "all", ("knn", "linear-cached"), seeds=2, linear_cached=SHORT)
    assert [r["seed"] for r in result["runs"]] == [0, 1, 2]
    for row in rows_of(result, features="cmd"):
        assert len(row.values) == 3
        assert row.details["over"] == "runs"
        assert row.sd == pytest.approx(np.std(row.values, ddof=1))
    assert len(rows_of(result, features="random encoder", protocol="knn")[0].values) == 3
    assert (runs[0].path / "evaluation-of-3-runs.json").exists()
    single = evaluate.run(runs[1], ("linear-cached",), seeds=2, linear_cached=SHORT, baselines=False)
    means = [row.mean for row in rows_of(single, features="cmd")]
    assert [r.values[1] for r in rows_of(result, features="cmd", protocol="linear-cached")] == pytest.approx(means)


def test_several_rates_are_rows_of_their_own(run: Run) -> None:
    result = evaluate.run(run, ("linear-cached",), linear_cached=SHORT | {"lr": (0.1, 0.01)})
    rates = [row.details["lr"] for row in rows_of(result, features="cmd", stream="joint")]
    assert rates == [0.1, 0.01]
    alone = evaluate.run(run, ("linear-cached",), linear_cached=SHORT | {"lr": 0.01})
    values = [row.values for row in rows_of(result) if row.details["lr"] == 0.01]
    assert values == [row.values for row in rows_of(alone)]


def test_one_stream_and_no_baselines(tmp_path: Path, archive: MotionArchive) -> None:
    run = write_run(tmp_path / "run", archive, streams=("joint",))
    result = evaluate.run(run, ("knn", "linear"), baselines=False, linear=SHORT)
    assert [(r.protocol, r.features, r.stream, r.ensemble) for r in rows_of(result)] == [
        ("knn", "cmd", "joint", None),
        ("knn", "cmd", "joint", None),
        ("linear", "cmd", "joint", None),
    ]
    assert "--no-baselines" in result["command"]
    assert result["confusion"]["stream"] == "joint"


def test_what_a_reader_must_know_is_noted(run: Run, tmp_path: Path) -> None:
    def label(clip: int) -> int | None:
        return None if clip == 0 else 2 if clip // 3 % 6 + 1 == 2 else clip % 2

    other = write_archive(tmp_path / "other", label=label)
    with pytest.warns(MotetWarning):
        result = evaluate.run(run, ("knn",), data=other)
    assert result["notes"] == [
        "1 clip without a label were left out",
        "6 test clips of 1 class without a training clip can only be wrong: turn",
    ]
    assert result["split"]["train"] == 17
    assert "Note: 6 test clips" in markdown(result)


def test_copies_across_the_split_are_noted(run: Run, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).standard_normal((9, 4, 3))
    with ArchiveWriter(tmp_path / "copies", skeleton=SKELETON) as writer:
        for clip in range(4):
            writer.add(frames + (clip < 2) * clip, name=str(clip), label=0, subject=clip + 1)
    with pytest.warns(MotetWarning, match="1 of 2 test clips are exact copies"):
        evaluate.run(run, ("knn",), data=tmp_path / "copies", baselines=False)


def test_bad_input_is_one_clear_error(run: Run, tmp_path: Path, archive: MotionArchive) -> None:
    def fails(match: str, *args: Any, **options: Any) -> None:
        with pytest.raises(ConfigError, match=match):
            evaluate.run(*(args or (run,)), **options)

    fails("no protocol 'knnn'; choose from cluster, .*knn, linear, linear-cached", run, ("knnn",))
    fails("no protocol 'results'", run, ("results",))
    fails("no protocol was chosen", run, ())
    fails("unknown option linear", run, ("knn",), linear={"epochs": 1})
    fails("linear has no option 'epoch'; it has epochs", run, ("linear",), linear={"epoch": 1})
    fails("must be its Options", run, ("linear",), linear=linear_cached.Options())
    fails("epochs is 0", run, ("linear",), linear={"epochs": 0})
    fails("seeds is 0", seeds=0)
    fails("no run was given", [])
    fails("k is 19, more than the 18", run, ("knn",), knn={"k": 19})
    fails("both sides.*; name another one by --split, e.g. --split odd-even", split="all")
    fails(r"--semi\.minimum-steps is -1; it must be at least 0", run, ("semi",), semi={"minimum_steps": -1})
    fails(r"--fewshot\.shots is \(0,\)", run, ("fewshot",), fewshot={"shots": 0})
    fails(r"--linear-cached\.batch-size is 0", run, ("linear-cached",), linear_cached={"batch_size": 0})
    fails("no split rule", split="odd")
    wide = Skeleton("wide", ("root", "left", "right", "head", "tail"), (-1, 0, 0, 0, 0))
    with ArchiveWriter(tmp_path / "wide", skeleton=wide) as writer:
        for clip in range(4):
            writer.add(np.ones((5, 5, 3)) * clip, name=str(clip), label=0, subject=clip)
    fails(r"wide \(5 joints.*stick \(4 joints", data=tmp_path / "wide")
    fails("import it with labels", data=write_archive(tmp_path / "bare", label=lambda clip: None))
    mine = Split(np.arange(3), np.arange(3, 6), "mine", "by hand")
    odd = write_archive(tmp_path / "odd", label=lambda clip: None if clip < 3 else 0)
    fails("mine of .* leaves no labelled training clips", data=odd, split=mine)
    fails("differs from", [run, write_run(tmp_path / "single", archive, streams=("joint",))])
    assert not (run.path / "evaluation.json").exists()


def test_a_label_track_is_to_be_cut_first(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = write_archive(tmp_path / "bare", label=lambda clip: None)
    monkeypatch.setattr(MotionArchive, "tracks", property(lambda archive: {"acts": None}))
    with pytest.raises(ConfigError, match=r"no labels of clips; .* `motet data split .*bare bare-clips --track acts`"):
        evaluate.run(run, data=bare)


def test_people_who_trained_are_told(run: Run, archive: MotionArchive, tmp_path: Path) -> None:
    said = r"12 of 24 test clips, those of subjects 3, 5, were in the pretraining \(split odd-even\).*--split odd-even"
    with pytest.warns(MotetWarning, match=said):
        result = evaluate.run(run, "knn", split="subjects:1,2", baselines=False)
    assert [note for note in result["notes"] if re.search(said, note)]
    (table,) = run.path.glob("evaluation-on-*.md")
    assert re.search(f"- Note: {said}", table.read_text())
    # nobody who trained is tested: by the run's own rule, by a part of its test side, on other clips
    test = np.flatnonzero(archive.clips["subject"].to_numpy() == 2)
    few = Split(np.flatnonzero(archive.clips["subject"].to_numpy() == 3), test, "few", "two people")
    evaluate.run(run, "knn", baselines=False)
    evaluate.run(run, "knn", split=few, baselines=False)
    other = write_archive(tmp_path / "other", label=lambda clip: clip % 2)
    config = json.loads((run.path / "config.json").read_text())
    config["data"]["hash"] = "0" * 64
    write_config(run.path, config)
    evaluate.run(Run.open(run.path), "knn", data=other, split="subjects:1,2", baselines=False)


def test_each_class_and_the_most_frequent_one(run: Run, archive: MotionArchive) -> None:
    found = evaluate.run(run, "ridge")
    table, matrix = (run.path / "evaluation.md").read_text(), np.array(found["confusion"]["matrix"])
    assert found["majority"] == pytest.approx(1 / 3)
    assert "- Always the most frequent class: 33.3 %" in table
    for place, name in enumerate(("wave", "nod", "turn")):
        share = 100 * matrix[place, place] / matrix[place].sum()
        (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
        assert line.startswith(f"| {name} | {matrix[place].sum()} | {share:.1f} | ")
        wrong = matrix[place].copy()
        wrong[place] = 0
        assert found["class_names"][int(wrong.argmax())] in line or not wrong.any()


def test_named_files_are_copies(run: Run, tmp_path: Path) -> None:
    """What a report reads stays in the run."""
    evaluate.run(run, ("knn",), json=tmp_path / "deep" / "a.json", markdown=tmp_path / "b.md")
    assert (tmp_path / "deep" / "a.json").read_text() == (run.path / "evaluation.json").read_text()
    assert (tmp_path / "b.md").read_text() == (run.path / "evaluation.md").read_text()


def test_impossible_protocols_are_refused_first(tmp_path: Path, archive: MotionArchive) -> None:
    run = write_run(tmp_path / "single", archive, streams=("joint",))
    for name, options in (("ensemble", {}), ("transfer", {}), ("semi", {"ratios": (0.001,)})):
        with pytest.raises(ConfigError, match=r"several|another archive|is none"):
            evaluate.run(run, ("knn", name), **{name: options})
    assert not (run.path / "evaluation.json").exists()
    assert not (run.path / "features").exists()


def test_percent() -> None:
    assert percent(()) == "–"
    assert percent((0.5,)) == "50.0"
    assert percent((0.5, 0.6)) == "55.0 ± 7.1"


def test_long_recordings_are_said_to_be_read_in_part(tmp_path: Path) -> None:
    """By every verb that reads whole clips."""
    with ArchiveWriter(tmp_path / "a", skeleton=SKELETON, class_names=("a", "b"), fps=30.0) as writer:
        for i in range(8):
            frames = np.random.default_rng(i).normal(size=(500 if i == 3 else 10, 4, 3))
            writer.add(frames, name=f"clip{i}", label=i % 2, subject=1 + i // 4)
    archive = MotionArchive.open(tmp_path / "a")
    run, said = write_run(tmp_path / "run", archive), "only the first 10 s of 1 of 8 clips of"
    with pytest.warns(MotetWarning, match=said):
        assert any(said in note for note in evaluate.run(run, ("knn",), baselines=False, progress=False)["notes"])
    with pytest.warns(MotetWarning, match=said):
        motet.embed(run.path, archive.path, tmp_path / "f.npz")
    with pytest.warns(MotetWarning, match=said):
        motet.load(run.path).transform(archive)
    options: dict[str, Any] = {"hidden": 4, "batch_size": 4, "whiten": 0.0, "streams": ("joint", "motion")}
    with pytest.warns(MotetWarning, match=said):
        motet.pretrain("cmd/small-gru", archive, tmp_path / "new", epochs=0, progress=False, **options)


def test_sides_without_a_class_in_common_are_refused(tmp_path: Path) -> None:
    """Each person does things that the other does not."""
    with ArchiveWriter(tmp_path / "a", skeleton=SKELETON, class_names=("walk", "sit", "run", "lie")) as writer:
        for i in range(8):
            writer.add(np.random.default_rng(i).normal(size=(10, 4, 3)), name=f"clip{i}", label=i % 4, subject=i % 2)
    run = write_run(tmp_path / "run", MotionArchive.open(tmp_path / "a"))
    with pytest.raises(
        ConfigError, match=r"odd-even of .*a tests only classes without a training clip \(walk, run\), .* random:0\.3@0"
    ):
        evaluate.run(run, ("knn",), progress=False)
    assert not evaluate.run(run, ("cluster",), progress=False)["missing"], "clusters are of the test clips alone"
