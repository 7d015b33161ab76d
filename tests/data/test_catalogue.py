from __future__ import annotations

import pytest

from motet.core.errors import ConfigError
from motet.data import catalogue, formats, splits


def test_entries_name_existing_formats_and_rules() -> None:
    words = {rule.partition(":")[0] for rule in splits.RULES}
    for entry in catalogue.entries():
        assert entry.format is None or entry.format in formats.names(), entry.key
        assert {rule.partition(":")[0] for rule in entry.splits} <= words, entry.key
        assert entry.title
        assert entry.origin
        assert entry.licence
        assert catalogue.get(entry.key) is entry


def test_keys_are_unique_and_unknown_ones_are_named() -> None:
    keys = [entry.key for entry in catalogue.entries()]
    assert len(set(keys)) == len(keys)
    with pytest.raises(ConfigError, match=r"no data set 'ntu'; there are ntu60, ntu120"):
        catalogue.get("ntu")


def test_text_shows_every_entry() -> None:
    lines = catalogue.render().splitlines()
    assert max(len(line) for line in lines) <= 120
    for entry in catalogue.entries():
        (row,) = [line.split() for line in lines if line.startswith(f"{entry.key} ")]
        assert row[1] == ("?" if entry.clips is None else f"{entry.clips:,}")
        assert any(entry.title in line for line in lines)


@pytest.mark.parametrize(
    ("name", "source", "title"),
    [
        ("archive", {"format": "watch", "path": "seglearn"}, "Smart-watch exercises (seglearn)"),
        ("mine", {"format": "npz", "path": "sets/utd_mhad.npz"}, "UTD-MHAD"),
        ("archive", {"format": "csv", "path": "clinic/walks"}, "walks"),
        ("gait", {"format": "csv", "path": "clinic/walks"}, "gait"),
        ("archive", {"format": "simulated", "simulated": True}, "simulated actors"),
        ("archive", {}, "archive"),
    ],
)
def test_an_archive_is_called_by_its_data_set(name: str, source: dict[str, object], title: str) -> None:
    assert catalogue.title(name, source) == title


def test_halves_of_shrec17_do_not_share_people() -> None:
    assert "do not share people" in catalogue.get("shrec17").notes
