"""The ``motet`` command: dispatch, help and errors. Each verb is a module of this package, imported when it is called.

Nothing heavy is imported here, so that help answers at once.
"""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from importlib import import_module
from types import FrameType
from typing import Any

from motet._version import __version__
from motet.cli.light import without_libraries
from motet.cli.parse import asks_help
from motet.core.errors import ConfigError, DataError, Interrupted, MotetError, MotetNote, MotetWarning, RunError
from motet.core.signals import STOPPING
from motet.core.text import printable, shown
from motet.core.workers import first_process

HELP = f"""motet {__version__}: who does what, when and how often in recordings of movement

usage: motet VERB …            `motet VERB --help`: its options

  data import FORMAT SOURCE DESTINATION     raw recordings -> a motion archive
  data inspect ARCHIVE                      what is in an archive, and what is wrong with it
  data list                                 known data sets and formats, where from, on what terms
  data simulate DESTINATION                 labelled simulated recordings, from nothing
  data select ARCHIVE DESTINATION           a part of an archive
  data merge A B … DESTINATION              several archives as one
  data split ARCHIVE DESTINATION            recordings cut into windows, or at their labels
  data stitch ARCHIVE DESTINATION           clips of each person joined to labelled recordings
  data convert ARCHIVE DESTINATION          another layout, rate or unit
  data label ARCHIVE TABLE --track NAME     labels along time, or of clips, from a file
  data export ARCHIVE DESTINATION           frames or labels for other programs
  pretrain RECIPE --data ARCHIVE --out RUN  learn from unlabelled clips (moco, cmd, halp, aimclr, …)
  tune RECIPE --data ARCHIVE --out FOLDER   settings chosen on held-out training people, as a recipe file
  resume RUN                                continue an interrupted training of any verb
  evaluate RUN                              protocols, next to raw features and a random encoder
  discover --source A --target B --out RUN  classes of unlabelled clips, with the help of labelled ones
  clusters RUN --name 0=wave --out FILE     name, merge and export them; label new recordings
  distill TABLE --target M --auxiliary M…   teach with every sensor, deploy with one
  distill index DATASET FOLDER --out CSV    find the recordings of a data set
  distill extract SOURCE --out TABLE.npz    features of frozen networks from video, sound, speech and text
  distill raw SOURCE --target M …           the same with networks that learn from recordings
  graphs FOLDER --out RUN                   GraphCL on graphs with node labels, and HaLP on it
  fit ARCHIVE --out MODEL                   a classifier from labels, with its expected error
  predict MODEL ARCHIVE --out BOUTS.csv     who does what, when
  segment ARCHIVE --out STATES.csv          states that recur, without labels
  search ARCHIVE --like CLIP --out HITS.csv the moments most like an example
  count ARCHIVE --out REPETITIONS.csv       repetitions of a cyclic movement
  compare TABLE --by COLUMN --out R.json    do groups of people differ?
  embed RUN|WEIGHTS ARCHIVE --out FILE      features of every clip: of a run, weights (body, wrist …) or rocket
  export RUN --out model.onnx               encoders as an ONNX file, compared with the original
  weights pack RUN --out FOLDER             weights to share: safetensors, configuration, model card
  weights train WEIGHTS --out FOLDER        make the weights that come with motet again, from simulated actors
  weights convert CHECKPOINT --out FOLDER   weights of the released CMD and HaLP code
  reproduce TABLE --data ARCHIVE            a paper's table on your data, next to the published figures
  report RUN --out report.html              one page to look at, with playing skeletons
  app ARCHIVE                               a page to look at recordings, label them and teach a classifier
  demo                                      all of it on two small sets, in minutes
"""

# verb -> (module of this package, function)
VERBS = {
    "data import": ("data", "data_import"),
    "data inspect": ("data", "data_inspect"),
    "data list": ("data", "data_list"),
    "data select": ("data_edit", "data_select"),
    "data merge": ("data_edit", "data_merge"),
    "data split": ("data_edit", "data_split"),
    "data stitch": ("data_edit", "data_stitch"),
    "data convert": ("data_edit", "data_convert"),
    "data label": ("data_edit", "data_label"),
    "data export": ("data_edit", "data_export"),
    "data simulate": ("data", "data_simulate"),
    "pretrain": ("pretrain", "pretrain"),
    "tune": ("tune", "tune"),
    "resume": ("verbs", "resume"),
    "evaluate": ("evaluate", "evaluate"),
    "discover": ("discover", "discover"),
    "clusters": ("clusters", "clusters"),
    "distill": ("distill", "distill"),
    "distill index": ("distill_raw", "distill_index"),
    "distill extract": ("distill_raw", "distill_extract"),
    "distill raw": ("distill_raw", "distill_raw"),
    "graphs": ("graphs", "graphs"),
    "fit": ("answers", "fit"),
    "predict": ("answers", "predict"),
    "segment": ("answers", "segment"),
    "search": ("answers", "search"),
    "count": ("answers", "count"),
    "compare": ("answers", "compare"),
    "embed": ("show", "embed"),
    "export": ("show", "export"),
    "weights pack": ("show", "weights_pack"),
    "weights train": ("show", "weights_train"),
    "weights convert": ("show", "weights_convert"),
    "reproduce": ("reproduce", "reproduce"),
    "report": ("show", "report"),
    "app": ("application", "app"),
    "demo": ("show", "demo"),
}

# verb -> what an interrupted call leaves behind, where that is worth a word
KEPT = {
    "tune": "what was tried is kept, and the same command continues with the rest",
    "evaluate": "protocols that were done are kept in the run, and the same command continues with the others",
    "reproduce": "trainings and evaluations that were done are kept, and the same command continues",
}

