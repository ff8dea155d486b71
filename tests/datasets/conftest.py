"""A server on the loopback interface that stands for the public hosts."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class LoopbackHost:
    """Serves `files` (path -> bytes) and misbehaves on request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.requested: list[str] = []
        self.announce_more = 0
        self.hang_after: int | None = None
        self.let_go = threading.Event()
        self.url = ""

    def add(self, source, content: bytes) -> None:
        """Serve `content` where `source` lies on its public host."""
        self.files[source.url("")] = content


def _handler(host: LoopbackHost) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.requested.append(self.path)
            if self.path in host.redirects:
                self.send_response(302)
                self.send_header("Location", host.redirects[self.path])
                self.end_headers()
                return
            if self.path not in host.files:
                self.send_error(404)
                return
            body = host.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + host.announce_more))
            self.end_headers()
            if host.hang_after is None:
                self.wfile.write(body)
                return
            self.wfile.write(body[: host.hang_after])
            self.wfile.flush()
            host.let_go.wait(30)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def public_host() -> Iterator[LoopbackHost]:
    """A running `LoopbackHost`; its `url` goes where a base_url is asked for."""
    host = LoopbackHost()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(host))
    server.daemon_threads = True
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield host
    host.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without pyarrow."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)


@pytest.fixture
def leftovers(tmp_path) -> Callable[[], list[str]]:
    """The files below tmp_path, to show that nothing was left behind."""
    return lambda: sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the machine must not stand between a test and the loopback interface."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
