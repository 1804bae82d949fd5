# SPDX-License-Identifier: GPL-2.0-or-later
"""Random rules and packets: the loaded program and the reference model must agree."""

import os
import random
import time
from ipaddress import ip_network
from itertools import chain

import numpy as np

from tests import reference
from tests.kernel.listings import ACCEPTING, DROPPING, told
from tests.support import packets
from xdpctl.abi.constants import Action, Mode, Reason, Side
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.image import NEIGHBOUR, PROTECTED, Image, Listing, Target, own_slot
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import differences, replace_set, transition

PAIRS = int(os.environ.get("XDPCTL_FUZZ_PAIRS", "200000"))
SECONDS = float(os.environ.get("XDPCTL_FUZZ_SECONDS", "0"))
ENOUGH = 100_000  # pairs, among which every reason is
PER_ROUND = 997
SIGNED = {Reason.ESTABLISHED, Reason.KNOWN, Reason.MATCHED, Reason.LIMITED, Reason.TRIAL}
SIGNED |= {Reason.CHALLENGED, Reason.ANSWERED}
UNSENT = {Reason.NONE, Reason.BYPASS, Reason.FAULT} | SIGNED  # no packet of this test meets these
KEPT = {"protected": PROTECTED, "neighbour": NEIGHBOUR}
ACTIONS = {"drop": Action.DROP, "accept": Action.ACCEPT, "out": Action.OUT}


def random_prefix(rng: random.Random, seeds: list[bytes]) -> Prefix:
    seed = rng.choice(seeds)
    bits = len(seed) * 8
    length = rng.choice((bits, bits, bits - 1, rng.randrange(bits + 1), 24, 0))
    return Prefix(seed, bits).widened(length)


def random_entries(rng: random.Random, seeds: list[bytes]) -> dict[Prefix, reference.Entry]:
    """Prefixes nested around a few addresses, of both families and every length."""
    entries = {}
    for _ in range(rng.randrange(1, 30)):
        prefix = random_prefix(rng, seeds)
        state = rng.choice(("live", "live", "live", "expired", "monitor"))
        action = rng.choice(("drop", "drop", "drop", "accept", *KEPT))
        state = "live" if action in KEPT else state
        entries[prefix] = reference.Entry(ip_network(prefix), action, state)
    return entries


def random_sets(rng: random.Random, seeds: list[bytes]) -> dict[int, list[reference.Entry]]:
    """Sets by slot; their entries lie on and around those of the rules and of other sets."""
    sets = {}
    for slot in rng.sample(
        (*range(ACCEPTING, ACCEPTING + 3), *range(DROPPING - 2, DROPPING + 1)), rng.randrange(4)
    ):
        action = "accept" if slot < ACCEPTING + 32 else rng.choice(("drop", "out"))
        state, owner = rng.choice(("live", "live", "monitor")), f"{slot:04}"
        prefixes = {random_prefix(rng, seeds) for _ in range(rng.randrange(12))}
        sets[slot] = [reference.Entry(ip_network(p), action, state, owner) for p in prefixes]
    return sets


def listing(entries: list[reference.Entry]) -> Listing:
    prefixes = [Prefix(e.network.network_address.packed, e.network.prefixlen) for e in entries]
    value = own_slot(Action.DROP, Mode.ENFORCE, 0).value
    for entry in entries[:1]:
        mode = Mode.MONITOR if entry.state == "monitor" else Mode.ENFORCE
        value = own_slot(ACTIONS[entry.action], mode, 0).value
    keys = {
        number: np.unique(family.keys(p for p in prefixes if p.family == number))
        for number, family in FAMILIES.items()
    }
    return Listing(value, keys)


def target(entry: reference.Entry) -> Target:
    if entry.action in KEPT:
        return KEPT[entry.action]
    mode = Mode.MONITOR if entry.state == "monitor" else Mode.ENFORCE
    expires = 1 if entry.state == "expired" else 0
    return own_slot(ACTIONS[entry.action], mode, expires)


