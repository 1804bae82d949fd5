# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of what goes out: the program at TC egress drops by destination, as in the model."""

import os
import random
from collections import Counter
from collections.abc import Iterator
from itertools import chain

import pytest

from tests import reference
from tests.kernel.conftest import Filter
from tests.kernel.listings import DROPPING, listed
from tests.kernel.test_flows import ACK, RST, SYN, drop_all, forget, tcp
from tests.kernel.test_reference import listing, random_entries, random_sets, sources, target
from tests.kernel.test_signatures import Armed
from tests.support.packets import address, ethernet, extended, ipv4, ipv6, random_frame, udp
from xdpctl.abi.constants import Action, Mode
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.image import Image
from xdpctl.datapath.plan import differences, replace_set, transition
from xdpctl.datapath.senders import Sender

PAIRS = int(os.environ.get("XDPCTL_FUZZ_PAIRS", "200000")) // 4
PER_ROUND = 499
LET_OUT, KEPT_IN = 2**32 - 1, 2  # TC_ACT_UNSPEC, TC_ACT_SHOT
COUNTED = 4  # sets, of one packet
LEAST = {b"\x08\x00": 34, b"\x86\xdd": 54}  # bytes of a frame, by EtherType
FAMILIES = [(4, "10.0.0.7", "198.51.100.9"), (6, "2001:db8::7", "2001:db8:9::9")]


@pytest.fixture
def held(teaching: Filter) -> Iterator[Filter]:
    teaching.empty()
    yield teaching
    teaching.empty()


def leave(held: Filter, frame: bytes) -> bool:
    """Whether a frame may go out."""
    value = programs.run(held.loader.programs.teacher() or 0, frame).value
    assert value in (LET_OUT, KEPT_IN)
    return value == LET_OUT


def to(source: str, destination: str, payload: bytes = b"x", vlans: tuple[int, ...] = ()) -> bytes:
    ends, datagram = (address(source), address(destination)), udp(40_000, 443, payload)
    if ":" in source:
        return ethernet(0x86DD, ipv6(*ends, datagram), vlans)
    return ethernet(0x0800, ipv4(*ends, datagram), vlans)


def senders(held: Filter, slot: int = DROPPING) -> list[Sender]:
    return [sender for sender in held.datapath.senders() if sender.slot == slot]


def turned(frame: bytes) -> bytes:
    """The same frame with its addresses exchanged."""
    try:
        kind, at = reference.ethernet(frame)
    except reference.Decided:
        return frame
    first, size = {0x0800: (12, 4), 0x86DD: (8, 16)}.get(kind, (0, 0))
    first += at
    if not size or len(frame) < first + 2 * size:
        return frame
    middle, end = first + size, first + 2 * size
    return frame[:first] + frame[middle:end] + frame[first:middle] + frame[end:]


