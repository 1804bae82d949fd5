# SPDX-License-Identifier: GPL-2.0-or-later
"""A rule on trial lets some flows pass that it would drop, and records which are answered."""

import random
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.kernel.conftest import Filter
from tests.kernel.test_flows import ACK, PSH, SYN, drop_all, forget, packet4, packet6, tcp
from tests.kernel.test_signatures import Armed
from tests.reference_trials import Bucket
from tests.reference_trials import Trial as Model
from tests.support.packets import udp
from xdpctl.abi import sizes
from xdpctl.abi.constants import Chosen, SlotNumber, Spare
from xdpctl.datapath.trials import Trial

INSIDE, RULE = bytes((192, 0, 2, 1)), SlotNumber.SIGNATURES
INSIDE6 = bytes.fromhex("20010db8") + bytes(11) + b"\1"
PAUSE, LEAST, MS = 0.2, sizes.PAUSE_LEAST_MS / 1000, 0.001  # seconds; the kernel counts in ms
NUMBERS = iter(range(1, 1 << 31))


@pytest.fixture
def tried(teaching: Filter) -> Iterator[Filter]:
    """A filter that drops every incoming packet that is neither known nor chosen by the trial."""
    drop_all(teaching, Spare.TRIAL)
    forget(teaching)
    yield teaching
    teaching.datapath.trials.put({})
    Armed(teaching).hold([])


def begin(
    held: Filter, share: float = 0.0, most: float = 1e10, again: float = 0.0, number: int = 0
) -> int:
    """Begin a new trial of the rule, or restart the one with this number, with no flow chosen."""
    for name in ("tried_flows", "seen"):
        np.frombuffer(held.loader._maps.shared[name].memory(), np.uint8)[:] = 0
    number = number or next(NUMBERS)
    held.datapath.trials.put({RULE: Trial(number, share, most, again)})
    return number


def source(number: int) -> bytes:
    return bytes((203, *number.to_bytes(3, "big")))


def request(number: int, flags: int = ACK | PSH) -> bytes:
    return packet4(source(number), INSIDE, tcp(flags) + b"GET", 6)


def comes(held: Filter, frame: bytes) -> str:
    """The reason of an incoming packet; asserts that the verdict fits it."""
    verdict, reason = held.judge(frame, outside=True)
    assert (verdict == "pass") == (reason in ("TRIAL", "KNOWN"))
    return reason


def passes(held: Filter, frame: bytes) -> bool:
    return comes(held, frame) == "TRIAL"


@pytest.mark.parametrize(
    "frame",
    [
        request(1),
        request(1, SYN),
        packet4(source(1), INSIDE, bytes((8, 0)) + bytes(30), 1),
        packet4(source(1), INSIDE, bytes(40), 50),
        packet6(INSIDE6[:-1] + b"\2", INSIDE6, tcp(SYN), 6),
    ],
    ids=["tcp", "syn", "icmp", "esp", "ipv6"],
)
def test_a_flow_chosen_by_a_trial_may_send_six_packets(tried: Filter, frame: bytes) -> None:
    number, before = begin(tried, share=1.0), tried.set_hits(RULE)
    assert [comes(tried, frame) for _ in range(8)] == ["TRIAL"] * 6 + ["MATCHED"] * 2
    (member,) = tried.datapath.trials.tried()
    assert (member.trial, member.packets, member.known) == (number, 6, False)
    assert (member.chosen, member.protocol) == (
        Chosen.BY_SHARE,
        frame[23 if frame[14] < 0x60 else 20],
    )
    assert tried.datapath.trials.passed() == {RULE: 6}
    assert tried.set_hits(RULE)[0] - before[0] == 2, "packets that pass are no hits"


def test_without_a_trial_every_packet_is_dropped(tried: Filter) -> None:
    tried.datapath.trials.put({})
    assert not passes(tried, request(1))


def test_an_operators_rule_with_the_same_number_is_not_on_trial(tried: Filter) -> None:
    begin(tried, share=1.0)
    drop_all(tried, Spare.KNOWN)
    assert not passes(tried, request(1))


def test_explain_reports_the_rules_verdict_and_chooses_no_flow(tried: Filter) -> None:
    begin(tried, share=1.0)
    assert tried.explain(request(1), outside=True) == "MATCHED"
    assert not tried.datapath.trials.tried()


def test_later_fragments_are_not_on_trial(tried: Filter) -> None:
    begin(tried, share=1.0)
    assert not passes(tried, packet4(source(1), INSIDE, bytes(64), 17, fragment=185))


def test_a_client_that_comes_again_after_a_pause_passes(tried: Filter) -> None:
    begin(tried, again=100)
    assert [passes(tried, request(1)) for _ in range(3)] == [False] * 3
    assert not passes(tried, request(2))
    time.sleep(PAUSE)
    assert [passes(tried, request(1)) for _ in range(8)] == [True] * 6 + [False] * 2
    assert not passes(tried, request(3)), "it comes for the first time"
    (member,) = tried.datapath.trials.tried()
    assert member.chosen is Chosen.AGAIN


