from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.edit import select
from motet.data.simulate import simulate
from motet.methods import recipes
from motet.methods.model import Model
from motet.methods.pretrain import pretrain
from motet.methods.whitening import ACTORS, Scatter, Whitening, check_actors, whiten
from motet.use.train_weights import PLANS


def test_views_of_a_clip_scatter_alike_in_all_directions() -> None:
    """Float64 oracle: W = (S + λ tr(S)/F)^(−1/2) with S the scatter within clips, n (views − 1) degrees of freedom."""
    rng = np.random.default_rng(0)
    clips, spread = rng.normal(3, 5, (400, 4)), np.array([4.0, 1.0, 0.5, 0.1])
    views = clips + rng.normal(0, 1, (3, 400, 4)) * spread
    made = Whitening.of(Scatter.of_views(torch.from_numpy(views)), shrinkage=0.01)
    deviation = (views - views.mean(axis=0)).reshape(-1, 4)
    scatter = deviation.T @ deviation / (400 * 2)
    values, vectors = np.linalg.eigh(scatter + 0.01 * np.trace(scatter) / 4 * np.eye(4))
    expected = (views[0] - views.mean(axis=(0, 1))) @ (vectors / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(made(torch.from_numpy(views[0]).float()), expected, rtol=1e-4, atol=1e-4)
    assert scatter[0, 0] == pytest.approx(16, rel=0.1)  # so the oracle divides by the right number


def test_clips_of_a_label_scatter_the_same_in_all_directions() -> None:
    """Float64 oracle: the scatter of clips about the mean of their label has n − K degrees of freedom."""
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat([7, 2, 9], [40, 25, 3]))
    features = rng.normal(0, 1, (68, 4)) * [3.0, 1.0, 0.5, 0.2] + np.eye(4)[labels % 4] * 20
    made = Whitening.of(Scatter.of_labels(torch.from_numpy(features), torch.from_numpy(labels)), 1e-9)
    scatter = sum(np.cov(features[labels == c], rowvar=False) * (np.sum(labels == c) - 1) for c in (7, 2, 9)) / 65
    matrix = made.matrix.double().numpy()
    np.testing.assert_allclose(matrix @ scatter @ matrix, np.eye(4), atol=1e-4)
    np.testing.assert_allclose(made.mean, features.mean(axis=0), rtol=1e-5)


