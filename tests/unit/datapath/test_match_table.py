# SPDX-License-Identifier: GPL-2.0-or-later
"""A generation is overwritten only after a grace period, which begins when it is replaced."""

from threading import Event

import numpy as np
import pytest

from tests.support.walker import plain_memory
from xdpctl.abi.arrays import CONTROL
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.datapath.matches.table import MatchTable
from xdpctl.model.match.text import parse

TABLES = compile_tables([(parse("udp dst-port 53"), 3)])


class Graces:
    """Grace periods, which pass when `over` is set; each of `errors` ends one."""

    def __init__(self) -> None:
        self.over, self.errors, self.begun = Event(), list[OSError](), 0
        self.over.set()

    def __call__(self) -> None:
        self.begun += 1
        self.over.wait()
        if self.errors:
            raise self.errors.pop()


def table_with(graces: Graces) -> MatchTable:
    return MatchTable(plain_memory(1), np.zeros(1, CONTROL)[0], graces)


def test_a_grace_period_begins_when_a_generation_is_replaced() -> None:
    graces = Graces()
    table = table_with(graces)
    table.install(TABLES)
    table.wait_for_packets()
    table.wait_for_packets()
    assert graces.begun == 2  # one for what was before, one for this change


def test_nothing_waits_for_a_grace_period_before_the_next_change() -> None:
    graces = Graces()
    table = table_with(graces)
    table.wait_for_packets()
    graces.over.clear()
    table.install(TABLES)
    assert table.holds(TABLES)
    graces.over.set()
    table.wait_for_packets()


def test_a_refused_grace_period_is_an_error_and_is_tried_again() -> None:
    graces = Graces()
    table = table_with(graces)
    table.wait_for_packets()
    graces.errors.append(OSError(22, "membarrier"))
    table.install(TABLES)
    with pytest.raises(OSError, match="membarrier"):
        table.wait_for_packets()
    before = graces.begun
    table.wait_for_packets()
    assert graces.begun == before + 1
