# SPDX-License-Identifier: GPL-2.0-or-later
"""A gobgpd without a peer: it has what it was given, as its own command line shows it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.upstream.routers import needed
from tests.support.upstream import PEER, table
from tests.unit.upstream.bgp.gobgp.test_routes import MATCHES, text
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors.formats import gobgp
from xdpctl.errors import RuleError
from xdpctl.model.match.text import parse
from xdpctl.upstream.bgp.gobgp.configuration import PATH, PROGRAM, configuration, files
from xdpctl.upstream.bgp.gobgp.daemon import Daemon
from xdpctl.upstream.bgp.gobgp.routes import path
from xdpctl.upstream.flowspec import route

HOLE = "route 198.51.100.7/32 next-hop 192.0.2.2 community [ 65535:666 no-export ]"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    needed()
    peer = table(PEER | {"address": "127.0.0.1", "local_address": "127.0.0.2"}).peers[0]
    (tmp_path / files(0)[0]).write_text(configuration(peer, ""))
    made = Daemon(f"/usr/bin/{PROGRAM}", PATH, tmp_path, 0, peer.host)
    failed = list[str]()
    made.connect(lambda _: None, failed.append)
    yield made
    assert not failed
    made.end()
    made.wait()


def shown(daemon: Daemon, family: str) -> str:
    words = ["gobgp", "--target", f"unix://{daemon.socket}", "global", "rib", "-a", family, "-j"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_gobgp_has_the_matches_that_it_was_given(daemon: Daemon) -> None:
    for victim, match in MATCHES:
        made = path(text(victim, match, "rate-limit 1000"))
        daemon.announce(made)
        assert daemon.announced() == 1
        listed = json.loads(shown(daemon, "ipv6-flowspec" if ":" in victim else "ipv4-flowspec"))
        (event,) = gobgp.read(
            json.dumps([each for paths in listed.values() for each in paths]).encode()
        )
        assert event.match == route(parse(match), parse_prefix(victim, "x")).match
        assert event.limit is not None
        daemon.withdraw(made)
        assert daemon.announced() == 0


def test_all_is_cleared_and_a_refusal_is_told(daemon: Daemon) -> None:
    daemon.announce(path(HOLE))
    daemon.announce(path(text("198.51.100.7/32", "udp")))
    assert daemon.announced() == 2
    assert f"[{65535 << 16 | 666},{65535 << 16 | 65281}]" in shown(daemon, "ipv4")
    daemon.clear()
    assert daemon.announced() == 0
    without = path(HOLE)
    del without.pattrs[:]
    with pytest.raises(RuleError, match="nexthop not found"):
        daemon.announce(without)
