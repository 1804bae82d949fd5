# SPDX-License-Identifier: GPL-2.0-or-later
"""`[upstream]` of the configuration."""

from typing import Annotated

from msgspec import Meta

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.problems import Problems, show
from xdpctl.base.typed import Seconds, Table
from xdpctl.upstream.peers import InterfaceName, Peer

_Bits = Annotated[int, Meta(ge=64_000, le=10_000_000_000_000)]
_TTL, _PROBE, _PROBE_MOST = 900.0, 20.0, 300.0
TTL_MOST = 86_400.0  # seconds
HOT_SECONDS = 3  # of ten, after which an uplink is full
SPEAKER_USER = "xdpctl-bgp"


class Uplink(Table, frozen=True):
    """An interface to a provider, and the bits a second that come and go through it at most.

    `bits_out` is None if it does not matter. `circuit` is the provider's name of the link, for
    letters.
    """

    interface: InterfaceName
    bits_in: _Bits
    bits_out: _Bits | None = None
    circuit: Annotated[str, Meta(max_length=100)] = ""


class UpstreamSettings(Table, frozen=True):
    """`[upstream]`: the uplinks, and the peers.

    `own` has the prefixes about which peers may be asked. An announcement lasts `ttl` seconds. Then
    it is withdrawn, and the link is watched for `probe` seconds. Letters name the `contact`.
    """

    uplinks: tuple[Uplink, ...] = ()
    own: tuple[Prefix, ...] = ()
    contact: Annotated[str, Meta(max_length=200)] = ""
    ttl: Seconds = _TTL
    probe: Seconds = _PROBE
    peers: tuple[Peer, ...] = ()

    def check(self, place: str, problems: Problems) -> None:
        """Refuse duplicate names, times out of range, and peers without what they need."""
        _unique([uplink.interface for uplink in self.uplinks], "upstream.uplinks", problems)
        _unique([peer.name for peer in self.peers], "upstream.peers", problems)
        _unique([peer.host for peer in self.peers], "upstream.peers", problems)
        for number, peer in enumerate(self.peers):
            self._check_uplink(peer, f"{place}.peers[{number}].uplink", problems)
            if peer.returns and not any(peer.diverted(own) == own for own in self.own):
                problems.add(
                    f"{place}.peers[{number}].divert_to: upstream.own has no prefix as short as "
                    f"/{peer.divert_to} (IPv6: /{peer.divert_to_ipv6}), so nothing can be diverted"
                )
        if self.ttl > TTL_MOST:
            problems.add(f"upstream.ttl is {self.ttl:g} s; give at most a day")
        if self.probe > _PROBE_MOST:
            problems.add(f"upstream.probe is {self.probe:g} s; give at most {_PROBE_MOST:g}")
        announces = any(peer.announces for peer in self.peers)
        if not self.own and (announces or any(not peer.receive_any for peer in self.peers)):
            problems.add(
                "upstream.own is empty: list your own prefixes, about which peers may be asked"
            )
        if announces and self.probe <= HOT_SECONDS:
            problems.add(
                f"upstream.probe is {self.probe:g} s; give more than {HOT_SECONDS}, or nobody "
                "sees that the link fills again"
            )
        if announces and not self.uplinks:
            problems.add(
                "upstream.uplinks is empty: without it nothing can be proposed to peers; or set "
                "their mode to off"
            )

    def _check_uplink(self, peer: Peer, place: str, problems: Problems) -> None:
        names = [uplink.interface for uplink in self.uplinks]
        if peer.uplink is not None and peer.uplink not in names:
            problems.add(
                f"{place} is {show(peer.uplink)}; give one of {', '.join(names) or 'none'}"
            )
        elif peer.uplink is None and peer.announces and len(names) > 1:
            problems.add(f"{place} is missing; say which uplink leads to {peer.name}")

    def uplink_of(self, peer: Peer) -> Uplink | None:
        """The uplink about which a peer is asked; None if it is asked about none."""
        named = (up for up in self.uplinks if peer.uplink in (None, up.interface))
        return next(named, None)

    def peer(self, name: str) -> Peer | None:
        """The peer of that name, or None."""
        return next((peer for peer in self.peers if peer.name == name), None)

    def ours(self, prefix: Prefix) -> bool:
        """Whether a prefix is one of our own, or a part of one."""
        return any(own.covers(prefix) for own in self.own)


def _unique(names: list[str], place: str, problems: Problems) -> None:
    for twice in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"{place} names {twice} twice")
