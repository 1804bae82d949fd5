# SPDX-License-Identifier: GPL-2.0-or-later
"""What a provider's router shows of its FlowSpec routes, read without any code of xdpctl's.

Each route becomes components as the reference model has them, and its rate in bytes a second.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from tests.reference_signatures import Network, Tests


@dataclass(frozen=True, slots=True)
class Shown:
    """A route in a router's table; `rate` is in bytes a second, 0 drops."""

    components: dict[str, Network | Tests]
    rate: float

    @property
    def nft(self) -> str:
        """The rule of nftables that enforces it in the forwarding path."""
        return " ".join([*_expressions(self.components), *_verdict(self.rate)])


def _verdict(rate: float) -> list[str]:
    return [f"limit rate over {int(rate)} bytes/second", "drop"] if rate else ["drop"]


def _expressions(components: dict[str, Network | Tests]) -> list[str]:
    found = []
    for name, value in components.items():
        if isinstance(value, IPv4Network):
            found.append(f"ip {'daddr' if name == 'destination' else 'saddr'} {value}")
        elif name == "fragment":
            found.append("ip frag-off & 0x3fff != 0")
        elif name == "tcp_flags":
            found.append(_flags(value))  # type: ignore[arg-type]
        else:
            field = _FIELDS[name]
            found.append(f"{field} {{ {', '.join(_ranges(value))} }}")  # type: ignore[arg-type]
    return found


_FIELDS = {
    "protocol": "ip protocol",
    "source_port": "th sport",
    "destination_port": "th dport",
    "packet_length": "ip length",
    "icmp_type": "icmp type",
    "icmp_code": "icmp code",
}


def _flags(tests: Tests) -> str:
    """`syn and not ack`, as a mask and a value."""
    (group,) = tests
    wanted = sum(value for op, value in group if op == "all")
    unwanted = sum(value for op, value in group if op == "!all")
    return f"tcp flags & {wanted | unwanted:#x} == {wanted:#x}"


def _ranges(tests: Tests) -> list[str]:
    """Each group of comparisons as one range."""
    ranges = []
    for group in tests:
        low, high = 0, 65_535
        for op, value in group:
            low = value if op in ("=", ">=") else value + 1 if op == ">" else low
            high = value if op in ("=", "<=") else value - 1 if op == "<" else high
        ranges.append(f"{low}-{high}" if low < high else f"{low}")
    return ranges


def blackhole(prefix: str) -> Shown:
    """A route that drops everything to a prefix."""
    return Shown({"destination": IPv4Network(prefix)}, 0)


_FRR = {
    "Destination Address": "destination",
    "Source Address": "source",
    "IP Protocol": "protocol",
    "Source Port": "source_port",
    "Destination Port": "destination_port",
    "Packet Length": "packet_length",
    "ICMP Type": "icmp_type",
    "ICMP Code": "icmp_code",
    "TCP Flags": "tcp_flags",
    "Packet Fragment": "fragment",
}


def frr(text: str) -> Shown:
    """An entry of `show bgp ipv4 flowspec detail`. It does not tell "and" from "or" in lists."""
    found: dict[str, Network | Tests] = {}
    for words, name in _FRR.items():
        line = re.search(rf"^\s*{words} (.*)$", text, re.MULTILINE)
        if line and "Address" in words:
            found[name] = ip_network(line[1].strip())
        elif line and name in ("tcp_flags", "fragment"):
            found[name] = [_frr_bits(group) for group in line[1].split("|")]
        elif line:
            tests = re.findall(r"([<>]?=|[<>]) (\d+)", line[1])
            found[name] = _paired([(op, int(value)) for op, value in tests])
    rate = re.search(r"FS:rate ([\d.]+)", text)
    return Shown(found, float(rate[1]) if rate else 0)


def _frr_bits(group: str) -> list[tuple[str, int]]:
    return [
        ("!all" if "!" in test else "all", int(re.sub(r"\D", "", test)))
        for test in group.split("&")
    ]


