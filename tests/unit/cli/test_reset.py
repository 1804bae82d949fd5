# SPDX-License-Identifier: GPL-2.0-or-later
"""`block --reset`: the connections that it closes, and its output."""

import errno
import json
import syslog
from typing import Any

import pytest

from tests.unit.base.test_tcp_sockets import Kernel
from tests.unit.cli.test_cli import ADDED, Api, Run, api, run
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system import ssh_logins, tcp_sockets
from xdpctl.base.system.tcp_sockets import Sockets
from xdpctl.cli.rules import resets
from xdpctl.client import Client
from xdpctl.errors import Interrupted, Refused

__all__ = ["api", "run"]  # the fixtures
WIDE = {**ADDED, "id": "203.0.113.0_24", "match": {"source": "203.0.113.0/24"}, "warnings": []}


class Filter(Api):
    """Answers what the filter does with a packet of an address: drops it unless told otherwise."""

    def __init__(self, passing: dict[str, str | BaseException]) -> None:
        super().__init__()
        self.passing, self.asked = passing, list[dict[str, Any]]()

    def call(
        self, client: Client, method: str, path: str, seconds: float = 30.0, **more: Any
    ) -> Any:
        if path != "/v1/explain":
            return super().call(client, method, path, seconds, **more)
        self.asked.append(more["params"])
        reason = self.passing.get(more["params"]["source"], "dropped")
        if isinstance(reason, BaseException):
            raise reason
        return {"reason": reason}


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: lines.append(line))
    return lines


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> Any:
    """A host with these peers: the kernel that holds them, and the filter."""
    monkeypatch.setattr(tcp_sockets, "may_destroy", lambda: True)
    monkeypatch.setattr(ssh_logins, "addresses", lambda: [])
    monkeypatch.setattr(ssh_logins, "own", lambda: "")

    def host(*peers: str, **passing: str | BaseException) -> tuple[Kernel, Filter]:
        kernel = Kernel(*peers)
        monkeypatch.setattr(resets, "Sockets", lambda: Sockets(kernel.ask))
        named = {f"203.0.113.{name[1:]}": reason for name, reason in passing.items()}
        filters = Filter(named)
        monkeypatch.setattr(Client, "call", lambda client, *a, **m: filters.call(client, *a, **m))
        filters.answers["POST", "/v1/rules"] = WIDE
        return kernel, filters

    return host


