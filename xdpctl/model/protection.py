# SPDX-License-Identifier: GPL-2.0-or-later
"""Protected prefixes, which no automatic rule blocks, and the reason for each."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from xdpctl.base.net.prefix import Prefix

CONFIGURED, PEER = "configured as protected", "configured as a routing peer"
OWN_ADDRESS, LOOPBACK = "this host's own address", "loopback"
GATEWAY, RESOLVER = "a gateway of this host", "a resolver of this host"
MEMBER = "a node of this fleet"
_NEIGHBOURS = (GATEWAY, RESOLVER, PEER, MEMBER)


class Protection:
    """The protected prefixes; `why` has the reason for each.

    `own` are this host's addresses, whatever the reason in `why`.
    """

    def __init__(self, why: Mapping[Prefix, str], own: Iterable[Prefix] = ()) -> None:
        self.why = dict(why)
        addresses = (prefix for prefix, reason in why.items() if reason in (OWN_ADDRESS, LOOPBACK))
        self.own = frozenset((*own, *addresses))
        self._lengths: dict[int, list[int]] = {4: [], 16: []}  # by address size, ascending
        for size, length in sorted({(len(p.address), p.length) for p in why}):
            self._lengths[size].append(length)

    @cached_property
    def neighbours(self) -> frozenset[Prefix]:
        """Gateways, routing peers, nodes of the fleet, and resolvers outside our own networks."""
        prefixes = (p for p, why in self.why.items() if why in _NEIGHBOURS)
        return frozenset(p for p in prefixes if self.why[p] != RESOLVER or not self._ours(p))

    def _ours(self, prefix: Prefix) -> bool:
        covering = (prefix.widened(length) for length in range(prefix.length, -1, -1))
        return any(self.why.get(wider) in (CONFIGURED, OWN_ADDRESS, LOOPBACK) for wider in covering)

    def lengths(self, prefix: Prefix) -> list[int]:
        """The lengths of the protected prefixes of this prefix's family, ascending."""
        return self._lengths[len(prefix.address)]

    def over(self, prefix: Prefix) -> Prefix | None:
        """The widest protected prefix that covers all of `prefix`; None if there is none."""
        for length in self._lengths[len(prefix.address)]:
            if length > prefix.length:
                break
            candidate = prefix.widened(length)
            if candidate in self.why:
                return candidate
        return None

    def narrowest(self, prefix: Prefix) -> Prefix | None:
        """The most specific protected prefix that covers all of `prefix`; None if there is none."""
        lengths = range(prefix.length, -1, -1)
        return next((p for p in map(prefix.widened, lengths) if p in self.why), None)

    def inside(self, prefix: Prefix) -> Iterator[Prefix]:
        """The protected prefixes that `prefix` covers."""
        lengths = self._lengths[len(prefix.address)]
        if lengths and prefix.length <= lengths[-1] and not prefix.exact:
            yield from (p for p in self.why if prefix.covers(p))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Protection) and (self.why, self.own) == (other.why, other.own)

    __hash__ = None  # type: ignore[assignment]
