"""Random rules and random packets: the loaded program and the reference must agree."""

import os
import random
import time
from ipaddress import ip_network

from tests import packets, reference
from xdpctl import programs
from xdpctl.kernel import PinnedDatapath
from xdpctl.loader import Loader
from xdpctl.plan import PROTECTED, Image, Target, differences, own_slot, transition
from xdpctl.prefix import Prefix
from xdpctl.wire import Action, Mode, Reason

PAIRS = int(os.environ.get("XDPCTL_FUZZ_PAIRS", "200000"))
SECONDS = float(os.environ.get("XDPCTL_FUZZ_SECONDS", "0"))
PER_ROUND = 997
UNSENT = {Reason.NONE, Reason.BYPASS, Reason.FAULT}  # no packet of this test meets these
ACTIONS = {"drop": Action.DROP, "accept": Action.ACCEPT}


def random_entries(rng: random.Random) -> dict[Prefix, reference.Entry]:
    """Prefixes nested around a few addresses, of both families and every length."""
    entries = {}
    seeds = [rng.randbytes(rng.choice((4, 16))) for _ in range(3)]
    for _ in range(rng.randrange(1, 30)):
        seed = rng.choice(seeds)
        bits = len(seed) * 8
        length = rng.choice((bits, bits, bits - 1, rng.randrange(bits + 1), 24, 0))
        prefix = Prefix(seed, bits).widened(length)
        state = rng.choice(("live", "live", "live", "expired", "monitor"))
        action = rng.choice(("drop", "drop", "accept", "protected"))
        network = ip_network((prefix.address, prefix.length))
        state = "live" if action == "protected" else state
        entries[prefix] = reference.Entry(network, action, state)
    return entries


def target(entry: reference.Entry) -> Target:
    if entry.action == "protected":
        return PROTECTED
    mode = Mode.MONITOR if entry.state == "monitor" else Mode.ENFORCE
    expires = 1 if entry.state == "expired" else 0
    return own_slot(ACTIONS[entry.action], mode, expires)


def sources(rng: random.Random, entries: dict[Prefix, reference.Entry], size: int) -> list[bytes]:
    """Addresses inside the prefixes and just beside them."""
    out = [rng.randbytes(size)]
    for prefix in entries:
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
    program = loader.add_port("fuzz").program_fd
    image, done, until = Image(datapath.capacity), 0, time.monotonic() + SECONDS
    expected = dict.fromkeys(Reason, 0)
    while done < PAIRS or time.monotonic() < until:
        entries = random_entries(rng)
        desired = {prefix: target(entry) for prefix, entry in entries.items()}
        plan = transition(image, differences(desired, image), time.monotonic_ns())
        datapath.apply(plan)
        image.commit(plan)
        prefix_of = {slot: prefix for prefix, slot in image.entries.items()}
        listed = list(entries.values())
        pools = sources(rng, entries, 4), sources(rng, entries, 16)
        for _ in range(PER_ROUND):
            frame = packets.random_frame(rng, *pools)
            name, met = reference.trace(frame, listed)
            said = datapath.explain(frame)
            where = f"seed {seed}, pair {done}: {frame.hex()} with {entries}"
            assert said.reason.name == name, where
            protected = [e for e in met if e.action == "protected"]
            assert [entries[prefix_of[s]] for s in said.slots if s != 1] == [
                e for e in met if e.action != "protected"
            ][:16], where
            assert (1 in said.slots) == (bool(protected) and len(met) <= 16), where
            result = programs.run(program, frame).value
            assert result == (1 if reference.verdict(name) == "drop" else 2), where
            expected[Reason[name]] += 1
            done += 1
    assert {r for r in Reason if not expected[r]} <= UNSENT, f"seed {seed}"
    counted = datapath.counters()["fuzz"]
    assert {r: h.packets for r, h in counted.items()} == {r: expected[r] for r in counted}