def test_the_connections_are_closed_and_counted(here: Any, run: Run, logged: list[str]) -> None:
    kernel, filters = here(*["203.0.113.7"] * 400, "198.51.100.1", "::ffff:203.0.113.8")
    code, out, err = run("block", "203.0.113.0/24", "--reset")
    assert (code, err) == (0, "")
    assert "closed 401 connections of this host with 203.0.113.0/24\n" in out
    assert list(kernel.peers.values()) == ["198.51.100.1"]
    assert logged == ["block --reset closed 401 connections with 203.0.113.0/24"]
    assert "reset" not in filters.calls[0][2]["json"]
    question = {"source": "203.0.113.7", "destination": "0.0.0.0", "protocol": "tcp"}
    assert filters.asked[0] == {**question, "outside": False}
    assert len(filters.asked) == 2, "once for each peer"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("203.0.113.7/32", "203.0.113.7"),
        ("2001:db8::7/128", "2001:db8::7"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_one_address_is_named_without_its_length(
    here: Any, run: Run, source: str, named: str
) -> None:
    _, filters = here("203.0.113.7", "2001:db8::7")
    filters.answers["POST", "/v1/rules"] = {**ADDED, "match": {"source": source}}
    _, out, _ = run("block", source, "--reset")
    assert f"closed 1 connection of this host with {named}\n" in out


def test_without_the_option_nothing_is_closed(here: Any, run: Run) -> None:
    kernel, filters = here("203.0.113.7")
    assert run("block", "203.0.113.0/24")[0] == 0
    assert (len(kernel.peers), kernel.dumped, filters.asked) == (1, 0, [])


def test_json_output_has_the_number_of_closed_connections(here: Any, run: Run) -> None:
    here("203.0.113.7", "203.0.113.8", "203.0.113.9", n9="accepted")
    code, out, err = run("block", "203.0.113.0/24", "--reset", "--json")
    assert code == 0
    assert json.loads(out) == {**WIDE, "closed": 2}
    assert "closed 2 connections" in err
    assert "kept 1 connection with 203.0.113.9" in err
    assert "closed" not in json.loads(run("block", "203.0.113.0/24", "--json")[1])


def test_if_no_connection_is_found_the_output_says_what_cannot_be_closed(
    here: Any, run: Run, logged: list[str]
) -> None:
    here("198.51.100.1")
    code, out, err = run("block", "203.0.113.0/24", "--reset")
    assert (code, err, logged) == (0, "", [])
    assert (
        "closed no connection: this host has none with 203.0.113.0/24. Connections that it "
        "forwards end on other hosts and cannot be closed from here; the rule drops their packets\n"
    ) in out


@pytest.mark.parametrize("reason", ["protected", "accepted", "bypass", "no_rule"])
def test_a_source_that_is_not_dropped_keeps_its_connections(
    here: Any, run: Run, reason: str
) -> None:
    kernel, _ = here("203.0.113.7", "203.0.113.9", "203.0.113.9", n9=reason)
    code, out, _ = run("block", "203.0.113.0/24", "--reset")
    assert code == 0
    assert "closed 1 connection of" in out
    why = f"the filter does not drop its packets ({reason.replace('_', ' ')})"
    assert f"kept 2 connections with 203.0.113.9: {why}\n" in out
    assert list(kernel.peers.values()) == ["203.0.113.9"] * 2


def test_only_some_of_the_kept_connections_are_named(here: Any, run: Run) -> None:
    peers = [f"203.0.113.{n}" for n in range(1, 9)]
    here(*peers, **{f"n{n}": "accepted" for n in range(1, 9)})
    _, out, _ = run("block", "203.0.113.0/24", "--reset")
    assert out.count("kept 1 connection with") == 5
    assert "kept connections with 3 more addresses\n" in out
    assert "closed" not in out


@pytest.mark.parametrize("own", [True, False])
def test_a_users_ssh_session_is_not_closed(
    here: Any, run: Run, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    kernel, filters = here("203.0.113.7", "203.0.113.9")
    if own:
        monkeypatch.setattr(ssh_logins, "own", lambda: "203.0.113.9")
    else:
        monkeypatch.setattr(ssh_logins, "addresses", lambda: [parse_prefix("203.0.113.9")])
    code, out, _ = run("block", "203.0.113.0/24", "--force", "--reset")
    assert code == 0
    assert "kept 1 connection with 203.0.113.9: a user is logged in from there by ssh\n" in out
    assert list(kernel.peers.values()) == ["203.0.113.9"]
    assert [one["source"] for one in filters.asked] == ["203.0.113.7"]


def test_connections_that_are_ending_already_are_not_counted(here: Any, run: Run) -> None:
    kernel, _ = here("203.0.113.7", "203.0.113.8")
    kernel.result = lambda cookie: 0 if cookie == 1 else kernel.destroy(cookie)
    code, out, _ = run("block", "203.0.113.0/24", "--reset")
    assert code == 0
    assert "closed 1 connection of" in out
    assert "1 connection is closing already, and ended by the kernel in time\n" in out


@pytest.mark.parametrize("as_json", [True, False])
def test_a_kernel_without_support_is_reported_and_the_rule_stands(
    here: Any, run: Run, as_json: bool
) -> None:
    kernel, _ = here("203.0.113.7")
    kernel.result = lambda cookie: errno.EOPNOTSUPP
    code, out, err = run("block", "203.0.113.0/24", "--reset", *["--json"] * as_json)
    assert code == 1
    assert "the rule is in force, but not all connections were closed: this kernel cannot" in err
    assert "CONFIG_INET_DIAG_DESTROY" in err
    assert "closed no connection" not in out + err, "there may be more connections"
    if as_json:
        assert json.loads(out) == {**WIDE, "closed": 0}
    else:
        assert "added: drop 203.0.113.0/24" in out


@pytest.mark.parametrize(
    ("error", "code", "why"),
    [
        (Refused({"detail": "explain is not loaded"}), 1, "explain is not loaded"),
        (Interrupted("interrupted; nothing was changed"), 130, "interrupted\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_reported_with_what_was_done_before(
    here: Any, run: Run, error: BaseException, code: int, why: str
) -> None:
    kernel: Kernel = here("203.0.113.7", n9=error)[0]

    def one_more(cookie: int) -> int:
        kernel.peers[2] = "203.0.113.9"
        return kernel.destroy(cookie)

    kernel.result = one_more
    ended, out, err = run("block", "203.0.113.0/24", "--reset")
    assert (ended, list(kernel.peers.values())) == (code, ["203.0.113.9"])
    assert "closed 1 connection of this host" in out
    assert f"the rule is in force, but not all connections were closed: {why}" in err
