# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets under a flood from their own addresses: they take effect at once, without gaps."""

import random
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from tests.lab.conftest import Street
from tests.lab.questions import counted, put_set, set_in_kernel, some, table_sizes
from xdpctl.abi.constants import Reason
from xdpctl.datapath.bpf import rcu
from xdpctl.lab.box import Box
from xdpctl.lab.sniffer import Sniffer
from xdpctl.lab.waits import eventually

NET = "203.0.113.0/24"
SOURCES = [f"203.0.113.{n}" for n in (1, 7, 64, 129, 254)]
LISTED = [f"{source}/32" for source in SOURCES]
REPLACEMENTS, FEWEST, MOST = 61, 2_000, 50_000
SLICE_SECONDS = 0.25


def rng() -> tuple[int, np.random.Generator]:
    seed = random.SystemRandom().getrandbits(32)
    return seed, np.random.default_rng(seed)


def settled(stack: Sniffer) -> int:
    """The number of packets that reached the stack, after a grace period."""
    rcu.wait()
    return stack.count()


def grows(count: Callable[[], int], by: int = 20_000) -> bool:
    begun = count()
    return eventually(lambda: count() > begun + by)


def test_a_set_drops_a_flood_until_it_is_removed(street: Street, street_box: Box) -> None:
    street_box.start()
    client, (_, numbers) = street_box.client, rng()
    with street.sniffer(NET) as stack, street.flood(SOURCES):
        assert eventually(lambda: stack.count() > 0)
        put_set(client, "bots", LISTED + some(numbers, 3_000, 1_000))
        held = settled(stack)
        assert grows(lambda: counted(street_box, Reason.DROPPED))
        assert stack.count() == held
        client.call("PATCH", "/v1/sets/bots", json={"mode": "monitor"})
        assert eventually(lambda: stack.count() > held)
        client.call("PATCH", "/v1/sets/bots", json={"mode": "enforce"})
        held = settled(stack)
        assert grows(lambda: counted(street_box, Reason.DROPPED))
        assert stack.count() == held
        client.call("DELETE", "/v1/sets/bots")
        assert eventually(lambda: stack.count() > held)


class Sizes:
    """The sizes of the IPv4 table, which grows when it is full and shrinks at a repaint."""

    def __init__(self, box: Box) -> None:
        self._now = table_sizes(box)
        self.seen = [self._now()[0]]

    def look(self) -> bool:
        """Whether it ever shrank."""
        self.seen.append(self._now()[0])
        return any(after < before for before, after in pairwise(self.seen))


def test_a_source_that_stays_listed_is_dropped_through_every_replacement(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    client, (seed, numbers) = street_box.client, rng()
    put_set(client, "bots", LISTED)
    sizes, turn = Sizes(street_box), 0
    with street.sniffer(NET) as stack, street.flood(SOURCES):
        for turn in range(REPLACEMENTS):
            count = int(np.exp(numbers.uniform(np.log(FEWEST), np.log(MOST))))
            put_set(client, "bots", LISTED + some(numbers, count, count // 8), force=True)
            if turn % 3 == 0:
                action = "accept" if turn % 2 else "drop"
                around = [NET, "203.0.0.0/16", *some(numbers, 1_000)]
                put_set(client, "around", around, action=action, force=True)
            sizes.look()
            assert stack.count() == 0, f"seed {seed}, replacement {turn}"
        put_set(client, "bots", LISTED, force=True)
        assert eventually(sizes.look), "no repaint came"
        last = LISTED + some(numbers, MOST)
        put_set(client, "bots", last, force=True)
        sizes.look()
        assert grows(lambda: counted(street_box, Reason.DROPPED))
        assert stack.count() == 0, f"seed {seed}"
        assert set_in_kernel(street_box, "bots") == set(last)
        for name in ("bots", "around"):
            client.call("DELETE", f"/v1/sets/{name}")
        assert eventually(lambda: stack.count() > 0), (
            "without the set packets arrive, or the above means nothing"
        )
    assert len(set(sizes.seen)) > 2
    assert counted(street_box, Reason.FAULT) == 0


def test_a_flood_stays_dropped_while_its_set_is_replaced_by_a_different_one(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    client, (_, numbers) = street_box.client, rng()
    client.call("POST", "/v1/rules", json={"match": {"source": NET}})
    put_set(client, "bots", some(numbers, 200_000))
    wanted = some(numbers, 200_000)

    def dropped() -> int:
        return counted(street_box, Reason.DROPPED)

    with street.sniffer(NET) as stack, street.flood(SOURCES):
        assert grows(dropped)
        putting = street.server.start(lambda: put_set(client, "bots", wanted))
        seen = [dropped()]
        while not putting.done() or len(seen) < 3:
            time.sleep(SLICE_SECONDS)
            seen.append(dropped())
        putting.result()
        assert stack.count() == 0
    slices = [after - before for before, after in pairwise(seen)]
    assert all(slices), slices
    assert set_in_kernel(street_box, "bots") == set(wanted)
