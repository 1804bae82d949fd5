# SPDX-License-Identifier: GPL-2.0-or-later
"""A box between a provider and a scrubbing centre, for each test."""

from collections.abc import Iterator

import pytest

from tests.lab.upstream.neighbours import Site, between
from tests.lab.upstream.routers import needed


@pytest.fixture
def site() -> Iterator[Site]:
    needed()
    with between() as new_site:
        yield new_site
