# SPDX-License-Identifier: GPL-2.0-or-later
"""Lockout guards: the caller's own address, and protected prefixes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import TCP, Api, problem, running
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.quota import Quota

QUOTAS = {"operator": Quota(1000), "fastnetmon": Quota(2, 24, 64, 3600)}
RULE = {"match": {"source": "203.0.113.7"}, "ttl": 60}
PEER = ("203.0.113.7", 5)
OWN = "/v1/rules/203.0.113.7_32"
AROUND = {"match": {"source": "203.0.113.0/24"}}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    protection = {"192.0.2.0/24": CONFIGURED, "198.51.100.1/32": "a gateway of this host"}
    with running(tmp_path, protection=protection, quotas=QUOTAS) as api:
        yield api


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0"])
def test_a_caller_over_tcp_may_not_drop_his_own_address(api: Api, source: str) -> None:
    token = api.token("hands", "operator")
    body = {"match": {"source": source}}
    found = problem(api.call("POST", "/v1/rules", TCP, token, json=body), 409, "lockout")
    assert "127.0.0.1" in found["detail"]
    assert found["field"] == "match.source"
    watch = {**body, "mode": "monitor"}
    assert api.call("POST", "/v1/rules", TCP, token, json=watch).status_code == 201


def test_a_caller_with_a_narrower_accept_may_drop_around_himself(api: Api) -> None:
    token = api.token("hands", "operator")
    api.add("127.0.0.1", action="accept")
    body = {"match": {"source": "127.0.0.0/8"}}
    assert api.call("POST", "/v1/rules", TCP, token, json=body).status_code == 201


@pytest.mark.parametrize(
    ("forwarded", "source"),
    [
        ("for=203.0.113.7", "203.0.113.0/24"),
        ('For="203.0.113.7:4711"', "203.0.113.0/24"),
        ('for="[::ffff:203.0.113.7]"', "203.0.113.0/24"),
        ('for="[2001:db8::7]:4711"', "2001:db8::/32"),
        ('for="[2001:db8::7]"', "2001:db8::/32"),
        ('for="2001:db8::7"', "2001:db8::7"),
    ],
)
def test_on_the_local_socket_the_forwarded_address_is_the_callers(
    api: Api, forwarded: str, source: str
) -> None:
    headers = {"Forwarded": forwarded}
    body = {"match": {"source": source}}
    problem(api.call("POST", "/v1/rules", headers=headers, json=body), 409, "lockout")
    api.add(source)


def test_over_tcp_forwarded_headers_are_ignored(api: Api) -> None:
    token = api.token("hands", "operator")
    headers = {"Forwarded": "for=203.0.113.7"}
    answer = api.call("POST", "/v1/rules", TCP, token, headers=headers, json=RULE)
    assert answer.status_code == 201


def test_an_invalid_name_is_no_forwarded_address(api: Api) -> None:
    for forwarded in ("for=unknown", "by=10.0.0.1", "for=_gateway"):
        headers = {"Forwarded": forwarded}
        body = {**RULE, "match": {"source": "10.0.0.0/8"}}
        answer = api.call("POST", "/v1/rules", headers=headers, json=body)
        assert answer.status_code in (200, 201)


def test_only_operators_may_drop_protected_prefixes_and_only_on_trial(api: Api) -> None:
    gateway = {"match": {"source": "198.51.100.1"}, "confirm_within": 60}
    problem(api.call("POST", "/v1/rules", json=gateway), 409, "lockout")
    inside = {"match": {"source": "192.0.2.9"}}
    found = problem(api.call("POST", "/v1/rules", json=inside), 409, "lockout")
    assert "confirm_within" in found["fix"]
    trial = {**inside, "confirm_within": 60, "ttl": 600}
    token = api.token("fnm", "operator", origin="fastnetmon")
    problem(api.call("POST", "/v1/rules", TCP, token, json=trial), 409, "lockout")
    assert api.call("POST", "/v1/rules", json=trial).status_code == 201


def test_a_confirmed_trial_in_a_protected_prefix_may_be_changed(api: Api) -> None:
    api.add("192.0.2.9", confirm_within=60)
    assert api.call("POST", "/v1/rules/192.0.2.9_32/confirm").status_code == 200
    answer = api.call("PATCH", "/v1/rules/192.0.2.9_32", json={"reason": "x"})
    assert answer.status_code == 200, answer.text


def test_an_ipv4_caller_on_an_ipv6_socket_is_known_by_his_ipv4_address(api: Api) -> None:
    token = api.token("hands", "operator")
    peer = ("::ffff:203.0.113.7", 5)
    problem(api.call("POST", "/v1/rules", peer, token, json=AROUND), 409, "lockout")


@pytest.fixture
def token(api: Api) -> str:
    """A token of a caller at PEER, which is accepted inside a wider drop."""
    token = api.token("hands", "operator")
    api.add("203.0.113.7", action="accept")
    assert api.call("POST", "/v1/rules", PEER, token, json=AROUND).status_code == 201
    return token


def test_a_caller_may_not_remove_the_accept_that_keeps_him_in(api: Api, token: str) -> None:
    found = problem(api.call("DELETE", OWN, PEER, token), 409, "lockout")
    assert found["fix"] == "remove the drop of 203.0.113.0/24 first"
    problem(api.call("DELETE", OWN, TCP, token), 409, "lockout")
    api.clock.advance(3601)  # and nobody has called from there
    assert api.call("DELETE", OWN, TCP, token).status_code == 200


def test_a_caller_may_not_only_monitor_the_accept_that_keeps_him_in(api: Api, token: str) -> None:
    monitor = {"mode": "monitor"}
    problem(api.call("PATCH", OWN, PEER, token, json=monitor), 409, "lockout")
    assert api.call("PATCH", OWN, PEER, token, json={"reason": "mine"}).status_code == 200
    api.clock.advance(3601)
    assert api.call("PATCH", OWN, TCP, token, json=monitor).status_code == 200


def test_an_accept_without_a_drop_around_it_may_be_removed(api: Api, token: str) -> None:
    assert api.call("DELETE", "/v1/rules/203.0.113.0_24", PEER, token).status_code == 200
    assert api.call("DELETE", OWN, PEER, token).status_code == 200


def test_one_of_two_accepts_that_keep_the_caller_in_may_be_removed(api: Api, token: str) -> None:
    api.add("203.0.113.0/28", action="accept")
    assert api.call("DELETE", OWN, PEER, token).status_code == 200
    problem(api.call("DELETE", "/v1/rules/203.0.113.0_28", PEER, token), 409, "lockout")


def test_a_caller_may_not_enforce_a_monitored_drop_of_his_own_address(api: Api) -> None:
    token = api.token("hands", "operator")
    api.add("203.0.113.0/24", mode="monitor")
    enforce = {"mode": "enforce"}
    path = "/v1/rules/203.0.113.0_24"
    problem(api.call("PATCH", path, PEER, token, json=enforce), 409, "lockout")
    problem(api.call("PATCH", path, TCP, token, json=enforce), 409, "lockout")  # somebody else's
    api.clock.advance(3601)
    assert api.call("PATCH", path, TCP, token, json=enforce).status_code == 200
