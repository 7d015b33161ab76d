"""Copies, and clips and people that leak from training into test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from motet.core.text import counted, pasted
from motet.data import splits
from motet.data.copies import near, overlaps
from motet.data.doctor.view import Finding, View
from motet.data.inspection import LISTED
from motet.data.inspection.remedies import NOTHING, import_command, made, next_to


def copies(view: View) -> Iterator[Finding]:
    pairs = overlaps(view.archive) | near(view.archive, view.compared, view.size)
    if not pairs:
        return
    across = _across(pairs, view.split)
    rows = sorted({i for pair in pairs for i in pair})
    if across:
        listed = tuple(f"{view.names[a]} = {view.names[b]}" for a, b in across[:LISTED])
        evidence = (
            f"{counted(len(across), 'pair')} of clips hold (nearly) the same frames on both sides of {view.split.name}"
        )
        message = "the test knows clips of the training: results are too good"
        whole = view.rule_that(lambda other: not _across(pairs, other))
        remedy = "let motet evaluate --without-copies give both figures"
        remedy += f"; keep them on one side: motet pretrain … --split {pasted(whole)}" if whole else ""
        remedy += f"; or remove the copies: {_first_alone(view, 'leaking clips')}"
        of = view.about(sorted({i for pair in across for i in pair}), _copied(across)) | {"clips": listed}
        yield Finding("leaking clips", "error", message, evidence, remedy, **of)
        return
    evidence = (
        f"{len(rows)} of {counted(len(view.archive), 'clip')} hold (nearly) the same frames as another, on "
        f"one side of the split"
    )
    message = "copies and overlapping windows count more than once, and are false negatives of a contrastive loss"
    name = "duplicate clips"
    remedy = f"windows of one recording belong on one side of any split; remove copies: {_first_alone(view, name)}"
    yield Finding(name, "warning", message, evidence, remedy, **view.about(rows, _copied(pairs)))


def _first_alone(view: View, name: str) -> str:
    """The command that keeps the first of every group of copies."""
    return made(view.archive, "select", "--drop-finding", name, *view.ruled)


def _copied(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Clips that are a copy of one before them that stays."""
    partners: dict[int, set[int]] = {}
    for a, b in pairs:
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    kept: set[int] = set()
    for row in sorted(partners):
        if not kept & partners[row]:
            kept.add(row)
    return sorted(set(partners) - kept)


def _across(pairs: set[tuple[int, int]], split: splits.Split) -> list[tuple[int, int]]:
    """The pairs of which one clip trains and the other tests."""
    if split.name == "all":
        return []
    train, test = set(split.train.tolist()), set(split.test.tolist())
    return sorted(p for p in pairs if (p[0] in train and p[1] in test) or (p[1] in train and p[0] in test))


def people(view: View) -> Iterator[Finding]:
    archive, split = view.archive, view.split
    subjects = archive.clips["subject"].fill_null(-1).to_numpy()
    shared = sorted((set(subjects[split.train].tolist()) & set(subjects[split.test].tolist())) - {-1})
    if split.name == "all" or not shared:
        if (subjects == -1).all() and split.name != "all":
            evidence = f"no clip has a subject; {split.name} draws clips"
            message = "one person may train and test: scores may be optimistic"
            yield Finding("unknown people", "note", message, evidence, _name_people(view))
        return
    if unknown := [row for row, subject in enumerate(subjects.tolist()) if subject == -1]:
        evidence = f"{len(unknown)} of {counted(len(subjects), 'clip')} have no subject, so {split.name} draws clips"
        message = "people train and test, as no split keeps people apart where some are unknown: scores are optimistic"
        yield Finding("unknown people", "warning", message, evidence, _table_of_people(view), **view.about(unknown))
        return
    known = ", ".join(map(str, shared[:LISTED]))
    people = "1 person" if len(shared) == 1 else f"{counted(len(shared), 'person', 'people')}"
    evidence = f"{people} on both sides of {split.name}: {known}"
    message = "people are recognised by their build: scores do not hold for new ones"
    rule = view.rule_that(lambda other: not other.warning)
    remedy = (
        f"motet pretrain … --split {pasted(rule)}"
        if rule
        else f"{NOTHING} but to record more people; one person cannot both train and test"
    )
    if _other_cameras(view):
        remedy = f"{NOTHING} where other cameras are asked for, as {split.name} does; for other people: {remedy}"
    yield Finding("shared people", "warning", message, evidence, remedy)


def _other_cameras(view: View) -> bool:
    """Whether the test is on cameras from which nothing trains."""
    cameras = view.archive.clips["camera"]
    sides = [set(cameras.gather(rows)) for rows in (view.split.train, view.split.test)]
    return cameras.null_count() == 0 and not sides[0] & sides[1]


def _name_people(view: View) -> str:
    """How clips get a subject: the command that made the archive, to which a group of the pattern is to be added."""
    options, command = view.archive.source.get("options"), import_command(view.archive)
    if command is None or not isinstance(options, dict) or "pattern" not in options:
        return _table_of_people(view)
    group = "a group (?P<subject>…)"
    where = f"{group} in its --pattern" if options["pattern"] else f"a --pattern that has {group}"
    return f"where the names of the files tell the person, import again with {where}: {command}"


def _table_of_people(view: View) -> str:
    """How clips get a subject without another import; the others keep theirs."""
    path = view.archive.path
    words = pasted(path, "people.csv", "--out", next_to(path))
    return f"with a table people.csv of columns name and subject (number or name): motet data label {words}"
