# SPDX-License-Identifier: GPL-2.0-or-later
"""FlowSpec routes of a scrubbing centre are enforced, and hostile ones hit none of our hosts."""

import time

from tests.lab.logins import Logins
from tests.lab.upstream.neighbours import Site
from tests.lab.upstream.routers import Gobgp
from xdpctl.errors import Refused
from xdpctl.lab.waits import eventually

GOOD = "match destination 198.51.100.7/32 protocol udp source-port ==53 then discard"


def test_a_route_is_a_rule_until_it_or_its_session_ends(site: Site) -> None:
    site.start()
    site.gobgp.flow(GOOD)
    assert eventually(lambda: site.rules())
    site.gobgp.flow(GOOD, add=False)
    assert eventually(lambda: not site.rules())
    site.gobgp.flow(GOOD)
    assert eventually(lambda: site.rules())
    site.gobgp.kill()
    assert eventually(lambda: not site.rules())
    site.gobgp.start()
    site.gobgp.flow(GOOD)
    assert eventually(lambda: site.rules()), "the session is back"


def test_rules_of_a_peer_that_restarts_gracefully_stay_meanwhile(site: Site) -> None:
    site.gobgp.kill()
    site.gobgp = Gobgp(site.gobgp.host, "203.0.113.1", "203.0.113.2", graceful=True)
    site.gobgp.start()
    site.start()
    other = GOOD.replace("==53", "==123")
    site.gobgp.flow(GOOD)
    site.gobgp.flow(other)
    assert eventually(lambda: len(site.rules()) == 2)
    site.gobgp.kill()
    assert eventually(lambda: not site.up()["scrubber"])
    time.sleep(7)  # longer than a step of the receiver
    assert len(site.rules()) == 2
    site.gobgp.start()
    site.gobgp.flow(other)
    assert eventually(lambda: site.up()["scrubber"])
    assert eventually(lambda: len(site.rules()) == 1), "what it has not sent again ends"
    assert "123" in site.rules()[0]


def test_hostile_routes_are_refused_and_every_process_survives(site: Site) -> None:
    site.start()
    for words in (
        "match destination 0.0.0.0/0 then discard",
        "match destination 203.0.113.2/32 protocol tcp then discard",
        "match destination 192.0.2.2/32 protocol tcp destination-port ==22 then discard",
        "match source 0.0.0.0/0 then discard",
        "match destination 198.51.100.7/32 then discard",
        "match destination 198.51.100.7/32 protocol tcp then discard",
        "match destination 198.51.100.8/32 protocol udp then redirect 10:10",
        "match destination 198.51.100.9/32 protocol udp then mark 10",
    ):
        site.gobgp.flow(words)
    site.gobgp.run("global rib add 0.0.0.0/0")
    site.gobgp.flow(GOOD)
    assert eventually(lambda: len(site.rules()) == 1)
    why = " ".join(site.peer("scrubber")["not_applied"])
    for said in ("0.0.0.0/0 is not in", "asks for redirect", "asks for mark", "may not drop all"):
        assert said in why
    assert site.up() == {"isp1": True, "scrubber": True}


def test_the_number_of_routes_is_bounded_and_the_session_survives(site: Site) -> None:
    site.start()
    for number in range(400):
        host = f"198.51.100.{number % 250}/32"
        port = f"protocol udp destination-port =={1 + number}"
        site.gobgp.flow(f"match destination {host} {port} then discard")
    assert eventually(lambda: site.peer("scrubber")["beyond"] >= 200)
    peer = site.peer("scrubber")
    assert (peer["up"], peer["received"]) == (True, 200)
    assert eventually(lambda: len(site.rules()) == 128), "the quota of an origin"
    assert eventually(lambda: "quota" in str(site.peer("scrubber")["not_applied"]))
    assert eventually(site.box.ready)
    site.gobgp.run("global rib del all -a ipv4-flowspec")
    assert eventually(lambda: not site.rules())


def refuses(site: Site, source: str) -> bool:
    """Whether the control plane refuses a rule on a source: it has read who is logged in."""
    rule = {"match": f"src {source}", "action": "drop"}
    try:
        made = site.box.client.call("POST", "/v1/rules", json=rule)
    except Refused as error:
        return "a user is logged in" in str(error)
    site.box.client.call("DELETE", f"/v1/rules/{made['id']}")
    return False


def test_a_route_that_names_a_logged_in_user_is_refused(site: Site) -> None:
    logins = Logins(site.host)
    try:
        site.isp.ip("addr add 9.9.9.7 dev lo")
        site.host.ip("route add 9.9.9.0/24 via 192.0.2.1")
        logins.login(site.isp, "9.9.9.7", "192.0.2.2")
        site.start()
        assert eventually(lambda: refuses(site, "9.9.9.7"))
        site.gobgp.flow("match destination 198.51.100.7/32 source 9.9.9.0/24 then discard")
        site.gobgp.flow(GOOD)
        assert eventually(
            lambda: "a user is logged in" in str(site.peer("scrubber")["not_applied"])
        )
        assert eventually(lambda: len(site.rules()) == 1)
    finally:
        logins.close()
