"""Second views that are cut from other clips of the same class."""

from __future__ import annotations

import pytest
import torch

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore, augmented_views
from motet.data.simulate import simulate
from motet.data.splits import split
from motet.methods import recipes
from motet.methods.classes import Classes
from motet.methods.learner import Pretraining


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
    assert training.classes is not None
    second = training.classes.others(ids, 0)
    wanted = augmented_views(training.store, ids, recipe.augment, seed=recipe.seed, epoch=0, frames=8, second=second)
    assert all(torch.equal(a, b) for a, b in zip(batch.views, wanted, strict=True))
    assert not torch.equal(second, ids)


def test_what_has_no_classes_or_one_view(actors: MotionArchive) -> None:
    store = ClipStore(actors, [0, 1, 2])
    with pytest.raises(ConfigError, match="no two training clips are of the same class; leave --class-views out"):
        Classes(store, 0.5, seed=1)
    recipe = recipes.get("mae/small").with_options({"class_views": 0.5, "width": 8})
    with pytest.raises(ConfigError, match="one view of a clip; leave --class-views out"):
        Pretraining(recipe, actors, split(actors, "all"), torch.device("cpu"))
