# SPDX-License-Identifier: GPL-2.0-or-later
"""Nobody is locked out by mistake, and no detector or feed can block much of the Internet."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.apiclient import TCP, Api, problem, running
from tests.support.fakes import FakeClock, FakeDatapath, ask, controller, place, upkeep
from tests.support.hooked import OURS, VICTIM, event, say
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system import ssh_logins
from xdpctl.config.file import parse
from xdpctl.lists.settings import FeedSettings
from xdpctl.model.effect import Mode

ALICE, BOB = "203.0.113.7", "2001:db8:5::7"  # logged in by ssh
ACCEPT = f"/v1/rules/{ALICE}_32"


class Fed:
    """A box, and the file of its feed."""

    def __init__(self, api: Api, file: Path) -> None:
        self.api, self.file, self._times = api, file, 0

    def says(self, *lines: str) -> None:
        self._times += 1
        self.file.write_text("\n".join(lines))
        os.utime(self.file, ns=(0, self._times))

    def refresh(self) -> httpx2.Response:
        return self.api.call("POST", "/v1/sets/bad/refresh")

    def held(self) -> int:
        held: int = self.api.call("GET", "/v1/sets/bad").json()["entries"]["ipv4"]
        return held


@pytest.fixture
def peopled(api: Api) -> Api:
    """A box on which two people are logged in."""
    api.controller.set_logins([parse_prefix(ALICE), parse_prefix(BOB)])
    return api


@pytest.mark.parametrize("source", [ALICE, "203.0.113.0/24", "0.0.0.0/0", BOB, "2001:db8:5::/48"])
def test_no_rule_drops_a_logged_in_user(peopled: Api, source: str) -> None:
    found = problem(
        peopled.call("POST", "/v1/rules", json={"match": {"source": source}}), 409, "lockout"
    )
    assert "a user is logged in" in found["detail"]
    assert "allow" in found["fix"]
    peopled.add(source, confirm_within=60)


def test_no_detector_drops_a_logged_in_user(peopled: Api) -> None:
    token = peopled.token("fnm", "operator", origin="fastnetmon")
    body = {"match": {"source": "203.0.113.0/24"}, "ttl": "1h"}
    problem(peopled.call("POST", "/v1/rules", TCP, token, json=body), 409, "lockout")


def test_no_list_drops_a_logged_in_user(peopled: Api) -> None:
    held = "198.18.5.0/24\n203.0.113.0/24\n"
    answer = peopled.call("PUT", "/v1/sets/bad", content=held, params={"allow_private": "true"})
    problem(answer, 409, "lockout")
    peopled.add(ALICE, action="accept")
    peopled.put("bad", held, allow_private="true")


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    """A box with a set that follows a file."""
    (tmp_path / "lists").mkdir()
    feeds = FeedSettings(directory=tmp_path / "lists")
    with running(tmp_path, 300, OURS, feeds=feeds) as api:
        fed = Fed(api, tmp_path / "lists" / "bad.txt")
        fed.says("8.8.5.0/24", "8.8.6.0/24")
        api.put("bad", {"feed": {"file": "bad.txt", "refresh": "10m", "format": "plain"}})
        yield fed


def test_no_refresh_of_a_feed_drops_a_logged_in_user(fed: Fed) -> None:
    fed.api.controller.set_logins([parse_prefix("9.9.9.9")])
    fed.says("8.8.5.0/24", "8.8.6.0/24", "9.9.9.0/24")
    problem(fed.refresh(), 409, "lockout")
    assert fed.held() == 2


def test_no_accept_ends_before_the_drop_around_it(peopled: Api) -> None:
    accept = {"match": {"source": ALICE}, "action": "accept", "ttl": "10m"}
    assert peopled.call("POST", "/v1/rules", json=accept).status_code == 201
    drop = {"match": {"source": "203.0.113.0/24"}}
    problem(peopled.call("POST", "/v1/rules", json=drop), 409, "lockout")
    problem(peopled.call("POST", "/v1/rules", json={**drop, "ttl": "1h"}), 409, "lockout")
    assert peopled.call("POST", "/v1/rules", json={**drop, "ttl": "5m"}).status_code == 201
    longer = {"ttl": "2h"}
    problem(peopled.call("PATCH", "/v1/rules/203.0.113.0_24", json=longer), 409, "lockout")
    problem(peopled.call("PATCH", ACCEPT, json={"ttl": "1m"}), 409, "lockout")
    problem(peopled.call("DELETE", ACCEPT), 409, "lockout")


def test_an_accept_that_ends_suspends_the_drop_around_it(tmp_path: Path) -> None:
    """A user who logged in behind an accept is kept in when it ends, which is audited."""
    datapath, clock = FakeDatapath(), FakeClock()
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask(ALICE, "accept", ttl=30.0))
        place(control, ask("203.0.113.0/24"))
        control.set_logins([parse_prefix(ALICE)])
        upkeep(control, clock)
        drop = control.state.rules[parse_prefix("203.0.113.0/24")]
        assert drop.mode is Mode.ENFORCE, "it has time yet"
        upkeep(control, clock, seconds=22)
        drop = control.state.rules[parse_prefix("203.0.113.0/24")]
        assert drop.mode is Mode.MONITOR
        clock.advance(20)
        assert datapath.decide(parse_prefix(ALICE).address, clock.ns) is not Reason.DROPPED
        said = b"".join(control.store.audit(0, 5000))
        assert b"rule.suspend" in said
        assert ALICE.encode() in said


def test_a_caller_who_used_the_api_within_the_hour_is_kept_in(api: Api) -> None:
    token = api.token("hands", "operator")
    api.call("POST", "/v1/rules", (ALICE, 5), token, json={"match": {"source": "198.18.0.9"}})
    around = {"match": {"source": "203.0.113.0/24"}}
    problem(api.call("POST", "/v1/rules", json=around), 409, "lockout")
    api.clock.advance(3601)
    assert api.call("POST", "/v1/rules", json=around).status_code == 201


def test_a_caller_without_a_token_does_not_count_as_a_user(api: Api) -> None:
    """Otherwise anybody on the Internet could keep their own address from being dropped."""
    reader = api.token("eyes", "viewer")
    api.call("GET", "/v1/rules", (ALICE, 5))
    api.call("GET", "/v1/rules", (ALICE, 5), "xdpctl_made_up")
    api.call("GET", "/v1/rules", (ALICE, 5), reader)
    api.add("203.0.113.0/24")


class Proc:
    """A /proc folder with invented processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "1").mkdir(parents=True)

    def add(self, pid: int, parent: int, exe: str = "bash", connection: str = "") -> None:
        held = self.root / str(pid)
        held.mkdir()
        (held / "stat").write_text(f"{pid} (a) b) S {parent} 1 1 0\n")
        environment = ["HOME=/root", *([f"SSH_CONNECTION={connection}"] if connection else [])]
        (held / "environ").write_bytes("\0".join(environment).encode())
        program = self.root / exe
        program.touch()
        (held / "exe").symlink_to(program)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path / "proc")


