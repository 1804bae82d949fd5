# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts inside that attack others over the API: their limits, and their release."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.unit.watch.test_policing import FLOOD, LOOPBACK, POLICY, SCAN
from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.senders import Forger
from xdpctl.model.sides import Outside


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, protection=LOOPBACK, detect=POLICY) as api:
        yield api


def test_limits_are_listed_with_what_they_drop(api: Api) -> None:
    nothing: dict[str, Any] = {"attackers": [], "limits": [], "forgers": []}
    assert api.call("GET", "/v1/attackers").json() == nothing
    api.context.attackers.policing.step([FLOOD])
    (limit,) = api.call("GET", "/v1/attackers").json()["limits"]
    assert limit == {
        "address": "10.0.3.7",
        "name": "",
        "pps": 10,
        "dropped": 0,
        "ends_in": 600.0,
        "text": "10.0.3.7 is limited to 10 UDP packets a second to 203.0.113.9",
    }
    assert limit["text"] in str(api.call("GET", "/v1/status").json()["warnings"])


def test_who_forges_sources_is_listed(tmp_path: Path) -> None:
    validates = Outside(source_validation="monitor")
    with running(tmp_path, protection=LOOPBACK, outside=validates) as api:
        datapath: Any = api.context.controller.datapath
        now = api.context.controller.clock.read().ns
        datapath.forged = [Forger("02:00:00:00:00:07", parse_prefix("203.0.113.5"), 3, 180, now)]
        (forger,) = api.call("GET", "/v1/attackers").json()["forgers"]
        assert forger["ago"] >= 0
        del forger["ago"]
        assert forger == {
            "mac": "02:00:00:00:00:07",
            "source": "203.0.113.5",
            "packets": 3,
            "text": "MAC 02:00:00:00:00:07 sends with sources that are not yours, last with "
            "203.0.113.5",
        }


def test_why_says_what_is_done_with_what_an_address_sends(tmp_path: Path) -> None:
    validates = Outside(source_validation="monitor")
    with running(tmp_path, protection=LOOPBACK, detect=POLICY, outside=validates) as api:
        api.context.attackers.policing.step([FLOOD])
        api.context.controller.set_sides({parse_prefix("10.0.0.0/8"): Side.INSIDE}).result()
        limited = "10.0.3.7 is limited to 10 UDP packets a second to 203.0.113.9"
        said = {
            text: api.call("GET", f"/v1/why/{text}").json()["sends"]
            for text in ("10.0.3.7", "10.0.3.8", "45.0.0.7")
        }
        counted = (
            "it is in none of your networks: if a host inside sends from it, that is counted, and "
            "goes out"
        )
        assert said == {"10.0.3.7": [limited], "10.0.3.8": [], "45.0.0.7": [counted]}


def test_a_host_is_released(api: Api) -> None:
    api.context.attackers.policing.step([FLOOD, SCAN])
    answer = api.call("DELETE", "/v1/attackers/10.0.3.7/limits")
    assert answer.status_code == 200
    assert answer.json()["address"] == "10.0.3.7"
    assert len(answer.json()["limits"]) == 2
    assert api.call("GET", "/v1/attackers").json()["limits"] == []
    again = api.call("DELETE", "/v1/attackers/10.0.3.7/limits")
    assert again.json()["limits"] == [], "it is let for an hour from now on"


@pytest.mark.parametrize("address", ["10.0.3", "forged"])
def test_what_is_no_address_is_refused(api: Api, address: str) -> None:
    answer = api.call("DELETE", f"/v1/attackers/{address}/limits")
    assert problem(answer, 400, "bad-request")["field"] == "address"