# what people call things that are done elsewhere
_ELSEWHERE = {
    word: where
    for words, where in {
        "classify infer inference apply": (
            "`motet predict` applies a model that `motet fit` made; features of new clips: `motet embed`"
        ),
        "train learn": "`motet pretrain` learns without labels, `motet fit` from labels",
        "finetune fine-tune": "`motet fit --candidates body+tuned` tunes an encoder on labels",
        "test eval score benchmark": "`motet evaluate` evaluates a run",
        "cluster clustering": "`motet segment` finds states along time, `motet discover` classes of clips",
        "doctor check validate info describe summary": (
            "`motet data inspect` says what is in an archive, and what is wrong with it"
        ),
        "plot show view visualize visualise play draw": "`motet report` writes a page, `motet app` opens one",
        "annotate label": "`motet app` takes labels by hand, `motet data label` from a file",
        "features encode transform": "`motet embed` writes features of every clip",
        "find query": "`motet search` finds the moments most like an example",
        "detect segmentation bouts": "`motet predict` finds what a model knows, `motet segment` what recurs",
        "repetitions reps": "`motet count` counts repetitions",
        "stats statistics groups": "`motet compare` compares groups of people",
        "filter drop trim clean": "`motet data select` keeps a part of an archive",
        "join concat combine": "`motet data merge` makes one archive of several",
        "resample rescale": "`motet data convert` changes layout, rate or unit",
        "convert": (
            "`motet data convert` changes layout, rate or unit, `motet data import` reads recordings, `motet weights "
            "convert` checkpoints"
        ),
        "load read": "`motet data import` reads recordings",
        "download fetch datasets formats": "`motet data list` says where sets are from and what is read",
        "generate synthesize synthesise": "`motet data simulate` makes labelled recordings",
        "gui ui web serve": "`motet app` opens a page",
        "continue restart": "`motet resume` continues a training",
    }.items()
    for word in words.split()
}


def _run(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help", "--help-all", "help"):
        print(HELP, end="")
        return 0
    if args[0] in ("--version", "version"):
        print(f"motet {__version__}")
        return 0
    for words in (2, 1):
        verb = " ".join(args[:words])
        if verb in VERBS:
            rest = args[words:]
            with without_libraries() if asks_help(rest) else nullcontext():
                module, name = VERBS[verb]
                function: Callable[[Sequence[str]], int] = getattr(import_module(f"motet.cli.{module}"), name)
                return function(rest)
    lines = [line for line in HELP.splitlines() if line.startswith(f"  {args[0]} ")]
    if lines and len(args) > 1 and asks_help(args[1:]):
        print("\n".join(lines))
        return 0
    raise ConfigError(_no_verb(args, known=bool(lines)))


def _no_verb(args: Sequence[str], *, known: bool) -> str:
    """What to say where no verb fits: by the first word alone, unless that begins a verb of two words."""
    if known:
        below = [v.split()[1] for v in VERBS if v.startswith(f"{args[0]} ")]
        hint = f"after {args[0]!r} comes one of {', '.join(below)}"
        near = _meant(args[1], below, f"motet {args[0]}") if len(args) > 1 else None
        hint += f"; {near}" if near else ""
        return f"there is no verb {' '.join(args[:2])!r}; {hint}"
    hint = _meant(args[0], [v.split()[0] for v in VERBS], "motet") or "`motet --help` lists them"
    return f"there is no verb {args[0]!r}; {hint}"


def _meant(word: str, known: Sequence[str], before: str) -> str | None:
    """What a word that is none of the ``known`` ones may have meant."""
    if word in _ELSEWHERE or word in VERBS:
        return _ELSEWHERE.get(word) or f"did you mean `motet {word}`?"
    below = [first for first, _, second in (v.partition(" ") for v in VERBS) if second == word]
    if below:
        return f"it is a verb of `motet {below[0]}`"
    near = get_close_matches(word, dict.fromkeys(known), n=1)
    return f"did you mean `{before} {near[0]}`?" if near else None


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: unwinds like Ctrl-C, so that nothing half-written stays behind."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0 only on success, 2 for bad input, 128 + n for signal n."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        known = "note" if issubclass(category, MotetNote) else "warning"
        kind = known if issubclass(category, MotetWarning) else f"warning ({category.__name__})"
        if (issubclass(category, MotetWarning) and not first_process()) or (known == "note" and "--quiet" in words):
            return
        if known == "note" and str(message) in seen:  # by the training of another seed
            return
        seen.add(str(message))
        print(f"{kind}: {shown(str(message))}", file=sys.stderr)

    words, seen = list(sys.argv[1:] if argv is None else argv), set[str]()
    before = {}
    if threading.current_thread() is threading.main_thread():
        obeyed = [s for s in STOPPING[1:] if signal.getsignal(s) is not signal.SIG_IGN]
        before = {number: signal.signal(number, _terminate) for number in obeyed}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", MotetWarning)
            warnings.showwarning = show
            return _run(words)
    except Interrupted as error:
        if first_process():
            print(str(error), file=sys.stderr)
        return error.status
    except MotetError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError | DataError | RunError) else 1
    except BrokenPipeError:
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {shown(f'{where}{error.strerror or error}')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        kept = KEPT.get(words[0])
        if first_process():
            print(f"interrupted; {kept}" if kept else "interrupted", file=sys.stderr)
        return getattr(error, "status", 130)
    finally:
        for number, old in before.items():
            signal.signal(number, old)


if __name__ == "__main__":
    sys.exit(main())
