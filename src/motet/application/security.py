"""Who may talk to the application: pages of this machine that know the token, under the name they were given.

A web page from elsewhere can send requests to a loopback address too; Host and Origin tell it apart (DNS rebinding,
cross-site requests), and the token keeps out other users of the machine.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_OPEN = "/static/"
"""scripts and styles of the package: the same for everybody, so they need no token."""
MAX_BODY = 4_000_000
"""bytes of a request; an edit of 10,000 intervals has 2 MB."""


class Guard:
    """Middleware that answers before anything else sees a request.

    Args:
        app: what is guarded.
        token: secret that a request gives as ``?token=`` (the page) or ``Authorization: Bearer`` (everything else).
        hosts: names with port under which the server may be addressed.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Iterable[str]) -> None:
        self.app, self.token, self.hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        await self.app(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "").lower() not in self.hosts:
            return PlainTextResponse("this address is not the application's; open the one it printed", 421)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() not in self.hosts:
            return PlainTextResponse("requests of other sites are refused", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("requests of other sites are refused", 403)
        if not headers.get("content-length", "0").isdecimal() or int(headers.get("content-length", "0")) > MAX_BODY:
            return PlainTextResponse("the request is too large", 413)
        if scope["path"].startswith(_OPEN) and scope["method"] == "GET":
            return None
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if scope["path"] == "/" and scope["method"] == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return PlainTextResponse("this page needs the token that `motet app` printed with its address", 403)
        return None


def _with_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return add


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def read() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:  # a body without a stated length
            return {"type": "http.disconnect"}
        return message

    return read
