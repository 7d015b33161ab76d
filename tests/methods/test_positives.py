"""Second views that are cut from other clips: of the same class, of neighbours."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motet.cli import main
from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore, augmented_views
from motet.data.simulate import simulate
from motet.data.splits import split
from motet.methods import recipes
from motet.methods.learner import Pretraining
from motet.methods.positives import Classes, Neighbours, neighbours, people
from motet.methods.pretrain import pretrain, resolve
from motet.methods.start import Start
from motet.use.weights import save_weights


@pytest.fixture(scope="module")
def actors(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return simulate(tmp_path_factory.mktemp("classes") / "actors", clips=40, actions=5, actors=8, progress=False)


def test_who_shares_a_view(actors: MotionArchive) -> None:
    rows = torch.arange(35, 3, -1)  # not in order, not all
    store = ClipStore(actors, rows)
    store.labels[:4] = -1  # clips without a class
    classes = Classes(store, 0.25, seed=3)
    same = store.labels[:, None] == store.labels
    of = classes.of(rows)
    assert torch.equal((of[:, None] == of)[4:, 4:], same[4:, 4:])
    assert len(of[:4].unique()) == 4
    assert not torch.isin(of[:4], of[4:]).any()
    counts = torch.zeros(len(rows), len(rows))
    for epoch in range(400):
        drawn = store.positions(classes.others(rows, epoch))
        counts[torch.arange(len(rows)), drawn] += 1
    assert counts[:4, :4].equal(400 * torch.eye(4))
    assert not counts[4:, 4:][~same[4:, 4:]].any()
    size = same[4:, 4:].sum(dim=1)
    own = counts.diagonal()[4:]
    assert own.mean() == pytest.approx(400 * float((0.75 + 0.25 / size).mean()), rel=0.02)
    others = counts[4:, 4:][same[4:, 4:] & ~torch.eye(len(size), dtype=torch.bool)]
    assert others.mean() == pytest.approx(400 * float((0.25 / size).mean()), rel=0.1)
    assert others.min() > 0


def test_the_second_view_alone_is_of_another_clip(actors: MotionArchive) -> None:
    store, ids = ClipStore(actors), torch.tensor([3, 30, 11])
    other = torch.tensor([8, 30, 26])
    options = recipes.get("cmd/small").augment
    drawn = {"seed": 1, "epoch": 2, "frames": 12, "views": 3}
    plain, mixed = (augmented_views(store, ids, options, second=x, **drawn) for x in (None, other))
    of_others = augmented_views(store, other, options, keys=ids, **drawn)
    assert torch.equal(mixed[0], plain[0])
    assert torch.equal(mixed[1], of_others[1])
    assert torch.equal(mixed[2], plain[2])
    assert torch.equal(mixed[1][1], plain[1][1])
    assert not torch.equal(mixed[1][0], plain[1][0])


def test_a_step_leaves_out_older_keys_of_the_class(actors: MotionArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipes.get("cmd/small").with_options(
        {"class_views": 0.5, "width": 4, "frames": 8, "batch_size": 10, "streams": ("joint", "motion"), "epochs": 1}
    )
    training = Pretraining(recipe, actors, split(actors, "all"), torch.device("cpu"))
    ids = torch.tensor([0, 5, 1, 7, 12, 22])
    batch = training.batch_of(ids, epoch=0)
    owners = torch.from_numpy(actors.labels)[ids]
    seen = {}
    monkeypatch.setattr(training.network, "losses", lambda clips, epoch, present, ids: seen.update(ids=ids) or {})
    monkeypatch.setattr(training.network, "observed", {}, raising=False)
    training.terms(batch)
    assert torch.equal(seen["ids"][:, None] == seen["ids"], owners[:, None] == owners)
    assert training.others is not None
    second = training.others.others(ids, 0)
    wanted = augmented_views(training.store, ids, recipe.augment, seed=recipe.seed, epoch=0, frames=8, second=second)
    assert all(torch.equal(a, b) for a, b in zip(batch.views, wanted, strict=True))
    assert not torch.equal(second, ids)


def test_negatives_are_of_the_same_person(actors: MotionArchive) -> None:
    recipe = recipes.get("moco/small").with_options(
        {"negatives": "person", "width": 4, "frames": 8, "batch_size": 10, "streams": ("joint",), "queue_size": 24}
    )
    with pytest.warns(MotetWarning, match="about 3 negatives"):
        training = Pretraining(recipe, actors, split(actors, "all"), torch.device("cpu"))
    who = actors.clips["subject"].to_list()
    training.terms(training.batch_of(torch.arange(20), epoch=0))  # two thirds of the queue, the rest is noise
    network: Any = training.network.eval()
    ids = torch.tensor([3, 25, 31, 38])
    batch = training.batch_of(ids, epoch=1)
    queue = network.queue.ring("joint").double().clone()
    with torch.no_grad():
        network.train()
        rows = [
            network._embed(e, h, c, None)["joint"].double()
            for e, h, c in (
                (network.encoders, network.heads, batch.clips[0]),
                (network.key_encoders, network.key_heads, batch.clips[1]),
            )
        ]
        found = float(training.terms(batch)["contrast/joint"])
    losses = []
    for i, (query, key) in enumerate(zip(*rows, strict=True)):
        held = [j for j in range(24) if j >= 20 or (who[j] == who[ids[i]] and j != ids[i])]
        scores = torch.stack([query @ key, *(query @ queue[j] for j in held)]) / recipe.method.temperature
        losses.append(scores.exp().sum().log() - scores[0])
    assert found == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ([4] * 30, "name 1 person .column subject., so --negatives person is the same as --mask-own"),
        ([-1] * 30, "name 0 people"),
        ([0] * 100 + [1] * 100, "about 16 negatives of its person in a queue of 32"),
        ([0] * 300 + [1] * 10 + [-1] * 90, ""),
    ],
)
def test_few_negatives_of_a_person(who: list[int], said: str) -> None:
    method = (
        recipes.get("cmd/small")
        .with_options({"negatives": "person", "queue_size": 32 if len(who) < 300 else 64})
        .method
    )
    with pytest.warns(MotetWarning, match=said) if said else nullcontext():
        method.check_people(torch.tensor(who))


def test_what_has_no_classes_or_one_view(actors: MotionArchive) -> None:
    store = ClipStore(actors, [0, 1, 2])
    with pytest.raises(ConfigError, match="no two training clips are of the same class; leave --class-views out"):
        Classes(store, 0.5, seed=1)
    recipe = recipes.get("mae/small").with_options({"class_views": 0.5, "width": 8})
    with pytest.raises(ConfigError, match="one view of a clip; leave --class-views out"):
        Pretraining(recipe, actors, split(actors, "all"), torch.device("cpu"))


def in_words(x: list[list[float]], who: list[int], nearest: int) -> set[tuple[int, int]]:
    """Each of the two is among the ``nearest`` clips of its person to the other, by cosine."""

    def cosine(i: int, j: int) -> float:
        return float(np.dot(x[i], x[j]) / np.linalg.norm(x[i]) / np.linalg.norm(x[j]))

    def of_person(i: int, person: int) -> set[int]:
        own = [j for j in range(len(who)) if who[j] == person]
        return set(sorted(own, key=lambda j: -cosine(i, j))[:nearest])

    known = [i for i in range(len(who)) if who[i] >= 0]
    return {
        (i, j)
        for i in known
        for j in known
        if who[i] != who[j] and j in of_person(i, who[j]) and i in of_person(j, who[i])
    }


@given(
    who=st.lists(st.sampled_from([-1, 0, 3, 4]), min_size=1, max_size=14),
    nearest=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_neighbours_are_mutual_and_of_two_people(who: list[int], nearest: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(len(who), 6))
    halves = {"a": torch.from_numpy(x[:, :3] * 7), "b": torch.from_numpy(x[:, 3:] / 9)}
    unit = np.concatenate([h / np.linalg.norm(h, axis=1, keepdims=True) for h in (x[:, :3], x[:, 3:])], axis=1)
    found = neighbours(halves, torch.tensor(who), nearest)
    pairs = [(int(i), int(j)) for i, j in found]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == in_words(unit.tolist(), who, nearest)


def test_who_is_drawn_among_neighbours(actors: MotionArchive) -> None:
    store = ClipStore(actors, torch.tensor([9, 4, 2, 7]))
    pairs = torch.tensor([[2, 0], [0, 2], [0, 1], [1, 0]])  # places: of row 2 and 9, of 9 and 4; 7 has none
    drawn = Neighbours(store, pairs, 0.5, seed=1)
    rows = torch.tensor([9, 4, 2, 7])
    found = torch.stack([drawn.others(rows, epoch) for epoch in range(600)])
    assert torch.equal(drawn.of(rows), rows)
    for place, expected in enumerate([{9: 0.5, 2: 0.25, 4: 0.25}, {4: 0.5, 9: 0.5}, {2: 0.5, 9: 0.5}, {7: 1.0}]):
        values, counts = found[:, place].unique(return_counts=True)
        shares = dict(zip(values.tolist(), (counts / 600).tolist(), strict=True))
        assert shares == pytest.approx(expected, abs=0.07)


def test_people_of_several_archives(actors: MotionArchive) -> None:
    rows = torch.arange(39, 19, -1)
    subjects = torch.tensor(actors.clips["subject"].to_list())[rows]
    assert torch.equal(people(actors, rows), subjects)
    sets = SimpleNamespace(member=np.arange(40) % 2)
    who = people(actors, rows, sets)  # type: ignore[arg-type]
    same = (subjects[:, None] == subjects) & (rows[:, None] % 2 == rows % 2)
    assert torch.equal(who[:, None] == who, same)


def test_what_differs_between_neighbours_counts_less(actors: MotionArchive, tmp_path: Path) -> None:
    """Float64 oracle: features·(S + tr(S)/F · 1)^(−1/2), S half the mean square of the differences of neighbours."""
    options: dict[str, Any] = {"start": "body", "streams": ("joint",), "epochs": 0, "split": "all", "progress": False}
    plain, mended = (
        pretrain("moco/small", actors, tmp_path / str(share), neighbour_views=share, **options).model()
        for share in (0.0, 0.5)
    )
    store, who = plain.store(actors), people(actors, torch.arange(40))
    before, after = (m.encode(store, store.ids)["joint"].double().numpy() for m in (plain, mended))
    unit = before / np.linalg.norm(before, axis=1, keepdims=True)
    pairs = np.array(sorted(in_words(unit.tolist(), who.tolist(), 3)))
    apart = before[pairs[:, 0]] - before[pairs[:, 1]]
    scatter = apart.T @ apart / len(pairs) / 2
    values, vectors = np.linalg.eigh(scatter + np.trace(scatter) / len(scatter) * np.eye(len(scatter)))
    np.testing.assert_allclose(after, before @ (vectors / np.sqrt(values)) @ vectors.T, atol=2e-3)
    assert np.abs(after - before).max() > 0.1


def test_a_start_from_body_has_views_of_neighbours(tmp_path: Path) -> None:
    actors = simulate(tmp_path / "actors", clips=40, actions=5, actors=8, layout="shared-15", progress=False)
    begin, parts = Start.open("body"), split(actors, "all")
    recipe, _ = resolve("cmd/small", actors, {"split": "all"}, start=begin)
    assert recipe.neighbour_views == 0.5
    training = Pretraining(recipe, actors, parts, torch.device("cpu"), start=begin)
    assert isinstance(training.others, Neighbours)
    ids = torch.arange(12)
    second = training.others.others(ids, 0)
    wanted = augmented_views(
        training.store, ids, recipe.augment, seed=recipe.seed, epoch=0, frames=recipe.frames, second=second
    )
    assert all(torch.equal(a, b) for a, b in zip(training.batch_of(ids, 0).views, wanted, strict=True))
    subjects = torch.tensor(actors.clips["subject"].to_list())
    moved = second != ids
    assert moved.any()
    assert not (subjects[second] == subjects[ids])[moved].any()
    model = begin.model
    store = model.store(actors)
    pairs = neighbours(model.encode(store, store.ids), subjects)
    assert {(int(i), int(j)) for i, j in zip(ids[moved], second[moved], strict=True)} <= {
        (int(i), int(j)) for i, j in pairs
    }


def test_neighbours_of_a_start_without_statistics(actors: MotionArchive, tmp_path: Path) -> None:
    """They are found in the features of the start, whatever the features of the training will hold."""
    options: dict[str, Any] = {"start": "body", "streams": ("joint",), "epochs": 0, "split": "all", "progress": False}
    model = pretrain("moco/small", actors, tmp_path / "run", statistics=True, neighbour_views=0.5, **options).model()
    store = model.store(actors)
    assert (
        model.encode(store, store.ids)["joint"].shape[1] == model.sizes_whitened()["joint"] > model._learned()["joint"]
    )


def test_without_people_or_with_classes(actors: MotionArchive) -> None:
    begin, alone = Start.open("body"), {"split": "subjects:1"}
    assert resolve("cmd/small", actors, alone, start=begin)[0].neighbour_views == 0
    with pytest.raises(ConfigError, match=r"of other people, but the training clips name 1 person .*--neighbour-views"):
        resolve("cmd/small", actors, alone | {"neighbour_views": 0.3}, start=begin)
    both = {"split": "all", "class_views": 0.5}
    assert resolve("cmd/small", actors, both, start=begin)[0].neighbour_views == 0
    with pytest.raises(ConfigError, match="of the class or from neighbours; leave one of them out"):
        resolve("cmd/small", actors, both | {"neighbour_views": 0.3}, start=begin)
    with pytest.raises(ConfigError, match="by the features of a start; give one"):
        resolve("cmd/small", actors, {"split": "all", "neighbour_views": 0.3})


def test_neighbours_are_told_when_a_training_begins(
    actors: MotionArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"start": "body", "streams": ("joint",), "epochs": 0, "whiten_by": "view"}

    def told(name: str, recipe: str = "moco/small", **more: Any) -> str:
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always", MotetNote)
            pretrain(recipe, actors, tmp_path / name, **options | more)
        assert {note.filename for note in notes} <= {__file__}  # the line that a reader can change
        return "".join(str(note.message) for note in notes)

    pairs = torch.tensor([[0, 5], [5, 0], [0, 7], [7, 0]])
    monkeypatch.setattr("motet.methods.learner.neighbours", lambda *_: pairs)
    said = (
        "3 of 20 training clips have neighbours: clips of other people (column subject) that are near in the features"
    )
    assert told("used", split="odd-even").startswith(said)
    assert "no label is used" in told("asked", split="odd-even", neighbour_views=0.1)
    alone = "the training clips name 1 person (column subject); there are no views of neighbours"
    assert told("alone", split="subjects:1").endswith(alone)
    assert told("without", split="odd-even", neighbour_views=0.0) == ""
    assert told("quiet", split="odd-even", progress=False) == ""
    # one view of a clip, so that neighbours count in the whitening alone, or nowhere
    assert told("one", "mae/small", split="odd-even").startswith("neighbours, clips of other people (column subject)")
    assert told("nowhere", "mae/small", split="odd-even", whiten=0.0) == ""

    def card(name: str) -> str:
        return (save_weights(tmp_path / name, tmp_path / f"{name}-weights") / "README.md").read_text()

    near = "near in the features of the start count as one movement"
    assert f"{near}, in 0.5 of the second views and in the last map of the features |" in card("used")
    assert f"{near}, in the last map of the features |" in card("one")
    for name in ("nowhere", "alone", "without"):
        assert "without labels by" in card(name)


def test_notes_of_several_seeds_come_once(
    actors: MotionArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--streams", "joint", "--epochs", "0", "--whiten-by", "view", "--split", "odd-even"]
    assert (
        main(["pretrain", "moco", "--data", str(actors.path), "--out", str(tmp_path), "--seeds", "1", "2", *sizes]) == 0
    )
    told = capsys.readouterr().err
    assert told.count("note: starts from the weights body") == 1
    assert told.count("training clips have neighbours") == 1
