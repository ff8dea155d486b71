from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from cloome_sk.datasets._download import DownloadError, download

BODY = os.urandom(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def test_writes_the_body_and_returns_its_hash(public_host, tmp_path):
    public_host.files["/a/b.bin"] = BODY
    target = tmp_path / "new" / "folder" / "b.bin"
    assert download(f"{public_host.url}/a/b.bin", target, sha256=SHA256.upper()) == SHA256
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]


def test_without_a_hash_any_body_is_taken(public_host, tmp_path):
    public_host.files["/x"] = b""
    assert download(f"{public_host.url}/x", tmp_path / "x") == hashlib.sha256(b"").hexdigest()
    assert (tmp_path / "x").read_bytes() == b""


def test_follows_redirects(public_host, tmp_path):
    public_host.files["/there"] = BODY
    public_host.redirects["/here"] = "/there"
    assert download(f"{public_host.url}/here", tmp_path / "x") == SHA256


def test_file_permissions_are_the_users_own(public_host, tmp_path):
    public_host.files["/x"] = BODY
    download(f"{public_host.url}/x", tmp_path / "x")
    (tmp_path / "plain").touch()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_wrong_hash_leaves_the_old_file(public_host, tmp_path, leftovers):
    public_host.files["/x"] = BODY[:-1] + b"!"
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(
        DownloadError, match=r"not the expected file: SHA-256 .* instead of"
    ) as info:
        download(f"{public_host.url}/x", tmp_path / "x", sha256=SHA256)
    assert SHA256 in str(info.value)
    assert leftovers() == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_missing_file_on_the_host(public_host, tmp_path, leftovers):
    with pytest.raises(DownloadError, match=r"nothing\.bin answered 404 .*have a copy, put it at"):
        download(f"{public_host.url}/nothing.bin", tmp_path / "x")
    assert leftovers() == []


def test_body_that_breaks_off(public_host, tmp_path, leftovers):
    public_host.files["/x"] = BODY
    public_host.announce_more = 5
    with pytest.raises(DownloadError, match="broke off after 300,000 of 300,005 bytes"):
        download(f"{public_host.url}/x", tmp_path / "x")
    assert leftovers() == []


def test_host_that_falls_silent(public_host, tmp_path, leftovers):
    public_host.files["/x"] = BODY
    public_host.hang_after = 1000
    with pytest.raises(DownloadError, match=r"Cannot download .*timed out"):
        download(f"{public_host.url}/x", tmp_path / "x", timeout=0.3)
    assert leftovers() == []


def test_offline(tmp_path, leftovers):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match=r"refused.*offline\?"):
        download(f"http://127.0.0.1:{port}/x", tmp_path / "x")
    assert leftovers() == []


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "x.csv"])
def test_other_kinds_of_address_are_refused(url, tmp_path, leftovers):
    with pytest.raises(ValueError, match="Only http and https"):
        download(url, tmp_path / "x")
    assert leftovers() == []


def test_large_file_pointer_is_not_taken_for_the_file(public_host, tmp_path, leftovers):
    public_host.files["/x"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    with pytest.raises(DownloadError, match=r"Git LFS pointer.*base_url"):
        download(f"{public_host.url}/x", tmp_path / "x")
    assert leftovers() == []


def test_progress_only_when_asked_for(public_host, tmp_path, capsys):
    public_host.files["/x.bin"] = BODY
    download(f"{public_host.url}/x.bin", tmp_path / "x.bin")
    assert capsys.readouterr() == ("", "")
    download(f"{public_host.url}/x.bin", tmp_path / "x.bin", verbose=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "x.bin: 100%" in shown.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_midway(public_host, tmp_path, leftovers, how):
    public_host.files["/x"] = BODY
    public_host.hang_after = 100_000
    code = (
        # A process started in the background of a shell inherits that Ctrl-C is ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import sys; from cloome_sk.datasets._download import download; "
        "download(sys.argv[1], sys.argv[2])"
    )
    command = [sys.executable, "-c", code, f"{public_host.url}/x", str(tmp_path / "x")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while not any(p.stat().st_size for p in tmp_path.iterdir()):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert not (tmp_path / "x").exists()
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert leftovers() == []
