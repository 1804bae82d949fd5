# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker ends when the bridge dies or hangs, so that no route stays announced."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from xdpctl.upstream.bgp import __main__ as launcher
from xdpctl.upstream.bgp import exabgp

_BRIDGE = """
import os, socket, sys, time
beats = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for _ in range(5):
    beats.sendto(str(os.getpid()).encode(), sys.argv[1])
    time.sleep(0.05)
time.sleep({stays})
"""
_SPEAKER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {bridge!r}, {path!r}])
time.sleep(60)
"""


def played(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> str:
    monkeypatch.setattr(exabgp, "command", lambda _: [sys.executable, "-c", code])
    monkeypatch.setattr(launcher, "_HUNG_SECONDS", 1.0)
    monkeypatch.setattr(launcher, "_START_SECONDS", 2.5)
    return launcher.run(folder)


@pytest.mark.parametrize(("stays", "why"), [(0, "the bridge died"), (60, "the bridge hangs")])
def test_the_launcher_ends_without_its_bridge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stays: int, why: str
) -> None:
    bridge = _BRIDGE.format(stays=stays)
    code = _SPEAKER.format(bridge=bridge, path=str(tmp_path / "beats.sock"))
    assert played(monkeypatch, tmp_path, code) == why


def test_a_requested_stop_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        assert played(monkeypatch, tmp_path, "import time; time.sleep(60)") == ""
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_a_bridge_that_never_starts_counts_as_hanging(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert played(monkeypatch, tmp_path, "import time; time.sleep(60)") == "the bridge hangs"


def test_the_end_of_the_speaker_is_logged_with_its_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert played(monkeypatch, tmp_path, "raise SystemExit(3)") == "the speaker ended with status 3"
    assert (tmp_path / "beats.sock").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("noise", [b"", b"x", b"-1", b"9" * 16])
def test_unexpected_messages_at_its_socket_end_the_launcher(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noise: bytes
) -> None:
    code = (
        "import socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        f"s.sendto({noise!r}, {str(tmp_path / 'beats.sock')!r}); time.sleep(60)"
    )
    assert played(monkeypatch, tmp_path, code) in ("the bridge died", "the bridge hangs")
