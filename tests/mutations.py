"""One-line mistakes, each of which a named test must notice.

``python -m tests.mutations`` applies each to a copy of ``src`` and runs its test on that copy; it prints a table and
ends with 1 if a mistake survives or its text is no longer in the code (then the entry has to follow the code).
``--only WORD …`` takes those whose name has one of the words.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning_fabric  # noqa: F401 - libraries that take long, once for all mistakes; not motet itself
import polars  # noqa: F401
import pytest
import scipy.optimize  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch._dynamo  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
PRETRAIN, DISCOVER = "tests/oracles/test_pretrain.py", "tests/oracles/test_discover.py"
DISTILL, EVALUATE = "tests/oracles/test_distill.py", "tests/oracles/test_evaluate.py"
TABLES = "tests/reproduce/test_tables.py::test_every_figure_is_the_one_that_was_printed"
DRAWS = "tests/methods/test_aimclr.py::test_every_clip_view_and_epoch_has_draws_of_its_own"
ABOVE, SIZED = "tests/methods/test_above.py", "tests/methods/test_sized.py"
PICTURE, FILM = "tests/use/test_picture.py", "tests/data/simulate/test_sensors.py"
FILMS, HANDS = "tests/data/simulate/test_generate.py", "tests/data/simulate/test_hands.py"
SIZE = "tests/data/test_preprocess.py::test_one_size"
PROBES = "tests/reproduce/test_tables.py::test_probes_are_each_papers_own"


@dataclass(frozen=True)
class Mutation:
    """A mistake.

    Attributes:
        name: what goes wrong.
        old, new: text that stands once in the files below ``where``, and what takes its place.
        test: what must fail.
        where: folder or file below src/motet.
    """

    name: str
    old: str
    new: str
    test: str
    where: str = "methods"


KEYS = """        self.update_key_encoders(epoch)
        with torch.no_grad():
            return self._embed(self.key_encoders, self.key_heads, clips, present)
"""
LATE_KEYS = """        with torch.no_grad():
            found = self._embed(self.key_encoders, self.key_heads, clips, present)
        self.update_key_encoders(epoch)
        return found
"""
TEACHERS = """                ema_update(branch.teacher, branch.student, self.settings.ema)
                made.append(branch.teach(clips, batch.rows, low=self.low))
"""
LATE_TEACHERS = """                made.append(branch.teach(clips, batch.rows, low=self.low))
                ema_update(branch.teacher, branch.student, self.settings.ema)
