from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from motet.core.errors import ConfigError, RunError
from motet.engine.options import Optimiser
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
    with pytest.raises(RunError, match="not one of motet's"):
        recipe_from_dict(data)
    foreign = {**recipes.get("cmd/small-gru").to_dict()["method"], "module": "os", "class": "PathLike"}
    with pytest.raises(ConfigError, match="none for Method"):  # though the module is imported already
        recipe_from_dict({**data, "method": foreign})
    with pytest.raises(ConfigError, match="unknown option"):
        recipe_from_dict({**recipes.get("cmd/small-gru").to_dict(), "colour": 1})


def test_rates_of_a_cosine_fall_from_the_first_step_to_the_end() -> None:
    options = Optimiser(lr=0.4, schedule="cosine")
    assert [options.lr_at(e, 8) for e in (0, 2, 4, 6, 8)] == pytest.approx([0.4, 0.341421, 0.2, 0.058579, 0], abs=1e-6)
    assert options.lr_at(1 + 3 / 6, 3) == pytest.approx(0.2)  # half-way, in the middle of an epoch
    assert options.lr_at(9, 8) == 0
    drops = Optimiser(lr=0.4, milestones=(2, 3), gamma=0.5)
    assert [drops.lr_at(e, 8) for e in (0, 1.9, 2, 3, 7)] == pytest.approx([0.4, 0.4, 0.2, 0.1, 0.1])


def test_a_recipe_may_be_made_of_one_of_another_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of docs/methods/adding.md, whose name comes before that of the module it asks."""
    (tmp_path / "a_new_one.py").write_text(
        "from dataclasses import replace\n"
        "from motet import recipes as known\n"
        "def recipes():\n"
        "    return {'new/small': replace(known.get('moco/small-gru'), recipe='new/small')}\n"
    )
    monkeypatch.setattr(recipes, "__path__", [str(tmp_path), *recipes.__path__])
    monkeypatch.setattr(recipes, "_found", {})
    monkeypatch.setattr(recipes, "_begun", set())
    assert recipes.get("new").method == recipes.get("moco/small-gru").method
    assert "new/small" in recipes.names()
    sys.modules.pop("motet.methods.recipes.a_new_one")


def test_a_method_without_a_title_is_called_by_its_class() -> None:
    class Plain(CMD):
        pass

    assert (Plain().title, Plain().called()) == ("Plain", "the method Plain")
    assert CMD.title == "CMD"