def test_actors_whiten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A training of bodies ends with the scatter of simulated actors within their actions; recordings take no part."""
    acted = {"clips": 24, "actions": 4, "actors": 3, "seed": 5}
    monkeypatch.setitem(ACTORS, ("body", 3), ("body", acted))
    actors = simulate(tmp_path / "actors", progress=False, **acted)
    sizes = {"width": 4, "streams": ("joint",), "epochs": 1, "batch_size": 8, "preprocess": "body"}
    run = pretrain("moco/small", actors, tmp_path / "run", progress=False, whiten_by="actor", split="all", **sizes)
    model = run.model()
    assert isinstance(model, Model)
    kept, model.whitening = model.whitening["joint"], {}
    store = model.store(actors)
    acted = Scatter.of_labels(model.encode(store, store.ids)["joint"], store.labels)
    torch.testing.assert_close(kept.matrix, Whitening.of(acted, run.recipe.whiten).matrix)
    # both: the mean of the two scatters, each of mean variance one
    squares = {}
    for by in ("view", "both"):
        whiten(model, store, store.ids, seed=3, shrinkage=1.0, by=by)
        root = torch.linalg.inv(model.whitening["joint"].matrix.double())
        squares[by] = root @ root  # S + tr(S)/F · 1, whose trace is twice that of S
    eye = torch.eye(len(acted.mean), dtype=torch.float64)
    views = squares["view"] / squares["view"].diagonal().mean() * 2 - eye
    expected = (views + acted.matrix / acted.matrix.diagonal().mean()) / 2 + eye
    torch.testing.assert_close(squares["both"], expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(ConfigError, match="preprocess is 'center', not 'body'; choose 'view'"):
        pretrain("moco/small", actors, tmp_path / "no", progress=False, whiten_by="actor", preprocess="center")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("kind", "coordinates", "preprocess", "others"),
    [("hand", 3, "hand", {"hands": True}), ("body", 2, "sized", {"sensor": "picture"})],
)
def test_hands_are_whitened_by_hands_and_pictures_by_pictures(
    kind: str,
    coordinates: int,
    preprocess: str,
    others: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    acted = {"clips": 24, "actions": 4, "actors": 3, "seed": 5, **others}
    monkeypatch.setitem(ACTORS, (kind, coordinates), (preprocess, acted))
    actors = simulate(tmp_path / "actors", progress=False, **acted)
    sizes = {"width": 4, "streams": ("joint",), "epochs": 1, "batch_size": 8, "start": "none", "preprocess": preprocess}
    run = pretrain("moco/small", actors, tmp_path / "run", progress=False, whiten_by="actor", split="all", **sizes)
    model = run.model()
    assert isinstance(model, Model)
    kept, model.whitening = model.whitening["joint"], {}
    store = model.store(actors)
    scatter = Scatter.of_labels(model.encode(store, store.ids)["joint"], store.labels)
    torch.testing.assert_close(kept.matrix, Whitening.of(scatter, model.recipe.whiten).matrix)
    with pytest.raises(ConfigError, match=f"preprocess is 'first-frame', not '{preprocess}'; choose 'view'"):
        check_actors("actor", "first-frame", actors.skeleton, coordinates)


def test_actors_whose_precision_matters_are_kept_whole() -> None:
    """Half precision is half a millimetre, too much for fingers, and half a pixel."""
    halves = {kind: options["dtype"] for kind, (_, options) in ACTORS.items()}
    assert {kind for kind, dtype in halves.items() if dtype == "float16"} == {("body", 3)}
    precise = {n for n, plan in PLANS.items() if plan.simulated.get("dtype") == "float32"}
    assert precise == {"hand", "picture", "hand-picture"}


def test_of_one_coordinate_there_are_no_actors(tmp_path: Path) -> None:
    hands = simulate(tmp_path / "hands", hands=True, clips=4, actions=2, actors=2, progress=False)
    flat = select(hands, tmp_path / "flat", without=("y", "z"))
    with pytest.raises(ConfigError, match="the clips have 1 coordinate; choose 'view'"):
        pretrain("cmd/hand", flat, tmp_path / "no", progress=False, class_views=0.0, split="all")
    assert not (tmp_path / "no").exists()


def test_features_that_no_view_changes_stay_finite() -> None:
    made = Whitening.of(Scatter.of_views(torch.ones(2, 5, 3)), 1.0)
    assert torch.equal(made(torch.ones(1, 3)), torch.zeros(1, 3))


def test_columns_of_several_units_are_standardised_first() -> None:
    """As if they had been so in the features; one that never moves has no weight, wherever it moves later."""
    rng = np.random.default_rng(2)
    views = rng.normal(0, 1, (3, 200, 3)) * [1e3, 1.0, 1e-2] + rng.normal(0, 1, (200, 3)) * [2e3, 5.0, 3e-2]
    made = Whitening.of(Scatter.of_views(torch.from_numpy(views)), 0.3, standardise=True)
    scaled = views / views.reshape(-1, 3).std(axis=0, ddof=1)
    plain = Whitening.of(Scatter.of_views(torch.from_numpy(scaled)), 0.3)
    there, here = torch.from_numpy(views[0]).float(), torch.from_numpy(scaled[0]).float()
    torch.testing.assert_close(made(there), plain(here), rtol=1e-3, atol=1e-3)
    still = np.concatenate([views, np.full((3, 200, 1), 7.0)], axis=2)
    made = Whitening.of(Scatter.of_views(torch.from_numpy(still)), 0.3, standardise=True)
    moved = torch.cat([there, torch.randn(200, 1) * 100], dim=1)
    torch.testing.assert_close(made(moved)[:, :3], made(torch.cat([there, torch.full((200, 1), 7.0)], dim=1))[:, :3])
    assert bool((made(moved)[:, 3] == 0).all())


def test_a_model_keeps_it_with_its_weights(small_archive: MotionArchive, tmp_path: Path) -> None:
    recipe = recipes.get("cmd/small").with_options({"width": 4, "streams": ("joint", "bone"), "preprocess": "center"})
    model = Model.fresh(recipe, small_archive)
    store = model.store(small_archive)
    plain = model.encode(store, store.ids)
    whiten(model, store, store.ids, seed=0, shrinkage=1.0)
    found = model.encode(store, store.ids)
    for stream, features in plain.items():
        torch.testing.assert_close(found[stream], model.whitening[stream](features))
        assert not torch.allclose(found[stream], features, atol=1e-2)
    other = model.untrained(1)
    assert other.whitening == {}
    other.load_weights(model.weights())
    again = other.encode(store, store.ids)
    assert all(torch.equal(again[s], found[s]) for s in found)
    # whitening again starts from the plain features
    before = model.weights()
    whiten(model, store, store.ids, seed=0, shrinkage=1.0)
    assert all(torch.equal(v, before[k]) for k, v in model.weights().items())


def test_a_small_training_ends_with_it(small_archive: MotionArchive, tmp_path: Path) -> None:
    """On the training clips, by the seed of the training; whole features of new views scatter less than before."""
    sizes = {"width": 4, "streams": ("joint",), "epochs": 1, "batch_size": 8, "preprocess": "center"}
    run = pretrain("moco/small", small_archive, tmp_path / "run", progress=False, seed=3, **sizes)
    model = run.model()
    assert isinstance(model, Model)
    assert set(model.whitening) == {"joint"}
    kept = model.whitening["joint"].matrix
    store = model.store(small_archive)
    odd = torch.from_numpy(np.flatnonzero(small_archive.clips["subject"].to_numpy() % 2 == 1))
    whiten(model, store, odd, seed=3, shrinkage=run.recipe.whiten)
    torch.testing.assert_close(model.whitening["joint"].matrix, kept)
    plain = pretrain("moco/small", small_archive, tmp_path / "plain", progress=False, seed=3, whiten=0.0, **sizes)
    assert plain.model().whitening == {}
    for name, value in plain.model().weights().items():
        assert torch.equal(value, run.model().weights()[name])


def test_columns_are_scaled_by_clips_where_noise_hides_how_they_differ() -> None:
    """Float64 oracle: the mean is that of clips, a column's scale the larger of both deviations."""
    rng = np.random.default_rng(2)
    clips = rng.normal(2, [4.0, 1.0, 3.0], (300, 3))
    views = np.stack([clips + rng.normal(0, 0.3, clips.shape) for _ in range(4)])
    views[:, :, 0] = 5 + rng.normal(0, 0.01, views.shape[:2])  # noise makes this column the same in all
    made = Whitening.of(
        Scatter.of_views(torch.from_numpy(views)).for_clips(torch.from_numpy(clips)), 1.0, standardise=True
    )
    scale = 1 / np.maximum(views.reshape(-1, 3).std(axis=0, ddof=1), clips.std(axis=0, ddof=1))
    assert scale[0] == pytest.approx(0.25, rel=0.1)
    deviation = (views - views.mean(axis=0)).reshape(-1, 3) * scale
    scatter = deviation.T @ deviation / (300 * 3)
    values, vectors = np.linalg.eigh(scatter + np.trace(scatter) / 3 * np.eye(3))
    expected = (clips - clips.mean(axis=0)) * scale @ (vectors / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(made(torch.from_numpy(clips).float()), expected, rtol=1e-4, atol=1e-3)


def test_features_with_statistics_are_centred_on_the_training_clips(tmp_path: Path) -> None:
    simulate(tmp_path / "films", progress=False, clips=12, actions=3, actors=2, imu=True)
    worn = MotionArchive.open(tmp_path / "films-imu")
    for statistics in (True, False):
        recipe = recipes.get("moco/small").with_options(
            {"streams": ("joint",), "width": 4, "statistics": statistics, "preprocess": "none"}
        )
        model = Model.fresh(recipe, worn)
        store = model.store(worn)
        whiten(model, store, store.ids, seed=0, shrinkage=1.0)
        mean = model.encode(store, store.ids)["joint"].mean(dim=0)
        assert (float(mean.abs().max()) < 1e-3) == statistics
