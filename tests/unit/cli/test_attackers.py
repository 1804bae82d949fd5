# SPDX-License-Identifier: GPL-2.0-or-later
"""What `attackers list` and `attackers release` ask for and print."""

import json
from typing import Any

from tests.unit.cli.test_cli import Api, Run, api, run

__all__ = ["api", "run"]  # the fixtures
FLOODS: dict[str, Any] = {
    "address": "10.0.3.7",
    "mac": "02:00:00:00:00:07",
    "does": "floods",
    "packets": 9_080.0,
    "ago": 4.0,
    "text": "10.0.3.7 (MAC 02:00:00:00:00:07) sends 9.08 k packets/s of udp",
}
FORGED = FLOODS | {"address": None, "mac": "", "does": "tries_ports"}
LIMIT: dict[str, Any] = {
    "text": "10.0.3.7 is limited to 10 UDP packets a second to 203.0.113.9",
    "dropped": 12_345,
    "ends_in": 590.0,
}


def test_attackers_are_listed_with_their_limits(api: Api, run: Run) -> None:
    answer = {"attackers": [FLOODS, FORGED], "limits": [LIMIT], "forgers": []}
    api.answers["GET", "/v1/attackers"] = answer
    code, out, _ = run("attackers", "list")
    assert code == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert rows[1].startswith("10.0.3.7 02:00:00:00:00:07 floods 9.08 k 4s ago 10.0.3.7")
    assert rows[2].startswith("forged - tries ports 9.08 k 4s ago")
    dropped = "12,345 packets dropped, ends in 9m 50s"
    assert rows[3] == f"{LIMIT['text']}: {dropped}"
    assert json.loads(run("attackers", "list", "--json")[1]) == answer


def test_a_limited_host_that_is_not_seen_any_more_is_not_called_nobody(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/attackers"] = {"attackers": [], "limits": [LIMIT], "forgers": []}
    assert run("attackers", "list")[1].startswith(f"{LIMIT['text']}: ")


def test_without_attackers_the_output_says_so(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/attackers"] = {"attackers": [], "limits": [], "forgers": []}
    assert run("attackers", "list")[1] == (
        "no host inside has attacked others in the last ten minutes\n"
    )


def test_who_forges_sources_is_listed(api: Api, run: Run) -> None:
    forger = {"text": "MAC 02:07 sends with sources that are not yours", "packets": 1, "ago": 4.0}
    api.answers["GET", "/v1/attackers"] = {"attackers": [], "limits": [], "forgers": [forger]}
    assert run("attackers", "list")[1] == f"{forger['text']}: 1 packet, the last one 4s ago\n"


def test_a_host_is_released(api: Api, run: Run) -> None:
    where = "DELETE", "/v1/attackers/10.0.3.7/limits"
    api.answers[where] = {"address": "10.0.3.7", "limits": [LIMIT["text"]]}
    code, out, _ = run("attackers", "release", "10.0.3.7")
    assert code == 0
    assert out == f"ended: {LIMIT['text']}\n10.0.3.7: for an hour it is not limited\n"
    api.answers[where] = {"address": "10.0.3.7", "limits": []}
    out = run("attackers", "release", "10.0.3.7")[1]
    assert out == "10.0.3.7: it had no limit; for an hour it is not limited\n"
