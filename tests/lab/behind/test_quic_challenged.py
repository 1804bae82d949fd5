# SPDX-License-Identifier: GPL-2.0-or-later
"""Real clients of a real web server get their pages while the QUIC of others is challenged."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.harm import http3
from tests.conftest import need
from tests.lab.behind.floods import flooding
from tests.lab.behind.places import CLIENTS, CLIENTS6, SERVER, SERVER6, SETTINGS6, Place, place
from tests.lab.conftest import generator
from tests.lab.questions import counted
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator
from xdpctl.lab.waits import eventually

__all__ = ["generator"]
_NGINX = """
daemon off;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{}}
http {{
  access_log off;
  http2 on;
  server {{
    listen {server}:443 quic;
    listen {server}:443 ssl;
    listen [{server6}]:443 quic;
    listen [{server6}]:443 ssl;
    ssl_certificate {folder}/web.pem;
    ssl_certificate_key {folder}/web.key;
    location / {{ return 200 "good morning, class"; }}
  }}
}}
"""
_PATIENT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Page:
    """A page that came, over which version of HTTP, and after how many seconds."""

    version: str
    seconds: float


def visit(here: Place, client: str, only_quic: bool = False) -> Page | None:
    """Get a page with curl from this address; it takes TCP if QUIC is silent. None if it fails."""
    server = f"[{SERVER6}]" if ":" in client else SERVER
    way = "--http3-only" if only_quic else "--http3"
    asks = ("curl", "-sk", way, "--interface", client, "-m", str(_PATIENT_SECONDS))
    with here.world.popen(
        *asks, "-w", "\n%{http_version} %{time_total}", f"https://{server}/", stdout=subprocess.PIPE
    ) as curl:
        said = curl.communicate()[0].decode().splitlines()
    if curl.returncode:
        return None
    version, seconds = said[1].split()
    return Page(version, float(seconds))


@contextmanager
def serving(generator: Generator, folder: Path) -> Iterator[tuple[Box, Place]]:
    """A box on a bridge before a web server; QUIC is challenged."""
    need(bool(shutil.which("nginx")), "nginx")
    with place("bridge", generator.pass_fd) as here:
        here.add_six()
        http3.certify(folder, "web")
        settings = _NGINX.format(folder=folder, server=SERVER, server6=SERVER6)
        (folder / "nginx.conf").write_text(settings)
        box = Box(here.box, ["out0"])
        box.detects, box.settings = False, SETTINGS6
        with here.server.popen("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")) as web:
            try:
                box.start()
                assert eventually(lambda: visit(here, CLIENTS[0], only_quic=True) is not None)
                for server in (SERVER, SERVER6):
                    rule = {"match": f"dst {server} udp dst-port 443", "action": "challenge"}
                    box.client.call("POST", "/v1/rules", json=rule)
                yield box, here
            finally:
                web.terminate()
                box.remove()


@pytest.mark.parametrize("clients", [CLIENTS, CLIENTS6], ids=["IPv4", "IPv6"])
def test_a_visitor_comes_by_tcp_and_then_by_quic(
    generator: Generator, tmp_path: Path, clients: list[str]
) -> None:
    first, other = clients[1], "2001:db8:cb:1::1" if clients is CLIENTS6 else clients[2]
    with serving(generator, tmp_path) as (_, here):
        if other not in clients:
            here.world.ip(f"addr add {other}/128 dev lo")
        page = visit(here, first)
        assert page, "no page"
        assert page.version == "2"
        page = visit(here, first, only_quic=True)
        assert page, "who has come by TCP may come by QUIC"
        assert page.version == "3"
        page = visit(here, other)
        assert page, "another source"
        assert page.version == "2"


def test_visitors_get_their_pages_in_a_flood_of_initials(
    generator: Generator, tmp_path: Path
) -> None:
    """The flood has forged the visitors' addresses, too."""
    with serving(generator, tmp_path) as (box, here):
        with flooding(here, generator, "QUIC", 50_000):
            assert eventually(lambda: counted(box, Reason.CHALLENGED) > 25_000)
            pages = [visit(here, client) for client in CLIENTS[:20]]
            again = [visit(here, client, only_quic=True) for client in CLIENTS[:20]]
        assert all(pages), pages
        assert all(again), again
        assert counted(box, Reason.FAULT) == 0
