# SPDX-License-Identifier: GPL-2.0-or-later
"""What a host must know of its fleet to stay in it: its certificate, who is revoked, the members.

The authority publishes all three in the engine.
"""

import json

from xdpctl.fleet import keys
from xdpctl.fleet.credentials import Credentials
from xdpctl.fleet.endpoints import Endpoints
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.relays import relays
from xdpctl.fleet.revocations import Revocations


class Standing:
    """Of one host; call each now and then. All raise EngineError without an answer."""

    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        revocations: Revocations,
        endpoints: Endpoints,
    ) -> None:
        self._engine, self._credentials = engine, credentials
        self._revocations, self._endpoints = revocations, endpoints

    def read_revoked(self) -> None:
        """Take over which nodes are revoked, and etcd's list of them where this host runs etcd."""
        kv = self._engine.get(keys.REVOKED)
        if kv is not None and kv.value is not None:
            self._revocations.take(kv.value)

    def read_members(self) -> None:
        """Take over the addresses of etcd's members, or of relays, which come and go."""
        if self._endpoints.relays:
            seen = relays(self._engine.snapshot(keys.RELAYS).held)
            value = json.dumps([relay.endpoint for relay in seen]).encode() if seen else None
        else:
            kv = self._engine.get(keys.MEMBERS)
            value = kv.value if kv else None
        if value is not None:
            self._engine.connection.endpoints = self._endpoints.take(value)

    def renew(self) -> bool:
        """Install a renewed certificate, and use it; whether there was one."""
        if not self._credentials.renew(self._engine):
            return False
        self._engine.turn_away(self._engine.turn)
        return True
