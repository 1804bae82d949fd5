# SPDX-License-Identifier: GPL-2.0-or-later
"""A service that answers its requests is left alone at any rate."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.detection.made import ATTACKS, packets, people
from tests.support.watching import World
from xdpctl.abi.constants import Reason, Traffic
from xdpctl.abi.sizes import PAYLOAD_BYTES
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.served import Service
from xdpctl.flood.coping import Coping, services
from xdpctl.flood.counts import Chunk
from xdpctl.flood.engine import Engine
from xdpctl.flood.memory import FEW, KEPT, NormalTraffic
from xdpctl.flood.mitigations import Mitigations
from xdpctl.flood.settings import FLOORS, DetectSettings, Most
from xdpctl.flood.usual import Usual
from xdpctl.model.event import Phase
from xdpctl.model.match.components import TCP, UDP
from xdpctl.model.rate import Rate
from xdpctl.traffic.packets import PacketArray

HOST = parse_prefix("192.0.2.1")
KEY = (HOST, Traffic.DNS_QUERY)
Random = np.random.Generator


def _padded(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data.ljust(PAYLOAD_BYTES, b"\0"), "u1")


def asking(port: int, length: int = 70, data: bytes = b"") -> Any:
    """Requests to a service, each from its own port; `data` is what they begin with."""

    def make(random: Random, count: int) -> PacketArray:
        begins = {"payload_bytes": len(data), "payload": _padded(data)} if data else {}
        return packets(
            count,
            people(random, count),
            protocol=17,
            source_port=random.integers(20_000, 60_000, count),
            destination_port=port,
            packet_length=length + random.integers(0, 30, count),
            ttl=random.integers(40, 60, count),
            **begins,
        )

    return make


@dataclass(slots=True)
class Server(World):
    """A world whose server answers a share of what arrives."""

    answered: float = 1.0
    most: float = 1e9  # answers a second
    in_force: float = 0.0  # what a limit of somebody else lets pass
    count: float = 0.0
    port: int = 53
    over_tcp: bool = False
    reachable: bool = True  # for its clients over TCP, one of which comes each second
    data: bytes = b""  # what requests begin with
    seen: set[tuple[bytes, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        World.__post_init__(self)
        unix = self.unix
        normal, usual = NormalTraffic(1), Usual(unix)
        self.engine = Engine(self.settings, self.ours, usual, normal, None, self.count_of)

    def count_of(self, service: Service) -> int:
        if service.protocol == TCP:
            return int(self.now if self.reachable else 9) * (self.over_tcp and service.host == HOST)
        self.seen.add((service.host.address, service.port))
        return int(self.count)

    def asked(self, seconds: float, rate: float) -> None:
        for _ in range(round(seconds / 0.02)):
            before = self.leaked
            self.play(0.02, asking(self.port, 1_250 if self.port == 443 else 70, self.data), rate)
            self.count += min(self.answered * (self.leaked - before), 0.02 * self.most)

    def _decide(self, packets: PacketArray) -> None:
        """As the world decides, but a limit lets its packets pass."""
        World._decide(self, packets)
        limited = np.flatnonzero(packets["reason"] == Reason.LIMITED)
        own = (m.limit.pps for m in self.engine.mitigations.active if m.limit)
        rates = [self.in_force] if self.in_force else list(own)
        if not len(limited):
            return
        passes = min(rates) * 0.02 / float(packets["weight"][limited].sum())
        chosen = limited[self._random.random(len(limited)) < passes]
        packets["reason"][chosen] = Reason.NO_RULE


@pytest.mark.parametrize("port", [53, 443, 1194, 27015])
@pytest.mark.parametrize("learning", [0.0, 600.0])
def test_many_clients_of_a_service_that_answers_start_no_mitigation(
    port: int, learning: float
) -> None:
    world = Server(settings=DetectSettings(learning=learning), port=port, learnt=False)
    for rate in (4_000, 10_000, 25_000):
        world.asked(3.0, rate)
    assert world.actions() == []
    assert (HOST.address, port) in world.seen


def test_traffic_of_a_service_that_answers_is_learnt() -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False)
    world.asked(70.0, 6_000)
    assert world.engine.normal.of_family(4).count(Traffic.DNS_QUERY) > 500


def test_an_answered_flood_displaces_no_normal_traffic_from_memory() -> None:
    memory, random = NormalTraffic(1), np.random.default_rng(1)
    kind, known = frozenset((Traffic.DNS_QUERY,)), asking(53)(random, KEPT)
    memory.restore(known)
    few = NormalTraffic(1)
    for second in range(400):
        chunk = Chunk(1_000.0 + second, 1.0, asking(53, 700)(random, 200))
        memory.add(chunk, frozenset(), kind)
        few.add(chunk, frozenset(), kind)
    kept, some = (each.of_family(4) for each in (memory, few))
    of_kind = kept.kinds == Traffic.DNS_QUERY
    assert (kept.packets[of_kind]["packet_length"] < 700).all()
    assert some.count(Traffic.DNS_QUERY) == FEW


@pytest.mark.parametrize(("answered", "seconds"), [(0.0, 0.3), (0.5, 0.7)])
def test_a_service_that_stops_answering_is_helped_soon(answered: float, seconds: float) -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=answered)
    world.asked(seconds, 25_000)
    assert world.actions() == ["limit"]


def limit_of(world: Server) -> float:
    (mitigation,) = world.engine.mitigations.active
    assert mitigation.limit is not None
    return mitigation.limit.pps


def test_traffic_just_above_the_threshold_loses_next_to_nothing() -> None:
    """3,200 unanswered packets a second must not take four fifths of a service's clients."""
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.0)
    world.asked(3.0, 3_200)
    assert 0.9 * FLOORS[Traffic.DNS_QUERY] < limit_of(world) <= FLOORS[Traffic.DNS_QUERY]


