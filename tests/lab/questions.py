# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to a running box, and ways to wait for it, shared by the lab tests."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import total_hits
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.client import Client
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.image import is_shared
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.readback import read
from xdpctl.errors import Refused
from xdpctl.lab.box import Box


def block(client: Client, source: str, **more: object) -> dict[str, object]:
    body = {"match": {"source": source}, **more}
    answer: dict[str, object] = client.call("POST", "/v1/rules", json=body)
    return answer


def in_kernel(box: Box) -> dict[str, int]:
    image, wrong = read(PinnedDatapath(box.pins).source, 0)
    assert not wrong
    return {str(p): slot for p, slot in image.entries.items() if not is_shared(slot)}


def in_store(box: Box) -> set[str]:
    return {rule["match"]["source"] for rule in box.client.pages()}


def put_set(client: Client, name: str, entries: Iterable[str], **choices: object) -> dict[str, Any]:
    """Put a set with a list as the body."""
    query = {key: str(value).lower() for key, value in choices.items()}
    body = "\n".join(entries).encode()
    answer: dict[str, Any] = client.call("PUT", f"/v1/sets/{name}", params=query, content=body)
    return answer


def set_in_store(client: Client, name: str) -> set[str]:
    """The entries of a set, as the control plane returns them."""
    return set(client.call("GET", f"/v1/sets/{name}/entries").split())


def sets_in_kernel(box: Box) -> dict[int, set[str]]:
    """The entries in the kernel's tables, by slot."""
    sizes = table_sizes(box)
    while True:
        before = sizes()
        image, wrong = read(PinnedDatapath(box.pins).source, 0)
        if sizes() == before:  # unless a repaint moved a table in the meantime
            break
    assert not wrong
    return {
        slot: {str(p) for n, family in FAMILIES.items() for p in family.prefixes(keys[n])}
        for slot, keys in image.sets.items()
    }


def table_sizes(box: Box) -> Callable[[], list[int]]:
    """A function that returns the tables' sizes, as powers of two."""
    control = np.frombuffer(maps.open_map(box.pins.map("controls")).memory(), CONTROL)[0]
    return lambda: list(map(int, control["buckets_log2"]))


def set_in_kernel(box: Box, name: str) -> set[str]:
    slot = box.client.call("GET", f"/v1/sets/{name}")["slot"]
    return sets_in_kernel(box).get(slot, set())


def counted(box: Box, reason: Reason) -> int:
    """The packets counted under a reason on the box's first interface."""
    counters = maps.open_map(box.pins.port(box.interfaces[0]) / "counters")
    try:
        return total_hits(counters.get(reason.to_bytes(4, "little")) or b"").packets
    finally:
        counters.close()


def refusal(client: Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    """The problem document of a call that must be refused."""
    try:
        answer = client.call(method, path, **more)
    except Refused as refused:
        return refused.problem
    raise AssertionError(f"{method} {path} was not refused: {answer}")


def some(rng: np.random.Generator, ipv4: int, ipv6: int = 0) -> list[str]:
    """Random single addresses in 11.0.0.0 to 99.255.255.255 and in 2a00::/16, all different."""
    numbers = np.unique(rng.integers(11 << 24, 100 << 24, ipv4)).tolist()
    ipv4_addresses = [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in numbers]
    words = np.unique(rng.integers(1, 1 << 32, ipv6)).tolist()
    return ipv4_addresses + [str(parse_prefix(f"2a00:{n >> 16:x}:{n & 65535:x}::1")) for n in words]
