# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a host, names before addresses, stories of attacks, and how full an uplink is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.browsing import Browser, text
from tests.support.hooked import OURS
from tests.unit.api.test_served import served
from xdpctl.config.names import NamesSettings
from xdpctl.upstream.settings import Uplink, UpstreamSettings

_NAMES = NamesSettings({"192.0.2.9": "<b>resolver", "203.0.113.0/24": "pupils"})


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    uplinks = UpstreamSettings(uplinks=(Uplink("eth0", 1_000_000_000),))
    with running(tmp_path, 300, OURS, names=_NAMES, upstream=uplinks) as api:
        yield api


def test_a_host_has_a_page_with_all_that_is_about_it(box: Api) -> None:
    served(box, 7, 90)
    for match in ("dst 192.0.2.9 udp dst-port 53", "dst 192.0.2.0/24 icmp", "dst 192.0.2.8 tcp"):
        body = {"match": match, "action": "limit", "limit": {"pps": 5_000}}
        assert box.call("POST", "/v1/rules", json=body).status_code == 201
    for victim in ("192.0.2.9", "192.0.2.8"):
        box.call("POST", "/v1/incidents", json={"victim": victim, "attack": "syn_flood"})
    page = Browser(box).log_in("operator").get("/hosts/192.0.2.9")
    shown = text(page)
    assert page.status_code == 200
    assert "<b>resolver (192.0.2.9)" in shown
    assert "&lt;b&gt;resolver" in page.text
    assert "udp 53 270 300 270" in shown
    assert "UDP to <b>resolver (192.0.2.9) port 53" in shown
    assert "ICMP to 192.0.2.0/24" in shown
    assert "192.0.2.8" not in shown
    assert shown.count("SYN flood") == 1


def test_a_host_without_anything_has_a_page(box: Api) -> None:
    shown = text(Browser(box).log_in("viewer").get("/hosts/203.0.113.9"))
    assert "pupils (203.0.113.9)" in shown
    assert "Nobody has been served" in shown
    assert "It was not attacked" in shown


@pytest.mark.parametrize("address", ["x", "192.0.2.0%2F24", "192.0.2.9:53"])
def test_what_is_no_address_is_refused(box: Api, address: str) -> None:
    assert Browser(box).log_in("viewer").get(f"/hosts/{address}").status_code in (400, 404)


def test_names_are_said_wherever_an_address_is(box: Api) -> None:
    added = box.add("203.0.113.7", action="drop", force=True)
    assert added["words"] == "packets from pupils (203.0.113.7)"
    opened = box.call("POST", "/v1/incidents", json={"victim": "203.0.113.7"}).json()
    assert opened["named"] == "pupils (203.0.113.7)"
    whole = box.call("GET", f"/v1/incidents/{opened['id']}").json()
    assert "on pupils (203.0.113.7)" in whole["short"]["what"]
    refused = box.call("GET", "/v1/rules", params={"to": "x"})
    assert problem(refused, 400, "bad-request")["field"] == "to"


def test_attacks_that_follow_each_other_are_one_story(box: Api) -> None:
    for number in (1, 2):
        box.call("POST", "/v1/incidents", json={"victim": f"192.0.2.{number}"})
        box.clock.advance(300)
    page = Browser(box).log_in("viewer").get("/incidents")
    assert "2 attacks on 2 hosts within 10m" in text(page)
    assert page.text.count('<rect class="bar"') == 2


def test_now_says_how_full_the_uplink_is(box: Api) -> None:
    shown = text(Browser(box).log_in("viewer").get("/"))
    assert "Uplink eth0 not known of 1 Gbit/s that the provider sends at most" in shown