def test_a_limit_follows_the_rate_of_the_attack() -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.0)
    world.asked(1.5, 3_500)
    assert limit_of(world) > 0.8 * FLOORS[Traffic.DNS_QUERY]
    world.asked(6.0, 25_000)
    assert limit_of(world) == 0.2 * FLOORS[Traffic.DNS_QUERY]
    world.asked(40.0, 2_900)
    assert limit_of(world) == FLOORS[Traffic.DNS_QUERY], "people below it lose nothing"


def test_a_limit_leaves_room_for_what_services_answer() -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.5)
    world.asked(0.7, 25_000)
    assert 8_000 < limit_of(world) < 15_000


def test_a_limit_never_falls_below_what_services_have_answered() -> None:
    """Half of what arrives is junk: less of it means fewer answers, so a limit must not follow."""
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.5)
    world.asked(1.0, 25_000)
    first = limit_of(world)
    world.asked(60.0, 25_000)
    assert limit_of(world) >= 0.9 * first > 8_000


@pytest.mark.parametrize("most", [8_000, 16_000])
def test_a_limit_is_raised_to_what_services_answer_and_hardly_beyond(most: float) -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.0)
    world.asked(2.0, 25_000)
    assert limit_of(world) == 0.2 * FLOORS[Traffic.DNS_QUERY], "the server is down"
    world.answered, world.most = 1.0, most
    world.asked(15.0, 25_000)
    assert limit_of(world) > 0.7 * most
    before = world.leaked
    world.asked(60.0, 25_000)
    assert 0.7 * most < (world.leaked - before) / 60.0 < 1.25 * most
    changes = [told for told in world.told if told.report.phase is Phase.CONTINUES]
    assert len(changes) < 40, "the steps become rare"


def test_a_limit_falls_back_when_the_service_is_slower_again() -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.0)
    world.asked(2.0, 25_000)
    world.answered = 1.0
    world.asked(10.0, 25_000)
    assert limit_of(world) > 25_000
    world.answered = 0.5
    world.asked(4.0, 25_000)
    assert limit_of(world) <= 26_000


def test_a_limit_that_is_not_in_force_is_not_raised_for_ever() -> None:
    """The control plane is away, so something else keeps packets out."""
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.0)
    world.asked(2.0, 25_000)
    world.answered, world.in_force = 1.0, 5_000.0
    world.asked(120.0, 25_000)
    assert limit_of(world) <= 12_000


def test_a_limit_ends_that_keeps_nothing_out_of_what_services_answer() -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.5)
    world.asked(1.0, 10_000)
    assert world.actions() == ["limit"]
    world.answered = 1.0
    world.asked(45.0, 10_000)
    assert world.actions() == []


def test_answers_of_another_time_do_not_raise_a_limit() -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False)
    world.asked(10.0, 25_000)
    world.quiet(960.0, 0.5)
    world.answered = 0.0
    world.asked(2.0, 25_000)
    assert limit_of(world) <= FLOORS[Traffic.DNS_QUERY]


def test_a_limit_stays_in_the_pauses_of_pulses() -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.5)
    for _ in range(3):
        world.asked(3.0, 25_000)
        world.asked(40.0, 500)
    assert limit_of(world) > 8_000, "and it keeps what the service can answer"


def test_another_port_in_the_flood_lowers_no_limit() -> None:
    def diluted(random: Random, count: int) -> PacketArray:
        made: PacketArray = asking(1194)(random, count)
        made["destination_port"] = np.where(random.random(count) < 0.2, 9_999, 1194)
        return made

    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.5, port=1194)
    world.asked(1.0, 25_000)
    first = max(m.limit.pps for m in world.engine.mitigations.active if m.limit)
    world.play(40.0, diluted, 25_000)
    assert max(m.limit.pps for m in world.engine.mitigations.active if m.limit) > 0.7 * first


