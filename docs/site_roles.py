"""MkDocs hook: docstrings name other objects by Sphinx roles; the site shows the name alone."""

import re
from typing import Any

_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):(?=<code>)")


def on_page_content(html: str, **_: Any) -> str:
    return _ROLE.sub("", html)
