# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows of a payload: their text, what they take, and whether two can be in one packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.abi.sizes import PAYLOAD_BYTES, PAYLOAD_WINDOWS, WINDOW_BYTES
from xdpctl.errors import RuleError
from xdpctl.model.match import payload, text
from xdpctl.model.match.match import build
from xdpctl.model.match.overlap import overlap
from xdpctl.model.match.payload import Payload

_BYTES = st.binary(min_size=1, max_size=WINDOW_BYTES)


@st.composite
def _written(draw: st.DrawFn) -> str:
    """One window, with a mask or without."""
    value = draw(_BYTES)
    at = draw(st.integers(0, PAYLOAD_BYTES - len(value)))
    if not draw(st.booleans()):
        return f"@{at} {value.hex()}"
    mask = draw(st.binary(min_size=len(value), max_size=len(value)).filter(any))
    masked = bytes(byte & bits for byte, bits in zip(value, mask, strict=True))
    return f"@{at} {masked.hex()}/{mask.hex()}"


def _parsed(parts: list[str]) -> Payload | None:
    try:
        return payload.parse(" & ".join(parts), "payload")
    except RuleError:
        return None


_payloads = st.lists(_written(), min_size=1, max_size=2).map(_parsed).filter(bool)
_any_payloads = (
    st.lists(st.tuples(st.sampled_from(("", "!")), _written()).map("".join), min_size=1, max_size=2)
    .map(_parsed)
    .filter(bool)
)


@given(_any_payloads)
def test_the_text_of_windows_makes_the_same_windows(windows: Payload) -> None:
    assert payload.parse(payload.show(windows), "payload") == windows
    assert len(windows) <= PAYLOAD_WINDOWS
    assert all(len(w.value) == len(w.mask) <= WINDOW_BYTES for w in windows)
    assert all(w.mask[0] and w.mask[-1] for w in windows), "what is not compared is not there"


@given(_payloads, st.binary(max_size=PAYLOAD_BYTES))
def test_a_payload_is_taken_if_all_compared_bits_are_there(windows: Payload, data: bytes) -> None:
    wanted = data.ljust(max(w.end for w in windows), b"\0")
    for window in windows:
        for at, (byte, mask) in enumerate(zip(window.value, window.mask, strict=True), window.at):
            wanted = wanted[:at] + bytes((wanted[at] & ~mask | byte,)) + wanted[at + 1 :]
    assert payload.holds(windows, wanted)
    assert not payload.holds(windows, wanted[: windows[-1].end - 1])
    at, bit = windows[0].at, windows[0].mask[0] & -windows[0].mask[0]
    assert not payload.holds(windows, wanted[:at] + bytes((wanted[at] ^ bit,)) + wanted[at + 1 :])


@given(_payloads, _payloads)
def test_windows_meet_if_one_packet_can_have_them_all(one: Payload, other: Payload) -> None:
    met, data = payload.meet(one, other), bytearray(PAYLOAD_BYTES)
    for window in (*one, *other):
        for at, byte in enumerate(window.value, window.at):
            data[at] |= byte
    assert met == (payload.holds(one, bytes(data)) and payload.holds(other, bytes(data)))
    assert payload.meet(other, one) == met


@given(_any_payloads, _any_payloads, st.binary(min_size=PAYLOAD_BYTES, max_size=PAYLOAD_BYTES))
def test_no_packet_contradicts_what_is_said_of_two_payloads(
    one: Payload, other: Payload, data: bytes
) -> None:
    made = bytearray(data)
    for window in one:  # so that packets have the first one
        for at, (byte, mask) in enumerate(zip(window.value, window.mask, strict=True), window.at):
            made[at] = made[at] & ~mask | (byte ^ mask if window.differs else byte)
    first, second = (payload.holds(each, bytes(made)) for each in (one, other))
    if first and second:
        assert payload.meet(one, other)
    if first and payload.within(one, other):
        assert second


def test_what_differs_in_one_bit_has_the_other_value() -> None:
    assert payload.parse("!@2 80/80", "payload") == payload.parse("@2 00/80", "payload")
    assert payload.parse("!@2 0001/0001", "payload") == payload.parse("@3 00/01", "payload")
    with pytest.raises(RuleError, match="two values"):
        payload.parse("@2 80/80 & !@2 80/80", "payload")


def test_no_window_is_within_no_other() -> None:
    assert not payload.within((), payload.start(b"\xff"))
    assert not payload.within((), payload.parse("!@0 ffff", "payload"))
    assert payload.within(payload.start(b"\xff"), ())


def test_bytes_that_differ_must_be_there() -> None:
    unlike = payload.parse("!@4 0001", "payload")
    assert payload.holds(unlike, bytes(6))
    assert not payload.holds(unlike, bytes((0, 0, 0, 0, 0, 1)))
    assert not payload.holds(unlike, bytes(5)), "the packet ends before"
    both = payload.parse("@0 80/80 & !@1 00000001", "payload")
    assert payload.holds(both, b"\x80\1\0\0\1")
    assert not payload.holds(both, b"\x80\0\0\0\1")
    assert not payload.holds(both, b"\0\1\0\0\1")


