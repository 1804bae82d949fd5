# SPDX-License-Identifier: GPL-2.0-or-later
"""What GoBGP does with what it is given, and that one peer's daemon is its own alone."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.upstream.neighbours import Site
from tests.lab.upstream.routers import needed
from tests.support.upstream import PEER, table
from tests.unit.upstream.bgp.gobgp.test_routes import MATCHES, text
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors.formats import gobgp
from xdpctl.errors import RuleError
from xdpctl.lab.waiting import eventually
from xdpctl.model.match.text import parse
from xdpctl.upstream.bgp.gobgp.configuration import PROGRAM, command, configuration, files
from xdpctl.upstream.bgp.gobgp.daemon import Daemon
from xdpctl.upstream.bgp.gobgp.routes import path
from xdpctl.upstream.flowspec import route

HOLE = "route 198.51.100.7/32 next-hop 192.0.2.2 community [ 65535:666 no-export ]"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    needed()
    peer = table(PEER | {"address": "127.0.0.1", "local_address": "127.0.0.2"}).peers[0]
    (tmp_path / files(0)[0]).write_text(configuration(peer, ""))
    words = command(f"/usr/bin/{PROGRAM}", tmp_path, 0)
    made = Daemon(peer.host, words, tmp_path / files(0)[1], lambda _: None)
    made.start()
    assert eventually(lambda: made._client)
    yield made
    made.end()
    made.wait()
    assert not made._thread.is_alive()


def shown(daemon: Daemon, family: str) -> str:
    words = ["gobgp", "--target", f"unix://{daemon._socket}", "global", "rib", "-a", family, "-j"]
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
    assert daemon.announced() == 0


def process(daemon: Daemon) -> subprocess.Popen[bytes]:
    assert daemon._process is not None
    return daemon._process


def test_it_is_started_again_and_has_what_was_announced_before(daemon: Daemon) -> None:
    daemon.announce(path(HOLE))
    first = process(daemon)
    first.kill()
    assert eventually(lambda: process(daemon) is not first and daemon._client)
    assert "198.51.100.7/32" in shown(daemon, "ipv4")
    process(daemon).send_signal(signal.SIGSTOP)  # it hangs, which a question shows
    assert daemon.announced() == 1, "it will be announced again"
    daemon.withdraw(path(HOLE))
    assert eventually(lambda: daemon._client)
    assert daemon.announced() == 0


def test_it_listens_to_nobody(daemon: Daemon) -> None:
    found = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    assert f"pid={process(daemon).pid}," not in found


@pytest.mark.parametrize("site", ["gobgp"], indirect=True)
def test_what_happens_to_the_daemon_of_one_peer_is_nothing_to_the_other(site: Site) -> None:
    """A peer can crash its own: some malformed routes make GoBGP 3.36 panic."""
    site.configure(isp="hold_time = 3")
    site.start()
    site.approve(site.proposals()[0])
    assert eventually(lambda: site.frr.flowspec())
    other = site.send("gobgpd-1.toml", signal.SIGKILL)
    assert eventually(lambda: site.child("gobgpd-1.toml") not in (0, other))
    assert site.up()["isp1"]
    assert site.frr.flowspec(), "it was never away"
    assert eventually(lambda: site.up()["scrubber"])
    hanging = site.send("gobgpd-0.toml", signal.SIGSTOP)
    assert eventually(lambda: not site.frr.flowspec()), "the hold time is over"
    assert eventually(lambda: site.frr.flowspec()), "it was ended, and started again"
    assert site.child("gobgpd-0.toml") != hanging
    assert site.up() == {"isp1": True, "scrubber": True}