def _paired(tests: list[tuple[str, int]]) -> Tests:
    """A list in which `>= a` and the `<= b` behind it are one range."""
    groups: list[list[tuple[str, int]]] = []
    for op, value in tests:
        if op == "<=" and groups and groups[-1][-1][0] == ">=" and len(groups[-1]) == 1:
            groups[-1].append((op, value))
        else:
            groups.append([(op, value)])
    return groups


_BIRD = {
    **{"dst": "destination", "src": "source", "proto": "protocol", "sport": "source_port"},
    **{"dport": "destination_port", "length": "packet_length", "icmp type": "icmp_type"},
    **{"icmp code": "icmp_code", "tcp flags": "tcp_flags", "fragment": "fragment"},
}
_BIRD_FRAGMENT = {"dont_fragment": 1, "is_fragment": 2, "first_fragment": 4, "last_fragment": 8}


def bird(text: str) -> list[Shown]:
    """The routes of `show route table flows4 all`."""
    routes = []
    for body, rest in re.findall(r"flow4 \{ (.*?) \}(.*?)(?=flow4 \{|\Z)", text, re.DOTALL):
        found: dict[str, Network | Tests] = {}
        for part in filter(None, (each.strip() for each in body.split(";"))):
            words = next(word for word in _BIRD if part.startswith(word + " "))
            found[_BIRD[words]] = _bird_value(_BIRD[words], part.removeprefix(words).strip())
        rate = re.search(r"0x8006\w{4}, (0x[0-9a-f]+)", rest)
        number = struct.unpack(">f", struct.pack(">I", int(rate[1], 16)))[0] if rate else 0
        routes.append(Shown(found, float(number)))
    return routes


def _bird_value(name: str, text: str) -> Network | Tests:
    if name in ("destination", "source"):
        return ip_network(text)
    if name == "fragment":
        return [[("all", _BIRD_FRAGMENT[part.strip()])] for part in text.split("||")]
    if name == "tcp_flags":
        return [[_bird_bits(test) for test in group.split("&&")] for group in text.split("||")]
    return [_bird_range(part.strip()) for part in text.split(",")]


def _bird_bits(test: str) -> tuple[str, int]:
    mask = int(test.split("/")[1], 16)
    return ("!all" if "!" in test else "all"), mask


def _bird_range(part: str) -> list[tuple[str, int]]:
    if ".." in part:
        low, high = part.split("..")
        return [(">=", int(low)), ("<=", int(high))]
    op, _, value = part.rpartition(" ")
    return [(op or "=", int(value))]


_GOBGP = {
    **{1: "destination", 2: "source", 3: "protocol", 5: "destination_port", 6: "source_port"},
    **{7: "icmp_type", 8: "icmp_code", 9: "tcp_flags", 10: "packet_length", 12: "fragment"},
}


def gobgp(path: Mapping[str, Any]) -> Shown:
    """A path of `gobgp global rib -a ipv4-flowspec -j`."""
    found: dict[str, Network | Tests] = {}
    for component in path["nlri"]["value"]:
        name, value = _GOBGP[component["type"]], component["value"]
        if "prefix" in value:
            found[name] = ip_network(value["prefix"])
            continue
        groups: list[list[tuple[str, int]]] = []
        for test in value:
            told = _gobgp_test(name, test["op"], test["value"])
            if test["op"] & 0x40:
                groups[-1].append(told)
            else:
                groups.append([told])
        found[name] = groups
    communities = [c for each in path["attrs"] if each["type"] == 16 for c in each["value"]]
    rates = [c["rate"] for c in communities if c.get("subtype") == 6]
    return Shown(found, float(rates[0]) if rates else 0)


def _gobgp_test(name: str, op: int, value: int) -> tuple[str, int]:
    if name in ("tcp_flags", "fragment"):
        return ("!all" if op & 2 else "all"), value
    signs = {1: "=", 2: ">", 3: ">=", 4: "<", 5: "<=", 6: "!="}
    return signs[op & 7], value