def test_a_session_is_found_through_sudo(proc: Proc) -> None:
    proc.add(11, 1, "sshd-session")
    proc.add(12, 11, connection=f"{ALICE} 50000 198.51.100.7 22")
    proc.add(13, 12, "sudo")
    proc.add(14, 13, "xdpctl")
    assert ssh_logins.own(14, proc.root) == ALICE
    proc.add(20, 1)
    assert ssh_logins.own(20, proc.root) == ""
    proc.add(30, 31)
    proc.add(31, 30)
    assert ssh_logins.own(30, proc.root) == "", "a circle ends"


def test_a_program_named_sshd_that_is_not_roots_is_not_trusted(proc: Proc) -> None:
    proc.add(10, 1, "sshd")
    proc.add(12, 10, connection="9.9.9.9 1 2 3")
    os.chown(proc.root / "sshd", 1000, 1000)
    assert not ssh_logins.addresses(proc.root)


@pytest.mark.parametrize("source", ["9.0.0.0/23", "9.0.0.0/8", "0.0.0.0/0", "2600::/47", "::/0"])
def test_a_detector_blocks_nothing_wide(api: Api, source: str) -> None:
    token = api.token("fnm", "operator", origin="fastnetmon")
    body = {"match": {"source": source}, "ttl": "1h"}
    answer = api.call("POST", "/v1/rules", TCP, token, json=body)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) in (
        (403, "quota"),
        (409, "lockout"),
    )


