# SPDX-License-Identifier: GPL-2.0-or-later
"""The letter has what a NOC asks, claims nothing that was not measured, and speaks Junos."""

import math

import pytest

from tests.support.flooded import amplified, filled, people
from tests.support.upstream import table
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.incident import Incident
from xdpctl.model.route import Flow
from xdpctl.upstream.filling import NOTHING
from xdpctl.upstream.junos import statements
from xdpctl.upstream.letter import letter
from xdpctl.upstream.link import Reading, State
from xdpctl.upstream.request import requests
from xdpctl.upstream.settings import UpstreamSettings

VICTIM = parse_prefix("198.51.100.7", "x")
INCIDENT = Incident("i", str(VICTIM), 1_764_577_154.0, 0.0, 0.0)
FULL = State(Reading(*(math.nan,) * 4), 0.97, 5, 0.97, "97% of its 8 Mbit/s arrive")


def test_the_letter_says_who_asks_for_what_about_which_link() -> None:
    uplink = {"interface": "isp0", "bits_in": 8_000_000, "circuit": "C-1234"}
    settings = table(uplinks=[uplink], contact="NOC of the district, +1 555 0100")
    (up,) = settings.uplinks
    found = filled(people(), amplified(by="203.0.113.9"))
    asked = requests(found, VICTIM, up)
    text = letter(INCIDENT, VICTIM, found, asked, up, FULL, settings)
    for said in (
        "Subject: DDoS in progress against 198.51.100.7/32: our link is full",
        "since 2025-12-01T08:19:14Z",
        "97% of its 8 Mbit/s arrive",
        "Circuit: C-1234 (8 Mbit/s; isp0 here)",
        "Customer: AS 64500 (yours: AS 64496)",
        "Contact: NOC of the district, +1 555 0100",
        "k packets/s",
        "- 203.0.113.9: ",
        "possibly spoofed",
        "to drop it is as good",
        "FlowSpec: match { destination 198.51.100.7/32; source 203.0.113.9/32;",
        "set routing-options flow route customer-1 match source 203.0.113.9/32",
        "please blackhole 198.51.100.7/32",
        "who is the best next hop to 198.51.100.0/24. Please configure an exception",
    ):
        assert said in text, said


def test_the_letter_has_blanks_for_what_is_not_configured_and_claims_no_full_link() -> None:
    settings = UpstreamSettings(table().uplinks)
    (up,) = settings.uplinks
    text = letter(INCIDENT, None, NOTHING, [], up, FULL._replace(full_for=0), settings)
    assert "- filter or rate-limit what is sent to 198.51.100.7/32" in text
    assert text.count("[fill in]") == 3
    assert "blackhole" not in text
    assert "full" not in text, "it is not claimed where it was not measured"


@pytest.mark.parametrize(
    ("match", "said"),
    [
        ("udp src-port 53 dst-port 0-442,444", "match destination-port [ 0-442 444 ]"),
        ("udp length >=512", "match packet-length 512-65535"),
        ("tcp flags syn&!ack", 'match tcp-flags "syn & !ack"'),
        ("udp fragment later,first", "match fragment [ is-fragment first-fragment ]"),
        ("icmp-type 8", "match icmp-type 8"),
        ("udp", "match protocol 17"),
    ],
)
def test_routes_as_statements_of_junos(match: str, said: str) -> None:
    lines = statements(Flow(f"{match} dst 198.51.100.7", 250_000), "x")
    assert f"set routing-options flow route x {said}" in lines
    assert lines[-1] == "set routing-options flow route x then rate-limit 2000000"
    assert statements(Flow("dst 198.51.100.7"), "x")[-1].endswith("then discard")
