# SPDX-License-Identifier: GPL-2.0-or-later
"""What is shown of packets can be given to --match as it is, and takes these packets."""

import random
import struct
from contextlib import suppress
from typing import Any

import pytest

from tests.reference import EXTENSIONS, Decided, reason
from tests.reference_signatures import fields as expected_fields
from tests.support import packets
from xdpctl.abi.sizes import WINDOW_BYTES
from xdpctl.base.net.packet_fields import Fields, fields
from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match import bits, payload, possible, text
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.evaluate import takes
from xdpctl.model.match.ranking import components, rank

SEED = 20261126


def made(protocol: int, **more: int | bytes) -> Fields:
    return {"protocol": protocol, "packet_length": 60, "ttl": 64, "fragment": 0, **more}


UDP = made(17, source_port=53, destination_port=1234)
SYN = made(6, source_port=40000, destination_port=443, tcp_flags=2)


def random_frames(count: int) -> list[bytes]:
    rng = random.Random(SEED)
    seeds4 = [bytes((203, 0, 113, n)) for n in range(4)]
    seeds6 = [bytes.fromhex("20010db8") + bytes(11) + bytes((n,)) for n in range(4)]
    return [packets.random_frame(rng, seeds4, seeds6) for _ in range(count)]


def test_a_packet_has_only_the_components_of_its_protocol() -> None:
    assert components(UDP) == {
        "proto": ("udp", "udp"),
        "src-port": ("53", "udp src-port 53"),
        "dst-port": ("1234", "udp dst-port 1234"),
        "length": ("60", "length 60"),
        "ttl": ("64", "ttl 64"),
    }
    assert components(SYN)["flags"] == ("syn&!ack", "tcp flags syn&!ack")
    query = made(17, payload=b"\xff\xff\xff\xffTSource Engine Query\0")
    assert components(query)["payload"] == ("@0 ffffffff", "udp payload @0 ffffffff")
    assert components(made(17, payload=b"\1"))["payload"] == ("@0 01", "udp payload @0 01")
    assert components(made(200))["proto"] == ("200", "proto 200")
    later = components(made(17, fragment=2 | 8))
    assert later["fragment"] == ("later+last", "fragment later+last")


def test_the_fields_of_a_packet_agree_with_the_reference() -> None:
    compared = 0
    for frame in random_frames(4000):
        found = fields(frame)
        if found is None or found["protocol"] in EXTENSIONS:  # more than the program follows
            continue
        with suppress(struct.error, IndexError, Decided):  # it ends early, or is malformed
            expected = expected_fields(frame)
            compared += 1
            flat = {k: v.address if isinstance(v, Prefix) else v for k, v in found.items()}
            assert flat == {k: v for k, v in expected.items() if v is not None}
    assert compared > 1000


def test_every_match_that_is_shown_takes_its_packet_and_parses() -> None:
    for frame in random_frames(1500):
        found = fields(frame)
        if found is None or found["packet_length"] == 0:
            continue
        for _, match in components(found).values():
            try:
                parsed = text.parse(match)
            except ValueError:
                pytest.fail(f"{match} is no match")
            assert takes(parsed, found), match


def _exactly(value: int, most: int) -> bits.Bits:
    """The tests that only this value of `fragment` or `tcp_flags` passes."""
    unset = [1 << bit for bit in range(most.bit_length()) if not value >> bit & 1]
    wanted = [bits.BitTest(False, value)] if value else []
    return ((*wanted, *(bits.BitTest(True, mask) for mask in unset)),)


def test_a_match_of_all_fields_of_a_packet_is_accepted() -> None:
    compared = 0
    for frame in random_frames(4000):
        found = fields(frame)
        malformed = reason(frame, []) == "MALFORMED"
        if found is None or malformed or found["protocol"] in EXTENSIONS:
            continue
        with suppress(struct.error, IndexError, Decided):  # it ends early, or is malformed
            expected_fields(frame)
            exact: dict[str, Any] = {
                name: ((value, value),) if isinstance(value, int) else value
                for name, value in found.items()
            }
            if carried := exact.get("payload"):
                exact["payload"] = payload.start(carried[:WINDOW_BYTES])
            for name in ("fragment", "tcp_flags"):
                if name in found:
                    number = found[name]
                    assert isinstance(number, int)
                    exact[name] = _exactly(number, COMPONENTS[name].most)
            possible.check(exact)
            compared += 1
    assert compared > 1000


def test_values_are_ranked_by_their_share_of_all_packets() -> None:
    ranked = rank([UDP, UDP, UDP, SYN])
    assert [(r.value, r.share) for r in ranked["proto"]] == [("udp", 0.75), ("tcp", 0.25)]
    assert [(r.match, r.share) for r in ranked["flags"]] == [("tcp flags syn&!ack", 0.25)]
    assert ranked["src-port"][0].share == 0.75
    assert rank([]) == {}


@pytest.mark.parametrize(
    ("written", "takes_udp", "takes_syn"),
    [
        ("udp", True, False),
        ("port 53", True, False),
        ("udp src-port 53 dst-port >1000", True, False),
        ("tcp flags syn&!ack", False, True),
        ("length <61", True, True),
        ("ttl 63", False, False),
        ("icmp", False, False),
        ("vlan 7", False, False),
    ],
)
def test_a_match_is_evaluated_against_the_fields_of_a_packet(
    written: str, takes_udp: bool, takes_syn: bool
) -> None:
    match = text.parse(written)
    assert (takes(match, UDP), takes(match, SYN)) == (takes_udp, takes_syn)
