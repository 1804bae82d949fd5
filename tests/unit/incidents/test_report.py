# SPDX-License-Identifier: GPL-2.0-or-later
"""Incident reports, with text that an attacker controls."""

import json
from typing import Any

from tests.unit.cli.test_cli import Api as Client
from tests.unit.cli.test_cli import Run, api, run
from xdpctl.incidents import drafts, in_short, report

__all__ = ["api", "run"]


def sender(address: str, count: int, **more: Any) -> dict[str, Any]:
    nowhere = {"connected": False, "inside": False, "country": "", "asn": 0, "as_name": ""}
    return {"address": address, "packets": count, **nowhere, **more}


def shown(**more: Any) -> dict[str, Any]:
    told = {
        "at": "2023-11-14T22:13:21Z",
        "monotonic": 5.0,
        "detector": "fastnetmon",
        "phase": "began",
        "event": "198.51.100.2 incoming",
        "attack": "udp_flood",
        "pps": 90_000.0,
        "bps": 0.0,
        "note": "<script>alert(1)</script> | `x` [a](b)",
        "done": 1,
    }
    rule = {
        "id": "m-1",
        "what": "dst 198.51.100.2 proto udp",
        "action": "limit",
        "mode": "enforce",
        "at": "2023-11-14T22:13:21Z",
        "ended_at": "2023-11-14T22:14:20Z",
        "why": "the detector ended it",
        "packets": 123_456,
        "bytes": 1,
        "collateral": "0 % to 2 % of those it hits are people (0 of 400 sources tried)",
    }
    held = {
        "id": "20231114-221320",
        "subject": "198.51.100.2/32",
        "named": "mail server (198.51.100.2)",
        "words": "UDP flood on mail server (198.51.100.2)",
        "open": False,
        "opened_at": "2023-11-14T22:13:20Z",
        "updated_at": "2023-11-14T22:14:20Z",
        "closed_at": "2023-11-14T22:14:20Z",
        "closed_by": "the detector ended it",
        "detectors": ["fastnetmon"],
        "attacks": ["udp_flood"],
        "peak_pps": 90_000.0,
        "peak_bps": 0.0,
        "events_told": 3,
        "rules_made": 1,
        "rules_ended": 1,
        "rules_raised": 0,
        "clock_error": None,
        "sources_named": 2,
        "packets": 123_456,
        "bytes": 10,
        "events": [told],
        "rules": [rule],
        "sources": ["203.0.113.7/32"],
        "findings": [
            {
                "rule": "m-1",
                "at": "2023-11-14T22:13:20Z",
                "detector": "builtin",
                "kind": "udp",
                "rate": 25_000.0,
                "threshold": 5_000.0,
                "usual": 0.0,
                "heads": 100,
                "coverage": 0.99,
                "because": ["<script>alert(1)</script> | [x](y)"],
                "rejected": ["<b>"],
                "deciding": [
                    {"component": "packet_length", "values": "<i>", "now": 1.0, "before": 0.0}
                ],
                "collateral": [{"kind": "<u>", "samples": 100, "hits": 1, "bound": 0.05}],
                "picture": {
                    "component": "<em>",
                    "labels": ["<b>|"],
                    "now": [1.0],
                    "before": [0.0],
                },
            }
        ],
        "notes": [
            {"at": "2023-11-14T22:13:20Z", "who": "token anna", "text": "<b>called</b> | [x](y)"}
        ],
        "evidence": {
            "packets": 60,
            "sources": 2,
            "bytes": 9_000,
            "top_sources": [
                sender("192.0.2.9", 50, country="US", asn=64496, as_name="=1+1"),
                sender("192.0.2.8", 10, connected=True),
            ],
            "top_services": [["udp from 53", 60]],
            "damage": "",
            "received": False,
            "rates": [
                [1.7e9 + 9 * n, 1_000.0 * n, 8e6, 50.0, 1_000.0 * n, 40.0 - n if n else None, 44.0]
                for n in range(10)
            ],
        },
    }
    return held | more


