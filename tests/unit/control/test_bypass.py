# SPDX-License-Identifier: GPL-2.0-or-later
"""The bypass switch works even if the store fails, and reports if it could not be audited."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import ROOT, BreakableStore, FakeClock, FakeDatapath, ask, controller
from xdpctl.control.controller import Controller
from xdpctl.control.operations.rules import add
from xdpctl.errors import StoreError


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        yield running


def test_the_bypass_works_although_the_store_fails(
    control: Controller, datapath: FakeDatapath
) -> None:
    assert control.set_bypass(True, "root").result(10)
    assert isinstance(control.store, BreakableStore)
    control.store.broken = True
    assert not control.set_bypass(False, "root").result(10)
    assert not datapath.bypass()
    audited = [json.loads(row)["action"] for row in control.store.audit()]
    assert audited == ["control.start", "bypass.on"]


def test_the_bypass_works_in_a_batch_that_cannot_be_stored(
    control: Controller, datapath: FakeDatapath
) -> None:
    assert isinstance(control.store, BreakableStore)
    gate, entered = threading.Event(), threading.Event()

    def wait(draft: object) -> None:
        entered.set()
        gate.wait(10)

    control.submit(wait)
    entered.wait(10)
    control.store.broken = True
    added = control.submit(lambda draft: add(draft, ask("203.0.113.7"), ROOT))
    bypassed = control.set_bypass(True, "root")
    gate.set()
    assert bypassed.result(10) is False
    assert datapath.bypass()
    with pytest.raises(StoreError):
        added.result(10)
