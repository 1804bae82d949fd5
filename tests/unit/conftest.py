# SPDX-License-Identifier: GPL-2.0-or-later
"""A new fake kernel, a fixed clock, and continuous upkeep."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import Api, running
from tests.support.fakes import FakeClock, FakeDatapath
from tests.support.hooked import OURS
from xdpctl.control import upkeep


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upkeep makes a step after every batch of jobs, so tests can count on it."""
    monkeypatch.setattr(upkeep, "_PAUSE_NS", 0)
    monkeypatch.setattr(upkeep, "_SHARE", 0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def datapath() -> FakeDatapath:
    return FakeDatapath()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    """The API of a box that has networks to protect."""
    with running(tmp_path, 2000, OURS) as box:
        yield box
