# SPDX-License-Identifier: GPL-2.0-or-later
"""Abuse reports are about verified sources alone, and valid XARF 4."""

import json
import sys
from typing import Any

import pytest
import xarf

from xdpctl.base.problems import Problems
from xdpctl.errors import ConfigError
from xdpctl.incidents.abuse import Reporter, reports

WHO = Reporter("Example School District", "abuse@example.org", "example.org")


def incident(**more: Any) -> dict[str, Any]:
    def sender(
        address: str, connected: bool = False, inside: bool = False, port: int = 40_000
    ) -> dict[str, Any]:
        here = {"connected": connected, "inside": inside, "port": port}
        return {"address": address, "packets": 7, **here}

    sources = [
        sender("203.0.113.7", connected=True),
        sender("203.0.113.8"),
        sender("203.0.113.9", connected=True, port=0),
        sender("198.51.100.9", connected=True, inside=True),
        sender("2001:db8::1", connected=True),
    ]
    return {
        "subject": "198.51.100.7/32",
        "opened_at": "2026-11-18T11:06:40Z",
        "updated_at": "2026-11-18T11:07:40Z",
        "closed_at": None,
        "attacks": ["syn_flood"],
        "peak_pps": 1e6,
        "peak_bps": 0.0,
        "packets": 12,
        "evidence": {"top_sources": sources, "received": False},
    } | more


def test_each_verified_source_outside_has_a_valid_report() -> None:
    found = dict(reports(incident(), WHO))
    assert list(found) == ["xarf-203.0.113.7.json", "xarf-2001_db8__1.json"]
    for text in found.values():
        parsed = xarf.parse(text.decode())
        assert not parsed.errors
    report = json.loads(found["xarf-203.0.113.7.json"])
    assert (report["category"], report["type"]) == ("connection", "ddos")
    assert report["source_identifier"] == "203.0.113.7"
    assert report["reporter"]["contact"] == "abuse@example.org"
    assert report["destination_ip"] == "198.51.100.7"
    assert report["peak_pps"] == 1_000_000
    assert "peak_bps" not in report, "it was not measured"


def test_a_source_without_dropped_packets_is_not_reported() -> None:
    found = incident()
    found["evidence"]["received"] = True
    assert not dict(reports(found, WHO))


@pytest.mark.parametrize("subject", ["198.51.100.0/24", "fastnetmon", "2001:db8::7/128"])
def test_an_incident_about_a_prefix_or_a_detector_has_valid_reports(subject: str) -> None:
    (text, _) = dict(reports(incident(subject=subject), WHO)).values()
    assert not xarf.parse(text.decode()).errors
    assert json.loads(text).get("destination_ip") in (None, "2001:db8::7")


def test_without_the_extra_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarf", None)
    with pytest.raises(ConfigError, match=r"xdpctl\[xarf\]"):
        list(reports(incident(), WHO))


def test_the_reporter_is_complete_or_missing() -> None:
    nothing = Problems()
    Reporter().check("reporter", nothing)
    assert nothing.count == 0
    for table, said in (
        (Reporter(organisation="x"), "reporter.contact is empty"),
        (Reporter("x", "example.org", "example.org"), "e-mail"),
    ):
        problems = Problems()
        table.check("reporter", problems)
        with pytest.raises(ConfigError, match=said):
            problems.check()
