"""The report at the width of a phone, in a real browser, where there is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from motet import report
from motet.methods.pretrain import pretrain
from tests.conftest import write_clips

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


def test_a_phone_shows_ten_classes_that_are_told_apart(tmp_path: Path) -> None:
    archive = write_clips(tmp_path / "archive", clips=80, classes=10, subjects=4)
    options = {"epochs": 1, "batch_size": 8, "frames": 8, "hidden": 8, "layers": 1, "dim": 8, "queue_size": 16}
    run = pretrain("moco/small-gru", archive, tmp_path / "run", progress=False, **options)
    page_file = report.write(run, tmp_path / "report.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 380, "height": 800})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(page_file.as_uri())
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        symbols = page.evaluate(
            "() => [...document.querySelectorAll('#legend canvas')].map((canvas) => canvas.toDataURL())"
        )
        assert len(symbols) == len(set(symbols)) == 10
        browser.close()
    assert errors == []