"""
MUTATIONS = (
    Mutation("pretrain: keys before the momentum update", KEYS, LATE_KEYS, PRETRAIN),
    Mutation("pretrain: one clip for query and key", "self._keys(second, epoch", "self._keys(first, epoch", PRETRAIN),
    Mutation("pretrain: no momentum", "options.lr, options.momentum,", "options.lr, 0.0,", PRETRAIN, "engine"),
    Mutation(
        "pretrain: no weight decay",
        "options.momentum, weight_decay=options.weight_decay",
        "options.momentum, weight_decay=0.0",
        PRETRAIN,
        "engine",
    ),
    Mutation("pretrain: rate drops late", "** sum(epoch >= m for", "** sum(epoch > m for", PRETRAIN, "engine"),
    Mutation(
        "pretrain: one shift for query and key", "ids.to(self.store.device), view) for view", "ids, 0) for view", DRAWS
    ),
    Mutation("pretrain: shifts of the first epoch", "epoch, ids.to(self.store.device), view)", "0, ids, view)", DRAWS),
    Mutation(
        "discover: rate of fine-tuning late",
        "settings.finetune_lr if self.fine else",
        "settings.finetune_lr if self.epoch > self.stages[0] else",
        DISCOVER,
        "methods/discovery",
    ),
    Mutation("discover: teachers move after they see", TEACHERS, LATE_TEACHERS, DISCOVER),
    Mutation(
        "discover: transport of the student's logits",
        'of.teacher["clusters"](of.bank)',
        'of.student["clusters"](of.bank)',
        DISCOVER,
    ),
    Mutation(
        "discover: decoder returns the masked clip",
        "shared.decoder.loss(seen, batch.students[0])",
        "shared.decoder.loss(seen, batch.seen[0])",
        DISCOVER,
    ),
    Mutation(
        "discover: strong views in pretraining",
        "student = strong if self.fine else weak",
        "student = strong",
        DISCOVER,
    ),
    Mutation("discover: strong views for teachers", "_TEACHERS[b], calm)", "_TEACHERS[b], strong)", DISCOVER),
    Mutation(
        "distill: no momentum",
        "torch.optim.SGD(parameters, lr=training.lr, momentum=training.momentum",
        "torch.optim.SGD(parameters, lr=training.lr, momentum=0.0",
        DISTILL,
        "methods/distillation",
    ),
    Mutation(
        "distill: rate drops late",
        "** sum(epoch >= m for",
        "** sum(epoch > m for",
        DISTILL,
        "methods/distillation",
    ),
    Mutation(
        "distill: critics keep their rate",
        "set_rate(self.options.critic_lr * factor)",
        "set_rate(self.options.critic_lr)",
        DISTILL,
    ),
    Mutation(
        "distill: standardised by the test rows",
        "rows = torch.tensor(fold.train, device",
        "rows = torch.tensor(fold.test, device",
        DISTILL,
        "methods/distillation",
    ),
    Mutation("distill: R@5 is R@1", "mean(hit.any(dim=2).double()", "mean(hit[..., 0].double()", EVALUATE),
    Mutation("evaluate: R@5 is R@1", "hits[:, k - 1].mean()", "hits[:, 0].mean()", EVALUATE, "evaluate"),
    Mutation(
        "evaluate: standardised by the test clips",
        """        for at in range(0, len(context.train), _STATISTICS_ROWS):
            for s, f in features.centre(context.train[at""",
        """        for at in range(0, len(context.test), _STATISTICS_ROWS):
            for s, f in features.centre(context.test[at""",
        EVALUATE,
        "evaluate",
    ),
    Mutation(
        "evaluate: purity is the Hungarian accuracy",
        '"purity": float(table.max(axis=0).sum()',
        '"purity": float(table[matched].sum()',
        EVALUATE,
        "metrics",
    ),
    Mutation(
        "moments: animals are mirrored",
        "turned[..., level[1]] = cos * b - sin * a",
        "turned[..., level[1]] = sin * a - cos * b",
        ABOVE,
        "use",
    ),
    Mutation("moments: a step where the root was lost", "step[~(there & np.roll(there, 1))] = 0", "pass", ABOVE, "use"),
    Mutation("moments: others as far as they are", "length / np.maximum(far, 1e-6), 0)", "1, 0)", ABOVE, "use"),
    Mutation(
        "sizes: bones of which one end was seen",
        "there[..., child] & there[..., parent]",
        "there[..., child]",
        SIZE,
        "data",
    ),
    Mutation("sizes: live streams, too", "and not live:", "and True:", SIZED),
    Mutation(
        "pictures: left is right", "- focal * points[..., :2] / away", "+ focal * points[..., :2] / away", FILM, "data"
    ),
    Mutation(
        "pictures: a film from the front", "film_view if options.sensor", "depth_view if options.sensor", FILMS, "data"
    ),
    Mutation("films: what is over the border is lost", "height <= top + cut", "height >= top + cut", FILM, "data"),
    Mutation("films: all end within the body", "draw.random() < FRAMED", "draw.random() < 1", FILM, "data"),
    Mutation(
        "films: hands up to 5 degrees aside", "draw.uniform(-25, 25)", "draw.uniform(-5, 5)", HANDS, "data/simulate"
    ),
    Mutation("films: hands in metres", "+ PIXELS * draw.normal(size=pixels.shape)", "* 1e-3", HANDS, "data"),
    Mutation(
        "pictures: discovery of hands by bodies' recipe",
        'return f"hand-{flat}" if flat else "hand"',
        'return flat or "hand"',
        f"{PICTURE}::test_what_starts_from_pictures_of_hands",
    ),
    Mutation(
        "pictures: sensors are none",
        'coordinates(archive.channels) == 2 and archive.skeleton.kind != "sensor"',
        "True",
        "tests/methods/test_together.py",
        "data/together.py",
    ),
    Mutation(
        "pictures: weights of another layout are refused",
        "return self.recipe.preprocess in WHOLE or self.skeleton.name == inertial.LAYOUT",
        'return self.recipe.preprocess in ("body", "hand") or self.skeleton.name == inertial.LAYOUT',
        PICTURE,
    ),
    Mutation(
        "pictures: a hip that is not seen turns the body",
        "* (there[:, left] & there[:, right])[:, None]",
        "* 1",
        "tests/data/test_preprocess.py::test_a_centre_that_is_never_seen_is_the_middle_of_what_is",
        "data",
    ),
    Mutation("tables: a figure of CMD", "(0.02, 0.1, 79.7)", "(0.02, 0.1, 79.6)", TABLES, "reproduce"),
    Mutation("tables: a figure of HaLP", "(10, 79.50)", "(10, 79.05)", TABLES, "reproduce"),
    Mutation("tables: a figure of CoDT", "(20.8, 25.5, 7.6)", "(20.8, 25.5, 6.7)", TABLES, "reproduce"),
    Mutation("tables: a figure of AMID", "(1.8, 72.4)", "(1.8, 74.2)", TABLES, "reproduce"),
    Mutation(
        "tables: the probes' rates swapped",
        '(0.005,), {"pku": (0.001,)}',
        '(0.001,), {"pku": (0.005,)}',
        PROBES,
        "reproduce",
    ),
    Mutation("tables: AimCLR's probe at HaLP's rate", '{"lr": (3.0,)', '{"lr": (0.005,)', PROBES, "reproduce"),
)


def outcome(mutation: Mutation, folder: Path) -> str:
    """``killed``, ``SURVIVED`` or ``STALE`` (the text is not there, or more than once)."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    top = source / "motet" / mutation.where
    files = [top] if top.is_file() else sorted(top.rglob("*.py"))
    found = [file for file in files if mutation.old in file.read_text()]
    if len(found) != 1 or found[0].read_text().count(mutation.old) != 1:
        return "STALE"
    found[0].write_text(found[0].read_text().replace(mutation.old, mutation.new))
    status = _tested(mutation.test, source)
    if status not in (0, 1):
        raise RuntimeError(f"{mutation.name}: {mutation.test} could not be run")
    return "killed" if status else "SURVIVED"


def _tested(test: str, source: Path) -> int:
    """Exit status of a test on the sources in a folder, in a child of this process, which has the libraries already."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.path.insert(0, str(source))
    sys.dont_write_bytecode = True
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os._exit(int(pytest.main([test, "-x", "-q", "-p", "no:cacheprovider"])))


def main(args: Sequence[str] | None = None) -> int:
    """Try every mistake."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--only", nargs="*", default=[""], help="words of names")
    given = parser.parse_args(args)
    assert "motet" not in sys.modules
    os.chdir(ROOT)
    results = []
    for mutation in MUTATIONS:
        if any(word in mutation.name for word in given.only):
            with tempfile.TemporaryDirectory() as folder:
                results.append(outcome(mutation, Path(folder)))
            print(f"{mutation.name:45} {results[-1]:9} {mutation.test}", flush=True)
    print(f"{results.count('killed')} of {len(results)} killed")
    return int(any(result != "killed" for result in results))


if __name__ == "__main__":
    sys.exit(main())