def test_the_command_line_lists_and_shows_incidents(api: Client, run: Run) -> None:
    api.answers["GET", "/v1/incidents"] = {"incidents": [shown()]}
    code, out, _ = run("incidents", "--open")
    assert (code, "mail server" in out, "90 k" in out) == (0, True, True)
    assert api.calls[0][2]["params"] == {"limit": 100, "open": "true"}
    api.answers["GET", "/v1/incidents/20231114-221320"] = shown()
    _, out, _ = run("incident", "show", "20231114-221320")
    assert "22:13:21.000  fastnetmon began 198.51.100.2 incoming udp_flood" in out
    assert "123,456 packets hit" in out
    assert "and 2 more events" in out
    assert json.loads(run("incident", "show", "20231114-221320", "--json")[1]) == shown()
    api.answers["GET", "/v1/incidents"] = {"incidents": []}
    assert run("incidents")[1] == "no incidents\n"


def test_an_attackers_text_cannot_change_a_markdown_report(api: Client, run: Run) -> None:
    api.answers["GET", "/v1/incidents/x"] = shown()
    code, out, _ = run("incident", "report", "x")
    assert code == 0
    assert out.startswith("# Incident 20231114-221320\n")
    assert "&lt;script&gt;" in out
    assert "<script>" not in out
    assert "\\[a\\]\\(b\\)" in out
    assert "\\| \\`x\\`" in out
    assert "possibly spoofed" in out
    assert "- and 1 more" in out


def test_an_attackers_text_cannot_change_an_html_report() -> None:
    evil = shown(subject="<img src=x onerror=alert(1)>", sources=["=cmd|x"])
    page = report.page(evil)
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    rows = report.sources_csv(evil).splitlines()
    assert rows[2] == "192.0.2.9,possibly spoofed,50,US,64496,'=1+1"
    assert rows[3].startswith("192.0.2.8,verified,10")
    assert "peak of drops" in page
    assert "at least 31 a minute got in, usually 44; fewest at " in page
    assert 'points="0.0,159.1 100.0,159.1' in page, "what passed"
    assert report.page(shown(evidence={**evil["evidence"], "rates": []})).count("<svg") == 0
    assert "udp from 53" in drafts.to_provider(evil)
    assert "An address does not prove who attacked." in drafts.to_ic3(evil)


def test_an_incident_has_five_lines() -> None:
    incident = shown()
    lines = in_short.in_short(incident, report.facts(incident))
    assert list(lines) == ["what", "since", "done", "cost", "open"]
    assert lines["what"] == (
        "UDP flood on mail server (198.51.100.2), reported by fastnetmon; its rules hit at most "
        "9 k packets/s, 8 Mbit/s, measured at 22:14:41"
    )
    assert lines["since"] == "2023-11-14 22:13:20 UTC; it lasted 1m"
    assert lines["done"] == "1 rule made, the first after 1.0 s; they hit 123 k packets, 10B"
    assert "0 of 400 sources tried" in lines["cost"]
    assert lines["open"] == "nothing"


def test_what_is_open_or_not_measured_is_said() -> None:
    evidence = {**shown()["evidence"], "rates": []}
    going: dict[str, Any] = {
        "open": True,
        "closed_at": None,
        "rules_made": 3,
        "rules_ended": 1,
        "rules": [],
    }
    incident = shown(evidence=evidence, **going)
    lines = in_short.in_short(incident, report.facts(incident))
    assert lines["since"].endswith("; ongoing")
    assert lines["cost"] == (
        "newcomers: not measured; people among what its rules hit: not measured"
    )
    assert lines["open"] == "2 rules in force, it is not over"
    incident = shown(rules_made=0, rules_ended=0)
    assert in_short.in_short(incident, report.facts(incident))["done"] == "no rule was made for it"


def test_what_was_only_monitored_was_not_dropped() -> None:
    (rule,) = shown()["rules"]
    incident = shown(rules=[{**rule, "mode": "monitor"}])
    lines = in_short.in_short(incident, report.facts(incident))
    assert (
        lines["done"] == "1 rule made, all in monitor mode; they would have hit 123 k packets, 10B"
    )
    incident = shown(evidence={**shown()["evidence"], "rates": []})
    lines = in_short.in_short(incident, report.facts(incident))
    assert lines["what"].endswith("; at most 90 k packets/s, reported by detectors")