def test_detectors_block_no_large_share_of_the_address_space(tmp_path: Path) -> None:
    settings = parse({"origins": {"one": {"shortest_ipv4": 9}, "two": {"shortest_ipv4": 9}}})
    with running(tmp_path, 64, OURS, settings.quotas()) as api:
        one = api.token("one", "operator", origin="one")
        two = api.token("two", "operator", origin="two")
        three = api.token("three", "operator", origin="three")

        def block(token: str, source: str) -> Any:
            body = {"match": {"source": source}, "ttl": "1h"}
            return api.call("POST", "/v1/rules", TCP, token, json=body)

        assert [block(one, f"9.{n}.0.0/9").status_code for n in (0, 128)] == [201, 201]
        said = problem(block(one, "13.0.0.0/24"), 403, "quota")
        assert "0.39%" in said["detail"]
        assert [block(two, f"12.{n}.0.0/9").status_code for n in (0, 128)] == [201, 201]
        said = problem(block(three, "13.0.0.1"), 403, "quota")
        assert "all detectors together" in said["detail"]
        api.add("13.0.0.0/8")  # an operator may decide
        assert api.call("DELETE", "/v1/rules/9.0.0.0_9").status_code == 200
        assert block(three, "14.0.0.1").status_code == 201


def test_a_feed_that_grows_to_the_whole_internet_is_refused(fed: Fed) -> None:
    whole = [f"{n}.0.0.0/8" for n in range(1, 217) if n not in (10, 127)]
    fed.says(*whole)
    found = problem(fed.refresh(), 409, "conflict")
    assert "% of IPv4" in found["detail"]
    assert "stays" in found["detail"]
    assert fed.held() == 2
    fed.says("13.0.0.0/8", "14.0.0.0/16")
    problem(fed.refresh(), 409, "conflict")
    fed.says(*(f"13.0.{n}.0/24" for n in range(256)))
    assert fed.refresh().status_code == 200, "and it may grow as lists do"
    body = {"feed": {"file": "all.txt", "refresh": "10m", "format": "plain"}}
    fed.file.with_name("all.txt").write_text("\n".join(whole))
    problem(fed.api.call("PUT", "/v1/sets/all", json=body), 409, "conflict")
    assert fed.api.put("all", {**body, "force": True})["entries"]["ipv4"] > 200, "a person may"


@pytest.mark.parametrize(
    "match",
    [
        "ttl 0-255 dst 198.51.100.0/24",
        "length 0-65535 dst 198.51.100.2",
        "proto 0-255 dst 198.51.100.0/24",
        "src 0.0.0.0/0 dst 198.51.100.0/24",
        "tcp dst 198.51.100.2",
        "proto 6,17 ttl 0-255 dst 198.51.100.2",
    ],
)
def test_a_hook_may_not_drop_by_a_match_that_only_looks_narrow(api: Api, match: str) -> None:
    """A component that every packet has does not narrow a match on the destination."""
    said = say(api, "event", event(victim=VICTIM, match=match))
    assert not said["rules"]
    assert "may not drop all" in str(said["refused"])
    said = say(api, "event", event("2", victim=VICTIM, match=match, pps=500))
    assert said["rules"], "a rate is no drop"


@pytest.mark.parametrize(
    "match", ["udp dst-port 53 dst 8.8.8.8", "udp dst 0.0.0.0/0 src 9.9.9.9", "udp dst 8.0.0.0/8"]
)
def test_a_hook_may_not_drop_traffic_to_other_networks(api: Api, match: str) -> None:
    """A victim of ours in the same event does not permit it."""
    said = say(api, "event", event(victim=VICTIM, match=match))
    assert not said["rules"]
    assert "in neither automatic.networks" in str(said["ignored"])
