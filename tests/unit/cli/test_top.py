# SPDX-License-Identifier: GPL-2.0-or-later
"""What `top` asks for and prints."""

import json
from typing import Any

from tests.unit.cli.test_cli import Api, Run, api, run

__all__ = ["api", "run"]  # the fixtures
ROW = {
    "value": "53",
    "packets": 212_000.0,
    "bits": 9.1e8,
    "share": 0.532,
    "error": 0.011,
    "match": "dst 198.51.100.7 proto udp src-port 53",
}
QUIET: dict[str, Any] = {"state": "quiet", "reasons": [], "waiting": [], "matches": []}
WAITING = {
    "id": "m-1",
    "does": "limit to 4,900 pps",
    "rate": 6_000.0,
    "words": "plain SYN",
    "action": "limit",
    "proposed": "drop",
    "proposal": "drop (a limit to 4,900 pps would let 82 % of it pass)",
    "people": "0 of 900 packets belong to known flows",
}
FOUND: dict[str, Any] = {
    "seconds": 10.04,
    "sampled": 9_800,
    "missing": 0,
    "packets": 398_000.0,
    "bits": 1.7e9,
    "dimensions": [
        {"by": "source_port", "without": 0.0, "rows": [ROW]},
        {"by": "tcp_flags", "without": 1.0, "rows": []},
    ],
}


def test_top_prints_rates_and_a_match(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/top"] = FOUND
    code, out, _ = run("top", "--by", "source-port,tcp-flags", "--where", "udp", "--once")
    assert code == 0
    assert api.calls[0][2]["params"] == {
        "by": "source-port,tcp-flags",
        "verdict": "all",
        "window": "10s",
        "limit": 5,
        "where": "udp",
    }
    assert "398 k packets/s, 1.7 Gbit/s; the last 10 s, from 9,800 sampled packets" in out
    assert "53.2% ± 1.1" in out
    assert "dst 198.51.100.7 proto udp src-port 53" in out
    assert "tcp flags: no packet has one" in out
    assert "could not be sampled" not in out


def test_top_reports_packets_that_could_not_be_sampled(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/top"] = FOUND | {"missing": 12_000}
    assert "12 k packets could not be sampled" in run("top")[1]
    api.answers["GET", "/v1/top"] = FOUND | {"sampled": 0, "packets": 0.0, "bits": 0.0}
    assert "no packet was seen" in run("top")[1]


def test_what_leaves_is_asked_for_by_source_first(api: Api, run: Run) -> None:
    rows = {"by": "source", "without": 0.0, "rows": [ROW | {"value": "10.0.3.7", "match": None}]}
    api.answers["GET", "/v1/top"] = FOUND | {"dimensions": [rows]}
    code, out, _ = run("top", "--out")
    assert code == 0
    assert api.calls[0][2]["params"] == {
        "by": "source,destination,destination-port,source-port,protocol",
        "verdict": "all",
        "window": "10s",
        "limit": 5,
        "out": True,
    }
    assert "10.0.3.7" in out
    assert "xdpctl block" not in out


def test_once_prints_one_json_document(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/top"] = FOUND
    assert json.loads(run("top", "--once", "--json")[1]) == FOUND


def test_suggestions_are_printed_with_what_they_would_hit(api: Api, run: Run) -> None:
    one = {"match": "udp src-port 123", "packets": 9_000.0, "bits": 1e6, "share": 0.75,
           "error": 0.01, "before": 0.001, "before_error": 0.002, "action": "drop", "does": "drop",
           "limit": None}  # fmt: skip
    found = {"seconds": 10.0, "sampled": 900, "before_seconds": 3600.0, "before_sampled": 1000,
             "matches": [one]}  # fmt: skip
    api.answers["POST", "/v1/suggest"] = found
    api.answers["GET", "/v1/condition"] = condition = dict(QUIET)
    out = run("suggest")[1]
    assert "0.1% ± 0.2" in out
    assert "udp src-port 123" in out
    assert "it ends by itself: xdpctl block --match 'udp src-port 123' --confirm-within 60s" in out
    one |= {"before": None, "before_error": None, "action": "limit", "limit": {"pps": 1_000.0}}
    one |= {"does": "limit to 1,000 pps"}
    found["before_sampled"] = 0
    code, out, err = run("suggest")
    assert (code, "not known" in out, "no earlier traffic" in out, err) == (0, True, True, "")
    assert "limit to 1,000 pps" in out
    assert "xdpctl limit --match 'udp src-port 123' --pps 1000 --confirm-within 60s" in out
    found["matches"] = []
    assert "nothing stands out" in run("suggest")[1]
    condition["waiting"] = [WAITING]
    out = run("suggest")[1]
    assert "proposed: drop (a limit to 4,900 pps would let 82 % of it pass): 6 k packets/s" in out
    assert "of plain SYN (0 of 900 packets belong to known flows)" in out
    assert "enforce it: xdpctl edit m-1 --action drop --mode enforce" in out
    condition["waiting"] = [WAITING | {"proposed": "limit"}]
    assert "enforce it: xdpctl mode m-1 enforce" in run("suggest")[1]
    assert "nothing else stands out" in out
