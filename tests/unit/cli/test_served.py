# SPDX-License-Identifier: GPL-2.0-or-later
"""What `served` asks for and prints."""

import json
from typing import Any

from tests.unit.cli.test_cli import Api, Run, api, run

__all__ = ["api", "run"]  # the fixtures
WEB: dict[str, Any] = {
    "address": "192.0.2.1",
    "protocol": "tcp",
    "port": 443,
    "served": 41.0,
    "usual": 44.0,
    "asked": 1_500_000.0,
    "syn_ack": 0.001048576,
    "data": 17.179869184,
    "usual_data": 0.268435456,
    "fails": "half of the newcomers wait",
}
NEW = WEB | {"address": "2001:db8::1", "usual": None, "syn_ack": None, "fails": ""}


def test_services_are_printed_with_their_usual_rate_and_waits(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/served"] = {"services": [WEB, NEW], "text": "and 1 fails"}
    code, out, _ = run("served", "192.0.2.0/24", "--limit", "5")
    assert code == 0
    assert api.calls[0][2]["params"] == {"limit": 5, "at": "192.0.2.0/24"}
    assert "192.0.2.1    tcp 443          41     44      1.5 M" in out
    assert "1 ms     > 4.29 s      268 ms" in out
    assert "2001:db8::1  tcp 443          41      ?" in out
    assert out.endswith("and 1 fails\nhalf of the newcomers wait\n")
    assert json.loads(run("served", "--json")[1]) == [WEB, NEW]


def test_without_any_service_the_output_says_so(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/served"] = {"services": []}
    assert run("served")[1] == "no service has served anybody yet\n"
    assert run("served", "192.0.2.1")[1] == "no service has served anybody yet at 192.0.2.1\n"
