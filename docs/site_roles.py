"""MkDocs hook: docstrings name other objects by Sphinx roles, of which the site shows the name; papers become links."""

import re
from typing import Any

_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):(?=<code>)")
_PAPER = re.compile(
    r"<a\b.*?</a>|<pre\b.*?</pre>|<[^>]*>|\barXiv:(?P<arxiv>\d{4}\.\d{4,5})|\bdoi:(?P<doi>10\.[^\s<>()]*\w)"
    r"|https://(?:arxiv|doi)\.org/[^\s<>()]*\w",
    re.DOTALL,
)


def _link(found: re.Match[str]) -> str:
    if found[0].startswith("<"):  # a tag, a link already, or code
        return found[0]
    place = f"arxiv.org/abs/{found['arxiv']}" if found["arxiv"] else f"doi.org/{found['doi']}"
    address = found[0] if found[0].startswith("https:") else f"https://{place}"
    return f'<a href="{address}">{found[0]}</a>'


def on_page_content(html: str, **_: Any) -> str:
    return _PAPER.sub(_link, _ROLE.sub("", html))
