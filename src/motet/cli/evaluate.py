"""The evaluate verb."""

# no postponed annotations here: the options of all protocols are a type that is made when the verb runs

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated

import tyro

from motet.cli.parse import parse
from motet.distributed import joined, rank
from motet.errors import ConfigError
from motet.evaluate.results import markdown
from motet.evaluate.runner import protocol, protocols, run


def evaluate(args: Sequence[str]) -> int:
    """motet evaluate RUN"""
    names = protocols()
    own = [(n.replace("-", "_"), protocol(n).Options, field(default_factory=protocol(n).Options)) for n in names]
    kinds = make_dataclass("options", own)  # --knn.k, --linear.epochs …

    @dataclass
    class Arguments:
        runs: tyro.conf.Positional[tuple[Path, ...]]
        """run directories; several repetitions of one training give mean ± sd"""
        options: Annotated[kinds, tyro.conf.arg(name="")] = field(default_factory=kinds)  # type: ignore[valid-type]
        protocols: tuple[str, ...] = ("knn", "linear")
        data: Path | None = None
        """archive, if not the one that trained the run"""
        split: str | None = None
        """rule that says who trains and who tests, if not the run's"""
        seeds: int = 1
        """initialisations of random encoders and probes"""
        baselines: bool = True
        """also judge raw features and random encoders"""
        again: bool = False
        """judge anew even what is there"""
        device: str = "auto"
        json: Path | None = None
        """write the result here too, beside evaluation.json in the run directory"""
        markdown: Path | None = None
        """write the table here too, beside evaluation.md in the run directory"""
        quiet: bool = False

    description = (
        f"Judge what a run has learned, beside raw features and a random encoder. Protocols: {', '.join(names)}"
    )
    given = parse(Arguments, args, "motet evaluate", description=description)
    if not given.runs:
        raise ConfigError("evaluate needs a run directory (see `motet evaluate --help`)")
    chosen = {n.replace("-", "_"): getattr(given.options, n.replace("-", "_")) for n in given.protocols if n in names}
    with joined():  # torchrun: the processes share the encoding
        found = run(
            list(given.runs),
            given.protocols,
            data=given.data,
            split=given.split,
            seeds=given.seeds,
            baselines=given.baselines,
            again=given.again,
            device=given.device,
            json=given.json,
            markdown=given.markdown,
            progress=not given.quiet and rank() == 0,
            **chosen,
        )
        if rank() == 0:
            print(markdown(found))
    return 0
