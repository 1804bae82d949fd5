# SPDX-License-Identifier: GPL-2.0-or-later
"""`[[upstream.peers]]`: an error names its place and the valid values."""

from typing import Any

import pytest

from tests.support.upstream import PEER, table
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import ConfigError


def test_a_peer_has_all_settings_of_a_session() -> None:
    found = table()
    (peer,) = found.peers
    assert (peer.name, peer.host, peer.peer_as, peer.origin) == (
        "isp1",
        "192.0.2.1",
        64496,
        "bgp.isp1",
    )
    assert peer.blackhole == ("65535:666",)
    assert str(peer.blackhole_hop) == "192.0.2.2/32"
    assert found.peer("isp1") is peer
    assert found.peer("isp2") is None
    assert found.ours(parse_prefix("198.51.100.7", "x"))
    assert not found.ours(parse_prefix("198.51.0.0/16", "x"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"address": "isp.example"}, "upstream.peers[1].address"),
        ({"address": "192.0.2.0/24"}, "give an IP address"),
        ({"local_address": "2001:db8::2"}, "another family"),
        ({"name": "ISP 1"}, "upstream.peers[1].name"),
        ({"name": "x" * 30}, "longer than 24"),
        ({"peer_as": 0}, "upstream.peers[1].peer_as"),
        ({"peer_as": "AS64496"}, "upstream.peers[1].peer_as"),
        ({"mode": "yes"}, "upstream.peers[1].mode"),
        ({"blackhole": ["65536:1"]}, "65535:666"),
        ({"blackhole": ["no-export"]}, "65535:666"),
        ({"receive": "enforce", "flowspec": False}, "needs flowspec"),
        ({"hold_time": 1}, "upstream.peers[1].hold_time"),
        ({"passwort_file": "x"}, "passwort_file"),
    ],
)
def test_an_invalid_setting_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        table(PEER | change)
    assert said in str(refused.value)


@pytest.mark.parametrize("community", ["64500:666", "64500:1:666", "4200000000:1:2"])
def test_communities_of_providers_are_accepted(community: str) -> None:
    assert table(PEER | {"blackhole": [community]}).peers[0].blackhole == (community,)


def test_own_prefixes_are_required_and_peer_names_are_unique() -> None:
    with pytest.raises(ConfigError, match=r"upstream\.own is empty"):
        table(own=[])
    with pytest.raises(ConfigError, match="names isp1 twice"):
        table(PEER, PEER | {"address": "192.0.2.9"})
    with pytest.raises(ConfigError, match="at most a day"):
        table(ttl="2d")
