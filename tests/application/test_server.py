"""Who is let in, what is answered, and that no request reaches the disk by a path."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from motet.application import Application, app, run
from motet.application.session import Session
from motet.core.errors import ConfigError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.layouts import get as layout
from tests.conftest import stick

pytest.importorskip("starlette")
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    rng = np.random.default_rng(0)
    with ArchiveWriter(
        tmp_path_factory.mktemp("app") / "a.motet", skeleton=stick(), fps=10.0, class_names=[HOSTILE, "walk"]
    ) as writer:
        for number in range(4):
            frames = rng.normal(size=(60, 1, len(stick()), 3))
            frames[:5] = 0
            writer.add(frames, name=f"{HOSTILE} {number}", subject=number % 2, label=number % 2)
    with app(writer.destination, browser=False, rater="ann") as found:
        yield found


class Client:
    def __init__(self, found: Application) -> None:
        address = urlsplit(found.address)
        self.port, self.token = address.port, address.query.removeprefix("token=")
        assert address.hostname == "127.0.0.1"

    def ask(
        self, path: str, *, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        given |= {k.replace("_", "-"): v for k, v in headers.items()}
        payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, payload, {k: v for k, v in given.items() if v})
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def json(self, path: str, **more: Any) -> Any:
        status, _, content = self.ask(path, **more)
        assert status == 200, content
        return json.loads(content)


@pytest.fixture(scope="module")
def client(running: Application) -> Client:
    return Client(running)


def test_only_who_has_the_token_and_comes_from_here_is_let_in(client: Client) -> None:
    assert client.ask(f"/?token={client.token}", Authorization="")[0] == 200
    assert client.ask("/", Authorization="")[0] == 403
    assert client.ask("/?token=guess")[0] == 403
    assert client.ask("/api/library", Authorization="Bearer guess")[0] == 403
    assert client.ask(f"/api/library?token={client.token}", Authorization="")[0] == 403  # not by links
    assert client.ask("/api/library", Host="evil.example")[0] == 421
    assert client.ask("/api/library", Host=f"evil.example:{client.port}")[0] == 421
    assert client.ask("/api/library", Origin="http://evil.example")[0] == 403
    assert client.ask("/api/library", Origin="null")[0] == 403
    assert client.ask("/api/library", Sec_Fetch_Site="cross-site")[0] == 403
    assert client.ask("/api/library", Origin=f"http://localhost:{client.port}")[0] == 200
    plain = {"Content-Type": "text/plain"}
    assert client.ask("/api/labels", method="POST", body=b"{}", **plain)[0] == 415  # what a form could send
    assert client.ask("/api/labels", method="POST", body=b" " * 5_000_000)[0] == 413


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ["127.0.0.1", "127.0.0.1", "localhost"]),
        ("::1", ["[::1]", "127.0.0.1", "localhost"]),
        ("0.0.0.0", ["lab", "10.1.2.3", "[fe80::1]", "127.0.0.1", "localhost"]),
        ("192.168.1.5", ["192.168.1.5"]),
    ],
)
def test_other_machines_are_let_in_where_asked(monkeypatch: pytest.MonkeyPatch, host: str, names: list[str]) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "lab")
    found = [(2, 1, 6, "", ("10.1.2.3", 0)), (10, 1, 6, "", ("fe80::1", 0, 0, 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: found)
    assert run._names(host) == names


def test_every_answer_has_a_strict_policy(client: Client) -> None:
    for path in (f"/?token={client.token}", "/static/app.js", "/api/library", "/nowhere"):
        _, headers, _ = client.ask(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    page = client.ask(f"/?token={client.token}")[2].decode()
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing from a network
    assert " style=" not in page


@pytest.mark.parametrize("name", ["../run.py", "..%2frun.py", "%2e%2e/run.py", "/etc/passwd", "index.html", "a\x00"])
def test_no_path_of_a_request_reaches_the_disk(client: Client, name: str) -> None:
    try:
        status, _, content = client.ask(f"/static/{name}")
    except (http.client.InvalidURL, ValueError):
        return
    assert status in (403, 404)
    assert b"import" not in content


def test_library_and_frames(client: Client, running: Application) -> None:
    library = client.json("/api/library")
    assert library["seconds"] == [6.0] * 4
    assert library["names"][0] == f"{HOSTILE} 0"
    assert library["people"] == [0, 1, 0, 1]
    _, headers, content = client.ask("/api/motion?clip=1&start=0&end=2")
    meta, values = json.loads(headers["x-meta"]), np.frombuffer(content, "<f4")
    assert meta["shape"] == [20, 1, len(stick()), 3]
    frames = values.reshape(meta["shape"])
    assert np.isnan(frames[:5]).all()  # nobody was there
    stored = running.session.archive.clip(1)[5:20]
    assert np.allclose(np.sort(np.abs(frames[5:])), np.sort(np.abs(stored)), atol=1e-6)


def test_envelope_is_lowest_and_highest_of_each_part(client: Client, running: Application) -> None:
    _, headers, content = client.ask("/api/signal?clip=0&start=0&end=6&points=12")
    meta = json.loads(headers["x-meta"])
    found = np.frombuffer(content, "<f4").reshape(meta["shape"])
    clip = running.session.archive.clip(0).astype(np.float64)
    moved = np.linalg.norm(np.diff(clip, axis=0), axis=-1)[:, 0] * 10.0
    speed = np.concatenate([[np.nan], np.where(np.arange(1, 60) > 5, moved.mean(axis=1), np.nan)])
    for part in range(1, 12):
        own = speed[part * 5 : part * 5 + 5]
        if np.isfinite(own).any():
            assert found[part, 0] == pytest.approx([np.nanmin(own), np.nanmax(own)], rel=1e-5)
    assert meta["units"] == ["m/s"]


def test_envelope_of_a_sensor_is_that_of_all_its_samples(tmp_path: Path) -> None:
    from motet.application import motion

    rng = np.random.default_rng(1)
    skeleton = layout("imu-2")
    with ArchiveWriter(tmp_path / "s.motet", skeleton=skeleton, fps=50.0, units="g, deg/s") as writer:
        writer.add(rng.normal(size=(200_000, 1, 2, 3)), name="day")
    archive = MotionArchive.open(writer.destination)
    window = motion.envelope(archive, 0, 0.0, 4000.0, 100)
    assert window.meta["units"] == ["g"] * 3 + ["deg/s"] * 3
    found = window.values
    whole = archive.clip(0).reshape(100, 2000, 6)
    assert np.array_equal(found[..., 0], whole.min(axis=1))
    assert np.array_equal(found[..., 1], whole.max(axis=1))
    part = motion.envelope(archive, 0, 10.0, 12.0, 4000).values
    assert np.array_equal(part[..., 0], archive.clip(0)[500:600].reshape(100, 6))


def test_edits_are_kept_in_a_track_and_the_labels_of_the_archive_stay(client: Client, running: Application) -> None:
    add = {"do": "add", "clip": 2, "start": 1.0, "end": 2.0, "label": HOSTILE}
    answer = client.json("/api/labels", method="POST", body={"operations": [add], "rater": "ann", "since": 0})
    assert answer["added"][0][1:5] == [2, 1.0, 2.0, HOSTILE]
    fresh = MotionArchive.open(running.session.archive.path)
    assert fresh.tracks["labels"]["label"].to_list() == [HOSTILE]
    assert fresh.labels.tolist() == [0, 1, 0, 1]
    assert client.json("/api/undo", method="POST", body={"rater": "ann", "since": answer["revision"]})["removed"]
    assert len(MotionArchive.open(fresh.path).tracks["labels"]) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/motion?clip=99&start=0&end=1",
        "/api/motion?clip=-1&start=0&end=1",
        "/api/motion?clip=x&start=0&end=1",
        "/api/motion?clip=0&start=nan&end=1",
        "/api/signal?clip=0&start=0",
        "/api/labels?since=x",
        "/api/export?format=../../etc",
    ],
)
def test_questions_that_make_no_sense_get_one_line(client: Client, path: str) -> None:
    status, _, content = client.ask(path)
    assert status == 409
    assert b"\n" not in content
    assert b"Traceback" not in content


def test_small_answers_are_sent_at_once(running: Application) -> None:
    [server] = running.server.servers
    [listener] = server.sockets
    assert listener.proto == socket.IPPROTO_TCP  # from which asyncio knows that it may set TCP_NODELAY


def test_the_application_ends_at_once_before_its_features_are_made(running: Application) -> None:
    session = Session(running.session.archive, None, track="labels", rater="ann")
    session.close()
    assert not session.teacher._thread.is_alive()


def test_a_port_that_is_taken_is_said(running: Application) -> None:
    port = urlsplit(running.address).port
    assert port is not None
    with pytest.raises(ConfigError, match=r"cannot listen .* choose another --port"):
        app(running.session.archive, browser=False, port=port)
