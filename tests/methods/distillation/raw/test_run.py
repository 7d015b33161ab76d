from __future__ import annotations

import json
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="needs the extra raw")

import motet
from motet.cli import main
from motet.core.errors import ConfigError, DataError, Interrupted, MotetNote, RunError
from motet.engine.learner import Stage
from motet.engine.run import Run
from motet.methods import distillation as distill
from motet.methods.distillation.raw import load, open_source, resume, train
from motet.methods.distillation.raw.feeder import RawFeeder, Source, stand_in
from motet.methods.distillation.raw.trainer import Extractor, RawDistillation
from motet.methods.distillation.replicas import Replicas
from motet.methods.distillation.settings import settings_for
from tests.methods.distillation.raw.made import FLAGS, NETWORKS, QUICK, SMALL, films
from tests.methods.distillation.raw.media_files import tone, write
from tests.methods.distillation.toys import fitted, stopped_at


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films(tmp_path_factory.mktemp("films"))


def options(**changes: Any) -> dict[str, Any]:
    return {**SMALL, "networks": NETWORKS, "workers": 0, "progress": False, **changes}


def test_from_films_to_a_student_on_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["distill", "raw", str(folder), "--target", "video", "--auxiliary", "audio", "--out", str(run), *FLAGS]
    assert main([*words, "--epochs", "2", *QUICK, "--json", str(tmp_path / "r.json")]) == 0
    assert "**amid: video, taught with audio**" in capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text())
    assert found == json.loads((run / "result.json").read_text())
    assert found["replicas"][0]["test"] == 4
    assert set(found["summary"]) >= {"student", "teacher"}
    assert len(found["curves"]["test, seed 0"]) == 2
    assert "critics" in found["curves"]["test, seed 0"][1]["terms"]
    assert main(["distill", "raw", "--resume", str(run)]) == 0
    # the student needs files of the target alone, and answers as the test did
    student = load(run)
    files = [item.content for item in open_source(folder).items("video") if item is not None][8:]
    answers = student.predict({"video": files})
    assert answers.sum(axis=1) == pytest.approx([1] * 4, abs=1e-5)
    truth = [student.class_names.index(Path(f).parent.name) for f in files]
    right = (answers.argmax(axis=1) == truth).mean()
    assert right == pytest.approx(found["replicas"][0]["student"]["accuracy"])
    assert student.features({"video": files}).shape == (4, 4)
    with pytest.raises(DataError, match="needs the modality video"):
        student.predict({"audio": files})
    with pytest.raises(DataError, match=r"modality video is one file, .*low0.mp4; give a list"):
        student.predict({"video": str(folder / "test/low/low0.mp4")})
    with pytest.raises(DataError, match=r"by name: give \{'video': \[file"):
        student.predict(files)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^there is no file absent.mp4$"):
        student.predict({"video": ["absent.mp4"]})
    with pytest.raises(RunError, match=r"motet\.distill\.raw\.load loads it"):
        distill.load(run)
    manifest = open_source(folder)
    manifest.modalities["video"][0] = None
    manifest.labels[1] = "other"
    manifest.write(tmp_path / "m.csv")
    assert main(["embed", str(run), str(tmp_path / "m.csv"), "--out", str(tmp_path / "f.npz")]) == 0
    told = capsys.readouterr()
    assert "12 rows × 4 features" in told.out
    assert "note: 1 of 12 rows lack video: NaN" in told.err
    assert "does not know the classes other" in told.err
    with np.load(tmp_path / "f.npz") as content:
        assert content["name"].tolist() == manifest.ids
        assert content["probabilities"][8:] == pytest.approx(answers, abs=1e-6)
        assert np.isnan(content["features"]).all(axis=1).tolist() == [n == 0 for n in range(12)]
        wanted = [-1 if name == "other" else student.class_names.index(name) for name in manifest.labels]
        assert content["label"].tolist() == wanted


