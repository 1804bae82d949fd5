# SPDX-License-Identifier: GPL-2.0-or-later
"""Which bytes of payloads separate an attack from other packets."""

import numpy as np

from xdpctl.model.match import payload
from xdpctl.traffic.packets import PACKET
from xdpctl.traffic.payloads import shared
from xdpctl.traffic.split import Side, has

LEAST = 0.997


def side(payloads: list[bytes]) -> Side:
    packets = np.zeros(len(payloads), PACKET)
    for packet, data in zip(packets, payloads, strict=True):
        packet["payload_bytes"] = len(data[:64])
        packet["payload"][: len(data[:64])] = np.frombuffer(data[:64], np.uint8)
    return Side(packets, np.ones(len(packets)))


def queries(kind: bytes, count: int = 500) -> list[bytes]:
    """Queries of a game, with a number of their own behind what is alike."""
    numbers = np.random.default_rng(count).bytes(4 * count)
    return [b"\xff\xff\xff\xff" + kind + numbers[4 * n : 4 * n + 4] for n in range(count)]


NOTHING = side([])


def test_the_byte_is_chosen_by_which_other_packets_differ() -> None:
    found = shared(side(queries(b"T")), side(queries(b"U", 400)), LEAST)
    assert [window.end for window in found] == [5]
    assert payload.holds(found, b"\xff\xff\xff\xffT....")
    assert not payload.holds(found, b"\xff\xff\xff\xffU....")


def test_what_other_packets_have_too_narrows_nothing() -> None:
    assert shared(side(queries(b"T")), side(queries(b"T", 400)), LEAST) == ()


def test_without_other_packets_the_first_bytes_are_taken() -> None:
    assert payload.show(shared(side(queries(b"T")), NOTHING, LEAST)) == "@0 ffffffff54"


def test_bytes_that_are_not_in_nearly_all_packets_are_not_taken() -> None:
    mixed = side(queries(b"T", 490) + queries(b"U", 10))
    assert payload.show(shared(mixed, NOTHING, LEAST)) == "@0 ffffffff"
    assert shared(side([b"", *queries(b"T", 99)]), NOTHING, LEAST) == ()
    assert shared(side([bytes([n, n + 1]) for n in range(200)]), NOTHING, LEAST) == ()


def test_windows_that_each_has_nearly_all_but_not_both_are_not_taken_together() -> None:
    attack = [b"A" * 8 + b"........" + b"B" * 8] * 994
    attack += [b"x" * 8 + b"........" + b"B" * 8] * 3 + [b"A" * 8 + b"........" + b"x" * 8] * 3
    others = [b"A" * 8 + b"zzzzzzzz" + b"y" * 8, b"y" * 8 + b"zzzzzzzz" + b"B" * 8] * 100
    found = shared(side(attack), side(others), LEAST)
    taken = sum(payload.holds(found, data) for data in attack)
    assert taken >= LEAST * len(attack)


def test_two_windows_are_taken_if_each_excludes_more() -> None:
    attack = [b"\1\2" + bytes([n, n ^ 85]) * 6 + b"\7\7" for n in range(200)]
    others = [b"\1\2" + b"abcdefghijkl" + b"\0\7", b"\0\2" + b"abcdefghijkl" + b"\7\7"] * 50
    found = shared(side(attack), side(others), LEAST)
    assert all(payload.holds(found, data) for data in attack)
    assert not any(payload.holds(found, data) for data in others)


def test_a_payload_that_the_head_cuts_off_counts_as_hit() -> None:
    """The filter sees more than a head of 128 bytes."""
    alike = [b"GET / HTTP/1.1\r\nHost: school.example\r\nAccept: text/html\r\n\r\n"] * 400
    normal = side([data[:56] for data in alike])
    normal.packets["payload_cut"] = 1
    assert shared(side(alike), normal, LEAST) == ()
    beyond = payload.parse("@50 2f", "payload")
    assert has("payload", beyond, normal.packets).all()
    assert not has("payload", payload.parse("@0 2f", "payload"), normal.packets).any()
    across = payload.parse("@54 0000ff", "payload")
    assert not has("payload", across, normal.packets).any(), "what is there differs"


def test_no_attack_gives_no_windows() -> None:
    assert shared(NOTHING, NOTHING, LEAST) == ()
