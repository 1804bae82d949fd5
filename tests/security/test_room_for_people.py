# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of detectors cannot use up the capacity or the precedence of operators."""

from typing import Any

import pytest

from tests.support.apiclient import TCP, Api, problem
from tests.support.hooked import say
from xdpctl.model.match.overlap import overlap
from xdpctl.model.match.text import parse


def test_too_many_limits_are_refused_so_that_later_rules_still_apply(api: Api) -> None:
    """48 limits that a packet was within once exceeded the search, and the fault let it pass."""
    made = refused = 0
    for n in range(70):
        body = {"match": {"protocol": "udp", "packet_length": f">={n + 20}"}, "action": "limit"}
        body |= {"limit": {"pps": 1_000_000}}
        answer = api.call("POST", "/v1/rules", json=body)
        made += answer.status_code == 201
        if answer.status_code != 201:
            refused += 1
            problem(answer, 507, "capacity")
    assert refused
    assert made <= 46, "a word of the bitmap is a step of the search, too"
    drop = {"match": {"protocol": "udp", "destination_port": "53"}}
    assert api.call("POST", "/v1/rules", json=drop).status_code == 201
    apart = {"match": "udp dst 198.51.100.9", "action": "limit", "limit": {"pps": 5}}
    problem(api.call("POST", "/v1/rules", json=apart), 507, "capacity")
    other = {"match": "tcp dst 198.51.100.9", "action": "limit", "limit": {"pps": 5}}
    assert api.call("POST", "/v1/rules", json=other).status_code == 201, "they do not overlap"


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("udp dst 198.51.100.7", "udp dst 198.51.100.8", False),
        ("udp dst 198.51.100.0/24", "src 10.0.0.1 dst 198.51.100.8", True),
        ("udp src-port 53", "udp src-port 54-99", False),
        ("udp port 53", "udp dst-port 80", True),
        ("tcp flags syn", "udp", False),
        ("tcp flags syn&!ack", "tcp flags ack", False),
        ("tcp flags syn", "tcp flags ack", True),
        ("icmp-type 8", "tcp flags syn", False),
        ("dst 198.51.100.7", "dst 2001:db8::7", False),
        ("length <100", "length >99", False),
        ("fragment later", "fragment first", True),
        ("ttl 1-5,9", "ttl 6-8,10", False),
    ],
)
def test_disjoint_matches_are_recognised(one: str, other: str, both: bool) -> None:
    first, second = parse(one), parse(other)
    assert overlap(first, second) is overlap(second, first)
    if not both:
        assert not overlap(first, second)
    elif "fragment" not in one:
        assert overlap(first, second)


def test_a_detector_neither_outranks_operators_nor_takes_all_the_capacity(api: Api) -> None:
    token = api.token("fnm", "operator", origin="fastnetmon")

    def bound(**body: Any) -> Any:
        return api.call("POST", "/v1/rules", TCP, token, json={"ttl": "1h", **body})

    first = bound(match="udp dst 198.51.100.7 src-port 53", priority=-5)
    problem(first, 403, "quota")
    problem(bound(match="dst 198.51.100.7"), 403, "quota")
    for n in range(128):
        match = f"udp dst 198.51.{n}.7 src-port 53"
        assert bound(match=match).status_code == 201
    problem(bound(match="udp dst 198.51.200.7 src-port 53"), 403, "quota")
    held = api.call("GET", "/v1/rules?limit=1").json()["rules"][0]["id"]
    sooner = {"priority": -1}
    problem(api.call("PATCH", f"/v1/rules/{held}", TCP, token, json=sooner), 403, "quota")
    mine = api.call("POST", "/v1/rules", json={"match": "udp dst-port 53"})
    assert mine.status_code == 201
    ordered = [rule["origin"] for rule in api.call("GET", "/v1/rules?limit=200").json()["rules"]]
    assert ordered[0] == "operator", "of one priority, people's go first"


def test_a_limit_per_source_counts_its_connections_too(api: Api) -> None:
    body = {"match": "tcp dst-port 443", "action": "limit", "limit": {"pps": 100, "per": "source"}}
    made = api.call("POST", "/v1/rules", json=body)
    assert (made.status_code, made.json()["spare"]) == (201, "none"), "unless it says otherwise"
    spared = {**body, "match": "tcp dst-port 8443", "spare": "known"}
    assert api.call("POST", "/v1/rules", json=spared).json()["spare"] == "known"
    total = {**body, "match": "tcp dst-port 80", "limit": {"pps": 100}}
    assert api.call("POST", "/v1/rules", json=total).json()["spare"] == "known"


def test_a_hook_cannot_drop_everything_to_a_victim(api: Api) -> None:
    said = say(api, "event", {"phase": "began", "id": "1", "match": "dst 198.51.100.2"})
    assert said["rules"] == []
    assert "may not drop all traffic to" in said["refused"][0]["why"]