def test_the_student_alone_and_the_report_of_a_training_from_recordings(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The proposed command runs under the same conditions; the page shows curves of all replicas together."""
    monkeypatch.chdir(tmp_path)
    manifest = open_source(folder)
    manifest.modalities["audio"][1] = None  # trains
    manifest.write(tmp_path / "m.csv")
    words = [
        "distill",
        "raw",
        "m.csv",
        "--target",
        "video",
        "--auxiliary",
        "audio",
        "--out",
        "run",
        "--seeds",
        "0",
        "1",
    ]
    assert main([*words, "--seeds", "0", "1", *FLAGS, "--epochs", "2", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "audio is absent in 1 of 8 training rows (12 %)." in said
    assert said.rstrip() == Path("run/result.md").read_text().rstrip()
    command = said.partition("under the same conditions, by `")[2].partition("`")[0]
    assert "--video.layers 1 1 1 1" in command
    assert "audio" not in command
    assert main([*shlex.split(command)[1:], "--quiet"]) == 0
    capsys.readouterr()
    assert main(["resume", "run"]) == 0
    assert "- student alone (`run-alone`): accuracy (WA)" in capsys.readouterr().out
    assert main(["report", "run", "--baseline", "run-alone", "--out", "page.html"]) == 0
    page = Path("page.html").read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    student = next(chart["series"]["student"] for chart in data["curves"] if "teacher" in chart["series"])
    replicas = json.loads(Path("run/result.json").read_text())["curves"].values()
    wanted = [100 * np.mean([replica[n]["curve"]["student"] for replica in replicas]) for n in range(2)]
    assert [y for _, y in student] == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(RunError, match="is a run of `motet distill raw`"):
        Run.open("run", "pretrain")


def test_a_student_learns_from_films(tmp_path: Path) -> None:
    root = films(tmp_path / "films", 6, 2)
    given = _plain(epochs=24, batch_size=6, lr=5e-3, monitor_every=24, features=8)
    found = train(root, "video", out=tmp_path / "run", method="alone", **given)
    assert found["summary"]["student"]["accuracy"]["mean"] == 1.0


@pytest.mark.parametrize("method", ["kd", "crd"])
def test_other_methods_and_both_networks_trained(folder: Path, tmp_path: Path, method: str) -> None:
    given = options(epochs=1)
    del given["critic_width"], given["warm_up"]
    if method == "crd":
        given["negatives"] = 2
    found = train(folder, "video", "audio", tmp_path / "run", method=method, train_auxiliary=True, **given)
    assert found["method"] == method
    assert not (tmp_path / "run" / "features.npz").exists()
    assert 0 <= found["summary"]["student"]["accuracy"]["mean"] <= 1


def test_resume_inside_an_epoch_is_exact(folder: Path, tmp_path: Path) -> None:
    given = options(epochs=2, train_auxiliary=True, seeds=(0, 1))
    whole = train(folder, "video", "audio", tmp_path / "whole", **given)
    steps = [line["step"] for line in map(json.loads, (tmp_path / "whole/metrics.jsonl").read_text().splitlines())]
    assert len(steps) == 4  # two seeds of two epochs
    with (
        stopped_at(1, signal.SIGINT),
        pytest.raises(Interrupted, match=r"test, seed 0: main, after step 1 of .* `motet resume"),
    ):
        train(folder, "video", "audio", tmp_path / "cut", **given)
    with (
        stopped_at(steps[1], signal.SIGHUP),
        pytest.raises(Interrupted, match=r"SIGHUP in epoch 1 of stage test, seed 1: main"),
    ):
        resume(tmp_path / "cut", progress=False)
    again = resume(tmp_path / "cut", progress=False)
    assert again["replicas"] == whole["replicas"]
    assert again["curves"] == whole["curves"]
    for seed in (0, 1):
        place = f"replicas/test-seed-{seed}/student.safetensors"
        assert (tmp_path / "cut" / place).read_bytes() == (tmp_path / "whole" / place).read_bytes()
    with pytest.raises(RunError, match="exists already"):
        train(folder, "video", "audio", tmp_path / "cut", **given)


def test_threads_change_nothing(folder: Path, tmp_path: Path) -> None:
    here, there = (
        train(folder, "video", "audio", tmp_path / str(n), train_auxiliary=True, **options(epochs=2, workers=n))
        for n in (0, 2)
    )
    assert here["replicas"] == there["replicas"]
    assert here["curves"] == there["curves"]
    with pytest.raises(ConfigError, match="workers is -1"):
        train(folder, "video", out=tmp_path / "run", **options(workers=-1))


def test_replicas_follow_each_other_and_several_students_are_told_apart(folder: Path, tmp_path: Path) -> None:
    found = train(folder, "video", "audio", tmp_path / "run", seeds=(0, 1), method="alone", **_plain(epochs=1))
    assert [(replica["fold"], replica["seed"]) for replica in found["replicas"]] == [("test", 0), ("test", 1)]
    assert load(tmp_path / "run/replicas/test-seed-1").class_names == ("high", "low")
    with pytest.warns(MotetNote, match="has 2 students, .* this is the one in .*test-seed-0"):
        assert motet.embed(tmp_path / "run", folder, tmp_path / "f.npz") == (12, 4)
    assert motet.embed(tmp_path / "run/replicas/test-seed-1", folder, tmp_path / "g.npz") == (12, 4)


def _plain(**changes: Any) -> dict[str, Any]:
    given = options(**changes)
    del given["critic_width"], given["warm_up"]
    return given


def trainer(
    folder: Path, method: str = "amid", *, learn: bool = True, **changes: Any
) -> tuple[RawDistillation, Source]:
    from motet.methods.distillation.folds import folds
    from motet.methods.distillation.networks import Shape

    manifest = open_source(folder)
    names = ("video", "audio")
    table = manifest.table({n: stand_in(manifest.items(n)) for n in names})
    source = Source({n: manifest.items(n) for n in names}, 0)
    shape = Shape(dict.fromkeys(names, 1), frozenset(), ("video",), ("audio",), 2)
    replicas = Replicas(tuple(folds(table, "split")), (0,))
    feeder = RawFeeder(table, shape, replicas, torch.device("cpu"), source)
    settings = settings_for(method).with_options({**SMALL, **changes})
    return RawDistillation(settings, shape, feeder, replicas, NETWORKS), source


def test_extractors_are_shared_and_the_frozen_ones_stand_still(folder: Path) -> None:
    made, source = trainer(folder, auxiliary_extractor="frozen", warm_up=0)
    try:
        first, main_phase = made.phases
        assert first.name == "auxiliary"
        assert main_phase.networks.auxiliary is not None
        kept: dict[str, torch.Tensor] = {}
        video = main_phase.networks.student.extractors["video"]
        begin = made.begin_stage

        def begin_stage(stage: Stage) -> None:
            begin(stage)
            if stage.name == "main":
                sound, learned = (x.state_dict() for x in (extractor(), first.networks.student.extractors["audio"]))
                assert all(torch.equal(v, learned[n]) for n, v in sound.items())  # handed over
                kept.update({n: v.clone() for n, v in sound.items()})
                kept["moved"] = video.state_dict()["network.net.stem.1.running_mean"].clone()

        def extractor() -> Extractor:
            found = main_phase.networks.auxiliary.extractors["audio"]  # type: ignore[union-attr]
            assert isinstance(found, Extractor)
            return found

        made.begin_stage = begin_stage  # type: ignore[method-assign]
        fitted(made)
        moved = kept.pop("moved")
        assert all(torch.equal(v, kept[n]) for n, v in extractor().state_dict().items())  # statistics of norms, too
        assert not torch.equal(video.state_dict()["network.net.stem.1.running_mean"], moved)
    finally:
        source.close()


def test_a_step_sees_what_the_draws_say(folder: Path) -> None:
    from motet.methods.distillation.raw.sampling import draws

    made, source = trainer(folder)
    try:
        rows = torch.tensor([[2, 5]])
        made.feeder.plan(7, [rows], ("video", "audio"))
        inputs = made.feeder.inputs(rows)
        reader = source.readers["video"]
        for place, chance in enumerate(draws(0, 7, rows[0], "video")):
            wanted = reader.drawn(source.item("video", int(rows[0, place])), chance)
            assert torch.equal(inputs.values["video"][0, place], wanted)
        assert inputs.values["video"].shape == (1, 2, 4, 16, 16, 3)
        assert inputs.values["audio"].shape[:2] == (1, 2)
    finally:
        source.close()


def test_a_sample_is_tested_by_the_mean_of_its_clips(folder: Path) -> None:
    made, source = trainer(folder)
    try:
        made.feeder.windows = None
        stage = made.main
        with torch.no_grad():
            found = stage.outputs(made.feeder.inputs(torch.tensor([[1, 3]])))
        assert found.student is not None
        assert found.student_logits is not None
        network = stage.networks.student.extractors["video"]
        for place, row in enumerate((1, 3)):
            clips = torch.stack(source.readers["video"].load(source.item("video", row)))
            assert len(clips) > 1
            with torch.no_grad():
                states = network(clips[None])
                answers = stage.networks.classifier(states).softmax(dim=2).mean(dim=1)
            torch.testing.assert_close(found.student[:, place], states.mean(dim=1))
            torch.testing.assert_close(found.student_logits[:, place].exp(), answers)
    finally:
        source.close()


def test_rows_without_an_auxiliary_still_teach(folder: Path, tmp_path: Path) -> None:
    manifest = open_source(folder)
    manifest.modalities["audio"][1] = None
    manifest.write(tmp_path / "m.csv")
    found = train(tmp_path / "m.csv", "video", "audio", tmp_path / "run", train_auxiliary=True, **options(epochs=2))
    assert found["table"]["whole"] == 11
    assert found["table"]["rows"] == 12
    assert np.isfinite([v for line in found["curves"]["test, seed 0"] for t in line["terms"].values() for v in t]).all()


def test_what_does_not_fit(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"--audio\.weights"):
        train(
            folder,
            "video",
            "audio",
            out,
            **options(networks=replace(NETWORKS, audio=replace(NETWORKS.audio, weights=""))),
        )
    with pytest.raises(ConfigError, match="amid needs an auxiliary modality"):
        train(folder, "video", out=out, **options())
    assert not out.exists()  # the corrected command starts it
    with pytest.raises(DataError, match="no modality 'speech'"):
        train(folder, "speech", "audio", tmp_path / "other", **options())
    assert not (tmp_path / "other").exists()
    assert main(["distill", "raw", str(folder), "--target", "video", *FLAGS, *QUICK]) == 2
    assert "--out" in capsys.readouterr().err
    with pytest.raises(RunError, match="is not a run directory"):
        resume(tmp_path)


def test_files_that_cannot_be_read_are_named_before_training(folder: Path, tmp_path: Path) -> None:
    manifest = open_source(folder)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(folder / "train/low/low0.mp4").read_bytes()[:300])
    from motet.methods.distillation.raw import Item

    manifest.modalities["video"][2] = Item(str(broken))
    manifest.modalities["video"][3] = Item(str(write(tmp_path / "sound.wav", wave=tone(0.2))))
    manifest.write(tmp_path / "m.csv")
    with pytest.raises(DataError, match=r"2 recordings cannot be read: .*broken\.mp4.*sound\.wav has no picture"):
        train(tmp_path / "m.csv", "video", out=tmp_path / "run", method="alone", **_plain(epochs=1))
    assert not (tmp_path / "run").exists()
