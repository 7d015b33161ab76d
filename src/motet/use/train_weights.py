"""The weights that come with the package, made from nothing: simulated actors, then a training on what they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError
from motet.data import inertial
from motet.data.archive import MotionArchive
from motet.data.edit import convert
from motet.data.simulate import simulate
from motet.data.simulate.actions import SOLO
from motet.data.simulate.hands.anatomy import LAYOUT as HAND
from motet.data.simulate.hands.gestures import WRITTEN
from motet.engine.run import Run
from motet.methods import recipes
from motet.methods.pretrain import pretrain, resume
from motet.use.weights import save_weights

LICENCE = "apache-2.0"
LAYOUT = "shared-15"
CLIPS_EACH = 10
"""of an action at least, or fewer are invented"""


@dataclass(frozen=True)
class Plan:
    """How some weights are made.

    Attributes:
        recipe: what trains them.
        layout: joints of the simulated recordings, of a body or a hand, or ``inertial`` for the sensor that the actors
            wear at the wrist.
        written: how many written actions.
        invented: actions besides the written ones.
        seed: of the training; of five trainings of ``hand`` the one that left-out people preferred.
        simulated: further options of the simulation.
    """

    recipe: str
    layout: str
    written: int = len(SOLO)
    invented: int = 0
    seed: int = 1
    simulated: Mapping[str, Any] = field(default_factory=dict)


# in the precision of their whitening (motet.methods.whitening)
_GESTURES = {"hands": True, "dtype": "float32"}
PLANS = {
    "body": Plan("cmd/body", LAYOUT, invented=168),
    "hand": Plan("cmd/hand", HAND, len(WRITTEN), 500, seed=3, simulated=_GESTURES),
    "picture": Plan("cmd/picture", LAYOUT, invented=168, simulated={"sensor": "picture", "dtype": "float32"}),
    "hand-picture": Plan(
        "cmd/hand-picture", HAND, len(WRITTEN), 500, seed=2, simulated=_GESTURES | {"sensor": "picture"}
    ),
    "wrist": Plan("cmd/wrist", inertial.LAYOUT, simulated={"imu": True}),
}


def train_weights(
    name: str,
    out: str | Path,
    *,
    clips: int = 6000,
    actors: int = 60,
    seed: int | None = None,
    steps: int | None = None,
    progress: bool = True,
) -> Path:
    """Simulate recordings, train on them and pack the weights; what is there is not done again, what was interrupted
    continues.

    Args:
        name: ``"body"``, ``"hand"``, ``"picture"``, ``"hand-picture"`` or ``"wrist"``.
        out: folder; ``recordings``, ``run`` and ``weights`` are made in it.
        clips, actors: how many are simulated.
        seed: of the training, by default that of the shipped weights; the simulation's is always 0.
        steps: length of the training, by default the recipe's.
        progress: show progress on stderr.

    Returns:
        The folder of the weights.

    Raises:
        ConfigError: no such weights, or the folder holds others, or some that were made with other options.
    """
    if name not in PLANS:
        raise ConfigError(f"there are no weights {name!r} to train; choose from {', '.join(PLANS)}")
    plan, out = PLANS[name], Path(out)
    seed = plan.seed if seed is None else seed
    options: dict[str, Any] = {"seed": seed} | ({} if steps is None else {"steps": steps})
    place, folder, weights = out / "recordings", out / "run", out / "weights"
    _check_same(plan, out, clips=clips, actors=actors, seed=seed, steps=steps)
    if not place.exists():
        out.mkdir(parents=True, exist_ok=True)
        _recorded(plan, place, clips=clips, actors=actors, progress=progress)
    if (folder / "config.json").exists():
        run = resume(folder, progress=progress)
    else:
        run = pretrain(plan.recipe, MotionArchive.open(place), folder, split="all", progress=progress, **options)
    if weights.exists():
        return weights
    save_weights(run, weights, licence=LICENCE)
    return weights


def _check_same(plan: Plan, out: Path, **wanted: int | None) -> None:
    """Refuse a folder that holds other weights than those that are asked for.

    Raises:
        ConfigError: says what differs.
    """
    there: dict[str, Any] = {}
    if (out / "recordings" / "archive.json").exists():
        source = MotionArchive.open(out / "recordings").source
        there |= {name: source.get(name) for name in ("clips", "actors")}
        there["recordings"] = next((n for n, p in PLANS.items() if _kind(p.simulated) == _kind(source)), "others")
    if (out / "run" / "config.json").exists():
        recipe = Run.open(out / "run", "pretrain").recipe
        there |= {"weights": recipe.recipe.partition("/")[2], "seed": recipe.seed, "steps": recipe.steps}
    name = plan.recipe.partition("/")[2]
    steps = recipes.get(plan.recipe).steps if wanted["steps"] is None else wanted["steps"]
    asked = {**wanted, "steps": steps, "recordings": name, "weights": name}
    differ = [f"{option} {value}, not {asked[option]}" for option, value in there.items() if value != asked[option]]
    if differ:
        raise ConfigError(
            f"{out} holds another training ({'; '.join(differ)}); choose another --out, or give the options of the one "
            "that is there"
        )


def _kind(simulated: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells recordings of one kind from those of another."""
    return bool(simulated.get("hands")), bool(simulated.get("imu")), simulated.get("sensor", "depth")


def _recorded(plan: Plan, place: Path, **options: Any) -> None:
    """Simulate the recordings of a plan."""
    worn = plan.layout == inertial.LAYOUT
    invented = min(plan.invented, max(0, options["clips"] // CLIPS_EACH - plan.written))
    written = min(plan.written, max(1, options["clips"] // 2))  # views by other actors need two clips of an action
    options |= {"actions": written, "invented": invented, "overwrite": True, "dtype": "float16"}
    films = place.with_name("films") if worn else place
    simulate(films, layout=LAYOUT if worn else plan.layout, **(options | dict(plan.simulated)))
    if worn:
        convert(films.with_name(f"{films.name}-imu"), place, layout=plan.layout)