@pytest.mark.parametrize(
    ("one", "other", "meets", "is_within"),
    [
        ("@4 0001", "!@4 0001", False, False),
        ("@4 0002", "!@4 0001", True, True),
        ("@4 01", "!@4 0001", True, False),
        ("@3 ff & @5 02", "!@4 0001", True, True),
        ("!@5 03/03", "!@4 0103/0103", True, True),
        ("!@4 03/03", "!@4 0103/0103", True, False),
        ("!@4 0001", "!@5 01", True, False),
        ("!@5 01", "!@4 0001", True, True),
        ("!@4 0001", "!@4 0001", True, True),
        ("!@4 0001", "@4 0002", True, False),
        ("@4 0001 & !@9 07", "@4 00", True, True),
    ],
)
def test_what_differs_is_compared(one: str, other: str, meets: bool, is_within: bool) -> None:
    first, second = (payload.parse(each, "payload") for each in (one, other))
    assert payload.meet(first, second) == payload.meet(second, first) == meets
    assert payload.within(first, second) == is_within


@pytest.mark.parametrize(
    ("written", "said", "fix"),
    [
        ("@4 0001 & !@5 01", "no payload has the bytes, and !@5 01", "leave one of them out"),
        ("!@0 00/00", "compares no bit", "set a bit in a mask"),
        ("!!@0 00", "not a window", "or with ! for not"),
        ("!@0 01 & !@9 02 & !@18 03", "3 windows", "at most 2 windows"),
        ("ffffffff", "not a window of a payload", "write an offset and bytes"),
        ("@0", "not a window of a payload", "write an offset and bytes"),
        ("@0 fff", "half a byte", "two hexadecimal digits"),
        ("@0 ff/f", "half a byte", "two hexadecimal digits"),
        ("@0 ffff/ff", "has 1 bytes", "as long as the value"),
        ("@0 0f/f0", "byte 0 has bits outside the mask", "set them to 0"),
        ("@0 00/00", "compares no bit", "set a bit in a mask"),
        ("@0 010203040506070809", "has 9 bytes", "at most 8 bytes"),
        ("@63 0102", "ends at byte 65", "the first 64 bytes"),
        ("@999 01", "ends at byte 1000", "the first 64 bytes"),
        ("@0 01 & @9 02 & @18 03", "3 windows", "at most 2 windows"),
        ("@0 0102 & @1 03", "byte 1 of the payload has two values", "one value"),
        ("@01234", "not a window", "write an offset and bytes"),
        ("@0 01 &", "not a window", "write an offset and bytes"),
        ("@-1 01", "not a window", "write an offset and bytes"),
        ("@0 \u0661\u0661", "not a window", "write an offset and bytes"),
    ],
)
def test_a_wrong_payload_is_refused_with_a_fix(written: str, said: str, fix: str) -> None:
    with pytest.raises(RuleError, match=said) as refused:
        build({"protocol": "udp", "payload": written})
    assert refused.value.field == "match.payload"
    assert fix in refused.value.fix


def test_spaces_capitals_and_the_order_of_windows_make_no_difference() -> None:
    match = text.parse("udp payload @0 FFFFFFFF54 & @20 0a")
    assert text.parse("udp payload @20 0a & @0  ffffffff54") == match
    assert text.parse("udp payload @20 0a& @0 ffffff &@3 ff & @4 54") == match
    assert text.parse("udp payload @0 ffffffff54&@20 0a") == match
    assert build({"protocol": "udp", "payload": "@0 FFFFFFFF54&@20 0A"}) == match
    assert match.as_json() == {"protocol": "udp", "payload": "@0 ffffffff54 & @20 0a"}


@pytest.mark.parametrize(
    ("match", "said"),
    [
        ("icmp payload @0 08", "no packet of this protocol has a payload"),
        ("udp fragment later payload @0 08", "a later fragment has no payload"),
        ("udp length <30 payload @0 0102", "no IP packet with this match is that short"),
        ("tcp length <=40 payload @0 01", "no IP packet with this match is that short"),
        ("src 2001:db8::1 udp length 48 payload @0 01", "is that short"),
    ],
)
def test_a_payload_that_no_packet_has_is_refused(match: str, said: str) -> None:
    with pytest.raises(RuleError, match=said):
        text.parse(match)


def test_one_payload_is_within_another_if_it_compares_at_least_as_much() -> None:
    magic = payload.start(b"\xff\xff\xff\xff")
    for written, wanted in (
        ("@0 ffffffff", True),
        ("@0 ffffffff54 & @20 00", True),
        ("@0 ffffff", False),
        ("@0 ffffff7f", False),
        ("@0 ffffff0f/ffffff0f", False),
        ("@1 ffffffff", False),
    ):
        assert payload.within(payload.parse(written, "payload"), magic) == wanted, written


def test_two_rules_overlap_if_one_packet_can_have_both_payloads() -> None:
    query, player, udp = (
        text.parse(f"udp dst-port 27015{more}")
        for more in (" payload @0 ffffffff54", " payload @0 ffffffff55", "")
    )
    assert not overlap(query, player)
    assert overlap(query, udp)
    assert overlap(query, text.parse("udp payload @4 54"))
    assert not overlap(query, text.parse("tcp payload @4 54"))
    assert not overlap(query, text.parse("udp payload !@0 ffffffff"))
    assert text.parse("udp payload !@0 01 & !@0 01") == text.parse("udp payload ! @0 01")
