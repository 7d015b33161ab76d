"""Pages of docs/results: prose by hand, tables by the scripts between two markers."""

from __future__ import annotations

from pathlib import Path

from motet.core.files import written

BEGIN, END = "<!-- tables begin -->", "<!-- tables end -->"


def insert(page: Path, tables: str, title: str) -> None:
    """Put tables (Markdown) between the markers of a page; a page that is not there is begun with its title.

    Raises:
        SystemExit: the page has lost its markers; nothing is written.
    """
    text = page.read_text() if page.exists() else f"# {title}\n\n{BEGIN}\n{END}\n"
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page} lacks {BEGIN} or {END}, between which its tables go")
    head, rest = text.split(BEGIN, 1)
    with written(page) as partial:
        partial.write_text(f"{head}{BEGIN}\n\n{tables}\n{END}{rest.split(END, 1)[1]}")
