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


def printed() -> dict[tuple[str, str, str, str], object]:
    """(table, row, measure, set) → figure, or figure and deviation, as transcribed in printed.txt."""
    found: dict[tuple[str, str, str, str], object] = {}
    tables, sets = [""], [""]
    for line in (Path(__file__).parent / "printed.txt").read_text().splitlines():
        if line.startswith("["):
            names, _, rest = line[1:].partition("]")
            tables, sets = names.split(", "), rest.strip().split("; ")
        elif line and not line.startswith("#"):
            row, measures, cells = (part.strip() for part in line.split("|"))
            for data_set, cell in zip(sets, cells.split(), strict=True):
                values = [] if cell == "-" else zip(measures.split("  "), [cell], strict=True)
                if "/" in cell:
                    values = zip(measures.split(), cell.split("/"), strict=True)
                for measure, text in values:
                    figure, _, deviation = text.partition("±")
                    value = (float(figure), float(deviation)) if deviation else float(figure)
                    for table in tables:
                        assert (table, row, measure, data_set) not in found, line
                        found[table, row, measure, data_set] = value
    return found


def test_every_figure_is_the_one_that_was_printed() -> None:
    """Against a transcription that is kept apart, so that a slip in a table shows; new figures belong in both."""
    shown = {
        (table.name, row.name, measure, data_set): value
        for table in TABLES.values()
        for row in table.rows
        for (measure, data_set), value in row.published.items()
        if value is not None
    }
    assert shown == printed()
    assert len(shown) > 380


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


def test_rows_of_methods_that_motet_has_are_trained() -> None:
    """3s-AimCLR, AimCLR with few labels, CrosSCLR on the ST-GCN, CCM's variants and AutoNovel; CMD's Base is 76.1."""
    three = ("joint", "bone", "motion")
    trained = {
        ("cmd/linear", "3s-AimCLR"): ("aimclr", {"streams": three}),
        ("cmd/ensembles", "3s-AimCLR"): ("aimclr", {"streams": three}),
        ("cmd/semi", "AimCLR"): ("aimclr", {}),
        ("halp/semi", "AimCLR"): ("aimclr", {}),
        ("cmd/linear", "3s-CrosSCLR (ST-GCN)"): ("crossclr-stgcn", {}),
        ("cmd/linear", "2s-CrosSCLR"): ("crossclr-stgcn", {"streams": ("joint", "motion")}),
        ("codt/pairs", "CCM-FP: ranked features mark"): ("codt", {"pairs": "features"}),
        ("codt/pairs", "CCM-PF: features must agree"): ("codt", {"pairs": "cosine"}),
        ("codt/pairs", "AutoNovel"): ("autonovel", {}),
    }
    for (table, name), (method, options) in trained.items():
        training = next(row for row in TABLES[table].rows if row.name == name).training
        assert training == Training(method, options), (table, name)
    base = next(row for row in TABLES["cmd/linear"].rows if row.name == "Base (joint MoCo)")
    assert base.published["linear", "NTU-60 xsub"] == 76.1
    assert base.options == {}  # CMD's own probe, at .1


def test_settings_of_ours_are_marked_and_defaults_are_the_papers() -> None:
    for name in ("amid/iemocap", "amid/iemocap-text"):
        assert "α1, α2 and α3" in TABLES[name].ours
    assert options_for("graphcl", False, {}).loss == "one-way"
    for name in ("ucf51", "activitynet", "iemocap"):
        settings = settings_for("amid", name)
        assert not settings.networks.standardise
    for name, start in (("halp/ntu60-xsub", 201), ("halp/pku2-xsub", 501)):
        recipe = recipes.get(name)
        assert vars(recipe.method.released(recipe.split))["halp_start"] == start
