# SPDX-License-Identifier: GPL-2.0-or-later
"""The listeners share the descriptors of the process; the address of a node goes into a URL."""

import resource

import pytest

from xdpctl_api.fleet_neighbours import is_address
from xdpctl_api.transport.server import partition

_OURS = 256


@pytest.mark.parametrize("fleet", [False, True])
@pytest.mark.parametrize("limit", [64, 304, 400, 1_024, 2_000, 4_096, 65_536])
def test_all_listeners_together_leave_descriptors_for_other_files(
    monkeypatch: pytest.MonkeyPatch, limit: int, fleet: bool
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    caps = partition(fleet)
    used = caps[: 2 + fleet]
    assert sum(cap.total for cap in used) <= max(48, limit - _OURS)
    assert all(0 < cap.each <= cap.total for cap in used)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("node:8461", True),
        ("[2001:db8::1]:65535", True),
        ("node:0655350", False),
        ("node:08461", False),
        ("node:65536", False),
        ("node:0", False),
        ("node:\u0668461", False),
        ("node", False),
    ],
)
def test_an_address_has_a_port_as_it_is_written_in_a_url(text: str, valid: bool) -> None:
    assert is_address(text) is valid
