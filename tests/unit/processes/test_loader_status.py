# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader's status: ports, prefixes to protect, and for a while those protected before."""

import json
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.system import sd_notify
from xdpctl.config.listen import Listen
from xdpctl.config.settings import Settings
from xdpctl.datapath.loader import neighbours
from xdpctl.processes import loader_status
from xdpctl.processes.sockets import tcp_listener

LOADER: Any = SimpleNamespace(ports={}, modules=None)
GATEWAY, RESOLVER = "192.0.2.1/32", "192.0.2.53/32"


class Host:
    """Its addresses and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: dict[Prefix, str] = {}
        self.now = 1000.0
        monkeypatch.setattr(neighbours, "to_protect", lambda: self.found)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def protect(self, **why: str) -> None:
        named = {"gateway": GATEWAY, "resolver": RESOLVER}
        self.found = {parse_prefix(named[name]): text for name, text in why.items()}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def told(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = json.loads(settings.loader_status.read_text())["protect"]
    return found


def test_earlier_protection_stays_until_the_network_had_time_to_start(
    host: Host, tmp_path: Path
) -> None:
    settings = Settings(state_dir=tmp_path)
    host.protect(gateway="gateway", resolver="resolver")
    loader_status.Status(settings, LOADER).write()
    assert told(settings) == {GATEWAY: "gateway", RESOLVER: "resolver"}
    host.protect()  # another boot: no address yet
    again = loader_status.Status(settings, LOADER)
    again.write()
    assert told(settings) == {GATEWAY: "gateway", RESOLVER: "resolver"}
    host.protect(gateway="another reason")
    host.now += 60
    again.write()
    assert told(settings) == {GATEWAY: "another reason", RESOLVER: "resolver"}
    host.now += 61
    again.write()
    assert told(settings) == {GATEWAY: "another reason"}, "then what is here now counts"


@pytest.mark.parametrize("left", ["", "{", "[]", '{"protect": 1}', '{"protect": null}'])
def test_a_damaged_report_is_ignored(host: Host, tmp_path: Path, left: str) -> None:
    settings = Settings(state_dir=tmp_path)
    settings.loader_dir.mkdir()
    settings.loader_status.write_text(left)
    host.protect(gateway="gateway")
    loader_status.Status(settings, LOADER).write()
    assert told(settings) == {GATEWAY: "gateway"}


def test_protection_that_is_switched_off_is_not_looked_for(host: Host, tmp_path: Path) -> None:
    host.protect(gateway="gateway")
    loader_status.Status(Settings(state_dir=tmp_path), LOADER).write()
    settings = Settings(state_dir=tmp_path, protect_found=False)
    loader_status.Status(settings, LOADER).write()
    assert told(settings) == {}


def test_systemd_is_notified_that_the_process_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    sd_notify.ready()  # nobody to tell
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
        ears.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        sd_notify.ready()
        assert ears.recv(100) == b"READY=1"


def test_an_address_that_is_not_there_yet_can_be_listened_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = tcp_listener(Listen(host="203.0.113.99", port=8460))
    assert listener is not None
    assert listener.getsockname() == ("203.0.113.99", 8460)
    assert "203.0.113.99 is not an address of this host yet" in caplog.text
    listener.close()
