"""The application's answers: one page, and JSON or numbers for it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from motet.application import motion
from motet.application.session import Session
from motet.core.colours import COLOURS, GREY
from motet.core.errors import MotetError

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
_STATIC = {
    entry.name: entry.read_bytes()
    for entry in (files("motet.application") / "static").iterdir()
    if PurePosixPath(entry.name).suffix in _TYPES
}
_STATIC["colours.js"] = f"export const COLOURS = {json.dumps(COLOURS)}, GREY = {json.dumps(GREY)};\n".encode()
Answer = Callable[[Request], Awaitable[Response]]


def build(session: Session) -> Starlette:
    """The application of a session, without the guard that keeps others out."""
    routes = [
        Route("/", _page),
        Route("/static/{name}", _static),
        Route("/api/library", _json(lambda _: session.library())),
        Route("/api/motion", _numbers(lambda q: motion.play(session.archive, _int(q, "clip"), *_times(q)))),
        Route("/api/signal", _numbers(lambda q: _signal(session, q))),
        Route("/api/labels", _json(lambda q: session.labels.since(_int(q, "since"), q.get("rater", "")))),
        Route("/api/labels", _posted(lambda body: _edited(session, body)), methods=["POST"]),
        Route("/api/undo", _posted(lambda body: _again(session, body, session.labels.undo)), methods=["POST"]),
        Route("/api/redo", _posted(lambda body: _again(session, body, session.labels.redo)), methods=["POST"]),
        Route("/api/tracks", _json(lambda _: {"tracks": session.other_tracks()})),
        Route("/api/map", _json(lambda _: session.map())),
        Route("/api/similar", _json(lambda q: {"hits": session.similar(_int(q, "clip"), *_times(q))})),
        Route("/api/teach", _json(lambda q: session.teach(q.get("rater", "")))),
        Route("/api/skip", _posted(lambda body: session.teacher.skip(body)), methods=["POST"]),
        Route("/api/export", _export(session)),
    ]
    return Starlette(routes=routes, exception_handlers={MotetError: _refused, ValueError: _refused})


async def _page(request: Request) -> Response:
    return Response(_STATIC["index.html"], media_type=_TYPES[".html"])


async def _static(request: Request) -> Response:
    # names are looked up among the files of the package; a request never becomes a path
    name = request.path_params["name"]
    if name not in _STATIC or name == "index.html":
        return PlainTextResponse("there is no such file", 404)
    return Response(_STATIC[name], media_type=_TYPES[PurePosixPath(name).suffix])


async def _refused(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 409)


def _json(answer: Callable[[Any], dict[str, Any]]) -> Answer:
    async def reply(request: Request) -> Response:
        return JSONResponse(_plain(await run_in_threadpool(answer, request.query_params)))

    return reply


def _posted(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    async def reply(request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return PlainTextResponse("the request must be JSON", 415)
        body = json.loads(await request.body())
        if not isinstance(body, dict):
            raise ValueError("the request must be a JSON object")
        return JSONResponse(_plain(await run_in_threadpool(answer, body)))

    return reply


def _numbers(answer: Callable[[Any], motion.Window]) -> Answer:
    async def reply(request: Request) -> Response:
        window = await run_in_threadpool(answer, request.query_params)
        meta = json.dumps(_plain(window.meta))
        return Response(window.values.tobytes(), media_type="application/octet-stream", headers={"x-meta": meta})

    return reply


def _export(session: Session) -> Answer:
    async def reply(request: Request) -> Response:
        query = request.query_params
        clip = _int(query, "clip") if "clip" in query else 0
        name, content = await run_in_threadpool(session.export, query.get("format", ""), clip)
        return Response(content, media_type="application/octet-stream", headers={"x-name": name})

    return reply


def _edited(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    operations = body.get("operations")
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise ValueError("operations must be a list of objects")
    session.labels.edit(operations, body.get("rater", ""))
    session.teacher.wake()
    return session.labels.since(_since(body), body.get("rater", ""))


def _again(session: Session, body: dict[str, Any], action: Callable[[str], None]) -> dict[str, Any]:
    action(str(body.get("rater", "")))
    session.teacher.wake()
    return session.labels.since(_since(body), str(body.get("rater", "")))


def _since(body: dict[str, Any]) -> int:
    since = body.get("since", -1)
    return since if isinstance(since, int) else -1


def _signal(session: Session, query: Any) -> motion.Window:
    return motion.envelope(session.archive, _int(query, "clip"), *_times(query), points=_int(query, "points"))


def _int(query: Any, name: str) -> int:
    try:
        return int(query[name])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} must be a whole number") from error


def _times(query: Any) -> tuple[float, float]:
    try:
        return float(query["start"]), float(query["end"])
    except (KeyError, ValueError) as error:
        raise ValueError("start and end must be seconds") from error


def _plain(value: Any) -> Any:
    """Numbers that are not finite become null: JSON has none."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
