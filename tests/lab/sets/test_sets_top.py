# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl set list --top` under a flood: the top sources, and the entries that cover them."""

from typing import Any

import numpy as np

from tests.lab.conftest import Street
from tests.lab.questions import put_set, some
from xdpctl.errors import Refused
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

SOURCES = ["203.0.113.7", "203.0.113.8", "198.51.100.9", "198.51.100.77"]
LISTED = ["203.0.113.7", "203.0.113.8/32", "203.0.113.0/28", "198.51.100.0/26"]
ENTRIES = {"203.0.113.7/32", "203.0.113.8/32", "198.51.100.0/26"}
OF_THE_SET = {"203.0.113.7/32", "203.0.113.8/32", "198.51.100.9/32"}  # one source is not listed


def top(box: Box, name: str, every: int, seconds: float = 1.0) -> dict[str, Any]:
    words = ("--seconds", str(seconds), "--every", str(every))
    found: dict[str, Any] = box.cli("set", "list", name, "--top", *words)
    return found


def test_set_top_names_the_entries_that_hit_and_no_other(street: Street, street_box: Box) -> None:
    street_box.start()
    client, others = street_box.client, some(np.random.default_rng(5), 20_000)
    put_set(client, "bots", LISTED + others)
    put_set(client, "quiet", ["203.0.113.0/24", *others], mode="monitor")
    with street.flood(SOURCES):
        for every in (16, 1024):
            assert eventually(lambda wanted=every: named(street_box, wanted))  # type: ignore[misc]
        assert top(street_box, "quiet", 64)["entries"] == [], "the more specific set decides"
        clash(street_box)
    found = top(street_box, "bots", 16, 0.2)
    assert (found["samples"], found["entries"]) == (0, []), "nobody sends any more"


def named(box: Box, every: int) -> bool:
    """Whether all senders were seen; asserts that no other source was."""
    found = top(box, "bots", every)
    entries = {row["prefix"]: row["packets"] for row in found["entries"]}
    sources = {row["source"]: row["packets"] for row in found["sources"]}
    assert entries.keys() <= ENTRIES
    assert sources.keys() <= OF_THE_SET
    assert sum(entries.values()) == sum(sources.values()) == every * found["samples"]
    assert found["every"] == every
    return entries.keys() == ENTRIES and sources.keys() == OF_THE_SET


def watch(box: Box, seconds: float) -> int:
    """Watch once; return the HTTP status."""
    try:
        box.client.call("GET", "/v1/sets/bots/top", params={"seconds": seconds})
    except Refused as refused:
        return int(refused.problem["status"])
    return 200


def clash(box: Box) -> None:
    """Watch twice at the same time; one of the two must be refused."""
    long, seen = box.host.start(lambda: watch(box, 2)), set[int]()
    while not long.done():
        seen.add(watch(box, 0.01))
    assert 409 in {*seen, long.result()} <= {200, 409}
    assert watch(box, 0.01) == 200
