"""Starting and stopping the application."""

from __future__ import annotations

import getpass
import secrets
import socket
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive

if TYPE_CHECKING:
    from uvicorn import Server

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERY = ("0.0.0.0", "::")
"""hosts that let other machines in under every address of this one."""
TRACK = "labels"


class Application:
    """A server that runs until :meth:`close`; also a context manager.

    Attributes:
        address: what to open in a browser, token included.
    """

    def __init__(
        self, archive: MotionArchive, model: str | None, *, host: str, port: int, track: str, rater: str | None
    ) -> None:
        try:
            import uvicorn

            from motet.application.security import Guard
            from motet.application.server import build
        except ImportError as error:
            raise ConfigError("the application needs more packages: pip install 'motet[app]'") from error
        from motet.application.session import Session

        token = secrets.token_urlsafe(24)
        listener = _listen(host, port)
        actual = listener.getsockname()[1]
        names = _names(host)
        self.address = f"http://{names[0]}:{actual}/?token={token}"
        self.session = Session(archive, model, track=track, rater=rater or _user())
        guarded = Guard(build(self.session), token=token, hosts={f"{name}:{actual}".lower() for name in names})
        config = uvicorn.Config(
            guarded, log_level="error", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=3
        )
        self.server: Server = uvicorn.Server(config)
        # a thread of its own: signals stay with the program, a notebook continues while the server runs
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Block until the server ends."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """End the server; edits are on disk already."""
        self.server.should_exit = True
        self.session.closing.set()
        self._thread.join(5)
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _repr_html_(self) -> str:
        """In a notebook: a link."""
        return f'<a href="{self.address}" target="_blank" rel="noopener">Open the application</a>'


def app(
    archive: str | Path | MotionArchive,
    model: str | Path | None = None,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    browser: bool = True,
    track: str = TRACK,
    rater: str | None = None,
) -> Application:
    """Look at recordings, label them and teach a classifier, in a browser page that this machine serves.

    Args:
        archive: recordings with a known frame rate.
        model: run, weights or classifier whose features the page uses; the shipped ones by default.
        port: of the server; 0 takes a free one.
        host: address to listen on; the loopback address unless others are to be let in.
        browser: open the page.
        track: label track that is edited; the archive's own labels are never changed.
        rater: whose labels they are, unless the page says another name; the user's name by default.

    Returns:
        The running application; ``.address`` has the token, ``.close()`` ends it.

    Raises:
        ConfigError: the port is taken, packages are missing, or the frame rate is unknown.
    """
    opened = MotionArchive.open(archive)
    found = Application(opened, None if model is None else str(model), host=host, port=port, track=track, rater=rater)
    if browser:
        webbrowser.open(found.address)
    return found


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, asyncio sends small answers at once (TCP_NODELAY); else each waits 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}, port {port} ({error}); choose another --port or --host") from error
    return listener


def _names(host: str) -> list[str]:
    """Under what names requests may come, the one to print first."""
    local = ["127.0.0.1", "localhost"]
    if host in LOOPBACK:
        found = [host, *local]
    elif host in EVERY:  # whatever this machine is called
        found = [socket.gethostname()]
        with suppress(OSError):
            found += sorted({str(one[4][0]) for one in socket.getaddrinfo(found[0], None)})
        found += local
    else:
        found = [host]
    return [f"[{name}]" if ":" in name else name for name in found]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name for this user
        return "me"
