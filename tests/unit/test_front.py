"""The front never hides an entry, and a repaint leaves nothing behind."""

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from xdpctl.front import FRONT_BYTES, FrontArray
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.wire import Front

NET = 0x0A000000  # 10.0.0.0/8: where the brute force looks
UNITS = 64  # /24s from there on


def painted(family: int, prefixes: list[Prefix]) -> FrontArray:
    front = FrontArray(family, bytearray(FRONT_BYTES[family]))
    front.mark(prefixes)
    return front


@st.composite
def prefixes(draw: st.DrawFn, size: int, shortest: int) -> Prefix:
    address = draw(st.binary(min_size=size, max_size=size))
    length = draw(st.integers(shortest, size * 8))
    return Prefix(address, len(address) * 8).widened(length)


@st.composite
def inside(draw: st.DrawFn, prefix: Prefix) -> bytes:
    size = len(prefix.address)
    host = draw(st.integers(0, (1 << (size * 8 - prefix.length)) - 1))
    return (int.from_bytes(prefix.address, "big") | host).to_bytes(size, "big")


@settings(deadline=None)
@given(st.data(), st.sampled_from([(4, 0), (16, 0), (16, 20), (4, 24)]))
def test_every_address_under_a_marked_prefix_is_let_through(
    data: st.DataObject, shape: tuple[int, int]
) -> None:
    marked = data.draw(st.lists(prefixes(*shape), min_size=1, max_size=3))
    front = painted(marked[0].family, marked)
    for prefix in marked:
        wanted = Front.EXACT if prefix.exact else Front.PREFIX
        assert front.bits(data.draw(inside(prefix))) & wanted
        assert front.bits(prefix.address) & wanted


@st.composite
def near(draw: st.DrawFn) -> Prefix:
    """A prefix that touches the first UNITS of NET."""
    length = draw(st.integers(16, 32))
    host = draw(st.integers(0, UNITS * 256 - 1))
    return Prefix((NET + host).to_bytes(4, "big"), 32).widened(length)


@settings(deadline=None)
@given(st.lists(near(), max_size=12))
def test_a_paint_of_ipv4_sets_exactly_the_bits_that_are_needed(marked: list[Prefix]) -> None:
    front = painted(4, marked)
    for number in range(UNITS):
        unit = Prefix((NET + number * 256).to_bytes(4, "big"), 24)
        bits = 0
        for prefix in marked:
            if prefix.covers(unit) or unit.covers(prefix):
                bits |= Front.EXACT if prefix.exact else Front.PREFIX
        assert front.bits(unit.address) == bits, str(unit)


def test_nothing_beside_a_prefix_is_marked() -> None:
    front = painted(4, [parse_prefix("10.4.0.0/14"), parse_prefix("10.1.2.0/23")])
    assert [front.bits(bytes((10, second, 0, 0))) for second in (3, 4, 7, 8)] == [0, 2, 2, 0]
    assert [front.bits(bytes((10, 1, third, 0))) for third in (1, 2, 3, 4)] == [0, 2, 2, 0]
    assert sum(byte.bit_count() for byte in front.memory) == (1 << 10) + 2  # type: ignore[attr-defined]


def test_bits_of_both_kinds_live_side_by_side() -> None:
    exact = [parse_prefix("10.0.0.1"), parse_prefix("2001:db8::1")]
    wide = [parse_prefix("10.0.0.0/31"), parse_prefix("2001:db8::/127")]
    for family, entries in ((4, [exact[0], wide[0]]), (6, [exact[1], wide[1]])):
        front = painted(family, entries)
        assert front.bits(entries[0].address) == Front.EXACT | Front.PREFIX
        front.mark(entries)
        assert front.bits(entries[0].address) == Front.EXACT | Front.PREFIX


def test_the_widest_prefix_marks_everything() -> None:
    for text, family in (("0.0.0.0/0", 4), ("::/0", 6), ("2000::/3", 6)):
        memory = painted(family, [parse_prefix(text)]).memory
        assert set(bytes(memory[:])) == {0b10101010}


def test_an_exact_address_of_ipv6_marks_one_unit() -> None:
    front = painted(6, [parse_prefix("2001:db8::1")])
    assert sum(byte.bit_count() for byte in front.memory) == 1  # type: ignore[attr-defined]
    beside = (bytes.fromhex(f"20010db{n:x}") + bytes(12) for n in range(8))
    assert not any(front.bits(address) for address in islice(beside, 8))