def random_port(rng: random.Random, seeds: list[bytes]) -> reference.Port:
    """A random port, outside half of the time, with sides around the same addresses."""
    if rng.random() < 0.5:
        return reference.INSIDE
    prefixes = [random_prefix(rng, seeds) for _ in range(rng.randrange(8))]
    prefixes = [prefix for prefix in prefixes if prefix.length]
    return reference.Port(
        True, {ip_network(p): rng.choice(("inside", "inside", "outside")) for p in prefixes}
    )


def sources(rng: random.Random, prefixes: list[Prefix], size: int) -> list[bytes]:
    """Addresses inside the prefixes and just beside them."""
    out = [rng.randbytes(size)]
    for prefix in prefixes:
        if len(prefix.address) != size:
            continue
        host = rng.getrandbits(size * 8) & ((1 << (size * 8 - prefix.length)) - 1)
        number = int.from_bytes(prefix.address, "big") | host
        out.append(number.to_bytes(size, "big"))
        out.append((number ^ (1 << rng.randrange(size * 8))).to_bytes(size, "big"))
        out.append(prefix.address)
    return out


def test_the_loaded_program_agrees_with_the_reference(
    loader: Loader, datapath: PinnedDatapath
) -> None:
    seed = int(os.environ.get("XDPCTL_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    programs_of = {of: loader.add_port(f"fuzz{of:d}", of).program_fd for of in (False, True)}
    for side in (False, True):
        loader.explain.add(side)
    image, done, until = Image(datapath.capacity), 0, time.monotonic() + SECONDS
    expected = {of: dict.fromkeys(Reason, 0) for of in (False, True)}
    while done < PAIRS or time.monotonic() < until:
        seeds = [rng.randbytes(rng.choice((4, 16))) for _ in range(3)]
        entries, sets = random_entries(rng, seeds), random_sets(rng, seeds)
        desired = {prefix: target(entry) for prefix, entry in entries.items()}
        plans = [transition(image, differences(desired, image), time.monotonic_ns())]
        plans += [
            replace_set(image, slot, listing(sets[slot]) if slot in sets else None)
            for slot in {*image.sets, *sets}
        ]
        for plan in plans:
            datapath.apply(plan)
            image.commit(plan)
        port = random_port(rng, seeds)
        sides = ((Prefix(n.network_address.packed, n.prefixlen), s) for n, s in port.sides.items())
        datapath.sides.bring({prefix: Side[name.upper()] for prefix, name in sides})
        listed = [*entries.values(), *chain.from_iterable(sets.values())]
        slot_of = {entries[prefix]: slot for prefix, slot in image.entries.items()}
        prefixes = [Prefix(e.network.network_address.packed, e.network.prefixlen) for e in listed]
        pools = sources(rng, prefixes, 4), sources(rng, prefixes, 16)
        for _ in range(PER_ROUND):
            frame = packets.random_frame(rng, *pools)
            name, met = reference.trace(frame, listed, port=port)
            said = datapath.explain(frame, port.outside)
            where = f"seed {seed}, pair {done}: {frame.hex()} by {port} with {listed}"
            assert said.reason.name == name, where
            slots = [int(e.owner) if e.owner else slot_of[e] for e in met]
            assert said.slots == told(slots), where
            result = programs.run(programs_of[port.outside], frame).value
            assert result == (1 if reference.verdict(name) == "drop" else 2), where
            expected[port.outside][Reason[name]] += 1
            done += 1
    unsent = {one for one in Reason if not any(counts[one] for counts in expected.values())}
    assert unsent <= UNSENT or PAIRS < ENOUGH, f"seed {seed}"
    for of, counts in expected.items():
        counted = datapath.counters()[f"fuzz{of:d}"]
        assert {r: h.packets for r, h in counted.items()} == {r: counts[r] for r in counted}
