"""A fresh kernel and a clock that stands still, for whoever asks."""

import pytest

from tests.fakes import FakeClock, FakeDatapath


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def datapath() -> FakeDatapath:
    return FakeDatapath()
