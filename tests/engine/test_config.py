from __future__ import annotations

import json

import pytest

from motet.core.errors import ConfigError
from motet.methods import recipes
from motet.methods.cmd import CMD
from motet.methods.crossclr import CrosSCLR
from motet.methods.recipe import option_names, recipe_from_dict


@pytest.mark.parametrize("name", [n for n in recipes.names() if "/" in n])
def test_every_recipe_survives_json_and_has_unique_option_names(name: str) -> None:
    recipe = recipes.get(name)
    assert recipe.recipe == name
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert len(set(option_names(recipe))) == len(option_names(recipe))


def test_paper_values_of_cmd() -> None:
    recipe = recipes.get("cmd/ntu60-xsub")
    assert isinstance(recipe.method, CMD)
    assert (recipe.epochs, recipe.optimiser.milestones, recipe.batch_size) == (450, (350,), 64)
    assert (recipe.optimiser.lr, recipe.optimiser.momentum, recipe.optimiser.weight_decay) == (0.01, 0.9, 1e-4)
    assert (recipe.method.queue_size, recipe.method.dim, recipe.method.key_momentum) == (16384, 128, 0.999)
    assert (recipe.method.temperature, recipe.method.teacher_temperature) == (0.07, 0.05)
    assert recipe.method.student_temperature == 0.1
    assert (recipe.frames, recipe.encoder.hidden, recipe.encoder.layers, recipe.encoder.mode) == (64, 1024, 3, "causal")
    assert recipe.optimiser.lr_at(349) == pytest.approx(0.01)
    assert recipe.optimiser.lr_at(350) == pytest.approx(0.001)
    pku = recipes.get("cmd/pku2-xsub")
    assert (pku.epochs, pku.optimiser.milestones, pku.split) == (1000, (800,), "pku-xsub")


def test_released_schedule_is_one_epoch_longer() -> None:
    recipe = recipes.as_released(recipes.get("cmd/ntu60-xsub"))
    assert recipe.epochs == 451
    assert recipe.optimiser.lr_at(350) == pytest.approx(0.01)
    assert recipe.optimiser.lr_at(351) == pytest.approx(0.001)
    cross = recipes.as_released(recipes.get("crossclr/ntu60-xsub")).method
    assert isinstance(cross, CrosSCLR)
    assert cross.frozen_twins


def test_a_bare_name_takes_the_size_of_the_data() -> None:
    assert recipes.get("cmd", 500).recipe == "cmd/small"
    assert recipes.get("cmd", 40_000).recipe == "cmd/paper"
    assert recipes.get("cmd").recipe == "cmd/small"
    with pytest.raises(ConfigError, match="there is no recipe 'cdm'"):
        recipes.get("cdm")
    with pytest.raises(ConfigError, match="cmd/ntu60-xsub"):
        recipes.get("cmd/ntu61")


def test_options_by_their_names() -> None:
    recipe = recipes.get("cmd/small-gru").with_options(
        {"hidden": 32, "teachers": "consensus", "lr": 1, "streams": "joint"}
    )
    assert recipe.encoder.hidden == 32
    assert recipe.optimiser.lr == 1.0
    assert recipe.streams == ("joint",)
    assert isinstance(recipe.method, CMD)
    assert recipe.method.teachers == "consensus"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hiden": 3}, "did you mean hidden"),
        ({"hidden": "many"}, "hidden is 'many', it must be a whole number"),
        ({"teachers": "nobody"}, "pairwise, consensus"),
        ({"epochs": -1}, "epochs is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"streams": ()}, "at least one stream"),
        ({"streams": ("joint", "joint")}, "more than once"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.get("cmd/small-gru").with_options(options)


def test_a_stored_configuration_cannot_name_foreign_code() -> None:
    data = recipes.get("cmd/small-gru").to_dict()
    data["method"]["module"] = "os"
    with pytest.raises(ConfigError, match="not one of motet's"):
        recipe_from_dict(data)
    with pytest.raises(ConfigError, match="unknown option"):
        recipe_from_dict({**recipes.get("cmd/small-gru").to_dict(), "colour": 1})
