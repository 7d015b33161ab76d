"""What long work says where there is no terminal."""

from __future__ import annotations

import re
import time

import pytest

from motet.core import progress

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.02)


def slowly(count: int, **options: bool) -> list[int]:
    done = []
    for item in progress.tracked(range(count), "knn: cmd", **options):
        time.sleep(0.05)
        done.append(item)
    return done


def test_lines_say_what_how_far_and_how_long(often: None, capsys: Capture) -> None:
    assert slowly(4, show=True) == [0, 1, 2, 3]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "knn: cmd 0/4  0:00 so far"  # one step may itself be long
    assert re.fullmatch(r"knn: cmd [23]/4  0:00, 0:00 left", lines[-1])


def test_what_is_quick_or_quiet_says_nothing(often: None, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert slowly(2, show=False) == [0, 1]
    monkeypatch.setattr(progress, "EVERY", 5.0)
    assert slowly(2, show=True) == [0, 1]
    assert capsys.readouterr().err == ""


def test_work_without_a_known_end(often: None, capsys: Capture) -> None:
    with progress.working("export: tracing", show=True):
        time.sleep(0.1)
    said = capsys.readouterr().err
    assert said.startswith("export: tracing  0:00 so far\n")
    with progress.working("export: tracing", show=False):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_the_lines_end_with_the_work(often: None, capsys: Capture) -> None:
    def broken() -> None:
        for _ in progress.tracked(range(3), "linear", show=True):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_parts_of_streams_are_named(capsys: Capture) -> None:
    """Brackets are no markup."""
    with progress.LoopProgress(1, show=True) as bar:
        bar.step("epoch 1/1", {"contrast/joint[left_arm]": 2.0}, 9.0)
        bar.epoch("epoch 1/1", {"contrast/joint[left_arm]": 2.0}, 9.0, {"joint[left_arm]": 0.5})
        bar.say("[note]")
    said = capsys.readouterr().err
    assert "contrast/joint[left_arm] 2.000  kNN joint[left_arm] 50.0 %" in said
    assert "[note]" in said
