# SPDX-License-Identifier: GPL-2.0-or-later
"""`block --observe`: its API requests, its output, and when a rule is enforced."""

import json
import time
from typing import Any

import pytest

from tests.unit.cli.test_cli import ADDED, RULE, Api, Run, api, run
from xdpctl.cli.rules.statistics import percent, statistics_lines

__all__ = ["api", "run"]
PLACE = "/v1/rules/203.0.113.7_32"
STATISTICS: dict[str, Any] = {
    "looked_at": 1_200_000,
    "established": 12_000,
    "known": 12_000,
    "flows_asked": False,
    "accepted": 0,
    "connections": 3,
    "top_connections": [
        {"source": f"10.1.2.{n}", "source_port": n, "destination": "192.0.2.1"} for n in (3, 4, 4)
    ],
    "sources": 830,
    "destinations": 1,
    "top_sources": [{"value": "203.0.113.7", "share": 0.5}],
    "top_ports": [{"value": "udp/53", "share": 1.0}],
    "top": {"src-port": [{"value": "53", "share": 0.5}, {"value": "123", "share": 0.25}]},
    "forwarded": 0.0,
}
MONITORED = {**RULE, "mode": "monitor", "statistics": STATISTICS}


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def answers(api: Api, **statistics: Any) -> None:
    api.answers["POST", "/v1/rules"] = {**ADDED, "mode": "monitor"}
    api.answers["GET", PLACE] = {**MONITORED, "statistics": {**STATISTICS, **statistics}}
    api.answers["POST", f"{PLACE}/enforce"] = ADDED


@pytest.mark.parametrize(
    ("bearable", "code", "calls"),
    [("2%", 0, 3), ("1", 0, 3), ("0.9%", 1, 2), ("0%", 1, 2)],
)
def test_the_share_of_established_connections_decides(
    api: Api, run: Run, waited: list[float], bearable: str, code: int, calls: int
) -> None:
    answers(api)
    ended, out, err = run("block", "203.0.113.7", "--observe", "60s", "--max-collateral", bearable)
    assert (ended, len(api.calls), waited) == (code, calls, [60.0]), out + err
    assert api.calls[0][2]["json"]["mode"] == "monitor"
    assert "would have dropped 1.2 M packets, 99 % of them unestablished" in out
    assert "3 connections established with this host: 10.1.2.3, 10.1.2.4" in out
    assert "collateral 1 %" in out
    assert ("in force: drop" in out) == (code == 0)
    assert ("xdpctl mode 203.0.113.7/32 enforce" in out) == (code == 1)


def test_spared_connections_are_no_collateral(api: Api, run: Run) -> None:
    answers(api)
    api.answers["GET", PLACE]["spare"] = "established"
    code, out, _ = run("block", "203.0.113.7", "--observe", "5s", "--max-collateral", "0%")
    assert (code, "spared by the rule" in out, "collateral 0 %" in out) == (0, True, True)


@pytest.mark.parametrize("statistics", [None, {**STATISTICS, "looked_at": 0}])
def test_without_a_packet_the_rule_stays_in_monitor_mode(
    api: Api, run: Run, statistics: Any
) -> None:
    answers(api)
    api.answers["GET", PLACE]["statistics"] = statistics
    code, out, _ = run("block", "203.0.113.7", "--observe", "5s", "--max-collateral", "100%")
    assert (code, "stays in monitor mode" in out) == (5, True)


def test_json_output_is_the_rule_after_the_observation(api: Api, run: Run) -> None:
    answers(api)
    statistics = ("--observe", "5s", "--max-collateral", "5%", "--json")
    code, out, err = run("block", "203.0.113.7", *statistics)
    assert (code, json.loads(out)) == (0, ADDED)
    assert "collateral 1 %" in err