@pytest.mark.parametrize(("pps", "left"), [(40_000.0, 1.0), (4_000.0, 0.0)])
def test_a_wide_limit_on_a_prefix_hides_no_flood_to_one_host(pps: float, left: float) -> None:
    world = Server(settings=DetectSettings(learning=600), learnt=False, answered=0.0)
    world.asked(1.0, 25_000)
    (mitigation,) = world.engine.mitigations.active
    mitigation.victim, mitigation.match = "192.0.2.0/24", "dst 192.0.2.0/24 proto udp dst-port 53"
    mitigation.limit = Rate(pps=pps)
    mitigations = Mitigations()
    mitigations.take_over(world.now, [mitigation], [], lambda *_: Most.DROP)
    window = asking(53)(np.random.default_rng(1), 100)
    assert mitigations.unlimited(window, KEY, 5_000.0) == left
    assert mitigations.unlimited(window, (mitigation.prefix, KEY[1]), 5_000.0) == 0.0


def test_what_a_limit_lets_pass_is_not_limited_again() -> None:
    """The flood has a shape of its own; beside it are people's queries of another one."""

    def both(random: Random, count: int) -> PacketArray:
        made: PacketArray = asking(53)(random, count)
        made["ttl"] = np.where(random.random(count) < 0.95, 200, made["ttl"])
        return made

    world = Server(settings=DetectSettings(learning=600), most=10_000)
    for _ in range(3_000):
        before = world.leaked
        world.play(0.02, both, 25_000)
        world.count += min(world.leaked - before, 200)
    assert world.actions() == ["limit"]


def test_an_attack_with_clear_signs_is_met_although_the_service_answers() -> None:
    world = Server(learnt=False)
    world.count = 0.0
    for _ in range(20):
        world.play(0.02, ATTACKS["chargen"], 25_000)
        world.count += 10_000  # it answers others
    assert "drop" in world.actions()


def test_packets_to_many_ports_count_for_no_service() -> None:
    random = np.random.default_rng(1)
    assert services(asking(53)(random, 100)) == ((HOST, UDP, 53),)
    assert services(np.concatenate([asking(53)(random, 80), asking(9_999)(random, 20)])) == ()
    assert services(ATTACKS["UDP, all at random"](random, 500)) == ()
    assert services(np.concatenate([asking(p)(random, 9) for p in range(100, 120)])) == ()


def test_only_new_clients_of_http3_count_as_questions() -> None:
    random, counts = np.random.default_rng(1), {"now": 1}
    new, data = asking(443, 1_250)(random, 100), asking(443, 300)(random, 400)
    assert services(data) == (), "a flood of short packets is no question"
    coping, both = Coping(lambda *_: counts["now"]), np.concatenate([new, data])
    for tenth in range(20):
        chunk = seen(both, 20_000)
        assert coping.copes(tenth / 10, (HOST, Traffic.QUIC_INITIAL), new, chunk)
        counts["now"] += 400  # of the 4,000 a second that are new


def seen(window: PacketArray, rate: float = 4_000) -> Chunk:
    """One second of traffic of which `window` is a sample."""
    made = window.copy()
    made["weight"] = rate / len(window)
    return Chunk(0.0, 1.0, made)


def test_without_counts_no_service_is_taken_for_answering() -> None:
    window = asking(53)(np.random.default_rng(1), 100)
    assert not Coping(None).copes(1.0, KEY, window, seen(window))
    assert not Coping(lambda *_: 0).copes(1.0, KEY, window, seen(window)), "it never answered"


@dataclass(slots=True)
class Told:
    """Checks a service ten times a second; the service answers a given number."""

    count: int = 1
    now: float = 0.0
    coping: Coping = field(init=False)
    window: PacketArray = field(init=False)

    def __post_init__(self) -> None:
        self.coping = Coping(lambda *_: self.count)
        self.window = asking(53)(np.random.default_rng(1), 100)

    def looks(self, count: int, answered: int, rate: float = 4_000) -> list[bool]:
        said = []
        for _ in range(count):
            said.append(self.coping.copes(self.now, KEY, self.window, seen(self.window, rate)))
            self.count += answered // 10
            self.now += 0.1
        return said


def test_a_service_gets_a_moment_to_answer_at_first() -> None:
    told = Told()
    assert told.looks(6, 2_000) == [True] * 4 + [False] * 2, "half is not enough in the end"
    told.now += 5.0
    assert told.looks(4, 2_000)[1:] in ([True, False, False], [False] * 3), "not for 0.4 s again"
    told.now += 61.0
    assert told.looks(2, 2_000) == [True] * 2


def test_a_service_is_judged_by_the_last_seconds() -> None:
    told = Told()
    assert all(told.looks(20, 4_000)), "it answers"
    assert not any(told.looks(25, 0)[14:]), "it does not any more"


def test_a_pause_does_not_count_against_a_service() -> None:
    told = Told()
    assert all(told.looks(10, 4_000))
    told.now += 3_600.0
    assert all(told.looks(10, 4_000))


def test_junk_to_the_port_of_a_service_is_not_excused_by_its_answers() -> None:
    """Answers to real requests do not excuse junk to the same port."""
    told = Told()
    assert not any(told.looks(20, 4_000, rate=8_000)[6:])
