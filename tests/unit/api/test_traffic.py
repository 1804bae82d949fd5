# SPDX-License-Identifier: GPL-2.0-or-later
"""Top lists over the API: dimensions, filters, names, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.packets import address, ethernet, ipv4, to_frame, udp
from xdpctl.abi.constants import Reason
from xdpctl.traffic.classify import heads


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def seen(api: Api, *found: Any) -> None:
    """Heads that the sampler has read within one second."""
    sampler = api.context.sampler
    sampler.step(100.0)
    api.datapath.heads.waiting += found
    sampler.step(101.0)


def dns(number: int) -> list[bytes]:
    source = address("192.0.2.9"), address("198.51.100.7")
    return [ethernet(0x0800, ipv4(*source, udp(53, 4000)))] * number


def top(api: Api, **query: Any) -> dict[str, Any]:
    answer = api.call("GET", "/v1/top", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_each_dimension_has_rates_and_a_match(api: Api) -> None:
    seen(api, heads(dns(30), weight=10), heads([to_frame("203.0.113.5")] * 10))
    found = top(api, by="source_port,destination")
    assert (found["sampled"], found["seconds"], found["packets"]) == (40, 1.0, 310)
    ports, destinations = found["dimensions"]
    assert (ports["by"], ports["rows"][0]["value"]) == ("source_port", "53")
    assert ports["rows"][0]["packets"] == 300
    assert ports["rows"][0]["match"] == "dst 198.51.100.7 proto udp src-port 53"
    assert [row["value"] for row in destinations["rows"]] == ["198.51.100.7"]


def test_top_can_be_limited_to_a_verdict_or_a_match(api: Api) -> None:
    seen(api, heads(dns(30)), heads([to_frame("203.0.113.5")] * 10, Reason.DROPPED))
    assert top(api, verdict="drop", by="source")["dimensions"][0]["rows"][0]["share"] == 1.0
    assert top(api, verdict="pass")["sampled"] == 30
    assert top(api, where="udp src-port 53")["sampled"] == 30
    assert top(api, where="udp src-port 123")["dimensions"][0]["rows"] == []


def test_rules_and_interfaces_have_names(api: Api) -> None:
    slot = api.add("203.0.113.0/24")["slot"]
    dropped = heads([to_frame("203.0.113.5")] * 3, Reason.DROPPED, slot=slot)
    dropped["interface"] = 1
    seen(api, dropped, heads(dns(1)))
    rules, interfaces = top(api, by="rule,interface")["dimensions"]
    assert [row["value"] for row in rules["rows"]] == ["203.0.113.0/24", "none"]
    assert interfaces["rows"][0]["value"] == "lo"
    assert [row["match"] for row in rules["rows"]] == [None, None]


def test_top_is_empty_before_any_packet_was_seen(api: Api) -> None:
    found = top(api, by="country,as")
    assert (found["sampled"], found["seconds"]) == (0, 0.0)
    assert [each["rows"] for each in found["dimensions"]] == [[], []]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "sauce"}, "by"),
        ({"by": ",".join(["ttl"] * 9)}, "by"),
        ({"verdict": "droped"}, "verdict"),
        ({"window": "61s"}, "window"),
        ({"window": "0.1s"}, "window"),
        ({"window": "soon"}, "window"),
        ({"where": "udp src-prt 53"}, "where"),
    ],
)
def test_bad_parameters_are_refused(api: Api, query: dict[str, str], field: str) -> None:
    answer = api.call("GET", "/v1/top", params=query)
    assert problem(answer, 400, "bad-request")["field"] == field


def test_suggestions_include_what_they_would_have_hit(api: Api) -> None:
    sampler = api.context.sampler
    usual = [to_frame(f"203.0.113.{n}") for n in range(100)]
    sampler.step(1_000.0)
    api.datapath.heads.waiting.append(heads(usual))
    sampler.step(1_001.0)
    sampler.step(4_600.0)
    api.datapath.heads.waiting += [heads(usual), heads(dns(400))]
    sampler.step(4_601.0)
    found = api.call("POST", "/v1/suggest", json={"window": "1s"}).json()
    assert found["before_sampled"] == 100
    (one,) = found["matches"]
    assert "src-port 53" in one["match"]
    assert one["share"] == 0.8
    assert one["before"] == 0.0
    assert 0 < one["before_error"] < 0.04


@pytest.mark.parametrize(
    ("body", "field"),
    [({"window": "2m"}, "window"), ({"before": "1m"}, "before"), ({"before": "1d"}, "before")],
)
def test_suggestions_with_bad_parameters_are_refused(
    api: Api, body: dict[str, str], field: str
) -> None:
    answer = api.call("POST", "/v1/suggest", json=body)
    assert problem(answer, 400, "bad-request")["field"] == field
    assert api.call("POST", "/v1/suggest", json={}).json()["matches"] == []


def test_dimensions_may_be_named_by_the_words_of_matches(api: Api) -> None:
    seen(api, heads(dns(30)))
    found = top(api, by="src-port,Destination-Network,length")
    assert [each["by"] for each in found["dimensions"]] == [
        "src_port",
        "destination_network",
        "length",
    ]
    assert found["dimensions"][0]["rows"][0]["value"] == "53"


def test_what_leaves_is_counted_by_itself_and_has_no_match(api: Api) -> None:
    sampler = api.context.sampler
    sampler.step(100.0)
    api.datapath.heads.waiting.append(heads(dns(30)))
    api.datapath.heads.out.waiting.append(heads([to_frame("10.0.3.7")] * 20, weight=8))
    sampler.step(101.0)
    left = top(api, out=True, by="source,destination_port")
    assert (left["sampled"], left["packets"]) == (20, 160)
    (row,) = left["dimensions"][0]["rows"]
    assert (row["value"], row["match"]) == ("10.0.3.7", None)
    assert top(api, out=True, where="src 10.0.3.8")["dimensions"][0]["rows"] == []
    assert top(api)["sampled"] == 30


@pytest.mark.parametrize(
    ("query", "field"),
    [({"verdict": "drop"}, "verdict"), ({"by": "source,reason"}, "by"), ({"by": "Rule"}, "by")],
)
def test_what_leaves_has_no_verdict(api: Api, query: dict[str, str], field: str) -> None:
    answer = api.call("GET", "/v1/top", params={"out": True, **query})
    assert problem(answer, 400, "bad-request")["field"] == field
