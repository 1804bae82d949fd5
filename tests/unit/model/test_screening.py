# SPDX-License-Identifier: GPL-2.0-or-later
"""From a list to a set's entries: what is left out, and the counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.preparing import made, prefixes, state
from tests.support.spaces import entries, prefixes_of
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.model.screening import SPECIAL, WIDEST, inside, outside, screen
from xdpctl.model.source_set import Options

WIDE = ("0.0.0.0/0", "44.0.0.0/7", "::/0", "2000::/3", "2600::/15")
JUST = ("45.0.0.0/8", "2600::/16")


def test_prefixes_that_are_too_wide_are_left_out() -> None:
    found, counts = made((*WIDE, *JUST), Options())
    assert found == list(JUST)
    assert (counts["too_wide"], counts["private"]) == (5, 0)
    assert counts["left_out_addresses"] == 2**32 - 2**24, "all of IPv4 but 45.0.0.0/8"


@pytest.mark.parametrize("special", [str(prefix) for prefix in SPECIAL])
def test_special_networks_are_left_out_unless_allowed(special: str) -> None:
    prefix = parse_prefix(special)
    bits = len(prefix.address) * 8
    lengths = {max(prefix.length, WIDEST[prefix.family]), bits - 1, bits}
    texts = tuple(str(Prefix(prefix.address, n)) for n in sorted(lengths) if n >= prefix.length)
    beside = "45.0.0.1/32" if bits == 32 else "2600::1/128"
    found, counts = made((*texts, beside), Options())
    assert (found, counts["private"], counts["too_wide"]) == ([beside], len(texts), 0)
    found, counts = made((*texts, beside), Options(allow_private=True))
    assert (set(found), counts["private"]) == ({*texts, beside}, 0)


def test_a_prefix_around_a_special_network_is_left_out() -> None:
    texts = ("192.0.0.0/8", "172.0.0.0/8", "169.254.0.0/15", "100.0.0.0/9", "192.0.0.0/23")
    found, counts = made((*texts, "193.0.0.0/8"), Options())
    assert (found, counts["private"]) == (["193.0.0.0/8"], len(texts))
    assert len(made(texts, Options(allow_private=True))[0]) == len(texts)
    assert len(made(texts, Options(), action="accept")[0]) == len(texts)


def test_a_range_that_is_too_wide_is_left_out_and_counts_once() -> None:
    wide = ("1.0.0.0-126.255.255.255", "45.0.0.0-46.0.0.0", "45.0.0.0-46.0.0.0")
    just = ("45.0.0.0-45.255.255.255", "46.0.0.1-46.0.0.2")
    found, counts = made((*wide, *just), Options())
    assert found == ["45.0.0.0/8", "46.0.0.1/32", "46.0.0.2/32"]
    assert (counts["too_wide"], counts["lines"]) == (3, 5)
    found, counts = made((*wide, *just), Options(), action="accept")
    assert {"1.0.0.0/8", "64.0.0.0/3", "126.0.0.0/8"} < set(found)
    assert found == sorted(found, key=lambda text: parse_prefix(text))


def test_an_accepting_set_may_list_everything() -> None:
    texts = (*WIDE, "10.0.0.0/8", "fe80::/10")
    found, counts = made(texts, Options(), action="accept")
    assert set(found) == set(texts)
    assert counts == {"lines": len(texts), "rejected": 0, "duplicates": 0}


def test_protected_entries_stay_and_are_counted() -> None:
    held = state("45.0.0.0/24", "2600::/32")
    texts = ("45.0.0.0/8", "45.0.0.0/24", "45.0.0.9/32", "45.0.1.0/24", "2600::9/128")
    found, counts = made(texts, Options(), held)
    assert found == list(texts)
    assert (counts["protected"], counts["protected_addresses"]) == (3, 256)
    assert counts["left_out_addresses"] == 0


def test_lines_rejects_and_duplicates_are_reported() -> None:
    _, counts = made(("45.0.0.1", "45.0.0.1", "nonsense", "45.0.0.2"), Options())
    assert counts == {
        **{"lines": 4, "rejected": 1, "duplicates": 1},
        **{"too_wide": 0, "private": 0, "protected": 0},
        **{"left_out_addresses": 0, "protected_addresses": 0},
    }


@given(st.sets(prefixes), st.lists(prefixes, max_size=4))
def test_inside_and_outside_agree_with_covers(own: set[Prefix], around: list[Prefix]) -> None:
    listed = entries(*map(str, own))
    within = [any(a.covers(p) for a in around) for p in prefixes_of(listed)]
    assert inside(FAMILIES[4], listed[4], around).tolist() == within
    left = outside(listed, around)
    kept = [p for p, held in zip(prefixes_of(listed), within, strict=True) if not held]
    assert prefixes_of(left) == kept
    if not any(within):
        assert left[4] is listed[4]
    assert screen(listed, around, True).protected == sum(within)
