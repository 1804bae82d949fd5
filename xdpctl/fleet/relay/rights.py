# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node may write through a relay: its own keys, with its own leases."""

import threading
import time
from collections import defaultdict
from typing import Any

from xdpctl.errors import EngineError, EngineRefusedError
from xdpctl.fleet import keys

_LEASES_MAX = 2_000  # of a node
_LEASE_SECONDS = 366 * 86_400


class UnknownLeaseError(EngineError):
    """A lease that this relay has not granted to the node: it asks for another one."""


class Leases:
    """The leases that were granted here, by node, and when they end unless they are renewed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[str, dict[int, float]] = defaultdict(dict)  # monotonic, by id

    def check_room(self, node: str, seconds: int) -> None:
        """EngineRefusedError for a lease that hardly ends, or one too many."""
        if not 0 < seconds <= _LEASE_SECONDS:
            raise EngineRefusedError(f"a lease of {seconds} s is not granted")
        now = time.monotonic()
        with self._lock:
            held = {lease: end for lease, end in self._ends[node].items() if end > now}
            self._ends[node] = held
        if len(held) >= _LEASES_MAX:
            raise EngineRefusedError(f"{node} has {_LEASES_MAX:,} leases already")

    def note(self, lease: int, node: str, seconds: int) -> None:
        """A lease was granted, or renewed, for so many seconds."""
        with self._lock:
            self._ends[node][lease] = time.monotonic() + seconds

    def forget(self, lease: int, node: str) -> None:
        with self._lock:
            self._ends[node].pop(lease, None)

    def check(self, node: str, lease: int) -> None:
        """UnknownLeaseError unless the node has the lease; 0 is none."""
        with self._lock:
            if lease and lease not in self._ends[node]:
                raise UnknownLeaseError("etcdserver: requested lease not found")


def check_transaction(request: Any, node: str, prefix: str, leases: Leases) -> None:
    """EngineError unless a node may make a transaction (etcd's TxnRequest).

    What this version of the API does not know is removed from the request first.
    """
    request.DiscardUnknownFields()
    for operation in (*request.success, *request.failure):
        kind = operation.WhichOneof("request")
        if kind == "request_put":
            put = operation.request_put
            leases.check(node, put.lease)
            _check_own(node, prefix, put.key, b"")
        elif kind == "request_delete_range":
            deletion = operation.request_delete_range
            _check_own(node, prefix, deletion.key, deletion.range_end)
        elif kind != "request_range":
            raise EngineRefusedError("an operation of another kind than range, put and delete")


def _check_own(node: str, prefix: str, first: bytes, end: bytes) -> None:
    low, high = (key.decode(errors="replace") for key in (first, end))
    ours = low.startswith(prefix) and (not high or high.startswith(prefix))
    if not ours or not keys.owns(node, low.removeprefix(prefix), high.removeprefix(prefix)):
        raise EngineRefusedError(f"{node} may not write {low[:200]}")
