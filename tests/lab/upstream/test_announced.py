# SPDX-License-Identifier: GPL-2.0-or-later
"""Announcements reach the provider's router and end by themselves; no foreign route leaves."""

import os
import signal
import time
from functools import partial

import pytest

from tests.lab.upstream.neighbours import SPEAKER, Site
from tests.lab.upstream.routers import Bird, Frr
from xdpctl.lab.waits import eventually


def test_announced_routes_reach_the_provider_and_withdrawn_ones_leave(site: Site) -> None:
    site.start()
    assert not site.frr.flowspec()
    site.announce(bps=2_000_000)
    assert eventually(lambda: site.frr.flowspec())
    (text,) = site.frr.flowspec()
    assert "Destination Address 198.51.100.7/32" in text
    assert "IP Protocol = 17" in text
    assert "FS:rate 250000" in text, "in bytes"
    site.blackhole()
    assert eventually(lambda: site.frr.routes())
    detail = str(site.frr.show("show bgp ipv4 unicast 198.51.100.7/32 json"))
    assert "blackhole" in detail.lower()
    assert "no-export" in detail.lower() or "noExport" in detail
    listed = site.upstream()["announcements"]
    assert all(each["told"] and each["state"] == "announced" for each in listed)
    site.box.cli("upstream", "withdraw", "--all")
    assert eventually(lambda: not site.frr.flowspec() and not site.frr.routes())
    assert not site.gobgp.learnt(), "the other peer never saw any of it"


def test_bird_accepts_flowspec_and_blackhole_routes_as_well(site: Site) -> None:
    site.frr.stop()
    bird = Bird(site.isp, "192.0.2.1", "192.0.2.2")
    try:
        bird.start()
        site.configure(isp="limits = false")
        site.start()
        site.announce()
        site.blackhole()
        assert eventually(lambda: bird.flowspec() and bird.routes())
        assert "dst 198.51.100.7/32; proto 17; sport 53;" in bird.flowspec()
        assert "0x80060000, 0x0" in bird.flowspec(), "traffic-rate 0 (RFC 8955 section 7.1)"
        assert "(65535,666) (65535,65281)" in bird.routes(), "blackhole and no-export"
        site.box.cli("upstream", "withdraw", "--all")
        assert eventually(lambda: not bird.flowspec() and not bird.routes())
    finally:
        bird.stop()


@pytest.mark.parametrize("originate", [False, True])
def test_a_router_that_validates_takes_flowspec_with_our_prefix_around_it(
    site: Site, originate: bool
) -> None:
    site.frr.stop()
    bird = Bird(site.isp, "192.0.2.1", "192.0.2.2", validates=True)
    try:
        bird.start()
        site.configure(isp="originate = true" if originate else "")
        site.start()
        site.announce(bps=2_000_000)
        assert eventually(bird.flowspec)
        if not originate:
            assert eventually(lambda: "unreachable" in bird.flowspec()), bird.flowspec()
            return
        assert eventually(lambda: "unreachable" not in bird.flowspec()), bird.flowspec()
        assert "198.51.100.0/24" in bird.routes()
        site.box.cli("upstream", "withdraw", "--all")
        assert eventually(lambda: not bird.flowspec() and not bird.routes())
    finally:
        bird.stop()


def test_routes_of_one_peer_never_reach_another(site: Site) -> None:
    site.start()
    site.gobgp.flow("match destination 198.51.100.9/32 protocol udp then discard")
    site.gobgp.run("global rib add 198.51.100.9/32 community 65535:666")
    assert eventually(lambda: site.rules())
    site.announce(bps=2_000_000)
    assert eventually(lambda: site.frr.flowspec())
    time.sleep(1)
    assert len(site.frr.flowspec()) == 1, "only our own routes"
    assert not site.frr.routes()


def test_routes_survive_sigkill_of_each_process_in_turn(site: Site) -> None:
    """Routes with time left stay or are announced again; without any process they are withdrawn."""
    site.configure(ttl="10m")
    site.start()
    site.announce(bps=2_000_000)
    assert eventually(lambda: site.frr.flowspec())
    for words in ("xdpctl.upstream.bgp.bridge", SPEAKER, "xdpctl_api"):
        victim = site.send(words, signal.SIGKILL)
        assert eventually(partial(_another, site, words, victim)), words
        assert eventually(lambda: site.frr.flowspec()), words
        assert eventually(lambda: site.up() == {"isp1": True, "scrubber": True}), words
    site.box.kill()  # nobody is left to withdraw it, and the session ends
    assert eventually(lambda: not site.frr.flowspec())


def _another(site: Site, words: str, before: int) -> bool:
    return site.child(words) not in (0, before)


def test_routes_end_on_time_while_the_control_plane_is_away(site: Site) -> None:
    site.configure(ttl="6s")
    site.start()
    site.announce(bps=2_000_000)
    began = time.monotonic()
    assert eventually(lambda: site.frr.flowspec())
    site.send("xdpctl_api", signal.SIGSTOP)
    try:
        assert eventually(lambda: not site.frr.flowspec())
        assert time.monotonic() - began > 4, "its time is over"
    finally:
        site.send("xdpctl_api", signal.SIGCONT)


@pytest.mark.parametrize("site", ["exabgp"], indirect=True)
def test_a_hanging_speaker_is_reported_and_loses_its_session(site: Site) -> None:
    site.configure(isp="hold_time = 3")
    site.start()
    site.announce(bps=2_000_000)
    assert eventually(lambda: site.frr.flowspec())
    hanging = site.send(SPEAKER, signal.SIGSTOP)
    try:
        assert eventually(lambda: not site.frr.flowspec()), "the hold time is over"

        def said() -> bool:
            return "BGP speaker" in str(site.box.client.call("GET", "/v1/status")["warnings"])

        assert eventually(said)
    finally:
        os.kill(hanging, signal.SIGCONT)
    assert eventually(lambda: site.frr.flowspec()), "and it is announced again"


def test_a_password_guards_the_session_and_a_wrong_one_is_suggested_as_the_cause(
    site: Site,
) -> None:
    site.frr.stop()
    guarded = Frr(site.isp, "192.0.2.1", "192.0.2.2", " neighbor 192.0.2.2 password r1ght\n")
    path = site.box.directory / "password"
    site.configure(isp=f'password_file = "{path}"')
    try:
        guarded.start()
        path.write_text("wr0ng\n")
        path.chmod(0o600)
        site.start(sessions=1)
        assert eventually(lambda: "password" in site.peer("isp1")["why"])
        site.box.stop()
        path.write_text("r1ght\n")
        site.start()
        for held in (site.box.directory / "state" / "bgp").iterdir():
            assert held.suffix == ".sock" or held.stat().st_mode & 0o077 == 0
        assert "r1ght" not in site.box.log.read_text()
    finally:
        guarded.stop()


def test_a_mismatch_with_the_peer_is_named(site: Site) -> None:
    site.box.settings = site.box.settings.replace("peer_as = 64496", "peer_as = 64499")
    site.start(sessions=1)
    assert eventually(lambda: "AS numbers do not agree" in site.peer("isp1")["why"])
    assert not site.peer("isp1")["up"]
