# SPDX-License-Identifier: GPL-2.0-or-later
"""Many sets on one prefix, nested and beside rules: a packet meets and counts each of them once."""

import random

import pytest

from tests.kernel.conftest import RULES, Filter, parse_rules
from tests.kernel.listings import ACCEPTING, DROPPING, listed, told
from tests.support.packets import to_frame
from xdpctl.abi.constants import Action, Mode, Reason, SlotNumber
from xdpctl.base.net.prefix import parse_prefix

EXACT, NEAR, WIDE = (
    ("192.0.2.7", "2001:db8::7"),
    ("192.0.2.0/24", "2001:db8::/64"),
    ("0.0.0.0/0", "::/0"),
)
ALL = range(SlotNumber.SETS, SlotNumber.FIRST)
FIFTH, SEVENTH, FAR = (SlotNumber.SETS + n for n in (3, 5, 38))
BESIDE = {"192.0.2.7": "192.0.2.8", "2001:db8::7": "2001:db8::8"}


def monitor(filtered: Filter, slot: int, *prefixes: str) -> None:
    action = Action.ACCEPT if slot < SlotNumber.SETS + 32 else Action.DROP
    filtered.replace_set(slot, listed(*prefixes, action=action, mode=Mode.MONITOR))


def all_hits(filtered: Filter) -> dict[int, tuple[int, int]]:
    return {slot: filtered.set_hits(slot) for slot in ALL}


@pytest.mark.parametrize("source", EXACT)
def test_every_set_on_and_around_a_source_counts_its_packet_once(
    emptied: Filter, source: str
) -> None:
    for slot in ALL:
        around = (NEAR if slot % 4 == 0 else ()) + (WIDE if slot % 7 == 0 else ())
        monitor(emptied, slot, *EXACT, *around)
    frames = [to_frame(source), to_frame(source) + bytes(41)]
    before = all_hits(emptied)
    for frame, times in zip(frames, (13, 5), strict=True):
        assert emptied.run(frame, times) == "pass"
    size = 13 * len(frames[0]) + 5 * len(frames[1])
    for slot, (packets, octets) in all_hits(emptied).items():
        assert (packets - before[slot][0], octets - before[slot][1]) == (18, size), slot
    assert emptied.explain(frames[0]) == "NO_RULE"
    said = emptied.datapath.explain(frames[0])
    assert said.slots == told(ALL)


