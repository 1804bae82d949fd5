# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo as a moving picture."""

from itertools import pairwise
from xml.etree import ElementTree

from tools import moving

LINES = ["An attack", "   0.0 s  building", "   5.0 s    passed  <served>", "   5.0 s  cleaning up"]


def test_lines_appear_in_their_order_and_no_pause_is_long() -> None:
    at = moving.times(LINES)
    steps = [now - before for before, now in pairwise(at)]
    assert [round(step, 2) for step in steps] == [0.18, 1.2, 0.18]


def test_the_picture_has_every_line_and_says_what_passed() -> None:
    found = ElementTree.fromstring(moving.drawn(LINES))
    texts = [each for each in found.iter() if each.tag.endswith("text")]
    assert [each.text for each in texts] == LINES
    assert [each.get("class") for each in texts] == [None, "head", "good", "head"]


def test_more_lines_than_fit_are_scrolled_to_the_last_one() -> None:
    assert "translateY(-190px)" in moving.drawn(["a line"] * 32)
    assert "translateY(-19px)" not in moving.drawn(["a line"] * 22)
