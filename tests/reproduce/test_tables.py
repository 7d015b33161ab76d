"""The declared tables: every row can be trained, and the figures are those that were printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.evaluate import ensemble, linear
from motet.methods import recipes
from motet.methods.discovery.settings import SETTINGS
from motet.methods.distillation import settings_for
from motet.methods.graphs.run import options_for
from motet.reproduce import Share, Table, Training, all_tables
from motet.reproduce.declare import BySplit
from motet.reproduce.jobs import Request, Scale, settled
from motet.reproduce.pretraining import Pretraining
from motet.reproduce.tables import named

TABLES = all_tables()


def of_kind(kind: str) -> list[Table]:
    return [t for t in TABLES.values() if t.kind == kind]


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("table", of_kind("pretrain"), ids=lambda t: t.name)
def test_rows_of_pretraining_resolve(table: Table, scale: Scale, small_archive: MotionArchive, tmp_path: Path) -> None:
    options = {"batch_size": 8, "frames": 8, "preprocess": "center"}
    target = (str(small_archive.path),) if table.target else ()
    request = Request(table, small_archive.path, tmp_path, target=target, scale=scale, options=options)
    engine, folders = Pretraining(request), []
    for row in table.rows:
        if row.training is None or row.training.limits:
            continue
        job = engine.job(row)
        resolved, _ = engine._resolved(engine._recipe(row.training), job.options)
        flat = resolved.flat()
        for name, value in row.training.options.items():  # what the row says is what will run
            wanted = round(value.value * resolved.epochs) if isinstance(value, Share) else value
            assert flat[name] == wanted, (row.name, name)
        folders.append((job.folder, row.training, tuple(row.pick.items())))
    assert len({f for f, _, _ in folders}) == len({repr(t) for _, t, _ in folders})  # equal trainings are shared
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("table", [t for t in TABLES.values() if t.kind != "pretrain"], ids=lambda t: t.name)
def test_rows_of_the_other_verbs_resolve(table: Table) -> None:
    for training in (row.training for row in table.rows if row.training is not None):
        if table.kind == "distill":
            for name in ("table", table.settings):
                settings = settings_for(training.method, name)
                defaults = vars(settings.method) | vars(settings.training)
                settings.with_options(settled(training.options, epochs=20, defaults=defaults))
        elif table.kind == "discover":
            SETTINGS["small"].with_options({**training.options, "method": training.method})
        else:
            options_for(training.method, False, dict(training.options))


@pytest.mark.parametrize(
    ("rule", "method", "recipe", "options"),
    [
        ("ntu60-xsub", "halp", "halp/ntu60-xsub", {"prototypes": 20, "halp_weight": 1.0, "epochs": 450}),
        ("ntu120-xset", "halp", "halp/ntu120-xset", {"prototypes": 40, "halp_weight": 2.0, "epochs": 450}),
        ("pku-xsub", "cmd", "cmd/pku2-xsub", {"epochs": 1000, "milestones": (800,)}),
        ("pku-xsub", "aimclr", "aimclr/pku2-xsub", {"epochs": 300, "padding": 1 / 6}),
        ("odd-even", "cmd", "cmd/paper", {"epochs": 450, "milestones": (350,)}),
    ],
)
def test_the_papers_scale_is_each_sets_own(
    rule: str, method: str, recipe: str, options: dict[str, object], small_archive: MotionArchive, tmp_path: Path
) -> None:
    engine = Pretraining(Request(TABLES["cmd/linear"], small_archive.path, tmp_path, scale="paper"))
    engine.rule = rule
    assert engine._recipe(Training(method)) == recipe
    flat = recipes.get(recipe).flat()
    assert {name: flat[name] for name in options} == options


def test_probes_are_each_papers_own(small_archive: MotionArchive, tmp_path: Path) -> None:
    rows = {row.name: row for row in TABLES["cmd/linear"].rows}
    engine = Pretraining(Request(TABLES["cmd/linear"], small_archive.path, tmp_path, scale="paper"))
    for rule, rates in (("ntu60-xsub", (0.005,)), ("pku-xsub", (0.001,))):
        engine.rule = rule
        assert engine._protocol("linear", rows["HaLP"].options) == ("linear", {"lr": rates})
    assert rows["CMD"].options == {}  # the protocol's own rate, .1
    whole = {"lr": (3.0,), "epochs": 100, "batch_size": 128, "drops": (80,), "minimum_ratio": 1.0}
    for name in ("AimCLR, joint", "3s-AimCLR", "SkeletonCLR", "2s-CrosSCLR"):
        assert engine._protocol("linear", rows[name].options) == ("linear", whole)
    assert engine._protocol("ensemble", rows["3s-AimCLR"].options) == ("ensemble", whole)


def test_options_of_probes_exist() -> None:
    kinds = {"linear": linear.Options, "ensemble": ensemble.Options}
    for table in of_kind("pretrain"):
        for measure in table.measures:
            for row in table.rows:
                kind = kinds.get({**measure.pick, **row.pick}.get("protocol", ""))
                if kind is not None:
                    kind(
                        **{
                            k: v.usual if isinstance(v, BySplit) else v
                            for k, v in {**measure.options, **row.options}.items()
                        }
                    )


def test_names_are_told_apart() -> None:
    assert {name.split("/")[0] for name in TABLES} == {"amid", "cmd", "codt", "halp"}
    for table in TABLES.values():
        rows = [row.name for row in table.rows]
        assert len(set(rows)) == len(rows), table.name
        measures = {m.name for m in table.measures}
        assert all(m in measures for row in table.rows for m, _ in row.published), table.name


def figure(table: str, row: str, measure: str, data_set: str) -> object:
    return {r.name: r for r in TABLES[table].rows}[row].published[measure, data_set]


@pytest.mark.parametrize(
    ("table", "row", "measure", "data_set", "printed"),
    [
        ("cmd/temperatures", "τt = 0.05, τs = 0.1", "linear", "NTU-60 xsub", 79.8),
        ("cmd/temperatures", "τt = 0.02, τs = 1", "linear", "NTU-60 xsub", 76.5),
        ("cmd/stages", "CrosSCLR-B, one stage", "linear", "NTU-60 xsub", 57.6),
        ("cmd/mcl", "MCL", "knn", "NTU-60 xsub", 64.3),
        ("cmd/linear", "3s-CMD", "linear", "NTU-120 xset", 76.1),
        ("cmd/linear", "CMD", "linear", "PKU-MMD II xsub", 43.0),
        ("cmd/linear", "AimCLR, bone", "linear", "PKU-MMD I xsub", 82.03),
        ("cmd/linear", "Base (joint MoCo)", "linear", "NTU-60 xsub", 76.1),
        ("cmd/linear", "Base as HaLP trains its probe", "linear", "NTU-60 xsub", 78.0),
        ("cmd/linear", "3s-AimCLR", "linear", "PKU-MMD II xsub", 39.5),
        ("cmd/knn", "ISC", "knn", "NTU-60 xview", 82.6),
        ("cmd/semi", "CMD", "1 %", "NTU-60 xsub", 50.6),
        ("cmd/semi", "AimCLR", "10 %", "NTU-60 xview", 74.6),
        ("halp/semi", "HaLP + CMD", "20 %", "NTU-60 xview", 84.6),
        ("halp/filters", "variant 1", "retained", "NTU-60 xsub", 16.0),
        ("halp/mu", "μ = 2", "linear", "NTU-60 xsub", 80.0),
        ("halp/positives", "G = 100", "linear", "NTU-60 xsub", 79.71),
        ("halp/start-epoch", "epoch 400 of 450", "linear", "NTU-60 xsub", 78.3),
        ("halp/recent", "1024 keys", "linear", "NTU-60 xsub", 79.4),
        ("halp/ensembles", "3s-HaLP", "3 streams", "PKU-MMD II xsub", 53.4),
        ("halp/graphs", "GraphCL + HaLP", "accuracy", "MUTAG", (89.35, 1.2)),
        ("halp/no-queue", "HaLP", "knn", "NTU-60 xsub", 64.2),
        ("halp/aimclr", "AimCLR + HaLP", "linear", "NTU-60 xsub", 75.24),
        ("codt/comparison", "CoDT-B1", "ARI", "NTU-60 → Skeletics", 11.3),
        ("codt/components", "BM + OCM, B0", "NMI", "NTU-60+ → PKU-MMD", 80.1),
        ("codt/tasks", "BM + OCM + CCM, B0", "purity", "Kinetics → NTU-60", 14.6),
        ("amid/accuracy", "CRCD", "student", "ActivityNet", 52.4),
        ("amid/retrieval", "GMC", "R@5", "ActivityNet", 67.7),
        ("amid/iemocap", "second auxiliary: CCL", "UA", "IEMOCAP, target visual", 51.8),
        ("amid/iemocap-text", "AMID", "UA", "IEMOCAP, target text", 70.0),
        ("amid/losses", "L_MI_s", "teacher", "UCF51", 71.2),
        ("amid/parts", "without warm-up", "student", "UCF51", 65.8),
        ("amid/weights", "α2 = 1.3", "student", "UCF51", 71.2),
        ("amid/terms", "without L_MI_a", "student", "UCF51", 70.3),
        ("amid/critics", "identical critics, uniform", "student", "UCF51", 73.2),
        ("amid/beta", "β = 0.999", "student", "UCF51", 72.8),
    ],
)
def test_printed_figures(table: str, row: str, measure: str, data_set: str, printed: object) -> None:
    assert figure(table, row, measure, data_set) == printed


def test_a_sweep_is_a_multiple_of_the_settings() -> None:
    row = next(r for r in TABLES["amid/weights"].rows if r.name == "α1 = 3.7")
    assert row.training is not None
    paper, small = settings_for("amid", "ucf51"), settings_for("amid", "table")
    for settings, wanted in ((paper, 3.7), (small, 0.02 * 3.7 / 4)):
        options = settled(row.training.options, epochs=1, defaults=vars(settings.method))
        assert options["contrast_student"] == pytest.approx(wanted)


def test_an_unknown_table_lists_its_family() -> None:
    with pytest.raises(ConfigError, match=r"no table 'cmd/nothing'.*cmd/stages"):
        named("cmd/nothing")