@pytest.mark.parametrize("source", EXACT)
def test_sets_come_and_go_on_one_prefix_without_disturbing_the_others(
    emptied: Filter, source: str
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng, frame, beside = random.Random(seed), to_frame(source), to_frame(BESIDE[source])
    held: dict[int, bool] = {}  # by slot: whether the set also covers the neighbours of the source
    for turn in range(67):
        slot = rng.choice(ALL)
        if held.pop(slot, None) is not None and rng.random() < 0.6:
            emptied.replace_set(slot, None)
        else:
            held[slot] = rng.random() < 0.5
            monitor(emptied, slot, source, *(NEAR if held[slot] else ()))
        before = all_hits(emptied)
        emptied.run(frame)
        emptied.run(beside, 2)
        after = all_hits(emptied)
        grown = {s: after[s][0] - before[s][0] for s in ALL if after[s] != before[s]}
        expected = {s: 3 if covers else 1 for s, covers in held.items()}
        assert grown == expected, f"seed {seed}, turn {turn}"


def test_explain_names_the_slots_of_sets_in_the_order_they_are_met(emptied: Filter) -> None:
    emptied.turn_into(parse_rules("monitor 192.0.2.7; monitor 192.0.2.0/24"))
    exact, near = (emptied.image.entries[parse_prefix(p)] for p in ("192.0.2.7", "192.0.2.0/24"))
    monitor(emptied, FIFTH, "192.0.2.7", "192.0.2.0/25")
    monitor(emptied, FAR, "192.0.2.7", "192.0.2.0/24")
    monitor(emptied, SEVENTH, "192.0.2.0/24")
    emptied.replace_set(ACCEPTING, listed("192.0.0.0/16", action=Action.ACCEPT))
    emptied.replace_set(DROPPING, listed("192.0.0.0/16", "2001:db8::/32"))
    frame = to_frame("192.0.2.7")
    said = emptied.datapath.explain(frame)
    assert (said.reason, said.slots) == (
        Reason.ACCEPTED,
        (exact, FIFTH, FAR, near, SEVENTH, ACCEPTING),
    )
    said = emptied.datapath.explain(to_frame("192.0.2.200"))
    assert (said.reason, said.slots) == (Reason.ACCEPTED, (near, SEVENTH, FAR, ACCEPTING))
    said = emptied.datapath.explain(to_frame("2001:db8::7"))
    assert (said.reason, said.slots) == (Reason.DROPPED, (DROPPING,))
    emptied.replace_set(ACCEPTING, None)
    said = emptied.datapath.explain(frame)
    assert (said.reason, said.slots) == (
        Reason.DROPPED,
        (exact, FIFTH, FAR, near, SEVENTH, DROPPING),
    )


def test_hits_of_sets_are_exact_in_packets_and_bytes(emptied: Filter) -> None:
    emptied.replace_set(DROPPING, listed("192.0.2.0/24", "2001:db8::/48"))
    emptied.replace_set(ACCEPTING, listed("192.0.2.7", "2001:db8::7", action=Action.ACCEPT))
    monitor(emptied, 50, "192.0.2.0/25", "2001:db8::/64", "198.51.100.1")
    sent = dict.fromkeys((DROPPING, ACCEPTING, 50), (0, 0))
    for source, times, slots in (
        ("192.0.2.7", 23, (ACCEPTING,)),
        ("192.0.2.8", 19, (50, DROPPING)),
        ("192.0.2.200", 17, (DROPPING,)),
        ("198.51.100.1", 29, (50,)),
        ("198.51.100.2", 31, ()),
        ("2001:db8::7", 37, (ACCEPTING,)),
        ("2001:db8::8", 41, (50, DROPPING)),
        ("2001:db8:0:1::8", 43, (DROPPING,)),
        ("2001:db8:1::8", 47, ()),
    ):
        frame = to_frame(source) + bytes(times)
        emptied.run(frame, times)
        for slot in slots:
            packets, octets = sent[slot]
            sent[slot] = packets + times, octets + times * len(frame)
    assert {slot: emptied.set_hits(slot) for slot in sent} == sent


@pytest.mark.parametrize("source", EXACT)
def test_a_drop_decides_despite_monitored_rules_of_every_length_and_all_sets(
    emptied: Filter, source: str
) -> None:
    exact, frame = parse_prefix(source), to_frame(source)
    rules = [exact.widened(length) for length in range(exact.length + 1)]
    emptied.turn_into(dict.fromkeys(rules, RULES["monitor"]))
    others = list(ALL)[:-1]
    for slot in others:
        monitor(emptied, slot, str(exact.widened(slot % exact.length)))
    assert emptied.judge(frame) == ("pass", "NO_RULE")
    emptied.replace_set(DROPPING, listed(str(exact.widened(0))))
    assert emptied.judge(frame) == ("drop", "DROPPED")
    assert {emptied.set_hits(slot)[0] for slot in others} == {2}
    assert {emptied.hits(str(prefix))[0] for prefix in rules} == {2}
    assert emptied.set_hits(DROPPING)[0] == 1


def test_a_drop_decides_despite_sets_that_list_its_source_and_wider_prefixes(
    emptied: Filter,
) -> None:
    for slot in list(ALL)[:33]:
        monitor(emptied, slot, "192.0.2.7", "192.0.2.0/24", "192.0.0.0/16")
    emptied.replace_set(DROPPING, listed("0.0.0.0/0"))
    assert emptied.judge(to_frame("192.0.2.7")) == ("drop", "DROPPED")
