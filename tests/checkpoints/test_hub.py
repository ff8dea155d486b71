"""Downloads by revision and hash, from a server on this machine that answers as the hub does."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cloome_sk.checkpoints import HubError, from_pretrained, hub

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """What `hf_hub_download` asks of the hub: HEAD and GET of files, and codes of its errors."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.content = CONTENT
        self.status: int | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        if self.answer():
            self.wfile.write(self.server.content)

    def answer(self) -> bool:
        self.server.asked.append(f"{self.command} {self.path}")
        repository, _, place = self.path.removeprefix("/").partition("/resolve/")
        revision, _, file = place.partition("/")
        error = None
        if self.server.status is not None:
            error = (self.server.status, "")
        elif repository == "lab/gated":
            error = (403, "GatedRepo")
        elif repository != "lab/weights":
            error = (404, "RepoNotFound")
        elif revision not in (COMMIT, "main"):
            error = (404, "RevisionNotFound")
        elif file != "models/weights.pt":
            error = (404, "EntryNotFound")
        if error is not None:
            self.send_response(error[0])
            if error[1]:
                self.send_header("X-Error-Code", error[1])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(self.server.content).hexdigest()}"')
        self.send_header("Content-Length", str(len(self.server.content)))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        return True

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the requests out of the test's output."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Hub]:
    settings = pytest.importorskip(
        "huggingface_hub.constants", reason='needs pip install "cloome_sk[hub]"'
    )
    # Whatever the machine's own settings are, this server is reached.
    monkeypatch.setattr(settings, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(server, tmp_path):
    """Ask the server, unless told otherwise for the right file."""

    def ask(repo_id="lab/weights", filename="models/weights.pt", **changes) -> Path:
        changes = {
            **{"revision": COMMIT, "sha256": SHA256, "endpoint": server.address},
            **{"cache_dir": tmp_path / "cache", **changes},
        }
        return from_pretrained(repo_id, filename, **changes)

    return ask


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr(hub, "_told", set())


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_the_file_arrives_and_is_asked_for_once(ask, server, tmp_path, revision):
    path = ask(revision=revision, sha256=SHA256.upper())
    assert path.read_bytes() == CONTENT
    assert tmp_path / "cache" in path.parents
    file = f"/lab/weights/resolve/{revision}/models/weights.pt"
    assert f"HEAD {file}" in server.asked
    assert any(asked.startswith("GET ") for asked in server.asked)
    n_asked = len(server.asked)
    assert ask(revision=revision) == path
    assert len(server.asked) == n_asked


def test_the_licence_is_spoken_of_once(ask, capfd):
    for _ in range(2):
        ask()
    printed = capfd.readouterr()
    assert printed.err.count("licence") == 1
    assert "The licence of the weights in 'lab/weights' is unverified" in printed.err
    assert not printed.out


def test_another_file_than_expected(ask, capsys):
    wrong = "ab" * 32
    for _ in range(2):  # nor the second time, when it lies there already
        with pytest.raises(HubError) as caught:
            ask(sha256=wrong)
        message = str(caught.value)
        assert f"SHA-256 {SHA256} instead of {wrong}. It was not used." in message
        assert "'models/weights.pt' of 'lab/weights' at revision" in message
    assert "licence" not in capsys.readouterr().err


def test_a_damaged_file_is_not_used_and_comes_back_once_deleted(ask):
    path = ask()
    path.resolve().write_bytes(CONTENT[:-1])
    with pytest.raises(HubError, match="delete it there") as caught:
        ask()
    assert repr(str(path)) in str(caught.value)
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    assert ask().read_bytes() == CONTENT


def test_a_branch_that_moved_on(ask, server):
    server.content = b"the old weights"
    old = hashlib.sha256(server.content).hexdigest()
    assert ask(revision="main", sha256=old).read_bytes() == server.content
    server.content = CONTENT
    # The server has one commit, so the hub's client keeps what it has of it.
    with pytest.raises(HubError, match=f"SHA-256 {old} instead of {SHA256}"):
        ask(revision="main")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"repo_id": "lab/other"}, "there is no such repository, or it is private"),
        ({"revision": "f" * 40}, "the repository has no such revision"),
        ({"revision": "v2"}, "the repository has no such revision"),
        ({"filename": "weights.pt"}, "there is no such file at that revision"),
    ],
)
def test_what_the_hub_does_not_have(ask, changes, named):
    with pytest.raises(HubError) as caught:
        ask(**changes)
    message = str(caught.value)
    assert named in message
    assert all(repr(value) in message for value in changes.values())
    assert "If you have a copy of the file, give its path instead." in message


def test_weights_on_request(ask):
    with pytest.raises(HubError, match="its authors grant access on request"):
        ask(repo_id="lab/gated")


@pytest.fixture
def without_waiting(monkeypatch):
    """The client waits between its attempts, 20 seconds in all."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_that_is_down(ask, server, status):
    server.status = status
    with pytest.raises(HubError, match=rf"gave no answer \(.*{status}"):
        ask()
    server.status = None
    path = ask()
    server.status = status
    assert ask() == path


def test_an_answer_of_another_kind(ask, server):
    server.status = 400
    with pytest.raises(HubError, match=r"Cannot download 'models/weights\.pt' of 'lab/weights'"):
        ask()


@pytest.mark.usefixtures("without_waiting")
def test_no_network(ask):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HubError, match=r"gave no answer \(.+Is this machine offline\?"):
        ask(endpoint=f"http://127.0.0.1:{port}")
    path = ask()
    assert ask(endpoint=f"http://127.0.0.1:{port}") == path


def test_switched_off(server, tmp_path):
    """`HF_HUB_OFFLINE` is read when huggingface_hub is imported, so in a process of its own."""
    code = (
        "import sys; from cloome_sk.checkpoints import HubError, from_pretrained\n"
        "try: print(from_pretrained('lab/weights', 'models/weights.pt', revision=sys.argv[1],"
        " sha256=sys.argv[2], cache_dir=sys.argv[3]))\n"
        "except HubError as error: print(error)\n"
    )

    def run(**environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, COMMIT, SHA256, str(tmp_path)],
            env={**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.address, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert "downloads are switched off (HF_HUB_OFFLINE)" in run(HF_HUB_OFFLINE="1")
    assert not server.asked
    path = run()
    assert Path(path).read_bytes() == CONTENT
    assert run(HF_HUB_OFFLINE="1") == path


@pytest.mark.parametrize("value", ["", "   ", None])
def test_no_revision(value):
    with pytest.raises(ValueError, match="revision must name a commit, tag or branch"):
        from_pretrained("lab/weights", "weights.pt", revision=value, sha256=SHA256)


@pytest.mark.parametrize("value", ["", "ab" * 31, "xy" * 32, None, "ab" * 33])
def test_no_hash(value):
    with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits"):
        from_pretrained("lab/weights", "weights.pt", revision=COMMIT, sha256=value)


def test_both_are_required():
    with pytest.raises(TypeError, match=r"'revision' and 'sha256'"):
        from_pretrained("lab/weights", "weights.pt")


def test_a_name_that_no_repository_can_have(ask):
    with pytest.raises(ValueError, match="a/b/c"):
        ask(repo_id="a/b/c")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "cloome_sk\[hub\]"'):
        from_pretrained("lab/weights", "weights.pt", revision=COMMIT, sha256=SHA256)
