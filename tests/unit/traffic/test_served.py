# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether services serve: forged packets do not count, failures and long waits are reported."""

import numpy as np
import pytest

from tests.paths import ROOT
from tests.support.fakes import FakeServed
from xdpctl.abi.constants import Traffic
from xdpctl.abi.sizes import WAITS
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.units import wait
from xdpctl.datapath.served import Counts, Service, wait_bound
from xdpctl.model.match.components import TCP, UDP
from xdpctl.traffic.counted import completed
from xdpctl.traffic.packets import PACKET, PacketArray
from xdpctl.traffic.served import Served

HOST, NETWORK = parse_prefix("192.0.2.1"), parse_prefix("192.0.2.0/24")
WEB, DNS = Service(HOST, TCP, 443), Service(HOST, UDP, 53)


def asking(service: Service, count: int, shaken: int = 0) -> PacketArray:
    found = np.zeros(count, PACKET)
    found["destination"], found["destination_port"] = service.host.address, service.port
    found["protocol"], found["family"], found["weight"] = service.protocol, 4, 1
    of_tcp = service.protocol == TCP
    found["traffic"] = Traffic.SYN if of_tcp else Traffic.DNS_QUERY
    found["shaken"] = shaken
    return found


def waits(number: int, count: int) -> tuple[int, ...]:
    return tuple(count * (each == number) for each in range(WAITS))


class Box:
    """A service with a rate of requests and answers, in periods of 20 s."""

    def __init__(self, service: Service = WEB) -> None:
        self.service, self.kernel, self.now = service, FakeServed(), 1_000.0
        self.kernel.counts[service] = Counts(1)
        self.served = Served(self.kernel)
        self.served.add(self.now, asking(service, 1))

    def part(self, served: int, asked: int | None = None, wait: int = 0) -> None:
        before = self.kernel.counts[self.service]
        data = np.array(before.data) + waits(wait, 20 * served)
        self.kernel.counts[self.service] = Counts(
            before.count + 20 * served, before.syn_acks, data.tolist()
        )
        for _ in range(20):
            self.now += 1.0
            self.served.add(self.now, asking(self.service, served if asked is None else asked))


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (WEB, "240 newcomers get in at 192.0.2.1 port 443 a minute"),
        (DNS, "240 questions are answered by 192.0.2.1 port 53 a minute"),
    ],
)
def test_unanswered_questions_are_reported(service: Service, text: str) -> None:
    box = Box(service)
    for _ in range(10):
        box.part(10)
    assert box.served.failing() == []
    box.part(6, asked=10)
    assert box.served.failing() == [], "a half may lack by chance"
    box.part(4, asked=500)
    assert box.served.failing() == [f"{text}, and 600 are usual: is it down?"]


def test_a_service_that_nobody_asks_does_not_fail() -> None:
    box = Box()
    for served in [10] * 10 + [4, 1]:
        box.part(served, asked=served + 2)
        assert box.served.failing() == [], "lessons have begun; somebody scans"


def test_only_udp_questions_with_one_answer_show_a_failure() -> None:
    game = Box(Service(HOST, UDP, 27015))
    for served in [10] * 10 + [0]:
        game.part(served, asked=500)
    assert game.served.failing() == []


def test_the_usual_rate_stays_while_a_service_fails() -> None:
    box = Box()
    for _ in range(10):
        box.part(10)
    for _ in range(200):
        box.part(0, asked=20)
    assert box.served.failing(), "an hour later"
    assert box.served.usual(HOST) == 10
    for _ in range(100):
        box.part(4)
    assert box.served.failing() == []


def test_little_traffic_gives_no_statement() -> None:
    seldom, new = Box(), Box()
    for served in [1] * 10 + [0]:
        seldom.part(served, asked=9)
    for served in [10] * 3 + [0]:
        new.part(served, asked=9)
    assert seldom.served.failing() == []
    assert new.served.failing() == [], "nobody knows what is usual"
    assert Served(FakeServed()).failing() == []