def test_what_goes_out_meets_the_same_sets_as_in_the_model(held: Filter) -> None:
    seed = int(os.environ.get("XDPCTL_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    rng, done, kept_in = random.Random(seed), 0, 0
    image = Image(held.datapath.capacity)
    while done < PAIRS:
        seeds = [rng.randbytes(rng.choice((4, 16))) for _ in range(3)]
        entries, sets = random_entries(rng, seeds), random_sets(rng, seeds)
        desired = {prefix: target(entry) for prefix, entry in entries.items()}
        plans = [transition(image, differences(desired, image), 0)]
        plans += [replace_set(image, slot, None) for slot in image.sets]
        for plan in plans:
            held.datapath.apply(plan)
            image.commit(plan)
        for slot, content in sets.items():
            plan = replace_set(image, slot, listing(content))
            held.datapath.apply(plan)
            image.commit(plan)
        around = [*entries.values(), *chain.from_iterable(sets.values())]
        prefixes = [Prefix(e.network.network_address.packed, e.network.prefixlen) for e in around]
        pools = sources(rng, prefixes, 4), sources(rng, prefixes, 16)
        counted = Counter[str]()
        for _ in range(PER_ROUND):
            frame = turned(random_frame(rng, *pools))
            if len(frame) < LEAST.get(frame[12:14], 0):
                continue  # BPF_PROG_TEST_RUN refuses it
            may, met = reference.leaves(frame, around)
            assert leave(held, frame) == may, f"seed {seed}: {frame.hex()} with {around}"
            owners = [entry.owner for entry in met]
            counted.update((*owners[-1:], *sorted(owners[:-1])[: COUNTED - 1]))
            kept_in += not may
            done += 1
        hits = {slot: held.set_hits(slot)[0] for slot in sets if any(sets[slot])}
        of_out = {slot for slot in hits if sets[slot][0].action == "out"}
        assert {slot: hits[slot] for slot in of_out} == {s: counted[f"{s:04}"] for s in of_out}
        told = {slot: sum(s.packets for s in senders(held, slot)) for slot in of_out}
        assert all(told[slot] <= hits[slot] for slot in of_out), "answers have no sender"
    for plan in (
        transition(image, differences({}, image), 0),
        *(replace_set(image, slot, None) for slot in [*image.sets]),
    ):
        held.datapath.apply(plan)
        image.commit(plan)
    assert kept_in > done // 100


@pytest.mark.parametrize(("family", "inside", "bad"), FAMILIES)
def test_a_packet_to_a_listed_address_is_dropped_and_its_sender_is_named(
    held: Filter, family: int, inside: str, bad: str
) -> None:
    held.replace_set(DROPPING, listed("198.51.100.0/24", "2001:db8:9::/48", action=Action.OUT))
    assert leave(held, to(bad, inside)), "what lists an address as a destination is no source rule"
    assert held.run(to(bad, inside)) == "pass", "nor for what comes in"
    frame = to(inside, bad)
    assert not leave(held, frame)
    assert not leave(held, to(inside, bad, vlans=(0x8100, 0x8100)))
    assert leave(held, to(inside, "192.0.2.1" if family == 4 else "2001:db8:1::1"))
    (sender,) = senders(held)
    assert str(sender.address).split("/")[0] == inside
    assert str(sender.destination).split("/")[0] == bad
    assert (sender.packets, sender.mac) == (2, frame[6:12].hex(":"))
    assert held.set_hits(DROPPING) == (sender.packets, sender.bytes)
    held.replace_set(DROPPING, None)
    assert leave(held, frame)


def test_a_set_in_monitor_mode_lets_out_and_names_the_sender(held: Filter) -> None:
    watched = listed("198.51.100.0/24", action=Action.OUT, mode=Mode.MONITOR)
    held.replace_set(DROPPING - 1, listed("198.51.100.9/32", action=Action.OUT, mode=Mode.MONITOR))
    held.replace_set(DROPPING, watched)
    assert leave(held, to("10.0.0.7", "198.51.100.9"))
    for slot in (DROPPING - 1, DROPPING):
        assert [sender.packets for sender in senders(held, slot)] == [1]
        assert held.set_hits(slot)[0] == 1


def test_the_set_that_decides_is_counted_however_many_others_a_packet_meets(held: Filter) -> None:
    watches = listed("198.51.100.9", action=Action.OUT, mode=Mode.MONITOR)
    for number in range(1, 7):
        held.replace_set(DROPPING - number, watches)
    held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
    assert not leave(held, to("10.0.0.7", "198.51.100.9"))
    assert [held.set_hits(DROPPING - number)[0] for number in range(7)] == [1, 0, 0, 0, 1, 1, 1]
    assert [len(senders(held, DROPPING - number)) for number in range(7)] == [1, 0, 0, 0, 1, 1, 1]


ANSWERS = {
    "a SYN-ACK": (6, tcp(SYN | ACK)),
    "an RST": (6, tcp(RST | ACK)),
    "an ACK without data": (6, tcp(ACK)),
    "an answer from a service": (17, udp(123, 40_000, bytes((0x24,)) + bytes(47))),
    "an echo reply": (1, bytes((0, 0, 0, 0, 0, 1, 0, 1))),
    "an error": (1, bytes((3, 3, 0, 0, 0, 0, 0, 0)) + bytes(28)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whom_an_outsider_makes_answer_is_not_accused(held: Filter, name: str) -> None:
    held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
    protocol, payload = ANSWERS[name]
    packet = ipv4(address("10.0.0.7"), address("198.51.100.9"), payload, protocol)
    assert not leave(held, ethernet(0x0800, packet)), "it is dropped all the same"
    assert senders(held) == []
    syn = ipv4(address("10.0.0.7"), address("198.51.100.9"), tcp(SYN), 6)
    assert not leave(held, ethernet(0x0800, syn))
    assert [sender.packets for sender in senders(held)] == [1]


def test_who_is_accepted_or_protected_can_be_reached(held: Filter) -> None:
    held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
    words = ("accept", "protect", "neighbour", "expired-accept", "monitor-accept", "drop")
    held.hold("; ".join(f"{word} 198.51.100.{n}" for n, word in enumerate(words, 7)))
    reached = [n for n in range(7, 14) if leave(held, to("10.0.0.7", f"198.51.100.{n}"))]
    assert reached == [7, 8, 9]


def test_extension_headers_options_and_fragments_hide_no_destination(held: Filter) -> None:
    held.replace_set(DROPPING, listed("198.51.100.0/24", "2001:db8:9::/48", action=Action.OUT))
    for count in (1, 8, 9):
        first, hidden = extended((0,) * count, 17, udp(1, 2, b""))
        packet = ipv6(address("2001:db8::7"), address("2001:db8:9::9"), hidden, first)
        assert not leave(held, ethernet(0x86DD, packet))
    plain = to("10.0.0.7", "198.51.100.9")
    later = plain[:20] + b"\x20\x05" + plain[22:]
    assert not leave(held, later), "a later fragment"
    assert not leave(held, plain[:34]), "the fixed header is enough"
    tagged = to("10.0.0.7", "198.51.100.9", vlans=(0x8100,))
    assert not leave(held, tagged[:38])
    assert leave(held, tagged[:37])


def test_what_is_dropped_teaches_nothing(held: Filter) -> None:
    drop_all(held)
    forget(held)
    try:
        asked, answered = to("10.0.0.7", "198.51.100.9"), turned(to("10.0.0.7", "198.51.100.9"))
        ports = answered[34:38]
        answered = answered[:34] + ports[2:] + ports[:2] + answered[38:]
        held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
        assert not leave(held, asked)
        assert held.run(answered, outside=True) == "drop"
        held.replace_set(DROPPING, None)
        assert leave(held, asked)
        assert held.run(answered, outside=True) == "pass"
    finally:
        forget(held)
        Armed(held).hold([])


def test_the_bypass_lets_everything_out(held: Filter) -> None:
    held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
    held.datapath.set_bypass(True)
    try:
        assert leave(held, to("10.0.0.7", "198.51.100.9"))
    finally:
        held.datapath.set_bypass(False)
    assert not leave(held, to("10.0.0.7", "198.51.100.9"))


def test_a_slot_that_is_used_again_has_no_senders(held: Filter) -> None:
    held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
    leave(held, to("10.0.0.7", "198.51.100.9"))
    held.replace_set(DROPPING, None)
    held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
    assert senders(held) == []


def test_more_senders_than_fit_do_not_stop_the_drops(held: Filter) -> None:
    held.replace_set(DROPPING, listed("198.51.100.0/24", action=Action.OUT))
    for number in range(6000):
        assert not leave(held, to(f"10.1.{number >> 8}.{number & 255}", "198.51.100.9"))
    assert 0 < len(senders(held)) <= 4096
    assert held.set_hits(DROPPING)[0] == 6000
