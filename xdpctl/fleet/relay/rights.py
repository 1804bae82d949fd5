# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node may write through a relay: its own keys, with its own leases."""

import threading
from collections.abc import Iterable
from typing import Any

from xdpctl.errors import EngineRefusedError
from xdpctl.fleet import keys

_LEASES_MAX = 100_000
_LEASE_SECONDS = 366 * 86_400


class Leases:
    """Which node has which lease, of those that were granted here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[int, str] = {}

    def note(self, lease: int, node: str) -> None:
        """A lease was granted; the oldest are forgotten if there are too many."""
        with self._lock:
            self._nodes[lease] = node
            while len(self._nodes) > _LEASES_MAX:
                del self._nodes[next(iter(self._nodes))]

    def forget(self, lease: int) -> None:
        with self._lock:
            self._nodes.pop(lease, None)

    def are_of(self, node: str, leases: Iterable[int]) -> bool:
        """Whether a node has all these leases; 0 is none."""
        return all(self._nodes.get(lease) == node for lease in leases if lease)


def check_transaction(request: Any, node: str, prefix: str, leases: Leases) -> None:
    """EngineRefusedError unless a node may make a transaction (etcd's TxnRequest)."""
    for operation in (*request.success, *request.failure):
        kind = operation.WhichOneof("request")
        if kind == "request_range":
            continue
        asked = getattr(operation, kind or "request_put")
        first, end = asked.key.decode(errors="replace"), b""
        if kind == "request_put" and not leases.are_of(node, [asked.lease]):
            raise EngineRefusedError(f"the lease {asked.lease:x} is not one of {node}")
        if kind == "request_delete_range":
            end = asked.range_end
        to = end.decode(errors="replace").removeprefix(prefix)
        if not first.startswith(prefix) or not keys.owns(node, first.removeprefix(prefix), to):
            raise EngineRefusedError(f"{node} may not write {first[:200]}")


def check_lease(seconds: int) -> None:
    """EngineRefusedError for a lease that hardly ends."""
    if not 0 < seconds <= _LEASE_SECONDS:
        raise EngineRefusedError(f"a lease of {seconds} s is not granted")