def test_current_newcomers_are_compared_with_the_usual_number() -> None:
    box = Box()
    for served in [10] * 6 + [12]:
        assert box.served.newcomers(HOST) is None
        box.part(served)
    for host in (HOST, NETWORK):
        assert str(box.served.newcomers(host)).startswith("720 newcomers a minute get in at ")
    assert str(box.served.newcomers(None)) == "720 newcomers a minute get in, usually 600"
    assert box.served.newcomers(parse_prefix("198.51.100.0/24")) is None
    assert (box.served.usual(HOST), box.served.usual(NETWORK)) == (10, 10)
    assert box.served.usual(parse_prefix("198.51.100.1")) == 0


def test_long_waits_for_data_are_reported() -> None:
    box = Box()
    for _ in range(8):
        box.part(10, wait=1)
    box.part(10, wait=4)
    assert box.served.failing() == [], "a quarter of a second is no harm"
    box.part(10, wait=5)
    (said,) = box.served.failing()
    assert "at 192.0.2.1 port 443 wait for more than 0.3 s for the first data" in said
    assert "usually less than 0.004 s" in said
    box.part(10, wait=WAITS - 1)
    assert "more than 4 s" in box.served.failing()[0]


def test_a_service_that_is_always_slow_is_not_reported() -> None:
    box = Box()
    for _ in range(10):
        box.part(10, wait=5)
    assert box.served.failing() == []
    (found,) = box.served.figures()
    assert found.data == found.usual_data == wait_bound(5)


def test_after_a_reset_of_a_counter_that_part_is_unknown() -> None:
    box = Box()
    for _ in range(3):
        box.part(10)
    box.kernel.counts[WEB] = Counts(0)
    box.part(5)
    (found,) = box.served.figures()
    assert found.served == 600, "how many there were is not known"
    box.part(5)
    (found,) = box.served.figures()
    assert found.served == 300
    assert box.served.totals() == {TCP: 700, UDP: 0}


def test_an_address_that_answers_nobody_is_no_service() -> None:
    served = Served(FakeServed())
    for at in range(60):
        served.add(1_000.0 + at, asking(Service(HOST, TCP, 8_000 + at), 5))
    assert served.figures() == []


def test_totals_count_from_when_a_service_is_first_seen() -> None:
    box = Box()
    box.kernel.counts[DNS] = Counts(1_000_000)
    box.served.add(box.now, asking(DNS, 1))
    box.kernel.counts[DNS] = Counts(1_000_007)
    assert box.served.totals() == {TCP: 0, UDP: 7}


def test_the_counted_handshakes_per_host_are_capped() -> None:
    """One ACK may be sent again and again, and a sampled one stands for many."""
    one, other = asking(WEB, 100, 1), asking(WEB, 100, 1)
    other["destination"] = bytes((192, 0, 2, 2))
    both = np.concatenate([one, other])
    assert completed(both, 0.5) == 200
    both["weight"] = 1_000
    assert completed(both, 0.5) == 2 * 2_500
    assert completed(asking(WEB, 0), 0.5) == 0


def test_a_gap_in_the_observation_gives_no_rate() -> None:
    box = Box()
    for _ in range(8):
        box.part(10)
    box.kernel.counts[WEB] = Counts(box.kernel.counts[WEB].count + 50_000)
    box.now += 600
    box.part(10)
    (found,) = box.served.figures()
    assert (found.served, found.usual, found.fails) == (600, 600, "")
    assert box.served.totals()[TCP] == 9 * 200 + 50_000


def test_a_syn_without_copied_ports_counts_for_no_service() -> None:
    """The ports are behind many IPv6 extension headers."""
    served = Served(FakeServed())
    seen = asking(WEB, 3)
    seen["destination_port"] = -1
    served.add(1.0, seen)
    served.add(100.0, seen)
    assert served.figures() == []


def test_the_dashboard_knows_the_longest_wait() -> None:
    script = (ROOT / "api/xdpctl_api/dashboard/static/tables.js").read_text()
    assert f"if (seconds >= {int(wait_bound(WAITS - 1))})" in script
    assert wait(wait_bound(WAITS - 1)) == "> 4.29 s"
    assert [wait(wait_bound(n)) for n in (0, 4, 5)] == ["1 ms", "268 ms", "1.07 s"]
    assert wait(None) == "?"
