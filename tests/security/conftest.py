# SPDX-License-Identifier: GPL-2.0-or-later
"""The application, the loaded program and a running box, as fixtures for security tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conftest import _able, compiled, emptied, filtered, loader, pins
from tests.kernel.test_signatures import armed
from tests.lab.conftest import box, host
from tests.support.apiclient import Api, running
from tests.support.hooked import OURS
from tests.unit.conftest import _no_pauses

__all__ = [
    "_able",
    "_no_pauses",
    "armed",
    "box",
    "compiled",
    "emptied",
    "filtered",
    "host",
    "loader",
    "pins",
]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, capacity=300, protection=OURS) as api:
        yield api
