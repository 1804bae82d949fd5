# SPDX-License-Identifier: GPL-2.0-or-later
"""`[upstream]` of the configuration."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.typed import Duration, Problems, read_prefixes, read_seconds
from xdpctl.upstream.bgp.setup import Software
from xdpctl.upstream.peers import Peer, PeerTable

_Bits = Annotated[int, Meta(ge=64_000, le=10_000_000_000_000)]
_Name = Annotated[str, Meta(min_length=1, max_length=15)]  # IFNAMSIZ
_User = Annotated[str, Meta(min_length=1, max_length=32)]
_TTL, _TTL_MOST, _PROBE, _PROBE_MOST = 900.0, 86_400.0, 20.0, 300.0
ROUTES_MAX = 100


class UplinkTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`{interface = "eth0", bits_in = 1_000_000_000, bits_out = 50_000_000}`."""

    interface: _Name
    bits_in: _Bits
    bits_out: _Bits | None = None


class UpstreamTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[upstream]`."""

    uplinks: list[UplinkTable] = []
    full: Annotated[float, Meta(ge=0.5, le=1)] = 0.9
    seconds: Annotated[int, Meta(ge=1, le=60)] = 3
    own: list[str] = []
    most: Annotated[int, Meta(ge=1, le=ROUTES_MAX)] = 20
    ttl: Duration = _TTL
    probe: Duration = _PROBE
    peers: list[PeerTable] = []
    speaker: Software = Software.EXABGP
    user: _User = "xdpctl-bgp"

    def settings(self, problems: Problems) -> "UpstreamSettings":
        """The settings; what is not valid is added to `problems`."""
        _unique([each.interface for each in self.uplinks], "upstream.uplinks", problems)
        _unique([each.name for each in self.peers], "upstream.peers", problems)
        made = [each.settings(number, problems) for number, each in enumerate(self.peers, 1)]
        _unique([peer.host for peer in made if peer], "upstream.peers", problems)
        own = read_prefixes(self.own, "upstream.own", problems)
        ttl = read_seconds(self.ttl, "upstream.ttl", problems)
        if ttl > _TTL_MOST:
            problems.add(f"upstream.ttl is {ttl:g} s; give at most a day")
        if any(peer and (peer.announces or not peer.receive_any) for peer in made) and not own:
            problems.add(
                "upstream.own is empty: list your own prefixes, about which peers may be asked"
            )
        probe = read_seconds(self.probe, "upstream.probe", problems)
        if probe > _PROBE_MOST:
            problems.add(f"upstream.probe is {probe:g} s; give at most {_PROBE_MOST:g}")
        if any(peer and peer.announces for peer in made) and probe <= self.seconds:
            problems.add(
                f"upstream.probe is {probe:g} s; give more than upstream.seconds, or nobody sees "
                "that the link fills again"
            )
        if any(peer and peer.announces for peer in made) and not self.uplinks:
            problems.add(
                "upstream.uplinks is empty: without it nothing can be proposed to peers; or set "
                "their mode to off"
            )
        return UpstreamSettings(
            uplinks=tuple(
                Uplink(each.interface, each.bits_in, each.bits_out) for each in self.uplinks
            ),
            full=self.full,
            seconds=self.seconds,
            own=own,
            most=self.most,
            ttl=ttl,
            probe=probe,
            peers=tuple(peer for peer in made if peer),
            speaker=self.speaker,
            user=self.user,
        )


def _unique(names: list[str], place: str, problems: Problems) -> None:
    for twice in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"{place} names {twice} twice")


@dataclass(frozen=True, slots=True)
class Uplink:
    """An interface to a provider, and the bits a second that come and go through it at most.

    `bits_out` is None if it does not matter.
    """

    interface: str
    bits_in: int
    bits_out: int | None = None


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """The uplinks, and the peers. An uplink is full at that share, for so many seconds in a row.

    `own` are the prefixes of which something may be asked, by `most` announcements at a time. Each
    lasts `ttl` seconds. Then it is withdrawn, and the link is watched for `probe` seconds.
    `speaker` is the program that speaks BGP, as `user`.
    """

    uplinks: tuple[Uplink, ...] = ()
    full: float = 0.9
    seconds: int = 3
    own: tuple[Prefix, ...] = ()
    most: int = 20
    ttl: float = _TTL
    probe: float = _PROBE
    peers: tuple[Peer, ...] = ()
    speaker: Software = Software.EXABGP
    user: str = "xdpctl-bgp"

    def peer(self, name: str) -> Peer | None:
        """The peer of that name, or None."""
        return next((peer for peer in self.peers if peer.name == name), None)

    def ours(self, prefix: Prefix) -> bool:
        """Whether a prefix is one of our own, or a part of one."""
        return any(own.covers(prefix) for own in self.own)
