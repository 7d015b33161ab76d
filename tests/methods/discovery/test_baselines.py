"""Plain k-means beside a discovery: on what it runs, and what is said where it does better."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import motet
from motet.data.archive import MotionArchive
from motet.engine.table import RANDOM, ROCKET
from motet.engine.table import RAW as RAW_ROWS
from motet.memory.kmeans import spherical_kmeans
from motet.methods.discovery import baselines as beside
from motet.methods.discovery.baselines import RAW, UNTRAINED, WEIGHTS, baselines, lost, verdict
from motet.methods.discovery.describe import report
from motet.methods.model import Model
from motet.metrics.clusters import cluster_scores
from tests.conftest import write_clips


def test_weights_of_the_package_where_the_layout_allows(tmp_path: Path, small_archive: MotionArchive) -> None:
    archive = motet.simulate.simulate(tmp_path / "clips", clips=24, actions=3, actors=4)
    ids = torch.arange(2, 24)
    labels = torch.from_numpy(archive.labels)[ids]
    rows = baselines(archive, ids, labels, 3)
    assert [row["features"] for row in rows] == [RAW, UNTRAINED, f"{WEIGHTS}body"]
    model = motet.load("body")
    features = model.encode(model.store(archive, ids), ids)
    table = torch.cat([x / x.norm(dim=1, keepdim=True) for x in features.values()], dim=1)
    made = [spherical_kmeans(table, 3, iterations=100, seed=0, restarts=10), spherical_kmeans(table, 3, seed=0)]
    found = [cluster_scores(labels.numpy(), m.assignment)["nmi"] for m in made]
    assert rows[2]["nmi"] == pytest.approx(found[0])
    assert rows[2]["values"] == [rows[2]["hungarian_accuracy"]]
    other = baselines(small_archive, torch.arange(48), torch.from_numpy(small_archive.labels), 4)
    assert [row["features"] for row in other] == [RAW, UNTRAINED]


@pytest.mark.filterwarnings("ignore:.* holds several sensors, of which")
def test_sensors_stand_next_to_the_weights_that_read_them(tmp_path: Path) -> None:
    motet.simulate.simulate(tmp_path / "clips", clips=24, actions=3, actors=4, imu=True)
    archive = MotionArchive.open(tmp_path / "clips-imu")
    ids = torch.arange(24)
    rows = baselines(archive, ids, torch.from_numpy(archive.labels), 3)
    assert [row["features"] for row in rows] == [RAW, UNTRAINED, f"{WEIGHTS}wrist"]
    model = motet.load("wrist")
    assert isinstance(model, Model)
    streams = torch.from_numpy(model.transform(archive)).split(list(model.sizes.values()), dim=1)
    table = torch.cat([x / x.norm(dim=1, keepdim=True) for x in streams], dim=1)
    made = spherical_kmeans(table, 3, iterations=100, seed=0, restarts=beside.RESTARTS)
    assert rows[2]["nmi"] == pytest.approx(cluster_scores(archive.labels, made.assignment)["nmi"])


def test_what_is_said() -> None:
    ours = [
        {"by": "classifier", "nmi": 0.5, "hungarian_accuracy": 0.6},
        {"by": "classifier", "nmi": 0.7, "hungarian_accuracy": 0.65},
        {"by": "kmeans", "nmi": 0.95, "hungarian_accuracy": 0.95},  # not what the discovery answers
    ]
    others = [{"features": RAW, "nmi": 0.4, "hungarian_accuracy": 0.6}]
    assert verdict(ours, others) == ""
    others.append({"features": UNTRAINED, "nmi": 0.6, "hungarian_accuracy": 0.9})
    assert verdict(ours, others).endswith(
        f"on {UNTRAINED} has a better accuracy than this discovery: NMI 60.0 against 70.0, accuracy 90.0 against 65.0: "
        "`motet evaluate RUN --data TARGET --protocols cluster` has its figures."
    )
    others.append({"features": f"{WEIGHTS}body", "nmi": 0.8, "hungarian_accuracy": 0.75})
    said = verdict(ours, others, "my target")
    assert said == (
        "Plain k-means on the weights body has a better NMI than this discovery: NMI 80.0 against 70.0, accuracy 75.0 "
        "against 65.0: `motet evaluate body --data 'my target' --protocols cluster` has its figures, `motet embed body "
        "'my target' --out features.npz` the features to cluster."
    )
    assert verdict([], others) == verdict(ours, []) == ""
    assert verdict(ours[2:], others) == ""  # of a method without classifiers


def test_a_discovery_shows_them(small_archive: MotionArchive, tmp_path: Path) -> None:
    other = write_clips(tmp_path / "other", seed=4)
    options = {"epochs": 1, "finetune_epochs": 1, "batch_size": 8, "progress": False}
    options |= {"encoder": "gru", "hidden": 4, "layers": 1, "frames": 8, "dim": 4}
    found = motet.discover.run(small_archive, other, tmp_path / "run", clusters=4, **options)
    table = motet.evaluate.run(tmp_path / "run", ["ridge"])
    assert [row["features"] for row in table["rows"] if row["stream"] == "B0+B1"] == ["codt", RANDOM, RAW_ROWS, ROCKET]
    alone = motet.evaluate.run(tmp_path / "run", ["ridge"], baselines=False)
    assert {row["features"] for row in alone["rows"]} == {"codt"}
    assert [row["features"] for row in found["baselines"]] == [RAW, UNTRAINED]
    text = report(found)
    assert f"| none: {RAW} | kmeans | " in text
    assert "| B0 | after pretraining: kmeans | " in text
    started = {**found, "settings": {**found["settings"], "epochs": 0}}  # from weights there is no pretraining
    assert "| B0 | before fine-tuning: kmeans | " in report(started)
    lines = verdict(found["rows"], found["baselines"], other.path.name), lost(found["pretrained"], found["rows"])
    assert found["warning"] == " ".join(filter(None, lines))
    assert (f"**{found['warning']}**" in text) == bool(found["warning"])
    assert "| B1 | after pretraining: classifier | " in text  # where the classifiers start
    assert [row["by"] for row in found["pretrained"]] == ["kmeans"] * 3 + ["classifier"] * 2
    assert f"Sizes: {found['sizes']}." not in text  # sizes are not looked at by this recipe
    assert "Sizes: B0 and B1 begin." in report({**found, "sizes": "B0 and B1 begin"})


def test_a_fine_tuning_that_loses_is_said() -> None:
    def rows(nmi: float, accuracy: float) -> list[dict[str, object]]:
        return [
            {"branch": "B1", "by": by, "nmi": nmi, "hungarian_accuracy": accuracy} for by in ("classifier", "kmeans")
        ]

    said = lost(rows(0.9, 0.8), rows(0.8, 0.75))
    assert said.startswith("Fine-tuning made clusters worse (B1 NMI 90.0 → 80.0, accuracy 80.0 → 75.0): `--finetune")
    assert lost(rows(0.9, 0.8), rows(0.8, 0.85)) == lost(rows(0.9, 0.8), rows(0.95, 0.85)) == ""
