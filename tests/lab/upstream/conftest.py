# SPDX-License-Identifier: GPL-2.0-or-later
"""A box between a provider and a scrubbing centre, for each test."""

from collections.abc import Iterator

import pytest

from tests.lab.upstream.neighbours import Site, between
from tests.lab.upstream.routers import needed


@pytest.fixture(params=["exabgp", "gobgp"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    needed()
    with between(request.param) as made:
        yield made
