# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of our own hosts from the DNS, looked up in a thread of its own."""

import logging
import queue
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.model.naming import NAME_MAX

log = logging.getLogger("xdpctl.names")
_KEPT = 4_096  # answers
_HOUR = 3_600.0  # until an address is looked up again
_WAITING_MAX = 256
# the DNS may answer anything: only what a host can be called is said (RFC 1123, section 2.1)
_HOST = re.compile(
    r"(?=.*[a-z])[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?)*"
)


def resolve(address: Prefix) -> str:
    """The name that the DNS has for an address; empty if there is none, or no valid one."""
    try:
        name, _ = socket.getnameinfo((text_of(address), 0), socket.NI_NAMEREQD)
    except (OSError, UnicodeError):  # no answer, or one that is not a name
        return ""
    name = name.lower().rstrip(".")
    return name if len(name) <= NAME_MAX and _HOST.fullmatch(name) else ""


class ReverseDns:
    """Knows the names of addresses that were asked for; `ours` says which may be looked up.

    `name` never waits: a new address has no name until the DNS has answered.
    """

    def __init__(
        self,
        on: Callable[[], bool],
        ours: Callable[[Prefix], bool],
        lookup: Callable[[Prefix], str] = resolve,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on, self._ours, self._lookup, self._now = on, ours, lookup, now
        self._known: OrderedDict[Prefix, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Prefix | None] = queue.Queue(_WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="reverse dns", daemon=True)

    def start(self) -> None:
        """Start the thread, which waits until somebody asks."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after the look-up that it is at; nobody waits for that."""
        with self._lock:
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put_nowait(None)

    def name(self, address: Prefix) -> str:
        """The name of an address of ours; empty if none is known."""
        if not self._on():
            return ""
        with self._lock:
            at, name = self._known.get(address, (-_HOUR, ""))
            if self._now() - at < _HOUR or self._waiting.full() or not self._ours(address):
                return name
            self._keep(address, name)  # it is asked for once, whatever the DNS takes
            self._waiting.put_nowait(address)
            return name

    def _keep(self, address: Prefix, name: str) -> None:
        self._known[address] = self._now(), name
        self._known.move_to_end(address)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _run(self) -> None:
        while (address := self._waiting.get()) is not None:
            try:
                name = self._lookup(address)
            except Exception:  # a defect must not end all look-ups
                log.exception("%s is not looked up", text_of(address))
                continue
            with self._lock:
                self._keep(address, name)