@pytest.mark.parametrize(("port", "passing"), [(443, True), (27015, True), (40_000, False)])
def test_a_udp_client_that_comes_again_passes_only_if_it_asks_a_service(
    tried: Filter, port: int, passing: bool
) -> None:
    """Otherwise the answer of another host to forged UDP would make a flow known."""
    begin(tried, share=1.0, again=100)
    frame = packet4(source(1), INSIDE, udp(50_000, port), 17)
    assert not passes(tried, frame)
    time.sleep(PAUSE)
    assert passes(tried, frame) is passing
    tried.teach(packet4(INSIDE, source(1), udp(port, 50_000), 17))
    if passing:
        assert not tried.flows.figures().elements, "an answer teaches nothing"


def test_an_ipv6_network_counts_as_one_source(tried: Filter) -> None:
    begin(tried, share=1.0)
    for last in (b"\2", b"\3"):
        assert passes(tried, packet6(INSIDE6[:-1] + last, INSIDE6, tcp(SYN), 6))
    assert len({one.source for one in tried.datapath.trials.tried()}) == 1


def test_the_number_of_returning_clients_is_bounded(tried: Filter) -> None:
    begin(tried, again=10)
    assert not any(passes(tried, request(n)) for n in range(200))
    time.sleep(PAUSE)
    since = time.monotonic()
    came = sum(passes(tried, request(n)) for n in range(200))
    assert 26 <= came <= 27 + 10 * (time.monotonic() - since)


def test_the_number_of_flows_in_a_trial_is_bounded(tried: Filter) -> None:
    begin(tried, share=1.0, most=10)
    since = time.monotonic()
    came = sum(passes(tried, request(n)) for n in range(2_000))
    assert 26 <= came <= 27 + 10 * (time.monotonic() - since)


def test_the_share_on_trial_is_chosen_by_flow(tried: Filter) -> None:
    """The share has the right size and always the same flows; sending more gives no advantage."""
    number = begin(tried, share=0.1)
    first = {n for n in range(1_000) if passes(tried, request(n))}
    begin(tried, share=0.1, number=number)
    again = {n for n in range(1_000) for _ in range(3) if passes(tried, request(n))}
    assert 60 <= len(first) <= 140
    assert again == first
    begin(tried, share=0.1)
    others = {n for n in range(1_000) if passes(tried, request(n))}
    assert len(others & first) < 40, "another trial chooses other flows"


def test_a_flow_that_the_inside_answers_with_data_counts_as_known(tried: Filter) -> None:
    begin(tried, share=1.0)
    for number in range(3):
        assert passes(tried, request(number))
    out = packet4(INSIDE, source(1), tcp(ACK | PSH, 443, 40000) + b"200", 6)
    tried.teach(out)
    taking = {member.source: member.known for member in tried.datapath.trials.tried()}
    assert sorted(taking.values()) == [False, False, True]
    assert comes(tried, request(1)) == "KNOWN"


def test_a_new_trial_begins_without_the_members_of_the_last_one(tried: Filter) -> None:
    begin(tried, share=1.0)
    assert passes(tried, request(1))
    number = next(NUMBERS)
    tried.datapath.trials.put({RULE: Trial(number, 1.0, 1e10, 0.0)})
    assert tried.datapath.trials.passed() == {RULE: 0}
    assert not any(m.trial == number for m in tried.datapath.trials.tried())


def test_a_trial_passes_exactly_what_the_model_passes(tried: Filter) -> None:
    """Flows come in turn, some of them in the share; none shares its place with another one."""
    rng = random.Random(1)
    begin(tried, share=1.0)
    flows = [n for n in range(60) if passes(tried, request(n, SYN))]
    number = begin(tried, share=0.5)
    chosen = {n for n in flows if passes(tried, request(n, SYN))}
    begin(tried, share=0.5, again=1e6, number=number)
    model = Model(Bucket(1e10), Bucket(1e6))
    sent: dict[int, tuple[float, float]] = {}  # by flow, between which times it was sent last
    compared = 0
    for _ in range(4):
        for _ in range(75):  # in less than the seconds that a flow has its place
            flow, now = rng.choice(flows), time.monotonic()
            passed = passes(tried, request(flow, SYN))
            expected = model.passes(flow, now, flow in chosen)
            before, sent[flow] = sent.get(flow), (now, time.monotonic())
            if before and now - before[1] - MS < LEAST <= sent[flow][1] - before[0] + MS:
                flows.remove(flow)  # on a busy machine nobody knows whether that was a pause
                continue
            assert passed == expected
            compared += 1
        time.sleep(PAUSE)
    assert compared > 100
