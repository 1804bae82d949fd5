# SPDX-License-Identifier: GPL-2.0-or-later
"""Bodies, lists and logs that are slow to read because of their fields, or the number of them."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from tests.fuzz.growth.adversaries import HOOK, Case, Make, run_of
from tests.fuzz.support.seeds import DETECTORS
from xdpctl.base.net.packets import service
from xdpctl.control.store import audit
from xdpctl.detectors.follow.crowdsec import Places, pieces
from xdpctl.detectors.formats import jmespath
from xdpctl.detectors.registry import ADAPTERS
from xdpctl.lists import formats

_FLOWS = ("nlri", "value")
_ANNOUNCED = ("neighbor", "message", "update", "announce", "ipv4 flow", "no-nexthop", 0)
_MAPPED = jmespath.adapter("a[?b > `1`].{phase: 'began', id: c} | sort_by(@, &id)", "x")


def _hook(name: str, seed: int, path: tuple[Any, ...], make: Make, told: str) -> Case:
    """A sample of a detector, with one value in it replaced."""

    def body(size: int) -> bytes:
        root = json.loads(json.dumps(DETECTORS[name][seed]))
        at = root
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = make(size)
        return json.dumps(root).encode()

    return Case(f"{name} {told}", ADAPTERS[name], body)


def _many(part: str, before: str = "") -> Make:
    """Many copies of a pattern with one `{}`, each with another number."""
    return lambda size: before + "".join(part.format(n) for n in range(0, size // 5, 2))


def hooks() -> Iterator[Case]:
    """Cases with a large field in a detector's body."""
    yield _hook("event", 3, ("match",), run_of("1, ", "udp port "), "dangling")
    yield _hook("event", 3, ("match",), _many("&!={}", "udp port !=1"), "unequal")
    yield _hook("event", 2, ("match", "flow_label"), _many("!={}&", ""), "unequal labels")
    yield _hook("event", 2, ("match", "port"), lambda n: list(range(0, n // 7, 2)), "ports")
    yield _hook("event", 1, (0, "sources"), lambda n: ["203.0.113.7"] * (n // 16), "sources")
    yield _hook("exabgp", 0, (*_ANNOUNCED, "tcp-flags"), lambda n: [run_of("&syn+ack")(n)], "bits")
    yield _hook(
        "exabgp", 0, (*_ANNOUNCED, "tcp-flags"), lambda n: [run_of("&a+b", "a")(n)], "names"
    )
    yield _hook("exabgp", 0, (*_ANNOUNCED, "source-port"), lambda n: ["=1"] * (n // 6), "ports")
    yield _hook("gobgp", 1, (*_FLOWS, 3, "value"),
                lambda n: [{"op": 64, "value": 3}] * (n // 24), "bits")  # fmt: skip
    yield _hook("gobgp", 1, (*_FLOWS, 2, "value"), _unequal, "unequal")
    yield _hook("fastnetmon", 0, ("stdin",), run_of("1.1.1.1:5 > 2.2.2.2:6 x\n"), "packets")
    yield _hook("fastnetmon", 0, ("stdin",), run_of("A b: c\n"), "fields")
    yield _hook("sflowrt", 0, (0, "flowKey"), run_of(","), "key")
    yield _hook("alertmanager", 0, ("alerts",), lambda n: [{}] * (n // 4), "alerts")
    yield Case("fastnetmon hosts", ADAPTERS["fastnetmon"], _hostgroup)
    for name in ADAPTERS:
        yield Case(f"{name} nested", ADAPTERS[name], lambda n: b"[" * (n // 2) + b"]" * (n // 2))
        yield Case(f"{name} lines", ADAPTERS[name], lambda n: b'{"a":1}\n' * (n // 8))
        yield Case(f"{name} list", ADAPTERS[name], lambda n: b"[" + b"{}," * (n // 3) + b"{}]")


def _enclosed(before: bytes, part: bytes, behind: bytes) -> Make:
    return lambda size: before + part * (size // len(part)) + behind


def _unequal(size: int) -> list[dict[str, int]]:
    return [{"op": 70, "value": number} for number in range(0, size // 24, 2)]


def _hostgroup(size: int) -> bytes:
    half = size // 2
    packet = {"destination_ip": "192.0.2.1", "source_port": 53}
    held = {"action": "ban", "alert_scope": "hostgroup",
            "hostgroup_networks": ["198.51.100.2"] * (half // 16),
            "packet_dump_detailed": [packet] * (half // 52)}  # fmt: skip
    return json.dumps(held).encode()


def documents() -> Iterator[Case]:
    """Cases with large lists, streams and logs."""
    yield Case("mapped", _MAPPED, lambda n: b'{"a":[%b{}]}' % (b'{"b":2,"c":"x"},' * (n // 16)))
    yield Case("pieces", lambda b: list(pieces(b)), lambda n: b'{"new":[%b1]}' % (b"1," * (n // 2)))
    yield Case(
        "places",
        lambda b: Places().take(b, True),
        lambda n: b'{"new":[%b{}]}' % (b"{}," * (n // 3)),
    )
    for part in (b"{},", b'"",', b"[],", b'{"a":1},', b'"a":1,', b"1,"):
        yield Case(f"json {part!r}", formats.read, _enclosed(b"[", part, b"1]"))
        yield Case(f"json of {part!r}", formats.read, _enclosed(b"{", part, b"}"))
    yield Case("lines", formats.read, lambda n: b"x\n" * (n // 2))
    yield Case("commented", formats.read, lambda n: b"#\n" * (n // 2) + b"1.2.3.4")
    yield Case("members", formats.read, lambda n: gzip.compress(b"1.2.3.4\n") * (n // 32))
    yield Case("zeros", formats.read, lambda n: gzip.compress(b"1.2.3.4\n") + b"\0" * n)
    yield Case("log", audit.verify, lambda n: audit.Chain(None).append(
        [audit.Event("a", "b", "c", {})] * (n // 500), 1.0), HOOK)  # fmt: skip
    yield Case("tags", service, lambda n: bytes(12) + b"\x81\0\0\1" * (n // 4))
