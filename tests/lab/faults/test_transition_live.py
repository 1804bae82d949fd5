# SPDX-License-Identifier: GPL-2.0-or-later
"""Transitions under a flood: a source that is dropped before and after is dropped meanwhile too."""

import random
import time
from collections.abc import Mapping

from tests.kernel.conftest import RULES
from tests.lab.conftest import Street
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.datapath.image import Image
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import differences, transition

NET = parse_prefix("203.0.113.0/24")
WATCHED = [f"203.0.113.{n}" for n in (0, 1, 2, 3, 63, 64, *range(70, 190, 5), 254, 255)]
EXACT = [parse_prefix(text) for text in WATCHED]
DECIDING = {"drop": "drop", "accept": "pass", "protect": "pass", "neighbour": "pass"}
WORDS = [*RULES, "drop", "drop", "accept"]
AROUND = [NET.widened(length) for length in (0, 8, 16, 22, 23, 24)]
TRANSITIONS, REPAINT_EVERY, LEAST_PACKETS = 400, 5, 1_000_000
SECONDS_MOST = 8.0
Rules = Mapping[Prefix, str]


def verdict(rules: Rules, address: Prefix) -> str:
    """The verdict of the most specific rule that decides."""
    for length in range(32, -1, -1):
        word = rules.get(address.widened(length), "")
        if word in DECIDING:
            return DECIDING[word]
    return "pass"


def halves(prefix: Prefix) -> tuple[Prefix, Prefix]:
    number, length = int.from_bytes(prefix.address, "big"), prefix.length + 1
    upper = number | 1 << (32 - length)
    return Prefix(prefix.address, length), Prefix(upper.to_bytes(4, "big"), length)


def grown(rng: random.Random, prefix: Prefix, rules: dict[Prefix, str]) -> None:
    """Random rules below a prefix."""
    if rng.random() < 0.4:
        rules[prefix] = rng.choice(WORDS)
    if prefix.length < 32 and rng.random() < 0.85:
        for half in halves(prefix):
            grown(rng, half, rules)


def chosen(rng: random.Random) -> dict[Prefix, str]:
    """Random rules that drop all watched sources, in one of several ways."""
    rules: dict[Prefix, str] = {}
    way = rng.randrange(6)
    if way == 0:
        rules[NET] = "drop"
    elif way == 1:
        rules.update(dict.fromkeys(halves(NET), "drop"))
    elif way == 2:
        rules[NET] = rng.choice(("accept", "monitor", "expired", "protect"))
        rules.update(dict.fromkeys(EXACT, "drop"))
    elif way == 3:
        lower, upper = halves(NET)
        rules.update({NET: "accept", lower: "drop", upper: rng.choice(WORDS)})
        rules.update({exact: rng.choice(("drop", "monitor", "expired")) for exact in EXACT})
    else:
        grown(rng, NET, rules)
    for prefix in AROUND[:-1]:
        if rng.random() < 0.3:
            rules[prefix] = rng.choice(WORDS)
    for exact in EXACT:
        if verdict(rules, exact) != "drop":
            rules[exact] = "drop"
    return rules


class Change:
    """Takes the tables from one set of rules to the next."""

    def __init__(self, datapath: PinnedDatapath) -> None:
        self.datapath = datapath
        self.image = Image(datapath.capacity)

    def to(self, rules: Rules) -> None:
        desired = {prefix: RULES[word] for prefix, word in rules.items()}
        plan = transition(self.image, differences(desired, self.image), time.monotonic_ns())
        self.datapath.apply(plan)
        self.image.commit(plan)

    def repainted_to(self, rules: Rules) -> None:
        """Apply the change during a repaint of the filters."""
        steps = self.datapath.source.repaint()
        next(steps)
        self.to(rules)
        list(steps)

    def packets(self, *reasons: Reason) -> int:
        counters = self.datapath.counters()["isp0"]
        return sum(counters[reason].packets for reason in reasons)


def test_no_packet_of_a_dropped_source_passes_during_a_transition(
    street: Street, loader: Loader, datapath: PinnedDatapath
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng, change, done = random.Random(seed), Change(datapath), 0
    loader.add_port("isp0")
    street.server.call(loader.reconcile)
    assert loader.ports["isp0"].state == "attached", loader.ports["isp0"].detail
    change.to({NET: "drop"})
    with street.sniffer(str(NET)) as stack, street.flood(WATCHED) as sent:
        until = time.monotonic() + SECONDS_MOST
        while time.monotonic() < until:
            step = change.repainted_to if done % REPAINT_EVERY == 0 else change.to
            step(chosen(rng))
            done += 1
            assert stack.count() == 0, f"seed {seed}, transition {done}"
            if done >= TRANSITIONS and change.packets(Reason.DROPPED) >= LEAST_PACKETS:
                break
        street.generator.stop.set()
        flood = sent.result()
        assert stack.count() == 0, f"seed {seed}"
    rate = flood.packets / flood.seconds
    print(f"{done} transitions, {flood.packets} packets at {rate:.0f}/s")
    assert change.packets(Reason.DROPPED) > 0
    assert change.packets(Reason.NO_RULE, Reason.ACCEPTED, Reason.PROTECTED) == 0, f"seed {seed}"
    change.to({})
    with street.sniffer(str(NET)) as stack:
        street.send(WATCHED, 50_000)
        assert stack.count() > 0, "without a rule packets arrive, or the above means nothing"
