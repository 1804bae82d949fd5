# SPDX-License-Identifier: GPL-2.0-or-later
"""When a filter that is attached counts as one that sees nothing."""

from xdpctl.datapath.loader.sight import Sight


def test_a_filter_that_counts_packets_is_not_blind() -> None:
    sight = Sight()
    for second in range(10):
        came = 5_000 + 1_000 * second
        assert sight.due(came)
        assert not sight.note(came, 1_000 * second, second)
    assert not sight.tries


def test_the_packets_before_its_start_do_not_count() -> None:
    sight = Sight()
    assert sight.due(10**9)
    assert not sight.note(10**9, 0, 100.0)
    assert not sight.due(10**9 + 99)
    assert not sight.note(10**9 + 50, 0, 200.0)


def test_a_filter_that_counts_nothing_of_what_comes_is_blind() -> None:
    sight = Sight()
    sight.note(0, 7, 0.0)
    assert not sight.note(500, 7, 1.0), "it may just begin"
    assert sight.note(900, 7, 2.5)
    assert sight.missed == 900
    sight.try_again(900, 2.5)
    assert not sight.note(1_300, 7, 3.0)
    assert sight.note(1_300, 7, 5.0)
    sight.try_again(1_300, 5.0)
    assert sight.tries == 2
    assert not sight.note(1_500, 8, 6.0), "it sees again"
    assert not sight.tries


def test_an_interface_that_was_made_anew_begins_anew() -> None:
    sight = Sight()
    sight.note(5_000, 40, 0.0)
    assert sight.due(10)
    assert not sight.note(10, 40, 9.0)
    assert sight.came == 10