def test_an_interrupted_observation_leaves_the_rule_in_monitor_mode(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    answers(api)
    monkeypatch.setattr(time, "sleep", interrupt)
    code, out, _ = run("block", "203.0.113.7", "--observe", "5s", "--max-collateral", "0%")
    assert (code, "stays in monitor mode" in out) == (130, True)


def test_a_rule_that_is_already_enforced_is_not_observed(
    api: Api, run: Run, waited: list[float]
) -> None:
    api.answers["POST", "/v1/rules"] = ADDED
    code, out, _ = run("block", "203.0.113.7", "--observe", "5s", "--max-collateral", "0%")
    assert (code, waited, "already enforced" in out) == (0, [], True)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--observe", "5s"], "--max-collateral"),
        (["--max-collateral", "1%"], "--observe"),
        (["--observe", "5s", "--max-collateral", "lots"], "0.5%"),
        (["--observe", "5s", "--max-collateral", "101%"], "100%"),
        (["--observe", "5s", "--max-collateral", "0%", "--monitor"], "--monitor"),
        (["--observe", "5s", "--max-collateral", "0%", "--confirm-within", "1m"], "--confirm"),
        (["--observe", "soon", "--max-collateral", "0%"], "60s or 5m"),
        (["--observe", "0", "--max-collateral", "0%"], "60s or 5m"),
    ],
)
def test_senseless_options_are_refused_before_any_request(
    api: Api, run: Run, options: list[str], word: str
) -> None:
    code, _, err = run("block", "203.0.113.7", *options)
    assert code != 0
    assert word in err
    assert api.calls == []


def test_a_limit_may_be_watched_too(api: Api, run: Run) -> None:
    answers(api)
    statistics = ("--observe", "5s", "--max-collateral", "5%")
    assert run("limit", "203.0.113.7", "--pps", "5k", *statistics)[0] == 0
    assert api.calls[0][2]["json"]["mode"] == "monitor"


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    shares = [0, 0.0004, 0.5, 0.987, 0.9999, 1]
    shown = ["0 %", "less than 0.1 %", "50 %", "98.7 %", "more than 99.9 %", "100 %"]
    assert [percent(share) for share in shares] == shown


def test_one_line_reports_accepted_sources() -> None:
    lines = statistics_lines(
        {**MONITORED, "statistics": {**STATISTICS, "accepted": 5, "connections": 0}}
    )
    assert "5 of them from accepted or protected sources" in lines
    assert not any("established with" in line for line in lines)


def test_collateral_of_forwarded_traffic_is_unknown_and_never_taken_for_none(
    api: Api, run: Run
) -> None:
    answers(api, forwarded=1.0, established=0, connections=0, top_connections=[])
    code, out, _ = run("block", "203.0.113.7", "--observe", "60s", "--max-collateral", "100%")
    assert code == 7
    assert "unknown here (forwarded traffic)" in out
    assert "unestablished" not in out
    assert "collateral unknown: 100 % of the packets are forwarded" in " ".join(out.split())
    assert ("POST", f"{PLACE}/enforce") not in [call[:2] for call in api.calls]


def test_common_fields_of_the_packets_are_shown_in_match_syntax(api: Api, run: Run) -> None:
    answers(api)
    _, out, _ = run("why", "203.0.113.7/32")
    assert "src-port 53 (50 %), 123 (25 %)" in out


@pytest.mark.parametrize("action", ["drop", "limit", "accept", "challenge", "cookies"])
def test_a_rule_of_any_action_is_described(action: str) -> None:
    lines = statistics_lines({**MONITORED, "action": action, "spare": "none"})
    assert lines[0].startswith("would have ")


def test_known_flows_are_reported_if_the_flow_memory_is_used() -> None:
    told = {**STATISTICS, "flows_asked": True, "forwarded": 1.0, "known": 600}
    lines = statistics_lines({**MONITORED, "statistics": told, "spare": "known"})
    assert "less than 0.1 % of them of known flows, spared by the rule" in lines
    assert not any("unknown here" in line for line in lines)


@pytest.mark.parametrize(("spare", "code"), [("none", 1), ("established", 1), ("known", 0)])
def test_collateral_counts_known_flows_if_the_flow_memory_is_used(
    api: Api, run: Run, spare: str, code: int
) -> None:
    answers(api, flows_asked=True, forwarded=1.0, known=300_000)
    api.answers["GET", PLACE]["spare"] = spare
    given = ("block", "203.0.113.7", "--observe", "5s", "--max-collateral", "5%")
    assert run(*given)[0] == code
