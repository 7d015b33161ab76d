"""Named configurations, one per row of a paper's table, and a size for small sets.

``cmd`` alone fits itself to the data: the paper's size from :data:`PAPER_SIZE` training clips on, the small one
below. ``cmd/paper`` and ``cmd/small`` force one, ``cmd/small-gru`` is the small one with the paper's kind of encoder,
``cmd/ntu60-xsub`` and its kin also set the split and schedule.
A module of this package that defines ``recipes() -> dict[str, Recipe]`` adds its own; nothing else is registered.
"""

from __future__ import annotations

import json
import pkgutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from motet.core.errors import ConfigError
from motet.methods.recipe import Recipe, recipe_from_dict

PAPER_SIZE = 20_000
"""training clips from which a bare recipe name means the paper's size."""


_found: dict[str, Recipe] = {}
_begun: set[str] = set()


def _all() -> dict[str, Recipe]:
    """Recipes of all modules; a module may ask for those of others while it makes its own."""
    for module in pkgutil.iter_modules(__path__):
        if module.name not in _begun:
            _begun.add(module.name)
            _found.update(import_module(f"{__name__}.{module.name}").recipes())
    return _found


def names() -> list[str]:
    """All recipe names, bare ones included."""
    full = list(_all())
    return sorted({n.split("/")[0] for n in full} | set(full))


def get(name: str, training_clips: int | None = None) -> Recipe:
    """A recipe by name, or from a file that ``motet tune`` wrote.

    Args:
        name: ``method`` or ``method/variant``, or a path that ends in ``.json``.
        training_clips: how many clips will train; decides what a bare name means (unknown: the small size).

    Raises:
        ConfigError: no such recipe; lists what there is.
    """
    if is_file(name):
        return _stored(Path(name))[0]
    found = _all()
    if name in found:
        return found[name]
    size = "paper" if training_clips is not None and training_clips >= PAPER_SIZE else "small"
    if f"{name}/{size}" in found:
        return found[f"{name}/{size}"]
    family = name.split("/")[0]
    near = [n for n in names() if n.split("/")[0] == family] or sorted({n.split("/")[0] for n in found})
    raise ConfigError(f"there is no recipe {name!r}; choose from {', '.join(near)}")


def is_file(name: str) -> bool:
    """Whether a recipe is named by its file."""
    return name.endswith(".json")


def start_of_file(name: str) -> str | None:
    """What a recipe file names as the start of its recipe, as ``--start`` takes it; None where it names none.

    Raises:
        ConfigError: as :func:`get`.
    """
    return _stored(Path(name))[1]


def _stored(path: Path) -> tuple[Recipe, str | None]:
    try:
        found = json.loads(path.read_text())
        if not isinstance(found.get("start"), str | None):
            raise ValueError("its start is no name")
        return recipe_from_dict(found.get("recipe", found)), found.get("start")
    except OSError as error:
        raise ConfigError(
            f"{path}: there is no such recipe file ({error.strerror}); `motet tune` writes one"
        ) from error
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is no recipe file ({error!r}); `motet tune` writes one") from error


def as_released(recipe: Recipe) -> Recipe:
    """The recipe with the released code's values where these depart from the paper's.

    CMD's scripts train one epoch longer and drop the rate one epoch later (451 and 351, 1001 and 801); CrosSCLR's code
    moves only one key encoder in its second stage; what else a method's code does is in its
    :meth:`~motet.methods.contrastive.Contrastive.released`.
    """
    extra = recipe.method.released_extra_epochs
    if recipe.as_released:
        return recipe
    later = replace(recipe.optimiser, milestones=tuple(m + extra for m in recipe.optimiser.milestones))
    # a size without a split of its own is NTU RGB+D 60's
    method = recipe.method.released(recipe.split or ("ntu60-xsub" if recipe.recipe.endswith("/paper") else None))
    return replace(recipe, epochs=recipe.epochs + extra, optimiser=later, method=method, as_released=True)
