# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes for a BGP peer, which are first proposed and then announced. Values only."""

import msgspec

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.route import Kind, Route

PROPOSED_MAX = 200


class Announcement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A route for a peer. Times are Unix time, except `expires_ns`, which is kernel time.

    The route is announced from `sent_at` until it expires. If `sent_at` is 0, it is a proposal that
    waits for approval. While it is `probing`, it is withdrawn to see whether it is still needed.
    Each time it is announced for `ttl` seconds; 0: for as long as the settings say. `renewed`
    counts its renewals. It may be a `rehearsal`. If it is `declined`, somebody withdrew it, and it
    is not proposed again automatically while its incident is open.
    """

    id: str
    peer: str
    route: Route
    what: str
    cost: str
    by: str
    at: float
    incident: str = ""
    approved_by: str = ""
    sent_at: float = 0.0
    expires_ns: int = 0
    probing: bool = False
    ttl: float = 0.0
    renewed: int = 0
    declined: bool = False
    rehearsal: bool = False

    @property
    def kind(self) -> Kind:
        return self.route.kind

    @property
    def victim(self) -> Prefix:
        return self.route.destination

    @property
    def announced(self) -> bool:
        """Whether somebody approved the route, and nobody took that back since."""
        return bool(self.sent_at)

    def replace(self, **changes: object) -> "Announcement":
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)
