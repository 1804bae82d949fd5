# SPDX-License-Identifier: GPL-2.0-or-later
"""Served clients by service, over the API, in metrics, and on the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.packets import address, ethernet, ipv4, udp
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.served import Counts, Service
from xdpctl.model.match.components import UDP
from xdpctl.model.protection import CONFIGURED
from xdpctl.traffic.classify import heads

DNS = Service(parse_prefix("192.0.2.9"), UDP, 53)
QUERY = ethernet(0x0800, ipv4(address("198.51.100.7"), address("192.0.2.9"), udp(40_000, 53)))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def served(api: Api, parts: int, last: int, service: Service = DNS, query: bytes = QUERY) -> None:
    """Record this number of periods with 100 answers each, and one with another number."""
    sampler, counts, now = api.context.sampler, api.datapath.served.counts, 100.0
    counts[service] = Counts(1)
    sampler.step(now)
    api.datapath.heads.waiting.append(heads([query]))
    sampler.step(now)
    for answers in [100] * parts + [last]:
        before = counts[service].count
        counts[service] = Counts(before + answers, data=(0, 0, 0, answers, 0, 0, 0, 0))
        api.datapath.heads.waiting.append(heads([query], weight=90))
        sampler.step(now + 10)
        now += 20.0
        sampler.step(now)


def test_services_are_listed_with_their_usual_rate_and_failures(api: Api) -> None:
    nothing = api.call("GET", "/v1/served").json()
    assert (nothing["services"], nothing["text"]) == ([], "what is usual is not known yet")
    served(api, 7, 10)
    (found,) = api.call("GET", "/v1/served", params={"at": "192.0.2.0/24"}).json()["services"]
    assert (found["address"], found["protocol"], found["port"]) == ("192.0.2.9", "udp", 53)
    assert (found["served"], found["usual"], found["asked"]) == (30, 300, 270)
    assert (found["syn_ack"], found["data"]) == (None, None)
    assert found["usual_data"] == pytest.approx(0.067, rel=0.01)
    text = api.call("GET", "/v1/served").json()["text"]
    assert text == "1 of 1 services can be compared with what is usual, and 1 fails its clients"
    assert found["fails"].startswith("30 questions are answered by 192.0.2.9 port 53 a minute")
    assert api.context.health._people().hurt == [found["fails"]]
    assert api.call("GET", "/v1/served", params={"at": "192.0.3.0/24"}).json()["services"] == []


def test_why_asks_for_the_services_that_a_host_has_been_seen_to_serve(tmp_path: Path) -> None:
    with running(tmp_path, protection={"192.0.2.0/24": CONFIGURED}) as api:
        at = Service(parse_prefix("192.0.2.9"), UDP, 27_015)
        query = udp(40_000, at.port)
        frame = ethernet(0x0800, ipv4(address("198.51.100.7"), address("192.0.2.9"), query))
        served(api, 7, 100, at, frame)
        found = api.call("GET", "/v1/why/203.0.113.7").json()["answers"]
        assert [a["to"] for a in found if "UDP 27015" in a["services"]] == [["192.0.2.0/24"]]


def test_an_invalid_prefix_is_refused(api: Api) -> None:
    answer = api.call("GET", "/v1/served", params={"at": "web"})
    assert problem(answer, 400, "bad-request")["field"] == "at"


def test_metrics_count_the_services_that_serve_most(api: Api) -> None:
    served(api, 7, 10)
    text = api.call("GET", "/metrics").text
    label = '{address="192.0.2.9",port="53",protocol="udp"}'
    assert f"xdpctl_served_total{label} 710.0" in text
    assert f"xdpctl_served_usual{label} 5.0" in text
    assert "xdpctl_served_data_seconds{" not in text, "too few were measured of late"
