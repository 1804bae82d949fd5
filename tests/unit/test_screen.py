"""From a list to a set's entries: what is left out, counted, widened and merged."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import protect
from tests.unit.spaces import entries, prefixes_of
from xdpctl.errors import RuleError
from xdpctl.feeds import Feed, read
from xdpctl.model import Action, Rule
from xdpctl.plan import Image
from xdpctl.policy import CONFIGURED
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.sets.model import Options, SourceSet
from xdpctl.sets.prepare import prepare
from xdpctl.sets.screen import SPECIAL, WIDEST, inside, outside, screen
from xdpctl.state import State
from xdpctl.table.family import FAMILIES

WIDE = ("0.0.0.0/0", "44.0.0.0/7", "::/0", "2000::/3", "2600::/15")
JUST = ("45.0.0.0/8", "2600::/16")


def state(*protected: str) -> State:
    return State(Image(16), {}, {4: 100, 6: 100}, protect(dict.fromkeys(protected, CONFIGURED)))


def feed(*texts: str) -> Feed:
    return read("\n".join(texts).encode())


def made(
    texts: tuple[str, ...], options: Options, held: State | None = None, action: str = "drop"
) -> tuple[list[str], Mapping[str, int]]:
    """The entries that become of a list, and the counts."""
    found, counts = prepare(held or state(), "x", feed(*texts), Action(action), options)
    return [str(prefix) for prefix in prefixes_of(found)], counts


def test_what_is_too_wide_for_one_line_is_left_out() -> None:
    found, counts = made((*WIDE, *JUST), Options())
    assert found == list(JUST)
    assert (counts["too_wide"], counts["private"]) == (5, 0)


@pytest.mark.parametrize("special", [str(prefix) for prefix in SPECIAL])
def test_what_is_special_is_left_out_with_all_inside_it_unless_it_is_meant(special: str) -> None:
    prefix = parse_prefix(special)
    bits = len(prefix.address) * 8
    lengths = {max(prefix.length, WIDEST[prefix.family]), bits - 1, bits}
    texts = tuple(str(Prefix(prefix.address, n)) for n in sorted(lengths) if n >= prefix.length)
    beside = "45.0.0.1/32" if bits == 32 else "2600::1/128"
    found, counts = made((*texts, beside), Options())
    assert (found, counts["private"], counts["too_wide"]) == ([beside], len(texts), 0)
    found, counts = made((*texts, beside), Options(allow_private=True))
    assert (set(found), counts["private"]) == ({*texts, beside}, 0)


def test_a_wider_prefix_around_what_is_special_stays() -> None:
    found, _ = made(("192.0.0.0/8", "172.0.0.0/8"), Options())
    assert found == ["172.0.0.0/8", "192.0.0.0/8"]


def test_a_set_that_accepts_may_have_everything() -> None:
    texts = (*WIDE, "10.0.0.0/8", "fe80::/10")
    found, counts = made(texts, Options(), action="accept")
    assert set(found) == set(texts)
    assert counts == {"lines": len(texts), "rejected": 0, "duplicates": 0}


def test_what_is_protected_stays_and_is_counted() -> None:
    held = state("45.0.0.0/24", "2600::/32")
    texts = ("45.0.0.0/8", "45.0.0.0/24", "45.0.0.9/32", "45.0.1.0/24", "2600::9/128")
    found, counts = made(texts, Options(), held)
    assert found == list(texts)
    assert counts["protected"] == 3


def test_lines_rejects_and_duplicates_are_told() -> None:
    _, counts = made(("45.0.0.1", "45.0.0.1", "nonsense", "45.0.0.2"), Options())
    assert counts == {
        **{"lines": 4, "rejected": 1, "duplicates": 1},
        **{"too_wide": 0, "private": 0, "protected": 0},
    }


prefixes = st.builds(
    lambda number, length: Prefix((0x0A000000 + number).to_bytes(4), 32).widened(length),
    st.integers(0, 255),
    st.integers(20, 32),
)


@given(st.sets(prefixes), st.lists(prefixes, max_size=4))
def test_inside_and_outside_are_what_covers_says(own: set[Prefix], around: list[Prefix]) -> None:
    listed = entries(*map(str, own))
    within = [any(a.covers(p) for a in around) for p in prefixes_of(listed)]
    assert inside(FAMILIES[4], listed[4], around).tolist() == within
    left = outside(listed, around)
    kept = [p for p, held in zip(prefixes_of(listed), within, strict=True) if not held]
    assert prefixes_of(left) == kept
    if not any(within):
        assert left[4] is listed[4]
    assert screen(listed, around, True).protected == sum(within)


def test_widened_is_told_in_addresses_and_merged_in_entries() -> None:
    texts = ("45.0.0.1", "45.0.0.2", "45.0.1.0/24", "45.0.9.9", "2600::1")
    found, counts = made(texts, Options(widen_ipv4=24))
    assert found == ["45.0.0.0/23", "45.0.9.0/24", "2600::1/128"]
    assert (counts["saved"], counts["extra_addresses"]) == (2, 254 + 255)
    found, counts = made(texts, Options(aggregate=True, widen_ipv6=64))
    assert found[-1] == "2600::/64"
    assert counts["extra_addresses"] == 2**64 - 1


def test_exact_merging_is_exact_and_keeps_out_of_what_others_list() -> None:
    halves = ("45.0.0.0/25", "45.0.0.128/25")
    assert made(halves, Options(aggregate=True)) == (
        ["45.0.0.0/24"],
        {**made(halves, Options())[1], "saved": 1, "extra_addresses": 0},
    )
    for held in (state("45.0.0.0/24"), state(), state()):
        if not held.protection.why:
            held.learn(parse_prefix("45.0.0.0/24"), Rule(parse_prefix("45.0.0.0/24"), Action.DROP))
        assert made(halves, Options(aggregate=True), held)[0] == list(halves)
    held = state()
    held.sets["x"], held.entries["x"] = SourceSet(name="x", slot=65), entries("45.0.0.0/24")
    assert made(halves, Options(aggregate=True), held)[0] == ["45.0.0.0/24"], "it is itself"
    held.sets["y"], held.entries["y"] = SourceSet(name="y", slot=64), entries("45.0.0.0/24")
    assert made(halves, Options(aggregate=True), held)[0] == list(halves)


def accepting(name: str, *texts: str) -> State:
    held = state()
    held.sets[name] = SourceSet(name=name, slot=2, action=Action.ACCEPT)
    held.entries[name] = entries(*texts)
    return held


@pytest.mark.parametrize("held", [state("45.0.0.9"), accepting("ours", "45.0.0.9")])
@pytest.mark.parametrize("options", [Options(widen_ipv4=24), Options(at_most=1)])
def test_nothing_is_widened_over_what_is_protected_or_accepted(
    held: State, options: Options
) -> None:
    found, _ = made(("45.0.0.1", "45.0.0.17"), options, held)
    assert not any(parse_prefix(t).covers(parse_prefix("45.0.0.9")) for t in found)


def test_a_set_that_accepts_is_widened_the_same_again() -> None:
    texts, options = ("45.0.0.1", "45.0.9.9"), Options(widen_ipv4=24)
    first, _ = made(texts, options, action="accept")
    assert first == ["45.0.0.0/24", "45.0.9.0/24"]
    assert made(texts, options, accepting("x", *first), "accept")[0] == first


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (("192.167.255.1",), Options(widen_ipv4=8)),
        (("192.167.255.1", "192.169.0.1"), Options(at_most=1)),
    ],
)
def test_nothing_is_widened_over_what_is_private(texts: tuple[str, ...], options: Options) -> None:
    found, _ = made(texts, options)
    private = parse_prefix("192.168.0.0/16")
    assert not any(parse_prefix(text).covers(private) for text in found)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(widen_ipv4=7), "widen_ipv4"),
        (Options(widen_ipv4=33), "widen_ipv4"),
        (Options(widen_ipv6=15), "widen_ipv6"),
        (Options(widen_ipv6=129), "widen_ipv6"),
        (Options(widen_ipv4=-1), "widen_ipv4"),
        (Options(at_most=1), "at_most"),
    ],
)
def test_what_would_take_too_much_is_refused(options: Options, field: str) -> None:
    with pytest.raises(RuleError) as caught:
        made(("44.0.0.1", "45.255.0.1"), options)
    assert caught.value.field == field
    assert caught.value.fix
